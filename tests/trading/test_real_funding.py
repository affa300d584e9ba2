"""Three real months of funding of one coin, through archives, lake and command line. The figures were worked out apart from this."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl
import pytest
from tests.cli.running import assert_refused, run
from tests.trading.archives import candle_archives, funding_archives, month_of

import pointline
from pointline.ingest.run import ingest
from pointline.lake.store import open_lake
from pointline.sources.base import Hints
from pointline.sources.binance_vision import BinanceVision

if TYPE_CHECKING:
    from pathlib import Path

PERP = "binance-futures:BTCUSDT"
MONTHS = (("2023-09", "2023-10"), ("2024-03", "2024-04"), ("2024-08", "2024-09"))
KNOWN = [  # month, settlements, sum of rates in bp, USDT that a short of one coin received
    (MONTHS[1], 93, 315.7026, 2139.91),
    (MONTHS[0], 90, 9.5119, 24.4989),
    (MONTHS[2], 93, 11.8973, 73.4835),
]


@pytest.fixture(scope="module")
def lake(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rates and hourly mark candles of these months and of the months after them, whose first settlement ends them."""
    folder = tmp_path_factory.mktemp("real-funding")
    wanted = {month for pair in MONTHS for month in pair}
    records = json.loads((shared_data / "funding" / "binance_usdm_BTC_funding_rates.json").read_text(encoding="utf-8"))
    rates = [(row["time"], 8, row["funding_rate"]) for row in records if month_of(row["time"]) in wanted]
    marks = pl.read_ipc(shared_data / "klines" / "binance_BTC_USDT_USDT-1h-mark_202301-202411.feather")
    rows = marks.select(pl.col("date").dt.epoch("ms"), "open", "high", "low", "close").iter_rows()
    candles = [(ms, *(f"{Decimal(repr(price)):f}" for price in prices)) for ms, *prices in rows if month_of(ms) in wanted]
    paths = [
        *funding_archives(folder, "binance-futures", "BTCUSDT", rates),
        *candle_archives(folder, "binance-futures", "BTCUSDT", candles),  # type: ignore[arg-type]
    ]
    found = open_lake(folder / "lake", create=True)
    reports = ingest(found, paths, sources=(BinanceVision(),), hints=Hints())
    assert {report.outcome for report in reports} == {"landed"}
    return found.root


@pytest.mark.parametrize(("months", "count", "rate_sum_bps", "cash"), KNOWN)
def test_known_months(lake: Path, tmp_path: Path, months: tuple[str, str], count: int, rate_sum_bps: float, cash: float) -> None:
    start, end = (f"{month}-01" for month in months)
    found = run("funding", PERP, "--start", start, "--end", end, "--quantity", "-1", "--lake", lake, "--json", "-o", tmp_path / "f.parquet")
    assert (found.code, found.err) == (0, "")
    told = found.json
    assert told["payments"] == told["settlements"] == count
    assert told["rate_sum_bps"] == pytest.approx(rate_sum_bps, abs=5e-5)
    places = len(str(cash).partition(".")[2])
    assert round(told["cash"], places) == cash
    assert told["mark_sources"] == {"mark_candles_1h": count}
    assert told["oldest_mark_age_us"] == 0
    rows = pl.read_parquet(tmp_path / "f.parquet")
    assert rows.height == count
    assert rows["cumulative_cash"][-1] == pytest.approx(told["cash"], rel=1e-12)
    assert (rows["funding_us"] % 60_000_000 == 0).all()  # the exchange's stamps are up to 31 ms late, settlements are not


def test_a_long_pays_what_a_short_receives(lake: Path) -> None:
    sides = [pointline.funding_payments(PERP, start="2024-03-01", end="2024-04-01", quantity=side, lake=lake) for side in (1.0, -1.0)]
    assert sides[0].summary["cash"] == -sides[1].summary["cash"]
    assert "the position paid 2,139.91" in sides[0].verdict


def test_no_rate_is_carried_into_a_month_that_the_lake_does_not_have(lake: Path) -> None:
    held = ("funding", PERP, "--start", "2024-03-20", "--end", "2024-08-10", "--lake", lake)
    assert_refused(run(*held), "not in the data", "2024-05-01 00:00:00")
    told = run(*held, "--gaps", "flag", "--json").json
    months = 31 + 30 + 31  # of May, June and July
    assert told["no_settlement"] == 3 * months
    assert told["settlements"] == 3 * (12 + 30 + months + 9)
    assert told["no_mark"] == 1  # the candle that ends with July is July's
    assert told["payments"] == told["settlements"] - told["no_settlement"] - 1
    assert told["notes"][0].startswith(
        "settlements that must have taken place and are missing: 276, from 2024-05-01 00:00:00 to 2024-07-31 16:00:00"
    )


def test_a_window_without_any_rate_is_refused_with_the_coverage(lake: Path) -> None:
    refused = run("funding", PERP, "--start", "2024-06-01", "--end", "2024-06-10", "--gaps", "flag", "--lake", lake)
    assert_refused(refused, "the lake has no funding of binance-futures:BTCUSDT in this window", "funding 2023-09-01 to 2024-09-30")
