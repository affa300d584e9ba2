"""Hyperliquid's trades in JSON lines: those of its interface (times in milliseconds) and of its nodes (times as text).

``side`` is that of the taker: B bought, A sold. Prices and sizes are text; sizes are base asset. The interface numbers a trade by a hash of
its orders (``tid``), which names it and says nothing of missing ones.
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

_REQUIRED = ("coin", "side", "px", "sz", "time")
_TEXT_TIME = field("time").str.strip_suffix("Z").str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False).dt.epoch("us")
_TRADES = JsonTrades(
    keys=(*_REQUIRED, "tid"),
    required=_REQUIRED,
    amounts={"price": "px", "qty": "sz"},
    columns={
        "ts_event_us": pl.coalesce(epoch_us(field("time").cast(pl.Int64, strict=False)), _TEXT_TIME),
        "text_id": field("tid"),
        "side": field("side") == "A",
    },
    checks=(
        Check(field("side").is_in(["A", "B"]), "side", field("side"), "is neither A nor B"),
        Check(field("coin").str.len_bytes() > 0, "coin", field("coin"), "must name the instrument"),
    ),
    time="time",
    wrapped=("data",),
    instrument="coin",
)


class Hyperliquid:
    """Parser of Hyperliquid's trades."""

    name = "hyperliquid"

    def recognise(self, path: Path, hints: Hints) -> Identity | None:
        """The identity that the first records say.

        Raises:
            SourceError: a flag contradicts them.
        """
        records = first_records(path)
        if not records or not records[0].keys() >= set(_REQUIRED) or records[0]["side"] not in {"A", "B"}:
            return None
        exchange = str(agreed(path, "--exchange", hints.exchange, self.name))
        names = {str(record.get("coin")) for record in records}
        symbol = hints.symbol or (names.pop() if len(names) == 1 else MANY)
        period = agreed(path, "--period", stated_period(hints), told_by_name(path)[1] or None) or ""
        return Identity(self.name, exchange, "", "trades", symbol, period, kind="trades")

    def read(self, path: Path, identity: Identity, hints: Hints) -> Iterator[Batch]:
        """The file's rows, one batch per block and instrument.

        Raises:
            SourceError: the file cannot be trusted.
        """
        yield from trade_batches(path, _TRADES, identity, hints)
