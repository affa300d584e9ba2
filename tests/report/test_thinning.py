"""Thinned series: extremes, ends and holes of the whole, in a bounded number of rows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointline.report.thinning import LEAST, thinned

SCHEMA = {"at": pl.Int64(), "value": pl.Float64(), "apart": pl.Boolean()}


def series(values: list[float | None], apart: set[int] | None = None, *, step: int = 1_000) -> pl.DataFrame:
    rows = [(number * step, value, number in (apart or set())) for number, value in enumerate(values)]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def test_one_spike_of_a_million_stays() -> None:
    count, spike = 1_000_000, 618_034
    values = np.sin(np.arange(count) / 50_000)
    values[spike] = 40.0
    values[spike + 1] = -40.0
    rows = pl.DataFrame({"at": np.arange(count) * 1_000, "value": values}).with_columns(apart=pl.lit(value=False))
    drawn = thinned(rows, most=2_000)
    assert drawn.height <= 2_000
    assert drawn.filter(pl.col("value") == 40.0)["at"].to_list() == [spike * 1_000]
    assert drawn.filter(pl.col("value") == -40.0)["at"].to_list() == [(spike + 1) * 1_000]


def test_every_column_keeps_its_ends_and_its_extremes() -> None:
    values = np.random.default_rng(5).normal(size=200_000).cumsum()
    rows = pl.DataFrame({"at": np.arange(200_000) * 1_000, "value": values, "apart": False})
    drawn = thinned(rows, most=2_000)  # four points in each of 500 columns of 400 values
    shown = dict(drawn.select("at", "value").rows())
    for column in range(500):
        own = values[400 * column : 400 * (column + 1)]
        for number in (0, 399, int(own.argmin()), int(own.argmax())):
            assert shown[(400 * column + number) * 1_000] == own[number]


def test_a_short_series_is_drawn_as_it_is() -> None:
    rows = series([1.0, 2.0, 0.5])
    assert thinned(rows, most=LEAST).rows() == [(0, 1.0, False), (1_000, 2.0, False), (2_000, 0.5, False)]


@pytest.mark.parametrize("hole", [None, float("nan"), float("inf")])
def test_a_value_that_is_missing_is_a_gap(hole: float | None) -> None:
    drawn = thinned(series([1.0, 2.0, hole, hole, 3.0, 4.0]), most=LEAST)
    assert drawn["value"].to_list() == [1.0, 2.0, None, 3.0, 4.0]
    assert not drawn["alone"].any()


def test_bars_apart_are_parted_and_what_no_line_shows_is_told() -> None:
    drawn = thinned(series([1.0, 2.0, 3.0, 4.0, 5.0], {2, 3}), most=LEAST)
    assert drawn["value"].to_list() == [1.0, 2.0, None, 3.0, None, 4.0, 5.0]
    assert drawn.filter("alone")["value"].to_list() == [3.0]


@pytest.mark.parametrize("values", [[], [None], [None, None, float("nan")]])
def test_nothing_to_draw(values: list[float | None]) -> None:
    assert thinned(series(values), most=LEAST).is_empty()


def test_other_columns_stay_beside_their_value() -> None:
    rows = series([1.0, None, 3.0]).with_columns(beside=pl.Series([10.0, 20.0, 30.0]))
    drawn = thinned(rows, most=LEAST)
    assert drawn.select("value", "beside").rows() == [(1.0, 10.0), (None, None), (3.0, 30.0)]


values = st.one_of(st.none(), st.floats(min_value=-1e6, max_value=1e6), st.sampled_from([0.0, 1.0]))


@given(
    st.lists(st.tuples(values, st.integers(1, 5_000), st.sampled_from([False, False, False, True])), max_size=400),
    st.integers(LEAST, 120),
)
def test_whatever_the_series(rows: list[tuple[float | None, int, bool]], most: int) -> None:
    at = np.cumsum([step for _, step, _ in rows]).tolist()
    frame = pl.DataFrame([(when, value, apart) for when, (value, _, apart) in zip(at, rows, strict=True)], schema=SCHEMA, orient="row")
    drawn = thinned(frame, most=most)
    assert drawn.height + drawn["alone"].sum() <= most or drawn.height <= len(rows)
    assert drawn.height + drawn["alone"].sum() <= max(most, 12 * (most // 12))
    known = {when: value for when, value, _ in frame.rows() if value is not None}
    shown = drawn.filter(pl.col("value").is_not_null())
    assert dict(shown.select("at", "value").rows()).items() <= known.items()
    assert drawn["at"].is_sorted()
    if known:
        assert (shown["value"].min(), shown["value"].max()) == (min(known.values()), max(known.values()))
        assert (shown["at"][0], shown["at"][-1]) == (min(known), max(known))
    holes = [when for when, value, apart in frame.rows() if apart or value is None]
    points = drawn.select("at", "value").rows()
    for (left, before), (right, after) in pairwise(points):
        if before is not None and after is not None:
            assert [when for when in holes if left < when <= right] == []
