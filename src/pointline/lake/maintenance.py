"""Removes files that no reader needs any more: replaced data files after a grace time, and files left by killed runs."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from pointline.clock import HOUR_US
from pointline.lake.durable import remove_left_behind
from pointline.lake.heads import read_heads, write_heads
from pointline.lake.places import mirror_above

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pointline.lake.mirror import Mirror
    from pointline.lake.store import Lake

GRACE_US = HOUR_US
"""How long a replaced file stays for readers that found it in the log before it was replaced."""


@dataclass(frozen=True)
class TableSize:
    """Size of one table on the disk.

    Attributes:
        table: its name.
        files, bytes: of live files.
        dead_files, dead_bytes: of replaced files that are still there.
        removed_files, removed_bytes: of files that were removed now.
    """

    table: str
    files: int
    bytes: int
    dead_files: int
    dead_bytes: int
    removed_files: int
    removed_bytes: int


def remove_dead(lake: Lake, grace_us: int = GRACE_US) -> None:
    """Removes the files that were replaced longer ago than the grace time; the caller holds the lake's lock."""
    now_ms = time.time_ns() // 1_000_000
    heads = read_heads(lake.root)
    changed = False
    for name, head in heads.items():
        kept = []
        for path, since_ms in head.dead:
            if (now_ms - since_ms) * 1_000 < grace_us:
                kept.append((path, since_ms))
            else:
                _remove(lake, name, path)
        if len(kept) != len(head.dead):
            heads[name] = replace(head, dead=tuple(kept))
            changed = True
    if changed:
        write_heads(lake.root, heads)


def maintain(lake: Lake, grace_us: int = GRACE_US, *, dry_run: bool = False) -> list[TableSize]:
    """Removes replaced files and files that are in no log, and returns the size of every table; the caller holds the lake's lock.

    Args:
        lake: the lake.
        grace_us: files that were replaced (or written, if they are in no log) less long ago stay.
        dry_run: only say what would be removed; no lock is needed.

    Raises:
        DamageError: a log is damaged; nothing is removed then.
    """
    names = lake.tables()
    live = {name: set(lake.live(name)["path"].to_list()) for name in names}  # all logs first
    heads = read_heads(lake.root)
    before = dict(heads)
    found = []
    now_s = time.time()
    for name in names:
        since = dict(heads[name].dead) if name in heads else {}
        sizes = {path: (size, since.get(path, written_ms)) for path, size, written_ms in data_files(lake, name)}
        dead = {path: size for path, (size, _) in sizes.items() if path not in live[name]}
        gone = {path: size for path, size in dead.items() if (now_s * 1_000 - sizes[path][1]) * 1_000 >= grace_us}
        for path in () if dry_run else gone:
            _remove(lake, name, path)
        if name in heads:
            heads[name] = replace(heads[name], dead=tuple(entry for entry in heads[name].dead if entry[0] in dead and entry[0] not in gone))
        kept = {path: size for path, size in dead.items() if path not in gone}
        alive = [size for path, (size, _) in sizes.items() if path in live[name]]
        found.append(TableSize(name, len(alive), sum(alive), len(kept), sum(kept.values()), len(gone), sum(gone.values())))
    if not dry_run:
        if heads != before:
            write_heads(lake.root, heads)
        remove_temporaries(lake.root)
    return found


def remove_temporaries(root: Path) -> None:
    """Removes files that killed runs left in a lake's own folders."""
    for folder in (root, root / "studies", root / ".cache" / "bars"):
        remove_left_behind(folder)


def data_files(lake: Lake, name: str) -> Iterator[tuple[str, int, float]]:
    """Parquet files of a table: path relative to its folder, bytes, and when it was written (milliseconds UTC)."""
    mirror = cast("Mirror | None", mirror_above(lake.table_path(name)))
    if mirror is not None:
        for key, one in mirror.bucket.listed(name).items():
            below = key.removeprefix(f"{name}/")
            if key.endswith(".parquet") and not below.startswith("_delta_log/"):
                yield below, one.size, one.modified.timestamp() * 1_000
        return
    folder = lake.table_path(name)
    for path in sorted(folder.rglob("*.parquet")):
        relative = path.relative_to(folder)
        if relative.parts[0] != "_delta_log":
            yield relative.as_posix(), path.stat().st_size, path.stat().st_mtime * 1_000


def _remove(lake: Lake, name: str, relative: str) -> None:
    """A file, and the folders that are empty without it."""
    table = lake.table_path(name)
    path = table / relative
    if lake.mirror is not None:
        lake.mirror.check_book()
        lake.mirror.check_lease()  # another writer may have made the file live again
        lake.mirror.bucket.remove(f"{name}/{relative}")
    path.unlink(missing_ok=True)
    for folder in path.parents:
        if folder == table:
            return
        try:
            folder.rmdir()
        except OSError:
            return
