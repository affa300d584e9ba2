"""Checks a lake for damage: compares data files, log entries, the manifest and the quarantine with each other."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pointline import schema
from pointline.errors import DamageError, PointlineError
from pointline.lake.content import check_sha256
from pointline.lake.heads import HEADS, log_state, read_heads
from pointline.lake.journal import JOURNAL, is_pending
from pointline.lake.manifest import Manifest
from pointline.lake.paths import slot_text
from pointline.lake.restoring import as_folder, fetch, let_go
from pointline.lake.rows import scan_rows
from pointline.lake.store import PartitionFile, is_market
from pointline.lake.studies import STUDY_KINDS, saved_studies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pointline.lake.store import Lake


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        kind: data | log | book | manifest | study | journal.
        where: the file or the table.
        what: in words.
        table, path: of a data file, else empty.
    """

    kind: str
    where: str
    what: str
    table: str = ""
    path: str = ""


@dataclass
class Verdict:
    """What `verify` found.

    Attributes:
        tables, files, rows, bytes: how much was read.
        problems: what is wrong; empty if the lake is undamaged.
    """

    tables: int = 0
    files: int = 0
    rows: int = 0
    bytes: int = 0
    problems: list[Problem] = field(default_factory=list)


def verify(lake: Lake, progress: Callable[[int], None] | None = None) -> Verdict:
    """Reads the whole lake.

    Args:
        lake: the lake.
        progress: called with the bytes of each data file that was read.
    """
    with as_folder(lake) as whole:
        verdict = verify_folder(whole, progress)
    return verdict if whole is lake else placed(verdict, whole, lake)


def placed(verdict: Verdict, whole: Lake, lake: Lake) -> Verdict:
    """A verdict of a lake in a bucket, whose problems name objects instead of the files of the folder in which it was looked at."""
    folder, url = str(whole.root), lake.place
    problems = [replace(one, where=one.where.replace(folder, url), what=one.what.replace(folder, url)) for one in verdict.problems]
    return replace(verdict, problems=problems)


def verify_folder(lake: Lake, progress: Callable[[int], None] | None = None) -> Verdict:
    """As `verify`, of a lake whose logs and book are local."""
    verdict = Verdict()
    if is_pending(lake):
        what = "a change was begun and not finished; the next ingest or repair finishes it"
        verdict.problems.append(Problem("journal", str(lake.root / JOURNAL), what))
    verdict.problems += _book(lake)
    names = table_names(lake)
    feeds: dict[str, set[tuple[str, str]]] = {}
    for name in names:
        verdict.tables += 1
        verdict.problems += _log(lake, name)
        try:
            live = lake.live(name)
        except PointlineError as error:
            verdict.problems.append(Problem("log", str(lake.table_path(name) / "_delta_log"), f"{error.what}: {error.value}", table=name))
            continue
        for path, exchange, symbol, date, rows in live.iter_rows():
            file = lake.table_path(name) / path
            lacks = fetch(file)
            found = [lacks] if lacks is not None else _data_file(name, file, (exchange, symbol, date), rows)
            verdict.problems += [Problem("data", str(file), what, table=name, path=path) for what in found]
            verdict.files += 1
            verdict.rows += rows
            size = file.stat().st_size if file.is_file() else 0
            verdict.bytes += size
            if progress is not None:
                progress(size)
            if not found and is_market(name.removesuffix(schema.RESERVE)):
                slot = slot_text(name.removesuffix(schema.RESERVE), exchange, symbol, date)
                feeds.setdefault(slot, set()).update(_versions(file))
            let_go(file)
    if not any(problem.table in {"manifest", "quarantine"} for problem in verdict.problems):
        verdict.problems += _manifest(lake, feeds, {problem.table for problem in verdict.problems})
    verdict.problems += list(_studies(lake))
    return verdict


def table_names(lake: Lake) -> list[str]:
    """Tables that exist, or that are in the book of heads."""
    try:
        booked = set(read_heads(lake.root))
    except DamageError:
        booked = set()
    return sorted({*lake.tables(), *booked})


def _book(lake: Lake) -> list[Problem]:
    path = lake.root / HEADS
    try:
        heads = read_heads(lake.root)
    except DamageError as error:
        return [Problem("book", str(path), f"{error.what}: {error.value}")]
    missing = [name for name in lake.tables() if name not in heads]
    if missing and not is_pending(lake):
        return [Problem("book", str(path), f"has no entry of the tables {', '.join(sorted(missing))}")]
    return []


def _log(lake: Lake, name: str) -> Iterator[Problem]:
    """Entries that are missing between others, or are no JSON."""
    folder = lake.table_path(name) / "_delta_log"
    entries = sorted(path for path in folder.glob("*.json") if path.stem.isdigit()) if folder.is_dir() else []
    numbers = [int(path.stem) for path in entries]
    gaps = sorted(set(range(numbers[0], numbers[-1] + 1)) - set(numbers)) if numbers else []
    for number in gaps:
        yield Problem("log", str(folder / f"{number:020d}.json"), "an entry of the log is missing", table=name)
    try:
        head = read_heads(lake.root).get(name)
    except DamageError:
        head = None  # reported already
    if head is not None and not gaps and log_state(folder) != (head.version, head.log_crc32) and not is_pending(lake):
        yield Problem("log", str(folder), "an entry of the log is not what was written", table=name)
    for path in entries:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
            readable = bool(lines) and all(isinstance(json.loads(line), dict) for line in lines)
        except ValueError:
            readable = False
        if not readable:
            yield Problem("log", str(path), "an entry of the log cannot be read", table=name)


def _data_file(name: str, file: Path, place: tuple[str, str, str], rows: int) -> list[str]:
    """What is wrong with one data file."""
    if not file.is_file():
        return ["the file is missing"]
    try:
        if not check_sha256(file):
            return ["the content is not what was written: its SHA-256 differs from its name"]
        if not is_market(name.removesuffix(schema.RESERVE)):
            held = scan_rows(file).collect().height
            return [] if held == rows else [f"has {held} rows, the log has {rows}"]
        partition = PartitionFile(file, place[0], place[1], 0, rows)
        totals = partition.totals["rows"]
    except (PointlineError, ValueError, KeyError, OSError) as error:
        return [str(error).splitlines()[0]]
    return [] if totals == rows else [f"its footer has {totals} rows, the log has {rows}"]


def _versions(file: Path) -> set[tuple[str, str]]:
    entries = PartitionFile(file, "", "", 0, 0).footer["feeds"]
    return {(entry["key"], entry["sha256"]) for entry in entries}


def _manifest(lake: Lake, feeds: dict[str, set[tuple[str, str]]], damaged: set[str]) -> Iterator[Problem]:
    """Files that are in the manifest and not in partitions, or the other way round."""
    manifest = Manifest(lake)
    where = str(lake.table_path("manifest"))
    current: dict[str, set[tuple[str, str]]] = {}
    aside: dict[int, int] = {}
    if "quarantine" not in damaged:
        aside = dict(lake.rows("quarantine", schema.QUARANTINE_SCHEMA).group_by("entry").len().iter_rows())
    for row in manifest.frame().iter_rows(named=True):
        for slot in row["partitions"]:
            current.setdefault(slot, set()).add((row["key"], row["sha256"]))
        if "quarantine" not in damaged and aside.get(row["entry"], 0) != row["rows_quarantined"]:
            counts = f"lists {row['rows_quarantined']} quarantined rows of {row['file_name']}, quarantine has {aside.get(row['entry'], 0)}"
            yield Problem("manifest", where, counts, table="quarantine")
    for slot in sorted({*current, *feeds}):
        kind = slot.split("/")[0]
        if {kind, kind + schema.RESERVE} & damaged:
            continue
        for key, _ in sorted(current.get(slot, set()) - feeds.get(slot, set())):
            yield Problem("manifest", where, f"lists rows of {key} in {slot} that are not there", table=kind, path=slot)
        for key, _ in sorted(feeds.get(slot, set()) - current.get(slot, set())):
            yield Problem("manifest", where, f"does not list {key}, but {slot} has rows of it", table="manifest", path=slot)


def _studies(lake: Lake) -> Iterator[Problem]:
    saved = [one for kind in STUDY_KINDS for one in saved_studies(lake, kind).items()]
    for name, path in saved:
        try:
            scan_rows(path).collect()
        except Exception as error:  # noqa: BLE001 - any error that a damaged file causes
            yield Problem("study", str(path), f"the saved study {name} cannot be read: {str(error).splitlines()[0]}")


def entry_hints(entry: dict[str, Any]) -> dict[str, Any]:
    """The hints that were given for a file at its ingest, as the manifest keeps them."""
    return dict(json.loads(entry["hints"]))


__all__ = ["Problem", "Verdict", "entry_hints", "table_names", "verify"]
