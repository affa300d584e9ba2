"""What a user asks of an ingest, in the command's words: paths that may be folders, and options; for the command line and Python alike."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import polars as pl

from pointline.clock import to_duration_us
from pointline.errors import ConfigError, SourceError
from pointline.ingest.run import FileReport
from pointline.ingest.run import ingest as run
from pointline.lake.store import Lake, open_lake
from pointline.progress import followed
from pointline.sources.base import Hints
from pointline.sources.families import all_sources, archive_suffixes
from pointline.sources.mapping import load_mapping

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pointline.clock import DurationLike
    from pointline.errors import PointlineError
    from pointline.lake.store import LakeLike
    from pointline.progress import Progress
    from pointline.sources.base import Source

_log = logging.getLogger("pointline.ingest")

_COUNTS = (
    *("rows_read", "rows_landed", "rows_flagged", "duplicates", "rows_superseded", "rows_quarantined", "rows_skipped"),
    *("rounded", "displaced", "missing_ids", "out_of_order", "file_bytes"),
)
REPORT_SCHEMA: dict[str, pl.DataType] = {
    "path": pl.String(),
    "outcome": pl.String(),
    **dict.fromkeys(_COUNTS, pl.Int64()),
    "kinds": pl.List(pl.String()),
    "conflicts": pl.List(pl.String()),
    "problem": pl.String(),
    "exit_code": pl.Int64(),
}


@dataclass(frozen=True, kw_only=True)
class IngestOptions:
    """What the paths of the files do not say; None = the files say it.

    Attributes:
        source: name of a source (`pointline.sources.families`).
        exchange, dataset, symbol, period: what a file is of, e.g. binance-futures, trades, BTCUSDT, 2024-05-01.
        mapping: TOML file that describes the columns of any table.
        clock: ``"receipt"`` uses a recording's receipt times, ``"event"`` the exchange's.
        latency: assumed delay where there is no receipt time.
    """

    source: str | None = None
    exchange: str | None = None
    dataset: str | None = None
    symbol: str | None = None
    period: str | None = None
    mapping: str | Path | None = None
    clock: str = "receipt"
    latency: DurationLike = 0

    @property
    def hints(self) -> Hints:
        """The options as the sources take them.

        Raises:
            ConfigError: one of them cannot be used, or the mapping cannot be read.
        """
        if self.mapping is not None:
            load_mapping(Path(self.mapping))  # one error, not the same one for every file
        if self.clock not in {"receipt", "event"}:
            raise ConfigError("there is no such clock", value=self.clock, expected="receipt or event")
        return Hints(
            exchange=self.exchange,
            dataset=self.dataset,
            symbol=self.symbol,
            period=self.period,
            mapping=None if self.mapping is None else Path(self.mapping),
            clock="event" if self.clock == "event" else None,
            latency_us=to_duration_us(self.latency, name="--latency", least_us=0),
        )

    @property
    def sources(self) -> Sequence[Source]:
        """The parsers that are asked.

        Raises:
            ConfigError: there is none of that name.
        """
        return all_sources(self.source or ("table" if self.mapping is not None else None))


def as_paths(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    """One path or several, as a list.

    Raises:
        ConfigError: it is neither.
    """
    try:
        return [Path(paths)] if isinstance(paths, str | os.PathLike) else [Path(path) for path in paths]
    except TypeError as error:
        raise ConfigError("paths are of another type", value=paths, expected="a path, or a list of paths") from error


def archive_files(paths: Sequence[Path]) -> list[Path]:
    """The named files as they are, and what looks like an archive below named folders, in path order.

    Raises:
        ConfigError: there is no file.
    """
    files = list(_found(paths))
    if not files:
        named = [str(path) for path in paths]
        raise ConfigError("no archive file was found", value=named, expected="files ending in " + ", ".join(archive_suffixes()))
    _log.info("%d files to read", len(files))
    return files


def _found(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(
                p for p in path.rglob("*") if p.name.endswith(archive_suffixes()) and not p.name.startswith(".") and not _is_folder(p)
            )
        else:
            yield path


def _is_folder(path: Path) -> bool:
    """Whether it is a folder; what cannot be told is none, and ingest says why it cannot be read."""
    try:
        return path.is_dir()
    except OSError:
        return False


def ingest_paths(
    paths: Sequence[Path], options: IngestOptions, *, lake: LakeLike | None = None, progress: Progress | None = None
) -> list[FileReport]:
    """Ingests files and folders of files.

    Args:
        paths: files, and folders that are searched for them.
        options: what the paths do not say.
        lake: a lake or its folder, which is made where there is none; the default place if None.
        progress: see `pointline.progress.followed`; in bytes of the files.

    Returns:
        A report for each file, in the order of the files.

    Raises:
        ConfigError: an option cannot be used, or there is no file.
        BusyError: another process is writing.
        LakeError: the disk is full, or the lake is damaged.
    """
    hints, sources = options.hints, options.sources
    files = archive_files(paths)
    sizes = {path: _size(path) for path in files}
    total, done = sum(sizes[path] for path in files), 0
    with followed("ingest", progress) as tell:

        def advance(report: FileReport) -> None:
            nonlocal done
            done += sizes[report.path]
            _log.info("%s: %s, %d rows read, %d landed", report.path, report.outcome, report.rows_read, report.rows_landed)
            tell(done, total, printable(report.path.name))

        opened = lake if isinstance(lake, Lake) else open_lake(lake, create=True)
        return run(opened, files, sources=sources, hints=hints, progress=advance)


def printable(text: str) -> str:
    """The text with the bytes of a file's name that are not UTF-8 as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


class _Told(Protocol):
    """What a report and a preview of a file have in common."""

    @property
    def path(self) -> Path: ...
    @property
    def outcome(self) -> str: ...
    @property
    def error(self) -> PointlineError | None: ...
    @property
    def exit_code(self) -> int: ...


def failures_of(reports: Sequence[_Told], named: Sequence[Path]) -> tuple[list[PointlineError], int]:
    """The errors among reports, and what the command exits with; 0 where there are none.

    Args:
        reports: of an ingest, or previews of one.
        named: the paths that the user gave; a file that no source knows, found while a folder was searched, is no error.
    """
    bad = [report for report in reports if report.error is not None and (report.outcome != "unknown" or report.path in named)]
    codes = {report.exit_code for report in bad}
    code = SourceError.exit_code if SourceError.exit_code in codes else max(codes, default=0)
    return [report.error for report in bad if report.error is not None], code


def report_frame(reports: Sequence[FileReport]) -> pl.DataFrame:
    """The reports as a frame: columns of `REPORT_SCHEMA`, one row per file."""
    rows = [{**report.row(), "path": printable(str(report.path))} for report in reports]
    return pl.DataFrame(rows, schema=REPORT_SCHEMA, orient="row")
