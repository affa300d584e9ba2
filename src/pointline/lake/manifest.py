"""Which archive files the lake was made from: one row per file and verdict, never changed, only added to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from pointline.lake.delta_log import append_rows

if TYPE_CHECKING:
    from pointline.lake.store import Lake

MANIFEST_SCHEMA: dict[str, pl.DataType] = {
    "entry": pl.Int64(),  # rises by one
    "key": pl.String(),
    "source": pl.String(),
    "exchange": pl.String(),
    "market": pl.String(),
    "dataset": pl.String(),
    "symbol": pl.String(),
    "period": pl.String(),
    "sha256": pl.String(),
    "file_name": pl.String(),
    "file_bytes": pl.Int64(),
    "outcome": pl.String(),  # landed | shadowed (a better feed holds those days)
    "partitions": pl.List(pl.String()),  # kind/exchange/symbol/date
    "rows_read": pl.Int64(),
    "rows_landed": pl.Int64(),
    "rows_quarantined": pl.Int64(),
    "duplicates": pl.Int64(),
    "missing_ids": pl.Int64(),
    "out_of_order": pl.Int64(),
    "clock": pl.String(),  # recorded | assumed
    "options": pl.String(),  # the options that change what lands
}

QUARANTINE_SCHEMA: dict[str, pl.DataType] = {
    "key": pl.String(),
    "sha256": pl.String(),
    "exchange": pl.String(),
    "symbol": pl.String(),
    "kind": pl.String(),
    "file_name": pl.String(),
    "line": pl.Int64(),
    "column": pl.String(),
    "value": pl.String(),
    "reason": pl.String(),
    "raw": pl.String(),
    "fatal": pl.Boolean(),
}


class Manifest:
    """The manifest as of now, with what this process adds to it.

    Args:
        lake: the lake.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        rows = lake.rows("manifest", MANIFEST_SCHEMA).sort("entry")
        self._next = int(rows["entry"].max() or 0) + 1  # type: ignore[arg-type]
        self._current: dict[str, dict[str, Any]] = {row["key"]: row for row in rows.iter_rows(named=True)}

    def current(self, key: str) -> dict[str, Any] | None:
        """The newest row of a file key."""
        return self._current.get(key)

    def append(self, row: dict[str, Any]) -> None:
        """Adds a row durably; from then on the file counts as done."""
        full = {"entry": self._next, **row}
        append_rows(self._lake, "manifest", pl.DataFrame([full], schema=MANIFEST_SCHEMA, orient="row"), f"entry-{self._next:010d}.parquet")
        self._next += 1
        self._current[row["key"]] = full

    def frame(self) -> pl.DataFrame:
        """The newest row of every file key."""
        return pl.DataFrame(list(self._current.values()), schema=MANIFEST_SCHEMA, orient="row")


def read_quarantine(lake: Lake, manifest: Manifest) -> pl.DataFrame:
    """Rows set aside from the files that count now (not from ones that were replaced)."""
    rows = lake.rows("quarantine", QUARANTINE_SCHEMA)
    current = manifest.frame().select("key", "sha256")
    return rows.join(current, on=["key", "sha256"], how="semi").sort("key", "line")
