"""Fixtures that all tests share."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from tests.demo import DEMO, Demo

if TYPE_CHECKING:
    from collections.abc import Callable

# Examples are the same on every run, whatever the order of tests is. How long one takes says nothing on a busy machine.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", unhurried, derandomize=True, max_examples=50)
settings.register_profile("fuzz", unhurried, max_examples=2_000)
settings.load_profile("ci")

ROOT = Path(__file__).resolve().parent.parent


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    """Says how to repeat the order in which tests failed; the first lines say it only where they are printed."""
    seed = config.getoption("randomly_seed", None)
    if exitstatus == pytest.ExitCode.TESTS_FAILED and isinstance(seed, int):
        terminalreporter.write_line(f"the same order again: --randomly-seed={seed}")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real market data, never part of the repository."""
    folder = Path(os.environ.get("POINTLINE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real market data is not at {folder}; set POINTLINE_DATA to test against it")
    return folder


@pytest.fixture(scope="session")
def built_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """Makes a folder once for all processes of a test run. Takes a name and what fills the folder, gives the folder, only to be read."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "built-once"
    shared.mkdir(exist_ok=True)

    def build(name: str, fill: Callable[[Path], None]) -> Path:
        folder, done = shared / name, shared / f"{name}.done"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a process that failed
                folder.mkdir()
                fill(folder)
                done.touch()
        return folder

    return build


@pytest.fixture(scope="session")
def demo(built_once: Callable[[str, Callable[[Path], None]], Path]) -> Demo:
    """The demo of the documentation."""

    def fill(folder: Path) -> None:
        command = [sys.executable, "-m", "pointline.cli", *(str(folder / word) if word == DEMO[2] else word for word in DEMO)]
        environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "POINTLINE_LAKE"}}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr
        (folder / "said.json").write_text(json.dumps([done.stdout, done.stderr]), encoding="utf-8")

    folder = built_once("demo", fill)
    return Demo(folder / DEMO[2], *json.loads((folder / "said.json").read_text(encoding="utf-8")))
