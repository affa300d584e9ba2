"""The instruments of a spread study: references, contracts, and the markets that convert one quote asset into another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from pointline.clock import time_text
from pointline.curves.closes import CANDLES, TRADES, held
from pointline.errors import ConfigError, NoDataError, RegistryError, nearest
from pointline.instruments import FAR_FUTURE_US, Instrument, sql_exchange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointline.curves.grid import CandleGrid
    from pointline.instruments import Registry
    from pointline.lake.store import Lake

_IDENTITY = ("market", "underlying_asset", "multiplier", "quote_asset", "settle_asset", "asset_type", "contract_type", "expiry_us")


@dataclass(frozen=True, kw_only=True)
class Listing:
    """An instrument and when it could be traded under these terms.

    Attributes:
        instrument: its newest version inside the window.
        from_us, until_us: ``[from_us, until_us)`` of the terms (assets, multiplier, delivery); until its delivery where it has one.
    """

    instrument: Instrument
    from_us: int
    until_us: int

    @property
    def exchange(self) -> str:
        """The exchange's SQL name."""
        return sql_exchange(self.instrument.exchange)

    @property
    def name(self) -> str:
        """The instrument as tables show it, e.g. ``binance-usdm-future:BTC-USDT``."""
        return f"{self.exchange}:{self.instrument.market}"


def find_listings(registry: Registry, name: str, grid: CandleGrid) -> list[Listing]:
    """The instrument of a name; several where its terms changed inside the grid.

    Args:
        registry: the lake's instruments.
        name: ``exchange:market``; the exchange by its id, alias or SQL name, the market by its universal name or the exchange's symbol.
        grid: the candles.

    Raises:
        ConfigError: the name has no colon, or the contract was delivered before the grid begins.
        RegistryError: the exchange or market is unknown, ambiguous, or not valid inside the grid.
    """
    exchange, colon, symbol = (part.strip() for part in name.partition(":"))
    if not colon or not exchange or not symbol:
        raise ConfigError(
            "an instrument is named by exchange and market", value=name, expected="exchange:market, e.g. binance-usdm-future:BTC-USDT"
        )
    versions = registry.versions(exchange, symbol, grid.start_us, grid.end_us)
    if versions.is_empty():
        registry.find(exchange, symbol, grid.start_us)  # raises, with the time in which it is valid
    if versions["exchange_symbol"].n_unique() > 1:
        several = ", ".join(versions["exchange_symbol"].unique().sort())
        raise RegistryError("the name stands for several instruments", value=name, expected=f"one of {several}")
    listings = [listing for listing in _by_terms(versions) if listing.until_us > grid.start_us]
    if not listings:
        expiry_us = versions["expiry_us"].max()
        raise ConfigError(
            "the contract was delivered before the window begins",
            value=name,
            expected=f"a window that begins before {time_text(int(expiry_us))} UTC",  # type: ignore[arg-type]
        )
    return listings


def _by_terms(versions: pl.DataFrame) -> list[Listing]:
    """Neighbouring versions with the same terms as one; tick and lot sizes do not matter here."""
    found: list[Listing] = []
    for row in versions.sort("valid_from_us").iter_rows(named=True):
        instrument = Instrument.from_row(row)
        until_us = min(instrument.valid_until_us, instrument.expiry_us or FAR_FUTURE_US)
        same = found and all(getattr(found[-1].instrument, name) == getattr(instrument, name) for name in _IDENTITY)
        from_us = found.pop().from_us if same else instrument.valid_from_us
        found.append(Listing(instrument=instrument, from_us=from_us, until_us=until_us))
    return found


def reference_listings(registry: Registry, names: Sequence[str], base_asset: str, grid: CandleGrid) -> list[Listing]:
    """The spot markets that contracts are measured against.

    Raises:
        ConfigError: none is named, one is named twice, is not a spot market, or is of another asset.
        RegistryError: one is unknown.
    """
    if not names:
        raise ConfigError("a reference is needed", expected="a spot market, e.g. binance:BTC-USDT")
    found = []
    for name in names:
        listings = _of_asset(find_listings(registry, name, grid), base_asset, name)
        first = listings[0]
        if first.instrument.asset_type != "spot":
            raise ConfigError(
                "the reference is not a spot market",
                value=name,
                expected=f"a spot market of {base_asset}; {first.name} is a {first.instrument.asset_type}",
                hint="name it among the contracts instead",
            )
        if len(listings) > 1:
            raise ConfigError(
                "the terms of the reference changed inside the window",
                value=name,
                expected=f"a window that does not hold {time_text(listings[1].from_us)} UTC",
            )
        found.append(first)
    _check_once(found, "reference")
    return found


def contract_listings(lake: Lake, names: Sequence[str] | None, base_asset: str, grid: CandleGrid) -> list[Listing]:
    """The derivatives that are measured; without names, all of the asset that the lake has data of inside the grid.

    Raises:
        ConfigError: one is named twice, is a spot market, is of another asset, or was delivered before the grid begins.
        RegistryError: one is unknown.
        NoDataError: the lake has none of the asset.
    """
    registry = lake.registry()
    if names is None:
        return _all_contracts(lake, registry, base_asset, grid)
    if not names:
        raise ConfigError("no contract is named", expected="exchange:market, several separated by commas, or none for all")
    found = []
    for name in names:
        listings = _of_asset(find_listings(registry, name, grid), base_asset, name)
        if listings[0].instrument.asset_type == "spot":
            raise ConfigError(
                "a spot market is no contract",
                value=name,
                expected="perpetuals and dated futures",
                hint="name it as a reference: several references are compared with each other too",
            )
        found += listings
    _check_once(found, "contract")
    return found


def _all_contracts(lake: Lake, registry: Registry, base_asset: str, grid: CandleGrid) -> list[Listing]:
    keys = _held_keys(lake, grid)
    found = _derivatives(registry, keys, base_asset, grid)
    if not found:
        derivatives = registry.frame.filter(pl.col("asset_type") != "spot").join(keys, on=keys.columns, how="semi")
        assets = derivatives["underlying_asset"].unique().sort().to_list()
        raise NoDataError(
            f"the lake has no perpetual or dated future of {base_asset} with closes in this window",
            value=f"{time_text(grid.start_us)} to {time_text(grid.end_us)} UTC",
            expected=f"one of {', '.join(assets)}; alike: {nearest(base_asset, assets)}" if assets else None,
            hint="`pointline catalog` lists what the lake holds",
        )
    return found


def _held_keys(lake: Lake, grid: CandleGrid) -> pl.DataFrame:
    return pl.DataFrame(held(lake, grid), schema={"exchange": pl.String, "exchange_symbol": pl.String}, orient="row")


def traded_contracts(lake: Lake, base_asset: str, grid: CandleGrid) -> list[str]:
    """Names of the asset's derivatives that the lake has any candles or trades of and that were not delivered before the grid."""
    kinds = [kind for kind in lake.kinds() if kind == TRADES or kind.startswith(CANDLES)]
    nothing = pl.DataFrame(schema={"exchange": pl.String, "symbol": pl.String})
    seen = pl.concat([nothing, *(lake.listing(kind).select("exchange", "symbol") for kind in kinds)]).unique()
    keys = seen.rename({"symbol": "exchange_symbol"})
    return [listing.name for listing in _derivatives(lake.registry(), keys, base_asset, grid)]


def _derivatives(registry: Registry, keys: pl.DataFrame, base_asset: str, grid: CandleGrid) -> list[Listing]:
    """The asset's derivatives among these exchanges and symbols that lived inside the grid, in name order."""
    overlapping = (pl.col("valid_from_us") < grid.end_us) & (pl.col("valid_until_us") > grid.start_us)
    own = (pl.col("asset_type") != "spot") & (pl.col("underlying_asset") == base_asset)
    known = registry.frame.filter(overlapping & own).join(keys, on=keys.columns, how="semi")
    found = [
        listing
        for _, versions in known.group_by(keys.columns, maintain_order=True)
        for listing in _by_terms(versions)
        if listing.until_us > grid.start_us
    ]
    return sorted(found, key=lambda listing: (listing.exchange, listing.instrument.market, listing.from_us))


def rate_listings(lake: Lake, quote_asset: str, reference: Listing, grid: CandleGrid) -> list[Listing]:
    """The spot markets of the lake with the price of `quote_asset` in the reference's quote asset, best first.

    A market on the reference's own exchange goes first, then the others by name. Only direct rates count: a market whose base and quote
    are these two assets, either way round.
    """
    pair = {quote_asset, reference.instrument.quote_asset}
    registry = lake.registry()
    keys = _held_keys(lake, grid)
    between = pl.col("base_asset").is_in(pair) & pl.col("quote_asset").is_in(pair) & (pl.col("asset_type") == "spot")
    overlapping = (pl.col("valid_from_us") < grid.end_us) & (pl.col("valid_until_us") > grid.start_us)
    known = registry.frame.filter(between & overlapping).join(keys, on=keys.columns, how="semi")
    found = [listing for _, versions in known.group_by(keys.columns, maintain_order=True) for listing in _by_terms(versions)]
    return sorted(found, key=lambda one: (one.exchange != reference.exchange, one.name, one.from_us))


def _of_asset(listings: list[Listing], base_asset: str, name: str) -> list[Listing]:
    """The listings of the asset; a symbol can have stood for another one in a part of the window."""
    found = [listing for listing in listings if listing.instrument.underlying_asset == base_asset]
    if not found:
        other = listings[0]
        raise ConfigError(
            "the instrument is of another asset",
            value=name,
            expected=f"an instrument of {base_asset}; {other.name} is of {other.instrument.underlying_asset}",
        )
    return found


def _check_once(listings: list[Listing], role: str) -> None:
    keys = [(listing.name, listing.from_us) for listing in listings]
    twice = sorted({name for name, from_us in keys if keys.count((name, from_us)) > 1})
    if twice:
        raise ConfigError(f"a {role} is named twice", value=", ".join(twice), expected="each once")
