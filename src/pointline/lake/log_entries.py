"""The live files of a table, read off the entries of its Delta log by hand.

The Delta library takes about a millisecond an entry, and its import ten. A log that is what the writer left, to the last bit by the sum in
the book of `pointline.lake.heads`, needs no library: its entries name the files that were added and removed, and pointline wrote them.
Any other log, and a long one, of which the library reads a checkpoint, is the library's to read.
"""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

from pointline.lake.paths import path_of
from pointline.schema import PARTITION_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pointline.lake.heads import Head

LiveFile = tuple[str, "str | None", "str | None", "str | None", "int | None"]
"""Path below the table's folder, exchange, symbol and date (of market tables, else empty), and row count."""

MOST_ENTRIES = 500
"""Of a longer log the library is faster."""


def live_files(folder: Path, head: Head) -> list[LiveFile] | None:
    """The live files of a table, in no particular order; None where the log is long, or not what the book says.

    Args:
        folder: the table's.
        head: what the book says of it; its version is the log's newest.

    Raises:
        LakeError: a path leads out of the folder; the error has the way out.
    """
    if head.version >= MOST_ENTRIES:
        return None
    crc32, live = 0, dict[str, dict[str, Any]]()
    try:
        for version in range(head.version + 1):
            entry = (folder / "_delta_log" / f"{version:020d}.json").read_bytes()
            crc32 = zlib.crc32(entry, crc32)
            _follow(live, entry)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    if crc32 != head.log_crc32:
        return None
    return [_live_file(added, folder) for added in live.values()]


def _follow(live: dict[str, dict[str, Any]], entry: bytes) -> None:
    """Takes the files out that an entry removes, then adds those that it adds, by their names in the log."""
    actions = [json.loads(line) for line in entry.splitlines()]
    for action in actions:
        if "remove" in action:
            live.pop(action["remove"]["path"], None)
    for action in actions:
        if "add" in action:
            live[action["add"]["path"]] = action["add"]


def _live_file(added: Mapping[str, Any], folder: Path) -> LiveFile:
    values = added["partitionValues"]
    exchange, symbol, date = ((values[name] or None) if name in values else "" for name in PARTITION_COLUMNS)
    rows = json.loads(added["stats"]).get("numRecords") if added["stats"] else None
    return path_of(added["path"], folder), exchange, symbol, date, rows
