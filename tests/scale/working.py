"""What tests put into workers, and datasets as they compare them. Workers import this module."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distributed import WorkerPlugin

from pointline.ingest import checksum
from pointline.scale import parsing, runner
from pointline.scale.files import sha256_of
from pointline.studies import compare

if TYPE_CHECKING:
    from distributed import Worker

PAIR = ("binance-futures:BTCUSDT", "binance-spot:BTCUSDT")


def bytes_of(folder: str | Path) -> dict[str, str]:
    """Hashes of all files of a dataset."""
    root = Path(folder)
    files = [path for path in root.rglob("*") if path.is_file() and ".staging" not in path.parts]
    return {str(path.relative_to(root)): sha256_of(path) for path in files}


class StopsOnce(WorkerPlugin):  # type: ignore[misc]
    """The first task of all workers leaves the process's number in a file and waits until it is killed."""

    name = "stops"

    def __init__(self, marker: str) -> None:
        self.marker = marker

    def setup(self, worker: Worker) -> None:  # noqa: ARG002 - the plugin's interface
        def compare_part(*arguments: Any) -> Any:  # noqa: ANN401
            try:
                handle = os.open(self.marker, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            except FileExistsError:
                return compare.compare_part(*arguments)
            os.write(handle, f"{os.getpid()}\n".encode())
            os.close(handle)
            while True:
                time.sleep(3_600)

        runner.compare_part = compare_part

    def teardown(self, worker: Worker) -> None:  # noqa: ARG002
        runner.compare_part = compare.compare_part


class Hungry(WorkerPlugin):  # type: ignore[misc]
    """Every task takes more memory than its worker has."""

    name = "hungry"

    def setup(self, worker: Worker) -> None:  # noqa: ARG002
        def compare_part(*arguments: Any) -> Any:  # noqa: ANN401, ARG001
            taken = []
            while True:
                taken.append(bytearray(os.urandom(1 << 16)) * 256)
                time.sleep(0.002)

        runner.compare_part = compare_part

    def teardown(self, worker: Worker) -> None:  # noqa: ARG002
        runner.compare_part = compare.compare_part


def allow_failures(count: int, dask_scheduler: Any = None) -> int:  # noqa: ANN401
    """Sets how many workers a task may kill; returns the number before."""
    before: int = dask_scheduler.allowed_failures
    dask_scheduler.allowed_failures = count
    return before


class StopsParsing(StopsOnce):
    """The first file of all workers leaves the process's number in a file and waits until it is killed."""

    name = "stops-parsing"

    def setup(self, worker: Worker) -> None:  # noqa: ARG002
        def batch_digest(path: Path) -> str:
            try:
                handle = os.open(self.marker, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            except FileExistsError:
                return checksum.sha256_of(path)
            os.write(handle, f"{os.getpid()}\n".encode())
            os.close(handle)
            while True:
                time.sleep(3_600)

        parsing.sha256_of = batch_digest

    def teardown(self, worker: Worker) -> None:  # noqa: ARG002
        parsing.sha256_of = checksum.sha256_of
