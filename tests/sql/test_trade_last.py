"""`api.trade_last`: the last of the trades that share a time, against plain loops; what it reads; and that the future changes nothing."""

from __future__ import annotations

import csv
import gzip
from bisect import bisect_right
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.archives import trades_archive
from tests.effort import examples
from tests.sql.markets import lake_with
from tests.sql.test_engine_pruning import cold

from pointline import sql
from pointline.clock import DAY_US, HOUR_US, MINUTE_US, to_us
from pointline.ingest.run import ingest
from pointline.lake.store import open_lake
from pointline.sources.base import Hints
from pointline.sources.families import all_sources

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pointline.lake.store import Lake

PERP, SPOT = ("binance-futures", "BTCUSDT"), ("binance-spot", "BTCUSDT")
ONE_PERP = "exchange = 'binance-usdm-future' AND market = 'BTC-USDT'"
FIRST = to_us("2024-05-01")
INSURANCE_FUND = 3535191080  # of the real file: off the book


class Print(NamedTuple):
    """A trade of the real file."""

    number: int
    us: int
    price: Decimal


def last_of_each(prints: Iterable[Print]) -> dict[int, Print]:
    """By a loop: the last print of each time."""
    found: dict[int, Print] = {}
    for one in prints:
        found[one.us] = one
    return found


# --- the real minutes around 2023-04-05 -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, list[Print]]:
    folder = shared_data / "demo_btc_20230405_csv"
    lake = open_lake(tmp_path_factory.mktemp("real") / "lake", create=True)
    for name, exchange in (("usdm", PERP[0]), ("spot", SPOT[0])):
        hints = Hints(exchange=exchange, symbol="BTCUSDT", dataset="trades")
        (report,) = ingest(lake, [folder / f"{name}_BTCUSDT_trades.csv.gz"], sources=all_sources("binance_vision"), hints=hints)
        assert report.outcome == "landed", report
    with gzip.open(folder / "usdm_BTCUSDT_trades.csv.gz", "rt") as stream:
        rows = csv.DictReader(stream)
        prints = [Print(int(row["id"]), int(row["time"]) * 1_000, Decimal(row["price"])) for row in rows]
    assert len(prints) == 12_935
    return lake, [one for one in prints if one.number != INSURANCE_FUND]


ASOF = """
SELECT toUnixTimestamp64Micro(t.timestamp) AS us, p.price AS price, p.trade_number AS number
FROM (SELECT DISTINCT market, timestamp FROM api.trade WHERE {perp} AND NOT off_book) AS t
ASOF JOIN (SELECT market, timestamp, price, trade_number FROM {view} WHERE {perp}) AS p
  ON p.market = t.market AND p.timestamp <= t.timestamp
"""


def test_an_asof_join_takes_the_last_trade_of_a_time(real: tuple[Lake, list[Print]]) -> None:
    lake, prints = real
    expected = last_of_each(prints)
    rows = sql.query(ASOF.format(perp=ONE_PERP, view="api.trade_last"), lake=lake).rows()
    assert len(rows) == len(expected) > 3_334
    assert {us: (price, number) for us, price, number in rows} == {us: (one.price, one.number) for us, one in expected.items()}


def test_at_any_moment_between(real: tuple[Lake, list[Print]]) -> None:
    """Every tenth of a second: what a loop over the file finds last."""
    lake, prints = real
    times, last = [one.us for one in prints], prints
    text = f"""
    SELECT toUnixTimestamp64Micro(g.timestamp) AS us, p.trade_number AS number
    FROM (SELECT 'BTC-USDT' AS market, toDateTime64('2023-04-05 00:00:00', 9) + toIntervalMillisecond(number * 100) AS timestamp
          FROM numbers(3000)) AS g
    ASOF JOIN (SELECT market, timestamp, trade_number FROM api.trade_last WHERE {ONE_PERP}) AS p
      ON p.market = g.market AND p.timestamp <= g.timestamp
    """
    rows = sql.query(text, lake=lake).rows()
    assert len(rows) == 3_000
    assert rows.count(rows[0]) == 1
    for us, number in rows:
        assert number == last[bisect_right(times, us) - 1].number


def test_the_latest_price_by_argmax_and_by_the_view(real: tuple[Lake, list[Print]]) -> None:
    lake, prints = real
    text = (
        f"SELECT (SELECT argMax(price, (timestamp, sequence)) FROM api.trade WHERE {ONE_PERP}) AS by_sequence, "
        f"(SELECT argMax(price, timestamp) FROM api.trade_last WHERE {ONE_PERP}) AS by_view"
    )
    assert sql.query(text, lake=lake).row(0) == (prints[-1].price, prints[-1].price)


# --- small lakes ------------------------------------------------------------------------------------------------------------------

TIED = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(["9.9", "10", "10.1"]), st.sampled_from(["1", "2"]), st.booleans()),
    min_size=1,
    max_size=25,
)


@settings(deadline=None, max_examples=examples(7), phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(TIED, st.integers(0, 5))
def test_ties_and_conditions_equal_a_loop(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, str, str, bool]], cut: int
) -> None:
    """Conditions on what a trade is do not let an earlier one in; the lake without the trades after a time has the same rows up to it."""
    rows = sorted(rows, key=lambda row: row[0])
    prints = [(FIRST + step * 1_000_000, price, quantity, seller) for step, price, quantity, seller in rows]

    def made(kept: list[tuple[int, str, str, bool]]) -> Lake:
        folder = tmp_path_factory.mktemp("ties")
        return lake_with(folder, [trades_archive(folder, *PERP, FIRST, kept)])

    last: dict[int, tuple[str, str, str]] = {}
    for us, price, quantity, seller in prints:
        last[us] = (price, quantity, "sell" if seller else "buy")
    columns = "toUnixTimestamp64Micro(timestamp), price, quantity, side, trade_id, trade_number, sequence, known_at"
    whole, sold = (
        sql.query(f"SELECT {columns} FROM api.trade_last WHERE {where} ORDER BY timestamp", lake=lake).rows()
        for lake in [made(prints)]
        for where in (ONE_PERP, f"{ONE_PERP} AND side = 'sell' AND price > 9.95")
    )
    assert [row[:4] for row in whole] == [(us, Decimal(price), Decimal(qty), side) for us, (price, qty, side) in sorted(last.items())]
    assert sold == [row for row in whole if row[3] == "sell" and row[1] > Decimal("9.95")]
    until_us = FIRST + cut * 1_000_000
    kept = [one for one in prints if one[0] <= until_us]
    if kept:
        early = sql.query(f"SELECT {columns} FROM api.trade_last ORDER BY timestamp", lake=made(kept)).rows()
        assert early == [row for row in whole if row[0] <= until_us]


def test_prints_off_the_book_are_left_out(tmp_path: Path) -> None:
    prints = [(FIRST + n * 1_000, f"{100 + n % 3 / 100:.2f}", "1", False) for n in range(600)]
    prints.insert(550, (prints[549][0], "150", "1", False))  # at the time of the print before it
    prints.insert(560, (prints[559][0] + 500, "50", "1", False))  # alone
    lake = lake_with(tmp_path, [trades_archive(tmp_path, *PERP, FIRST, prints)])
    flagged = sql.query("SELECT price FROM api.trade WHERE off_book", lake=lake)["price"].to_list()
    (alone,) = sql.query("SELECT count() FROM api.trade_last WHERE price = 50 OR off_book", lake=lake).row(0)
    assert Decimal(50) in flagged
    assert alone == 0


# --- what it reads ----------------------------------------------------------------------------------------------------------------

DAYS = 3


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Two markets on three days; a file of the perpetual has two row groups, the second of which begins at 21:50:43."""
    folder = tmp_path_factory.mktemp("days")
    paths = []
    for market, count in ((PERP, 264_000), (SPOT, 20)):
        for n in range(DAYS):
            start = FIRST + n * DAY_US
            prints = [(start + k * 300_000, f"{100 + k % 7}", "1", bool(k % 2)) for k in range(count)]
            paths.append(trades_archive(folder, *market, start, prints))
    return lake_with(folder, paths)


@pytest.mark.parametrize("view", ["api.trade", "api.trade_last"])
@pytest.mark.parametrize(
    ("where", "files", "groups"),
    [
        (f"{ONE_PERP} AND timestamp >= '2024-05-02 01:00:00' AND timestamp < '2024-05-02 02:00:00'", DAYS, 1),
        (f"{ONE_PERP} AND timestamp BETWEEN toDateTime64('2024-05-03 21:55:00', 9) AND toDateTime64('2024-05-03 23:00:00', 9)", DAYS, 1),
        ("market = 'BTC-USDT' AND toDate(timestamp) = '2024-05-02'", 2 * DAYS, 3),
        ("exchange = 'binance' AND timestamp > '2030-01-01'", DAYS, 0),
        ("exchange = 'kraken'", 0, 0),
    ],
)
def test_conditions_on_market_and_time_reach_the_files(days: Lake, view: str, where: str, files: int, groups: int) -> None:
    _, events = cold(days, f"SELECT count(), max(price), max(trade_id) FROM {view} WHERE {where}")
    assert (events.get("EngineFileLikeReadFiles", 0), events.get("ReadRowGroups", 0)) == (files, groups)


@pytest.mark.parametrize("view", ["api.trade", "api.trade_last"])
def test_times_are_exact_on_both_sides_of_a_bound(days: Lake, view: str) -> None:
    second = FIRST + DAY_US + HOUR_US + 30 * MINUTE_US
    ns = f"SELECT toUnixTimestamp64Nano(timestamp) AS ns FROM {view} WHERE {ONE_PERP}"
    text = f"{ns} AND timestamp {{sign}} '2024-05-02 01:30:00' ORDER BY ns {{way}} LIMIT 1"
    first, last = (sql.query(text.format(sign=sign, way=way), lake=days).item() for sign, way in ((">=", "ASC"), ("<", "DESC")))
    assert (first, last) == (second * 1_000, (second - 300_000) * 1_000)
