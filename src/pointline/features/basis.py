"""The basis between perp and spot, and the comparisons of their returns, volumes and volatility.

The basis is (perp - spot) / spot, as the perp-spot guide defines it. The formulas of smoothing, slope, momentum divergence and of the
ratios of volume and of price deviations are the guide's too; log basis, z-score and the ratios of realised volatility and of high-low
range are ours.
"""

from __future__ import annotations

import polars as pl

from pointline.features.feature import GUIDE, Feature, PairParams, fresh, ratio, spot_is_fresh, spot_price
from pointline.features.rolling import rolling_mean_expr, rolling_z_expr

BPS = 10_000
PER_BPS = 1e-4
"""Basis points to a fraction, as a factor: polars divides by a constant as it sees fit (a single row rounds unlike many), while a
product has the same bits for any number of rows."""

BASIS_LEVELS = ("basis_bps", "vwap_basis_bps", "log_basis_bps")
"""The columns that carry the prefix ``cross_quote_`` where the quotes differ."""

_CLOSES = ("perp_close", "spot_close", "perp_age_us", "spot_age_us")


def basis_expr(params: PairParams) -> pl.Expr:
    """The basis of the closes in bps; null where one is missing or too old."""
    spot = spot_price("spot_close", params)
    return pl.when(fresh(params)).then(ratio(pl.col("perp_close") - spot, spot) * BPS)


def _vwap_basis(params: PairParams) -> pl.Expr:
    spot = spot_price("spot_vwap", params)
    return ratio(pl.col("perp_vwap") - spot, spot) * BPS


def _log_basis(params: PairParams) -> pl.Expr:
    return pl.when(fresh(params)).then(ratio(pl.col("perp_close"), spot_price("spot_close", params)).log() * BPS)


def _returns_apart(_: PairParams) -> pl.Expr:
    return pl.col("perp_ret_1bar") - pl.col("spot_ret_1bar")


def _volume_ratio(params: PairParams) -> pl.Expr:
    return ratio(pl.col("perp_volume") * params.price_factor, pl.col("spot_volume"))


def _volatility_ratio(params: PairParams) -> pl.Expr:
    return ratio(pl.col("perp_price_std"), spot_price("spot_price_std", params))


BASIS_FEATURES = (
    Feature(
        name="basis_bps",
        formula="(perp_close - spot_close) / spot_close * 10^4; null where spot_age_us or perp_age_us exceeds its limit",
        unit="bps",
        inputs=_CLOSES,
        build=basis_expr,
        source=GUIDE,
        published_ic=0.06,
    ),
    Feature(
        name="vwap_basis_bps",
        formula="(perp_vwap - spot_vwap) / spot_vwap * 10^4; null unless both venues traded in the bar",
        unit="bps",
        inputs=("perp_vwap", "spot_vwap"),
        build=_vwap_basis,
        source=GUIDE,
    ),
    Feature(
        name="log_basis_bps",
        formula="ln(perp_close / spot_close) * 10^4; null where basis_bps is",
        unit="bps",
        inputs=_CLOSES,
        build=_log_basis,
    ),
    Feature(
        name="basis_momentum",
        formula="basis_bps - basis_bps.shift(1)",
        unit="bps",
        inputs=("basis_bps",),
        build=lambda _: pl.col("basis_bps") - pl.col("basis_bps").shift(1),
        window=2,
        source=GUIDE,
    ),
    Feature(
        name="basis_smooth",
        formula="mean of basis_bps over the last 5 bars (smooth_bars); null where one of them is",
        unit="bps",
        inputs=("basis_bps",),
        build=lambda params: rolling_mean_expr("basis_bps", params.smooth_bars),
        window=lambda params: params.smooth_bars,
        source=GUIDE,
    ),
    Feature(
        name="basis_slope",
        formula="basis_bps - basis_bps.shift(5) (smooth_bars)",
        unit="bps",
        inputs=("basis_bps",),
        build=lambda params: pl.col("basis_bps") - pl.col("basis_bps").shift(params.smooth_bars),
        window=lambda params: params.smooth_bars + 1,
        source=GUIDE,
    ),
    Feature(
        name="basis_z",
        formula="(basis_bps - mean) / sample standard deviation over the last 100 bars (z_bars); null where one is null or all are equal",
        unit="1",
        inputs=("basis_bps",),
        build=lambda params: rolling_z_expr("basis_bps", params.z_bars),
        window=lambda params: params.z_bars,
    ),
    Feature(
        name="momentum_divergence",
        formula="perp_ret_1bar - spot_ret_1bar; the change of log_basis_bps / 10^4 up to second order",
        unit="1",
        inputs=("perp_ret_1bar", "spot_ret_1bar"),
        build=_returns_apart,
        window=2,
        source=GUIDE,
        published_ic=0.08,
    ),
    Feature(
        name="momentum_divergence_fresh",
        formula="momentum_divergence where spot_age_us is within its limit, else null",
        unit="1",
        inputs=("momentum_divergence", "spot_age_us"),
        build=lambda params: pl.when(spot_is_fresh(params)).then("momentum_divergence"),
        window=2,
    ),
    Feature(
        name="volume_ratio",
        formula="perp_volume / spot_volume; null without spot; on a spine of perp volume the numerator hardly varies",
        unit="1",
        inputs=("perp_volume", "spot_volume"),
        build=_volume_ratio,
        source=GUIDE,
        published_ic=0.04,
    ),
    Feature(
        name="volatility_ratio",
        formula="perp_price_std / spot_price_std",
        unit="1",
        inputs=("perp_price_std", "spot_price_std"),
        build=_volatility_ratio,
        source=GUIDE,
        published_ic=0.03,
    ),
    Feature(
        name="realized_vol_ratio",
        formula="perp_realized_vol / spot_realized_vol",
        unit="1",
        inputs=("perp_realized_vol", "spot_realized_vol"),
        build=lambda _: ratio(pl.col("perp_realized_vol"), pl.col("spot_realized_vol")),
    ),
    Feature(
        name="spread_ratio",
        formula="perp_hl_spread / spot_hl_spread",
        unit="1",
        inputs=("perp_hl_spread", "spot_hl_spread"),
        build=lambda _: ratio(pl.col("perp_hl_spread"), pl.col("spot_hl_spread")),
    ),
    Feature(
        name="bar_duration_us",
        formula="bucket_end - bucket_start",
        unit="us",
        inputs=("bucket_start", "bucket_end"),
        build=lambda _: pl.col("bucket_end") - pl.col("bucket_start"),
        dtype=pl.Int64(),
    ),
)
