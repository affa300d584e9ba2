"""Partitions written while their archive is read: the same bytes, reports and quarantine as when all rows are there at once."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.lake.archives import contents, futures_trades, land, quarantine, rows, take, trade
from tests.lake.test_wrong_inputs import FULL_DISK

from pointline.lake import lane, open_lake, partition, spool
from pointline.lake.checks import CONFIRM_WITHIN_US, OffBook
from pointline.lake.lane import Lane
from pointline.lake.rows import decode_frame
from pointline.schema import TRADES
from pointline.sources import csv_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointline.lake.ingest import FileReport

ROOT = Path(__file__).resolve().parent.parent.parent
SIZES = ((1, 1), (7, 3), (16, 16), (16, 40), (50, 10))  # rows of a row group, rows that are worth a lane


def at(number: int, date: str = "2024-05-01") -> str:
    return f"{date} 12:{number // 60 % 60:02d}:{number % 60:02d}"


def plain(count: int = 60, date: str = "2024-05-01", first: int = 1) -> list[str]:
    return [trade(first + n, at(n, date), f"{60_000 + n % 7}.{n % 10}", f"0.{n % 9 + 1:03d}") for n in range(count)]


def with_off_book() -> list[str]:
    """Single prints, several in a row, one as the last row, and a jump that is confirmed."""
    lines = plain(80)
    for n in (6, 7, 8, 15, 16, 31, 79):
        lines[n] = trade(n + 1, at(n), "1000.5")
    for n in range(50, 60):
        lines[n] = trade(n + 1, at(n), f"{66_000 + n % 3}.5")
    return lines


def late_decimals() -> list[str]:
    lines = plain()
    lines[41] = trade(42, at(41), "60000.25")
    return lines


def late_overflow() -> list[str]:
    lines = plain()
    lines[41] = trade(42, at(41), qty="0.12345678901234")
    return lines


def out_of_order() -> list[str]:
    lines = plain()
    lines[30], lines[44] = lines[44], lines[30]
    return lines


def repeated() -> list[str]:
    lines = plain()
    return [*lines[:35], lines[34], lines[20].replace(",60.0,", ",61.0,"), trade(12, at(34), "59999.9"), *lines[35:]]


def malformed() -> list[str]:
    lines = plain()
    return [*lines[:20], "oops", *lines[20:40], lines[40].replace("60", "6o", 1), "", *lines[41:]]


def stray_days() -> list[str]:
    """Two days, of which the first goes on after the second has begun."""
    first, second = plain(), plain(50, "2024-05-02", 61)
    return [*first[:45], *second[:30], *first[45:], *second[30:]]


def ids_alone() -> list[str]:
    """Times in order, ids not."""
    lines = plain()
    return [*lines[:33], trade(500, at(33)), *lines[33:]]


SCENARIOS = {
    "in order": plain,
    "off-book": with_off_book,
    "more decimals later": late_decimals,
    "an amount that cannot be stored": late_overflow,
    "out of order": out_of_order,
    "repeated ids": repeated,
    "malformed": malformed,
    "days that overlap": stray_days,
    "ids out of order": ids_alone,
    "off-book only": lambda: [*plain(1), *(trade(n, at(n), "1.5") for n in range(2, 40))],
    "two days": lambda: plain() + plain(50, "2024-05-02", 61),
}


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """For each partition that was asked for its lane: whether that had all rows."""
    found: list[bool] = []
    ask = spool.Spool.lane

    def lane_of(self: spool.Spool, slot: spool.Slot) -> Lane | None:
        answer = ask(self, slot)
        found.append(answer is not None)
        return answer

    monkeypatch.setattr(spool.Spool, "lane", lane_of)
    return found


def sized(patch: pytest.MonkeyPatch, group: int, worth: int, block: int = 400) -> None:
    patch.setattr(partition, "ROW_GROUP_ROWS", group)
    patch.setattr(lane, "ROW_GROUP_ROWS", group)
    patch.setattr(spool, "LANE_ROWS", worth)
    patch.setattr(csv_blocks, "BLOCK_BYTES", block)


def outcome(root: Path, report: FileReport) -> tuple[object, ...]:
    return contents(root), quarantine(root), report


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_lane_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, size: tuple[int, int]) -> None:
    path = futures_trades(tmp_path, "2024-05", *SCENARIOS[name]())
    group, worth = size
    sized(monkeypatch, group, 1 << 60, 1 << 20)
    expected = outcome(tmp_path / "whole", *take(tmp_path / "whole", path))
    for block in (30, 400, 3_000):
        sized(monkeypatch, group, worth, block)
        root = tmp_path / f"lanes-{block}"
        assert outcome(root, *take(root, path)) == expected
        assert not list((root / ".staging").glob("*"))


@pytest.mark.parametrize(
    ("name", "in_lanes"),
    [
        ("in order", [True]),
        ("off-book", [True]),
        ("malformed", [True]),
        ("off-book only", [True]),
        ("two days", [True, True]),
        ("days that overlap", [False, True]),
        ("more decimals later", [False]),
        ("out of order", [False]),
        ("ids out of order", [False]),
        ("repeated ids", [False]),
    ],
)
def test_which_rows_stay_in_their_lane(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: list[bool], name: str, in_lanes: list[bool]
) -> None:
    sized(monkeypatch, 16, 16)
    take(tmp_path / "lake", futures_trades(tmp_path, "2024-05", *SCENARIOS[name]()))
    assert taken == in_lanes


def test_row_groups_are_whole_although_prints_are_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sized(monkeypatch, 16, 16)
    land(tmp_path / "lake", futures_trades(tmp_path, "2024-05-01", *with_off_book()))
    (file,) = open_lake(tmp_path / "lake").files("trades", "binance-futures", "BTCUSDT")
    import pyarrow.parquet as pq

    found = pq.ParquetFile(file.path).metadata
    sizes = [found.row_group(n).num_rows for n in range(found.num_row_groups)]
    assert sizes == [16, 16, 16, 16, found.num_rows - 64]


def test_two_files_of_one_day_are_united_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: list[bool]) -> None:
    sized(monkeypatch, 16, 16)
    lines = plain(90)
    paths = [futures_trades(tmp_path, "2024-05-01", *lines[:50]), futures_trades(tmp_path, "2024-05-02", *lines[40:])]
    for order in (paths, paths[::-1]):
        land(tmp_path / f"lake-{len(list(tmp_path.glob('lake-*')))}", *order)
    assert taken == [True] * 4
    assert contents(tmp_path / "lake-0") == contents(tmp_path / "lake-1")
    assert rows(tmp_path / "lake-0")["trade_id"].to_list() == list(range(1, 91))


def test_a_worse_feed_is_shadowed_and_a_correction_replaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sized(monkeypatch, 16, 16)
    daily = futures_trades(tmp_path / "a", "2024-05-01", *plain())
    (landed,) = land(tmp_path / "lake", daily)
    (shadowed,) = land(tmp_path / "lake", futures_trades(tmp_path, "2024-05", *plain()[:40]))
    assert (landed.outcome, shadowed.outcome) == ("landed", "shadowed")
    corrected = futures_trades(tmp_path / "b", "2024-05-01", *plain(58))
    land(tmp_path / "lake", corrected)
    assert rows(tmp_path / "lake").height == 58
    assert not list((tmp_path / "lake" / ".staging").glob("*"))


def test_the_same_file_named_twice_lands_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sized(monkeypatch, 16, 16)
    path = futures_trades(tmp_path, "2024-05-01", *plain())
    assert [report.outcome for report in land(tmp_path / "lake", path, path, path)] == ["landed", "unchanged", "unchanged"]
    assert rows(tmp_path / "lake").height == 60


@pytest.mark.parametrize("name", ["two days", "days that overlap", "more decimals later"])
def test_lanes_and_rows_put_aside_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    path = futures_trades(tmp_path, "2024-05", *SCENARIOS[name]())
    sized(monkeypatch, 16, 1 << 60, 1 << 20)
    land(tmp_path / "whole", path)
    sized(monkeypatch, 16, 20, 200)
    monkeypatch.setattr(spool, "SPILL_ROWS", 12)
    land(tmp_path / "lake", path)
    monkeypatch.setattr(spool, "LANE_ROWS", 8)
    land(tmp_path / "other", path)
    assert contents(tmp_path / "lake") == contents(tmp_path / "other") == contents(tmp_path / "whole")


@pytest.mark.parametrize("limit", [300, 3_000])
def test_no_space_in_a_lane_leaves_the_lake_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    root = tmp_path / "lake"
    first, path = futures_trades(tmp_path, "2024-05-01", *plain()), futures_trades(tmp_path, "2024-05-02", *plain(900, "2024-05-02", 61))
    sized(monkeypatch, 64, 64)
    land(root, first)
    before = contents(root)
    small = "from pointline.lake import lane, partition, spool\nlane.ROW_GROUP_ROWS = partition.ROW_GROUP_ROWS = spool.LANE_ROWS = 64\n"
    script = FULL_DISK.replace("signal.signal", f"{small}signal.signal", 1)
    done = subprocess.run(
        [sys.executable, "-c", script, str(root), str(limit), str(path)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.stdout, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["outcome"] == "stopped"
    for part in ("no disk space is left; the lake is as it was before this file", str(root), "free some space and run the same"):
        assert part in said["problem"]
    assert contents(root) == before
    land(root, path)
    land(tmp_path / "reference", first, path)
    assert contents(root) == contents(tmp_path / "reference")


def parsed(lines: int, seed: int) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "ts_local_us": np.arange(lines) * 1_000,
            "ts_event_us": np.arange(lines) * 1_000,
            "trade_id": np.arange(lines) + 5,
            "price": random.choice([100.1, 100.2, 5.5], lines, p=[0.5, 0.4, 0.1]),
            "qty": random.integers(1, 999, lines) / 1000,
            "side": random.random(lines) < 0.5,
            "source_row": np.arange(lines) + 2,
        },
        schema=TRADES.parsed,
    )


@settings(max_examples=40)
@given(st.data())
def test_a_lane_gives_all_rows_back_in_file_order(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    frame = parsed(data.draw(st.integers(1, 70)), data.draw(st.integers(0, 9)))
    cuts = sorted(data.draw(st.lists(st.integers(0, frame.height), max_size=5)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lane, "ROW_GROUP_ROWS", data.draw(st.integers(1, 20)))
        made = Lane(tmp_path_factory.mktemp("lane") / "rows.parquet", "trades", 0.01, 1)
        parts = [frame[start:end] for start, end in zip([0, *cuts], [*cuts, frame.height], strict=True) if end > start]
        for number, part in enumerate(parts):
            made.push(part)
            if data.draw(st.integers(0, 5)) == 0 and number:
                made.seal()
    assert pl.concat(made.rows_again()).equals(frame)
    made.close()


def test_amounts_come_back_exactly_whatever_holds_their_decimals() -> None:
    stored = partition.encode(parsed(1_000, 1).with_columns(source_file=pl.lit(1)), "trades")
    for decimals in (pl.lit(1, dtype=pl.Int8), pl.Series([1] * 1_000, dtype=pl.Int8)):
        again = decode_frame(stored.with_columns(price_decimals=decimals), "trades")
        assert again.select(list(TRADES.parsed)).equals(parsed(1_000, 1))


# Off-book prints in parts


def judged_plainly(prices: list[float], times: list[int], limit: float) -> list[int]:
    """The rule of the documentation, row by row."""
    aside = []
    accepted, suspect = 0, -1
    for i in range(1, len(prices)):
        near = abs(prices[i] / prices[accepted] - 1.0) <= limit
        confirms = suspect >= 0 and times[i] > times[suspect] and abs(prices[i] / prices[suspect] - 1.0) <= limit
        if near or confirms or times[i] - times[accepted] > CONFIRM_WITHIN_US:
            accepted, suspect = i, -1
        else:
            aside.append(i)
            suspect = i
    return aside


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(st.sampled_from([100.0, 100.5, 101.0, 102.0, 50.0, 50.2]), st.sampled_from([0, 1, 70_000_000])), min_size=1, max_size=30
    ),
    st.lists(st.integers(0, 30), max_size=6),
)
def test_how_a_day_is_cut_changes_no_verdict(trades: list[tuple[float, int]], cuts: list[int]) -> None:
    prices = np.array([price for price, _ in trades])
    times = np.cumsum([wait for _, wait in trades])
    expected = judged_plainly(prices.tolist(), times.tolist(), 0.01)
    assert OffBook(0.01).judge(prices, times) == expected
    judge, found = OffBook(0.01), []
    borders = [0, *sorted(min(cut, len(trades)) for cut in cuts), len(trades)]
    for start, end in pairwise(borders):
        found += [start + position for position in judge.judge(prices[start:end], times[start:end])]
    assert found == expected
