"""A linear combination of features that is fitted on training rows and judged on test rows.

Ridge regression (Hoerl and Kennard 1970, Ridge regression: biased estimation for nonorthogonal problems, Technometrics 12) on features
that are standardised with the means and deviations of the training rows. It is the simplest thing that is fitted; what is true of its
splits is true of any other model's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pointline.errors import ConfigError
from pointline.evaluation.coefficients import feature_values
from pointline.evaluation.inputs import check_confidence, rows_needed, series
from pointline.evaluation.out_of_sample import inflation, pooled
from pointline.evaluation.splits import RowSpans, Split, walk_forward

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from pointline.evaluation.coefficient import InformationCoefficient

PENALTIES = (0.01, 0.1, 1.0, 10.0)
_INNER_FOLDS = 3
_SHARED_WEIGHTS = 2.0  # what the variance grows by where weights of many features are fitted on the test rows of other folds

PREDICTIONS_SCHEMA: dict[str, pl.DataType] = {
    "row": pl.Int64(),
    "fold": pl.Int64(),
    "prediction_out": pl.Float64(),
    "label": pl.Float64(),
}

WEIGHTS_SCHEMA: dict[str, pl.DataType] = {
    "fold": pl.Int64(),
    "feature": pl.String(),
    "mean_train": pl.Float64(),
    "deviation_train": pl.Float64(),
    "weight_train": pl.Float64(),
    "penalty_train": pl.Float64(),
    "n_train": pl.Int64(),
}


@dataclass(frozen=True, eq=False)
class FittedCombination:
    """What `fitted_combination` fitted and predicted.

    Attributes:
        predictions: one row for each test row, columns of `PREDICTIONS_SCHEMA`; the prediction is in the label's unit and null where a
            feature is missing.
        weights: one row for each fold and feature, columns of `WEIGHTS_SCHEMA`. A weight is in the label's unit per deviation.
        ic_out: the rank correlation of prediction and label in each fold's test rows, the mean over folds weighted by their rows.
    """

    predictions: pl.DataFrame = field(repr=False)
    weights: pl.DataFrame = field(repr=False)
    ic_out: InformationCoefficient


def fitted_combination(
    features: Mapping[str, ArrayLike],
    label: ArrayLike,
    spans: RowSpans,
    splits: Sequence[Split],
    *,
    penalties: Sequence[float] = PENALTIES,
    confidence: float = 0.95,
) -> FittedCombination:
    """The ridge regression of a label on features, fitted and judged on different rows.

    In each fold the training rows give means, deviations and weights: with standardised features Z and the centred label y of m rows,
    w = (Z'Z/m + λI)⁻¹ Z'y/m. They also choose λ: the one with the smallest squared error in three walk-forward folds inside them. A
    feature that is constant over the training rows has deviation and weight 0.

    Where training rows come after test rows, the error of ``ic_out`` is that of `inflation`, and the variance at least doubled.

    Args:
        features: by name, shape (n,) each, NaN where missing. Rows that lack a feature neither train nor have a prediction.
        label: shape (n,), NaN where missing.
        spans: what each row is about; they purge inside the training rows.
        splits: of `walk_forward` or `purged_k_fold` with the same spans.
        penalties: values of λ, above zero: 1 halves the weight of a feature that is alone. One value is taken as it is.
        confidence: of the interval of ``ic_out``.

    Raises:
        ConfigError: nothing is given, lengths differ, a value is infinite, a penalty is not above zero, a split has rows that are not
            there, or a fold has too few rows with all features and the label, or nothing in it varies.
        MissingExtraError: scipy is not installed.

    Examples:
        >>> import numpy as np
        >>> from pointline.evaluation import RowSpans, walk_forward
        >>> noise = np.random.default_rng(1)
        >>> features = {"a": noise.normal(size=2_000), "b": noise.normal(size=2_000)}
        >>> label = 0.1 * features["a"] - 0.1 * features["b"] + noise.normal(size=2_000)
        >>> spans = RowSpans.by_row(2_000)
        >>> found = fitted_combination(features, label, spans, walk_forward(spans))
        >>> round(found.ic_out.ic, 3), round(found.ic_out.se, 3), len(found.predictions)
        (0.1, 0.026, 1667)
    """
    check_confidence(confidence)
    y = series(label, "label")
    x = _matrix(features, len(y))
    _check(spans, splits, penalties, len(y))
    complete = ~np.isnan(x).any(axis=1)
    used = complete & ~np.isnan(y)
    needed = rows_needed(spans.overlap)
    predictions, weights, pairs = [], [], []
    for number, split in enumerate(splits):
        train, test = split.train[used[split.train]], split.test[used[split.test]]
        if min(len(train), len(test)) < needed:
            raise ConfigError(
                "a fold has too few rows",
                where=f"fold {number}",
                value=f"{len(train):,} training rows, {len(test):,} test rows with all features and the label",
                expected=f"at least {needed:,} each",
                hint="load more rows, use fewer folds, or leave out features with missing values",
            )
        penalty = penalties[0] if len(penalties) == 1 else _chosen(x, y, spans, train, penalties)
        fit = Fit.of(x[train], y[train], penalty)
        pairs.append(_varying(fit.predict(x[test]), y[test], number))
        rows = {"row": split.test, "fold": np.full(len(split.test), number), "label": y[split.test]}
        predictions.append(pl.DataFrame(rows | {"prediction_out": fit.predict(x[split.test])}).select(*PREDICTIONS_SCHEMA))
        weights.append(fit.frame(number, list(features), len(train)))
    shared = any(split.train[-1] > split.test[0] for split in splits)
    factor = max(_SHARED_WEIGHTS, inflation(len(splits))) if shared else 1.0
    found = pooled(pairs, spans.overlap, confidence, factor)
    table = pl.concat(predictions).with_columns(pl.col(pl.Float64).fill_nan(None))
    return FittedCombination(table, pl.concat(weights), found)


@dataclass(frozen=True, eq=False)
class Fit:
    """A ridge regression with what standardised its features.

    Attributes:
        means: shape (k,).
        deviations: shape (k,), 0 where a feature is constant.
        weights: shape (k,), per deviation.
        level: mean of the label.
        penalty: λ.
    """

    means: NDArray[np.float64]
    deviations: NDArray[np.float64]
    weights: NDArray[np.float64]
    level: float
    penalty: float

    @classmethod
    def of(cls, x: NDArray[np.float64], y: NDArray[np.float64], penalty: float) -> Fit:
        """The fit to rows without missing values, x of shape (m, k) and y of shape (m,)."""
        # Equal values have no deviation, though their mean can differ from them by a rounding.
        deviations = np.where(np.ptp(x, axis=0) == 0, 0.0, x.std(axis=0))
        means, level = x.mean(axis=0), float(y.mean())
        z = _scaled(x, means, deviations)
        weights = np.asarray(np.linalg.solve(z.T @ z / len(y) + penalty * np.eye(x.shape[1]), z.T @ (y - level) / len(y)), np.float64)
        return cls(means, deviations, weights, level, float(penalty))

    def predict(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """The label that is expected of each row, NaN where a feature is missing."""
        return np.asarray(self.level + _scaled(x, self.means, self.deviations) @ self.weights)

    def frame(self, fold: int, names: list[str], rows: int) -> pl.DataFrame:
        """The fit as a table, one row a feature."""
        columns = {
            "fold": fold,
            "feature": names,
            "mean_train": self.means,
            "deviation_train": self.deviations,
            "weight_train": self.weights,
            "penalty_train": self.penalty,
            "n_train": rows,
        }
        return pl.DataFrame(columns, schema=WEIGHTS_SCHEMA)


def _scaled(x: NDArray[np.float64], means: NDArray[np.float64], deviations: NDArray[np.float64]) -> NDArray[np.float64]:
    constant = deviations == 0
    centred = np.where(constant & ~np.isnan(x), 0.0, x - means)
    return np.asarray(centred / np.where(constant, 1.0, deviations))


def _chosen(x: NDArray[np.float64], y: NDArray[np.float64], spans: RowSpans, train: NDArray[np.int64], penalties: Sequence[float]) -> float:
    """The penalty with the smallest squared error in walk-forward folds inside the training rows."""
    errors = np.zeros(len(penalties))
    for split in walk_forward(spans.take(train), folds=_INNER_FOLDS):
        inner, judged = train[split.train], train[split.test]
        fits = [Fit.of(x[inner], y[inner], penalty) for penalty in penalties]
        errors += [float(np.sum(np.square(y[judged] - fit.predict(x[judged])))) for fit in fits]
    return penalties[int(np.argmin(errors))]


def _varying(prediction: NDArray[np.float64], label: NDArray[np.float64], fold: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    for what, values in (("the prediction", prediction), ("the label", label)):
        if np.ptp(values) == 0:
            raise ConfigError(f"{what} is constant over the test rows", where=f"fold {fold}", value=len(label), expected="values that vary")
    return prediction, label


def _matrix(features: Mapping[str, ArrayLike], rows: int) -> NDArray[np.float64]:
    if not features:
        raise ConfigError("no feature is given", where="features", expected="at least one series by name")
    return np.column_stack([feature_values(values, name, rows) for name, values in features.items()])


def _check(spans: RowSpans, splits: Sequence[Split], penalties: Sequence[float], rows: int) -> None:
    if len(spans) != rows:
        raise ConfigError("spans and label differ in length", where="spans", value=len(spans), expected=f"{rows:,} rows")
    if not splits:
        raise ConfigError("no split is given", where="splits", hint="use walk_forward or purged_k_fold")
    for number, split in enumerate(splits):
        for name, chosen in (("train", split.train), ("test", split.test)):
            if not len(chosen) or chosen[0] < 0 or chosen[-1] >= rows:
                raise ConfigError("a split has no rows or rows that are not there", where=f"fold {number}, {name}", expected=f"0 to {rows}")
    if not len(penalties) or not all(np.isfinite(penalty) and penalty > 0 for penalty in penalties):
        raise ConfigError("the penalties cannot be used", where="penalties", value=list(penalties), expected="numbers above zero")
