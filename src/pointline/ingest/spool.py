"""Holds one archive file's rows, split by partition: few in memory; many written at once where they are in order, else on disk."""

from __future__ import annotations

import shutil
from collections import defaultdict, deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from pointline import schema
from pointline.clock import DAY_US
from pointline.ingest.ordered import OrderedPartition
from pointline.lake.durable import disk_errors
from pointline.lake.paths import read_slot, slot_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from pathlib import Path

SPILL_ROWS = 12_000_000
ORDERED_ROWS = 1 << 18  # a partition of so many rows is written while it is read
_PENDING = 8  # batches that may wait for the writing thread


class Slot(NamedTuple):
    """One partition of one file: table, instrument and date text."""

    kind: str
    exchange: str
    symbol: str
    date: str

    @property
    def text(self) -> str:
        """The partition in one line, as the manifest has it."""
        return slot_text(*self)

    @classmethod
    def of(cls, text: str) -> Slot:
        """The partition of such a line.

        Raises:
            LakeError: it is none.
        """
        return cls(*read_slot(text))


class Spool:
    """Rows by partition, each in file order.

    Attributes:
        folder: where rows go when they become many; removed by `close`.

    Args:
        folder: as above.
        source_file: id of the archive file.
    """

    def __init__(self, folder: Path, source_file: int) -> None:
        self.folder = folder
        self._source_file = source_file
        self._frames: dict[Slot, list[pl.DataFrame]] = defaultdict(list)
        self._spilled: dict[Slot, list[Path]] = defaultdict(list)
        self._ordered: dict[Slot, OrderedPartition] = {}
        self._writing_thread = ThreadPoolExecutor(1)
        self._pending: deque[Future[None]] = deque()
        self._events: dict[Slot, tuple[int, int]] = {}
        self._rows = 0
        self._day = (-1, "")  # the last date found, by its number
        self.rows_read = 0

    def add(self, kind: str, exchange: str, symbol: str, frame: pl.DataFrame) -> None:
        """Adds parsed rows, split by the UTC date (or month) of ``ts_local_us``."""
        self.rows_read += frame.height
        if frame.is_empty():
            return
        frame = frame.select(list(schema.table(kind).parsed))
        every = "1mo" if schema.table(kind).monthly else "1d"
        date = self._date(frame["ts_local_us"], every)
        if date is not None:
            self._hold(Slot(kind, exchange, symbol, date), frame)
        else:
            for (each,), part in (
                frame.with_columns(_date=_dates(every)).partition_by("_date", as_dict=True, maintain_order=True, include_key=False).items()
            ):
                self._hold(Slot(kind, exchange, symbol, str(each)), part)
        if self._rows > SPILL_ROWS:
            self._spill()

    def _date(self, times: pl.Series, every: str) -> str | None:
        """The one date of all times; None where they have several."""
        low, high = int(times.min()), int(times.max())  # type: ignore[arg-type]
        day = low // DAY_US
        if every == "1d" and day == self._day[0] == high // DAY_US:
            return self._day[1]
        first, last = pl.DataFrame({"ts_local_us": [low, high]}).select(_dates(every)).to_series().to_list()
        if every == "1d" and first == last:
            self._day = (day, first)
        return str(first) if first == last else None

    def slots(self) -> list[Slot]:
        """All partitions that have rows, sorted."""
        return sorted({*self._frames, *self._spilled, *self._ordered})

    def ordered(self, slot: Slot) -> OrderedPartition | None:
        """The partition whose rows were all written in order, sealed; None where only `take` has them all."""
        ordered = self._ordered.get(slot)
        if ordered is None:
            return None
        self._hand_over(slot)
        self._run(ordered.seal)
        self._settle()
        return None if ordered.broken else ordered

    def take(self, slot: Slot) -> pl.DataFrame:
        """The rows of a partition in file order; they are forgotten here."""
        self._settle()
        parts: list[pl.DataFrame] = []
        if (ordered := self._ordered.pop(slot, None)) is not None:
            parts = ordered.rows_again()
            ordered.close()
        parts += [pl.read_ipc(path) for path in self._spilled.pop(slot, [])]
        return pl.concat([*parts, *self._frames.pop(slot, [])])

    def close(self) -> None:
        """Forgets everything, on disk too."""
        self._writing_thread.shutdown(wait=True, cancel_futures=True)
        self._frames.clear()
        for ordered in self._ordered.values():
            ordered.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def events(self, slot: Slot) -> tuple[int, int] | None:
        """Smallest and largest ``ts_event_us`` of a partition's rows; None where it has none."""
        return self._events.get(slot)

    def _hold(self, slot: Slot, frame: pl.DataFrame) -> None:
        low, high = int(frame["ts_event_us"].min()), int(frame["ts_event_us"].max())  # type: ignore[arg-type]
        first, last = self._events.get(slot, (low, high))
        self._events[slot] = (min(first, low), max(last, high))
        self._frames[slot].append(frame)
        self._rows += frame.height
        if slot not in self._ordered:
            if slot in self._spilled or sum(held.height for held in self._frames[slot]) < ORDERED_ROWS:
                return
            for other in [other for other in self._ordered if other[:3] == slot[:3]]:
                self._hand_over(other)
                self._run(self._ordered[other].seal)
            path = self.folder / f"{len(self._ordered)}-{slot.date}.parquet"
            self._ordered[slot] = OrderedPartition(path, slot.kind, self._source_file)
        self._hand_over(slot)

    def _hand_over(self, slot: Slot) -> None:
        """Gives the rows held in memory to the partition that is being written, if there is one; none once its order is broken."""
        ordered = self._ordered.get(slot)
        if ordered is not None and not ordered.broken and slot in self._frames:
            rows = pl.concat(self._frames.pop(slot))
            self._rows -= rows.height
            self._run(partial(ordered.push, rows))

    def _run(self, work: Callable[[], None]) -> None:
        """Runs some work on the writing thread, after the work that waits already."""
        self._pending.append(self._writing_thread.submit(work))
        while len(self._pending) > _PENDING:
            self._pending.popleft().result()

    def _settle(self) -> None:
        while self._pending:
            self._pending.popleft().result()

    def _spill(self) -> None:
        for slot in self._ordered:
            self._hand_over(slot)
        with disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            for number, (slot, frames) in enumerate(self._frames.items()):
                path = self.folder / f"{len(self._spilled[slot])}-{number}-{slot.date}.arrow"
                pl.concat(frames).write_ipc(path)
                self._spilled[slot].append(path)
        self._frames.clear()
        self._rows = 0


def _dates(every: str) -> pl.Expr:
    return pl.from_epoch(pl.col("ts_local_us"), time_unit="us").dt.truncate(every).dt.strftime("%Y-%m-%d")
