"""The lake's tables: columns, units, clocks, sort order and partitions, said once.

Clocks: ``ts_event_us`` is the exchange's own time, ``ts_local_us`` when the row was known to us; both int64 microseconds UTC.
Every market table is partitioned by ``exchange``, ``symbol`` (the exchange's own) and ``date`` (UTC day of ``ts_local_us``; its
first of month where `Table.monthly`). Within a partition rows are sorted by ``ts_local_us``, ties in source order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import polars as pl

FORMAT_VERSION = 2
PARTITION_COLUMNS = ("exchange", "symbol", "date")
RESERVE = "_reserve"
"""Behind a table's name: the table of the rows that do not serve at present, because another file tells the same better."""


CLOCK: dict[str, pl.DataType] = {"ts_local_us": pl.Int64(), "ts_event_us": pl.Int64()}
MAX_DECIMALS = 12  # of an amount
PRICE = pl.Decimal(38, MAX_DECIMALS)


@dataclass(frozen=True)
class Table:
    """One kind of table.

    Attributes:
        name: folder under the lake and value of ``kind`` everywhere.
        columns: stored columns beside the partition columns, in order.
        parsed: columns that a source delivers, before amounts become integers.
        amounts: parsed float column -> (stored integer column, ``"price"`` or ``"qty"`` scale).
        delta: columns that are Parquet DELTA_BINARY_PACKED encoded (sorted or nearly so); the others are dictionary encoded.
        identity: columns that make a row a duplicate of another of the same instrument.
        period: the column whose time says whether a row belongs to its file's declared period.
        monthly: the partition holds a calendar month instead of a day.
        continuous: ``trade_id`` is expected to rise by one from row to row.
    """

    name: str
    columns: dict[str, pl.DataType]
    parsed: dict[str, pl.DataType]
    identity: tuple[str, ...]
    amounts: dict[str, tuple[str, str]] = field(default_factory=dict)
    delta: tuple[str, ...] = ("ts_local_us", "ts_event_us", "source_row")
    monthly: bool = False
    continuous: bool = False
    period: str = "ts_event_us"


_SOURCE_ROW: dict[str, pl.DataType] = {"source_row": pl.Int64()}
_DECIMALS: dict[str, pl.DataType] = {"price_decimals": pl.Int8(), "qty_decimals": pl.Int8()}

_TRADE_IDS: dict[str, pl.DataType] = {
    "trade_id": pl.Int64(),  # the venue's number of the trade, of an aggregated row the number of the aggregate; null where it has none
    "first_trade_id": pl.Int64(),  # aggregated rows only: the first and the last trade that the row adds up
    "last_trade_id": pl.Int64(),
    "text_id": pl.String(),  # the venue's id where it is text (a UUID, say), else null
}
_TRADE_FLAGS: dict[str, pl.DataType] = {
    "side": pl.Boolean(),  # False = the buyer was the taker, True = the seller was, null = not known
    "off_book": pl.Boolean(),  # a print away from the book: by the stream's own flag, else judged at ingest
}
TRADES = Table(
    name="trades",
    parsed={
        **CLOCK,
        **_TRADE_IDS,
        "price": pl.Float64(),
        "qty": pl.Float64(),
        **_TRADE_FLAGS,
        **_SOURCE_ROW,
    },
    columns={
        **CLOCK,
        **_TRADE_IDS,
        "price_int": pl.Int64(),
        "qty_int": pl.Int64(),
        **_TRADE_FLAGS,
        **_SOURCE_ROW,
        **_DECIMALS,
    },
    amounts={"price": ("price_int", "price"), "qty": ("qty_int", "qty")},
    identity=("trade_id",),
    delta=("ts_local_us", "ts_event_us", "trade_id", "first_trade_id", "last_trade_id", "source_row"),
    continuous=True,
)

LIQUIDATIONS = Table(
    name="liquidations",
    parsed={
        **CLOCK,
        "liquidation_id": pl.String(),  # the venue's, null where it has none
        "price": pl.Float64(),
        "qty": pl.Float64(),
        "side": pl.Boolean(),  # of the forced order: False = it bought (a short was closed), True = it sold (a long was), null = not known
        **_SOURCE_ROW,
    },
    columns={
        **CLOCK,
        "liquidation_id": pl.String(),
        "price_int": pl.Int64(),
        "qty_int": pl.Int64(),
        "side": pl.Boolean(),
        **_SOURCE_ROW,
        **_DECIMALS,
    },
    amounts={"price": ("price_int", "price"), "qty": ("qty_int", "qty")},
    identity=("liquidation_id",),
)

_QUOTE_AMOUNTS = ("bid_price", "bid_qty", "ask_price", "ask_qty")
QUOTES = Table(
    name="quotes",
    parsed={**CLOCK, "update_id": pl.Int64(), **dict.fromkeys(_QUOTE_AMOUNTS, pl.Float64()), **_SOURCE_ROW},
    columns={
        **CLOCK,
        "update_id": pl.Int64(),
        **{f"{name}_int": pl.Int64() for name in _QUOTE_AMOUNTS},
        **_SOURCE_ROW,
        **_DECIMALS,
    },
    amounts={name: (f"{name}_int", name.split("_")[1]) for name in _QUOTE_AMOUNTS},
    identity=("update_id",),
    delta=("ts_local_us", "ts_event_us", "update_id", "source_row"),
)

_TICKER: dict[str, pl.DataType] = {
    **CLOCK,
    "mark_price": pl.Float64(),
    "index_price": pl.Float64(),
    "last_price": pl.Float64(),
    "funding_rate": pl.Float64(),  # the running estimate of the next payment, a fraction per funding interval
    "next_funding_us": pl.Int64(),
    "predicted_funding_rate": pl.Float64(),  # the venue's own prediction of the payment after it, where it has one
    "open_interest": pl.Float64(),
    **_SOURCE_ROW,
}
DERIVATIVE_TICKER = Table(
    name="derivative_ticker",
    parsed=_TICKER,
    columns=_TICKER,
    identity=("ts_event_us",),
)

_FUNDING: dict[str, pl.DataType] = {
    **CLOCK,  # ts_event_us: the settlement as the venue stamped it (with its jitter of some ms)
    "funding_us": pl.Int64(),  # the settlement it belongs to: ts_event_us rounded to the minute
    "funding_rate": pl.Float64(),  # the payment, a fraction of the mark notional
    "interval_hours": pl.Float64(),  # null where neither file nor venue rule says
    "mark_price": pl.Float64(),
    **_SOURCE_ROW,
}
FUNDING = Table(
    name="funding",
    parsed=_FUNDING,
    columns=_FUNDING,
    identity=("funding_us",),
    monthly=True,
)

_OPEN_INTEREST: dict[str, pl.DataType] = {
    **CLOCK,
    "open_interest": pl.Float64(),  # as the venue counts: base asset, or contracts
    "open_interest_value": pl.Float64(),  # in the quote asset; of inverse contracts in the coin
    "top_trader_account_ratio": pl.Float64(),
    "top_trader_position_ratio": pl.Float64(),
    "account_ratio": pl.Float64(),
    "taker_volume_ratio": pl.Float64(),
    **_SOURCE_ROW,
}
OPEN_INTEREST = Table(
    name="open_interest",
    parsed=_OPEN_INTEREST,
    columns=_OPEN_INTEREST,
    identity=("ts_event_us",),
    monthly=True,
)

# A candle is known at its end: ts_local_us = ts_event_us = end of the interval, start_us its start.
_CANDLE: dict[str, pl.DataType] = {
    **CLOCK,
    "start_us": pl.Int64(),
    "open": PRICE,
    "high": PRICE,
    "low": PRICE,
    "close": PRICE,
    "volume": PRICE,  # as the venue counts: base asset, or contracts
    "quote_volume": PRICE,  # null for inverse contracts
    "base_volume": PRICE,  # inverse contracts only
    "trade_count": pl.Int64(),
    "taker_buy_volume": PRICE,
    "taker_buy_quote_volume": PRICE,
    **_SOURCE_ROW,
}

MANIFEST_SCHEMA: dict[str, pl.DataType] = {
    "entry": pl.Int64(),  # rises by one
    "key": pl.String(),
    "source": pl.String(),
    "exchange": pl.String(),
    "market": pl.String(),
    "dataset": pl.String(),
    "symbol": pl.String(),
    "period": pl.String(),
    "sha256": pl.String(),
    "file_name": pl.String(),
    "path": pl.String(),  # where the file was
    "file_bytes": pl.Int64(),
    "outcome": pl.String(),  # landed | superseded | quarantined | empty
    "partitions": pl.List(pl.String()),  # kind/exchange/symbol/date
    "rows_read": pl.Int64(),
    "rows_landed": pl.Int64(),
    "rows_flagged": pl.Int64(),
    "duplicates": pl.Int64(),
    "rows_superseded": pl.Int64(),
    "rows_quarantined": pl.Int64(),
    "rows_skipped": pl.Int64(),
    "rounded": pl.Int64(),
    "missing_ids": pl.Int64(),
    "out_of_order": pl.Int64(),
    "clock": pl.String(),  # recorded | assumed
    "options": pl.String(),  # the options that change what lands
    "hints": pl.String(),  # JSON of what was said of the file beside the options: with them it can be read again
    "conflicts": pl.List(pl.String()),  # contradictions with other files, in words
}
"""What the lake notes of each archive file."""

QUARANTINE_SCHEMA: dict[str, pl.DataType] = {
    "entry": pl.Int64(),  # of the manifest
    "key": pl.String(),
    "sha256": pl.String(),
    "exchange": pl.String(),
    "symbol": pl.String(),
    "kind": pl.String(),
    "file_name": pl.String(),
    "line": pl.Int64(),
    "column": pl.String(),
    "value": pl.String(),
    "reason": pl.String(),
    "raw": pl.String(),
    "fatal": pl.Boolean(),
}
"""What the lake notes of each row that it set aside."""


def candles(interval: str, price: str = "trade") -> Table:
    """The candle table of an interval (``"1m"``, ``"1h"``, …) and price (``"trade"``, ``"mark"``, ``"index"`` or ``"premium"``)."""
    prefix = "" if price == "trade" else f"{price}_"
    return Table(
        name=f"{prefix}candles_{interval}",
        parsed=_CANDLE,
        columns=_CANDLE,
        identity=("start_us",),
        delta=("ts_local_us", "ts_event_us", "start_us", "source_row"),
        monthly=True,
        period="start_us",
    )


_FIXED = {t.name: t for t in (TRADES, LIQUIDATIONS, QUOTES, DERIVATIVE_TICKER, FUNDING, OPEN_INTEREST)}


def table(name: str) -> Table:
    """The table of that name; of a reserve, the table that it stands beside.

    Raises:
        KeyError: there is no such kind.
    """
    kind = name.removesuffix(RESERVE)
    if kind in _FIXED:
        return _FIXED[kind]
    prefix, found, interval = kind.rpartition("candles_")
    price = prefix.rstrip("_") or "trade"
    if found and re.fullmatch(r"[1-9]\d*(s|m|h|d|w|mo)", interval) and price in {"trade", "mark", "index", "premium"}:
        return candles(interval, price)
    raise KeyError(name)
