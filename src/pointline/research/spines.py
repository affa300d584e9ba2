"""Spines: windows of time made from one driving instrument.

Columns of a spine: ``symbol_id`` (the driver), ``bar_id``, ``bucket_start``, ``bucket_end``, ``ts_local_us`` (= ``bucket_start``),
``complete``. Windows are half-open ``[bucket_start, bucket_end)`` on the research clock ``ts_local_us`` and tile their day (or the
window, anchored at its start). A bar is known at ``bucket_end``, never before.
"""

from pointline.bars.adaptive import AdaptiveDollarConfig, AdaptiveTradeConfig, AdaptiveVolumeConfig
from pointline.bars.rules import (
    BarRule,
    DollarBarConfig,
    ImbalanceBarConfig,
    TimeBarConfig,
    TradeBarConfig,
    VolumeBarConfig,
)
from pointline.bars.spine import SpineBuilder, get_builder

__all__ = [
    "AdaptiveDollarConfig",
    "AdaptiveTradeConfig",
    "AdaptiveVolumeConfig",
    "BarRule",
    "DollarBarConfig",
    "ImbalanceBarConfig",
    "SpineBuilder",
    "TimeBarConfig",
    "TradeBarConfig",
    "VolumeBarConfig",
    "get_builder",
]
