"""Coinbase's trades as its REST interface answers them, in JSON lines: ``coinbase-BTC-USD-trades-2024-05-01.jsonl.gz``.

``side`` is the side of the maker, so "buy" is a trade whose taker sold. A record does not name its product: the file's name or
``--symbol`` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from pointline.errors import SourceError
from pointline.sources.base import Identity
from pointline.sources.checks import Check
from pointline.sources.exchange_json import JsonTrades, field, first_records, told_by_name, trade_batches
from pointline.sources.hints import agreed, is_named, stated_period

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pointline.sources.base import Batch, Hints

_KEYS = ("time", "trade_id", "price", "size", "side")
_TRADES = JsonTrades(
    keys=_KEYS,
    required=_KEYS,
    amounts={"price": "price", "qty": "size"},
    columns={
        "ts_event_us": field("time").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", strict=False).dt.epoch("us"),
        "trade_id": field("trade_id").cast(pl.Int64, strict=False),
        "side": field("side") == "buy",  # of the maker: true where the seller was the taker
    },
    checks=(
        Check(pl.col("trade_id") >= 0, "trade_id", field("trade_id"), "must be a whole number, not below zero"),
        Check(field("side").is_in(["buy", "sell"]), "side", field("side"), "is neither buy nor sell"),
    ),
    time="time",
)


class Coinbase:
    """Parser of Coinbase's trades."""

    name = "coinbase"

    def recognise(self, path: Path, hints: Hints) -> Identity | None:
        """The identity that the first records and the name say, where the path names Coinbase or ``--exchange`` does.

        Raises:
            SourceError: a flag contradicts the name, or nothing says the symbol.
        """
        if not is_named(path, self.name, hints):
            return None
        records = first_records(path)
        if not records or not records[0].keys() >= set(_KEYS) or "instrument_name" in records[0]:
            return None
        named, period = told_by_name(path)
        exchange = str(agreed(path, "--exchange", hints.exchange, self.name))
        symbol = agreed(path, "--symbol", hints.symbol, named)
        if symbol is None:
            raise SourceError(
                "neither the file's name nor its records say the product",
                where=str(path),
                expected="a name such as coinbase-BTC-USD-trades-2024-05-01.jsonl.gz",
                hint="give --symbol",
            )
        period = agreed(path, "--period", stated_period(hints), period or None) or ""
        return Identity(self.name, exchange, "", "trades", symbol, period, kind="trades")

    def read(self, path: Path, identity: Identity, hints: Hints) -> Iterator[Batch]:
        """The file's rows, one batch per block.

        Raises:
            SourceError: the file cannot be trusted.
        """
        yield from trade_batches(path, _TRADES, identity, hints)
