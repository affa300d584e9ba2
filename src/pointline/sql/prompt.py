"""``pointline sql`` without a statement: a prompt for statements of several lines, with the history of earlier ones."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Self, TypeVar

from pointline.errors import ConfigError, PointlineError
from pointline.sql.command import SqlOptions, answer
from pointline.sql.process import close, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from rich.console import RenderableType

Found = TypeVar("Found")

PROMPT, MORE = "pointline> ", "        -> "
_GREETING = "Statements end with ; and may have several lines. \\q or Ctrl-D leaves, Ctrl-C stops a statement."
_HISTORY = 2_000  # statements
_LEAVE = {"\\q", "quit", "exit"}


def run_prompt(options: SqlOptions, *, show: Callable[[RenderableType], None], note: Callable[[str], None]) -> None:
    """Asks for statements on the terminal and answers each, until the user leaves.

    Args:
        options: of every statement; without one, and without a file for the result.
        show: prints a table.
        note: gets each note on a result.

    Raises:
        ConfigError: there is a file for the result.
        LakeError: there is no lake at that place.
        MissingExtraError: chDB is not installed.
    """
    if options.output is not None:
        raise ConfigError(
            "the results of a prompt go to the terminal", value=f"-o {options.output}", expected="a statement, if -o is to write its result"
        )
    with _ending_on_sigterm(), _history():
        run("SELECT 1", lake=options.lake, guarded=False)  # what is wrong with the lake or the engine shows before the first prompt
        sys.stdout.write(f"{_GREETING}\n")
        with _CtrlC() as ctrl_c:
            for text in statements(lambda shown: ctrl_c.ends(partial(input, shown))):
                _answer(replace(options, text=text), show=show, note=note, ctrl_c=ctrl_c)
            close()


class _CtrlC:
    """Ctrl-C ends a line that is typed or a statement, and never the prompt: between them it waits for the next."""

    def __init__(self) -> None:
        self._may_raise = self._has_come = False

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._came)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _came(self, *_: object) -> None:
        if self._may_raise:
            raise KeyboardInterrupt
        self._has_come = True

    def ends(self, work: Callable[[], Found]) -> Found:
        """Does what Ctrl-C may end.

        Raises:
            KeyboardInterrupt: it came meanwhile, or since the last work.
        """
        try:
            self._may_raise = True
            if self._has_come:
                raise KeyboardInterrupt
            return work()
        finally:
            self._may_raise = self._has_come = False


def statements(read: Callable[[str], str]) -> Iterator[str]:
    """The statements that the user types, without their semicolons, until the end of the input.

    Args:
        read: shows a prompt and gives a line, as `input` does; Ctrl-C there forgets the lines of the statement so far.
    """
    text = ""
    while True:
        try:
            line = read(MORE if text else PROMPT)
        except EOFError:
            sys.stdout.write("\n")
            return
        except KeyboardInterrupt:
            sys.stdout.write("\n")
            text = ""
            continue
        if not text and line.strip().rstrip(";") in _LEAVE:
            return
        typed = f"{text}\n{line}" if text else line
        found, text = split_statements(typed)
        if found:
            _remember(typed if not text else ";".join(found) + ";")
        yield from found


def split_statements(text: str) -> tuple[list[str], str]:
    """The statements of a text that end with a semicolon, and what stands behind the last of them.

    A semicolon inside of quotes or a comment ends nothing.

    >>> split_statements("SELECT ';'; SELECT 2 -- two;")
    (["SELECT ';'"], 'SELECT 2 -- two;')
    """
    found = []
    begin = at = 0
    while at < len(text):
        if text[at] == ";":
            found.append(text[begin:at].strip())
            begin = at + 1
        at = _behind(text, at)
    return [one for one in found if one], text[begin:].strip()


def _behind(text: str, at: int) -> int:
    """The place behind the character, the quoted text or the comment that begins at a place."""
    two, one = text[at : at + 2], text[at]
    if two in {"--", "/*"}:
        end = text.find("\n" if two == "--" else "*/", at + 2)
        return len(text) if end < 0 else end + len(two) - (two == "--")
    if one in "'\"`":
        end = at + 1
        while end < len(text) and text[end] != one:
            end += 2 if text[end] == "\\" else 1
        return end + 1
    return at + 1


def _answer(options: SqlOptions, *, show: Callable[[RenderableType], None], note: Callable[[str], None], ctrl_c: _CtrlC) -> None:
    """Answers one statement; whatever is wrong with it ends it alone."""

    def shown_or_said() -> None:
        shown = answer(options, note=note, to_terminal=True, wait=lambda work: work())
        if isinstance(shown, bytes):
            sys.stdout.write(shown.decode("utf-8", "backslashreplace"))
        elif shown is not None:
            show(shown)

    try:
        ctrl_c.ends(shown_or_said)
    except PointlineError as error:
        sys.stderr.write(f"error: {error}\n")
    except KeyboardInterrupt:
        sys.stderr.write("the statement was stopped\n")
    sys.stdout.flush()


@contextlib.contextmanager
def _ending_on_sigterm() -> Iterator[None]:
    """SIGTERM leaves the prompt like Ctrl-D, with 143."""

    def leave(number: int, _: FrameType | None) -> NoReturn:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def history_file() -> Path | None:
    """Where the statements of earlier prompts are kept: the user's folder of state; None where the user has no home."""
    with contextlib.suppress(RuntimeError):
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
        if state.is_absolute():
            return state / "pointline" / "sql_history"
    return None


@contextlib.contextmanager
def _history() -> Iterator[None]:
    """Lines can be edited, and statements of earlier prompts found again, where the system has readline."""
    path = history_file()
    try:
        import readline
    except ImportError:
        yield
        return
    readline.set_auto_history(False)
    readline.set_history_length(_HISTORY)
    if path is not None:
        with contextlib.suppress(OSError):
            readline.read_history_file(path)
    try:
        yield
    finally:
        if path is not None:
            with contextlib.suppress(OSError):  # a folder that cannot be written keeps nothing
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                readline.write_history_file(path)
                path.chmod(0o600)


def _remember(text: str) -> None:
    """Adds a statement to the history, on one line where no comment ends with the line."""
    readline = sys.modules.get("readline")
    if readline is not None:
        lines = text.splitlines()
        for line in lines if "--" in text else [" ".join(line.strip() for line in lines)]:
            readline.add_history(line)
