"""Options that all commands share: help, version, how much is said and where, JSON errors, completion."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import typer
from tests.cli.running import PERP, SPOT, WINDOW, assert_refused, done, run, run_process, write_zip

import pointline
from pointline.cli import app

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GROUPS = typer.main.get_command(app).commands
COMMANDS = sorted(f"{name} {own}".strip() for name, group in GROUPS.items() for own in getattr(group, "commands", [""]))
T20 = ("--threshold", "20")


# ---- help, version, module -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_h_is_help_and_shows_an_example_and_the_shared_options(command: str) -> None:
    short, long = done(*command.split(), "-h").out, done(*command.split(), "--help").out
    assert short == long
    assert f"Example: pointline {command}" in " ".join(short.split())
    for option in ("--json", "-q, --quiet", "-v, --verbose", "--log", "-h, --help"):
        assert re.search(rf"^  {option}\b", short, re.MULTILINE), option


def test_h_in_front_of_a_command() -> None:
    assert done("-h").out == done("--help").out
    for option in ("--version", "-q, --quiet", "-v, --verbose", "--log", "--install-completion", "--show-completion"):
        assert option in done("-h").out


def test_version() -> None:
    assert done("--version").out == f"pointline {pointline.__version__}\n"


def test_the_package_runs_as_a_module() -> None:
    ran = subprocess.run([sys.executable, "-m", "pointline", "--version"], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"pointline {pointline.__version__}\n", "")


def test_help_loads_no_heavy_library() -> None:
    code = "import sys, pointline.cli as c; sys.argv = ['pointline', '--help']; c.main(); sys.stderr.write(' '.join(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in ran.stderr.split()}
    assert {"pointline", "typer"} <= loaded
    assert loaded & {"polars", "numpy", "pydantic", "deltalake", "chdb", "rich", "logging", "numba", "pyarrow"} == set()
    assert "importlib.metadata" not in ran.stderr.split()


# ---- quiet, verbose, log ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [True, False], ids=["in front of the command", "behind it"])
def test_quiet_prints_nothing_when_all_is_well(lake: Path, before: bool) -> None:
    for command in (("catalog",), ("verify",), ("cache",), ("maintain", "--dry-run"), ("compare", PERP, SPOT, *WINDOW, *T20)):
        words = ("-q", *command, "--lake", lake) if before else (*command, "--lake", lake, "--quiet")
        assert done(*words).out == "", command


def test_quiet_still_says_errors_and_prints_what_was_asked_for(lake: Path) -> None:
    assert_refused(run("catalog", "-q", "--lake", lake / "none"), "there is no lake here")
    assert json.loads(done("catalog", "-q", "--json", "--lake", lake).out)["pairs"]
    asked = run("sql", "-q", "SELECT toFloat64(toDecimal64(1, 2)) / 3 AS third", "--format", "csv", "--lake", lake)
    assert (asked.code, asked.out.splitlines()[0], asked.err) == (0, '"third"', "")


def test_quiet_demo_and_ingest(tmp_path: Path) -> None:
    assert done("demo", "-q", "-o", tmp_path / "demo", "--trades", "1000").out == ""
    assert done("ingest", "-q", tmp_path / "demo" / "archives", "--lake", tmp_path / "lake").out == ""


def test_verbose_says_files_versions_thresholds_and_cache(copy: Path) -> None:
    done("cache", "--clear", "--lake", copy)
    asked = ("compare", PERP, SPOT, "--start", "2024-05-01", "--end", "2024-05-02", *T20, "-v", "--lake", copy)
    first, again = run(*asked), run(*asked)
    assert (first.code, again.code) == (0, 0)
    assert re.search(rf"^pointline: pointline {re.escape(pointline.__version__)}, Python 3", first.err)
    assert f"pointline.lake: lake {copy}, format 2" in first.err
    assert f"pointline.bars: {PERP}: trades of 1 days in the window, 397 rows" in first.err
    assert re.search(r"cache: 0 of 2 sums known, 2024-05-01 00:00:00 to 2024-05-02 00:00:00", first.err)
    assert re.search(r"cache: 2 of 2 sums known", again.err)
    chosen = run("compare", PERP, SPOT, *WINDOW, "--bars", "time", "-v", "--lake", copy)
    assert "bars close by" in chosen.out


def test_verbose_says_what_each_file_is(tmp_path: Path) -> None:
    path = write_zip(
        tmp_path / "data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2024-05-01.zip",
        ["1,60000,1,60000,1714521600000,true,true"],
        checksum=False,
    )
    said = run("ingest", path, "-v", "--lake", tmp_path / "lake").err
    assert f"pointline.ingest: {path}: binance_vision, trades of binance-spot:BTCUSDT, period 2024-05-01\n" in said
    assert f"pointline.ingest: {path}: landed, 1 rows read, 1 landed\n" in said


def test_quiet_and_verbose_contradict_each_other(lake: Path) -> None:
    assert_refused(run("catalog", "-q", "-v", "--lake", lake), "contradict", "expected: one of them")
    assert_refused(run("-q", "catalog", "-v", "--lake", lake), "contradict")


def test_a_log_file_has_messages_and_errors_with_times_in_utc(lake: Path, tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    assert done("cache", "--log", log, "--lake", lake).err == ""
    assert run("--log", log, "catalog", "--symbol", "ETHUSDT", "--lake", lake).code == 2
    lines = log.read_text(encoding="utf-8").splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|DEBUG|ERROR) pointline[\w.]*: ", line) for line in lines)
    assert sum(f"lake {lake}, format 2" in line for line in lines) == 2
    assert " ERROR pointline: the lake holds nothing of this; value:    '*:ETHUSDT'; expected: " in lines[-1]


def test_the_next_command_does_not_write_to_the_log_of_the_last(lake: Path, tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    assert run("cache", "-v", "--log", log, "--lake", lake).code == 0
    size = log.stat().st_size
    assert done("cache", "--lake", lake).err == ""
    assert log.stat().st_size == size


@pytest.mark.parametrize("name", ["nowhere/run.log", "."])
def test_a_log_file_that_cannot_be_written(lake: Path, tmp_path: Path, name: str) -> None:
    assert_refused(run("cache", "--log", tmp_path / name, "--lake", lake), "the log file cannot be written", "a file in an existing folder")


# ---- compiling -------------------------------------------------------------------------------------------------------------

COMPILING = "compiling the loops for this machine, once: some seconds\n"


@pytest.mark.parametrize(("options", "says"), [((), True), (("-q",), False), (("--json",), False)], ids=["text", "quiet", "json"])
def test_the_first_run_says_that_it_compiles(lake: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], says: bool) -> None:
    from pointline.kernels import machine_code

    kept = machine_code.entry_points()

    def compiles() -> dict[str, Callable[..., int]]:
        machine_code._log.info(COMPILING.strip())
        return kept

    monkeypatch.setattr(machine_code, "entry_points", compiles)
    ran = run("compare", PERP, SPOT, *WINDOW, *T20, "--no-cache", "--lake", lake, *options)
    assert ran.code == 0
    assert (COMPILING in ran.err) is says
    assert says or ran.err == ""


# ---- errors as JSON --------------------------------------------------------------------------------------------------------

WRONG = {
    "catalog": ("catalog", "--lake", "nowhere"),
    "verify": ("verify", "--lake", "nowhere"),
    "repair": ("repair", "--archives", "nowhere", "--lake", "LAKE"),
    "maintain": ("maintain", "--grace", "soon", "--lake", "LAKE"),
    "cache": ("cache", "--lake", "nowhere"),
    "compare": ("compare", PERP, SPOT, *WINDOW, "--join", "outer", "--lake", "LAKE"),
    "spreads": ("spreads", "BTC", "--reference", "BTC-USDT", *WINDOW, "--lake", "LAKE"),
    "lead-lag": ("lead-lag", PERP, PERP, *WINDOW, "--lake", "LAKE"),
    "next-funding": ("next-funding", PERP, SPOT, *WINDOW, "--lake", "LAKE"),
    "sql": ("sql", "SELECT * FROM api.ohlcv", "--lake", "LAKE"),
    "serve": ("serve", "--port", "99999", "--lake", "LAKE"),
    "ingest": ("ingest", "absent.zip", "--lake", "LAKE"),
    "demo": ("demo", "-o", "OTHER"),
    "a missing option": ("compare", PERP, SPOT),
    "an unknown option": ("catalog", "--nonsense"),
    "an option without its value": ("catalog", "--lake"),
    "an unknown command": ("backtest",),
    "a number out of range": ("demo", "--trades", "10"),
}
CODES = {"ingest": 3}


@pytest.mark.parametrize("case", WRONG)
def test_an_error_as_json_says_what_the_text_says(case: str, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").touch()
    words = [{"LAKE": str(copy), "OTHER": str(tmp_path / "other")}.get(word, word) for word in WRONG[case]]
    text = run(*words)
    assert_refused(text, code=CODES.get(case, 2))
    json_mode = run(words[0], "--json", *words[1:])
    found = json_mode.error
    assert json_mode.code == text.code
    lines = [found["what"]]
    lines += [f"  {name}:".ljust(12) + (repr(found[name]) if name == "value" else found[name]) for name in list(found)[1:5] if found[name]]
    assert text.err == "error: " + "\n".join(lines) + "\n"


def test_an_interrupt_and_a_defect_as_json(monkeypatch: pytest.MonkeyPatch, lake: Path) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    def broken(*_: object) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr("pointline.lake.catalog.catalog", interrupted)
    assert run("catalog", "--json", "--lake", lake).error["exit_code"] == 130
    monkeypatch.setattr("pointline.lake.catalog.catalog", broken)
    error = run("catalog", "--json", "--lake", lake).error
    assert (error["what"], error["exit_code"]) == ("unexpected ZeroDivisionError: by nothing", 5)


def test_json_of_one_command_does_not_stay_for_the_next(lake: Path) -> None:
    assert run("catalog", "--json", "--lake", lake / "none").err.startswith('{"error"')
    assert run("catalog", "--lake", lake / "none").err.startswith("error: ")


def test_several_refused_files_are_one_object_with_all_of_them(lake: Path, tmp_path: Path) -> None:
    ran = run("ingest", tmp_path / "a.zip", tmp_path / "b.zip", "--json", "--lake", lake, "--dry-run")
    assert ran.error["what"] == "2 of 2 files are refused, or have rows set aside"
    assert ran.error["value"] == [f"{tmp_path / name}: there is no such file" for name in ("a.zip", "b.zip")]
    assert [one["problem"].splitlines()[0] for one in ran.json] == ["there is no such file"] * 2
    text = run("ingest", tmp_path / "a.zip", tmp_path / "b.zip", "--lake", lake, "--dry-run").err
    assert text.count("error: there is no such file") == 2


# ---- completion ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [("pointline ver", ["verify"]), ("pointline catalog --fa", ["--fail-on"]), ("pointline ingest --dry", ["--dry-run"])],
)
def test_a_shell_completes_commands_and_options(line: str, expected: list[str]) -> None:
    env = {**os.environ, "_POINTLINE_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    ran = subprocess.run([sys.executable, "-m", "pointline"], capture_output=True, text=True, check=False, env=env)
    assert ran.stdout.split() == expected


def test_a_shell_gets_its_completion_script() -> None:
    ran = run_process("--show-completion", env={"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"})
    assert ran.code == 2  # then the shell has to be named
    ran = run_process("--show-completion", "bash", env={"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"})
    assert (ran.code, "complete -o default -F _pointline_completion pointline" in ran.out) == (0, True)
