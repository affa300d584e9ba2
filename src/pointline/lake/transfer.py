"""Copies of lakes between folders and buckets: data files first, each compared with its name, then all logs and the book in one change.

A copy is a lake of its own that began with the same changes. As long as nothing else is written to it, what was added to the source
can be added to it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pointline.errors import BusyError, ConfigError, DamageError
from pointline.lake.content import check_sha256
from pointline.lake.durable import STAGING, disk_errors, make_folder, place, single_writer, sync, write_atomically
from pointline.lake.heads import NOTHING, Head, read_heads, summed, write_heads
from pointline.lake.journal import finish
from pointline.lake.store import Lake, open_lake
from pointline.lake.studies import STUDIES
from pointline.lake.venue_files import FOLDER as VENUES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_THREADS = 8
_TRIES = 5


@dataclass(frozen=True)
class Transfer:
    """What a copy did.

    Attributes:
        source, destination: the lakes.
        tables: how many there are.
        files, bytes: data files that were copied now.
        present: data files that were there already.
        entries: log entries that are new in the destination.
        other_files: venue files and saved studies that were copied now.
    """

    source: str
    destination: str
    tables: int
    files: int
    bytes: int
    present: int
    entries: int
    other_files: int


@dataclass(frozen=True)
class _State:
    """A lake at one moment: the head of each table, and key and path of each live data file."""

    heads: dict[str, Head]
    files: dict[str, Path]


def copy_lake(
    source: str | Path, destination: str | Path, *, into_existing: bool = False, progress: Callable[[int, int, str], object] | None = None
) -> Transfer:
    """Makes a lake's copy, or goes on with one.

    The destination shows its earlier state until all data files are there. Called again after an interruption it goes on, and where
    nothing is new it copies nothing.

    Args:
        source, destination: folders or ``s3://bucket/prefix``.
        into_existing: add to a copy what the source has got since. Otherwise the destination is new, or is equal to the source.
        progress: called with the data files done, all of them, and the key of the last.

    Raises:
        NoLakeError: the source is no lake, or the destination is another thing.
        ConfigError: both are the same, or the destination has tables that are not the source's at an earlier time.
        DamageError: a data file of the source is not what its name says, or its log not what its book says.
        BusyError: another process writes to the destination.
        LakeError: a bucket does not answer, or refuses; the disk is full.

    Examples:
        >>> import tempfile
        >>> done = copy_lake("out/demo/lake", tempfile.mkdtemp())
        >>> done.present, done.files > 10
        (0, True)
    """
    opened = open_lake(source)
    made = open_lake(destination, create=True)
    if made.root == opened.root:
        raise ConfigError("a lake cannot be copied onto itself", value=str(destination), expected="another place than the source's")
    with single_writer(made.root):
        if made.mirror is None:
            finish(made)
        state, there = _state_of(opened), read_heads(made.root)
        _refuse_others(opened, made, state.heads, there, into_existing=into_existing)
        files, size, present = _copy_files(opened, made, state.files, progress)
        heads = _new_heads(state, there, made)
        entries = sum(head.version - there.get(name, NOTHING).version for name, head in heads.items())
        if heads != there:
            _publish(opened, made, heads, there)
        others = _copy_small_files(opened, made)
    return Transfer(opened.place, made.place, len(heads), files, size, present, entries, others)


def _state_of(lake: Lake) -> _State:
    """The lake between two changes, whatever is written meanwhile."""
    for _ in range(_TRIES):
        heads = read_heads(lake.root)
        live = {name: list(lake.live(name).select("path", "num_records").iter_rows()) for name in heads}
        if all(summed(live[name]) == (head.files, head.digest) for name, head in heads.items()):
            files = {f"{name}/{path}": lake.table_path(name) / path for name, rows in live.items() for path, _ in rows}
            return _State(heads, dict(sorted(files.items())))
    raise BusyError("the lake changes while it is looked at", where=lake.place, hint="wait until the writer has finished")


def _refuse_others(source: Lake, made: Lake, heads: dict[str, Head], there: dict[str, Head], *, into_existing: bool) -> None:
    """Refuses a destination that is not the source at an earlier time."""
    for name, head in there.items():
        own = heads.get(name, NOTHING)
        if own.version < head.version or _log_crc32(source, name, head.version) != head.log_crc32:
            raise ConfigError(
                "the destination is another lake, or was written to since it was copied",
                where=made.place,
                value=name,
                expected=f"the table as {source.place} has it, or had it before",
                hint="copy to an empty place",
            )
        if own.version > head.version and not into_existing:
            raise ConfigError(
                "the destination is an older copy of this lake",
                where=made.place,
                value=f"{name} at version {head.version}, the source at {own.version}",
                hint=f"pointline lake sync {source.place} {made.place}",
            )


def _entry(lake: Lake, name: str, version: int) -> Path:
    return lake.log_path(name) / f"{version:020d}.json"


def _log_crc32(lake: Lake, name: str, version: int) -> int:
    crc32 = 0
    for number in range(version + 1):
        path = _entry(lake, name, number)
        try:
            crc32 = zlib.crc32(path.read_bytes(), crc32)
        except FileNotFoundError:
            raise DamageError("an entry of a table's log is missing", where=str(path), hint="`pointline repair` rebuilds the log") from None
    return crc32


def _copy_files(
    source: Lake, made: Lake, files: dict[str, Path], progress: Callable[[int, int, str], object] | None
) -> tuple[int, int, int]:
    """Copies the data files that are not there; returns how many, their bytes, and how many were there."""
    there = made.mirror.bucket.listed() if made.mirror is not None else None
    wanted = {key: path for key, path in files.items() if not (_is_there(made, key) if there is None else key in there)}
    done = len(files) - len(wanted)
    size = 0
    with ThreadPoolExecutor(_THREADS) as pool:
        sizes = pool.map(lambda item: _copy_file(source, made, *item), wanted.items())
        for key, bytes_ in zip(wanted, sizes, strict=True):
            done, size = done + 1, size + bytes_
            if progress is not None:
                progress(done, len(files), key)
    return len(wanted), size, len(files) - len(wanted)


def _is_there(made: Lake, key: str) -> bool:
    path = made.root / key
    return path.is_file() and check_sha256(path)


def _copy_file(source: Lake, made: Lake, key: str, path: Path) -> int:
    staging = made.root / STAGING
    make_folder(staging)
    handle, text = tempfile.mkstemp(dir=staging, suffix=f"-{path.name}")
    os.close(handle)
    staged = Path(text)
    try:
        own = path
        if source.mirror is not None and not path.is_file():
            with disk_errors(staged):
                is_there = source.mirror.bucket.download(key, staged)
            if not is_there:
                raise DamageError("a data file of the lake is missing", where=source.mirror.bucket.address(key))
            own = staged
        if not own.is_file() or not check_sha256(own):
            raise DamageError(
                "a data file of the lake is not what was written", where=f"{source.place}/{key}", hint="`pointline verify` lists all"
            )
        size = own.stat().st_size
        if made.mirror is not None:
            made.mirror.bucket.put(key, own)
        else:
            if own is path:
                with disk_errors(staged):
                    shutil.copyfile(path, staged)
            sync(staged)
            place(staged, made.root / key)
        return size
    finally:
        staged.unlink(missing_ok=True)


def _new_heads(state: _State, there: dict[str, Head], made: Lake) -> dict[str, Head]:
    """The source's heads, with the files that the destination holds and needs no more as its own dead ones."""
    now_ms = time.time_ns() // 1_000_000
    found = {}
    for name, head in state.heads.items():
        own = there.get(name, NOTHING)
        if (own.version, own.digest) == (head.version, head.digest):
            found[name] = own
            continue
        live = {key.partition("/")[2] for key in state.files if key.partition("/")[0] == name}
        before = made.live(name)["path"].to_list() if name in there else []
        dead = [entry for entry in own.dead if entry[0] not in live] + [(path, now_ms) for path in before if path not in live]
        found[name] = replace(head, dead=tuple(dead))
    return found


def _publish(source: Lake, made: Lake, heads: dict[str, Head], there: dict[str, Head]) -> None:
    for name, head in heads.items():
        if _log_crc32(source, name, head.version) != head.log_crc32:
            raise DamageError("the log of a table is damaged", where=str(source.log_path(name)), hint="`pointline repair` rebuilds it")
        for version in range(there.get(name, NOTHING).version + 1, head.version + 1):
            content = _entry(source, name, version).read_bytes()
            _place_entry(_entry(made, name, version), content)
    if made.mirror is not None:
        made.mirror.publish(heads, files={})
    else:
        write_heads(made.root, heads)


def _place_entry(path: Path, content: bytes) -> None:
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def _small_files(lake: Lake) -> Iterator[Path]:
    for folder in (VENUES, STUDIES):
        below = lake.root / folder
        yield from (path for path in sorted(below.rglob("*")) if path.is_file() and not path.name.startswith(".")) if below.is_dir() else ()


def _copy_small_files(source: Lake, made: Lake) -> int:
    """Venue files and saved studies; those that are equal stay as they are."""
    count = 0
    for path in _small_files(source):
        target = made.root / path.relative_to(source.root)
        if target.is_file() and target.read_bytes() == path.read_bytes():
            continue
        _place_entry(target, path.read_bytes())
        if made.mirror is not None:
            made.mirror.put_small_file(target)
        count += 1
    return count
