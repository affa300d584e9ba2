"""Features of one venue alone: prices, volumes, flow and returns of the perp and of the spot market."""

from __future__ import annotations

import polars as pl

from pointline.features.feature import GUIDE, VENUE_COLUMNS, Feature, from_bars, ratio

_AMOUNTS = {
    "open": ("first trade price of the bar; null without a trade", "quote"),
    "high": ("highest trade price of the bar; null without a trade", "quote"),
    "low": ("lowest trade price of the bar; null without a trade", "quote"),
    "close": ("last trade price strictly before bucket_end; a bar without a trade carries the one before", "quote"),
    "vwap": ("sum(price * qty) / sum(qty); null without a trade", "quote"),
    "volume": ("sum(qty)", "base"),
    "quote_volume": ("sum(price * qty)", "quote"),
    "trade_count": ("number of trades", "1"),
    "buy_volume": ("sum(qty) where the buyer was the taker; null where the side of a trade is not known", "base"),
    "sell_volume": ("sum(qty) where the seller was the taker; null where the side of a trade is not known", "base"),
    "price_std": ("sample standard deviation of the trade prices; null below two trades", "quote"),
    "realized_vol": ("square root of the sum of squared log returns between consecutive trades at distinct times", "1"),
    "age_us": ("bucket_end - time of the last trade", "us"),
}


def _features_of(venue: str) -> tuple[Feature, ...]:
    close, high, low, vwap = (pl.col(f"{venue}_{name}") for name in ("close", "high", "low", "vwap"))
    buys, sells = pl.col(f"{venue}_buy_volume"), pl.col(f"{venue}_sell_volume")
    held = tuple(
        from_bars(f"{venue}_{name}", formula, unit, source=GUIDE, dtype=VENUE_COLUMNS[name]) for name, (formula, unit) in _AMOUNTS.items()
    )
    return (
        *held,
        Feature(
            name=f"{venue}_flow_imbalance",
            formula=f"({venue}_buy_volume - {venue}_sell_volume) / ({venue}_buy_volume + {venue}_sell_volume); null without volume",
            unit="1",
            inputs=(f"{venue}_buy_volume", f"{venue}_sell_volume"),
            build=lambda _: ratio(buys - sells, buys + sells),
            source=GUIDE,
        ),
        Feature(
            name=f"{venue}_hl_spread",
            formula=f"({venue}_high - {venue}_low) / {venue}_close",
            unit="1",
            inputs=(f"{venue}_high", f"{venue}_low", f"{venue}_close"),
            build=lambda _: ratio(high - low, close),
            source=GUIDE,
        ),
        _bar_return(venue, 1),
        _bar_return(venue, 5),
        Feature(
            name=f"{venue}_vwap_reversion",
            formula=f"({venue}_close - {venue}_vwap) / {venue}_vwap",
            unit="1",
            inputs=(f"{venue}_close", f"{venue}_vwap"),
            build=lambda _: ratio(close - vwap, vwap),
            source=GUIDE,
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
        source=GUIDE,
    )


VENUE_FEATURES = (*_features_of("perp"), *_features_of("spot"))
