"""A market with a divergence that pays its costs is found profitable; one without is not, nor is the best of many tries on it."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
from tests.trading import backtest_loop as loop
from tests.trading.markets import HOUR_US, START_US

from pointline.costs import CostModel
from pointline.evaluation.multiplicity import deflated_sharpe_ratio
from pointline.trading.backtest import Account, BacktestInputs, run_backtest
from pointline.trading.execution import next_bar_fills
from pointline.trading.performance import DAYS_PER_YEAR, Performance, performance
from pointline.trading.strategy import Quantiles, Strategy

DAYS = 120


def judged(basis_bps: float, *, seed: int, entry: float = 0.9, known: bool = True, costs: CostModel | None = None) -> Performance:
    """Hourly bars of a basis that returns in about 12 hours, traded against; where it is not known, on a signal of its own."""
    rng = np.random.default_rng(seed)
    n, kept = 24 * DAYS, math.exp(-1 / 12)
    shocks = rng.standard_normal((3, n))
    basis = np.empty(n)
    other = np.empty(n)
    for values, shock in ((basis, shocks[0]), (other, shocks[1])):
        values[0] = shock[0]
        for k in range(1, n):
            values[k] = kept * values[k - 1] + math.sqrt(1 - kept**2) * shock[k]
    spot = 60_000 * np.exp(np.cumsum(shocks[2]) * 0.005)
    perp = spot * (1 + basis * basis_bps / 1e4)
    start_us = START_US + np.arange(n) * HOUR_US
    bars = pl.DataFrame({"bucket_start": start_us, "bucket_end": start_us + HOUR_US, "signal": basis if known else other})
    bars = bars.with_columns(perp_vwap=perp, spot_vwap=spot, perp_close=perp, spot_close=spot)
    inputs = BacktestInputs(
        bars=bars,
        fills=next_bar_fills(bars, price="vwap", legs="both", max_wait_us=0, slippage_bps=(0.0, 0.0) if costs else (2.0, 3.0)),
        costs=costs or CostModel.same_exchange(),
        account=Account(leverage=None),
        window_us=(int(start_us[0]), int(start_us[-1]) + HOUR_US),
    )
    fitted = Quantiles(entry=entry, fewest_bars=100, lookback_us="20d")  # type: ignore[arg-type]
    tables = run_backtest(Strategy(name="x", text="", signal="signal", high="short", thresholds=fitted), inputs)
    return performance(tables.daily["equity_quote"], tables.capital_quote)


def probability(found: Performance, ratios: list[float]) -> float:
    """Deflated by as many trials as there are ratios."""
    assert found.daily_sharpe is not None
    assert found.skew is not None
    assert found.kurtosis is not None
    variance = float(np.var(ratios, ddof=1)) / DAYS_PER_YEAR if len(ratios) > 1 else 0.0
    return deflated_sharpe_ratio(
        found.daily_sharpe, periods=found.days, trials=len(ratios), trial_variance=variance, skew=found.skew, kurtosis=found.kurtosis
    ).probability


def test_a_divergence_that_pays_its_costs_is_found() -> None:
    """Standard deviation 60 bps: beyond the 0.9 quantile, 1.28 deviations, it is 105 bps or so on average, against costs of 40."""
    for seed in range(3):
        tried = [judged(60.0, seed=seed, entry=entry) for entry in (0.8, 0.85, 0.9, 0.95)]
        ratios = [one.sharpe for one in tried if one.sharpe is not None]
        best = max(tried, key=lambda one: one.sharpe or -math.inf)
        assert best.total_return > 0
        assert probability(best, ratios) >= 0.95


def test_one_that_does_not_pay_its_costs_loses() -> None:
    """Standard deviation 10 bps: it returns, and the costs are more."""
    found = judged(10.0, seed=1)
    assert found.total_return < 0
    assert probability(found, [0.0]) < 0.05


def test_no_divergence_is_not_found_by_trying() -> None:
    """Ten signals that know nothing, on each of ten markets that cost nothing: the best of ten convinces when the tries are not counted."""
    free = CostModel(perp_taker_bps=0, perp_slippage_bps=0, spot_taker_bps=0, spot_slippage_bps=0, withdrawal_bps=0)
    deflated, naive = [], []
    for market in range(10):
        tried = [judged(60.0, seed=100 * market + attempt, known=False, costs=free) for attempt in range(10)]
        ratios = [one.sharpe for one in tried if one.sharpe is not None]
        best = max(tried, key=lambda one: one.sharpe or -math.inf)
        deflated.append(probability(best, ratios))
        naive.append(probability(best, [0.0]))
    assert sum(one >= 0.95 for one in naive) >= 3
    assert sum(one >= 0.95 for one in deflated) <= 1
    assert 0.2 < float(np.mean(deflated)) < 0.8


def test_the_quantile_of_the_plain_loop() -> None:
    """The quantile of the loop is numpy's, at the sizes used here."""
    values = np.random.default_rng(1).standard_normal(501)
    for q in (0.05, 0.5, 0.9, 0.99):
        assert math.isclose(loop.quantile(values.tolist(), q), float(np.quantile(values, q)), rel_tol=1e-12)
