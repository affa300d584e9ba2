"""What a user names: an instrument as ``exchange:symbol``, costs by their preset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointline.costs import CostModel
from pointline.errors import ConfigError, VenueRuleError
from pointline.venues.fees import named_costs

if TYPE_CHECKING:
    from pointline.instruments import Instrument, Pair, Registry
    from pointline.venues.files import Venues


def named_instrument(registry: Registry, name: object, at_us: int) -> Instrument:
    """The instrument of a name at a time.

    Raises:
        ConfigError: the name is not ``exchange:symbol``.
        RegistryError: no or several instruments have this name then; the error has the nearest names.
    """
    exchange, colon, symbol = name.partition(":") if isinstance(name, str) else ("", "", "")
    if not colon or not exchange or not symbol:
        raise ConfigError(
            "an instrument is named by exchange and symbol", value=name, expected="exchange:symbol, e.g. binance-futures:BTCUSDT"
        )
    return registry.find(exchange, symbol, at_us)


def resolved_costs(costs: CostModel | str, pair: Pair, window_us: tuple[int, int], known: Venues) -> tuple[CostModel, list[str]]:
    """The cost model that a user means, and what is to be said of it.

    Args:
        costs: a cost model, or the name of a preset.
        pair: whose exchanges a venue preset reads.
        window_us: the fees are those at its end; a note says where they were others, or not known, at its start.
        known: the venue files.

    Raises:
        ConfigError: an unknown preset, or no cost model.
        VenueRuleError: a venue's fees are not known at the window's end.
    """
    if isinstance(costs, CostModel):
        return costs, []
    if not isinstance(costs, str):
        raise ConfigError("costs has the wrong type", value=costs, expected="CostModel(...), the name of a preset, or None")
    exchanges = (pair.perp.exchange, pair.spot.exchange)
    found = named_costs(costs, *exchanges, window_us[1] - 1, known=known)
    try:
        first = named_costs(costs, *exchanges, window_us[0], known=known)
    except VenueRuleError:
        first = None
    told = "are not known at the window's start" if first is None else "were others at the window's start"
    return found, [] if first == found else [f"the fees are those at the window's end; they {told}"]
