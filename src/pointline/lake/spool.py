"""Holds one archive file's rows, split by partition, in memory while they are few and on disk when they are many."""

from __future__ import annotations

import shutil
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from pointline import schema
from pointline.lake.durable import disk_errors

if TYPE_CHECKING:
    from pathlib import Path

SPILL_ROWS = 12_000_000


class Slot(NamedTuple):
    """One partition of one file: table, instrument and date text."""

    kind: str
    exchange: str
    symbol: str
    date: str


class Spool:
    """Rows by partition, each in file order.

    Args:
        folder: where rows go when they become many; removed by `close`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._frames: dict[Slot, list[pl.DataFrame]] = defaultdict(list)
        self._spilled: dict[Slot, list[Path]] = defaultdict(list)
        self._rows = 0
        self.rows_read = 0

    def add(self, kind: str, exchange: str, symbol: str, frame: pl.DataFrame) -> None:
        """Adds parsed rows, split by the UTC date (or month) of ``ts_local_us``."""
        self.rows_read += frame.height
        if frame.is_empty():
            return
        every = "1mo" if schema.table(kind).monthly else "1d"
        low, high = _date_bounds(frame, every)
        if low == high:
            self._frames[Slot(kind, exchange, symbol, low)].append(frame)
        else:
            for (date,), part in (
                frame.with_columns(_date=_dates(every)).partition_by("_date", as_dict=True, maintain_order=True, include_key=False).items()
            ):
                self._frames[Slot(kind, exchange, symbol, str(date))].append(part)
        self._rows += frame.height
        if self._rows > SPILL_ROWS:
            self._spill()

    def slots(self) -> list[Slot]:
        """All partitions that have rows, sorted."""
        return sorted({*self._frames, *self._spilled})

    def take(self, slot: Slot) -> pl.DataFrame:
        """The rows of a partition in file order; they are forgotten here."""
        parts = [pl.read_ipc(path) for path in self._spilled.pop(slot, [])]
        return pl.concat([*parts, *self._frames.pop(slot, [])])

    def forget(self, kind: str, exchange: str, symbol: str) -> None:
        """Drops an instrument's rows; they still count as read."""
        for held in (self._frames, self._spilled):
            for slot in [slot for slot in held if slot[:3] == (kind, exchange, symbol)]:
                held.pop(slot)

    def close(self) -> None:
        """Forgets everything, on disk too."""
        self._frames.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _spill(self) -> None:
        with disk_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            for number, (slot, frames) in enumerate(self._frames.items()):
                path = self._folder / f"{len(self._spilled[slot])}-{number}-{slot.date}.arrow"
                pl.concat(frames).write_ipc(path)
                self._spilled[slot].append(path)
        self._frames.clear()
        self._rows = 0


def _dates(every: str) -> pl.Expr:
    return pl.from_epoch(pl.col("ts_local_us"), time_unit="us").dt.truncate(every).dt.strftime("%Y-%m-%d")


def _date_bounds(frame: pl.DataFrame, every: str) -> tuple[str, str]:
    bounds = pl.DataFrame({"ts_local_us": [frame["ts_local_us"].min(), frame["ts_local_us"].max()]})
    low, high = bounds.select(_dates(every)).to_series().to_list()
    return low, high
