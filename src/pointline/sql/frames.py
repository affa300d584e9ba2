"""The engine's Arrow stream as a Polars frame, with the types restored that Arrow does not have."""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING

import polars as pl

from pointline.errors import QueryError, QueryNote

if TYPE_CHECKING:
    from collections.abc import Callable

# No compression between two parts of one process.
SETTINGS = {"output_format_arrow_use_native_writer": 1, "output_format_arrow_compression_method": "none"}

_CALLER = 5  # who called `pointline.sql.query`

# Arrow has no seconds-of-32-bit time, enumeration or wide integer: the engine writes their numbers or bytes.
_AMBIGUOUS = {pl.UInt32, pl.Int8, pl.Int16, pl.Binary}
_WRAPPED = re.compile(r"(?:Nullable|LowCardinality)\((.*)\)$", re.DOTALL)
_ENUM_ITEM = re.compile(r"'((?:[^'\\]|\\.)*)' = (-?\d+)")
_WIDE = {"Int128": (pl.Int128, True), "UInt128": (pl.Int128, False)}


def read_frame(stream: bytes, columns: Callable[[], tuple[tuple[str, str], ...]]) -> pl.DataFrame:
    """The frame of an Arrow stream.

    Args:
        stream: what the engine wrote with `SETTINGS`; may be empty.
        columns: gives names and types of the statement's columns; asked only where Arrow's types leave a doubt.

    Warns:
        QueryNote: decimals of a column need more than 38 digits and are floats in the frame.

    Raises:
        QueryError: the stream is none, because the statement chose another format or is none that gives a table.
    """
    if not stream:
        return pl.DataFrame()
    frame = _decoded(stream)
    if not any(_base(dtype) in _AMBIGUOUS for dtype in frame.dtypes):
        return frame
    try:
        types = dict(columns())
    except QueryError:  # SHOW, EXPLAIN: nothing to describe
        return frame
    return frame.with_columns(_typed(pl.col(name), types[name]) for name in frame.columns if name in types)


def _decoded(stream: bytes) -> pl.DataFrame:
    import pyarrow as pa

    from pointline.sql.narrow import has_wide, losses, narrowed

    try:
        with pa.ipc.open_stream(stream) as reader:
            if not any(has_wide(field.type) for field in reader.schema):
                return pl.read_ipc_stream(io.BytesIO(stream))
            table, notes = narrowed(reader.read_all())
        for note in losses(notes):
            warnings.warn(note, QueryNote, stacklevel=_CALLER)
        return pl.DataFrame(table)
    except (pa.ArrowException, pl.exceptions.PolarsError) as error:
        raise QueryError(
            "the result cannot become a frame",
            value=str(error)[:200],
            expected="one statement without FORMAT, whose columns have types that Polars knows",
            hint="leave FORMAT out, or cast the column, e.g. with toString or toDecimal128",
        ) from error


def _base(dtype: pl.DataType) -> type[pl.DataType]:
    while isinstance(dtype, pl.List):
        dtype = dtype.inner  # type: ignore[assignment]
    return type(dtype)


def _typed(column: pl.Expr, name: str) -> pl.Expr:
    """A column with the type that the engine names."""
    while (wrapped := _WRAPPED.fullmatch(name)) is not None:
        name = wrapped[1]
    if name.startswith("Array("):
        inner = name[len("Array(") : -1]
        return column.list.eval(_typed(pl.element(), inner))
    if re.fullmatch(r"DateTime(\('.*'\))?", name):
        zone = re.search(r"'(.*)'", name)
        moment = (column.cast(pl.Int64) * 1_000_000).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        return moment.dt.convert_time_zone(zone[1]) if zone is not None else moment
    if name.startswith("Enum"):
        values = {int(number): re.sub(r"\\(.)", r"\1", text) for text, number in _ENUM_ITEM.findall(name)}
        return column.replace_strict(values, return_dtype=pl.String())
    if name in _WIDE:
        kind, signed = _WIDE[name]
        return column.map_elements(lambda value: int.from_bytes(value, "little", signed=signed), return_dtype=kind())
    if name == "UUID":
        return column.map_elements(_uuid_text, return_dtype=pl.String())
    return column


def _uuid_text(value: bytes) -> str:
    import uuid

    return str(uuid.UUID(bytes=value))
