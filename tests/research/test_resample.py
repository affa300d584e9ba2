"""Assignment of events to windows, against a plain loop."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.exceptions import InvalidOperationError
from tests import oracle

from pointline.errors import ConfigError
from pointline.research.resample import assign_to_buckets

START = 1_714_521_600_000_000


@st.composite
def spines(draw: st.DrawFn) -> pl.DataFrame:
    """Windows that tile, now and then with a gap as over a day without trades, in any order of rows."""
    edge, rows = START, []
    for gap, length in draw(st.lists(st.tuples(st.sampled_from([0, 0, 0, 1, 20]), st.integers(1, 15)), max_size=12)):
        rows.append((edge + gap, edge + gap + length))
        edge += gap + length
    rows = draw(st.permutations(rows))
    return pl.DataFrame(rows, schema={"bucket_start": pl.Int64, "bucket_end": pl.Int64}, orient="row")


EVENTS = st.lists(st.integers(START - 5, START + 120), max_size=40).map(sorted)


@given(spines(), EVENTS, st.booleans(), st.booleans())
def test_equals_a_plain_loop(spine: pl.DataFrame, times: list[int], lazy: bool, lazy_spine: bool) -> None:
    events = pl.DataFrame({"ts_local_us": times, "number": range(len(times))}, schema={"ts_local_us": pl.Int64, "number": pl.Int64})
    windows = [oracle.Window(0, start, end, complete=True) for start, end in spine.rows()]
    expected = []
    for number, time in enumerate(times):
        window = oracle.window_of(windows, time)
        expected.append((time, number, window.start if window else None, window.end if window else None))
    given_spine = spine.lazy() if lazy_spine else spine
    found = assign_to_buckets(events.lazy(), given_spine).collect() if lazy else assign_to_buckets(events, given_spine)
    assert found.rows() == expected
    assert dict(found.schema) == {"ts_local_us": pl.Int64, "number": pl.Int64, "bucket_start": pl.Int64, "bucket_end": pl.Int64}


SPINE = pl.DataFrame({"bucket_start": [10, 20, 40], "bucket_end": [20, 30, 50], "exchange": ["a"] * 3, "symbol_id": [1] * 3})


def test_windows_are_half_open_and_gaps_hold_nothing() -> None:
    events = pl.DataFrame({"ts_local_us": [9, 10, 19, 20, 29, 30, 39, 40, 49, 50]})
    found = assign_to_buckets(events, SPINE)
    assert found["bucket_start"].to_list() == [None, 10, 10, 20, 20, None, None, 40, 40, None]
    assert found["bucket_end"].to_list() == [None, 20, 20, 30, 30, None, None, 50, 50, None]


def test_lazy_stays_lazy_and_eager_stays_eager() -> None:
    events = pl.DataFrame({"ts_local_us": [10]})
    assert isinstance(assign_to_buckets(events.lazy(), SPINE), pl.LazyFrame)
    assert isinstance(assign_to_buckets(events, SPINE.lazy()), pl.DataFrame)


def test_labels_that_the_events_had_are_replaced() -> None:
    events = pl.DataFrame({"ts_local_us": [12, 22, 32], "bucket_start": [1, 2, 3], "bucket_end": [4, 5, 6], "qty": [7, 8, 9]})
    found = assign_to_buckets(events, SPINE)
    assert found.columns == ["ts_local_us", "qty", "bucket_start", "bucket_end"]
    assert found.rows() == [(12, 7, 10, 20), (22, 8, 20, 30), (32, 9, None, None)]


def test_bars_of_another_spine_can_be_assigned_by_their_own_end() -> None:
    bars = pl.DataFrame({"bucket_start": [10, 15, 25], "bucket_end": [15, 25, 45], "volume": [1, 2, 3]})
    found = assign_to_buckets(bars, SPINE, ts_col="bucket_end")
    assert found.rows() == [(1, 10, 20), (2, 20, 30), (3, 40, 50)]


def test_another_instruments_events_are_assigned_alike() -> None:
    """Nothing is joined on exchange or symbol, and no column of the spine but its windows comes along."""
    events = pl.DataFrame({"ts_event_us": [12], "exchange": ["b"], "symbol_id": [2]})
    found = assign_to_buckets(events, SPINE, ts_col="ts_event_us")
    assert found.row(0, named=True) == {"ts_event_us": 12, "exchange": "b", "symbol_id": 2, "bucket_start": 10, "bucket_end": 20}


def test_ties_keep_their_order() -> None:
    events = pl.DataFrame({"ts_local_us": [12] * 5, "number": [3, 1, 4, 1, 5]})
    assert assign_to_buckets(events, SPINE)["number"].to_list() == [3, 1, 4, 1, 5]


def test_an_empty_spine_and_no_events_are_fine() -> None:
    events = pl.DataFrame({"ts_local_us": [12]})
    assert assign_to_buckets(events, SPINE.clear())["bucket_start"].to_list() == [None]
    assert assign_to_buckets(events.clear(), SPINE).height == 0


def test_events_out_of_order_are_refused_rather_than_labelled_wrongly() -> None:
    events = pl.DataFrame({"ts_local_us": [45, 12, 22, 9]})
    with pytest.raises(ConfigError, match="not sorted"):
        assign_to_buckets(events, SPINE)
    with pytest.raises(InvalidOperationError, match="not sorted"):
        assign_to_buckets(events.lazy(), SPINE).collect()


def test_a_missing_column_is_named() -> None:
    with pytest.raises(ConfigError, match="ts_local_us") as caught:
        assign_to_buckets(pl.DataFrame({"time": [1]}), SPINE)
    assert "they have time" in str(caught.value)
    with pytest.raises(ConfigError, match="the spine lack"):
        assign_to_buckets(pl.DataFrame({"ts_local_us": [1]}), SPINE.drop("bucket_end"))
