"""The causal reversed test against plain loops, and what it must not see."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.evaluation import loops

from pointline.errors import ConfigError
from pointline.evaluation import causal_test, forward_sums
from pointline.evaluation.causal import causal_products, signed_ranks

VALUE = st.one_of(st.integers(-4, 4).map(float), st.floats(-100, 100), st.just(math.nan))
ROWS = st.lists(st.tuples(VALUE, VALUE), min_size=60, max_size=90)


@given(ROWS, st.integers(1, 12), st.booleans())
def test_products_are_those_of_the_plain_loop(rows: list[tuple[float, float]], horizon: int, unsigned: bool) -> None:
    x, one_bar = (np.array(column) for column in zip(*rows, strict=True))
    one_bar = np.abs(one_bar) if unsigned else one_bar
    found = causal_products(x, signed_ranks(one_bar), horizon)
    expected = loops.causal_products(x.tolist(), one_bar.tolist(), horizon)
    assert found[~np.isnan(found)] == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_the_test_is_that_of_the_plain_loop() -> None:
    rng = np.random.default_rng(4)
    x, one_bar = rng.normal(size=300), rng.normal(size=300)
    x[rng.random(300) < 0.1] = np.nan
    one_bar[rng.random(300) < 0.1] = np.nan
    found = causal_test(x, one_bar, 5)
    expected = loops.causal_products(x.tolist(), one_bar.tolist(), 5)
    mean, se, p = loops.t_test(expected, loops.nu(len(expected), 1))
    assert (found.n, found.nu) == (len(expected), loops.nu(len(expected), 1))
    assert (found.t, found.p) == (pytest.approx(mean / se, rel=1e-9), pytest.approx(p, rel=1e-9))


def test_what_is_missing_does_not_count() -> None:
    rng = np.random.default_rng(5)
    x, one_bar = rng.normal(size=200), rng.normal(size=200)
    x[100:110], one_bar[150:155] = np.nan, np.nan
    assert causal_test(x, one_bar).n == 200 - 10 - 5
    # Over ten bars each row of the gap has a value of the feature in its window, but for the last.
    assert causal_test(x, one_bar, 10).n == 200 - 1 - 5
    # Over one bar a missing feature is the same as a row that is not there; the rank of a return depends on returns alone.
    without, scores = ~np.isnan(x), signed_ranks(one_bar)
    whole = causal_products(x, scores, 1)
    shorter = causal_products(x[without], scores[without], 1)
    assert whole[~np.isnan(whole)] == pytest.approx(shorter[~np.isnan(shorter)], rel=1e-9)


def test_many_runs_at_once_equal_one_by_one() -> None:
    rng = np.random.default_rng(6)
    x, one_bar = rng.normal(size=(3, 120)), rng.integers(-3, 4, size=(3, 120)).astype(float)
    together = causal_products(x, signed_ranks(one_bar), 7)
    for run in range(3):
        assert together[run] == pytest.approx(causal_products(x[run], signed_ranks(one_bar[run]), 7), rel=1e-12)


def test_the_sum_of_products_is_the_reversed_covariance() -> None:
    """Σ_t w_t (s_{t+1} + … + s_{t+h}) is Σ_t (w_t + … + w_{t-h+1}) s_{t+1}, apart from labels that go past the end."""
    rng = np.random.default_rng(7)
    x, scores = rng.normal(size=400), rng.normal(size=400)
    scores[-10:] = 0.0
    products = causal_products(x, scores, 10)
    w = causal_products(x, np.ones(400), 1)
    labels = forward_sums(scores, 10)
    assert products.sum() == pytest.approx(np.nansum(w * labels), rel=1e-9)


def test_products_do_not_depend_on_later_values_of_the_feature() -> None:
    rng = np.random.default_rng(8)
    x, scores = rng.normal(size=300), rng.normal(size=300)
    changed = np.concatenate([x[:200], rng.normal(50, 9, size=100)])
    assert causal_products(x, scores, 5)[:200].tolist() == causal_products(changed, scores, 5)[:200].tolist()


@given(st.floats(0.01, 100), st.floats(-1e4, 1e4), st.sampled_from([-1.0, 1.0]))
def test_scale_shift_and_sign_of_the_feature(scale: float, shift: float, sign: float) -> None:
    rng = np.random.default_rng(9)
    x, one_bar = rng.normal(size=200), rng.normal(size=200)
    before, after = causal_test(x, one_bar, 3), causal_test(sign * scale * x + shift, one_bar, 3)
    assert after.t == pytest.approx(sign * before.t, rel=1e-6)


def test_a_large_level_costs_no_digits() -> None:
    rng = np.random.default_rng(10)
    x, one_bar = np.round(rng.normal(size=500), 3), rng.normal(size=500)
    assert causal_test(x + 1e9, one_bar, 3).t == pytest.approx(causal_test(x, one_bar, 3).t, rel=1e-4)


def test_a_feature_without_variation_has_no_t() -> None:
    found = causal_test(np.ones(200), np.random.default_rng(1).normal(size=200))
    assert math.isnan(found.t)
    assert math.isnan(found.p)


@pytest.mark.parametrize(
    ("x", "one_bar", "horizon", "says"),
    [
        ([1.0] * 9, [1.0] * 8, 1, "differ in length"),
        ([1.0] * 8 + [math.inf], [1.0] * 9, 1, "x holds infinite values"),
        ([1.0] * 9, [-math.inf] + [1.0] * 8, 1, "one_bar holds infinite values"),
        ([1.0] * 9, [1.0] * 9, 9, "reaches beyond the data"),
        ([1.0] * 9, [1.0] * 9, 0, "horizons cannot be used"),
    ],
)
def test_bad_input_is_refused(x: list[float], one_bar: list[float], horizon: int, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        causal_test(x, one_bar, horizon)


def test_all_missing_has_no_t() -> None:
    found = causal_test(np.full(100, np.nan), np.random.default_rng(1).normal(size=100))
    assert (found.n, math.isnan(found.t)) == (0, True)


def test_a_label_with_memory_takes_fewer_cosines() -> None:
    rng = np.random.default_rng(11)
    x, one_bar = rng.normal(size=1_000), rng.normal(size=1_000)
    assert (causal_test(x, one_bar).nu, causal_test(x, one_bar, memory=50).nu, causal_test(x, one_bar, memory=900).nu) == (40, 8, 4)
    for memory in (0, 1.5, True):
        with pytest.raises(ConfigError, match="memory"):
            causal_test(x, one_bar, memory=memory)
