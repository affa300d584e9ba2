"""Tables of venue files that say what is listed: exchange ids with their names and symbols, and instruments that are written down."""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - pydantic reads the annotations at run time
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from pointline.clock import to_us
from pointline.venues.dated import Sourced, Strict, check_filled, check_offset, check_positive
from pointline.venues.forms import SymbolForm  # noqa: TC001 - pydantic reads the annotations at run time


@dataclass(frozen=True, kw_only=True)
class Market(Sourced):
    """One exchange id of a venue, its names and how its symbols are written.

    Attributes:
        exchange: pointline's exchange id.
        sql_name: the exchange's name in SQL.
        aliases: further names under which users may ask for it.
        asset_type: what a symbol without a delivery date is.
        symbols: ``"joined"`` (``BTCUSDT``), ``"dashed"`` (``BTC-USDT``), ``"forms"`` (those of `form`) or ``"listed"`` (only the
            instruments of the file).
        form: how symbols are written where neither joined nor dashed says it.
        quote_assets: quotes of spot and linear markets; the longest that ends the symbol is its quote.
        inverse_quote_assets: quotes of contracts that settle in the base asset.
        split_exceptions: reviewed symbols whose longest quote is not their quote.
        perpetual_suffix: what ends the symbol of a perpetual, e.g. ``"_PERP"``.
    """

    exchange: str
    sql_name: str
    aliases: tuple[str, ...] = ()
    asset_type: Literal["spot", "perpetual", "future"]
    symbols: Literal["joined", "dashed", "forms", "listed"]
    form: tuple[SymbolForm, ...] = ()
    quote_assets: tuple[str, ...] = ()
    inverse_quote_assets: tuple[str, ...] = ()
    split_exceptions: dict[str, str] = field(default_factory=dict)
    perpetual_suffix: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        message = None
        if bool(self.form) != (self.symbols == "forms"):
            message = 'symbols = "forms" and [[market.form]] need each other'
        elif any((one.contract_type is None) != (self.asset_type == "spot") for one in self.form):
            message = "each form of contracts, and none of spot markets, has a contract_type"
        elif self.asset_type == "future" and any(one.date_style is None for one in self.form):
            message = "each form of futures has a date"
        if message is not None:
            raise ValueError(message)


@dataclass(frozen=True, kw_only=True)
class InstrumentTerms(Strict):
    """What has to be said of an instrument whose symbol does not say it.

    Attributes:
        base_asset, quote_asset: as the exchange names them.
        settle_asset: of contracts; if not given, the quote asset of a linear and the base asset of an inverse one.
        asset_type: what it is.
        contract_type: needed for perpetuals and futures.
        contract_size: needed for them too: base units (linear) or quote units (inverse) per contract.
        price_increment, qty_increment: smallest steps, where known.
        expiry: of futures, when they are delivered, with its offset to UTC.
    """

    base_asset: str
    quote_asset: str
    settle_asset: str | None = None
    asset_type: Literal["spot", "perpetual", "future"]
    contract_type: Literal["linear", "inverse"] | None = None
    contract_size: float | None = None
    price_increment: float | None = None
    qty_increment: float | None = None
    expiry: dt.datetime | None = None

    def __post_init__(self) -> None:
        check_filled(base_asset=self.base_asset, quote_asset=self.quote_asset, settle_asset=self.settle_asset)
        check_positive(contract_size=self.contract_size, price_increment=self.price_increment, qty_increment=self.qty_increment)
        check_offset(expiry=self.expiry)
        message = None
        if self.asset_type == "spot" and (self.contract_type, self.settle_asset, self.contract_size or 1.0) != (None, None, 1.0):
            message = "a spot market has no contract_type, no settle_asset and no contract_size other than 1"
        elif self.asset_type != "spot" and (self.contract_type is None or self.contract_size is None):
            message = f"a {self.asset_type} needs contract_type (linear or inverse) and contract_size"
        elif (self.asset_type == "future") != (self.expiry is not None):
            message = "a future, and nothing else, has an expiry"
        if message is not None:
            raise ValueError(message)

    @classmethod
    def field_names(cls) -> list[str]:
        """What can be said of an instrument."""
        return [one.name for one in fields(cls)]

    def terms(self) -> dict[str, Any]:
        """The fields of `pointline.instruments.Observation` that are said here."""
        settled = {None: None, "linear": self.quote_asset, "inverse": self.base_asset}[self.contract_type]
        return {
            **{name: getattr(self, name) for name in InstrumentTerms.field_names() if name != "expiry"},
            "settle_asset": self.settle_asset or settled,
            "contract_size": self.contract_size or 1.0,
            "expiry_us": None if self.expiry is None else to_us(self.expiry),
        }


@dataclass(frozen=True, kw_only=True)
class ListedInstrument(InstrumentTerms):
    """An instrument that is written down because its symbol does not say enough.

    Attributes:
        exchange: pointline's exchange id.
        exchange_symbol: the exchange's own symbol.
        source: where the terms are stated, with their confidence.
    """

    exchange: str
    exchange_symbol: str
    source: str

    def __post_init__(self) -> None:
        super().__post_init__()
        check_filled(exchange_symbol=self.exchange_symbol, source=self.source)
