"""The study of funding payments, which mark price it takes from a lake, and the command."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.archives import lake_from, trades_archive
from tests.cli.running import assert_refused, run
from tests.trading.archives import candle_archives, funding_archives

import pointline
from pointline.clock import to_us
from pointline.errors import ConfigError, NoDataError, RegistryError
from pointline.research import query
from pointline.studies.held_funding import held_funding
from pointline.studies.summary import Summary
from pointline.trading.funding_flows import FUNDING_FLOWS_SCHEMA

if TYPE_CHECKING:
    from pathlib import Path

    from tests.demo import Demo

    from pointline.lake.store import Lake

PERP = "binance-futures:BTCUSDT"
MARKET = ("binance-futures", "BTCUSDT")
WINDOW = {"start": "2024-05-01", "end": "2024-05-02"}
OPTIONS = ("--start", "2024-05-01", "--end", "2024-05-02")
MAY_1 = to_us("2024-05-01") // 1_000  # milliseconds
HOUR, MINUTE = 3_600_000, 60_000


@pytest.fixture(scope="module")
def demo_lake(demo: Demo) -> Path:
    return demo.folder / "lake"


@pytest.fixture(scope="module")
def study(demo_lake: Path) -> pointline.FundingPayments:
    return pointline.funding_payments(PERP, **WINDOW, quantity=-2.0, lake=demo_lake)


def eight_hourly(count: int, hours: int = 8, from_ms: int = MAY_1) -> list[tuple[int, int, str]]:
    return [(from_ms + hours * HOUR * k + 7, hours, "0.0001") for k in range(count)]


def candle(end_ms: int, close: str, length: int = MINUTE) -> tuple[int, str, str, str, str]:
    return (end_ms - length, close, close, close, close)


# --- the study --------------------------------------------------------------------------------------------------------------------


def test_it_is_rate_times_mark_of_each_settlement(study: pointline.FundingPayments, demo_lake: Path) -> None:
    """The demo settles each eight hours, a mark candle ends at each settlement, and the ticker speaks at some of them too."""
    start, end = to_us(WINDOW["start"]), to_us(WINDOW["end"])
    until = end + 60_000_000
    rates = query.funding(*MARKET, start, until, lake=demo_lake).filter(pl.col("funding_us") > start)
    candles = query.candles(*MARKET, start, until, price="mark", lake=demo_lake)
    ticks = query.derivative_ticker(*MARKET, start, until, lake=demo_lake)
    prices = dict(candles.select("ts_event_us", "close").iter_rows()) | dict(ticks.select("ts_event_us", "mark_price").iter_rows())
    expected = [2.0 * rate * prices[us] for us, rate in rates.select("funding_us", "funding_rate").iter_rows()]
    assert len(expected) == 3
    assert study.table["cash"].to_list() == pytest.approx(expected, rel=1e-14)
    assert study.summary["cash"] == pytest.approx(sum(expected), rel=1e-14)
    assert study.summary["mark_sources"] == {"derivative_ticker": 1, "mark_candles_1m": 2}


def test_it_has_the_shape_of_a_study(study: pointline.FundingPayments) -> None:
    assert study.table.schema == pl.Schema(FUNDING_FLOWS_SCHEMA)
    assert isinstance(study.summary, Summary)
    assert {"payments", "rate_sum_bps", "cash", "mark_sources.mark_candles_1m"} <= set(study.summary.frame()["figure"])
    html = study._repr_html_()
    for part in (study.title, study.verdict, "Settlements", "mark_candles_1m", "note: "):
        assert part in html
    assert study.to_pandas().index.name == "funding_us"
    copy = pickle.loads(pickle.dumps(study))  # noqa: S301 - it was written a moment ago
    assert_frame_equal(copy.table, study.table)
    assert copy.summary == study.summary


def test_the_notes_say_what_happens_at_the_edges(study: pointline.FundingPayments) -> None:
    assert study.notes == (
        "the entry is at the settlement of 2024-05-01 00:00:00, which does not count",
        "the exit is at the settlement of 2024-05-02 00:00:00, which counts",
    )


def test_a_chart_has_rates_and_cash(study: pointline.FundingPayments, tmp_path: Path) -> None:
    figure = study.chart(tmp_path / "funding.html")
    assert [trace.name for trace in figure.data] == ["rate", "cash so far"]
    assert list(figure.data[1].y) == study.table["cumulative_cash"].to_list()
    assert (tmp_path / "funding.html").stat().st_size > 100_000


def test_between_two_settlements_nothing_is_due(demo_lake: Path) -> None:
    held = pointline.funding_payments(PERP, start="2024-05-01 00:00:01", end="2024-05-01 07:59:59", lake=demo_lake)
    assert (held.table.height, held.summary["cash"]) == (0, 0.0)
    assert held.verdict == "No settlement fell into this time, so nothing was paid."
    assert "No settlement" in run("funding", PERP, "--start", "2024-05-01T01:00", "--end", "2024-05-01T02:00", "--lake", demo_lake).out


@pytest.mark.parametrize("gaps", ["refuse", "flag"])
@pytest.mark.parametrize(("start", "end"), [("2024-05-02 17:00", "2024-05-09"), ("2024-06-01", "2024-06-02")])
def test_a_window_without_settlements_is_refused(demo_lake: Path, start: str, end: str, gaps: str) -> None:
    with pytest.raises(NoDataError, match="the lake has no funding of binance-futures:BTCUSDT") as caught:
        pointline.funding_payments(PERP, start=start, end=end, gaps=gaps, lake=demo_lake)  # type: ignore[arg-type]
    assert "funding 2024-05-01 to 2024-05-02" in str(caught.value.expected)


def test_a_position_beyond_the_last_settlement_is_refused_or_flagged(demo_lake: Path) -> None:
    with pytest.raises(NoDataError, match="not in the data: 1"):
        pointline.funding_payments(PERP, start="2024-05-01", end="2024-05-03", lake=demo_lake)
    held = pointline.funding_payments(PERP, start="2024-05-01", end="2024-05-03", gaps="flag", lake=demo_lake)
    assert (held.summary["payments"], held.summary["no_settlement"], held.summary["settlements"]) == (5, 1, 6)
    assert held.verdict.endswith("Settlements that are not known and count nothing: 1.")
    assert held.notes[0] == ("settlements that must have taken place and are missing: 1, 2024-05-03 00:00:00; they count nothing")


@pytest.mark.parametrize("quantity", [0.0, float("nan"), float("inf")])
def test_a_quantity_that_cannot_be(demo_lake: Path, quantity: float) -> None:
    with pytest.raises(ConfigError, match="quantity"):
        pointline.funding_payments(PERP, **WINDOW, quantity=quantity, lake=demo_lake)


def test_names_that_cannot_be(demo_lake: Path) -> None:
    with pytest.raises(ConfigError, match="pays no funding"):
        pointline.funding_payments("binance-spot:BTCUSDT", **WINDOW, lake=demo_lake)
    with pytest.raises(RegistryError):
        pointline.funding_payments("binance-futures:NOSUCH", **WINDOW, lake=demo_lake)
    with pytest.raises(ConfigError, match="exchange and symbol"):
        pointline.funding_payments("BTCUSDT", **WINDOW, lake=demo_lake)
    with pytest.raises(ConfigError, match="empty"):
        pointline.funding_payments(PERP, start="2024-05-02", end="2024-05-01", lake=demo_lake)


def test_a_venue_that_accrues_all_the_time_has_no_settlements(demo_lake: Path) -> None:
    lake = pointline.open_lake(demo_lake)
    perp = replace(lake.registry().find(*MARKET, MAY_1 * 1_000), exchange="deribit", exchange_symbol="BTC-PERPETUAL")
    with pytest.raises(ConfigError, match="accrues all the time"):
        held_funding(lake, perp, MAY_1 * 1_000, MAY_1 * 1_000 + 1)


def test_an_inverse_contract_of_two_sizes_is_refused(tmp_path: Path) -> None:
    """The size decides the payment, so a window with two of them has no one answer."""
    lake = lake_from(tmp_path, funding_archives(tmp_path, "binance-delivery", "BTCUSD_PERP", eight_hourly(4)))
    for day, size in (("2024-04-01", 100), ("2024-05-01", 10)):
        _coin_margined(tmp_path / f"{day}.json", day, size)
    run("ingest", *sorted(tmp_path.glob("2024*.json")), "--lake", lake.root)
    with pytest.raises(ConfigError, match="contract size of binance-delivery:BTCUSD_PERP changed"):
        pointline.funding_payments("binance-delivery:BTCUSD_PERP", start="2024-04-30", end="2024-05-01 16:00", lake=lake.root)


def _coin_margined(path: Path, day: str, size: int) -> None:
    """The exchange's list with the one contract."""
    symbol = {
        "symbol": "BTCUSD_PERP",
        "pair": "BTCUSD",
        "contractType": "PERPETUAL",
        "deliveryDate": 4_133_404_800_000,
        "onboardDate": 1_597_042_800_000,
        "contractStatus": "TRADING",
        "contractSize": size,
        "marginAsset": "BTC",
        "baseAsset": "BTC",
        "quoteAsset": "USD",
        "filters": [{"filterType": "PRICE_FILTER", "tickSize": "0.1"}, {"filterType": "LOT_SIZE", "stepSize": "1"}],
    }
    told = {"timezone": "UTC", "serverTime": to_us(day) // 1_000, "rateLimits": [], "exchangeFilters": [], "symbols": [symbol]}
    path.write_text(json.dumps(told), encoding="utf-8")


# --- which mark price counts ------------------------------------------------------------------------------------------------------


def marks_at(lake: Lake, **options: bool) -> list[tuple[int, float, str]]:
    perp = lake.registry().find(*MARKET, MAY_1 * 1_000)
    _, marks = held_funding(lake, perp, MAY_1 * 1_000, (MAY_1 + 8 * HOUR) * 1_000, **options)
    return marks.rows()  # type: ignore[return-value]


@pytest.fixture
def archives(tmp_path: Path) -> list[Path]:
    """Two settlements, at 00:00 and 08:00."""
    return funding_archives(tmp_path, *MARKET, eight_hourly(2))


def test_the_newest_mark_counts_and_of_two_the_shorter_candle_s(archives: list[Path], tmp_path: Path) -> None:
    hour = [candle(MAY_1 + HOUR * k, f"{100 + k}", HOUR) for k in range(1, 9)]
    minute = [candle(MAY_1 + 8 * HOUR - MINUTE * k, f"{200 + k}") for k in (3, 2, 1)]
    at_the_hour = lake_from(tmp_path / "a", [*archives, *candle_archives(tmp_path, *MARKET, hour)])
    assert marks_at(at_the_hour) == [((MAY_1 + 8 * HOUR) * 1_000, 108.0, "mark_candles_1h")]
    both = [*candle_archives(tmp_path, *MARKET, hour), *candle_archives(tmp_path, *MARKET, minute, interval="1m")]
    assert marks_at(lake_from(tmp_path / "b", [*archives, *both])) == [((MAY_1 + 8 * HOUR) * 1_000, 108.0, "mark_candles_1h")]
    minute = [*minute, candle(MAY_1 + 8 * HOUR, "200")]
    both = [*candle_archives(tmp_path, *MARKET, hour), *candle_archives(tmp_path, *MARKET, minute, interval="1m")]
    assert marks_at(lake_from(tmp_path / "c", [*archives, *both])) == [((MAY_1 + 8 * HOUR) * 1_000, 200.0, "mark_candles_1m")]


def test_a_mark_after_the_settlement_never_counts(archives: list[Path], tmp_path: Path) -> None:
    minute = [candle(MAY_1 + 8 * HOUR - 2 * MINUTE, "100"), candle(MAY_1 + 8 * HOUR + MINUTE, "200")]
    lake = lake_from(tmp_path, [*archives, *candle_archives(tmp_path, *MARKET, minute, interval="1m")])
    assert marks_at(lake) == [((MAY_1 + 8 * HOUR - 2 * MINUTE) * 1_000, 100.0, "mark_candles_1m")]
    window = {"start": "2024-05-01", "end": "2024-05-01 08:00"}
    with pytest.raises(NoDataError, match="no mark price that is at most 1m old: 1"):
        pointline.funding_payments(PERP, **window, lake=lake)
    held = pointline.funding_payments(PERP, **window, max_mark_age="2m", lake=lake)
    assert held.table.select("mark_price", "mark_age_us").rows() == [(100.0, 120_000_000)]
    assert pointline.funding_payments(PERP, **window, gaps="flag", lake=lake).summary["no_mark"] == 1


def test_the_ticker_counts_beside_candles(demo_lake: Path) -> None:
    """The demo's ticker is a few milliseconds late each second, so the last one before a settlement is most of a second old."""
    lake = pointline.open_lake(demo_lake)
    ticks = query.derivative_ticker(*MARKET, "2024-05-01", "2024-05-02", lake=lake)
    stamp = to_us("2024-05-01 08:00")
    last = ticks.filter(pl.col("ts_event_us") <= stamp).sort("ts_event_us").tail(1)
    assert stamp - last["ts_event_us"][0] > 0
    without_candles = _without(lake, "mark_candles_1m")
    assert marks_at(without_candles) == [(last["ts_event_us"][0], last["mark_price"][0], "derivative_ticker")]


def _without(lake: Lake, kind: str) -> Lake:
    class Fewer(type(lake)):  # type: ignore[misc] - a lake as it was before a table was there
        def kinds(self) -> list[str]:
            return [name for name in super().kinds() if name != kind]

    return Fewer(lake.root)


def test_the_perp_s_own_price_stands_in_only_where_it_is_wanted(archives: list[Path], tmp_path: Path) -> None:
    stamp_us = (MAY_1 + 8 * HOUR) * 1_000
    prints = [(stamp_us - 30_000_000, "61000", "1", False), (stamp_us - 10_000_000, "62000", "1", True), (stamp_us + 1_000, "1", "1", True)]
    lake = lake_from(tmp_path, [*archives, trades_archive(tmp_path, *MARKET, MAY_1 * 1_000, prints)])
    window = {"start": "2024-05-01", "end": "2024-05-01 08:00"}
    with pytest.raises(NoDataError, match="no mark price"):
        pointline.funding_payments(PERP, **window, lake=lake)
    held = pointline.funding_payments(PERP, **window, perp_price_as_mark=True, lake=lake)
    row = held.table.row(0, named=True)
    assert (row["mark_price"], row["mark_age_us"], row["mark_source"]) == (62_000.0, 10_000_000, "perp price: trades")
    assert row["cash"] == pytest.approx(6.2)
    assert "settlements at which the perpetual's own price stands in for the mark price: 1" in held.notes
    told = run("funding", PERP, "--start", "2024-05-01", "--end", "2024-05-01T08:00", "--perp-price", "--json", "--lake", lake.root)
    assert told.json["mark_sources"] == {"perp price: trades": 1}


def test_a_mark_price_comes_before_the_perp_s_own(archives: list[Path], tmp_path: Path) -> None:
    stamp = MAY_1 + 8 * HOUR
    perp = candle_archives(tmp_path, *MARKET, [candle(stamp, "200")], interval="1m", dataset="klines")
    young = candle_archives(tmp_path, *MARKET, [candle(stamp - MINUTE, "100")], interval="1m")
    lake = lake_from(tmp_path / "young", [*archives, *perp, *young])
    assert marks_at(lake, perp_price_as_mark=True) == [((stamp - MINUTE) * 1_000, 100.0, "mark_candles_1m")]
    old = candle_archives(tmp_path, *MARKET, [candle(stamp - 2 * MINUTE, "100")], interval="1m")
    lake = lake_from(tmp_path / "old", [*archives, *perp, *old])
    assert marks_at(lake, perp_price_as_mark=True) == [(stamp * 1_000, 200.0, "perp price: candles_1m")]


# --- intervals --------------------------------------------------------------------------------------------------------------------


def test_a_change_of_interval_at_the_edges_is_no_hole(tmp_path: Path) -> None:
    """Four hours become eight right after the exit: nothing is due at the fourth."""
    rates = [*eight_hourly(3, hours=4), *eight_hourly(2, from_ms=MAY_1 + 16 * HOUR)]
    ends = [rate[0] - 7 for rate in rates]
    marks = candle_archives(tmp_path, *MARKET, [candle(ms, "100") for ms in ends], interval="1m")
    lake = lake_from(tmp_path, [*funding_archives(tmp_path, *MARKET, rates), *marks])
    held = pointline.funding_payments(PERP, start="2024-05-01", end="2024-05-01 14:00", lake=lake)
    assert held.table["interval_hours"].to_list() == [4.0, 4.0]
    with pytest.raises(NoDataError, match="not in the data"):
        pointline.funding_payments(PERP, start="2024-04-30 19:00", end="2024-05-01 14:00", lake=lake)


def test_a_cut_of_the_lake_changes_nothing_before_it(tmp_path: Path) -> None:
    ends = [MAY_1 + 8 * HOUR * k for k in range(12)]
    marks = [candle(ms, f"{100 + number}") for number, ms in enumerate(ends)]
    tables = []
    for name, count in (("whole", 12), ("cut", 6)):
        files = [
            *funding_archives(tmp_path / name, *MARKET, eight_hourly(count)),
            *candle_archives(tmp_path / name, *MARKET, marks[:count], interval="1m"),
        ]
        held = pointline.funding_payments(PERP, start="2024-05-01", end="2024-05-02 16:00", lake=lake_from(tmp_path / name, files))
        tables.append(held.table)
    assert_frame_equal(*tables)
    assert tables[0].height == 5


# --- the command ------------------------------------------------------------------------------------------------------------------


def test_the_command_prints_what_the_study_holds(study: pointline.FundingPayments, demo_lake: Path, tmp_path: Path) -> None:
    held = ("funding", PERP, *OPTIONS, "--quantity", "-2", "--lake", demo_lake)
    told = run(*held, "--json", "-o", tmp_path / "flows.parquet")
    assert (told.code, told.err) == (0, "")
    assert {name: told.json[name] for name in study.summary} == dict(study.summary)
    assert told.json["rows"] == study.table.to_dicts()
    assert_frame_equal(pl.read_parquet(tmp_path / "flows.parquet"), study.table)
    text = run(*held)
    for part in (study.title, study.verdict, "2024-05-01 08:00:00", "cash USDT", "note: the entry is at the settlement"):
        assert part in " ".join(text.out.split())
    short = run(*held, "--rows", "1", "-o", tmp_path / "flows.csv", "--chart", tmp_path / "flows.html")
    assert "2 of 3 settlements" in short.out
    assert f"wrote 3 rows x 14 columns to {tmp_path / 'flows.csv'}" in short.out
    assert "2024-05-01 16:00:00" not in short.out
    assert (tmp_path / "flows.html").exists()
    assert run(*held, "-q").out == ""


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        (("--rows", "0"), "--rows"),
        (("--quantity", "0"), "quantity"),
        (("--quantity", "nan"), "quantity"),
        (("--max-mark-age", "60"), "no unit"),
        (("--gaps", "ignore"), "no such way"),
        (("--interval-hours", "-1"), "interval_hours"),
        (("-o", "flows.txt"), "output"),
    ],
)
def test_options_that_cannot_be(demo_lake: Path, options: tuple[str, ...], fragment: str) -> None:
    assert_refused(run("funding", PERP, *OPTIONS, *options, "--lake", demo_lake), fragment)
