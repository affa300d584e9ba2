"""One change over several tables, whole or not at all: written down first, then carried out, then crossed out.

New files grow in the lake's staging folder. The journal says where each belongs and what every table gains and loses. Once it is on the
disk the change will happen: a writer that finds it finishes it before anything else. Before that, nothing has happened.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pointline.errors import LakeError
from pointline.lake.content import content_name
from pointline.lake.delta_log import Change, NewFile, commit
from pointline.lake.durable import STAGING, place, sync, write_atomically
from pointline.lake.heads import NOTHING, head_of, read_heads, write_heads
from pointline.lake.paths import check_inside

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import polars as pl

    from pointline.lake.store import Lake

JOURNAL = ".journal.json"


def stage_rows(lake: Lake, frame: pl.DataFrame, prefix: str) -> NewFile:
    """A small file of a table without partitions (manifest, quarantine, instruments), to be made live by `carry_out`.

    Args:
        lake: the lake.
        frame: its rows.
        prefix: what its name begins with; the rest follows from its content.

    Raises:
        LakeError: the disk is full.
    """
    path = lake.root / STAGING / f"{prefix}.parquet"
    write_atomically(path, frame.write_parquet)
    return NewFile(content_name(path, prefix), {}, frame.height, staged=path.relative_to(lake.root).as_posix())


def carry_out(lake: Lake, changes: dict[str, Change]) -> None:
    """Makes the changes of all tables, in their order; from the moment at which the journal is written they will be made.

    Raises:
        LakeError: the disk is full, or a log cannot be written.
    """
    changes = {name: change for name, change in changes.items() if change.added or change.removed}
    if not changes:
        return
    try:
        _carry_out(lake, changes)
    except BaseException:
        if lake.mirror is not None:
            lake.mirror.roll_back()  # what is not in the bucket has not happened
        raise


def _carry_out(lake: Lake, changes: dict[str, Change]) -> None:
    for change in changes.values():
        for file in change.added:
            if file.staged:
                sync(lake.root / file.staged)
    text = json.dumps({name: asdict(change) for name, change in changes.items()}, sort_keys=False)
    write_atomically(lake.root / JOURNAL, lambda path: path.write_text(text, encoding="utf-8"))
    try:
        _apply(lake, changes)
    except LakeError as error:
        if lake.mirror is not None:
            raise
        what = "the change is written down but could not be finished; the next ingest finishes it"
        raise LakeError(what, where=error.where, value=error.what, hint=error.hint) from error
    now_ms = time.time_ns() // 1_000_000
    heads = read_heads(lake.root)
    for name, change in changes.items():
        added, removed = ([(file.path, file.rows) for file in files] for files in (change.added, change.removed))
        heads[name] = heads.get(name, NOTHING).after(lake.log_path(name), added, removed, now_ms)
    write_heads(lake.root, heads)
    (lake.root / JOURNAL).unlink()


def is_pending(lake: Lake) -> bool:
    """Whether a change was begun and not finished; the next writer finishes it."""
    return (lake.root / JOURNAL).is_file()


def finish(lake: Lake) -> None:
    """Finishes a change that an earlier writer began; the caller holds the lake's lock.

    Raises:
        LakeError: the journal cannot be read, or the disk is full.
    """
    path = lake.root / JOURNAL
    if not path.is_file():
        return
    changes = _read(path)
    for name, change in changes.items():
        live = set(lake.live(name)["path"])
        change.added = [file for file in change.added if file.path not in live]
        change.removed = [file for file in change.removed if file.path in live]
    _apply(lake, changes)
    heads = read_heads(lake.root)
    for name in changes:
        heads[name] = head_of(lake.log_path(name), _live(lake, name), heads.get(name, NOTHING).dead)
    write_heads(lake.root, heads)
    path.unlink()


def _live(lake: Lake, name: str) -> Iterator[tuple[str, int]]:
    return lake.live(name).select("path", "num_records").iter_rows()


def _apply(lake: Lake, changes: dict[str, Change]) -> None:
    for name, change in changes.items():
        folder = lake.table_path(name)
        for file in change.added:
            check_inside(file.path, folder)
            staged = lake.root / file.staged
            if file.staged and staged.is_file():
                place(staged, folder / file.path)
    for name, change in changes.items():
        if change.added or change.removed:
            commit(lake, name, change)


def _read(path: Path) -> dict[str, Change]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {
            name: Change(
                *(
                    [NewFile(**{**entry, "bounds": {k: tuple(v) for k, v in entry["bounds"].items()}}) for entry in change[part]]
                    for part in ("added", "removed")
                )
            )
            for name, change in content.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LakeError(
            "the journal of an interrupted change cannot be read",
            where=str(path),
            value=str(error),
            hint="remove this file, then run `pointline verify`: it says whether the change had begun, and `pointline repair` mends it",
        ) from error
