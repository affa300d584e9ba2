"""Ctrl-C and SIGTERM while the engine runs; by itself the engine runs to the end of its query and blocks the process meanwhile."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, NoReturn, TypeVar

from pointline.sql import scratch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

Found = TypeVar("Found")

_CHECK_S = 0.2  # time between a waiting thread's checks for a signal
_RECEIVED: list[int] = []  # signals that came; a library may drop the exception of a signal handler

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_MESSAGES = {
    signal.SIGINT: "interrupted before the end; there is no complete result",
    signal.SIGTERM: "terminated before the end; there is no complete result",
}
_CLEAN_UP = """import shutil, sys
code, message, *folders = sys.argv[1:]
for folder in folders:
    shutil.rmtree(folder, ignore_errors=True)
sys.stderr.write(message)
sys.exit(int(code))
"""


class StoppedError(BaseException):
    """A signal came that ends the process.

    Attributes:
        number: the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = signal.Signals(number)


def error_line(what: str, _: int) -> str:
    """The line of an error, as people read it."""
    return f"error: {what}\n"


@contextlib.contextmanager
def ending_on_signals(line: Callable[[str, int], str] = error_line) -> Iterator[None]:
    """Within it Ctrl-C and SIGTERM end the process: its folders are removed, one line is written, the exit code is 128 + the signal.

    Another signal after the first one changes nothing. Outside of the main thread, where no signal arrives, nothing is done.

    Args:
        line: makes the line of what has happened and of the exit code.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _RECEIVED.clear()
    before = {number: signal.signal(number, _stop) for number in SIGNALS}
    try:
        yield
    except StoppedError as stopped:
        _end(stopped.number, line(_MESSAGES[stopped.number], 128 + stopped.number))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, _: FrameType | None) -> NoReturn:
    _ignore()
    _RECEIVED.append(number)
    raise StoppedError(number)


def _ignore() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _end(number: signal.Signals, message: str) -> NoReturn:
    """Becomes another program that removes the folders: of this one, threads of the engine may still write into them."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    arguments = [str(128 + number), message, *map(str, scratch.made())]
    os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", _CLEAN_UP, *arguments])  # noqa: S606 - our own program


def in_thread(work: Callable[[], Found]) -> Found:
    """Does the work in a thread and waits for it, so that signals are handled meanwhile.

    Raises:
        BaseException: what the work raised.
    """
    found: list[Found] = []
    failed: list[BaseException] = []
    done = threading.Event()

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:  # noqa: BLE001 - raised where the work is waited for
            failed.append(error)
        done.set()

    threading.Thread(target=run, name="sql", daemon=True).start()
    while not done.wait(_CHECK_S):
        if _RECEIVED:
            raise StoppedError(_RECEIVED[0])
    if failed:
        raise failed[0]
    return found[0]
