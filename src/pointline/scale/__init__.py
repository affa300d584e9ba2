"""The same work on a cluster: a plan of small tasks, files that appear whole, and a manifest that makes a dataset complete."""

from __future__ import annotations

from pointline.scale.comparison import compare
from pointline.scale.dataset import ScaledDataset, open_dataset
from pointline.scale.downloading import download
from pointline.scale.evaluation_inputs import ic
from pointline.scale.pair_scan import scan
from pointline.scale.variants import sweep
from pointline.scale.warming import warm

__all__ = ["ScaledDataset", "compare", "download", "ic", "open_dataset", "scan", "sweep", "warm"]
