"""Amounts of candles as integers: the fewest decimals that hold all of them, wherever the finest stands."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointline import schema
from pointline.bars import candle_events

numbers = st.tuples(st.integers(0, 10**9), st.integers(0, 9)).map(lambda one: Decimal(one[0]).scaleb(-one[1]))
amounts = st.lists(numbers | st.none(), max_size=8)


@pytest.fixture(autouse=True)
def _few_first_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candle_events, "_FIRST_ROWS", 2)


@given(values=amounts, size=st.sampled_from([Decimal(1), Decimal(100), Decimal("0.001")]))
def test_integers_are_those_of_a_plain_loop(values: list[Decimal | None], size: Decimal) -> None:
    rows = pl.DataFrame({"volume": values}, schema={"volume": pl.Decimal(38, schema.MAX_DECIMALS)})
    integers, decimals = candle_events._integers(rows, "volume", size)
    exact = [None if value is None else value * size for value in values]
    fewest = max([0, *(max(0, -int(value.normalize().as_tuple().exponent)) for value in exact if value is not None)])
    assert decimals == fewest
    assert integers.to_list() == [None if value is None else int(value.scaleb(fewest)) for value in exact]
