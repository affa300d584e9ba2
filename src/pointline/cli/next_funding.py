"""The command that asks how well the next funding rate can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pointline.cli.bars import EndOption, PerpArgument, SpotArgument, StartOption
from pointline.cli.options import JsonOption, LakeOption, command
from pointline.cli.output import settings, show, show_json, show_text
from pointline.cli.studies import ChartOption
from pointline.errors import ConfigError

app = typer.Typer()


@command(app, short_help="Tests whether models know the next funding better than the venue's rule.")
def next_funding(
    perp: PerpArgument,
    spot: SpotArgument,
    start: StartOption,
    end: EndOption,
    hours_before: Annotated[str, typer.Option(help="Hours before each settlement at which it is forecast, by commas.")] = "8,4,1,0",
    folds: Annotated[int, typer.Option(help="Parts that are scored, each by what was fitted before it; 1 scores the second half.")] = 5,
    premium: Annotated[str, typer.Option(help="premium_index, mark_index or basis; auto takes the first that the lake tells.")] = "auto",
    step: Annotated[str, typer.Option(help="Distance of two values of the premium; it divides an hour.")] = "1h",
    models: Annotated[str, typer.Option(help="By commas: least_squares, ridge, boosting.")] = "least_squares,ridge,boosting",
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Write each settlement with its forecasts: .parquet, .arrow, .exact.csv, .xlsx or .csv.",
            show_default=False,
        ),
    ] = None,
    chart: ChartOption = None,
    lake: LakeOption = None,
    json_output: JsonOption = False,
) -> None:
    """Forecasts each funding settlement some hours before, by the venue's own rule and by models that are fitted on the past.

    Example: pointline next-funding binance-futures:BTCUSDT binance-spot:BTCUSDT --start 2023-01-01 --end 2024-12-01
    """
    import warnings

    from pointline.report.files import check_output, write_blocks
    from pointline.studies.next_funding import next_funding as run

    if output is not None:
        check_output(output)
    with warnings.catch_warnings(action="ignore"):  # the notes say the same
        found = run(
            *(perp, spot),
            start=start,
            end=end,
            hours_before=_hours(hours_before),
            folds=folds,
            premium=premium,  # type: ignore[arg-type] # checked there
            step=step,
            models=_listed(models),
            lake=lake,
        )
    if output is not None:
        write_blocks(iter([found.settlements]), output)
    if chart is not None:
        found.chart(chart)
    if json_output:
        show_json({**found.summary, "table": found.table.to_dicts()})
    elif not settings.quiet:
        show(found.view())
        if output is not None:
            show_text(f"wrote {found.settlements.height:,} rows x {found.settlements.width} columns to {output}")
        if chart is not None:
            show_text(f"wrote {chart}")


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _hours(text: str) -> list[float]:
    try:
        return [float(part) for part in _listed(text)]
    except ValueError:
        raise ConfigError("the hours are no numbers", where="--hours-before", value=text, expected="for example 8,4,1,0") from None
