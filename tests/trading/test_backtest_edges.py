"""Single cases of a backtest, each worked out by hand: margin, edges of days, signals that are no numbers, volumes that are missing."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from tests.trading import backtest_loop as loop
from tests.trading.markets import DAY_US, HOUR_US, START_US, Case, inputs_of, strategy_of

from pointline.errors import ConfigError
from pointline.trading.backtest import Account, BacktestTables, run_backtest
from pointline.trading.capacity import Capacity, Liquidity, capacity
from pointline.trading.execution import Fills, LegFills
from pointline.trading.legs import PairTerms
from pointline.trading.strategy import Levels, Quantiles


def bars_of(prices: list[float], signals: list[float | None]) -> list[loop.Bar]:
    """Hourly bars of one price on both sides; the perp's extremes are that price."""
    rows = enumerate(zip(prices, signals, strict=True))
    return [
        loop.Bar(START_US + k * HOUR_US, START_US + (k + 1) * HOUR_US, price, price, price, price, price, price, signal)
        for k, (price, signal) in rows
    ]


def run(bars: list[loop.Bar], *, fills: Fills | None = None, **rules: object) -> BacktestTables:
    wanted = loop.Rules(**{"levels": (0.5, 0.5, None, None), "window_us": (bars[0].start, bars[-1].end), "capital": 2_000.0, **rules})  # type: ignore[arg-type]
    inputs = replace(inputs_of(Case(bars, wanted, [loop.Settlement(START_US, 0.0, 1.0)])), payments=None)
    return run_backtest(strategy_of(wanted), replace(inputs, fills=fills) if fills else inputs)


# --- margin -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inverse", "side", "expected"),
    [  # entry 100, leverage 10, maintenance 1 %
        (False, 1, 90 / 0.99),  # 10 + (P - 100) = 0.01 P
        (False, -1, 110 / 1.01),  # 10 + (100 - P) = 0.01 P
        (True, 1, 101 / 1.1),  # 1/1000 + 1/100 - 1/P = 0.01/P
        (True, -1, 99 / 0.9),  # 1/1000 - 1/100 + 1/P = 0.01/P
    ],
)
def test_liquidation_prices(inverse: bool, side: int, expected: float) -> None:
    terms = PairTerms(inverse=inverse, contract_size=10.0)
    assert terms.liquidation_price(side, 100.0, 10.0, 0.01) == pytest.approx(expected, rel=1e-12)


def test_positions_that_are_never_liquidated() -> None:
    assert PairTerms().liquidation_price(1, 100.0, 1.0, 0.0) == 0.0
    assert PairTerms(inverse=True).liquidation_price(-1, 100.0, 1.0, 0.0) == math.inf
    with pytest.raises(ConfigError, match="maintenance_margin"):
        Account(leverage=10.0, maintenance_margin=0.1)


def test_a_margin_that_is_used_up() -> None:
    """Long at 100 with leverage 10, no maintenance: gone at 90. The price touches 90.5, then 90; the end is filled in the bar after."""
    bars = bars_of([100.0, 100.0, 95.0, 95.0, 95.0, 97.0], [1.0, 1.0, 1.0, 1.0, 0.7, 0.7])
    bars[2], bars[3] = bars[2]._replace(perp_low=90.5), bars[3]._replace(perp_low=90.0)
    row = run(bars, leverage=10.0, sides=(1,)).trades.row(0, named=True)
    assert (row["exit_reason"], row["exit_us"]) == ("margin", bars[4].end - 1)
    assert (row["liquidation_price"], row["nearest_liquidation"]) == pytest.approx((90.0, 0.0))
    assert run(bars, leverage=None).trades["exit_reason"].to_list() == ["end_of_data"]


def test_the_nearest_to_liquidation_counts_the_bar_of_the_exit() -> None:
    bars = bars_of([100.0, 100.0, 100.0, 100.0, 100.0], [1.0, 1.0, 0.0, 0.0, 0.0])
    bars[3] = bars[3]._replace(perp_low=92.0)  # the bar in which the end is filled
    bars[4] = bars[4]._replace(perp_low=50.0)
    row = run(bars, leverage=10.0).trades.row(0, named=True)
    assert row["exit_us"] == bars[3].end - 1
    assert row["nearest_liquidation"] == pytest.approx(0.02)


def test_a_bar_without_trades_has_no_extremes() -> None:
    """The low of 80 is of the bar before the position; the perp does not trade in the bar after the fill."""
    bars = bars_of([100.0] * 6, [1.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    bars[0] = bars[0]._replace(perp_low=80.0)
    bars[2] = bars[2]._replace(perp=None, perp_low=None, perp_high=None)
    assert run(bars, leverage=10.0).trades["exit_reason"].to_list() == ["signal"]


# --- decisions ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nothing", [None, math.nan, math.inf, -math.inf])
def test_a_signal_that_is_no_number_asks_for_nothing(nothing: float | None) -> None:
    signals: list[float | None] = [nothing, nothing, 1.0, nothing, nothing, 0.0, 0.0]
    found = run(bars_of([100.0] * 7, signals), levels=(0.5, 0.2, -0.5, -0.2))
    assert found.trades["entry_bar"].to_list() == [2]
    assert found.bars_without_signal == 4
    with pytest.raises(ConfigError, match="no value at any bar"):
        run(bars_of([100.0] * 3, [nothing] * 3))


def test_infinite_signals_are_no_past_of_a_threshold() -> None:
    signals: list[float | None] = [0.0, 1.0, math.inf, math.inf, 0.5, 3.0, 3.0, 3.0]
    found = run(bars_of([100.0] * 8, signals), levels=None, entry=0.9, fewest=2, refit_us=HOUR_US)
    assert found.trades["entry_bar"][0] == 5
    assert np.isfinite(found.trades["entry_signal"].to_numpy()).all()


def test_quantities_wait_for_prices_that_are_known() -> None:
    """The spot's first close is at the end of the third bar: nothing is sized at it before."""
    bars = bars_of([100.0, 101.0, 102.0, 103.0, 104.0], [1.0] * 5)
    bars[0], bars[1] = (bar._replace(spot_close=None) for bar in bars[:2])
    found = run(bars)
    assert found.trades["entry_bar"].to_list() == [2]
    assert found.trades["spot_qty"].to_list() == pytest.approx([-1_000 / 102])
    assert found.decisions_unfilled == 2


def test_only_decisions_of_a_free_account_count_as_unfilled() -> None:
    """The third bar asks in vain, as the spot does not trade in the fourth, but holds a position. The last has no bar after it."""
    bars = bars_of([100.0] * 8, [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0])
    bars[3] = bars[3]._replace(spot=None)
    found = run(bars, max_wait_us=0)
    assert found.trades["entry_bar"].to_list() == [0]
    assert found.decisions_unfilled == 1


def test_a_bar_that_ends_with_the_fill_does_not_end_the_position() -> None:
    """Decided at 1:00, filled at the first price after 3:00: the bar to 3:00 asks for an end of what is not begun."""
    bars = bars_of([100.0, 100.0, 100.0, 101.0, 102.0, 103.0], [1.0, 1.0, 0.0, 1.0, 0.0, 0.0])
    bars[1], bars[2] = (bar._replace(perp=None, spot=None) for bar in bars[1:3])
    row = run(bars, at_open=True, max_wait_us=5 * HOUR_US).trades.row(0, named=True)
    assert (row["entry_bar"], row["entry_us"], row["exit_us"]) == (0, bars[3].start, bars[5].start)


def test_too_few_bars_for_a_fit() -> None:
    with pytest.raises(ConfigError, match="too few bars are known"):
        run(bars_of([100.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0]), levels=None, fewest=6)
    with pytest.raises(ConfigError, match="thresholds never trade"):
        run(bars_of([100.0] * 5, [1.0] * 5), levels=(1.0, None, None, None))


def test_bars_out_of_order_or_twice_are_refused() -> None:
    bars = bars_of([100.0] * 6, [1.0] * 6)
    for wrong in (bars[::-1], [bars[0], *bars], [bars[0], bars[2], bars[1], *bars[3:]], [*bars[:3], bars[3]._replace(end=bars[3].start)]):
        with pytest.raises(ConfigError, match="not in order"):
            run(wrong, window_us=(bars[0].start, bars[-1].end))


def test_a_close_that_is_no_number_is_one_that_is_missing() -> None:
    bars = bars_of([100.0] * 30, [1.0] * 30)
    bars[23] = bars[23]._replace(perp_close=math.nan, spot_close=None)  # the last before midnight
    found = run(bars)
    assert found.daily["pnl_quote"].to_list() == pytest.approx([0.0, 0.0])


@pytest.mark.parametrize(
    "wrong",
    [
        {"above": math.nan},
        {"above": "1"},
        {"above": True},
        {"exit_above": 1.0},
        {"above": 1.0, "exit_above": 2.0},
        {"below": 0.0, "exit_below": -1.0},
        {"above": 0.0, "below": 1.0},
    ],
)
def test_levels_that_cannot_be(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        Levels(**wrong)


@pytest.mark.parametrize(
    "wrong", [{"entry": 0.4}, {"entry": 1}, {"entry": math.nan}, {"exit": 0.99}, {"fewest_bars": 1.5}, {"refit_us": 0}, {"lookback_us": -1}]
)
def test_quantiles_that_cannot_be(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        Quantiles(**wrong)  # type: ignore[arg-type]


# --- days ---------------------------------------------------------------------------------------------------------------------------


def test_a_fill_at_midnight_is_of_the_day_that_begins() -> None:
    """Entered at 100, left at midnight at 110, which is the first price of the new day; the last of the old one was 100."""
    bars = bars_of([100.0] * 24 + [110.0] * 3, [1.0] * 23 + [0.0] * 4)
    bars[24] = bars[24]._replace(spot=109.0)
    found = run(bars, at_open=True, fee_bps=(10.0, 10.0))
    assert found.trades["exit_us"].to_list() == [START_US + DAY_US]
    assert found.daily["perp_price_quote"].to_list() == pytest.approx([0.0, 100.0])
    assert found.daily["spot_price_quote"].to_list() == pytest.approx([0.0, -90.0])
    assert found.daily["fees_quote"].to_list() == pytest.approx([2.0, 2.19])


def test_legs_that_are_filled_on_two_days() -> None:
    """The perp an instant before midnight, the spot an instant after: each fill, its fee and what it earns is of its own day."""
    bars = bars_of([100.0] * 24 + [120.0] * 24, [0.0] * 22 + [1.0] * 26)
    n, midnight = len(bars), START_US + DAY_US
    spots = (midnight - 1, midnight + 1)
    legs = [LegFills(np.full(n, us), np.full(n, 100.0), np.full(n, 0.0)) for us in spots]
    for leg in legs:
        leg.at_us[:22], leg.at_us[23:] = -1, -1
    found = run(bars, fills=Fills(*legs), fee_bps=(10.0, 20.0))
    row = found.trades.row(0, named=True)
    assert (row["entry_us"], row["exit_us"]) == (midnight - 1, START_US + 2 * DAY_US - 1)
    assert found.daily["fees_quote"].to_list() == pytest.approx([1.0, 2.0 + 1.2 + 2.4])
    assert found.daily["traded_quote"].to_list() == pytest.approx([1_000.0, 1_000.0 + 2_400.0])
    assert found.daily["pnl_quote"].sum() == pytest.approx(-6.6)


def test_a_day_without_a_trade_earns_nothing() -> None:
    bars = bars_of([100.0] * 30, [1.0, 1.0, 0.0] + [0.0] * 27)
    found = run(bars)
    assert found.daily.height == 2
    assert found.daily.row(1)[1:] == (0.0,) * 7 + (found.capital_quote,) + (0.0,) * 3


# --- capacity -----------------------------------------------------------------------------------------------------------------------


def test_capacity_by_hand() -> None:
    """Two legs with σ/√V of 0.01/√1e8 = 1e-6 and 0.02/√4e8 = 1e-6: an edge of 8 bps is eaten at 2·Y·2e-6·√Q, so √Q = 8e-4/(4e-6 Y)."""
    legs = [Liquidity(np.array([1e5, 3e5, np.nan]), 0.01, 1e8), Liquidity(np.array([5e4, 5e4]), 0.02, 4e8)]
    found = capacity(legs, net_edge_bps=8.0)
    assert found.by_volume == pytest.approx((500.0, 2_500.0))
    assert found.by_impact == pytest.approx(((200 / 1.5) ** 2, 400.0**2))
    assert found.range == pytest.approx((500.0, 2_500.0))


def test_capacity_of_what_is_not_known() -> None:
    unknown = Liquidity(np.array([np.nan, np.nan]), 0.01, 0.0)
    known = Liquidity(np.array([1e5]), 0.01, 1e8)
    assert capacity([unknown], net_edge_bps=5.0) == Capacity(None, None)
    assert capacity([unknown], net_edge_bps=5.0).range is None
    assert capacity([known, unknown], net_edge_bps=5.0).by_volume is None  # the thinner leg may be the unknown one
    assert capacity([known], net_edge_bps=-5.0).by_impact == (0.0, 0.0)
    assert capacity([known], net_edge_bps=-5.0).range == (0.0, 0.0)


def test_columns_of_the_tables() -> None:
    found = run(bars_of([100.0] * 5, [1.0, 1.0, 0.0, 0.0, 0.0]))
    assert found.trades.schema["entry_us"] == found.daily.schema["date_us"] == pl.Int64
    assert (found.funding.height, found.funding.columns[-1]) == (0, "cash_quote")
