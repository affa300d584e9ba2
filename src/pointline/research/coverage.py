"""The error for a window without data: it says what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from pointline.clock import time_text
from pointline.errors import NoDataError, nearest
from pointline.lake.catalog import coverage

if TYPE_CHECKING:
    from pointline.lake.store import Lake


def no_data(lake: Lake, kind: str, exchange: str, symbol: str, start_us: int, end_us: int) -> NoDataError:
    """The error for an instrument without rows of a kind in a window, with its coverage or the nearest names."""
    own = coverage(lake, exchange, symbol)
    window = f"{time_text(start_us)} to {time_text(end_us)} (exclusive)"
    what = f"the lake has no {kind} of {exchange}:{symbol} in this window"
    if own.is_empty():
        listed = {pair for held in lake.kinds() for pair in lake.listing(held).select("exchange", "symbol").unique().iter_rows()}
        names = [f"{e}:{s}" for e, s in sorted(listed)]
        return NoDataError(
            what,
            value=window,
            expected=f"an instrument that was ingested; alike: {nearest(f'{exchange}:{symbol}', names).lower()}",
            hint="`pointline catalog` lists what the lake holds",
        )
    same = own.filter(pl.col("kind") == kind)
    own = own if same.is_empty() else same
    held = "; ".join(f"{row['kind']} {row['first_date']} to {row['last_date']}" for row in own.iter_rows(named=True))
    return NoDataError(
        what, value=window, expected=f"a window inside its coverage: {held}", hint="ingest the missing days, or choose another window"
    )
