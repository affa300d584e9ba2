"""One partition written while its archive is still being read, for rows that come in order, as those of most archives do."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import polars as pl

from pointline import schema
from pointline.errors import AmountOverflowError
from pointline.ingest.off_book import OffBook
from pointline.lake.durable import disk_errors, make_folder
from pointline.lake.partition import ROW_GROUP_ROWS, PartitionWriter, scales_of, to_integers
from pointline.lake.rows import decode_frame, scan_rows
from pointline.lake.store import stored_columns

if TYPE_CHECKING:
    from pathlib import Path

    from pointline.lake.partition import Feed
    from pointline.lake.totals import Totals


class OrderedPartition:
    """Checks, encodes and writes rows as they come, to the same bytes as if all of them had been there at once.

    That can be done while times never fall, ids always rise, and every amount fits the decimals of the first row group. Where this
    ends the order is broken: more rows are taken but not written, and `rows_again` has them all, to be sorted. A partition whose order
    is not broken stands for what `check_rows` returns.

    Args:
        path: where the file grows.
        kind: table name.
        source_file: id of the archive file.
    """

    duplicates = 0
    out_of_order = 0

    def __init__(self, path: Path, kind: str, source_file: int) -> None:
        self._path = path
        self._kind = kind
        self._table = schema.table(kind)
        self._source_file = pl.lit(source_file, dtype=pl.Int64)
        self._writer: PartitionWriter | None = None
        self._scales: dict[str, int] = {}
        self._first_id = 0
        self._last: tuple[int, int] | None = None  # time and id
        self._single: bool | None = None  # whether the trades are single ones; None while there are none
        self._untaken: list[pl.DataFrame] = []  # not looked at yet
        self._taken = 0
        self._off_book = OffBook() if kind == "trades" else None
        self._said: list[pl.Series] = []  # of the rows taken, what the source said of being off-book
        self._accepted: list[pl.DataFrame] = []  # for the next row group
        self._sealed = False
        self.broken = False

    def push(self, rows: pl.DataFrame) -> None:
        """Takes the next parsed rows in file order.

        Raises:
            LakeError: the disk is full.
        """
        self._untaken.append(rows)
        self.broken = self.broken or self._sealed
        self._advance(last=False)

    def seal(self) -> None:
        """Writes what waits for a whole row group; rows that come after it break the order.

        Raises:
            LakeError: the disk is full.
        """
        self._advance(last=True)
        self._sealed = True

    @property
    def rows(self) -> int:
        """How many rows were accepted; the partition is sealed."""
        return self._taken

    @property
    def frame(self) -> pl.DataFrame:
        """The parsed rows that were accepted, in file order, with their flags; the file is ended."""
        names = list(self._table.parsed)
        written = pl.DataFrame(schema=self._table.parsed)
        if self._writer is not None:
            with disk_errors(self._path):
                self._writer.close()
            written = decode_frame(scan_rows(self._path).collect(), self._kind).select(names)
        return pl.concat([written, *self._accepted])

    def finish(self, feeds: list[Feed]) -> tuple[Path, Totals]:
        """Ends the sealed file with its footer; returns it and its totals.

        Raises:
            LakeError: the disk is full.
        """
        writer = self._open()
        with disk_errors(self._path):
            writer.close(feeds)
        return self._path, writer.totals

    def rows_again(self) -> list[pl.DataFrame]:
        """All rows that were pushed, in file order and as they came; the file is ended."""
        rows = self.frame
        if self._off_book is not None and self._said:
            rows = pl.concat([rows, *self._off_book.withheld]).with_columns(pl.concat(self._said))
        return [rows, *self._untaken]

    def close(self) -> None:
        """Gives the file up."""
        if self._writer is not None:
            with contextlib.suppress(Exception):
                self._writer.close()
            self._path.unlink(missing_ok=True)

    def _advance(self, *, last: bool) -> None:
        """Takes and writes row group after row group, of the last rows also a smaller one, until something breaks the order."""
        while not self.broken:
            untaken = sum(rows.height for rows in self._untaken)
            accepted = sum(rows.height for rows in self._accepted)
            if accepted >= ROW_GROUP_ROWS:
                self._write()
            elif untaken and (last or accepted + untaken >= ROW_GROUP_ROWS):
                self._take(ROW_GROUP_ROWS - accepted)
            elif last and self._off_book is not None and self._off_book.withheld:
                self._accepted.append(self._off_book.judge(pl.DataFrame(schema=self._table.parsed), last=True))
            elif last and accepted:
                self._write()
            else:
                return

    def _take(self, count: int) -> None:
        untaken = pl.concat(self._untaken)
        rows = untaken[:count].rechunk()
        if not self._in_order(rows):
            self.broken = True
            return
        self._untaken = [untaken[count:]]
        self._taken += rows.height
        if self._off_book is not None:
            self._said.append(rows["off_book"])
            rows = self._off_book.judge(rows)
        self._accepted.append(rows)

    def _in_order(self, rows: pl.DataFrame) -> bool:
        """Whether times do not fall and ids rise, also from the rows before to these, and no aggregated trades are among single ones."""
        key = rows[self._table.identity[0]]
        if len(self._table.identity) > 1 or not key.dtype.is_integer() or key.null_count() or rows["ts_local_us"].null_count():
            return False
        if self._off_book is not None:
            single = rows["first_trade_id"].is_null()
            self._single = bool(single[0]) if self._single is None else self._single
            if not (single if self._single else ~single).all():
                return False
        times, ids = rows["ts_local_us"].to_numpy(), key.to_numpy()
        if (times[1:] < times[:-1]).any() or (ids[1:] <= ids[:-1]).any():
            return False
        if self._last is None:
            self._first_id = int(ids[0])
        elif times[0] < self._last[0] or ids[0] <= self._last[1]:
            return False
        self._last = (int(times[-1]), int(ids[-1]))
        return True

    def _write(self) -> None:
        accepted = pl.concat(self._accepted)
        rows, rest = accepted[:ROW_GROUP_ROWS], accepted[ROW_GROUP_ROWS:]
        try:
            stored = self._encode(rows)
        except AmountOverflowError:
            self.broken = True
            return
        writer = self._open()
        with disk_errors(self._path):
            writer.write(stored)
        self._accepted = [rest] if rest.height else []

    def _encode(self, rows: pl.DataFrame) -> pl.DataFrame:
        self._scales = self._scales or scales_of(rows, self._kind)
        return to_integers(rows.with_columns(source_file=self._source_file), self._kind, self._scales).select(
            list(stored_columns(self._kind))
        )

    def _open(self) -> PartitionWriter:
        if self._writer is None:
            with disk_errors(self._path):
                make_folder(self._path.parent)
                self._writer = PartitionWriter(self._path, self._kind)
        return self._writer
