"""The commands that measure: bars of a pair with its features, spreads of contracts against spot, and which of two markets leads."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
from pointline.cli.output import note, settings, show, show_json, show_text, shows_progress
from pointline.errors import ConfigError, SlowStartWarning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointline.studies.study import Study

app = typer.Typer()

_STDOUT = "-"
_STDOUT_FORMATS = {"csv": ".exact.csv", "parquet": ".parquet", "arrow": ".arrow"}  # another program reads them


def _checked_chart(path: Path | None) -> Path | None:
    """The path of a chart, refused before the work where none can be written."""
    from pointline.report.chart_files import check_chart_path

    return None if path is None else check_chart_path(path)


ChartOption = Annotated[
    Path | None, typer.Option("--chart", help="Write the chart: .html or .png.", callback=_checked_chart, show_default=False)
]


def _checked_report(path: Path | None) -> Path | None:
    """The path of a page, refused before the work where none can be written."""
    from pointline.report.page import check_page_path

    return None if path is None else check_page_path(path)


def _check_pictures(report: Path | None, pictures: Path | None) -> None:
    """Refuses pictures without a page, or a place where they cannot be written, before the work."""
    from pointline.report.page import check_page_path

    if pictures is not None:
        if report is None:
            raise ConfigError("--pictures are those of a report", value=str(pictures), expected="--report FILE.html beside it")
        check_page_path(report, pictures)


@command(app, short_help="Builds bars of a perp and its spot with every feature.")
def compare(
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
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Write the features: .parquet, .arrow or .exact.csv; for spreadsheets .xlsx or .csv; - is standard output.",
            show_default=False,
        ),
    ] = None,
    output_format: Annotated[
        str | None, typer.Option("--format", help="Of -o -: csv, parquet or arrow. [default: csv]", show_default=False)
    ] = None,
    chart: ChartOption = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            help="Write a page about the pair: data, evidence, provenance (.html).",
            callback=_checked_report,
            show_default=False,
        ),
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="With --report: a folder for a picture (PNG) of each of its figures.", show_default=False)
    ] = None,
    save: Annotated[
        str | None, typer.Option(help="Keep the features in the lake under this name, for SQL's api.features.", show_default=False)
    ] = None,
    lake: LakeOption = None,
    json_output: JsonOption = False,
) -> None:
    """Builds bars from the perp's trades or candles, puts the spot on the same bars, computes every feature and prints a summary.

    Example: pointline compare binance-futures:BTCUSDT binance-spot:BTCUSDT --start 2024-05-01 --end 2024-05-07 --threshold 100
    """
    import warnings

    from pointline.studies.compare import compare as run

    _check_pictures(report, pictures)
    with _table_file(output, output_format) as path, warnings.catch_warnings(action="ignore"):  # the notes of the study say the same
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
            output=path,
            progress=shows_progress(),
        )
        if save is not None:
            study.save(save)
        if chart is not None:
            study.chart(chart)
        if report is not None:
            study.report(report, pictures=pictures)
        if json_output:
            show_json({"perp": perp, "spot": spot, **_facts(study)})
        elif _is_stdout(output):
            _say_notes(study.notes)
        else:
            _show_study(study, output, chart, report)


@command(app, short_help="Measures perpetuals and dated futures against spot.")
def spreads(
    base_asset: Annotated[str, typer.Argument(help="The asset, e.g. BTC.", show_default=False)],
    reference: Annotated[
        str, typer.Option(help="exchange:market of the spot market, e.g. binance:BTC-USDT; several with commas.", show_default=False)
    ],
    start: StartOption,
    end: Annotated[str | None, typer.Option(help="First moment after the window; a date means 00:00 UTC.", show_default=False)] = None,
    through: Annotated[
        str | None, typer.Option(help="Instead of --end: the last day of the window, inclusive.", show_default=False)
    ] = None,
    contracts: Annotated[
        str | None, typer.Option(help="exchange:market of the contracts, with commas; else all contracts of the asset.", show_default=False)
    ] = None,
    duration: Annotated[str, typer.Option(help="Length of a candle in whole minutes, e.g. 1d, 4h, 1h or 1m.")] = "1d",
    max_trade_age: Annotated[str, typer.Option(help="A candle has no close if its last trade is older than this at its end.")] = "1m",
    costs: CostsOption = None,
    same_exchange: SameExchangeOption = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Write the long table: .parquet, .arrow or .exact.csv; for spreadsheets .xlsx or .csv; - is standard output.",
            show_default=False,
        ),
    ] = None,
    output_format: Annotated[
        str | None, typer.Option("--format", help="Of -o -: csv, parquet or arrow. [default: csv]", show_default=False)
    ] = None,
    chart: ChartOption = None,
    lake: LakeOption = None,
    json_output: JsonOption = False,
) -> None:
    """Measures each contract's closes against spot: spread, annualised basis, term structure, and the yield of cash and carry.

    Example: pointline spreads BTC --reference binance:BTC-USDT --start 2024-12-01 --through 2024-12-31 --chart spreads.html
    """
    from pointline.report.files import check_output, write_blocks
    from pointline.studies.spreads import spreads as run

    preset = costs_of_options(costs, same_exchange=same_exchange)
    with _table_file(output, output_format) as path:
        if path is not None:
            check_output(path)
        study = run(
            base_asset,
            reference=_listed(reference),
            start=start,
            end=end,
            through=through,
            contracts=None if contracts is None else _listed(contracts),
            duration=duration,
            max_trade_age=max_trade_age,
            lake=lake,
        )
        if path is not None:
            write_blocks(iter([study.table]), path)
        if chart is not None:
            study.chart(chart)
        if json_output:
            show_json({**study.figures(preset), "table": study.table.to_dicts()})
        elif _is_stdout(output):
            _say_notes(study.notes)
        elif not settings.quiet:
            show(study.view(preset))
            _say_written(output, chart)


@command(app, short_help="Measures on raw trades which of two markets leads.")
def lead_lag(
    perp: Annotated[str, typer.Argument(help="exchange:symbol of the first market; positive lags: it is ahead.", show_default=False)],
    spot: Annotated[str, typer.Argument(help="exchange:symbol of the second market; any instrument of the lake.", show_default=False)],
    start: Annotated[str, typer.Option(help="First moment of the window; a date means 00:00 UTC.", show_default=False)],
    end: Annotated[str, typer.Option(help="First moment after the window; a date means 00:00 UTC.", show_default=False)],
    max_lag: Annotated[str, typer.Option(help="Longest lag at which the peak is searched.")] = "1s",
    step: Annotated[str, typer.Option(help="Distance of two lags.")] = "5ms",
    near: Annotated[str, typer.Option(help="Longest lag of the asymmetry test.")] = "100ms",
    clock_tolerance: Annotated[str, typer.Option(help="How far apart the two clocks may be; less is no lead.")] = "10ms",
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Write the curve: .parquet, .arrow or .exact.csv; for spreadsheets .xlsx or .csv; - is standard output.",
            show_default=False,
        ),
    ] = None,
    output_format: Annotated[
        str | None, typer.Option("--format", help="Of -o -: csv, parquet or arrow. [default: csv]", show_default=False)
    ] = None,
    chart: ChartOption = None,
    lake: LakeOption = None,
    json_output: JsonOption = False,
) -> None:
    """Measures the Hayashi-Yoshida covariance of two markets at each lag, beside the same ticks without any lead, and says who leads.

    Example: pointline lead-lag binance-futures:BTCUSDT binance-spot:BTCUSDT --start 2024-05-01 --end 2024-05-03 --chart lead_lag.html
    """
    from pointline import clock
    from pointline.report.files import check_output, write_blocks
    from pointline.studies.lead_lag import lead_lag as run

    with _table_file(output, output_format) as path:
        if path is not None:
            check_output(path)
        study = run(
            *(perp, spot),
            start=start,
            end=end,
            max_lag=max_lag,
            step=step,
            near=near,
            clock_tolerance_us=clock.to_duration_us(clock_tolerance, name="clock_tolerance", least_us=0),
            lake=lake,
        )
        if path is not None:
            write_blocks(iter([study.table]), path)
        if chart is not None:
            study.chart(chart)
        if json_output:
            show_json(study.summary)
        elif _is_stdout(output):
            _say_notes(study.notes)
        elif not settings.quiet:
            show(study.view())
            _say_written(output, chart)


def _say_written(*paths: Path | None) -> None:
    for path in paths:
        if path is not None:
            show_text(f"wrote {path}")


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


@contextlib.contextmanager
def _table_file(output: Path | None, output_format: str | None) -> Iterator[Path | None]:
    """The file that a table is to be written to; that of "-" is printed when it is done."""
    from pointline.report.files import ENDINGS

    if not _is_stdout(output):
        if output_format is not None:
            raise ConfigError(
                "--format is for -o - only", value=output_format, expected=f"-o FILE, whose name ends in {', '.join(ENDINGS)}, or -o -"
            )
        yield output
        return
    if settings.json:
        raise ConfigError("--json and -o - both want standard output", value="--json -o -", expected="one of them, or -o FILE")
    suffix = _STDOUT_FORMATS.get(output_format or "csv")
    if suffix is None:
        raise ConfigError("there is no such format", where="--format", value=output_format, expected=", ".join(_STDOUT_FORMATS))
    if suffix != _STDOUT_FORMATS["csv"] and sys.stdout.isatty():
        raise ConfigError("this format is for files, not for the screen", value=output_format, hint="add -o FILE, or redirect the output")
    with tempfile.TemporaryDirectory(prefix="pointline-table-") as folder:
        path = Path(folder) / f"table{suffix}"
        yield path
        with path.open("rb") as table:
            shutil.copyfileobj(table, sys.stdout.buffer)


def _is_stdout(output: Path | None) -> bool:
    return output is not None and str(output) == _STDOUT


def _say_notes(notes: tuple[str, ...]) -> None:
    for text in notes:
        note(text)


def _facts(study: Study) -> dict[str, Any]:
    return {"rule": study.rule_text, "notes": study.notes, "pair": study.pair.reason, **study.summary}


def _show_study(study: Study, output: Path | None, *others: Path | None) -> None:
    from pointline.report.tables import summary_view

    if settings.quiet:
        return
    show(summary_view(study.summary, title=study.title, rule=study.rule_text, notes=study.notes))
    if output is not None:
        show_text(f"wrote {study.summary['bars']:,} bars x {len(study.columns)} columns to {output}")
    _say_written(*others)
