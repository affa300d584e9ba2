"""The commands that do the same work on a cluster, into a dataset."""

from __future__ import annotations

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
    StartOption,
    ThresholdOption,
    costs_of_options,
    other_rule,
    rule_of_options,
)
from pointline.cli.download import (
    ArchiveOption,
    BaseUrlOption,
    ConnectionsOption,
    DryOption,
    EndDayOption,
    FirstDayOption,
    FolderOption,
    FromOption,
    IngestOption,
    KindsOption,
    SymbolsOption,
    VerifyOption,
    finish,
    words,
)
from pointline.cli.options import JsonOption, LakeOption, command
from pointline.cli.output import console, note, settings, show, show_json, show_text, shows_progress
from pointline.errors import ConfigError

if TYPE_CHECKING:
    from pointline.scale import ScaledDataset

app = typer.Typer()
group = typer.Typer(no_args_is_help=True, short_help="Runs compare, sweep, scan, ic, ingest and download on a cluster.")
app.add_typer(group, name="scale")

_PAIR = 2
PairOption = Annotated[
    list[str] | None,
    typer.Option("--pair", help="exchange:symbol of a perp and of its spot, with a comma; may be repeated.", show_default=False),
]
PerpOption = Annotated[
    list[str] | None,
    typer.Option("--perp", help="exchange:symbol of a perpetual, with the registry's spot; may be repeated.", show_default=False),
]
ExchangeOption = Annotated[
    str | None, typer.Option("--exchange", help="All perpetuals of an exchange that the lake has.", show_default=False)
]
DatasetOption = Annotated[
    str,
    typer.Option(
        "-o",
        "--output",
        help="Folder or s3:// URL of the dataset; the same command goes on where it stopped.",
        show_default=False,
    ),
]
ClusterOption = Annotated[str, typer.Option("--cluster", help="tcp://HOST:8786, local:4 (processes here), or none (this process).")]
MemoryOption = Annotated[
    str | None, typer.Option("--memory", help="Limit of each worker of a local cluster, e.g. 2GB.", show_default=False)
]
DaysOption = Annotated[int, typer.Option("--days-per-task", min=1, help="Days of a task; each also counts the day in front of its own.")]
ThresholdsOption = Annotated[list[str], typer.Option("--threshold", help="Size of a bar, as for compare; repeated, one case each.")]


@command(group, short_help="compare over pairs and days.")
def compare(
    start: StartOption,
    end: EndOption,
    output: DatasetOption,
    cluster: ClusterOption = "none",
    pair: PairOption = None,
    perp: PerpOption = None,
    exchange: ExchangeOption = None,
    threshold: ThresholdOption = "auto",
    bars: BarsOption = "volume",
    events: EventsOption = "trades",
    boundary: BoundaryOption = None,
    anchor: AnchorOption = "day",
    join: JoinOption = "asof",
    base_threshold: BaseThresholdOption = None,
    dual: DualOption = None,
    costs: CostsOption = None,
    no_cache: NoCacheOption = False,
    days_per_task: DaysOption = 7,
    memory: MemoryOption = None,
    lake: LakeOption = None,
    json_output: JsonOption = False,
) -> None:
    """Builds bars and features of many pairs, some days per task, into Parquet files whose bytes do not depend on the workers.

    Example: pointline scale compare --exchange binance-futures --start 2024-05-01 --end 2024-06-01 --cluster local:4 -o features
    """
    from pointline.scale import compare as run

    found = run(
        _markets(pair, perp, exchange),
        start=start,
        end=end,
        output=output,
        bars=rule_of_options(bars, threshold, boundary, anchor),
        spot_bars=other_rule("--dual", bars, dual, boundary, anchor),
        base_bars=other_rule("--base-threshold", bars, base_threshold, boundary, anchor),
        events=events,
        join=join,  # type: ignore[arg-type]
        costs=costs_of_options(costs),
        cache=not no_cache,
        days_per_task=days_per_task,
        cluster=cluster,
        memory=memory,
        lake=lake,
        progress=shows_progress(),
    )
    _tell(found, json_output=json_output)


@command(group, short_help="compare for several thresholds.")
def sweep(
    start: StartOption,
    end: EndOption,
    output: DatasetOption,
    threshold: ThresholdsOption,
    cluster: ClusterOption = "none",
    pair: PairOption = None,
    perp: PerpOption = None,
    exchange: ExchangeOption = None,
    bars: BarsOption = "volume",
    events: EventsOption = "trades",
    boundary: BoundaryOption = None,
    anchor: AnchorOption = "day",
    join: JoinOption = "asof",
    costs: CostsOption = None,
    no_cache: NoCacheOption = False,
    days_per_task: DaysOption = 7,
    memory: MemoryOption = None,
    lake: LakeOption = None,
    json_output: JsonOption = False,
) -> None:
    """As scale compare, for several thresholds: each is a case of the dataset.

    Example: pointline scale sweep --exchange binance-futures --start 2024-05-01 --end 2024-06-01 --threshold 50 --threshold 100 -o swept
    """
    from pointline.scale import sweep as run

    found = run(
        _markets(pair, perp, exchange),
        start=start,
        end=end,
        output=output,
        bars=[rule_of_options(bars, one, boundary, anchor) for one in threshold],
        events=events,
        join=join,  # type: ignore[arg-type]
        costs=costs_of_options(costs),
        cache=not no_cache,
        days_per_task=days_per_task,
        cluster=cluster,
        memory=memory,
        lake=lake,
        progress=shows_progress(),
    )
    _tell(found, json_output=json_output)


@command(group, short_help="Features with labels, for an evaluation.")
def ic(
    start: StartOption,
    end: EndOption,
    output: DatasetOption,
    cluster: ClusterOption = "none",
    pair: PairOption = None,
    perp: PerpOption = None,
    exchange: ExchangeOption = None,
    threshold: ThresholdOption = "auto",
    bars: BarsOption = "volume",
    events: EventsOption = "trades",
    boundary: BoundaryOption = None,
    anchor: AnchorOption = "day",
    join: JoinOption = "asof",
    horizon: Annotated[list[str] | None, typer.Option(help="Bars (5) or a time (10m) ahead; repeated. [default: 1, 5, 10]")] = None,
    costs: CostsOption = None,
    no_cache: NoCacheOption = False,
    days_per_task: DaysOption = 7,
    memory: MemoryOption = None,
    lake: LakeOption = None,
    json_output: JsonOption = False,
) -> None:
    """As scale compare, with forward returns and basis changes behind the features of each bar.

    Example: pointline scale ic --exchange binance-futures --start 2024-05-01 --end 2024-06-01 --horizon 5 --horizon 10m -o labelled
    """
    from pointline.scale import ic as run

    given = horizon or ["1", "5", "10"]
    found = run(
        _markets(pair, perp, exchange),
        start=start,
        end=end,
        output=output,
        bars=rule_of_options(bars, threshold, boundary, anchor),
        horizons_bars=[int(one) for one in given if one.isdecimal()],
        horizons_us=[one for one in given if not one.isdecimal()],
        events=events,
        join=join,  # type: ignore[arg-type]
        costs=costs_of_options(costs),
        cache=not no_cache,
        days_per_task=days_per_task,
        cluster=cluster,
        memory=memory,
        lake=lake,
        progress=shows_progress(),
    )
    _tell(found, json_output=json_output)


@command(group, short_help="scan with a task per pair.")
def scan(
    start: StartOption,
    end: EndOption,
    output: DatasetOption,
    cluster: ClusterOption = "none",
    pair: PairOption = None,
    perp: PerpOption = None,
    exchange: ExchangeOption = None,
    threshold: Annotated[str, typer.Option(help="Size of a bar, as for compare; auto is each pair's own.")] = "5m",
    bars: Annotated[str, typer.Option(help="time, volume or dollar; of trades also trades or imbalance.")] = "time",
    events: Annotated[str, typer.Option(help="What bars are made of: candles of the lake such as candles_1m, or trades.")] = "candles_1m",
    boundary: BoundaryOption = None,
    anchor: AnchorOption = "day",
    costs: CostsOption = None,
    no_cache: NoCacheOption = False,
    sort: Annotated[str, typer.Option(help="Column of the table to sort by; an unknown one lists all.")] = "carry_net_bps",
    rows: Annotated[int, typer.Option(min=1, help="Pairs that are shown.")] = 20,
    memory: MemoryOption = None,
    lake: LakeOption = None,
    json_output: JsonOption = False,
) -> None:
    """Compares every perpetual with its spot, a pair per task, and prints the table of pointline scan.

    Example: pointline scale scan --exchange binance-futures --start 2024-05-01 --end 2024-05-03 --events trades -o pairs
    """
    from pointline.report.scan_view import scan_view
    from pointline.scale import scan as run
    from pointline.scale.scan_row import check_sort

    check_sort(sort)
    found = run(
        _markets(pair, perp, exchange),
        start=start,
        end=end,
        output=output,
        bars=rule_of_options(bars, threshold, boundary, anchor),
        events=events,
        costs=costs_of_options(costs),
        cache=not no_cache,
        cluster=cluster,
        memory=memory,
        lake=lake,
        progress=shows_progress(),
    )
    if json_output:
        show_json({**_facts(found), "rows": found.table(sort).to_dicts()})
    elif not settings.quiet:
        show(scan_view(found.table(sort), title=f"Scan in {found.place}", lines=(_line(found),), notes=found.notes, rows=rows))


@command(group, short_help="ingest with workers that parse.")
def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Archive files, or folders that are searched for them.", show_default=False)],
    cluster: ClusterOption,
    lake: LakeOption = None,
    source: Annotated[str | None, typer.Option(help="As for ingest.", show_default=False)] = None,
    exchange: Annotated[str | None, typer.Option(help="As for ingest.", show_default=False)] = None,
    dataset: Annotated[str | None, typer.Option(help="As for ingest.", show_default=False)] = None,
    symbol: Annotated[str | None, typer.Option(help="As for ingest.", show_default=False)] = None,
    period: Annotated[str | None, typer.Option(help="As for ingest.", show_default=False)] = None,
    mapping: Annotated[Path | None, typer.Option(help="As for ingest.", show_default=False)] = None,
    clock: Annotated[str, typer.Option(help="As for ingest.")] = "receipt",
    latency: Annotated[str, typer.Option(help="As for ingest.")] = "0us",
    staging: Annotated[
        str | None, typer.Option(help="Folder that all machines share, or s3:// URL, for parsed rows.", show_default=False)
    ] = None,
    memory: MemoryOption = None,
    json_output: JsonOption = False,
) -> None:
    """As ingest, to the same bytes: workers parse files, and this process stores them one after the other.

    Example: pointline scale ingest archives --cluster local:4 --lake lake
    """
    import time

    from pointline.cli.archives import end_of_files
    from pointline.ingest.request import IngestOptions, failures_of
    from pointline.report.tables import ingest_view
    from pointline.scale.ingestion import ingest_paths

    began = time.perf_counter()
    options = IngestOptions(
        source=source, exchange=exchange, dataset=dataset, symbol=symbol, period=period, mapping=mapping, clock=clock, latency=latency
    )
    found = ingest_paths(paths, options, cluster=cluster, lake=lake, staging=staging, memory=memory, progress=shows_progress())
    if found.trouble is not None:
        note(f"workers could not go on, and this process parsed the rest: {found.trouble.what}")
    if json_output:
        show_json([report.row() for report in found.reports])
    elif not settings.quiet:
        show(ingest_view(found.reports, elapsed_s=time.perf_counter() - began, width=console().width))
        show_text(f"{found.by_workers:,} of {len(found.reports):,} files were parsed by workers")
    end_of_files(*failures_of(found.reports, paths), len(found.reports))


@command(group, short_help="download with workers that get the files.")
def download(
    exchange: FromOption,
    symbols: SymbolsOption,
    kinds: KindsOption,
    start: FirstDayOption,
    end: EndDayOption,
    cluster: ClusterOption = "none",
    archive: ArchiveOption = None,
    folder: FolderOption = Path("archives"),
    dry_run: DryOption = False,
    verify: VerifyOption = False,
    base_url: BaseUrlOption = None,
    connections: ConnectionsOption = 4,
    memory: MemoryOption = None,
    ingest: IngestOption = False,
    lake: LakeOption = None,
    json_output: JsonOption = False,
) -> None:
    """As download, to the same bytes: workers get and verify files, and this process gives them their names and records.

    All machines see --folder at the same path. The pace and --connections are those of all workers together.

    Example: pointline scale download --exchange bybit --symbols BTCUSDT --kinds trades --start 2024-05-01 --end 2024-05-08 --cluster local
    """
    import time

    from pointline.scale import download as run

    began = time.perf_counter()
    found = run(
        exchange,
        words(symbols),
        words(kinds),
        start,
        end,
        cluster=cluster,
        archive=archive,
        folder=folder,
        dry_run=dry_run,
        verify=verify,
        base_url=base_url,
        connections=connections,
        memory=memory,
        progress=shows_progress(),
    )
    if found.trouble is not None:
        note(f"workers could not go on, and this process got the rest: {found.trouble.what}")
    line = f"{found.by_workers:,} of {len(found.report.files):,} files came by workers"
    finish(
        found.report,
        began,
        ingest=ingest,
        lake=lake,
        json_output=json_output,
        facts={"by_workers": found.by_workers, "trouble": None if found.trouble is None else str(found.trouble)},
        line=None if dry_run or cluster == "none" else line,
    )


@command(group, short_help="Checks a dataset's files against its manifest.")
def check(
    dataset: Annotated[str, typer.Argument(help="Folder or URL of a dataset.", show_default=False)], json_output: JsonOption = False
) -> None:
    """Reads every file of a complete dataset and compares it with the manifest.

    Example: pointline scale check features
    """
    from pointline.scale import open_dataset

    found = open_dataset(dataset)
    found.check()
    _tell(found, json_output=json_output)


@command(app, short_help="Compiles the loops before work begins.")
def warm(cluster: ClusterOption = "none", json_output: JsonOption = False) -> None:
    """Compiles pointline's loops on this machine, or on every worker of a cluster, so that no task waits for it.

    Example: pointline warm
    """
    from pointline.scale import warm as run

    found = run(cluster)
    if json_output:
        show_json(found.to_dicts())
        return
    for one in found.iter_rows(named=True):
        show_text(f"{one['worker']}: the loops of {one['host']} are ready after {one['seconds']:.1f} s")
        if one["warning"]:
            note(one["warning"])


def _markets(pair: list[str] | None, perp: list[str] | None, exchange: str | None) -> Any:  # noqa: ANN401 - as scan takes it
    """The markets that the options name.

    Raises:
        ConfigError: none, or of two kinds; a pair is no pair.
    """
    given = [one for one in (pair, perp, exchange) if one]
    if len(given) != 1:
        raise ConfigError(
            "which pairs is told in one way",
            value=f"{len(given)} ways",
            expected="one of --pair PERP,SPOT, --perp PERP and --exchange NAME",
        )
    if not pair:
        return given[0]
    pairs = [tuple(name.strip() for name in one.split(",")) for one in pair]
    bad = next((text for text, names in zip(pair, pairs, strict=True) if len(names) != _PAIR or not all(names)), None)
    if bad is not None:
        raise ConfigError("a pair is no pair", where="--pair", value=bad, expected="binance-futures:BTCUSDT,binance-spot:BTCUSDT")
    return pairs


def _facts(found: ScaledDataset) -> dict[str, Any]:
    return {
        "dataset": found.place,
        "verb": found.verb,
        "rows": found.rows,
        "files": found.files.height,
        "run": found.run,
        "cases": found.cases.to_dicts(),
        "notes": found.notes,
    }


def _line(found: ScaledDataset) -> str:
    text = f"{found.rows:,} rows in {found.files.height:,} files in {found.place}"
    return text if found.run is None else f"{text}; {found.run.computed:,} tasks computed, {found.run.kept:,} kept from before"


def _tell(found: ScaledDataset, *, json_output: bool) -> None:
    if json_output:
        show_json(_facts(found))
        return
    for text in found.notes:
        note(text)
    show_text(_line(found))
    for one in found.cases.iter_rows(named=True):
        show_text(f"  {one['perp']} against {one['spot']}, case {one['case']}: {one['rule']}, {one['rows']:,} rows")
