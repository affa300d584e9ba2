"""The processes that run queries: started ahead of use, and replaced when they end or grow."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import resource
import sys
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointline.errors import PointlineError
from pointline.server import channel
from pointline.server.channel import Answer, Job
from pointline.server.environment import clean_environment
from pointline.server.worker import MEMORY_BESIDE_QUERIES_MB, WorkerSetup
from pointline.sql.guard.codes import RefusedError
from pointline.sql.guard.reads import Read

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from pointline.server.config import ServerConfig
    from pointline.sql.guard.limits import QueryLimits

    Hold = Callable[[Sequence[Read], float], AbstractAsyncContextManager[None]]

_log = logging.getLogger("pointline.serve")

_START_S = 60.0
_GRACE_S = 3.0  # that a query may take beyond its time: the engine checks the clock between blocks only
_PIPE_BYTES = 1 << 20
_RETRY_S = 0.05  # between attempts to read while another task reads
_MOST_REMEMBERED = 1_000
_BUFFER_BYTES = 8 << 20  # results up to this are read from the worker at once, however slow the client is


class WorkerLostError(PointlineError, RuntimeError):
    """A worker ended, or could not be started."""


class WorkerProcess:
    """The server's side of one worker process."""

    def __init__(self, process: asyncio.subprocess.Process, generation: int, hold: Hold | None) -> None:
        self._process = process
        self._hold = hold
        self.generation = generation
        self.version = ""
        self.queries = 0
        self._first_mb = (0.0, 0.0)
        self._error_log = asyncio.create_task(self._log_errors())

    @classmethod
    async def start(cls, setup: WorkerSetup, generation: int, hold: Hold | None = None) -> WorkerProcess:
        """Starts a worker and waits until it is ready for jobs.

        Args:
            setup: of the worker.
            generation: number of its catalogue.
            hold: fetches the files that a statement reads, and holds them; None where they are on this disk.

        Raises:
            WorkerLostError: it did not start; the value is its message.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "pointline.server.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=setup.folder,
            env=clean_environment(),
            limit=_PIPE_BYTES,
        )
        worker = cls(process, generation, hold)
        try:
            async with asyncio.timeout(_START_S):
                worker._write(setup.encoded())
                kind, payload = await worker._frame()
        except TimeoutError as error:
            worker.kill()
            raise WorkerLostError(f"a worker did not start within {_START_S:.0f} s") from error
        except BaseException:
            worker.kill()
            await worker.gone()
            raise
        said = json.loads(payload)
        if kind != channel.READY:
            worker.kill()
            raise WorkerLostError("a worker could not start", value=said.get("message"))
        worker.version = said["version"]
        worker._first_mb = worker._memory_mb()
        return worker

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.returncode is None

    def grown_mb(self) -> tuple[float, float]:
        """By how many megabytes the process's address space and its memory have grown since it took its first job."""
        (space, lease), (first_space, first_held) = self._memory_mb(), self._first_mb
        return space - first_space, lease - first_held

    def _memory_mb(self) -> tuple[float, float]:
        """Address space and memory in megabytes; zeros where the system does not say."""
        try:
            pages = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[:2]
        except OSError:
            return 0.0, 0.0
        space, lease = (int(count) * resource.getpagesize() / 1e6 for count in pages)
        return space, lease

    async def ask(self, job: Job) -> Answer:
        """Sends the worker a job and waits for its answer, which precedes the result's bytes.

        Raises:
            RefusedError: the query may not run or failed.
            WorkerLostError: the process ended.
        """
        self.queries += 1
        self._write(job.encoded())
        kind, payload = await self._frame()
        if kind == channel.NEEDED:
            kind, payload = await self._frame_with_files(payload)
        if kind not in {channel.ANSWER, channel.REFUSED}:
            raise WorkerLostError("the process that runs queries answered out of turn")
        said = json.loads(payload)
        if kind == channel.REFUSED:
            raise RefusedError(**said)
        return Answer(**said)

    async def _frame_with_files(self, payload: bytes) -> tuple[bytes, bytes]:
        """The frame after the one that names what a statement reads; the files are there until it comes."""
        try:
            asked = json.loads(payload)
            reads, time_s = [Read.of_json(read) for read in asked["reads"]], float(asked["time_s"])
            if self._hold is None or not 0 < time_s < math.inf:
                raise ValueError(time_s)  # noqa: TRY301 - what is no question is handled below
        except (ValueError, KeyError, TypeError) as error:
            raise WorkerLostError("the process that runs queries asked for what cannot be fetched") from error
        try:
            async with self._hold(reads, time_s):
                self._write(b"{}", channel.FETCHED)
                return await self._frame()
        except RefusedError as refusal:
            self._write(json.dumps(refusal.as_json()).encode(), channel.REFUSED)
            return await self._frame()

    async def data(self) -> AsyncIterator[bytes]:
        """The result's bytes."""
        while True:
            kind, payload = await self._frame()
            if kind == channel.DATA:
                yield payload
            elif kind == channel.END:
                return
            else:
                raise RefusedError(**json.loads(payload))

    def kill(self) -> None:
        """Kills the process."""
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def gone(self) -> None:
        """Waits until the process has ended; unread output is dropped."""
        assert self._process.stdout is not None  # noqa: S101 - it was asked for
        ending = asyncio.ensure_future(self._process.wait())  # it ends after the pipes do, and asyncio does not drain a full pipe
        while not ending.done():
            try:
                if not await self._process.stdout.read(_PIPE_BYTES):
                    break
            except RuntimeError:  # another task reads already
                await asyncio.sleep(_RETRY_S)
        await ending
        with contextlib.suppress(asyncio.CancelledError):
            await self._error_log

    def _write(self, payload: bytes, kind: bytes = b"J") -> None:
        assert self._process.stdin is not None  # noqa: S101 - it was asked for
        try:
            self._process.stdin.write(channel.HEAD.pack(kind, len(payload)) + payload)
        except (BrokenPipeError, ConnectionResetError, RuntimeError) as error:
            raise WorkerLostError("the process that runs queries ended") from error

    async def _frame(self) -> tuple[bytes, bytes]:
        assert self._process.stdout is not None  # noqa: S101 - it was asked for
        try:
            kind, size = channel.HEAD.unpack(await self._process.stdout.readexactly(channel.HEAD.size))
            return kind, await self._process.stdout.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionResetError) as error:
            raise WorkerLostError("the process that runs queries ended") from error

    async def _log_errors(self) -> None:
        assert self._process.stderr is not None  # noqa: S101 - it was asked for
        while line := await self._process.stderr.read(4096):
            _log.warning("worker %d: %s", self.pid, line.decode(errors="replace").strip()[:2000])


@dataclass(frozen=True)
class Requester:
    """Whose queries share the workers with those of others: a user or an address.

    Attributes:
        name: of a user, or an address where there are no users.
        may_hold_all: whether all workers may be lease at a time.
    """

    name: str
    may_hold_all: bool = False


@dataclass
class Reply:
    """An answer whose bytes come later.

    Attributes:
        answer: the worker's answer.
        chunks: the bytes; ends with an exception where the query failed after all.
        waited_s: seconds until a worker was free.
        size: number of the bytes, or None where it is not known yet because the result is large.
        generation: number of the catalogue that was asked.
    """

    answer: Answer
    chunks: AsyncIterator[bytes]
    waited_s: float
    size: int | None = None
    generation: int = 0


class Pool:
    """Workers and the queue before them.

    Args:
        config: how many of each.
        new_setup: makes the folder of a new worker; gives the worker's setup and the number of its catalogue.
        remove_setup: removes that folder.
        hold: fetches the files that a statement of a worker reads, as `pointline.server.fetches.Fetches.held`; None where they are on
            this disk.
    """

    def __init__(
        self,
        config: ServerConfig,
        new_setup: Callable[[], Awaitable[tuple[WorkerSetup, int]]],
        remove_setup: Callable[[WorkerSetup], None],
        hold: Callable[[WorkerSetup, Sequence[Read], float], AbstractAsyncContextManager[None]] | None = None,
    ) -> None:
        self._config = config
        self._new_setup = new_setup
        self._remove_setup = remove_setup
        self._hold = hold
        self._idle: deque[WorkerProcess] = deque()
        self._all: dict[WorkerProcess, WorkerSetup] = {}
        self._leaving: set[WorkerProcess] = set()
        self._queue: list[tuple[Requester, asyncio.Future[WorkerProcess]]] = []
        self._running: Counter[str] = Counter()
        self._asked: Counter[str] = Counter()
        self._last_served: dict[str, int] = {}  # requester -> number of its last assignment, oldest first
        self._assignments = count(1)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing = False
        self._starting = 0
        self.generation = 0
        self.version = ""

    async def open(self) -> None:
        """Starts all workers.

        Raises:
            WorkerLostError: one did not start.
        """
        for worker in await asyncio.gather(*(self._start() for _ in range(self._config.workers))):
            self._put(worker)

    def share_of(self, requester: Requester) -> int:
        """Workers that a requester may hold at a time: all but one, which is left for others, and at least one."""
        return self._config.workers if requester.may_hold_all else max(1, self._config.workers - 1)

    async def close(self) -> None:
        """Ends all workers; waiting queries are refused."""
        if self._closing:
            return
        self._closing = True
        for _, turn in self._queue:
            if not turn.done():
                turn.set_exception(RefusedError("ABORTED", "the server is stopping", status=503))
        for task in list(self._tasks):
            task.cancel()
        workers = list(self._all)
        for worker in workers:
            worker.kill()
        await asyncio.gather(*(worker.gone() for worker in workers), *self._tasks, return_exceptions=True)
        for worker in workers:
            self._forget(worker)

    async def renew(self) -> None:
        """Replaces the workers of older catalogues one by one: each ends when its successor has started, a busy one when its query is done.

        Raises:
            WorkerLostError: one did not start; the others stay, and another call continues.
        """
        while self._outdated() and not self._closing:
            self._put(await self._start())
            outdated = self._outdated()
            if outdated and len(self._all) - len(self._leaving) > self._config.workers:
                self._retire(next((worker for worker in outdated if worker in self._idle), outdated[0]))

    def _outdated(self) -> list[WorkerProcess]:
        return [worker for worker in self._all if worker.generation < self.generation and worker not in self._leaving]

    def _retire(self, worker: WorkerProcess) -> None:
        self._leaving.add(worker)
        if worker in self._idle:  # a busy one is replaced when it is taken back
            self._idle.remove(worker)
            self._replace(worker)

    @contextlib.asynccontextmanager
    async def run(self, requester: Requester, job: Job, limits: QueryLimits) -> AsyncIterator[Reply]:
        """Runs a job on the next worker that is free for its requester. Leaving the context before all bytes were taken stops the query.

        Raises:
            RefusedError: the queue is full, the requester has too many queries, the query may not run, failed or took too long.
        """
        if self._asked[requester.name] >= limits.queries:
            raise RefusedError(
                "TOO_MANY_SIMULTANEOUS_QUERIES", f"{requester.name} has {limits.queries} queries already, which is the limit", status=429
            )
        self._asked[requester.name] += 1
        try:
            began = time.perf_counter()
            worker = await self._next(requester)
            lease = _WorkerLease(self, worker, requester)
            waited_s = time.perf_counter() - began
            try:
                answer = await self._answer(lease, job, limits.time_s)
                buffer = _ResultBuffer(worker, lease.release)
                try:
                    size = await buffer.size()
                    yield Reply(answer, buffer.chunks(), waited_s, size=size, generation=worker.generation)
                finally:
                    await buffer.stop()
            finally:
                lease.release(usable=False)
        finally:
            self._asked[requester.name] -= 1
            if not self._asked[requester.name]:
                del self._asked[requester.name]

    async def _answer(self, lease: _WorkerLease, job: Job, time_s: float) -> Answer:
        try:
            async with asyncio.timeout(time_s + _GRACE_S):
                return await lease.worker.ask(job)
        except TimeoutError:
            raise RefusedError("TIMEOUT_EXCEEDED", f"the query took longer than {time_s:g} s and was stopped") from None
        except RefusedError:
            lease.release(usable=True)
            raise
        except WorkerLostError:
            raise _lost() from None

    async def _next(self, requester: Requester) -> WorkerProcess:
        """A worker for the requester; it counts as the requester's until `take_back`."""
        turn: asyncio.Future[WorkerProcess] = asyncio.get_running_loop().create_future()
        self._queue.append((requester, turn))
        self._assign_workers()
        if not turn.done() and len(self._queue) > self._config.waiting:
            self._queue.remove((requester, turn))
            raise RefusedError("TOO_MANY_SIMULTANEOUS_QUERIES", "all workers are busy and the queue is full: try again in a moment")
        try:
            async with asyncio.timeout(self._config.wait_s):
                return await turn
        except BaseException as error:
            if (requester, turn) in self._queue:
                self._queue.remove((requester, turn))
            elif turn.done() and not turn.cancelled() and turn.exception() is None:
                self._count_down(requester)
                self._put(turn.result())  # it was assigned in the moment in which the query gave up
            if isinstance(error, TimeoutError):
                said = f"no worker was free within {self._config.wait_s:g} s: try again in a moment"
                raise RefusedError("TOO_MANY_SIMULTANEOUS_QUERIES", said) from None
            raise

    def take_back(self, worker: WorkerProcess, requester: Requester, *, usable: bool) -> None:
        """Makes a worker free again, or replaces it where it cannot be used any more.

        A replaced worker counts as its last requester's until its successor has started.
        """
        space_mb, held_mb = worker.grown_mb()
        # What the next query may use must still be there, below the limit that `worker` has set for its address space.
        room_mb = self._all[worker].memory_mb + MEMORY_BESIDE_QUERIES_MB / 2 if worker in self._all else 0.0
        is_used_up = worker.queries >= self._config.worker_queries or held_mb > self._config.worker_growth_mb or space_mb > room_mb
        if usable and worker.is_alive and worker not in self._leaving and not is_used_up and not self._closing:
            self._count_down(requester)
            self._put(worker)
            return
        if is_used_up:
            _log.info("worker %d is replaced after %d queries, %.0f MB larger", worker.pid, worker.queries, held_mb)
        self._replace(worker, requester)

    def _count_down(self, requester: Requester) -> None:
        self._running[requester.name] -= 1
        self._running += Counter()  # drops zeros

    def _put(self, worker: WorkerProcess) -> None:
        self._idle.append(worker)
        self._assign_workers()

    def _assign_workers(self) -> None:
        """Assigns free workers to waiting queries: first the requester with the fewest running queries, then the one served longest ago."""
        while self._idle and not self._closing:
            waiting = [
                (requester, turn)
                for requester, turn in self._queue
                if not turn.done() and self._running[requester.name] < self.share_of(requester)
            ]
            if not waiting:
                return
            worker = self._idle.popleft()
            if not worker.is_alive:
                self._replace(worker)
                continue
            requester, turn = min(waiting, key=lambda one: (self._running[one[0].name], self._last_served.get(one[0].name, 0)))
            self._queue.remove((requester, turn))
            self._running[requester.name] += 1
            self._last_served.pop(requester.name, None)
            self._last_served[requester.name] = next(self._assignments)
            if len(self._last_served) > _MOST_REMEMBERED:
                del self._last_served[next(iter(self._last_served))]
            turn.set_result(worker)

    def _replace(self, worker: WorkerProcess, counted_for: Requester | None = None) -> None:
        self._leaving.add(worker)
        worker.kill()
        task = asyncio.create_task(self._replaced(worker))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if counted_for is not None:
            task.add_done_callback(partial(self._replaced_for, counted_for))

    def _replaced_for(self, requester: Requester, _: asyncio.Task[None]) -> None:
        self._count_down(requester)
        self._assign_workers()

    async def _replaced(self, worker: WorkerProcess) -> None:
        await worker.gone()
        self._forget(worker)
        pause_s = 0.1
        while not self._closing and len(self._all) + self._starting < self._config.workers:
            try:
                self._put(await self._start())
            except (PointlineError, OSError) as error:
                _log.error("a worker could not be started, next attempt in %.0f s: %s", pause_s, error)
                await asyncio.sleep(pause_s)
                pause_s = min(30.0, 2 * pause_s)
            else:
                return

    async def _start(self) -> WorkerProcess:
        self._starting += 1
        try:
            setup, generation = await self._new_setup()
            try:
                worker = await WorkerProcess.start(setup, generation, None if self._hold is None else partial(self._hold, setup))
            except BaseException:
                self._remove_setup(setup)
                raise
        finally:
            self._starting -= 1
        self._all[worker] = setup
        self.version = worker.version
        return worker

    def _forget(self, worker: WorkerProcess) -> None:
        self._leaving.discard(worker)
        setup = self._all.pop(worker, None)
        if setup is not None:
            self._remove_setup(setup)


class _WorkerLease:
    """A worker that one query uses until it releases it, once."""

    def __init__(self, pool: Pool, worker: WorkerProcess, requester: Requester) -> None:
        self.worker = worker
        self._party = requester
        self._pool: Pool | None = pool

    def release(self, *, usable: bool) -> None:
        """Gives the worker back; later calls change nothing."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.take_back(self.worker, self._party, usable=usable)


class _ResultBuffer:
    """Reads a result from its worker, up to `_BUFFER_BYTES` ahead of the client, and frees the worker after the last byte."""

    def __init__(self, worker: WorkerProcess, release: Callable[..., None]) -> None:
        self._worker = worker
        self._release = release
        self._parts: deque[bytes] = deque()
        self._held = 0
        self._changed = asyncio.Condition()
        self._error: Exception | None = None
        self._ended = False
        self._reading = asyncio.create_task(self._fill())

    async def _fill(self) -> None:
        try:
            async for part in self._worker.data():
                async with self._changed:
                    await self._changed.wait_for(lambda: self._held < _BUFFER_BYTES)
                    self._parts.append(part)
                    self._held += len(part)
                    self._changed.notify_all()
            self._release(usable=True)
        except (RefusedError, WorkerLostError) as error:
            self._error = error
        async with self._changed:
            self._ended = True
            self._changed.notify_all()

    async def size(self) -> int | None:
        """Number of all bytes, or None for a result that is larger than the buffer.

        Raises:
            RefusedError: the result is incomplete.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._ended or self._held >= _BUFFER_BYTES)
        if isinstance(self._error, WorkerLostError):
            raise _lost()
        if self._error is not None:
            raise self._error
        return self._held if self._ended else None

    async def chunks(self) -> AsyncIterator[bytes]:
        """The parts in order.

        Raises:
            RefusedError, WorkerLostError: the result is incomplete.
        """
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: bool(self._parts) or self._ended)
                if not self._parts:
                    break
                part = self._parts.popleft()
                self._held -= len(part)
                self._changed.notify_all()
            yield part
        if self._error is not None:
            raise self._error

    async def stop(self) -> None:
        """Stops reading."""
        self._reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reading


def _lost() -> RefusedError:
    said = "the process that ran this query ended (most likely it took more memory than there is); other queries go on"
    return RefusedError("ABORTED", said)


def job_limits(limits: QueryLimits) -> dict[str, Any]:
    """Limits as a job carries them."""
    return asdict(limits)
