"""Progress of long work: one line of text that is written over itself, in terminals and notebooks alike, or a function of the user's."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, TypeAlias

from pointline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Progress: TypeAlias = "bool | Callable[[int, int, str], object]"

_REFRESH_S = 0.1
_BAR = 24
_WIDTH = 79


@contextlib.contextmanager
def followed(work: str, progress: Progress | None) -> Iterator[Callable[[int, int, str], object]]:
    """A function that is told how far some work is: how much is done, of how much, and at what.

    Args:
        work: what the line calls the work.
        progress: True writes a line to standard error; a function is called instead, with the same three values; nothing happens where it
            is None or False.

    Raises:
        ConfigError: `progress` is of another type.
    """
    if progress is None or progress is False:
        yield _ignore
    elif progress is True:
        line = ProgressLine(work)
        try:
            yield line.tell
        finally:
            line.end()
    elif callable(progress):
        yield progress
    else:
        raise ConfigError("progress is of another type", value=progress, expected="True, False, or a function of (done, total, text)")


def _ignore(done: int, total: int, text: str) -> None:
    """What is told to nobody."""


class ProgressLine:
    """A line that is written over itself.

    Args:
        work: the first word of the line.
    """

    def __init__(self, work: str) -> None:
        self._work = work
        self._began = time.monotonic()
        self._last = -1.0
        self._whole = ""

    def tell(self, done: int, total: int, text: str) -> None:
        """Writes how much is done, a tenth of a second after the last time at the earliest."""
        now = time.monotonic()
        share = min(1.0, max(0.0, done / total)) if total > 0 else 1.0
        self._whole = self._line(share, now - self._began, text)
        if now - self._last >= _REFRESH_S:
            self._last = now
            self._write(self._whole)

    def end(self) -> None:
        """Removes the line from a terminal; elsewhere, in a notebook say, it stays as it was last."""
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{' ' * _WIDTH}\r")
        elif self._whole:
            self._write(f"{self._whole}\n")
        sys.stderr.flush()

    def _line(self, share: float, spent_s: float, text: str) -> str:
        full = int(share * _BAR)
        left = f"{spent_s * (1 - share) / share:,.0f} s left" if 0 < share < 1 else f"{spent_s:,.1f} s"
        head = f"{self._work} {share:4.0%} [{'#' * full}{'.' * (_BAR - full)}] {left}, "
        room = max(2, _WIDTH - len(head))
        return head + (text if len(text) <= room else f"…{text[1 - room :]}")

    def _write(self, line: str) -> None:
        sys.stderr.write(f"\r{line:<{_WIDTH}}")
        sys.stderr.flush()
