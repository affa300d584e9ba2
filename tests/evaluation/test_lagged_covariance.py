"""The compiled covariance against its definition: every pair of changes whose intervals overlap, looked at one by one."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointline import kernels
from pointline.evaluation.lead_lag import block_curves
from pointline.evaluation.ticks import Ticks

if TYPE_CHECKING:
    from collections.abc import Sequence

Series = list[tuple[int, float]]
# Few moments, so that stamps of the two sides tie, and ends of moved intervals meet stamps; prices are whole, so that sums are exact.
series = st.dictionaries(st.integers(0, 40), st.integers(-3, 3).map(float), min_size=1, max_size=25).map(
    lambda found: sorted(found.items())
)
some_lags = st.lists(st.integers(-50, 50), min_size=1, max_size=12, unique=True).map(sorted)


def by_definition(x: Series, y: Series, lag: int, block: tuple[float, float]) -> float:
    """Sum of ΔX_i ΔY_j over all i and j with (s_{i-1} + lag, s_i + lag] and (t_{j-1}, t_j] in common, for t_j in the block."""
    total = 0.0
    for (before, low), (after, high) in pairwise(y):
        for (earlier, less), (later, more) in pairwise(x):
            overlaps = max(before, earlier + lag) < min(after, later + lag)
            if overlaps and block[0] <= after < block[1]:
                total += (high - low) * (more - less)
    return total


def compiled(x: Series, y: Series, lags: Sequence[int], ends: Sequence[int]) -> np.ndarray:
    curves = np.zeros((len(ends), len(lags)))
    arrays = [np.array([one[column] for one in side], dtype=kind) for side in (y, x) for column, kind in ((0, np.int64), (1, np.float64))]
    kernels.lagged_covariance(*arrays, np.array(lags, dtype=np.int64), np.array(ends, dtype=np.int64), curves)
    return curves


@given(series, series, some_lags)
def test_it_is_the_definition_with_ties(x: Series, y: Series, lags: list[int]) -> None:
    ends = [13, 14, 30, 41]
    starts = [float("-inf"), *ends]
    expected = [[by_definition(x, y, lag, (starts[k], ends[k])) for lag in lags] for k in range(len(ends))]
    assert compiled(x, y, lags, ends).tolist() == expected


@given(series, series, some_lags)
def test_either_side_may_be_the_one_that_is_walked(x: Series, y: Series, lags: list[int]) -> None:
    turned = compiled(y, x, [-lag for lag in reversed(lags)], [41])[:, ::-1]
    assert turned.tolist() == compiled(x, y, lags, [41]).tolist()


@given(series, series)
def test_blocks_add_up(x: Series, y: Series) -> None:
    x, y = ([(100 * ts, price) for ts, price in side] for side in (x, y))
    lags = list(range(-4_500, 4_501, 500))
    one, other = (Ticks(np.array([t for t, _ in side], dtype=np.int64), np.array([p for _, p in side])) for side in (x, y))
    if min(len(one), len(other)) < 2:
        return  # there is no change to put into a block
    parts = block_curves(one, other, np.array(lags, dtype=np.int64), blocks=7)
    assert parts.shape == (7, len(lags))
    assert parts.sum(axis=0).tolist() == compiled(x, y, lags, [4_100])[0].tolist()


def test_by_hand() -> None:
    """X moves by 1 at 10, Y by 2 at 14. Their intervals (0, 10] + θ and (12, 14] have something in common for θ in 3 … 13."""
    x, y = [(0, 0.0), (10, 1.0)], [(12, 0.0), (14, 2.0)]
    assert compiled(x, y, [1, 2, 3, 4, 13, 14], [100])[0].tolist() == [0.0, 0.0, 2.0, 2.0, 2.0, 0.0]


def test_changes_behind_the_last_block_are_not_counted() -> None:
    x = y = [(0, 0.0), (10, 1.0), (20, 3.0)]
    assert compiled(x, y, [0], [20])[0].tolist() == [1.0]


def test_arrays_that_cannot_be_are_refused() -> None:
    ts, value, lags, ends = np.arange(4), np.zeros(4), np.arange(-1, 2), np.array([9])
    good = np.zeros((1, 3))
    with pytest.raises(ValueError, match="blocks x lags"):
        kernels.lagged_covariance(ts, value, ts, value, lags, ends, np.zeros((2, 3)))
    with pytest.raises(ValueError, match="no empty series"):
        kernels.lagged_covariance(ts[:0], value[:0], ts, value, lags, ends, good)
    with pytest.raises(ValueError, match="rise strictly"):
        kernels.lagged_covariance(ts[::-1].copy(), value, ts, value, lags, ends, good)
    with pytest.raises(ValueError, match="4 contiguous values of float64"):
        kernels.lagged_covariance(ts, value[:3], ts, value, lags, ends, good)
