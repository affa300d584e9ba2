"""Fills, thresholds and drawdown equal plain loops; later data change no earlier fill or threshold."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.trading import backtest_loop as loop
from tests.trading.markets import HOUR_US, LEGS, bars_of, frame_of

from pointline.errors import ConfigError
from pointline.trading.execution import NEVER_US, LegFills, next_bar_fills, next_trade_fills, touch_fills
from pointline.trading.performance import performance
from pointline.trading.strategy import Levels, Quantiles
from pointline.trading.thresholds import bounds_of

TIMES = st.lists(st.integers(0, 60), max_size=30).map(sorted)
PRICES = st.integers(1, 9).map(float)


def parts_of(items: list[tuple[float, ...]], cuts: list[int], width: int) -> list[tuple[np.ndarray, ...]]:  # type: ignore[type-arg]
    """Rows in parts that follow one another; rows of one time stay together, parts may be empty."""
    edges = [0]
    for cut in sorted(min(cut, len(items)) for cut in cuts):
        while 0 < cut < len(items) and items[cut][0] == items[cut - 1][0]:
            cut += 1  # noqa: PLW2901
        edges.append(max(cut, edges[-1]))
    edges.append(len(items))
    found = []
    for first, stop in pairwise(edges):
        columns = list(zip(*items[first:stop], strict=True)) or [()] * width
        found.append((np.array(columns[0], dtype=np.int64), *(np.array(column, dtype=np.float64) for column in columns[1:])))
    return found


def assert_fills(found: LegFills, expected: list[tuple[int, float] | None]) -> None:
    assert found.at_us.tolist() == [NEVER_US if one is None else one[0] for one in expected]
    np.testing.assert_array_equal(found.price, [math.nan if one is None else one[1] for one in expected])
    assert found.filled.tolist() == [one is not None for one in expected]


@given(bars=bars_of(1.0), legs=st.sampled_from(LEGS), at_open=st.booleans(), wait_us=st.sampled_from([0, HOUR_US, 20 * HOUR_US]))
def test_next_bar(bars: list[loop.Bar], legs: str, at_open: bool, wait_us: int) -> None:
    price = "open" if at_open else "vwap"
    wanted = ("perp", "spot") if legs == "both" else (legs,)
    if any(all(getattr(bar, leg) is None for bar in bars) for leg in wanted):
        return
    found = next_bar_fills(frame_of(bars, price), price=price, legs=legs, max_wait_us=wait_us, slippage_bps=(1.0, 2.0))  # type: ignore[arg-type]
    for leg in ("perp", "spot"):
        expected: list[tuple[int, float] | None] = []
        for j, decided in enumerate(bars):
            fill = None
            for bar in bars[j + 1 :]:
                if all(getattr(bar, name) is not None for name in wanted):
                    if bar.start - decided.end <= wait_us:
                        fill = (bar.start if at_open else bar.end - 1, getattr(bar, leg))
                    break
            expected.append(fill)
            assert fill is None or fill[0] >= decided.end
        got = getattr(found, leg)
        assert (got is None) == (leg not in wanted)
        if got is not None:
            assert_fills(got, expected)


@given(wanted=TIMES, times=TIMES, data=st.data(), wait=st.integers(0, 20), cuts=st.lists(st.integers(0, 30), max_size=3))
def test_next_trade(wanted: list[int], times: list[int], data: st.DataObject, wait: int, cuts: list[int]) -> None:
    trades = [(us, data.draw(PRICES)) for us in times]
    found = next_trade_fills(np.array(wanted, dtype=np.int64), parts_of(trades, cuts, 2), max_wait_us=wait, slippage_bps=1.0)  # type: ignore[arg-type]
    expected: list[tuple[int, float] | None] = []
    for order in wanted:
        later = [trade for trade in trades if trade[0] >= order]
        expected.append(later[0] if later and later[0][0] - order <= wait else None)
    assert_fills(found, expected)


@given(wanted=TIMES, times=TIMES, data=st.data(), age=st.integers(0, 20), cuts=st.lists(st.integers(0, 30), max_size=3))
def test_touch(wanted: list[int], times: list[int], data: st.DataObject, age: int, cuts: list[int]) -> None:
    side = st.one_of(PRICES, st.sampled_from([math.nan, 0.0]))
    quotes = [(us, data.draw(side), data.draw(side)) for us in times]
    found = touch_fills(np.array(wanted, dtype=np.int64), parts_of(quotes, cuts, 3), max_age_us=age)  # type: ignore[arg-type]
    expected: list[tuple[int, float] | None] = []
    for place, order in enumerate(wanted):
        before = [quote for quote in quotes if quote[0] <= order]
        us, bid, ask = before[-1] if before else (order - age - 1, 1.0, 1.0)
        usable = order - us <= age and bid > 0 and ask >= bid
        expected.append((order, (bid + ask) / 2) if usable else None)
        if usable:  # a buyer pays the ask, a seller gets the bid
            paid = found.price[place] * found.slippage_bps[place] / 1e4
            assert (found.price[place] + paid, found.price[place] - paid) == pytest.approx((ask, bid), rel=1e-12)
    assert_fills(found, expected)


@given(
    bars=bars_of(1.0),
    entry=st.sampled_from([0.5, 0.8, 0.99]),
    leave=st.sampled_from([0.5, 0.5, 0.6]),
    refit_us=st.sampled_from([HOUR_US, 8 * HOUR_US, 5 * HOUR_US]),
    lookback_us=st.sampled_from([None, HOUR_US, 30 * HOUR_US]),
    fewest=st.integers(2, 5),
    cut=st.integers(1, 30),
)
def test_thresholds(
    bars: list[loop.Bar], entry: float, leave: float, refit_us: int, lookback_us: int | None, fewest: int, cut: int
) -> None:
    leave = min(leave, entry)
    rules = loop.Rules(entry=entry, exit=leave, refit_us=refit_us, lookback_us=lookback_us, fewest=fewest)
    chosen = Quantiles(entry=entry, exit=leave, refit_us=refit_us, lookback_us=lookback_us, fewest_bars=fewest)

    def found(some: list[loop.Bar]) -> np.ndarray:  # type: ignore[type-arg]
        signal = frame_of(some, "open")["signal"].to_numpy()
        bounds = bounds_of(chosen, signal, np.array([bar.end for bar in some]))
        return np.array([bounds.above, bounds.exit_above, bounds.below, bounds.exit_below])

    whole = found(bars)
    for k in range(len(bars)):
        told = [math.nan if one is None else one for one in loop.thresholds(bars, k, rules)]
        np.testing.assert_allclose(whole[:, k], told, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(found(bars[:cut]), whole[:, :cut])


def test_a_fit_counts_the_bar_that_ends_with_it_and_not_its_own() -> None:
    """Fits at 2 h and 4 h. Bars end at 1, 2, 3, 4, 5 h: the fit at 2 h counts two, and is in force for 3 and 4 h."""
    known_us = np.arange(1, 6) * HOUR_US
    chosen = Quantiles(entry=0.75, refit_us="2h", lookback_us="2h", fewest_bars=2)  # type: ignore[arg-type]
    bounds = bounds_of(chosen, np.array([0.0, 1.0, 10.0, 20.0, 99.0]), known_us)
    np.testing.assert_array_equal(bounds.above, [np.nan, np.nan, 0.75, 0.75, 17.5])
    np.testing.assert_array_equal(bounds.exit_below, [np.nan, np.nan, 0.5, 0.5, 15.0])
    levels = bounds_of(Levels(above=3.0, exit_above=1.0), np.zeros(2), known_us[:2])
    assert levels.above.tolist() == [3.0, 3.0]
    assert np.isnan(levels.below).all()


@given(equity=st.lists(st.integers(1, 40).map(float), min_size=1, max_size=40))
def test_drawdown(equity: list[float]) -> None:
    found = performance(equity, 20.0)
    peak, worst, under, longest = 20.0, 0.0, 0, 0
    for value in equity:
        peak = max(peak, value)
        worst = min(worst, value / peak - 1)
        under = 0 if value >= peak else under + 1
        longest = max(longest, under)
    assert (found.max_drawdown, found.drawdown_days, found.days) == (worst, longest, len(equity))
    assert found.total_return == pytest.approx(equity[-1] / 20 - 1, rel=1e-12)


def test_bars_without_any_price_of_a_leg_are_refused() -> None:
    bars = pl.DataFrame({"bucket_start": [0], "bucket_end": [1], "perp_vwap": [1.0], "spot_vwap": [None]})
    with pytest.raises(ConfigError, match="no bar has a spot vwap") as refused:
        next_bar_fills(bars, price="vwap", legs="both", max_wait_us=0, slippage_bps=(0.0, 0.0))
    assert "next_bar_open" in str(refused.value.hint)
