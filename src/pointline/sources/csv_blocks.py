"""Reads an archive's CSV, from zip, gz or plain file, block by block at bounded memory, and keeps track of lines."""

from __future__ import annotations

import gzip
import math
import re
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np
import polars as pl
from isal import igzip, isal_zlib

from pointline.errors import SourceError
from pointline.sources.base import REJECT_SCHEMA
from pointline.sources.inflate import InflatedMember, ahead

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

BLOCK_BYTES = 8 << 20
_BLOCKS_AHEAD = 2
_COUNT_BYTES = 255 << 11  # see `_occurrences`; it stays in the processor's cache
_LINE_END, _COMMA = b"\n,"

# microseconds per unit, by the magnitude of a stamp between 2009 and 2100
_MILLISECONDS = (10**12, 5 * 10**12, 1000)
_MICROSECONDS = (10**15, 5 * 10**15, 1)


@dataclass(frozen=True)
class CsvLayout:
    """What a CSV must look like.

    Attributes:
        layouts: accepted column lists, told apart by their length.
        types: the columns that are read, required in every row unless `optional`.
        time: the column with the rows' time.
        positive: columns whose values must be above zero.
        flags: columns of ``true``/``false`` in any spelling.
        optional: columns that may be empty.
    """

    layouts: tuple[tuple[str, ...], ...]
    types: dict[str, pl.DataType]
    time: str
    positive: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


@dataclass
class CsvBlock:
    """Accepted rows (the layout's read columns and `source_row`) and rejected ones of one block."""

    frame: pl.DataFrame
    rejects: pl.DataFrame


@contextmanager
def open_archive(path: Path) -> Iterator[IO[bytes]]:
    """The one CSV inside a zip, a gz, or the file itself, as a stream of bytes.

    Raises:
        SourceError: damaged or truncated archive, or a zip that does not hold exactly one file.
    """
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                members = [m for m in archive.infolist() if not m.is_dir()]
                if len(members) != 1:
                    raise SourceError(
                        "the zip should hold exactly one CSV",
                        where=str(path),
                        value=[m.filename for m in members][:5],
                        expected="one CSV",
                        hint="unpack it and ingest the CSV that you mean",
                    )
                if members[0].compress_type == zipfile.ZIP_DEFLATED and not members[0].flag_bits & 1:
                    with path.open("rb") as stream:
                        yield cast("IO[bytes]", InflatedMember(stream, members[0]))
                else:
                    with archive.open(members[0]) as stream:
                        yield stream
        elif path.suffix == ".gz":
            with igzip.open(path) as stream:  # type: ignore[no-untyped-call]
                yield cast("IO[bytes]", stream)
        else:
            with path.open("rb") as stream:
                yield stream
    except (zipfile.BadZipFile, zlib.error, isal_zlib.IsalError, EOFError, gzip.BadGzipFile) as error:  # type: ignore[misc]
        raise SourceError(
            "the archive is truncated or damaged; nothing of it was stored",
            where=str(path),
            value=str(error) or type(error).__name__,
            expected="a whole archive whose sha256 equals its .CHECKSUM",
            hint="download it again",
        ) from error


def text_blocks(path: Path) -> Iterator[bytes]:
    """The archive's text in pieces of whole lines."""
    with open_archive(path) as stream:
        yield from _whole_lines(stream)


def _whole_lines(stream: IO[bytes]) -> Iterator[bytes]:
    rest: list[bytes | memoryview] = []
    while piece := stream.read(BLOCK_BYTES):
        cut = piece.rfind(b"\n") + 1
        if cut:
            yield b"".join([*rest, memoryview(piece)[:cut]])
            rest = [piece[cut:]] if cut < len(piece) else []
        else:
            rest.append(piece)
    if rest:
        yield b"".join(rest)


def read_csv_blocks(path: Path, layout: CsvLayout) -> Iterator[CsvBlock]:
    """The file's rows, block by block in file order.

    Raises:
        SourceError: the file is damaged, empty, or has other columns than the layout.
    """
    columns: tuple[str, ...] | None = None
    first_line = 1
    rows = 0
    odd: dict[str, Any] | None = None
    for block in ahead(text_blocks(path), _BLOCKS_AHEAD):
        data = block
        if columns is None:
            columns, header = _columns(data, layout, path)
            if header:
                data = data[data.find(b"\n") + 1 :] if b"\n" in data else b""
                first_line = 2
        if not data:
            continue
        ends, commas = count_separators(data)
        lines = ends + (not data.endswith(b"\n"))
        parsed = _parse(data, columns, layout, path, range(first_line, first_line + lines), commas)
        first_line += lines
        rows += parsed.frame.height
        odd = odd or next(parsed.rejects.filter(pl.col("column").is_null()).iter_rows(named=True), None)
        yield parsed
    if columns is None:
        raise SourceError("the file is empty", where=str(path), expected="at least one row", hint="download it again")
    if odd is not None and rows == 0:
        expected = f"{len(columns)} fields ({', '.join(columns)})"
        raise SourceError(
            f"a line {odd['reason']}, and no line fits", where=f"{path}, line {odd['line']}", value=odd["raw"][:200], expected=expected
        )


def _columns(data: bytes, layout: CsvLayout, path: Path) -> tuple[tuple[str, ...], bool]:
    """The column list that fits the first line, and whether that line is a header."""
    first = data.split(b"\n", 1)[0].strip().removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    fields = [field.strip().strip('"') for field in first.split(",")]
    header = re.search(r"[A-Za-z]", fields[0]) is not None
    for columns in layout.layouts:
        if len(columns) == len(fields):
            break
    else:
        counts = " or ".join(f"{len(c)} ({', '.join(c)})" for c in layout.layouts)
        raise SourceError("the file has another number of columns", where=f"{path}, line 1", value=first[:200], expected=counts)
    if header:
        for name, found in zip(columns, fields, strict=True):
            if name in layout.types and name != found.lower():
                raise SourceError(
                    "a column has another name than this archive gives it",
                    where=f"{path}, line 1, column {found}",
                    value=found,
                    expected=name,
                )
    return columns, header


def count_separators(data: bytes) -> tuple[int, int]:
    """How many line ends and commas there are."""
    text = np.frombuffer(data, dtype=np.uint8)
    pieces = [text[at : at + _COUNT_BYTES] for at in range(0, len(text), _COUNT_BYTES)]
    return sum(_occurrences(piece, _LINE_END) for piece in pieces), sum(_occurrences(piece, _COMMA) for piece in pieces)


def _occurrences(text: NDArray[np.uint8], byte: int) -> int:
    """Counts in the eight bytes of each word at once, in columns so short that no byte can overflow."""
    found = text == byte
    whole = len(found) // 2048 * 2048
    words = found[:whole].view(np.uint64).reshape(-1, 256)
    return int(words.sum(axis=0, dtype=np.uint64).view(np.uint8).sum()) + int(np.count_nonzero(found[whole:]))


def _parse(data: bytes, columns: tuple[str, ...], layout: CsvLayout, path: Path, lines: range, commas: int) -> CsvBlock:
    """The rows of a block that holds these lines of the file and that many commas."""
    if commas == len(lines) * (len(columns) - 1):
        frame = _read(data, columns, layout, path)
        if not _has_nulls(frame):
            rows = pl.int_range(lines.start, lines.start + frame.height, dtype=pl.Int64, eager=True)
            frame = frame.hstack([rows.alias("source_row")])
            return _accept(frame, data.split(b"\n") if _is_suspect(frame, layout) else [], columns, layout, lines.start)
    return _parse_line_by_line(data.split(b"\n"), columns, layout, path, lines.start)


def _parse_line_by_line(lines: list[bytes], columns: tuple[str, ...], layout: CsvLayout, path: Path, first_line: int) -> CsvBlock:
    """For a block with an oddity: only lines with the right number of fields are parsed, blank ones are passed over."""
    counts = [line.count(b",") + 1 for line in lines]
    whole = [at for at, count in enumerate(counts) if count == len(columns)]
    odd = [(at, count) for at, count in enumerate(counts) if count != len(columns) and lines[at].strip()]
    frame = _read(b"\n".join(lines[at] for at in whole) + b"\n", columns, layout, path) if whole else _read(b"", columns, layout, path)
    frame = frame.with_columns(source_row=pl.Series([first_line + at for at in whole], dtype=pl.Int64))
    block = _accept(frame, lines, columns, layout, first_line)
    rejects = pl.DataFrame(
        [(first_line + at, None, None, f"has {count} fields, not {len(columns)}", _text(lines[at]), True) for at, count in odd],
        schema=REJECT_SCHEMA,
        orient="row",
    )
    return CsvBlock(block.frame, pl.concat([block.rejects, rejects]).sort("line"))


def _read(data: bytes, columns: tuple[str, ...], layout: CsvLayout, path: Path) -> pl.DataFrame:
    """The columns that are read; null where a value cannot be."""
    types = {**layout.types, **dict.fromkeys((f for f in layout.flags if f in columns), pl.Boolean())}
    schema = {f"column_{i}": types.get(name, pl.String()) for i, name in enumerate(columns)}
    wanted = {f"column_{i}": name for i, name in enumerate(columns) if name in types}
    if not data:
        return pl.DataFrame(schema={name: schema[column] for column, name in wanted.items()})
    try:
        return pl.read_csv(data, has_header=False, schema=schema, columns=list(wanted), ignore_errors=True, quote_char=None).rename(wanted)
    except pl.exceptions.PolarsError as error:
        raise SourceError("the CSV cannot be parsed", where=str(path), value=str(error)[:200], hint="download it again") from error


def _has_nulls(frame: pl.DataFrame) -> bool:
    return bool(sum(frame.null_count().row(0)))


def _is_suspect(frame: pl.DataFrame, layout: CsvLayout) -> bool:
    """Whether some row has a value that is missing, not finite, or not above zero where it must be."""
    if _has_nulls(frame) or not all(_is_finite(frame[name]) for name in frame.columns if frame.schema[name].is_float()):
        return True
    return frame.height > 0 and any(cast("float", frame[name].min() or 0) <= 0 for name in layout.positive)


def _is_finite(values: pl.Series) -> bool:
    """Whether all values are finite; a finite sum, which takes a fraction of the time, proves it."""
    return math.isfinite(values.sum()) or bool(values.is_finite().all())


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip("\r")


def _accept(frame: pl.DataFrame, lines: list[bytes], columns: tuple[str, ...], layout: CsvLayout, first_line: int) -> CsvBlock:
    """Keeps the rows in which every column that is read has a usable value."""
    if not _is_suspect(frame, layout):
        return CsvBlock(frame, pl.DataFrame(schema=REJECT_SCHEMA))
    required = [name for name in frame.columns if name != "source_row"]
    usable = {name: pl.col(name).is_not_null() for name in required}
    for name in required:
        if frame.schema[name].is_float():
            usable[name] &= pl.col(name).is_finite()
    for name in layout.positive:
        usable[name] &= pl.col(name) > 0
    checked = frame.with_columns(pl.all_horizontal([condition.fill_null(value=False) for condition in usable.values()]).alias("_usable"))
    found = [
        _reject(row, _text(lines[row["source_row"] - first_line]), columns, layout)
        for row in checked.filter(~pl.col("_usable")).iter_rows(named=True)
    ]
    rejects = pl.DataFrame([reject for reject in found if reject is not None], schema=REJECT_SCHEMA, orient="row")
    accepted = checked.filter(pl.col("_usable") | ~pl.col("source_row").is_in(rejects["line"].implode()))
    return CsvBlock(accepted.drop("_usable"), rejects)


def _reject(row: dict[str, object], raw: str, columns: tuple[str, ...], layout: CsvLayout) -> tuple[object, ...] | None:
    """What is wrong with a line, in the order of `REJECT_SCHEMA`; None where only optional values are empty."""
    fields = dict(zip(columns, raw.split(","), strict=False))
    for name in columns:
        value = row.get(name)
        if name not in row:
            continue
        if value is None:
            if name in layout.optional and not fields[name].strip(' "'):
                continue
            return (row["source_row"], name, fields[name], f"cannot be read as {_noun(name, layout)}", raw, True)
        if isinstance(value, float) and not math.isfinite(value):
            return (row["source_row"], name, fields[name], "is not a finite number", raw, True)
        if name in layout.positive and isinstance(value, int | float | Decimal) and value <= 0:
            return (row["source_row"], name, fields[name], "must be above zero", raw, True)
    return None


def _noun(name: str, layout: CsvLayout) -> str:
    dtype = layout.types[name]
    if name in layout.flags:
        return "true or false"
    return "a whole number" if dtype.is_integer() else "a number" if dtype.is_numeric() else "text"


def time_unit(frame: pl.DataFrame, column: str, unit: int | None, path: Path) -> tuple[pl.DataFrame, int | None]:
    """Adds ``ts_event_us`` from a column of ms, µs (told by magnitude) or ``YYYY-MM-DD HH:MM:SS`` text.

    Args:
        frame: rows with `column` and `source_row`.
        column: the time column.
        unit: microseconds per unit as found in earlier blocks of the file, None before the first.
        path: the file, for the error.

    Raises:
        SourceError: a time is neither ms nor µs of this century, or the unit changes inside the file.
    """
    if frame.is_empty():
        return frame.with_columns(ts_event_us=pl.lit(None, dtype=pl.Int64)).clear(), unit
    if frame.schema[column] == pl.String:
        stamps = frame.with_columns(ts_event_us=pl.col(column).str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False).dt.epoch("us"))
        bad = stamps.filter(pl.col("ts_event_us").is_null())
        if not bad.is_empty():
            raise SourceError(
                "a time cannot be read",
                where=f"{path}, line {bad['source_row'][0]}, column {column}",
                value=bad[column][0],
                expected="YYYY-MM-DD HH:MM:SS",
            )
        return stamps, 1
    values = frame[column]
    for low, high, scale in (_MILLISECONDS, _MICROSECONDS):
        if unit in (None, scale) and low <= cast("int", values.min()) and cast("int", values.max()) < high:
            return frame.hstack([(values * scale).alias("ts_event_us")]), scale
    raise _mixed_units(frame, column, unit, path)


def _mixed_units(frame: pl.DataFrame, column: str, unit: int | None, path: Path) -> SourceError:
    scale = pl.lit(None, dtype=pl.Int64)
    for low, high, found in (_MILLISECONDS, _MICROSECONDS):
        scale = pl.when(pl.col(column).is_between(low, high, closed="left")).then(found).otherwise(scale)
    scaled = frame.select("source_row", column, scale=scale)
    expected = scaled["scale"][0] if unit is None else unit
    row = scaled.filter(pl.col("scale").is_null() | pl.col("scale").ne_missing(expected)).row(0, named=True)
    where = f"{path}, line {row['source_row']}, column {column}"
    if row["scale"] is None:
        return SourceError("a time is neither milliseconds nor microseconds of this century", where=where, value=row[column])
    names = {1: "microseconds", 1000: "milliseconds"}
    return SourceError(
        f"times change from {names[expected]} to {names[row['scale']]} inside the file; nothing of it was stored",
        where=where,
        value=row[column],
        expected=f"{names[expected]}, as in the lines above",
        hint="the file was put together from two sources: download it again, or split it by unit",
    )
