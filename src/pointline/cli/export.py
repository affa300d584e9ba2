"""The command that makes the lake readable for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pointline.cli.options import JsonOption, LakeOption, command
from pointline.cli.output import settings, show, show_json
from pointline.errors import ConfigError

app = typer.Typer()


@command(app, short_help="Writes a DuckDB file of views over the lake, for other tools.")
def export(
    duckdb: Annotated[
        Path | None, typer.Option(help="The DuckDB file to write; an earlier export is replaced.", show_default=False)
    ] = None,
    tables: Annotated[
        str | None, typer.Option(help="Names of views with commas between them, e.g. trade,ohlcv; else all.", show_default=False)
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Also replace a file that is no export, or holds other things too.")] = False,
    lake: LakeOption = None,
    json_output: JsonOption = False,
) -> None:
    """Writes a small DuckDB file whose views read the lake's files: decoded prices, real timestamps, the names of SQL.

    Make it again after the lake has changed: the views name the files that served when it was made.

    Example: pointline export --duckdb lake.duckdb --lake lake
    """
    from pointline.export.duckdb import export_duckdb
    from pointline.report.exports import export_view

    if duckdb is None:
        raise ConfigError("it is not said what to export to", expected="--duckdb FILE, e.g. --duckdb lake.duckdb")
    names = None if tables is None else [name.strip() for name in tables.split(",") if name.strip()]
    done = export_duckdb(duckdb, lake=lake, tables=names, replace=replace)
    if json_output:
        show_json(done.as_json())
    elif not settings.quiet:
        show(export_view(done))
