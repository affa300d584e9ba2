"""The commands that get archive files from their hosts: download, and update for cron."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pointline.cli import failures
from pointline.cli.options import JsonOption, LakeOption, command
from pointline.cli.output import console, settings, show, show_json, shows_progress
from pointline.errors import NotPublishedError, PointlineError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointline.download.report import DownloadReport
    from pointline.ingest.run import FileReport

app = typer.Typer()

FolderOption = Annotated[Path, typer.Option("--folder", help="Where the archive files go, in the archive's own folders.")]
BaseUrlOption = Annotated[str | None, typer.Option("--base-url", help="A mirror with the archive's paths below it.", show_default=False)]
ConnectionsOption = Annotated[int, typer.Option("--connections", help="Files that are got at a time.", min=1, max=32)]
DryOption = Annotated[bool, typer.Option("--dry-run", help="Print the plan with files and bytes, and write nothing.")]


@command(app, short_help="Downloads an exchange's public archive files, or its history by REST, and verifies them.")
def download(
    exchange: Annotated[
        str,
        typer.Option(
            help="binance-spot, binance-futures, binance-delivery, bybit, bybit-spot, okx-spot, okx-swap, okx-futures, gate-spot, "
            "gate-futures, kucoin-spot, kucoin-futures; by REST coinbase, deribit, hyperliquid, kraken-futures; --archive tardis has more.",
            show_default=False,
        ),
    ],
    symbols: Annotated[
        str, typer.Option(help="The exchange's own symbols (BTCUSDT, BTC-USDT-SWAP), with commas between them.", show_default=False)
    ],
    kinds: Annotated[
        str, typer.Option(help="e.g. trades,fundingRate,klines-1m; or tables: quotes,funding,candles_1m.", show_default=False)
    ],
    start: Annotated[str, typer.Option(help="First day.", show_default=False)],
    end: Annotated[str, typer.Option(help="End, exclusive.", show_default=False)],
    archive: Annotated[
        str | None,
        typer.Option(help="tardis: the datasets of that vendor, key in TARDIS_API_KEY; else the exchange's own.", show_default=False),
    ] = None,
    folder: FolderOption = Path("archives"),
    dry_run: DryOption = False,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Hold stored files against the host's check sums, or by REST their own record; get what differs."),
    ] = False,
    base_url: BaseUrlOption = None,
    connections: ConnectionsOption = 4,
    ingest: Annotated[bool, typer.Option("--ingest", help="Bring what is there into the lake.")] = False,
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
        _words(symbols),
        _words(kinds),
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
    elapsed_s = time.perf_counter() - began
    reports = _ingested(report, lake) if ingest and not dry_run else []
    if json_output:
        show_json({**report.to_json(), "ingest": [one.row() for one in reports]} if ingest else report.to_json())
    else:
        _show(report, reports, elapsed_s)
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


def _words(text: str) -> list[str]:
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
