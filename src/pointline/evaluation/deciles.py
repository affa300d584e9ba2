"""What follows in each tenth of a feature."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pointline.errors import ConfigError
from pointline.evaluation.inputs import series
from pointline.evaluation.ranks import average_ranks

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_TENTHS = 10
FEWEST_ROWS = 50


@dataclass(frozen=True)
class Deciles:
    """Means of a label by tenths of a feature, the lowest tenth first.

    Attributes:
        means: ten means in the label's unit, NaN for a tenth without rows.
        counts: rows of each tenth.
    """

    means: tuple[float, ...]
    counts: tuple[int, ...]

    @property
    def spread(self) -> float:
        """The mean of the top tenth minus that of the bottom one; NaN where one of them has no rows, or all together have under 50."""
        return self.means[-1] - self.means[0] if sum(self.counts) >= FEWEST_ROWS else math.nan


def deciles(x: ArrayLike, y: ArrayLike) -> Deciles:
    """Means of a label by tenths of a feature.

    Tenths are of the rank of x. Equal values of x keep together, in the tenth of their mean rank, so a tenth can be larger than others
    or empty. A row on the border of two tenths is in the one nearer the middle. A feature with two values has no top and no bottom
    tenth, and so no spread.

    Args:
        x: the feature, shape (n,), NaN where missing.
        y: the label of the same rows, NaN where missing. Rows without one of the two are left out.

    Raises:
        ConfigError: the shapes differ, or a value is infinite.

    Examples:
        >>> import numpy as np
        >>> found = deciles(np.arange(100), np.arange(100) * 2.0)
        >>> found.means[0], found.counts[0], found.spread
        (9.0, 10, 180.0)
    """
    feature, label = series(x, "x"), series(y, "y")
    if feature.shape != label.shape:
        raise ConfigError("x and y differ in length", where="deciles", value=(len(feature), len(label)), expected="one label for each row")
    used = ~(np.isnan(feature) | np.isnan(label))
    return deciles_of_ranks(average_ranks(feature[used]), label[used])


def deciles_of_ranks(ranks: NDArray[np.float64], label: NDArray[np.float64]) -> Deciles:
    """As `deciles`, from the averaged ranks of the feature and the label of the same rows, without missing values."""
    place = (ranks - 0.5) * _TENTHS / max(1, len(ranks))
    # A row on the border of two tenths goes to the one nearer the middle, so that the sign of the feature decides nothing.
    tenth = np.where(place < _TENTHS / 2, np.floor(place), np.ceil(place) - 1).astype(np.int64)
    counts = np.bincount(tenth, minlength=_TENTHS)
    sums = np.bincount(tenth, weights=label, minlength=_TENTHS)
    means = tuple(float(total / count) if count else math.nan for total, count in zip(sums, counts, strict=True))
    return Deciles(means, tuple(int(count) for count in counts))
