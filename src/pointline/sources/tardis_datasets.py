"""What the CSVs of each Tardis data type hold, what no row of them may be, and how they become parsed columns.

Nobody here has seen these bytes: the layouts are those of the vendor's documentation and of the source of its mappers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from pointline.clock import to_us
from pointline.sources.checks import Check
from pointline.sources.csv_blocks import CsvLayout
from pointline.sources.stamps import epoch_us

if TYPE_CHECKING:
    from collections.abc import Callable

COMMON = ("exchange", "symbol", "timestamp", "local_timestamp")
NOT_READ = {
    "incremental_book_L2": "changes of the book",
    "options_chain": "options",
}
"""Data types of the vendor that the lake has no table for, and what they are."""

_CONSECUTIVE = frozenset({"binance-spot", "binance-futures", "binance-delivery", "coinbase"})
"""Exchanges that number the trades of an instrument one after the other; the numbers of others have gaps where nothing is missing."""

_ABSOLUTE_RATES = ("cryptofacilities", to_us("2022-09-28"))
"""An exchange whose funding rate was an amount of dollars, and until when."""

_INT, _FLOAT, _TEXT = pl.Int64(), pl.Float64(), pl.String()
_KEYS: dict[str, pl.DataType] = {"exchange": _TEXT, "symbol": _TEXT, "timestamp": _INT, "local_timestamp": _INT}


@dataclass(frozen=True)
class TardisType:
    """How one data type's CSV maps to parsed columns.

    Attributes:
        columns: all columns of the file, in order.
        kind: table of `pointline.schema`.
        types: the columns that are read beside `COMMON`.
        optional: those that may be empty.
        positive, exact: as in `CsvLayout`.
        checks: what else a row has to keep, given the vendor's id of the exchange.
        convert: the parsed columns but the clocks, given pointline's id of the exchange.
    """

    columns: tuple[str, ...]
    kind: str
    types: dict[str, pl.DataType]
    checks: Callable[[str], tuple[Check, ...]]
    convert: Callable[[str], dict[str, pl.Expr]]
    optional: tuple[str, ...] = ()
    positive: tuple[str, ...] = ()
    exact: tuple[str, ...] = ()

    def layout(self, exchange: str, checks: tuple[Check, ...]) -> CsvLayout:
        """What the file must look like.

        Args:
            exchange: the vendor's id.
            checks: what every row of this file has to keep.
        """
        every = (*checks, *self.checks(exchange))
        return CsvLayout(
            layouts=(self.columns,),
            types=_KEYS | self.types,
            time="timestamp",
            positive=self.positive,
            optional=self.optional,
            exact=self.exact,
            checks=lambda _: every,
        )


def _trade_checks(_: str) -> tuple[Check, ...]:
    return (Check.never("side", "is neither buy, sell nor unknown", ~pl.col("side").is_in(["buy", "sell", "unknown"])),)


def _convert_trades(exchange: str) -> dict[str, pl.Expr]:
    numbered = pl.col("id").str.contains(r"^(?:0|[1-9]\d{0,17})$") & (exchange in _CONSECUTIVE)
    return {
        "trade_id": pl.when(numbered).then(pl.col("id")).cast(_INT),
        "text_id": pl.when(~numbered).then(pl.col("id")),
        "price": pl.col("price"),
        "qty": pl.col("amount"),
        "side": pl.when(pl.col("side") != "unknown").then(pl.col("side") == "sell"),
    }


def _convert_liquidations(_: str) -> dict[str, pl.Expr]:
    side = pl.when(pl.col("side") != "unknown").then(pl.col("side") == "sell")
    return {"liquidation_id": pl.col("id"), "price": pl.col("price"), "qty": pl.col("amount"), "side": side}


def _prints(kind: str, convert: Callable[[str], dict[str, pl.Expr]]) -> TardisType:
    """The layout that trades and liquidations have in common."""
    return TardisType(
        columns=(*COMMON, "id", "side", "price", "amount"),
        kind=kind,
        types={"id": _TEXT, "side": _TEXT, "price": _FLOAT, "amount": _FLOAT},
        checks=_trade_checks,
        convert=convert,
        optional=("id",),
        positive=("price", "amount"),
        exact=("price", "amount"),
    )


def _quotes(columns: tuple[str, ...], ask: tuple[str, str], bid: tuple[str, str]) -> TardisType:
    """Best prices and amounts of a CSV; `ask` and `bid` name the columns of price and amount."""
    prices, amounts = (ask[0], bid[0]), (ask[1], bid[1])
    one_sided = "is empty: a quote of one side"

    def checks(_: str) -> tuple[Check, ...]:
        return (
            *(Check(pl.col(name).is_not_null(), name, None, one_sided, fatal=False) for name in (*prices, *amounts)),
            *(Check.never(name, "must not be below zero", pl.col(name) < 0) for name in amounts),
            Check(pl.col(bid[0]) <= pl.col(ask[0]), bid[0], None, "the bid is above the ask", fatal=False),
        )

    def convert(_: str) -> dict[str, pl.Expr]:
        return {"bid_price": pl.col(bid[0]), "bid_qty": pl.col(bid[1]), "ask_price": pl.col(ask[0]), "ask_qty": pl.col(ask[1])}

    every = (*prices, *amounts)
    return TardisType(columns, "quotes", dict.fromkeys(every, _FLOAT), checks, convert, optional=every, positive=prices, exact=every)


def _snapshot(levels: int) -> TardisType:
    columns = tuple(f"{side}[{level}].{what}" for level in range(levels) for side in ("asks", "bids") for what in ("price", "amount"))
    return _quotes((*COMMON, *columns), ("asks[0].price", "asks[0].amount"), ("bids[0].price", "bids[0].amount"))


_RATES = ("funding_rate", "predicted_funding_rate")
_PRICES = ("last_price", "index_price", "mark_price")
_TICKER = ("funding_timestamp", *_RATES, "open_interest", *_PRICES)


def _ticker_checks(exchange: str) -> tuple[Check, ...]:
    due = pl.col("funding_timestamp")
    checks = [
        Check.never("funding_timestamp", "is no time between 2009 and 2050", due.is_not_null() & epoch_us(due).is_null()),
        Check.never("open_interest", "must not be below zero", pl.col("open_interest") < 0),
    ]
    if exchange == _ABSOLUTE_RATES[0]:
        absolute = pl.col("funding_rate").is_not_null() & (pl.col("ts_event_us") < _ABSOLUTE_RATES[1])
        reason = "is an amount of dollars before 2022-09-28, not a fraction"
        checks.append(Check(~absolute, "funding_rate", None, reason, fatal=False))
    checks += [Check.never(name, "is more than the whole position (a rate is a fraction)", pl.col(name).abs() > 1) for name in _RATES]
    return tuple(checks)


def _convert_ticker(_: str) -> dict[str, pl.Expr]:
    kept = (*_PRICES, *_RATES, "open_interest")
    return {"next_funding_us": epoch_us(pl.col("funding_timestamp")), **{name: pl.col(name) for name in kept}}


_QUOTES = _quotes((*COMMON, "ask_amount", "ask_price", "bid_price", "bid_amount"), ("ask_price", "ask_amount"), ("bid_price", "bid_amount"))

TYPES: dict[str, TardisType] = {
    "trades": _prints("trades", _convert_trades),
    "liquidations": _prints("liquidations", _convert_liquidations),
    "quotes": _QUOTES,
    "book_ticker": _QUOTES,
    "book_snapshot_5": _snapshot(5),
    "book_snapshot_25": _snapshot(25),
    "derivative_ticker": TardisType(
        columns=(*COMMON, *_TICKER),
        kind="derivative_ticker",
        types={"funding_timestamp": _INT, **dict.fromkeys(_TICKER[1:], _FLOAT)},
        checks=_ticker_checks,
        convert=_convert_ticker,
        optional=_TICKER,
        positive=_PRICES,
    ),
}
"""The data types that are read."""
