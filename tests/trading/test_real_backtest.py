"""A short of one coin over a real month, through archives, lake and backtest: its funding is the known figure."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl
import pytest
from tests.trading.archives import candle_archives, funding_archives

import pointline
from pointline.clock import to_us
from pointline.ingest.run import ingest
from pointline.lake.store import open_lake
from pointline.research.spines import TimeBarConfig
from pointline.sources.base import Hints
from pointline.sources.binance_vision import BinanceVision

if TYPE_CHECKING:
    from pathlib import Path

    from pointline.studies.backtest import Backtest

FILES = {  # dataset and exchange of each file of hours
    "binance_BTC_USDT-1h_202301-202411": ("klines", "binance-spot"),
    "binance_BTC_USDT_USDT-1h-futures_202301-202411": ("klines", "binance-futures"),
    "binance_BTC_USDT_USDT-1h-mark_202301-202411": ("markPriceKlines", "binance-futures"),
}
START, END = "2024-03-01", "2024-04-01T01:00"  # held after the first midnight, over the last
KNOWN = 2_139.91  # 93 settlements, 315.7026 bp


@pytest.fixture(scope="module")
def found(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Backtest:
    folder = tmp_path_factory.mktemp("real-backtest")
    window = (to_us("2024-02-01") // 1000, to_us("2024-05-01") // 1000)
    paths: list[Path] = []
    for name, (dataset, exchange) in FILES.items():
        rows = pl.read_ipc(shared_data / "klines" / f"{name}.feather").with_columns(ms=pl.col("date").dt.epoch("ms"))
        kept = rows.filter(pl.col("ms").is_between(*window, closed="left")).select("ms", "open", "high", "low", "close")
        candles = [(ms, *(f"{Decimal(repr(price)):f}" for price in prices)) for ms, *prices in kept.iter_rows()]
        paths += candle_archives(folder, exchange, "BTCUSDT", candles, dataset=dataset)  # type: ignore[arg-type]
    records = json.loads((shared_data / "funding" / "binance_usdm_BTC_funding_rates.json").read_text(encoding="utf-8"))
    rates = [(row["time"], 8, row["funding_rate"]) for row in records if window[0] <= row["time"] < window[1]]
    paths += funding_archives(folder, "binance-futures", "BTCUSDT", rates)
    lake = open_lake(folder / "lake", create=True)
    reports = ingest(lake, paths, sources=(BinanceVision(),), hints=Hints())
    assert {report.outcome for report in reports} == {"landed"}
    study = pointline.compare(
        "binance-futures:BTCUSDT", "binance-spot:BTCUSDT", start=START, end=END, bars=TimeBarConfig("1h"), events="candles_1h", lake=lake
    )
    # the spot stands at 62,000 or so: more than one coin, whose payments are divided by the quantity below
    return study.backtest("cash_and_carry", notional_quote=100_000.0, execution="next_bar_open", leverage=None)


def test_the_funding_is_that_of_the_month(found: Backtest) -> None:
    """Per coin the sum over all 93 settlements; quantities are whole steps, and funding is proportional to them, so that nothing is lost.

    What is left is the rounding of the known figure to cents.
    """
    trade = found.trades.row(0, named=True)
    assert found.trades.height == 1
    assert (trade["side"], trade["exit_reason"]) == ("short", "end_of_data")
    assert to_us("2024-03-01") < trade["entry_us"] < to_us("2024-03-01T08:00")
    assert trade["exit_us"] == to_us(END) - 1
    assert found.funding.height == 93
    assert found.funding["funding_rate"].sum() * 1e4 == pytest.approx(315.7026, abs=5e-5)
    assert trade["funding_quote"] / -trade["perp_qty"] == pytest.approx(KNOWN, abs=0.005)
    assert found.daily["funding_quote"].sum() == pytest.approx(trade["funding_quote"], rel=1e-12)


def test_the_rest_is_the_change_of_the_basis_and_the_costs(found: Backtest) -> None:
    """Both legs from the candles of the archive: the first open after the decision, the last close."""
    trade = found.trades.row(0, named=True)
    coins = trade["spot_qty"]
    assert trade["perp_qty"] == pytest.approx(-coins, abs=1e-9)
    narrower = (trade["perp_entry_price"] - trade["spot_entry_price"]) - (trade["perp_exit_price"] - trade["spot_exit_price"])
    assert trade["basis_quote"] == pytest.approx(coins * narrower, abs=1e-6)
    fills = [coins * trade[f"{leg}_{end}_price"] for leg, end in (("perp", "entry"), ("perp", "exit"), ("spot", "entry"), ("spot", "exit"))]
    perp, spot = fills[0] + fills[1], fills[2] + fills[3]
    assert trade["fees_quote"] == pytest.approx((5 * perp + 10 * spot + 8 * fills[3]) / 1e4, rel=1e-9)
    assert trade["slippage_quote"] == pytest.approx((2 * perp + 3 * spot) / 1e4, rel=1e-9)
    earned = trade["basis_quote"] + trade["funding_quote"] - trade["fees_quote"] - trade["slippage_quote"]
    assert trade["pnl_quote"] == pytest.approx(earned, abs=1e-6)
    assert found.daily["equity_quote"][-1] - found.tables.capital_quote == pytest.approx(earned, abs=1e-6)
