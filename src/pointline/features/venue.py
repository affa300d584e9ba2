"""Features of one venue alone: prices, volumes, flow and returns of the perp and of the spot market.

``realized_vol`` is the square root of the realised variance of Andersen, Bollerslev, Diebold and Labys (2003), doi:10.1111/1468-0262.00418,
over the bar. Two choices are ours: the returns are between consecutive trades at distinct times, so that trades of one timestamp count
once, and the sum is not annualised. The volume-bar guide takes the standard deviation of the same returns instead.
"""

from __future__ import annotations

import polars as pl

from pointline.features.feature import ANDERSEN_2003, GUIDE, OURS, VENUE_COLUMNS, VOLUME_BAR_GUIDE, Feature, from_bars, ratio

_AMOUNTS = {
    "open": ("first trade price of the bar; null without a trade", "quote", VOLUME_BAR_GUIDE),
    "high": ("highest trade price of the bar; null without a trade", "quote", VOLUME_BAR_GUIDE),
    "low": ("lowest trade price of the bar; null without a trade", "quote", VOLUME_BAR_GUIDE),
    "close": ("last trade price strictly before bucket_end; a bar without a trade has the one before", "quote", GUIDE),
    "vwap": ("sum(price * qty) / sum(qty); null without a trade", "quote", GUIDE),
    "volume": ("sum(qty)", "base", GUIDE),
    "quote_volume": ("sum(price * qty)", "quote", OURS),
    "trade_count": ("number of trades", "1", VOLUME_BAR_GUIDE),
    "buy_volume": ("sum(qty) where the buyer was the taker; null if the side of a trade is not known", "base", VOLUME_BAR_GUIDE),
    "sell_volume": ("sum(qty) where the seller was the taker; null if the side of a trade is not known", "base", VOLUME_BAR_GUIDE),
    "price_std": ("sample standard deviation of the trade prices; null below two trades", "quote", GUIDE),
    "realized_vol": ("square root of the sum of squared log returns between consecutive trades at distinct times", "1", ANDERSEN_2003),
    "age_us": ("bucket_end - time of the last trade", "us", OURS),
}


def _features_of(venue: str) -> tuple[Feature, ...]:
    close, high, low, vwap = (pl.col(f"{venue}_{name}") for name in ("close", "high", "low", "vwap"))
    buys, sells = pl.col(f"{venue}_buy_volume"), pl.col(f"{venue}_sell_volume")
    held = tuple(
        from_bars(f"{venue}_{name}", formula, unit, source=source, dtype=VENUE_COLUMNS[name])
        for name, (formula, unit, source) in _AMOUNTS.items()
    )
    return (
        *held,
        Feature(
            name=f"{venue}_flow_imbalance",
            formula=f"({venue}_buy_volume - {venue}_sell_volume) / ({venue}_buy_volume + {venue}_sell_volume); null without volume",
            unit="1",
            inputs=(f"{venue}_buy_volume", f"{venue}_sell_volume"),
            build=lambda _: ratio(buys - sells, buys + sells),
            source=VOLUME_BAR_GUIDE,
        ),
        Feature(
            name=f"{venue}_hl_spread",
            formula=f"({venue}_high - {venue}_low) / {venue}_close",
            unit="1",
            inputs=(f"{venue}_high", f"{venue}_low", f"{venue}_close"),
            build=lambda _: ratio(high - low, close),
        ),
        _bar_return(venue, 1),
        _bar_return(venue, 5),
        Feature(
            name=f"{venue}_vwap_reversion",
            formula=f"({venue}_close - {venue}_vwap) / {venue}_vwap",
            unit="1",
            inputs=(f"{venue}_close", f"{venue}_vwap"),
            build=lambda _: ratio(close - vwap, vwap),
            source=VOLUME_BAR_GUIDE,
        ),
    )


def _bar_return(venue: str, bars: int) -> Feature:
    close = pl.col(f"{venue}_close")
    return Feature(
        name=f"{venue}_ret_{bars}bar",
        formula=f"{venue}_close / {venue}_close.shift({bars}) - 1; closes are as-of, so a quiet bar returns 0",
        unit="1",
        inputs=(f"{venue}_close",),
        build=lambda _: ratio(close, close.shift(bars)) - 1,
        window=bars + 1,
        source=VOLUME_BAR_GUIDE,
    )


VENUE_FEATURES = (*_features_of("perp"), *_features_of("spot"))
