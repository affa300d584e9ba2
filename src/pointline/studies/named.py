"""The instrument that a user names as ``exchange:symbol``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointline.errors import ConfigError

if TYPE_CHECKING:
    from pointline.instruments import Instrument, Registry


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
