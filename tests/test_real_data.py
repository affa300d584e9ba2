"""The whole path on recorded markets, against answers that were computed without this project.

Expected values are figures quoted with the data, or plain loops over the files' own text written here.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import warnings
import zipfile
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pointline import research
from pointline.clock import DAY_US, HOUR_US, SECOND_US, to_us
from pointline.ingest.run import ingest
from pointline.instruments import find_pairs
from pointline.lake import open_lake
from pointline.lake.catalog import catalog
from pointline.lake.manifest import Manifest, read_quarantine
from pointline.research import query
from pointline.research.resample import assign_to_buckets
from pointline.research.spines import TimeBarConfig, VolumeBarConfig, get_builder
from pointline.sources.base import Hints
from pointline.sources.families import all_sources
from pointline.studies.compare import compare
from pointline.studies.coverage import CoverageWarning

if TYPE_CHECKING:
    from pointline.ingest.run import FileReport
    from pointline.lake.store import Lake
    from pointline.research.spines import BarRule
    from pointline.studies.study import Study

    Aggregated: TypeAlias = list[tuple[int, int, Decimal, Decimal]]

MAPPINGS = Path(__file__).resolve().parent.parent / "examples" / "mappings"
PERP, SPOT, COIN = "binance-futures", "binance-spot", "binance-delivery"
PERP_BTC, SPOT_BTC, COIN_BTC = f"{PERP}:BTCUSDT", f"{SPOT}:BTCUSDT", f"{COIN}:BTCUSD_PERP"

SETTLEMENT = to_us("2023-04-05")
PAID_BEFORE = -0.00001276  # at 16:00 of the day before
PRINT_ID, PRINT_PRICE, PRINT_TIME_US = 3_535_191_080, 28_722.5, 1_680_652_874_400_000
RECORDED_2023 = ("binance_usdm_btcusdt_20230404.dat.gz", "binance_usdm_btcusdt_20230405.dat.gz", "binance_spot_btcusdt_20230405.dat.gz")
RECORDED_2024 = {
    PERP: "binance_usdm_btcusdt_20240808.gz",
    SPOT: "binance_spot_btcusdt_20240808.gz",
    COIN: "binance_coinm_btcusd_perp_20240808.gz",
}
MIDNIGHT_2024 = to_us("2024-08-09")


# --- the files, read plainly ------------------------------------------------------------------------------------------------------


def csv_rows(path: Path, *, header: bool) -> list[list[str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as text:
        return list(csv.reader(text))[header:]


def zip_rows(path: Path, *, header: bool) -> list[list[str]]:
    with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as member:
        return list(csv.reader(io.TextIOWrapper(member, encoding="utf-8")))[header:]


def plain_rows(path: Path) -> list[dict[str, str]]:
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    return list(csv.DictReader(lines[1:] if lines[0].startswith("https:") else lines))


def messages(path: Path, event: str) -> list[tuple[int, dict[str, Any]]]:
    """Receive time in the file's unit, and the message, of every line that speaks of the event."""
    found = []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            if f"@{event}" in line[:80]:
                received, _, text = line.partition(" ")
                found.append((int(received), json.loads(text)["data"]))
    return found


# --- lakes ------------------------------------------------------------------------------------------------------------------------


def add(lake: Lake, path: Path, source: str, **hints: Any) -> FileReport:  # noqa: ANN401 - handed on to Hints as they are
    (report,) = ingest(lake, [path], sources=all_sources(source), hints=Hints(**hints))
    return report


def add_mapped(lake: Lake, path: Path, mapping: str) -> FileReport:
    report = add(lake, path, "table", mapping=MAPPINGS / f"{mapping}.toml")
    assert (report.outcome, report.problem) == ("landed", None)
    return report


@dataclass(frozen=True)
class Recorded2023:
    """One way in which the minutes around the settlement of 2023-04-05 came into a lake."""

    name: str
    lake: Lake
    receipt_clock: bool


def make_2023(name: str, data: Path, folder: Path) -> Recorded2023:
    lake = open_lake(folder / name, create=True)
    if name == "csv":
        demo = data / "demo_btc_20230405_csv"
        for exchange, file in ((PERP, "usdm_BTCUSDT_trades.csv.gz"), (SPOT, "spot_BTCUSDT_trades.csv.gz")):
            report = add(lake, demo / file, "binance_vision", exchange=exchange, dataset="trades", symbol="BTCUSDT")
            assert (report.outcome, report.problem, report.missing_ids) == ("landed", None, 0)
        add_mapped(lake, demo / "usdm_BTCUSDT_markprice_1s.csv.gz", "mark_price_1s")
    else:
        for file in RECORDED_2023:
            report = add(lake, data / "ticks_btc_20230405" / file, "recorded", clock=None if name == "receipt" else "event")
            assert (report.outcome, report.missing_ids) == ("landed", 0)
            assert report.problem is None or "spot quotes from this line on have no exchange time" in report.problem
    add_mapped(lake, data / "funding" / "binance_usdm_BTC_funding_rates.json", "funding_json")
    return Recorded2023(name, lake, receipt_clock=name == "receipt")


@pytest.fixture(scope="module")
def all_2023(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recorded2023]:
    folder = tmp_path_factory.mktemp("2023")
    return {name: make_2023(name, shared_data, folder) for name in ("csv", "receipt", "event")}


@pytest.fixture(scope="module", params=["csv", "receipt", "event"])
def way(request: pytest.FixtureRequest, all_2023: dict[str, Recorded2023]) -> Recorded2023:
    return all_2023[request.param]


def seconds_2023(lake: Lake, start: str, end: str) -> Study:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CoverageWarning)  # by receipt, no spot trade is of 2023-04-04
        return compare(PERP_BTC, SPOT_BTC, start=start, end=end, bars=TimeBarConfig("1s"), lake=lake)


@pytest.fixture(scope="module")
def lake_2024(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = open_lake(tmp_path_factory.mktemp("2024") / "lake", create=True)
    for file in RECORDED_2024.values():
        report = add(lake, shared_data / "ticks_btc_20240808" / file, "recorded", clock="event")
        assert (report.outcome, report.missing_ids, report.duplicates) == ("landed", 0, 0)
        assert report.problem is None or "spot quotes from this line on have no exchange time" in report.problem
    return lake


@pytest.fixture(scope="module")
def vision_lake(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = open_lake(tmp_path_factory.mktemp("vision") / "lake", create=True)
    vision = shared_data / "vision"
    for exchange, file in ((PERP, "futures-um-klines"), (SPOT, "spot-klines")):
        path = vision / f"{file}-BTCUSDT-1h-2024-10-28.zip"
        report = add(lake, path, "binance_vision", exchange=exchange, dataset="klines-1h")
        assert (report.outcome, report.rows_landed) == ("landed", 24)
    report = add(lake, vision / "futures-APEUSDT-aggTrades-2024-10-18.zip", "binance_vision", exchange=PERP)
    assert (report.outcome, report.rows_read, report.rows_landed, report.missing_ids) == ("landed", 45_342, 45_342, 1)
    return lake


@pytest.fixture(scope="module")
def daily_lake(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = open_lake(tmp_path_factory.mktemp("daily") / "lake", create=True)
    for file, mapping in (
        ("klines/Binance_BTCUSDT_d.csv", "candles_daily_spot"),
        ("klines/BTCUSDT_Binance_futures_UM_day.csv", "candles_daily_usdm"),
        ("klines/BTCUSD_PERP_Binance_futures_CM_day.csv", "candles_daily_coinm"),
        ("funding/binance_usdm_BTCUSDT_funding_history_2024-08-09.csv", "funding_export_usdm"),
        ("funding/binance_coinm_BTCUSD_PERP_funding_history_2024-08-09.csv", "funding_export_coinm"),
    ):
        path = shared_data / file
        assert add_mapped(lake, path, mapping).rows_landed == len(plain_rows(path))
    return lake


@pytest.fixture(scope="module")
def meta_lake(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = open_lake(tmp_path_factory.mktemp("meta") / "lake", create=True)
    reports = ingest(lake, sorted((shared_data / "meta").glob("cryptofeed_*.gz")), sources=all_sources(), hints=Hints())
    assert [report.outcome for report in reports] == ["instruments"] * 3
    return lake


# --- 2023-04-05: an off-book print, a settlement, a perp that leads -----------------------------------------------------------------


def test_the_off_book_print_reaches_no_feature(way: Recorded2023) -> None:
    study = compare(PERP_BTC, SPOT_BTC, start="2023-04-05", end="2023-04-06", bars=VolumeBarConfig(10.0), lake=way.lake)
    around = study.features.filter((pl.col("bucket_start") <= PRINT_TIME_US) & (pl.col("bucket_end") > PRINT_TIME_US))
    assert around.height == 1
    highest = study.features.select(pl.col("perp_open", "perp_high", "perp_low", "perp_close", "perp_vwap").max()).row(0)
    assert max(highest) < 28_200
    assert float(study.features["basis_bps"].abs().max()) < 10  # 28722.5 would be 200


def test_the_off_book_print_and_no_other_is_flagged(way: Recorded2023) -> None:
    """The stream says so itself; of the archive it is our judgement."""
    found = query.trades(PERP, "BTCUSDT", "2023-04-04", "2023-04-06", lake=way.lake).filter("off_book")
    assert found.select("trade_id", "price", "ts_event_us").rows() == [(PRINT_ID, PRINT_PRICE, PRINT_TIME_US)]
    assert not query.trades(SPOT, "BTCUSDT", "2023-04-04", "2023-04-06", lake=way.lake)["off_book"].any()
    assert read_quarantine(way.lake, Manifest(way.lake)).filter(pl.col("kind") == "trades").is_empty()


def test_no_trade_is_missing(way: Recorded2023, shared_data: Path) -> None:
    for exchange, file in ((PERP, "usdm"), (SPOT, "spot")):
        rows = csv_rows(shared_data / f"demo_btc_20230405_csv/{file}_BTCUSDT_trades.csv.gz", header=file == "usdm")
        expected = [(int(row[4]) * 1000, int(row[0]), float(row[1]), float(row[2]), int(row[5].lower() == "true")) for row in rows]
        found = query.trades(exchange, "BTCUSDT", "2023-04-04", "2023-04-06", lake=way.lake)
        assert found.select("ts_event_us", "trade_id", "price", "qty", "side").rows() == expected
        if not way.receipt_clock:
            assert (found["ts_local_us"] == found["ts_event_us"]).all()


def test_receipt_times_are_those_of_the_recorder(all_2023: dict[str, Recorded2023], shared_data: Path) -> None:
    received = [received for file in RECORDED_2023[:2] for received, _ in messages(shared_data / "ticks_btc_20230405" / file, "trade")]
    found = query.trades(PERP, "BTCUSDT", "2023-04-04", "2023-04-06", lake=all_2023["receipt"].lake)
    assert found["ts_local_us"].to_list() == received


def test_the_first_spot_trade_was_made_before_midnight(way: Recorded2023) -> None:
    first = query.trades(SPOT, "BTCUSDT", "2023-04-04", "2023-04-06", lake=way.lake).row(0, named=True)
    assert first["ts_event_us"] == to_us("2023-04-04 23:59:59.999")
    held = {entry["kind"]: entry["first_date"] for entry in catalog(way.lake, SPOT)["instruments"]}
    assert held["trades"] == ("2023-04-05" if way.receipt_clock else "2023-04-04")


def test_quotes_are_those_of_the_stream(all_2023: dict[str, Recorded2023], shared_data: Path) -> None:
    for exchange, files in ((PERP, RECORDED_2023[:2]), (SPOT, RECORDED_2023[2:])):
        expected = [
            (received, message["u"], *(float(message[key]) for key in "bBaA"))
            for file in files
            for received, message in messages(shared_data / "ticks_btc_20230405" / file, "bookTicker")
        ]
        found = query.quotes(exchange, "BTCUSDT", "2023-04-04", "2023-04-06", lake=all_2023["receipt"].lake)
        assert found.select("ts_local_us", "update_id", "bid_price", "bid_qty", "ask_price", "ask_qty").rows() == expected


def test_spot_quotes_without_exchange_time_are_counted_not_lost(all_2023: dict[str, Recorded2023], shared_data: Path) -> None:
    count = len(messages(shared_data / "ticks_btc_20230405" / RECORDED_2023[2], "bookTicker"))
    lake = all_2023["event"].lake
    (reason,) = read_quarantine(lake, Manifest(lake)).filter(pl.col("kind") == "quotes")["reason"]
    assert reason.startswith(f"{count} spot quotes")


def test_funding_is_read_as_of_around_the_settlement(way: Recorded2023) -> None:
    bars = seconds_2023(way.lake, "2023-04-04 23:59:58", "2023-04-05 00:00:03").features
    rows = bars.select("bucket_end", "funding_close", "funding_source", "seconds_to_funding", "funding_settled", "funding_8h").rows()
    before, after = 0.00002754, 0.0000276
    assert rows == [
        (SETTLEMENT - SECOND_US, before, "estimate", 1.0, PAID_BEFORE, before),
        (SETTLEMENT, before, "estimate", 0.0, PAID_BEFORE, before),
        (SETTLEMENT + SECOND_US, after, "settled", 28_799.0, after, after),
        (SETTLEMENT + 2 * SECOND_US, after, "estimate", 28_798.0, after, after),
        (SETTLEMENT + 3 * SECOND_US, after, "estimate", 28_797.0, after, after),
    ]


def test_the_settled_rate_is_the_last_estimate_that_was_streamed_for_it(way: Recorded2023) -> None:
    ticker = query.derivative_ticker(PERP, "BTCUSDT", "2023-04-04", "2023-04-06", lake=way.lake)
    last = ticker.filter(pl.col("next_funding_us") == SETTLEMENT).tail(1)
    paid = query.funding(PERP, "BTCUSDT", SETTLEMENT, SETTLEMENT + SECOND_US, lake=way.lake)
    assert last["ts_event_us"].to_list() == [SETTLEMENT + 10_000]
    assert last["funding_rate"].to_list() == paid["funding_rate"].to_list() == [0.0000276]


def ticks(way: Recorded2023, data: Path) -> list[tuple[int, float, float, float, int]]:
    """When known, mark, index, estimate and the settlement that it speaks of."""
    if way.name == "csv":
        rows = csv_rows(data / "demo_btc_20230405_csv/usdm_BTCUSDT_markprice_1s.csv.gz", header=True)
        return [(int(r[0]) * 1000, float(r[2]), float(r[3]), float(r[5]), int(r[6]) * 1000) for r in rows]
    found = [pair for file in RECORDED_2023[:2] for pair in messages(data / "ticks_btc_20230405" / file, "markPrice")]
    return [
        (received if way.receipt_clock else m["E"] * 1000, float(m["p"]), float(m["i"]), float(m["r"]), m["T"] * 1000)
        for received, m in found
    ]


def test_state_of_every_second_equals_a_plain_loop(way: Recorded2023, shared_data: Path) -> None:
    bars = seconds_2023(way.lake, "2023-04-04 23:58:20", "2023-04-05 00:06:54").features
    rows = ticks(way, shared_data)
    assert len(rows) == 514
    expected = []
    for end in range(bars["bucket_end"][0], bars["bucket_end"][-1] + 1, SECOND_US):
        known = [row for row in rows if row[0] < end]
        if not known:
            expected.append((end, None, None, PAID_BEFORE))
            continue
        _, mark, index, estimate, settles = known[-1]
        expected.append((end, mark, index, estimate if settles >= end else 0.0000276))
    assert bars.select("bucket_end", "mark_close", "index_close", "funding_close").rows() == expected


def test_a_quiet_perp_carries_its_price_and_its_age(all_2023: dict[str, Recorded2023], shared_data: Path) -> None:
    bars = seconds_2023(all_2023["csv"].lake, "2023-04-04 23:59:55", "2023-04-05 00:00:10").features
    rows = csv_rows(shared_data / "demo_btc_20230405_csv/usdm_BTCUSDT_trades.csv.gz", header=True)
    trades = [(int(row[4]) * 1000, float(row[1])) for row in rows]
    expected = []
    for end in range(SETTLEMENT - 4 * SECOND_US, SETTLEMENT + 11 * SECOND_US, SECOND_US):
        time, price = [trade for trade in trades if trade[0] < end][-1]
        expected.append((end, price, end - time, sum(end - SECOND_US <= trade[0] < end for trade in trades)))
    assert bars.select("bucket_end", "perp_close", "perp_age_us", "perp_trade_count").rows() == expected
    assert bars["perp_age_us"].max() > 4 * SECOND_US  # five seconds of silence


def test_the_perp_trades_four_and_a_half_bps_below_spot(way: Recorded2023) -> None:
    basis = seconds_2023(way.lake, "2023-04-05", "2023-04-05 00:06:54").features["basis_bps"]
    assert basis.null_count() == 0
    assert float(basis.mean()) == pytest.approx(-4.5, abs=0.1)
    assert [round(float(value), 1) for value in (basis.min(), basis.max())] == [-6.0, -3.0]


def test_the_perp_leads_by_100_ms(way: Recorded2023) -> None:
    perp, spot = (
        query.trades(exchange, "BTCUSDT", "2023-04-04", "2023-04-06", lake=way.lake).filter(~pl.col("off_book"))
        for exchange in (PERP, SPOT)
    )
    grid = np.arange(SETTLEMENT, perp["ts_event_us"][-1], 100_000)
    returns = []
    for trades in (perp, spot):
        last = np.searchsorted(trades["ts_event_us"].to_numpy(), grid, side="right") - 1
        returns.append(np.diff(np.log(trades["price"].to_numpy()[last])))
    count = len(returns[0])
    correlation = {}
    for lag in range(-10, 11):  # a positive lag: what perp did then, spot does `lag` steps later
        earlier, later = returns[0][max(0, -lag) : count - max(0, lag)], returns[1][max(0, lag) : count - max(0, -lag)]
        correlation[lag] = float(np.corrcoef(earlier, later)[0, 1])
    assert max(correlation, key=lambda lag: correlation[lag]) == 1
    assert correlation[1] == pytest.approx(0.32, abs=0.005)


@pytest.mark.parametrize("rule", [VolumeBarConfig(10.0), VolumeBarConfig(3, boundary="reset"), TimeBarConfig("7s")], ids=str)
@pytest.mark.parametrize("spot_rule", [None, VolumeBarConfig(1)], ids=["primary", "dual"])
def test_a_narrow_window_gives_the_bars_and_features_of_a_wide_one(
    all_2023: dict[str, Recorded2023], rule: BarRule, spot_rule: BarRule | None
) -> None:
    """The window opens in the middle of a bar; that bar is left out of the answer, not out of what later bars look back on."""
    narrow, wide = (
        compare(PERP_BTC, SPOT_BTC, start=start, end=end, bars=rule, spot_bars=spot_rule, lake=all_2023["csv"].lake).features
        for start, end in (("2023-04-05 00:01:00", "2023-04-05 00:04:00"), ("2023-04-05", "2023-04-06"))
    )
    inside = (pl.col("bucket_start") >= SETTLEMENT + 60 * SECOND_US) & (pl.col("bucket_end") <= SETTLEMENT + 240 * SECOND_US)
    assert narrow.height > 20
    assert_frame_equal(narrow, wide.filter(inside), check_exact=True)


def test_what_comes_later_changes_nothing(all_2023: dict[str, Recorded2023], shared_data: Path, tmp_path: Path) -> None:
    """The files are cut at a moment: every bar that had ended by then keeps every value."""
    cut_us = SETTLEMENT + 200 * SECOND_US + 123_456
    lake = open_lake(tmp_path / "lake", create=True)
    demo = shared_data / "demo_btc_20230405_csv"
    for exchange, file, header in ((PERP, "usdm_BTCUSDT_trades.csv.gz", True), (SPOT, "spot_BTCUSDT_trades.csv.gz", False)):
        rows = csv_rows(demo / file, header=False)
        kept = [row for row in rows[header:] if int(row[4]) * 1000 < cut_us]
        (tmp_path / file).write_bytes(gzip.compress("\n".join(map(",".join, rows[:header] + kept)).encode()))
        assert add(lake, tmp_path / file, "binance_vision", exchange=exchange, dataset="trades", symbol="BTCUSDT").outcome == "landed"
    state = [
        row
        for row in csv_rows(demo / "usdm_BTCUSDT_markprice_1s.csv.gz", header=False)
        if not row[0].isdigit() or int(row[0]) * 1000 < cut_us
    ]
    (tmp_path / "markprice.csv").write_text("\n".join(map(",".join, state)), encoding="utf-8")
    add_mapped(lake, tmp_path / "markprice.csv", "mark_price_1s")
    add_mapped(lake, shared_data / "funding" / "binance_usdm_BTC_funding_rates.json", "funding_json")
    known, later = (
        compare(PERP_BTC, SPOT_BTC, start="2023-04-05", end="2023-04-06", bars=VolumeBarConfig(5.0), lake=one).features.filter(
            pl.col("bucket_end") <= cut_us
        )
        for one in (lake, all_2023["csv"].lake)
    )
    assert known.height > 50
    assert_frame_equal(known, later, check_exact=True)


# --- 2024-08-08: three markets, a recorder's clock that is behind -------------------------------------------------------------------


def test_a_clock_that_is_behind_is_refused_with_the_way_out(shared_data: Path, tmp_path: Path) -> None:
    lake = open_lake(tmp_path / "lake", create=True)
    for file in RECORDED_2024.values():
        report = add(lake, shared_data / "ticks_btc_20240808" / file, "recorded")
        assert (report.outcome, report.rows_landed) == ("failed", 0)
        assert report.problem is not None
        assert "the recorder's clock is behind the exchange's" in report.problem
        assert "in the median 1.2" in report.problem
        assert "--clock event" in report.problem
    assert lake.kinds() == []


@pytest.mark.parametrize(
    ("exchange", "symbol", "count"), [(SPOT, "BTCUSDT", 9_757), (PERP, "BTCUSDT", 21_313), (COIN, "BTCUSD_PERP", 2_286)]
)
def test_trades_of_three_markets(lake_2024: Lake, shared_data: Path, exchange: str, symbol: str, count: int) -> None:
    expected = [
        (m["T"] * 1000, m["t"], float(m["p"]), Decimal(m["q"]), int(m["m"]))
        for _, m in messages(shared_data / "ticks_btc_20240808" / RECORDED_2024[exchange], "trade")
    ]
    found = query.trades(exchange, symbol, "2024-08-08", "2024-08-10", lake=lake_2024)
    assert found.height == len(expected) == count
    plain = [(at, key, price, side) for at, key, price, _, side in expected]
    assert found.select("ts_local_us", "trade_id", "price", "side").rows() == plain
    if exchange == COIN:
        assert found["qty_contracts"].to_list() == [float(qty) for *_, qty, _ in expected]
        assert found["qty"].to_list() == pytest.approx([float(qty) * 100 / price for _, _, price, qty, _ in expected], rel=1e-15)
    else:
        assert found["qty"].to_list() == [float(qty) for *_, qty, _ in expected]


def test_the_last_trades_before_midnight_are_the_daily_closes(lake_2024: Lake, daily_lake: Lake) -> None:
    for exchange, symbol, close in ((SPOT, "BTCUSDT", 61_685.99), (PERP, "BTCUSDT", 61_659.8), (COIN, "BTCUSD_PERP", 61_668.6)):
        trades = query.trades(exchange, symbol, "2024-08-08", MIDNIGHT_2024, lake=lake_2024)
        candle = query.candles(exchange, symbol, MIDNIGHT_2024, MIDNIGHT_2024 + 1, interval="1d", lake=daily_lake)
        assert trades["price"][-1] == close
        assert candle["close"].to_list() == [close]
        assert candle["start_us"].to_list() == [MIDNIGHT_2024 - DAY_US]


def test_mean_basis_of_both_perps(lake_2024: Lake) -> None:
    linear = compare(PERP_BTC, SPOT_BTC, start="2024-08-08", end="2024-08-09", bars=TimeBarConfig("1s"), lake=lake_2024)
    assert linear.pair.quote_match
    assert round(float(linear.features["basis_bps"].mean()), 1) == -3.7
    inverse = compare(COIN_BTC, SPOT_BTC, start="2024-08-08", end="2024-08-09", bars=TimeBarConfig("1s"), lake=lake_2024)
    assert "basis_bps" not in inverse.features.columns
    assert round(float(inverse.features["cross_quote_basis_bps"].mean()), 1) == -2.7
    assert any("quoted in USD" in note and "USDT" in note for note in inverse.notes)


@pytest.mark.parametrize("exchange", [PERP, COIN])
def test_volumes_of_the_bars_equal_exact_sums_over_the_messages(lake_2024: Lake, shared_data: Path, exchange: str) -> None:
    perp, size = (COIN_BTC, VolumeBarConfig(1)) if exchange == COIN else (PERP_BTC, VolumeBarConfig(20))
    bars = compare(perp, SPOT_BTC, start="2024-08-08", end="2024-08-09", bars=size, lake=lake_2024).features
    for prefix, market in (("perp", exchange), ("spot", SPOT)):
        base, quote, bought, count = Decimal(0), Decimal(0), Decimal(0), 0
        for _, message in messages(shared_data / "ticks_btc_20240808" / RECORDED_2024[market], "trade"):
            if message["T"] * 1000 >= MIDNIGHT_2024:
                continue
            price, qty = Decimal(message["p"]), Decimal(message["q"])
            if market == COIN:
                contracts, qty = qty, qty * 100 / price
            base += qty
            quote += contracts * 100 if market == COIN else price * qty
            bought += 0 if message["m"] else qty
            count += 1
        totals = {name: sum(Decimal(repr(value)) for value in bars[f"{prefix}_{name}"]) for name in ("volume", "buy_volume")}
        for name, exact in (("volume", base), ("buy_volume", bought)):  # coins of inverse contracts have no last decimal
            assert abs(totals[name] - exact) <= (exact * Decimal("1e-15") if market == COIN else 0)
        assert float(bars[f"{prefix}_quote_volume"].sum()) == pytest.approx(float(quote), rel=1e-12)
        assert bars[f"{prefix}_trade_count"].sum() == count


# --- a whole day of one perp --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ape_rows(shared_data: Path) -> Aggregated:
    """Time, id, price and quantity of each aggregated trade of the day."""
    rows = zip_rows(shared_data / "vision" / "futures-APEUSDT-aggTrades-2024-10-18.zip", header=True)
    return [(int(row[5]) * 1000, int(row[0]), Decimal(row[1]), Decimal(row[2])) for row in rows]


def ape_spine(lake: Lake, threshold: int) -> pl.DataFrame:
    listed = research.list_symbols(exchange=PERP, base_asset="APE", quote_asset="USDT", asset_type="perpetual", lake=lake)
    (symbol_id,) = listed["symbol_id"]
    return get_builder("volume").build_spine(
        symbol_id=symbol_id, start_ts_us="2024-10-18", end_ts_us="2024-10-19", config=VolumeBarConfig(threshold), lake=lake
    )


def test_ape_ids_are_continuous_and_its_day_has_the_file_s_prices(vision_lake: Lake, ape_rows: Aggregated) -> None:
    trades = query.trades(PERP, "APEUSDT", "2024-10-18", "2024-10-19", lake=vision_lake)
    assert trades["trade_id"].to_list() == list(range(ape_rows[0][1], ape_rows[0][1] + 45_342))
    prices = [price for _, _, price, _ in ape_rows]
    expected = [float(price) for price in (prices[0], max(prices), min(prices), prices[-1])]
    price = trades["price"]
    assert [price[0], price.max(), price.min(), price[-1]] == expected == [0.7097, 0.7386, 0.7075, 0.7365]


def test_ape_bars_are_those_of_a_plain_loop_and_conserve_volume(vision_lake: Lake, ape_rows: Aggregated) -> None:
    threshold = 100_000
    by_time: dict[int, Decimal] = {}
    for time, _, _, qty in ape_rows:
        by_time[time] = by_time.get(time, Decimal(0)) + qty
    expected: list[list[Any]] = []  # bar_id, bucket_end, volume
    total = Decimal(0)
    for time, qty in by_time.items():
        bar = int(total // threshold)
        if not expected or expected[-1][0] != bar:
            expected.append([bar, 0, Decimal(0)])
        total += qty
        expected[-1][1:] = time + 1, expected[-1][2] + qty
    expected[-1][1] = to_us("2024-10-19")

    spine = ape_spine(vision_lake, threshold)
    trades = query.trades(PERP, "APEUSDT", "2024-10-18", "2024-10-19", lake=vision_lake)
    labelled = assign_to_buckets(events=trades, spine=spine)
    assert labelled["bucket_start"].null_count() == 0
    volume = labelled.group_by("bucket_end", maintain_order=True).agg(pl.col("qty").sum())
    assert spine.select("bar_id", "bucket_end").rows() == [(bar, end) for bar, end, _ in expected]
    assert volume.rows() == [(end, float(qty)) for _, end, qty in expected]
    assert Decimal(repr(volume["qty"].sum())) == sum(qty for *_, qty in ape_rows)
    assert spine["bucket_start"].to_list() == [to_us("2024-10-18"), *spine["bucket_end"].to_list()[:-1]]
    assert spine["complete"].to_list() == [True] * (spine.height - 1) + [False]


# --- candles ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("exchange", "file", "header"), [(PERP, "futures-um-klines", True), (SPOT, "spot-klines", False)])
def test_hourly_klines_land_exactly(vision_lake: Lake, shared_data: Path, exchange: str, file: str, header: bool) -> None:
    rows = zip_rows(shared_data / "vision" / f"{file}-BTCUSDT-1h-2024-10-28.zip", header=header)
    found = query.candles(exchange, "BTCUSDT", "2024-10-28", "2024-10-29 00:00:01", interval="1h", decoded=False, lake=vision_lake)
    names = ("open", "high", "low", "close", "volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume")
    expected = [
        (int(r[0]) * 1000, int(r[0]) * 1000 + HOUR_US, int(r[8]), *(Decimal(r[at]) for at in (1, 2, 3, 4, 5, 7, 9, 10))) for r in rows
    ]
    assert found.select("start_us", "ts_local_us", "trade_count", *names).rows() == expected


def test_daily_candles_are_those_of_the_file(daily_lake: Lake, shared_data: Path) -> None:
    rows = plain_rows(shared_data / "klines" / "BTCUSD_PERP_Binance_futures_CM_day.csv")
    expected = [
        (int(r["Unix"]) * 1000, *(Decimal(r[name]) for name in ("Open", "High", "Low", "Close", "Volume", "Volume Base Asset")))
        for r in reversed(rows)
    ]
    found = query.candles(COIN, "BTCUSD_PERP", "2020-01-01", "2024-08-10", interval="1d", decoded=False, lake=daily_lake)
    names = ("open", "high", "low", "close", "volume", "base_volume")
    assert found.select("start_us", *names).rows() == expected


def test_spreads_of_july_2024(daily_lake: Lake) -> None:
    """Closes of the days 07-01 to 07-31; a daily close is known at the end of its day."""
    close = {}
    for exchange, symbol in ((SPOT, "BTCUSDT"), (PERP, "BTCUSDT"), (COIN, "BTCUSD_PERP")):
        candles = query.candles(exchange, symbol, "2024-07-02", "2024-08-01 00:00:01", interval="1d", decoded=False, lake=daily_lake)
        close[exchange] = dict(candles.select("start_us", "close").iter_rows())
        assert list(close[exchange]) == [to_us("2024-07-01") + day * DAY_US for day in range(31)]
    statistics = {}
    for exchange in (PERP, COIN):
        spread = [close[exchange][day] - close[SPOT][day] for day in close[SPOT]]
        statistics[exchange] = tuple(round(float(value), 2) for value in (sum(spread) / 31, min(spread), max(spread)))
    assert statistics == {PERP: (-25.66, -44.36, -0.58), COIN: (-24.85, -100.87, 18.76)}


# --- settled funding ----------------------------------------------------------------------------------------------------------------


def test_funding_exports_and_json_agree_where_they_overlap(daily_lake: Lake, all_2023: dict[str, Recorded2023]) -> None:
    """One file counts London's local time, with summer and without, the other UTC with a jitter of up to 31 ms."""
    export = query.funding(PERP, "BTCUSDT", "2022-01-01", "2024-08-09 08:00:01", lake=daily_lake)
    exact = query.funding(PERP, "BTCUSDT", "2022-01-01", "2024-08-09 08:00:01", lake=all_2023["event"].lake)
    settlements = list(range(to_us("2022-01-01"), to_us("2024-08-09 08:00") + 1, 8 * HOUR_US))
    assert export["funding_us"].to_list() == exact["funding_us"].to_list() == settlements
    assert export["ts_event_us"].to_list() == settlements
    assert 0 <= (exact["ts_event_us"] - exact["funding_us"]).min() <= (exact["ts_event_us"] - exact["funding_us"]).max() == 31_000
    assert float((export["funding_rate"] - exact["funding_rate"]).abs().max()) < 1.01e-8  # the last digit of the export
    assert set(export["interval_hours"]) == {8.0}


@pytest.mark.parametrize(("exchange", "symbol", "file"), [(PERP, "BTCUSDT", "usdm_BTCUSDT"), (COIN, "BTCUSD_PERP", "coinm_BTCUSD_PERP")])
def test_funding_exports_hold_the_printed_rates(daily_lake: Lake, shared_data: Path, exchange: str, symbol: str, file: str) -> None:
    rows = plain_rows(shared_data / "funding" / f"binance_{file}_funding_history_2024-08-09.csv")
    expected = [float(Decimal(row["Funding Rate"].removesuffix("%")) / 100) for row in reversed(rows)]
    found = query.funding(exchange, symbol, "2019-01-01", "2024-08-10", lake=daily_lake)
    assert found["funding_rate"].to_list() == pytest.approx(expected, rel=1e-15, abs=0)
    assert found["funding_us"].diff().drop_nulls().unique().to_list() == [8 * HOUR_US]
    assert found["funding_us"][-1] == to_us("2024-08-09 08:00")


# --- instruments --------------------------------------------------------------------------------------------------------------------


def test_symbols_of_the_exchange_information(meta_lake: Lake) -> None:
    perp = research.list_symbols(exchange="binance-futures", base_asset="BTC", quote_asset="USDT", asset_type="perpetual", lake=meta_lake)
    spot = research.list_symbols(exchange="binance-spot", base_asset="BTC", quote_asset="USDT", asset_type="spot", lake=meta_lake)
    coin = research.list_symbols(exchange="binance-delivery", base_asset="BTC", asset_type="perpetual", lake=meta_lake)
    columns = ("exchange_symbol", "market", "contract_type", "contract_size", "price_increment", "qty_increment")
    assert perp.select(columns).rows() == [("BTCUSDT", "BTC-USDT", "linear", 1.0, 0.01, 0.001)]
    assert spot.select(columns).rows() == [("BTCUSDT", "BTC-USDT", None, 1.0, 0.01, 0.00001)]
    assert coin.select(columns).rows() == [("BTCUSD_PERP", "BTC-USD-PERP", "inverse", 100.0, 0.1, 1.0)]
    dated = research.list_symbols(exchange="binance-delivery", base_asset="BTC", asset_type="future", lake=meta_lake)
    assert dated.sort("expiry_us").select("market", "expiry_us").rows() == [
        ("BTC-USD-2021-09-24", to_us("2021-09-24 08:00")),
        ("BTC-USD-2021-12-31", to_us("2021-12-31 08:00")),
    ]


def test_every_listed_instrument_is_in_the_registry(meta_lake: Lake, shared_data: Path) -> None:
    for exchange, file in ((SPOT, "BINANCE"), (PERP, "BINANCE_FUTURES"), (COIN, "BINANCE_DELIVERY")):
        text = gzip.decompress((shared_data / "meta" / f"cryptofeed_{file}.0.gz").read_bytes()).decode()
        listed = json.JSONDecoder().raw_decode(text[text.index("{") :])[0]["symbols"]
        found = research.list_symbols(exchange=exchange, lake=meta_lake)
        assert set(found["exchange_symbol"]) == {entry["symbol"] for entry in listed}
        if exchange == COIN:
            sizes = dict(found.select("exchange_symbol", "contract_size").iter_rows())
            assert sizes == {entry["symbol"]: float(entry["contractSize"]) for entry in listed}


def test_pairs_come_from_the_registry_not_from_names(meta_lake: Lake) -> None:
    pairs = {row["perp_exchange_symbol"]: row for row in find_pairs(meta_lake.registry(), to_us("2021-11-01")).iter_rows(named=True)}
    linear, thousand, inverse = (pairs[name] for name in ("BTCUSDT", "1000SHIBUSDT", "BTCUSD_PERP"))
    assert (linear["spot_exchange_symbol"], linear["quote_match"], linear["price_factor"]) == ("BTCUSDT", True, 1.0)
    assert (thousand["spot_exchange_symbol"], thousand["quote_match"], thousand["price_factor"]) == ("SHIBUSDT", True, 1000.0)
    assert (inverse["spot_exchange_symbol"], inverse["quote_match"]) == ("BTCUSDT", False)
    assert "BTCUSD_210924" not in pairs  # delivered before that time
