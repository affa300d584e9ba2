"""Results in Polars frames, in the integers that are compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from job import NO_TRADE, fingerprint

if TYPE_CHECKING:
    from job import Job


def decoded_summary(bars: pl.DataFrame, job: Job, *, every_bar: bool = True) -> dict[str, Any]:
    """The fingerprint of a frame with ``perp_close``, ``perp_volume``, ``perp_trade_count`` and the same of ``spot_``."""
    wanted = []
    for venue in ("perp", "spot"):
        price_decimals, qty_decimals = job.decimals(venue)
        trades = pl.col(f"{venue}_trade_count").fill_null(0)
        close = (pl.col(f"{venue}_close") * 10**price_decimals).round().cast(pl.Int64)
        wanted += [
            pl.when(trades > 0).then(close).otherwise(NO_TRADE).alias(f"{venue}_close"),
            (pl.col(f"{venue}_volume").fill_null(0.0) * 10**qty_decimals).round().cast(pl.Int64).alias(f"{venue}_volume"),
            trades.cast(pl.Int64).alias(f"{venue}_trades"),
        ]
    return fingerprint({series.name: series.to_numpy() for series in bars.select(wanted)}, every_bar=every_bar)
