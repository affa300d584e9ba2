"""Two trades worked out on paper; the arithmetic is in backtest.md."""

from __future__ import annotations

import pytest
from tests.trading import backtest_loop as loop
from tests.trading.markets import HOUR_US, START_US, Case, inputs_of, strategy_of

from pointline.trading.backtest import BacktestTables, run_backtest

GUIDE = {"fee_bps": (5.0, 10.0), "slippage_bps": (2.0, 3.0), "withdrawal_bps": 8.0}


def found(
    prices: dict[int, tuple[float, float]], held: range, stamps: dict[int, tuple[float, float]], **contract: object
) -> BacktestTables:
    """Hourly bars to 48 h: the prices of the hours that are named, and of the hour before otherwise; the signal is 1 at the ends `held`."""
    bars, now = [], prices[0]
    for hour in range(48):
        now = prices.get(hour, now)
        start = START_US + hour * HOUR_US
        bars.append(loop.Bar(start, start + HOUR_US, *now, *now, None, None, float(hour + 1 in held)))
    settlements = [loop.Settlement(START_US + hour * HOUR_US, *stamps.get(hour, (0.0, 60_000.0))) for hour in range(-8, 64, 8)]
    rules = loop.Rules(
        high_is_long=False,
        sides=(-1,),
        levels=(0.5, 0.5, None, None),
        notional=30_000.0,
        capital=40_000.0,
        spot_step=0.00001,
        window_us=(START_US, bars[-1].end),
        **GUIDE,  # type: ignore[arg-type]
        **contract,  # type: ignore[arg-type]
    )
    case = Case(bars, rules, settlements)
    return run_backtest(strategy_of(rules), inputs_of(case))


def assert_row(told: dict[str, object], expected: dict[str, object]) -> None:
    assert {name: told[name] for name in expected} == {
        name: pytest.approx(value, abs=1e-9) if isinstance(value, float) else value for name, value in expected.items()
    }


def test_linear() -> None:
    prices = {0: (60_100.0, 59_990.0), 7: (60_120.0, 60_000.0), 17: (60_500.0, 60_450.0)}
    tables = found(prices, range(7, 17), {8: (0.0001, 60_110.0), 16: (-0.00005, 60_400.0)}, perp_step=0.001)
    expected = {
        "side": "short",
        "entry_us": START_US + 8 * HOUR_US - 1,
        "exit_us": START_US + 18 * HOUR_US - 1,
        "exit_reason": "signal",
        "perp_qty": -0.5,
        "spot_qty": 0.5,
        "perp_price_quote": -190.0,
        "spot_price_quote": 225.0,
        "funding_quote": 1.4955,
        "fees_quote": 114.56,
        "slippage_quote": 30.1295,
        "borrow_quote": 0.0,
        "basis_quote": 35.0,
        "unhedged_quote": 0.0,
        "pnl_quote": -108.194,
        "pnl_bps": -36.0646666666667,
    }
    assert tables.trades.height == 1
    assert_row(tables.trades.row(0, named=True), expected)
    assert tables.funding["cash_quote"].to_list() == pytest.approx([3.0055, -1.51], abs=1e-9)
    assert tables.daily["equity_quote"].to_list() == pytest.approx([39_891.806, 39_891.806], abs=1e-9)


def test_inverse() -> None:
    prices = {
        0: (60_060.0, 60_000.0),
        14: (60_000.0, 59_950.0),
        15: (60_300.0, 60_200.0),
        16: (64_000.0, 63_900.0),
        25: (62_500.0, 62_400.0),
    }
    stamps = {16: (0.0001, 60_000.0), 24: (-0.0002, 64_000.0)}
    tables = found(prices, range(14, 25), stamps, perp_step=1.0, inverse=True, contract_size=100.0)
    expected = {
        "entry_us": START_US + 15 * HOUR_US - 1,
        "exit_us": START_US + 26 * HOUR_US - 1,
        "perp_qty": -300.0,
        "spot_qty": 0.4995,
        "perp_price_quote": -1_248.0,
        "spot_price_quote": 1_223.775,
        "funding_quote": -2.980625,
        "fees_quote": 116.012365,
        "slippage_quote": 30.3195475,
        "basis_quote": -23.0,
        "unhedged_quote": -1.225,
        "unhedged_base": -0.0005,
        "pnl_quote": -173.5375375,
    }
    assert tables.trades.height == 1
    assert_row(tables.trades.row(0, named=True), expected)
    first = {"perp_price_quote": -1_996.875, "spot_price_quote": 1_973.025, "funding_quote": 3.01, "fees_quote": 44.932525}
    assert_row(tables.daily.row(0, named=True), {**first, "slippage_quote": 14.9785075, "pnl_quote": -80.7510325})
    assert_row(tables.daily.row(1, named=True), {"funding_quote": -5.990625, "pnl_quote": -92.786505})
