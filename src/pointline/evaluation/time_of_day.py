"""Volumes by hour of the day: the ratio of perp to spot volume follows the hours of the venues' customers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from pointline.clock import DAY_US, HOUR_US
from pointline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection

    from pointline.evaluation.check_limits import CheckLimits

HOURS = 24
HOUR_COLUMNS = ("bucket_start", "bucket_end", "perp_volume", "spot_volume", "spot_age_us")


def volumes_by_hour(
    bars: pl.DataFrame,
    *,
    limits: CheckLimits,
    max_spot_age_us: int,
    price_factor: float = 1.0,
    without_days_us: Collection[int] = (),
) -> pl.DataFrame:
    """Volumes of perp and spot, and stale bars, by UTC hour in which bars begin.

    Args:
        bars: one row per bar, with `HOUR_COLUMNS`; volumes in base units, times in microseconds UTC.
        limits: the ratios at which there is an advice.
        max_spot_age_us: a spot price older than this is stale.
        price_factor: how many spot units one perp unit holds (1000 for 1000SHIB).
        without_days_us: 00:00 UTC of days to leave out, because the two sides do not both cover them whole.

    Returns:
        24 rows: ``hour``; ``days`` and ``bars`` that count; ``perp_volume`` (spot's base units) and ``spot_volume``, sums;
        ``volume_ratio``, null without spot volume; ``spot_volume_median`` per bar; ``stale_share`` of bars; ``advice``. A sum is null
        where a bar of the hour has no volume told.

    Raises:
        ConfigError: a column is missing, or half of the bars are longer than an hour.

    Examples:
        >>> from pointline.evaluation import CheckLimits
        >>> bars = pl.DataFrame(
        ...     {
        ...         "bucket_start": [0, 1_800_000_000],
        ...         "bucket_end": [1_800_000_000, 3_600_000_000],
        ...         "perp_volume": [10.0, 10.0],
        ...         "spot_volume": [1.0, 4.0],
        ...         "spot_age_us": [10, None],
        ...     }
        ... )
        >>> table = volumes_by_hour(bars, limits=CheckLimits(), max_spot_age_us=60_000_000)
        >>> table.select("hour", "bars", "volume_ratio", "spot_volume_median", "stale_share").row(0)
        (0, 2, 4.0, 2.5, 0.5)
    """
    missing = [name for name in HOUR_COLUMNS if name not in bars.columns]
    if missing:
        raise ConfigError("the bars lack columns", value=", ".join(missing), expected=f"bars with {', '.join(HOUR_COLUMNS)}")
    length_us = bars.select((pl.col("bucket_end") - pl.col("bucket_start")).median()).item()
    if length_us is not None and length_us > HOUR_US:
        raise ConfigError(
            "the bars are too long to be told apart by hour",
            value=f"a median length of {length_us / HOUR_US:.3g} h",
            expected="an hour at most",
            hint="lower the threshold of the bars",
        )
    start = pl.col("bucket_start")
    kept = bars.filter(~(start - start % DAY_US).is_in(list(without_days_us)))
    stale = pl.col("spot_age_us").is_null() | (pl.col("spot_age_us") > max_spot_age_us)
    told = kept.group_by((start % DAY_US // HOUR_US).alias("hour")).agg(
        (start // DAY_US).n_unique().alias("days"),
        pl.len().alias("bars"),
        _whole_sum("perp_volume") * price_factor,
        _whole_sum("spot_volume"),
        pl.col("spot_volume").median().alias("spot_volume_median"),
        stale.mean().alias("stale_share"),
    )
    hours = pl.DataFrame({"hour": range(HOURS)}, schema={"hour": pl.Int64})
    ratio = pl.when(pl.col("spot_volume") > 0).then(pl.col("perp_volume") / pl.col("spot_volume"))
    table = hours.join(told, on="hour", how="left", maintain_order="left").with_columns(
        pl.col("days", "bars").fill_null(0).cast(pl.Int64), ratio.alias("volume_ratio")
    )
    order = ("hour", "days", "bars", "perp_volume", "spot_volume", "volume_ratio", "spot_volume_median", "stale_share", "advice")
    return table.with_columns(_advice(limits).alias("advice")).select(order)


def _whole_sum(name: str) -> pl.Expr:
    return pl.when(pl.col(name).null_count() == 0).then(pl.col(name).sum()).alias(name)


def _advice(limits: CheckLimits) -> pl.Expr:
    ratio, low, high = pl.col("volume_ratio"), limits.volume_ratio_min, limits.volume_ratio_high
    return (
        pl.when(pl.col("bars") == 0)
        .then(pl.lit("no bars"))
        .when(pl.col("spot_volume") == 0)
        .then(pl.lit("no spot volume"))
        .when(ratio < low)
        .then(pl.lit(f"below {low:g}: consider the dual spine"))
        .when(ratio > high)
        .then(pl.lit(f"above {high:g}: the spot may be too thin"))
        .when(ratio.is_not_null())
        .then(pl.lit(""))
    )
