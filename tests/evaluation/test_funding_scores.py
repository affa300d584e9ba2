"""Scores of forecasts against other libraries, and the test of one error against another."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import mean_absolute_error, r2_score

from pointline.errors import ConfigError
from pointline.evaluation import error_difference, forecast_scores


@given(seed=st.integers(0, 10_000), n=st.integers(40, 200))
def test_scores_equal_those_of_other_libraries(seed: int, n: int) -> None:
    random = np.random.default_rng(seed)
    actual = np.round(random.normal(1, 2, n), 4)
    last, forecast, rule = np.roll(actual, 1), actual + random.normal(0, 1, n), actual + random.normal(0, 1, n)
    found = forecast_scores(forecast, actual, last, rule)
    assert found["mae_bps"] == pytest.approx(mean_absolute_error(actual, forecast))
    assert found["r2"] == pytest.approx(r2_score(actual, forecast))
    assert found["ic"] == pytest.approx(stats.spearmanr(np.round(forecast - last, 9), np.round(actual - last, 9)).statistic)
    assert found["mae_less_rule_bps"] == pytest.approx(mean_absolute_error(actual, forecast) - mean_absolute_error(actual, rule))
    changed = [place for place in range(n) if actual[place] != last[place]]
    right = [place for place in changed if (forecast[place] > last[place]) == (actual[place] > last[place])]
    assert found["direction_right"] == len(right) / len(changed)
    assert found["changes"] == len(changed)


@given(seed=st.integers(0, 10_000), n=st.integers(30, 120))
def test_the_test_of_two_errors_equals_a_plain_sum(seed: int, n: int) -> None:
    """Cosines written out: q_j = sqrt(2/n) Σ (d_t - mean d) cos(πj(t - ½)/n)."""
    random = np.random.default_rng(seed)
    one, other = random.normal(0, 1, n), random.normal(0, 1.2, n)
    found = error_difference(one, other)
    differences = [abs(a) - abs(b) for a, b in zip(one.tolist(), other.tolist(), strict=True)]
    mean = math.fsum(differences) / n
    nu = int(0.4 * n ** (2 / 3))
    cosines = [
        math.sqrt(2 / n) * math.fsum((d - mean) * math.cos(math.pi * j * (t + 0.5) / n) for t, d in enumerate(differences))
        for j in range(1, nu + 1)
    ]
    t = mean / math.sqrt(math.fsum(q * q for q in cosines) / nu / n)
    assert (found.mean, found.t, found.nu, found.n) == (pytest.approx(mean), pytest.approx(t), nu, n)
    assert found.p == pytest.approx(stats.t.cdf(t, nu))


def test_equally_good_forecasts_are_told_apart_in_one_of_twenty_samples() -> None:
    """Errors that depend on each other from one settlement to the next."""
    random = np.random.default_rng(5)
    rejected = 0
    for _ in range(400):
        common = np.convolve(random.normal(size=520), np.ones(4) / 2, "valid")[:500]
        one, other = common + random.normal(size=500), common + random.normal(size=500)
        rejected += error_difference(one, other).p < 0.05
    assert 0.025 <= rejected / 400 <= 0.08


def test_forecasts_that_do_not_differ_have_no_p() -> None:
    assert math.isnan(error_difference(np.ones(100), -np.ones(100)).p)
    assert error_difference([], []).n == 0
    assert error_difference([1.0, math.nan], [2.0, 1.0]).n == 1


def test_a_rate_that_never_changes_has_no_direction() -> None:
    same = np.ones(60)
    found = forecast_scores(same, same, same, same)
    assert (found["r2"], found["direction_right"], found["ic"], found["changes"], found["p_less_than_rule"]) == (None, None, None, 0, None)


def test_a_difference_below_the_last_published_digit_is_no_direction() -> None:
    last, actual = np.array([1.0, 1.0]), np.array([1.5, 0.5])
    assert forecast_scores(last + 1e-13, actual, last, last)["direction_right"] is None
    assert forecast_scores(last + np.array([1e-13, -0.1]), actual, last, last)["direction_right"] == 0.5


def test_errors_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ConfigError, match="differ in number"):
        error_difference([1.0], [1.0, 2.0])
    with pytest.raises(ConfigError, match="infinite"):
        error_difference([math.inf], [1.0])
