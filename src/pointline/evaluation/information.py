"""Every feature against every label, with what an information coefficient needs beside it to be believed."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from pointline.bars.aggregate import has_trade
from pointline.clock import DAY_US, is_whole
from pointline.errors import ConfigError, nearest
from pointline.evaluation.coefficients import information_coefficients
from pointline.evaluation.inputs import check_confidence, check_method, rows_needed
from pointline.evaluation.labels import LABELS, LabelSeries, label_series
from pointline.evaluation.multiplicity import benjamini_hochberg, step_down_min_p
from pointline.evaluation.null_orders import order_bounds
from pointline.evaluation.null_prices import price_nulls
from pointline.evaluation.out_of_sample import out_of_sample
from pointline.evaluation.steadiness import daily_signs, turnover
from pointline.evaluation.verdict import stands
from pointline.features import CROSS_QUOTE_PREFIX, FEATURES, PairParams
from pointline.features.feature import VENUE_COLUMNS, FeatureParams

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from pointline.clock import DurationLike
    from pointline.costs import CostModel
    from pointline.evaluation.labels import Label
    from pointline.evaluation.ranks import Method

_LEVELS = frozenset(f"{venue}_{name}" for venue in ("perp", "spot") for name in VENUE_COLUMNS)
"""Prices, amounts and ages of the bars: features of the frame that are levels, which are judged only where they are asked for."""

_OUT_COLUMNS: dict[str, pl.DataType] = {
    **dict.fromkeys(("ic_out", "low_out", "high_out", "causal_p_out"), pl.Float64()),
    "significant_out": pl.Boolean(),
    **dict.fromkeys(("folds_same_sign", "decile_spread_out_bps"), pl.Float64()),
}
_ALSO_LEVELS = frozenset({"bar_duration_us", "funding_age_us", "oi_close"})


@dataclass(frozen=True, kw_only=True)
class IcOptions:
    """How features are judged.

    Attributes:
        labels: of `pointline.evaluation.labels.LABELS`.
        horizons: in bars.
        horizons_us: by the clock: ``"5m"``, a timedelta or integer microseconds.
        method: correlation of ranks with ties averaged (``"spearman"``) or of values (``"pearson"``).
        confidence: of intervals and tests.
        min_spot_volume: bars with a smaller spot volume (base units) are left out; the guide uses 5 BTC. None keeps all.
        draws: of each null; 0 leaves the nulls out.
        folds: test blocks of the walk-forward figures; 0 leaves them out.
        seed: of all draws.

    Raises:
        ConfigError: an option cannot be used.
    """

    labels: tuple[Label, ...] = LABELS
    horizons: tuple[int, ...] = (1, 5, 10)
    horizons_us: tuple[DurationLike, ...] = ()
    method: Method = "spearman"
    confidence: float = 0.95
    min_spot_volume: float | None = None
    draws: int = 40
    folds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        check_method(self.method)
        check_confidence(self.confidence)
        for name in ("labels", "horizons", "horizons_us"):
            value = getattr(self, name)
            object.__setattr__(self, name, (value,) if isinstance(value, str | int) else tuple(value))
        if not self.labels or not (self.horizons or self.horizons_us):
            raise ConfigError("nothing is to be predicted", where="IcOptions", expected="at least one label and one horizon")
        if self.min_spot_volume is not None and not self.min_spot_volume > 0:
            raise ConfigError("min_spot_volume is no volume", where="IcOptions", value=self.min_spot_volume, expected="above zero, or None")
        for name in ("draws", "folds", "seed"):
            if not (is_whole(getattr(self, name)) and getattr(self, name) >= 0):
                raise ConfigError(f"{name} is no number", where="IcOptions", value=getattr(self, name), expected="zero or more")


@dataclass(frozen=True, eq=False)
class JudgedFeatures:
    """What `ic` found.

    Attributes:
        table: one row per feature, label and horizon (see `ic`).
        trials: rows that were tested, which the adjusted p-values count.
        bars: bars that were used.
        share_dropped: share of the bars that `IcOptions.min_spot_volume` left out.
        share_stale: share of all bars in which spot did not trade.
        half_spreads_bps: of each venue, as its own reversal tells (Roll 1984), for the null of bid-ask bounce; empty without nulls.
        values: the features that were judged, by name, NaN where missing or left out.
        labels: what they were held against.
        untold: labels and horizons without values, or of volatility with too few, which no row of the table has.
        ends: ``bucket_end`` of the rows.
    """

    table: pl.DataFrame
    trials: int
    bars: int
    share_dropped: float
    share_stale: float
    half_spreads_bps: dict[str, float]
    values: Mapping[str, NDArray[np.float64]] = field(repr=False)
    labels: tuple[LabelSeries, ...] = field(repr=False)
    untold: tuple[str, ...]
    ends: NDArray[np.int64] = field(repr=False)


def ic(
    frame: pl.DataFrame,
    features: Sequence[str] | None = None,
    *,
    params: FeatureParams | None = None,
    followed: Mapping[str, NDArray[np.float64]] | None = None,
    **options: Any,  # noqa: ANN401 - those of IcOptions
) -> JudgedFeatures:
    """Information coefficients of features with what happened after their bars.

    Args:
        frame: one row per bar with the bars' columns and features, as `Study.features`.
        features: their names; by default all registered ones but levels (prices, amounts, ages).
        params: of the features: costs, age limits, price factor; `Study.params`.
        followed: for the null of a stale price, under ``"spot"`` the perp's price as known at the last spot trade of each row, under
            ``"perp"`` the spot's at the last perp trade; by default the close of the last bar with a trade. `Study.ic` takes them from the
            trades.
        options: fields of `IcOptions`.

    Returns:
        ``table`` has one row per feature, label and horizon: ``ic`` and its interval ``low``, ``high`` (equal-weighted cosines:
        Lazarus, Lewis, Stock, Watson 2018, doi:10.1080/07350015.2018.1506926), ``n``, ``n_eff``, ``detectable`` (the smallest coefficient
        that this many bars show in 80 % of samples), ``p`` of the interval, ``causal_p`` of the reversed test (Hodrick 1992),
        ``p_bh`` and ``p_min``: the larger of the two p, adjusted over all rows by Benjamini and Hochberg, and by step-down min-P.
        ``significant``: both tests reject. ``ic_next``: entered one bar later. ``decile_spread_bps`` beside ``cost_bps``, the round trip of
        what is traded. ``share_without_spot``: of the bars that
        have feature and label. ``turnover``: mean change of a position between -1 and 1 that follows the feature's rank, per bar.
        ``days_same_sign`` with its interval. ``null_bound``: what 95 % of the draws with shuffled days or shifted rows stay below;
        ``ic_if_stale``, ``ic_if_bounce``: the coefficient where the label's venue is nothing but the other one's price, late or bouncing.
        ``beyond_null``: larger than the first, and the whole interval larger than the other two. ``ic_all_bars``: without
        `min_spot_volume`. ``published_ic``: printed by the feature's source, not reproduced.
        ``ic_out`` with its interval, ``causal_p_out``, ``significant_out``, ``folds_same_sign``, ``decile_spread_out_bps``: walk-forward,
        with signs and thresholds of earlier rows; the interval alone misleads for persistent features that react to returns, so
        ``significant_out`` needs both tests. ``ic`` and all others are in-sample. ``stands``: significant, also by ``p_bh``, and beyond the
        nulls. ``reason``: why a row has no figures.

    Raises:
        ConfigError: an unknown feature (with the nearest names), a label as a feature, no rows, or too few bars for a horizon.
        MissingExtraError: scipy is not installed.

    Examples:
        >>> import pointline
        >>> from pointline.evaluation import ic
        >>> from pointline.research.spines import TimeBarConfig
        >>> study = pointline.compare(
        ...     "binance-futures:BTCUSDT",
        ...     "binance-spot:BTCUSDT",
        ...     start="2024-05-01",
        ...     end="2024-05-03",
        ...     bars=TimeBarConfig("1m"),
        ...     lake="out/demo/lake",
        ... )
        >>> judged = ic(study.features, ["basis_bps"], params=study.params, labels="spot_return", horizons=1, draws=0)
        >>> judged.table.select("feature", "label", "horizon", "significant").rows()
        [('basis_bps', 'spot_return', '1 bar', True)]
    """
    chosen = ic_options(options)
    names = _names(frame, features)
    settled = PairParams.of(FeatureParams() if params is None else params)
    labels, untold = _told(label_series(frame, chosen.labels, chosen.horizons, chosen.horizons_us, settled))
    every, ends = _values(frame, names), frame["bucket_end"].to_numpy()
    kept = _enough_volume(frame, chosen.min_spot_volume)
    values = {name: np.where(kept, column, np.nan) for name, column in every.items()}
    table, cosines = _coefficients(values, labels, chosen)
    spreads: dict[str, float] = {}
    if chosen.draws:
        bound = order_bounds(values, labels, ends, draws=chosen.draws, seed=chosen.seed, method=chosen.method)
        nulls, spreads = price_nulls(frame, values, labels, settled, seed=chosen.seed, method=chosen.method, followed=followed)
        table = table.hstack(nulls.with_columns(pl.Series("null_bound", bound).fill_nan(None)).select("null_bound", *nulls.columns))
        table = table.with_columns(_is_beyond().alias("beyond_null"))
    if not kept.all():
        table = table.with_columns(_coefficients(every, labels, chosen)[0]["ic"].alias("ic_all_bars"))
    if chosen.folds:
        table = table.hstack(_out_of_sample(values, labels, chosen))
    table = _beside(_adjusted(table, cosines, chosen), values, labels, ends, settled.costs)
    table = table.with_columns(_share_without_spot(frame, values, labels))
    table = table.with_columns(stands(table, 1 - chosen.confidence).alias("stands"))
    return JudgedFeatures(
        table=table,
        trials=table["p"].len() - table["p"].null_count(),
        bars=int(kept.sum()),
        share_dropped=float(1 - kept.mean()),
        share_stale=float(frame.select((~has_trade("spot")).mean()).item()),
        half_spreads_bps=spreads,
        values=values,
        labels=labels,
        untold=untold,
        ends=ends,
    )


def ic_options(given: Mapping[str, Any]) -> IcOptions:
    """The options by name.

    Raises:
        ConfigError: an unknown option, or one that cannot be used.
    """
    known = [one.name for one in fields(IcOptions)]
    unknown = next((name for name in given if name not in known), None)
    if unknown is not None:
        raise ConfigError(
            "there is no such option", where="ic", value=unknown, expected=", ".join(known), hint=nearest(unknown, known).lower()
        )
    return IcOptions(**given)


def _told(series: Iterable[LabelSeries]) -> tuple[tuple[LabelSeries, ...], tuple[str, ...]]:
    """The labels that have values, and the names of those that have none, or of volatility too few.

    Raises:
        ConfigError: none has any.
    """
    every = list(series)
    told = tuple(one for one in every if _has_enough(one))
    untold = tuple(f"{one.name} over {one.horizon}" for one in every if one not in told)
    if not told:
        raise ConfigError(
            "the label is missing in every row",
            where="labels",
            value=", ".join(untold),
            expected="bars whose closes are known, and whose prices are young enough where the basis is the label",
            hint="load a longer window, or raise max_spot_age_us of FeatureParams",
        )
    return told, untold


def _has_enough(label: LabelSeries) -> bool:
    """Whether there are values; of volatility, as many as its memory asks for."""
    known = np.count_nonzero(~np.isnan(label.values)), np.count_nonzero(~np.isnan(label.one_bar))
    return int(min(known)) >= (rows_needed(label.memory) if label.name.endswith("volatility") else 1)


def _names(frame: pl.DataFrame, given: Sequence[str] | None) -> list[str]:
    """The columns to judge."""
    if not isinstance(frame, pl.DataFrame):
        raise ConfigError("the bars are no polars frame", where="ic, frame", value=type(frame).__name__, expected="study.features")
    if frame.is_empty() or "bucket_end" not in frame.columns:
        raise ConfigError("there are no bars to judge", where="ic, frame", value=frame.shape, expected="study.features")
    prefixed = {f"{CROSS_QUOTE_PREFIX}{name}" for name in FEATURES}
    if given is None:
        usual = [name for name in frame.columns if (name in FEATURES or name in prefixed) and name not in _LEVELS | _ALSO_LEVELS]
        return [name for name in usual if frame.schema[name].is_float()]
    names = [given] if isinstance(given, str) else list(given)
    for name in names:
        if "_forward_" in str(name):
            raise ConfigError("a label cannot be a feature: it is known after its row", where="features", value=name, expected="a feature")
        if name not in frame.columns:
            raise ConfigError("there is no such feature", where="features", value=name, hint=nearest(str(name), frame.columns).lower())
        if not frame.schema[name].is_numeric():
            raise ConfigError("this column is no number", where="features", value=f"{name}: {frame.schema[name]}", expected="a feature")
    if not names or len(set(names)) != len(names):
        raise ConfigError("each feature is named once", where="features", value=names)
    return names


def _values(frame: pl.DataFrame, names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    return {name: frame[name].cast(pl.Float64).fill_null(np.nan).to_numpy() for name in names}


def _enough_volume(frame: pl.DataFrame, least: float | None) -> NDArray[np.bool_]:
    if least is None:
        return np.ones(frame.height, dtype=np.bool_)
    kept = (frame["spot_volume"] >= least).fill_null(value=False).to_numpy()
    if not kept.any():
        largest = frame["spot_volume"].max()
        raise ConfigError(
            "min_spot_volume leaves no bar", where="ic", value=least, expected=f"at most {largest!s}, the largest spot volume"
        )
    return np.asarray(kept)


def _coefficients(
    values: Mapping[str, NDArray[np.float64]], labels: Sequence[LabelSeries], chosen: IcOptions
) -> tuple[pl.DataFrame, list[NDArray[np.float64] | None]]:
    """The rows of all labels, label by label, and their cosine coefficients."""
    frames: list[pl.DataFrame] = []
    cosines: list[NDArray[np.float64] | None] = []
    for label in labels:
        found = information_coefficients(
            values,
            label.one_bar,
            (label.bars,),
            labels={label.bars: label.values},
            memory=label.memory,
            method=chosen.method,
            confidence=chosen.confidence,
            unusable="report",
        )
        told = [pl.lit(label.name).alias("label"), pl.lit(label.horizon).alias("horizon")]
        frames.append(found.frame.with_columns(told))
        cosines += found.cosines
    table = pl.concat(frames)
    first = ["feature", "label", "horizon", "horizon_bars"]
    return table.select(*first, pl.exclude(first)).rename({"decile_spread": "decile_spread_bps"}), cosines


def _is_beyond() -> pl.Expr:
    """Whether a coefficient is larger than what moved labels show, and its whole interval larger than what the other prices show."""
    nearest_to_zero = pl.min_horizontal(pl.col("low", "high").abs())
    damaged = pl.max_horizontal(pl.col("ic_if_stale", "ic_if_bounce").abs()).fill_null(0.0)
    return (pl.col("ic").abs() > pl.col("null_bound")) & (pl.col("low") * pl.col("high") > 0) & (nearest_to_zero > damaged)


def _share_without_spot(frame: pl.DataFrame, values: Mapping[str, NDArray[np.float64]], labels: Sequence[LabelSeries]) -> pl.Series:
    """Of the rows with feature and label, the share of bars in which spot did not trade."""
    quiet = frame.select(~has_trade("spot")).to_series().fill_null(value=True).to_numpy()
    shares = []
    for label in labels:
        known = ~np.isnan(label.values)
        used = [known & ~np.isnan(column) for column in values.values()]
        shares += [float(quiet[rows].mean()) if rows.any() else None for rows in used]
    return pl.Series("share_without_spot", shares, dtype=pl.Float64)


def _out_of_sample(values: Mapping[str, NDArray[np.float64]], labels: Sequence[LabelSeries], chosen: IcOptions) -> pl.DataFrame:
    """The walk-forward figures of the rows, null for labels that have too few bars for the folds.

    Volatility is purged and averaged over its memory. Its increments depend on each other, so the causal test does not judge it here.
    """
    frames = []
    for label in labels:
        is_volatility = label.name.endswith("volatility")
        ahead = label.bars if label.in_bars and not is_volatility else max(label.bars, label.memory)
        if len(label.values) < (chosen.folds + 1) * (rows_needed(ahead) + ahead):  # purging takes a label's length from each fold
            frames.append(pl.DataFrame(schema=_OUT_COLUMNS).clear(len(values)))
            continue
        found = out_of_sample(
            values,
            label.one_bar,
            (ahead,),
            labels={ahead: label.values},
            folds=chosen.folds,
            confidence=chosen.confidence,
            unusable="report",
        )
        told = found.frame.rename({"same_sign_out": "folds_same_sign", "decile_spread_out": "decile_spread_out_bps"})
        told = told.with_columns(pl.lit(None).alias(name) for name in ("causal_p_out", "significant_out") if is_volatility)
        frames.append(told.select(pl.col(name).cast(dtype) for name, dtype in _OUT_COLUMNS.items()))
    return pl.concat(frames)


def _adjusted(table: pl.DataFrame, cosines: Sequence[NDArray[np.float64] | None], chosen: IcOptions) -> pl.DataFrame:
    """With p-values that count all rows."""
    both = table.select(pl.max_horizontal("p", "causal_p")).to_series().fill_null(np.nan).to_numpy()
    single = table["p"].is_null() | table["causal_p"].is_null()
    both = np.where(single.to_numpy(), np.nan, both)
    adjusted = {"p_bh": benjamini_hochberg(both), "p_min": step_down_min_p(both, cosines, seed=chosen.seed)}
    return table.with_columns(pl.Series(name, column).fill_nan(None) for name, column in adjusted.items())


def _beside(
    table: pl.DataFrame,
    values: Mapping[str, NDArray[np.float64]],
    labels: Sequence[LabelSeries],
    ends: NDArray[np.int64],
    costs: CostModel,
) -> pl.DataFrame:
    """With costs, turnover, steadiness and what the feature's source printed."""
    of_label = {"perp_return": costs.perp_round_trip_bps, "spot_return": costs.spot_round_trip_bps, "basis_change": costs.four_fill_bps}
    by_row = {(label.name, label.horizon): label for label in labels}
    signs = [
        daily_signs(values[name], by_row[label, horizon].values, (ends - 1) // DAY_US, 0.0 if coefficient is None else coefficient)
        for name, label, horizon, coefficient in table.select("feature", "label", "horizon", "ic").iter_rows()
    ]
    moves = {name: turnover(column) for name, column in values.items()}
    printed = {name: feature.published_ic for name, feature in FEATURES.items()}
    plain = pl.col("feature").str.strip_prefix(CROSS_QUOTE_PREFIX)
    return table.hstack(pl.DataFrame(signs)).with_columns(
        pl.col("label").replace_strict(of_label, default=None, return_dtype=pl.Float64).alias("cost_bps"),
        pl.col("feature").replace_strict(moves, return_dtype=pl.Float64).alias("turnover"),
        plain.replace_strict(printed, default=None, return_dtype=pl.Float64).alias("published_ic"),
    )
