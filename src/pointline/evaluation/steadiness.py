"""How steady a prediction is: by day, by hour, by lag, and how fast a feature turns its position over."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, TypedDict, get_args

import numpy as np
import polars as pl

from pointline.clock import DAY_US, HOUR_US
from pointline.errors import ConfigError
from pointline.evaluation.ranks import average_ranks, standardised

if TYPE_CHECKING:
    from numpy.typing import NDArray

Grouping = Literal["day", "hour", "settlement"]
GROUPINGS: tuple[Grouping, ...] = get_args(Grouping)
FEWEST_IN_GROUP = 30
"""Bars that a day, or another group, needs for a coefficient of its own."""

_Z_95 = 1.959963984540054


class DailySigns(TypedDict):
    """On which share of the days a coefficient has the sign of the whole, with its interval of 95 %."""

    days: int
    days_same_sign: float | None
    days_low: float | None
    days_high: float | None


def daily_signs(x: NDArray[np.float64], y: NDArray[np.float64], day: NDArray[np.int64], ic: float) -> DailySigns:
    """Days whose own rank correlation has the sign of the whole one.

    Args:
        x, y: feature and label, shape (n,), NaN where missing.
        day: number of each row's day.
        ic: the coefficient of all rows.

    Returns:
        Days with `FEWEST_IN_GROUP` rows or more, the share of them with the sign, and its interval (Wilson 1927,
        doi:10.1080/01621459.1927.10502953). None where there is no such day.
    """
    found = grouped(x, y, day)["ic"].drop_nulls()
    count = len(found)
    if not count or not ic:
        return DailySigns(days=count, days_same_sign=None, days_low=None, days_high=None)
    share = float(((found * ic) > 0).mean())  # type: ignore[arg-type]
    centre, half, weight = share + _Z_95**2 / (2 * count), share * (1 - share) / count + _Z_95**2 / (4 * count**2), 1 + _Z_95**2 / count
    return DailySigns(
        days=count,
        days_same_sign=share,
        days_low=(centre - _Z_95 * math.sqrt(half)) / weight,
        days_high=(centre + _Z_95 * math.sqrt(half)) / weight,
    )


def grouped(x: NDArray[np.float64], y: NDArray[np.float64], group: NDArray[np.int64]) -> pl.DataFrame:
    """The rank correlation within each group of rows.

    Args:
        x, y: shape (n,), NaN where missing.
        group: number of each row's group.

    Returns:
        ``group``, ``n`` and ``ic``, groups in order; ic is null with fewer than `FEWEST_IN_GROUP` rows or a constant side.
    """
    rows = pl.DataFrame({"group": group, "x": x, "y": y}).filter(pl.col("x").is_not_nan() & pl.col("y").is_not_nan())
    found = rows.group_by("group").agg(pl.len().alias("n"), pl.corr("x", "y", method="spearman").alias("ic")).sort("group")
    return found.with_columns(pl.when((pl.col("n") >= FEWEST_IN_GROUP) & pl.col("ic").is_finite()).then("ic").alias("ic"))


def groups_of(grouping: str, ends: NDArray[np.int64], seconds_to_funding: NDArray[np.float64] | None) -> NDArray[np.int64]:
    """The group of each row: its UTC day or hour of day, or whole hours to the next settlement (-1 where not known).

    Raises:
        ConfigError: an unknown grouping, or settlements are not known.
    """
    known = ends - 1  # a bar that ends at midnight is of the day before
    if grouping == "day":
        return known // DAY_US
    if grouping == "hour":
        return known % DAY_US // HOUR_US
    if grouping != "settlement":
        raise ConfigError("there is no such grouping", where="by", value=grouping, expected=", ".join(GROUPINGS))
    if seconds_to_funding is None:
        raise ConfigError("the bars do not tell the time to the next settlement", where="by", value=grouping, hint="ingest funding rates")
    hours = np.floor(seconds_to_funding / 3_600)
    return np.where(np.isnan(hours), -1, hours).astype(np.int64)


def decay(x: NDArray[np.float64], one_bar: NDArray[np.float64], lags: int) -> NDArray[np.float64]:
    """The rank correlation with what happens in one later bar, for each lag.

    Args:
        x: the feature, shape (n,), NaN where missing.
        one_bar: the label over one bar, from the end of the row's bar to that of the next.
        lags: how many bars later, from 1 on; lag 1 is the bar right after the row.

    Returns:
        Shape (lags,), NaN with fewer than `FEWEST_IN_GROUP` rows.
    """
    found = np.full(lags, np.nan)
    for lag in range(min(lags, len(x) - 1)):
        feature, label = x[: len(x) - lag], one_bar[lag:]
        used = ~(np.isnan(feature) | np.isnan(label))
        if np.count_nonzero(used) >= FEWEST_IN_GROUP:
            scores = standardised(feature[used]), standardised(label[used])
            found[lag] = float(np.mean(scores[0] * scores[1])) if scores[0].any() and scores[1].any() else np.nan
    return found


def turnover(x: NDArray[np.float64]) -> float:
    """Mean absolute change, from bar to bar, of a position that follows the feature's rank from -1 to 1; NaN with fewer than two bars."""
    present = ~np.isnan(x)
    if np.count_nonzero(present) < 2:  # noqa: PLR2004 - a change needs two
        return float("nan")
    position = np.full(len(x), np.nan)
    ranks = average_ranks(x[present])
    position[present] = 2 * (ranks - 1) / max(len(ranks) - 1, 1) - 1
    steps = np.abs(np.diff(position))
    return float(np.nanmean(steps)) if not np.isnan(steps).all() else float("nan")
