"""Small tables that the views need beside the lake's own: instruments, coverage, and which source serves which day of a market."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl

from pointline import clock
from pointline.lake.catalog import COVERAGE_SCHEMA
from pointline.lake.rows import scan_rows
from pointline.lake.store import PartitionFile
from pointline.sql.links import SqlNames, exchange_name
from pointline.sql.ohlcv import CandleSource, seconds_of

if TYPE_CHECKING:
    from pointline.lake.catalog import Held
    from pointline.lake.store import Lake

_DAY_S = clock.DAY_US // clock.SECOND_US
_SIZE_STEP = Decimal(1).scaleb(-18)

INSTRUMENTS: dict[str, pl.DataType] = {
    "exchange": pl.String(),
    "market": pl.String(),
    "native_symbol": pl.String(),
    "base_asset": pl.String(),
    "quote_asset": pl.String(),
    "settle_asset": pl.String(),
    "asset_type": pl.String(),
    "contract_type": pl.String(),
    "contract_size": pl.Decimal(38, 18),
    "expiration": pl.Datetime("ns", "UTC"),
    "price_increment": pl.Float64(),
    "quantity_increment": pl.Float64(),
    "listed": pl.Datetime("ms", "UTC"),
    "valid_from": pl.Datetime("ms", "UTC"),
}
COVERAGE: dict[str, pl.DataType] = {
    "kind": pl.String(),
    "exchange": pl.String(),
    "market": pl.String(),
    "native_symbol": pl.String(),
    "first_date": pl.Date(),
    "last_date": pl.Date(),
    "partitions": pl.Int64(),
    "missing_partitions": pl.Int64(),
    "row_count": pl.Int64(),
    "covered_share": pl.Float64(),
    "missing_seconds": pl.Float64(),
    "missing_ids": pl.Int64(),
    "missing_candles": pl.Int64(),
    "missing_stamps": pl.Int64(),
    "off_grid": pl.Int64(),
    "flagged": pl.Int64(),
    "superseded": pl.Int64(),
}
CANDLE_DAYS: dict[str, pl.DataType] = {
    "exchange": pl.String(),
    "market": pl.String(),
    "seconds": pl.Int64(),
    "day": pl.Int64(),
    "rank": pl.Int64(),
}
HOLE_MINUTES: dict[str, pl.DataType] = {"exchange": pl.String(), "market": pl.String(), "minute_us": pl.Int64()}
COVERED_TRADES: dict[str, pl.DataType] = {"exchange": pl.String(), "market": pl.String(), "file": pl.String(), "seconds": pl.Int64()}


def instrument_table(lake: Lake, names: SqlNames) -> pl.DataFrame:
    """The newest version of every instrument in `INSTRUMENTS`, by exchange and market."""
    newest = lake.registry().frame.group_by("exchange", "exchange_symbol", maintain_order=True).last()
    markets = [
        names.market(exchange, symbol, clock.date_text(start_us))
        for exchange, symbol, start_us in newest.select("exchange", "exchange_symbol", "valid_from_us").iter_rows()
    ]
    return (
        newest.with_columns(
            pl.col("exchange").map_elements(exchange_name, return_dtype=pl.String()),
            pl.Series("market", markets, dtype=pl.String()),
            pl.col("contract_type").str.to_uppercase(),
            native_symbol="exchange_symbol",
            contract_size=pl.Series(_sizes(newest["contract_size"]), dtype=pl.Decimal(38, 18)),
            expiration=_moment("expiry_us").dt.cast_time_unit("ns"),
            quantity_increment="qty_increment",
            listed=_moment("listed_us"),
            valid_from=_moment("valid_from_us"),
        )
        .select(list(INSTRUMENTS))
        .sort("exchange", "market", "native_symbol")
    )


def _sizes(sizes: pl.Series) -> list[Decimal | None]:
    """The decimals that the floats were printed as."""
    return [None if size is None else Decimal(repr(size)).quantize(_SIZE_STEP) for size in sizes]


def _moment(name: str) -> pl.Expr:
    return pl.from_epoch(name, time_unit="us").dt.replace_time_zone("UTC").dt.cast_time_unit("ms")


def coverage_table(holdings: list[Held], names: SqlNames) -> pl.DataFrame:
    """What the lake holds per table and instrument, in `COVERAGE`."""
    found = pl.DataFrame([one.row for one in holdings], schema=COVERAGE_SCHEMA, orient="row")
    markets = [
        names.market(exchange, symbol, last_date)
        for exchange, symbol, last_date in found.select("exchange", "symbol", "last_date").iter_rows()
    ]
    return (
        found.with_columns(
            pl.col("exchange").map_elements(exchange_name, return_dtype=pl.String()),
            pl.Series("market", markets, dtype=pl.String()),
            pl.col("first_date", "last_date").str.to_date(),
            native_symbol="symbol",
            row_count="rows",
            missing_seconds=pl.col("missing_us") / clock.SECOND_US,
        )
        .select(list(COVERAGE))
        .sort("kind", "exchange", "market", "native_symbol")
    )


def hole_minutes(holdings: list[Held], names: SqlNames) -> pl.DataFrame:
    """The minutes at both edges of a hole in a market's trade ids, in `HOLE_MINUTES`: trades are there, and not all of them."""
    rows: set[tuple[str, str, int]] = set()
    for one in holdings:
        exchange, symbol = one.row["exchange"], one.row["symbol"]
        for us in (us for from_us, until_us in one.covered.id_holes for us in (from_us, until_us - 1)):
            own = (exchange_name(exchange), names.market(exchange, symbol, clock.date_text(us)))
            rows.add((*own, us - us % clock.MINUTE_US))
    return pl.DataFrame(sorted(rows), schema=HOLE_MINUTES, orient="row")


def candle_sources(lake: Lake) -> list[tuple[str, int]]:
    """The tables that candles can be made from with the length of their candles, the finest first, trades last."""
    found = [(kind, seconds) for kind in lake.kinds() if (seconds := seconds_of(kind)) is not None and not lake.listing(kind).is_empty()]
    found.sort(key=lambda source: source[1])
    if not lake.listing("trades").is_empty():
        found.append(("trades", 0))
    return found


def day_sources(lake: Lake, names: SqlNames) -> tuple[list[CandleSource], pl.DataFrame, pl.DataFrame]:
    """Which tables candles are made from, and which of them serves a day of a market that several hold.

    Returns:
        The sources, the finest first; the days on which a table has candles, of markets that several tables hold, where the lowest rank
        serves the day (`CANDLE_DAYS`); and the files of trades all of whose days have candles (`COVERED_TRADES`).
    """
    sources = candle_sources(lake)
    if not sources:
        sources = [("candles_1m", 60)]
    held = pl.concat([lake.listing(kind).select("exchange", "symbol").unique().with_columns(kind=pl.lit(kind)) for kind, _ in sources])
    overlapping = held.filter(pl.len().over("exchange", "symbol") > 1)
    pairs = set(overlapping.select("exchange", "symbol").iter_rows())
    counted = [_candle_days(lake, names, kind, seconds, pairs) for kind, seconds in sources if kind != "trades"]
    days = pl.concat([pl.DataFrame(schema={**CANDLE_DAYS, "candles": pl.Int64}).drop("rank"), *counted])
    whole = pl.col("candles") * pl.col("seconds") >= _DAY_S
    ranked = (
        days.group_by("exchange", "market", "seconds", "day")
        .agg(pl.col("candles").sum())
        .with_columns(rank=pl.col("seconds") + pl.when(whole).then(0).otherwise(_DAY_S + 1))
        .select(list(CANDLE_DAYS))
        .sort(list(CANDLE_DAYS))
    )
    kinds = set(overlapping["kind"])
    found = [CandleSource(kind, seconds, overlapping=kind in kinds) for kind, seconds in sources]
    return found, ranked, _covered_trades(lake, names, ranked, pairs)


def _candle_days(lake: Lake, names: SqlNames, kind: str, seconds: int, pairs: set[tuple[str, str]]) -> pl.DataFrame:
    """How many candles of these instruments start on each day (since 1970) at a multiple of their length."""
    rows: list[tuple[str, str, int, int, int]] = []
    start_us = pl.col("start_us")
    for path, exchange, symbol, date, _ in _files(lake, kind, pairs).iter_rows():
        own = (exchange_name(exchange), names.market(exchange, symbol, date), seconds)
        starts = scan_rows(lake.table_path(kind) / path, ["start_us"]).filter(start_us % (seconds * clock.SECOND_US) == 0)
        counted = starts.group_by(day=start_us // clock.DAY_US).agg(start_us.n_unique())
        rows += [(*own, day, candles) for day, candles in counted.collect().iter_rows()]
    return pl.DataFrame(rows, schema=["exchange", "market", "seconds", "day", "candles"], orient="row").cast(
        {"exchange": pl.String, "market": pl.String, "seconds": pl.Int64, "day": pl.Int64, "candles": pl.Int64}
    )


def _covered_trades(lake: Lake, names: SqlNames, days: pl.DataFrame, pairs: set[tuple[str, str]]) -> pl.DataFrame:
    if days.is_empty():
        return pl.DataFrame(schema=COVERED_TRADES)
    covered: dict[tuple[str, str, int], set[int]] = {}
    for exchange, market, seconds, day, _ in days.iter_rows():
        covered.setdefault((exchange, market, seconds), set()).add(day)
    by_market: dict[tuple[str, str], list[int]] = {}
    for exchange, market, seconds in covered:
        by_market.setdefault((exchange, market), []).append(seconds)
    rows: list[tuple[str, str, str, int]] = []
    for path, exchange_id, symbol, date, count in _files(lake, "trades", pairs).iter_rows():
        exchange, market = exchange_name(exchange_id), names.market(exchange_id, symbol, date)
        totals = PartitionFile(lake.table_path("trades") / path, exchange_id, symbol, clock.to_us(date), count).totals
        own = range(totals["first_event_us"] // clock.DAY_US, totals["last_event_us"] // clock.DAY_US + 1)
        rows += [
            (exchange, market, f"{date}.parquet", seconds)
            for seconds in by_market.get((exchange, market), ())
            if covered[exchange, market, seconds].issuperset(own)
        ]
    return pl.DataFrame(rows, schema=COVERED_TRADES, orient="row").sort(list(COVERED_TRADES))


def _files(lake: Lake, kind: str, pairs: set[tuple[str, str]]) -> pl.DataFrame:
    """The live files of these instruments as `Lake.listing` has them."""
    wanted = pl.DataFrame(sorted(pairs), schema={"exchange": pl.String, "symbol": pl.String}, orient="row")
    return lake.listing(kind).join(wanted, on=["exchange", "symbol"], how="semi").sort("exchange", "symbol", "date")
