"""What the CSV archives of exchanges have in common: a dataset's layout, and its blocks as batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from pointline import schema
from pointline.errors import SourceError
from pointline.sources.base import RANKS, Batch, parsed_rows
from pointline.sources.checks import Check, refuse_swapped, rejected
from pointline.sources.csv_blocks import read_csv_blocks
from pointline.sources.inflate import open_archive
from pointline.sources.taker_side import TickTest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pointline.sources.base import Hints, Identity
    from pointline.sources.csv_blocks import CsvLayout

MANY = "*"
SUFFIX = r"\.(?:zip|csv|csv\.gz)"
"""Pattern of the endings of an archive's CSV."""

SECONDS = schema.PRICE
"""Type of times in seconds, with or without decimals. Reading rounds to its last decimal, which is therefore far beyond the microsecond."""

_HEAD_BYTES = 4 << 10


@dataclass(frozen=True)
class CsvDataset:
    """How the CSV of one dataset becomes rows of a table.

    Attributes:
        kind: the table.
        layout: columns and checks.
        convert: the layout's read columns, ``ts_event_us`` and ``source_row`` -> those parsed columns that the archive has, but
            ``ts_local_us``.
        instrument: the column that names each row's instrument, where a file may hold many.
        late_us: how long after its stamp a row may have happened, for stamps that are cut to whole seconds.
        side_is_doubtful: whether sources contradict each other on which side a row names, so that prices have to confirm it.
    """

    kind: str
    layout: CsvLayout
    convert: Callable[[pl.DataFrame], pl.DataFrame]
    instrument: str | None = None
    late_us: int = 0
    side_is_doubtful: bool = False


def first_line(path: Path) -> str:
    """The first line of a CSV, packed or not; empty where the file is empty or cannot be read."""
    try:
        with open_archive(path) as archive:
            head = archive.read(_HEAD_BYTES)
    except (SourceError, OSError):
        return ""
    return head.split(b"\n", 1)[0].removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").strip()


def other_instrument(column: str, symbol: str) -> tuple[Check, ...]:
    """Forbids rows of another instrument than the file's."""
    return (Check.never(column, f"is another instrument than the file's, {symbol}", pl.col(column).str.strip_chars('"') != symbol),)


def one_of(column: str, *values: str) -> Check:
    """Forbids other texts than these, whatever their case."""
    return Check.never(column, f"is neither {' nor '.join(values)}", ~pl.col(column).str.to_lowercase().is_in(values))


def dataset_batches(path: Path, dataset: CsvDataset, identity: Identity, hints: Hints) -> Iterator[Batch]:
    """The rows of a file, one batch per block and instrument.

    Args:
        path: the file.
        dataset: what is in it.
        identity: of the file; the symbol ``"*"`` takes the rows of all instruments.
        hints: `Hints.symbol` picks the rows of one instrument out of a file of many.

    Raises:
        SourceError: the file cannot be trusted.
    """
    daily = len(identity.period) == len("2024-05-01")
    rank = RANKS["daily" if daily else "monthly"]
    tick_test = TickTest(path) if dataset.side_is_doubtful else None
    for number, block in enumerate(read_csv_blocks(path, dataset.layout)):
        frame, skipped = block.frame, 0
        if dataset.instrument is not None and hints.symbol is not None:
            frame = frame.filter(pl.col(dataset.instrument) == hints.symbol)
            skipped = block.frame.height - frame.height
        known_us = pl.col("ts_event_us") + (dataset.late_us + hints.latency_us)
        rows = dataset.convert(frame).with_columns(ts_local_us=known_us)
        if dataset.kind == "trades":
            if number == 0 and identity.symbol != MANY:
                refuse_swapped(rows, path)
            if tick_test is not None:
                tick_test.see(rows)
        parts = [(identity.symbol, rows)]
        if identity.symbol == MANY and dataset.instrument is not None:
            names = frame[dataset.instrument]
            keyed = rows.with_columns(names.alias("_instrument")).partition_by("_instrument", maintain_order=True, as_dict=True)
            parts = [(str(key[0]), part) for key, part in keyed.items()] or parts
        for at, (symbol, part) in enumerate(parts):
            rejects = block.rejects if at == 0 else rejected()
            parsed = parsed_rows(dataset.kind, part)
            yield Batch(dataset.kind, identity.exchange, symbol, parsed, rank=rank, skipped=skipped if at == 0 else 0, rejects=rejects)
    if tick_test is not None:
        tick_test.judge()
