"""Repairs a damaged lake: rebuilds logs from the data files, and reads lost rows again from the archive files behind them."""

from __future__ import annotations

import contextlib
import glob
import json
import shutil
import tempfile
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointline import schema
from pointline.errors import ConfigError, DamageError, LakeError
from pointline.ingest.checksum import sha256_of
from pointline.ingest.run import read_again
from pointline.lake.content import check_sha256
from pointline.lake.delta_log import Change, NewFile, commit
from pointline.lake.durable import STAGING
from pointline.lake.heads import HEADS, NOTHING, Head, head_of, read_heads, write_heads
from pointline.lake.journal import JOURNAL, finish
from pointline.lake.maintenance import data_files
from pointline.lake.manifest import Manifest
from pointline.lake.paths import partition_folder, partition_values, read_slot
from pointline.lake.restoring import as_folder, fetch, let_go, restoring
from pointline.lake.rows import scan_rows
from pointline.lake.store import Lake, PartitionFile, is_market
from pointline.lake.verify import Problem, Verdict, placed, table_names, verify
from pointline.sources.base import INSTRUMENTS, Hints
from pointline.sources.families import family

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from pointline.ingest.run import FileReport
    from pointline.sources.base import Source


@dataclass
class Repaired:
    """What `repair` did.

    Attributes:
        before: what was wrong.
        after: what is wrong still.
        reread: archive files that were read again.
        missing: archive files that are needed and were not found, as ``name (sha256)``.
    """

    before: Verdict
    after: Verdict
    reread: list[FileReport] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def repair(lake: Lake, sources: Callable[[str], Sequence[Source]], archives: Sequence[Path] = ()) -> Repaired:
    """Restores what `verify` finds wrong.

    Args:
        lake: the lake.
        sources: the parsers of a name, as the manifest has it.
        archives: folders in which to search archive files that were moved.

    Raises:
        BusyError: another process is writing.
        ConfigError: one of the archive folders does not exist.
        LakeError: the disk is full; or a bucket does not answer, or refuses.
    """
    _check_folders(archives)
    with restoring(lake) as whole:
        done = _repair(whole, sources, archives)
    if whole is not lake:
        done = replace(done, before=placed(done.before, whole, lake), after=placed(done.after, whole, lake))
    return done


def _repair(lake: Lake, sources: Callable[[str], Sequence[Source]], archives: Sequence[Path]) -> Repaired:
    before = verify(lake)
    _finish_or_drop_journal(lake)
    shutil.rmtree(lake.root / STAGING, ignore_errors=True)
    if before.problems:
        shutil.rmtree(lake.root / ".cache", ignore_errors=True)  # made from the lake, made again when needed
        _restore_book(lake)
        for name in sorted({problem.table for problem in before.problems if problem.kind == "log"}):
            _rebuild_log(lake, name)
    lake = Lake(lake.root)
    found = verify(lake)
    _drop_damaged(lake, [problem for problem in found.problems if problem.kind == "data"])
    lake = Lake(lake.root)
    done = Repaired(before, found)
    for entry in _entries_to_read(lake, [*before.problems, *found.problems]):
        path = _archive_of(lake, entry, archives)
        if path is None:
            done.missing.append(f"{entry['file_name']} ({entry['sha256']})")
        else:
            done.reread.append(_read_again(lake, path, entry, sources))
    done.after = verify(Lake(lake.root))
    return done


@dataclass(frozen=True)
class RepairPlan:
    """What `repair` would do.

    Attributes:
        found: what is wrong.
        rereads: archive files that would be read again.
        missing: archive files that are needed and not at hand, as ``name (sha256)``.
        unknown: why the archive files cannot be told before the lake's own books are put right; None where they can.
    """

    found: Verdict
    rereads: tuple[Path, ...] = ()
    missing: tuple[str, ...] = ()
    unknown: str | None = None


def plan_repair(lake: Lake, archives: Sequence[Path] = ()) -> RepairPlan:
    """Finds what `repair` would do, and changes nothing.

    Args:
        lake, archives: as for `repair`.

    Raises:
        ConfigError: one of the archive folders does not exist.
    """
    _check_folders(archives)
    with as_folder(lake) as whole:
        plan = _plan(whole, archives)
    return plan if whole is lake else replace(plan, found=placed(plan.found, whole, lake))


def _plan(lake: Lake, archives: Sequence[Path]) -> RepairPlan:
    found = verify(lake)
    if not found.problems:
        return RepairPlan(found)
    try:
        needed = [(entry, _archive_of(lake, entry, archives)) for entry in _entries_to_read(lake, found.problems)]
    except LakeError as error:
        return RepairPlan(found, unknown=error.what)
    missing = tuple(f"{entry['file_name']} ({entry['sha256']})" for entry, path in needed if path is None)
    return RepairPlan(found, tuple(path for _, path in needed if path is not None), missing)


def _check_folders(archives: Sequence[Path]) -> None:
    for folder in archives:
        if not folder.is_dir():
            raise ConfigError(
                "there is no such folder of archive files", value=str(folder), expected="a folder", hint="nothing was changed"
            )


def _finish_or_drop_journal(lake: Lake) -> None:
    try:
        finish(lake)
    except (LakeError, OSError):
        (lake.root / JOURNAL).unlink(missing_ok=True)  # its rows are read again from the archives


def _restore_book(lake: Lake) -> None:
    """Writes the book of heads from the logs if it cannot be read."""
    try:
        heads = read_heads(lake.root)
    except DamageError:
        (lake.root / HEADS).unlink()
        heads = {}
    for name in table_names(lake):
        if name not in heads:
            try:
                live = lake.live(name)
            except DamageError:
                continue  # its log is rebuilt
            heads[name] = head_of(lake.log_path(name), live.select("path", "num_records").iter_rows())
    write_heads(lake.root, heads)


def _rebuild_log(lake: Lake, name: str) -> None:
    """A new log of a table from the files that lie there and were not replaced."""
    heads = read_heads(lake.root)
    head = heads.get(name, NOTHING)
    folder = lake.table_path(name)
    shutil.rmtree(folder / "_delta_log", ignore_errors=True)
    files = list(_live_on_disk(lake, name, head))
    fresh = Lake(lake.root)
    heads.pop(name, None)
    write_heads(lake.root, heads)
    if files:
        commit(fresh, name, Change(files))
        live = [(file.path, file.rows) for file in files]
        heads[name] = head_of(lake.log_path(name), live, head.dead)
        write_heads(lake.root, heads)
        for file in files:
            let_go(folder / file.path)


def _live_on_disk(lake: Lake, name: str, head: Head) -> Iterator[NewFile]:
    """Whole files that were not replaced; of several in one partition none, because it is unknown which one counts."""
    dead = {path for path, _ in head.dead}
    folder = lake.table_path(name)
    by_folder: dict[Path, list[Path]] = {}
    for relative, *_ in data_files(lake, name):
        if relative not in dead:
            by_folder.setdefault((folder / relative).parent, []).append(folder / relative)
    market = is_market(name.removesuffix(schema.RESERVE))
    for place, paths in by_folder.items():
        whole = [path for path in paths if fetch(path) is None and check_sha256(path) and _is_readable(path)]
        if market and len(whole) != 1:
            continue
        for path in whole:
            relative = path.relative_to(folder).as_posix()
            if not market:
                yield NewFile(relative, {}, scan_rows(path).collect().height)
                continue
            totals = PartitionFile(path, "", "", 0, 0).totals
            bounds = {clock: (totals[f"first_{short}_us"], totals[f"last_{short}_us"]) for clock, short in _CLOCKS.items()}
            with contextlib.suppress(LakeError):  # a name too long for a folder: its archives are read again
                yield NewFile(relative, partition_values(place.relative_to(folder).as_posix()), totals["rows"], bounds)


_CLOCKS = {"ts_local_us": "local", "ts_event_us": "event"}


def _is_readable(path: Path) -> bool:
    try:
        scan_rows(path).collect_schema()
    except Exception:  # noqa: BLE001 - any error that a damaged file causes
        return False
    return True


def _drop_damaged(lake: Lake, problems: list[Problem]) -> None:
    """Removes damaged and missing files from the logs, so that their rows are read again."""
    by_table: dict[str, list[str]] = {}
    for problem in problems:
        by_table.setdefault(problem.table, []).append(problem.path)
    heads = read_heads(lake.root)
    for name, paths in by_table.items():
        rows = {path: (exchange, symbol, date, count) for path, exchange, symbol, date, count in lake.live(name).iter_rows()}
        market = is_market(name.removesuffix(schema.RESERVE))
        gone = []
        for path in paths:
            exchange, symbol, date, count = rows[path]
            gone.append(NewFile(path, {"exchange": exchange, "symbol": symbol, "date": date} if market else {}, count))
        commit(lake, name, Change(removed=gone))
        left = [(path, count) for path, (*_, count) in rows.items() if path not in paths]
        heads[name] = head_of(lake.log_path(name), left, heads.get(name, NOTHING).dead)
        for path in paths:
            (lake.table_path(name) / path).unlink(missing_ok=True)
    write_heads(lake.root, heads)


def _entries_to_read(lake: Lake, problems: list[Problem]) -> list[dict[str, Any]]:
    """Archive files whose rows, or whose row of the manifest, are gone."""
    manifest = Manifest(lake)
    held = {kind: {tuple(row) for row in lake.listing(kind).select("exchange", "symbol", "date").iter_rows()} for kind in _tables(lake)}
    wanted: dict[str, dict[str, Any]] = {}
    touched = {problem.path for problem in problems if problem.kind == "manifest"}
    folders = {
        (problem.table.removesuffix(schema.RESERVE), problem.path.rpartition("/")[0]) for problem in problems if problem.kind == "data"
    }
    lost_logs = {problem.table.removesuffix(schema.RESERVE) for problem in problems if problem.kind == "log"}
    aside = {int(problem.path.split("-")[1].split(".")[0]) for problem in problems if problem.table == "quarantine" and problem.path}
    for entry in manifest.frame().iter_rows(named=True):
        slots = set(entry["partitions"])
        gone = any(not _is_held(slot, held) for slot in slots)
        lost = _states_instruments(entry) and any(problem.table == INSTRUMENTS for problem in problems)
        hit = any((kind, partition_folder(*place)) in folders for kind, *place in map(read_slot, slots))
        if hit or slots & touched or gone or lost or entry["entry"] in aside or {slot.split("/")[0] for slot in slots} & lost_logs:
            wanted[entry["key"]] = entry
    for feed in _unlisted(lake, manifest, damaged={(problem.table, problem.path) for problem in problems if problem.kind == "data"}):
        wanted.setdefault(feed["key"], {**feed, "path": "", "hints": None})
    return [wanted[key] for key in sorted(wanted)]


def _states_instruments(entry: dict[str, Any]) -> bool:
    """Whether a file, or the mapping that it was read with, describes instruments."""
    mapping = json.loads(entry["options"]).get("mapping") if entry["options"] else None
    return entry["dataset"] == INSTRUMENTS or (mapping is not None and "instrument" in tomllib.loads(mapping))


def _tables(lake: Lake) -> list[str]:
    return [name for name in table_names(lake) if is_market(name.removesuffix(schema.RESERVE))]


def _is_held(slot: str, held: dict[str, set[tuple[Any, ...]]]) -> bool:
    kind, *place = read_slot(slot)
    return any(tuple(place) in held.get(name, set()) for name in (kind, kind + schema.RESERVE))


def _unlisted(lake: Lake, manifest: Manifest, *, damaged: Collection[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    """Feeds of whole partitions that are not in the manifest."""
    for kind in _tables(lake):
        for path, *_ in lake.listing(kind).iter_rows():
            if (kind, path) in damaged:
                continue
            for feed in PartitionFile(lake.table_path(kind) / path, "", "", 0, 0).footer["feeds"]:
                entry = manifest.current(feed["key"])
                if entry is None or entry["sha256"] != feed["sha256"]:
                    yield feed


def _archive_of(lake: Lake, entry: dict[str, Any], archives: Sequence[Path]) -> Path | None:
    """The archive file: where it was, else by name in the given folders and beside the other archives; its sha256 must be the same."""
    candidates = [Path(entry["path"])] if entry["path"] else []
    folders = [*archives]
    if not entry["path"]:
        beside = {Path(row["path"]).parent for row in Manifest(lake).frame().iter_rows(named=True)}
        folders += sorted(folder for folder in beside if folder.is_dir())
    candidates += [path for folder in folders for path in sorted(folder.rglob(glob.escape(entry["file_name"])))]
    for path in candidates:
        if path.is_file() and sha256_of(path) == entry["sha256"]:
            return path
    return None


def _read_again(lake: Lake, path: Path, entry: dict[str, Any], sources: Callable[[str], Sequence[Source]]) -> FileReport:
    """Reads an archive file as it was read when it was ingested."""
    told: dict[str, Any] = json.loads(entry["options"])
    mapping = told.pop("mapping", None)
    source, exchange, _, dataset, symbol, period = (*entry["key"].split("|"), *[""] * 6)[:6]
    if entry["hints"] is None:  # the row of the manifest is lost; the key has the hints
        told |= {"exchange": exchange} | ({} if symbol == "*" else {"symbol": symbol})
    else:
        told |= json.loads(entry["hints"])
    if family(source).by_path:  # the folders around a file that was moved may say nothing
        told |= {"exchange": exchange, "dataset": dataset, "symbol": symbol} | ({} if ":" in period else {"period": period})
    with tempfile.TemporaryDirectory() as folder:
        hints = Hints(**told)
        if mapping is not None:
            file = Path(folder) / "mapping.toml"
            file.write_bytes(mapping.encode())
            hints = replace(hints, mapping=file)
        return read_again(lake, path, sources=sources(source), hints=hints)
