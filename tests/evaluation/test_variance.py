"""The variance of a mean by cosines: the definition, and estimators of other libraries."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import statsmodels.api as sm
from arch.bootstrap import StationaryBootstrap, optimal_block_length
from hypothesis import given
from hypothesis import strategies as st
from tests.evaluation import loops
from tests.evaluation.cases import autoregression

from pointline.errors import MissingExtraError
from pointline.evaluation.variance import cosine_coefficients, critical_value, degrees_of_freedom, long_run_variance, t_ratio, two_sided


@given(st.lists(st.floats(-1e3, 1e3), min_size=5, max_size=60), st.integers(1, 4))
def test_cosines_are_the_sums_of_the_definition(values: list[float], nu: int) -> None:
    found = cosine_coefficients(np.array(values), nu)
    assert found == pytest.approx(loops.cosines(values, nu), rel=1e-9, abs=1e-8)


def test_many_series_at_once_equal_one_by_one() -> None:
    series = np.random.default_rng(3).normal(size=(2, 4, 101))
    together = cosine_coefficients(series, 7)
    assert together.shape == (2, 4, 7)
    assert long_run_variance(together).shape == (2, 4)
    for place in np.ndindex(2, 4):
        assert together[place] == pytest.approx(cosine_coefficients(series[place], 7), rel=1e-12)


def test_the_series_is_left_as_it_was() -> None:
    series = np.arange(20.0)
    cosine_coefficients(series, 3)
    assert series.tolist() == list(range(20))


@given(st.integers(1, 100_000), st.integers(1, 5_000))
def test_degrees_of_freedom_follow_the_rule(n: int, horizon: int) -> None:
    assert degrees_of_freedom(n, horizon) == loops.nu(n, horizon)


@pytest.mark.parametrize(
    ("n", "horizon", "expected"), [(51_030, 1, 550), (2_000, 1, 63), (2_000, 10, 63), (2_000, 50, 16), (400, 50, 4), (1, 1, 1)]
)
def test_degrees_of_freedom_of_known_samples(n: int, horizon: int, expected: int) -> None:
    assert degrees_of_freedom(n, horizon) == expected


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.8])
def test_near_the_newey_west_variance_of_statsmodels(phi: float) -> None:
    series = autoregression(np.random.default_rng(5).standard_normal(20_000), phi)
    theirs = sm.OLS(series, np.ones(len(series))).fit(cov_type="HAC", cov_kwds={"maxlags": 100}).bse[0]
    ours = math.sqrt(long_run_variance(cosine_coefficients(series, degrees_of_freedom(len(series)))) / len(series))
    truth = math.sqrt((1 + phi) / (1 - phi) / len(series))
    assert ours == pytest.approx(theirs, rel=0.15)
    assert ours == pytest.approx(truth, rel=0.15)


def test_near_the_stationary_bootstrap_of_arch() -> None:
    series = autoregression(np.random.default_rng(6).standard_normal(5_000), 0.5)
    length = float(optimal_block_length(series)["stationary"].iloc[0])
    means = StationaryBootstrap(length, series, seed=7).apply(np.mean, 500)
    ours = math.sqrt(long_run_variance(cosine_coefficients(series, degrees_of_freedom(len(series)))) / len(series))
    assert ours == pytest.approx(float(np.std(means)), rel=0.2)


def test_tables_of_the_t_distribution() -> None:
    # Printed tables: 2.228 and 3.169 for 10 degrees of freedom, 1.812 for 90 %.
    assert critical_value(0.95, 10) == pytest.approx(2.228, abs=5e-4)
    assert critical_value(0.99, 10) == pytest.approx(3.169, abs=5e-4)
    assert critical_value(0.90, 10) == pytest.approx(1.812, abs=5e-4)
    assert two_sided(-3.169, 10) == pytest.approx(0.01, abs=1e-5)
    assert math.isnan(two_sided(math.nan, 10))
    assert two_sided(math.inf, 10) == 0.0


def test_a_mean_without_error_is_infinitely_far_from_zero() -> None:
    assert t_ratio(2.0, 0.0) == math.inf
    assert t_ratio(-2.0, 0.0) == -math.inf
    assert math.isnan(t_ratio(0.0, 0.0))


def test_without_scipy_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    with pytest.raises(MissingExtraError) as raised:
        cosine_coefficients(np.arange(9.0), 2)
    assert "pip install 'pointline[research]'" in str(raised.value)
