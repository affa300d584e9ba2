"""Perp-spot features step by step: six simulated days, and every call that `pointline.compare` makes for you.

The steps, names and calls are those of the perp-spot guide of 2026-02-09. A comment marked "Differs" stands wherever the code
departs from it, and says why. At the end the table is held against `pointline.compare`: the columns that both have are equal.

Run it with ``python examples/perp_spot_guide.py``; it works in a temporary folder and takes some seconds.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import polars as pl
import polars.selectors as cs
from polars.testing import assert_frame_equal

import pointline
from pointline import research
from pointline.clock import DAY_US, to_us
from pointline.features import FeatureParams
from pointline.ingest.run import ingest
from pointline.research import query
from pointline.research.resample import assign_to_buckets
from pointline.research.spines import VolumeBarConfig, get_builder
from pointline.simulate import MarketConfig, write_archives, write_exchange_info
from pointline.sources.base import Hints
from pointline.sources.families import all_sources

START, END = "2024-05-01", "2024-05-07"  # the end is exclusive: six days
LOW_RATIO, HIGH_RATIO = 5, 20

PERP_TAKER_FEE_BPS, PERP_SLIPPAGE_BPS = 5.0, 2.0
SPOT_TAKER_FEE_BPS, SPOT_SLIPPAGE_BPS = 10.0, 3.0
PERP_TOTAL_COST = (PERP_TAKER_FEE_BPS + PERP_SLIPPAGE_BPS) * 2
# Differs: the guide takes 8 bps for a withdrawal of $5 on $60,000, which is 0.83 bps; and where both legs are on one exchange,
# as here, nothing is withdrawn. The other figures are the guide's.
SPOT_WITHDRAWAL_BPS = 0.0
SPOT_TOTAL_COST = (SPOT_TAKER_FEE_BPS + SPOT_SLIPPAGE_BPS) * 2 + SPOT_WITHDRAWAL_BPS
ARBITRAGE_COST = PERP_TOTAL_COST + SPOT_TOTAL_COST


def make_lake(folder: Path) -> None:
    """Simulates the market as its exchange publishes it, ingests the files and makes the lake the default one."""
    market = MarketConfig(start=START, days=6, perp_trades_per_day=60_000, spot_median_qty_base=0.012)
    files = [
        *write_exchange_info(market, folder / "archives"),
        *write_archives(market, folder / "archives", datasets=("trades", "recorded", "fundingRate")),
    ]
    lake = pointline.open_lake(folder / "lake", create=True)
    for report in ingest(lake, files, sources=all_sources(), hints=Hints()):
        if report.problem:
            raise SystemExit(report.problem)
    os.environ["POINTLINE_LAKE"] = str(lake.root)


def find_symbols() -> tuple[int, int]:
    """Step 1: the perp and its spot in the registry."""
    symbols_perp = research.list_symbols(exchange="binance-futures", base_asset="BTC", quote_asset="USDT", asset_type="perpetual")
    symbols_spot = research.list_symbols(exchange="binance-spot", base_asset="BTC", quote_asset="USDT", asset_type="spot")
    return symbols_perp["symbol_id"][0], symbols_spot["symbol_id"][0]


def load() -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Step 2: trades of both venues and the perp's running funding estimate."""
    trades_perp = query.trades("binance-futures", "BTCUSDT", "2024-05-01", "2024-05-07", decoded=True)
    trades_spot = query.trades("binance-spot", "BTCUSDT", "2024-05-01", "2024-05-07", decoded=True)
    # Beyond the guide: prints away from the book are flagged, and bars leave them out.
    trades_perp, trades_spot = (trades.filter(~pl.col("off_book")) for trades in (trades_perp, trades_spot))
    funding = query.derivative_ticker("binance-futures", "BTCUSDT", "2024-05-01", "2024-05-07", decoded=True)

    perp_volume = trades_perp["qty"].sum()
    spot_volume = trades_spot["qty"].sum()
    ratio = perp_volume / spot_volume
    print(f"Perp/Spot volume ratio: {ratio:.2f}x")
    if ratio < LOW_RATIO:
        print("low: consider a spine for each side")
    elif ratio > HIGH_RATIO:
        print("very high: spot may be too thin")
    return trades_perp, trades_spot, funding


def build_spine(symbol_id_perp: int) -> pl.DataFrame:
    """Step 3: bars from the perp's volume alone."""
    # Differs: the guide uses these two names without giving them a value.
    start_ts_us, end_ts_us = to_us(START), to_us(END)
    spine_builder = get_builder("volume")
    spine = spine_builder.build_spine(
        symbol_id=symbol_id_perp,
        start_ts_us=start_ts_us,
        end_ts_us=end_ts_us,
        config=VolumeBarConfig(volume_threshold=100.0),
    )
    return spine.with_columns([pl.col("ts_local_us").alias("bucket_start")])


def venue_features(bucketed: pl.LazyFrame, venue: str) -> pl.DataFrame:
    """Step 5, one venue: a row per bar in which it traded."""
    bought = pl.col("qty").filter(pl.col("side") == 0).sum()
    sold = pl.col("qty").filter(pl.col("side") == 1).sum()
    features = (
        # Differs: events outside the spine are labelled null, and a group of nulls would pass for a bar.
        bucketed.drop_nulls("bucket_start")
        .group_by("bucket_start")
        .agg(
            [
                pl.col("price").last().alias(f"{venue}_close"),
                pl.col("qty").sum().alias(f"{venue}_volume"),
                ((pl.col("price") * pl.col("qty")).sum() / pl.col("qty").sum()).alias(f"{venue}_vwap"),
                pl.col("price").std().alias(f"{venue}_price_std"),
                ((bought - sold) / (bought + sold)).alias(f"{venue}_flow_imbalance"),
            ]
        )
        # Differs: groups come in no particular order, and a return is taken from one bar to the next.
        .sort("bucket_start")
    )
    # Differs: the guide reads *_ret_1bar and never makes it. It is taken before the join, because a bar that the inner join drops
    # would stretch the return of the bar behind it.
    close = pl.col(f"{venue}_close")
    return features.with_columns((close / close.shift(1) - 1).alias(f"{venue}_ret_1bar")).collect()


def aggregate(bucketed_perp: pl.LazyFrame, bucketed_spot: pl.LazyFrame, bucketed_funding: pl.LazyFrame) -> pl.DataFrame:
    """Step 5: each side on its own, then joined on the bar."""
    features_perp = venue_features(bucketed_perp, "perp")
    features_spot = venue_features(bucketed_spot, "spot")
    features_funding = bucketed_funding.group_by("bucket_start").agg([pl.col("funding_rate").last().alias("funding_close")])
    return (
        # An inner join drops every bar without a spot trade, and with it what a quiet spot has to tell. It is kept here because it
        # is the guide's way; compare() keeps such bars unless it is asked for join="inner".
        features_perp.join(features_spot, on="bucket_start", how="inner")
        # Sound only because the estimate comes each second: a slower feed leaves nulls here. compare() reads the newest value
        # before the end of the bar and says how old it is.
        .join(features_funding.collect(), on="bucket_start", how="left", maintain_order="left")
        .sort("bucket_start")
    )


def perp_spot_features(features: pl.DataFrame) -> pl.DataFrame:
    """Step 6: the features of the pair."""
    basis = (pl.col("perp_close") - pl.col("spot_close")) / pl.col("spot_close") * 10000
    vwap_basis = (pl.col("perp_vwap") - pl.col("spot_vwap")) / pl.col("spot_vwap") * 10000
    # Differs: two calls instead of one, since an expression cannot read a column that is made beside it.
    return features.with_columns([basis.alias("basis_bps"), vwap_basis.alias("vwap_basis_bps")]).with_columns(
        [
            # A third of the basis is no venue's rule for funding. The name and formula are the guide's;
            # compare() puts funding_fair_divergence, made from the venue's own rule, beside it.
            (pl.col("funding_close") - (pl.col("basis_bps") / 10000 / 3)).alias("funding_basis_divergence"),
            (pl.col("perp_ret_1bar") - pl.col("spot_ret_1bar")).alias("momentum_divergence"),
            (pl.col("perp_volume") / pl.col("spot_volume")).alias("volume_ratio"),
            (pl.col("perp_flow_imbalance") - pl.col("spot_flow_imbalance")).alias("flow_divergence"),
            (pl.col("perp_price_std") / pl.col("spot_price_std")).alias("volatility_ratio"),
            (pl.col("perp_flow_imbalance") * pl.col("basis_bps")).alias("flow_basis_interaction"),
            (pl.col("basis_bps").abs() > ARBITRAGE_COST).alias("cash_carry_opportunity"),
            (pl.col("basis_bps").abs() - ARBITRAGE_COST).alias("cash_carry_profit_bps"),
        ]
    )


def check_against_compare(features: pl.DataFrame, spine: pl.DataFrame) -> None:
    """One call gives the same bars and the same columns; sums of floats may differ in their last digits."""
    # The guide takes a price however old it is. compare() gives no basis from one that is too old, unless it is told so.
    no_age_limit = FeatureParams(max_spot_age_us=DAY_US, max_perp_age_us=DAY_US)
    study = pointline.compare(
        "binance-futures:BTCUSDT",
        "binance-spot:BTCUSDT",
        start=START,
        end=END,
        bars=VolumeBarConfig(volume_threshold=100.0),
        costs=pointline.CostModel.same_exchange(),
        params=no_age_limit,
        join="inner",
    )
    assert_frame_equal(study.spine, spine)
    for columns, last_digits in ((cs.ends_with("_bps"), 1e-6), (~cs.ends_with("_bps"), 1e-12)):
        guide = features.select(columns)
        assert_frame_equal(guide, study.features.select(guide.columns), rel_tol=1e-9, abs_tol=last_digits)
    print(f"compare() gives the same {features.width} columns on the same {features.height} of {spine.height} bars")
    old = study.features.filter(pl.col("spot_age_us") > FeatureParams().max_spot_age_us).height
    print(f"  in {old} of them the spot price is more than a minute old; without no_age_limit it would show no basis there")


def main() -> None:
    """Runs the steps in order."""
    with tempfile.TemporaryDirectory() as folder:
        make_lake(Path(folder))
        symbol_id_perp, symbol_id_spot = find_symbols()
        print(f"perp symbol_id {symbol_id_perp}, spot symbol_id {symbol_id_spot}")
        trades_perp, trades_spot, funding = load()
        spine_with_bucket = build_spine(symbol_id_perp)

        # Step 4: everything is put on the one spine.
        bucketed_perp = assign_to_buckets(events=trades_perp.lazy(), spine=spine_with_bucket, ts_col="ts_local_us")
        bucketed_spot = assign_to_buckets(events=trades_spot.lazy(), spine=spine_with_bucket, ts_col="ts_local_us")
        bucketed_funding = assign_to_buckets(events=funding.lazy(), spine=spine_with_bucket, ts_col="ts_local_us")

        features = perp_spot_features(aggregate(bucketed_perp, bucketed_spot, bucketed_funding))
        features.glimpse(max_items_per_column=4)
        print(f"median spot volume per bar: {features['spot_volume'].median():.2f} BTC")
        print(f"costs of cash and carry: {PERP_TOTAL_COST:g} + {SPOT_TOTAL_COST:g} = {ARBITRAGE_COST:g} bps,")
        print(f"  covered by the basis in {features['cash_carry_opportunity'].sum()} of {features.height} bars")
        check_against_compare(features, spine_with_bucket)


if __name__ == "__main__":
    main()
