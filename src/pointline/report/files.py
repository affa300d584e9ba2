"""Tables written to a file: exact ones block by block, so that memory does not grow with their length, and those for spreadsheets.

The ending of the name decides. ``.parquet``, ``.arrow`` and ``.exact.csv`` hold every digit. ``.csv`` and ``.xlsx`` are for spreadsheets,
see `pointline.spreadsheets`; they are made from an exact table in the system's temporary folder, from which `WrittenTable` goes on reading.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from pointline import spreadsheets
from pointline.errors import ConfigError
from pointline.lake.durable import disk_errors, remove_left_behind, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROW_GROUP_ROWS = 32_768

ENDINGS = (".parquet", ".arrow", ".csv", ".xlsx", ".exact.csv")


@dataclass(frozen=True)
class WrittenTable:
    """A table in a file.

    Attributes:
        path: the file.
        schema: names and types of the table, which text does not tell.
        exact: the file that holds every digit: the same, or where that is for spreadsheets, a temporary one that goes with this object.
    """

    path: Path
    schema: pl.Schema
    exact: Path

    def scan(self) -> pl.LazyFrame:
        """Its rows with every digit, lazily."""
        if self.exact.suffix == ".csv":
            return pl.scan_csv(self.exact, schema=self.schema)
        return pl.scan_ipc(self.exact) if self.exact.suffix == ".arrow" else pl.scan_parquet(self.exact, hive_partitioning=False)


def check_output(path: str | Path) -> None:
    """Makes sure, before the work, that a table can be written there.

    Raises:
        ConfigError: the ending is unknown, the folder does not exist, or the path is a folder.
        MissingExtraError: the file is for Excel, and XlsxWriter is not installed.
    """
    file = Path(path)
    if file.suffix not in ENDINGS or not file.absolute().parent.is_dir() or file.is_dir():
        raise ConfigError(
            "the output cannot be written there", value=str(path), expected=f"a file in an existing folder, ending in {', '.join(ENDINGS)}"
        )
    if file.suffix == ".xlsx":
        spreadsheets.check_xlsx()


def write_blocks(blocks: Iterator[pl.DataFrame], path: Path, *, footer: Mapping[str, str] | None = None) -> WrittenTable:
    """Writes frames of one schema as one table; the file appears when it is whole. Its rows do not depend on how they were cut.

    Args:
        blocks: the frames, at least one, in order.
        path: ends as one of `ENDINGS`.
        footer: facts beside the rows of a Parquet file, by their names.

    Raises:
        ConfigError: as `check_output`, or the table is larger than a sheet.
    """
    check_output(path)
    remove_left_behind(path.absolute().parent, of=path.name)
    if path.suffix in {".csv", ".xlsx"} and path.suffixes[-2:] != [".exact", ".csv"]:
        return _write_sheet(blocks, path)
    schemas: list[pl.Schema] = []
    write_atomically(path.absolute(), lambda temporary: schemas.append(_write_rows(blocks, temporary, path.suffix, footer)))
    return WrittenTable(path, schemas[0], path)


def _write_sheet(blocks: Iterator[pl.DataFrame], path: Path) -> WrittenTable:
    folder = Path(tempfile.mkdtemp(prefix="pointline-table-"))
    try:
        exact = folder / "table.parquet"
        with disk_errors(path):
            written = WrittenTable(path, _write_rows(blocks, exact, ".parquet"), exact)
        write = spreadsheets.write_xlsx if path.suffix == ".xlsx" else spreadsheets.write_csv
        write_atomically(path.absolute(), lambda temporary: write(written.scan(), temporary))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(written, shutil.rmtree, folder, ignore_errors=True)
    return written


def _write_rows(blocks: Iterator[pl.DataFrame], path: Path, suffix: str, footer: Mapping[str, str] | None = None) -> pl.Schema:
    schemas = []
    with _writer(suffix, path, footer) as writer:
        for rows in _groups(blocks):
            writer.add(rows)
            schemas.append(rows.schema)
    return schemas[0]


def _groups(blocks: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same rows in frames of `ROW_GROUP_ROWS`, the last one shorter."""
    waiting: list[pl.DataFrame] = []
    height = 0
    for block in blocks:
        waiting.append(block)
        height += block.height
        if height >= ROW_GROUP_ROWS:
            together = pl.concat(waiting, rechunk=True)
            whole = height - height % ROW_GROUP_ROWS
            yield from together.head(whole).iter_slices(ROW_GROUP_ROWS)
            waiting, height = [together.slice(whole)], height - whole
    if height or waiting:
        yield pl.concat(waiting, rechunk=True)


class _Writer(Protocol):
    def add(self, rows: pl.DataFrame) -> None: ...


@contextmanager
def _writer(suffix: str, path: Path, footer: Mapping[str, str] | None) -> Iterator[_Writer]:
    if suffix == ".csv":
        with path.open("wb") as file:
            yield _Lines(file)
        return
    found = _Batches(path, suffix, footer or {})
    try:
        yield found
    finally:
        found.close()


class _Lines:
    """A text table."""

    def __init__(self, file: Any) -> None:  # noqa: ANN401 - an open binary file
        self._file = file
        self._empty = True

    def add(self, rows: pl.DataFrame) -> None:
        rows.write_csv(self._file, include_header=self._empty)
        self._empty = False


class _Batches:
    """A Parquet or Arrow IPC file."""

    def __init__(self, path: Path, suffix: str, footer: Mapping[str, str]) -> None:
        self._path = path
        self._footer = footer
        self._suffix = suffix
        self._open: Any = None

    def add(self, rows: pl.DataFrame) -> None:
        table = rows.to_arrow()
        if self._open is None:
            self._open = self._opened(table.schema)
        self._open.write_table(table)

    def _opened(self, schema: Any) -> Any:  # noqa: ANN401 - pyarrow's types, imported late
        if self._suffix == ".arrow":
            import pyarrow as pa

            return pa.ipc.new_file(str(self._path), schema)
        import pyarrow.parquet as pq

        return pq.ParquetWriter(str(self._path), schema, compression="zstd", compression_level=1)

    def close(self) -> None:
        if self._open is not None:
            if self._footer and self._suffix == ".parquet":
                self._open.add_key_value_metadata(dict(self._footer))
            self._open.close()
