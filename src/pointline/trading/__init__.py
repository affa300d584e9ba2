"""What trading costs and earns: `pointline.trading.costs` and its neighbours take frames and values, nothing else."""

from __future__ import annotations

from pointline.trading.costs import PRESETS, CostModel, preset

__all__ = ["PRESETS", "CostModel", "preset"]
