"""A process that runs queries, one after another, confined by `pointline.server.sandbox`.

It is started as ``python -m pointline.server.worker``, reads a `WorkerSetup` and then jobs from standard input, and writes frames to
standard output. The order makes it safe: imports first, then the sandbox, then the engine's threads, then no more writing, and only then
the first query.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pointline.errors import DamageError, PointlineError
from pointline.server import channel, sandbox
from pointline.server.channel import Answer, Job
from pointline.server.encoding import REVISION_WITH_SERIALIZATION, compressed, native_blocks
from pointline.server.loading import end_imports, load_engine
from pointline.sql import arrow_output
from pointline.sql.coarse_candles import CoarseCandles
from pointline.sql.files import check_files, files_behind
from pointline.sql.guard.checker import StatementChecker
from pointline.sql.guard.codes import RefusedError, from_engine
from pointline.sql.guard.formats import FORMATS
from pointline.sql.guard.limits import QueryLimits
from pointline.sql.guard.settings import MEANING, for_engine
from pointline.sql.guard.tree_check import DATABASE
from pointline.sql.messages import hint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pointline.sql.guard.reads import Read

    Fetch = Callable[[Sequence[Read], float], None]

_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_GUARD_REFUSALS = frozenset({"ACCESS_DENIED", "READONLY"})  # their texts name what is allowed
MEMORY_BESIDE_QUERIES_MB = 1_000
MISSING = "a data file of the lake is missing; its owner repairs it with `pointline repair`"


@dataclass(frozen=True)
class WorkerSetup:
    """What a worker is started with.

    Attributes:
        catalogue: the worker's own copy of the engine's catalogue.
        config: the engine's configuration file.
        folder: working directory, and the worker's own.
        read: files and folders that the engine reads, and nothing else: data files of the served tables, links to them, its configuration.
        memory_mb: what a query may use at most.
        confined: whether the process confines itself.
        time_columns: relation -> columns of time, of those that are not read whole.
        fetched: whether the server fetches the files that a statement reads before it runs.
    """

    catalogue: str
    config: str
    folder: str
    read: list[str]
    memory_mb: int
    confined: bool = True
    time_columns: dict[str, list[str]] = field(default_factory=dict)
    fetched: bool = False

    def encoded(self) -> bytes:
        """As a frame's bytes."""
        return json.dumps(asdict(self)).encode()


class QueryRunner:
    """The engine in this process, which checks statements and runs them."""

    def __init__(
        self,
        setup: WorkerSetup,
        session: Any,  # noqa: ANN401 - chdb has no types
        files: Sequence[str],
        coarse: CoarseCandles,
        fetch: Fetch | None,
    ) -> None:
        self._open = session
        self._address = f"{setup.catalogue}?config-file={quote(setup.config, safe='/')}&database={DATABASE}"
        self._first = self._open(self._address)  # the engine lives as long as one session does
        self._statements = StatementChecker(session, self._address, setup.time_columns, coarse)
        self._files = files
        self._fetch = fetch

    def _check_files(self) -> None:
        """The engine would skip a link without a target and say nothing.

        Raises:
            RefusedError: a data file of the lake is gone.
        """
        try:
            check_files(self._files)
        except DamageError:
            raise RefusedError("FILE_DOESNT_EXIST", MISSING) from None

    @property
    def version(self) -> str:
        """The engine's version."""
        return self._statements.version

    def run(self, job: Job) -> tuple[Answer, Iterator[bytes | memoryview]]:
        """Runs a job and gives its answer and its bytes, compressed as the job says.

        Raises:
            RefusedError: the statement may not run, or the engine stopped it; with what to write instead where that is known.
        """
        try:
            return self._run(job)
        except RefusedError as refusal:
            advice = None if refusal.name in _GUARD_REFUSALS else hint(refusal.name, refusal.what, job.text)
            if advice is None:
                raise
            raise RefusedError(refusal.name, f"{refusal.what.rstrip('.')}: {advice}", code=refusal.code, status=refusal.status) from None

    def _run(self, job: Job) -> tuple[Answer, Iterator[bytes | memoryview]]:
        limits = QueryLimits(**job.limits)
        meaning = {name: value for name, value in job.settings.items() if name in MEANING}
        statement = self._statements.check(job.text, job.parameters, settings=for_engine(meaning, limits), user=job.user or "default")
        self._check_files()
        settings = for_engine({**job.settings, **statement.settings}, limits)
        output_format = statement.output_format or job.default_format
        if output_format not in FORMATS:
            raise RefusedError("UNKNOWN_FORMAT", f"the format {output_format!r} is not served; what is: {', '.join(sorted(FORMATS))}")
        if output_format == "ORC":
            self._statements.check_orc(statement.text, job.parameters, settings=settings)
        if self._fetch is not None and statement.reads:
            settings["max_execution_time"] = _left_s(self._fetch, statement.reads, settings["max_execution_time"])
        given = "".join(f"&{name}={quote(value, safe='')}" for name, value in settings.items())
        as_blocks = output_format == "Native" and job.revision >= REVISION_WITH_SERIALIZATION
        try:
            session = self._open(self._address + given)
            try:
                result = session.query(statement.text, "Buffers" if as_blocks else output_format, params=job.parameters)
                columns = self._columns(session, statement.text, job) if as_blocks else []
            finally:
                session.close()
        except RuntimeError as error:
            raise from_engine(str(error)) from None
        most = int(settings["max_rows_to_read"])
        if result.storage_rows_read() > most:  # the engine keeps this limit for what it generates, and not inside views
            said = f"the query read {result.storage_rows_read():,} rows, and the limit is {most:,}: say which market and time"
            raise RefusedError("TOO_MANY_ROWS", said)
        view, notes = result.get_memview().view(), list(statement.notes)
        if output_format in arrow_output.FORMATS:
            view, losses = arrow_output.readable(view, output_format, settings)
            notes += losses
        if len(view) > limits.megabytes_returned * 1_000_000:
            raise RefusedError("TOO_MANY_ROWS_OR_BYTES", f"the result has {len(view):,} bytes, more than {limits.megabytes_returned} MB")
        answer = Answer(
            output_format,
            rows=result.rows_read(),
            rows_read=result.storage_rows_read(),
            bytes_read=result.storage_bytes_read(),
            elapsed_s=result.elapsed(),
            relations=list(statement.relations),
            notes=notes,
        )
        chunks: Iterable[bytes | memoryview] = native_blocks(view, columns) if as_blocks else _sliced(view)
        return answer, compressed(chunks, job.compression)

    @staticmethod
    def _columns(session: Any, text: str, job: Job) -> list[tuple[str, str]]:  # noqa: ANN401 - chdb has no types
        """Names and types of a result's columns."""
        if text.startswith(("SELECT", "WITH", "(")):
            described = session.query(f"DESCRIBE TABLE ({text})", "JSONCompact", params=job.parameters)
            return [(row[0], row[1]) for row in json.loads(described.bytes())["data"]]
        small = session.query(text, "JSONCompact", params=job.parameters)  # what describes, shows or explains
        return [(column["name"], column["type"]) for column in json.loads(small.bytes())["meta"]]


def _left_s(fetch: Fetch, reads: Sequence[Read], time_s: str) -> str:
    """Has the files of a statement fetched, and gives what is left of its seconds then."""
    began = time.perf_counter()
    fetch(reads, float(time_s))
    return f"{max(0.001, float(time_s) - (time.perf_counter() - began)):.3f}"


def _sliced(view: memoryview) -> Iterator[memoryview]:
    for start in range(0, len(view), channel.CHUNK_BYTES):
        yield view[start : start + channel.CHUNK_BYTES]


def ask_for_files(source: int, sink: int, reads: Sequence[Read], time_s: float) -> None:
    """Asks the server to fetch what a statement reads, and waits until the files are there.

    Raises:
        RefusedError: they cannot be had.
    """
    channel.send_json(sink, channel.NEEDED, {"reads": [read.as_json() for read in reads], "time_s": time_s})
    frame = channel.receive(source)
    if frame is None:
        sys.exit()  # the server has ended
    if frame[0] == channel.REFUSED:
        raise RefusedError(**json.loads(frame[1]))


def serve_jobs(runner: QueryRunner, source: int, sink: int) -> None:
    """Answers jobs until the pipe they come from ends."""
    while (frame := channel.receive(source)) is not None:
        _show("busy")
        job = Job(**json.loads(frame[1]))
        began = time.perf_counter()
        try:
            answer, chunks = runner.run(job)
            channel.send_json(sink, channel.ANSWER, asdict(answer))
            for chunk in chunks:
                for part in _sliced(memoryview(chunk)):
                    channel.send(sink, channel.DATA, part)
            channel.send_json(sink, channel.END, {"seconds": time.perf_counter() - began})
        except RefusedError as refusal:
            channel.send_json(sink, channel.REFUSED, refusal.as_json())
        _show("idle")


def _show(state: str) -> None:
    """Sets the process's name, for `ps` and `top`."""
    if sys.platform == "linux":
        _libc().prctl(_PR_SET_NAME, f"sql {state}".encode(), 0, 0, 0)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def main() -> None:
    """The process from start to end."""
    sink = os.dup(1)
    os.dup2(2, 1)  # what a library prints must not mix with the frames
    if sys.platform == "linux":
        _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends its workers
    frame = channel.receive(0)
    if frame is None:
        return
    setup = WorkerSetup(**json.loads(frame[1]))
    try:
        runner = _prepared(setup, partial(ask_for_files, 0, sink) if setup.fetched else None)
    except PointlineError as error:
        channel.send_json(sink, channel.REFUSED, {"message": str(error)})
        sys.exit(2)
    _show("idle")
    channel.send_json(sink, channel.READY, {"version": runner.version, "pid": os.getpid()})
    serve_jobs(runner, 0, sink)


def _prepared(setup: WorkerSetup, fetch: Fetch | None = None) -> QueryRunner:
    scratch = Path(setup.catalogue) / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    os.environ["TMPDIR"] = str(scratch)
    session = load_engine()
    os.chdir(setup.folder)
    files, coarse = files_behind(Path(setup.catalogue).parent), CoarseCandles.load(Path(setup.catalogue).parent)
    if not setup.confined:
        return QueryRunner(setup, session, files, coarse, fetch)
    with sandbox.open_statm() as statm:
        end_imports()
        sandbox.confine(sandbox.Permissions(read=tuple(map(Path, setup.read)), write=(Path(setup.catalogue),)))
        runner = QueryRunner(setup, session, files, coarse, fetch)
        sandbox.forbid_writing()
        sandbox.limit_memory((2 * setup.memory_mb + MEMORY_BESIDE_QUERIES_MB) * 1_000_000, statm)
    return runner


if __name__ == "__main__":
    main()
