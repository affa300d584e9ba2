"""What commands print, where, and how much of it: tables and JSON on standard output, messages on standard error."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import asdict, dataclass, is_dataclass
from typing import TYPE_CHECKING, Any

import typer

from pointline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.console import Console, RenderableType

RESULT_SAYS_NO = 1
WRONG_USAGE = 2
DATA_REFUSED = 3
SYSTEM_FAILED = 5
INTERRUPTED = 130  # what typer returns for Ctrl-C
READER_LEFT = 141  # 128 and the number of SIGPIPE, as for other programs whose reader stops early


@dataclass
class Settings:
    """How much the running command says.

    Attributes:
        quiet: errors only; what was asked for as JSON, or as a table on standard output, is printed all the same.
        verbose: what is read and decided, too.
        json: one JSON value on standard output, errors as one JSON object on standard error.
        log: the file to which messages and errors are appended.
    """

    quiet: bool = False
    verbose: bool = False
    json: bool = False
    log: Path | None = None


settings = Settings()


def reset(*, json_output: bool = False) -> None:
    """Forgets what an earlier command of this process was told."""
    settings.__dict__.update(Settings(json=json_output).__dict__)
    if logs := sys.modules.get("pointline.cli.logs"):
        logs.stop()


def begin(*, quiet: bool, verbose: bool, json_output: bool, log: Path | None) -> None:
    """Takes the options of the command that begins, beside those in front of its name, and sends messages where they say.

    Raises:
        ConfigError: both quiet and verbose, or the log file cannot be written.
    """
    from pointline.cli import logs

    settings.quiet |= quiet
    settings.verbose |= verbose
    settings.json = json_output
    settings.log = log or settings.log
    if settings.quiet and settings.verbose:
        raise ConfigError("-q and -v contradict each other", value="-q -v", expected="one of them")
    logs.start(verbose=settings.verbose, quiet=settings.quiet or settings.json, log=settings.log)


def console() -> Console:
    """Standard output; what is piped gets lines of 160 characters unless COLUMNS says otherwise."""
    from rich.console import Console

    width = None if sys.stdout.isatty() or os.environ.get("COLUMNS") else 160
    return Console(highlight=False, markup=False, emoji=False, width=width)


def show(view: RenderableType, *, always: bool = False) -> None:
    """Prints a text table or a page, unless the user wants errors only.

    Args:
        view: what is printed.
        always: print it all the same, because it is what was asked for.
    """
    if settings.quiet and not always:
        return
    screen = console()
    with screen.capture() as captured:
        screen.print(view)
    sys.stdout.write(captured.get())


def show_text(text: str) -> None:
    """Prints one line of the result, unless the user wants errors only."""
    if not settings.quiet:
        sys.stdout.write(f"{text}\n")


def show_json(value: Any) -> None:  # noqa: ANN401 - any JSON
    """Prints a value as JSON."""
    sys.stdout.write(json.dumps(value, indent=2, default=_plain) + "\n")


def _plain(value: object) -> object:
    """A dataclass as its fields, anything else that JSON does not know as text."""
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)


def say(text: str) -> None:
    """Says on standard error what happens, where people read it."""
    if not settings.quiet and not settings.json:
        sys.stderr.write(f"{text}\n")


def note(text: str) -> None:
    """Says on standard error what a reader of the result should know."""
    if not settings.quiet:
        sys.stderr.write(f"note: {text}\n")


def warn(message: Warning | str, *_: object, **__: object) -> None:
    """Says on standard error what Python's warnings say, without the line of code that they come from."""
    if not (settings.quiet or settings.json):
        sys.stderr.write(f"warning: {message}\n")


def shows_progress() -> bool:
    """Whether somebody watches the command work."""
    return not settings.quiet and not settings.verbose and not settings.json and sys.stderr.isatty()


@contextlib.contextmanager
def written_out() -> Iterator[None]:
    """Writes standard output to the end; where its reader has stopped early, the command stops without a word.

    Raises:
        typer.Exit: it has.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise typer.Exit(reader_left()) from None


def reader_left() -> int:
    """Standard output leads nowhere from now on, so that nothing fails when the process ends; returns the exit code."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return READER_LEFT
