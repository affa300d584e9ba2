"""Performance statistics: another library, figures worked out by hand, and curves that have no ratio."""

from __future__ import annotations

import math

import empyrical
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointline.errors import ConfigError
from pointline.trading.performance import daily_returns, performance

CHANGES = st.lists(st.integers(-400, 500).map(lambda n: n / 10_000), min_size=10, max_size=60).filter(lambda found: len(set(found)) > 1)


@given(changes=CHANGES)
def test_agrees_with_empyrical(changes: list[float]) -> None:
    equity = 1_000.0 * np.cumprod(1 + np.array(changes))
    returns = pd.Series(daily_returns(equity, 1_000.0), index=pd.date_range("2024-01-01", periods=len(equity)))
    np.testing.assert_allclose(returns, changes, rtol=0, atol=1e-14)
    found = performance(equity, 1_000.0)
    near = {"rel": 1e-12, "abs": 1e-12}
    assert found.total_return == pytest.approx(empyrical.cum_returns_final(returns), **near)
    assert found.annual_return == pytest.approx(empyrical.annual_return(returns, annualization=365), **near)
    assert found.annual_volatility == pytest.approx(empyrical.annual_volatility(returns, annualization=365), **near)
    assert found.sharpe == pytest.approx(empyrical.sharpe_ratio(returns, annualization=365), **near)
    assert found.max_drawdown == pytest.approx(empyrical.max_drawdown(returns), **near)


def test_by_hand() -> None:
    """Returns 1 % and -1 % in turn, 20 days: mean 0, deviation sqrt(20/19) %, so ratio 0 with the error 1/sqrt(19) a day."""
    equity, value = [], 100.0
    for day in range(20):
        value *= 1.01 if day % 2 == 0 else 0.99
        equity.append(value)
    found = performance(equity, 100.0)
    assert found.sharpe == pytest.approx(0, abs=1e-9)
    assert found.annual_volatility == pytest.approx(0.01 * math.sqrt(20 / 19 * 365), rel=1e-9)
    assert found.sharpe_error == pytest.approx(math.sqrt(365 / 19), rel=1e-9)
    assert (found.skew, found.kurtosis) == pytest.approx((0, 1), abs=1e-9)


@pytest.mark.parametrize("growth", [1.0, 1.01, 1.0000001, 0.999])
def test_equal_returns_have_no_ratio(growth: float) -> None:
    found = performance(100.0 * growth ** np.arange(1, 21), 100.0)
    assert found.sharpe is found.sharpe_error is found.skew is None


def test_few_days_have_no_ratio() -> None:
    found = performance([101.0, 99.0, 102.0], 100.0)
    assert found.sharpe is found.annual_return is found.annual_volatility is None
    assert (found.days, found.total_return, found.drawdown_days) == (3, pytest.approx(0.02), 1)


def test_equity_that_is_used_up() -> None:
    with pytest.raises(ConfigError, match="used up"):
        daily_returns([50.0, 0.0, 20.0], 100.0)
    with pytest.raises(ConfigError, match="used up"):
        daily_returns([50.0], 0.0)
    found = performance([90.0] * 10 + [-5.0], 100.0)
    assert (found.total_return, found.annual_return) == (pytest.approx(-1.05), None)
    assert found.max_drawdown == pytest.approx(-1.05)
    again = performance([50.0, 0.0, 20.0], 100.0)  # what comes later has no base
    assert (again.days, again.used_up, again.total_return, again.max_drawdown) == (2, True, -1.0, -1.0)
    assert not performance([50.0, 1.0], 100.0).used_up
