"""One instrument: its fields, its number, and what a funding payment on it is worth."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, TypeVar

import polars as pl

from pointline.errors import ConfigError

AssetType = Literal["spot", "perpetual", "future"]
ContractType = Literal["linear", "inverse"]
ObservationSource = Literal["exchange_info", "mapping", "venue_file", "derived"]
Amount = TypeVar("Amount", float, pl.Expr)

INSTRUMENT_SCHEMA: dict[str, pl.DataType] = {
    "symbol_id": pl.Int64(),
    "exchange": pl.String(),
    "exchange_symbol": pl.String(),
    "market": pl.String(),
    "base_asset": pl.String(),
    "quote_asset": pl.String(),
    "settle_asset": pl.String(),
    "asset_type": pl.String(),
    "contract_type": pl.String(),
    "contract_size": pl.Float64(),
    "multiplier": pl.Int64(),
    "underlying_asset": pl.String(),
    "price_increment": pl.Float64(),
    "qty_increment": pl.Float64(),
    "expiry_us": pl.Int64(),
    "listed_us": pl.Int64(),
    "valid_from_us": pl.Int64(),
    "valid_until_us": pl.Int64(),
    "source": pl.String(),
}

OBSERVATION_SCHEMA: dict[str, pl.DataType] = {
    "observed_us": pl.Int64(),
    **{
        name: INSTRUMENT_SCHEMA[name]
        for name in (
            "exchange",
            "exchange_symbol",
            "base_asset",
            "quote_asset",
            "settle_asset",
            "asset_type",
            "contract_type",
            "contract_size",
            "price_increment",
            "qty_increment",
            "expiry_us",
            "listed_us",
            "source",
        )
    },
}


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What one exchangeInfo snapshot, mapping, venue file or archive symbol says about an instrument; the registry makes versions of these.

    The fields are those of `Instrument`; `observed_us` is the exchange's time of the snapshot and 0 where there was none.
    """

    exchange: str
    exchange_symbol: str
    base_asset: str
    quote_asset: str
    settle_asset: str | None
    asset_type: AssetType
    contract_type: ContractType | None
    contract_size: float | None
    price_increment: float | None = None
    qty_increment: float | None = None
    expiry_us: int | None = None
    listed_us: int | None = None
    source: ObservationSource
    observed_us: int = 0


@dataclass(frozen=True, kw_only=True)
class Instrument:
    """One version of an instrument, valid in ``[valid_from_us, valid_until_us)``.

    Attributes:
        symbol_id: number made from exchange, exchange symbol and valid_from_us.
        exchange, exchange_symbol: pointline's exchange id and the exchange's own symbol.
        market: universal symbol, e.g. ``BTC-USDT``, ``BTC-USDT-2025-03-28``, ``BTC-USD-PERP``.
        base_asset, quote_asset, settle_asset: as the exchange names them; spot settles in nothing (None).
        asset_type: ``"spot"``, ``"perpetual"`` or ``"future"``.
        contract_type: ``"linear"``, ``"inverse"`` or None for spot.
        contract_size: inverse: quote units per contract; linear: base units per contract (1 where the exchange counts base units);
            None where it is not known, see `size`.
        multiplier: units of `underlying_asset` per unit of `base_asset`, 1000 for 1000SHIB.
        underlying_asset: the asset itself, SHIB for 1000SHIB.
        price_increment, qty_increment: smallest steps, None where unknown.
        expiry_us: delivery (or announced end of a perpetual), None where there is none. The version stays valid after it,
            because archives hold records stamped after delivery.
        listed_us: first day of trading as the exchange states it, None where unknown.
        valid_from_us, valid_until_us: microseconds UTC, half-open; 0 = unknown start.
        source: ``"exchange_info"``, ``"mapping"`` (the user states it), ``"venue_file"`` or ``"derived"`` (read off the symbol).
    """

    symbol_id: int
    exchange: str
    exchange_symbol: str
    market: str
    base_asset: str
    quote_asset: str
    settle_asset: str | None
    asset_type: AssetType
    contract_type: ContractType | None
    contract_size: float | None
    multiplier: int
    underlying_asset: str
    price_increment: float | None
    qty_increment: float | None
    expiry_us: int | None
    listed_us: int | None
    valid_from_us: int
    valid_until_us: int
    source: ObservationSource

    @property
    def name(self) -> str:
        """The instrument as users write it, e.g. ``binance-futures:BTCUSDT``."""
        return f"{self.exchange}:{self.exchange_symbol}"

    @property
    def size(self) -> Decimal:
        """What one unit of the exchange's quantity is: quote units of an inverse contract, else base units (1 for spot).

        Raises:
            ConfigError: the contract's size is not known.
        """
        if self.contract_type is None:
            return Decimal(1)
        if self.contract_size is None:
            raise ConfigError(
                f"the contract size of this {self.contract_type} contract is unknown",
                value=self.name,
                hint="ingest the exchange's exchangeInfo JSON, or state the instrument in a venue file or in the mapping",
            )
        return Decimal(str(self.contract_size))

    @property
    def counts_contracts(self) -> bool:
        """Whether the exchange's quantities are contracts and not base units; raises as `size`."""
        return self.contract_type == "inverse" or self.size != 1

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Instrument:
        """An instrument of a row of `INSTRUMENT_SCHEMA`; other columns are ignored."""
        return cls(**{name: row[name] for name in INSTRUMENT_SCHEMA})


def symbol_id_of(exchange: str, exchange_symbol: str, valid_from_us: int) -> int:
    """The number of an instrument version: the first 63 bits of the SHA-256 of ``exchange|exchange_symbol|valid_from_us``."""
    digest = hashlib.sha256(f"{exchange}|{exchange_symbol}|{valid_from_us}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def funding_payment(instrument: Instrument, qty: Amount, rate: Amount, mark: Amount) -> Amount:
    """What the holder of `qty` pays at a settlement; negative = receives.

    Linear: cash in the quote asset = contracts · contract_size · mark · rate.
    Inverse: coin in the base asset = contracts · contract_size / mark · rate.

    Args:
        instrument: a perpetual.
        qty: position as the exchange counts it, positive = long; contracts, which are base units where the contract size is 1.
        rate: the settled rate as a fraction of the notional, for the interval that ended.
        mark: mark price at the settlement, quote per base.

    Raises:
        ConfigError: the instrument pays no funding, or its contract size is not known.
    """
    if instrument.asset_type != "perpetual":
        raise ConfigError(f"{instrument.name} pays no funding", value=instrument.asset_type, expected="a perpetual")
    size = float(instrument.size)
    if instrument.contract_type == "inverse":
        return qty * size / mark * rate
    return qty * size * mark * rate
