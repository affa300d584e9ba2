"""The options that commands share, and how a command is made."""

from __future__ import annotations

import functools
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from pointline.cli import output

if TYPE_CHECKING:
    from collections.abc import Callable

LakeOption = Annotated[
    str | None, typer.Option("--lake", help="The lake's folder or s3:// URL; else POINTLINE_LAKE, else ./lake.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, and errors as one JSON object.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would happen, and write nothing.")]

QuietOption = Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only: no progress, no tables.")]
VerboseOption = Annotated[bool, typer.Option("-v", "--verbose", help="Say what is read and decided.")]
LogOption = Annotated[Path | None, typer.Option("--log", help="Append messages and errors to this file.", show_default=False)]

_SHARED: dict[str, tuple[Any, Any]] = {"quiet": (QuietOption, False), "verbose": (VerboseOption, False), "log": (LogOption, None)}

_Command = TypeVar("_Command", bound="Callable[..., None]")


def command(app: typer.Typer, *, short_help: str) -> Callable[[_Command], _Command]:
    """Makes a function a command of an app, with -q, -v and --log beside its own options.

    Args:
        app: the group.
        short_help: one line for the list of commands.
    """

    def register(function: _Command) -> _Command:
        app.command(short_help=short_help)(_with_shared_options(function))
        return function

    return register


def _with_shared_options(function: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(function)
    def run(*, quiet: bool, verbose: bool, log: Path | None, **own: Any) -> None:  # noqa: ANN401 - the command's own options
        output.begin(quiet=quiet, verbose=verbose, json_output=own.get("json_output", False), log=log)
        with output.written_out():
            function(**own)

    kind = inspect.Parameter.KEYWORD_ONLY
    shared = [inspect.Parameter(name, kind, annotation=option, default=default) for name, (option, default) in _SHARED.items()]
    signature = inspect.signature(function, eval_str=True)
    run.__doc__ = inspect.cleandoc(function.__doc__ or "").replace("\n\nExample: ", "\n\n\b\nExample: ")  # on one line, to be pasted
    run.__annotations__ = {}  # the signature has them evaluated; typer would do it twice more, which takes a tenth of the help's time
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *shared])  # type: ignore[attr-defined]
    return run
