"""What all commands share: options, exit codes, and how results reach the terminal."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

LakeOption = Annotated[str | None, typer.Option("--lake", help="The lake's folder; else POINTLINE_LAKE, else ./lake.", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]

RESULT_SAYS_NO = 1
DATA_REFUSED = 3
SYSTEM_FAILED = 5
INTERRUPTED = 130  # what typer returns for Ctrl-C


def console() -> Console:
    """Standard output; what is piped gets lines of 160 characters unless COLUMNS says otherwise."""
    from rich.console import Console

    width = None if sys.stdout.isatty() or os.environ.get("COLUMNS") else 160
    return Console(highlight=False, markup=False, emoji=False, width=width)


def show(view: RenderableType) -> None:
    """Prints a text table or a page."""
    console().print(view)


def show_json(value: Any) -> None:  # noqa: ANN401 - any JSON
    """Prints a value as JSON."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")
    sys.stdout.flush()  # where a reader has stopped early, it shows here and not after the end
