"""Which archive files the lake was made from: one row per file and verdict, never changed, only added to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from pointline.lake.journal import stage_rows

if TYPE_CHECKING:
    from pointline.lake.delta_log import NewFile
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
    "path": pl.String(),  # where the file was
    "file_bytes": pl.Int64(),
    "outcome": pl.String(),  # landed | superseded | quarantined | empty
    "partitions": pl.List(pl.String()),  # kind/exchange/symbol/date
    "rows_read": pl.Int64(),
    "rows_landed": pl.Int64(),
    "rows_flagged": pl.Int64(),
    "duplicates": pl.Int64(),
    "rows_superseded": pl.Int64(),
    "rows_quarantined": pl.Int64(),
    "rows_skipped": pl.Int64(),
    "rounded": pl.Int64(),
    "missing_ids": pl.Int64(),
    "out_of_order": pl.Int64(),
    "clock": pl.String(),  # recorded | assumed
    "options": pl.String(),  # the options that change what lands
    "hints": pl.String(),  # JSON of what was said of the file beside the options: with them it can be read again
    "conflicts": pl.List(pl.String()),  # contradictions with other files, in words
}

QUARANTINE_SCHEMA: dict[str, pl.DataType] = {
    "entry": pl.Int64(),  # of the manifest
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
        self._staged: dict[str, Any] = {}
        self._current: dict[str, dict[str, Any]] = {row["key"]: row for row in rows.iter_rows(named=True)}

    def current(self, key: str) -> dict[str, Any] | None:
        """The newest row of a file key."""
        return self._current.get(key)

    @property
    def next_entry(self) -> int:
        """Number of the row that comes next."""
        return self._next

    def stage(self, row: dict[str, Any]) -> NewFile:
        """The file of the next row, to be made live together with what it tells of."""
        self._staged = {"entry": self._next, **row}
        frame = pl.DataFrame([self._staged], schema=MANIFEST_SCHEMA, orient="row")
        return stage_rows(self._lake, frame, f"manifest-{self._next:010d}")

    def accept(self) -> None:
        """Counts the staged row: it is live."""
        self._current[self._staged["key"]] = self._staged
        self._next += 1

    def quarantine_of(self, lake: Lake, entry: int) -> pl.DataFrame:
        """Rows set aside from the file of one row."""
        return lake.rows("quarantine", QUARANTINE_SCHEMA).filter(pl.col("entry") == entry).sort("line", maintain_order=True)

    def frame(self) -> pl.DataFrame:
        """The newest row of every file key."""
        return pl.DataFrame(list(self._current.values()), schema=MANIFEST_SCHEMA, orient="row")


def read_quarantine(lake: Lake, manifest: Manifest) -> pl.DataFrame:
    """Rows set aside from the files that count now (not from ones that were replaced), with the path each file had."""
    rows = lake.rows("quarantine", QUARANTINE_SCHEMA)
    return rows.join(manifest.frame().select("entry", "path"), on="entry").sort("key", "line")
