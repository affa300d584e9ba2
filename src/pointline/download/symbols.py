"""How each exchange writes the symbols of its archive, so that a wrong one is refused before anybody is asked for it."""

from __future__ import annotations

import re

from pointline.errors import ConfigError

_PAIR = "[A-Z0-9]+"
_GRAMMAR: dict[str, tuple[str, str]] = {
    "bybit": (rf"{_PAIR}(?:-[A-Z0-9]+)?", "BTCUSDT, BTCUSD, BTCPERP, BTCUSDH25 or BTC-27DEC24"),
    "bybit-spot": (_PAIR, "BTCUSDT"),
    "okx-spot": (rf"{_PAIR}-{_PAIR}", "BTC-USDT"),
    "okx-swap": (rf"{_PAIR}-{_PAIR}-SWAP|\*", "BTC-USDT-SWAP, or * for the funding of all swaps"),
    "okx-futures": (rf"{_PAIR}-{_PAIR}(?:-[0-9]{{6}})?", "BTC-USD-240628, or the family BTC-USD, of which one file has all contracts"),
    "gate-spot": (rf"{_PAIR}_{_PAIR}", "BTC_USDT"),
    "gate-futures": (rf"{_PAIR}_USDT", "BTC_USDT (contracts that settle in USDT)"),
    "kucoin-spot": (rf"{_PAIR}-{_PAIR}", "BTC-USDT"),
    "kucoin-futures": (rf"{_PAIR}(?:USDT|USDC|USD)M", "XBTUSDTM or ETHUSDTM"),
}


def check_symbol(exchange: str, symbol: str) -> None:
    """Refuses what cannot be a symbol of an exchange.

    Args:
        exchange: an exchange id whose archive is downloaded.
        symbol: what somebody calls an instrument.

    Raises:
        ConfigError: the exchange writes none like it.

    Examples:
        >>> check_symbol("okx-swap", "BTC-USDT-SWAP")
        >>> check_symbol("okx-swap", "BTCUSDT")
        Traceback (most recent call last):
            ...
        pointline.errors.ConfigError: this is no symbol of the archive...
    """
    pattern, example = _GRAMMAR[exchange]
    if re.fullmatch(pattern, symbol) is None:
        raise ConfigError(
            "this is no symbol of the archive", where=exchange, value=symbol, expected=f"the exchange's own, such as {example}"
        )
