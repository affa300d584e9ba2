"""The commands that get archive files from their hosts: download, and update for cron."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pointline.cli import failures
from pointline.cli.options import JsonOption, LakeOption, command
from pointline.cli.output import console, settings, show, show_json, show_text, shows_progress
from pointline.errors import NotPublishedError, PointlineError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pointline.download.report import DownloadReport
    from pointline.ingest.run import FileReport

app = typer.Typer()

FromOption = Annotated[
    str,
    typer.Option(
        "--exchange",
        help="binance-spot, binance-futures, binance-delivery, bybit, bybit-spot, okx-spot, okx-swap, okx-futures, gate-spot, "
        "gate-futures, kucoin-spot, kucoin-futures; by REST coinbase, deribit, hyperliquid, kraken-futures; --archive tardis has more.",
        show_default=False,
    ),
]
SymbolsOption = Annotated[
    str, typer.Option(help="The exchange's own symbols (BTCUSDT, BTC-USDT-SWAP), with commas between them.", show_default=False)
]
KindsOption = Annotated[
    str, typer.Option(help="e.g. trades,fundingRate,klines-1m; or tables: quotes,funding,candles_1m.", show_default=False)
]
FirstDayOption = Annotated[str, typer.Option("--start", help="First day.", show_default=False)]
EndDayOption = Annotated[str, typer.Option("--end", help="End, exclusive.", show_default=False)]
ArchiveOption = Annotated[
    str | None,
    typer.Option(
        "--archive", help="tardis: the datasets of that vendor, key in TARDIS_API_KEY; else the exchange's own.", show_default=False
    ),
]
FolderOption = Annotated[Path, typer.Option("--folder", help="Where the archive files go, in the archive's own folders.")]
VerifyOption = Annotated[
    bool,
    typer.Option("--verify", help="Hold stored files against the host's check sums, or by REST their own record; get what differs."),
]
BaseUrlOption = Annotated[str | None, typer.Option("--base-url", help="A mirror with the archive's paths below it.", show_default=False)]
ConnectionsOption = Annotated[int, typer.Option("--connections", help="Files that are got at a time.", min=1, max=32)]
DryOption = Annotated[bool, typer.Option("--dry-run", help="Print the plan with files and bytes, and write nothing.")]
IngestOption = Annotated[bool, typer.Option("--ingest", help="Bring what is there into the lake.")]


@command(app, short_help="Downloads an exchange's public archive files, or its history by REST, and verifies them.")
def download(
    exchange: FromOption,
    symbols: SymbolsOption,
    kinds: KindsOption,
    start: FirstDayOption,
    end: EndDayOption,
    archive: ArchiveOption = None,
    folder: FolderOption = Path("archives"),
    dry_run: DryOption = False,
    verify: VerifyOption = False,
    base_url: BaseUrlOption = None,
    connections: ConnectionsOption = 4,
    ingest: IngestOption = False,
    lake: LakeOption = None,
    json_output: JsonOption = False,
) -> None:
    """Downloads an exchange's public archive files: each whole or not at all, and each once.

    Where there is no archive, the history is asked for by REST, page by page, and stored as files of days or months.

    Example: pointline download --exchange binance-futures --symbols BTCUSDT --kinds trades,fundingRate --start 2024-05-01 --end 2024-06-01
    """
    import pointline.download as room

    began = time.perf_counter()
    report = room.download(
        exchange,
        words(symbols),
        words(kinds),
        start,
        end,
        archive=archive,
        folder=folder,
        dry_run=dry_run,
        verify=verify,
        base_url=base_url,
        connections=connections,
        progress=shows_progress(),
    )
    finish(report, began, ingest=ingest, lake=lake, json_output=json_output)


def finish(
    report: DownloadReport,
    began: float,
    *,
    ingest: bool,
    lake: str | None,
    json_output: bool,
    facts: Mapping[str, object] | None = None,
    line: str | None = None,
) -> None:
    """Ingests what a download got where that is wanted, shows it, and ends the command as the worst of it wants.

    Args:
        report: of the download.
        began: when it began, see `time.perf_counter`.
        ingest, lake, json_output: as the command was asked.
        facts: what the JSON has beside the report.
        line: what stands below it for people.
    """
    elapsed_s = time.perf_counter() - began
    reports = _ingested(report, lake) if ingest and not report.dry_run else []
    if json_output:
        told = {**report.to_json(), **(facts or {})}
        show_json({**told, "ingest": [one.row() for one in reports]} if ingest else told)
    else:
        _show(report, reports, elapsed_s)
        if line is not None and not settings.quiet:
            show_text(line)
    gaps = [gap for gap in report.missing if not gap.pending]
    own: list[PointlineError] = [file.error for file in report.failed if file.error is not None]
    if gaps:
        own.append(
            NotPublishedError(
                "days are missing: the archive has no file of them",
                value=[f"{gap.dataset} of {gap.exchange}:{gap.symbol}, {gap.first} to {gap.last}" for gap in gaps[:20]],
                hint="`--dry-run` shows what there is; the archive may begin later, or have ended",
            )
        )
    _end(own, reports)


@command(app, short_help="Brings a lake up to date from the archives; for cron.")
def update(
    lake: LakeOption = None,
    folder: FolderOption = Path("archives"),
    until: Annotated[str | None, typer.Option(help="First day that is not wanted; else today.", show_default=False)] = None,
    dry_run: DryOption = False,
    base_url: BaseUrlOption = None,
    connections: ConnectionsOption = 4,
    json_output: JsonOption = False,
) -> None:
    """Brings a lake up to date: every instrument and dataset that it has from an archive goes on from its newest day to yesterday.

    Example: pointline update -q --lake lake --folder archives
    """
    import pointline

    began = time.perf_counter()
    done = pointline.update(
        lake, folder=folder, until=until, dry_run=dry_run, base_url=base_url, connections=connections, progress=shows_progress()
    )
    if json_output:
        show_json(done.to_json())
    else:
        _show(done.download, done.ingested, time.perf_counter() - began)
    _end([file.error for file in done.download.failed if file.error is not None], done.ingested)


def words(text: str) -> list[str]:
    """What stands between commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _ingested(report: DownloadReport, lake: str | None) -> list[FileReport]:
    from pointline.updates import ingest_downloaded

    return ingest_downloaded(report, lake=lake, progress=shows_progress())


def _show(report: DownloadReport, reports: Sequence[FileReport], elapsed_s: float) -> None:
    from pointline.report.downloads import download_view
    from pointline.report.tables import ingest_view

    if settings.quiet:
        return
    show(download_view(report, elapsed_s=elapsed_s))
    if reports:
        show(ingest_view(list(reports), elapsed_s=elapsed_s, width=console().width))


def _end(own: list[PointlineError], reports: Sequence[FileReport]) -> None:
    """Ends the command as the worst of download and ingest wants."""
    from pointline.ingest.request import failures_of
    from pointline.updates import worst_code

    refused, code = failures_of(reports, [report.path for report in reports])
    errors = [*own, *refused]
    if not errors:
        return
    several = PointlineError(
        f"{len(errors)} problems",
        where=str(errors[0].where),
        value=[f"{error.where}: {error.what}" for error in errors],
        hint="the list on standard output has each of them",
    )
    worst = worst_code([code, *(error.exit_code for error in own)])
    raise typer.Exit(failures.report_all(errors, errors[0] if len(errors) == 1 else several, worst))
