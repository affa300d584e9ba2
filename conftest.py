"""Fixtures of the tests and of the examples in docstrings, which read the lake of a small demo."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.demo import DEMO, Demo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session", autouse=True)
def _no_wait_for_the_disk() -> Iterator[None]:
    """A killed process loses nothing that it wrote, only a machine does; so no test needs what `fsync` waits for. A handle must be one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)
        yield


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
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)  # noqa: S603 - our own command
        if done.returncode != 0:
            pytest.fail(done.stderr)
        (folder / "said.json").write_text(json.dumps([done.stdout, done.stderr]), encoding="utf-8")

    folder = built_once("demo", fill)
    return Demo(folder / DEMO[2], *json.loads((folder / "said.json").read_text(encoding="utf-8")))


@pytest.fixture(scope="session")
def examples_folder(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the demo under the name that the documentation uses; examples may write into it."""
    folder = tmp_path_factory.mktemp("examples")
    shutil.copytree(demo.folder, folder / DEMO[2])
    return folder


@pytest.fixture(autouse=True)
def _place_of_examples(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs the example of a docstring beside the demo if it names it, else in an empty folder; other tests stay where they are."""
    if not isinstance(request.node, pytest.DoctestItem):
        return
    monkeypatch.delenv("POINTLINE_LAKE", raising=False)
    reads_demo = any(DEMO[2] in example.source for example in request.node.dtest.examples)
    monkeypatch.chdir(request.getfixturevalue("examples_folder" if reads_demo else "tmp_path"))
