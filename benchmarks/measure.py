"""Runs commands as processes of their own, in turn, and keeps seconds, processor time and peak memory of each.

A process starts as a twin of this one, so no peak is below what this process holds: it imports nothing large.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).resolve().parent.parent
SLOW_S = 60.0  # what takes longer is run once
_KB_PER_MB = 1024.0


class ProcessFailedError(Exception):
    """A measured process did not end well; the text says how."""


@dataclass(frozen=True)
class Sample:
    """One process: whole wall time, user and system time, peak resident memory, and the JSON that it printed, if any."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    printed: dict[str, Any]


@dataclass
class Case:
    """A command and what was measured of it.

    Attributes:
        name: unique within its group.
        command: the interpreter and its arguments.
        job: written to a file whose path is the command's last argument; None where it wants none.
        again: also measure a second call in one process.
    """

    name: str
    command: list[str]
    job: dict[str, Any] | None = None
    again: bool = False
    summary: dict[str, Any] | None = None
    failure: str | None = None
    samples: list[Sample] = field(default_factory=list)
    repeats: list[Sample] = field(default_factory=list)

    def medians(self) -> dict[str, Any]:
        """The medians, None where nothing of the kind was measured.

        ``wall_s``, ``cpu_s`` and ``peak_mb`` are of the whole process with its start-up, ``first_s`` of the work alone, ``again_s`` of the
        same work done once more in one process.
        """
        return {
            "wall_s": _median([sample.wall_s for sample in self.samples]),
            "cpu_s": _median([sample.cpu_s for sample in self.samples]),
            "peak_mb": _median([sample.peak_mb for sample in self.samples]),
            "first_s": _median([sample.printed["elapsed_s"][0] for sample in self.samples if "elapsed_s" in sample.printed]),
            "again_s": _median([sample.printed["elapsed_s"][-1] for sample in self.repeats]),
            "runs": len(self.samples),
        }


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def run_process(command: Sequence[str], job: dict[str, Any] | None = None, *, show_progress: bool = False) -> Sample:
    """One process from start to end.

    Args:
        command: the interpreter and its arguments.
        job: see `Case`.
        show_progress: let it write its errors to the terminal.

    Raises:
        ProcessFailedError: it was killed or returned an error.
    """
    # With this variable every process would compile its imports.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    search = os.pathsep.join(filter(None, (str(ROOT / "src"), os.environ.get("PYTHONPATH"))))
    with tempfile.TemporaryDirectory() as folder:
        task, out, err = (Path(folder) / name for name in ("job.json", "out", "err"))
        words = list(command)
        if job is not None:
            task.write_text(json.dumps(job), encoding="utf-8")
            words.append(str(task))
        with out.open("wb") as stdout, err.open("wb") as stderr:
            began = time.perf_counter()
            process = subprocess.Popen(words, stdout=stdout, stderr=None if show_progress else stderr, env={**kept, "PYTHONPATH": search})
            _, status, usage = os.wait4(process.pid, 0)
            wall_s = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        text = out.read_text(encoding="utf-8", errors="replace")
        if process.returncode != 0:
            raise ProcessFailedError(_reason(process.returncode, err.read_text(encoding="utf-8", errors="replace")))
    lines = [line for line in text.splitlines() if line.startswith("{")]
    printed = json.loads(lines[-1]) if lines else {}
    return Sample(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / _KB_PER_MB, printed)


def _reason(code: int, errors: str) -> str:
    if code < 0:
        return f"killed by signal {-code}" + (", most likely for want of memory" if code == -9 else "")  # noqa: PLR2004 -- SIGKILL
    lines = errors.strip().splitlines()
    return lines[-1] if lines else f"ended with code {code}"


def run_group(cases: Sequence[Case], repetitions: int, *, side_by_side: int = 1, say: Callable[[str], None] = print) -> None:
    """Fills the samples of the cases: first each once with a check of its result, not timed, then all in turn, A B A B.

    Args:
        cases: at least one.
        repetitions: timed runs of each; a case whose first run takes longer than a minute is timed once. With 0 the first run is kept.
        side_by_side: processes at a time; more than one where time does not matter.
        say: told what happens.
    """
    with ThreadPoolExecutor(side_by_side) as pool:
        first = {case.name: sample for case, sample in zip(cases, pool.map(_checked, cases), strict=True) if sample is not None}
    rounds = {name: 1 if sample.wall_s > SLOW_S else repetitions for name, sample in first.items()}
    for case in cases:
        if case.failure:
            say(f"  {case.name}: {case.failure}")
        elif repetitions == 0:
            case.samples.append(first[case.name])
    for number in range(repetitions):
        for case in cases:
            if case.failure is None and number < rounds[case.name]:
                say(f"  {case.name} {number + 1}/{rounds[case.name]}")
                _timed(case)


def _timed(case: Case) -> None:
    try:
        case.samples.append(run_process(case.command, case.job))
        if case.again and case.job is not None:
            case.repeats.append(run_process(case.command, {**case.job, "calls": 2}))
    except ProcessFailedError as failure:
        case.failure = str(failure)


def _checked(case: Case) -> Sample | None:
    """Runs the case once and keeps what it says of its result, or why it failed."""
    try:
        sample = run_process(case.command, None if case.job is None else {**case.job, "check": True})
    except ProcessFailedError as failure:
        case.failure = str(failure)
        return None
    case.summary = sample.printed.get("summary")
    return sample


def script(name: str, interpreter: str = sys.executable) -> list[str]:
    """The command that runs one of the scripts in ``workloads/``."""
    return [interpreter, str(Path(__file__).resolve().parent / "workloads" / name)]
