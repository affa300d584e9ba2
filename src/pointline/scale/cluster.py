"""Dask: a cluster by its name, its workers checked, and calls sent to them one per thread.

The scheduler holds descriptions and records of some kilobytes. A task whose worker dies is run again on another one; after
`ALLOWED_FAILURES` workers in a row it counts as failed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import re
import time
import uuid
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from pointline.errors import ClusterError, ConfigError, MissingExtraError, PointlineError
from pointline.scale.runner import run_task
from pointline.scale.task import TaskFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from distributed import Client

    from pointline.scale.task import TaskCall, TaskRecord

ClusterLike: TypeAlias = "str | Client | None"
ALLOWED_FAILURES = 3
CONNECT_S = 15
LOOK_S = 5.0
MOMENT_S = 0.01
WORKERLESS_S = 120.0
"""How long calls wait for a cluster without workers: those that were killed start again within seconds."""
FIRST_WORKER_S = 30.0
"""How long work waits for its first worker, which may just be starting."""
NEVER = "3650 days"
"""A local worker that was killed is always started again. Dask gives it up for good where it happens to be away 15 s after it died, as it
is when it was killed again meanwhile; with that, workers that are killed often would end one by one."""
_ADDRESS = re.compile(r"(tcp|tls|ws|wss|ucx)://\S+:\d+")
_LOCAL = re.compile(r"local(?::(\d+))?")


def on_cluster(calls: Sequence[TaskCall], cluster: ClusterLike, *, memory: str | int | None) -> Generator[TaskRecord | TaskFailure]:
    """The records of calls as they come, in no order.

    Raises:
        ConfigError: the cluster is named wrongly.
        MissingExtraError: Dask is not installed.
        ClusterError: the cluster cannot be reached, has no workers, is of other versions, or ends before the work does.
    """
    with connected(cluster, memory=memory) as client:
        yield from sent(client, calls, run_task)


@contextlib.contextmanager
def connected(cluster: ClusterLike, *, memory: str | int | None = None) -> Iterator[Client]:
    """A client of a cluster; of one that is started here, the processes end with it.

    Args:
        cluster: a client; an address of a scheduler; or ``"local:4"``, processes on this machine.
        memory: limit of each worker of a local cluster, e.g. ``"2GB"``; an equal share of this machine's if None.

    Raises:
        ConfigError: `cluster` is none of these, or `memory` is of another cluster.
        MissingExtraError: Dask is not installed.
        ClusterError: no scheduler answers, or it has no workers.
    """
    try:
        import dask
        from distributed import Client
    except ImportError as error:
        raise MissingExtraError("work on a cluster needs Dask", hint='pip install "pointline[scale]"') from error
    local = _LOCAL.fullmatch(cluster) if isinstance(cluster, str) else None
    if memory is not None and local is None:
        raise ConfigError("memory is for local clusters", value=memory, expected="none; a cluster's own workers have their limits")
    if isinstance(cluster, Client):
        _check_workers(cluster)
        yield cluster
        return
    quiet = {
        "distributed.scheduler.allowed-failures": ALLOWED_FAILURES,
        "distributed.deploy.lost-worker-timeout": NEVER,
        "distributed.admin.large-graph-warning-threshold": "1GB",
    }
    with _quiet_logs(), dask.config.set(quiet), _started(cluster, local, memory) as client:
        _check_workers(client)
        yield client


@contextlib.contextmanager
def _quiet_logs() -> Iterator[None]:
    """Keeps Dask from writing tracebacks of what is told as an error of ours."""
    log = logging.getLogger("distributed.client")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)


@contextlib.contextmanager
def _started(cluster: object, local: re.Match[str] | None, memory: str | int | None) -> Iterator[Client]:
    from distributed import Client, LocalCluster

    if local is not None:
        workers = int(local[1] or os.cpu_count() or 1)
        if workers < 1:
            raise _unusable(cluster)
        threads = str(max(1, (os.cpu_count() or 1) // workers))
        with (
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",
                memory_limit=_memory(memory, workers),
                silence_logs=50,
                preload=["pointline.scale.interrupts"],
                env={"POLARS_MAX_THREADS": threads, "OPENBLAS_NUM_THREADS": "1"},
            ) as made,
            Client(made, set_as_default=False) as client,
        ):
            yield client
        return
    if not isinstance(cluster, str) or not _ADDRESS.fullmatch(cluster):
        raise _unusable(cluster)
    try:
        client = Client(cluster, timeout=CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise ClusterError(
            "no Dask scheduler answers at this address",
            value=cluster,
            expected="a scheduler, started with `dask scheduler`",
            hint=f"check host, port and firewall: {str(error).splitlines()[0][:120]}",
        ) from error
    with client:
        yield client


def _memory(memory: str | int | None, workers: int) -> str | int | float:
    """The limit of a worker.

    Raises:
        ConfigError: it is no amount of memory.
    """
    from dask.utils import parse_bytes

    if memory is None:
        from distributed.system import MEMORY_LIMIT

        return int(MEMORY_LIMIT // workers)
    try:
        found = int(parse_bytes(memory))
    except (ValueError, TypeError) as error:
        raise ConfigError("the memory of a worker cannot be read", value=memory, expected="for example 2GB or 512MiB") from error
    if found < 1:
        raise ConfigError("a worker needs memory", value=memory, expected="for example 2GB")
    return found


def _unusable(value: object) -> ConfigError:
    return ConfigError(
        "there is no such cluster",
        where="cluster",
        value=value if isinstance(value, str) else type(value).__name__,
        expected="none, local:4, tcp://HOST:8786, or a distributed.Client",
    )


def _check_workers(client: Client) -> None:
    """At least one worker, and pointline on each. One that is starting, or was killed and starts again, is waited for.

    Raises:
        ClusterError: there is none within `FIRST_WORKER_S`, or one cannot load pointline.
    """
    last_s = time.monotonic() + FIRST_WORKER_S
    found: dict[str, object] = {}
    with _cluster_errors():
        while not found:
            _wait_for_worker(client, last_s - time.monotonic())
            answers = client.run(_loads_pointline, on_error="return")
            found = {address: told for address, told in answers.items() if not isinstance(told, OSError)}  # that is one that died meanwhile
    bad = {address: told for address, told in found.items() if told is not True}
    if bad:
        address, told = next(iter(sorted(bad.items())))
        raise ClusterError(
            "a worker cannot load pointline", where=address, value=str(told)[:200], hint='pip install "pointline[scale]" on every worker'
        )


def _wait_for_worker(client: Client, seconds: float) -> None:
    """Returns once there is a worker.

    The scheduler is asked. `Client.scheduler_info` may be without workers though there are some: every two seconds Dask's own thread puts
    an answer without them into its place, also between the question and the return.

    Raises:
        ClusterError: there is none within so many seconds.
    """
    from distributed.exceptions import WorkerStartTimeoutError

    try:
        client.wait_for_workers(1, timeout=max(seconds, MOMENT_S))
    except WorkerStartTimeoutError as error:
        raise ClusterError(
            "the cluster has no workers", value=f"none within {FIRST_WORKER_S:.0f} s", hint="start some with `dask worker ADDRESS`"
        ) from error


def check_each(client: Client, check: Callable[[_Terms], None], terms: _Terms) -> None:
    """Lets every worker check that it fits.

    Raises:
        ClusterError: one does not.
    """
    with _cluster_errors():
        found = client.run(check, terms, on_error="return")
    for address, told in sorted(found.items()):
        if isinstance(told, PointlineError):
            raise told
        if told is not None:
            raise ClusterError("a worker does not fit", where=address, value=f"{type(told).__name__}: {told}"[:200])


def _loads_pointline() -> bool:
    return True


class Call(Protocol):
    """What can be sent: a small description that can be pickled."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def key(self) -> str:
        """What tells it from others."""
        ...


_Call = TypeVar("_Call", bound=Call)
_Record = TypeVar("_Record")
_Terms = TypeVar("_Terms")


def sent(
    client: Client, calls: Iterable[_Call], work: Callable[[_Call], _Record], *, at_most: int | None = None
) -> Generator[_Record | TaskFailure]:
    """The records of calls as they come, with one call under way per thread of the workers.

    Dask gives calls that wait to workers too, and counts a worker's death against each of them. So none waits there: the next one goes out
    when a record comes in, which takes milliseconds where tasks take seconds.

    Args:
        client: of a cluster.
        calls: what is sent; each is asked for when it is sent.
        work: what a worker does with one.
        at_most: how many are under way at a time; None for as many as the workers have threads.

    Raises:
        ClusterError: the cluster ends before the work does, or does not fit.
    """
    run = uuid.uuid4().hex[:8]  # an earlier run of the same tasks may still be known to the scheduler
    waiting = iter(calls)
    out: dict[str, tuple[Any, _Call]] = {}
    done: queue.SimpleQueue[str] = queue.SimpleQueue()

    def room() -> int:
        return threads_of(client) if at_most is None else min(at_most, threads_of(client))

    def send(count: int) -> None:
        for call in islice(waiting, max(0, count)):
            key = f"{call.name}-{call.key}-{run}"
            future = client.submit(work, call, key=key, pure=False)
            out[key] = future, call
            future.add_done_callback(lambda ended: done.put(ended.key))

    with _cluster_errors():
        send(room())
        try:
            while out:
                future, call = out.pop(_next(done, client))
                found = _outcome(future, call)
                del future  # else the call is made again where its worker dies while the record is looked at
                send(room() - len(out))  # workers come and go
                yield found
        finally:
            with contextlib.suppress(Exception):
                client.cancel([future for future, _ in out.values()], force=True)


def threads_of(client: Client) -> int:
    """Threads of all workers, at least one: those of a cluster may be away."""
    return max(1, int(sum(client.nthreads().values())))


def _next(done: queue.SimpleQueue[str], client: Client) -> str:
    """The key of the next call that ended.

    Raises:
        ClusterError: nothing ends, and there has been no worker for `WORKERLESS_S`.
    """
    without_s = 0.0
    while True:
        try:
            return done.get(timeout=LOOK_S)
        except queue.Empty:
            without_s = 0.0 if client.nthreads() else without_s + LOOK_S
        if without_s >= WORKERLESS_S:
            raise ClusterError(
                "the cluster has lost all of its workers",
                value=f"none for {without_s:.0f} s",
                hint="start workers and run the same command: it goes on where it stopped",
            )


def _outcome(future: Any, call: Call) -> Any:  # noqa: ANN401 - Dask's futures are not typed
    """What became of a call.

    Raises:
        ClusterError: what keeps every other task from being done too.
    """
    from distributed import KilledWorker

    if future.status == "cancelled":
        raise _ended()
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, KilledWorker):
        return TaskFailure(call.name, _killed(error, call), getattr(call, "path", ""))
    if isinstance(error, ClusterError) or not isinstance(error, PointlineError):
        raise error
    return TaskFailure(call.name, error, getattr(call, "path", ""))


def _killed(error: Any, call: Call) -> ClusterError:  # noqa: ANN401 - Dask's errors are not typed
    limit = getattr(error.last_worker, "memory_limit", 0)
    count = error.allowed_failures + 1
    died = "a worker died while it ran the task" if count == 1 else f"{count} workers died while they ran the task"
    return ClusterError(
        f"{died}, memory limit {limit / 1e9:.2f} GB" if limit else died,
        where=call.name,
        value=f"the last was {error.last_worker.address}",
        hint="give workers more memory (--memory 4GB), or tasks fewer days (--days-per-task 1); the same command goes on",
    )


def trouble_of(error: Exception) -> PointlineError:
    """Why work went on without workers."""
    return (
        error if isinstance(error, PointlineError) else ClusterError("the cluster failed", value=f"{type(error).__name__}: {error}"[:200])
    )


def _ended() -> ClusterError:
    return ClusterError(
        "the cluster ended before the work did: the scheduler is gone, or was restarted",
        hint="start it again and run the same command: it goes on where it stopped",
    )


@contextlib.contextmanager
def _cluster_errors() -> Iterator[None]:
    """Dask's errors of a lost scheduler as ours.

    Raises:
        ClusterError: the scheduler does not answer any more.
    """
    from distributed import CancelledError
    from distributed.comm.core import CommClosedError

    try:
        yield
    except PointlineError:
        raise
    except (CancelledError, CommClosedError, OSError, TimeoutError) as error:
        raise _ended() from error
