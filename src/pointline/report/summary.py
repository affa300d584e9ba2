"""The page-long summary of a comparison: counts, ratios with advice, staleness, quantiles, null shares, speed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from pointline.features import CROSS_QUOTE_PREFIX, FEATURES

if TYPE_CHECKING:
    from pointline.research.bars import Bars

QUANTILES = (0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0)
LOW_RATIO, HIGH_RATIO = 5.0, 20.0


def summarise(
    *,
    features: pl.DataFrame,
    bars: pl.DataFrame,
    built: Bars,
    window: tuple[int, int],
    elapsed_s: float,
    max_spot_age_us: int,
    price_factor: float = 1.0,
) -> dict[str, Any]:
    """Figures of a comparison, JSON-ready.

    Args:
        features: the table of the comparison.
        bars: all bars of the window, before a join may have dropped some.
        built: the venues' partitions.
        window: start and end in microseconds.
        elapsed_s: how long the comparison took.
        price_factor: how many spot units one perp unit holds (1000 for 1000SHIB).
        max_spot_age_us: a spot price older than this is stale.
    """
    perp_trades, perp_volume = int(bars["perp_trade_count"].sum()), float(bars["perp_volume"].sum())
    spot_trades, spot_volume = _spot_amounts(bars, built)
    ratio = perp_volume * price_factor / spot_volume if spot_volume else None
    rows = sum(f.rows for venue in (built.perp_venue, built.spot_venue) for f in venue.files.values())
    without_spot = bars.select((pl.col("spot_trade_count") == 0).mean()).item()
    stale = bars.select((pl.col("spot_age_us").is_null() | (pl.col("spot_age_us") > max_spot_age_us)).mean()).item()
    basis = "basis_bps" if "basis_bps" in features.columns else f"{CROSS_QUOTE_PREFIX}basis_bps"
    return {
        "window_us": list(window),
        "perp_trades": perp_trades,
        "spot_trades": spot_trades,
        "perp_volume_base": perp_volume,
        "spot_volume_base": spot_volume,
        "volume_ratio": ratio,
        "advice": advice(ratio),
        "bars": features.height,
        "bars_dropped": bars.height - features.height,
        "incomplete_bars": int((~features["complete"]).sum()),
        "share_bars_without_spot": without_spot,
        "share_bars_stale_spot": stale,
        "median_bar_seconds": _median(features, "bar_duration_us", 1e6),
        "quantiles": {name: _quantiles(features, name) for name in (basis, "funding_8h", "spot_volume")},
        "funding_source": sorted(s for s in features["funding_source"].unique() if s is not None),
        "null_share": _null_shares(features),
        "rows_in_partitions": rows,
        "elapsed_s": elapsed_s,
        "rows_per_s": rows / elapsed_s if elapsed_s else None,
    }


def _spot_amounts(bars: pl.DataFrame, built: Bars) -> tuple[int, float]:
    """Spot trades and base volume; a dual spine repeats some spot bars and passes over others, so there the trades are counted."""
    if "spot_bucket_end" not in bars.columns:
        return int(bars["spot_trade_count"].sum()), float(bars["spot_volume"].sum())
    paths = [file.path for file in built.spot_venue.files.values()]
    known = pl.col("ts_local_us").is_between(bars["bucket_start"].min(), bars["bucket_end"].max(), closed="left")
    by_scale = pl.scan_parquet(paths, hive_partitioning=False).filter(known).group_by("qty_decimals").agg(pl.len(), pl.col("qty_int").sum())
    sums = by_scale.collect().rows()
    return sum(count for _, count, _ in sums), sum(qty / 10.0**decimals for decimals, _, qty in sums)


def advice(ratio: float | None) -> str:
    """What the guide advises at a perp : spot volume ratio."""
    if ratio is None:
        return "no spot volume in the window"
    if ratio < LOW_RATIO:
        return f"below {LOW_RATIO:g}: consider the dual spine (each side its own bars)"
    if ratio > HIGH_RATIO:
        return f"above {HIGH_RATIO:g}: spot may be thin, look at the share of bars without spot"
    return f"between {LOW_RATIO:g} and {HIGH_RATIO:g}: a perp-driven spine makes sense"


def _quantiles(features: pl.DataFrame, name: str) -> dict[str, float | None]:
    column = features[name]
    return {f"{q:g}": column.quantile(q, interpolation="nearest") for q in QUANTILES}


def _median(features: pl.DataFrame, name: str, scale: float) -> float | None:
    value = features[name].median()
    return None if value is None else float(value) / scale  # type: ignore[arg-type]


def _null_shares(features: pl.DataFrame) -> dict[str, float]:
    names = [name for feature in FEATURES for name in (feature, f"{CROSS_QUOTE_PREFIX}{feature}") if name in features.columns]
    height = max(features.height, 1)
    return {name: features[name].null_count() / height for name in dict.fromkeys(names)}
