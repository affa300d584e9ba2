"""Ranks with ties averaged, of whole arrays and of the rows that two arrays share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Method = Literal["spearman", "pearson"]
METHODS: tuple[Method, ...] = ("spearman", "pearson")


def average_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1 along the last axis; equal values share the mean of their ranks.

    Args:
        values: shape (…, n), no missing values.

    Returns:
        Shape (…, n).

    Examples:
        >>> import numpy as np
        >>> average_ranks(np.array([3.0, 1.0, 3.0]))
        array([2.5, 1. , 2.5])
    """
    order = np.argsort(values, axis=-1)
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, _ranks_in_order(np.take_along_axis(values, order, axis=-1)), axis=-1)
    return ranks


def _ranks_in_order(ascending: NDArray[np.float64]) -> NDArray[np.float64]:
    """The averaged ranks of values that are sorted along the last axis."""
    n = ascending.shape[-1]
    differs = ascending[..., 1:] != ascending[..., :-1]
    if differs.all():
        return np.broadcast_to(np.arange(1.0, n + 1.0), ascending.shape)
    if ascending.ndim == 1:
        bounds = np.concatenate(([0], np.flatnonzero(differs) + 1, [n]))
        return np.repeat((bounds[:-1] + bounds[1:] + 1) / 2, np.diff(bounds))
    position = np.arange(n)
    edge = np.ones((*ascending.shape[:-1], 1), dtype=bool)
    begins, ends = np.concatenate([edge, differs], axis=-1), np.concatenate([differs, edge], axis=-1)
    first = np.maximum.accumulate(np.where(begins, position, 0), axis=-1)
    last = np.minimum.accumulate(np.where(ends, position, n)[..., ::-1], axis=-1)[..., ::-1]
    return (first + last) / 2 + 1


def standardised(values: NDArray[np.float64], method: Method = "spearman") -> NDArray[np.float64]:
    """Ranks (``"spearman"``) or values (``"pearson"``) with mean 0 and standard deviation 1 along the last axis.

    The mean product of two such arrays is their correlation.

    Args:
        values: shape (…, n), no missing values.
        method: what is standardised.

    Returns:
        Shape (…, n); all 0 where the values are constant.

    Examples:
        >>> import numpy as np
        >>> standardised(np.array([10.0, 20.0, 900.0])).round(3)
        array([-1.225,  0.   ,  1.225])
    """
    scores = average_ranks(values) if method == "spearman" else values
    return _scaled(scores)


def _scaled(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    if scores.ndim == 1:
        return _one_scaled(scores)
    centred = scores - scores.mean(axis=-1, keepdims=True)
    # Equal values have no spread, though their mean can differ from them by a rounding.
    constant = scores.max(axis=-1, keepdims=True) == scores.min(axis=-1, keepdims=True)
    largest = np.where(constant, 1.0, np.abs(centred).max(axis=-1, keepdims=True))
    centred = np.where(constant, 0.0, centred / largest)  # squares of the smallest and largest floats stay floats
    spread = np.sqrt(np.mean(np.square(centred), axis=-1, keepdims=True))
    return np.asarray(centred / np.where(constant, 1.0, spread))


def _one_scaled(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """As `_scaled`, bit for bit, in fewer calls: short arrays are scaled by the thousand."""
    low, high = scores.min(), scores.max()
    if low == high:
        return np.zeros(scores.shape)
    n = len(scores)
    mean = np.add.reduce(scores) / n
    centred = scores - mean
    centred /= max(high - mean, mean - low)
    centred /= np.sqrt(np.add.reduce(np.square(centred)) / n)
    return np.asarray(centred)


@dataclass(frozen=True, eq=False)
class RankedValues:
    """Values with their order, so that the ranks of any part of them need no further sorting.

    Attributes:
        values: shape (n,), NaN where missing.
        order: positions of the values that are there, from the smallest to the largest.
    """

    values: NDArray[np.float64]
    order: NDArray[np.int64]

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Self:
        """Sorts the values once."""
        order = np.argsort(values)
        return cls(values, order[: np.count_nonzero(~np.isnan(values))])

    def ahead(self, rows: int) -> RankedValues:
        """The same values as many rows earlier: row t holds what row t + rows held; the last rows are missing."""
        moved = np.full(len(self.values), np.nan)
        moved[: max(0, len(moved) - rows)] = self.values[rows:]
        return RankedValues(moved, self.order[self.order >= rows] - rows)

    def ranks(self, used: NDArray[np.bool_]) -> NDArray[np.float64]:
        """The averaged ranks, from 1, of the values in the used rows, in the order of the rows.

        Args:
            used: shape (n,); none of the used values is missing.

        Returns:
            Shape (number of used rows,).
        """
        order = self.order if used.all() else self.order[used[self.order]]
        ranks = np.empty(len(self.values))
        ranks[order] = _ranks_in_order(self.values[order])
        return ranks[used]

    def standardised(self, used: NDArray[np.bool_], method: Method) -> NDArray[np.float64]:
        """As `standardised`, of the used rows alone."""
        return _scaled(self.ranks(used)) if method == "spearman" else _scaled(self.values[used])
