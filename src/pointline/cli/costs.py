"""The command that holds the basis of a pair against what a round trip costs."""

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
    SameExchangeOption,
    SpotArgument,
    StartOption,
    ThresholdOption,
    costs_of_options,
    rule_of_options,
)
from pointline.cli.cost_figures import FigureOption, SlippageOption, changed_costs, figures_of_options
from pointline.cli.options import JsonOption, LakeOption, command
from pointline.cli.output import settings, show, show_json, show_text, shows_progress
from pointline.cli.studies import ChartOption
from pointline.errors import SlowStartWarning

if TYPE_CHECKING:
    from pointline.studies.costs import CostStudy

app = typer.Typer()


@command(app, short_help="Says what a round trip costs, and when the basis was larger.")
def costs(
    perp: PerpArgument,
    spot: SpotArgument,
    start: StartOption,
    end: EndOption,
    threshold: ThresholdOption = "auto",
    bars: BarsOption = "volume",
    events: EventsOption = "trades",
    boundary: BoundaryOption = None,
    anchor: AnchorOption = "day",
    preset: CostsOption = None,
    same_exchange: SameExchangeOption = False,
    figure: FigureOption = None,
    slippage: SlippageOption = None,
    notional: Annotated[float | None, typer.Option(help="Size of one leg in money. [default: 60000]", show_default=False)] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Write each spell above the cost: .parquet, .arrow, .exact.csv, .xlsx or .csv.", show_default=False
        ),
    ] = None,
    chart: ChartOption = None,
    lake: LakeOption = None,
    json_output: JsonOption = False,
) -> None:
    """Builds bars as compare does, and says what a round trip of both legs costs, what pays for it, and when the basis was larger.

    Example: pointline costs binance-futures:BTCUSDT binance-spot:BTCUSDT --start 2024-05-01 --end 2024-05-03 --costs same-exchange
    """
    import warnings

    from pointline.report.files import check_output, write_blocks
    from pointline.studies.compare import compare
    from pointline.studies.costs import check_request

    named = costs_of_options(preset, same_exchange=same_exchange)
    check_request(slippage=slippage, notional_quote=notional)
    figures = figures_of_options(figure or [], notional, measured=slippage is not None)
    if output is not None:
        check_output(output)
    with warnings.catch_warnings(action="ignore"):  # the notes of the study say the same
        warnings.simplefilter("default", SlowStartWarning)
        study = compare(
            *(perp, spot),
            start=start,
            end=end,
            bars=rule_of_options(bars, threshold, boundary, anchor),
            events=events,
            costs=named,
            lake=lake,
            progress=shows_progress(),
        )
    found = study.costs(changed_costs(study.params.costs, figures), slippage=slippage, notional_quote=notional)
    if output is not None:
        write_blocks(iter([found.spells]), output)
    if chart is not None:
        found.chart(chart)
    if json_output:
        show_json(_facts(found))
    elif not settings.quiet:
        show(found.view())
        if output is not None:
            show_text(f"wrote {found.spells.height:,} spells to {output}")
        if chart is not None:
            show_text(f"wrote {chart}")


def _facts(found: CostStudy) -> dict[str, Any]:
    tables = ("break_even", "pays_back", "opportunities", "by_condition", "sensitivity", "spells")
    return {**found.summary, "notes": found.notes, "tables": {name: getattr(found, name).to_dicts() for name in tables}}
