"""Shares of price discovery: the analytic function against published formulas worked out by hand, the fit against statsmodels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.evaluation.followed import followed

from pointline.errors import ConfigError
from pointline.evaluation import information_shares, price_discovery
from pointline.evaluation.information_shares import _fitted
from pointline.evaluation.ticks import Ticks

SECOND = 1_000_000
ALPHA, OMEGA = np.array([-0.02, 0.08]), np.array([[1.0, 0.5], [0.5, 1.0]])


def test_known_shares() -> None:
    shares = information_shares(ALPHA, OMEGA)
    assert shares.component_share == pytest.approx(0.8)
    assert shares.information_share_low == pytest.approx(0.5714, abs=5e-5)
    assert shares.information_share_high == pytest.approx(0.9643, abs=5e-5)
    assert shares.information_leadership_share is None  # the bounds are .39 apart


def test_the_other_market_has_the_rest() -> None:
    one, other = information_shares(ALPHA, OMEGA), information_shares(-ALPHA[::-1], OMEGA)
    assert other.component_share == pytest.approx(1 - one.component_share)
    assert other.information_share_low == pytest.approx(1 - one.information_share_high)
    assert other.information_share_high == pytest.approx(1 - one.information_share_low)


def test_shocks_that_have_nothing_in_common_leave_no_doubt() -> None:
    """Ω = diag(1, 4), ψ = (.8, .2): .64 against .16, so the share is .8; L = (.8/.2)(.2/.8) = 1, so nobody leads."""
    shares = information_shares(ALPHA, np.diag([1.0, 4.0]))
    assert (shares.information_share_low, shares.information_share_high) == (pytest.approx(0.8), pytest.approx(0.8))
    assert shares.information_leadership_share == pytest.approx(0.5)


def test_leadership_by_hand() -> None:
    """Ω = diag(1, 1): IS = .64 / .68 = 16/17, L = 16 x (1/4) = 4, share = 4 / (4 + 1/4) = 16/17."""
    assert information_shares(ALPHA, np.eye(2)).information_leadership_share == pytest.approx(16 / 17)


@pytest.mark.parametrize(
    ("alpha", "omega"),
    [
        ([0.1, 0.1], OMEGA),
        ([0.1], OMEGA),
        ([-0.1, 0.1], [[1.0, 2.0], [2.0, 1.0]]),
        ([-0.1, 0.1], [[1.0, 0.2], [0.3, 1.0]]),
        ([-0.1, math.nan], OMEGA),
        ([-0.1, 0.1], [[0.0, 0.0], [0.0, 1.0]]),
    ],
)
def test_models_without_shares(alpha: list[float], omega: Any) -> None:  # noqa: ANN401
    with pytest.raises(ConfigError):
        information_shares(np.array(alpha), np.array(omega))


def corrected(count: int, seed: int) -> tuple[Ticks, Ticks]:
    """Two prices a second that follow the model of the known answer."""
    random = np.random.default_rng(seed)
    shocks = random.multivariate_normal([0, 0], OMEGA, count) * 1e-4
    prices = np.zeros((count, 2))
    for t in range(1, count):
        prices[t] = prices[t - 1] + ALPHA * (prices[t - 1, 0] - prices[t - 1, 1]) + shocks[t]
    stamps = SECOND * np.arange(count, dtype=np.int64)
    return Ticks(stamps, np.ascontiguousarray(prices[:, 0])), Ticks(stamps, np.ascontiguousarray(prices[:, 1]))


def test_the_fit_finds_the_known_shares() -> None:
    frames = [pl.DataFrame({"ts_local_us": side.ts_us, "price": np.exp(side.log_price)}) for side in corrected(60_000, 1)]
    found = price_discovery(*frames, lags=1)
    assert found.measured.component_share == pytest.approx(0.8, abs=0.05)
    assert found.measured.information_share_low == pytest.approx(0.5714, abs=0.06)
    assert found.measured.information_share_high == pytest.approx(0.9643, abs=0.03)
    assert found.adjustment == (pytest.approx(-0.02, abs=0.005), pytest.approx(0.08, abs=0.005))
    assert found.rows == 59_998


def test_the_fit_is_that_of_statsmodels() -> None:
    api = pytest.importorskip("statsmodels.api", reason="the fit is compared with statsmodels")
    one, other = corrected(800, 2)
    alpha, omega, rows = _fitted(one, other, SECOND, 3, 60 * SECOND)
    changes = np.column_stack((np.diff(one.log_price), np.diff(other.log_price)))
    gap = (one.log_price - other.log_price)[3:-1]
    inputs = api.add_constant(np.column_stack((gap, changes[2:-1], changes[1:-2], changes[:-3])))
    fits = [api.OLS(changes[3:, side], inputs).fit() for side in (0, 1)]
    assert alpha.tolist() == pytest.approx([fit.params[1] for fit in fits])
    assert np.diag(omega).tolist() == pytest.approx([fit.mse_resid for fit in fits])
    assert rows == fits[0].nobs


def test_staleness_alone_looks_like_leadership_and_the_null_shows_it() -> None:
    """Nobody leads, 20 and 3.3 ticks a second: on 100 ms the bounds say .9 or more, and so they do on the thinned null."""
    one, other = followed(11, first=72_000, second=12_000)
    found = price_discovery(one, other, interval="100ms")
    assert found.measured.information_share_low > 0.85
    assert found.null is not None
    assert found.null.information_share_low > 0.85
    wide = price_discovery(one, other, interval="1s").measured
    assert wide.information_share_high - wide.information_share_low > 0.5
    assert wide.information_leadership_share is None


def test_nothing_reaches_over_a_silence() -> None:
    frames = [pl.DataFrame({"ts_local_us": side.ts_us, "price": np.exp(side.log_price)}) for side in corrected(4_000, 3)]
    behind = pl.col("ts_local_us") >= 2_000 * SECOND
    moved = pl.when(behind).then(pl.col("ts_local_us") + 3_600 * SECOND).otherwise("ts_local_us")
    jumped = pl.when(behind).then(pl.col("price") * 1.5).otherwise("price")
    plain = price_discovery(*(frame.with_columns(moved) for frame in frames), lags=2, max_gap="1s")
    jump = price_discovery(*(frame.with_columns(moved, jumped) for frame in frames), lags=2, max_gap="1s")
    assert plain.rows == 2 * (2_000 - 3) + 1  # the first silent second still shows the last price
    assert jump.rows == plain.rows
    assert jump.adjustment == pytest.approx(plain.adjustment)


def test_too_few_points_say_how_many_are_needed() -> None:
    one, other = followed(12, second=7_200)
    with pytest.raises(ConfigError, match="too few points") as caught:
        price_discovery(one, other, interval="1m")
    assert caught.value.expected == "at least 220, 10 per coefficient"
    with pytest.raises(ConfigError, match="too few price changes"):
        price_discovery(one, other.head(20))
    with pytest.raises(ConfigError, match="lags is no count"):
        price_discovery(one, other, lags=-1)
