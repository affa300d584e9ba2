"""Nulls keep what they promise to keep, move what they promise to move, and hold real coefficients against chance."""

from __future__ import annotations

import math
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from tests.evaluation.cases import autoregression

from pointline.errors import ConfigError
from pointline.evaluation import (
    NullSummary,
    circular_shift,
    day_shuffle,
    forward_sums,
    information_coefficient,
    kept_at_random,
    moved,
    null_coefficients,
    thinned,
    with_bounce,
)

if TYPE_CHECKING:
    from collections.abc import Callable


@given(st.lists(st.integers(1, 6), min_size=2, max_size=8), st.integers(0, 50))
def test_each_day_has_the_rows_of_one_other_day(lengths: list[int], seed: int) -> None:
    days = [number for number, length in enumerate(lengths) for _ in range(length)]
    order = day_shuffle(days, seed=seed).tolist()
    taken = []
    for day, rows in groupby(range(len(days)), key=lambda row: days[row]):
        sources = [order[row] for row in rows]
        there = [source for source in sources if source >= 0]
        (other,) = {days[source] for source in there}
        assert other != day
        begins = days.index(other)
        assert there == list(range(begins, begins + min(lengths[day], lengths[other])))
        assert sources == there + [-1] * (lengths[day] - len(there))
        taken.append(other)
    assert sorted(taken) == list(range(len(lengths)))


def test_all_days_are_in_one_random_circle() -> None:
    days = np.repeat(np.arange(10), 3)
    order = day_shuffle(days, seed=1)
    way, day = [], 0
    while day not in way:
        way.append(day)
        day = int(days[order[3 * day]])
    assert sorted(way) == list(range(10))
    assert len({tuple(day_shuffle(days, seed=seed)) for seed in range(20)}) == 20


@given(st.integers(2, 60), st.integers(0, 50), st.data())
def test_a_shift_is_off_by_the_gap_on_both_sides(rows: int, seed: int, data: st.DataObject) -> None:
    gap = data.draw(st.integers(1, rows // 2))
    order = circular_shift(rows, seed=seed, gap=gap)
    (distance,) = set(((order - np.arange(rows)) % rows).tolist())
    assert gap <= distance <= rows - gap


@pytest.mark.parametrize(
    "null",
    [
        lambda seed: day_shuffle(np.repeat(np.arange(30), 4), seed=seed),
        lambda seed: circular_shift(500, seed=seed),
        lambda seed: with_bounce(np.full(50, 100.0), half_spread_bps=5, seed=seed),
        lambda seed: kept_at_random(50, 0.5, seed=seed),
    ],
)
def test_the_seed_decides(null: Callable[[int], Any]) -> None:
    assert null(3).tolist() == null(3).tolist()
    assert null(3).tolist() != null(4).tolist()


def test_values_follow_their_order() -> None:
    assert moved([1.0, 2.0, math.nan], np.array([2, -1, 0])) == pytest.approx([math.nan, math.nan, 1.0], nan_ok=True)
    with pytest.raises(ConfigError, match="differ in length"):
        moved([1.0], np.array([0, 0]))


def test_the_bounce_is_half_a_spread_and_turns_back() -> None:
    price = np.full(20_000, 200.0)
    traded = with_bounce(price, half_spread_bps=10, seed=1)
    assert set(np.round(traded, 9).tolist()) == {199.8, 200.2}
    returns = np.diff(np.log(traded))
    # Roll: the covariance of neighbouring returns is minus the square of the half spread.
    assert float(np.mean(returns[1:] * returns[:-1])) == pytest.approx(-((10e-4) ** 2), rel=0.05)
    assert np.isnan(with_bounce([math.nan], half_spread_bps=1, seed=0)).all()
    assert with_bounce([5.0], half_spread_bps=0, seed=0).tolist() == [5.0]


@given(st.lists(st.tuples(st.one_of(st.floats(1, 9), st.just(math.nan)), st.booleans()), min_size=1, max_size=30))
def test_a_thinned_price_is_the_last_one_kept(rows: list[tuple[float, bool]]) -> None:
    price, kept = (list(column) for column in zip(*rows, strict=True))
    last, expected = math.nan, []
    for value, mark in rows:
        last = value if mark and not math.isnan(value) else last
        expected.append(last)
    assert thinned(price, kept) == pytest.approx(expected, nan_ok=True)


def test_thinning_looks_at_nothing_later() -> None:
    rng = np.random.default_rng(2)
    price, kept = rng.normal(100, 1, 200), rng.random(200) < 0.3
    cut = thinned(price[:120], kept[:120])
    assert np.array_equal(cut, thinned(price, kept)[:120], equal_nan=True)


def test_staleness_alone_predicts_and_the_null_shows_it() -> None:
    """One price, seen twice: the gap between the fresh and the stale one "predicts" the stale one."""
    rng = np.random.default_rng(3)
    fresh = 100 * np.exp(np.cumsum(rng.normal(0, 1e-4, 5_000)))
    stale = thinned(fresh, kept_at_random(5_000, 0.5, seed=4))
    one_bar = np.append(np.diff(np.log(stale)), np.nan)
    found = information_coefficient(np.log(fresh / stale), one_bar)
    assert found.low > 0.2
    assert not NullSummary.of([found.ic]).exceeded_by(0.2)


def test_without_missing_rows_a_null_is_the_rank_correlation() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.integers(0, 9, 200).astype(float), rng.normal(size=200)
    orders = [circular_shift(200, seed=seed) for seed in range(5)]
    assert null_coefficients(x, y, orders) == pytest.approx([spearmanr(x, y[order]).statistic for order in orders])
    linear = null_coefficients(x, y, orders, method="pearson")
    assert linear == pytest.approx([np.corrcoef(x, y[order])[0, 1] for order in orders])


def test_missing_rows_are_left_out_of_a_null() -> None:
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=400), rng.normal(size=400)
    x[:50], y[300:330] = np.nan, np.nan
    order = day_shuffle(np.repeat(np.arange(4), [90, 110, 100, 100]), seed=1)
    target = moved(y, order)
    used = ~(np.isnan(x) | np.isnan(target))
    assert null_coefficients(x, y, [order])[0] == pytest.approx(spearmanr(x[used], target[used]).statistic, abs=0.01)
    assert np.isnan(null_coefficients(np.where(np.arange(400) < 380, np.nan, x), y, [order])[0])
    assert np.isnan(null_coefficients(np.ones(400), y, [order])[0])
    assert np.isnan(null_coefficients(np.full(400, np.nan), y, [order])[0])


def test_several_features_at_once_equal_one_by_one() -> None:
    rng = np.random.default_rng(8)
    features, y = rng.normal(size=(3, 300)), rng.normal(size=300)
    features[1, 40:90], y[200:210] = np.nan, np.nan
    orders = [day_shuffle(np.arange(300) // 70, seed=seed) for seed in range(40)]
    together = null_coefficients(features, y, iter(orders))
    assert together.shape == (3, 40)
    for row, feature in zip(together, features, strict=True):
        assert row == pytest.approx(null_coefficients(feature, y, orders), rel=1e-9)
    assert null_coefficients(features, y, []).shape == (3, 0)


@pytest.mark.parametrize("days", [True, False])
def test_a_real_coefficient_exceeds_its_null_and_a_spurious_one_does_not(days: bool) -> None:
    rng = np.random.default_rng(7)
    n, horizon = 4_000, 10
    x, noise = autoregression(rng.standard_normal(n), 0.9), rng.standard_normal(n)
    if days:
        orders = [day_shuffle(np.arange(n) // 100, seed=seed) for seed in range(200)]
    else:
        orders = [circular_shift(n, seed=seed, gap=200) for seed in range(200)]
    for beta, exceeds in ((0.1, True), (0.0, False)):
        y = forward_sums(beta * x + noise, horizon)
        summary = NullSummary.of(null_coefficients(x, y, orders))
        assert summary.exceeded_by(information_coefficient(x, y, horizon).ic) is exceeds
        assert summary.low < summary.median < summary.high
        assert summary.draws == 200


def test_the_summary_holds_quantiles() -> None:
    found = NullSummary.of([*range(-50, 51), math.nan], confidence=0.9)
    assert (found.draws, found.low, found.median, found.high, found.bound) == (101, -45, 0, 45, 45)
    assert found.exceeded_by(-46)
    assert not found.exceeded_by(45)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: day_shuffle([1, 1], seed=0), "one day cannot be shuffled"),
        (lambda: day_shuffle([2, 1], seed=0), "not in order"),
        (lambda: day_shuffle([], seed=0), "not in order"),
        (lambda: circular_shift(10, seed=0, gap=6), "no circular shift"),
        (lambda: circular_shift(10, seed=0, gap=0), "no circular shift"),
        (lambda: with_bounce([1.0], half_spread_bps=-1, seed=0), "half spread"),
        (lambda: with_bounce([math.inf], half_spread_bps=1, seed=0), "infinite"),
        (lambda: kept_at_random(5, 0, seed=0), "share"),
        (lambda: kept_at_random(5, 1.1, seed=0), "share"),
        (lambda: thinned([1.0], [1]), "does not mark the rows"),
        (lambda: thinned([1.0], [True, False]), "does not mark the rows"),
        (lambda: null_coefficients([1.0], [1.0, 2.0], []), "differ in length"),
        (lambda: null_coefficients([1.0], [1.0], [np.array([0, 0])]), "other rows than the label"),
        (lambda: null_coefficients([1.0], [1.0], [], method="tau"), "method is unknown"),
        (lambda: NullSummary.of([math.nan]), "no coefficient"),
        (lambda: NullSummary.of([0.1], confidence=1), "not a probability"),
    ],
)
def test_bad_input_is_refused(call: Callable[[], object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        call()
