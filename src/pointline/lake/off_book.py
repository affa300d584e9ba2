"""Which trades were printed away from the book."""

from __future__ import annotations

import polars as pl


def flag_off_book(trades: pl.DataFrame) -> pl.DataFrame:
    """Sorted parsed trades with ``off_book`` filled where the source did not say."""
    return trades.with_columns(pl.col("off_book").fill_null(value=False))
