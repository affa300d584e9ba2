"""What the published page prints for December 2024, and what was computed of July 2024 without this project."""

from __future__ import annotations

import datetime as dt
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from tests.spreads.market import COINM, SPOT, USDM, add_candles, day

import pointline
from pointline.ingest.run import ingest
from pointline.lake.store import open_lake
from pointline.sources.base import Hints
from pointline.sources.families import all_sources

if TYPE_CHECKING:
    from pointline import Spreads

MAPPINGS = Path(__file__).resolve().parent.parent.parent / "examples" / "mappings"
PERP, QUARTERLY = ("binance-usdm-future", "BTC-USDT"), ("binance-usdm-future", "BTC-USDT-2025-03-28")
COIN_PERP = ("binance-coinm-future", "BTC-USD-PERP")
CONTRACTS = ["binance-usdm-future:BTC-USDT", "binance-usdm-future:BTC-USDT-2025-03-28", "binance-coinm-future:BTC-USD-PERP"]
SYMBOLS = {PERP: (USDM, "BTCUSDT"), QUARTERLY: (USDM, "BTCUSDT_250328"), COIN_PERP: (COINM, "BTCUSD_PERP")}

# The page's rows as printed: day, contract, close, spot close (one decimal), spread (two decimals), percent (two decimals).
PRINTED = (
    ("2024-12-01", COIN_PERP, "97326.1", "97185.2", "140.92", "+0.15"),
    ("2024-12-01", PERP, "97265.1", "97185.2", "79.92", "+0.08"),
    ("2024-12-01", QUARTERLY, "102270.8", "97185.2", "5085.62", "+5.23"),
    ("2024-12-02", COIN_PERP, "95920.0", "95840.6", "79.38", "+0.08"),
    ("2024-12-02", PERP, "95890.5", "95840.6", "49.88", "+0.05"),
    ("2024-12-02", QUARTERLY, "100588.1", "95840.6", "4747.48", "+4.95"),
    ("2024-12-04", COIN_PERP, "98773.9", "98587.3", "186.58", "+0.19"),
)
# Each day's rows agree on one spot close with two decimals: close - spread.
SPOT_CLOSES = {"2024-12-01": "97185.18", "2024-12-02": "95840.62", "2024-12-04": "98587.32"}


@pytest.fixture(scope="module")
def december(tmp_path_factory: pytest.TempPathFactory) -> Spreads:
    """The page's request on a lake that holds the page's printed closes only."""
    markets: dict[tuple[str, str], dict[int, float | str]] = {(SPOT, "BTCUSDT"): {day(date): close for date, close in SPOT_CLOSES.items()}}
    for date, contract, close, *_ in PRINTED:
        markets.setdefault(SYMBOLS[contract], {})[day(date)] = close
    lake = add_candles(tmp_path_factory.mktemp("december"), markets)
    return pointline.spreads("BTC", reference="binance:BTC-USDT", start="2024-12-01", through="2024-12-31", contracts=CONTRACTS, lake=lake)


def row_of(spreads: Spreads, date: str, contract: tuple[str, str]) -> dict[str, object]:
    own = (pl.col("day") == dt.date.fromisoformat(date)) & (pl.col("exchange") == contract[0]) & (pl.col("market") == contract[1])
    return spreads.table.row(by_predicate=own, named=True)


def test_the_month_has_93_rows_in_the_page_s_order(december: Spreads) -> None:
    keys = december.table.select("day", "exchange", "market").rows()
    first = dt.date(2024, 12, 1)
    expected = [(first + dt.timedelta(n), *contract) for n in range(31) for contract in (COIN_PERP, PERP, QUARTERLY)]
    assert len(keys) == 93
    assert keys == expected
    assert december.table.columns[:8] == ["day", "exchange", "market", "reference", "close", "spot_close", "spread", "spread_pct"]


@pytest.mark.parametrize(("date", "contract", "close", "spot_close", "spread", "percent"), PRINTED)
def test_each_printed_row(
    december: Spreads, date: str, contract: tuple[str, str], close: str, spot_close: str, spread: str, percent: str
) -> None:
    row = row_of(december, date, contract)
    printed = (f"{row['close']:.1f}", f"{row['spot_close']:.1f}", f"{row['spread']:.2f}", f"{row['spread_pct']:+.2f}")
    assert printed == (close, spot_close, spread, percent)


def test_printed_extremes_that_the_printed_rows_decide(december: Spreads) -> None:
    """The month's maxima of the COIN-M perp (12-04) and of the quarterly's percent (12-01) lie on printed days."""
    maxima = {(row["exchange"], row["market"]): row for row in december.statistics.iter_rows(named=True)}
    assert f"{maxima[COIN_PERP]['max_spread']:+.2f}" == "+186.58"
    assert f"{maxima[COIN_PERP]['max_spread_pct']:+.3f}" == "+0.189"
    assert f"{maxima[QUARTERLY]['max_spread_pct']:+.3f}" == "+5.233"


def test_days_without_closes_are_kept_and_counted(december: Spreads) -> None:
    missing = {
        (row["exchange"], row["market"]): (row["candles"], row["missing"], row["missing_close"], row["missing_spot"])
        for row in december.statistics.iter_rows(named=True)
    }
    assert missing == {COIN_PERP: (31, 28, 28, 28), PERP: (31, 29, 29, 28), QUARTERLY: (31, 29, 29, 28)}
    lone = row_of(december, "2024-12-04", PERP)
    assert (lone["spot_close"], lone["close"], lone["spread"], lone["known_at"]) == (98587.32, None, None, None)


def test_the_quarterly_s_yield_by_hand(december: Spreads) -> None:
    """5.233 % of 2024-12-01, closed at 2024-12-02 00:00, 116 days and 8 hours before delivery on 2025-03-28 08:00."""
    row = row_of(december, "2024-12-01", QUARTERLY)
    assert row["end"] == row["known_at"] == dt.datetime(2024, 12, 2, tzinfo=dt.UTC)
    assert row["expiry"] == dt.datetime(2025, 3, 28, 8, tzinfo=dt.UTC)
    assert row["days_to_expiry"] == pytest.approx(116 + 8 / 24, abs=1e-12)
    names = ("spread_pct", "annualised_simple_pct", "annualised_compounded_pct", "annualised_continuous_pct")
    # 5085.62 / 97185.18 = 0.0523291720; x 365 / 116.3333 = 0.16418465; 1.0523291720 ^ 3.13753582 = 1.17354965; its logarithm 0.16003305
    assert [row[name] for name in names] == pytest.approx([5.232917, 16.418465, 17.354965, 16.003305], abs=1e-6)
    assert [f"{row[name]:.1f}" for name in names[1:3]] == ["16.4", "17.4"]


def test_perpetuals_have_no_yield(december: Spreads) -> None:
    perps = december.table.filter(pl.col("market") != QUARTERLY[1])
    assert perps.select("expiry", "days_to_expiry", "annualised_simple_pct").null_count().row(0) == (62, 62, 62)


def test_july_2024_of_real_closes(shared_data: Path, tmp_path: Path) -> None:
    """Figures of the data folder's own description: means, lowest and highest daily-close spreads of 31 days."""
    lake = open_lake(tmp_path / "lake", create=True)
    files = {
        "Binance_BTCUSDT_d.csv": "candles_daily_spot",
        "BTCUSDT_Binance_futures_UM_day.csv": "candles_daily_usdm",
        "BTCUSD_PERP_Binance_futures_CM_day.csv": "candles_daily_coinm",
    }
    for file, mapping in files.items():
        hints = Hints(mapping=MAPPINGS / f"{mapping}.toml")
        (report,) = ingest(lake, [shared_data / "klines" / file], sources=all_sources("table"), hints=hints)
        assert report.outcome == "landed"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        july = pointline.spreads("BTC", reference="binance:BTC-USDT", start="2024-07-01", through="2024-07-31", lake=lake)
    rows = [
        (row["market"], row["candles"], row["missing"], *(f"{row[name]:.2f}" for name in ("mean_spread", "min_spread", "max_spread")))
        for row in july.statistics.iter_rows(named=True)
    ]
    assert rows == [
        ("BTC-USD-PERP", 31, 0, "-24.85", "-100.87", "18.76"),
        ("BTC-USDT", 31, 0, "-25.66", "-44.36", "-0.58"),
    ]


def test_closes_of_recorded_trades_are_the_day_s_closes(shared_data: Path, tmp_path: Path) -> None:
    """Last trades before midnight of 2024-08-08, as the data folder's description quotes them; there are no candles in this lake."""
    lake = open_lake(tmp_path / "lake", create=True)
    for file in sorted((shared_data / "ticks_btc_20240808").glob("*.gz")):
        (report,) = ingest(lake, [file], sources=all_sources("recorded"), hints=Hints(clock="event"))
        assert report.outcome == "landed"
    found = pointline.spreads("BTC", reference="binance:BTC-USDT", start="2024-08-08", through="2024-08-08", lake=lake)
    assert found.table.select("market", "close", "spot_close", "close_source", "spot_source").rows() == [
        ("BTC-USD-PERP", 61668.6, 61685.99, "trades", "trades"),
        ("BTC-USDT", 61659.8, 61685.99, "trades", "trades"),
    ]
