"""Which archive files the lake was made from: one row per file and verdict, never changed, only added to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from pointline.lake.journal import stage_rows
from pointline.schema import MANIFEST_SCHEMA, QUARANTINE_SCHEMA

if TYPE_CHECKING:
    from pointline.lake.delta_log import NewFile
    from pointline.lake.store import Lake


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
