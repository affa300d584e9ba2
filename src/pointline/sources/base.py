"""What every archive parser delivers, so that ingest needs to know none of them.

A source parses, nothing else: it turns one file into batches of rows in the `parsed` columns of `pointline.schema`, in file order,
and says for each row that it could not accept the line, the value and the reason. A list of instruments, such as an exchange publishes,
is a file like any other: its batches are of kind `INSTRUMENTS`. A source stores nothing and looks at no other file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import polars as pl

from pointline import schema
from pointline.clock import DAY_US, next_month, to_us

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REJECT_SCHEMA = {
    "line": pl.Int64(),  # 1-based line of the file (header counted)
    "column": pl.String(),
    "value": pl.String(),
    "reason": pl.String(),
    "raw": pl.String(),  # the line as it stood
    "fatal": pl.Boolean(),  # True: malformed (letters in a price, negative qty); False: set aside by rule (a one-sided quote)
}

INSTRUMENTS = "instruments"
"""The table of lists of instruments, kind of their batches; its columns are those of `pointline.instruments.OBSERVATION_SCHEMA`."""


@dataclass(frozen=True)
class Identity:
    """Which archive file this is; with the content's sha256 it is the key of an ingest.

    Attributes:
        source: name of the parser, e.g. ``"binance_vision"``.
        exchange: pointline's exchange id, e.g. ``"binance-futures"``.
        market: the archive's own market name, e.g. ``"futures/um"``; empty where it has none.
        dataset: the archive's own dataset name, e.g. ``"trades"`` or ``"klines-1m"``.
        symbol: the exchange's own symbol, e.g. ``"BTCUSDT"``; ``"*"`` for a file of many instruments.
        period: ``"2024-05-01"`` or ``"2024-05"`` where the archive's own naming declares it, else empty: such a file is known by its
            content alone, never by what it is called.
        kind: table of all its rows where the dataset decides it, else empty; no part of the key.
        day_start_us: when the archive's days begin, from 00:00 UTC: -8 hours for days of UTC+8; no part of the key.
    """

    source: str
    exchange: str
    market: str
    dataset: str
    symbol: str
    period: str
    kind: str = ""
    day_start_us: int = 0

    def key(self, sha256: str) -> str:
        """What a later version of the file replaces: its declared period, else its own content and nothing else.

        Args:
            sha256: of the file.

        Returns:
            One string, e.g. ``binance_vision|binance-futures|futures/um|trades|BTCUSDT|2024-05-01``.
        """
        last = self.period or f"sha256:{sha256}"
        return f"{self.source}|{self.exchange}|{self.market}|{self.dataset}|{self.symbol}|{last}"

    @property
    def declared_us(self) -> tuple[int, int] | None:
        """The declared period ``[start, end)`` on the exchange's clock; None where nothing is declared."""
        if not self.period:
            return None
        if len(self.period) == len("2024-05-01"):
            start_us = to_us(self.period)
            end_us = start_us + DAY_US
        else:
            start_us = to_us(f"{self.period}-01")
            end_us = next_month(start_us)
        return start_us + self.day_start_us, end_us + self.day_start_us


@dataclass(frozen=True)
class Hints:
    """What the user said on the command line; None = read it from the path."""

    exchange: str | None = None
    dataset: str | None = None
    symbol: str | None = None
    period: str | None = None
    mapping: Path | None = None  # table source only
    clock: str | None = None  # "event": ignore the recorder's receipt time
    latency_us: int = 0  # assumed latency, added to ts_event_us where there is no receipt time


@dataclass
class Batch:
    """Rows of one table and instrument, in file order.

    A list of instruments is taken whole or not at all: its batches have no rejects, and rank and clock say nothing.

    Attributes:
        kind: table name of `pointline.schema`, or `INSTRUMENTS`.
        exchange, symbol: the instrument; ``"*"`` is the symbol of a batch of many.
        frame: the `parsed` columns of that table, no nulls where the source has a value for every row.
        rejects: rows that were not accepted, in `REJECT_SCHEMA`.
        clock: ``"recorded"`` (ts_local_us is a receipt time) or ``"assumed"``.
        rank: preference among files that hold the same rows, smaller is better: one of `RANKS`.
        skipped: rows of the file that were read and passed over, because they belong to no table or to an instrument that was not
            asked for, or are the second of two that the archive writes of everything.
        rounded: amounts that were put right to the shortest decimal, because binary arithmetic had left noise in them.
    """

    kind: str
    exchange: str
    symbol: str
    frame: pl.DataFrame
    clock: str = "assumed"
    rank: int = 0
    skipped: int = 0
    rounded: int = 0
    rejects: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=REJECT_SCHEMA))


def parsed_rows(kind: str, frame: pl.DataFrame) -> pl.DataFrame:
    """The `parsed` columns of a table, in its order and types; null where the frame has no such column, which has one at least."""
    return frame.select(
        (pl.col(name) if name in frame.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in schema.table(kind).parsed.items()
    )


RANKS = {"daily": 10, "monthly": 20, "recorded": 30, "table": 40}
"""Of files that hold the same row equally well, the one of the smallest rank serves it: an exchange's own archive of a day, of a month, a
recording, any other table."""


class Source(Protocol):
    """A parser of one archive family, made without arguments; `pointline.sources.families` has an entry for each.

    Attributes:
        name: as ``--source`` takes it and the manifest has it.
    """

    name: str

    def recognise(self, path: Path, hints: Hints) -> Identity | None:
        """The file's identity from its path and the hints, or None where this source does not know the layout.

        Raises:
            SourceError: the layout is this source's but something needed is in neither path nor hints (the error says which flag).
        """

    def read(self, path: Path, identity: Identity, hints: Hints) -> Iterator[Batch]:
        """The file's rows.

        Raises:
            SourceError: the file as a whole cannot be trusted.
        """
