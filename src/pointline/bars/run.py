"""One stretch of counting (a UTC day, or the whole window): bars of the driver, and the sums of any number of venues over them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from pointline import kernels
from pointline.bars.amounts import Ints, amounts_of, read_trades
from pointline.bars.closer import closer_of
from pointline.bars.pages import PAGE_BARS, FiledBars, Pages
from pointline.bars.rare_sums import add_rare_sums
from pointline.clock import DAY_US, date_text
from pointline.errors import AmountOverflowError
from pointline.kernels.slots import BAR_INTS, TOO_LARGE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pointline.bars.amounts import Amounts, TradeRows
    from pointline.bars.rules import BarRule
    from pointline.instruments import Instrument
    from pointline.lake.store import PartitionFile


_MOST_GROWTH = 1 << 20


@dataclass(frozen=True)
class VenueTrades:
    """One instrument's trades for one computation.

    Attributes:
        instrument: registry row.
        files: its partitions by their 00:00 UTC stamp.
        include_off_book: whether the prints that are flagged as off-book count.
    """

    instrument: Instrument
    files: Mapping[int, PartitionFile]
    include_off_book: bool = False

    def amounts(self, rule: BarRule, days: Sequence[int]) -> Amounts:
        """The scale in which a stretch of these days is counted; it depends on nothing outside them."""
        price, qty = rule.decimals()
        files = [self.files[day] for day in days if day in self.files]
        return amounts_of(self.instrument, files, price_decimals=price, qty_decimals=qty)


@dataclass
class ClosedBars:
    """The bars that are closed so far.

    Attributes:
        ends, ids: ``bucket_end`` and ``bar_id``, views of memory that grows.
    """

    ends: Ints
    ids: Ints
    _room: Ints = field(default_factory=lambda: np.empty((2, 1024), dtype=np.int64))

    def extend(self, ends: Ints, ids: Ints) -> None:
        """Appends bars."""
        if not len(ends):
            return
        known, total = len(self.ends), len(self.ends) + len(ends)
        if total > self._room.shape[1] or not np.may_share_memory(self.ends, self._room):
            room = self._room.shape[1]
            self._room = np.empty((2, max(total, room + min(room, _MOST_GROWTH))), dtype=np.int64)
            self._room[:, :known] = self.ends, self.ids
        self._room[:, known:total] = ends, ids
        self.ends, self.ids = self._room[:, :total]


class Sums:
    """A venue's accumulators, one row per bar (see `pointline.kernels.add_rows`), counted a page of bars at a time.

    Attributes:
        row: the bar that is open.
    """

    def __init__(self) -> None:
        self.row = 0
        self._first = 0  # of the page
        self._page = np.zeros((PAGE_BARS, len(BAR_INTS)), dtype=np.int64)
        self._done = Pages()

    def add(self, rows: TradeRows, ends: Ints) -> None:
        """Adds rows to the bars whose ends are known; later rows go to the bar that is open behind them."""
        while len(rows.ts):
            last = self._first + PAGE_BARS - 1
            if last >= len(ends) or rows.ts[-1] < ends[last]:
                self._count(rows, ends)
                return
            here, rows = rows.cut(int(ends[last]))
            self._count(here, ends)
            self._turn(last if not len(here.ts) else self.row)

    def finish(self, count: int) -> Ints | FiledBars:
        """Counts the last open timestamp; the accumulators of `count` bars."""
        kernels.close_last(self._page, self.row - self._first)
        while len(self._done) < count:
            self._done.append(self._page[: count - len(self._done)])
            self._page = np.zeros_like(self._page)
        return self._done.together()

    def _turn(self, row: int) -> None:
        """The page begins at bar `row` now; a bar before it that was open gets no more rows."""
        if row > self.row:
            kernels.close_last(self._page, self.row - self._first)
        finished = row - self._first
        fresh = np.zeros_like(self._page)
        fresh[: PAGE_BARS - finished] = self._page[finished:]
        self._done.append(self._page[:finished])
        self._page, self._first, self.row = fresh, row, row

    def _count(self, rows: TradeRows, ends: Ints) -> None:
        if not len(rows.ts):
            return
        first = self._first
        row = kernels.add_rows(rows.ts, rows.price, rows.qty, rows.side, rows.notional, ends[first:], self.row - first, self._page)
        if row == TOO_LARGE:
            rows.refuse_large()
        if row < 0:
            raise AmountOverflowError(
                "the sums of a bar do not fit 62 bits in the instrument's smallest units",
                where=f"{rows.instrument}, {date_text(int(rows.ts[0]))}",
                value=f"prices up to {int(rows.price.max())}, quantities up to {int(rows.qty.max())}",
                hint="use a smaller threshold",
            )
        add_rare_sums(rows, ends[first:], self._page)
        self.row = first + row


@dataclass(frozen=True)
class Run:
    """The bars of one stretch.

    Attributes:
        start_us, end_us: the stretch; its windows tile it.
        ends: ``bucket_end`` per bar, the last equals `end_us`.
        ids: ``bar_id`` per bar.
        tail: True where the last bar was cut by the end of the stretch.
        sums: per venue, the accumulators of its bars (`pointline.kernels.slots.BAR_INTS`), in a file where they are very many.
        amounts: per venue, the scale of its integers.
    """

    start_us: int
    end_us: int
    ends: Ints
    ids: Ints
    tail: bool
    sums: tuple[Ints | FiledBars, ...]
    amounts: tuple[Amounts, ...]

    def bars(self, first: int, end: int) -> BarSlice:
        """Bars ``[first, end)`` of the run."""
        starts = (
            self.ends[first - 1 : end - 1] if first else np.concatenate([np.array([self.start_us], dtype=np.int64), self.ends[: end - 1]])
        )
        complete = np.ones(end - first, dtype=bool)
        complete[len(complete) - 1 :] = end < len(self.ends) or not self.tail
        return BarSlice(self.ids[first:end], starts, self.ends[first:end], complete, tuple(ints[first:end] for ints in self.sums))


@dataclass(frozen=True)
class BarSlice:
    """Consecutive bars, one row each: ``bar_id``, ``bucket_start``, ``bucket_end``, whether they closed by the rule, sums per venue."""

    ids: Ints
    starts: Ints
    ends: Ints
    complete: np.ndarray[Any, np.dtype[np.bool_]]
    sums: tuple[Ints, ...]


class _Counting:
    """One rule's bars while a stretch is read.

    Args:
        rule: when a bar closes.
        driver: the instrument that closes bars.
        venues: the instruments that are summed.
        amounts: the scales of the driver and of the venues.
        start_us, end_us: the stretch.
    """

    def __init__(
        self, rule: BarRule, driver: VenueTrades, venues: Sequence[VenueTrades], amounts: tuple[Amounts, ...], start_us: int, end_us: int
    ) -> None:
        self._stretch = start_us, end_us
        self._amounts = amounts[1:]
        self._closer = closer_of(rule, amounts[0], start_us, end_us)
        self._closes = ClosedBars(*self._closer.time_closes())
        self._sums = [Sums() for _ in venues]
        self._own = [total for venue, total in zip(venues, self._sums, strict=True) if venue is driver]

    def drive(self, rows: TradeRows) -> None:
        """Rows of the driver."""
        self._closes.extend(*self._closer.feed(rows))
        for total in self._own:
            total.add(rows, self._closes.ends)

    def end_day(self) -> None:
        """The driver has no more rows of this day."""
        self._closes.extend(*self._closer.flush())

    def add(self, place: int, rows: TradeRows) -> None:
        """Rows of another venue, of days that the driver is through with."""
        self._sums[place].add(rows, self._closes.ends)

    def finished(self) -> Run:
        """The bars, after the last row."""
        start_us, end_us = self._stretch
        closes = self._closes
        tail = not len(closes.ends) or int(closes.ends[-1]) < end_us
        if tail:
            open_id = self._closer.open_bar_id if not len(closes.ids) else max(self._closer.open_bar_id, int(closes.ids[-1]) + 1)
            closes.extend(np.array([end_us], dtype=np.int64), np.array([open_id], dtype=np.int64))
        sums = tuple(total.finish(len(closes.ends)) for total in self._sums)
        return Run(start_us, end_us, closes.ends, closes.ids, tail, sums, self._amounts)


def run_spine(rule: BarRule, driver: VenueTrades, venues: Sequence[VenueTrades], start_us: int, end_us: int, batch_rows: int) -> Run:
    """Counts the driver's bars over ``[start_us, end_us)`` and sums every venue's trades over them.

    Args:
        rule: when a bar closes.
        driver: the instrument that closes bars.
        venues: the instruments that are summed; the driver is read once even where it is among them.
        start_us, end_us: the stretch; at most the days of the venues' files are read.
        batch_rows: rows counted at a time.
    """
    return run_spines([rule], driver, venues, start_us, end_us, batch_rows)[0]


def run_spines(
    rules: Sequence[BarRule], driver: VenueTrades, venues: Sequence[VenueTrades], start_us: int, end_us: int, batch_rows: int
) -> list[Run]:
    """As `run_spine` for several rules, in one pass over the trades where they count in the same units."""
    kernels.load_ahead()  # while the first trades are decoded
    days = days_of((driver, *venues), start_us, end_us)
    runs: dict[int, Run] = {}
    together: dict[tuple[Amounts, ...], list[int]] = {}
    for place, rule in enumerate(rules):
        together.setdefault(tuple(venue.amounts(rule, days) for venue in (driver, *venues)), []).append(place)
    for amounts, places in together.items():
        counting = [_Counting(rules[place], driver, venues, amounts, start_us, end_us) for place in places]
        for day in days:
            _read(driver, amounts[0], day, start_us, end_us, batch_rows, partial(_drive, counting))
            for one in counting:
                one.end_day()
            for number, venue in enumerate(venues):
                if venue is not driver:
                    _read(venue, amounts[1 + number], day, start_us, end_us, batch_rows, partial(_add, counting, number))
        runs.update((place, one.finished()) for place, one in zip(places, counting, strict=True))
    return [runs[place] for place in range(len(rules))]


def _drive(counting: Sequence[_Counting], rows: TradeRows) -> None:
    for one in counting:
        one.drive(rows)


def _add(counting: Sequence[_Counting], number: int, rows: TradeRows) -> None:
    for one in counting:
        one.add(number, rows)


def sum_over(rule: BarRule, driver: VenueTrades, spine: Run, venue: VenueTrades, batch_rows: int) -> Ints | FiledBars:
    """A venue's accumulators over a spine that is known already; equal to those of `run_spine`."""
    days = days_of((driver, venue), spine.start_us, spine.end_us)
    amounts = venue.amounts(rule, days)
    total = Sums()
    for day in days:
        _read(venue, amounts, day, spine.start_us, spine.end_us, batch_rows, partial(total.add, ends=spine.ends))
    return total.finish(len(spine.ends))


def days_of(venues: Sequence[VenueTrades], start_us: int, end_us: int) -> list[int]:
    """The days of ``[start_us, end_us)`` that some venue has."""
    return sorted({day for venue in venues for day in venue.files if day < end_us and day + DAY_US > start_us})


def _read(
    venue: VenueTrades, amounts: Amounts, day: int, start_us: int, end_us: int, batch_rows: int, use: Callable[[TradeRows], None]
) -> None:
    """Hands the day's trades inside the stretch to `use`."""
    file = venue.files.get(day)
    if file is not None:
        inside = day >= start_us and day + DAY_US <= end_us
        whole = use if inside else lambda rows: use(rows.between(start_us, end_us))
        read_trades(file, amounts, venue.instrument.name, whole, batch_rows=batch_rows, include_off_book=venue.include_off_book)
