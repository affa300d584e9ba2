"""What an ingest would do with each file, without writing to the lake: what it is, and the days that its rows lie on."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from pointline.errors import LakeError, NoLakeError, PointlineError
from pointline.ingest.checksum import verified_sha256
from pointline.ingest.names import FileNames
from pointline.ingest.request import archive_files, printable
from pointline.ingest.run import failed, ingest, options_text, unknown_file, within_reach
from pointline.lake.heads import read_heads, write_heads
from pointline.lake.manifest import Manifest
from pointline.lake.store import Lake, open_lake
from pointline.lake.venue_files import FOLDER as VENUES
from pointline.progress import followed
from pointline.sources.base import INSTRUMENTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pointline.ingest.request import IngestOptions
    from pointline.progress import Progress
    from pointline.sources.base import Batch, Hints, Identity, Source


@dataclass
class FilePreview:
    """What would become of one archive file.

    Attributes:
        path: the file.
        outcome: new | replaces (an earlier version of the same archive) | unchanged | instruments | failed | unknown.
        source: the parser that recognises it.
        exchange, dataset, symbol, period: what it is of.
        rows: rows that could land; which of them serve depends on the other files, and shows when they are ingested.
        rows_rejected: rows that would be set aside, with the reason of the first in `error`.
        days: dates of the rows by table and instrument, e.g. ``{"trades of binance-spot:BTCUSDT": ["2024-05-01"]}``.
        error: why it could not be ingested, or which row would be set aside.
    """

    path: Path
    outcome: str
    source: str = ""
    exchange: str = ""
    dataset: str = ""
    symbol: str = ""
    period: str = ""
    rows: int = 0
    rows_rejected: int = 0
    days: dict[str, list[str]] = field(default_factory=dict)
    error: PointlineError | None = field(default=None, repr=False, compare=False)

    @property
    def exit_code(self) -> int:
        """What the command exits with because of the error."""
        return 0 if self.error is None else self.error.exit_code

    def row(self) -> dict[str, Any]:
        """Everything by name, JSON-ready; the error as `problem` and `exit_code`."""
        own = {name: value for name, value in vars(self).items() if name != "error"}
        problem = None if self.error is None else printable(str(self.error))
        return {**own, "path": printable(str(self.path)), "problem": problem, "exit_code": self.exit_code}


def preview(
    paths: Sequence[Path], options: IngestOptions, *, lake: str | Path | None = None, progress: Progress | None = None
) -> list[FilePreview]:
    """Reads files and folders of files, and says what an ingest would do with them.

    Args:
        paths, options, progress: as for `pointline.ingest.request.ingest_paths`.
        lake: the lake's folder, which need not exist.

    Raises:
        ConfigError: an option cannot be used, or there is no file.
        LakeError: the folder is no lake and holds other things, or the lake is damaged.
    """
    hints, sources = options.hints, options.sources
    files = archive_files(paths)
    opened = _lake_or_none_yet(lake)
    manifest = Manifest(opened)
    found = []
    with followed("look", progress) as tell, _known_instruments(opened) as names:
        for done, path in enumerate(files):
            tell(done, len(files), printable(path.name))
            found.append(_look(path, sources, hints, manifest, names))
    return found


def _lake_or_none_yet(path: str | Path | None) -> Lake:
    """The lake, or what will be one."""
    try:
        return open_lake(path)
    except NoLakeError as missing:
        root = Path(str(missing.where))
        if root.exists() and any(not held.name.startswith(".") for held in root.iterdir()):
            missing.what = "this folder holds other things and is not a lake"
            raise
        return Lake(root)


@contextlib.contextmanager
def _known_instruments(lake: Lake) -> Iterator[Lake]:
    """A lake of its own that knows the same instruments, so that lists of instruments explain the files behind them here too."""
    with tempfile.TemporaryDirectory(prefix="pointline-look-") as folder:
        copy = open_lake(Path(folder) / "lake", create=True)
        for name in (INSTRUMENTS, VENUES):
            if (lake.root / name).is_dir():
                shutil.copytree(lake.root / name, copy.root / name)
        write_heads(copy.root, {name: head for name, head in read_heads(lake.root).items() if name == INSTRUMENTS})
        yield copy


def _look(path: Path, sources: Sequence[Source], hints: Hints, manifest: Manifest, names: Lake) -> FilePreview:
    try:
        return _look_or_raise(path, sources, hints, manifest, names)
    except LakeError:  # the lake's own: it ends the run
        raise
    except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001 - whatever an odd file causes ends that file only
        return FilePreview(path, "failed", error=failed(path, error).error)


def _look_or_raise(path: Path, sources: Sequence[Source], hints: Hints, manifest: Manifest, names: Lake) -> FilePreview:
    if not path.is_file():
        return FilePreview(path, "failed", error=ingest(names, [path], sources=sources, hints=hints)[0].error)
    resolved = FileNames(names, hints)
    source, identity = next(((s, found) for s in sources if (found := s.recognise(path, resolved.hints)) is not None), (None, None))
    if identity is not None and identity.kind == INSTRUMENTS:
        (report,) = ingest(names, [path], sources=sources, hints=hints)
        dataset = INSTRUMENTS if report.error is None else ""
        return FilePreview(path, report.outcome, identity.source, dataset=dataset, rows=report.rows_landed, error=report.error)
    if source is None or identity is None:
        return FilePreview(path, "unknown", error=unknown_file(path, sources))
    identity = resolved.identity(identity, path)
    digest = verified_sha256(path)
    before = manifest.current(identity.key(digest))
    outcome = "new" if before is None else "replaces"
    if before is not None and (before["sha256"], before["options"]) == (digest, options_text(resolved.hints)):
        outcome = "unchanged"
    told = (identity.source, identity.exchange, identity.dataset, identity.symbol, identity.period)
    seen = FilePreview(path, outcome, *told)
    _count(seen, map(resolved.batch, source.read(path, identity, resolved.hints)), identity)
    return seen


def _count(seen: FilePreview, batches: Iterator[Batch], identity: Identity) -> None:
    """Adds the rows of a file up."""
    days: Counter[tuple[str, str]] = Counter()
    for batch in batches:
        near, far = within_reach(batch, identity)
        for rejects in (batch.rejects, far):
            seen.rows_rejected += rejects.height
            if seen.error is None and not rejects.is_empty():
                seen.error = _reject(seen.path, rejects.row(0, named=True))
        dates = pl.from_epoch(near["ts_local_us"], time_unit="us").dt.strftime("%Y-%m-%d")
        for date, count in dates.value_counts().iter_rows():
            days[f"{batch.kind} of {batch.exchange}:{batch.symbol}", date] += count
    seen.rows = days.total()
    for instrument, date in sorted(days):
        seen.days.setdefault(instrument, []).append(date)


def _reject(path: Path, row: dict[str, Any]) -> PointlineError:
    """The error of a row that would be set aside."""
    from pointline.errors import SourceError

    place = f"{path}, line {row['line']}" + (f", column {row['column']}" if row["column"] else "")
    return SourceError(f"a row would go to quarantine: {row['reason']}", where=place, value=row["value"])
