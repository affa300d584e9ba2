"""One feature as a value, the parameters that features share, and the few expressions they are built from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from numbers import Real
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import polars as pl

from pointline.clock import MINUTE_US, SECOND_US, DurationField, is_whole
from pointline.costs import CostModel
from pointline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointline.venues.funding import FundingRule

GUIDE = "perp-spot guide"
"""Perp-Spot Comparison for Crypto MFT, 2026-02-09."""

FUNDING_GUIDE = "funding-rate guide"
"""Funding Rate Features for Crypto MFT, 2026-02-09; the perp-spot guide names it as related."""

VOLUME_BAR_GUIDE = "volume-bar guide"
"""Building Volume Bar Features for Crypto Middle-Frequency Trading, 2026-02-09; the funding-rate guide names it as related."""

ANDERSEN_2003 = "Andersen et al. (2003), doi:10.1111/1468-0262.00418"
"""T. G. Andersen, T. Bollerslev, F. X. Diebold, P. Labys: Modeling and Forecasting Realized Volatility, Econometrica 71 (2), 579-625."""

OURS = "pointline"

KEY_COLUMNS = ("symbol_id", "bar_id", "bucket_start", "bucket_end", "complete")

VENUE_COLUMNS: dict[str, pl.DataType] = {
    "open": pl.Float64(),
    "high": pl.Float64(),
    "low": pl.Float64(),
    "close": pl.Float64(),
    "vwap": pl.Float64(),
    "volume": pl.Float64(),
    "quote_volume": pl.Float64(),
    "trade_count": pl.Int64(),
    "buy_volume": pl.Float64(),
    "sell_volume": pl.Float64(),
    "price_std": pl.Float64(),
    "realized_vol": pl.Float64(),
    "age_us": pl.Int64(),
}
"""Columns of the bars for each venue, with the prefix ``perp_`` or ``spot_``."""

HOLE_COLUMNS = ("perp_hole", "spot_hole")
"""True where trades of the venue are known to be missing between the bar's last known price before it and its end."""


@dataclass(frozen=True, kw_only=True)
class FeatureParams:
    """Parameters of the features: age limits, windows, costs and holding time.

    Durations are given as text (``"5m"``), a timedelta or integer microseconds (`pointline.clock.to_duration_us`), and held in
    microseconds.

    Attributes:
        max_spot_age_us: a spot price older than this at the bar's end gives no basis.
        max_perp_age_us: the same for the perp.
        max_hole_us: a value that looks back or forward over missing trades is null, if they are missing for longer than this. A second
            or more, because shorter stretches are not recorded. The default, a minute, is also the age limit of a price.
        smooth_bars: bars of `basis_smooth` and lag of `basis_slope`.
        z_bars: bars of `basis_z`.
        funding_rules: the venue's dated funding rules over the window; `funding_fair` is null at bars without one.
        costs: costs of the carry features; by default the figures of the perp-spot guide.
        holding_hours: how long `cash_carry_net_bps` collects funding.

    Raises:
        ConfigError: a figure is out of its range, or cannot be read as a duration.
    """

    max_spot_age_us: DurationField = DurationField(MINUTE_US)  # noqa: RUF009 - it holds no value
    max_perp_age_us: DurationField = DurationField(MINUTE_US)  # noqa: RUF009
    max_hole_us: DurationField = DurationField(MINUTE_US, least_us=SECOND_US)  # noqa: RUF009
    smooth_bars: int = 5
    z_bars: int = 100
    funding_rules: tuple[FundingRule, ...] = ()
    costs: CostModel = field(default_factory=CostModel)
    holding_hours: float = 8.0

    def __post_init__(self) -> None:
        for name, fewest in {"smooth_bars": 1, "z_bars": 2}.items():
            value = getattr(self, name)
            if not (is_whole(value) and value >= fewest):
                expected = f"a whole number, {fewest} or more"
                raise ConfigError(f"{name} is not a number of bars", where="FeatureParams", value=value, expected=expected)
            object.__setattr__(self, name, int(value))
        if not isinstance(self.costs, CostModel):
            raise ConfigError("costs is not a cost model", where="FeatureParams", value=self.costs, expected="CostModel(...)")
        if not (_is_finite(self.holding_hours) and self.holding_hours >= 0):
            expected = "a finite number, 0 or more"
            raise ConfigError("holding_hours is out of range", where="FeatureParams", value=self.holding_hours, expected=expected)
        object.__setattr__(self, "funding_rules", tuple(self.funding_rules))

    @property
    def age_limits_us(self) -> tuple[int, int]:
        """`max_perp_age_us` and `max_spot_age_us`."""
        return self.max_perp_age_us, self.max_spot_age_us


@dataclass(frozen=True, kw_only=True)
class PairParams(FeatureParams):
    """Feature parameters, and two more that depend on the pair that is compared.

    Attributes:
        price_factor: how many spot units one perp unit holds (1000 for 1000SHIB). Spot prices are multiplied by it, and spot
            quantities divided by it, before they are compared. Spot columns of the features frame stay as traded.
        cross_quote: the two quotes differ and were not converted: the three basis columns carry the prefix ``cross_quote_``.

    Raises:
        ConfigError: as for `FeatureParams`, or the price factor is not above zero.
    """

    price_factor: float = 1.0
    cross_quote: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (_is_finite(self.price_factor) and self.price_factor > 0):
            raise ConfigError("price_factor is out of range", where="PairParams", value=self.price_factor, expected="more than zero")

    @classmethod
    def of(cls, params: FeatureParams, **pair: Any) -> Self:  # noqa: ANN401 - a float and a truth value
        """The parameters with those of the pair. Without `pair`, they keep those that they have, else price factor 1 and like quotes.

        Raises:
            ConfigError: `params` are no `FeatureParams`.
        """
        if not isinstance(params, FeatureParams):
            raise ConfigError("params has the wrong type", value=params, expected="FeatureParams(...)")
        if isinstance(params, cls) and not pair:
            return params
        return cls(**{one.name: getattr(params, one.name) for one in fields(FeatureParams)}, **pair)


def _is_finite(value: object) -> bool:
    return isinstance(value, Real) and math.isfinite(value)


Builder: TypeAlias = "Callable[[PairParams], pl.Expr]"
Window: TypeAlias = "int | Callable[[FeatureParams], int]"


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One column of the features frame.

    Attributes:
        name: the column.
        formula: the formula in words, with the choices that were made.
        unit: ``"1"`` for a pure number, ``"bps"``, ``"quote"``, ``"base"``, ``"us"``, …
        inputs: columns of the bars, or features, that the formula reads.
        build: the expression, given the parameters. Not-a-number and infinity become null afterwards.
        window: bars that a value depends on, its own included and those of its inputs counted; a number or a function of the parameters.
            A value is null where there are not so many bars, or a hole lies between two of them.
        source: where the formula comes from: a guide, a paper with its DOI, or pointline.
        published_ic: information coefficient printed by the source, not reproduced here.
        dtype: type of the column.

    Raises:
        ConfigError: the window is no whole number above zero.
    """

    name: str
    formula: str
    unit: str
    inputs: tuple[str, ...]
    build: Builder = field(compare=False)
    window: Window = 1
    source: str = OURS
    published_ic: float | None = None
    dtype: pl.DataType = field(default_factory=pl.Float64)

    def reads(self, params: FeatureParams) -> tuple[str, ...]:
        """Its inputs, and other columns that its expression reads."""
        return tuple(dict.fromkeys((*self.inputs, *self.expression(params).meta.root_names())))

    def __post_init__(self) -> None:
        if not callable(self.window):
            self._checked(self.window)

    def bars_needed(self, params: FeatureParams) -> int:
        """Bars that one value depends on.

        Raises:
            ConfigError: the window, a function of the parameters, gives no whole number above zero.
        """
        return self._checked(self.window(params) if callable(self.window) else self.window)

    def _checked(self, bars: int) -> int:
        if not (is_whole(bars) and bars > 0):
            expected = "a whole number of bars, 1 or more, its own included"
            raise ConfigError(f"the window of the feature {self.name} is not a number of bars", value=bars, expected=expected)
        return int(bars)

    def expression(self, params: FeatureParams) -> pl.Expr:
        """The column, named and typed, before holes make values null (see `pointline.features.stretches.within`)."""
        return self.build(PairParams.of(params)).cast(self.dtype).alias(self.name)


def from_bars(name: str, formula: str, unit: str, **options: Any) -> Feature:  # noqa: ANN401 - handed on to Feature as they are
    """A feature that is already a column of the bars."""
    return Feature(name=name, formula=formula, unit=unit, inputs=(name,), build=lambda _: pl.col(name), **options)


def ratio(numerator: pl.Expr, denominator: pl.Expr) -> pl.Expr:
    """The quotient; null where the denominator is zero."""
    return pl.when(denominator != 0).then(numerator / denominator)


def spot_price(column: str, params: PairParams) -> pl.Expr:
    """A spot price (or price difference) in the perp's unit."""
    return pl.col(column) if params.price_factor == 1 else pl.col(column) * params.price_factor


def spot_is_fresh(params: FeatureParams) -> pl.Expr:
    """True where the spot's close is recent enough; null counts as stale."""
    return pl.col("spot_age_us") <= params.max_spot_age_us


def fresh(params: FeatureParams) -> pl.Expr:
    """True where both closes are recent enough to be compared; null counts as stale."""
    return spot_is_fresh(params) & (pl.col("perp_age_us") <= params.max_perp_age_us)
