"""Deribit's trades as its REST history answers them, in JSON lines: trades, or whole answers of ``get_last_trades_by_instrument``.

``amount`` is in US dollars for inverse contracts and in the base asset for the others. ``trade_seq`` rises by one from trade to trade of a
contract, so it is the trade's number. Trades of a block, away from the book, are flagged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from pointline.sources.base import Identity
from pointline.sources.checks import Check
from pointline.sources.exchange_json import MANY, JsonTrades, field, first_records, told_by_name, trade_batches
from pointline.sources.hints import agreed, stated_period
from pointline.sources.stamps import epoch_us

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pointline.sources.base import Batch, Hints

_REQUIRED = ("trade_seq", "timestamp", "price", "amount", "direction", "instrument_name")
_TRADES = JsonTrades(
    keys=(*_REQUIRED, "block_trade_id"),
    required=_REQUIRED,
    amounts={"price": "price", "qty": "amount"},
    columns={
        "ts_event_us": epoch_us(field("timestamp").cast(pl.Int64, strict=False)),
        "trade_id": field("trade_seq").cast(pl.Int64, strict=False),
        "side": field("direction") == "sell",
        "off_book": pl.when(field("block_trade_id").is_not_null()).then(statement=True),
    },
    checks=(
        Check(pl.col("trade_id") >= 0, "trade_seq", field("trade_seq"), "must be a whole number, not below zero"),
        Check(field("direction").is_in(["buy", "sell"]), "direction", field("direction"), "is neither buy nor sell"),
        Check(field("instrument_name").str.len_bytes() > 0, "instrument_name", field("instrument_name"), "must name the instrument"),
    ),
    time="timestamp",
    wrapped=("result", "trades"),
    instrument="instrument_name",
)


class Deribit:
    """Parser of Deribit's trades."""

    name = "deribit"

    def recognise(self, path: Path, hints: Hints) -> Identity | None:
        """The identity that the first records say.

        Raises:
            SourceError: a flag contradicts them.
        """
        records = first_records(path)
        if not records or not records[0].keys() >= set(_REQUIRED):
            return None
        exchange = str(agreed(path, "--exchange", hints.exchange, self.name))
        names = {str(record.get("instrument_name")) for record in records}
        symbol = hints.symbol or (names.pop() if len(names) == 1 else MANY)
        period = agreed(path, "--period", stated_period(hints), told_by_name(path)[1] or None) or ""
        return Identity(self.name, exchange, "", "trades", symbol, period, kind="trades")

    def read(self, path: Path, identity: Identity, hints: Hints) -> Iterator[Batch]:
        """The file's rows, one batch per block and instrument.

        Raises:
            SourceError: the file cannot be trusted.
        """
        yield from trade_batches(path, _TRADES, identity, hints)
