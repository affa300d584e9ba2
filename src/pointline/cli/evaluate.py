"""The command that asks whether features predict anything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pointline.cli.bars import (
    AnchorOption,
    BarsOption,
    BoundaryOption,
    CostsOption,
    EndOption,
    EventsOption,
    PerpArgument,
    SpotArgument,
    StartOption,
    ThresholdOption,
    costs_of_options,
    rule_of_options,
)
from pointline.cli.options import JsonOption, LakeOption, command
from pointline.cli.output import console, settings, show, show_json, show_text, shows_progress
from pointline.errors import ConfigError, SlowStartWarning

if TYPE_CHECKING:
    from pointline.studies.evaluate import Evaluation

app = typer.Typer()


@command(app, short_help="Tests whether features predict returns, and whether it pays.")
def evaluate(
    perp: PerpArgument,
    spot: SpotArgument,
    start: StartOption,
    end: EndOption,
    threshold: ThresholdOption = "auto",
    bars: BarsOption = "volume",
    events: EventsOption = "trades",
    boundary: BoundaryOption = None,
    anchor: AnchorOption = "day",
    costs: CostsOption = None,
    features: Annotated[
        str | None, typer.Option(help="Names, by commas; all but prices and amounts if not given.", show_default=False)
    ] = None,
    labels: Annotated[
        str, typer.Option(help="What is predicted, by commas: perp_return, spot_return, basis_change, perp_volatility, spot_volatility.")
    ] = "perp_return,spot_return,basis_change,perp_volatility,spot_volatility",
    horizons: Annotated[str, typer.Option(help="How far ahead, by commas: bars (1) or times (10m).")] = "1,5,10",
    z_bars: Annotated[int, typer.Option(help="Bars of basis_z.")] = 100,
    method: Annotated[str, typer.Option(help="spearman (ranks) or pearson (values).")] = "spearman",
    min_spot_volume: Annotated[
        float | None, typer.Option(help="Leave out bars with less spot volume, in base units; the guide takes 5.", show_default=False)
    ] = None,
    draws: Annotated[int, typer.Option(help="Draws of each null; 0 leaves the nulls out.")] = 40,
    folds: Annotated[int, typer.Option(help="Blocks of the walk-forward figures; 0 leaves them out.")] = 5,
    top: Annotated[int, typer.Option(help="Rows that are shown.")] = 12,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Write all rows: .parquet, .arrow, .exact.csv, .xlsx or .csv.", show_default=False),
    ] = None,
    lake: LakeOption = None,
    json_output: JsonOption = False,
) -> None:
    """Builds bars and features as compare does, and tests each feature against each label with what it takes to believe the result.

    Example: pointline evaluate binance-futures:BTCUSDT binance-spot:BTCUSDT --start 2024-05-01 --end 2024-05-03 --bars time --threshold 1m
    """
    import warnings

    from pointline.evaluation import IcOptions
    from pointline.features import FeatureParams
    from pointline.report.files import check_output, write_blocks
    from pointline.studies.compare import compare

    if top < 0:
        raise ConfigError("--top is no number of rows", value=top, expected="0 or more")
    if output is not None:
        check_output(output)
    bar_horizons, clock_horizons = _horizons(horizons)
    options: dict[str, Any] = {
        "labels": tuple(_listed(labels)),
        "horizons": bar_horizons,
        "horizons_us": clock_horizons,
        "method": method,
        "min_spot_volume": min_spot_volume,
        "draws": draws,
        "folds": folds,
    }
    IcOptions(**options)  # refused before the work
    with warnings.catch_warnings(action="ignore"):  # the notes of the study say the same
        warnings.simplefilter("default", SlowStartWarning)
        study = compare(
            *(perp, spot),
            start=start,
            end=end,
            bars=rule_of_options(bars, threshold, boundary, anchor),
            events=events,
            costs=costs_of_options(costs),
            params=FeatureParams(z_bars=z_bars),
            lake=lake,
            progress=shows_progress(),
        )
    found = study.ic(None if features is None else _listed(features), **options)
    if output is not None:
        write_blocks(iter([found.table]), output)
    if json_output:
        costs = study.params.costs.text
        show_json({"perp": perp, "spot": spot, "costs": costs, "notes": study.notes, **found.summary, "rows": found.table.to_dicts()})
    elif not settings.quiet:
        _show(found, (f"costs: {study.params.costs.text}", *study.notes), top, output)


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _horizons(text: str) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Whole numbers are bars, the rest are durations."""
    parts = _listed(text)
    return tuple(int(part) for part in parts if part.isdecimal()), tuple(part for part in parts if not part.isdecimal())


def _show(found: Evaluation, notes: tuple[str, ...], top: int, output: Path | None) -> None:
    from pointline.report.evaluation_table import evaluation_view

    told: dict[str, Any] = {"title": found.title, "rule": found.rule_text, "verdict": found.verdict, "confidence": found.options.confidence}
    show(evaluation_view(found.table, top=top, notes=notes, width=console().width, **told))
    if output is not None:
        show_text(f"wrote {found.table.height:,} rows x {found.table.width} columns to {output}")
