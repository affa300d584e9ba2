"""The one engine of this process: opened at the first query, rebuilt when the lake has changed, switched for a query of another lake."""

from __future__ import annotations

import atexit
import logging
import shutil
import threading
import warnings
from typing import TYPE_CHECKING, Any, TypeVar

from pointline.errors import DamageError, QueryNote
from pointline.lake.store import as_lake
from pointline.sql.catalogue import build_catalogue, fingerprint_of
from pointline.sql.engine import Engine
from pointline.sql.fetched_links import link_scratch
from pointline.sql.scratch import Scratch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import polars as pl

    from pointline.lake.store import Lake, LakeLike
    from pointline.sql.engine import Result


Found = TypeVar("Found")

_log = logging.getLogger("pointline.sql")


class _SharedEngine:
    """The engine and the temporary folder of its catalogues; the engine stays open while a query runs."""

    def __init__(self) -> None:
        self._state = threading.Condition()
        self._engine: Engine | None = None
        self._scratch: Scratch | None = None
        self._links: Scratch | None = None  # of a lake in a bucket
        self._built = 0
        self._is_old = False
        self._running: set[object] = set()

    def run(self, lake: Lake, text: str, **how: Any) -> Result:  # noqa: ANN401 - arguments of `Engine.run`
        def once(engine: Engine) -> Result:
            if ";" in text.rstrip().rstrip(";") or not text.strip():
                engine.check(text)  # the engine itself would run several and give what they print one after another
            return engine.run(text, **how)

        return self._use(lake, once)

    def columns(self, lake: Lake, text: str, **how: Any) -> tuple[tuple[str, str], ...]:  # noqa: ANN401 - arguments of `Engine.columns`
        return self._use(lake, lambda engine: engine.columns(text, **how))

    def _use(self, lake: Lake, work: Callable[[Engine], Found]) -> Found:
        try:
            return self._use_once(lake, work)
        except DamageError:
            self._renew()  # makes removed links again; a missing data file is an error again
            return self._use_once(lake, work)

    def _use_once(self, lake: Lake, work: Callable[[Engine], Found]) -> Found:
        token = object()
        try:
            return work(self._enter(lake, token))
        finally:
            self._running.discard(token)  # first of all: an interrupt may come after each step
            with self._state:
                self._state.notify_all()

    def _renew(self) -> None:
        """The next query builds a catalogue, whether or not the lake has changed."""
        with self._state:
            self._is_old = True

    def _enter(self, lake: Lake, token: object) -> Engine:
        with self._state:
            while self._engine is None or self._is_old or self._engine.catalogue.fingerprint != fingerprint_of(lake):
                if self._running:
                    self._state.wait()
                else:
                    self._open(lake)
            self._running.add(token)
            return self._engine

    def _open(self, lake: Lake) -> None:
        if self._scratch is None:
            self._scratch = Scratch("sql")
        before = self._engine
        if before is not None:
            before.close()
            self._engine = None
        self._remove_links()
        self._links = link_scratch(lake, "sql")
        self._built += 1
        self._is_old = False
        _log.info("views over %s, built in %s", lake.root, self._scratch.path)
        links = None if self._links is None else self._links.path / "links"
        catalogue = build_catalogue(lake, self._scratch.path / str(self._built), links=links)
        self._engine = Engine(catalogue)
        if before is not None:
            shutil.rmtree(before.catalogue.folder, ignore_errors=True)

    def close(self) -> None:
        """Ends the engine once its queries are done, and removes its folder."""
        with self._state:
            self._state.wait_for(lambda: not self._running)
            self.end()

    def end(self) -> None:
        """As `close`, without waiting."""
        if self._scratch is not None and not self._scratch.is_own:
            return  # a forked process does not remove its parent's
        if self._engine is not None:
            self._engine.close()
            self._engine = None
        self._remove_links()
        if self._scratch is not None:
            self._scratch.remove()
            self._scratch = None

    def _remove_links(self) -> None:
        if self._links is not None:
            self._links.remove()
            self._links = None


_SHARED_ENGINE = _SharedEngine()
atexit.register(_SHARED_ENGINE.end)


def close() -> None:
    """Ends this process's engine, once its queries are done; the next query opens one again."""
    _SHARED_ENGINE.close()


def run(
    text: str,
    *,
    lake: LakeLike | None = None,
    parameters: Mapping[str, object] | None = None,
    output_format: str = "JSONCompact",
    settings: Mapping[str, object] | None = None,
    guarded: bool = True,
) -> Result:
    """Runs one statement on a lake and gives the bytes of its result; arguments as in `query` and `Engine.run`."""
    how = {"parameters": parameters or {}, "output_format": output_format, "settings": settings or {}, "guarded": guarded}
    return _SHARED_ENGINE.run(as_lake(lake), text, **how)


def query(text: str, *, lake: LakeLike | None = None, **parameters: object) -> pl.DataFrame:
    """Runs one statement of ClickHouse SQL on a lake.

    Args:
        text: a statement without a FORMAT clause, e.g. ``"SELECT * FROM api.ohlcv(candle_duration_in_minutes = 60) LIMIT 5"``.
        lake: a lake or its folder; the default lake if None.
        parameters: values of ``{name:Type}`` in the text.

    Returns:
        The result with its types: decimals stay decimals, times are UTC.

    Warns:
        QueryNote: something is computed in Float64 or left out, in words.

    Raises:
        QueryError: the statement is wrong or was stopped; has ClickHouse's code and name.
        LakeError: there is no lake at that place.
        MissingExtraError: chDB is not installed.

    Examples:
        >>> from pointline import sql
        >>> statement = "SELECT market, row_count FROM api.coverage WHERE kind = {kind:String}"
        >>> counted = sql.query(statement, lake="out/demo/lake", kind="funding")
        >>> counted.rows()
        [('BTC-USDT', 6)]
    """
    return frame(text, lake=lake, parameters=parameters)


def frame(text: str, *, lake: LakeLike | None, parameters: Mapping[str, object], guarded: bool = True) -> pl.DataFrame:
    """As `query`; without the guard if `guarded` is False."""
    from pointline.sql.frames import SETTINGS, read_frame

    def columns() -> tuple[tuple[str, str], ...]:
        return _SHARED_ENGINE.columns(as_lake(lake), text, parameters=parameters, guarded=guarded)

    found = run(text, lake=lake, parameters=parameters, output_format="ArrowStream", settings=SETTINGS, guarded=guarded)
    for note in found.notes:
        warnings.warn(note, QueryNote, stacklevel=3)
    return read_frame(found.data, columns)
