"""Means and deviations of sliding windows that depend on nothing but the window.

A running sum (add the new value, subtract the old one) carries the rounding of all history with it, so that the same 100 bars give
other bits when the frame starts elsewhere. Here each window is summed on its own, oldest value first, for all windows at once.
A window with a missing value is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_BLOCK = 8_192  # windows worked on together: the arrays stay in the processor's cache


def rolling_mean(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Mean of the last `width` values at each place; not-a-number where one is missing or there are fewer."""
    return _by_blocks(values, width, _means)


def rolling_std(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Sample standard deviation (divisor `width` - 1) of the last `width` values; exactly 0 where they are all equal."""
    return _by_blocks(values, width, _deviations)


def rolling_mean_expr(column: str, width: int) -> pl.Expr:
    """`rolling_mean` of a column, null for missing."""
    return pl.col(column).map_batches(lambda series: _series(rolling_mean(_floats(series), width)), return_dtype=pl.Float64)


def rolling_z_expr(column: str, width: int) -> pl.Expr:
    """(value - mean) / sample standard deviation of the last `width` values; null where that deviation is zero."""

    def z_scores(series: pl.Series) -> pl.Series:
        values = _floats(series)
        deviation = rolling_std(values, width)
        deviation[deviation == 0] = np.nan
        return _series((values - rolling_mean(values, width)) / deviation)

    return pl.col(column).map_batches(z_scores, return_dtype=pl.Float64)


def _floats(series: pl.Series) -> NDArray[np.float64]:
    return series.cast(pl.Float64).fill_null(np.nan).to_numpy()


def _series(values: NDArray[np.float64]) -> pl.Series:
    return pl.Series(values=values, dtype=pl.Float64).fill_nan(None)


def _by_blocks(
    values: NDArray[np.float64],
    width: int,
    reduce: Callable[[NDArray[np.float64], int], NDArray[np.float64]],
) -> NDArray[np.float64]:
    result = np.full(len(values), np.nan)
    for first in range(0, len(values) - width + 1, _BLOCK):
        last = min(first + _BLOCK, len(values) - width + 1)
        result[first + width - 1 : last + width - 1] = reduce(values[first : last + width - 1], width)
    return result


def _means(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    count = len(values) - width + 1
    total = np.zeros(count)
    for place in range(width):
        total += values[place : place + count]
    return total / width


def _deviations(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    count = len(values) - width + 1
    mean = _means(values, width)
    squares = np.zeros(count)
    equal = np.ones(count, dtype=np.bool_)
    for place in range(width):
        distance = values[place : place + count] - mean
        squares += distance * distance
        equal &= values[place : place + count] == values[:count]
    deviation: NDArray[np.float64] = np.sqrt(squares / (width - 1))
    deviation[equal] = 0.0
    return deviation
