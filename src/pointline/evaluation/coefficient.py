"""The information coefficient of a feature and a label, with an interval that allows for overlap and persistence.

With standardised ranks (or values) a and b of the rows that have both, u = a · b and IC = mean u. The variance of that mean comes from
the cosines of `pointline.evaluation.variance`.
The interval takes a and b as given, which is right to first order where the IC is small. Around a large IC it is too wide: by a quarter at
.5, by twice at .8. It is an interval for the IC of the range over which the feature moved in the sample. A feature that needs a thousand
bars to forget half of its value shows less than its whole range in two thousand, and an IC smaller than that of an endless sample. In
twenty thousand bars the range that it shows still differs by 15 % from sample to sample, and the IC with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pointline.errors import ConfigError
from pointline.evaluation.inputs import check_confidence, check_horizons, check_memory, check_method, rows_needed, series
from pointline.evaluation.ranks import Method, RankedValues
from pointline.evaluation.variance import cosine_coefficients, critical_value, degrees_of_freedom, long_run_variance, t_ratio, two_sided

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_DETECTABLE = 2.8  # standard errors: 5 % two-sided with a power of 80 %


@dataclass(frozen=True)
class InformationCoefficient:
    """An information coefficient and what is known of its error.

    Attributes:
        ic: rank or linear correlation, between -1 and 1.
        se: its standard error.
        low: lower end of the interval, at least -1.
        high: upper end, at most 1.
        t: ic / se.
        p: two-sided, t distribution with ``nu`` degrees of freedom.
        n: rows that have feature and label.
        nu: cosines of the variance estimate.
    """

    ic: float
    se: float
    low: float
    high: float
    t: float
    p: float
    n: int
    nu: int

    @property
    def n_eff(self) -> float:
        """(1 - ic²) / se²: as many independent rows would give the same standard error."""
        return (1 - self.ic**2) / self.se**2 if self.se > 0 else math.nan

    @property
    def detectable(self) -> float:
        """2.8 standard errors: a true coefficient of this size is found in about 80 % of such samples at the level of 5 %."""
        return _DETECTABLE * self.se


def information_coefficient(
    x: ArrayLike, y: ArrayLike, horizon: int = 1, *, memory: int = 1, method: Method = "spearman", confidence: float = 0.95
) -> InformationCoefficient:
    """The information coefficient of one feature and one label.

    Args:
        x: the feature, shape (n,), one value a bar, NaN where missing.
        y: the label of the same bars, NaN where missing. Rows in which one of the two is missing are left out, and ``n`` counts the rest.
        horizon: bars that the label looks ahead; neighbouring labels overlap by one bar less.
        memory: bars over which the increments of the label depend on each other, see `information_coefficients`.
        method: correlation of ranks with ties averaged (``"spearman"``) or of values (``"pearson"``).
        confidence: coverage of the interval.

    Raises:
        ConfigError: the lengths differ, a value is infinite, x or y is constant, or fewer than `rows_needed` rows have both.
        MissingExtraError: scipy is not installed.

    Examples:
        >>> import numpy as np
        >>> noise = np.random.default_rng(1)
        >>> x = noise.normal(size=2_000)
        >>> found = information_coefficient(x, 0.1 * x + noise.normal(size=2_000))
        >>> round(found.ic, 3), round(found.low, 3), round(found.high, 3)
        (0.067, 0.023, 0.112)
    """
    check_method(method)
    check_confidence(confidence)
    feature, label = series(x, "x"), series(y, "y")
    if feature.shape != label.shape:
        raise ConfigError("x and y differ in length", value=(len(feature), len(label)), expected="one label for each row")
    check_horizons([horizon], len(feature))
    check_memory(memory)
    pair = SharedRows.of(RankedValues.of(feature), RankedValues.of(label), max(horizon, memory), method)
    if pair.reason:
        raise ConfigError(f"no information coefficient: {pair.reason}", where="x, y", value=pair.n, hint=pair.hint)
    return pair.coefficient(confidence)


@dataclass(frozen=True, eq=False)
class SharedRows:
    """The rows that a feature and a label share, and the products of their scores.

    Attributes:
        used: rows that have both, shape (number of bars,).
        products: u of the used rows; empty where there is a reason.
        overlap: bars over which labels depend on each other.
        reason: why nothing can be said, or an empty text.
        hint: what can be done about it.
    """

    used: NDArray[np.bool_]
    products: NDArray[np.float64]
    overlap: int
    reason: str = ""
    hint: str = ""

    @classmethod
    def of(cls, x: RankedValues, y: RankedValues, overlap: int, method: Method) -> SharedRows:
        """The shared rows, with the reason if nothing can be said of them."""
        used = ~(np.isnan(x.values) | np.isnan(y.values))
        n, needed, none = int(np.count_nonzero(used)), rows_needed(overlap), np.empty(0)
        if n < needed:
            hint = f"load more bars (about {needed + overlap:,} without missing values), or choose a shorter horizon"
            reason = f"{n:,} rows have feature and label, {needed:,} are needed where labels overlap by {overlap:,} bars"
            return cls(used, none, overlap, reason, hint)
        scores = x.standardised(used, method), y.standardised(used, method)
        for name, score in zip(("feature", "label"), scores, strict=True):
            if not score.any():
                return cls(used, none, overlap, f"the {name} is constant over {n:,} rows", f"leave the {name} out")
        return cls(used, scores[0] * scores[1], overlap)

    @property
    def n(self) -> int:
        """Rows that have both."""
        return int(np.count_nonzero(self.used))

    @property
    def nu(self) -> int:
        """Cosines of the variance estimate."""
        return degrees_of_freedom(self.n, self.overlap)

    def coefficient(self, confidence: float) -> InformationCoefficient:
        """The coefficient with its interval."""
        n, nu = self.n, self.nu
        ic = float(self.products.mean())
        se = math.sqrt(float(long_run_variance(cosine_coefficients(self.products, nu))) / n)
        t = t_ratio(ic, se)
        half = critical_value(confidence, nu) * se
        return InformationCoefficient(ic, se, max(-1.0, ic - half), min(1.0, ic + half), t, two_sided(t, nu), n, nu)

    def cosines(self) -> NDArray[np.float64]:
        """The cosine coefficients of u over all bars, with 0 in the bars that are not used.

        So the coefficients of different pairs belong to the same stretches of time, whichever rows each pair lacks, and can be held
        against each other.
        """
        everywhere = np.zeros(len(self.used))
        everywhere[self.used] = self.products - self.products.mean()
        return cosine_coefficients(everywhere, self.nu)
