"""Ctrl-C and SIGTERM while the engine runs, which by itself would go on to the end of its query and hold the process for as long."""

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

_LISTEN_S = 0.2  # how often a waiting thread looks whether a signal came
_ASKED: list[int] = []  # signals that came; where a library drops what a handler raises, this still tells

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SAID = {
    signal.SIGINT: "error: interrupted before the end; there is no complete result\n",
    signal.SIGTERM: "error: terminated before the end; there is no complete result\n",
}
_TIDY = """import shutil, sys
code, said, *folders = sys.argv[1:]
for folder in folders:
    shutil.rmtree(folder, ignore_errors=True)
sys.stderr.write(said)
sys.exit(int(code))
"""


class StoppedError(BaseException):
    """A signal came that asks the process to end.

    Attributes:
        number: the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = signal.Signals(number)


@contextlib.contextmanager
def ending_on_signals() -> Iterator[None]:
    """Within it Ctrl-C and SIGTERM end the process: its folders are removed, a line is said, the exit code is 128 + the signal.

    Another signal after the first one changes nothing. Outside of the main thread, where no signal arrives, nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _ASKED.clear()
    before = {number: signal.signal(number, _stop) for number in SIGNALS}
    try:
        yield
    except StoppedError as stopped:
        _end(stopped.number)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, _: FrameType | None) -> NoReturn:
    _ignore()
    _ASKED.append(number)
    raise StoppedError(number)


def _ignore() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _end(number: signal.Signals) -> NoReturn:
    """Becomes another program that removes the folders: of this one, threads of the engine may still write into them."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    arguments = [str(128 + number), _SAID[number], *map(str, scratch.made())]
    os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", _TIDY, *arguments])  # noqa: S606 - our own program


def in_thread(work: Callable[[], Found]) -> Found:
    """Does the work in a thread and waits for it, so that a signal is seen meanwhile.

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
    while not done.wait(_LISTEN_S):
        if _ASKED:
            raise StoppedError(_ASKED[0])
    if failed:
        raise failed[0]
    return found[0]
