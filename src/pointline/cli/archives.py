"""The commands that bring archive files in: the demo, which makes its own, and ingest."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pointline.cli import failures
from pointline.cli.options import DryRunOption, JsonOption, LakeOption, command
from pointline.cli.output import console, say, settings, show, show_json, show_text, shows_progress
from pointline.errors import PointlineError
from pointline.sources.families import source_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointline.ingest.request import IngestOptions

app = typer.Typer()


@command(app, short_help="Simulates a market, ingests it, compares it, writes a report.")
def demo(
    output_folder: Annotated[Path, typer.Option("-o", "--output-folder", help="Where archives, lake, tables, chart and report go.")] = Path(
        "out/demo"
    ),
    trades: Annotated[int, typer.Option(help="Perp trades per simulated day.", min=1_000)] = 1_000_000,
    json_output: JsonOption = False,
) -> None:
    """Simulates two days of a market, ingests them and compares perp and spot. Leaves archives, lake, tables, a chart and a report.

    Example: pointline demo -o out/demo
    """
    from pointline.demo import run_demo
    from pointline.report.tables import bars_view, ingest_view, summary_view

    result = run_demo(output_folder, trades_per_day=trades, say=say)
    study = result.study
    if json_output:
        show_json({"files": {name: str(path) for name, path in result.files.items()}, **study.summary})
        return
    if settings.quiet:
        return
    show(ingest_view(result.reports, elapsed_s=result.ingest_s, width=console().width))
    show(
        summary_view(
            study.summary,
            title=f"{study.pair.perp.name} against {study.pair.spot.name}, simulated",
            rule=study.rule_text,
            notes=study.notes,
        )
    )
    show_text("")
    show(bars_view(study.features, width=console().width))
    for name, path in result.files.items():
        show_text(f"{name}: {path}")


@command(app, short_help="Brings archive files into the lake.")
def ingest(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="Archive files, or folders that are searched for them; - reads a list of paths from standard input.", show_default=False
        ),
    ],
    lake: LakeOption = None,
    source: Annotated[str | None, typer.Option(help=f"{source_names()}; else told by path and content.", show_default=False)] = None,
    exchange: Annotated[str | None, typer.Option(help="e.g. binance-futures, where the path does not say.", show_default=False)] = None,
    dataset: Annotated[str | None, typer.Option(help="e.g. trades or klines-1m, where the path does not say.", show_default=False)] = None,
    symbol: Annotated[str | None, typer.Option(help="e.g. BTCUSDT, where the path does not say.", show_default=False)] = None,
    period: Annotated[str | None, typer.Option(help="YYYY-MM-DD or YYYY-MM, where the name does not say.", show_default=False)] = None,
    mapping: Annotated[Path | None, typer.Option(help="TOML file that describes the columns of any table.", show_default=False)] = None,
    clock: Annotated[str, typer.Option(help="receipt: use a recording's receipt times; event: use the exchange's.")] = "receipt",
    latency: Annotated[str, typer.Option(help="Assumed delay where there is no receipt time, e.g. 20ms.")] = "0us",
    dry_run: DryRunOption = False,
    json_output: JsonOption = False,
) -> None:
    """Brings archive files into the lake: each whole or not at all, and each once.

    Example: pointline ingest ~/vision/data --lake lake

    Any other table: pointline ingest fills.csv --mapping mapping.toml. For the columns id,time,price,qty,side the mapping is:

    \b
      kind = "trades"
      exchange = "binance-spot"
      symbol = "BTCUSDT"
      [columns]
      ts_event_us = { column = "time", unit = "ms" }
      trade_id = "id"
      price = "price"
      qty = "qty"
      side = { column = "side", seller_taker = ["sell"] }
    """  # noqa: D301 - \b keeps the lines of the mapping apart
    from pointline.ingest.request import IngestOptions, failures_of, ingest_paths
    from pointline.report.tables import ingest_view

    options = IngestOptions(
        source=source, exchange=exchange, dataset=dataset, symbol=symbol, period=period, mapping=mapping, clock=clock, latency=latency
    )
    named = _with_listed(paths)
    if dry_run:
        _look(named, options, lake)
        return
    began = time.perf_counter()
    reports = ingest_paths(named, options, lake=lake, progress=shows_progress())
    if json_output:
        show_json([report.row() for report in reports])
    elif not settings.quiet:
        show(ingest_view(reports, elapsed_s=time.perf_counter() - began, width=console().width))
    end_of_files(*failures_of(reports, named), len(reports))


def _with_listed(paths: Sequence[Path]) -> list[Path]:
    """The paths, with those that standard input lists in place of "-": one a line, or ended by NUL as from ``find -print0``."""
    found: list[Path] = []
    for path in paths:
        if str(path) != "-":
            found.append(path)
            continue
        listed = sys.stdin.buffer.read()
        parts = listed.split(b"\0") if b"\0" in listed else listed.splitlines()
        found += [Path(os.fsdecode(part)) for part in parts if part.strip()]
    return found


def _look(named: Sequence[Path], options: IngestOptions, lake: str | None) -> None:
    """Says what an ingest would do."""
    from pointline.ingest.preview import preview
    from pointline.ingest.request import failures_of
    from pointline.report.tables import preview_view

    found = preview(named, options, lake=lake, progress=shows_progress())
    if settings.json:
        show_json([one.row() for one in found])
    elif not settings.quiet:
        show(preview_view(found))
    end_of_files(*failures_of(found, named), len(found))


def end_of_files(errors: list[PointlineError], code: int, count: int) -> None:
    """Ends the command as the worst of the files wants."""
    if not errors:
        return
    several = PointlineError(
        f"{len(errors)} of {count} files are refused, or have rows set aside",
        where=str(errors[0].where),
        value=[f"{error.where}: {error.what}" for error in errors],
        hint="the list on standard output has the problem of each file",
    )
    raise typer.Exit(failures.report_all(errors, errors[0] if len(errors) == 1 else several, code))
