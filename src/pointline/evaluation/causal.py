"""The causal reversed test: whether past values of a feature go with the next one-bar return.

The covariance of a feature with the sum of the next h returns is the covariance of its sum over the last h bars with the next return
(Hodrick 1992, Dividend yields and expected stock returns, Review of Financial Studies 5). The right side has no overlap in the return.
Each value of the feature is demeaned with what was known by then (So and Shin 1999, Recursive mean adjustment in time-series
inferences, Statistics & Probability Letters), because the mean of the whole sample brings later returns into a persistent feature that
reacts to returns. Returns enter as signed ranks, so that a few large ones do not decide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pointline.errors import ConfigError
from pointline.evaluation.inputs import check_horizons, check_memory, series
from pointline.evaluation.ranks import average_ranks
from pointline.evaluation.variance import cosine_coefficients, degrees_of_freedom, long_run_variance, t_ratio, two_sided

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

BURN_IN = 50


@dataclass(frozen=True)
class CausalTest:
    """The result of the causal reversed test.

    Attributes:
        t: mean of the products over its standard error; NaN where all products are equal, or fewer than two are there.
        p: two-sided, t distribution with ``nu`` degrees of freedom.
        n: products used.
        nu: cosines of the variance estimate.
    """

    t: float
    p: float
    n: int
    nu: int


def recursively_demeaned(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each value minus the mean of all values up to and including it.

    Args:
        x: shape (…, n), NaN where missing.

    Returns:
        Shape (…, n): w_t = x_t - mean(x_s, s ≤ t) over the values that are there; 0 where x is missing, and 0 for the first 50 values,
        whose means rest on too little.
    """
    present = ~np.isnan(x)
    count = np.cumsum(present, axis=-1)
    # Sums around one of the values lose no digits to a large level.
    first = np.take_along_axis(x, np.argmax(present, axis=-1)[..., np.newaxis], axis=-1)
    moved = np.where(present, x - first, 0.0)
    mean = np.cumsum(moved, axis=-1) / np.maximum(count, 1)
    return np.where(present & (count > BURN_IN), moved - mean, 0.0)


def signed_ranks(one_bar: NDArray[np.float64]) -> NDArray[np.float64]:
    """sign(r) · rank(|r|) / n along the last axis, ties averaged.

    A label that is never negative, such as a squared return, has no signs: its ranks are then taken around their mean.

    Args:
        one_bar: shape (…, n) without missing values, or shape (n,) with NaN where missing.

    Returns:
        The same shape, NaN where missing; n counts what is there.
    """
    present = ~np.isnan(one_bar)
    if present.all():
        ranks = np.sign(one_bar) * average_ranks(np.abs(one_bar)) / max(1, one_bar.shape[-1])
        unsigned = (one_bar >= 0).all(axis=-1, keepdims=True)
        return np.asarray(ranks - np.where(unsigned, ranks.mean(axis=-1, keepdims=True), 0.0))
    scores = np.full(one_bar.shape, np.nan)
    scores[present] = signed_ranks(one_bar[present])
    return scores


def causal_products(x: NDArray[np.float64], scores: NDArray[np.float64], horizon: int) -> NDArray[np.float64]:
    """The products whose mean the test looks at.

    p_t = (w_t + … + w_{t-h+1}) · s_{t+1} with the demeaned feature w of `recursively_demeaned` and the signed ranks s.

    Args:
        x: the feature, shape (…, n), NaN where missing.
        scores: signed ranks of the increment after each row (`signed_ranks` of the one-bar label), the same shape.
        horizon: bars h.

    Returns:
        Shape (…, n). NaN where the increment is missing or all h values of the feature are: such a row does not count.
    """
    return products_of(recursively_demeaned(x), ~np.isnan(x), scores, horizon)


def products_of(
    demeaned: NDArray[np.float64], present: NDArray[np.bool_], scores: NDArray[np.float64], horizon: int
) -> NDArray[np.float64]:
    """As `causal_products`, of a feature that was demeaned before; ``present`` says where it is not missing."""
    sums = _trailing_sums(demeaned, horizon)
    any_value = _trailing_sums(present.astype(np.int64), horizon) > 0
    return np.where(any_value, sums * scores, np.nan)


def _trailing_sums(values: NDArray[np.float64] | NDArray[np.int64], width: int) -> NDArray[np.float64]:
    """Sums over the last `width` values; at the beginning over as many as there are."""
    totals = np.cumsum(values, axis=-1)
    before = np.zeros_like(totals)
    before[..., width:] = totals[..., :-width]
    return np.asarray(totals - before, dtype=np.float64)


def judged(products: NDArray[np.float64], memory: int = 1) -> CausalTest:
    """The test of one series of products, shape (n,), NaN where a row does not count; ``memory`` as in `causal_test`."""
    counted = products[~np.isnan(products)]
    n = len(counted)
    nu = degrees_of_freedom(n, memory)
    if n <= nu or counted.max() == counted.min():
        return CausalTest(math.nan, math.nan, n, nu)
    se = math.sqrt(float(long_run_variance(cosine_coefficients(counted, nu))) / n)
    t = t_ratio(float(counted.mean()), se)
    return CausalTest(t, two_sided(t, nu), n, nu)


def causal_test(x: ArrayLike, one_bar: ArrayLike, horizon: int = 1, *, memory: int = 1) -> CausalTest:
    """Whether the last h values of a feature go with the next one-bar increment of a label.

    t = mean p / sqrt(LRV / n) with p of `causal_products` and the cosines of `pointline.evaluation.variance`, ν = 0.4 n^(2/3). It
    keeps its level where the interval of the information coefficient does not: for a persistent feature that reacts to past returns.

    A missing value of the feature adds 0 to the sum over its last bars. A missing increment leaves its row out. ``n`` counts the rows that
    have the increment and at least one of the last h values.

    Args:
        x: the feature, shape (n,), NaN where missing: known at the end of each bar.
        one_bar: shape (n,), what happens from the end of the row's bar to the end of the next, NaN where that is not known.
        horizon: bars h over which the feature is summed.
        memory: bars over which the increments of the label depend on each other, see `information_coefficients`.

    Raises:
        ConfigError: lengths differ, a value is infinite, the horizon is no number of bars or reaches beyond the data, or the memory
            is no number of bars.
        MissingExtraError: scipy is not installed.

    Examples:
        >>> import numpy as np
        >>> noise = np.random.default_rng(1)
        >>> x = noise.normal(size=2_000)
        >>> one_bar = 0.1 * x + noise.normal(size=2_000)
        >>> found = causal_test(x, one_bar)
        >>> round(found.t, 1), found.n
        (3.0, 2000)
    """
    feature, increments = series(x, "x"), series(one_bar, "one_bar")
    if feature.shape != increments.shape:
        raise ConfigError("x and one_bar differ in length", where="causal_test", value=(len(feature), len(increments)))
    check_horizons([horizon], len(feature))
    check_memory(memory)
    return judged(causal_products(feature, signed_ranks(increments), horizon), memory)
