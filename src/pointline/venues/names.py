"""The one place that resolves names of exchanges: ids, SQL names and aliases in any case."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointline.errors import RegistryError, nearest
from pointline.venues.files import package_venues

if TYPE_CHECKING:
    from pointline.venues.files import Venues
    from pointline.venues.markets import Market


def markets() -> dict[str, Market]:
    """All exchange ids that the package knows, and their markets."""
    return package_venues().markets


def exchange_id(name: str, known: Venues | None = None) -> str:
    """The exchange id of an id, alias or SQL name in any case; a name that no venue file knows is returned as it is.

    Args:
        name: what somebody calls the exchange.
        known: the venue files of a lake; the package's own if None, here and in the other functions of this module.

    Examples:
        >>> exchange_id("binance"), exchange_id("Binance-USDM-Future"), exchange_id("my-exchange")
        ('binance-spot', 'binance-futures', 'my-exchange')
    """
    return (known or package_venues()).names.get(name.lower(), name)


def sql_exchange(exchange: str) -> str:
    """The exchange's name in SQL; an exchange that no venue file knows keeps its own.

    Examples:
        >>> sql_exchange("binance-delivery")
        'binance-coinm-future'
    """
    found = markets().get(exchange_id(exchange))
    return exchange if found is None else found.sql_name


def market_of(exchange: str, known: Venues | None = None) -> Market:
    """The market of an exchange id, alias or SQL name.

    Raises:
        RegistryError: no venue file knows the exchange.
    """
    all_markets = (known or package_venues()).markets
    found = all_markets.get(exchange_id(exchange, known))
    if found is None:
        raise RegistryError(
            "no venue file knows this exchange",
            value=exchange,
            expected="one of " + ", ".join(sorted(all_markets)),
            hint=f"nearest names: {nearest(exchange, all_markets).lower()}; your own go into a venue file of the lake (docs: Names)",
        )
    return found


def venue_names(known: Venues | None = None) -> dict[str, str]:
    """The venue that each exchange id belongs to."""
    return {market.exchange: venue.venue for venue in (known or package_venues()).files for market in venue.market}
