"""Standard input and output: lists of paths, statements, tables for other programs, readers that stop early."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import polars as pl
import pytest
from tests.cli.running import PERP, SPOT, WINDOW, Market, archive, assert_refused, done, run, run_process

if TYPE_CHECKING:
    from pathlib import Path

T20 = ("--threshold", "20")
SPREADS = ("spreads", "BTC", "--reference", "binance:BTC-USDT", *WINDOW, "--duration", "1h", "--max-trade-age", "1h")


def processed(*arguments: str | Path) -> bytes:
    """What a command writes to standard output, byte for byte."""
    ran = subprocess.run([sys.executable, "-m", "pointline", *map(str, arguments)], capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


# ---- standard input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["\n", "\0"], ids=["lines", "NUL"])
def test_ingest_reads_a_list_of_paths(market: Market, tmp_path: Path, end: str) -> None:
    paths = [archive(market.folder, "spot", 0), archive(market.folder, "spot", 1)]
    listed = "".join(f"{path}{end}" for path in paths).encode()
    ran = run("ingest", "-", "--json", "--lake", tmp_path / "lake", stdin=listed)
    assert (ran.code, ran.err) == (0, "")
    assert [(one["path"], one["outcome"]) for one in ran.json] == [(str(path), "landed") for path in paths]


def test_ingest_takes_a_list_beside_other_paths_and_names_that_are_no_utf8(market: Market, tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/caf\xe9.zip"
    ran = run("ingest", archive(market.folder, "spot", 0), "-", "--lake", tmp_path / "lake", "--json", stdin=odd + b"\n")
    assert [one["outcome"] for one in ran.json] == ["landed", "failed"]
    assert ran.error["what"] == "there is no such file"
    assert ran.code == 3


def test_an_empty_list_of_paths_is_an_error(tmp_path: Path) -> None:
    assert_refused(run("ingest", "-", "--lake", tmp_path / "lake", stdin=b"\n"), "no archive file was found")
    assert not (tmp_path / "lake").exists()


def test_a_statement_from_standard_input(lake: Path) -> None:
    assert done_with("SELECT 2 AS b", "sql", "-", "--format", "csv", "--lake", lake) == '"b"\n2\n'


def done_with(typed: str, *arguments: str | Path) -> str:
    ran = run(*arguments, stdin=typed.encode())
    assert (ran.code, ran.err) == (0, "")
    return ran.out


def test_without_a_statement_and_without_a_terminal(lake: Path) -> None:
    assert_refused(run("sql", "--lake", lake), "one statement is wanted", "pointline sql -", "a prompt needs a terminal")
    assert_refused(run("sql", "SELECT 1", "-f", "x.sql", "--lake", lake), "one statement is wanted", "--file")


# ---- tables on standard output ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [("compare", PERP, SPOT, *WINDOW, *T20), SPREADS], ids=["compare", "spreads"])
def test_a_table_on_standard_output_has_the_bytes_of_the_file(lake: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    for suffix in ("exact.csv", "parquet", "arrow"):
        done(*command, "-o", tmp_path / f"t.{suffix}", "--lake", lake)
        chosen = () if suffix == "exact.csv" else ("--format", suffix)
        assert processed(*command, "-o", "-", *chosen, "--lake", lake) == (tmp_path / f"t.{suffix}").read_bytes(), suffix
    assert pl.read_parquet(io.BytesIO((tmp_path / "t.parquet").read_bytes())).height > 5


def test_notes_are_said_beside_a_table_on_standard_output(lake: Path) -> None:
    command = ("compare", PERP, SPOT, *WINDOW, *T20, "-o", "-", "--lake", lake)
    ran = run_process(*command)
    assert ran.code == 0
    assert ran.out.startswith("symbol_id,bar_id,bucket_start,")
    assert "note: 2 of the window's days are covered in part by perp trades" in ran.err
    assert run_process(*command, "-q").err == ""


def test_sql_on_standard_output(lake: Path) -> None:
    asked = ("sql", "SELECT 1 AS a, 'x' AS b", "-o", "-", "--lake", lake)
    assert done(*asked).out == '"a","b"\n1,"x"\n'
    assert done(*asked, "--format", "tsv").out == "a\tb\n1\tx\n"
    assert done("sql", "SELECT 1 AS a", "--json", "--lake", lake).json == [{"a": 1}]


@pytest.mark.parametrize(
    ("options", "fragments"),
    [
        (("-o", "-", "--json"), ("both want standard output", "expected: one of them, or -o FILE")),
        (("-o", "-", "--format", "ods"), ("there is no such format", "'ods'", "csv")),
        (("-o", "f.csv", "--format", "csv"), ("--format is for -o - only", "'csv'")),
    ],
)
@pytest.mark.parametrize("command", [("compare", PERP, SPOT, *WINDOW, *T20), SPREADS], ids=["compare", "spreads"])
def test_outputs_that_contradict(
    command: tuple[str, ...],
    options: tuple[str, ...],
    fragments: tuple[str, ...],
    lake: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run(*command, *options, "--lake", lake)
    if "--json" in options:
        assert (ran.code, ran.out, ran.error["what"]) == (2, "", "--json and -o - both want standard output")
    else:
        assert_refused(ran, *fragments)
    assert list(tmp_path.iterdir()) == []


def test_json_and_another_format_of_sql(lake: Path) -> None:
    ran = run("sql", "SELECT 1", "--json", "--format", "csv", "--lake", lake)
    assert (ran.code, ran.error["what"]) == (2, "--json is short for --format json")


# ---- readers that stop early -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("buffered", [True, False], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize(
    "command",
    [
        "catalog --lake LAKE",
        "catalog --json --lake LAKE",
        "sql 'SELECT * FROM numbers(200000)' --format csv --lake LAKE",
        "compare PERP SPOT --start 2024-05-01 --end 2024-05-03 --threshold 1 -o - -q --lake LAKE",
        "--help",
        "--version",
    ],
)
def test_a_reader_that_stops_early_ends_the_command_without_a_word(lake: Path, command: str, buffered: bool) -> None:
    for name, value in {"LAKE": str(lake), "PERP": PERP, "SPOT": SPOT}.items():
        command = command.replace(name, value)
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"} | (
        {} if buffered else {"PYTHONUNBUFFERED": "1"}
    )
    line = f"{sys.executable} -m pointline {command} | true; echo ${{PIPESTATUS[0]}}"
    ran = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, env=env)
    assert (ran.stdout, ran.stderr) == ("141\n", "")


# ---- progress on a terminal ------------------------------------------------------------------------------------------------


def said_on_a_terminal(*arguments: str | Path) -> str:
    """What a command writes to standard error, which is a terminal."""
    master, other = pty.openpty()
    with subprocess.Popen([sys.executable, "-m", "pointline", *map(str, arguments)], stdout=subprocess.PIPE, stderr=other) as process:
        os.close(other)
        said = b""
        with contextlib.suppress(OSError):  # the other side is closed
            while part := os.read(master, 65_536):
                said += part
        process.communicate()
    os.close(master)
    assert process.returncode == 0, said
    return said.decode()


def test_somebody_who_watches_sees_progress_and_is_left_with_a_clean_line(market: Market, tmp_path: Path) -> None:
    place = ("--lake", tmp_path / "lake")
    said = said_on_a_terminal("ingest", market.folder, *place)
    assert re.search(r"\ringest +\d+% \[[#.]+\] ", said)
    assert said.endswith(f"\r{' ' * 79}\r")
    assert said_on_a_terminal("ingest", market.folder, *place, "-q") == ""
    assert said_on_a_terminal("ingest", market.folder, *place, "--json") == ""
    compared = said_on_a_terminal("compare", PERP, SPOT, *WINDOW, *T20, *place)
    assert re.search(r"\rcompare +\d+% \[[#.]+\] .*2024-05-0[12]", compared)
    assert re.search(r"\rverify +\d+% ", said_on_a_terminal("verify", *place))
