"""Statistics of a window: mean, lowest and highest spread of each contract, and how many candles are missing."""

from __future__ import annotations

import polars as pl

_STATISTICS = {"mean": pl.Expr.mean, "min": pl.Expr.min, "max": pl.Expr.max}
_GROUP = ("exchange", "market", "reference")


def summarise(table: pl.DataFrame) -> pl.DataFrame:
    """Statistics per contract and reference over the candles that have both closes.

    Args:
        table: rows of `pointline.curves.table.TABLE_SCHEMA`.

    Returns:
        exchange, market, reference, mean_spread, min_spread, max_spread (quote asset), mean_spread_pct, min_spread_pct,
        max_spread_pct (percent), candles (expected), missing (without a spread), missing_close, missing_spot (of the contract, of the
        reference; a candle can lack both), first and last (start of the first and last candle with a spread), cross_quote and
        converted (candles whose spread could be converted to one quote asset).
    """
    there = pl.col("spread").is_not_null()
    columns = [
        statistic(pl.col(column)).alias(f"{name}_{column}")
        for column in ("spread", "spread_pct")
        for name, statistic in _STATISTICS.items()
    ]
    return (
        table.sort("start", *_GROUP)
        .group_by(_GROUP, maintain_order=True)
        .agg(
            *columns,
            candles=pl.len().cast(pl.Int64),
            missing=(~there).sum().cast(pl.Int64),
            missing_close=pl.col("close").is_null().sum().cast(pl.Int64),
            missing_spot=pl.col("spot_close").is_null().sum().cast(pl.Int64),
            first=pl.col("start").filter(there).min(),
            last=pl.col("start").filter(there).max(),
            cross_quote=pl.col("cross_quote").first(),
            converted=(pl.col("basis_kind") == "converted").sum().cast(pl.Int64),
        )
        .sort(_GROUP)
    )
