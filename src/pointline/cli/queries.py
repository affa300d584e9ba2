"""The commands that answer SQL: one statement, an interactive session, and a server."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from pointline.cli import failures
from pointline.cli.options import JsonOption, LakeOption, command
from pointline.cli.output import note, say, show, show_json
from pointline.errors import ConfigError

app = typer.Typer()


@command(app, short_help="Asks the lake in SQL (ClickHouse's dialect).")
def sql(
    text: Annotated[
        str | None,
        typer.Argument(help="One statement; - reads it from standard input. Without one, a terminal gets a prompt.", show_default=False),
    ] = None,
    file: Annotated[Path | None, typer.Option("-f", "--file", help="Read the statement from this file.", show_default=False)] = None,
    output_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="table, csv, tsv, json, jsonl, parquet, arrow, markdown, xlsx, or any of ClickHouse. [default: by --output, else table]",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Write the result to this file; - is standard output, as csv or --format.", show_default=False),
    ] = None,
    param: Annotated[list[str] | None, typer.Option(help="Value of {x:Type} in the statement, as x=VALUE.", show_default=False)] = None,
    unsafe: Annotated[
        bool, typer.Option("--unsafe", help="Run the statement unchecked: it may read your files, and decimals may overflow.")
    ] = False,
    lake: LakeOption = None,
    json_output: JsonOption = False,
) -> None:
    r"""Runs one statement over the views of api: ohlcv, trade, trade_last, funding_rate, market_spot, market_future, features and coverage.

    Without a statement, a terminal gets a prompt. There statements end with a semicolon. \q or Ctrl-D leaves, Ctrl-C stops a statement.

    Example: pointline sql "SELECT exchange, market, first_date, last_date FROM api.coverage"
    """
    from pointline.sql.command import SqlOptions, answer
    from pointline.sql.interrupts import ending_on_signals
    from pointline.sql.process import close

    options = SqlOptions(
        text=text,
        file=file,
        output_format=_format(output_format, json_output=json_output),
        output=output,
        parameters=tuple(param or ()),
        lake=lake,
        unsafe=unsafe,
    )
    if text is None and file is None and sys.stdin.isatty() and sys.stdout.isatty():
        from pointline.sql.prompt import run_prompt

        run_prompt(options, show=show, note=note)
        return
    with ending_on_signals(failures.line_of):
        shown = answer(options, note=note, to_terminal=sys.stdout.isatty())
        if isinstance(shown, bytes):
            sys.stdout.buffer.write(shown)
            sys.stdout.buffer.flush()
        elif shown is not None:
            show(shown, always=True)
        close()


def _format(chosen: str | None, *, json_output: bool) -> str | None:
    """The format of the result; --json is short for --format json."""
    if json_output and chosen not in {None, "json"}:
        raise ConfigError("--json is short for --format json", value=f"--format {chosen}", expected="one of the two")
    return "json" if json_output else chosen


@command(app, short_help="Serves the lake to ClickHouse clients over HTTP.")
def serve(
    lake: LakeOption = None,
    host: Annotated[str | None, typer.Option(help="Address to listen at. [default: 127.0.0.1]", show_default=False)] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one. [default: 8123]", show_default=False)] = None,
    workers: Annotated[int | None, typer.Option(help="Queries that run at a time. [default: 2]", show_default=False)] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with users, limits and more.", show_default=False)] = None,
    hash_password: Annotated[
        bool, typer.Option("--hash-password", help="Ask for a password, print its hash for the file and stop.")
    ] = False,
    new_token: Annotated[bool, typer.Option("--new-token", help="Print a new token with its hash for the file and stop.")] = False,
    unsafe_no_sandbox: Annotated[
        bool, typer.Option("--unsafe-no-sandbox", help="Serve although queries cannot be confined; for this machine only.")
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Answers SQL over ClickHouse's HTTP protocol. The same address shows a page with a query box.

    Example: pointline serve --lake lake --port 8123
    """
    from pointline.server import command as server

    if hash_password or new_token:
        kind = "password" if hash_password else "token"
        secret = server.new_secret(kind, lambda: str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)))
        if json_output:
            show_json(secret.values)
        else:
            sys.stdout.write(secret.lines)
        return
    found = server.configured(config, host=host, port=port, workers=workers)
    sys.exit(server.start(lake, found, say=_say_json if json_output else say, unsafe_no_sandbox=unsafe_no_sandbox))


def _say_json(text: str) -> None:
    """One message of the server as one line of JSON."""
    sys.stdout.write(json.dumps({"message": text}) + "\n")
    sys.stdout.flush()
