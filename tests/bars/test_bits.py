"""Boolean columns as bytes."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointline.bars.bits import unpacked


@given(st.lists(st.booleans(), max_size=300), st.integers(0, 20), st.integers(0, 300))
def test_any_slice_of_a_column(values: list[bool], first: int, length: int) -> None:
    column = pl.Series("side", values, dtype=pl.Boolean).slice(first, length)
    assert unpacked(column).tolist() == [int(value) for value in values[first : first + length]]


def test_a_column_in_pieces_and_one_with_nulls() -> None:
    pieces = pl.concat([pl.Series([True] * 3), pl.Series([False, True])], rechunk=False)
    assert unpacked(pieces).tolist() == [1, 1, 1, 0, 1]
    with pytest.raises(ValueError, match="nulls"):
        unpacked(pl.Series([True, None]))


def test_what_comes_out_belongs_to_numpy() -> None:
    column = pl.Series("side", np.arange(100_000) % 3 == 0)
    found = unpacked(column)
    del column
    assert found.sum() == 33_334
