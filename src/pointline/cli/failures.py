"""What the command line says when it cannot go on: as text for people, as one JSON object for programs."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from pointline.cli.output import INTERRUPTED, SYSTEM_FAILED, WRONG_USAGE, settings
from pointline.errors import PointlineError

if TYPE_CHECKING:
    from collections.abc import Sequence


class CommandError(PointlineError):
    """What ends a command and is no error of a room below: wrong usage, an interrupt, a defect."""


def report(error: PointlineError, code: int | None = None) -> int:
    """Tells of an error on standard error, and in the log file; returns the exit code.

    Args:
        error: what is wrong.
        code: the exit code; that of the error if None.
    """
    exit_code = error.exit_code if code is None else code
    _write([error], error, exit_code)
    return exit_code


def report_all(errors: Sequence[PointlineError], together: PointlineError, code: int) -> int:
    """Tells of several errors; a program gets them together, as one.

    Args:
        errors: what is wrong, one by one.
        together: the same in one error.
        code: the exit code.
    """
    _write(errors, together, code)
    return code


def line_of(what: str, code: int) -> str:
    """What would be told of an error that has only words."""
    return _text([CommandError(what)], CommandError(what), code)


def _write(errors: Sequence[PointlineError], together: PointlineError, code: int) -> None:
    sys.stderr.write(_text(errors, together, code))
    if logs := sys.modules.get("pointline.cli.logs"):
        for error in errors:
            logs.error(_printable(error))


def _text(errors: Sequence[PointlineError], together: PointlineError, code: int) -> str:
    if settings.json:
        return json.dumps({"error": {**fields_of(together), "exit_code": code}}, default=str) + "\n"
    return "".join(f"error: {_printable(error)}\n" for error in errors)


def _printable(error: PointlineError) -> str:
    """The text with the bytes of a file's name that are not UTF-8 as escapes."""
    return str(error).encode("utf-8", "backslashreplace").decode("utf-8")


def fields_of(error: PointlineError) -> dict[str, Any]:
    """What, where, value, expected and hint."""
    return {name: getattr(error, name) for name in ("what", "where", "value", "expected", "hint")}


def interrupted() -> PointlineError:
    """The user pressed Ctrl-C."""
    return CommandError("interrupted; what was finished is stored, run the same command again to go on")


def refused_by_system(error: OSError) -> PointlineError:
    """The system refused to read or write."""
    where = None if error.filename is None else str(error.filename)
    return CommandError(
        "the system refused to read or write",
        where=where,
        value=error.strerror or str(error),
        hint="check the place and your rights to it",
    )


def wrong_usage(error: Any) -> PointlineError:  # noqa: ANN401 - typer's errors of usage share no public class
    """Typer's words on a mistake in the command line, as an error of ours."""
    context = error.ctx
    command = "pointline" if context is None else context.command_path
    usage = None if context is None else context.get_usage().removeprefix("Usage: ")
    what = str(error.format_message())
    return CommandError(what[:1].lower() + what[1:].rstrip("."), where=command, expected=usage, hint=f"`{command} -h` explains the options")


def defect(error: Exception) -> PointlineError:
    """What nobody has foreseen."""
    return CommandError(f"unexpected {type(error).__name__}: {error}", hint="a defect of pointline: please report it with the command")


__all__ = [
    "INTERRUPTED",
    "SYSTEM_FAILED",
    "WRONG_USAGE",
    "CommandError",
    "defect",
    "fields_of",
    "interrupted",
    "line_of",
    "refused_by_system",
    "report",
    "report_all",
    "wrong_usage",
]
