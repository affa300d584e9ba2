"""The command line: parses, calls, prints. Exit code 0 done, 1 the result says no, 2 cannot run."""

from __future__ import annotations

import gc
import os
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from pointline import export_commands, lake_commands
from pointline.errors import ConfigError, PointlineError, SlowStartWarning
from pointline.terminal import DATA_REFUSED, INTERRUPTED, SYSTEM_FAILED, JsonOption, LakeOption, console, show, show_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pointline.comparison import Study
    from pointline.lake.ingest import FileReport
    from pointline.research.spines.config import BarRule

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Compares the same asset across perpetual futures, dated futures and spot, point in time.",
)


_ENDINGS = ".parquet, .arrow or .exact.csv; .xlsx or .csv for spreadsheets"
app.add_typer(lake_commands.app)
app.add_typer(export_commands.app)


def main() -> None:
    """Runs the command line; every error a user can cause is printed without a traceback.

    Exit codes: 0 done (flagged or superseded rows included), 1 the result says no, 2 wrong usage, 3 data refused or rows quarantined,
    4 the lake is busy, 5 the system failed, 130 interrupted, 143 terminated.
    """
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    gc.set_threshold(100_000, 50, 100)  # looking again and again through what imports leave takes a tenth of the start-up
    try:
        code = app(standalone_mode=False, prog_name="pointline")
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except PointlineError as error:
        _fail(str(error), error.exit_code)
    except OSError as error:
        refused = "the system refused to read or write"
        hint = "check the place and your rights to it"
        _fail(str(PointlineError(refused, where=error.filename, value=error.strerror or str(error), hint=hint)), SYSTEM_FAILED)
    except Exception as error:  # noqa: BLE001 - the last line of defence against a traceback
        show = getattr(error, "show", None)  # a mistake in the command's own options, which typer explains
        if callable(show):
            show()
            sys.exit(2)
        _fail(
            f"unexpected {type(error).__name__}: {error}\n  hint:     a defect of pointline: please report it with the command",
            SYSTEM_FAILED,
        )
    if code == INTERRUPTED:
        _fail("interrupted; what was finished is stored, run the same command again to go on", INTERRUPTED)
    if code:
        sys.exit(code)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _fail(message: str, code: int) -> NoReturn:
    sys.stderr.write(f"error: {message}\n")
    sys.exit(code)


@app.command(short_help="Simulates a market, ingests it, compares it, draws a chart.")
def demo(
    output_folder: Annotated[Path, typer.Option("-o", "--output-folder", help="Where archives, lake, tables and chart go.")] = Path(
        "out/demo"
    ),
    trades: Annotated[int, typer.Option(help="Perp trades per simulated day.", min=1_000)] = 1_000_000,
    json_output: JsonOption = False,
) -> None:
    """Simulates two days of a market, ingests them, compares perp and spot, and leaves tables and a chart.

    Example: pointline demo -o out/demo
    """
    from pointline.demo import run_demo
    from pointline.report.tables import bars_view, ingest_view, summary_view

    result = run_demo(output_folder, trades_per_day=trades, say=_say)
    study = result.study
    if json_output:
        show_json({"files": {name: str(path) for name, path in result.files.items()}, **study.summary})
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
    sys.stdout.write("\n")
    show(bars_view(study.features, width=console().width))
    for name, path in result.files.items():
        sys.stdout.write(f"{name}: {path}\n")


@app.command(short_help="Brings archive files into the lake.")
def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Archive files, or folders that are searched for them.", show_default=False)],
    lake: LakeOption = None,
    source: Annotated[
        str | None, typer.Option(help="binance_vision, recorded or table; else told by path and content.", show_default=False)
    ] = None,
    exchange: Annotated[str | None, typer.Option(help="e.g. binance-futures, where the path does not say.", show_default=False)] = None,
    dataset: Annotated[str | None, typer.Option(help="e.g. trades or klines-1m, where the path does not say.", show_default=False)] = None,
    symbol: Annotated[str | None, typer.Option(help="e.g. BTCUSDT, where the path does not say.", show_default=False)] = None,
    period: Annotated[str | None, typer.Option(help="YYYY-MM-DD or YYYY-MM, where the name does not say.", show_default=False)] = None,
    mapping: Annotated[Path | None, typer.Option(help="TOML file that describes the columns of any table.", show_default=False)] = None,
    clock: Annotated[str, typer.Option(help="receipt: use a recording's receive times; event: use the exchange's.")] = "receipt",
    latency: Annotated[str, typer.Option(help="Assumed delay where there is no receive time, e.g. 20ms.")] = "0us",
    json_output: JsonOption = False,
) -> None:
    """Brings archive files into the lake, each whole or not at all, each once.

    Example: pointline ingest ~/vision/data --lake lake
    """
    from pointline.clock import to_duration_us
    from pointline.lake.ingest import ingest as run
    from pointline.lake.store import open_lake
    from pointline.report.tables import ingest_view
    from pointline.sources.base import Hints
    from pointline.sources.families import all_sources

    if clock not in {"receipt", "event"}:
        raise ConfigError("there is no such clock", value=clock, expected="receipt or event")
    hints = Hints(
        exchange=exchange,
        dataset=dataset,
        symbol=symbol,
        period=period,
        mapping=mapping,
        clock="event" if clock == "event" else None,
        latency_us=to_duration_us(latency, name="--latency", least_us=0),
    )
    sources = all_sources(source or ("table" if mapping else None))
    files = list(_archive_files(paths))
    if not files:
        raise ConfigError(
            "no archive file was found", value=[str(p) for p in paths], expected="files ending in " + ", ".join(_ARCHIVE_SUFFIXES)
        )
    began = time.perf_counter()
    with _progress(files, quiet=json_output) as advance:
        reports = run(open_lake(lake, create=True), files, sources=sources, hints=hints, progress=advance)
    if json_output:
        show_json([dict(vars(report)) for report in reports])
    else:
        show(ingest_view(reports, elapsed_s=time.perf_counter() - began, width=console().width))
    problems = [report for report in reports if report.problem is not None and not _is_bystander(report, paths)]
    if problems:
        raise_all = "\n".join(f"error: {report.problem}" for report in problems)
        sys.stderr.write(raise_all + "\n")
        codes = {report.exit_code for report in problems}
        raise typer.Exit(DATA_REFUSED if DATA_REFUSED in codes else max(codes))


_ARCHIVE_SUFFIXES = (".zip", ".csv", ".gz", ".json", ".jsonl", ".dat", ".parquet", ".feather", ".arrow", ".log", ".txt")


def _archive_files(paths: list[Path]) -> Iterator[Path]:
    """The named files as they are, and what looks like an archive below named folders, in path order."""
    for path in paths:
        if path.is_dir():
            yield from sorted(
                p for p in path.rglob("*") if p.name.endswith(_ARCHIVE_SUFFIXES) and not p.name.startswith(".") and not _is_folder(p)
            )
        else:
            yield path


def _is_folder(path: Path) -> bool:
    """Whether it is a folder; what cannot be told is none, and ingest says why it cannot be read."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _is_bystander(report: FileReport, named: list[Path]) -> bool:
    """A file that no source knows, found while searching a folder: listed, but no error."""
    return report.outcome == "unknown" and report.path not in named


class _progress:  # noqa: N801 - used as a function
    """A progress bar over the files' bytes where a person is watching."""

    def __init__(self, files: list[Path], *, quiet: bool) -> None:
        self._sizes = {path: _size(path) for path in files}
        self._quiet = quiet or not sys.stderr.isatty()
        self._bar: Any = None

    def __enter__(self) -> Callable[[FileReport], None]:
        if self._quiet:
            return lambda _: None
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=Console(stderr=True))
        task = self._bar.add_task("ingest", total=sum(self._sizes.values()))
        self._bar.start()
        return lambda report: self._bar.update(
            task, advance=self._sizes.get(report.path, 0), description=os.fsencode(report.path.name).decode("utf-8", "backslashreplace")
        )

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


@app.command(short_help="Builds bars of a perp and its spot with every feature.")
def compare(
    perp: Annotated[str, typer.Argument(help="exchange:symbol of the derivative, e.g. binance-futures:BTCUSDT.", show_default=False)],
    spot: Annotated[str, typer.Argument(help="exchange:symbol of its spot market, e.g. binance-spot:BTCUSDT.", show_default=False)],
    start: Annotated[str, typer.Option(help="Start: a date is its midnight UTC.", show_default=False)],
    end: Annotated[str, typer.Option(help="End, exclusive.", show_default=False)],
    threshold: Annotated[
        str,
        typer.Option(help="Base units for volume and imbalance, quote units for dollar, a count for trades, e.g. 1m for time; or auto."),
    ] = "auto",
    bars: Annotated[str, typer.Option(help="volume, dollar, trades, time or imbalance.")] = "volume",
    boundary: Annotated[
        str | None,
        typer.Option(help="carry: excess counts for the next bar (usual); reset: counting restarts at zero.", show_default=False),
    ] = None,
    anchor: Annotated[str, typer.Option(help="day: counting restarts at 00:00 UTC; start: it starts with the window.")] = "day",
    join: Annotated[str, typer.Option(help="asof keeps bars without spot trades; inner drops them, as the guide does.")] = "asof",
    base_threshold: Annotated[
        str | None,
        typer.Option(help="Derive the bars from ones of this threshold, of which they are a whole multiple.", show_default=False),
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Compute everything anew and keep nothing.")] = False,
    dual: Annotated[
        str | None, typer.Option("--dual", help="Gives the spot bars of its own with this threshold (dual spine).", show_default=False)
    ] = None,
    same_exchange: Annotated[bool, typer.Option("--same-exchange", help="Costs without a withdrawal between venues.")] = False,
    output: Annotated[Path | None, typer.Option("-o", "--output", help=f"Write the features: {_ENDINGS}.", show_default=False)] = None,
    save: Annotated[
        str | None, typer.Option(help="Keep the features in the lake under this name, for SQL's api.features.", show_default=False)
    ] = None,
    lake: LakeOption = None,
    json_output: JsonOption = False,
) -> None:
    """Builds perp-driven bars, puts the spot on them, computes every feature and prints a summary.

    Example: pointline compare binance-futures:BTCUSDT binance-spot:BTCUSDT --start 2024-05-01 --end 2024-05-07 --threshold 100
    """
    from pointline.comparison import compare as run
    from pointline.trading.costs import CostModel

    with warnings.catch_warnings(action="ignore"):  # the notes of the study say the same
        warnings.simplefilter("default", SlowStartWarning)
        study = run(
            perp,
            spot,
            start=start,
            end=end,
            bars=_rule(bars, threshold, boundary, anchor),
            spot_bars=_other_rule("--dual", bars, dual, boundary, anchor),
            base_bars=_other_rule("--base-threshold", bars, base_threshold, boundary, anchor),
            cache=not no_cache,
            join=join,  # type: ignore[arg-type]
            costs=CostModel.same_exchange() if same_exchange else None,
            lake=lake,
            output=output,
        )
    if save is not None:
        study.save(save)
    if json_output:
        show_json({"perp": perp, "spot": spot, **_facts(study)})
    else:
        _show_study(study, output)


@app.command(short_help="Asks the lake in SQL (ClickHouse's dialect).")
def sql(
    text: Annotated[str | None, typer.Argument(help="One statement; - reads it from standard input.", show_default=False)] = None,
    file: Annotated[Path | None, typer.Option("-f", "--file", help="Read the statement from this file.", show_default=False)] = None,
    output_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="table, csv, tsv, json, jsonl, parquet, arrow, markdown, xlsx, or any of ClickHouse. [default: by --output, else table]",
            show_default=False,
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the result to this file.", show_default=False)] = None,
    param: Annotated[list[str] | None, typer.Option(help="Value of {x:Type} in the statement, as x=VALUE.", show_default=False)] = None,
    unsafe: Annotated[
        bool, typer.Option("--unsafe", help="Run the statement unchecked: it may read files, and its decimals may wrap.")
    ] = False,
    lake: LakeOption = None,
) -> None:
    """Runs one statement over the views of api: ohlcv, trade, trade_last, funding_rate, market_spot, market_future, features and coverage.

    Example: pointline sql "SELECT exchange, market, first_date, last_date FROM api.coverage"
    """
    from pointline.sql.command import Ask, answer
    from pointline.sql.interrupts import ending_on_signals
    from pointline.sql.process import close

    ask = Ask(text=text, file=file, output_format=output_format, output=output, parameters=tuple(param or ()), lake=lake, unsafe=unsafe)
    with ending_on_signals():
        shown = answer(ask, say=_say, to_terminal=sys.stdout.isatty())
        if isinstance(shown, bytes):
            sys.stdout.buffer.write(shown)
            sys.stdout.buffer.flush()
        elif shown is not None:
            show(shown)
        close()


def _facts(study: Study) -> dict[str, Any]:
    return {"rule": study.rule_text, "notes": study.notes, "pair": study.pair.reason, **study.summary}


def _show_study(study: Study, output: Path | None) -> None:
    from pointline.report.tables import summary_view

    title = f"{study.pair.perp.name} against {study.pair.spot.name} ({study.pair.reason})"
    show(summary_view(study.summary, title=title, rule=study.rule_text, notes=study.notes))
    if output is not None:
        sys.stdout.write(f"wrote {study.summary['bars']:,} bars x {len(study.columns)} columns to {output}\n")


def _rule(kind: str, threshold: str, boundary: str | None, anchor: str) -> BarRule | str:
    from pointline.research.spines import DollarBarConfig, ImbalanceBarConfig, TimeBarConfig, TradeBarConfig, VolumeBarConfig, get_builder

    get_builder(kind)
    if threshold == "auto":
        if boundary == "reset" or anchor != "day":
            raise ConfigError(
                "--threshold auto goes with --boundary carry and --anchor day only",
                value=f"--boundary {boundary or 'carry'} --anchor {anchor}",
                expected="a number for --threshold",
                hint="run it with --threshold auto alone and use the threshold that it prints",
            )
        return f"auto:{kind}"
    common: dict[str, Any] = {"anchor": anchor} if boundary is None else {"boundary": boundary, "anchor": anchor}
    if kind == "time":
        if boundary is not None:
            raise ConfigError("time bars have no boundary rule", value=f"--boundary {boundary}", expected="--bars time without --boundary")
        return TimeBarConfig(threshold, **common)
    rules: dict[str, Any] = {
        "volume": VolumeBarConfig,
        "dollar": DollarBarConfig,
        "trades": TradeBarConfig,
        "imbalance": ImbalanceBarConfig,
    }
    rule: BarRule = rules[kind](threshold, **common)
    return rule


def _other_rule(option: str, kind: str, threshold: str | None, boundary: str | None, anchor: str) -> BarRule | None:
    rule = None if threshold is None else _rule(kind, threshold, boundary, anchor)
    if isinstance(rule, str):
        raise ConfigError(
            f"{option} needs a threshold of its own",
            value=threshold,
            expected="a number, in the units of --threshold",
            hint="auto is for --threshold only",
        )
    return rule


@app.command(short_help="Measures perpetuals and dated futures against spot.")
def spreads(
    base_asset: Annotated[str, typer.Argument(help="The asset, e.g. BTC.", show_default=False)],
    reference: Annotated[
        str, typer.Option(help="exchange:market of the spot market, e.g. binance:BTC-USDT; several with commas.", show_default=False)
    ],
    start: Annotated[str, typer.Option(help="Start: a date is its midnight UTC.", show_default=False)],
    end: Annotated[str, typer.Option(help="End: a date is that whole day, as in BETWEEN; a time of day is exclusive.", show_default=False)],
    contracts: Annotated[
        str | None, typer.Option(help="exchange:market of contracts, with commas; else all of the asset in the lake.", show_default=False)
    ] = None,
    duration: Annotated[str, typer.Option(help="Length of a candle in whole minutes, e.g. 1d, 4h, 1h or 1m.")] = "1d",
    max_trade_age: Annotated[str, typer.Option(help="A last trade that is older than this at a candle's end tells no close.")] = "1m",
    same_exchange: Annotated[bool, typer.Option("--same-exchange", help="Costs without a withdrawal between venues.")] = False,
    output: Annotated[Path | None, typer.Option("-o", "--output", help=f"Write the long table: {_ENDINGS}.", show_default=False)] = None,
    chart: Annotated[Path | None, typer.Option(help="Write the charts: .html or .png.", show_default=False)] = None,
    lake: LakeOption = None,
    json_output: JsonOption = False,
) -> None:
    """Spreads of each contract's closes against spot, annualised, with the term structure and the yield of cash and carry.

    Example: pointline spreads BTC --reference binance:BTC-USDT --start 2024-12-01 --end 2024-12-31 --chart spreads.html
    """
    from pointline.report.files import check_output, write_blocks
    from pointline.report.spread_charts import check_chart_path
    from pointline.spread_study import spreads as run
    from pointline.trading.costs import CostModel

    if output is not None:
        check_output(output)
    if chart is not None:
        check_chart_path(chart)
    study = run(
        base_asset,
        reference=_listed(reference),
        start=start,
        end=end,
        contracts=None if contracts is None else _listed(contracts),
        duration=duration,
        max_trade_age=max_trade_age,
        lake=lake,
    )
    costs = CostModel.same_exchange() if same_exchange else CostModel()
    if output is not None:
        write_blocks(iter([study.table]), output)
    if chart is not None:
        study.chart(chart)
    if json_output:
        show_json(study.as_json(costs))
        return
    show(study.view(costs))
    for path in (output, chart):
        if path is not None:
            sys.stdout.write(f"wrote {path}\n")


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


@app.command(short_help="Serves the lake to ClickHouse clients over HTTP.")
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
        bool, typer.Option("--unsafe-no-sandbox", help="Serve where queries cannot be confined; this machine only.")
    ] = False,
) -> None:
    """Answers SQL over ClickHouse's HTTP protocol, and shows a page with a query box at the same address.

    Example: pointline serve --lake lake --port 8123
    """
    from pointline.sql.server import command

    if hash_password or new_token:
        kind = "password" if hash_password else "token"
        sys.stdout.write(
            command.new_secret(kind, lambda: str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)))
        )
        return
    found = command.configured(config, host=host, port=port, workers=workers)
    sys.exit(command.start(lake, found, say=_say, unsafe_no_sandbox=unsafe_no_sandbox))


if __name__ == "__main__":
    main()
