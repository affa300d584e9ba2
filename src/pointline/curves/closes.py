"""The price of an instrument at the end of each candle, from the lake's candles and, where they are missing, its trades.

A close is the price at the end of its candle, so it is only taken from data that reaches that end: a candle of exactly the duration; else
the last of the shorter candles that make it up; else the last trade, if it is recent enough. A day whose last minute is missing has no
close.

A candle without a trade has no price, although archives print the last one in it: exchanges continue to publish candles after a contract
was settled. If the last candles had no trade, the last traded one before them gives the close, if it is recent enough. A candle has no
trade if its volume or its number of trades is zero. If a table has neither column, each candle counts as traded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from pointline import schema
from pointline.bars.amounts import on_book
from pointline.clock import DAY_US, MINUTE_US, to_duration_us
from pointline.errors import ConfigError
from pointline.lake.rows import decoded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointline.curves.grid import CandleGrid
    from pointline.lake.store import Lake, PartitionFile

CLOSES_SCHEMA: dict[str, pl.DataType] = {
    "start_us": pl.Int64(),
    "close": pl.Float64(),
    "known_us": pl.Int64(),
    "source": pl.String(),
    "age_us": pl.Int64(),
}
TRADES = schema.TRADES.name
MAX_TRADE_AGE_US = MINUTE_US
CANDLES = "candles_"
_LATEST_RECEIPT_US = DAY_US  # a candle that was received later than this after its end is not looked for


def close_sources(lake: Lake, duration_us: int) -> dict[str, int]:
    """Candle tables of trade prices from which closes of a duration can be taken -> their own duration, the longest first; then trades."""
    found = {}
    for kind in lake.kinds():
        if not kind.startswith(CANDLES):
            continue
        try:
            length_us = to_duration_us(kind.removeprefix(CANDLES))
        except ConfigError:
            continue
        if length_us > 0 and duration_us % length_us == 0:
            found[kind] = length_us
    return dict(sorted(found.items(), key=lambda item: -item[1])) | ({TRADES: 0} if TRADES in lake.kinds() else {})


def held(lake: Lake, grid: CandleGrid) -> list[tuple[str, str]]:
    """Exchange and symbol of the instruments for which the lake has data for closes inside the grid, in name order."""
    found = set()
    for kind in close_sources(lake, grid.duration_us):
        for exchange, symbol in lake.listing(kind).select("exchange", "symbol").unique().iter_rows():
            if lake.files(kind, exchange, symbol, grid.start_us, grid.end_us + 1):
                found.add((exchange, symbol))
    return sorted(found)


def closes(lake: Lake, exchange: str, symbol: str, grid: CandleGrid, *, max_trade_age_us: int = MAX_TRADE_AGE_US) -> pl.DataFrame:
    """The closes of one instrument.

    Args:
        lake: the lake.
        exchange, symbol: the instrument by its exchange id and the exchange's own symbol.
        grid: the candles.
        max_trade_age_us: age that the last trade may have at its candle's end to give the close. Of a shorter candle only its own end is
            known, not the time of its last trade: it must have ended less than this before.

    Returns:
        One row per candle for which there is data, in time order: start_us; close, null if nothing was traded shortly before the
        candle's end; known_us (when that was known, not before the candle's end); source (``"candles_1d"``, ``"candles_1m"``, …,
        ``"trades"``); and age_us, from the last trade to the candle's end, of shorter candles from the end of the last traded one.
    """
    missing = grid.starts.to_frame()
    parts, untraded = [pl.DataFrame(schema=CLOSES_SCHEMA)], [pl.DataFrame(schema=CLOSES_SCHEMA)]
    for kind, length_us in close_sources(lake, grid.duration_us).items():
        if missing.is_empty():
            break
        if length_us:
            rows = _of_candles(lake, kind, exchange, symbol, grid, length_us, max_trade_age_us)
        else:
            rows = _of_trades(lake, exchange, symbol, grid, missing["start_us"], max_trade_age_us)
        told = missing.join(rows, on="start_us", how="inner").with_columns(source=pl.lit(kind)).select(list(CLOSES_SCHEMA))
        parts.append(told.filter(pl.col("close").is_not_null()))
        untraded.append(told.filter(pl.col("close").is_null()))
        missing = missing.join(parts[-1], on="start_us", how="anti")
    without = pl.concat(untraded).join(missing, on="start_us", how="semi").unique("start_us", keep="first", maintain_order=True)
    return pl.concat([*parts, without]).sort("start_us")


def _of_candles(lake: Lake, kind: str, exchange: str, symbol: str, grid: CandleGrid, length_us: int, max_trade_age_us: int) -> pl.DataFrame:
    """The close of each candle of the grid from the last candles of a table: the last traded one, if those after it are all there."""
    end_us = pl.col("start_us") + length_us
    before_end_us = -end_us % grid.duration_us
    inside = (end_us > grid.start_us) & (end_us <= grid.end_us) & (before_end_us <= grid.duration_us - length_us)
    wanted = (pl.col("start_us") % length_us == 0) & inside & ((before_end_us == 0) | (before_end_us < max_trade_age_us))
    columns = ["ts_local_us", "start_us", "close", "volume", "trade_count"]
    rows = lake.scan(kind, exchange, symbol, grid.start_us, grid.end_us + _LATEST_RECEIPT_US + 1, columns).filter(wanted)
    traded = (pl.col("volume") != 0).fill_null(value=True) & (pl.col("trade_count") != 0).fill_null(value=True)
    age_us = pl.col("age_us")
    last_us = age_us.filter("traded").min()
    return (
        rows.select(
            start_us=end_us + before_end_us - grid.duration_us,
            close=pl.col("close").cast(pl.Float64),
            known_us=pl.max_horizontal("ts_local_us", end_us + before_end_us),
            age_us=before_end_us,
            traded=traded & pl.col("close").is_not_null(),
        )
        .group_by("start_us")
        .agg(
            close=pl.col("close").filter(pl.col("traded") & (age_us == last_us)).first(),
            known_us=pl.col("known_us").filter((age_us <= last_us).fill_null(value=True)).max(),
            reaches=age_us.min() == 0,
            whole=((age_us < last_us).sum() == last_us // length_us).fill_null(value=True),
            age_us=last_us,
        )
        .filter("reaches", "whole")
        .select("start_us", "close", "known_us", "age_us")
        .collect()
    )


def _of_trades(lake: Lake, exchange: str, symbol: str, grid: CandleGrid, missing: pl.Series, max_trade_age_us: int) -> pl.DataFrame:
    """The last trade of each missing candle that is recent enough at the candle's end."""
    window_us = min(max_trade_age_us, grid.duration_us)
    parts = [
        _last_trades(file, grid.duration_us, ends_us, window_us)
        for file, ends_us in _files_of_ends(lake, exchange, symbol, grid, missing, window_us)
    ]
    nothing = pl.DataFrame(schema={"start_us": pl.Int64, "close": pl.Float64, "ts_local_us": pl.Int64})
    last = pl.concat([nothing, *parts]).sort("start_us", "ts_local_us").unique("start_us", keep="last", maintain_order=True)
    end_us = pl.col("start_us") + grid.duration_us
    return last.select("start_us", "close", known_us=end_us, age_us=end_us - pl.col("ts_local_us"))


def _files_of_ends(
    lake: Lake, exchange: str, symbol: str, grid: CandleGrid, missing: pl.Series, window_us: int
) -> Iterator[tuple[PartitionFile, pl.Series]]:
    """The days of trades that hold a moment shortly before a wanted end, with these ends."""
    ends_us = missing + grid.duration_us
    for file in lake.files(TRADES, exchange, symbol, grid.start_us, grid.end_us):
        own = ends_us.filter((ends_us > file.start_us) & (ends_us - window_us < file.start_us + DAY_US))
        if not own.is_empty():
            yield file, own


def _last_trades(file: PartitionFile, duration_us: int, ends_us: pl.Series, window_us: int) -> pl.DataFrame:
    time_us = pl.col("ts_local_us")
    start_us = time_us - time_us % duration_us
    first, last = int(ends_us.min()) - window_us, int(ends_us.max())  # type: ignore[arg-type]
    rows = (
        on_book(file, ["ts_local_us", "price_int", "price_decimals"])
        .filter((time_us >= first) & (time_us < last) & (time_us % duration_us >= duration_us - window_us))
        .select("ts_local_us", "price_int", "price_decimals", start_us=start_us)
        .collect()
    )
    of_candles = rows.group_by("start_us", maintain_order=True).last()
    return of_candles.select("start_us", decoded("price_int", "price").alias("close"), "ts_local_us")
