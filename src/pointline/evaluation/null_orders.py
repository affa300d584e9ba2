"""What coefficients look like where a label is moved away from its feature: days are shuffled, rows are shifted in a circle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pointline.clock import DAY_US
from pointline.evaluation.inputs import FEWEST_ROWS
from pointline.evaluation.nulls import MISSING, circular_shift, day_shuffle
from pointline.evaluation.ranks import RankedValues

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
    features, targets = _Scores.of(list(values.values()), method), _Scores.of([label.values for label in labels], method)
    rows = len(ends)
    gap = min(max(1, 10 * max(label.bars for label in labels)), max(1, rows // 4))
    days = (ends - 1) // DAY_US
    kinds = [[circular_shift(rows, seed=seed + draw, gap=gap) for draw in range(draws)] if rows > 1 else []]
    if days[0] != days[-1]:
        kinds.append([day_shuffle(days, seed=seed + draw) for draw in range(draws)])
    found = [np.quantile(np.abs([features.correlations(targets.moved(order)) for order in orders]), _QUANTILE, axis=0) for orders in kinds]
    return np.asarray(np.max(found, axis=0)).ravel()


@dataclass(frozen=True, eq=False)
class _Scores:
    """Standardised columns, side by side.

    Attributes:
        values: shape (columns, n), 0 where a value is missing.
        present: 1 where a value is there, else 0.
    """

    values: NDArray[np.float64]
    present: NDArray[np.float64]

    @classmethod
    def of(cls, columns: Sequence[NDArray[np.float64]], method: Method) -> _Scores:
        """The scores of columns with NaN where missing; a column with too few values has none."""
        values = np.zeros((len(columns), len(columns[0])))
        present = np.zeros_like(values)
        for row, told, column in zip(values, present, columns, strict=True):
            known = ~np.isnan(column)
            if np.count_nonzero(known) >= FEWEST_ROWS:
                row[known], told[known] = RankedValues.of(column).standardised(known, method), 1
        return cls(values, present)

    def moved(self, order: NDArray[np.int64]) -> _Scores:
        """In the order of a null."""
        there = order != MISSING
        return _Scores(np.where(there, self.values[:, order], 0), np.where(there, self.present[:, order], 0))

    def correlations(self, others: _Scores) -> NDArray[np.float64]:
        """Mean products of scores in the rows that have both, shape (other columns, columns); NaN where there are none."""
        # einsum, as the threads of a matrix product wait for each other: on a busy machine it takes a hundred times as long
        both, products = (
            np.einsum("ot,ct->oc", one, other) for one, other in ((others.present, self.present), (others.values, self.values))
        )
        return np.where(both > 0, products / np.maximum(both, 1.0), np.nan)
