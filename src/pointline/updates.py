"""A lake brought up to date: what each instrument has of each archive's dataset goes on to yesterday."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from pointline.clock import DAY_US, TimeLike, date_text, day_start, days_in, next_month, to_us
from pointline.download import CONNECTIONS, DEFAULT_FOLDER, get_targets
from pointline.download.archives import continued, day_start_of
from pointline.download.run import Wanted
from pointline.download.transport import Transport
from pointline.errors import NoDataError
from pointline.ingest.request import IngestOptions, failures_of, ingest_paths
from pointline.lake.manifest import Manifest
from pointline.lake.store import as_lake

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from pathlib import Path

    from pointline.download.report import DownloadReport
    from pointline.errors import PointlineError
    from pointline.ingest.run import FileReport
    from pointline.lake.store import Lake, LakeLike
    from pointline.progress import Progress

LOOK_BACK_DAYS = 7
"""Days before the newest one that are asked for again where the lake lacks them: a file may have failed while later ones came."""


@dataclass(frozen=True)
class UpdateReport:
    """What an update did.

    Attributes:
        download: of the archive files.
        ingested: a report for each file that went into the lake.
    """

    download: DownloadReport
    ingested: tuple[FileReport, ...] = ()

    @property
    def errors(self) -> list[PointlineError]:
        """What went wrong; days that the archive does not have are none."""
        own = [file.error for file in self.download.failed if file.error is not None]
        return [*own, *self._refused[0]]

    @property
    def exit_code(self) -> int:
        """Of the command line: 0, or the worst of download and ingest. Days that the archive does not have do not count."""
        return worst_code([*(error.exit_code for error in self.errors), self._refused[1]])

    @property
    def _refused(self) -> tuple[list[PointlineError], int]:
        return failures_of(self.ingested, [report.path for report in self.ingested])

    def to_json(self) -> dict[str, Any]:
        """Plain values of everything."""
        return {"download": self.download.to_json(), "ingest": [report.row() for report in self.ingested]}


def worst_code(codes: Iterable[int]) -> int:
    """The exit code that goes before the others: 3 data refused, 5 the system failed, 4 busy or blocked, 1 the result says no, 0."""
    found = set(codes)
    return next((code for code in (3, 5, 4, 1) if code in found), max(found, default=0))


def update(
    lake: LakeLike | None = None,
    *,
    folder: str | os.PathLike[str] = DEFAULT_FOLDER,
    until: TimeLike | None = None,
    dry_run: bool = False,
    base_url: str | None = None,
    connections: int = CONNECTIONS,
    progress: Progress = False,
) -> UpdateReport:
    """Brings a lake up to date; what ``pointline update`` does.

    Every instrument and dataset that the lake has from an archive or a REST history of `pointline.download` is continued
    from its newest day to yesterday.
    The week before that day is looked through as well, for days whose file did not come before. A contract that was delivered is not
    asked for. Tardis datasets of groups of instruments are not continued.

    Args:
        lake: a lake or its folder; the default place if None.
        folder: where the archive files go, see `pointline.download`.
        until: the first day that is not wanted; today if None.
        dry_run: write nothing; say what would be got.
        base_url, connections, progress: as in `pointline.download`.

    Returns:
        What was got, and what became of it in the lake.

    Raises:
        NoLakeError: there is no lake.
        NoDataError: it has nothing of an archive that is downloaded.
        BusyError: another process writes to the lake or the folder.

    Examples:
        >>> import pointline
        >>> pointline.update("out/demo/lake", dry_run=True).download.counts  # doctest: +SKIP
        {'planned': 5}
    """
    with Transport(connections=max(1, connections)) as transport:
        return run_update(
            as_lake(lake),
            transport=transport,
            folder=folder,
            now_us=time.time_ns() // 1000,
            until_us=None if until is None else to_us(until, name="until"),
            dry_run=dry_run,
            base_url=base_url,
            connections=connections,
            progress=progress,
        )


def run_update(
    lake: Lake,
    *,
    transport: Transport,
    folder: str | os.PathLike[str],
    now_us: int,
    until_us: int | None = None,
    dry_run: bool = False,
    base_url: str | None = None,
    connections: int = CONNECTIONS,
    progress: Progress = False,
) -> UpdateReport:
    """As `update`.

    Args:
        lake: the lake.
        transport: the client.
        now_us: the time now, UTC.
        until_us: the first day that is not wanted; today if None.
        folder, dry_run, base_url, connections, progress: as in `update`.

    Raises:
        NoDataError, BusyError: as `update`.
    """
    targets = lacking(lake, day_start(now_us) if until_us is None else until_us)
    report = get_targets(
        targets,
        transport=transport,
        folder=folder,
        dry_run=dry_run,
        base_url=base_url,
        connections=connections,
        progress=progress,
        now_us=now_us,
    )
    return UpdateReport(report, () if dry_run else tuple(ingest_downloaded(report, lake=lake, progress=progress)))


def ingest_downloaded(report: DownloadReport, *, lake: LakeLike | None = None, progress: Progress | None = None) -> list[FileReport]:
    """Ingests the files of a download; of those of many instruments only what was asked for.

    Args:
        report: of the download.
        lake: a lake or its folder; the default place if None.
        progress: as in `update`.

    Returns:
        A report for each file, and of files of many instruments for each that was asked for.

    Raises:
        BusyError: another process is writing.
        LakeError: the disk is full, or the lake is damaged.
    """
    wanted: dict[str | None, list[Path]] = {}
    for file in report.files:
        if file.path is not None:
            for symbol in file.picks or (None,):
                wanted.setdefault(symbol, []).append(file.path)
    return [
        one for symbol, paths in wanted.items() for one in ingest_paths(paths, IngestOptions(symbol=symbol), lake=lake, progress=progress)
    ]


def lacking(lake: Lake, until_us: int) -> list[Wanted]:
    """What a lake lacks of each instrument and dataset that it has from an archive.

    Args:
        lake: the lake.
        until_us: the first day that is not wanted.

    Returns:
        A target for each that lacks a day, in the order of exchange, symbol and dataset.

    Raises:
        NoDataError: the lake has nothing from an archive.
    """
    files = Manifest(lake).frame().filter(pl.col("period") != "")
    found: dict[tuple[str, str, str, str], set[str]] = {}
    for source, exchange, symbol, dataset, period in files.select("source", "exchange", "symbol", "dataset", "period").iter_rows():
        target = continued(source, exchange, symbol, dataset)
        if target is not None:
            found.setdefault((exchange, *target), set()).update(_days_of(period))
    if not found:
        raise NoDataError(
            "the lake has nothing from an archive that is downloaded",
            where=str(lake.root),
            hint="begin with `pointline download --ingest …`",
        )
    delivered = _deliveries(lake)
    targets = []
    for (exchange, symbol, dataset, archive), days in sorted(found.items()):
        end_us = min(until_us, delivered.get((exchange, symbol), until_us)) - day_start_of(exchange, dataset, archive)
        first_us = max(to_us(min(days)), to_us(max(days)) - LOOK_BACK_DAYS * DAY_US)
        wanted = tuple(day for day in map(date_text, days_in(first_us, end_us)) if day not in days)
        if wanted:
            targets.append(Wanted(exchange, symbol, dataset, wanted, archive))
    return targets


def _days_of(period: str) -> list[str]:
    """The days of a day or month."""
    if len(period) == len("2024-05-01"):
        return [period]
    start_us = to_us(f"{period}-01")
    return [date_text(us) for us in days_in(start_us, next_month(start_us))]


def _deliveries(lake: Lake) -> dict[tuple[str, str], int]:
    """When each dated contract is delivered, by exchange and symbol."""
    dated = lake.registry().frame.filter((pl.col("asset_type") == "future") & pl.col("expiry_us").is_not_null())
    return {(exchange, symbol): us for exchange, symbol, us in dated.select("exchange", "exchange_symbol", "expiry_us").iter_rows()}
