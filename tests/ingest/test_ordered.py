"""Partitions written while their archive is read: the same bytes, reports and quarantine as when all rows are there at once."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import examples
from tests.ingest.test_wrong_inputs import FULL_DISK
from tests.lake.archives import contents, futures_trades, land, quarantine, rows, take, trade

from pointline.ingest import ordered, spool
from pointline.ingest.checks import check_rows
from pointline.ingest.ordered import OrderedPartition
from pointline.lake import open_lake, partition
from pointline.lake.rows import decode_frame
from pointline.schema import TRADES
from pointline.sources import text_lines

if TYPE_CHECKING:
    from pointline.ingest.run import FileReport

ROOT = Path(__file__).resolve().parent.parent.parent
SIZES = ((1, 1), (7, 3), (16, 16), (16, 40), (50, 10))  # rows of a row group, rows of a partition that is written while it is read


def at(number: int, date: str = "2024-05-01") -> str:
    return f"{date} 12:{number // 60 % 60:02d}:{number % 60:02d}"


def plain(count: int = 60, date: str = "2024-05-01", first: int = 1) -> list[str]:
    return [trade(first + n, at(n, date), f"{60_000 + n % 7}.{n % 10}", f"0.{n % 9 + 1:03d}") for n in range(count)]


def with_off_book() -> list[str]:
    """Prints away from the market as first and last of a row group of 16 rows, one of two trades, one twice in a row, one at the end."""
    lines = plain(80)
    for n, price in ((15, 61_500), (31, 58_500), (32, 58_500), (48, 63_000), (63, 57_000), (79, 66_000)):
        lines[n] = trade(n + 1, at(n), f"{price}.5")
    lines[64] = trade(65, at(63), "57000.5")
    return lines


def many_off_book() -> list[str]:
    """A moment of 40 trades at one price away from the market: more than a row group, all withheld until the next moment."""
    lines = plain(80)
    return [*lines[:20], *(trade(n + 1, at(20), "66000.5") for n in range(20, 60)), *lines[60:]]


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
    "many off-book": many_off_book,
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


Taken: TypeAlias = dict[tuple[spool.Spool, spool.Slot], bool]


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Taken:
    """For each partition of a file that may have been written in order: whether it was."""
    found: Taken = {}
    ask = spool.Spool.ordered

    def noted(self: spool.Spool, slot: spool.Slot) -> OrderedPartition | None:
        answer = ask(self, slot)
        found[self, slot] = answer is not None
        return answer

    monkeypatch.setattr(spool.Spool, "ordered", noted)
    return found


def sized(patch: pytest.MonkeyPatch, group: int, worth: int, block: int = 400) -> None:
    patch.setattr(partition, "ROW_GROUP_ROWS", group)
    patch.setattr(ordered, "ROW_GROUP_ROWS", group)
    patch.setattr(spool, "ORDERED_ROWS", worth)
    patch.setattr(text_lines, "BLOCK_BYTES", block)


def outcome(root: Path, report: FileReport) -> tuple[object, ...]:
    return contents(root), quarantine(root), report


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", SCENARIOS)
def test_writing_while_reading_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, size: tuple[int, int]) -> None:
    path = futures_trades(tmp_path, "2024-05", *SCENARIOS[name]())
    group, worth = size
    sized(monkeypatch, group, 1 << 60, 1 << 20)
    expected = outcome(tmp_path / "whole", *take(tmp_path / "whole", path))
    for block in (30, 400, 3_000):
        sized(monkeypatch, group, worth, block)
        root = tmp_path / f"ordered-{block}"
        assert outcome(root, *take(root, path)) == expected
        assert not list((root / ".staging").glob("*"))


@pytest.mark.parametrize(
    ("name", "in_order"),
    [
        ("in order", [True]),
        ("off-book", [True]),
        ("many off-book", [True]),
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
def test_which_partitions_are_written_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: Taken, name: str, in_order: list[bool]
) -> None:
    sized(monkeypatch, 16, 16)
    take(tmp_path / "lake", futures_trades(tmp_path, "2024-05", *SCENARIOS[name]()))
    assert list(taken.values()) == in_order


def test_row_groups_are_whole_although_prints_are_withheld(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sized(monkeypatch, 16, 16)
    land(tmp_path / "lake", futures_trades(tmp_path, "2024-05-01", *with_off_book()))
    (file,) = open_lake(tmp_path / "lake").files("trades", "binance-futures", "BTCUSDT")
    import pyarrow.parquet as pq

    found = pq.ParquetFile(file.path).metadata
    sizes = [found.row_group(n).num_rows for n in range(found.num_row_groups)]
    assert sizes == [16] * 5


@pytest.mark.parametrize(("name", "ids"), [("off-book", {16, 49, 64, 65}), ("many off-book", set(range(21, 61))), ("off-book only", set())])
def test_off_book_prints_land_with_their_flag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: Taken, name: str, ids: set[int]
) -> None:
    sized(monkeypatch, 16, 16)
    lines = SCENARIOS[name]()
    land(tmp_path / "lake", futures_trades(tmp_path, "2024-05-01", *lines))
    assert list(taken.values()) == [True]
    found = rows(tmp_path / "lake")
    assert found.height == len(lines)
    assert set(found.filter("off_book")["trade_id"]) == ids
    assert found["off_book"].null_count() == 0
    assert quarantine(tmp_path / "lake") == []


def test_two_files_of_one_day_are_united_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: Taken) -> None:
    sized(monkeypatch, 16, 16)
    lines = plain(90)
    paths = [futures_trades(tmp_path, "2024-05-01", *lines[:50]), futures_trades(tmp_path, "2024-05-02", *lines[40:])]
    for order in (paths, paths[::-1]):
        land(tmp_path / f"lake-{len(list(tmp_path.glob('lake-*')))}", *order)
    assert list(taken.values()) == [True] * 4
    assert contents(tmp_path / "lake-0") == contents(tmp_path / "lake-1")
    assert rows(tmp_path / "lake-0")["trade_id"].to_list() == list(range(1, 91))


def test_a_worse_feed_is_superseded_and_a_correction_replaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sized(monkeypatch, 16, 16)
    daily = futures_trades(tmp_path / "a", "2024-05-01", *plain())
    (landed,) = land(tmp_path / "lake", daily)
    (worse,) = land(tmp_path / "lake", futures_trades(tmp_path, "2024-05", *plain()[:40]))
    assert (landed.outcome, worse.outcome) == ("landed", "superseded")
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
def test_ordered_partitions_and_rows_put_aside_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    path = futures_trades(tmp_path, "2024-05", *SCENARIOS[name]())
    sized(monkeypatch, 16, 1 << 60, 1 << 20)
    land(tmp_path / "whole", path)
    sized(monkeypatch, 16, 20, 200)
    monkeypatch.setattr(spool, "SPILL_ROWS", 12)
    land(tmp_path / "lake", path)
    monkeypatch.setattr(spool, "ORDERED_ROWS", 8)
    land(tmp_path / "other", path)
    assert contents(tmp_path / "lake") == contents(tmp_path / "other") == contents(tmp_path / "whole")


@pytest.mark.parametrize("limit", [300, 3_000])
def test_no_space_while_reading_leaves_the_lake_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    root = tmp_path / "lake"
    first, path = futures_trades(tmp_path, "2024-05-01", *plain()), futures_trades(tmp_path, "2024-05-02", *plain(900, "2024-05-02", 61))
    sized(monkeypatch, 64, 64)
    land(root, first)
    before = contents(root)
    small = (
        "from pointline.ingest import ordered, spool\nfrom pointline.lake import partition\n"
        "ordered.ROW_GROUP_ROWS = partition.ROW_GROUP_ROWS = spool.ORDERED_ROWS = 64\n"
    )
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
    """Trades of which some are far from the others, some share their time, and some were judged by their source."""
    random = np.random.default_rng(seed)
    times = np.cumsum(random.random(lines) < 0.8) * 1_000
    off_book = random.choice(np.array([None, None, None, False, True]), lines).tolist() if seed % 2 else [None] * lines
    return pl.DataFrame(
        {
            "ts_local_us": times,
            "ts_event_us": times,
            "trade_id": np.arange(lines) + 5,
            "first_trade_id": None,
            "last_trade_id": None,
            "text_id": None,
            "price": random.choice([100.1, 100.2, 5.5, 150.0], lines, p=[0.55, 0.41, 0.02, 0.02]),
            "qty": random.integers(1, 999, lines) / 1000,
            "side": random.random(lines) < 0.5,
            "off_book": pl.Series(off_book, dtype=pl.Boolean),
            "source_row": np.arange(lines) + 2,
        },
        schema=TRADES.parsed,
    )


def parts_of(frame: pl.DataFrame, cuts: list[int]) -> list[pl.DataFrame]:
    borders = [0, *sorted(min(cut, frame.height) for cut in cuts), frame.height]
    return [frame[start:end] for start, end in pairwise(borders) if end > start]


CUTS = st.lists(st.integers(0, 70), max_size=5)


@settings(max_examples=examples(20))
@given(st.integers(1, 70), st.integers(0, 9), CUTS, st.integers(1, 20), st.lists(st.integers(0, 4), max_size=1))
def test_an_ordered_partition_gives_all_rows_back_as_they_came(
    tmp_path_factory: pytest.TempPathFactory, count: int, seed: int, cuts: list[int], group: int, sealed_after: list[int]
) -> None:
    frame = parsed(count, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordered, "ROW_GROUP_ROWS", group)
        made = OrderedPartition(tmp_path_factory.mktemp("ordered") / "rows.parquet", "trades", 1)
        for number, part in enumerate(parts_of(frame, cuts)):
            made.push(part)
            if number in sealed_after:
                made.seal()
    assert pl.concat(made.rows_again()).equals(frame)
    made.close()


@settings(max_examples=examples(30))
@given(st.integers(1, 70), st.integers(0, 99), CUTS, st.integers(1, 20))
def test_an_ordered_partition_flags_what_is_flagged_where_all_rows_are_there(
    tmp_path_factory: pytest.TempPathFactory, count: int, seed: int, cuts: list[int], group: int
) -> None:
    decimals = pl.int_range(pl.len()) == 0  # those of the first row group must do for all
    frame = parsed(count, seed).with_columns(
        price=pl.when(decimals).then(100.1).otherwise("price"), qty=pl.when(decimals).then(0.001).otherwise("qty")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordered, "ROW_GROUP_ROWS", group)
        made = OrderedPartition(tmp_path_factory.mktemp("ordered") / "rows.parquet", "trades", 1)
        for part in parts_of(frame, cuts):
            made.push(part)
        made.seal()
    assert not made.broken
    assert (made.rows, made.frame["off_book"].null_count()) == (count, 0)
    assert made.frame.equals(check_rows(frame, "trades").frame)
    made.close()


def test_single_and_aggregated_trades_are_not_written_together(tmp_path: Path) -> None:
    frame = parsed(40, 0)
    made = OrderedPartition(tmp_path / "rows.parquet", "trades", 1)
    made.push(frame.with_columns(first_trade_id=pl.when(pl.col("source_row") > 30).then(pl.col("trade_id"))))
    made.seal()
    assert made.broken


def test_amounts_come_back_exactly_whatever_holds_their_decimals() -> None:
    stored = partition.encode(parsed(1_000, 1).with_columns(source_file=pl.lit(1)), "trades")
    for decimals in (pl.lit(1, dtype=pl.Int8), pl.Series([1] * 1_000, dtype=pl.Int8)):
        again = decode_frame(stored.with_columns(price_decimals=decimals), "trades")
        assert again.select(list(TRADES.parsed)).equals(parsed(1_000, 1))
