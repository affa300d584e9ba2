"""What coefficients look like where a label is moved away from its feature: days are shuffled, rows are shifted in a circle."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pointline.clock import DAY_US
from pointline.evaluation.nulls import circular_shift, day_shuffle, null_coefficients

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pointline.evaluation.labels import LabelSeries
    from pointline.evaluation.ranks import Method

_QUANTILE = 0.95


def order_bounds(
    values: Mapping[str, NDArray[np.float64]],
    labels: Sequence[LabelSeries],
    ends: NDArray[np.int64],
    *,
    draws: int,
    seed: int,
    method: Method,
) -> NDArray[np.float64]:
    """What 95 % of the coefficients with moved labels stay below in absolute value: the larger quantile of both kinds of orders.

    Args:
        values: the features, NaN where missing.
        labels: what they are held against.
        ends: ``bucket_end`` of the rows.
        draws: of each kind.
        seed: of the draws.
        method: correlation of ranks or of values.

    Returns:
        One bound for each label and feature, label by label.
    """
    rows = len(ends)
    gap = min(max(1, 10 * max(label.bars for label in labels)), max(1, rows // 4))
    days = (ends - 1) // DAY_US
    kinds = [[circular_shift(rows, seed=seed + draw, gap=gap) for draw in range(draws)]]
    if days[0] != days[-1]:
        kinds.append([day_shuffle(days, seed=seed + draw) for draw in range(draws)])
    told = [place for place, column in enumerate(values.values()) if not np.isnan(column).all()]
    bounds = np.full((len(labels), len(values)), np.nan)
    if told:
        features = np.stack([column for column in values.values() if not np.isnan(column).all()])
        for row, label in zip(bounds, labels, strict=True):
            row[told] = np.fmax.reduce([_quantile(null_coefficients(features, label.values, orders, method=method)) for orders in kinds])
    return bounds.ravel()


def _quantile(coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each feature's absolute values over the orders, NaN where an order has none."""
    return np.asarray(np.quantile(np.abs(coefficients), _QUANTILE, axis=1))
