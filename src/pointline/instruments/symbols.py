"""What an archive's symbol says about its instrument, by the grammar of the venue file."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING

from pointline.errors import RegistryError, VenueRuleError
from pointline.instruments.instrument import Observation
from pointline.venue_rules import delivery_us, inverse_contract_size, listed_instrument, market_of

if TYPE_CHECKING:
    from pointline.venue_rules import Market

_HINT = "ingest the exchange's exchangeInfo, which describes its instruments"
_DELIVERY_SUFFIX = re.compile(r"_(\d{6})$")


def derive(exchange: str, exchange_symbol: str) -> Observation:
    """The instrument as its symbol describes it; increments and listing date stay unknown.

    Args:
        exchange: exchange id, alias or SQL name.
        exchange_symbol: the exchange's own symbol, e.g. ``BTCUSDT_250328``.

    Raises:
        RegistryError: the exchange is unknown, the symbol cannot be split by its rules, or its delivery time or contract size is in
            no venue file.

    >>> derive("binance-futures", "BTCUSDT").base_asset
    'BTC'
    """
    market = market_of(exchange)
    listed = listed_instrument(exchange, exchange_symbol)
    if listed is not None:
        return Observation(**listed.model_dump(exclude={"source"}), source="venue_file")
    if market.symbols == "joined":
        try:
            return _from_joined(market, exchange_symbol)
        except VenueRuleError as error:
            raise RegistryError(error.what, where=f"{market.exchange}, {exchange_symbol}", value=error.value, hint=_HINT) from error
    if market.symbols == "dashed":
        return _from_dashed(market, exchange_symbol)
    raise _unsplit(market, exchange_symbol, "an instrument that the venue file lists")


def _from_dashed(market: Market, symbol: str) -> Observation:
    parts = symbol.split("-")
    if len(parts) != 2 or not all(parts):  # noqa: PLR2004 - base and quote
        raise _unsplit(market, symbol, "BASE-QUOTE")
    return _observation(market, symbol, base=parts[0], quote=parts[1], expiry_us=None)


def _from_joined(market: Market, symbol: str) -> Observation:
    stem, expiry_us = symbol, None
    dated = _DELIVERY_SUFFIX.search(symbol)
    if dated is not None and market.asset_type != "spot":
        stem, expiry_us = symbol[: dated.start()], _expiry(market, symbol, dated.group(1))
    elif market.perpetual_suffix:
        if not symbol.endswith(market.perpetual_suffix):
            raise _unsplit(market, symbol, f"a symbol that ends in {market.perpetual_suffix} or a delivery date such as _250328")
        stem = symbol.removesuffix(market.perpetual_suffix)
    quote = market.split_exceptions.get(stem) or _quote_of(market, stem)
    if quote is None:
        quotes = ", ".join((*market.quote_assets, *market.inverse_quote_assets))
        raise _unsplit(market, symbol, f"an asset followed by one of the quotes {quotes}")
    return _observation(market, symbol, base=stem.removesuffix(quote), quote=quote, expiry_us=expiry_us)


def _quote_of(market: Market, stem: str) -> str | None:
    quotes = (*market.quote_assets, *market.inverse_quote_assets)
    fitting = [quote for quote in quotes if stem.endswith(quote) and stem != quote]
    return max(fitting, key=len, default=None)


def _expiry(market: Market, symbol: str, digits: str) -> int:
    try:
        day = dt.datetime.strptime(digits, "%y%m%d").replace(tzinfo=dt.UTC).date()
    except ValueError:
        raise _unsplit(market, symbol, "a delivery date as _YYMMDD") from None
    return delivery_us(market.exchange, day)


def _observation(market: Market, symbol: str, *, base: str, quote: str, expiry_us: int | None) -> Observation:
    if market.asset_type == "spot":
        return Observation(
            exchange=market.exchange,
            exchange_symbol=symbol,
            base_asset=base,
            quote_asset=quote,
            settle_asset=None,
            asset_type="spot",
            contract_type=None,
            contract_size=1.0,
            source="derived",
        )
    inverse = quote in market.inverse_quote_assets
    return Observation(
        exchange=market.exchange,
        exchange_symbol=symbol,
        base_asset=base,
        quote_asset=quote,
        settle_asset=base if inverse else quote,
        asset_type=market.asset_type if expiry_us is None else "future",
        contract_type="inverse" if inverse else "linear",
        contract_size=inverse_contract_size(market.exchange, base) if inverse else 1.0,
        expiry_us=expiry_us,
        source="derived",
    )


def _unsplit(market: Market, symbol: str, expected: str) -> RegistryError:
    return RegistryError(
        "the symbol cannot be split into base and quote by the rules of its venue",
        where=market.exchange,
        value=symbol,
        expected=expected,
        hint=_HINT,
    )
