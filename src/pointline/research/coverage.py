"""What the lake holds of an instrument, and the error that says so when a window is empty."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from pointline.clock import DAY_US, date_text, time_text
from pointline.errors import NoDataError, nearest
from pointline.lake.store import next_month
from pointline import schema

if TYPE_CHECKING:
    from pointline.lake.store import Lake

COVERAGE_SCHEMA: dict[str, pl.DataType] = {
    "kind": pl.String(),
    "exchange": pl.String(),
    "symbol": pl.String(),
    "first_date": pl.String(),
    "last_date": pl.String(),
    "partitions": pl.Int64(),
    "missing_partitions": pl.Int64(),
    "rows": pl.Int64(),
}


def coverage(lake: Lake, exchange: str | None = None, symbol: str | None = None) -> pl.DataFrame:
    """One row per table and instrument: first and last date, partitions (days or months) present and missing between them, rows."""
    rows = []
    for kind in lake.kinds():
        listing = lake.listing(kind)
        if exchange is not None:
            listing = listing.filter(pl.col("exchange") == exchange)
        if symbol is not None:
            listing = listing.filter(pl.col("symbol") == symbol)
        for (found_exchange, found_symbol), part in listing.group_by(["exchange", "symbol"], maintain_order=True):
            dates = part["date"].sort().to_list()
            rows.append((kind, found_exchange, found_symbol, dates[0], dates[-1], len(dates), len(gaps(dates, monthly=schema.table(kind).monthly)), part["num_records"].sum()))
    return pl.DataFrame(rows, schema=COVERAGE_SCHEMA, orient="row")


def gaps(dates: list[str], *, monthly: bool) -> list[str]:
    """Dates (or months' firsts) that are missing between the first and the last of `dates`."""
    from pointline.clock import to_us

    present = set(dates)
    missing = []
    at, last = to_us(dates[0]), to_us(dates[-1])
    while at < last:
        at = next_month(at) if monthly else at + DAY_US
        if date_text(at) not in present:
            missing.append(date_text(at))
    return missing


def no_data(lake: Lake, kind: str, exchange: str, symbol: str, start_us: int, end_us: int) -> NoDataError:
    """The error for a window without data: it says what there is."""
    table = coverage(lake)
    own = table.filter((pl.col("exchange") == exchange) & (pl.col("symbol") == symbol))
    window = f"{time_text(start_us)} to {time_text(end_us)} (exclusive)"
    what = f"the lake has no {kind} of {exchange}:{symbol} in this window"
    if own.is_empty():
        names = [f"{e}:{s}" for e, s in table.select("exchange", "symbol").unique().sort("exchange", "symbol").iter_rows()]
        return NoDataError(what, value=window, expected=f"one of {nearest(f'{exchange}:{symbol}', names)}", hint="`pointline catalog` lists what the lake holds")
    held = "; ".join(f"{row['kind']} {row['first_date']} to {row['last_date']}" for row in own.iter_rows(named=True))
    return NoDataError(what, value=window, expected=f"a window inside its coverage: {held}", hint="ingest the missing days, or choose another window")
