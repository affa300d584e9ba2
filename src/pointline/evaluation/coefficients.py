"""Information coefficients of many features at several horizons of one label, as a table."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import polars as pl

from pointline.errors import ConfigError
from pointline.evaluation.causal import judged, products_of, recursively_demeaned, signed_ranks
from pointline.evaluation.coefficient import InformationCoefficient, SharedRows
from pointline.evaluation.deciles import deciles_of_ranks
from pointline.evaluation.inputs import check_confidence, check_horizons, check_memory, check_method, rows_needed, series
from pointline.evaluation.ranks import Method, RankedValues

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

Unusable = Literal["raise", "report"]

COEFFICIENTS_SCHEMA: dict[str, pl.DataType] = {
    "feature": pl.String(),
    "horizon_bars": pl.Int64(),
    "n": pl.Int64(),
    "ic": pl.Float64(),
    "se": pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
    "t": pl.Float64(),
    "nu": pl.Int64(),
    "p": pl.Float64(),
    "n_eff": pl.Float64(),
    "detectable": pl.Float64(),
    "causal_n": pl.Int64(),
    "causal_t": pl.Float64(),
    "causal_p": pl.Float64(),
    "significant": pl.Boolean(),
    "ic_next": pl.Float64(),
    "next_low": pl.Float64(),
    "next_high": pl.Float64(),
    "next_t": pl.Float64(),
    "next_p": pl.Float64(),
    "decile_spread": pl.Float64(),
    "reason": pl.String(),
}


@dataclass(frozen=True, eq=False)
class CoefficientTable:
    """What `information_coefficients` found.

    Attributes:
        frame: one row for each feature and horizon, columns of `COEFFICIENTS_SCHEMA`. ``low`` and ``high`` bound ``ic``; ``ic_next`` and
            ``next_…`` are of the label entered one bar later; ``decile_spread`` is in the label's unit. ``significant``: p and causal_p
            are both below 1 - confidence, and both t have one sign. ``reason`` says why a row has no figures, and is null where it has.
        cosines: for each row of the frame its cosine coefficients, as `step_down_min_p` takes them; None where the row has no figures.
    """

    frame: pl.DataFrame
    cosines: tuple[NDArray[np.float64] | None, ...] = field(repr=False)


def forward_sums(one_bar: ArrayLike, horizon: int) -> NDArray[np.float64]:
    """The h-bar label of each row: the sum of its one-bar increment and the next h - 1.

    Args:
        one_bar: shape (n,): what happens from the end of each row's bar to the end of the next, NaN where that is not known.
        horizon: bars h.

    Returns:
        Shape (n,), NaN where one of the h increments is missing or lies beyond the data. Sums of increments that are all zero are exactly
        zero.

    Raises:
        ConfigError: the horizon is no number of bars or reaches beyond the data, or a value is infinite.

    Examples:
        >>> forward_sums([1.0, 2.0, 4.0, float("nan")], 2)
        array([ 3.,  6., nan, nan])
    """
    increments = series(one_bar, "one_bar")
    check_horizons([horizon], len(increments))
    missing = np.isnan(increments)
    totals = np.concatenate([[0.0], np.cumsum(np.where(missing, 0.0, increments))])
    holes = np.concatenate([[0], np.cumsum(missing)])
    sums = np.full(len(increments), np.nan)
    sums[: len(increments) - horizon + 1] = np.where(holes[horizon:] > holes[:-horizon], np.nan, totals[horizon:] - totals[:-horizon])
    return sums


def information_coefficients(
    features: Mapping[str, ArrayLike],
    one_bar: ArrayLike,
    horizons: Sequence[int],
    *,
    labels: Mapping[int, ArrayLike] | None = None,
    memory: int = 1,
    method: Method = "spearman",
    confidence: float = 0.95,
    unusable: Unusable = "raise",
) -> CoefficientTable:
    """Every feature against one label at every horizon.

    A feature or label that is missing in a row leaves the row out of the coefficient, and ``n`` counts the rest. In the causal test a
    missing feature adds 0 to the sum over its last bars, and a missing increment leaves its row out; ``causal_n`` counts the rows that
    have the increment and at least one value of the feature.

    Args:
        features: by name, shape (n,) each, NaN where missing: known at the end of each bar.
        one_bar: shape (n,), the label over one bar: what happens from the end of the row's bar to the end of the next bar. NaN where
            that is not known: in the last row, and across holes. Log returns, or returns, or changes of basis.
        horizons: bars that the label looks ahead.
        labels: the label at each horizon, where it is not the sum of increments: compound returns, for instance. The causal test uses
            ``one_bar`` all the same. For a horizon by the clock give the bars that it spans as a rule, and the most that it spans as
            ``memory``.
        memory: bars over which the increments of the label depend on each other. 1 for returns. Squared returns and other measures of
            volatility remember hundreds of bars, and a persistent feature then seems to predict them: with 1 a fifth of features that
            have nothing to do with it pass, with 100 about 5 %. The variance then has 0.4 n / memory cosines, at least four.
        method: correlation of ranks with ties averaged, or of values.
        confidence: of the intervals and of ``significant``.
        unusable: a feature with too few rows or without variation is an error, or with ``"report"`` a row with its ``reason``.

    Returns:
        The table, features in the given order and horizons in the given order within each. No more than a few arrays of n values are
        held at a time beside the input.

    Raises:
        ConfigError: nothing is given, lengths differ, a value is infinite, the label is missing everywhere or in too many rows, a horizon
            reaches beyond the data, or a feature cannot be used (see ``unusable``).
        MissingExtraError: scipy is not installed.

    Examples:
        >>> import numpy as np
        >>> noise = np.random.default_rng(1)
        >>> x = noise.normal(size=2_000)
        >>> one_bar = np.append(0.1 * x[:-1] + noise.normal(size=1_999), np.nan)
        >>> found = information_coefficients({"x": x, "later": np.roll(x, 5)}, one_bar, (1, 5))
        >>> found.frame.select("feature", "horizon_bars", "n", "significant").rows()
        [('x', 1, 1999, True), ('x', 5, 1995, False), ('later', 1, 1999, False), ('later', 5, 1995, False)]
    """
    check_method(method)
    check_confidence(confidence)
    if unusable not in get_args(Unusable):
        raise ConfigError("unusable is unknown", where="unusable", value=unusable, expected=" or ".join(get_args(Unusable)))
    check_memory(memory)
    label = _PreparedLabel.of(series(one_bar, "one_bar"), horizons, labels, memory)
    if not features:
        raise ConfigError("no feature is given", where="features", expected="at least one series by name")
    rows, cosines = [], []
    for name, values in features.items():
        feature = _PreparedFeature.of(feature_values(values, name, len(label.scores)))
        for horizon in horizons:
            pair = SharedRows.of(feature.ranked, label.ranked[horizon], max(horizon, memory), method)
            if pair.reason and unusable == "raise":
                where = f"feature {name}, horizon {horizon}"
                raise ConfigError(f"{name} cannot be judged: {pair.reason}", where=where, value=pair.n, hint=pair.hint)
            rows.append({"feature": name, "horizon_bars": int(horizon), **_figures(feature, label, int(horizon), pair, method, confidence)})
            cosines.append(None if pair.reason else pair.cosines())
    frame = pl.DataFrame(rows, schema=COEFFICIENTS_SCHEMA)
    return CoefficientTable(frame.with_columns(pl.col(pl.Float64).fill_nan(None)), tuple(cosines))


def feature_values(values: ArrayLike, name: str, rows: int) -> NDArray[np.float64]:
    """The values of a feature that has as many rows as the label.

    Raises:
        ConfigError: it has not, or the values are no numbers or infinite.
    """
    feature = series(values, f"feature {name}")
    if len(feature) != rows:
        raise ConfigError(
            "a feature and the label differ in length", where=f"feature {name}", value=len(feature), expected=f"{rows:,} rows"
        )
    return feature


@dataclass(frozen=True, eq=False)
class _PreparedFeature:
    """A feature with what all horizons need of it: its order, and its values demeaned by what was known."""

    ranked: RankedValues
    demeaned: NDArray[np.float64]
    present: NDArray[np.bool_]

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> _PreparedFeature:
        return cls(RankedValues.of(values), recursively_demeaned(values), ~np.isnan(values))


@dataclass(frozen=True, eq=False)
class _PreparedLabel:
    """The label by horizon, the signed ranks of its increments, and how long they depend on each other."""

    ranked: dict[int, RankedValues]
    scores: NDArray[np.float64]
    memory: int

    @classmethod
    def of(
        cls, one_bar: NDArray[np.float64], horizons: Sequence[int], given: Mapping[int, ArrayLike] | None, memory: int
    ) -> _PreparedLabel:
        labels = labels_by_horizon(one_bar, horizons, given, memory)
        return cls({horizon: RankedValues.of(label) for horizon, label in labels.items()}, signed_ranks(one_bar), memory)


def labels_by_horizon(
    one_bar: NDArray[np.float64], horizons: Sequence[int], given: Mapping[int, ArrayLike] | None, memory: int = 1
) -> dict[int, NDArray[np.float64]]:
    """The label at each horizon: the one that is given, or the sum of increments.

    Raises:
        ConfigError: the label is missing everywhere or in too many rows, a given one is missing or has another length, or a horizon
            reaches beyond the data.
    """
    if np.isnan(one_bar).all():
        raise ConfigError("the label is missing in every row", where="one_bar", value=len(one_bar), expected="at least 32 known values")
    check_horizons(horizons, len(one_bar))
    if given is not None and not set(horizons) <= set(given):
        raise ConfigError("a label is missing", where="labels", value=sorted(given), expected=f"one for each of {list(horizons)}")
    return {horizon: _label(one_bar, horizon, given, memory) for horizon in horizons}


def _label(one_bar: NDArray[np.float64], horizon: int, given: Mapping[int, ArrayLike] | None, memory: int) -> NDArray[np.float64]:
    values = forward_sums(one_bar, horizon) if given is None else series(given[horizon], f"label of {horizon} bars")
    if len(values) != len(one_bar):
        raise ConfigError("a label and its increments differ in length", where=f"label of {horizon} bars", value=len(values))
    known, needed = int(np.count_nonzero(~np.isnan(values))), rows_needed(max(horizon, memory))
    if known < needed:
        raise ConfigError(
            f"too few bars for a horizon of {horizon:,}",
            where="one_bar",
            value=known,
            expected=f"at least {needed:,} bars with a label, which takes {needed + horizon:,} bars without holes",
            hint="load a longer window, use smaller bars, or choose a shorter horizon",
        )
    return values


def _figures(
    feature: _PreparedFeature, label: _PreparedLabel, horizon: int, pair: SharedRows, method: Method, confidence: float
) -> dict[str, object]:
    """The columns of one row, without its names."""
    if pair.reason:
        return {"n": pair.n, "reason": pair.reason}
    found = pair.coefficient(confidence)
    causal = judged(products_of(feature.demeaned, feature.present, label.scores, horizon), label.memory)
    target = label.ranked[horizon]
    later = SharedRows.of(feature.ranked, target.ahead(1), pair.overlap, method)
    after = _nothing(later) if later.reason else later.coefficient(confidence)
    level = 1 - confidence
    return {
        **{name: getattr(found, name) for name in ("n", "ic", "se", "low", "high", "t", "nu", "p", "n_eff", "detectable")},
        "causal_n": causal.n,
        "causal_t": causal.t,
        "causal_p": causal.p,
        "significant": found.p < level and causal.p < level and found.t * causal.t > 0,
        "ic_next": after.ic,
        "next_low": after.low,
        "next_high": after.high,
        "next_t": after.t,
        "next_p": after.p,
        "decile_spread": deciles_of_ranks(feature.ranked.ranks(pair.used), target.values[pair.used]).spread,
    }


def _nothing(pair: SharedRows) -> InformationCoefficient:
    return InformationCoefficient(math.nan, math.nan, math.nan, math.nan, math.nan, math.nan, pair.n, 0)
