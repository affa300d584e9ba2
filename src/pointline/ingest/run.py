"""Archive files into the lake: each file whole or not at all, each file once, whatever the order and whatever the interruption."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import logging
import os
import shlex
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import polars as pl

from pointline import schema
from pointline.clock import DAY_US, time_text
from pointline.errors import ConfigError, LakeError, PointlineError, SourceError
from pointline.ingest.checksum import verified_sha256
from pointline.ingest.instrument_table import InstrumentList, list_of
from pointline.ingest.landing import Landing
from pointline.ingest.names import FileNames
from pointline.ingest.spool import Slot, Spool
from pointline.lake.delta_log import Change
from pointline.lake.durable import STAGING, single_writer
from pointline.lake.journal import carry_out, finish, is_pending, stage_rows
from pointline.lake.maintenance import remove_dead, remove_temporaries
from pointline.lake.manifest import Manifest
from pointline.lake.partition import Feed, file_id
from pointline.schema import QUARANTINE_SCHEMA
from pointline.sources.base import INSTRUMENTS, REJECT_SCHEMA, Identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from pointline.ingest.landing import Landed
    from pointline.lake.store import Lake
    from pointline.sources.base import Batch, Hints, Source

_log = logging.getLogger("pointline.ingest")
_ABSENT = "there is no such file"
_NUMBERS = itertools.count()  # of the files read by this process: two of them may be the same file, named twice
_NEW = "new"  # folder of the data files that are to become live
REACH_US = DAY_US
"""Rows further than this outside their file's declared period are quarantined; nearer ones land on their own day."""


@dataclass
class FileReport:
    """What became of one archive file.

    Attributes:
        path: the file.
        outcome: landed | superseded (other files tell all of it better) | quarantined (no row could land) | empty | unchanged |
            instruments | failed | unknown.
        rows_read: the sum of the counts that follow; each row is counted once.
        rows_landed: rows that serve.
        rows_flagged: rows that serve as off-book prints: visible, but not in bars.
        duplicates: repeats inside the file.
        rows_superseded: rows that other files tell better; they are kept in reserve.
        rows_quarantined: rows set aside with a reason.
        rows_skipped: rows of other instruments or events, passed over.
        rounded: amounts that were put right to the shortest decimal.
        displaced: rows of other files that served until now.
        missing_ids: ids missing in the days that the file feeds.
        out_of_order: rows earlier than the row above them.
        file_bytes: size of the archive file.
        kinds: tables that changed.
        conflicts: contradictions with other files, in words.
        error: of the first malformed row, or why the file failed; None when all is well.
        problem: the error in words.
        exit_code: what the command exits with because of it.
    """

    path: Path
    outcome: str
    rows_read: int = 0
    rows_landed: int = 0
    rows_flagged: int = 0
    duplicates: int = 0
    rows_superseded: int = 0
    rows_quarantined: int = 0
    rows_skipped: int = 0
    rounded: int = 0
    displaced: int = 0
    missing_ids: int = 0
    out_of_order: int = 0
    file_bytes: int = 0
    kinds: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    error: PointlineError | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.error = copy(self.error)  # without the traceback, which would keep the rows of a failed file

    @property
    def problem(self) -> str | None:
        """The error in words; None when all is well."""
        return None if self.error is None else _printable(str(self.error))

    @property
    def exit_code(self) -> int:
        """What the command exits with because of the error."""
        return 0 if self.error is None else self.error.exit_code

    def row(self) -> dict[str, Any]:
        """Everything by name, JSON-ready but for the path; the error as `problem` and `exit_code`."""
        own = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "error"}
        return {**own, "problem": self.problem, "exit_code": self.exit_code}


@dataclass
class _Tally:
    """Counts and rejects while a file is being read."""

    ranks: dict[tuple[str, str, str], int] = field(default_factory=dict)
    clocks: dict[str, str] = field(default_factory=dict)
    rejects: list[tuple[str, str, str, pl.DataFrame]] = field(default_factory=list)
    skipped: int = 0
    rounded: int = 0

    def reject(self, kind: str, exchange: str, symbol: str, rows: pl.DataFrame) -> None:
        if not rows.is_empty():
            self.rejects.append((kind, exchange, symbol, rows))


def ingest(
    lake: Lake,
    paths: Iterable[Path],
    *,
    sources: Sequence[Source],
    hints: Hints,
    progress: Callable[[FileReport], None] | None = None,
) -> list[FileReport]:
    """Ingests every file, in the order given; a file that fails does not stop the others.

    Args:
        lake: where the rows go.
        paths: archive files.
        sources: parsers; the first that recognises a file reads it.
        hints: what the paths do not say.
        progress: called after each file.

    Raises:
        BusyError: another process is writing.
        LakeError: the disk is full, or the lake is damaged.
        ConfigError: the assumed latency is a day or more.
    """
    if not 0 <= hints.latency_us < DAY_US:
        raise ConfigError("the assumed latency cannot be used", value=f"{hints.latency_us} us", expected="0 or more, less than a day")
    reports = []
    threading.Thread(target=importlib.import_module, args=("deltalake.transaction",)).start()  # ready when it is needed
    with single_writer(lake.root):
        finish(lake)
        shutil.rmtree(lake.root / STAGING, ignore_errors=True)
        remove_temporaries(lake.root)
        remove_dead(lake)
        manifest = Manifest(lake)
        lake.described()  # venue files of the lake that cannot be used end the run, not each file

        def store(work: _Read) -> None:
            if isinstance(work, _HeldFile) and not _is_held(lake, work.entry):
                work = _read(lake, manifest, work.path, sources, hints, again=True)
            report = _settle(lake, manifest, work)
            reports.append(report)
            if progress is not None:
                progress(report)

        _read_and_store(paths, partial(_read, lake, manifest, sources=sources, hints=hints), store)
    return reports


def _read_and_store(paths: Iterable[Path], read: Callable[[Path], _Read], store: Callable[[_Read], None]) -> None:
    """Reads and stores files one after the other; while this thread stores one, another thread reads the next.

    A list of instruments is stored before the next file is read, because it may explain that file's names.
    """
    waiting = iter(paths)
    with ThreadPoolExecutor(1) as reader:

        def begin() -> Future[_Read] | None:
            path = next(waiting, None)
            return None if path is None else reader.submit(read, path)

        coming = begin()
        while coming is not None:
            work = coming.result()
            alone = isinstance(work, InstrumentList)
            coming = None if alone else begin()
            try:
                store(work)
            except BaseException:
                _give_up(coming)
                raise
            if alone:
                coming = begin()


def _give_up(coming: Future[_Read] | None) -> None:
    """Forgets a file that is not to be stored any more."""
    if coming is not None:
        with contextlib.suppress(LakeError):
            if isinstance(work := coming.result(), _FileRows):
                work.spool.close()


def read_again(lake: Lake, path: Path, *, sources: Sequence[Source], hints: Hints) -> FileReport:
    """Reads a file and stores its rows although the lake may know it; the caller holds the lake's lock.

    Raises:
        LakeError: the disk is full, or the lake is damaged.
    """
    manifest = Manifest(lake)
    return _settle(lake, manifest, _read(lake, manifest, path, sources, hints, again=True))


@dataclass(frozen=True)
class _FileRows:
    """An archive file whose rows were read, and are to be stored.

    Attributes:
        path, source, identity, names: the file, how it is read and what its instruments are called.
        digest, options: its version.
        spool, tally: its rows, and what was counted; closed by whoever stores them.
        again: store it although the lake may know it.
    """

    path: Path
    source: Source
    identity: Identity
    names: FileNames
    digest: str
    options: str
    spool: Spool
    tally: _Tally
    again: bool

    @property
    def key(self) -> str:
        """What a later version of the file replaces."""
        return self.identity.key(self.digest)

    @property
    def feed(self) -> Feed:
        """The file as partitions name it; rank, clock and rows differ by table."""
        return Feed(self.key, self.digest, self.options, 0, "", _printable(self.path.name), self.identity.declared_us)


@dataclass(frozen=True)
class _HeldFile:
    """An archive file of which the manifest tells, as it is.

    Attributes:
        path: the file.
        entry: its row of the manifest.
    """

    path: Path
    entry: dict[str, Any]


_Read: TypeAlias = "FileReport | InstrumentList | _HeldFile | _FileRows"


def _read(lake: Lake, manifest: Manifest, path: Path, sources: Sequence[Source], hints: Hints, *, again: bool = False) -> _Read:
    """Reads one file while its predecessor is being stored; a report where there is nothing to store."""
    try:
        return _read_or_raise(lake, manifest, path, sources, hints, again=again)
    except LakeError:  # the lake's own: it ends the run
        raise
    except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001 - whatever an odd file causes ends that file only
        return failed(path, error)


def failed(path: Path, error: BaseException) -> FileReport:
    """The report of a file that cannot be stored."""
    if isinstance(error, OSError) and not isinstance(error, PointlineError):
        error = SourceError("the file cannot be read", value=str(error), hint="check the path, its permissions and the disk")
    elif isinstance(error, MemoryError):
        error = SourceError("the file does not fit in memory", hint="unpack it, and split it")
    elif not isinstance(error, PointlineError):
        found = f"{type(error).__name__}: {error}"[:200]
        error = SourceError("the file cannot be read as what it seems to be", value=found, hint="get it again; if it is whole, report this")
    error.where = error.where or str(path)
    try:
        size = path.stat().st_size
    except OSError:
        size = 0
    return FileReport(path, "failed", file_bytes=size, error=error)


def _printable(text: str) -> str:
    """The text with the bytes of a file's name that are not UTF-8 as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _read_or_raise(lake: Lake, manifest: Manifest, path: Path, sources: Sequence[Source], hints: Hints, *, again: bool) -> _Read:
    if not path.is_file():
        what = "this is no file that can be read: a folder, a pipe, a device or a link to nowhere" if os.path.lexists(path) else _ABSENT
        raise SourceError(what, where=str(path), expected="an archive file or a folder of them", hint="check the path")
    size = path.stat().st_size
    names = FileNames(lake, hints)
    hints = names.hints
    source, identity = next(((s, found) for s in sources if (found := s.recognise(path, hints)) is not None), (None, None))
    if source is None or identity is None:
        return FileReport(path, "unknown", file_bytes=size, error=unknown_file(path, sources))
    if identity.kind == INSTRUMENTS:
        return list_of(path, identity, verified_sha256(path), source.read(path, identity, hints))
    identity = names.identity(identity, path)
    hints = names.hints
    options = options_text(hints)
    _log.debug(
        "%s: %s, %s of %s:%s, period %s", path, *(identity.source, identity.dataset, identity.exchange, identity.symbol, identity.period)
    )
    with ThreadPoolExecutor(1) as hashing:
        digest = hashing.submit(verified_sha256, path)
        key = identity.key("" if identity.period else digest.result())
        before = manifest.current(key)
        if not again and before is not None and before["options"] == options and before["sha256"] == digest.result():
            return _HeldFile(path, before)
        spool = Spool(lake.root / STAGING / f"{os.getpid()}-{next(_NUMBERS)}", file_id(key))
        tally = _Tally()
        try:
            try:
                _fill(spool, tally, map(names.batch, source.read(path, identity, hints)), identity)
            finally:
                digest.result()  # a wrong checksum explains whatever else was found
        except BaseException:
            spool.close()
            raise
    return _FileRows(path, source, identity, names, digest.result(), options, spool, tally, again)


def _is_held(lake: Lake, entry: dict[str, Any]) -> bool:
    """Whether every partition that a file's rows went to is there; rows that are gone are read again."""
    for name in entry["partitions"]:
        slot = Slot.of(name)
        kinds = (slot.kind, slot.kind + schema.RESERVE)
        if not any(lake.has(path) for kind in kinds for path in lake.partition_paths(kind, slot.exchange, slot.symbol, slot.date)):
            return False
    return True


def _unchanged(lake: Lake, manifest: Manifest, path: Path, entry: dict[str, Any]) -> FileReport:
    """The report of a file that is in the lake already: what it said when it landed."""
    counts = {name: entry[name] for name in (*_COUNTS, "rounded", "file_bytes")}
    aside = manifest.quarantine_of(lake, entry["entry"]) if entry["rows_quarantined"] else pl.DataFrame()
    return FileReport(path, "unchanged", **counts, error=_first_problem(aside, path, entry["rows_landed"]))


_COUNTS = ("rows_read", "rows_landed", "rows_flagged", "duplicates", "rows_superseded", "rows_quarantined", "rows_skipped")


def _fill(spool: Spool, tally: _Tally, batches: Iterator[Batch], identity: Identity) -> None:
    for batch in batches:
        tally.clocks[batch.kind] = batch.clock
        tally.skipped += batch.skipped
        tally.rounded += batch.rounded
        tally.reject(batch.kind, batch.exchange, batch.symbol, batch.rejects)
        frame, far = within_reach(batch, identity)
        tally.reject(batch.kind, batch.exchange, batch.symbol, far)
        if not frame.is_empty():
            tally.ranks[batch.kind, batch.exchange, batch.symbol] = batch.rank
            spool.add(batch.kind, batch.exchange, batch.symbol, frame)


def within_reach(batch: Batch, identity: Identity) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that lie no more than a day outside the file's declared period, and rejects for the others."""
    declared, column = identity.declared_us, schema.table(batch.kind).period
    nothing = pl.DataFrame(schema=REJECT_SCHEMA)
    if declared is None or batch.frame.is_empty():
        return batch.frame, nothing
    start, end = declared[0] - REACH_US, declared[1] + REACH_US
    times = batch.frame[column]
    if int(times.min()) >= start and int(times.max()) < end:  # type: ignore[arg-type]
        return batch.frame, nothing
    near = pl.col(column).is_between(start, end, closed="left")
    far = batch.frame.filter(~near)
    rejects = far.select(
        line=pl.col("source_row"),
        column=pl.lit(column),
        value=pl.Series([time_text(us) for us in far[column].to_list()], dtype=pl.String),
        reason=pl.lit(f"lies more than a day outside {identity.period}, the period of its file"),
        raw=pl.lit(None, dtype=pl.String),
        fatal=pl.lit(value=True),
    )
    return batch.frame.filter(near), rejects


def unknown_file(path: Path, sources: Sequence[Source]) -> SourceError:
    """The error of a file that nothing is known about."""
    named = shlex.quote(_printable(str(path)))
    return SourceError(
        "no source recognises this file",
        where=str(path),
        expected=f"a file of {', '.join(s.name for s in sources)} by its path, name or content",
        hint=f"`pointline ingest {named} --mapping mapping.toml` reads any table; `pointline ingest --help` shows a mapping.toml. An "
        "archive that was moved or renamed needs --source, --exchange, --dataset, --symbol and --period",
    )


def _settle(lake: Lake, manifest: Manifest, work: _Read) -> FileReport:
    """Stores what was read.

    Raises:
        LakeError: the lake cannot be written; it is as before.
    """
    if isinstance(work, FileReport):
        return work
    if isinstance(work, _HeldFile):
        return _unchanged(lake, manifest, work.path, work.entry)
    if isinstance(work, InstrumentList):
        return _store_list(lake, manifest, work)
    try:
        return _store(lake, manifest, work)
    except (SourceError, ConfigError, ArithmeticError) as error:
        return failed(work.path, error)
    finally:
        work.spool.close()
        if not is_pending(lake):  # else the next writer needs what was staged
            shutil.rmtree(lake.root / STAGING / _NEW, ignore_errors=True)


def _store_list(lake: Lake, manifest: Manifest, listed: InstrumentList) -> FileReport:
    """Stores a list of instruments, which has a row of the manifest like any other file."""
    path, count = listed.path, listed.observations.height
    outcome = "unchanged" if listed.is_held(lake) else "instruments"
    report = FileReport(path, outcome, rows_landed=count, rows_read=count, file_bytes=path.stat().st_size, kinds=(INSTRUMENTS,))
    if outcome == "unchanged":
        return report
    entry = {
        "key": listed.key,
        **_told(listed.identity, report),
        "sha256": listed.sha256,
        "file_name": _printable(path.name),
        "path": _printable(str(path.absolute())),
        "partitions": [],
        "clock": "",
        "options": "{}",
        "hints": "{}",
        "conflicts": [],
    }
    carry_out(lake, {INSTRUMENTS: Change([listed.stage(lake)]), "manifest": Change([manifest.stage(entry)])})
    manifest.accept()
    return report


def _store(lake: Lake, manifest: Manifest, work: _FileRows) -> FileReport:
    path, spool, tally = work.path, work.spool, work.tally
    before = manifest.current(work.key)
    known = before is not None and (before["sha256"], before["options"]) == (work.digest, work.options)
    if known and before is not None and not work.again and _is_held(lake, before):
        return _unchanged(lake, manifest, path, before)  # named twice in one run
    staging = lake.root / STAGING / _NEW
    staging.mkdir(parents=True, exist_ok=True)
    landing = Landing(lake, spool, work.feed, tally.ranks, tally.clocks, staging)
    landed = landing.run(before["partitions"] if before else ())
    quarantined = _quarantined(work, [*tally.rejects, *landed.rejects], manifest.next_entry)
    counts = _counts(landed, tally, quarantined.height)
    report = FileReport(
        path,
        _outcome(counts),
        **counts,
        rounded=tally.rounded,
        displaced=landed.displaced,
        missing_ids=landed.missing_ids,
        out_of_order=landed.out_of_order,
        file_bytes=path.stat().st_size,
        kinds=tuple(sorted({kind.removesuffix(schema.RESERVE) for kind in landed.changes})),
        conflicts=tuple(_conflict_text(manifest, work, landed)),
        error=_first_problem(quarantined, path, landed.serving + landed.flagged + landed.reserve),
    )
    changes = {INSTRUMENTS: work.names.change(), **landed.changes}
    if not quarantined.is_empty():
        changes["quarantine"] = Change([stage_rows(lake, quarantined, f"quarantine-{manifest.next_entry:010d}")])
    changes["manifest"] = Change([manifest.stage(_entry(work, report, landed))])
    carry_out(lake, changes)
    manifest.accept()
    return report


def _counts(landed: Landed, tally: _Tally, quarantined: int) -> dict[str, int]:
    """Every row that was read, counted once."""
    counts = {
        "rows_landed": landed.serving,
        "rows_flagged": landed.flagged,
        "duplicates": landed.duplicates,
        "rows_superseded": landed.reserve,
        "rows_quarantined": quarantined,
        "rows_skipped": tally.skipped,
    }
    return {"rows_read": sum(counts.values()), **counts}


def _outcome(counts: dict[str, int]) -> str:
    if counts["rows_landed"] or counts["rows_flagged"]:
        return "landed"
    if counts["rows_superseded"]:
        return "superseded"
    return "quarantined" if counts["rows_quarantined"] else "empty"


def _told(identity: Identity, report: FileReport) -> dict[str, Any]:
    """What a row of the manifest has of a file's identity and of what became of it."""
    named = {name: getattr(identity, name) for name in ("source", "exchange", "market", "dataset", "symbol", "period")}
    counted = (*_COUNTS, "rounded", "missing_ids", "out_of_order", "file_bytes", "outcome")
    return {**named, **{name: getattr(report, name) for name in counted}}


def _entry(work: _FileRows, report: FileReport, landed: Landed) -> dict[str, Any]:
    """The file's row of the manifest."""
    said = {name: getattr(work.names.hints, name) for name in ("exchange", "dataset", "symbol", "period")}
    return {
        "key": work.key,
        **_told(work.identity, report),
        "sha256": work.digest,
        "file_name": _printable(work.path.name),
        "path": _printable(str(work.path.absolute())),
        "partitions": sorted(landed.partitions),
        "clock": ",".join(sorted(set(work.tally.clocks.values()))) or "assumed",
        "options": work.options,
        "hints": json.dumps(said, sort_keys=True),
        "conflicts": list(report.conflicts),
    }


def _conflict_text(manifest: Manifest, work: _FileRows, landed: Landed) -> Iterator[str]:
    """Each contradiction with the names of both files."""

    def origin(key: str) -> tuple[Path, str]:
        entry = manifest.current(key)
        if key == work.key or entry is None:
            return Path(_printable(str(work.path.absolute()))), work.digest
        return Path(entry["path"]), entry["sha256"]

    for conflict in landed.conflicts:
        if work.key in {conflict.serving, conflict.losing}:
            serving, losing = _told_apart(origin(conflict.serving), origin(conflict.losing))
            yield f"{conflict.rows:,} rows of {losing} contradict {serving}, which serves: {conflict.example}"


def _told_apart(*files: tuple[Path, str]) -> list[str]:
    """The names of two files with as many of their folders as tell them apart; with their SHA-256 where one path held both."""
    for depth in range(1, max(len(path.parts) for path, _ in files) + 1):
        names = [Path(*path.parts[-depth:]).as_posix() for path, _ in files]
        if len(set(names)) == len(names):
            return names
    return [f"{path.name} ({digest[:12]}…)" for path, digest in files]


def _quarantined(work: _FileRows, rejects: list[tuple[str, str, str, pl.DataFrame]], entry: int) -> pl.DataFrame:
    frames = [
        rows.select(list(REJECT_SCHEMA)).with_columns(
            entry=pl.lit(entry, dtype=pl.Int64),
            key=pl.lit(work.key),
            sha256=pl.lit(work.digest),
            exchange=pl.lit(exchange),
            symbol=pl.lit(symbol),
            kind=pl.lit(kind),
            file_name=pl.lit(_printable(work.path.name)),
        )
        for kind, exchange, symbol, rows in rejects
    ]
    return (
        pl.concat([pl.DataFrame(schema=QUARANTINE_SCHEMA), *frames], how="diagonal")
        .select([pl.col(name).cast(dtype) for name, dtype in QUARANTINE_SCHEMA.items()])
        .sort("line", maintain_order=True)
    )


def _first_problem(quarantined: pl.DataFrame, path: Path, landed: int) -> SourceError | None:
    if quarantined.is_empty():
        return None
    fatal = quarantined.filter("fatal")
    shown, kind = (quarantined, "") if fatal.is_empty() else (fatal, "malformed ")
    row = shown.row(0, named=True)
    rest = "the rest landed" if landed else "nothing landed"
    return SourceError(
        f"{shown.height:,} {kind}row{'s' if shown.height > 1 else ''} went to quarantine, {rest}; the first: {row['reason']}",
        where=f"{path}, line {row['line']}" + (f", column {row['column']}" if row["column"] else ""),
        value=row["value"],
        hint="`pointline catalog --quarantine` shows them all; a corrected file of the same archive replaces this one when ingested",
    )


def options_text(hints: Hints) -> str:
    """What the user chose that changes what lands: with other choices, the same file is another version."""
    chosen: dict[str, Any] = {"clock": hints.clock, "latency_us": hints.latency_us}
    if hints.mapping is not None:
        chosen["mapping"] = hints.mapping.read_bytes().decode("utf-8")
    return json.dumps(chosen, sort_keys=True)
