"""Cash-and-carry on a dated future through a lake: delivered at the mean of the spot over the half hour before."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.archives import lake_of

import pointline
from pointline.clock import HOUR_US, MINUTE_US, to_us
from pointline.costs import CostModel
from pointline.errors import ConfigError
from pointline.research.spines import TimeBarConfig
from pointline.studies.backtest_data import time_weighted_mean
from pointline.trading.strategy import STRATEGIES, Levels

if TYPE_CHECKING:
    from pathlib import Path

    from pointline.lake.store import Lake

START, END, EXPIRY = (to_us(text) for text in ("2024-06-27", "2024-06-28T12:00", "2024-06-28T08:00"))
SECOND_US = 1_000_000
FREE = CostModel(perp_taker_bps=0, spot_taker_bps=0, perp_slippage_bps=0, spot_slippage_bps=0, withdrawal_bps=0)
FUTURES = {"linear": ("binance-futures", "BTCUSDT_240628"), "inverse": ("binance-delivery", "BTCUSD_240628")}


def spot_at(us: int) -> float:
    """60,000, a thousand more from half past seven on the last day, two thousand more from a quarter to eight, and none after eight."""
    if us < EXPIRY - 30 * MINUTE_US or us >= EXPIRY:
        return 60_000.0
    return 61_000.0 if us < EXPIRY - 15 * MINUTE_US else 62_000.0


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A trade in half a minute on each side; the futures are 300 dearer and end at the expiry."""
    times = range(START + SECOND_US, END, 30 * SECOND_US)
    markets: dict[tuple[str, str], Any] = {("binance-spot", "BTCUSDT"): [(us, f"{spot_at(us):.2f}", "1", False) for us in times]}
    for name in FUTURES.values():
        qty = "1" if name[0] == "binance-futures" else "600"
        markets[name] = [(us, f"{spot_at(us) + 300:.1f}", qty, False) for us in times if us < EXPIRY]
    return lake_of(tmp_path_factory.mktemp("delivery"), markets)


def carried(lake: Lake, kind: str, end_us: int = END, **options: Any) -> Any:  # noqa: ANN401
    study = pointline.compare(":".join(FUTURES[kind]), "binance-spot:BTCUSDT", start=START, end=end_us, bars=TimeBarConfig("1h"), lake=lake)
    preset = STRATEGIES["cash_and_carry_dated"]
    own = preset if kind == "linear" else replace(preset, signal="cross_quote_basis_bps")
    return study.backtest(own, costs=FREE, leverage=None, **options)


def test_linear(lake: Lake) -> None:
    found = carried(lake, "linear", notional_quote=60_000.0)
    trade = found.trades.row(0, named=True)
    assert (trade["exit_reason"], trade["exit_us"], found.trades.height) == ("delivery", EXPIRY, 1)
    # trades come a second after each half minute: 60,000 to 7:30:01, 61,000 to 7:45:01, 62,000 to 8:00
    mean = (60_000 * 1 + 61_000 * 900 + 62_000 * 899) / 1_800
    assert (trade["perp_exit_price"], trade["spot_exit_price"]) == (pytest.approx(mean), pytest.approx(mean))
    assert (trade["perp_entry_price"], trade["spot_entry_price"]) == (60_300.0, 60_000.0)
    assert trade["pnl_quote"] == pytest.approx(300.0 * trade["spot_qty"], abs=1e-6)
    assert trade["spot_qty"] == pytest.approx(1.0, abs=0.001)
    assert found.funding.height == 0
    assert any("half hour before" in note for note in found.notes)


def test_inverse(lake: Lake) -> None:
    """The basis of 300 on the coins of the contracts, in coins at 60,300; the rest of the hedge is unhedged."""
    found = carried(lake, "inverse", notional_quote=60_000.0)
    trade = found.trades.row(0, named=True)
    coins = -trade["perp_qty"] * 100 / 60_300
    assert trade["exit_reason"] == "delivery"
    assert any("the mean in USDT stands for the settlement price in USD" in note for note in found.notes)
    assert trade["basis_quote"] == pytest.approx(300 * coins, rel=1e-9)
    assert trade["pnl_quote"] == pytest.approx(300 * coins + trade["unhedged_quote"], rel=1e-9)
    assert abs(trade["unhedged_base"]) < 1e-5


def test_another_quote_asset(tmp_path: Path) -> None:
    """The future in USDT, the spot in USDC, 1.02 USDC a USDT: the future settles at the mean over 1.02, the basis of 300 USDC is earned."""
    rate = 1.02
    times = range(START + SECOND_US, END, 30 * SECOND_US)
    future = [(us, f"{(spot_at(us) + 300) / rate:.1f}", "1", False) for us in times if us < EXPIRY]
    spot = [(us, f"{spot_at(us):.2f}", "1", False) for us in times]
    lake = lake_of(tmp_path, {FUTURES["linear"]: future, ("binance-spot", "BTCUSDC"): spot})
    study = pointline.compare(
        ":".join(FUTURES["linear"]), "binance-spot:BTCUSDC", start=START, end=END, bars=TimeBarConfig("1h"), lake=lake
    )
    own = replace(STRATEGIES["cash_and_carry_dated"], signal="cross_quote_basis_bps", thresholds=Levels(above=-1_000.0))
    found = study.backtest(own, costs=FREE, leverage=None, quote_rate=rate)
    trade = found.trades.row(0, named=True)
    assert trade["perp_exit_price"] == pytest.approx(trade["spot_exit_price"] / rate, rel=1e-12)
    assert trade["spot_exit_price"] == pytest.approx((60_000 * 1 + 61_000 * 900 + 62_000 * 899) / 1_800)
    assert trade["pnl_quote"] == pytest.approx(300.0 * trade["spot_qty"], abs=0.05 * trade["spot_qty"])  # prices have steps of 0.1
    assert any("constant rate 1.02" in note for note in found.notes)


def test_a_window_that_ends_before_the_delivery(lake: Lake) -> None:
    found = carried(lake, "linear", EXPIRY - HOUR_US)
    trade = found.trades.row(0, named=True)
    assert (trade["exit_reason"], trade["exit_us"]) == ("end_of_data", EXPIRY - HOUR_US - 1)
    assert (trade["perp_exit_price"], trade["spot_exit_price"]) == (60_300.0, 60_000.0)


def test_mean_by_hand() -> None:
    times, prices = np.array([0, 10, 20, 30]), np.array([1.0, 2.0, 4.0, 100.0])
    assert time_weighted_mean(times, prices, 15, 30) == pytest.approx((5 * 2 + 10 * 4) / 15)
    assert time_weighted_mean(times, prices, 10, 30) == pytest.approx(3.0)
    assert time_weighted_mean(times, prices, -10, 20) == pytest.approx(1.5)  # known from 0 on only
    assert time_weighted_mean(times, prices, 40, 50) == 100.0
    with pytest.raises(ConfigError, match="no spot price"):
        time_weighted_mean(times, prices, -10, 0)
