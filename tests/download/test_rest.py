"""Histories by REST: asked page by page until a day is proven whole, and stored in a form that the sources read."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from tests.cli.running import run as cli
from tests.download.venues import DAY_MS, HOUR_MS, MAY_1_MS, Venues, market, payments

from pointline.download import get_targets, targets_of
from pointline.lake.store import open_lake

if TYPE_CHECKING:
    from pathlib import Path

    from tests.download.conftest import Rig

    from pointline.download.report import DownloadReport

NOW_US = 1_735_689_600_000_000  # 2025-01-01
SYMBOLS = {
    "bybit": "BTCUSDT",
    "coinbase": "BTC-USD",
    "deribit": "BTC-PERPETUAL",
    "gate-futures": "BTC_USDT",
    "hyperliquid": "BTC",
    "kraken-futures": "PF_XBTUSD",
    "kucoin-futures": "XBTUSDTM",
}
HOURS = {"bybit": 8, "deribit": 1, "gate-futures": 8, "hyperliquid": 1, "kraken-futures": 1, "kucoin-futures": 8}


@pytest.fixture
def venues(rig: Rig) -> Venues:
    made = Venues(trades=market())
    rig.archive.misdeeds.append(made.answer)
    return made


def run(
    rig: Rig, exchange: str, kind: str, start: str = "2024-05-01", end: str = "2024-05-04", *, now_us: int = NOW_US, **options: Any
) -> DownloadReport:
    targets = targets_of(exchange, SYMBOLS[exchange], kind, start, end)
    return get_targets(targets, transport=rig.transport, folder=rig.folder, base_url=rig.url, now_us=now_us, **options)


def lines(rig: Rig, key: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(rig.stored()[key]).splitlines()]


def scan(lake: Path, kind: str, exchange: str) -> pl.DataFrame:
    return open_lake(lake).scan(kind, exchange, SYMBOLS[exchange], 0, NOW_US).collect().sort("ts_event_us", "source_row")


def day_key(exchange: str, day: int) -> str:
    return f"{exchange}/trades/{SYMBOLS[exchange]}/{exchange}-{SYMBOLS[exchange]}-trades-2024-05-{day:02d}.jsonl.gz"


@pytest.mark.parametrize("exchange", ["deribit", "coinbase"])
def test_days_of_trades_have_every_trade_once(rig: Rig, venues: Venues, exchange: str) -> None:
    venues.page = 7
    report = run(rig, exchange, "trades")
    assert report.counts == {"fetched": 3}
    assert {file.verified_by for file in report.files} == {"ids"}
    assert (report.missing, report.exit_code) == ((), 0)
    number = {"deribit": "trade_seq", "coinbase": "trade_id"}[exchange]
    for day in (1, 2, 3):
        start_ms = MAY_1_MS + (day - 1) * DAY_MS
        expected = [n for n, trade in venues.trades.items() if start_ms <= trade[0] < start_ms + DAY_MS]
        assert len(expected) == 40
        assert [row[number] for row in lines(rig, day_key(exchange, day))] == expected


@pytest.mark.parametrize("exchange", ["deribit", "coinbase"])
def test_a_second_run_asks_for_nothing_that_is_there(rig: Rig, venues: Venues, exchange: str) -> None:
    run(rig, exchange, "trades")
    before = rig.stored()
    venues.asked.clear()
    assert run(rig, exchange, "trades").counts == {"held": 3}
    assert run(rig, exchange, "trades", verify=True).counts == {"checked": 3}
    assert venues.asked == []
    (rig.folder / day_key(exchange, 2)).unlink()
    venues.page = 5
    assert run(rig, exchange, "trades").counts == {"fetched": 1, "held": 2}
    assert rig.stored() == before, "other pages, the same bytes"


def test_numbers_stay_as_they_are_written(rig: Rig, venues: Venues) -> None:
    run(rig, "deribit", "trades", end="2024-05-02")
    first = gzip.decompress(rig.stored()[day_key("deribit", 1)]).split(b"\n")[0]
    assert first == (
        b'{"amount":410,"direction":"buy","index_price":60000.10,"instrument_name":"BTC-PERPETUAL","price":60040.50,'
        b'"timestamp":1714521600000,"trade_id":"900041","trade_seq":41}'
    )


@pytest.mark.parametrize("exchange", HOURS)
def test_funding_comes_in_months_that_are_over_and_days_of_the_present_one(rig: Rig, venues: Venues, exchange: str) -> None:
    venues.payments = payments(HOURS[exchange], days=38)
    june_4_us = (MAY_1_MS + 34 * DAY_MS + 30 * 60_000) * 1000
    report = run(rig, exchange, "funding", "2024-05-10", "2024-06-05", now_us=june_4_us)
    assert [file.period for file in report.files] == ["2024-05", "2024-06-01", "2024-06-02"]
    assert {file.verified_by for file in report.files} == {"pages"}
    assert [(gap.first, gap.last, gap.pending) for gap in report.missing] == [("2024-06-03", "2024-06-04", True)]
    assert report.exit_code == 0
    counts = [len(gzip.decompress(path.read_bytes()).splitlines()) for path in report.paths]
    per_day = 24 // HOURS[exchange]
    assert counts == [31 * per_day, per_day, per_day]


@pytest.mark.parametrize("exchange", HOURS)
def test_funding_goes_into_the_lake_payment_by_payment(rig: Rig, venues: Venues, tmp_path: Path, exchange: str) -> None:
    venues.payments = payments(HOURS[exchange], late_ms=0 if exchange != "hyperliquid" else 48)
    wanted = ("--exchange", exchange, "--symbols", SYMBOLS[exchange], "--kinds", "funding", "--start", "2024-05-01", "--end", "2024-06-01")
    found = cli("download", *wanted, "--folder", rig.folder, "--base-url", rig.url, "--ingest", "--lake", tmp_path / "lake")
    assert (found.code, found.err) == (0, "")
    rows = scan(tmp_path / "lake", "funding", exchange)
    expected = [one for one in venues.payments if MAY_1_MS <= one[0] < MAY_1_MS + 31 * DAY_MS]
    assert rows["ts_event_us"].to_list() == [at * 1000 for at, _ in expected]
    assert rows["funding_us"].to_list() == [at // HOUR_MS * HOUR_MS * 1000 for at, _ in expected]
    assert rows["funding_rate"].to_list() == [float(rate) for _, rate in expected]
    assert set(rows["interval_hours"].to_list()) == {1.0 if exchange == "deribit" else None}


@pytest.mark.parametrize("exchange", ["deribit", "coinbase"])
def test_trades_go_into_the_lake_field_by_field(rig: Rig, venues: Venues, tmp_path: Path, exchange: str) -> None:
    venues.payments = payments(1)
    kinds = "trades,funding" if exchange == "deribit" else "trades"
    wanted = ("--exchange", exchange, "--symbols", SYMBOLS[exchange], "--kinds", kinds, "--start", "2024-05-01", "--end", "2024-05-03")
    found = cli("download", *wanted, "--folder", rig.folder, "--base-url", rig.url, "--ingest", "--lake", tmp_path / "lake")
    assert (found.code, found.err) == (0, "")
    rows = scan(tmp_path / "lake", "trades", exchange)
    expected = {n: trade for n, trade in venues.trades.items() if MAY_1_MS <= trade[0] < MAY_1_MS + 2 * DAY_MS}
    shift = {"deribit": 0, "coinbase": 1}[exchange]  # the test server's Coinbase adds the number to the microseconds
    assert rows["trade_id"].to_list() == list(expected)
    assert rows["ts_event_us"].to_list() == [at * 1000 + shift * (n % 1000) for n, (at, *_) in expected.items()]
    for column, at in (("price", 1), ("qty", 2)):
        found_amounts = [Decimal(n).scaleb(-places) for n, places in rows.select(f"{column}_int", f"{column}_decimals").iter_rows()]
        assert found_amounts == [Decimal(str(trade[at])) for trade in expected.values()]
    assert rows["side"].to_list() == [sold for *_, sold in expected.values()]
    if exchange == "deribit":
        assert scan(tmp_path / "lake", "funding", exchange).height == 31 * 24
