"""Thresholds at each bar, fitted on what was known before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from pointline.trading.strategy import Quantiles

if TYPE_CHECKING:
    from pointline.trading.strategy import Levels, Strategy

    Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
    Ints: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
    Mask: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, eq=False)
class Bounds:
    """The thresholds in force at each bar; NaN where there is none.

    Attributes:
        above, exit_above: shape (n,), where a position on the high side begins and ends.
        below, exit_below: shape (n,), where one on the low side begins and ends.
    """

    above: Floats
    exit_above: Floats
    below: Floats
    exit_below: Floats


@dataclass(frozen=True, eq=False)
class Wishes:
    """What the signal asks for at each bar, known at the bar's end.

    Attributes:
        enter_long, enter_short: shape (n,), begin a position of that side.
        exit_long, exit_short: shape (n,), end one of that side.
    """

    enter_long: Mask
    enter_short: Mask
    exit_long: Mask
    exit_short: Mask


def bounds_of(thresholds: Quantiles | Levels, signal: Floats, known_us: Ints) -> Bounds:
    """The thresholds at each bar.

    Args:
        thresholds: levels, or quantiles to fit. A fit at time T counts the bars that are known by T and is in force for bars that are
            known after T, up to the next fit.
        signal: shape (n,), NaN where missing.
        known_us: shape (n,), when each bar is known, µs UTC, rising.
    """
    if not isinstance(thresholds, Quantiles):
        levels = (thresholds.above, thresholds.exit_above, thresholds.below, thresholds.exit_below)
        return Bounds(*(np.full(len(signal), np.nan if level is None else level) for level in levels))
    period = (known_us - 1) // thresholds.refit_us  # a bar known at the fit itself belongs to the past of that fit
    present = np.flatnonzero(~np.isnan(signal))
    past, past_us = signal[present], known_us[present]
    wanted = np.array([thresholds.entry, thresholds.exit, 1 - thresholds.entry, 1 - thresholds.exit])
    found = np.full((4, len(signal)), np.nan)
    firsts = np.flatnonzero(np.diff(period, prepend=period[:1] - 1))
    for first, stop in zip(firsts, [*firsts[1:], len(signal)], strict=True):
        fit_us = int(period[first]) * thresholds.refit_us
        behind = int(np.searchsorted(past_us, fit_us, side="right"))
        begin = 0 if thresholds.lookback_us is None else int(np.searchsorted(past_us, fit_us - thresholds.lookback_us, side="right"))
        if behind - begin >= thresholds.fewest_bars:
            found[:, first:stop] = np.quantile(past[begin:behind], wanted)[:, None]
    return Bounds(*found)


def wishes_of(strategy: Strategy, signal: Floats, bounds: Bounds) -> Wishes:
    """What the signal asks for at each bar; a missing signal or threshold asks for nothing.

    Args:
        strategy: which side is taken where the signal is high, and which sides may be taken.
        signal: shape (n,), NaN where missing.
        bounds: of the same bars.
    """
    with np.errstate(invalid="ignore"):
        high, low = signal > bounds.above, signal < bounds.below
        end_high, end_low = signal <= bounds.exit_above, signal >= bounds.exit_below
    if strategy.until != "signal":
        end_high, end_low = np.zeros_like(high), np.zeros_like(high)
    if strategy.high == "short":
        high, low, end_high, end_low = low, high, end_low, end_high
    nothing = np.zeros_like(high)
    return Wishes(high if "long" in strategy.sides else nothing, low if "short" in strategy.sides else nothing, end_high, end_low)
