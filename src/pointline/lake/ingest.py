"""Archive files into the lake: each file whole or not at all, each file once, whatever the order and whatever the interruption."""

from __future__ import annotations

import hashlib
import importlib
import itertools
import json
import os
import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import polars as pl

from pointline import clock, schema
from pointline.errors import ConfigError, LakeError, PointlineError, SourceError
from pointline.lake.checks import check_rows
from pointline.lake.delta_log import NewFile, append_rows, commit
from pointline.lake.durable import STAGING, single_writer
from pointline.lake.lane import Lane
from pointline.lake.manifest import QUARANTINE_SCHEMA, Manifest
from pointline.lake.partition import Feed, encode, file_id, partition_path, write_partition
from pointline.lake.rows import decode_frame, scan_rows
from pointline.lake.spool import Slot, Spool
from pointline.lake.store import PartitionFile
from pointline.sources.base import REJECT_SCHEMA
from pointline.sources.exchange_info import recognise_exchange_info
from pointline.sources.inflate import ahead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from pointline.lake.checks import Checked
    from pointline.lake.store import Lake
    from pointline.sources.base import Batch, Hints, Identity, Source

_ABSENT = "there is no such file"
_NUMBERS = itertools.count()  # of the files read by this process: two of them may be the same file, named twice


@dataclass
class FileReport:
    """What became of one archive file.

    Attributes:
        path: the file.
        outcome: landed | unchanged | shadowed | instruments | failed | unknown.
        rows_read, rows_landed, rows_quarantined, duplicates, missing_ids: counts.
        file_bytes: size of the archive file.
        problem: first malformed row, or why the file failed; None when all is well.
    """

    path: Path
    outcome: str
    rows_read: int = 0
    rows_landed: int = 0
    rows_quarantined: int = 0
    duplicates: int = 0
    missing_ids: int = 0
    out_of_order: int = 0
    file_bytes: int = 0
    kinds: tuple[str, ...] = ()
    problem: str | None = None


@dataclass
class _Tally:
    """Counts and rejects while a file is being read."""

    ranks: dict[tuple[str, str, str], int] = field(default_factory=dict)
    clocks: dict[str, str] = field(default_factory=dict)
    rejects: list[tuple[str, str, str, pl.DataFrame]] = field(default_factory=list)
    landed: int = 0
    duplicates: int = 0
    missing_ids: int = 0
    set_aside: int = 0
    out_of_order: int = 0
    ids: dict[tuple[str, str, str], list[tuple[int, int, int]]] = field(default_factory=dict)
    partitions: list[str] = field(default_factory=list)
    shadowed: int = 0

    def reject(self, kind: str, exchange: str, symbol: str, rows: pl.DataFrame) -> None:
        if not rows.is_empty():
            self.rejects.append((kind, exchange, symbol, rows))

    def count(self, slot: Slot, checked: Checked | Lane) -> None:
        """Adds what the checks of one partition found."""
        self.duplicates += checked.duplicates
        self.out_of_order += checked.out_of_order
        if checked.ids is not None:
            self.ids.setdefault(slot[:3], []).append(checked.ids)
        if not isinstance(checked, Lane):
            self.reject(*slot[:3], checked.rejects)


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
        LakeError: another process is writing, or the disk is full.
    """
    reports = []
    threading.Thread(target=importlib.import_module, args=("deltalake.transaction",)).start()  # ready when it is needed
    with single_writer(lake.root):
        shutil.rmtree(lake.root / STAGING, ignore_errors=True)
        manifest = Manifest(lake)
        for work in ahead(_read(lake, manifest, path, sources, hints) for path in paths):
            report = work if isinstance(work, FileReport) else _store(lake, manifest, work)
            reports.append(report)
            if progress is not None:
                progress(report)
    return reports


@dataclass(frozen=True)
class _Work:
    """An archive file that was read and is to be stored.

    Attributes:
        path, source, identity, hints: the file and how it is read.
        digest, options: its version.
        before: the manifest's row of its predecessor when it was read.
        spool, tally: its rows, and what was counted; closed by whoever stores them.
    """

    path: Path
    source: Source
    identity: Identity
    hints: Hints
    digest: str
    options: str
    before: dict[str, Any] | None
    spool: Spool
    tally: _Tally


def _read(lake: Lake, manifest: Manifest, path: Path, sources: Sequence[Source], hints: Hints) -> FileReport | _Work:
    """Reads one file while its predecessor is being stored; a report where there is nothing to store."""
    try:
        return _read_or_raise(lake, manifest, path, sources, hints)
    except LakeError:  # the lake's own: it ends the run
        raise
    except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001 - whatever an odd file causes ends that file only
        return _failure(path, error)


def _failure(path: Path, error: BaseException) -> FileReport:
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
    return FileReport(path, "failed", file_bytes=size, problem=_printable(str(error)))


def _printable(text: str) -> str:
    """The text with the bytes of a file's name that are not UTF-8 as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _read_or_raise(lake: Lake, manifest: Manifest, path: Path, sources: Sequence[Source], hints: Hints) -> FileReport | _Work:
    if not path.is_file():
        what = "this is no file that can be read: a folder, a pipe, a device or a link to nowhere" if os.path.lexists(path) else _ABSENT
        raise SourceError(what, where=str(path), expected="an archive file or a folder of them", hint="check the path")
    size = path.stat().st_size
    if recognise_exchange_info(path):
        from pointline.lake.instrument_table import add_exchange_info

        count = add_exchange_info(lake, path)
        outcome = "instruments" if count else "unchanged"
        return FileReport(path, outcome, rows_landed=count, rows_read=count, file_bytes=size, kinds=("instruments",))
    source, identity = next(((s, found) for s in sources if (found := s.recognise(path, hints)) is not None), (None, None))
    if source is None or identity is None:
        return FileReport(path, "unknown", file_bytes=size, problem=_unknown(path, sources))
    _check_names(identity)
    options = _options(hints)
    with ThreadPoolExecutor(1) as hashing:
        digest = hashing.submit(_verified_sha256, path)
        key = identity.key("" if identity.period else digest.result())
        before = manifest.current(key)
        if before is not None and before["options"] == options and before["sha256"] == digest.result():
            return FileReport(path, "unchanged", rows_read=before["rows_read"], rows_landed=before["rows_landed"], file_bytes=size)
        spool = Spool(lake.root / STAGING / f"{os.getpid()}-{next(_NUMBERS)}", file_id(key))
        tally = _Tally()
        try:
            try:
                _fill(spool, tally, source.read(path, identity, hints))
            finally:
                digest.result()  # a wrong checksum explains whatever else was found
        except BaseException:
            spool.close()
            raise
    return _Work(path, source, identity, hints, digest.result(), options, before, spool, tally)


def _fill(spool: Spool, tally: _Tally, batches: Iterator[Batch]) -> None:
    for batch in batches:
        tally.clocks[batch.kind] = batch.clock
        tally.reject(batch.kind, batch.exchange, batch.symbol, batch.rejects)
        if schema.table(batch.kind).continuous:
            tally.set_aside += int((~batch.rejects["fatal"]).sum())
        _hold(spool, tally, batch)


def _unknown(path: Path, sources: Sequence[Source]) -> str:
    error = SourceError(
        "no source recognises this file",
        where=str(path),
        expected=f"a file of {', '.join(s.name for s in sources)} by its path, name or first line, or exchangeInfo JSON",
        hint="name what it is: --source binance_vision --exchange … --dataset … --symbol …, or describe it with --mapping FILE.toml",
    )
    return _printable(str(error))


def _store(lake: Lake, manifest: Manifest, work: _Work) -> FileReport:
    """Stores a file that was read.

    Raises:
        LakeError: the lake cannot be written; it is as before.
    """
    path, identity, digest, options, spool, tally = work.path, work.identity, work.digest, work.options, work.spool, work.tally
    key = identity.key(digest)
    size = path.stat().st_size
    try:
        before = manifest.current(key)
        if before is not work.before and before is not None and (before["sha256"], before["options"]) == (digest, options):
            return FileReport(path, "unchanged", file_bytes=size)  # named twice
        rows_read = spool.rows_read + sum(rows.height for *_, rows in tally.rejects)
        held = set(before["partitions"]) if before else set()
        changes = _land(lake, spool, tally, (key, digest, options), held)
    except (SourceError, ConfigError, ArithmeticError) as error:
        return _failure(path, error)
    finally:
        spool.close()
    quarantined = _quarantine(lake, tally, identity, digest, _printable(path.name))
    for kind, (added, removed) in changes.items():
        commit(lake, kind, added, removed)
    tally.missing_ids = max(0, sum(_missing(spans) for spans in tally.ids.values()) - tally.set_aside)
    counts = {
        "outcome": "shadowed" if tally.shadowed and not tally.landed else "landed",
        "rows_read": rows_read,
        "rows_landed": tally.landed,
        "rows_quarantined": quarantined.height,
        "duplicates": tally.duplicates,
        "missing_ids": tally.missing_ids,
        "out_of_order": tally.out_of_order,
        "file_bytes": size,
    }
    manifest.append(
        {
            "key": key,
            **asdict(identity),
            **counts,
            "sha256": digest,
            "file_name": _printable(path.name),
            "partitions": sorted(tally.partitions),
            "clock": ",".join(sorted(set(tally.clocks.values()))) or "assumed",
            "options": options,
        }
    )
    return FileReport(path, **counts, kinds=tuple(sorted(changes)), problem=_first_problem(quarantined, path))  # type: ignore[arg-type]


_Changes: TypeAlias = dict[str, tuple[list[NewFile], list[NewFile]]]


def _hold(spool: Spool, tally: _Tally, batch: Batch) -> None:
    instrument = (batch.kind, batch.exchange, batch.symbol)
    if batch.frame.is_empty():
        return
    tally.ranks[instrument] = batch.rank
    spool.add(*instrument, batch.frame)


def _land(lake: Lake, spool: Spool, tally: _Tally, version: tuple[str, str, str], before: set[str]) -> _Changes:
    """Writes the partition files that the rows lead to, and says what is to be committed; nothing is live yet."""
    changes: _Changes = {}
    listings: dict[str, dict[Slot, PartitionFile]] = {}
    for slot in spool.slots():
        checked = spool.lane(slot) or check_rows(spool.take(slot), slot.kind)
        tally.count(slot, checked)
        if not checked.rows:
            continue
        feed = Feed(*version, tally.ranks[slot[:3]], checked.rows, tally.clocks[slot.kind])
        live = listings.setdefault(slot.kind, _live(lake, slot.kind)).get(slot)
        others = _others(live, feed, slot.kind)
        if others is None:
            tally.shadowed += 1
            continue
        tally.landed += feed.rows
        tally.partitions.append("/".join(slot))
        if isinstance(checked, Lane) and not others:
            _replace(lake, slot, live, checked, [feed], changes)
            continue
        frame = checked.frame.with_columns(source_file=pl.lit(file_id(version[0]), dtype=pl.Int64))
        _replace(lake, slot, live, *_merge(live, others, frame, feed, slot.kind), changes)
    for gone in sorted(before - set(tally.partitions)):
        slot = Slot(*gone.split("/"))
        live = listings.setdefault(slot.kind, _live(lake, slot.kind)).get(slot)
        if live is not None:
            _withdraw(lake, slot, live, version[0], changes)
    return changes


def _live(lake: Lake, kind: str) -> dict[Slot, PartitionFile]:
    rows = lake.listing(kind)
    return {
        Slot(kind, exchange, symbol, date): PartitionFile(lake.table_path(kind) / path, exchange, symbol, clock.to_us(date), count)
        for path, exchange, symbol, date, count in rows.iter_rows()
    }


def _others(live: PartitionFile | None, feed: Feed, kind: str) -> list[Feed] | None:
    """The feeds that share the partition with this one, or None where a better feed already holds it."""
    others = [Feed(**f) for f in live.footer["feeds"] if f["key"] != feed.key] if live is not None else []
    if not schema.table(kind).monthly:
        if any(other.rank < feed.rank for other in others):
            return None
        others = [other for other in others if other.rank == feed.rank]
    return others


def _merge(live: PartitionFile | None, others: list[Feed], frame: pl.DataFrame, feed: Feed, kind: str) -> tuple[pl.DataFrame, list[Feed]]:
    """The partition's rows with this feed in it."""
    if not others or live is None:
        return frame, [feed]
    return _union([(other, _rows_of(live, kind, other)) for other in others] + [(feed, frame)], kind)


def _rows_of(live: PartitionFile, kind: str, feed: Feed) -> pl.DataFrame:
    stored = scan_rows(live.path).filter(pl.col("source_file") == file_id(feed.key)).collect()
    return decode_frame(stored, kind)


def _union(parts: list[tuple[Feed, pl.DataFrame]], kind: str) -> tuple[pl.DataFrame, list[Feed]]:
    """Several files in one partition: rows in time order, ties by file key and line; of a repeated id the best feed's row stays.

    Only months hold feeds of several ranks: a daily file there must not drive out the other days of a monthly one.
    """
    parts = sorted(parts, key=lambda part: part[0].key)
    names = [*schema.table(kind).parsed, "source_file"]
    frame = pl.concat([rows.select(names).with_columns(_feed=pl.lit(i), _rank=pl.lit(feed.rank)) for i, (feed, rows) in enumerate(parts)])
    order = ["ts_local_us", "_feed", "source_row"]
    frame = frame.sort("_rank", *order, maintain_order=True)
    identity = list(schema.table(kind).identity)
    keep = pl.struct(identity).is_first_distinct() | pl.any_horizontal(pl.col(identity).is_null())
    frame = frame.filter(keep)
    if len({feed.rank for feed, _ in parts}) > 1:
        frame = frame.sort(order, maintain_order=True)
    return frame.drop("_feed", "_rank"), [feed for feed, _ in parts]


def _replace(lake: Lake, slot: Slot, live: PartitionFile | None, rows: pl.DataFrame | Lane, feeds: list[Feed], changes: _Changes) -> None:
    path = partition_path(slot.kind, slot.exchange, slot.symbol, slot.date, feeds)
    place, staging = lake.table_path(slot.kind) / path, lake.root / STAGING
    if isinstance(rows, Lane):
        totals = rows.place(place, feeds, through=staging)
    else:
        totals = write_partition(place, encode(rows, slot.kind), slot.kind, feeds, through=staging)
    added, removed = changes.setdefault(slot.kind, ([], []))
    added.append(NewFile(path, _partition(slot), totals.rows, totals.bounds()))
    if live is not None:
        removed.append(_dead(lake, slot, live))


def _withdraw(lake: Lake, slot: Slot, live: PartitionFile, key: str, changes: _Changes) -> None:
    """A corrected file no longer has rows on a day that its predecessor fed."""
    feeds = [Feed(**f) for f in live.footer["feeds"]]
    others = [feed for feed in feeds if feed.key != key]
    if len(others) == len(feeds):
        return
    if others:
        frame, kept = _union([(other, _rows_of(live, slot.kind, other)) for other in others], slot.kind)
        _replace(lake, slot, live, frame, kept, changes)
    else:
        changes.setdefault(slot.kind, ([], []))[1].append(_dead(lake, slot, live))


def _partition(slot: Slot) -> dict[str, str]:
    return {"exchange": slot.exchange, "symbol": slot.symbol, "date": slot.date}


def _dead(lake: Lake, slot: Slot, live: PartitionFile) -> NewFile:
    return NewFile(live.path.relative_to(lake.table_path(slot.kind)).as_posix(), _partition(slot), live.rows, {})


def _missing(spans: list[tuple[int, int, int]]) -> int:
    low, high = min(s[0] for s in spans), max(s[1] for s in spans)
    return max(0, high - low + 1 - sum(s[2] for s in spans))


def _quarantine(lake: Lake, tally: _Tally, identity: Identity, digest: str, file_name: str) -> pl.DataFrame:
    name = f"file-{hashlib.sha256(f'{identity.key(digest)}|{digest}'.encode()).hexdigest()[:32]}.parquet"
    if not tally.rejects and not (lake.table_path("quarantine") / name).is_file():  # other options may have set rows aside before
        return pl.DataFrame(schema=QUARANTINE_SCHEMA)
    frames = [
        rows.select(list(REJECT_SCHEMA)).with_columns(
            key=pl.lit(identity.key(digest)),
            sha256=pl.lit(digest),
            exchange=pl.lit(exchange),
            symbol=pl.lit(symbol),
            kind=pl.lit(kind),
            file_name=pl.lit(file_name),
        )
        for kind, exchange, symbol, rows in tally.rejects
    ]
    frame = (
        pl.concat([pl.DataFrame(schema=QUARANTINE_SCHEMA), *frames], how="diagonal")
        .select([pl.col(name).cast(dtype) for name, dtype in QUARANTINE_SCHEMA.items()])
        .sort("line", maintain_order=True)
    )
    append_rows(lake, "quarantine", frame, name)
    return frame


def _first_problem(quarantined: pl.DataFrame, path: Path) -> str | None:
    fatal = quarantined.filter("fatal")
    if fatal.is_empty():
        return None
    row = fatal.row(0, named=True)
    error = SourceError(
        f"{fatal.height:,} malformed row{'s' if fatal.height > 1 else ''} went to quarantine, the rest landed; the first: {row['reason']}",
        where=f"{path}, line {row['line']}" + (f", column {row['column']}" if row["column"] else ""),
        value=row["value"],
        hint="`pointline catalog --quarantine` shows them all; a corrected file of the same name replaces this one when ingested",
    )
    return _printable(str(error))


def _options(hints: Hints) -> str:
    """What the user chose that changes what lands: with other choices, the same file is another version."""
    chosen = {"clock": hints.clock, "latency_us": hints.latency_us}
    if hints.mapping is not None:
        chosen["mapping"] = _sha256(hints.mapping)
    return json.dumps(chosen, sort_keys=True)


def _check_names(identity: Identity) -> None:
    for name, value in (("exchange", identity.exchange), ("symbol", identity.symbol)):
        if value != "*" and not re.fullmatch(r"[A-Za-z0-9._-]+", value):
            raise ConfigError(
                f"this {name} cannot name a folder of the lake", value=value, expected="letters, digits, dot, dash and underscore"
            )


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _verified_sha256(path: Path) -> str:
    digest = _sha256(path)
    sidecar = path.with_name(path.name + ".CHECKSUM")
    if not sidecar.is_file():
        return digest
    words = sidecar.read_text(encoding="utf-8", errors="replace").split()
    if not words or words[0].lower() != digest:
        raise SourceError(
            "the file's sha256 differs from its .CHECKSUM; nothing of it was stored",
            where=str(path),
            value=digest,
            expected=words[0] if words else "a sha256",
            hint="download both again: archives are replaced from time to time, and downloads break",
        )
    return digest
