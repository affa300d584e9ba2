"""A plan carried out, here or on a cluster, until its dataset is complete."""

from __future__ import annotations

import contextlib
import pickle
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from pointline.errors import ClusterError, ConfigError, NoDataError, PointlineError
from pointline.progress import followed
from pointline.scale.dataset import RunFigures, open_dataset
from pointline.scale.folder import DatasetFolder
from pointline.scale.runner import run_task
from pointline.scale.task import MOST_TASK_BYTES, ScaledCase, TaskCall, TaskFailure, own_versions

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from pointline.progress import Progress
    from pointline.scale.cluster import ClusterLike
    from pointline.scale.dataset import ScaledDataset
    from pointline.scale.plan import ScalePlan
    from pointline.scale.task import TaskRecord

HERE = "none"
"""Names this process in place of a cluster."""
_SHOWN_FAILURES = 3


def run_plan(
    plan: ScalePlan,
    output: str | Path,
    *,
    cluster: ClusterLike = None,
    memory: str | int | None = None,
    progress: Progress = False,
) -> ScaledDataset:
    """Computes what a dataset lacks of its plan, and completes it.

    Args:
        plan: what is in the dataset.
        output: its folder or URL; a new one, or one of the same plan, which is gone on with.
        cluster, memory: see `pointline.scale.compare`.
        progress: True shows a line of progress; a function is called with the tasks that are done, all tasks, and the last one's name.

    Raises:
        ConfigError: the folder holds something else, or the cluster is named wrongly.
        ClusterError: tasks failed or the cluster ended; the same call goes on.
        BusyError: another run fills the folder.
    """
    from pointline.scale.cluster import on_cluster

    began = time.perf_counter()
    folder = DatasetFolder.of(output)
    calls = [TaskCall(task=one, lake=plan.lake, dataset=folder.place, plan=plan.key, versions=own_versions()) for one in plan.tasks]
    check_sizes(calls)
    folder.begin(plan.told())
    records: dict[str, TaskRecord] = {}
    failures: list[TaskFailure] = []
    with folder.filling(), followed(plan.verb, progress) as tell:
        coming = _here(calls) if cluster is None or cluster == HERE else on_cluster(calls, cluster, memory=memory)
        with contextlib.closing(coming):
            for one in coming:
                if isinstance(one, TaskFailure):
                    failures.append(one)
                else:
                    records[one.key] = one
                    tell(len(records), len(calls), one.path)
        if failures:
            raise _together(failures, len(records), len(calls), folder)
        if len(records) < len(calls):
            raise ClusterError(f"the cluster told of {len(records)} of {len(calls)} tasks", hint="run the same command: it goes on")
        _check_cases(plan, records)
        folder.complete(plan.key, [records[one.key] for one in plan.tasks])
    return replace(open_dataset(folder.place), run=_figures(list(records.values()), time.perf_counter() - began))


def _figures(records: Sequence[TaskRecord], elapsed_s: float) -> RunFigures:
    computed = [one for one in records if one.computed]
    return RunFigures(
        computed=len(computed),
        kept=len(records) - len(computed),
        cpu_s=sum(one.cpu_s for one in computed),
        most_worker_bytes=max((one.worker_bytes for one in computed), default=0),
        elapsed_s=elapsed_s,
    )


def _here(calls: Sequence[TaskCall]) -> Generator[TaskRecord | TaskFailure]:
    """The tasks one after the other in this process."""
    for call in calls:
        try:
            yield run_task(call)
        except ClusterError:
            raise
        except PointlineError as error:
            yield TaskFailure(call.task.name, error)


def check_sizes(calls: Sequence[TaskCall]) -> None:
    """Refuses descriptions that are too large for a scheduler.

    Raises:
        ConfigError: one is larger than `MOST_TASK_BYTES`.
    """
    seen: set[int] = set()
    for call in calls:
        if id(call.task.work) in seen:  # the tasks of a case differ in their days alone
            continue
        seen.add(id(call.task.work))
        size = len(pickle.dumps(call))
        if size > MOST_TASK_BYTES:
            raise ConfigError(
                "the description of a task is too large for a scheduler",
                where=call.task.name,
                value=f"{size:,} bytes",
                expected=f"{MOST_TASK_BYTES:,} bytes or less",
            )


def _together(failures: Sequence[TaskFailure], done: int, count: int, folder: DatasetFolder) -> PointlineError:
    """The failures of a run as one error: of the kind of the first one, so that the exit code stays."""
    told = "; ".join(f"{one.name}: {one.error.what}" for one in failures[:_SHOWN_FAILURES])
    more = "" if len(failures) <= _SHOWN_FAILURES else f"; and {len(failures) - _SHOWN_FAILURES} more"
    first = failures[0].error
    error = type(first).__new__(type(first))
    PointlineError.__init__(
        error,
        f"{len(failures)} of {count} tasks failed, {done} are done",
        where=folder.place,
        value=told + more,
        expected=first.expected,
        hint=first.hint or "the same command computes what is missing",
    )
    return error


def _check_cases(plan: ScalePlan, records: dict[str, TaskRecord]) -> None:
    """Refuses what a single comparison refuses: no bar of a case completes, or none lies in the window."""
    of_case: dict[int, list[TaskRecord]] = {}
    for task in plan.tasks:
        if isinstance(task.work, ScaledCase):
            of_case.setdefault(id(task.work), []).append(records[task.key])
    for case in plan.cases():
        found = of_case[id(case)]
        name = f"{case.perp}, {case.spot}, {case.settled.rule.text}"
        if not sum(one.rows for one in found):
            raise NoDataError("no whole bar lies inside the window", where=name, hint="widen the window or choose a smaller threshold")
        if not sum(one.complete for one in found):
            raise ConfigError(
                "no bar completes in this window: the threshold is larger than what was traded in any day",
                where=name,
                hint="choose a smaller threshold, or let auto choose one",
            )
