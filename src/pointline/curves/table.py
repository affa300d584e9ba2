"""The long table: one row per candle, contract and reference, whether or not both have a close."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from pointline.curves.annualised import YIELDS, annualised, days_between
from pointline.curves.closes import MAX_TRADE_AGE_US, closes
from pointline.curves.contracts import rate_listings
from pointline.curves.quotes import RATES_SCHEMA, convert, quote_rates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointline.curves.contracts import Listing
    from pointline.curves.grid import CandleGrid
    from pointline.lake.store import Lake

_TIME = pl.Datetime("us", "UTC")

TABLE_SCHEMA: dict[str, pl.DataType] = {
    "day": pl.Date(),
    "exchange": pl.String(),
    "market": pl.String(),
    "reference": pl.String(),
    "close": pl.Float64(),
    "spot_close": pl.Float64(),
    "spread": pl.Float64(),
    "spread_pct": pl.Float64(),
    "start": _TIME,
    "end": _TIME,
    "known_at": _TIME,
    "expiry": _TIME,
    "days_to_expiry": pl.Float64(),
    **dict.fromkeys(YIELDS, pl.Float64()),
    "quote": pl.String(),
    "reference_quote": pl.String(),
    "cross_quote": pl.Boolean(),
    "basis_kind": pl.String(),
    "quote_rate": pl.Float64(),
    "rate_market": pl.String(),
    "converted_close": pl.Float64(),
    "converted_spread": pl.Float64(),
    "converted_spread_pct": pl.Float64(),
    "price_factor": pl.Float64(),
    "close_source": pl.String(),
    "spot_source": pl.String(),
    "close_age_us": pl.Int64(),
    "spot_age_us": pl.Int64(),
}
KEY = ("start", "exchange", "market", "reference")


def basis_fraction() -> pl.Expr:
    """(contract - reference) / reference of the long table's rows as a fraction, converted to one quote asset where possible."""
    return pl.coalesce("converted_spread", "spread") / pl.col("spot_close")


def spread_table(
    lake: Lake,
    references: Sequence[Listing],
    contracts: Sequence[Listing],
    grid: CandleGrid,
    *,
    max_trade_age_us: int = MAX_TRADE_AGE_US,
) -> pl.DataFrame:
    """Spreads of contracts against spot markets.

    A contract has a row for every candle that lies inside its life, also where a close is missing. A dated future's last candle is
    the last one that ends at or before its delivery: later ones hold no close of their own end.

    Args:
        lake: the lake.
        references: spot markets; each contract is measured against each.
        contracts: perpetuals and dated futures.
        grid: the candles.
        max_trade_age_us: see `pointline.curves.closes.closes`.

    Returns:
        `TABLE_SCHEMA`, ordered by start, exchange, market and reference. Prices are in the quote asset, ``spot_close`` is the
        reference's close times ``price_factor`` (1000 for a contract on a thousand coins), ``spread`` = close - spot_close,
        ``spread_pct`` = spread / spot_close x 100. ``known_at`` is when both closes were known, never before the candle's end, and null
        if one is missing. Annualised rates use the converted spread if there is one (``basis_kind``). A source beside a null close means
        that nothing was traded up to the candle's end; a close has its age (see `closes`).
    """
    read: dict[str, pl.DataFrame] = {}

    def closes_of(listing: Listing) -> pl.DataFrame:
        name = listing.instrument.name
        if name not in read:
            read[name] = closes(
                lake, listing.instrument.exchange, listing.instrument.exchange_symbol, grid, max_trade_age_us=max_trade_age_us
            )
        return _inside(read[name], listing, grid)

    rates: dict[tuple[str, str], pl.DataFrame] = {}

    def rates_of(quote_asset: str, reference: Listing) -> pl.DataFrame:
        if quote_asset == reference.instrument.quote_asset:
            return pl.DataFrame(schema=RATES_SCHEMA)
        key = (quote_asset, reference.name)
        if key not in rates:
            markets = rate_listings(lake, quote_asset, reference, grid)
            rates[key] = quote_rates(quote_asset, [(market, closes_of(market)) for market in markets])
        return rates[key]

    parts = [
        _pair(contract, reference, closes_of(contract), closes_of(reference), rates_of(contract.instrument.quote_asset, reference), grid)
        for contract in contracts
        for reference in references
    ]
    return _finished(pl.concat(parts), grid) if parts else pl.DataFrame(schema=TABLE_SCHEMA)


def _inside(rows: pl.DataFrame, listing: Listing, grid: CandleGrid) -> pl.DataFrame:
    start_us = pl.col("start_us")
    return rows.filter((start_us >= listing.from_us) & (start_us + grid.duration_us <= listing.until_us))


def _pair(
    contract: Listing, reference: Listing, own: pl.DataFrame, spot: pl.DataFrame, rates: pl.DataFrame, grid: CandleGrid
) -> pl.DataFrame:
    """The rows of one contract against one reference, without what follows from them."""
    one, other = contract.instrument, reference.instrument
    candles = _inside(grid.starts.to_frame(), contract, grid)
    factor = one.multiplier / other.multiplier
    return (
        candles.join(own.rename({"source": "close_source", "age_us": "close_age_us"}), on="start_us", how="left")
        .join(
            spot.select(
                "start_us",
                spot_close=pl.col("close") * factor,
                spot_known_us="known_us",
                spot_source="source",
                spot_age_us="age_us",
            ),
            on="start_us",
            how="left",
        )
        .join(rates, on="start_us", how="left")
        .with_columns(
            exchange=pl.lit(contract.exchange),
            market=pl.lit(one.market),
            reference=pl.lit(reference.name),
            expiry_us=pl.lit(one.expiry_us if one.asset_type == "future" else None, dtype=pl.Int64),
            quote=pl.lit(one.quote_asset),
            reference_quote=pl.lit(other.quote_asset),
            price_factor=pl.lit(factor),
        )
    )


def _finished(rows: pl.DataFrame, grid: CandleGrid) -> pl.DataFrame:
    end_us = pl.col("start_us") + grid.duration_us
    both = pl.col("close").is_not_null() & pl.col("spot_close").is_not_null()
    spread = pl.col("close") - pl.col("spot_close")
    table = convert(
        rows.with_columns(
            end_us=end_us,
            known_us=pl.when(both).then(pl.max_horizontal("known_us", "spot_known_us")),
            spread=spread,
            spread_pct=spread / pl.col("spot_close") * 100,
        )
    )
    times = {"start": "start_us", "end": "end_us", "known_at": "known_us", "expiry": "expiry_us"}
    return (
        table.with_columns(days_between(table["end_us"], table["expiry_us"]).alias("days_to_expiry"))
        .with_columns(annualised(basis_fraction(), pl.col("days_to_expiry")))
        .with_columns(pl.from_epoch(column, time_unit="us").dt.replace_time_zone("UTC").alias(name) for name, column in times.items())
        .with_columns(day=pl.col("start").dt.date())
        .select(list(TABLE_SCHEMA))
        .sort(KEY)
    )
