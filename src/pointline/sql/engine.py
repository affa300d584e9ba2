"""The engine: ClickHouse in this process (chDB), opened on a catalogue, for statements that read.

chDB knows one catalogue per process. Several statements run in parallel, each in a session of its own: a session is opened in less than
a millisecond, and one that met an error may hand leftovers of it to the next result. A process that was forked after the engine was opened
would wait for ever, so it is refused; start workers with ``spawn`` and give each a copy of the catalogue.
"""

from __future__ import annotations

import _thread
import json
import os
import threading
import time
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from pointline.errors import ConfigError
from pointline.sql.chdb_import import session_class
from pointline.sql.coarse_candles import CoarseCandles
from pointline.sql.guard.checker import StatementChecker
from pointline.sql.guard.codes import RefusedError
from pointline.sql.guard.settings import MEANING, checked
from pointline.sql.messages import query_error
from pointline.sql.sessions import address, close_last, open_first

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from pointline.sql.catalogue import Catalogue

_KEPT_TYPES = 512  # statements whose columns are kept
_CHECK_S = 0.2  # time between a waiting thread's checks for an interrupt


@dataclass(frozen=True)
class Result:
    """What a statement gave.

    Attributes:
        data: the rows in the format that was asked for.
        rows: rows of the result.
        elapsed_s: seconds in the engine.
        rows_read, bytes_read: what was read of the lake.
        notes: sentences about what was changed in the statement, such as a ratio that is computed in Float64.
    """

    data: bytes
    rows: int
    elapsed_s: float
    rows_read: int
    bytes_read: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _StatementRun:
    text: str
    values: dict[str, str]
    output_format: str
    settings: dict[str, object]
    guarded: bool
    described: bool = False  # what it gives is asked for, not its rows
    unwanted: threading.Event = field(default_factory=threading.Event)  # set when whoever asked has given up


class Engine:
    """ClickHouse on one catalogue; may be used from several threads.

    Args:
        catalogue: the process's own.

    Raises:
        ConfigError: another catalogue is open in this process.
        MissingExtraError: chDB is not installed.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._process = os.getpid()
        self._address = f"{address(catalogue.path, catalogue.config_path)}&database=api"
        self._first_session = open_first(catalogue.path, catalogue.config_path)  # the engine lives as long as one session does
        self._is_open = True
        self._checking = threading.Lock()
        self._statements: StatementChecker | None = None
        self._types: dict[str, tuple[tuple[str, str], ...]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends the engine; another catalogue may be opened then."""
        if self._is_open and self._process == os.getpid():
            self._is_open = False
            if self._statements is not None:
                self._statements.close()
            close_last(self._first_session)

    def run(
        self,
        text: str,
        *,
        parameters: Mapping[str, object] | None = None,
        output_format: str = "ArrowStream",
        settings: Mapping[str, object] | None = None,
        guarded: bool = True,
    ) -> Result:
        """Runs one statement.

        Args:
            text: ClickHouse SQL; a FORMAT clause in it goes before `output_format`.
            parameters: values of ``{name:Type}`` in the text.
            output_format: any format that ClickHouse writes.
            settings: of the engine, for this statement.
            guarded: check the statement as the server does, and make its decimals safe; otherwise it runs as it is, with all rights of
                this process and decimals that wrap.

        An interrupt (Ctrl-C) stops the statement.

        Raises:
            QueryError: the statement is wrong or was stopped; has ClickHouse's code and name.
            DamageError: a data file of the lake is missing or damaged.
            LakeError: the lake is in a bucket, which does not answer.
            ConfigError: the engine is closed, or was opened by the process that this one was forked from; or the statement needs more files
                of a bucket than may be kept here.
        """
        values = {name: parameter_text(value) for name, value in (parameters or {}).items()}
        return self._run(_StatementRun(text, values, output_format, dict(settings or {}), guarded=guarded))

    def columns(
        self,
        text: str,
        *,
        parameters: Mapping[str, object] | None = None,
        settings: Mapping[str, object] | None = None,
        guarded: bool = True,
    ) -> tuple[tuple[str, str], ...]:
        """Names and types of the columns that a statement gives; those of a guarded one are asked for once.

        Args:
            text, parameters, settings, guarded: as in `run`.

        Raises:
            QueryError: the statement is wrong, or gives no table, as SHOW and EXPLAIN.
        """
        values = {name: parameter_text(value) for name, value in (parameters or {}).items()}
        options = dict(settings or {})
        key = json.dumps([text, values, {name: setting_text(value) for name, value in options.items()}], sort_keys=True)
        if guarded and (kept := self._types.get(key)) is not None:
            return kept
        answer = self._run(_StatementRun(text, values, "JSONCompact", options, guarded=guarded, described=True))
        found = tuple((row[0], row[1]) for row in json.loads(answer.data)["data"])
        if guarded:  # others may make tables, whose columns change
            if len(self._types) >= _KEPT_TYPES:
                self._types.clear()
            self._types[key] = found
        return found

    def _run(self, work: _StatementRun) -> Result:
        self._check_usable()
        self.catalogue.check_files()
        if threading.current_thread() is threading.main_thread():
            return self._run_interruptibly(work)
        return self._run_here(work)

    def _run_here(self, work: _StatementRun) -> Result:
        if not work.guarded:
            text = _describing(work.text.strip().rstrip(";")) if work.described else work.text
            with self.catalogue.held(None, work.unwanted):
                return self._run_as_it_is(text, work.values, work.output_format, work.settings)
        try:
            with self._checking:
                if self._statements is None:
                    self._statements = StatementChecker(session_class(), self._address, {}, CoarseCandles.load(self.catalogue.folder))
                meaning = {name: setting_text(value) for name, value in work.settings.items() if name in MEANING}
                statement = self._statements.check(work.text, work.values, settings=meaning)
                settings = work.settings | checked(statement.settings)
                output_format = statement.output_format or work.output_format
                if output_format == "ORC":
                    self._statements.check_orc(statement.text, work.values, settings={})
        except RefusedError as refusal:
            raise query_error(f"Code: {refusal.code}. DB::Exception: {refusal.what} ({refusal.name})", work.text) from None
        with self.catalogue.held(statement.reads, work.unwanted):
            if work.described:  # a type may depend on what a subquery gives
                return self._run_as_it_is(_describing(statement.text), work.values, work.output_format, settings, asked=work.text)
            found = self._run_as_it_is(statement.text, work.values, output_format, settings, asked=work.text)
        return replace(found, notes=statement.notes)

    def _run_as_it_is(
        self, text: str, values: dict[str, str], output_format: str, settings: dict[str, object], *, asked: str | None = None
    ) -> Result:
        given = "".join(f"&{name}={quote(setting_text(value), safe='')}" for name, value in settings.items())
        began = time.perf_counter()
        try:
            session = session_class()(self._address + given)
            try:
                found = session.query(text, output_format, params=values)
                spent = time.perf_counter() - began
                return Result(found.bytes(), found.rows_read(), spent, found.storage_rows_read(), found.storage_bytes_read())
            finally:
                session.close()
        except RuntimeError as error:
            raise query_error(str(error), asked or text) from None

    def _run_interruptibly(self, work: _StatementRun) -> Result:
        """As `_run_here`, in a second thread: this one would not get Ctrl-C inside the engine.

        An interrupt may come between any two steps of this thread, so the threads share nothing that one of them could leave locked, as
        the condition of a future: an answer, a lock that only says when to look for it, and whoever is first to take the statement.
        """
        mark = str(work.settings.setdefault("log_comment", uuid.uuid4().hex))
        taken: dict[str, str] = {}
        answers: list[Result | BaseException] = []
        waiting = threading.Lock()
        waiting.acquire()

        def answer() -> None:
            if taken.setdefault("by", "thread") != "thread":
                return  # interrupted before it began
            try:
                answers.append(self._run_here(work))
            except BaseException as error:  # noqa: BLE001 - raised again where the caller waits
                answers.append(error)
            waiting.release()

        try:
            _thread.start_new_thread(answer, ())  # `Thread.start` waits at a condition
            while not answers:
                waiting.acquire(timeout=_CHECK_S)
        except BaseException:
            work.unwanted.set()
            while True:
                try:
                    while not (answers or taken.setdefault("by", "caller") == "caller"):
                        self._stop(mark)
                        if not answers:  # a statement that the engine does not know yet begins after the first attempt
                            waiting.acquire(timeout=_CHECK_S)
                    break
                except KeyboardInterrupt:  # one more; the first is told when the statement has ended
                    continue
            raise
        return _found(answers[0])

    def _stop(self, mark: str) -> None:
        kill = "KILL QUERY WHERE Settings['log_comment'] = {mark:String} SYNC"
        self._run_as_it_is(kill, {"mark": parameter_text(mark)}, "Null", {})

    def check(self, text: str) -> str:
        """The statement as ClickHouse writes it, in one line.

        Raises:
            QueryError: it cannot be parsed, or there is none, or there are several.
        """
        question = "SELECT formatQuerySingleLine({text:String})"
        self._check_usable()
        found = self._run_as_it_is(question, {"text": parameter_text(text)}, "TSVRaw", {})
        return found.data.decode().rstrip("\n")

    def _check_usable(self) -> None:
        if self._process != os.getpid():
            raise ConfigError(
                "the SQL engine does not work in a forked process",
                hint="start processes with multiprocessing.get_context('spawn')",
            )
        if not self._is_open:
            raise ConfigError("the SQL engine is closed", hint="open another one on the catalogue")


def _found(answer: Result | BaseException) -> Result:
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _describing(text: str) -> str:
    return f"DESCRIBE TABLE (\n{text}\n)"


def parameter_text(value: object) -> str:
    """A parameter's value as ClickHouse reads it."""
    import datetime as dt

    if value is None:
        return "\\N"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.datetime):
        moment = value.astimezone(dt.UTC) if value.tzinfo else value
        return moment.replace(tzinfo=None).isoformat(sep=" ")
    if isinstance(value, (list, tuple)):
        inner = ", ".join(_element_text(item) for item in value)
        return f"[{inner}]" if isinstance(value, list) else f"({inner})"
    return str(value).replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")


def _element_text(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, (bool, int, float, list, tuple)):
        return parameter_text(value)
    return "'" + parameter_text(value).replace("'", "\\'") + "'"


def setting_text(value: object) -> str:
    """A setting's value as ClickHouse reads it."""
    return str(int(value)) if isinstance(value, bool) else str(value)
