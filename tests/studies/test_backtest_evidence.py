"""Through the lake: a market whose basis returns by more than the costs is called profitable; one whose basis does not is not."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.studies.funding_lakes import PERP, SPOT, lake_of_hours

import pointline
from pointline.clock import DAY_US, HOUR_US, to_us
from pointline.costs import CostModel
from pointline.research.spines import TimeBarConfig
from pointline.trading.strategy import Quantiles, Strategy

if TYPE_CHECKING:
    from pathlib import Path

    from pointline.studies.study import Study

START, DAYS = "2024-03-01", 90
DIVERGENCE = Strategy(
    name="divergence",
    text="the basis returns",
    signal="basis_bps",
    high="short",
    thresholds=Quantiles(entry=0.9, fewest_bars=200, lookback_us="20d"),  # type: ignore[arg-type]
)
OPTIONS = {"execution": "next_bar_open", "perp_price_as_mark": True, "leverage": None, "costs": CostModel.same_exchange()}


def market(folder: Path, basis_bps: float) -> Study:
    """Hours of a random walk and of a basis that is half gone after about eight hours; a rate of 1 bp in eight hours."""
    rng = np.random.default_rng(6)
    n, kept = DAYS * 24, math.exp(-1 / 12)
    basis = np.zeros(n)
    for k in range(1, n):
        basis[k] = kept * basis[k - 1] + math.sqrt(1 - kept**2) * rng.standard_normal()
    spot = 60_000 * np.exp(np.cumsum(rng.standard_normal(n)) * 0.005)
    perp = spot * (1 + basis * basis_bps / 1e4)
    start_us = to_us(START)
    times = [start_us + k * HOUR_US for k in range(n)]
    payments = [(us + 3_000, 8, "0.00010000") for us in range(start_us, start_us + (DAYS + 1) * DAY_US, 8 * HOUR_US)]
    hours = [[(us, f"{price:.{places}f}") for us, price in zip(times, leg, strict=True)] for leg, places in ((perp, 1), (spot, 2))]
    lake = lake_of_hours(folder, *hours, payments)
    end_us = start_us + DAYS * DAY_US
    return pointline.compare(PERP, SPOT, start=start_us, end=end_us, bars=TimeBarConfig("1h"), events="candles_1h", lake=lake)


def test_a_known_divergence(tmp_path: Path) -> None:
    found = market(tmp_path, 60.0).backtest_sweep(DIVERGENCE, {"entry": [0.8, 0.9, 0.95]}, **OPTIONS)
    best = found.best
    assert best.profitable is True
    assert best.deflated is not None
    assert best.deflated >= 0.95
    assert (best.options.trials, best.summary["trials"]) == (3, 3)
    assert best.summary["gross_bps"] > best.summary["cost_bps"] == pytest.approx(40, abs=1)
    assert "Profitable" in best.verdict
    assert f"{best.funding.height:,} of {best.funding.height:,} funding payments count at the perp's own price" in " ".join(best.notes)


def test_none(tmp_path: Path) -> None:
    found = market(tmp_path, 3.0).backtest_sweep(DIVERGENCE, {"entry": [0.8, 0.9, 0.95], "max_holding_us": ["6h", "2d"]}, **OPTIONS)
    assert [one.profitable for one in found.backtests] == [False] * 6
    assert "Not shown to be profitable" in found.best.verdict
