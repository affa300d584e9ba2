"""How good forecasts of the next funding rate are, and whether one is better than the venue's own rule.

Whether a model is better is a test of the paired difference of absolute errors (Diebold and Mariano 1995, Comparing predictive accuracy,
Journal of Business & Economic Statistics 13(3), doi:10.1080/07350015.1995.10524599). Where this differs from the paper: the variance of
the mean difference comes from equal-weighted cosines (`pointline.evaluation.variance`), with a t distribution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pointline.errors import ConfigError
from pointline.evaluation.coefficient import information_coefficient
from pointline.evaluation.inputs import rows_needed, series
from pointline.evaluation.variance import cosine_coefficients, degrees_of_freedom, long_run_variance, special, t_ratio

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

RULE = "rule"
BASELINES = ("constant", "last", "ar1", RULE)
MODELS = ("least_squares", "ridge", "boosting")
NO_CHANGE_BPS = 1e-6  # rates are published in steps of 0.0001 bp

SCORES_SCHEMA: dict[str, pl.DataType] = {
    "predictor": pl.String(),
    "kind": pl.String(),  # "baseline" or "model"
    "hours_before": pl.Float64(),
    "n": pl.Int64(),
    "mae_bps": pl.Float64(),
    "r2": pl.Float64(),
    "direction_right": pl.Float64(),
    "changes": pl.Int64(),
    "ic": pl.Float64(),
    "ic_low": pl.Float64(),
    "ic_high": pl.Float64(),
    "mae_less_rule_bps": pl.Float64(),
    "p_less_than_rule": pl.Float64(),
    "p_adjusted": pl.Float64(),
}
"""Columns of the table of scores, one row for each predictor and lead; basis points are per 8 hours."""

FORECASTS_SCHEMA: dict[str, pl.DataType] = {
    "funding_us": pl.Int64(),
    "hours_before": pl.Float64(),
    "known_us": pl.Int64(),
    "interval_hours": pl.Float64(),
    "fold": pl.Int64(),
    "actual_bps": pl.Float64(),
    "last_known_bps": pl.Float64(),
    "premium_bps": pl.Float64(),
    "offset_bps": pl.Float64(),
    **{f"{name}_bps": pl.Float64() for name in (*BASELINES, *MODELS)},
}
"""Columns of the forecasts, one row for each settlement and lead; basis points are per 8 hours."""


@dataclass(frozen=True)
class ErrorDifference:
    """Whether one forecast's absolute error is below another's.

    Attributes:
        mean: mean of |error| - |other error|, in the unit of the errors; below zero where the first is better.
        t: the mean over its standard error; NaN where no two differences differ.
        p: one-sided: the chance of so small a t where both are equally good.
        n: pairs.
        nu: cosines of the variance estimate.
    """

    mean: float
    t: float
    p: float
    n: int
    nu: int


def error_difference(errors: ArrayLike, other: ArrayLike, *, overlap: int = 1) -> ErrorDifference:
    """The Diebold-Mariano test of absolute errors.

    Args:
        errors: shape (n,), actual minus forecast, in time order; NaN where there is none.
        other: the same of the forecast that it is held against. Rows in which one is missing are left out.
        overlap: settlements over which neighbouring errors depend on each other by the horizon of the forecast alone.

    Raises:
        ConfigError: the lengths differ, or a value is infinite.
        MissingExtraError: scipy is not installed.

    Examples:
        >>> import numpy as np
        >>> noise = np.random.default_rng(1).normal(size=500)
        >>> found = error_difference(0.5 * noise, noise)
        >>> round(found.mean, 2), found.p < 0.001
        (-0.36, True)
    """
    mine, others = series(errors, "errors"), series(other, "other")
    if mine.shape != others.shape:
        raise ConfigError("the errors differ in number", where="error_difference", value=(len(mine), len(others)))
    differences = np.abs(mine) - np.abs(others)
    differences = differences[~np.isnan(differences)]
    n = len(differences)
    nu = degrees_of_freedom(n, overlap) if n else 1
    if n <= nu or differences.max() == differences.min():
        mean = float(differences.mean()) if n else math.nan
        return ErrorDifference(mean, math.nan, math.nan, n, nu)
    mean = float(differences.mean())
    t = t_ratio(mean, math.sqrt(float(long_run_variance(cosine_coefficients(differences, nu))) / n))
    return ErrorDifference(mean, t, float(special().stdtr(nu, t)), n, nu)


def forecast_scores(
    forecast: Floats, actual: Floats, last: Floats, rule: Floats, *, overlap: int = 1, confidence: float = 0.95
) -> dict[str, float | int | None]:
    """The scores of one forecast, with the names of `SCORES_SCHEMA`.

    R² is 1 - Σ (actual - forecast)² / Σ (actual - mean actual)². A direction is the sign of a change against the last known rate; it is
    counted over the settlements whose rate changed, and a forecast of no change is not right there. The information coefficient is the
    rank correlation of the forecast change and the actual one.

    Args:
        forecast, actual, last, rule: shape (n,), one unit, in time order, none missing.
        overlap: settlements over which neighbouring changes overlap.
        confidence: of the interval of the information coefficient.

    Raises:
        MissingExtraError: scipy is not installed.

    Examples:
        >>> import numpy as np
        >>> actual = np.array([1.0, 2.0, 1.0, 3.0])
        >>> last = np.array([1.0, 1.0, 2.0, 1.0])
        >>> found = forecast_scores(np.array([1.0, 1.5, 2.5, 2.0]), actual, last, last)
        >>> found["mae_bps"], round(found["r2"], 3), found["direction_right"], found["changes"]
        (0.75, -0.273, 0.6666666666666666, 3)
    """
    errors, spread = actual - forecast, actual - actual.mean()
    total = float(np.sum(spread**2))
    moves, told = _signs(actual - last), _signs(forecast - last)
    changed = moves != 0
    against = error_difference(errors, actual - rule, overlap=overlap)
    return {
        "n": len(actual),
        "mae_bps": float(np.mean(np.abs(errors))),
        "r2": 1 - float(np.sum(errors**2)) / total if total > 0 else None,
        "direction_right": float(np.mean(told[changed] == moves[changed])) if changed.any() and told.any() else None,
        "changes": int(np.count_nonzero(changed)),
        **_coefficient(forecast - last, actual - last, overlap, confidence),
        "mae_less_rule_bps": against.mean,
        "p_less_than_rule": None if math.isnan(against.p) else against.p,
    }


def _signs(changes: Floats) -> Floats:
    return np.where(np.abs(changes) < NO_CHANGE_BPS, 0.0, np.sign(changes))


def _coefficient(told: Floats, moved: Floats, overlap: int, confidence: float) -> Mapping[str, float | None]:
    if len(told) < rows_needed(overlap) or not _signs(told).any() or not _signs(moved).any():
        return dict.fromkeys(("ic", "ic_low", "ic_high"))
    found = information_coefficient(np.round(told, 9), np.round(moved, 9), overlap, confidence=confidence)
    return {"ic": found.ic, "ic_low": found.low, "ic_high": found.high}
