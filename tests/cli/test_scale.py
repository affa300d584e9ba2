"""The commands of a cluster: what they print, where, and with which exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.cli.running import run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.demo import Demo

PAIR = "binance-futures:BTCUSDT,binance-spot:BTCUSDT"
WINDOW = ("--start", "2024-05-01", "--end", "2024-05-03")
HOURS = ("--bars", "time", "--threshold", "1h")


@pytest.fixture
def lake(demo: Demo) -> Path:
    return demo.folder / "lake"


def test_compare_makes_a_dataset_and_goes_on_with_it(lake: Path, tmp_path: Path) -> None:
    command = ("scale", "compare", "--pair", PAIR, *WINDOW, *HOURS, "--days-per-task", "1", "--lake", lake, "-o", tmp_path / "made")
    first = run(*command)
    assert first.code == 0
    assert first.out.splitlines()[0] == f"48 rows in 2 files in {tmp_path / 'made'}; 2 tasks computed, 0 kept from before"
    again = run(*command, "--json").json
    assert (again["rows"], again["files"], again["run"]["computed"], again["run"]["kept"]) == (48, 2, 0, 2)
    assert again["cases"][0]["rule"].startswith("TimeBarConfig(interval=1h")
    quiet = run("-q", *command)
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    assert run("scale", "check", tmp_path / "made").code == 0
    (tmp_path / "made" / "manifest.ndjson").unlink()
    partial = run("scale", "check", tmp_path / "made", "--json")
    assert (partial.code, partial.error["what"]) == (2, "the dataset is not complete")


def test_sweep_and_ic_make_datasets(lake: Path, tmp_path: Path) -> None:
    sweep = ("scale", "sweep", "--perp", "binance-futures:BTCUSDT", *WINDOW, "--bars", "time", "--threshold", "1h", "--threshold", "4h")
    assert [case["rows"] for case in run(*sweep, "--lake", lake, "-o", tmp_path / "swept", "--json").json["cases"]] == [48, 12]
    ic = ("scale", "ic", "--exchange", "binance-futures", *WINDOW, *HOURS, "--horizon", "2", "--horizon", "90m")
    assert run(*ic, "--lake", lake, "-o", tmp_path / "labelled", "--json").json["rows"] == 48


def test_scan_prints_the_table_of_a_scan(lake: Path, tmp_path: Path) -> None:
    options = ("--exchange", "binance-futures", *WINDOW, "--events", "trades", "--lake", lake)
    found = run("scale", "scan", *options, "-o", tmp_path / "pairs", "--json").json
    assert found["rows"] == run("scan", *options, "--json").json["rows"]
    assert "binance-futures:BTCUSDT" in run("scale", "scan", *options, "-o", tmp_path / "pairs").out


def test_warm_says_when_the_loops_are_ready() -> None:
    assert run("warm").out.startswith("here: the loops of ")
    assert run("warm", "--json").json[0]["worker"] == "here"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "which pairs is told in one way"),
        (("--pair", PAIR, "--exchange", "binance-futures"), "which pairs is told in one way"),
        (("--pair", "binance-futures:BTCUSDT"), "a pair is no pair"),
        (("--pair", PAIR, "--cluster", "nearby"), "there is no such cluster"),
        (("--pair", PAIR, "--memory", "2GB", "--cluster", "tcp://127.0.0.1:1"), "memory is for local clusters"),
        (("--pair", PAIR, "--anchor", "start"), "--threshold auto goes with"),
    ],
)
def test_wrong_usage_is_said(lake: Path, tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    result = run("scale", "compare", *options, *WINDOW, "--lake", lake, "-o", tmp_path / "made")
    assert result.code == 2
    assert words in result.err


def test_an_unknown_column_is_refused_before_the_work(lake: Path, tmp_path: Path) -> None:
    options = ("--exchange", "binance-futures", *WINDOW, "--lake", lake, "-o", tmp_path / "made", "--sort", "profit")
    assert "the table has no such column" in run("scale", "scan", *options).err
    assert not (tmp_path / "made").exists()
