"""The entry point: the app with all its commands, and the place where every error ends."""

from __future__ import annotations

import gc
import itertools
import sys
import warnings
from typing import Annotated

import typer

from pointline.cli import (
    archives,
    backtest,
    check,
    costs,
    download,
    evaluate,
    export,
    failures,
    funding,
    lakes,
    next_funding,
    output,
    queries,
    scale,
    scan,
    studies,
    upkeep,
    venues,
)
from pointline.cli.options import LogOption, QuietOption, VerboseOption
from pointline.errors import PointlineError
from pointline.version import package_version

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for group in (
    archives,
    download,
    upkeep,
    studies,
    venues,
    scan,
    evaluate,
    check,
    costs,
    funding,
    next_funding,
    backtest,
    queries,
    export,
    lakes,
    scale,
):
    app.add_typer(group.app)


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"pointline {package_version()}\n")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)] = False,  # noqa: ARG001 - its callback acts
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    log: LogOption = None,
) -> None:
    """Compares the same asset across perpetual futures, dated futures and spot, point in time.

    -q, -v and --log may also stand behind the name of a command.
    """
    output.settings.quiet, output.settings.verbose, output.settings.log = quiet, verbose, log


def main() -> None:
    """Runs the command line; every error a user can cause is printed without a traceback.

    Exit codes: 0 done (flagged or superseded rows included), 1 the result says no, 2 wrong usage, 3 data refused or rows quarantined,
    4 the lake is busy or a host blocks, 5 the system failed, 130 interrupted, 141 the reader of the output stopped early, 143 terminated.
    """
    gc.set_threshold(100_000, 50, 100)  # looking again and again through what imports leave takes a tenth of the start-up
    warnings.showwarning = output.warn
    output.reset(json_output="--json" in itertools.takewhile(lambda word: word != "--", sys.argv[1:]))
    try:
        code = _run()
    finally:
        output.reset()
        gc.freeze()  # the process ends: looking for cycles in all that it holds takes 0.05 s or more
    if code:
        sys.exit(code)


def _run() -> int:
    try:
        code = _call()
    except (typer.Abort, KeyboardInterrupt):
        code = failures.INTERRUPTED
    except PointlineError as error:
        return failures.report(error)
    except OSError as error:
        return failures.report(failures.refused_by_system(error), failures.SYSTEM_FAILED)
    except Exception as error:  # noqa: BLE001 - the last line of defence against a traceback
        return _report_other(error)
    return failures.report(failures.interrupted(), code) if code == failures.INTERRUPTED else code


def _call() -> int:
    """The app's exit code, that of a reader that stopped early among them: commands meet it by themselves, help and version do not."""
    try:
        code = app(standalone_mode=False, prog_name="pointline")
        sys.stdout.flush()
    except BrokenPipeError:
        return output.reader_left()
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # met by typer itself
            return output.reader_left()
        raise
    return int(code or 0)


def _report_other(error: Exception) -> int:
    """Typer's errors of usage, and defects."""
    show = getattr(error, "show", None)
    if not callable(show):
        return failures.report(failures.defect(error), failures.SYSTEM_FAILED)
    if type(error).__name__ == "NoArgsIsHelpError" and not output.settings.json:
        show()
        return failures.WRONG_USAGE
    return failures.report(failures.wrong_usage(error), failures.WRONG_USAGE)
