"""``pointline sql``: where the statement comes from, what the result becomes, and one clear line when something is wrong."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import polars as pl
import pytest
from typer.testing import CliRunner

from pointline import cli
from pointline.errors import ConfigError, PointlineError, QueryError
from pointline.sql.command import SqlOptions, answer, table_view

if TYPE_CHECKING:
    from pathlib import Path

    from pointline.lake.store import Lake

TWO_ROWS = "SELECT number AS n, toDecimal64(number, 4) / 4 AS d FROM numbers(2)"


def ask(asked: SqlOptions, *, to_terminal: bool = False) -> object:
    return answer(asked, note=print, to_terminal=to_terminal)


def run(*arguments: str, lake: Lake, typed: str | None = None) -> str:
    result = CliRunner().invoke(cli.app, ["sql", *arguments, "--lake", str(lake.root)], input=typed)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_table_is_what_a_person_gets(december: Lake, specification: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    text = run(specification, lake=december)
    assert "93 rows" in text
    first = next(line for line in text.splitlines() if "2024-12-01" in line)
    assert first.split()[:5] == ["2024-12-01", "binance-coinm-future", "BTC-USD-PERP", "97326.1", "97185.18"]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ("csv", '"n","d"\n0,0\n1,0.25\n'),
        ("tsv", "n\td\n0\t0\n1\t0.25\n"),
        ("jsonl", '{"n":0,"d":0}\n{"n":1,"d":0.25}\n'),
        ("TSV", "n\td\n0\t0\n1\t0.25\n"),
        ("TSVRaw", "0\t0\n1\t0.25\n"),
        ("markdown", "| n | d |\n|-:|-:|\n| 0 | 0 |\n| 1 | 0.25 |\n"),
    ],
)
def test_other_formats(december: Lake, chosen: str, expected: str) -> None:
    assert run(TWO_ROWS, "--format", chosen, lake=december) == expected


def test_json_is_one_list_of_objects(december: Lake) -> None:
    assert json.loads(run(TWO_ROWS, "--format", "json", lake=december)) == [{"n": 0, "d": 0}, {"n": 1, "d": 0.25}]


@pytest.mark.parametrize(("name", "read"), [("a.parquet", pl.read_parquet), ("a.arrow", pl.read_ipc), ("a.csv", pl.read_csv)])
def test_a_files_name_tells_its_format(december: Lake, tmp_path: Path, name: str, read: object) -> None:
    assert run(TWO_ROWS, "-o", str(tmp_path / name), lake=december) == ""
    assert callable(read)
    frame = read(tmp_path / name)
    assert frame["n"].to_list() == [0, 1]
    assert [float(value) for value in frame["d"]] == [0, 0.25]
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_statement_from_a_file_from_standard_input_and_with_parameters(december: Lake, tmp_path: Path) -> None:
    text = "SELECT {x:UInt32} + {y:UInt32} AS sum, {note:String} AS note"
    (tmp_path / "ask.sql").write_text(text)
    given = ("--param", "x=1", "--param", "y=2", "--param", "note=a=b 'c'", "--format", "csv")
    for arguments, typed in (((text,), None), (("-f", str(tmp_path / "ask.sql")), None), (("-",), text)):
        rows = list(csv.reader(io.StringIO(run(*arguments, *given, lake=december, typed=typed))))
        assert rows == [["sum", "note"], ["3", "a=b 'c'"]]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (SqlOptions(), "one statement is wanted"),
        (SqlOptions(text="SELECT 1", parameters=("x",)), "--param x=VALUE"),
        (SqlOptions(text="SELECT 1", parameters=("1x=2",)), "--param x=VALUE"),
        (SqlOptions(text="SELECT 1", output_format="NoSuch"), "Unknown format NoSuch"),
        (SqlOptions(text="SELEC 1"), "Syntax error"),
    ],
)
def test_mistakes_are_told_in_one_line(december: Lake, asked: SqlOptions, said: str) -> None:
    with pytest.raises((ConfigError, QueryError)) as caught:
        ask(SqlOptions(**{**vars(asked), "lake": str(december.root)}))
    assert said in str(caught.value)


def test_places_that_cannot_be_written(december: Lake, tmp_path: Path) -> None:
    for output, said in ((tmp_path / "no" / "a.csv", "existing folder"), (tmp_path / "noname", "does not tell its format")):
        with pytest.raises(ConfigError, match=said):
            ask(SqlOptions(text="SELECT 1", output=output, lake=str(december.root)))
    with pytest.raises(PointlineError, match="for files, not for the screen"):
        ask(SqlOptions(text="SELECT 1", output_format="parquet", lake=str(december.root)), to_terminal=True)
    (tmp_path / "latin.sql").write_bytes(b"SELECT '\xe9'")
    with pytest.raises(ConfigError, match="no text"):
        ask(SqlOptions(file=tmp_path / "latin.sql", lake=str(december.root)))
    assert not list(tmp_path.glob("*.csv"))


def test_a_wrong_statement_ends_with_2_and_without_a_traceback(december: Lake) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pointline.cli", "sql", "SELECT * FROM api.ohlcv", "--lake", str(december.root)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert "api.ohlcv(candle_duration_in_minutes = 1440)" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_long_table_says_what_it_leaves_out() -> None:
    shown = table_view(pl.DataFrame({"n": range(5)}), most_rows=3)
    assert shown.row_count == 3
    assert "first 3 of 5 rows" in str(shown.caption)


def test_compare_keeps_a_study(simulated: Lake, tmp_path: Path) -> None:
    import shutil

    root = shutil.copytree(simulated.root, tmp_path / "lake")
    window = ["--start", "2024-05-01", "--end", "2024-05-03", "--threshold", "20"]
    done = CliRunner().invoke(
        cli.app, ["compare", "binance-futures:BTCUSDT", "binance-spot:BTCUSDT", *window, "--save", "mine", "--lake", str(root)]
    )
    assert done.exit_code == 0, done.output
    found = ask(SqlOptions(text="SELECT study, count() > 0 FROM api.features GROUP BY study", output_format="TSV", lake=str(root)))
    assert found == b"study\tgreater(count(), 0)\nmine\t1\n"
