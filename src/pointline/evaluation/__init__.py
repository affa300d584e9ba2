"""Whether features predict anything, and whether the data and the costs behind them can be trusted."""

from __future__ import annotations

from pointline.evaluation.check_limits import CheckLimits
from pointline.evaluation.checklist import STATUS_CODES, CheckFacts, CheckPoint, SideFacts, check_points
from pointline.evaluation.time_of_day import volumes_by_hour

__all__ = [
    "STATUS_CODES",
    "CheckFacts",
    "CheckLimits",
    "CheckPoint",
    "SideFacts",
    "check_points",
    "volumes_by_hour",
]
