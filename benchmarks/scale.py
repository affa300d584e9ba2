"""What Dask costs per task, what a day-task takes, how much memory a worker needs, and what killed workers change.

    python benchmarks/scale.py LAKE [--days 10] [--tasks 1000] [--runs 3] [--only-tasks]

LAKE is a lake of binance-futures:BTCUSDT and binance-spot:BTCUSDT from 2024-05-01 on, such as `python benchmarks/market.py` makes. The
scheduler runs in this process, so its share and the client's are this process's processor seconds. Worker processes are this machine's.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from market import make_lake

from pointline import scale
from pointline.clock import DAY_US, time_text, to_us
from pointline.lake.store import open_lake
from pointline.research.spines import VolumeBarConfig
from pointline.scale.cluster import connected, sent
from pointline.scale.comparison import plan_compare
from pointline.scale.task import ScaleOptions, TaskCall, TaskRecord, own_versions

if TYPE_CHECKING:
    from distributed import Client

    from pointline.lake.store import Lake

PAIR = ("binance-futures:BTCUSDT", "binance-spot:BTCUSDT")
START = "2024-05-02"
MB = 1_000_000
WEEK = 7
FEW_TRADES = 2_000  # a day


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lake")
    parser.add_argument("--days", type=int, default=10)
    parser.add_argument("--tasks", type=int, default=1_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--runs", type=int, default=3, help="of one process; the one with the least CPU seconds counts")
    parser.add_argument("--only-tasks", action="store_true", help="without a cluster: what a task takes, and what its trades do")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pointline-scale-") as text:
        folder = Path(text)
        serial = least(asked, folder / "serial", 1)
        day_s = serial.run.cpu_s / serial.run.computed
        print(f"one process, a task a day: {asked.days} tasks, {day_s:.2f} CPU s per task, {serial.run.elapsed_s:.1f} s")
        weekly = least(asked, folder / "weekly", WEEK)
        print(f"one process, seven days a task: {weekly.run.cpu_s / asked.days:.2f} CPU s per day, {weekly.run.elapsed_s:.1f} s")
        print(shares(asked, folder, weekly))
        if asked.only_tasks:
            return
        with connected(f"local:{asked.workers}") as client:
            run_all(asked, folder, client, day_s, hashes(serial))


def run_all(asked: argparse.Namespace, folder: Path, client: Client, day_s: float, expected: list[Any]) -> None:
    """The figures of a cluster."""
    scale.warm(client)
    own_s = overhead(asked, client)
    share = own_s / day_s
    print(
        f"scheduler and client: {own_s * 1_000:.2f} CPU ms per task over {asked.tasks:,} tasks that do nothing, {share:.2%} of a day-task"
    )
    spread = made(asked, folder / "spread", client, 1)
    same = "equal" if hashes(spread) == expected else "DIFFERENT"
    print(f"{asked.workers} workers: {spread.run.elapsed_s:.1f} s, {spread.run.cpu_s / asked.days:.2f} CPU s per day-task, bytes {same}")
    print(f"largest resident memory of a worker: {spread.run.most_worker_bytes / MB:.0f} MB")
    killed = kills(asked, folder / "killed", client)
    same = "equal" if hashes(killed[0]) == expected else "DIFFERENT"
    print(f"{killed[1]} workers killed while they worked: {killed[0].run.elapsed_s:.1f} s, bytes {same}")


def least(asked: argparse.Namespace, folder: Path, days_per_task: int) -> Any:  # noqa: ANN401
    """The dataset that this process makes, of some runs the one with the least processor seconds."""
    found = [made(asked, folder / str(n), None, days_per_task) for n in range(asked.runs)]
    return min(found, key=lambda one: one.run.cpu_s)


def shares(asked: argparse.Namespace, folder: Path, weekly: Any) -> str:  # noqa: ANN401
    """What a task of a day takes that has almost no trades, and what a million trades add to it in tasks of seven days.

    A task counts the trades of its own days and of the day in front of them.
    """
    small = make_lake(folder / "few-lake", asked.days + 1, FEW_TRADES)
    few = least(argparse.Namespace(**{**vars(asked), "lake": str(small.root)}), folder / "few", 1)
    task_s = few.run.cpu_s / few.run.computed
    opened, end_us = open_lake(asked.lake), to_us(START) + asked.days * DAY_US
    spans = [(at - DAY_US, min(at + WEEK * DAY_US, end_us)) for at in range(to_us(START), end_us, WEEK * DAY_US)]
    millions = sum(count(opened, name, *span) for name in PAIR for span in spans) / MB
    trades_s = (weekly.run.cpu_s - len(spans) * task_s) / millions
    return f"a task of few trades: {task_s:.2f} CPU s; beyond that, {trades_s:.3f} CPU s per million trades"


def count(opened: Lake, name: str, start_us: int, end_us: int) -> int:
    """Trades of an instrument."""
    rows = opened.scan("trades", *name.split(":"), start_us, end_us, ["ts_local_us"])
    return int(rows.select(pl.len()).collect().item())


def made(asked: argparse.Namespace, output: Path, cluster: Any, days_per_task: int, **options: Any) -> Any:  # noqa: ANN401
    """The dataset of some days."""
    end = time_text(to_us(START) + asked.days * DAY_US)
    rule = VolumeBarConfig(100)
    window = {"start": START, "end": end, "bars": rule, "days_per_task": days_per_task, "cache": False}
    return scale.compare([PAIR], **window, lake=asked.lake, output=output, cluster=cluster, **options)


def hashes(dataset: Any) -> list[Any]:  # noqa: ANN401
    """Path and hash of every file."""
    return dataset.files.select("path", "sha256").rows()  # type: ignore[no-any-return]


def nothing(call: TaskCall) -> TaskRecord:
    """A task that does nothing, and returns what a task returns."""
    return TaskRecord(key=call.task.key, path=call.task.path, rows=1, complete=1, bytes=1, sha256="0" * 64)


def overhead(asked: argparse.Namespace, client: Client) -> float:
    """Processor seconds of this process, which holds the scheduler and the client, per task that does nothing."""
    window = (START, time_text(to_us(START) + DAY_US))
    plan = plan_compare(
        [PAIR],
        window=window,
        rules=[VolumeBarConfig(100)],
        params=[None],
        costs=None,
        lake=asked.lake,
        days_per_task=1,
        options=ScaleOptions(),
    )
    one = TaskCall(task=plan.tasks[0], lake=plan.lake, dataset="none", plan=plan.key, versions=own_versions())
    calls = [TaskCall(**{**vars(one), "task": type(one.task)(**{**vars(one.task), "key": f"{n:032x}"})}) for n in range(asked.tasks)]
    list(sent(client, calls[:50], nothing))
    began = time.process_time()
    found = list(sent(client, calls, nothing))
    if len(found) != asked.tasks:
        sys.exit("tasks were lost")
    return (time.process_time() - began) / asked.tasks


def kills(asked: argparse.Namespace, output: Path, client: Client) -> tuple[Any, int]:
    """The dataset, while workers are killed after some of its tasks; and how many were."""
    chance, done = random.Random(7), 0  # noqa: S311 - nothing secret
    when = set(chance.sample(range(1, asked.days), min(asked.kills, asked.days - 1)))

    def kill(count: int, total: int, text: str) -> None:  # noqa: ARG001
        nonlocal done
        numbers = list(client.run(os.getpid, on_error="ignore").values()) if count in when else []
        if numbers:
            os.kill(chance.choice(numbers), signal.SIGKILL)
            done += 1

    return made(asked, output, client, 1, progress=kill), done


if __name__ == "__main__":
    main()
