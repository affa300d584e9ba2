"""The same work on a cluster: a plan of small tasks, files that appear whole, and a manifest that makes a dataset complete."""

from __future__ import annotations

from pointline.scale.compare import compare
from pointline.scale.dataset import ScaledDataset, open_dataset

__all__ = ["ScaledDataset", "compare", "open_dataset"]
