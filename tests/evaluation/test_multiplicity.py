"""Many p at once: plain loops, other libraries, published figures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from statsmodels.stats.multitest import multipletests

from pointline.errors import ConfigError
from pointline.evaluation import benjamini_hochberg, deflated_sharpe_ratio, step_down_min_p

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

P = st.one_of(st.floats(0, 1), st.just(math.nan), st.sampled_from([0.01, 0.05]))


@given(st.lists(P, max_size=20))
def test_benjamini_hochberg_is_that_of_statsmodels(p: list[float]) -> None:
    found = benjamini_hochberg(p)
    there = [one for one in p if not math.isnan(one)]
    expected = iter(multipletests(there, method="fdr_bh")[1] if there else [])
    assert found == pytest.approx([math.nan if math.isnan(one) else next(expected) for one in p], nan_ok=True)


def test_benjamini_hochberg_of_the_paper() -> None:
    """The 15 p of the paper's example: at .05 the method takes four, Bonferroni three."""
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000]
    assert int(np.count_nonzero(benjamini_hochberg(p) <= 0.05)) == 4
    assert sum(one * 15 <= 0.05 for one in p) == 3


def loop(p: list[float], cosines: list[list[float]], draws: int, seed: int) -> list[float]:
    """Step-down min-P as it is written down: the smallest drawn p among the rows that are left, step by step."""
    multipliers = np.random.default_rng(seed).standard_normal(
        (draws, max(len(q) for q, one in zip(cosines, p, strict=True) if not math.isnan(one)))
    )
    left = sorted((row for row, one in enumerate(p) if not math.isnan(one)), key=lambda row: p[row])
    adjusted, floor = [math.nan] * len(p), 0.0
    while left:
        row = left[0]
        reached = 0
        for draw in multipliers:
            smallest = 1.0
            for other in left:
                q = cosines[other]
                z = sum(xi * value for xi, value in zip(draw, q, strict=False)) / math.sqrt(sum(value * value for value in q))
                smallest = min(smallest, 2 * norm.sf(abs(z)))
            reached += smallest <= p[row]
        floor = max(floor, (1 + reached) / (draws + 1))
        adjusted[row] = floor
        left.pop(0)
    return adjusted


@given(
    st.lists(st.tuples(st.one_of(st.floats(0.001, 0.999), st.just(math.nan)), st.integers(3, 9)), min_size=2, max_size=5),
    st.integers(0, 99),
)
def test_min_p_is_that_of_the_plain_loop(rows: list[tuple[float, int]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    common = rng.normal(size=9)
    p = [one for one, _ in rows]
    if all(map(math.isnan, p)):
        return
    cosines = [(0.7 * common[:nu] + rng.normal(size=nu)).tolist() for _, nu in rows]
    found = step_down_min_p(p, cosines, draws=30, seed=seed)
    assert found == pytest.approx(loop(p, cosines, 30, seed), nan_ok=True)


def test_draws_over_several_blocks_equal_one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    cosines = np.random.default_rng(1).normal(size=(4, 20))
    p = [0.01, 0.2, 0.03, 0.9]
    whole = step_down_min_p(p, cosines, draws=300, seed=5)
    monkeypatch.setattr("pointline.evaluation.multiplicity._BLOCK", 7)
    assert step_down_min_p(p, cosines, draws=300, seed=5).tolist() == whole.tolist()


def test_independent_rows_are_corrected_as_by_sidak() -> None:
    cosines = np.eye(8)[:, :8]
    p = np.full(8, 0.01)
    assert step_down_min_p(p, cosines, draws=40_000) == pytest.approx(np.full(8, 1 - 0.99**8), rel=0.05)


def test_rows_that_say_the_same_count_once() -> None:
    same = np.random.default_rng(2).normal(size=60)
    found = step_down_min_p([0.02] * 10, [same, *[-same] * 9], draws=40_000)
    assert found == pytest.approx(np.full(10, 0.02), rel=0.15)


def test_a_row_of_fewer_cosines_counts_as_less_alike() -> None:
    """Two rows with the same first quarter of the coefficients: taken as correlated by one half, so between one row and two."""
    long = np.ones(64)
    found = step_down_min_p([0.04, 0.04], [long, long[:16]], draws=100_000)
    # P(|Z1| or |Z2| beyond z) of a normal pair with correlation .5, by the bivariate normal distribution.
    from scipy.stats import multivariate_normal

    z = -norm.ppf(0.02)
    pair = multivariate_normal(cov=[[1, 0.5], [0.5, 1]])
    inside = pair.cdf([z, z]) - 2 * pair.cdf([-z, z]) + pair.cdf([-z, -z])
    assert found == pytest.approx(np.full(2, 1 - inside), rel=0.03)
    assert 0.04 < 1 - inside < 1 - 0.96**2 + 1e-12


def test_adjusted_p_rise_with_p_and_are_never_smaller() -> None:
    rng = np.random.default_rng(3)
    cosines, p = rng.normal(size=(12, 40)), np.sort(rng.random(12))
    found = step_down_min_p(p, cosines, draws=5_000)
    assert np.all(np.diff(found) >= 0)
    assert np.all(found >= p - 3 * np.sqrt(p * (1 - p) / 5_000))


def test_the_order_of_rows_changes_nothing_but_their_order() -> None:
    rng = np.random.default_rng(4)
    cosines, p = rng.normal(size=(6, 30)), rng.random(6)
    order = rng.permutation(6)
    assert step_down_min_p(p[order], cosines[order], draws=500) == pytest.approx(step_down_min_p(p, cosines, draws=500)[order])


def test_a_p_of_zero_is_kept() -> None:
    assert step_down_min_p([0.0, 1.0], [np.ones(5), np.arange(5.0)], draws=99).tolist() == [0.01, 1.0]


@pytest.mark.parametrize(
    ("p", "cosines", "draws", "says"),
    [
        ([0.1, 1.2], [[1.0], [1.0]], 10, "something else than probabilities"),
        ([[0.1]], [[1.0]], 10, "something else than probabilities"),
        ([0.1], [[1.0], [1.0]], 10, "differ in length"),
        ([0.1], [None], 10, "has no cosine coefficients"),
        ([0.1], [[0.0, 0.0]], 10, "has no cosine coefficients"),
        ([0.1], [[1.0]], 0, "no draws are asked for"),
    ],
)
def test_bad_input_is_refused(p: ArrayLike, cosines: list[ArrayLike | None], draws: int, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        step_down_min_p(p, cosines, draws=draws)


def test_nothing_tried_is_nothing_found() -> None:
    assert benjamini_hochberg([]).tolist() == []
    assert step_down_min_p([], []).tolist() == []
    assert np.isnan(step_down_min_p([math.nan], [None])).all()


# The deflated Sharpe ratio.


def test_the_known_answer() -> None:
    found = deflated_sharpe_ratio(2.5 / math.sqrt(250), periods=1_250, trials=100, trial_variance=0.5 / 250, skew=-3, kurtosis=10)
    assert found.expected_maximum == pytest.approx(0.11317, abs=5e-6)
    assert found.probability == pytest.approx(0.9004, abs=5e-5)


def test_one_trial_is_the_probabilistic_sharpe_ratio() -> None:
    found = deflated_sharpe_ratio(0.1, periods=401, trials=1, trial_variance=0.5)
    assert found.expected_maximum == 0.0
    assert found.probability == pytest.approx(norm.cdf(0.1 * 20 / math.sqrt(1 + 0.5 * 0.01)))


def test_the_expected_maximum_is_near_that_of_draws() -> None:
    best = np.random.default_rng(5).normal(0, 0.05, size=(20_000, 100)).max(axis=1).mean()
    assert deflated_sharpe_ratio(0.1, periods=500, trials=100, trial_variance=0.05**2).expected_maximum == pytest.approx(best, rel=0.02)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"periods": 1}, "periods is too small"),
        ({"trials": 0}, "trials is too small"),
        ({"trial_variance": -0.1}, "variance of the trials"),
        ({"trial_variance": math.nan}, "variance of the trials"),
        ({"skew": 30.0}, "no returns have such moments"),
    ],
)
def test_bad_moments_are_refused(changed: dict[str, Any], says: str) -> None:
    arguments = {"periods": 100, "trials": 10, "trial_variance": 0.1, **changed}
    with pytest.raises(ConfigError, match=says):
        deflated_sharpe_ratio(0.1, **arguments)
