"""Ctrl-C and SIGTERM of the commands that make temporary folders, and what processes leave that are killed."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.machine import limit, until

from pointline.sql import scratch
from pointline.sql.scratch import Scratch, remove_abandoned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointline.lake.store import Lake

ENDLESS = "SELECT count() FROM numbers(300000) AS a, numbers(1000000) AS b WHERE a.number + b.number = 7"  # minutes
SAID = {signal.SIGINT: "error: interrupted before the end", signal.SIGTERM: "error: terminated before the end"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The directory of temporary files."""
    found = tmp_path / "tmp"
    found.mkdir()
    return found


@contextlib.contextmanager
def command(place: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command of the command line; its standard error is a pipe."""
    environment = {**os.environ, "TMPDIR": str(place), "POLARS_MAX_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "pointline.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def ended(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    """Exit code and lines on standard error."""
    _, said = process.communicate(timeout=limit(60))
    return process.returncode, said.splitlines()


def query_runs(process: subprocess.Popen[str], place: Path) -> bool:
    """Whether the catalogue is complete and threads of the engine work on a query."""
    if not list(place.glob("pointline-sql-*/1/catalogue.json")):
        return False
    names = [path.read_text(encoding="ascii").strip() for path in Path(f"/proc/{process.pid}/task").glob("*/comm")]
    return any(name.startswith("QueryP") for name in names)


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("number", SAID)
def test_a_query_that_runs(simulated: Lake, place: Path, number: signal.Signals, times: int) -> None:
    with command(place, "sql", ENDLESS, "--lake", str(simulated.root)) as process:
        until(lambda: query_runs(process, place))
        for _ in range(times):
            os.kill(process.pid, number)
        code, said = ended(process)
    assert code == 128 + number
    assert [line[: len(SAID[number])] for line in said] == [SAID[number]]
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("number", SAID)
def test_a_catalogue_that_is_built(simulated: Lake, place: Path, number: signal.Signals) -> None:
    with command(place, "sql", ENDLESS, "--lake", str(simulated.root)) as process:
        until(lambda: list(place.glob("pointline-sql-*/*")))
        os.kill(process.pid, number)
        code, said = ended(process)
    assert code == 128 + number
    assert len(said) == 1
    assert list(place.iterdir()) == []


def test_a_signal_as_json(simulated: Lake, place: Path) -> None:
    with command(place, "sql", ENDLESS, "--json", "--lake", str(simulated.root)) as process:
        until(lambda: query_runs(process, place))
        os.kill(process.pid, signal.SIGTERM)
        code, said = ended(process)
    assert code == 143
    error = json.loads("\n".join(said))["error"]
    assert (error["what"], error["exit_code"]) == ("terminated before the end; there is no complete result", 143)


def test_a_file_is_whole_or_not_there(simulated: Lake, place: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    with command(place, "sql", ENDLESS, "--lake", str(simulated.root), "-o", str(output)) as process:
        until(lambda: query_runs(process, place))
        os.kill(process.pid, signal.SIGINT)
        assert ended(process)[0] == 130
    assert [path.name for path in tmp_path.iterdir()] == ["tmp"]


def test_without_a_signal(simulated: Lake, place: Path) -> None:
    with command(place, "sql", "SELECT 1 AS a", "--format", "csv", "--lake", str(simulated.root)) as process:
        out, said = process.communicate(timeout=limit(60))
    assert (process.returncode, out, said) == (0, '"a"\n1\n', "")
    assert list(place.iterdir()) == []


STATES = ("pointline-serve-*", "pointline-serve-*/catalogue-1", "pointline-serve-*/worker-1", "")
"""Of a server's start: what is there when its folder, the catalogue, the first worker's folder is made; at last it serves."""


@pytest.mark.parametrize(
    ("number", "state"),
    [
        (signal.SIGINT, STATES[1]),
        *(pytest.param(number, state, marks=pytest.mark.slow) for number in SAID for state in STATES if (number, state) != (2, STATES[1])),
    ],
)
def test_a_server(simulated: Lake, place: Path, number: signal.Signals, state: str) -> None:
    with command(place, "serve", "--port", "0", "--unsafe-no-sandbox", "--lake", str(simulated.root)) as process:
        if state:
            until(lambda: list(place.glob(state)))
        else:
            assert process.stderr is not None
            assert any(line.startswith("serving ") for line in process.stderr)
        os.kill(process.pid, number)
        os.kill(process.pid, number)
        code, said = ended(process)
    assert code == 128 + number, said
    assert said[-1:] == ["stopped"]
    assert not [line for line in said if "Traceback" in line or "Error" in line], said
    assert list(place.iterdir()) == []


# ---- what is left by those who are killed


def test_what_a_killed_process_left_is_removed_by_the_next(simulated: Lake, place: Path) -> None:
    with command(place, "sql", ENDLESS, "--lake", str(simulated.root)) as living:
        until(lambda: query_runs(living, place))
        (kept,) = place.iterdir()
        with command(place, "sql", ENDLESS, "--lake", str(simulated.root)) as dying:
            until(lambda: len(list(place.glob("pointline-sql-*/1/catalogue.json"))) == 2)
            dying.kill()
            dying.wait()
        assert len(list(place.iterdir())) == 2
        with command(place, "sql", "SELECT 1", "--lake", str(simulated.root)) as next_one:
            assert ended(next_one)[0] == 0
        assert list(place.iterdir()) == [kept]
        assert living.poll() is None


def test_only_abandoned_folders_are_removed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "plain_temporary", lambda: str(place))
    mine = Scratch("sql")
    names = {"dead": "pointline-sql-0123456789abcdef", "no lock": "pointline-serve-0123456789abcdef", "else": "pointline-soak-x"}
    for name in names.values():
        (place / name / "in").mkdir(parents=True)
    for name in ("dead", "else"):
        (place / names[name] / "owner").write_text("")
    target = place / "target"
    (target / "in").mkdir(parents=True)
    (target / "owner").write_text("")
    (place / "pointline-sql-aaaaaaaaaaaaaaaa").symlink_to(target)
    remove_abandoned(place)
    left = {path.name for path in place.iterdir()}
    assert left == {mine.path.name, names["no lock"], names["else"], "target", "pointline-sql-aaaaaaaaaaaaaaaa"}
    assert (target / "in").is_dir()
    mine.remove()
    mine.remove()
    assert not mine.path.exists()


def test_a_lock_is_there_as_soon_as_it_can_be_seen(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "plain_temporary", lambda: str(place))
    mine = Scratch("serve")
    with (mine.path / "owner").open("rb") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    child = os.fork()
    if child == 0:
        mine.remove()  # not its own
        os._exit(0)
    os.waitpid(child, 0)
    assert mine.path.is_dir()
    mine.remove()
