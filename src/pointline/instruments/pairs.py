"""Which spot market belongs to which derivative: by underlying asset, quote and multiplier of the registry, never by cutting names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from pointline.clock import time_text
from pointline.errors import ConfigError, RegistryError
from pointline.instruments.instrument import INSTRUMENT_SCHEMA, Instrument
from pointline.venues.names import venue_names

if TYPE_CHECKING:
    from pointline.instruments.registry import Registry
    from pointline.venues.files import Venues

# A derivative quoted in one of these may be set against a spot market quoted in another, and is then marked as cross quote.
# In order of preference.
USD_FAMILY = ("USD", "USDT", "USDC", "FDUSD", "BUSD", "TUSD", "USDP", "DAI")

PAIR_SCHEMA: dict[str, pl.DataType] = {
    "perp_symbol_id": pl.Int64(),
    "perp_exchange": pl.String(),
    "perp_exchange_symbol": pl.String(),
    "perp_market": pl.String(),
    "asset_type": pl.String(),
    "spot_symbol_id": pl.Int64(),
    "spot_exchange": pl.String(),
    "spot_exchange_symbol": pl.String(),
    "spot_market": pl.String(),
    "underlying_asset": pl.String(),
    "quote_match": pl.Boolean(),
    "price_factor": pl.Float64(),
    "reason": pl.String(),
}

_SOURCE_NAMES = {"exchange_info": "exchangeInfo", "mapping": "mapping", "venue_file": "venue file", "derived": "archive symbol"}


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A derivative and its spot market.

    Attributes:
        perp: the perpetual or dated future.
        spot: the spot market.
        quote_match: both are quoted in the same asset; where not, their difference holds the rate between the quotes.
        price_factor: what the spot price is multiplied by to compare it with the derivative's (1000 for 1000SHIB against SHIB).
        reason: why they belong together, in words.
    """

    perp: Instrument
    spot: Instrument
    quote_match: bool
    price_factor: float
    reason: str


def check_pair(perp: Instrument, spot: Instrument, known: Venues | None = None) -> Pair:
    """The pair of two instruments that the user named; `known` are the lake's venue files.

    Raises:
        ConfigError: the two are in the wrong order, the first is not a derivative, the second is not a spot market, or they
            are not of the same underlying asset.
    """
    if perp.asset_type == "spot" and spot.asset_type != "spot":
        raise ConfigError(
            f"perp and spot are swapped: {perp.name} is the spot market and {spot.name} the {spot.asset_type}",
            value=f"{perp.name}, {spot.name}",
            expected=f"{spot.name}, {perp.name}",
            hint="name the derivative first, then its spot market",
        )
    if perp.asset_type == "spot":
        raise ConfigError(f"{perp.name} is a spot market", value=perp.name, expected="a perpetual or a dated future first")
    if spot.asset_type != "spot":
        raise ConfigError(f"{spot.name} is not a spot market", value=spot.asset_type, expected="a spot market second")
    if perp.underlying_asset != spot.underlying_asset:
        raise ConfigError(
            "the two instruments are of different assets",
            value=f"{perp.name}, {spot.name}",
            expected=f"the same underlying asset, but they have {perp.underlying_asset} and {spot.underlying_asset}",
            hint="list the pairs of the registry, or add the asset with its source to the venue file",
        )
    return _pair(perp, spot, known)


def pair_spot(registry: Registry, perp: Instrument, at_us: int) -> Pair:
    """The spot market that fits a derivative best at a time.

    A spot of the same quote goes before one of another, then one of the same venue, then one of the same multiplier. Different
    quotes are only paired within the US dollar family, and the pair says so.

    Raises:
        ConfigError: the instrument is itself a spot market.
        RegistryError: no spot market of the same underlying asset is known at that time.
    """
    if perp.asset_type == "spot":
        raise ConfigError(f"{perp.name} is a spot market and has no spot of its own", value=perp.name, expected="a derivative")
    row = pl.DataFrame([[getattr(perp, name) for name in INSTRUMENT_SCHEMA]], schema=INSTRUMENT_SCHEMA, orient="row")
    found = _best_spots(row, _valid_at(registry, at_us), registry.known)
    if found.is_empty():
        raise RegistryError(
            f"no spot market of {perp.underlying_asset} quoted in {perp.quote_asset} is known",
            where=f"{time_text(at_us)} UTC",
            value=perp.name,
            expected=f"a spot market whose underlying asset is {perp.underlying_asset}",
            hint="ingest the spot market's files or its exchangeInfo; names that merely look alike are not paired",
        )
    return _pair(perp, _spot_of(found.row(0, named=True)), registry.known)


def find_pairs(registry: Registry, at_us: int) -> pl.DataFrame:
    """Every perpetual and undelivered future at a time with its best spot market, in `PAIR_SCHEMA`.

    Derivatives without a spot market are left out. The choice is that of `pair_spot`.
    """
    valid = _valid_at(registry, at_us)
    derivatives = valid.filter((pl.col("asset_type") != "spot") & (pl.col("expiry_us").is_null() | (pl.col("expiry_us") > at_us)))
    best = _best_spots(derivatives, valid, registry.known)
    pairs = [_pair(Instrument.from_row(row), _spot_of(row), registry.known) for row in best.iter_rows(named=True)]
    return pl.DataFrame([_pair_row(pair) for pair in pairs], schema=PAIR_SCHEMA, orient="row")


def _valid_at(registry: Registry, at_us: int) -> pl.DataFrame:
    return registry.frame.filter((pl.col("valid_from_us") <= at_us) & (pl.col("valid_until_us") > at_us))


def _best_spots(derivatives: pl.DataFrame, valid: pl.DataFrame, known: Venues | None) -> pl.DataFrame:
    """The derivatives that have a spot market, with the columns of the best one, named ``spot_…``."""
    spots = valid.filter(pl.col("asset_type") == "spot").select(pl.all().name.prefix("spot_"))
    both = derivatives.join(spots, left_on="underlying_asset", right_on="spot_underlying_asset", how="inner", coalesce=False)
    venue = venue_names(known)
    same_quote = pl.col("quote_asset") == pl.col("spot_quote_asset")
    return (
        both.filter(same_quote | (pl.col("quote_asset").is_in(USD_FAMILY) & pl.col("spot_quote_asset").is_in(USD_FAMILY)))
        .with_columns(
            _other_quote=~same_quote,
            _other_venue=pl.col("exchange").replace(venue) != pl.col("spot_exchange").replace(venue),
            _other_multiplier=pl.col("multiplier") != pl.col("spot_multiplier"),
            _other_base=pl.col("base_asset") != pl.col("spot_base_asset"),
            _preference=pl.col("spot_quote_asset").replace_strict(
                {quote: rank for rank, quote in enumerate(USD_FAMILY)}, default=len(USD_FAMILY), return_dtype=pl.Int64()
            ),
        )
        .sort(
            "exchange",
            "exchange_symbol",
            "_other_quote",
            "_other_venue",
            "_other_multiplier",
            "_other_base",
            "_preference",
            "spot_exchange",
            "spot_exchange_symbol",
        )
        .unique(subset=["symbol_id"], keep="first", maintain_order=True)
    )


def _spot_of(row: dict[str, Any]) -> Instrument:
    return Instrument.from_row({name: row[f"spot_{name}"] for name in INSTRUMENT_SCHEMA})


def _pair(perp: Instrument, spot: Instrument, known: Venues | None) -> Pair:
    return Pair(
        perp=perp,
        spot=spot,
        quote_match=perp.quote_asset == spot.quote_asset,
        price_factor=perp.multiplier / spot.multiplier,
        reason=_reason(perp, spot, known),
    )


def _reason(perp: Instrument, spot: Instrument, known: Venues | None) -> str:
    if perp.base_asset == spot.base_asset and perp.multiplier == spot.multiplier:
        asset = f"same base {perp.base_asset}"
    else:
        names = dict.fromkeys(_asset_text(one) for one in (perp, spot) if one.base_asset != one.underlying_asset)
        asset = f"same underlying {perp.underlying_asset} by the reviewed table ({', '.join(names)})"
    if perp.quote_asset == spot.quote_asset:
        quote = f"and quote {perp.quote_asset}"
    else:
        rate = f"{spot.quote_asset}/{perp.quote_asset}"
        quote = f"but cross quote: {perp.quote_asset} against {spot.quote_asset}, the difference holds the {rate} rate"
    parts = [f"{asset} {quote}"]
    venue = venue_names(known)
    if venue.get(perp.exchange, perp.exchange) != venue.get(spot.exchange, spot.exchange):
        parts.append("on different venues, matched by the asset's name")
    sources = [_SOURCE_NAMES[one.source] for one in (perp, spot)]
    parts.append(f"{sources[0]} of both" if sources[0] == sources[1] else f"{sources[0]} of the derivative, {sources[1]} of the spot")
    return "; ".join(parts)


def _asset_text(one: Instrument) -> str:
    return f"{one.base_asset} = {one.multiplier} {one.underlying_asset}"


def _pair_row(pair: Pair) -> tuple[object, ...]:
    perp, spot = pair.perp, pair.spot
    return (
        perp.symbol_id,
        perp.exchange,
        perp.exchange_symbol,
        perp.market,
        perp.asset_type,
        spot.symbol_id,
        spot.exchange,
        spot.exchange_symbol,
        spot.market,
        perp.underlying_asset,
        pair.quote_match,
        pair.price_factor,
        pair.reason,
    )
