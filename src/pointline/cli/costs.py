"""The command that holds the basis of a pair against what a round trip costs."""

from __future__ import annotations

from dataclasses import replace
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
from pointline.cli.options import JsonOption, LakeOption, command
from pointline.cli.output import settings, show, show_json, show_text, shows_progress
from pointline.cli.studies import ChartOption
from pointline.errors import ConfigError, SlowStartWarning, nearest

if TYPE_CHECKING:
    from pointline.costs import CostModel
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
    figure: Annotated[
        list[str] | None,
        typer.Option(help="Another figure of the costs, as NAME=VALUE; may be repeated; an unknown name lists all.", show_default=False),
    ] = None,
    slippage: Annotated[
        str | None, typer.Option(help="Measure it: quotes (of the lake) or bars; else it is a figure.", show_default=False)
    ] = None,
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
    figures = _figures(figure or [], notional, measured=slippage is not None)
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
    found = study.costs(_changed(study.params.costs, figures), slippage=slippage, notional_quote=notional)
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


def _figures(given: list[str], notional: float | None, *, measured: bool) -> dict[str, Any]:
    """The figures of --figure, refused before the work where they cannot be costs.

    Raises:
        ConfigError: one has no name or no number, is unknown, given twice, or cannot be used.
    """
    from dataclasses import fields

    from pointline.costs import CostModel
    from pointline.studies.costs import GUIDE_NOTIONAL_QUOTE

    known = [one.name for one in fields(CostModel) if one.name.endswith(("_bps", "_per_day", "_quote")) and one.name != "notional_quote"]
    values: dict[str, Any] = {}
    for text in given:
        name, equals, number = (part.strip() for part in text.partition("="))
        if not equals:
            raise ConfigError("a figure is given as NAME=VALUE", where="--figure", value=text, expected="for example perp_taker_bps=4")
        if name not in known:
            alike = nearest(name, known).lower()
            raise ConfigError("there is no such figure", where="--figure", value=name, expected=", ".join(known), hint=f"alike: {alike}")
        if name in values:
            raise ConfigError("a figure is given twice", where="--figure", value=text, expected=f"{name} once")
        if measured and name.endswith("_slippage_bps"):
            raise ConfigError("slippage is given as a figure and is to be measured", where="--figure", value=text, expected="one of them")
        try:
            values[name] = float(number)
        except ValueError:
            raise ConfigError(f"{name} is not a number", where="--figure", value=text, expected=f"for example {name}=4") from None
    if "withdrawal_quote" in values:
        values["notional_quote"] = GUIDE_NOTIONAL_QUOTE if notional is None else notional
    CostModel(**values)
    return values


def _changed(model: CostModel, figures: dict[str, Any]) -> CostModel:
    """The costs with figures of the user's own; a changed fee is no venue's."""
    from pointline.costs import DEFAULT_WITHDRAWAL_BPS, CostModel

    if not figures:
        return model
    if "withdrawal_quote" in figures:
        figures = {"withdrawal_bps": DEFAULT_WITHDRAWAL_BPS, **figures}
    if any(name.endswith("_taker_bps") for name in figures):
        figures = {**figures, "venue": "", "tier": "", "source": CostModel.source}
    return replace(model, **figures)
