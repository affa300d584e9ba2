"""The text of the views, from what the lake holds.

A view of a table is one SELECT for each market, joined by UNION ALL. Exchange and market are constants in it, so a condition on them leaves
out the other markets' files before any is opened. The files stand in the text one by one: nothing else in the lake's folders is read. They
are one text that is split into a list, which DuckDB plans many times as quickly as a list of 50,000 texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl

from pointline import schema
from pointline.export.columns import ExportedMarket, columns_of, literal, nothing, quantity_type
from pointline.export.ohlcv import ohlcv_macro
from pointline.lake.studies import saved_studies, study_schema
from pointline.sql.links import exchange_name
from pointline.sql.ohlcv import PARAMETER

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pointline.lake.store import Lake
    from pointline.sql.links import SqlNames
    from pointline.sql.ohlcv import CandleSource

API, INTERNAL = "api", "internal"
VIEW_OF = {  # the names that the same rows have in SQL
    schema.TRADES.name: "trade",
    schema.QUOTES.name: "quote",
    schema.FUNDING.name: "funding_rate",
}
CANDLE_VIEWS = {"ohlcv_1m": 1, "ohlcv_1h": 60, "ohlcv_1d": 1_440}
_MINUTE_S = 60
_GLOB = str.maketrans({sign: f"[{sign}]" for sign in "*?["})
_TYPES: dict[type[pl.DataType], str] = {
    pl.Boolean: "BOOLEAN",
    pl.Date: "DATE",
    pl.Datetime: "TIMESTAMP",
    pl.Float64: "DOUBLE",
    pl.Int64: "BIGINT",
    pl.String: "VARCHAR",
}


@dataclass(frozen=True)
class View:
    """A view, or a function that gives a table.

    Attributes:
        name: without the schema.
        statement: what creates it.
        about: one sentence on what it shows.
        files, rows: how many of the lake it names and counts itself; those of the views that it reads are theirs.
    """

    name: str
    statement: str
    about: str
    files: tuple[str, ...] = ()
    rows: int = 0


def table_view(lake: Lake, kind: str, names: SqlNames) -> View:
    """The view of a table: all live rows of all markets."""
    files = _market_files(lake, kind, names)
    name = VIEW_OF.get(kind, kind)
    listed = tuple(path for paths in files.values() for path in paths)
    rows = int(lake.listing(kind)["num_records"].sum())
    return View(name, _create(name, _union(kind, files)), f"All rows of the lake's table {kind}", listed, rows)


def uncovered_trades(lake: Lake, names: SqlNames, covered: pl.DataFrame) -> View:
    """The view ``internal.uncovered_trades``: trades of files with a day that has no candles of a minute or less.

    Args:
        lake, names: as for `table_view`.
        covered: `pointline.sql.tables.COVERED_TRADES`.
    """
    always = set(covered.filter(_MINUTE_S % pl.col("seconds") == 0).select("exchange", "market", "file").iter_rows())
    files = {
        market: kept
        for market, paths in _market_files(lake, schema.TRADES.name, names).items()
        if (kept := [path for path in paths if (market.exchange, market.market, f"{_date_of(path)}.parquet") not in always])
    }
    name = "uncovered_trades"
    listed = tuple(path for paths in files.values() for path in paths)
    return View(name, _create(name, _union(schema.TRADES.name, files), INTERNAL), "Trades that candles are made from", listed)


def _date_of(path: str) -> str:
    return path.rpartition("/date=")[2].partition("/")[0]


def _union(kind: str, files: dict[ExportedMarket, list[str]]) -> str:
    quantity = quantity_type(list(files))
    selects = [_select(columns_of(kind, market, quantity), _files(paths)) for market, paths in files.items()]
    return "\nUNION ALL\n".join(selects or [_select(columns_of(kind, ExportedMarket("", "", ""), quantity), nothing(kind))])


def last_trades_view() -> View:
    """The last of the trades that share a time, without off-book prints."""
    text = f"""SELECT * FROM {API}.trade WHERE NOT off_book
QUALIFY row_number() OVER (
    PARTITION BY exchange, market, timestamp
    ORDER BY known_at DESC NULLS LAST, sequence DESC NULLS LAST, trade_number DESC NULLS LAST
) = 1"""
    return View("trade_last", _create("trade_last", text), "The last trade of each exchange, market and time, without off-book prints")


def ohlcv_views(sources: list[CandleSource]) -> list[View]:
    """The function that makes candles of any length, and views with those of usual ones."""
    macro = f"CREATE MACRO {API}.ohlcv({PARAMETER}) AS TABLE\n{ohlcv_macro(sources)}"
    views = [View("ohlcv", macro, "Candles of any number of minutes, from whatever the lake holds of a day")]
    for name, minutes in CANDLE_VIEWS.items():
        about = f"{API}.ohlcv({minutes}): candles of {minutes:,} minute{'' if minutes == 1 else 's'}"
        views.append(View(name, _create(name, f"SELECT * FROM {API}.ohlcv({minutes})"), about))
    return views


def market_views() -> list[View]:
    """Spot markets and contracts, the newest version of each."""
    increments = "price_increment, quantity_increment, listed, valid_from"
    spot = f"""SELECT
    exchange, market AS market_symbol, base_asset, quote_asset, native_symbol AS exchange_specific_symbol, market, native_symbol,
    {increments},
    base_asset AS underlying_asset, settle_asset AS settling_asset, quote_asset AS denomination_asset
FROM {INTERNAL}.instruments WHERE asset_type = 'spot'"""
    future = f"""SELECT
    exchange, market AS market_symbol, base_asset AS underlying_asset, quote_asset, coalesce(settle_asset, '') AS settling_asset,
    quote_asset AS denomination_asset, expiration, contract_size, coalesce(contract_type, '') AS contract_type,
    CASE WHEN asset_type = 'future' THEN 'EXPIRING' ELSE 'PERPETUAL' END AS future_type,
    native_symbol AS exchange_specific_symbol, market, native_symbol, base_asset, coalesce(settle_asset, '') AS settle_asset,
    CASE WHEN asset_type = 'future' THEN 'EXPIRING' ELSE 'PERPETUAL' END AS expiration_type,
    {increments}
FROM {INTERNAL}.instruments WHERE asset_type <> 'spot'"""
    return [
        View("market_spot", _create("market_spot", spot), "Spot markets, the newest version of each"),
        View("market_future", _create("market_future", future), "Perpetuals and dated futures, the newest version of each"),
    ]


def coverage_view() -> View:
    """What the lake holds of each table and instrument."""
    about = "What the lake holds of each table and instrument, and what is missing"
    return View("coverage", _create("coverage", f"SELECT * FROM {INTERNAL}.coverage"), about)


_STUDY_NAMES = ("perp_exchange", "perp_market", "spot_exchange", "spot_market")
_STUDY_TIMES = {"start": "bucket_start", '"end"': "bucket_end", "known_at": "bucket_end"}


def features_view(lake: Lake) -> View:
    """The features of the saved studies, one under another, columns matched by name."""
    studies = saved_studies(lake)
    times = ", ".join(f"make_timestamp({us}) AS {name}" for name, us in _STUDY_TIMES.items())
    fixed = {*_STUDY_NAMES, "bucket_start", "bucket_end"}
    found = {name: study_schema(path) for name, path in studies.items()}
    columns = dict(pl.concat([pl.DataFrame(schema=one) for one in found.values()], how="diagonal_relaxed").schema) if found else {}
    selects = []
    for name, path in studies.items():
        own = [_quoted(column) if column in found[name] else f"NULL AS {_quoted(column)}" for column in columns if column not in fixed]
        head = [f"{literal(name)} AS study", *_STUDY_NAMES, times, "bucket_start AS start_us", "bucket_end AS end_us"]
        selects.append(f"SELECT {', '.join([*head, *own])}\nFROM {_files([str(path)])}")
    if not studies:
        texts = ", ".join(f"CAST(NULL AS VARCHAR) AS {name}" for name in ("study", *_STUDY_NAMES))
        moments = ", ".join(f"CAST(NULL AS TIMESTAMP) AS {name}" for name in _STUDY_TIMES)
        integers = ", ".join(f"CAST(NULL AS BIGINT) AS {name}" for name in ("start_us", "end_us"))
        selects.append(f"SELECT {texts}, {moments}, {integers} WHERE false")
    text = _create("features", "\nUNION ALL\n".join(selects))
    return View("features", text, "The features of saved studies", tuple(str(path) for path in studies.values()))


def small_table(name: str, columns: Iterable[tuple[str, pl.DataType]]) -> str:
    """The statement that creates a table for a frame whose times are taken as UTC."""
    listed = ", ".join(f"{_quoted(column)} {_type_of(dtype)}" for column, dtype in columns)
    return f"CREATE TABLE {name} ({listed})"


def _type_of(dtype: pl.DataType) -> str:
    return f"DECIMAL({dtype.precision}, {dtype.scale})" if isinstance(dtype, pl.Decimal) else _TYPES[type(dtype)]


def _create(name: str, select: str, schema_name: str = API) -> str:
    return f"CREATE VIEW {schema_name}.{name} AS\n{select}"


def _select(columns: dict[str, str], source: str) -> str:
    return "SELECT " + ", ".join(made if made == name else f"{made} AS {name}" for name, made in columns.items()) + f"\nFROM {source}"


def _files(paths: list[str]) -> str:
    """The rows of exactly these files; signs that would make a path a pattern are put in brackets."""
    listed = literal("\n".join(path.translate(_GLOB) for path in paths))
    return f"read_parquet(string_split({listed}, chr(10)), hive_partitioning = false, filename = true)"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _market_files(lake: Lake, kind: str, names: SqlNames) -> dict[ExportedMarket, list[str]]:
    """The live files of a table by market and contract size, in order."""
    found: dict[ExportedMarket, list[str]] = {}
    folder: Path = lake.table_path(kind)
    types: dict[tuple[str, str], str] = {}
    for path, exchange, symbol, date, _ in lake.listing(kind).iter_rows():
        if (exchange, symbol) not in types:
            types[exchange, symbol] = names.contract_type(exchange, symbol)
        size = Decimal(names.contract_size(exchange, symbol, date))
        contract = (size or None, types[exchange, symbol])
        market = ExportedMarket(exchange_name(exchange), names.market(exchange, symbol, date), symbol, *contract)
        found.setdefault(market, []).append(f"{folder}/{path}")
    return found
