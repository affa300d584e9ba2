"""The premium of a funding interval so far, as a venue averages it.

A venue samples the premium through the interval and pays a rate on its average. Where later samples weigh more (Binance, Bybit and those
that follow them), the k-th of n samples has weight k, so that the average so far is P = Σ k b_k / Σ k over the samples so far. Others
(OKX until 2025, Hyperliquid) take the plain mean. Samples here are the values at the ends of equal slots, such as hours or minutes. Sources
of the rules stand in the venue files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import polars as pl

from pointline import clock
from pointline.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pointline.venues.payments import Weights

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PremiumSlots:
    """Values of the premium at the ends of equal slots of time.

    Attributes:
        first_end_us: end of the first slot.
        step_us: length of a slot; ends are multiples of it.
        values: the premium as a fraction, NaN where it is not known.
        delay_us: how long after its end a value is known.
    """

    first_end_us: int
    step_us: int
    values: Floats
    delay_us: int = 0

    @classmethod
    def of(cls, premium: pl.DataFrame, *, step: clock.DurationLike = "1h", delay: clock.DurationLike = 0) -> Self:
        """The slots of a frame.

        Args:
            premium: ``end_us`` (µs UTC, rising, multiples of the step) and ``premium`` (a fraction). Ends that are absent, and nulls,
                are not known.
            step: length of a slot; it divides an hour or is an hour.
            delay: how long after its end a value is known, less than a slot.

        Raises:
            ConfigError: columns are missing, nothing is in the frame, the ends are not in order or not multiples of the step, a
                value is infinite or so large that it cannot be a fraction.
        """
        step_us = clock.to_duration_us(step, name="step")
        delay_us = clock.to_duration_us(delay, name="delay", least_us=0)
        if clock.HOUR_US % step_us:
            raise ConfigError("a slot of the premium divides an hour", where="step", value=step, expected="for example 1h, 15m or 1m")
        if delay_us >= step_us:
            raise ConfigError("the premium is known too late", where="delay", value=delay, expected="less than the step")
        for name, dtype in (("end_us", pl.Int64()), ("premium", pl.Float64())):
            if premium.schema.get(name) != dtype:
                raise ConfigError(f"the premium has no {name}", where="premium", value=premium.schema.get(name), expected=str(dtype))
        if premium.is_empty() or premium["end_us"].null_count():
            raise ConfigError("the premium has no rows, or rows without an end", where="premium", value=premium.height)
        ends, given = premium["end_us"].to_numpy(), premium["premium"].fill_null(np.nan).to_numpy()
        wrong = np.flatnonzero((ends % step_us != 0) | (np.diff(ends, prepend=ends[0] - 1) <= 0))
        if len(wrong):
            where = f"premium, row {wrong[0]}"
            text = clock.time_text(int(ends[wrong[0]]))
            raise ConfigError("the slots do not follow each other", where=where, value=text, expected="rising multiples of the step")
        odd = np.flatnonzero(np.isinf(given) | (np.abs(given) >= 1))
        if len(odd):
            raise ConfigError(
                "the premium is no fraction of the price",
                where=f"premium, row {odd[0]}",
                value=float(given[odd[0]]),
                expected="(perp - index) / index, e.g. 0.0005 for 5 bp",
            )
        clock.check_count(int(ends[0]), int(ends[-1]), step_us, what="slots of the premium")
        values = np.full((int(ends[-1]) - int(ends[0])) // step_us + 1, np.nan)
        values[(ends - ends[0]) // step_us] = given
        return cls(int(ends[0]), step_us, values, delay_us)


@dataclass(frozen=True, eq=False)
class PremiumSoFar:
    """The premium of an interval as far as it is known at a moment.

    Attributes:
        average: shape (n,), a fraction, NaN where a slot is missing or none has ended yet.
        latest: shape (n,), the value of the last slot, NaN where ``average`` is.
        slots: shape (n,), how many slots the average rests on.
        values: shape (n, m), those slots in their order, then NaN; m is 0 where they were not asked for.
    """

    average: Floats
    latest: Floats
    slots: Ints
    values: Floats


def premium_so_far(
    slots: PremiumSlots, start_us: Ints, at_us: Ints, *, weights: Weights = "rising", keep_values: bool = False
) -> PremiumSoFar:
    """The venue's average of the premium over intervals, as far as it was known at given moments.

    Slot k of an interval ends at start + k steps. Those that were known by the moment count, the last of them with the largest weight:
    P = Σ k b_k / Σ k (``"rising"``), or the plain mean (``"equal"``). If one of them is missing, the average is not known.

    Args:
        slots: values of the premium.
        start_us: shape (n,), when each interval began, multiples of the step.
        at_us: shape (n,), the moment, not before the start.
        weights: how the venue weighs.
        keep_values: also give the values, for rules that average the rate and not the premium.

    Raises:
        ConfigError: an interval does not begin where a slot ends.

    Examples:
        Hours of 1, 2 and 6 bp, known so far: (1·1 + 2·2 + 3·6) / (1 + 2 + 3).

        >>> import numpy as np
        >>> hour = 3_600_000_000
        >>> slots = PremiumSlots(hour, hour, np.array([1e-4, 2e-4, 6e-4, 9e-4]))
        >>> found = premium_so_far(slots, np.array([0]), np.array([3 * hour]))
        >>> round(float(found.average[0]) * 1e4, 4), found.slots.tolist()
        (3.8333, [3])
    """
    if np.any(start_us % slots.step_us):
        raise ConfigError("an interval begins inside a slot of the premium", where="premium", expected="a step that divides the intervals")
    counts = np.maximum((at_us - slots.delay_us - start_us) // slots.step_us, 0)
    average, latest = np.full(len(counts), np.nan), np.full(len(counts), np.nan)
    values = np.full((len(counts), int(counts.max(initial=0)) if keep_values else 0), np.nan)
    for count in np.unique(counts[counts > 0]).tolist():
        rows = np.flatnonzero(counts == count)
        first = (start_us[rows] + slots.step_us - slots.first_end_us) // slots.step_us
        places = first[:, np.newaxis] + np.arange(count)
        inside = (places >= 0) & (places < len(slots.values))
        taken = np.where(inside, slots.values[np.clip(places, 0, len(slots.values) - 1)], np.nan)
        weight = np.arange(1.0, count + 1) if weights == "rising" else np.ones(count)
        average[rows] = np.sum(taken * weight, axis=1) / weight.sum()
        latest[rows] = np.where(np.isnan(average[rows]), np.nan, taken[:, -1])
        if keep_values:
            values[rows, :count] = taken
    return PremiumSoFar(average, latest, counts.astype(np.int64), values)
