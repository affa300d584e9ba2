"""How a server fetches files for its statements: one thread each, a bounded number of them, and one clear error for each fault."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.machine import until

from pointline.errors import ConfigError, DamageError, LakeError
from pointline.lake.threads import check_wanted
from pointline.server import channel
from pointline.server.channel import Answer, Job
from pointline.server.fetches import Fetches
from pointline.server.pool import WorkerLostError, WorkerProcess
from pointline.server.worker import WorkerSetup
from pointline.sql.guard.codes import RefusedError
from pointline.sql.guard.reads import Read

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

SETUP = WorkerSetup("", "", "", [], 1)
READS = [Read("trade", frozenset({"binance"}))]
ANSWER = Answer("TabSeparated", 1, 1, 1, 0.0, ["trade"])


class Holding:
    """Holds files until the end of each context, as a catalogue does; what is not here waits until `arrived` is set."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.here = False
        self.held = 0
        self.ended = 0

    @contextlib.contextmanager
    def __call__(self, setup: WorkerSetup, reads: Sequence[Read], stop: threading.Event) -> Iterator[None]:
        assert (setup, reads) == (SETUP, READS)
        if not self.here:
            check_wanted(stop)
            self.arrived.wait()
        self.held += 1
        try:
            yield
        finally:
            self.held -= 1
            self.ended += 1


def test_files_are_held_within_the_context() -> None:
    holding = Holding()
    holding.here = True

    async def use() -> None:
        fetches = Fetches(holding, 1)
        async with fetches.held(SETUP, READS, 60), fetches.held(SETUP, READS, 60):
            assert holding.held == 2

    asyncio.run(use())
    until(lambda: holding.ended == 2)
    assert holding.held == 0


def test_while_the_store_owes_answers_only_files_that_are_here_are_held() -> None:
    holding = Holding()
    fetches = Fetches(holding, 1)

    async def once(time_s: float = 60) -> str:
        try:
            async with fetches.held(SETUP, READS, time_s):
                assert holding.held == 1
                return "held"
        except RefusedError as refusal:
            return refusal.name

    async def left() -> None:
        task = asyncio.create_task(once())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    for late in (lambda: asyncio.run(once(0.01)), lambda: asyncio.run(left())):
        assert late() in {"TIMEOUT_EXCEEDED", None}
        assert asyncio.run(once()) == "S3_ERROR"
        holding.here = True
        assert asyncio.run(once()) == "held"
        until(lambda: holding.held == 0)
        holding.here = False
        before = holding.ended
        holding.arrived.set()
        until(lambda n=before: holding.ended > n and holding.held == 0)  # type: ignore[misc]
        assert asyncio.run(once()) == "held"
        until(lambda: holding.held == 0)
        holding.arrived.clear()


ERRORS: list[tuple[Exception, str, int, str]] = [
    (LakeError("the store cannot be reached", where="s3://secret/place"), "S3_ERROR", 503, "cannot be read at the moment"),
    (ConfigError("there are no credentials for the store"), "S3_ERROR", 503, "cannot be read at the moment"),
    (OSError(28, "No space left on device"), "S3_ERROR", 503, "cannot be read at the moment"),
    (DamageError("a data file of the lake is missing", where="s3://secret/place"), "FILE_DOESNT_EXIST", 500, "pointline repair"),
    (
        ConfigError("more than the mirror may hold", where="POINTLINE_MIRROR_BYTES", value="10 bytes", expected="at least 20"),
        "TOO_MANY_ROWS_OR_BYTES",
        400,
        "need at least 20, and the server keeps 10 bytes (POINTLINE_MIRROR_BYTES)",
    ),
]


@pytest.mark.parametrize(("error", "name", "status", "says"), ERRORS)
def test_a_fault_is_one_refusal_that_names_no_place(error: Exception, name: str, status: int, says: str) -> None:
    @contextlib.contextmanager
    def failing(*_: object) -> Iterator[None]:
        raise error
        yield

    async def use() -> None:
        async with Fetches(failing, 1).held(SETUP, READS, 60):
            pytest.fail("nothing was fetched")

    with pytest.raises(RefusedError) as refused:
        asyncio.run(use())
    assert (refused.value.name, refused.value.status) == (name, status)
    assert says in refused.value.what
    assert "secret" not in refused.value.what


class Pipes:
    """A process that sends these frames, and takes what it is sent."""

    pid, returncode = 0, None

    def __init__(self, *frames: tuple[bytes, bytes]) -> None:
        self.stdout, self.stderr = asyncio.StreamReader(), asyncio.StreamReader()
        self.stdin = self
        self.sent: list[tuple[bytes, Any]] = []
        for kind, payload in frames:
            self.stdout.feed_data(channel.HEAD.pack(kind, len(payload)) + payload)
        self.stdout.feed_eof()
        self.stderr.feed_eof()

    def write(self, data: bytes) -> None:
        """Takes a frame."""
        kind, _ = channel.HEAD.unpack(data[: channel.HEAD.size])
        self.sent.append((kind, json.loads(data[channel.HEAD.size :])))


def frame(kind: bytes, value: object) -> tuple[bytes, bytes]:
    return kind, json.dumps(value).encode()


def asked(*frames: tuple[bytes, bytes], refusal: RefusedError | None = None) -> tuple[Answer, list[tuple[bytes, Any]], list[Any]]:
    """What the server makes of a worker's frames, what it sends it, and what it fetches."""
    fetched: list[Any] = []

    @contextlib.asynccontextmanager
    async def hold(reads: Sequence[Read], time_s: float) -> AsyncIterator[None]:
        fetched.append((list(reads), time_s))
        if refusal is not None:
            raise refusal
        yield

    async def use() -> tuple[Answer, list[tuple[bytes, Any]]]:
        pipes = Pipes(*frames)
        worker = WorkerProcess(cast("Any", pipes), 1, hold)
        return await worker.ask(Job("SELECT 1")), pipes.sent[1:]

    return *asyncio.run(use()), fetched


NEEDED = frame(channel.NEEDED, {"reads": [READS[0].as_json()], "time_s": 5.5})
GIVEN = frame(channel.ANSWER, vars(ANSWER))


def test_a_worker_goes_on_when_its_files_are_there() -> None:
    assert asked(NEEDED, GIVEN) == (ANSWER, [(channel.FETCHED, {})], [(READS, 5.5)])


def test_a_worker_is_told_why_it_gets_no_files() -> None:
    """So that it takes the next statement."""
    why = RefusedError("S3_ERROR", "not now")
    with pytest.raises(RefusedError, match="not now"):
        asked(NEEDED, frame(channel.REFUSED, why.as_json()), refusal=why)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"reads": [{"relation": "trade"}], "time_s": 1},
        {"reads": ["/etc/passwd"], "time_s": 1},
        {"reads": [], "time_s": -1},
        {"reads": [], "time_s": float("nan")},
        {"reads": [], "time_s": float("inf")},
        [],
    ],
)
def test_a_worker_that_asks_for_something_else_is_not_used_again(wrong: object) -> None:
    with pytest.raises(WorkerLostError):
        asked(frame(channel.NEEDED, wrong), GIVEN)


def test_a_worker_asks_once_for_a_statement() -> None:
    with pytest.raises(WorkerLostError, match="out of turn"):
        asked(NEEDED, NEEDED, GIVEN)
