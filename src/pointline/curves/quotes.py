"""Quote assets: what a contract's price is in the quote asset of its reference.

A contract in USD against a spot market in USDT differs from it by the basis and by the price of USDT in USD. Where the lake has a market
between the two assets, the contract's close is converted with that market's close of the same candle. Otherwise the spread is not
converted, and ``basis_kind`` is ``cross_quote``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pointline.curves.contracts import Listing

LIKE_QUOTE, CONVERTED, CROSS_QUOTE = "like_quote", "converted", "cross_quote"
"""Kinds of spread: prices in one quote asset, prices converted to one quote asset, prices in two quote assets."""

RATES_SCHEMA: dict[str, pl.DataType] = {
    "start_us": pl.Int64(),
    "quote_rate": pl.Float64(),
    "rate_market": pl.String(),
    "rate_known_us": pl.Int64(),
}


def quote_rates(quote_asset: str, markets: Iterable[tuple[Listing, pl.DataFrame]]) -> pl.DataFrame:
    """What one unit of a quote asset is worth in the reference's quote asset, per candle.

    Args:
        quote_asset: the contract's quote asset.
        markets: the markets between the two assets, best first, each with its closes; a candle that one lacks is taken from the next.

    Returns:
        start_us, quote_rate (a factor for prices in `quote_asset`), rate_market and rate_known_us, in time order.
    """
    parts = [pl.DataFrame(schema={**RATES_SCHEMA, "_rank": pl.Int32})]
    for rank, (market, rows) in enumerate(markets):
        close = pl.col("close")
        factor = close if market.instrument.base_asset == quote_asset else 1 / close
        part = rows.filter(close.is_not_null()).select(
            "start_us", quote_rate=factor, rate_market=pl.lit(market.name), rate_known_us="known_us"
        )
        parts.append(part.with_columns(_rank=pl.lit(rank)))
    return pl.concat(parts).sort("start_us", "_rank").unique("start_us", keep="first", maintain_order=True).drop("_rank")


def convert(table: pl.DataFrame) -> pl.DataFrame:
    """Adds the conversion to rows that have close, spot_close, known_us, quote, reference_quote and the columns of `quote_rates`.

    A rate that became known after the row is not used. Between like quotes the rate is 1.

    Returns:
        The rows with cross_quote, quote_rate, rate_market, converted_close, converted_spread, converted_spread_pct and basis_kind.
    """
    cross = pl.col("quote") != pl.col("reference_quote")
    usable = cross & (pl.col("rate_known_us") <= pl.col("known_us"))
    difference = pl.col("converted_close") - pl.col("spot_close")
    return (
        table.with_columns(
            cross_quote=cross,
            quote_rate=pl.when(~cross).then(1.0).when(usable).then("quote_rate"),
            rate_market=pl.when(usable).then("rate_market"),
        )
        .with_columns(converted_close=pl.when(cross).then(pl.col("close") * pl.col("quote_rate")).otherwise("close"))
        .with_columns(converted_spread=difference)
        .with_columns(
            converted_spread_pct=difference / pl.col("spot_close") * 100,
            basis_kind=pl.when(~cross)
            .then(pl.lit(LIKE_QUOTE))
            .when(pl.col("quote_rate").is_not_null())
            .then(pl.lit(CONVERTED))
            .otherwise(pl.lit(CROSS_QUOTE)),
        )
    )
