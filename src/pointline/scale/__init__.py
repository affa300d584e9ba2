"""The same work on a cluster: a plan of small tasks, files that appear whole, and a manifest that makes a dataset complete."""

from __future__ import annotations

from pointline.scale.compare import compare
from pointline.scale.dataset import ScaledDataset, open_dataset
from pointline.scale.ic import ic
from pointline.scale.scan import scan
from pointline.scale.sweep import sweep
from pointline.scale.warm import warm

__all__ = ["ScaledDataset", "compare", "ic", "open_dataset", "scan", "sweep", "warm"]
