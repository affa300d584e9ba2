"""Polars alone, written with care: day by day, bars by a cumulative sum and an integer division, spot by a binary search, no join."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
from job import DAY_US, run
from polars_columns import decoded_summary

if TYPE_CHECKING:
    from job import Job

_COLUMNS = ("ts_local_us", "price_int", "qty_int", "side")


def features(job: Job) -> pl.DataFrame:
    """The features of the window."""
    days = [_day(perp, spot, job) for perp, spot in zip(job.perp_files, job.spot_files, strict=True)]
    return _pair_features(pl.concat(days))


def _day(perp_file: str, spot_file: str, job: Job) -> pl.DataFrame:
    threshold = job.threshold_lots
    total = pl.col("qty_int").cum_sum()
    new_time = pl.col("ts_local_us").ne_missing(pl.col("ts_local_us").shift())
    before = pl.when(new_time).then(total - pl.col("qty_int")).forward_fill()
    perp = (
        pl.scan_parquet(perp_file, hive_partitioning=False)
        .select(*_COLUMNS, bar=(before // threshold).set_sorted())
        .group_by("bar", maintain_order=True)
        .agg(*_figures("perp", job), pl.col("qty_int").sum().alias("lots"), pl.col("ts_local_us").last().alias("last_us"))
        .with_columns(closed=pl.col("lots").cum_sum() >= (pl.col("bar") + 1) * threshold)
        .with_columns(bucket_end=pl.when("closed").then(pl.col("last_us") + 1).otherwise((pl.col("last_us") // DAY_US + 1) * DAY_US))
        .with_row_index("window")
        .collect()
    )
    ends = perp["bucket_end"]
    spot = pl.scan_parquet(spot_file, hive_partitioning=False).select(_COLUMNS).collect()
    windows = ends.search_sorted(spot["ts_local_us"], side="right").cast(pl.UInt32).set_sorted()
    spot_bars = spot.with_columns(windows.alias("window")).group_by("window", maintain_order=True).agg(*_figures("spot", job))
    return perp.join(spot_bars, on="window", how="left", maintain_order="left")


def _figures(venue: str, job: Job) -> list[pl.Expr]:
    price_decimals, qty_decimals = job.decimals(venue)
    price, qty = pl.col("price_int"), pl.col("qty_int")
    tick, lot = 10.0**-price_decimals, 10.0**-qty_decimals
    figures = {
        "open": price.first() * tick,
        "high": price.max() * tick,
        "low": price.min() * tick,
        "close": price.last() * tick,
        "volume": qty.sum() * lot,
        "quote_volume": (price * qty).sum() * (tick * lot),
        "trade_count": pl.len(),
        "buy_volume": qty.filter(~pl.col("side")).sum() * lot,
        "price_std": price.std() * tick,
    }
    return [figure.alias(f"{venue}_{name}") for name, figure in figures.items()]


def _pair_features(bars: pl.DataFrame) -> pl.DataFrame:
    for venue in ("perp", "spot"):
        volume, close = pl.col(f"{venue}_volume"), pl.col(f"{venue}_close")
        bars = bars.with_columns(
            (pl.col(f"{venue}_quote_volume") / volume).alias(f"{venue}_vwap"),
            (2 * pl.col(f"{venue}_buy_volume") / volume - 1).alias(f"{venue}_flow_imbalance"),
            (close / close.shift(1) - 1).alias(f"{venue}_ret_1bar"),
        )
    basis = (pl.col("perp_close") - pl.col("spot_close")) / pl.col("spot_close") * 10_000
    return bars.with_columns(basis.alias("basis_bps")).with_columns(
        (pl.col("perp_ret_1bar") - pl.col("spot_ret_1bar")).alias("momentum_divergence"),
        (pl.col("perp_volume") / pl.col("spot_volume")).alias("volume_ratio"),
        (pl.col("perp_flow_imbalance") - pl.col("spot_flow_imbalance")).alias("flow_divergence"),
        (pl.col("perp_price_std") / pl.col("spot_price_std")).alias("volatility_ratio"),
        (pl.col("perp_flow_imbalance") * pl.col("basis_bps")).alias("flow_basis_interaction"),
    )


if __name__ == "__main__":
    run(features, decoded_summary)
