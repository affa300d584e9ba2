"""The premium of an interval so far, what a rule makes of it, and the offset: plain loops, hand-worked figures, and what is refused."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointline.clock import HOUR_US, MINUTE_US, to_us
from pointline.errors import ConfigError
from pointline.evaluation.premium import VenueRates, fitted_offset
from pointline.venues.funding import FundingRule, fair_funding_8h, funding_rule
from pointline.venues.premium import PremiumSlots, premium_so_far

if TYPE_CHECKING:
    from pointline.venues.payments import Averages, Weights

START = to_us("2024-05-01")
BINANCE = funding_rule("binance-futures", START)


def plain_premium(
    slots: dict[int, float], start_us: int, at_us: int, step_us: int, delay_us: int, weights: str
) -> tuple[float, float, int]:
    """Average, last value and number of slots by a loop over the ends of an interval's slots."""
    top = bottom = 0.0
    last, count = math.nan, 0
    end = start_us + step_us
    while end + delay_us <= at_us:
        count += 1
        weight = count if weights == "rising" else 1
        last = slots.get(end, math.nan)
        top += weight * last
        bottom += weight
        end += step_us
    average = top / bottom if count else math.nan
    return average, math.nan if math.isnan(average) else last, count


@given(
    values=st.lists(st.none() | st.floats(-0.05, 0.05), min_size=1, max_size=40),
    first=st.integers(-5, 5),
    intervals=st.lists(st.tuples(st.integers(-6, 40), st.integers(0, 12 * 60)), min_size=1, max_size=20),
    delay_us=st.sampled_from([0, 1, MINUTE_US]),
    weights=st.sampled_from(["rising", "equal"]),
    step_us=st.sampled_from([HOUR_US, 15 * MINUTE_US]),
)
def test_the_premium_so_far_equals_a_plain_loop(
    values: list[float | None], first: int, intervals: list[tuple[int, int]], delay_us: int, weights: Weights, step_us: int
) -> None:
    first_end = START + first * step_us
    ends = [first_end + place * step_us for place in range(len(values))]
    frame = pl.DataFrame({"end_us": ends, "premium": values}, schema={"end_us": pl.Int64, "premium": pl.Float64})
    slots = PremiumSlots.of(frame, step=f"{step_us}us", delay=f"{delay_us}us")
    start_us = np.array([START + hours * HOUR_US for hours, _ in intervals])
    at_us = start_us + np.array([minutes * MINUTE_US for _, minutes in intervals])
    found = premium_so_far(slots, start_us, at_us, weights=weights)
    told = {end: value for end, value in zip(ends, values, strict=True) if value is not None}
    for row, (start, at) in enumerate(zip(start_us.tolist(), at_us.tolist(), strict=True)):
        average, last, count = plain_premium(told, start, at, step_us, delay_us, weights)
        assert found.average[row] == pytest.approx(average, abs=1e-15, nan_ok=True)
        assert found.latest[row] == pytest.approx(last, abs=0, nan_ok=True)
        assert found.slots[row] == count


def test_a_whole_interval_by_hand() -> None:
    """Eight hours of 1 to 8 bp: (1 + 4 + 9 + ... + 64) / 36 = 204 / 36 = 5.6667 bp; four of them: 30 / 10 = 3 bp."""
    slots = PremiumSlots(START + HOUR_US, HOUR_US, np.arange(1.0, 9.0) * 1e-4)
    found = premium_so_far(slots, np.array([START, START]), START + np.array([8, 4]) * HOUR_US)
    assert (found.average * 1e4).round(4).tolist() == [5.6667, 3.0]
    assert (found.latest * 1e4).round(4).tolist() == [8.0, 4.0]


def test_a_missing_slot_is_a_hole_and_what_is_not_over_yet_is_none() -> None:
    slots = PremiumSlots(START + HOUR_US, HOUR_US, np.array([1e-4, np.nan, 3e-4]))
    at = START + np.array([1, 2, 3]) * HOUR_US
    average = premium_so_far(slots, np.full(3, START), at).average
    assert np.isnan(average).tolist() == [False, True, True]
    assert np.isnan(premium_so_far(slots, np.array([START]), np.array([START])).average).all()


@given(cut=st.integers(1, 23), values=st.lists(st.floats(-0.01, 0.01), min_size=24, max_size=24))
def test_slots_after_a_moment_change_nothing_known_at_it(cut: int, values: list[float]) -> None:
    ends = [START + (place + 1) * HOUR_US for place in range(24)]
    frame = pl.DataFrame({"end_us": ends, "premium": values})
    at = np.array([START + hour * HOUR_US for hour in range(1, cut + 1)])
    start = at - 1 - (at - 1 - START) % (8 * HOUR_US)
    whole, short = (premium_so_far(PremiumSlots.of(one), start, at) for one in (frame, frame.head(cut)))
    assert whole.average.tobytes() == short.average.tobytes()
    assert whole.latest.tobytes() == short.latest.tobytes()


KINDS = st.sampled_from(["premium_clamp", "deribit", "clamp_mean"])


@given(
    kind=KINDS,
    premium=st.floats(-0.02, 0.02),
    hours=st.sampled_from([1.0, 2.0, 4.0, 8.0]),
    per_interval=st.booleans(),
    cap=st.none() | st.floats(0.001, 0.01),
)
def test_rates_equal_those_of_the_venue_rule(kind: Any, premium: float, hours: float, per_interval: bool, cap: float | None) -> None:  # noqa: ANN401 - one of KINDS
    rule = FundingRule(kind, 0.0001, 0.0005, cap, 8.0, START, START + HOUR_US, "test", per_interval)
    found = VenueRates.at([rule], np.array([START]), np.array([hours])).of(np.array([premium]))
    assert found[0] == pytest.approx(fair_funding_8h(rule, premium, interval_hours=hours), abs=1e-15)


def test_inside_the_dead_band_the_rate_is_the_interest_to_the_last_digit() -> None:
    premium = np.linspace(-3.99e-4, 5.99e-4, 1001)
    rates = VenueRates.at([BINANCE], np.full(1001, START), np.full(1001, 8.0))
    assert set(rates.of(premium).tolist()) == {0.0001}


def test_each_settlement_has_the_rule_of_its_date_and_interval() -> None:
    """A premium of 10 bp over 4 h: before 2025-09-18 08:01 (10 - 5) bp per 4 h = 10 bp per 8 h; since then (10 - 5) bp per 8 h."""
    at = np.array([to_us("2025-09-18 08:00"), to_us("2025-09-18 12:00")])
    rules = [funding_rule("binance-futures", us) for us in at.tolist()]
    rates = VenueRates.at(rules, at, np.array([4.0, 4.0]))
    assert (rates.of(np.array([1e-3, 1e-3])) * 1e4).round(9).tolist() == [10.0, 5.0]
    assert (rates.interest() * 1e4).tolist() == [1.0, 1.0]
    assert rates.weights() == ["rising", "rising"]


@given(seed=st.integers(0, 1_000), shift_bps=st.floats(-12, 12))
def test_the_offset_is_the_one_with_the_least_squared_error(seed: int, shift_bps: float) -> None:
    random = np.random.default_rng(seed)
    premium = random.normal(4e-4, 6e-4, 40)
    actual = np.array([fair_funding_8h(BINANCE, one + shift_bps / 1e4) * 1e4 for one in premium]) + random.normal(0, 0.2, 40)
    rates = VenueRates.at([BINANCE], np.full(40, START), np.full(40, 8.0))
    found = fitted_offset(rates, premium, actual)

    def loss(offset: float) -> float:
        return math.fsum(
            (fair_funding_8h(BINANCE, one + offset / 1e4) * 1e4 - paid) ** 2 for one, paid in zip(premium, actual, strict=True)
        )

    best = min(range(-20, 21), key=lambda step: (loss(found + step / 100), abs(step)))
    assert best == 0
    assert found == pytest.approx(shift_bps, abs=0.5)


def test_there_is_no_offset_where_nothing_tells_it() -> None:
    rates = VenueRates.at([BINANCE], np.full(20, START), np.full(20, 8.0))
    assert fitted_offset(rates, np.full(20, 1e-4), np.full(20, 1.0)) == 0.0


def looped_rate(values: list[float], *, averages: str, weights: str, shift: float) -> float:
    """Deribit's formula with a band of 2.5 bp, case by case, of values that are moved: mean first, or formula first."""

    def formula(premium: float) -> float:
        return premium - 2.5e-4 if premium > 2.5e-4 else premium + 2.5e-4 if premium < -2.5e-4 else 0.0

    top = bottom = 0.0
    for place, value in enumerate(values, start=1):
        weight = place if weights == "rising" else 1
        top += weight * (formula(value + shift) if averages == "rate" else value)
        bottom += weight
    return top / bottom if averages == "rate" else formula(top / bottom + shift)


@settings(max_examples=60, deadline=None)
@given(
    intervals=st.lists(st.lists(st.floats(-0.01, 0.01), min_size=1, max_size=6), min_size=1, max_size=4),
    averages=st.sampled_from(["premium", "rate"]),
    weights=st.sampled_from(["rising", "equal"]),
    shifts=st.lists(st.floats(-0.005, 0.005), min_size=1, max_size=3),
)
def test_the_order_of_averaging_and_formula_equals_a_plain_loop(
    intervals: list[list[float]], averages: Averages, weights: Weights, shifts: list[float]
) -> None:
    rule = replace(funding_rule("deribit", START), averages=averages, weighting=weights)
    rates = VenueRates((rule,), np.zeros(len(intervals), dtype=np.int64), np.full(len(intervals), 8.0))
    values = np.full((len(intervals), 6), np.nan)
    for row, some in enumerate(intervals):
        values[row, : len(some)] = some
    weight = [[place + 1 if weights == "rising" else 1 for place in range(len(some))] for some in intervals]
    means = np.array([np.average(some, weights=of) for some, of in zip(intervals, weight, strict=True)])
    wanted = [[looped_rate(some, averages=averages, weights=weights, shift=shift) for some in intervals] for shift in shifts]
    assert np.allclose(rates.of(means + np.array(shifts)[:, np.newaxis], values), wanted, atol=1e-15, rtol=0)
    assert np.allclose(rates.of(means + shifts[0], values), wanted[0], atol=1e-15, rtol=0)


def test_the_mean_of_a_premium_does_not_tell_a_mean_of_rates() -> None:
    rates = VenueRates((funding_rule("deribit", START),), np.zeros(1, dtype=np.int64), np.full(1, 8.0))
    # +10 and -10 bp: rates of +7.5 and -7.5; +5 and 0 bp: 2.5 and 0, whose mean is 1.25.
    assert rates.of(np.zeros(1), np.array([[10e-4, -10e-4]]))[0] == pytest.approx(0.0, abs=1e-15)
    assert rates.of(np.array([2.5e-4]), np.array([[5e-4, 0.0]]))[0] == pytest.approx(1.25e-4)
    with pytest.raises(ConfigError, match="averages the rate"):
        rates.of(np.zeros(1))


def test_values_that_are_kept_are_those_that_were_known() -> None:
    slots = PremiumSlots(START + HOUR_US, HOUR_US, np.array([1e-4, 2e-4, 3e-4, 4e-4]))
    found = premium_so_far(slots, np.array([START, START]), START + np.array([1, 3]) * HOUR_US, keep_values=True)
    assert np.array_equal(found.values, [[1e-4, np.nan, np.nan], [1e-4, 2e-4, 3e-4]], equal_nan=True)
    assert premium_so_far(slots, np.array([START]), np.array([START + HOUR_US])).values.shape == (1, 0)


GOOD = pl.DataFrame({"end_us": [START, START + HOUR_US], "premium": [1e-4, 2e-4]})
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"premium": GOOD.drop("premium")}, "no premium"),
    ({"premium": GOOD.with_columns(pl.col("end_us").cast(pl.Float64))}, "no end_us"),
    ({"premium": GOOD.clear()}, "no rows"),
    ({"premium": GOOD.reverse()}, "follow each other"),
    ({"premium": pl.concat([GOOD, GOOD.tail(1)])}, "follow each other"),
    ({"premium": GOOD.with_columns(pl.col("end_us") + 1)}, "follow each other"),
    ({"premium": GOOD.with_columns(premium=pl.lit(5.0))}, "no fraction"),
    ({"premium": GOOD.with_columns(premium=pl.lit(math.inf))}, "no fraction"),
    ({"premium": GOOD, "step": "7m"}, "divides an hour"),
    ({"premium": GOOD, "step": "8h"}, "divides an hour"),
    ({"premium": GOOD, "delay": "1h"}, "too late"),
]


@pytest.mark.parametrize(("options", "words"), REFUSED, ids=range(len(REFUSED)))
def test_a_premium_that_cannot_be_used_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        PremiumSlots.of(**options)


def test_an_interval_inside_a_slot_and_a_settlement_without_a_rule_are_refused() -> None:
    with pytest.raises(ConfigError, match="inside a slot"):
        premium_so_far(PremiumSlots.of(GOOD), np.array([START + MINUTE_US]), np.array([START + HOUR_US]))
    with pytest.raises(ConfigError, match="no funding rule"):
        VenueRates.at([BINANCE], np.array([BINANCE.valid_until_us]), np.array([8.0]))
