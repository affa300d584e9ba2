"""The perp-spot guide as it is written: decoded frames, join_asof onto the spine, group_by, inner join.

Its calls are those of `pointline.research`, so the spine (step 3) comes from pointline's own builder here.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import polars as pl
from job import run
from polars_columns import decoded_summary

import pointline
from pointline.clock import to_us
from pointline.errors import NoDataError
from pointline.research import list_symbols, query
from pointline.research.resample import assign_to_buckets
from pointline.research.spines import VolumeBarConfig, get_builder

if TYPE_CHECKING:
    from job import Job


def features(job: Job) -> pl.DataFrame:
    """Steps 2 to 6 of the guide."""
    lake = pointline.open_lake(job.lake)
    perp = list_symbols(exchange="binance-futures", base_asset="BTC", quote_asset="USDT", asset_type="perpetual", lake=lake)
    trades_perp = query.trades("binance-futures", "BTCUSDT", job.start, job.end, decoded=True, lake=lake)
    trades_spot = query.trades("binance-spot", "BTCUSDT", job.start, job.end, decoded=True, lake=lake)
    spine = get_builder("volume").build_spine(
        symbol_id=perp["symbol_id"][0],
        start_ts_us=to_us(job.start),
        end_ts_us=to_us(job.end),
        config=VolumeBarConfig(volume_threshold=job.threshold),
        lake=lake,
    )
    spine = spine.with_columns(pl.col("ts_local_us").alias("bucket_start"))
    perp_bars = _aggregated(assign_to_buckets(events=trades_perp.lazy(), spine=spine, ts_col="ts_local_us"), "perp")
    spot_bars = _aggregated(assign_to_buckets(events=trades_spot.lazy(), spine=spine, ts_col="ts_local_us"), "spot")
    funding = assign_to_buckets(events=_funding(job, lake).lazy(), spine=spine, ts_col="ts_local_us")
    funding_bars = funding.group_by("bucket_start").agg(pl.col("funding_rate").last().alias("funding_close")).collect()
    joined = (
        perp_bars.join(spot_bars, on="bucket_start", how="inner")
        .join(funding_bars, on="bucket_start", how="left", maintain_order="left")
        .sort("bucket_start")
    )
    return _pair_features(joined)


def _funding(job: Job, lake: pointline.Lake) -> pl.DataFrame:
    try:
        return query.derivative_ticker("binance-futures", "BTCUSDT", job.start, job.end, decoded=True, lake=lake)
    except NoDataError:
        return query.funding("binance-futures", "BTCUSDT", job.start, job.end, decoded=True, lake=lake)


def _aggregated(bucketed: pl.LazyFrame, venue: str) -> pl.DataFrame:
    price, qty, side = pl.col("price"), pl.col("qty"), pl.col("side")
    bought, sold = qty.filter(side == 0).sum(), qty.filter(side == 1).sum()
    figures = {
        "open": price.first(),
        "high": price.max(),
        "low": price.min(),
        "close": price.last(),
        "volume": qty.sum(),
        "trade_count": pl.len(),
        "vwap": (price * qty).sum() / qty.sum(),
        "price_std": price.std(),
        "flow_imbalance": (bought - sold) / (bought + sold),
    }
    bars = (
        bucketed.drop_nulls("bucket_start").group_by("bucket_start").agg(**{f"{venue}_{name}": figure for name, figure in figures.items()})
    )
    close = pl.col(f"{venue}_close")
    return bars.sort("bucket_start").with_columns((close / close.shift(1) - 1).alias(f"{venue}_ret_1bar")).collect()


def _pair_features(joined: pl.DataFrame) -> pl.DataFrame:
    basis = (pl.col("perp_close") - pl.col("spot_close")) / pl.col("spot_close") * 10_000
    return joined.with_columns(basis.alias("basis_bps")).with_columns(
        (pl.col("funding_close") - pl.col("basis_bps") / 10_000 / 3).alias("funding_basis_divergence"),
        (pl.col("perp_ret_1bar") - pl.col("spot_ret_1bar")).alias("momentum_divergence"),
        (pl.col("perp_volume") / pl.col("spot_volume")).alias("volume_ratio"),
        (pl.col("perp_flow_imbalance") - pl.col("spot_flow_imbalance")).alias("flow_divergence"),
        (pl.col("perp_price_std") / pl.col("spot_price_std")).alias("volatility_ratio"),
        (pl.col("perp_flow_imbalance") * pl.col("basis_bps")).alias("flow_basis_interaction"),
    )


if __name__ == "__main__":
    run(features, partial(decoded_summary, every_bar=False))
