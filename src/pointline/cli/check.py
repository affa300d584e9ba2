"""The command that says whether a pair is ready: the checklist of a comparison, for people, programs and cron."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pointline.cli import failures
from pointline.cli.bars import (
    AnchorOption,
    BarsOption,
    BaseThresholdOption,
    BoundaryOption,
    CostsOption,
    DualOption,
    EndOption,
    EventsOption,
    JoinOption,
    NoCacheOption,
    PerpArgument,
    SameExchangeOption,
    SpotArgument,
    StartOption,
    ThresholdOption,
    costs_of_options,
    other_rule,
    rule_of_options,
)
from pointline.cli.options import JsonOption, LakeOption, command
from pointline.cli.output import RESULT_SAYS_NO, settings, show, show_json, show_text, shows_progress
from pointline.errors import ConfigError, PointlineError, SlowStartWarning, nearest

if TYPE_CHECKING:
    import polars as pl

    from pointline.evaluation.check_limits import CheckLimits
    from pointline.studies.checklist import Checklist

app = typer.Typer()


def _checked_file(path: Path | None) -> Path | None:
    """The path of a Prometheus file, refused before the work where none can be written."""
    from pointline.report.prometheus import check_text_file

    return None if path is None else check_text_file(path)


@command(app, short_help="Says whether data, funding, costs and evidence of a pair are ready.")
def check(
    perp: PerpArgument,
    spot: SpotArgument,
    start: StartOption,
    end: EndOption,
    threshold: ThresholdOption = "auto",
    bars: BarsOption = "volume",
    events: EventsOption = "trades",
    boundary: BoundaryOption = None,
    anchor: AnchorOption = "day",
    join: JoinOption = "asof",
    base_threshold: BaseThresholdOption = None,
    no_cache: NoCacheOption = False,
    dual: DualOption = None,
    costs: CostsOption = None,
    same_exchange: SameExchangeOption = False,
    limit: Annotated[
        list[str] | None,
        typer.Option(help="Another limit, as NAME=VALUE; may be repeated; an unknown name lists all.", show_default=False),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="How many features, labels and settings were tried in all.", show_default=False)
    ] = None,
    evaluate: Annotated[bool, typer.Option("--evaluate", help="Also test the features, as pointline evaluate does.")] = False,
    by_hour: Annotated[bool, typer.Option("--by-hour", help="Also volumes and stale bars by UTC hour.")] = False,
    prometheus: Annotated[
        Path | None,
        typer.Option(help="Write the figures to this .prom file for Prometheus.", callback=_checked_file, show_default=False),
    ] = None,
    lake: LakeOption = None,
    json_output: JsonOption = False,
) -> None:
    """Compares a pair, holds the result against a checklist, and exits with 1 if a point fails.

    Example: pointline check binance-futures:BTCUSDT binance-spot:BTCUSDT --start 2024-05-01 --end 2024-05-07 --threshold 100
    """
    import warnings

    from pointline.studies.compare import compare as run

    limits = _limits(limit or [])
    with warnings.catch_warnings(action="ignore"):  # the notes of the study say the same
        warnings.simplefilter("default", SlowStartWarning)
        study = run(
            perp,
            spot,
            start=start,
            end=end,
            bars=rule_of_options(bars, threshold, boundary, anchor),
            spot_bars=other_rule("--dual", bars, dual, boundary, anchor),
            base_bars=other_rule("--base-threshold", bars, base_threshold, boundary, anchor),
            cache=not no_cache,
            events=events,
            join=join,  # type: ignore[arg-type]
            costs=costs_of_options(costs, same_exchange=same_exchange),
            lake=lake,
            progress=shows_progress(),
        )
    found = study.checklist(limits=limits, evaluation=study.ic() if evaluate else None, trials=trials)
    hours = study.by_time_of_day(limits=limits) if by_hour else None
    if prometheus is not None:
        found.write_prometheus(prometheus)
    if json_output:
        by_time = {} if hours is None else {"by_hour": hours.to_dicts()}
        show_json({**found.summary, "costs": study.params.costs.text, "notes": found.notes, "points": found.table.to_dicts(), **by_time})
    elif not settings.quiet:
        _show(found, f"Costs: {study.params.costs.text}", hours, prometheus)
    if not found.passed:
        _end_with_no(found)


def _show(found: Checklist, costs: str, hours: pl.DataFrame | None, written: Path | None) -> None:
    from pointline.report.checks import checklist_view, hours_view

    show(checklist_view(title=found.title, lines=[found.window_text, costs], table=found.table, verdict=found.verdict, notes=found.notes))
    if hours is not None:
        show_text("")
        show(hours_view(hours))
    if written is not None:
        show_text(f"wrote {written}")


def _end_with_no(found: Checklist) -> None:
    """Says on standard error which points fail, and ends the command.

    Raises:
        typer.Exit: with `RESULT_SAYS_NO`.
    """
    named = [f"{point.name}: {point.advice}" for point in found.points if point.status == "fail"]
    what = f"{len(named)} {'point fails' if len(named) == 1 else 'points fail'}"
    where = f"{found.perp}, {found.spot}, {found.window_text}"
    rest = {"where": where, "expected": "no point that fails", "hint": "follow the advice, or set your own limits with --limit NAME=VALUE"}
    as_text = PointlineError("\n  ".join([f"{what}:", *named]), **rest)
    raise typer.Exit(failures.report_all([as_text], PointlineError(what, value=named, **rest), RESULT_SAYS_NO))


def _limits(given: list[str]) -> CheckLimits:
    """The limits with those that the user gives.

    Raises:
        ConfigError: one has no name or no number, is unknown, given twice, or cannot be used.
    """
    from dataclasses import fields

    from pointline.evaluation.check_limits import CheckLimits

    known = [one.name for one in fields(CheckLimits)]
    values: dict[str, float] = {}
    for text in given:
        name, equals, number = (part.strip() for part in text.partition("="))
        if not equals:
            raise ConfigError("a limit is given as NAME=VALUE", where="--limit", value=text, expected="for example null_share=0.05")
        if name not in known:
            alike = nearest(name, known).lower()
            raise ConfigError("there is no such limit", where="--limit", value=name, expected=", ".join(known), hint=f"alike: {alike}")
        if name in values:
            raise ConfigError("a limit is given twice", where="--limit", value=text, expected=f"{name} once")
        try:
            values[name] = float(number)
        except ValueError:
            raise ConfigError(f"{name} is not a number", where="--limit", value=text, expected=f"for example {name}=0.05") from None
    return CheckLimits(**values)
