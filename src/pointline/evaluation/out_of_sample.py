"""Information coefficients on rows that nothing was fitted on.

The sign of a feature and the thresholds of its tenths come from the training rows of each fold; test rows only judge. A figure of all
rows ends in ``_in``, one of training rows in ``_train``, one of test rows in ``_out``.

In purged folds the sign of each fold comes from the test rows of the others. The figures of folds then vary together, and a standard
error that takes them as given is too small (Bengio and Grandvalet 2004, No unbiased estimator of the variance of k-fold
cross-validation, Journal of Machine Learning Research 5). `inflation` is the factor by which the variance grows where nothing predicts.
Walk-forward folds need none: what a fold is multiplied with was known before it.

Rows out of sample do not mend an estimate that is wrong in every fold. A persistent feature that reacts to returns has a coefficient that
is not zero in short folds, always with one sign, and so the interval excludes zero far too often: in up to 81 % of the runs of
``python -m tests.evaluation.sizes`` (Stambaugh, n = 2,000, φ = .999). The causal test of the same rows rejects in 4 to 8 % of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import polars as pl

from pointline.errors import ConfigError
from pointline.evaluation.causal import CausalTest, judged, products_of, recursively_demeaned, signed_ranks
from pointline.evaluation.coefficient import InformationCoefficient, SharedRows
from pointline.evaluation.coefficients import Unusable, feature_values, labels_by_horizon
from pointline.evaluation.deciles import FEWEST_ROWS, deciles_of_ranks
from pointline.evaluation.inputs import check_confidence, rows_needed, series
from pointline.evaluation.ranks import RankedValues, standardised
from pointline.evaluation.splits import RowSpans, Split, check_count, purged_k_fold, walk_forward
from pointline.evaluation.variance import cosine_coefficients, critical_value, degrees_of_freedom, long_run_variance, t_ratio, two_sided

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

Scheme = Literal["walk-forward", "purged k-fold"]

_TAILS = (0.1, 0.9)
_EMBARGO_SHARE = 100  # one row of so many, as the book suggests

OUT_OF_SAMPLE_SCHEMA: dict[str, pl.DataType] = {
    "feature": pl.String(),
    "horizon_bars": pl.Int64(),
    "n_in": pl.Int64(),
    "ic_in": pl.Float64(),
    "se_in": pl.Float64(),
    "decile_spread_in": pl.Float64(),
    "folds_out": pl.Int64(),
    "n_out": pl.Int64(),
    "ic_out": pl.Float64(),
    "se_out": pl.Float64(),
    "low_out": pl.Float64(),
    "high_out": pl.Float64(),
    "t_out": pl.Float64(),
    "nu_out": pl.Int64(),
    "p_out": pl.Float64(),
    "causal_n_out": pl.Int64(),
    "causal_t_out": pl.Float64(),
    "causal_p_out": pl.Float64(),
    "significant_out": pl.Boolean(),
    "same_sign_out": pl.Float64(),
    "spread_folds_out": pl.Int64(),
    "decile_spread_out": pl.Float64(),
    "reason": pl.String(),
}

FOLDS_SCHEMA: dict[str, pl.DataType] = {
    "feature": pl.String(),
    "horizon_bars": pl.Int64(),
    "fold": pl.Int64(),
    "test_begin": pl.Int64(),
    "test_end": pl.Int64(),
    "n_train": pl.Int64(),
    "ic_train": pl.Float64(),
    "sign_train": pl.Int64(),
    "low_threshold_train": pl.Float64(),
    "high_threshold_train": pl.Float64(),
    "n_out": pl.Int64(),
    "ic_out": pl.Float64(),
    "decile_spread_out": pl.Float64(),
    "reason": pl.String(),
}


@dataclass(frozen=True, eq=False)
class OutOfSample:
    """What `out_of_sample` found.

    Attributes:
        frame: one row for each feature and horizon, columns of `OUT_OF_SAMPLE_SCHEMA`. ``ic_out`` is the mean over folds of sign × IC
            of the test rows, each fold weighted by its rows; ``low_out`` and ``high_out`` bound it; ``folds_out`` counts the folds that
            have it. ``causal_t_out`` is positive where the causal test has the training sign. ``significant_out``: p_out and
            causal_p_out are both below 1 - confidence, and both t are positive. ``same_sign_out`` is the share of those folds whose test
            rows have the sign of the training rows. ``decile_spread_out`` is a mean over ``spread_folds_out`` folds, in the label's
            unit. ``reason`` says why there are no figures out of sample, and is null where there are.
        folds: one row for each feature, horizon and fold, columns of `FOLDS_SCHEMA`. ``test_begin`` and ``test_end`` are rows, the second
            excluded. ``ic_out`` and ``decile_spread_out`` are multiplied with the training sign. ``reason`` says why a fold has none.
    """

    frame: pl.DataFrame
    folds: pl.DataFrame = field(repr=False)


def out_of_sample(
    features: Mapping[str, ArrayLike],
    one_bar: ArrayLike,
    horizons: Sequence[int],
    *,
    labels: Mapping[int, ArrayLike] | None = None,
    spans: Mapping[int, RowSpans] | None = None,
    folds: int = 5,
    embargo: int | None = None,
    window: int | None = None,
    scheme: Scheme = "walk-forward",
    confidence: float = 0.95,
    unusable: Unusable = "raise",
) -> OutOfSample:
    """The information coefficient of every feature in and out of sample.

    In each fold the training rows give the sign of the rank correlation and the 10 % and 90 % quantiles of the feature. The test rows
    give sign × rank correlation, and sign × (mean label above the upper quantile - mean label below the lower one). The error of the mean
    over folds comes from the score products of all test rows, one after the other, as in `information_coefficient`. The causal test of
    `causal_test` goes with it, its products taken from the test rows and multiplied with the training sign, because the interval alone
    finds too much where a persistent feature reacts to returns.

    What was fitted before this function sees it stays fitted: a feature must not hold a z-score over the whole sample.

    Args:
        features: by name, shape (n,) each, NaN where missing: known at the end of each bar.
        one_bar: shape (n,), the label over one bar: from the end of the row's bar to the end of the next, NaN where that is not known.
        horizons: bars that the label looks ahead.
        labels: the label at each horizon, where it is not the sum of increments.
        spans: when the label of each row ends, by horizon, where that is not the given number of bars after it: labels in clock time. The
            horizon then only names them.
        folds: number of test blocks.
        embargo: rows that do not train after each test block of purged folds; one of a hundred without it. Walk-forward has no such rows.
        window: most training rows of a walk-forward fold, the latest ones; all without it.
        scheme: ``"walk-forward"`` (`walk_forward`) or ``"purged k-fold"`` (`purged_k_fold`).
        confidence: of the interval.
        unusable: a feature without figures is an error, or with ``"report"`` a row with its ``reason``. A fold without figures is always
            a row with its reason; the others count.

    Raises:
        ConfigError: as `information_coefficients`; the scheme is unknown or has no such option; there are too few rows for the folds, or
            the embargo is too long.
        MissingExtraError: scipy is not installed.

    Examples:
        >>> import numpy as np
        >>> noise = np.random.default_rng(1)
        >>> x = noise.normal(size=2_000)
        >>> one_bar = np.append(0.1 * x[:-1] + noise.normal(size=1_999), np.nan)
        >>> found = out_of_sample({"x": x}, one_bar, (1,))
        >>> found.frame.select("n_in", "n_out", "folds_out", pl.col("ic_in", "ic_out", "same_sign_out").round(3)).row(0)
        (1999, 1666, 5, 0.068, 0.051, 0.8)
    """
    check_confidence(confidence)
    if unusable not in get_args(Unusable):
        raise ConfigError("unusable is unknown", where="unusable", value=unusable, expected=" or ".join(get_args(Unusable)))
    increments = series(one_bar, "one_bar")
    found = labels_by_horizon(increments, horizons, labels)
    if not features:
        raise ConfigError("no feature is given", where="features", expected="at least one series by name")
    rows = len(increments)
    targets, scores = {}, signed_ranks(increments)
    for horizon, label in found.items():
        reach = _spans(spans, horizon, rows)
        splits = _splits(reach, folds, embargo, window, scheme)
        factor = inflation(folds) if scheme == "purged k-fold" else 1.0
        targets[horizon] = _Target(RankedValues.of(label), scores, splits, reach.overlap, factor)
    summaries: list[dict[str, object]] = []
    parts: list[dict[str, object]] = []
    for name, values in features.items():
        feature = RankedValues.of(feature_values(values, name, rows))
        for horizon, target in targets.items():
            summary, parted = _judged(feature, target, confidence)
            if summary.get("reason") and unusable == "raise":
                raise ConfigError(f"{name} cannot be judged: {summary['reason']}", where=f"feature {name}, horizon {horizon}")
            names = {"feature": name, "horizon_bars": int(horizon)}
            summaries.append(names | summary)
            parts.extend(names | fold.row(number) for number, fold in enumerate(parted))
    return OutOfSample(_frame(summaries, OUT_OF_SAMPLE_SCHEMA), _frame(parts, FOLDS_SCHEMA))


def inflation(folds: int) -> float:
    """By how much the variance of a mean over purged folds exceeds that of independent folds, where nothing predicts.

    With coefficients z_f of the folds that are independent, normal and of one size, the mean of z_f · sign(Σ_{g≠f} z_g) has the variance
    1/K · (1 + (K - 1) · (2/π) / sqrt(2K - 3)), because the expectation of z · sign(R + z) given R is twice the density of z at R.

    Args:
        folds: number of folds K, at least 2.

    Examples:
        >>> round(inflation(5), 3)
        1.962
    """
    return 1 + (folds - 1) * (2 / math.pi) / math.sqrt(2 * folds - 3)


def pooled(
    pairs: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]],
    overlap: int,
    confidence: float,
    factor: float = 1.0,
) -> InformationCoefficient:
    """The mean over folds of rank correlations, each weighted by its rows, with an interval from the products of all rows.

    The mean label of a short fold takes much of what overlapping labels vary by, and products with scores around it have too small a
    variance: at n = 2,000, h = 50 and φ = .99 a test of 5 % rejects in 10 %. So the variance is that of products with the label ranked
    among the test rows of all folds, divided by its deviation in each fold. The feature's scores sum to zero in a fold, so the level of
    the label does not move the mean.

    Args:
        pairs: feature and label of each fold's test rows, in the order of time; the feature multiplied with the training sign. Without
            missing values.
        overlap: rows that a label covers.
        confidence: coverage of the interval.
        factor: by which the variance exceeds that of independent folds.

    Raises:
        MissingExtraError: scipy is not installed.
    """
    among_all = standardised(np.concatenate([label for _, label in pairs]))
    ends = np.cumsum([len(label) for _, label in pairs])[:-1]
    products, spread = [], []
    for (feature, label), level in zip(pairs, np.split(among_all, ends), strict=True):
        scores = standardised(feature)
        products.append(scores * standardised(label))
        deviation = level.std()
        spread.append(scores * level / deviation if deviation > 0 else products[-1])
    n = len(among_all)
    nu = degrees_of_freedom(n, overlap)
    ic = float(np.concatenate(products).mean())
    se = math.sqrt(factor * float(long_run_variance(cosine_coefficients(np.concatenate(spread), nu))) / n)
    t = t_ratio(ic, se)
    half = critical_value(confidence, nu) * se
    return InformationCoefficient(ic, se, max(-1.0, ic - half), min(1.0, ic + half), t, two_sided(t, nu), n, nu)


def _causal(products: NDArray[np.float64], folds: Sequence[_Fold], factor: float) -> CausalTest:
    """The causal test of the test rows, products multiplied with the sign of their fold."""
    found = judged(np.concatenate([fold.sign * products[fold.split.test] for fold in folds]))
    t = found.t / math.sqrt(factor)
    return CausalTest(t, two_sided(t, found.nu), found.n, found.nu)


@dataclass(frozen=True, eq=False)
class _Target:
    """A label with its splits, the rows that it overlaps, and the factor of the variance."""

    label: RankedValues
    scores: NDArray[np.float64]
    splits: tuple[Split, ...]
    overlap: int
    factor: float


@dataclass(frozen=True, eq=False)
class _Fold:
    """What one fold fitted and found."""

    split: Split
    n_train: int
    n_out: int
    reason: str = ""
    ic_train: float = math.nan
    thresholds: tuple[float, float] = (math.nan, math.nan)
    ic_out: float = math.nan
    pair: tuple[NDArray[np.float64], NDArray[np.float64]] = (np.empty(0), np.empty(0))
    spread: float = math.nan

    @property
    def sign(self) -> int:
        return int(np.sign(self.ic_train))

    def row(self, number: int) -> dict[str, object]:
        """The columns of the fold, without the names of feature and horizon."""
        where = {"fold": number, "test_begin": int(self.split.test[0]), "test_end": int(self.split.test[-1]) + 1}
        counts = {"n_train": self.n_train, "n_out": self.n_out}
        if self.reason:
            return {**where, **counts, "reason": self.reason}
        return {
            **where,
            **counts,
            "ic_train": self.ic_train,
            "sign_train": self.sign,
            "low_threshold_train": self.thresholds[0],
            "high_threshold_train": self.thresholds[1],
            "ic_out": self.ic_out,
            "decile_spread_out": self.spread,
        }


def _judged(feature: RankedValues, target: _Target, confidence: float) -> tuple[dict[str, object], list[_Fold]]:
    """The columns of one feature and horizon without its names, and its folds."""
    pair = SharedRows.of(feature, target.label, target.overlap, "spearman")
    if pair.reason:
        return {"n_in": pair.n, "reason": pair.reason}, []
    inside = pair.coefficient(confidence)
    summary: dict[str, object] = {
        "n_in": inside.n,
        "ic_in": inside.ic,
        "se_in": inside.se,
        "decile_spread_in": deciles_of_ranks(feature.ranks(pair.used), target.label.values[pair.used]).spread,
    }
    folds = [_fold(feature, target, split, pair.used) for split in target.splits]
    used = [fold for fold in folds if not fold.reason]
    if not used:
        reason = f"no fold has figures; the first because {folds[0].reason}"
        return {**summary, "folds_out": 0, "n_out": 0, "reason": reason}, folds
    outside = pooled([fold.pair for fold in used], target.overlap, confidence, target.factor)
    x = feature.values
    causal = _causal(products_of(recursively_demeaned(x), ~np.isnan(x), target.scores, target.overlap), used, target.factor)
    level = 1 - confidence
    spreads = [fold.spread for fold in used if not math.isnan(fold.spread)]
    summary |= {f"{name}_out": getattr(outside, name) for name in ("n", "ic", "se", "low", "high", "t", "nu", "p")}
    summary |= {
        "folds_out": len(used),
        "causal_n_out": causal.n,
        "causal_t_out": causal.t,
        "causal_p_out": causal.p,
        "significant_out": outside.p < level and causal.p < level and min(outside.t, causal.t) > 0,
        "same_sign_out": float(np.mean([fold.ic_out > 0 for fold in used])),
        "spread_folds_out": len(spreads),
        "decile_spread_out": float(np.mean(spreads)) if spreads else math.nan,
    }
    return summary, folds


def _fold(feature: RankedValues, target: _Target, split: Split, used: NDArray[np.bool_]) -> _Fold:
    """What the training rows say of the test rows; of the rows of the split only the used ones count."""
    x, y = feature.values, target.label.values
    train, test = split.train[used[split.train]], split.test[used[split.test]]
    needed = rows_needed(target.overlap)
    for name, rows in (("training", train), ("test", test)):
        if len(rows) < needed:
            reason = f"{len(rows):,} {name} rows have feature and label, {needed:,} are needed"
            return _Fold(split, len(train), len(test), reason)
        for what, values in (("feature", x), ("label", y)):
            if np.ptp(values[rows]) == 0:
                return _Fold(split, len(train), len(test), f"the {what} is constant over the {name} rows")
    ic_train = float(_products(feature, target.label, train).mean())
    low, high = (float(value) for value in np.quantile(x[train], _TAILS))
    sign = float(np.sign(ic_train))
    bottom, top = y[test][x[test] < low], y[test][x[test] > high]
    both = len(bottom) and len(top) and len(test) >= FEWEST_ROWS
    return _Fold(
        split,
        len(train),
        len(test),
        ic_train=ic_train,
        thresholds=(low, high),
        ic_out=sign * float(_products(feature, target.label, test).mean()),
        pair=(sign * x[test], y[test]),
        spread=sign * float(top.mean() - bottom.mean()) if both else math.nan,
    )


def _products(feature: RankedValues, label: RankedValues, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """The products of the standardised ranks of some rows, ranked among themselves."""
    mask = np.zeros(len(feature.values), dtype=np.bool_)
    mask[rows] = True
    return feature.standardised(mask, "spearman") * label.standardised(mask, "spearman")


def _spans(given: Mapping[int, RowSpans] | None, horizon: int, rows: int) -> RowSpans:
    if given is None:
        return RowSpans.by_row(rows, horizon)
    if horizon not in given:
        raise ConfigError("the spans of a label are missing", where="spans", value=sorted(given), expected=f"those of {horizon}")
    if len(given[horizon]) != rows:
        raise ConfigError(
            "spans and label differ in length", where=f"spans of {horizon}", value=len(given[horizon]), expected=f"{rows:,} rows"
        )
    return given[horizon]


def _splits(spans: RowSpans, folds: int, embargo: int | None, window: int | None, scheme: Scheme) -> tuple[Split, ...]:
    """The splits of one label, each with enough training and test rows to rank."""
    needed, rows = rows_needed(spans.overlap), len(spans)
    if scheme == "walk-forward":
        if embargo is not None:
            hint = "walk-forward folds train on earlier rows only, so nothing after a test block is left out"
            raise ConfigError("the scheme has no embargo", where="embargo", value=embargo, hint=hint)
        if window is not None and window < needed:
            raise ConfigError("the window is too short", where="window", value=window, expected=f"at least {needed:,} rows")
        splits = walk_forward(spans, folds=folds, window=window)
        enough = (folds + 1) * (needed + spans.reach)
    elif scheme == "purged k-fold":
        if window is not None:
            raise ConfigError("the scheme has no window", where="window", value=window, hint="use scheme='walk-forward'")
        check_count(folds, "folds", 2)
        kept = 1 - 1 / folds - (1 / _EMBARGO_SHARE if embargo is None else 0)
        enough = max(folds * (needed + spans.reach), math.ceil((needed + 2 * spans.reach + 2) / kept))
        if embargo is None and rows < enough:
            raise _too_few(spans, folds, enough)
        length = math.ceil(rows / _EMBARGO_SHARE) if embargo is None else embargo
        splits = purged_k_fold(spans, folds=folds, embargo=length, fewest=needed)
    else:
        raise ConfigError("the scheme is unknown", where="scheme", value=scheme, expected=" or ".join(get_args(Scheme)))
    if min(min(len(split.train), len(split.test)) for split in splits) < needed:
        raise _too_few(spans, folds, enough)
    return splits


def _too_few(spans: RowSpans, folds: int, enough: int) -> ConfigError:
    return ConfigError(
        "too few rows for the folds",
        where="one_bar",
        value=len(spans),
        expected=f"at least {enough:,} rows for {folds:,} folds of labels of {spans.overlap:,} bars",
        hint="load a longer window, use fewer folds, or choose a shorter horizon",
    )


def _frame(rows: list[dict[str, object]], schema: dict[str, pl.DataType]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=schema).with_columns(pl.col(pl.Float64).fill_nan(None))
