"""Finds where bars close, batch after batch of the driver's trades."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

from pointline import kernels
from pointline.bars.adaptive import SegmentBars
from pointline.clock import time_text
from pointline.errors import AmountOverflowError, ConfigError
from pointline.kernels.slots import CLOSER_STATE

if TYPE_CHECKING:
    from pointline.bars.amounts import Amounts, Ints, TradeRows
    from pointline.bars.rules import BarRule, Unit

_SLOT = {name: i for i, name in enumerate(CLOSER_STATE)}
_FEW_ROWS = 1 << 12


class Closer:
    """The open bar of a spine.

    Args:
        rule: when a bar closes.
        amounts: the scale of the driver's integers.
        start_us: where counting starts; time bars are counted from there.
        end_us: where the last window ends.
    """

    def __init__(self, rule: BarRule, amounts: Amounts, start_us: int, end_us: int) -> None:
        self._rule = rule
        self._threshold = 0 if isinstance(rule, SegmentBars) else threshold_int(rule, amounts)
        self._state = np.zeros(len(CLOSER_STATE), dtype=np.int64)
        self._ends = np.empty(0, dtype=np.int64)
        self._ids = np.empty(0, dtype=np.int64)
        self._start_us = start_us
        self._end_us = end_us

    def feed(self, rows: TradeRows) -> tuple[Ints, Ints]:
        """The ``bucket_end`` and ``bar_id`` of every bar that these rows close."""
        if self._rule.unit == "time" or not len(rows.ts):
            return _nothing()
        return self._count(rows.ts, self._amount(rows), rows.instrument)

    def _count(self, ts: Ints, amount: Ints, instrument: str) -> tuple[Ints, Ints]:
        if len(self._ends) <= len(amount):
            self._ends = np.empty(len(amount) + 1, dtype=np.int64)
            self._ids = np.empty(len(amount) + 1, dtype=np.int64)
        ends, ids = self._ends, self._ids
        if self._rule.signed:
            closed = kernels.close_on_imbalance(ts, amount, self._threshold, self._state, ends, ids)
        else:
            closed = kernels.close_on_total(ts, amount, self._threshold, self._rule.boundary == "carry", self._state, ends, ids)
        if closed < 0:
            raise AmountOverflowError(
                "the amounts that drive this spine do not fit 62 bits", where=instrument, value=f"amounts up to {int(amount.max())}"
            )
        return ends[:closed].copy(), ids[:closed].copy()

    def flush(self) -> tuple[Ints, Ints]:
        """No later row can share the last timestamp: a bar that waits only for its ties closes now."""
        last = int(self._state[_SLOT["last_us"]])
        pending = bool(self._state[_SLOT["pending"]])
        if self._rule.unit == "time" or not pending:
            return _nothing()
        acc, bar = int(self._state[_SLOT["accumulated"]]), int(self._state[_SLOT["bar_id"]])
        if abs(acc) < self._threshold:
            return _nothing()
        skip = acc // self._threshold if self._rule.boundary == "carry" else 1
        self._state[:] = (acc - skip * self._threshold if self._rule.boundary == "carry" else 0, bar + skip, 0, last)
        return np.array([last + 1], dtype=np.int64), np.array([bar], dtype=np.int64)

    def time_closes(self) -> tuple[Ints, Ints]:
        """All closes of a spine whose bars close by the clock."""
        if self._rule.unit != "time":
            return _nothing()
        ends = np.asarray(self._rule.closes(self._start_us, self._end_us), dtype=np.int64)
        return ends, np.arange(len(ends), dtype=np.int64)

    @property
    def open_bar_id(self) -> int:
        """The id of the bar that is open."""
        return int(self._state[_SLOT["bar_id"]])

    def _amount(self, rows: TradeRows) -> Ints:
        if self._rule.unit == "trades":
            amount = np.ones(len(rows.ts), dtype=np.int64)
        else:
            amount = rows.quote() if self._rule.unit == "quote" else rows.base()
        if not self._rule.signed:
            return amount
        if len(rows.unknown):
            raise ConfigError(
                "bars of signed volume need the side of every trade, and of some it is not known",
                where=f"{rows.instrument}, {time_text(int(rows.ts[rows.unknown][0]))} UTC",
                value=type(self._rule).__name__,
                hint="use volume, dollar, trade-count or time bars",
            )
        return np.where(rows.side == 0, amount, -amount)


def _nothing() -> tuple[Ints, Ints]:
    return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)


def threshold_int(rule: BarRule, amounts: Amounts) -> int:
    """The rule's threshold counted in the driver's own integers.

    Raises:
        ConfigError: the threshold is not a whole number of the instrument's smallest unit, or too large.
    """
    return 0 if rule.unit == "time" else _counted(rule.threshold, rule.unit, amounts)


def _counted(threshold: object, of: Unit, amounts: Amounts) -> int:
    if of == "trades":
        return int(str(threshold))
    unit = amounts.quote_unit if of == "quote" else amounts.base_unit
    count = Decimal(str(threshold)) / unit
    if count != count.to_integral_value():
        raise ConfigError(
            "the threshold is finer than this instrument's amounts can be counted",
            value=str(threshold),
            expected=f"a multiple of {unit:f} {of} units",
        )
    if count >= 1 << 62:
        raise ConfigError("the threshold is too large", value=str(threshold))
    return int(count)


class SegmentCloser(Closer):
    """The open bar of a day whose segments have thresholds of their own; a bar has that of the segment in which it begins.

    Args:
        rule: the thresholds.
        amounts: the scale of the driver's integers.
        start_us, end_us: the day.
    """

    def __init__(self, rule: SegmentBars, amounts: Amounts, start_us: int, end_us: int) -> None:
        super().__init__(rule, amounts, start_us, end_us)
        self._thresholds = [_counted(one, rule.unit, amounts) for one in rule.thresholds]
        self._segment_us = (end_us - start_us) // len(self._thresholds)
        self._begin_at(start_us)

    def _begin_at(self, us: int) -> None:
        """The open bar begins at an instant of the day."""
        segment = min((us - self._start_us) // self._segment_us, len(self._thresholds) - 1)
        self._threshold = self._thresholds[segment]
        self._until_us = self._start_us + (segment + 1) * self._segment_us

    def _count(self, ts: Ints, amount: Ints, instrument: str) -> tuple[Ints, Ints]:
        found = []
        while len(ts):
            taken, closed = self._step(ts, amount, instrument)
            ts, amount = ts[taken:], amount[taken:]
            found.append(closed)
        return tuple(np.concatenate(arrays) for arrays in zip(*found, strict=True))  # type: ignore[return-value]

    def _step(self, ts: Ints, amount: Ints, instrument: str) -> tuple[int, tuple[Ints, Ints]]:
        """Counts the next rows that have one threshold; how many these are, and the bars that they close."""
        state = self._state
        if state[_SLOT["pending"]] and ts[0] != state[_SLOT["last_us"]]:
            return 0, self.flush()
        inside = int(np.searchsorted(ts, self._until_us))
        if state[_SLOT["pending"]] or not inside:
            inside = self._rows_of_open_bar(ts, amount, instrument)
        closed = super()._count(ts[:inside], amount[:inside], instrument)
        if len(closed[0]):
            self._begin_at(int(closed[0][-1]))
        return inside, closed

    def _rows_of_open_bar(self, ts: Ints, amount: Ints, instrument: str) -> int:
        """How many of the rows the open bar takes until it closes, at most all."""
        before = self._state.copy()
        for rows in (min(_FEW_ROWS, len(ts)), len(ts)):
            ends, _ = super()._count(ts[:rows], amount[:rows], instrument)
            self._state[:] = before
            if len(ends):
                return int(np.searchsorted(ts, ends[0]))
        return len(ts)

    def flush(self) -> tuple[Ints, Ints]:
        """Closes the bar that waits only for its ties; what exceeds it counts by the threshold of the bar that follows."""
        accumulated, bar, pending, last = (int(self._state[_SLOT[name]]) for name in ("accumulated", "bar_id", "pending", "last_us"))
        if not pending:
            return _nothing()
        excess, closed = accumulated - self._threshold, bar
        self._begin_at(last + 1)
        skipped = excess // self._threshold if self._rule.boundary == "carry" else 0
        left = excess - skipped * self._threshold if self._rule.boundary == "carry" else 0
        self._state[:] = (left, bar + 1 + skipped, 0, last)
        return np.array([last + 1], dtype=np.int64), np.array([closed], dtype=np.int64)


def closer_of(rule: BarRule, amounts: Amounts, start_us: int, end_us: int) -> Closer:
    """What finds the bars of a rule in ``[start_us, end_us)``; arguments as of `Closer`."""
    return (SegmentCloser if isinstance(rule, SegmentBars) else Closer)(rule, amounts, start_us, end_us)  # type: ignore[arg-type]
