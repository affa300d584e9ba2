"""What an archive's symbol says about its instrument, by the grammar of the venue file."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING

from pointline.errors import RegistryError, VenueRuleError
from pointline.instruments.instrument import Observation
from pointline.venues.files import package_venues
from pointline.venues.names import market_of
from pointline.venues.rules import contract_size, delivery_us

if TYPE_CHECKING:
    from pointline.instruments.instrument import ContractType
    from pointline.venues.files import Venues
    from pointline.venues.markets import Market

_HINT = "ingest the exchange's exchangeInfo, or state the instrument in the mapping or in a venue file of the lake (docs: Names)"
_UNIVERSAL = re.compile(r"(?P<base>[^-]+)-(?P<quote>[^-]+)(?:-(?P<day>\d{4}-\d{2}-\d{2})|(?P<perpetual>-PERP))?")
_DELIVERY_SUFFIX = re.compile(r"_(\d{6})$")


def derive(exchange: str, exchange_symbol: str, known: Venues | None = None) -> Observation:
    """The instrument as its symbol describes it; increments and listing date stay unknown.

    Where the size of a contract changed, this is the newest one that is known; `Registry` has the versions with their dates.

    Args:
        exchange: exchange id, alias or SQL name.
        exchange_symbol: the exchange's own symbol, e.g. ``BTCUSDT_250328``.
        known: the venue files; the package's own if None.

    Raises:
        RegistryError: the exchange is unknown, the symbol cannot be split by its rules, or its delivery time or contract size is in
            no venue file.

    Examples:
        >>> derive("binance-futures", "BTCUSDT").base_asset
        'BTC'
    """
    market = market_of(exchange, known)
    listed = (known or package_venues()).instruments.get((market.exchange, exchange_symbol))
    if listed is not None:
        return Observation(exchange=listed.exchange, exchange_symbol=listed.exchange_symbol, **listed.terms(), source="venue_file")
    if market.symbols in ("joined", "forms"):
        read = _from_joined if market.symbols == "joined" else _from_forms
        try:
            return read(market, exchange_symbol, known)
        except VenueRuleError as error:
            raise RegistryError(error.what, where=f"{market.exchange}, {exchange_symbol}", value=error.value, hint=_HINT) from error
    if market.symbols == "dashed":
        return _from_dashed(market, exchange_symbol)
    raise _unsplit(market, exchange_symbol, "an instrument that the venue file lists")


def symbol_candidates(exchange: str, name: str, known: Venues | None = None) -> list[str]:
    """The exchange's own symbols that somebody may mean by a name, the likeliest first: as it is, in capitals, or joined by the grammar.

    Examples:
        >>> symbol_candidates("binance-delivery", "btc-usd-perp")
        ['btc-usd-perp', 'BTC-USD-PERP', 'BTCUSD_PERP']
    """
    upper = name.upper()
    found = [name, upper]
    try:
        market = market_of(exchange, known)
    except RegistryError:
        return list(dict.fromkeys(found))
    if market.symbols == "forms":
        found += _of_forms(market, upper, known)
    if market.symbols == "joined" and (parts := _UNIVERSAL.fullmatch(upper)) is not None:
        stem, day, perpetual = parts["base"] + parts["quote"], parts["day"], parts["perpetual"]
        if day is not None:
            found.append(f"{stem}_{day[2:].replace('-', '')}")
        elif perpetual is None or market.perpetual_suffix:
            found.append(f"{stem}{market.perpetual_suffix if perpetual else ''}")
    return list(dict.fromkeys(found))


def _of_forms(market: Market, name: str, known: Venues | None) -> list[str]:
    """The symbols by the forms of a market that a universal name may mean; not those that a venue file lists with terms of their own."""
    parts = _UNIVERSAL.fullmatch(name)
    if parts is None:
        return []
    try:
        day = None if parts["day"] is None else dt.date.fromisoformat(parts["day"])
    except ValueError:
        return []
    wanted = [form for form in market.form if day is not None or (form.contract_type == "inverse") == (parts["perpetual"] is not None)]
    written = [form.written(parts["base"], parts["quote"], day) for form in wanted]
    listed = (known or package_venues()).instruments
    return [symbol for symbol in written if symbol is not None and (market.exchange, symbol) not in listed]


def _from_forms(market: Market, symbol: str, known: Venues | None) -> Observation:
    """The instrument by the one form that leaves the shortest base, so that of ``BTCUSDT-26DEC25`` USDT is the quote."""
    read = [(form, parts) for form in market.form if (parts := form.read(symbol)) is not None]
    read = [(form, parts) for form, parts in read if _is_asset(parts.base) and _is_asset(parts.quote)]
    shortest = min((len(parts.base) for _, parts in read), default=0)
    fitting = [(form, parts) for form, parts in read if len(parts.base) == shortest]
    if len(fitting) != 1:
        raise _unsplit(market, symbol, "one of the forms " + ", ".join(form.text for form in market.form))
    ((form, parts),) = fitting
    kind, expiry_us, size = form.contract_type, None, 1.0
    if kind is not None:
        if parts.day is not None:
            expiry_us = delivery_us(market.exchange, parts.day, known, contract_type=kind)
        size = contract_size(market.exchange, parts.base, parts.quote, kind, known)
    settled = {None: None, "linear": parts.quote, "inverse": parts.base}[kind]
    return Observation(
        exchange=market.exchange,
        exchange_symbol=symbol,
        base_asset=parts.base,
        quote_asset=parts.quote,
        settle_asset=form.settle_asset or settled,
        asset_type=market.asset_type if parts.day is None else "future",
        contract_type=kind,
        contract_size=size,
        expiry_us=expiry_us,
        source="derived",
    )


def _from_dashed(market: Market, symbol: str) -> Observation:
    parts = symbol.split("-")
    if len(parts) != 2 or not all(_is_asset(part) for part in parts):  # noqa: PLR2004 - base and quote
        raise _unsplit(market, symbol, "BASE-QUOTE")
    return _observation(market, symbol, None, base=parts[0], quote=parts[1], expiry_us=None)


def _is_asset(name: str, quote: str = "") -> bool:
    """Whether a part of a symbol can be an asset: letters and digits of any script, Latin ones in capitals unless the quote's are small."""
    return name.isalnum() and (quote.islower() or re.search("[a-z]", name) is None)


def _from_joined(market: Market, symbol: str, known: Venues | None) -> Observation:
    stem, day = symbol, None
    dated = _DELIVERY_SUFFIX.search(symbol)
    if dated is not None and market.asset_type != "spot":
        stem, day = symbol[: dated.start()], _delivery_day(market, symbol, dated.group(1))
    elif market.perpetual_suffix:
        if not symbol.endswith(market.perpetual_suffix):
            raise _unsplit(market, symbol, f"a symbol that ends in {market.perpetual_suffix} or a delivery date such as _250328")
        stem = symbol.removesuffix(market.perpetual_suffix)
    quote = market.split_exceptions.get(stem) or _quote_of(market, stem)
    if quote is None or not _is_asset(stem.removesuffix(quote), quote):
        quotes = ", ".join((*market.quote_assets, *market.inverse_quote_assets))
        raise _unsplit(market, symbol, f"an asset followed by one of the quotes {quotes}")
    kind: ContractType = "inverse" if quote in market.inverse_quote_assets else "linear"
    expiry_us = None if day is None else delivery_us(market.exchange, day, known, contract_type=kind)
    return _observation(market, symbol, known, base=stem.removesuffix(quote), quote=quote, expiry_us=expiry_us)


def _quote_of(market: Market, stem: str) -> str | None:
    quotes = (*market.quote_assets, *market.inverse_quote_assets)
    fitting = [quote for quote in quotes if stem.endswith(quote) and stem != quote]
    return max(fitting, key=len, default=None)


def _delivery_day(market: Market, symbol: str, digits: str) -> dt.date:
    try:
        return dt.datetime.strptime(digits, "%y%m%d").replace(tzinfo=dt.UTC).date()
    except ValueError:
        raise _unsplit(market, symbol, "a delivery date as _YYMMDD") from None


def _observation(market: Market, symbol: str, known: Venues | None, *, base: str, quote: str, expiry_us: int | None) -> Observation:
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
        contract_size=contract_size(market.exchange, base, quote, "inverse", known) if inverse else 1.0,
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
