"""What a small p is worth when many were computed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pointline.errors import ConfigError
from pointline.evaluation.variance import special

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

_BLOCK = 500  # draws at a time


def benjamini_hochberg(p: ArrayLike) -> NDArray[np.float64]:
    """P adjusted for the share of false findings.

    Benjamini and Hochberg (1995), Controlling the false discovery rate, Journal of the Royal Statistical Society B 57(1),
    doi:10.1111/j.2517-6161.1995.tb02031.x. Among the rows with an adjusted p of at most q, a share of at most q is false on average.

    Args:
        p: shape (m,), NaN where there is none; such rows do not count as tried.

    Returns:
        Shape (m,), NaN where p is.

    Raises:
        ConfigError: a p is not between 0 and 1.

    Examples:
        >>> benjamini_hochberg([0.01, 0.04, 0.03, 0.5]).round(4)
        array([0.04  , 0.0533, 0.0533, 0.5   ])
    """
    given = _checked(p)
    adjusted = np.full(given.shape, np.nan)
    order = np.flatnonzero(~np.isnan(given))
    order = order[np.argsort(given[order], kind="stable")]
    scaled = given[order] * len(order) / np.arange(1, len(order) + 1)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return adjusted


def step_down_min_p(p: ArrayLike, cosines: Sequence[ArrayLike | None], *, draws: int = 10_000, seed: int = 0) -> NDArray[np.float64]:
    """P adjusted so that the chance of even one false finding stays at its level.

    Step-down min-P (Westfall and Young 1993, Resampling-based multiple testing; Romano and Wolf 2005, Exact and approximate stepdown
    methods for multiple hypothesis testing, Journal of the American Statistical Association 100). The joint distribution under "nothing
    predicts anything" is drawn with Gaussian multipliers on the cosine coefficients q of `information_coefficients`: one draw is
    Z_c = Σ_j ξ_j q_cj / sqrt(Σ_j q_cj²) with the same normal ξ_j for all rows c. Each Z_c is standard normal, and two rows are as
    correlated as their coefficients. No data are drawn again, so the cost is draws × cosines × rows.

    Rows with other numbers of cosines: every row enters as a p, from its own t distribution for what was found and from the normal for
    what was drawn, so that rows of few cosines and wide t do not decide for all. Rows share the multipliers of the cosines that
    both have. The correlation of rows with ν and μ > ν cosines is thereby taken as sqrt(ν/μ) times the one estimated: the
    adjustment counts them as less alike than they are, which makes it larger, never smaller.

    Args:
        p: shape (m,), two-sided, NaN where there is none; such rows do not count as tried.
        cosines: for each row its coefficients, all from the same bars (`CoefficientTable.cosines`, also of several labels together).
        draws: random draws; the smallest adjusted p is 1 / (draws + 1).
        seed: of the draws; the same seed gives the same result.

    Returns:
        Shape (m,), NaN where p is. The smallest one answers "does anything predict anything".

    Raises:
        ConfigError: a p is not between 0 and 1, a row with a p has no coefficients, or draws is not above zero.
        MissingExtraError: scipy is not installed.

    Examples:
        >>> import numpy as np
        >>> cosines = np.random.default_rng(1).normal(size=(3, 60))
        >>> step_down_min_p([0.001, 0.2, 0.9], cosines).round(2)
        array([0.  , 0.35, 0.9 ])
    """
    given = _checked(p)
    if len(cosines) != len(given):
        raise ConfigError("p and cosines differ in length", where="step_down_min_p", value=(len(given), len(cosines)))
    if draws < 1:
        raise ConfigError("no draws are asked for", where="draws", value=draws, expected="1,000 or more")
    order = np.flatnonzero(~np.isnan(given))
    order = order[np.argsort(given[order], kind="stable")]
    directions = _directions([cosines[int(row)] for row in order], order)
    # A drawn p is at most the p found where the draw lies at least as far out as this.
    far = -special().ndtri(given[order] / 2)
    adjusted = np.full(given.shape, np.nan)
    adjusted[order] = np.maximum.accumulate((1 + _as_far_out(directions, far, draws, seed)) / (draws + 1))
    return adjusted


def _directions(rows: Sequence[ArrayLike | None], places: NDArray[np.int64]) -> NDArray[np.float64]:
    """The coefficients of each row with length 1, shape (rows, most coefficients), 0 beyond a row's own."""
    vectors = [np.empty(0) if row is None else np.asarray(row, dtype=np.float64) for row in rows]
    directions = np.zeros((len(vectors), max(map(len, vectors), default=0)))
    for place, vector, direction in zip(places, vectors, directions, strict=True):
        length = float(np.linalg.norm(vector))
        if not length > 0:
            raise ConfigError("a row with a p has no cosine coefficients", where=f"cosines, row {place}", hint="give NaN as its p")
        direction[: len(vector)] = vector / length
    return directions


def _as_far_out(directions: NDArray[np.float64], far: NDArray[np.float64], draws: int, seed: int) -> NDArray[np.int64]:
    """For each row: draws in which it or a row behind it lies as far out as the row itself was found."""
    rng = np.random.default_rng(seed)
    counts = np.zeros(len(directions), dtype=np.int64)
    for begin in range(0, draws, _BLOCK):
        multipliers = rng.standard_normal((min(_BLOCK, draws - begin), directions.shape[1]))
        distances = np.abs(multipliers @ directions.T)
        farthest = np.maximum.accumulate(distances[:, ::-1], axis=1)[:, ::-1]
        counts += np.count_nonzero(farthest >= far, axis=0)
    return counts


def _checked(p: ArrayLike) -> NDArray[np.float64]:
    given = np.asarray(p, dtype=np.float64)
    if given.ndim != 1 or np.any((given < 0) | (given > 1)):
        raise ConfigError("p holds something else than probabilities", where="p", value=given.tolist(), expected="numbers from 0 to 1")
    return given


@dataclass(frozen=True)
class DeflatedSharpe:
    """A Sharpe ratio held against the best of many tries.

    Attributes:
        sharpe: the ratio that was found, per period.
        expected_maximum: what the best of as many strategies without merit is expected to show, per period.
        probability: that the true ratio is above that.
    """

    sharpe: float
    expected_maximum: float
    probability: float


def deflated_sharpe_ratio(
    sharpe: float, *, periods: int, trials: int, trial_variance: float, skew: float = 0.0, kurtosis: float = 3.0
) -> DeflatedSharpe:
    """The chance that a strategy chosen among many has merit.

    Bailey and López de Prado (2014), The deflated Sharpe ratio, Journal of Portfolio Management 40(5), doi:10.3905/jpm.2014.40.5.094.
    With γ of Euler and the normal quantile z: SR₀ = sqrt(V) ((1 - γ) z(1 - 1/N) + γ z(1 - 1/(N e))), and the probability is
    Φ((SR - SR₀) sqrt(T - 1) / sqrt(1 - skew SR + (kurtosis - 1)/4 SR²)).

    Args:
        sharpe: of the chosen strategy, per period of the returns: an annual ratio over the root of the periods in a year.
        periods: returns T that it was computed from.
        trials: independent strategies N among which it was chosen; with one, SR₀ is 0.
        trial_variance: variance V of the ratios of all trials, per period too: an annual one over the periods in a year.
        skew: of the returns.
        kurtosis: of the returns, 3 for the normal (not the excess over it).

    Raises:
        ConfigError: periods below 2, trials below 1, a negative variance, or moments that no returns have.
        MissingExtraError: scipy is not installed.

    Examples:
        The paper's example: an annual ratio of 2.5 over 1,250 days, the best of 100 whose annual ratios have variance ½, 250 days a year.

        >>> day = 250
        >>> found = deflated_sharpe_ratio(
        ...     2.5 / day**0.5, periods=1_250, trials=100, trial_variance=0.5 / day, skew=-3, kurtosis=10
        ... )
        >>> round(found.expected_maximum, 4), round(found.probability, 4)
        (0.1132, 0.9004)
    """
    whole = {"periods": (periods, 2), "trials": (trials, 1)}
    for name, (value, least) in whole.items():
        if value < least:
            raise ConfigError(f"{name} is too small", where=name, value=value, expected=f"{least} or more")
    if not trial_variance >= 0:
        raise ConfigError("the variance of the trials is negative", where="trial_variance", value=trial_variance, expected="0 or more")
    spread = 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2
    if not spread > 0:
        moments = {"sharpe": sharpe, "skew": skew, "kurtosis": kurtosis}
        raise ConfigError("no returns have such moments", where="skew, kurtosis", value=moments, expected="kurtosis ≥ 1 + skew²")
    normal = special()
    expected = 0.0
    if trials > 1:
        best = (1 - np.euler_gamma) * normal.ndtri(1 - 1 / trials) + np.euler_gamma * normal.ndtri(1 - 1 / (trials * math.e))
        expected = math.sqrt(trial_variance) * float(best)
    probability = float(normal.ndtr((sharpe - expected) * math.sqrt(periods - 1) / math.sqrt(spread)))
    return DeflatedSharpe(sharpe, expected, probability)
