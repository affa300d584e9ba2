"""Decimals of 76 digits on their way out, against a plain loop over Python's decimals."""

from __future__ import annotations

import decimal
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointline.sql.narrow import has_wide, losses, narrowed

LIMIT = 10**38
EXACT = decimal.Context(prec=200)


def number(value: int, scale: int) -> Decimal:
    return Decimal(value).scaleb(-scale, EXACT)


def by_loop(chunks: list[list[int | None]], scale: int) -> tuple[int | None, int]:
    """The scale of the decimals that hold all values, None where floats must; and how many values are too long then."""
    values = [value for chunk in chunks for value in chunk if value is not None]
    if scale <= 38 and all(abs(value) < LIMIT for value in values):
        return scale, 0
    fewest = 0
    while any(value % 10 ** (scale - fewest) for value in values):
        fewest += 1
    too_long = sum(abs(value) // 10 ** (scale - fewest) >= LIMIT for value in values)
    return (None if too_long or fewest > 38 else fewest), too_long


SCALES = st.sampled_from([0, 1, 12, 20, 38, 39, 40, 60, 76])
WHOLE = st.integers(-(10**76) + 1, 10**76 - 1)
NEAR_THE_LIMIT = st.integers(-3, 3).flatmap(lambda step: st.sampled_from([LIMIT + step, -LIMIT + step]))
NEAR_WORDS = st.integers(-2, 2).flatmap(lambda step: st.sampled_from([(1 << bits) + step for bits in (63, 64, 127, 128, 191, 192)]))
ROUND = st.tuples(st.integers(-(10**20), 10**20), st.integers(0, 55)).map(lambda pair: pair[0] * 10 ** pair[1])
VALUES = st.one_of(st.none(), st.integers(-(10**6), 10**6), ROUND, NEAR_THE_LIMIT, NEAR_WORDS, WHOLE)
KINDS = st.sampled_from([st.one_of(st.none(), ROUND), st.one_of(st.none(), st.integers(-(10**30), 10**30)), VALUES])
CHUNKS = KINDS.flatmap(lambda values: st.lists(st.lists(values, max_size=6), max_size=4))


def wide(chunks: list[list[int | None]], scale: int) -> pa.ChunkedArray:
    kind = pa.decimal256(76, scale)
    arrays = [pa.array([None if value is None else number(value, scale) for value in chunk], kind) for chunk in chunks]
    return pa.chunked_array(arrays, kind)


@given(CHUNKS, SCALES)
def test_a_column_equals_a_loop(chunks: list[list[int | None]], scale: int) -> None:
    table, notes = narrowed(pa.table({"x": wide(chunks, scale)}))
    column, (fitting, too_long) = table.column("x"), by_loop(chunks, scale)
    values = [value for chunk in chunks for value in chunk]
    if fitting is not None:
        assert column.type == pa.decimal128(38, fitting)
        assert column.to_pylist() == [None if value is None else number(value, scale) for value in values]
        assert notes == [f"column x: Decimal(76, {scale}) left as Decimal(38, {fitting})"]
        assert losses(notes) == []
    else:
        assert column.type == pa.float64()
        assert column.to_pylist() == [None if value is None else float(number(value, scale)) for value in values]
        assert losses(notes) == notes
        (note,) = notes
        assert note.startswith(f"column x: Decimal(76, {scale}) left as float64, because ")
        assert ("need" in note and f"{too_long} value" in note) if too_long else "its values need" in note


@pytest.mark.parametrize("length", [5, 3_000])
def test_a_late_value_decides_for_the_whole_column(length: int) -> None:
    """The first thousand values tell what is tried first, and no more."""
    plain = [10**40 * n for n in range(1, length)]
    for last, scale in ((10**40 + 10**33, 7), (10**40 + 10**15, 25), (1, None)):
        table, notes = narrowed(pa.table({"x": wide([plain, [last]], 40)}))
        assert by_loop([plain, [last]], 40)[0] == scale
        assert table.column("x").type == (pa.float64() if scale is None else pa.decimal128(38, scale))
        assert len(losses(notes)) == (scale is None)
        assert table.num_rows == length


def test_the_sentence_counts() -> None:
    values = [number(10**38 * n + 1, 40) for n in (0, 1, 2, 3)]
    _, notes = narrowed(pa.table({"notional": pa.array(values, pa.decimal256(76, 40))}))
    assert notes == ["column notional: Decimal(76, 40) left as float64, because 3 values need more than 38 digits"]
    _, notes = narrowed(pa.table({"größe": pa.array(values[:1], pa.decimal256(76, 40))}))
    assert notes == ["column gr\\xf6\\xdfe: Decimal(76, 40) left as float64, because its values need 40 decimals"]


D = pa.decimal256(76, 20)
ONE, LONG = Decimal("1.5"), Decimal("12345678901234567890.12345678901234567891")
NESTED: list[tuple[pa.DataType, Any, str]] = [
    (pa.list_(D), [[ONE, None], None, [], [Decimal(2)]], "column x[]"),
    (pa.large_list(pa.list_(D)), [[[ONE], None, []], None, [[Decimal(2), ONE]]], "column x[][]"),
    (pa.list_(D, 2), [[ONE, None], None, [Decimal(2), ONE]], "column x[]"),
    (pa.struct([("a", D), ("b", pa.int64())]), [{"a": ONE, "b": 1}, None, {"a": None, "b": None}], "column x.a"),
    (pa.map_(pa.string(), D), [[("k", ONE), ("l", None)], None, []], "column x.value"),
    (pa.map_(D, pa.string()), [[(ONE, "k")], None, []], "column x.key"),
    (pa.list_(pa.struct([("a", pa.list_(D))])), [[{"a": [ONE]}, None], None, [{"a": None}]], "column x[].a[]"),
]


@pytest.mark.parametrize(("kind", "values", "place"), NESTED, ids=[str(kind) for kind, _, _ in NESTED])
@pytest.mark.parametrize("sliced", [False, True])
def test_decimals_inside_other_types(kind: pa.DataType, values: list[Any], place: str, sliced: bool) -> None:
    column = pa.chunked_array([pa.array(values, kind), pa.array(values[:2], kind)])
    column = column.slice(1) if sliced else column
    table, notes = narrowed(pa.table({"x": column, "y": [1] * len(column)}))
    table.validate(full=True)
    assert not has_wide(table.column("x").type)
    assert table.column("x").to_pylist() == column.to_pylist()
    assert notes == [f"{place}: Decimal(76, 20) left as Decimal(38, 20)"]


@pytest.mark.parametrize(("kind", "values", "place"), NESTED[:5], ids=[str(kind) for kind, _, _ in NESTED[:5]])
def test_floats_inside_other_types(kind: pa.DataType, values: list[Any], place: str) -> None:
    def long(value: Any) -> Any:  # noqa: ANN401
        if isinstance(value, dict):
            return {key: long(inner) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(long(inner) for inner in value)
        return LONG if value == ONE else value

    def as_float(value: Any) -> Any:  # noqa: ANN401
        if isinstance(value, dict):
            return {key: as_float(inner) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(as_float(inner) for inner in value)
        return float(value) if isinstance(value, Decimal) else value

    table, notes = narrowed(pa.table({"x": pa.array(long(values), kind)}))
    table.validate(full=True)
    assert table.column("x").to_pylist() == as_float(long(values))
    assert len(losses(notes)) == 1
    assert notes[0].startswith(f"{place}: Decimal(76, 20) left as float64, because ")


@pytest.mark.parametrize("value", [ONE, LONG])
def test_dictionaries(value: Decimal) -> None:
    column = pa.chunked_array([pa.DictionaryArray.from_arrays([0, None, 0], pa.array([own], D)) for own in (Decimal(2), value)])
    table, notes = narrowed(pa.table({"x": column}))
    table.validate(full=True)
    assert table.column("x").to_pylist() == [own if value is ONE or own is None else float(own) for own in column.to_pylist()]
    assert len(notes) == 1


def test_what_is_hidden_under_nulls_does_not_count() -> None:
    values = pa.array([ONE, LONG, Decimal(2)], D)
    masked = pa.Array.from_buffers(D, 3, [pa.py_buffer(bytes([0b101])), values.buffers()[1]])
    for column in (masked, masked.slice(1), masked.slice(1, 1)):
        table, notes = narrowed(pa.table({"x": column}))
        assert table.column("x").type == pa.decimal128(38, 20)
        assert table.column("x").to_pylist() == column.to_pylist()
        assert losses(notes) == []


def test_other_columns_and_what_is_said_of_the_table_stay() -> None:
    schema = pa.schema([pa.field("a", D, nullable=False, metadata={"k": "v"}), pa.field("b", pa.decimal128(38, 2))], metadata={"m": "n"})
    given_table = pa.table([[ONE], [ONE]], schema=schema)
    table, notes = narrowed(given_table)
    assert table.schema.metadata == {b"m": b"n"}
    assert (table.schema.field("a").nullable, table.schema.field("a").metadata) == (False, {b"k": b"v"})
    assert table.column("b").equals(given_table.column("b"))
    assert notes == ["column a: Decimal(76, 20) left as Decimal(38, 20)"]
    assert narrowed(table) == (table, [])


@pytest.mark.parametrize("kind", [D, pa.decimal256(76, 60), pa.list_(D), pa.dictionary(pa.int32(), D)])
def test_no_rows(kind: pa.DataType) -> None:
    table, _ = narrowed(pa.table({"x": pa.chunked_array([], kind)}))
    assert table.num_rows == 0
    assert not has_wide(table.column("x").type)
    assert pl.DataFrame(table).shape == (0, 1)
