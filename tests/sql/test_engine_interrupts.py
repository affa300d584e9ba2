"""An interrupt may come between any two steps of the thread that waits for a statement: it ends the statement, and nothing stays locked."""

from __future__ import annotations

import concurrent.futures
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.machine import limit

from pointline.errors import QueryError
from pointline.sql import engine
from pointline.sql.engine import Engine, Result, _StatementRun

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

WATCHED = {engine.__file__, threading.__file__, concurrent.futures._base.__file__}


class Endless(Engine):
    """An engine whose statement runs until it is killed.

    Args:
        interrupted_kills: attempts to kill it during which one more interrupt comes.
    """

    def __init__(self, interrupted_kills: int = 0) -> None:
        self.began, self.killed, self.ended = threading.Event(), threading.Event(), threading.Event()
        self.kills = 0
        self.first_kill = 0.0
        self.interrupted_kills = interrupted_kills

    def _run_here(self, work: _StatementRun) -> Result:
        self.began.set()
        try:
            assert self.killed.wait(limit(60))
            raise QueryError("stopped", value=work.text)
        finally:
            self.ended.set()

    def _run_as_it_is(self, text: str, *_: Any, **__: Any) -> Result:  # noqa: ANN401 - not used
        assert text.startswith("KILL QUERY")
        self.kills += 1
        self.first_kill = self.first_kill or time.monotonic()
        assert time.monotonic() < self.first_kill + limit(20), "the statement has ended, and nobody is told"
        if self.kills <= self.interrupted_kills:
            raise KeyboardInterrupt
        if self.began.is_set():
            self.killed.set()
        return Result(b"", 0, 0.0, 0, 0)


class InterruptAt:
    """Raises KeyboardInterrupt in this thread at one of the steps of the watched files; a step is a line or the end of a call."""

    def __init__(self, step: int) -> None:
        self.left = step

    def __enter__(self) -> None:
        self.before = sys.gettrace()
        sys.settrace(self._trace)

    def __exit__(self, *_: object) -> None:
        sys.settrace(self.before)

    def _trace(self, frame: FrameType, event: str, _: object) -> Any:  # noqa: ANN401 - a trace function
        if frame.f_code.co_filename not in WATCHED:
            return None
        if event in {"line", "return"}:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self._trace


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(engine, "_CHECK_S", 0.001)
    return


@pytest.mark.parametrize("interrupted_kills", [0, 2])
def test_an_interrupt_at_any_step(interrupted_kills: int) -> None:
    began = 0
    for step in range(1, 120):
        endless = Endless(interrupted_kills)
        with pytest.raises(KeyboardInterrupt), InterruptAt(step):
            endless._run_interruptibly(_StatementRun("SELECT", {}, "TSV", {}, guarded=True))
        assert endless.ended.is_set() == endless.began.is_set(), step
        began += endless.began.is_set()
    assert began > 60  # most steps are those of a wait for a statement that runs
