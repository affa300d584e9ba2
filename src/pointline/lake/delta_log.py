"""Commits to the Delta logs: all files that one archive file changes in a table appear together, or not at all."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from pointline import schema
from pointline.errors import LakeError
from pointline.lake.durable import disk_errors, make_folder, sync
from pointline.lake.paths import check_inside
from pointline.lake.rows import scan_rows
from pointline.lake.store import is_market, stored_columns

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from deltalake import Schema

    from pointline.lake.store import Lake


_CONFIGURATION: Mapping[str, str | None] = {"delta.enableExpiredLogCleanup": "false"}  # the book holds a sum over all entries


@dataclass(frozen=True)
class NewFile:
    """A data file that is written but not yet part of its table.

    Attributes:
        path: relative to the table's folder.
        partition: value of each partition column; empty for tables without partitions.
        rows: row count.
        bounds: column -> (smallest, largest), for readers that prune.
        staged: where it was written, relative to the lake; empty where it is in its place.
    """

    path: str
    partition: dict[str, str]
    rows: int
    bounds: dict[str, tuple[int, int]] = field(default_factory=dict)
    staged: str = ""


@dataclass
class Change:
    """Files of one table that become live and files that are live no more."""

    added: list[NewFile] = field(default_factory=list)
    removed: list[NewFile] = field(default_factory=list)


def commit(lake: Lake, name: str, change: Change) -> None:
    """Makes a change of one table in one durable transaction; the files are in their places.

    Raises:
        LakeError: the disk is full, or the log cannot be written.
    """
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError
    from deltalake.transaction import AddAction, RemoveAction

    folder = lake.table_path(name)
    for file in (*change.added, *change.removed):
        check_inside(file.path, folder)
    with disk_errors(folder):
        partition_by = list(schema.PARTITION_COLUMNS) if is_market(name.removesuffix(schema.RESERVE)) else []
        table = lake.delta(name)
        delta_schema = _shape(lake, name, change) if table is None else table.schema()
        if table is None:
            make_folder(folder)
            DeltaTable.create(str(folder), schema=delta_schema, partition_by=partition_by, configuration=_CONFIGURATION)
            _sync_log(folder)
            table = DeltaTable(str(folder))
        actions: list[AddAction | RemoveAction] = [
            AddAction(f.path, (folder / f.path).stat().st_size, dict(f.partition), 0, data_change=True, stats=_stats(f))
            for f in change.added
        ]
        now_ms = time.time_ns() // 1_000_000  # replaced files stay for readers for a while from here on
        actions += [RemoveAction(f.path, True, now_ms, partition_values=dict(f.partition)) for f in change.removed]  # noqa: FBT003
        try:
            table.create_write_transaction(actions, mode="append", schema=delta_schema, partition_by=partition_by)
        except DeltaError as error:
            raise LakeError(
                "the lake refused the change; it is as it was", where=str(folder), value=str(error), hint="run the same command again"
            ) from error
        _sync_log(folder)


def _shape(lake: Lake, name: str, change: Change) -> Schema:
    """Delta schema of a new table: that of its kind, else that of its first file."""
    from deltalake import Schema

    if is_market(name.removesuffix(schema.RESERVE)):
        columns = {**stored_columns(name), "exchange": pl.String(), "symbol": pl.String(), "date": pl.Date()}
        return Schema.from_arrow(pl.DataFrame(schema=columns).to_arrow().schema)
    empty = scan_rows(lake.table_path(name) / change.added[0].path).limit(0).collect()
    return Schema.from_arrow(empty.to_arrow().schema)


def _stats(file: NewFile) -> str:
    return json.dumps(
        {
            "numRecords": file.rows,
            "minValues": {name: low for name, (low, _) in file.bounds.items()},
            "maxValues": {name: high for name, (_, high) in file.bounds.items()},
            "nullCount": dict.fromkeys(file.bounds, 0),
        }
    )


def _sync_log(folder: Path) -> None:
    log = folder / "_delta_log"
    newest = max((p for p in log.iterdir() if p.suffix == ".json"), default=None)
    for path in (newest, *log.glob("*.checkpoint*.parquet"), log / "_last_checkpoint"):
        if path is not None and path.is_file():
            sync(path)
    sync(log)
    sync(folder)
