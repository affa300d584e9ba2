"""The events of Binance's websocket streams that a recording is read for: their fields, and the rules that their rows keep."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from pointline.sources.checks import Check, problem_of
from pointline.sources.stamps import epoch_us

_ON_BOOK = "MARKET"  # field X of a trade that the book made


def _number(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Float64, strict=False)


def _whole(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Int64, strict=False)


def _epoch_us(name: str) -> pl.Expr:
    return epoch_us(_whole(name))


def _exact(column: str, key: str) -> Check:
    problem = pl.col(problem_of(column))
    return Check(problem.is_null(), column, pl.col(key), pl.format("field {} {}", pl.lit(key), problem))


def _above_zero(column: str, key: str) -> Check:
    return Check(pl.col(column).is_finite() & (pl.col(column) > 0), column, pl.col(key), f"field {key} must be a number above zero")


def _absent_or(ok: pl.Expr, column: str, key: str, noun: str) -> Check:
    absent = pl.col(key).is_null() | (pl.col(key) == "")
    return Check(absent | ok.fill_null(value=False), column, pl.col(key), f"field {key} must be {noun}")


def _present(column: str, key: str, noun: str) -> Check:
    return Check(pl.col(column).is_not_null(), column, pl.col(key), f"field {key} must be {noun}")


def _identifier(column: str, key: str) -> Check:
    return Check(pl.col(column) >= 0, column, pl.col(key), f"field {key} must be a whole number, not below zero")


_TIME_NOUN = "a time in milliseconds or microseconds"


@dataclass(frozen=True)
class Event:
    """How one event's JSON maps to a table.

    Attributes:
        kind: the table.
        keys: JSON fields that are read, beside the event ``e`` and the symbol ``s``; each of one letter.
        amounts: parsed column -> field of text whose digits are taken as they stand, see `pointline.sources.exact`.
        columns: parsed column -> expression over the fields (all of them text); ``ts_event_us`` may be null.
        checks: rules over fields, columns and `problem_of` amounts.
        spot: true where fields show that it is a spot message.
        known_us: when the exchange sent the message at the earliest, null where it does not say.
    """

    kind: str
    keys: tuple[str, ...]
    amounts: dict[str, str]
    columns: dict[str, pl.Expr]
    checks: tuple[Check, ...]
    spot: pl.Expr
    known_us: pl.Expr


def _trade(identifier: str, first: str | None = None, last: str | None = None) -> Event:
    aggregated: tuple[Check, ...] = ()
    if first is not None and last is not None:
        within = pl.col("last_trade_id") >= pl.col("first_trade_id")
        ends = Check(within, "last_trade_id", pl.col(last), f"field {last} must be a whole number, not below {first}")
        aggregated = (_identifier("first_trade_id", first), ends)
    return Event(
        kind="trades",
        keys=(identifier, "p", "q", "T", "m", "M", "X", *(key for key in (first, last) if key is not None)),
        amounts={"price": "p", "qty": "q"},
        columns={
            "ts_event_us": _epoch_us("T"),
            "trade_id": _whole(identifier),
            "first_trade_id": pl.lit(None, dtype=pl.Int64) if first is None else _whole(first),
            "last_trade_id": pl.lit(None, dtype=pl.Int64) if last is None else _whole(last),
            "side": pl.when(pl.col("m") == "true").then(statement=True).when(pl.col("m") == "false").then(statement=False),
            "off_book": pl.when(pl.col("X").str.len_bytes() > 0).then(pl.col("X") != _ON_BOOK),
        },
        checks=(
            _identifier("trade_id", identifier),
            *aggregated,
            Check(
                (pl.col("X").fill_null(_ON_BOOK) == _ON_BOOK) | (pl.col("price") > 0),
                "X",
                pl.col("X"),
                pl.format("off-book print without a price: X is {}", pl.col("X")),
                fatal=False,
            ),
            _exact("price", "p"),
            _exact("qty", "q"),
            _above_zero("price", "p"),
            _above_zero("qty", "q"),
            _present("side", "m", "true or false"),
            _present("ts_event_us", "T", _TIME_NOUN),
        ),
        spot=pl.col("M").is_not_null(),
        known_us=_epoch_us("T"),
    )


def _quote_side(side: str, price: str, qty: str) -> tuple[Check, ...]:
    checks = [_exact(f"{side}_price", price), _exact(f"{side}_qty", qty)]
    checks += [
        Check(pl.col(name).is_finite() & (pl.col(name) >= 0), name, pl.col(key), f"field {key} must be a number, not below zero")
        for name, key in ((f"{side}_price", price), (f"{side}_qty", qty))
    ]
    one_sided = f"one-sided quote: there is no {side}"
    return (*checks, Check(pl.col(f"{side}_price") > 0, f"{side}_price", pl.col(price), one_sided, fatal=False))


EVENTS = {
    "trade": _trade("t"),
    "aggTrade": _trade("a", "f", "l"),
    "bookTicker": Event(
        kind="quotes",
        keys=("u", "b", "B", "a", "A", "T", "E"),
        amounts={"bid_price": "b", "bid_qty": "B", "ask_price": "a", "ask_qty": "A"},
        columns={
            "ts_event_us": pl.coalesce(_epoch_us("T"), _epoch_us("E")),
            "update_id": _whole("u"),
        },
        checks=(
            _identifier("update_id", "u"),
            *_quote_side("bid", "b", "B"),
            *_quote_side("ask", "a", "A"),
            _absent_or(_epoch_us("T").is_not_null(), "ts_event_us", "T", _TIME_NOUN),
            _absent_or(_epoch_us("E").is_not_null(), "ts_event_us", "E", _TIME_NOUN),
            Check(pl.col("bid_price") <= pl.col("ask_price"), "bid_price", pl.col("b"), "the bid is above the ask", fatal=False),
        ),
        spot=pl.col("T").is_null() & pl.col("E").is_null(),
        known_us=pl.max_horizontal(_epoch_us("T"), _epoch_us("E")),
    ),
    "markPriceUpdate": Event(
        kind="derivative_ticker",
        keys=("p", "i", "r", "T", "E"),
        amounts={},
        columns={
            "ts_event_us": _epoch_us("E"),
            "mark_price": _number("p"),
            "index_price": _number("i"),
            "funding_rate": _number("r"),
            "next_funding_us": _epoch_us("T"),
        },
        checks=(
            _above_zero("mark_price", "p"),
            _absent_or(pl.col("index_price").is_finite() & (pl.col("index_price") > 0), "index_price", "i", "a number above zero"),
            _absent_or(pl.col("funding_rate").is_between(-1, 1), "funding_rate", "r", "a number from -1 to 1"),
            _absent_or(pl.col("next_funding_us").is_not_null() | (pl.col("T") == "0"), "next_funding_us", "T", f"0 or {_TIME_NOUN}"),
            _present("ts_event_us", "E", _TIME_NOUN),
        ),
        spot=pl.lit(value=False),
        known_us=_epoch_us("E"),
    ),
}
