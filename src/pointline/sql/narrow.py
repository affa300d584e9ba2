"""Decimals of 76 digits as such of 38, which Polars and DuckDB can read, or as floats where 38 digits do not hold them.

The type of a column is one for the whole result, so it is decided on all of its values: the column's own scale if all fit, else the
smallest scale that holds all of them exactly, else float64. Nothing wraps, and nothing is rounded without a sentence that says so::

    table, notes = narrowed(table)          # every column that changed, in words
    warnings = losses(notes)                # those that are floats now
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIGITS = 38
_BYTES = 32  # of a decimal of 76 digits
_FIRST = 1_000  # values that decide which scale to try first
_LIMIT = 10**DIGITS
_FLOAT = "left as float64"


def narrowed(table: pa.Table) -> tuple[pa.Table, list[str]]:
    """The table without decimals of more than 38 digits, inside lists, structs, maps and dictionaries too.

    Args:
        table: any Arrow table; of a stream, all of its batches.

    Returns:
        The table, and a sentence in ASCII for each column that has another type now, e.g. ``"column price: Decimal(76, 20) left as
        Decimal(38, 20)"`` or ``"column notional: Decimal(76, 40) left as float64, because 3 values need more than 38 digits"``.
    """
    notes: list[str] = []
    for place, field in enumerate(table.schema):
        if not has_wide(field.type):
            continue
        chunks = table.column(place).chunks or [pa.nulls(0, field.type)]
        found, kind = _narrow(chunks, field.type, _plain(field.name), notes)
        table = table.set_column(place, field.with_type(kind), pa.chunked_array(found, kind))
    return table, notes


def losses(notes: list[str]) -> list[str]:
    """The sentences about floats, whose values may be rounded to 53 bits."""
    return [note for note in notes if _FLOAT in note]


def has_wide(kind: pa.DataType) -> bool:
    """Whether a type is, or holds, a decimal of more than 38 digits."""
    if pa.types.is_dictionary(kind):
        return has_wide(kind.value_type)
    if pa.types.is_decimal256(kind):
        return True
    return any(has_wide(kind.field(place).type) for place in range(kind.num_fields))


def _plain(name: str) -> str:
    return name.encode("ascii", "backslashreplace").decode()


def _narrow(chunks: list[pa.Array], kind: pa.DataType, name: str, notes: list[str]) -> tuple[list[pa.Array], pa.DataType]:
    """The chunks with the wide decimals in them replaced, and their common type."""
    if not has_wide(kind):
        return chunks, kind
    if pa.types.is_decimal256(kind):
        return _decimals(chunks, kind, name, notes)
    if pa.types.is_dictionary(kind):
        values, inner = _narrow([chunk.dictionary for chunk in chunks], kind.value_type, name, notes)
        made = pa.dictionary(kind.index_type, inner, kind.ordered)
        pairs = zip(chunks, values, strict=True)
        return [pa.DictionaryArray.from_arrays(chunk.indices, own, ordered=kind.ordered) for chunk, own in pairs], made
    if pa.types.is_struct(kind):
        return _structs(chunks, kind, name, notes)
    (child,) = (kind.field(place) for place in range(kind.num_fields)) if not pa.types.is_map(kind) else (None,)
    if child is None:
        return _maps(chunks, kind, name, notes)
    values, inner = _narrow([chunk.values for chunk in chunks], child.type, f"{name}[]", notes)
    made = _list_type(kind, child.with_type(inner))
    return [_with_child(chunk, made, own) for chunk, own in zip(chunks, values, strict=True)], made


def _list_type(kind: pa.DataType, child: pa.Field) -> pa.DataType:
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(child, kind.list_size)
    return pa.large_list(child) if pa.types.is_large_list(kind) else pa.list_(child)


def _with_child(chunk: pa.Array, kind: pa.DataType, child: pa.Array) -> pa.Array:
    """The array with other values in its lists: validity and offsets stay."""
    own = chunk.buffers()[: 1 if pa.types.is_fixed_size_list(kind) else 2]
    return pa.Array.from_buffers(kind, len(chunk), own, offset=chunk.offset, children=[child])


def _structs(chunks: list[pa.Array], kind: pa.StructType, name: str, notes: list[str]) -> tuple[list[pa.Array], pa.DataType]:
    columns, fields = [], []
    for place in range(kind.num_fields):
        field = kind.field(place)
        found, inner = _narrow([chunk.field(place) for chunk in chunks], field.type, f"{name}.{_plain(field.name)}", notes)
        columns.append(found)
        fields.append(field.with_type(inner))
    made = [
        pa.StructArray.from_arrays([column[n] for column in columns], fields=fields, mask=chunk.is_null()) for n, chunk in enumerate(chunks)
    ]
    return made, pa.struct(fields)


def _maps(chunks: list[pa.Array], kind: pa.MapType, name: str, notes: list[str]) -> tuple[list[pa.Array], pa.DataType]:
    entries, inner = _structs([chunk.values for chunk in chunks], pa.struct([kind.key_field, kind.item_field]), name, notes)
    made = pa.map_(inner.field(0), inner.field(1), keys_sorted=kind.keys_sorted)
    return [_with_child(chunk, made, own) for chunk, own in zip(chunks, entries, strict=True)], made


# --- one column of decimals -------------------------------------------------------------------------------------------------------


def _decimals(chunks: list[pa.Array], kind: pa.Decimal256Type, name: str, notes: list[str]) -> tuple[list[pa.Array], pa.DataType]:
    shown = f"column {name}: Decimal({kind.precision}, {kind.scale})"
    scale = kind.scale
    made = _cast(chunks, pa.decimal128(DIGITS, scale)) if scale <= DIGITS else None
    if made is None:
        chunks = [_without_hidden(chunk) for chunk in chunks]
        scale = _least_scale(chunks, kind)
        made = _cast(chunks, pa.decimal128(DIGITS, scale)) if scale <= DIGITS else None
    if made is None:
        scale = _smallest_scale(chunks, kind, scale)
        made = _cast(chunks, pa.decimal128(DIGITS, scale)) if scale <= DIGITS else None
    if made is None:
        power = 10 ** (kind.scale - scale)
        too_long = sum(abs(number) >= _LIMIT * power for chunk in chunks for number in _numbers(chunk))
        reason = f"{too_long} value{' needs' if too_long == 1 else 's need'} more than {DIGITS} digits"
        notes.append(f"{shown} {_FLOAT}, because " + (reason if too_long else f"its values need {scale} decimals"))
        return [_floats(chunk, kind.scale) for chunk in chunks], pa.float64()
    notes.append(f"{shown} left as Decimal({DIGITS}, {scale})")
    return made, pa.decimal128(DIGITS, scale)


def _cast(chunks: list[pa.Array], kind: pa.DataType) -> list[pa.Array] | None:
    """The chunks as another decimal; None where a value would lose a digit."""
    try:
        return [chunk.cast(kind) for chunk in chunks]
    except pa.ArrowInvalid:
        return None


def _least_scale(chunks: list[pa.Array], kind: pa.Decimal256Type) -> int:
    """The fewest decimals that hold the first values exactly: all of them need no fewer, and mostly no more."""
    first = [number for chunk in chunks for number in _numbers(chunk.slice(0, _FIRST))]
    return int(max((kind.scale - _zeros(number, kind.scale) for number in first), default=0))


def _smallest_scale(chunks: list[pa.Array], kind: pa.Decimal256Type, least: int) -> int:
    """The fewest decimals, at least so many, that hold every value exactly."""
    low, high = least, int(kind.scale)
    while low < high:
        tried = (low + high) // 2
        if _cast(chunks, pa.decimal256(kind.precision, tried)) is not None:
            high = tried
        else:
            low = tried + 1
    return high


def _zeros(number: int, most: int) -> int:
    """How many zeros a number ends in, at most so many; as many as it may where it is zero."""
    found = 0
    while found < most and number % 10 == 0:
        number //= 10
        found += 1
    return found


def _without_hidden(chunk: pa.Array) -> pa.Array:
    """The array with zeros where it is null: what stands there may be anything."""
    if not chunk.null_count:
        return chunk
    valid = np.asarray(chunk.is_valid())
    words = np.where(valid[:, None], _words(chunk), np.uint64(0))
    packed = np.packbits(valid, bitorder="little")
    return pa.Array.from_buffers(chunk.type, len(chunk), [pa.py_buffer(packed), pa.py_buffer(words)])


def _words(chunk: pa.Array) -> NDArray[np.uint64]:
    """The numbers as four words of 64 bits each, the lowest first."""
    data = chunk.buffers()[1]
    if data is None or not len(chunk):
        return np.zeros((0, 4), np.uint64)
    return np.frombuffer(data, np.uint64, len(chunk) * 4, chunk.offset * _BYTES).reshape(-1, 4)


def _numbers(chunk: pa.Array) -> list[int]:
    data = _words(chunk).tobytes()
    return [int.from_bytes(data[at : at + _BYTES], "little", signed=True) for at in range(0, len(data), _BYTES)]


def _floats(chunk: pa.Array, scale: int) -> pa.Array:
    """The nearest float of each number: a quotient of whole numbers is rounded once."""
    power = 10**scale
    values = np.fromiter((number / power for number in _numbers(chunk)), np.float64, len(chunk))
    mask: Any = np.asarray(chunk.is_null()) if chunk.null_count else None
    return pa.array(values, mask=mask)
