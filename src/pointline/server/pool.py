"""The processes that run queries: started before they are needed, watched from outside, replaced when they end or grow."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
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
from pointline.server.worker import MEMORY_BESIDE_QUERIES_MB, Post
from pointline.sql.guard.codes import RefusedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from pointline.server.config import ServerConfig
    from pointline.sql.guard.limits import Limits

_log = logging.getLogger("pointline.serve")

_START_S = 60.0
_GRACE_S = 3.0  # that a query may take beyond its time, because the engine looks at the clock between blocks only
_PIPE_BYTES = 1 << 20
_LOOK_S = 0.05  # between attempts to read what somebody else waits for
_REMEMBERED_TURNS = 1_000
_SPOOL_BYTES = 8 << 20  # results up to this are taken off the worker at once, however slow the client is


class WorkerLostError(PointlineError, RuntimeError):
    """A worker ended, or could not be started."""


class WorkerProcess:
    """One worker as seen from outside."""

    def __init__(self, process: asyncio.subprocess.Process, generation: int) -> None:
        self._process = process
        self.generation = generation
        self.version = ""
        self.queries = 0
        self._first_mb = (0.0, 0.0)
        self._echo = asyncio.create_task(self._log_errors())

    @classmethod
    async def start(cls, post: Post, generation: int) -> WorkerProcess:
        """Starts a worker and waits until it takes jobs.

        Raises:
            WorkerLostError: it did not come up, with what it said.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "pointline.server.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=post.folder,
            env=clean_environment(),
            limit=_PIPE_BYTES,
        )
        worker = cls(process, generation)
        try:
            async with asyncio.timeout(_START_S):
                worker._write(post.encoded())
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
        (space, held), (first_space, first_held) = self._memory_mb(), self._first_mb
        return space - first_space, held - first_held

    def _memory_mb(self) -> tuple[float, float]:
        """Address space and memory in megabytes; zeros where the system does not say."""
        try:
            pages = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[:2]
        except OSError:
            return 0.0, 0.0
        space, held = (int(count) * resource.getpagesize() / 1e6 for count in pages)
        return space, held

    async def ask(self, job: Job) -> Answer:
        """Gives the worker a job and waits for what it says before the result's bytes.

        Raises:
            RefusedError: the query may not run or failed.
            WorkerLostError: the process ended.
        """
        self.queries += 1
        self._write(job.encoded())
        kind, payload = await self._frame()
        said = json.loads(payload)
        if kind == channel.REFUSED:
            raise RefusedError(said["name"], said["message"], code=said["code"], status=said["status"])
        return Answer(**said)

    async def data(self) -> AsyncIterator[bytes]:
        """The result's bytes."""
        while True:
            kind, payload = await self._frame()
            if kind == channel.DATA:
                yield payload
            elif kind == channel.END:
                return
            else:
                said = json.loads(payload)
                raise RefusedError(said["name"], said["message"], code=said["code"], status=said["status"])

    def kill(self) -> None:
        """Ends the process, whatever it does."""
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def gone(self) -> None:
        """Waits until the process is gone; what it had written and nobody took is dropped."""
        assert self._process.stdout is not None  # noqa: S101 - it was asked for
        ending = asyncio.ensure_future(self._process.wait())  # ends after the pipes have, and a full pipe is not looked at
        while not ending.done():
            try:
                if not await self._process.stdout.read(_PIPE_BYTES):
                    break
            except RuntimeError:  # somebody waits for it already
                await asyncio.sleep(_LOOK_S)
        await ending
        with contextlib.suppress(asyncio.CancelledError):
            await self._echo

    def _write(self, payload: bytes) -> None:
        assert self._process.stdin is not None  # noqa: S101 - it was asked for
        try:
            self._process.stdin.write(channel.HEAD.pack(b"J", len(payload)) + payload)
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


def clean_environment() -> dict[str, str]:
    """The environment of a worker: where Python finds its modules, whatever the working directory, and nothing that could be a secret."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONHOME", "LD_LIBRARY_PATH", "VIRTUAL_ENV") if name in os.environ}
    modules = [str(Path(entry).absolute()) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    return {
        **kept,
        **({"PYTHONPATH": os.pathsep.join(modules)} if modules else {}),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONSAFEPATH": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


@dataclass(frozen=True)
class Party:
    """Who shares the workers with others.

    Attributes:
        name: of a user, or an address where there are no users.
        may_hold_all: whether all workers may be held at a time.
    """

    name: str
    may_hold_all: bool = False


@dataclass
class Reply:
    """An answer whose bytes come later.

    Attributes:
        answer: what the worker said first.
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
        place: makes a folder for a worker of the newest catalogue and says where it works; told the folder's number.
        leave: removes such a folder.
    """

    def __init__(self, config: ServerConfig, place: Callable[[], Awaitable[tuple[Post, int]]], leave: Callable[[Post], None]) -> None:
        self._config = config
        self._place = place
        self._leave = leave
        self._idle: deque[WorkerProcess] = deque()
        self._all: dict[WorkerProcess, Post] = {}
        self._leaving: set[WorkerProcess] = set()
        self._queue: list[tuple[Party, asyncio.Future[WorkerProcess]]] = []
        self._running: Counter[str] = Counter()
        self._asked: Counter[str] = Counter()
        self._turns: dict[str, int] = {}  # of those who had a worker last: when, oldest first
        self._turn_numbers = count(1)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing = False
        self._starting = 0
        self.generation = 0
        self.version = ""

    async def open(self) -> None:
        """Starts all workers.

        Raises:
            WorkerLostError: one did not come up.
        """
        for worker in await asyncio.gather(*(self._start() for _ in range(self._config.workers))):
            self._put(worker)

    def share_of(self, party: Party) -> int:
        """Workers that a party may hold at a time: all but one, so that one is left for others, and at least one."""
        return self._config.workers if party.may_hold_all else max(1, self._config.workers - 1)

    async def close(self) -> None:
        """Ends all workers; queries that wait are told so."""
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
        """Puts workers of the newest catalogue in the place of the others, one by one: each leaves when another can work, a busy one later.

        Raises:
            WorkerLostError: one did not come up; the others stay, and another call goes on.
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
        if worker in self._idle:  # a busy one leaves when it is taken back
            self._idle.remove(worker)
            self._replace(worker)

    @contextlib.asynccontextmanager
    async def run(self, party: Party, job: Job, limits: Limits) -> AsyncIterator[Reply]:
        """Runs a job on the next worker that is free for its party. Leaving the context before all bytes were taken stops the query.

        Raises:
            RefusedError: the queue is full, the party has too many queries, the query may not run, failed or took too long.
        """
        if self._asked[party.name] >= limits.queries:
            raise RefusedError(
                "TOO_MANY_SIMULTANEOUS_QUERIES", f"{party.name} has {limits.queries} queries already, which is the limit", status=429
            )
        self._asked[party.name] += 1
        try:
            began = time.perf_counter()
            worker = await self._next(party)
            held = _Hold(self, worker, party)
            waited_s = time.perf_counter() - began
            try:
                answer = await self._answer(held, job, limits.time_s)
                spool = _Spool(worker, held.release)
                try:
                    size = await spool.size()
                    yield Reply(answer, spool.chunks(), waited_s, size=size, generation=worker.generation)
                finally:
                    await spool.stop()
            finally:
                held.release(usable=False)
        finally:
            self._asked[party.name] -= 1
            if not self._asked[party.name]:
                del self._asked[party.name]

    async def _answer(self, held: _Hold, job: Job, time_s: float) -> Answer:
        try:
            async with asyncio.timeout(time_s + _GRACE_S):
                return await held.worker.ask(job)
        except TimeoutError:
            raise RefusedError("TIMEOUT_EXCEEDED", f"the query took longer than {time_s:g} s and was stopped") from None
        except RefusedError:
            held.release(usable=True)
            raise
        except WorkerLostError:
            raise _lost() from None

    async def _next(self, party: Party) -> WorkerProcess:
        """A worker for the party, which is charged with it until `take_back`."""
        turn: asyncio.Future[WorkerProcess] = asyncio.get_running_loop().create_future()
        self._queue.append((party, turn))
        self._hand_out()
        if not turn.done() and len(self._queue) > self._config.waiting:
            self._queue.remove((party, turn))
            raise RefusedError("TOO_MANY_SIMULTANEOUS_QUERIES", "all workers are busy and the queue is full: try again in a moment")
        try:
            async with asyncio.timeout(self._config.wait_s):
                return await turn
        except BaseException as error:
            if (party, turn) in self._queue:
                self._queue.remove((party, turn))
            elif turn.done() and not turn.cancelled() and turn.exception() is None:
                self._discharge(party)
                self._put(turn.result())  # it came in the moment in which the asker gave up
            if isinstance(error, TimeoutError):
                said = f"no worker was free within {self._config.wait_s:g} s: try again in a moment"
                raise RefusedError("TOO_MANY_SIMULTANEOUS_QUERIES", said) from None
            raise

    def take_back(self, worker: WorkerProcess, party: Party, *, usable: bool) -> None:
        """Makes a worker free again, or puts a fresh one in its place where it cannot be used any more.

        A party whose query was a worker's last one is charged with it until the fresh one is there.
        """
        space_mb, held_mb = worker.grown_mb()
        # What the next query may use must still be there, below the limit that `worker` has set for its address space.
        room_mb = self._all[worker].memory_mb + MEMORY_BESIDE_QUERIES_MB / 2 if worker in self._all else 0.0
        worn = worker.queries >= self._config.worker_queries or held_mb > self._config.worker_growth_mb or space_mb > room_mb
        if usable and worker.is_alive and worker not in self._leaving and not worn and not self._closing:
            self._discharge(party)
            self._put(worker)
            return
        if worn:
            _log.info("worker %d is replaced after %d queries, %.0f MB larger", worker.pid, worker.queries, held_mb)
        self._replace(worker, party)

    def _discharge(self, party: Party) -> None:
        self._running[party.name] -= 1
        self._running += Counter()  # drops zeros

    def _put(self, worker: WorkerProcess) -> None:
        self._idle.append(worker)
        self._hand_out()

    def _hand_out(self) -> None:
        """Gives free workers to those who wait: first to who runs fewest queries, of equals to whose last turn is longest ago."""
        while self._idle and not self._closing:
            waiting = [(party, turn) for party, turn in self._queue if not turn.done() and self._running[party.name] < self.share_of(party)]
            if not waiting:
                return
            worker = self._idle.popleft()
            if not worker.is_alive:
                self._replace(worker)
                continue
            party, turn = min(waiting, key=lambda one: (self._running[one[0].name], self._turns.get(one[0].name, 0)))
            self._queue.remove((party, turn))
            self._running[party.name] += 1
            self._turns.pop(party.name, None)
            self._turns[party.name] = next(self._turn_numbers)
            if len(self._turns) > _REMEMBERED_TURNS:
                del self._turns[next(iter(self._turns))]
            turn.set_result(worker)

    def _replace(self, worker: WorkerProcess, charged: Party | None = None) -> None:
        self._leaving.add(worker)
        worker.kill()
        task = asyncio.create_task(self._replaced(worker))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if charged is not None:
            task.add_done_callback(partial(self._replaced_for, charged))

    def _replaced_for(self, party: Party, _: asyncio.Task[None]) -> None:
        self._discharge(party)
        self._hand_out()

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
            post, generation = await self._place()
            try:
                worker = await WorkerProcess.start(post, generation)
            except BaseException:
                self._leave(post)
                raise
        finally:
            self._starting -= 1
        self._all[worker] = post
        self.version = worker.version
        return worker

    def _forget(self, worker: WorkerProcess) -> None:
        self._leaving.discard(worker)
        post = self._all.pop(worker, None)
        if post is not None:
            self._leave(post)


class _Hold:
    """A worker that belongs to one query, until it is given back once."""

    def __init__(self, pool: Pool, worker: WorkerProcess, party: Party) -> None:
        self.worker = worker
        self._party = party
        self._pool: Pool | None = pool

    def release(self, *, usable: bool) -> None:
        """Gives it back; later calls change nothing."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.take_back(self.worker, self._party, usable=usable)


class _Spool:
    """Takes a result off its worker, up to `_SPOOL_BYTES` ahead of the client, and frees the worker as soon as it has all."""

    def __init__(self, worker: WorkerProcess, release: Callable[..., None]) -> None:
        self._worker = worker
        self._release = release
        self._parts: deque[bytes] = deque()
        self._held = 0
        self._changed = asyncio.Condition()
        self._error: Exception | None = None
        self._ended = False
        self._pump = asyncio.create_task(self._fill())

    async def _fill(self) -> None:
        try:
            async for part in self._worker.data():
                async with self._changed:
                    await self._changed.wait_for(lambda: self._held < _SPOOL_BYTES)
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
        """Number of all bytes, or None for a result that is larger than what is taken ahead.

        Raises:
            RefusedError: the result ended before its end.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._ended or self._held >= _SPOOL_BYTES)
        if isinstance(self._error, WorkerLostError):
            raise _lost()
        if self._error is not None:
            raise self._error
        return self._held if self._ended else None

    async def chunks(self) -> AsyncIterator[bytes]:
        """The parts in order.

        Raises:
            RefusedError, WorkerLostError: the result ended before its end.
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
        """Stops taking."""
        self._pump.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._pump


def _lost() -> RefusedError:
    said = "the process that ran this query ended (most likely it took more memory than there is); other queries go on"
    return RefusedError("ABORTED", said)


def job_limits(limits: Limits) -> dict[str, Any]:
    """Limits as a job carries them."""
    return asdict(limits)
