"""The command that says what a strategy would have earned."""

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
from pointline.errors import ConfigError, SlowStartWarning

if TYPE_CHECKING:
    import polars as pl

    from pointline.studies.backtest import Backtest, BacktestSweep
    from pointline.studies.study import Study

app = typer.Typer()

_TABLE_HELP = ": .parquet, .arrow, .exact.csv, .xlsx or .csv."
_OutputFile = Path | None


@command(app, short_help="Says what a strategy would have earned after all costs.")
def backtest(
    perp: PerpArgument,
    spot: SpotArgument,
    start: StartOption,
    end: EndOption,
    strategy: Annotated[str, typer.Option(help="Its name; an unknown one lists all.")] = "funding_basis_divergence",
    threshold: ThresholdOption = "auto",
    bars: BarsOption = "volume",
    events: EventsOption = "trades",
    boundary: BoundaryOption = None,
    anchor: AnchorOption = "day",
    entry: Annotated[
        str | None,
        typer.Option(help="Quantile of the past beyond which a trade begins; several by commas are a sweep.", show_default=False),
    ] = None,
    exit_: Annotated[
        str | None, typer.Option("--exit", help="Quantile at which it ends; several by commas are a sweep.", show_default=False)
    ] = None,
    lookback: Annotated[str | None, typer.Option(help="How far each fit looks back, e.g. 30d.", show_default=False)] = None,
    refit: Annotated[str | None, typer.Option(help="Time between two fits, e.g. 1d.", show_default=False)] = None,
    fewest_bars: Annotated[int | None, typer.Option(help="Bars that a fit needs.", show_default=False)] = None,
    above: Annotated[float | None, typer.Option(help="Instead: a level above which a trade begins.", show_default=False)] = None,
    exit_above: Annotated[float | None, typer.Option(help="That trade ends at or below this level.", show_default=False)] = None,
    below: Annotated[float | None, typer.Option(help="A level below which a trade begins.", show_default=False)] = None,
    exit_below: Annotated[float | None, typer.Option(help="That trade ends at or above this level.", show_default=False)] = None,
    max_holding: Annotated[str | None, typer.Option(help="Longest time in a trade, e.g. 8h.", show_default=False)] = None,
    execution: Annotated[str, typer.Option(help="next_bar_vwap, next_bar_open, next_trade or touch.")] = "next_bar_vwap",
    latency: Annotated[str, typer.Option(help="From a bar's end to the order, for next_trade and touch.")] = "100ms",
    max_wait: Annotated[str, typer.Option(help="Longest time until a fill.")] = "1m",
    preset: CostsOption = None,
    same_exchange: SameExchangeOption = False,
    figure: FigureOption = None,
    slippage: SlippageOption = None,
    notional: Annotated[float, typer.Option(help="Of each trade, in the spot's quote asset.")] = 10_000.0,
    leverage: Annotated[float, typer.Option(help="Of the perp's isolated margin.")] = 3.0,
    capital: Annotated[
        float | None, typer.Option(help="Equity at the begin. [default: what one trade ties up]", show_default=False)
    ] = None,
    funding: Annotated[str, typer.Option(help="settled: every settlement is charged; none: funding is not counted.")] = "settled",
    max_mark_age: Annotated[str, typer.Option(help="How old a mark price may be at its settlement.")] = "1m",
    perp_price: Annotated[
        bool, typer.Option("--perp-price", help="Let the perp's own price stand in where there is no mark price.")
    ] = False,
    quote_rate: Annotated[
        float | None, typer.Option(help="The spot's quote units for one of the perp's, where they differ.", show_default=False)
    ] = None,
    trials: Annotated[int, typer.Option(help="Settings that were tried before on these data; they count against the result.")] = 0,
    output: Annotated[
        _OutputFile, typer.Option("-o", "--output", help=f"Write the trades, or the trials of a sweep{_TABLE_HELP}", show_default=False)
    ] = None,
    daily: Annotated[_OutputFile, typer.Option(help=f"Write the attribution by day{_TABLE_HELP}", show_default=False)] = None,
    payments: Annotated[_OutputFile, typer.Option(help=f"Write every funding payment{_TABLE_HELP}", show_default=False)] = None,
    chart: ChartOption = None,
    lake: LakeOption = None,
    json_output: JsonOption = False,
) -> None:
    """Trades a signal of the comparison in both legs: decided at a bar's end, filled after it, with fees, slippage and settled funding.

    Example: pointline backtest binance-futures:BTCUSDT binance-spot:BTCUSDT --start 2024-05-01 --end 2024-05-03 --strategy cash_and_carry
    """
    from pointline.report.files import check_output
    from pointline.studies.backtest import settled_options
    from pointline.studies.costs import check_request

    files = {"trades": output, "daily": daily, "funding": payments}
    for path in files.values():
        if path is not None:
            check_output(path)
    fitted = {"refit_us": refit, "lookback_us": lookback, "fewest_bars": fewest_bars, "max_holding_us": max_holding}
    levels = {"above": above, "exit_above": exit_above, "below": below, "exit_below": exit_below}
    options: dict[str, Any] = {name: value for name, value in {**fitted, **levels, "quote_rate": quote_rate}.items() if value is not None}
    options |= {"execution": execution, "latency_us": latency, "max_wait_us": max_wait}
    options |= {"funding": funding, "max_mark_age_us": max_mark_age, "perp_price_as_mark": perp_price}
    options |= {"notional_quote": notional, "leverage": leverage, "capital_quote": capital}
    if trials < 0:
        raise ConfigError("--trials is no number of trials", value=trials, expected="0 or more")
    grid = {name: _quantiles(option, text) for name, option, text in (("entry", "--entry", entry), ("exit", "--exit", exit_)) if text}
    swept = any(len(values) > 1 for values in grid.values())
    chosen = {**options, **{name: values[0] for name, values in grid.items()}}
    settled_options(strategy, chosen)  # refused before the work
    named = costs_of_options(preset, same_exchange=same_exchange)
    check_request(slippage=slippage, notional_quote=notional)
    figures = figures_of_options(figure or [], notional, measured=slippage is not None)
    if swept and (daily is not None or payments is not None):
        raise ConfigError("a sweep has one table, of its trials", value="--daily, --payments", expected="-o FILE, or a single setting")
    study = _compared(
        *(perp, spot),
        start=start,
        end=end,
        bars=rule_of_options(bars, threshold, boundary, anchor),
        events=events,
        costs=named,
        lake=lake,
        progress=shows_progress(),
    )
    model = changed_costs(study.params.costs, figures)
    if slippage is not None:
        model = study.costs(model, slippage=slippage, notional_quote=notional).costs
    options["costs"] = chosen["costs"] = model
    if swept:
        tried = study.backtest_sweep(strategy, grid, earlier_trials=trials, **options)
        _tell_sweep(tried, output, json_output=json_output)
        found = tried.best
    else:
        found = study.backtest(strategy, trials=trials + 1, **chosen)
        _tell(found, files, json_output=json_output)
    if chart is not None:
        found.chart(chart)
        if not (json_output or settings.quiet):
            show_text(f"wrote {chart}")


def _compared(perp: str, spot: str, **options: Any) -> Study:  # noqa: ANN401 - those of compare
    import warnings

    from pointline.studies.compare import compare

    with warnings.catch_warnings(action="ignore"):  # the notes of the study say the same
        warnings.simplefilter("default", SlowStartWarning)
        return compare(perp, spot, **options)


def _quantiles(option: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise ConfigError(f"{option} is no list of quantiles", value=text, expected="for example 0.9,0.95") from error


def _tell(found: Backtest, files: dict[str, Path | None], *, json_output: bool) -> None:
    tables = {"trades": found.trades, "daily": found.daily, "funding": found.funding}
    for name, path in files.items():
        if path is not None:
            _write(tables[name], path)
    if json_output:
        show_json({**found.summary, "notes": found.notes, "days": found.daily.to_dicts()})
    elif not settings.quiet:
        show(found.view())
        for name, path in files.items():
            if path is not None:
                show_text(f"wrote {tables[name].height:,} rows x {tables[name].width} columns to {path}")


def _tell_sweep(found: BacktestSweep, output: Path | None, *, json_output: bool) -> None:
    if output is not None:
        _write(found.table, output)
    if json_output:
        show_json({"best": found.best.summary, "notes": found.best.notes, "trials": found.table.to_dicts()})
    elif not settings.quiet:
        show(found.view())
        if output is not None:
            show_text(f"wrote {found.table.height:,} rows x {found.table.width} columns to {output}")


def _write(table: pl.DataFrame, path: Path) -> None:
    from pointline.report.files import write_blocks

    write_blocks(iter([table]), path)
