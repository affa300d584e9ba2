"""Commits to the Delta logs: all files that one archive file changes in a table appear together, or not at all."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from pointline import schema
from pointline.errors import LakeError
from pointline.lake.durable import disk_errors, make_folder, sync
from pointline.lake.paths import check_inside
from pointline.lake.store import stored_columns

if TYPE_CHECKING:
    from pathlib import Path

    from deltalake import Schema

    from pointline.lake.store import Lake


@dataclass(frozen=True)
class NewFile:
    """A data file that is written but not yet part of its table.

    Attributes:
        path: relative to the table's folder.
        partition: value of each partition column; empty for tables without partitions.
        rows: row count.
        bounds: column -> (smallest, largest), for readers that prune.
    """

    path: str
    partition: dict[str, str]
    rows: int
    bounds: dict[str, tuple[int, int]]


def market_schema(kind: str) -> Schema:
    """Delta schema of a market table."""
    from deltalake import Schema

    columns = {**stored_columns(kind), "exchange": pl.String(), "symbol": pl.String(), "date": pl.Date()}
    return Schema.from_arrow(pl.DataFrame(schema=columns).to_arrow().schema)


def commit(lake: Lake, kind: str, added: list[NewFile], removed: list[NewFile]) -> None:
    """Makes `added` live and `removed` dead in one durable transaction.

    Raises:
        LakeError: the disk is full, or another writer changed the same partitions.
    """
    _commit(lake, kind, market_schema(kind), list(schema.PARTITION_COLUMNS), added, removed)


def append_rows(lake: Lake, name: str, frame: pl.DataFrame, file_name: str) -> None:
    """Adds one small Parquet file to a table without partitions; adding the same file name again changes nothing."""
    from deltalake import Schema

    from pointline.lake.durable import STAGING, write_atomically

    path = lake.table_path(name) / file_name
    write_atomically(path, frame.write_parquet, through=lake.root / STAGING)
    _commit(lake, name, Schema.from_arrow(frame.clear().to_arrow().schema), [], [NewFile(file_name, {}, frame.height, {})], [])


def _commit(lake: Lake, name: str, delta_schema: Schema, partition_by: list[str], added: list[NewFile], removed: list[NewFile]) -> None:
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError
    from deltalake.transaction import AddAction, RemoveAction

    folder = lake.table_path(name)
    for file in (*added, *removed):
        check_inside(file.path, folder)
    with disk_errors(folder):
        table = lake.delta(name)
        if table is None:
            make_folder(folder)
            DeltaTable.create(str(folder), schema=delta_schema, partition_by=partition_by)
            _sync_log(folder)
            table = DeltaTable(str(folder))
        kept = {file.path for file in added}
        actions: list[AddAction | RemoveAction] = [
            AddAction(f.path, (folder / f.path).stat().st_size, dict(f.partition), 0, data_change=True, stats=_stats(f)) for f in added
        ]
        now_ms = time.time_ns() // 1_000_000  # vacuum keeps replaced files for its retention from here on
        dead = [f for f in removed if f.path not in kept]
        actions += [RemoveAction(f.path, True, now_ms, partition_values=dict(f.partition)) for f in dead]  # noqa: FBT003
        try:
            table.create_write_transaction(actions, mode="append", schema=delta_schema, partition_by=partition_by)
        except DeltaError as error:
            raise LakeError(
                "the lake refused the change; it is as it was", where=str(folder), value=str(error), hint="run the same command again"
            ) from error
        _sync_log(folder)


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
    if newest is not None:
        sync(newest)
    sync(log)
    sync(folder)
