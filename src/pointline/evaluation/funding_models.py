"""What tells the next funding rate: the baselines, and models that are fitted on earlier settlements.

All fitting sees the training settlements only: the offset of the premium, the AR(1), the scaling and penalty of the ridge regression
(Hoerl and Kennard 1970, Ridge regression: biased estimation for nonorthogonal problems, Technometrics 12(1),
doi:10.1080/00401706.1970.10488634) and the trees of gradient boosting (Friedman 2001, Greedy function approximation: a gradient boosting
machine, Annals of Statistics 29(5), doi:10.1214/aos/1013203451). Boosting is fitted to what the venue's rule leaves of the rate: trees
cannot go beyond the rates that they have seen, the rule can.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from pointline.errors import MissingExtraError
from pointline.evaluation.funding_scores import MODELS
from pointline.evaluation.premium import PER_BPS, fitted_offset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pointline.evaluation.premium import VenueRates

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

PENALTIES = (0.0001, 0.001, 0.01, 0.1, 1.0)
FEWEST_TO_FIT = 50
_INNER_FOLDS = 3
_TREES = {"n_estimators": 100, "learning_rate": 0.05, "max_depth": 3, "min_samples_leaf": 20, "loss": "squared_error"}


@dataclass(frozen=True, eq=False)
class Predictors:
    """What is known of each settlement at one lead; all rows are complete. Basis points are per 8 hours.

    Attributes:
        rates: the venue's rules.
        premium: shape (n,), the average premium of the interval so far, a fraction.
        latest: shape (n,), the last value of the premium, a fraction.
        last_bps: shape (n,), the last rate that was paid.
        extras: other predictors by name, shape (n,) each.
        values: shape (n, m), the values of the premium so far, for rules that average the rate.
    """

    rates: VenueRates
    premium: Floats
    latest: Floats
    last_bps: Floats
    extras: dict[str, Floats] = field(default_factory=dict)
    values: Floats | None = None


def sklearn_models() -> Any:  # noqa: ANN401 - a module
    """scikit-learn.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import sklearn
    except ImportError as error:
        raise MissingExtraError("models of the funding rate need scikit-learn", hint="pip install 'pointline[research]'") from error
    return sklearn


def fold_forecasts(
    known: Predictors,
    whole_premium: Floats,
    actual_bps: Floats,
    train: Ints,
    test: Ints,
    *,
    models: Sequence[str] = MODELS,
    seed: int = 0,
    whole_values: Floats | None = None,
) -> tuple[dict[str, Floats], float]:
    """Forecasts of the test settlements, all fitted on the training settlements.

    Args:
        known: predictors of all settlements at one lead.
        whole_premium: shape (n,), the average premium of the whole interval, a fraction; only that of training settlements is used.
        actual_bps: shape (n,), the rates that were paid; only those of training settlements are used.
        train, test: numbers of settlements; the rates of the training ones are known before anything of the test ones.
        models: those of `MODELS` that are fitted.
        seed: of the boosting, which draws the order of equally good splits.
        whole_values: shape (n, m), the values of the premium in the whole interval, for rules that average the rate; as the premium.

    Returns:
        Forecasts by name, shape (number of test settlements,), basis points per 8 hours; and the offset of the premium in basis points.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    trained_values = None if whole_values is None else whole_values[train]
    offset = fitted_offset(known.rates.take(train), whole_premium[train], actual_bps[train], trained_values)
    rule = known.rates.of(known.premium + offset / PER_BPS, known.values) * PER_BPS
    target = actual_bps[train]
    told = {
        "constant": known.rates.interest()[test] * PER_BPS,
        "last": known.last_bps[test],
        "ar1": line_forecast(known.last_bps[train], target, known.last_bps[test]),
        "rule": rule[test],
    }
    three = np.column_stack([known.last_bps, rule, known.premium * PER_BPS])
    every = np.column_stack([three, known.latest * PER_BPS, *known.extras.values()])
    if "least_squares" in models:
        told["least_squares"] = _least_squares(three[train], target, three[test])
    if "ridge" in models:
        told["ridge"] = _ridge(every[train], target, every[test])
    if "boosting" in models:
        told["boosting"] = rule[test] + _boosting(every[train], target - rule[train], every[test], seed)
    return told, offset


def line_forecast(x: Floats, y: Floats, at: Floats) -> Floats:
    """The line a + b x of least squares.

    Args:
        x, y: shape (n,), what it is fitted on.
        at: where it is wanted.

    Returns:
        The shape of ``at``; the mean of y where x does not vary.

    Examples:
        >>> line_forecast(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0]), np.array([5.0])).tolist()
        [10.0]
    """
    centred = x - x.mean()
    spread = float(np.sum(centred**2))
    slope = float(np.sum(centred * (y - y.mean()))) / spread if spread > 0 else 0.0
    return np.asarray(y.mean() + slope * (at - x.mean()))


def _standardised(x: Floats, at: Floats) -> tuple[Floats, Floats]:
    """Both in the means and deviations of the first; a column that is constant there becomes 0."""
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    scale = np.where(deviation > 1e-12 * np.maximum(np.abs(mean), 1), deviation, np.inf)
    return (x - mean) / scale, (at - mean) / scale


def _least_squares(x: Floats, y: Floats, at: Floats) -> Floats:
    z, new = _standardised(x, at)
    weights = np.linalg.lstsq(z, y - y.mean(), rcond=1e-9)[0]
    return np.asarray(y.mean() + np.sum(new * weights, axis=1))


def _ridge(x: Floats, y: Floats, at: Floats) -> Floats:
    """The penalty is the one with the least squared error in later parts of the training settlements, each fitted on those before it."""
    bounds = [len(x) * part // (_INNER_FOLDS + 1) for part in range(1, _INNER_FOLDS + 2)]
    losses = [
        sum(float(np.sum((_ridge_of(penalty, x[:a], y[:a], x[a:b]) - y[a:b]) ** 2)) for a, b in pairwise(bounds)) for penalty in PENALTIES
    ]
    return _ridge_of(PENALTIES[int(np.argmin(losses))], x, y, at)


def _ridge_of(penalty: float, x: Floats, y: Floats, at: Floats) -> Floats:
    sklearn_models()
    from sklearn.linear_model import Ridge

    z, new = _standardised(x, at)
    fitted = Ridge(alpha=penalty * len(z), solver="svd").fit(z, y)
    return np.asarray(fitted.intercept_ + np.sum(new * fitted.coef_, axis=1))


def _boosting(x: Floats, y: Floats, at: Floats, seed: int) -> Floats:
    sklearn_models()
    from sklearn.ensemble import GradientBoostingRegressor

    return np.asarray(GradientBoostingRegressor(**_TREES, random_state=seed).fit(x, y).predict(at))
