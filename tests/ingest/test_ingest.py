"""Ingest: files whole or not at all, each once, whatever the order; nothing lost, nothing doubled, nothing rounded."""

from __future__ import annotations

import itertools
import re
from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.lake.archives import (
    FUTURES,
    TRADES_HEADER,
    contents,
    footer,
    futures_trades,
    land,
    manifest,
    ms,
    quarantine,
    rows,
    take,
    trade,
    versions,
    write,
)
from tests.lake.stores import BOTH_STORES, BOTH_STORES_SLOWLY

from pointline.clock import to_us
from pointline.ingest import spool
from pointline.lake import open_lake
from pointline.lake.partition import file_id
from pointline.sources import text_lines
from pointline.sources.base import Hints

if TYPE_CHECKING:
    from pathlib import Path

DAY_1 = [trade(number, f"2024-05-01 12:00:0{number}") for number in range(1, 6)]
DAY_2 = [trade(number, f"2024-05-02 12:00:0{number}") for number in range(6, 9)]
STRAY = trade(9, "2024-05-01 23:59:59.999")


def key(dataset: str, period: str, market: str = "futures/um", exchange: str = "binance-futures", symbol: str = "BTCUSDT") -> str:
    return f"binance_vision|{exchange}|{market}|{dataset}|{symbol}|{period}"


def aggregated(folder: Path, date: str, *lines: str) -> Path:
    return write(folder, f"{FUTURES}/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-{date}.zip", *lines)


def agg_trade(number: int, first: int, last: int, time: str, price: str = "60000.1", qty: str = "0.005") -> str:
    return f"{number},{price},{qty},{first},{last},{ms(time)},true"


def candle(start: str, *, close: str = "2", volume: str = "1.5", quote: str = "3.25") -> str:
    return f"{ms(start)},1,3,0.5,{close},{volume},{ms(start) + 59_999},{quote},7,1.25,2.5,0"


def candle_file(folder: Path, date: str, *lines: str, market: str = FUTURES, dataset: str = "klines", symbol: str = "BTCUSDT") -> Path:
    span = "daily" if len(date) == len("2024-05-01") else "monthly"
    return write(folder, f"{market}/{span}/{dataset}/{symbol}/1m/{symbol}-1m-{date}.zip", *lines)


# Once, twice, in any order


@BOTH_STORES_SLOWLY
def test_a_file_lands_with_every_value(tmp_path: Path, place: Path | str) -> None:
    lines = [trade(1, "2024-05-01 00:00:00", "60000.1", "0.25", "true"), trade(2, "2024-05-01 00:00:00.007", "59999", "1.125", "false")]
    (report,) = land(place, futures_trades(tmp_path, "2024-05-01", *lines, checksum=True))
    assert (report.outcome, report.rows_read, report.rows_landed, report.problem) == ("landed", 2, 2, None)
    start = 1_714_521_600_000_000
    source = file_id(key("trades", "2024-05-01"))
    assert rows(place).rows() == [
        (start, start, 1, None, None, None, 600_001, 250, True, False, 2, 1, 3, source),
        (start + 7_000, start + 7_000, 2, None, None, None, 599_990, 1_125, False, False, 3, 1, 3, source),
    ]


@BOTH_STORES
def test_twice_is_once(tmp_path: Path, place: Path | str) -> None:
    paths = [futures_trades(tmp_path, "2024-05-01", *DAY_1), futures_trades(tmp_path, "2024-05-02", *DAY_2, STRAY)]
    land(place, *paths)
    before, commits = contents(place), versions(place)
    again = land(place, *paths, *paths)
    assert [report.outcome for report in again] == ["unchanged"] * 4
    assert [report.rows_landed for report in again] == [5, 4, 5, 4]
    assert contents(place) == before
    assert versions(place) == commits


def scenario_stray_row(folder: Path) -> list[list[Path]]:
    """Two daily files, of which the second has a row of the first one's day."""
    return [[futures_trades(folder, "2024-05-01", *DAY_1)], [futures_trades(folder, "2024-05-02", STRAY, *DAY_2)]]


def scenario_daily_and_monthly(folder: Path) -> list[list[Path]]:
    """The month has both days, and another price of a trade that the daily file has too."""
    other = trade(4, "2024-05-01 12:00:04", "60000.2")
    return [[futures_trades(folder, "2024-05", *DAY_1[:3], other, *DAY_2)], [futures_trades(folder, "2024-05-01", *DAY_1)]]


def scenario_aggregated(folder: Path) -> list[list[Path]]:
    """Aggregated trades of two days, single trades of one of them."""
    first = aggregated(folder, "2024-05-01", agg_trade(1, 1, 5, "2024-05-01 12:00:01"))
    second = aggregated(folder, "2024-05-02", agg_trade(2, 6, 8, "2024-05-02 12:00:06"))
    return [[first], [second], [futures_trades(folder, "2024-05-01", *DAY_1)]]


def scenario_corrected(folder: Path) -> list[list[Path]]:
    """The second day's file is replaced by a corrected one; its stray row on the first day stays, with another price."""
    old = futures_trades(folder / "old", "2024-05-02", STRAY, *DAY_2)
    new = futures_trades(folder / "new", "2024-05-02", STRAY.replace("60000.1", "60000.12"), *DAY_2[:2])
    return [[futures_trades(folder, "2024-05-01", *DAY_1)], [old, new]]


def scenario_candles(folder: Path) -> list[list[Path]]:
    """A month of candles, a corrected day of it, and the month before, whose last candle ends in this one."""
    month = candle_file(folder, "2024-05", candle("2024-05-01 00:00"), candle("2024-05-02 00:00"), candle("2024-05-31 23:59"))
    day = candle_file(folder, "2024-05-02", candle("2024-05-02 00:00", close="2.5"), candle("2024-05-02 00:01"))
    return [[month], [day], [candle_file(folder, "2024-04", candle("2024-04-30 23:58"), candle("2024-04-30 23:59"))]]


SCENARIOS = {
    "stray row": (scenario_stray_row, {"trades/2024-05-01": [1, 2, 3, 4, 5, 9], "trades/2024-05-02": [6, 7, 8]}),
    "daily and monthly": (scenario_daily_and_monthly, {"trades/2024-05-01": [1, 2, 3, 4, 5], "trades/2024-05-02": [6, 7, 8]}),
    "aggregated": (scenario_aggregated, {"trades/2024-05-01": [1, 2, 3, 4, 5], "trades/2024-05-02": [2]}),
    "corrected": (scenario_corrected, {"trades/2024-05-01": [1, 2, 3, 4, 5, 9], "trades/2024-05-02": [6, 7]}),
}


def orders(groups: list[list[Path]]) -> list[list[Path]]:
    """Every order of the files that keeps the order within each group (predecessor, then correction)."""
    labels = [number for number, group in enumerate(groups) for _ in group]
    found = []
    for order in dict.fromkeys(itertools.permutations(labels)):
        left = [iter(group) for group in groups]
        found.append([next(left[label]) for label in order])
    return found


@pytest.mark.parametrize("name", SCENARIOS)
def test_any_order_gives_the_same_lake(tmp_path: Path, name: str) -> None:
    scenario, expected = SCENARIOS[name]
    lakes = []
    for number, order in enumerate(orders(scenario(tmp_path))):
        root = tmp_path / f"lake-{number}"
        land(root, *order)
        lakes.append(contents(root))
        listing = open_lake(root).listing("trades")
        found = {
            f"trades/{row['date']}": pl.read_parquet(root / "trades" / row["path"])["trade_id"].to_list() for row in listing.to_dicts()
        }
        assert found == expected
    assert len(lakes) > 1
    assert all(lake == lakes[0] for lake in lakes)


def test_a_daily_file_of_candles_does_not_drive_out_the_rest_of_its_month(tmp_path: Path) -> None:
    lakes = []
    for number, order in enumerate(orders(scenario_candles(tmp_path))):
        root = tmp_path / f"lake-{number}"
        land(root, *order)
        lakes.append(contents(root))
        found = rows(root, "candles_1m").select("start_us", "close").rows()
        assert found == [
            (to_us(start), Decimal(close))
            for start, close in [
                ("2024-04-30 23:58", "2"),
                ("2024-04-30 23:59", "2"),
                ("2024-05-01 00:00", "2"),
                ("2024-05-02 00:00", "2.5"),
                ("2024-05-02 00:01", "2"),
                ("2024-05-31 23:59", "2"),
            ]
        ]
    assert all(lake == lakes[0] for lake in lakes)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_cut_into_files_and_any_order_gives_the_same_rows(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Files of three days whose rows stray to the next days: every row lands once, in the day of its own time."""
    folder = tmp_path_factory.mktemp("cut")
    days = ("2024-05-01", "2024-05-02", "2024-05-03")
    near = st.sampled_from([(day, file) for day in days for file in days if abs(int(day[-1]) - int(file[-1])) < 2])
    drawn = data.draw(st.lists(st.tuples(near, st.integers(0, 9)), min_size=1, max_size=12))
    moments = [(day, second, file) for (day, file), second in drawn]
    stored = {number: (day, second) for number, (day, second, _) in enumerate(moments, start=1)}
    paths = []
    for period in days:
        lines = [trade(n, f"{day} 12:00:0{second}") for n, (day, second, file) in enumerate(moments, start=1) if file == period]
        if lines:
            paths.append(futures_trades(folder, period, *lines))
    lakes = []
    for name, order in (("a", paths), ("b", data.draw(st.permutations(paths)))):
        land(folder / name, *order)
        lakes.append(contents(folder / name))
        found = rows(folder / name).select("trade_id", "ts_local_us").rows()
        assert sorted(found) == [(number, to_us(f"{day} 12:00:0{second}")) for number, (day, second) in stored.items()]
        assert [time for _, time in found] == sorted(time for _, time in found)
    assert lakes[0] == lakes[1]


# Corrections


@BOTH_STORES
def test_a_corrected_file_replaces_its_predecessor(tmp_path: Path, place: Path | str) -> None:
    bad = trade(3, "2024-05-01 12:00:03").replace("60000.1", "sixty")
    land(place, futures_trades(tmp_path / "old", "2024-05-01", *DAY_1[:2], bad))
    assert [row["value"] for row in quarantine(place)] == ["sixty"]
    worse = trade(5, "2024-05-01 12:00:05", qty="-1")
    (report,) = land(place, futures_trades(tmp_path / "new", "2024-05-01", *DAY_1[:4], worse))
    assert (report.outcome, report.rows_landed, report.rows_quarantined) == ("landed", 4, 1)
    assert rows(place)["trade_id"].to_list() == [1, 2, 3, 4]
    assert [(row["line"], row["value"]) for row in quarantine(place)] == [(6, "-1")]
    entries = manifest(place)
    assert entries["key"].unique().to_list() == [key("trades", "2024-05-01")]
    assert entries["sha256"].n_unique() == 2
    assert entries["rows_landed"].to_list() == [2, 4]


@BOTH_STORES_SLOWLY
def test_a_correction_that_leaves_a_day_withdraws_it(tmp_path: Path, place: Path | str) -> None:
    land(place, futures_trades(tmp_path / "old", "2024-05-02", trade(4, "2024-05-01 23:00:00"), *DAY_2))
    assert open_lake(place).listing("trades")["date"].to_list() == ["2024-05-01", "2024-05-02"]
    land(place, futures_trades(tmp_path / "new", "2024-05-02", *DAY_2))
    assert open_lake(place).listing("trades")["date"].to_list() == ["2024-05-02"]
    assert rows(place)["trade_id"].to_list() == [6, 7, 8]


@BOTH_STORES_SLOWLY
def test_a_correction_withdraws_its_own_rows_only(tmp_path: Path, place: Path | str) -> None:
    alone = futures_trades(tmp_path, "2024-05-01", *DAY_1)
    land(tmp_path / "reference", alone, futures_trades(tmp_path / "new", "2024-05-02", *DAY_2))
    land(place, alone, futures_trades(tmp_path / "old", "2024-05-02", STRAY, *DAY_2))
    assert rows(place)["trade_id"].to_list() == [1, 2, 3, 4, 5, 9, 6, 7, 8]
    land(place, futures_trades(tmp_path / "new", "2024-05-02", *DAY_2))
    assert contents(place) == contents(tmp_path / "reference")


@BOTH_STORES_SLOWLY
def test_going_back_to_the_predecessor_works(tmp_path: Path, place: Path | str) -> None:
    old = futures_trades(tmp_path / "old", "2024-05-01", *DAY_1)
    land(place, old)
    before = contents(place)
    land(place, futures_trades(tmp_path / "new", "2024-05-01", *DAY_1[:2]))
    (report,) = land(place, old)
    assert report.outcome == "landed"
    assert contents(place) == before
    assert manifest(place)["rows_landed"].to_list() == [5, 2, 5]


@BOTH_STORES_SLOWLY
def test_other_options_read_the_file_again(tmp_path: Path, place: Path | str) -> None:
    path = futures_trades(tmp_path, "2024-05-01", *DAY_1)
    land(place, path)
    (report,) = land(place, path, hints=Hints(latency_us=250))
    assert (report.outcome, report.rows_landed) == ("landed", 5)
    stored = rows(place)
    assert stored["trade_id"].to_list() == [1, 2, 3, 4, 5]
    assert (stored["ts_local_us"] - stored["ts_event_us"]).unique().to_list() == [250]
    assert rows(place, "trades_reserve").is_empty()


# What is set aside and what is counted


@BOTH_STORES_SLOWLY
def test_quarantine_says_file_line_column_value_and_reason(tmp_path: Path, place: Path | str) -> None:
    lines = [
        DAY_1[0],
        "2,abc,0.001,60," + str(ms("2024-05-01 12:00:02")) + ",true",
        trade(3, "2024-05-01 12:00:03", qty="-0.5"),
        trade(5, "2024-05-01 12:00:05", maker="maybe"),
        trade(6, "2024-05-01 12:00:06") + ",7",
        *(trade(n, f"2024-05-01 12:00:{n:02d}") for n in range(7, 12)),
    ]
    (report,) = land(place, futures_trades(tmp_path, "2024-05-01", *lines))
    found = [(row["file_name"], row["line"], row["column"], row["value"], row["reason"], row["fatal"]) for row in quarantine(place)]
    name = "BTCUSDT-trades-2024-05-01.zip"
    assert found == [
        (name, 3, "price", "abc", "cannot be read as a number", True),
        (name, 4, "qty", "-0.5", "must be above zero", True),
        (name, 5, "is_buyer_maker", "maybe", "cannot be read as true or false", True),
        (name, 6, None, None, "has 7 fields, not 6", True),
    ]
    assert (report.rows_read, report.rows_landed, report.rows_quarantined) == (10, 6, 4)
    assert rows(place)["trade_id"].to_list() == [1, *range(7, 12)]
    assert report.problem is not None
    for part in ("4 malformed rows went to quarantine", "line 3, column price", "'abc'", "hint:"):
        assert part in report.problem


@BOTH_STORES_SLOWLY
def test_counts_add_up(tmp_path: Path, place: Path | str) -> None:
    at = "2024-05-01 12:00:0"
    lines = [
        trade(1, f"{at}1"),
        trade(3, f"{at}3"),  # 2 is missing
        trade(3, f"{at}3"),  # repeated
        trade(4, f"{at}2"),  # earlier than the row above
        trade(4, f"{at}4", price="60001"),  # the same id with other values
        trade(7, f"{at}6"),  # 5 and 6 are missing
        trade(8, f"{at}5"),  # earlier than the row above
        trade(9, f"{at}7", price="nan"),  # malformed; its id counts as missing only between good ones
        trade(10, f"{at}8"),
        trade(11, f"{at}9"),
    ]
    (report,) = land(place, futures_trades(tmp_path, "2024-05-01", *lines))
    assert (report.rows_read, report.rows_landed, report.rows_quarantined, report.duplicates) == (10, 7, 2, 1)
    assert report.rows_read == report.rows_landed + report.rows_quarantined + report.duplicates
    assert (report.missing_ids, report.out_of_order) == (4, 2)
    assert rows(place).select("trade_id", "source_row").rows() == [(1, 2), (4, 5), (3, 3), (8, 8), (7, 7), (10, 10), (11, 11)]
    entry = manifest(place).row(0, named=True)
    assert [entry[name] for name in ("rows_read", "rows_landed", "rows_quarantined", "duplicates", "missing_ids", "out_of_order")] == [
        10,
        7,
        2,
        1,
        4,
        2,
    ]


@BOTH_STORES_SLOWLY
def test_rows_of_one_time_keep_the_order_of_the_file(tmp_path: Path, place: Path | str) -> None:
    at = "2024-05-01 12:00:01"
    late = [trade(20, "2024-05-01 12:00:02"), trade(21, "2024-05-01 12:00:02")]
    land(place, futures_trades(tmp_path, "2024-05-01", *late, *(trade(n, at) for n in (7, 5, 9, 6))))
    assert rows(place)["trade_id"].to_list() == [7, 5, 9, 6, 20, 21]


@BOTH_STORES_SLOWLY
def test_interleaved_rows_are_brought_in_order(tmp_path: Path, place: Path | str) -> None:
    """Every other row comes from the end of the day."""
    morning = [trade(n, f"2024-05-01 00:00:{n:02d}") for n in range(1, 31)]
    evening = [trade(n + 100, f"2024-05-01 23:00:{n:02d}") for n in range(1, 31)]
    (report,) = land(place, futures_trades(tmp_path, "2024-05-01", *itertools.chain(*zip(morning, evening, strict=True))))
    assert rows(place)["trade_id"].to_list() == [*range(1, 31), *range(101, 131)]
    assert (report.out_of_order, report.duplicates, report.missing_ids) == (29, 0, 70)


# Exact amounts


def test_amounts_are_exact(tmp_path: Path) -> None:
    amounts = [("60000.12345678", "0.00000001"), ("0.1", "0.3"), ("99999.99999999", "1000000.12345678"), ("7", "2.10000000")]
    lines = [trade(n, f"2024-05-01 12:00:0{n}", price, qty) for n, (price, qty) in enumerate(amounts)]
    land(tmp_path / "lake", futures_trades(tmp_path, "2024-05-01", *lines), hints=Hints())
    found = rows(tmp_path / "lake")
    assert found.select("price_decimals", "qty_decimals").unique().rows() == [(8, 8)]
    exact = [(int(Decimal(price).scaleb(8)), int(Decimal(qty).scaleb(8))) for price, qty in amounts]
    assert found.select("price_int", "qty_int").rows() == exact


def decimals(pair: tuple[int, int]) -> Decimal:
    """A value below 2^51 units of 1e-8, on a step of ten to some power of them."""
    units, power = pair
    return Decimal(max(units // 10**power, 1) * 10**power).scaleb(-8)


@settings(max_examples=25)
@given(values=st.lists(st.tuples(st.integers(1, 2 * 10**15), st.integers(0, 8)).map(decimals), min_size=1, max_size=6))
def test_every_decimal_of_an_archive_is_stored_exactly(tmp_path_factory: pytest.TempPathFactory, values: list[Decimal]) -> None:
    folder = tmp_path_factory.mktemp("exact")
    lines = [trade(n, f"2024-05-01 12:00:0{n}", "100", format(value, "f")) for n, value in enumerate(values)]
    land(folder / "lake", futures_trades(folder, "2024-05-01", *lines))
    found = [Decimal(qty).scaleb(-decimals) for qty, decimals in rows(folder / "lake").select("qty_int", "qty_decimals").rows()]
    assert found == values


def test_a_whole_amount_just_below_2_to_the_53_is_exact(tmp_path: Path) -> None:
    lines = [trade(1, "2024-05-01 12:00:00", qty=str(2**53 - 1)), trade(2, "2024-05-01 12:00:01", qty="3")]
    land(tmp_path / "lake", futures_trades(tmp_path, "2024-05-01", *lines))
    assert rows(tmp_path / "lake").select("qty_int", "qty_decimals").rows() == [(2**53 - 1, 0), (3, 0)]


def test_text_with_more_digits_than_can_be_kept_is_set_aside(tmp_path: Path) -> None:
    lines = [*DAY_1, trade(6, "2024-05-01 12:00:06", qty="4503599627370.12345"), trade(7, "2024-05-01 12:00:07", "60000.1000000000001")]
    (report,) = land(tmp_path / "lake", futures_trades(tmp_path, "2024-05-01", *lines))
    assert (report.rows_landed, report.rows_quarantined) == (5, 2)
    assert [row["value"] for row in quarantine(tmp_path / "lake")] == ["4503599627370.12345", "60000.1000000000001"]


@pytest.mark.parametrize("qty", ["0.1234567890123", "9007199254740993", "1e-13"])
def test_an_amount_with_too_many_digits_is_refused(tmp_path: Path, qty: str) -> None:
    path = futures_trades(tmp_path, "2024-05-01", DAY_1[0], trade(2, "2024-05-01 12:00:02", qty=qty))
    (report,) = take(tmp_path / "lake", path)
    assert report.outcome == "failed"
    assert report.problem is not None
    for part in ("an amount cannot be stored exactly", f"where:    {path}", repr(float(qty)), "12 decimals"):
        assert part in report.problem
    assert contents(tmp_path / "lake") == {}


# Memory


def test_spilling_to_disk_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [trade(n, f"2024-05-0{n % 3 + 1} 12:00:{n % 60:02d}") for n in range(1, 120)]
    path = futures_trades(tmp_path, "2024-05", *lines)
    land(tmp_path / "reference", path)
    monkeypatch.setattr(text_lines, "BLOCK_BYTES", 500)
    monkeypatch.setattr(spool, "SPILL_ROWS", 7)
    land(tmp_path / "lake", path)
    assert len(contents(tmp_path / "lake")) == 3
    assert contents(tmp_path / "lake") == contents(tmp_path / "reference")
    assert not list((tmp_path / "lake" / ".staging").glob("*"))


@pytest.mark.parametrize("size", [1, 13, 64, 100, 1000])
def test_block_size_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    bad = "17,oops,1,1,1,true"
    path = futures_trades(tmp_path, "2024-05-01", *DAY_1[:2], "", bad, *DAY_1[2:], trade(6, "2024-05-01 13:00:00") + ",8")
    (expected,) = land(tmp_path / "reference", path)
    monkeypatch.setattr(text_lines, "BLOCK_BYTES", size)
    (report,) = land(tmp_path / "lake", path)
    assert contents(tmp_path / "lake") == contents(tmp_path / "reference")
    assert quarantine(tmp_path / "lake") == quarantine(tmp_path / "reference")
    assert [(row["line"], row["raw"]) for row in quarantine(tmp_path / "lake")] == [(5, bad), (9, trade(6, "2024-05-01 13:00:00") + ",8")]
    assert (report.rows_read, report.rows_landed, report.rows_quarantined) == (7, 5, 2)
    assert report == expected


# What the files say of themselves


def test_totals_equal_sums_over_the_file(tmp_path: Path) -> None:
    root = tmp_path / "lake"
    quantities = ["0.001", "12.5", "3", "0.25", "100000.125"]
    prices = ["60000.1", "60000.2", "60000.3", "60000.25", "60000"]
    lines = [trade(n, f"2024-05-01 12:00:0{n}", price, qty) for n, (price, qty) in enumerate(zip(prices, quantities, strict=True), start=1)]
    land(root, futures_trades(tmp_path, "2024-05-01", *lines))
    told = footer(open_lake(root), "trades", "2024-05-01")
    volume = sum(Decimal(qty) for qty in quantities)
    assert told["totals"] == {
        "rows": 5,
        "first_local_us": to_us("2024-05-01 12:00:01"),
        "last_local_us": to_us("2024-05-01 12:00:05"),
        "first_event_us": to_us("2024-05-01 12:00:01"),
        "last_event_us": to_us("2024-05-01 12:00:05"),
        "price_decimals": 2,
        "qty_decimals": 3,
        "qty_int": str(int(volume * 1000)),
        "max_qty_int": 100_000_125,
        "first_id": 1,
        "last_id": 5,
        "missing_ids": 0,
        "holes": [],
        "off_book": 0,
        "unknown_sides": 0,
        "last_price_int": 6_000_000,
        "last_trade_us": to_us("2024-05-01 12:00:05"),
    }
    (feed,) = told["feeds"]
    assert (feed["key"], feed["rows"], feed["clock"], feed["rank"]) == (key("trades", "2024-05-01"), 5, "assumed", 10)


def test_volume_beyond_64_bits_is_summed_exactly(tmp_path: Path) -> None:
    largest = 2**53 - 1
    count = 1_100
    lines = [trade(n, "2024-05-01 12:00:00", qty=str(largest)) for n in range(1, count + 1)]
    land(tmp_path / "lake", futures_trades(tmp_path, "2024-05-01", *lines))
    told = footer(open_lake(tmp_path / "lake"), "trades", "2024-05-01")["totals"]
    assert told["qty_int"] == str(largest * count)
    assert largest * count > 2**63
    assert told["max_qty_int"] == largest


def test_other_delta_readers_see_the_same_rows(tmp_path: Path) -> None:
    from deltalake import DeltaTable

    root = tmp_path / "lake"
    land(root, *(path for group in scenario_corrected(tmp_path) for path in group))
    expected = rows(root).sort("ts_local_us", "trade_id")
    columns = expected.columns
    scanned = pl.scan_delta(str(root / "trades")).sort("ts_local_us", "trade_id").collect()
    assert scanned.select(columns).equals(expected)
    assert scanned["date"].dt.to_string().unique().sort().to_list() == ["2024-05-01", "2024-05-02"]
    plain = pl.DataFrame(DeltaTable(str(root / "trades")).to_pyarrow_table()).sort("ts_local_us", "trade_id")
    assert plain.select(columns).equals(expected)
    filtered = pl.scan_delta(str(root / "trades")).filter(pl.col("ts_local_us") >= to_us("2024-05-02")).collect()
    assert sorted(filtered["trade_id"].to_list()) == [6, 7]


# The other tables


@BOTH_STORES_SLOWLY
def test_funding_is_stored_by_month(tmp_path: Path, place: Path | str) -> None:
    header = "calc_time,funding_interval_hours,last_funding_rate"
    lines = [f"{ms('2024-04-30 16:00') + 4},8,0.00010000", f"{ms('2024-05-01') + 11},8,-0.00002760", f"{ms('2024-05-01 08:00')},8,0.0003"]
    path = write(tmp_path, f"{FUTURES}/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2024-04.zip", *lines, header=header)
    (report,) = land(place, path)
    assert (report.kinds, report.rows_landed) == (("funding",), 3)
    assert open_lake(place).listing("funding")["date"].to_list() == ["2024-04-01", "2024-05-01"]
    found = rows(place, "funding").select("ts_local_us", "ts_event_us", "funding_us", "funding_rate", "interval_hours", "mark_price").rows()
    stamps = [(to_us("2024-04-30 16:00"), 4_000), (to_us("2024-05-01"), 11_000), (to_us("2024-05-01 08:00"), 0)]
    rates = [0.0001, -0.0000276, 0.0003]
    assert found == [(at + jitter, at + jitter, at, rate, 8.0, None) for (at, jitter), rate in zip(stamps, rates, strict=True)]


@BOTH_STORES_SLOWLY
def test_candles_keep_every_decimal(tmp_path: Path, place: Path | str) -> None:
    line = (
        f"{ms('2024-05-01')},60000.12345678,60000.87654321,0.00000001,60000.00000009,123456789.12345678,{ms('2024-05-01') + 59_999},"
        "7407407407407.12345678,9,0.00000001,0.12345678,0"
    )
    land(place, candle_file(tmp_path, "2024-05-01", line))
    row = rows(place, "candles_1m").row(0, named=True)
    assert (row["start_us"], row["ts_local_us"], row["ts_event_us"]) == (to_us("2024-05-01"),) + (to_us("2024-05-01 00:01"),) * 2
    values = {
        "open": "60000.12345678",
        "high": "60000.87654321",
        "low": "0.00000001",
        "close": "60000.00000009",
        "volume": "123456789.12345678",
        "quote_volume": "7407407407407.12345678",
        "taker_buy_volume": "0.00000001",
        "taker_buy_quote_volume": "0.12345678",
    }
    assert {name: row[name] for name in values} == {name: Decimal(text) for name, text in values.items()}
    assert (row["trade_count"], row["base_volume"]) == (9, None)


def test_metrics_are_open_interest(tmp_path: Path) -> None:
    lines = [
        "2024-05-01 00:05:00,BTCUSDT,80000.5,4800000000.25,1.5,1.25,1.75,0.9",
        "2024-05-01 00:10:00,BTCUSDT,80001,4800000001,1.5,1.25,1.75,1.1",
        "2024-05-01 00:10:00,BTCUSDT,80001,4800000001,1.5,1.25,1.75,1.1",
    ]
    root = tmp_path / "lake"
    (report,) = land(root, write(tmp_path, f"{FUTURES}/daily/metrics/BTCUSDT/BTCUSDT-metrics-2024-05-01.zip", *lines))
    assert (report.kinds, report.rows_landed, report.duplicates) == (("open_interest",), 2, 1)
    found = rows(root, "open_interest").drop("source_row", "source_file").rows()
    first, second = to_us("2024-05-01 00:05"), to_us("2024-05-01 00:10")
    assert found == [
        (first, first, 80000.5, 4800000000.25, 1.5, 1.25, 1.75, 0.9),
        (second, second, 80001.0, 4800000001.0, 1.5, 1.25, 1.75, 1.1),
    ]


def test_an_empty_ratio_does_not_cost_the_open_interest(tmp_path: Path) -> None:
    lines = [
        "2024-05-01 00:05:00,BTCUSDT,80000.5,4800000000.25,1.5,1.25,1.75,",
        "2024-05-01 00:10:00,BTCUSDT,80001,4800000001,,,,1.1",
        "2024-05-01 00:15:00,BTCUSDT,80002,4800000002,1.5,1.25,1.75,none",
        "2024-05-01 00:20:00,BTCUSDT,,4800000002,1.5,1.25,1.75,1",
    ]
    root = tmp_path / "lake"
    (report,) = land(root, write(tmp_path, f"{FUTURES}/daily/metrics/BTCUSDT/BTCUSDT-metrics-2024-05-01.zip", *lines))
    assert (report.rows_landed, report.rows_quarantined) == (2, 2)
    found = rows(root, "open_interest").select("open_interest", "account_ratio", "taker_volume_ratio").rows()
    assert found == [(80000.5, 1.75, None), (80001.0, None, 1.1)]
    aside = [(row["line"], row["column"], row["value"]) for row in quarantine(root)]
    assert aside == [(3, "sum_taker_long_short_vol_ratio", "none"), (4, "sum_open_interest", "")]


def test_quotes_share_one_scale_for_both_sides(tmp_path: Path) -> None:
    header = "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time"
    at = ms("2024-05-01 12:00:00")
    lines = [f"5,60000,1.5,60000.1,0.125,{at},{at + 3}", f"6,60000.05,2,60000.1,7,{at + 1},{at + 4}"]
    root = tmp_path / "lake"
    land(root, write(tmp_path, f"{FUTURES}/daily/bookTicker/BTCUSDT/BTCUSDT-bookTicker-2024-05-01.zip", *lines, header=header))
    found = rows(root, "quotes").drop("source_file").rows()
    assert found == [
        ((at + 3) * 1000, at * 1000, 5, 6_000_000, 1_500, 6_000_010, 125, 2, 2, 3),
        ((at + 4) * 1000, (at + 1) * 1000, 6, 6_000_005, 2_000, 6_000_010, 7_000, 3, 2, 3),
    ]


def test_inverse_candles_count_contracts_and_base(tmp_path: Path) -> None:
    path = candle_file(
        tmp_path, "2024-05-01", candle("2024-05-01", volume="300", quote="5.5"), market="data/futures/cm", symbol="BTCUSD_PERP"
    )
    land(tmp_path / "lake", path)
    row = rows(tmp_path / "lake", "candles_1m", "binance-delivery", "BTCUSD_PERP").row(0, named=True)
    assert (row["volume"], row["base_volume"], row["quote_volume"], row["taker_buy_quote_volume"]) == (300, Decimal("5.5"), None, None)


def test_a_recording_of_trades_and_aggregated_trades_counts_each_trade_once(tmp_path: Path) -> None:
    at = ms("2024-05-01 12:00:00")
    single = '{at}100000 {{"e":"trade","E":{t},"T":{t},"s":"BTCUSDT","t":{n},"p":"60000.1","q":"0.5","X":"MARKET","m":true}}'
    whole = '{at}200000 {{"e":"aggTrade","E":{t},"T":{t},"s":"BTCUSDT","a":1,"p":"60000.1","q":"1","f":7,"l":8,"m":true}}'
    lines = {"both": (single, whole, single), "one of two": (single, whole)}
    # both single trades are there: they serve; one is missing: the aggregated row serves in the place of the other
    expected = {"both": ([(7, 5), (8, 5)], 1), "one of two": ([(1, 1)], 1)}
    for name, texts in lines.items():
        numbers = iter((7, 8))
        text = [line.format(at=at // 1000, t=at, n=next(numbers) if line is single else 0) for line in texts]
        path = write(tmp_path / name, "binance_usdm_btcusdt.dat", *text)
        (report,) = land(tmp_path / name / "lake", path)
        served, superseded = expected[name]
        assert (report.rows_read, report.rows_landed, report.rows_superseded) == (len(texts), len(served), superseded)
        assert rows(tmp_path / name / "lake").select("trade_id", "qty_int").rows() == served


@BOTH_STORES
def test_one_file_may_feed_several_tables(tmp_path: Path, place: Path | str) -> None:
    at = ms("2024-05-01 12:00:00")
    lines = [
        f'{at}000 {{"e":"trade","E":{at},"T":{at},"s":"BTCUSDT","t":7,"p":"60000.1","q":"0.5","X":"MARKET","m":true}}',
        f'{at}001 {{"e":"markPriceUpdate","E":{at},"s":"BTCUSDT","p":"60000.5","i":"60001","r":"0.0001","T":{at + 1000}}}',
    ]
    (report,) = land(place, write(tmp_path, "binance_usdm_btcusdt.dat.gz", *lines))
    assert report.kinds == ("derivative_ticker", "trades")
    assert rows(place).height == rows(place, "derivative_ticker").height == 1
    assert footer(open_lake(place), "trades", "2024-05-01")["feeds"][0]["clock"] == "recorded"


@BOTH_STORES_SLOWLY
def test_a_header_alone_is_a_file_without_rows(tmp_path: Path, place: Path | str) -> None:
    (report,) = land(place, write(tmp_path, f"{FUTURES}/daily/trades/BTCUSDT/BTCUSDT-trades-2024-05-01.csv", TRADES_HEADER))
    assert (report.outcome, report.rows_read) == ("empty", 0)
    assert contents(place) == {}


RULES = """kind = "trades"
exchange = "coinbase"
symbol = "BTC-USD"
[columns]
ts_event_us = { column = "t", unit = "ms" }
trade_id = "id"
price = "p"
qty = "q"
side = { column = "side", seller_taker = ["sell"] }
"""


@BOTH_STORES_SLOWLY
def test_files_of_one_name_are_told_apart_in_conflicts_and_quarantine(tmp_path: Path, place: Path | str) -> None:
    (tmp_path / "rules.toml").write_text(RULES)
    first, second = (tmp_path / f"rec/{hour}/data.csv" for hour in ("00", "01"))
    stamp = ms("2024-05-01 00:00:00")
    conflicts = []
    for path, price in ((first, "60000.5"), (second, "60000.7"), (second, "60000.9")):
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"{stamp + number},{number},{price},1,sell" for number in range(4)]
        path.write_text("\n".join(["t,id,p,q,side", *lines, f"{stamp + 9},9,-{price},1,sell", ""]))
        (report,) = take(place, path, hints=Hints(mapping=tmp_path / "rules.toml"))
        conflicts += [text.split(", which serves")[0] for text in report.conflicts]
    assert sorted(re.findall("[0-9/]+data.csv", conflicts[0])) == ["00/data.csv", "01/data.csv"]
    assert any(len(re.findall(r"data.csv \([0-9a-f]{12}…\)", text)) == 2 for text in conflicts[1:])
    assert [row["path"] for row in quarantine(place)].count(str(second)) == 2
