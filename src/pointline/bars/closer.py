"""Finds where bars close, batch after batch of the driver's trades."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

from pointline import kernels
from pointline.clock import time_text
from pointline.errors import AmountOverflowError, ConfigError
from pointline.kernels.slots import CLOSER_STATE

if TYPE_CHECKING:
    from pointline.bars.amounts import Amounts, Ints, TradeRows
    from pointline.bars.rules import BarRule

_SLOT = {name: i for i, name in enumerate(CLOSER_STATE)}


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
        self._threshold = threshold_int(rule, amounts)
        self._state = np.zeros(len(CLOSER_STATE), dtype=np.int64)
        self._ends = np.empty(0, dtype=np.int64)
        self._ids = np.empty(0, dtype=np.int64)
        self._start_us = start_us
        self._end_us = end_us

    def feed(self, rows: TradeRows) -> tuple[Ints, Ints]:
        """The ``bucket_end`` and ``bar_id`` of every bar that these rows close."""
        if self._rule.unit == "time" or not len(rows.ts):
            return _nothing()
        amount = self._amount(rows)
        if len(self._ends) <= len(amount):
            self._ends = np.empty(len(amount) + 1, dtype=np.int64)
            self._ids = np.empty(len(amount) + 1, dtype=np.int64)
        ends, ids = self._ends, self._ids
        if self._rule.signed:
            closed = kernels.close_on_imbalance(rows.ts, amount, self._threshold, self._state, ends, ids)
        else:
            closed = kernels.close_on_total(rows.ts, amount, self._threshold, self._rule.boundary == "carry", self._state, ends, ids)
        if closed < 0:
            raise AmountOverflowError(
                "the amounts that drive this spine do not fit 62 bits", where=rows.instrument, value=f"amounts up to {int(amount.max())}"
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
    if rule.unit == "time":
        return 0
    if rule.unit == "trades":
        return int(rule.threshold)
    unit = amounts.quote_unit if rule.unit == "quote" else amounts.base_unit
    count = Decimal(str(rule.threshold)) / unit
    if count != count.to_integral_value():
        raise ConfigError(
            "the threshold is finer than this instrument's amounts can be counted",
            value=str(rule.threshold),
            expected=f"a multiple of {unit:f} {rule.unit} units",
        )
    if count >= 1 << 62:
        raise ConfigError("the threshold is too large", value=str(rule.threshold))
    return int(count)
