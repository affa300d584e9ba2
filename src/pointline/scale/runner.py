"""One task from its description to its file: the same code in a worker of a cluster and in this process."""

from __future__ import annotations

import resource
import socket
import sys
import time
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

from pointline.errors import ClusterError, DamageError
from pointline.scale.files import rows_of_file, sha256_of
from pointline.scale.folder import DatasetFolder
from pointline.scale.labelled import request_of, write_labelled
from pointline.scale.pins import check_pinned, lake_of_plan
from pointline.scale.scan_row import write_scan_row
from pointline.scale.task import ScanRowWork, TaskRecord, own_versions
from pointline.studies.compare import compare_part

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pointline.lake.held import HeldLake
    from pointline.scale.task import ScaleTask, TaskCall
    from pointline.studies.compare import PartFigures


def run_task(call: TaskCall) -> TaskRecord:
    """Computes a task's file, unless it is there and whole.

    The file is written beside its place, read back, and renamed into it; then its record is kept. So after any interruption a file either
    has its record or is computed again, to the same bytes.

    Raises:
        ClusterError: this process has other versions than the plan, or does not see the lake or the dataset as they were.
        PointlineError: the task cannot be computed.
    """
    check_versions(call.versions)
    folder = DatasetFolder.of(call.dataset)
    folder.check_plan(call.plan)
    known = folder.record(call.task.key)
    if known is not None and known.path == call.task.path and folder.holds(known):
        return replace(known, computed=False)
    began = time.process_time()
    staged = folder.files.staged(call.task.key)
    try:
        with warnings.catch_warnings(action="ignore"):  # the plan's notes say the same
            figures = _compute(lake_of_plan(call.lake, call.plan), call.task, staged)
        record = _placed(folder, call.task, staged, figures)
    finally:
        staged.unlink(missing_ok=True)
    folder.keep(record)
    return replace(record, worker_bytes=_peak_bytes(), cpu_s=time.process_time() - began)


def check_versions(expected: Mapping[str, str]) -> None:
    """Refuses to work for a plan that was made with other versions.

    Raises:
        ClusterError: a version differs.
    """
    own = own_versions()
    differing = {name: (version, own.get(name, "none")) for name, version in expected.items() if own.get(name) != version}
    if differing:
        raise ClusterError(
            f"a worker on {socket.gethostname()} has other versions than the client",
            value="; ".join(f"{name} {there} there, {here} here" for name, (here, there) in differing.items()),
            expected="the same versions, because bytes of a result may depend on them",
            hint="install the client's versions on every worker",
        )


def _compute(lake: HeldLake, task: ScaleTask, path: Path) -> PartFigures:
    if isinstance(task.work, ScanRowWork):
        return write_scan_row(lake, task.work, path)
    pair = task.work.settled.pair
    check_pinned(lake, (pair.perp, pair.spot), task.window_us[1], task.work.pinned)
    if task.labels is not None:
        return write_labelled(lake, task, task.labels, path)
    return compare_part(request_of(lake, task, task.end_us), task.work.settled, task.options.join, task.options.state, path)


def _placed(folder: DatasetFolder, task: ScaleTask, staged: Path, figures: PartFigures) -> TaskRecord:
    """Puts the file at its place once its rows were counted in it."""
    if not figures.rows:
        folder.files.remove(task.path)  # of a run that was interrupted between two versions of it
        return TaskRecord(key=task.key, path=task.path, rows=0, complete=figures.complete, bytes=0, sha256="")
    found = rows_of_file(staged)
    if found != figures.rows:
        raise DamageError(
            "a file does not hold what was written", where=str(staged), value=f"{found} rows", expected=f"{figures.rows} rows"
        )
    size, sha256 = staged.stat().st_size, sha256_of(staged)
    folder.files.bring(staged, task.path)
    return TaskRecord(key=task.key, path=task.path, rows=figures.rows, complete=figures.complete, bytes=size, sha256=sha256)


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
