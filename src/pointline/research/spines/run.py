"""One stretch of counting (a UTC day, or the whole window): bars of the driver, and the sums of any number of venues over them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from pointline.clock import DAY_US, date_text
from pointline.errors import AmountOverflowError
from pointline.kernel_slots import BAR_INTS
from pointline.research.amounts import Ints, amounts_of, read_trades
from pointline.research.spines.closer import Closer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pointline.instruments import Instrument
    from pointline.lake.store import PartitionFile
    from pointline.research.amounts import Amounts, TradeRows
    from pointline.research.spines.config import BarRule


@dataclass(frozen=True)
class Venue:
    """One instrument's trades for one computation.

    Attributes:
        instrument: registry row.
        files: its partitions by their 00:00 UTC stamp.
    """

    instrument: Instrument
    files: Mapping[int, PartitionFile]

    def amounts(self, rule: BarRule, days: Sequence[int]) -> Amounts:
        """The scale in which a stretch of these days is counted; it depends on nothing outside them."""
        price, qty = rule.decimals()
        files = [self.files[day] for day in days if day in self.files]
        return amounts_of(self.instrument, files, price_decimals=price, qty_decimals=qty)


@dataclass
class Sums:
    """A venue's accumulators, one row per bar (see `pointline.kernels.add_rows`)."""

    ints: Ints = field(default_factory=lambda: np.zeros((1024, len(BAR_INTS)), dtype=np.int64))
    row: int = 0

    def add(self, rows: TradeRows, ends: Ints) -> None:
        """Adds rows to the bars whose ends are known; later rows go to the bar that is open behind them."""
        if not len(rows.ts):
            return
        from pointline import kernels

        last = int(np.searchsorted(ends, rows.ts[-1], side="right"))
        starts = np.concatenate(
            [np.zeros(1, dtype=np.int64), np.searchsorted(rows.ts, ends[self.row : last], side="left").astype(np.int64)]
        )
        self._grow(last + 1)
        added = kernels.add_rows(rows.ts, rows.price, rows.qty, rows.side, rows.notional, starts, rows.bounds, self.row, self.ints)
        if added < 0:
            raise AmountOverflowError(
                "the sums of a bar do not fit 62 bits in the instrument's smallest units",
                where=f"{rows.instrument}, {date_text(int(rows.ts[0]))}",
                value=f"prices up to {int(rows.price.max())}, quantities up to {int(rows.qty.max())}",
                hint="use a smaller threshold",
            )
        self.row = last

    def finish(self, count: int) -> Ints:
        """Counts the last open timestamp and cuts the accumulators to `count` bars."""
        from pointline import kernels

        self._grow(count)
        kernels.close_last(self.ints, self.row)
        return self.ints[:count]

    def _grow(self, needed: int) -> None:
        if needed > len(self.ints):
            extra = max(needed, 2 * len(self.ints)) - len(self.ints)
            self.ints = np.concatenate([self.ints, np.zeros((extra, self.ints.shape[1]), dtype=np.int64)])


@dataclass(frozen=True)
class Run:
    """The bars of one stretch.

    Attributes:
        start_us, end_us: the stretch; its windows tile it.
        ends: ``bucket_end`` per bar, the last equals `end_us`.
        ids: ``bar_id`` per bar.
        tail: True where the last bar was cut by the end of the stretch.
        sums: per venue, the accumulators of its bars (`pointline.kernel_slots.BAR_INTS`).
        amounts: per venue, the scale of its integers.
    """

    start_us: int
    end_us: int
    ends: Ints
    ids: Ints
    tail: bool
    sums: tuple[Ints, ...]
    amounts: tuple[Amounts, ...]


def run_spine(rule: BarRule, driver: Venue, venues: Sequence[Venue], start_us: int, end_us: int, batch_rows: int) -> Run:
    """Counts the driver's bars over ``[start_us, end_us)`` and sums every venue's trades over them.

    Args:
        rule: when a bar closes.
        driver: the instrument that closes bars.
        venues: the instruments that are summed; the driver is read once even where it is among them.
        start_us, end_us: the stretch; at most the days of the venues' files are read.
        batch_rows: rows decoded at a time.
    """
    days = days_of((driver, *venues), start_us, end_us)
    amounts = {id(venue): venue.amounts(rule, days) for venue in (driver, *venues)}
    closer = Closer(rule, amounts[id(driver)], start_us, end_us)
    ends, ids = closer.time_closes()
    sums = [Sums() for _ in venues]
    for day in days:
        for rows in _rows(driver, amounts[id(driver)], day, start_us, end_us, batch_rows):
            ends, ids = _extended(ends, ids, closer.feed(rows))
            for venue, total in zip(venues, sums, strict=True):
                if venue is driver:
                    total.add(rows, ends)
        ends, ids = _extended(ends, ids, closer.flush())
        for venue, total in zip(venues, sums, strict=True):
            if venue is not driver:
                for rows in _rows(venue, amounts[id(venue)], day, start_us, end_us, batch_rows):
                    total.add(rows, ends)
    tail = not len(ends) or int(ends[-1]) < end_us
    if tail:
        open_id = closer.open_bar_id if not len(ids) else max(closer.open_bar_id, int(ids[-1]) + 1)
        ends, ids = _extended(ends, ids, (np.array([end_us], dtype=np.int64), np.array([open_id], dtype=np.int64)))
    finished = tuple(total.finish(len(ends)) for total in sums)
    return Run(start_us, end_us, ends, ids, tail, finished, tuple(amounts[id(venue)] for venue in venues))


def sum_over(rule: BarRule, driver: Venue, spine: Run, venue: Venue, batch_rows: int) -> Ints:
    """A venue's accumulators over a spine that is known already; equal to those of `run_spine`."""
    days = days_of((driver, venue), spine.start_us, spine.end_us)
    amounts = venue.amounts(rule, days)
    total = Sums()
    for day in days:
        for rows in _rows(venue, amounts, day, spine.start_us, spine.end_us, batch_rows):
            total.add(rows, spine.ends)
    return total.finish(len(spine.ends))


def days_of(venues: Sequence[Venue], start_us: int, end_us: int) -> list[int]:
    """The days of ``[start_us, end_us)`` that some venue has."""
    return sorted({day for venue in venues for day in venue.files if day < end_us and day + DAY_US > start_us})


def _rows(venue: Venue, amounts: Amounts, day: int, start_us: int, end_us: int, batch_rows: int) -> Iterator[TradeRows]:
    file = venue.files.get(day)
    if file is None:
        return
    for rows in read_trades(file, amounts, venue.instrument.name, batch_rows=batch_rows):
        yield rows.between(start_us, end_us)


def _extended(ends: Ints, ids: Ints, closed: tuple[Ints, Ints]) -> tuple[Ints, Ints]:
    if not len(closed[0]):
        return ends, ids
    return np.concatenate([ends, closed[0]]), np.concatenate([ids, closed[1]])
