"""Sliding windows that know nothing but themselves."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointline.features import rolling
from pointline.features.rolling import rolling_mean, rolling_mean_expr, rolling_std, rolling_z_expr

VALUES = st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(math.nan)), max_size=40)


@given(VALUES, st.integers(2, 9))
def test_equals_the_plain_loop(values: list[float], width: int) -> None:
    means, deviations = rolling_mean(np.array(values, dtype=float), width), rolling_std(np.array(values, dtype=float), width)
    assert len(means) == len(deviations) == len(values)
    for last in range(len(values)):
        window = values[max(0, last - width + 1) : last + 1]
        if len(window) < width or any(math.isnan(value) for value in window):
            assert math.isnan(means[last])
            assert math.isnan(deviations[last])
            continue
        mean = math.fsum(window) / width
        deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in window) / (width - 1))
        assert means[last] == pytest.approx(mean, rel=1e-12, abs=1e-8)
        assert deviations[last] == pytest.approx(deviation, rel=1e-9, abs=1e-8)
        assert (deviations[last] == 0) == (len(set(window)) == 1 or deviation == 0)


def test_equal_values_have_no_deviation_at_all() -> None:
    # The mean of a hundred times 0.1 is not 0.1 in floats, so that a naive deviation would be 1e-17 and a z-score about 1.
    frame = pl.DataFrame({"value": [0.1] * 100 + [0.2]})
    assert rolling_std(frame["value"].to_numpy(), 100)[99] == 0.0
    assert frame.select(rolling_z_expr("value", 100))["value"].null_count() == 100


def test_bits_do_not_depend_on_where_the_values_start(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(5)
    values = np.concatenate([noise.normal(1e9, 1e8, 3_000), noise.normal(0, 1, 3_000)])
    means, deviations = rolling_mean(values, 100), rolling_std(values, 100)
    monkeypatch.setattr(rolling, "_BLOCK", 37)
    for first in (1, 7, 2_950, 4_000, 5_900):
        assert np.array_equal(rolling_mean(values[first:], 100)[99:], means[first + 99 :])
        assert np.array_equal(rolling_std(values[first:], 100)[99:], deviations[first + 99 :])


def test_windows_over_several_blocks_equal_one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.arange(100.0) ** 1.5
    whole = rolling_mean(values, 7), rolling_std(values, 7)
    monkeypatch.setattr(rolling, "_BLOCK", 10)
    assert np.array_equal(rolling_mean(values, 7), whole[0], equal_nan=True)
    assert np.array_equal(rolling_std(values, 7), whole[1], equal_nan=True)


def test_a_null_makes_its_windows_null() -> None:
    frame = pl.DataFrame({"value": [1.0, 2.0, None, 4.0, 5.0, 6.0]})
    assert frame.select(rolling_mean_expr("value", 2))["value"].to_list() == [None, 1.5, None, None, 4.5, 5.5]
    z_scores = frame.select(rolling_z_expr("value", 2))["value"].to_list()
    # Two values d apart: each d/2 from the mean, deviation d/sqrt(2).
    assert [z is None for z in z_scores] == [True, False, True, True, False, False]
    assert z_scores[4] == pytest.approx(1 / math.sqrt(2))
