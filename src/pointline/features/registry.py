"""The registry of features, and the one query that computes them.

The features frame is the bars with the features beside them. A value at a bar comes from that bar and from bars before it, so it is
known at ``bucket_end``; labels live in a frame of their own (`pointline.features.labels`).
"""

from __future__ import annotations

from functools import lru_cache, partial
from types import MappingProxyType
from typing import TYPE_CHECKING

import polars as pl

from pointline.errors import ConfigError, nearest
from pointline.features.basis import BASIS_FEATURES, BASIS_LEVELS
from pointline.features.carry import CARRY_FEATURES
from pointline.features.feature import HOLE_COLUMNS, KEY_COLUMNS, VENUE_COLUMNS, Feature, FeatureParams, PairParams
from pointline.features.flow import FLOW_FEATURES
from pointline.features.funding import FAIR_SOURCE, FUNDING_FEATURES, fair_source
from pointline.features.own import add_own, check_own
from pointline.features.stretches import are_whole, stretch_numbers, stretch_of, within
from pointline.features.venue import VENUE_FEATURES
from pointline.state.attach import STATE_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_FAMILIES = (VENUE_FEATURES, BASIS_FEATURES, FUNDING_FEATURES, FLOW_FEATURES, CARRY_FEATURES)
_BY_NAME: dict[str, Feature] = {feature.name: feature for family in _FAMILIES for feature in family}

FEATURES: Mapping[str, Feature] = MappingProxyType(_BY_NAME)
"""All features by name, inputs before what reads them. `register` adds to it."""

BUILT_IN = frozenset(_BY_NAME)
"""Names that no user's feature can take."""

PROVENANCE_COLUMNS = ("funding_source", "funding_interval_source", "oi_source", FAIR_SOURCE)
"""Text columns of the features frame with the source of a value."""

CROSS_QUOTE_PREFIX = "cross_quote_"
NEEDS_LIKE_QUOTES = (*(feature.name for feature in CARRY_FEATURES), "funding_basis_divergence")
"""Features that set the basis against funding or costs: null if the basis contains the rate between two quotes."""

_VENUE_NAMES = tuple(f"{venue}_{name}" for venue in ("perp", "spot") for name in VENUE_COLUMNS)
_BAR_COLUMNS = frozenset((*KEY_COLUMNS, *_VENUE_NAMES, *HOLE_COLUMNS, *STATE_COLUMNS))
_DEFAULTS = PairParams()


def register(feature: Feature, *, replace: bool = False) -> Feature:
    """Add a feature to `FEATURES`; it is computed from then on in this process.

    Its window, and whether it looks ahead, are checked on the bars of each `compute_features` (see `pointline.features.own`).

    Args:
        feature: its inputs are columns of the bars or features that are registered already.
        replace: take the place of a feature that was registered under this name; a built-in one stays. Features that read it read
            the new one.

    Returns:
        The feature.

    Raises:
        ConfigError: the name is taken, or an input is neither a column of the bars nor a feature, or reads this feature itself.

    Examples:
        >>> import polars as pl
        >>> from pointline.features import FEATURES, Feature, register, unregister
        >>> range_bps = Feature(
        ...     name="perp_range_bps",
        ...     formula="perp_hl_spread * 10^4",
        ...     unit="bps",
        ...     inputs=("perp_hl_spread",),
        ...     build=lambda params: pl.col("perp_hl_spread") * 10_000,
        ... )
        >>> register(range_bps).name in FEATURES
        True
        >>> unregister("perp_range_bps").unit
        'bps'
    """
    kept = dict(_BY_NAME)
    if not (replace and feature.name in kept and feature.name not in BUILT_IN):
        _check_name(feature, {*_BAR_COLUMNS, *kept})
    readers = _readers(feature.name)
    _check_inputs(feature, {*_BAR_COLUMNS, *kept} - {feature.name, *readers})
    later = list(kept)[list(kept).index(feature.name) :] if feature.name in kept else []
    if set(feature.inputs).isdisjoint(later):
        _BY_NAME[feature.name] = feature
        return feature
    for name in (feature.name, *readers):  # they move behind what the new one reads
        del _BY_NAME[name]
    _BY_NAME.update({feature.name: feature, **{name: kept[name] for name in readers}})
    return feature


def unregister(name: str) -> Feature:
    """Take a feature that was registered out of `FEATURES`.

    Args:
        name: of the feature.

    Returns:
        The feature.

    Raises:
        ConfigError: there is no such feature, it is built in, or another one reads it.

    Examples:
        >>> from pointline.errors import ConfigError
        >>> from pointline.features import unregister
        >>> try:
        ...     unregister("basis_bps")
        ... except ConfigError as error:
        ...     print(f"{error.value} is built in")
        basis_bps is built in
    """
    if name not in _BY_NAME:
        own = [known for known in _BY_NAME if known not in BUILT_IN]
        raise ConfigError("there is no such feature", where="features", value=name, expected=f"one of yours: {nearest(name, own).lower()}")
    if name in BUILT_IN:
        raise ConfigError(
            "a built-in feature cannot be removed", where="features", value=name, expected="a name that was given to register"
        )
    readers = _readers(name)
    if readers:
        raise ConfigError("other features read this one", where="features", value=name, hint=f"unregister {', '.join(readers)} first")
    return _BY_NAME.pop(name)


def _readers(name: str) -> list[str]:
    """The features that read another, or one that does, in the registry's order."""
    found: list[str] = []
    for feature in _BY_NAME.values():
        if not {name, *found}.isdisjoint(feature.inputs) and feature.name != name:
            found.append(feature.name)
    return found


def compute_features(bars: pl.DataFrame, params: FeatureParams = _DEFAULTS, extra: Sequence[Feature] = ()) -> pl.DataFrame:
    """All features of `FEATURES`, and those of `extra`, beside the bars.

    A value is null if its window has too few bars or a hole (see `pointline.features.stretches`). The values of
    registered and extra features are computed a second time at some bars, from their windows alone, and must be the same.

    Args:
        bars: one row per bar of one spine, sorted by ``bucket_start``, after `pointline.state.attach.attach_state`.
        params: limits, windows, costs and funding rules; `Study.params` has those of the pair too.
        extra: further features for this call alone; each may read bars, features and the extras before it.

    Returns:
        The bars' columns, then the features in the registry's order, then ``funding_fair_source``. Where the quotes of the pair differ,
        ``basis_bps``, ``vwap_basis_bps`` and ``log_basis_bps`` are called ``cross_quote_…``; what is derived from them keeps its name, but
        `NEEDS_LIKE_QUOTES` are null.
        No value is infinite or not a number: such a result is null.

    Raises:
        ConfigError: a column is missing, the bars are out of order or of several spines, or a feature of `extra` has a taken name or an
            unknown input; or a registered or extra feature fails, looks ahead, or depends on more bars than its window says.

    Examples:
        The same bars with wider windows:

        >>> import pointline
        >>> from pointline.features import FeatureParams, compute_features
        >>> from pointline.research.spines import TimeBarConfig
        >>> study = pointline.compare(
        ...     "binance-futures:BTCUSDT",
        ...     "binance-spot:BTCUSDT",
        ...     start="2024-05-01",
        ...     end="2024-05-02",
        ...     bars=TimeBarConfig("1h"),
        ...     lake="out/demo/lake",
        ... )
        >>> table = compute_features(study.bars, FeatureParams(smooth_bars=3, max_spot_age_us="1h", max_perp_age_us="1h"))
        >>> table["basis_smooth"].null_count()
        2
    """
    features = _with_extra(extra, bars.columns)
    _check_bars(bars, features)
    settled = PairParams.of(params)
    real = pl.DataFrame(bars.get_columns())  # constant columns as real ones: dividing by a constant rounds differently
    own = {name: feature for name, feature in features.items() if name not in BUILT_IN}
    table = _compute_built_in(real, settled, [name for name in features if name in BUILT_IN], numbered=bool(own))
    for feature in own.values():
        table = add_own(table, feature, settled, partial(_origins, settled, features))
    for feature in own.values():
        check_own(table, feature, settled, lambda first, rows, names: _on_some(real.slice(first, rows), settled, features, names))
    computed = {*features, FAIR_SOURCE, *(CROSS_QUOTE_PREFIX + name for name in BASIS_LEVELS)}
    kept = [name for name in bars.columns if name not in computed]
    table = table.select(*kept, *features, FAIR_SOURCE)
    return table.rename({name: CROSS_QUOTE_PREFIX + name for name in BASIS_LEVELS}) if settled.cross_quote else table


def prepare(params: FeatureParams) -> None:
    """Builds the expressions that `compute_features` needs of bars without holes, for a caller that waits for its first bars."""
    _rounds(PairParams.of(params), tuple(name for name in FEATURES if name in BUILT_IN), whole=True)


def _compute_built_in(bars: pl.DataFrame, params: PairParams, names: Iterable[str], *, numbered: bool) -> pl.DataFrame:
    """The bars with built-in features beside them and, where features of one's own follow, the numbers of their stretches."""
    whole = are_whole(bars)
    table = bars if whole and not numbered else bars.with_columns_seq(stretch_numbers(bars.columns))
    for columns in _rounds(params, tuple(names), whole=whole):
        table = table.with_columns_seq(columns)
    return table


@lru_cache(maxsize=64)
def _rounds(params: PairParams, names: tuple[str, ...], *, whole: bool) -> tuple[list[pl.Expr], ...]:
    """The columns of built-in features in rounds; each round reads only the bars and earlier rounds.

    Building them takes as long as computing some thousand bars. All rounds in one query take twice as long as one after the other.

    Args:
        params: of the features.
        names: of the features, in the registry's order.
        whole: the bars are one stretch, so that nothing has to be cut.
    """
    rounds: list[list[pl.Expr]] = []
    for level in _levels({name: _BY_NAME[name] for name in names}):
        columns = [feature.expression(params) for feature in level]
        if not whole:
            columns = [within(c, _STRETCHES[f.name], f.bars_needed(params)).alias(f.name) for c, f in zip(columns, level, strict=True)]
        finite = [pl.when(pl.col(f.name).is_finite()).then(f.name).alias(f.name) for f in level if f.dtype == pl.Float64]
        rounds += [columns, finite]
    if "funding_fair" in names:
        rounds.append([fair_source(params)])
    if params.cross_quote:
        rounds.append([pl.lit(None, dtype=_BY_NAME[name].dtype).alias(name) for name in NEEDS_LIKE_QUOTES if name in names])
    return tuple(rounds)


def _origins(params: PairParams, features: Mapping[str, Feature], feature: Feature) -> set[str]:
    """The columns of the bars that a feature comes from; the expression of a user's feature may read more than its inputs."""
    found: set[str] = set()
    for name in feature.inputs if feature.name in BUILT_IN else feature.reads(params):
        found |= _origins(params, features, features[name]) if name in features and name != feature.name else {name}
    return found


def _on_some(bars: pl.DataFrame, params: PairParams, features: Mapping[str, Feature], wanted: Iterable[str]) -> pl.DataFrame:
    """Some bars with the wanted features, and what those read, computed from these bars alone."""
    names = set(wanted)
    for name in reversed(list(features)):
        if name in names:
            names.update(features[name].reads(params))
    needed = {name: feature for name, feature in features.items() if name in names}
    table = _compute_built_in(bars, params, [name for name in needed if name in BUILT_IN], numbered=True)
    for name, feature in needed.items():
        if name not in BUILT_IN:
            table = add_own(table, feature, params, partial(_origins, params, features))
    return table


def feature_table() -> pl.DataFrame:
    """The registry as a frame: name, formula, unit, inputs, window (bars, with the default parameters), source, published_ic.

    Examples:
        >>> from pointline.features import feature_table
        >>> feature_table().filter(name="basis_momentum").select("formula", "unit", "window").row(0)
        ('basis_bps - basis_bps.shift(1)', 'bps', 2)
    """
    rows = [(f.name, f.formula, f.unit, ", ".join(f.inputs), f.bars_needed(_DEFAULTS), f.source, f.published_ic) for f in FEATURES.values()]
    schema = {
        "name": pl.String(),
        "formula": pl.String(),
        "unit": pl.String(),
        "inputs": pl.String(),
        "window": pl.Int64(),
        "source": pl.String(),
        "published_ic": pl.Float64(),
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def _check_name(feature: Feature, taken: set[str]) -> None:
    if feature.name in taken or feature.name == FAIR_SOURCE or feature.name.startswith(CROSS_QUOTE_PREFIX):
        raise ConfigError(
            "a feature's name is taken",
            where="features",
            value=feature.name,
            expected=f"a name that is no column of the bars, no feature, and does not begin with {CROSS_QUOTE_PREFIX}",
        )


def _check_inputs(feature: Feature, known: set[str]) -> None:
    unknown = [name for name in feature.inputs if name not in known]
    if unknown:
        raise ConfigError(
            f"an input of the feature {feature.name} is neither a column of the bars nor a feature",
            where="features",
            value=unknown,
            hint="most alike: " + "; ".join(f"{name}: {nearest(name, known).lower()}" for name in unknown),
        )


def _with_extra(extra: Sequence[Feature], columns: Sequence[str]) -> dict[str, Feature]:
    features = dict(FEATURES)
    for feature in extra:
        _check_name(feature, {*_BAR_COLUMNS, *features})
        _check_inputs(feature, {*_BAR_COLUMNS, *columns, *features})
        features[feature.name] = feature
    return features


def _check_bars(bars: pl.DataFrame, features: Mapping[str, Feature]) -> None:
    needed = {name for feature in features.values() for name in feature.inputs if name not in features or name == feature.name}
    missing = sorted(needed.union({"bucket_start", "bucket_end"}) - set(bars.columns))
    if missing:
        of_state = [name for name in missing if name in STATE_COLUMNS]
        raise ConfigError(
            f"the bars lack {len(missing)} column(s) that features need",
            where="compute_features, bars",
            value=missing,
            hint="attach_state adds the columns of mark, index, funding and open interest" if of_state else None,
        )
    if bars["bucket_start"].null_count() or not bars["bucket_start"].is_sorted():
        hint = "sort them by bucket_start first"
        raise ConfigError("the bars are not in order of bucket_start", where="compute_features, bars", hint=hint)
    if "symbol_id" in bars.columns and bars["symbol_id"].n_unique() > 1:
        raise ConfigError(
            "the bars are of several spines",
            where="compute_features, bars, column symbol_id",
            value=bars["symbol_id"].unique().sort().head(5).to_list(),
            hint="compute the features of each spine on its own",
        )


def _levels(features: Mapping[str, Feature]) -> list[list[Feature]]:
    """The features in rounds, so that each round reads only the bars and earlier rounds."""
    level: dict[str, int] = {}
    for feature in features.values():
        level[feature.name] = 1 + max((level[name] for name in feature.inputs if name in level), default=-1)
    rounds: list[list[Feature]] = [[] for _ in range(1 + max(level.values(), default=-1))]
    for feature in features.values():
        rounds[level[feature.name]].append(feature)
    return rounds


_STRETCHES = {name: stretch_of(_origins(_DEFAULTS, _BY_NAME, feature)) for name, feature in _BY_NAME.items()}
"""The stretch in which each built-in feature looks back."""
