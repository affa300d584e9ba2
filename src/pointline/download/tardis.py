"""Where Tardis keeps its CSV datasets: files of days, gzip; the first day of each month is free, others need a key."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlsplit

from pointline.download.file_archive import FileArchive
from pointline.download.named import asked_for, url_below
from pointline.download.remote import RemoteFile
from pointline.errors import ConfigError, KeyRefusedError
from pointline.sources.tardis import GROUPS, SLASHED
from pointline.sources.tardis_datasets import NOT_READ, TYPES
from pointline.venues.names import market_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointline.download.transport import Transport

KEY_VARIABLE = "TARDIS_API_KEY"
EXCHANGES = {
    "binance-spot": "binance",
    **{
        name: name
        for name in ("binance-futures", "binance-delivery", "bybit", "bybit-spot", "deribit", "coinbase", "kraken", "hyperliquid")
    },
    "okx-spot": "okex",
    "okx-swap": "okex-swap",
    "okx-futures": "okex-futures",
    "kraken-futures": "cryptofacilities",
    "gate-spot": "gate-io",
    "gate-futures": "gate-io-futures",
    "kucoin-spot": "kucoin",
}
"""The vendor's ids of exchanges."""

_DATASETS = tuple(TYPES)
_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9_.@-]*")
_LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})
_GRAMMAR = "the exchange's own symbol (BTCUSDT, BTC-USDT-SWAP, BTC-PERPETUAL; XBT/USD of Kraken), or SPOT, PERPETUALS or FUTURES"
_HINT = f"put the vendor's key into the environment as {KEY_VARIABLE}; without one, only the first day of each month is given"


class TardisArchive(FileArchive):
    """The datasets of many exchanges, or a mirror of them.

    The key is read from the environment, and sent to the host of the datasets and to no other.

    Args:
        transport: the client.
        base_url: of a mirror with the archive's paths below it; it is sent the key too, over https or where it is this machine.

    Raises:
        ConfigError: the key cannot be one.
    """

    source: ClassVar[str] = "tardis"
    files: ClassVar[str] = "https://datasets.tardis.dev"

    def __init__(self, transport: Transport, base_url: str | None = None) -> None:
        super().__init__(transport, base_url)
        key = os.environ.get(KEY_VARIABLE, "").strip()
        if key and re.fullmatch(r"[\x21-\x7e]+", key) is None:
            raise ConfigError("the key is none: it has spaces or letters that no key has", where=KEY_VARIABLE)
        parts = urlsplit(self._files)
        self._is_safe = parts.scheme == "https" or parts.hostname in _LOCAL
        self._has_key = bool(key) and self._is_safe
        if self._has_key:
            transport.authorise(self._files, key)

    @staticmethod
    def dataset(kind: str) -> str:
        """The vendor's data type of a kind of data.

        Raises:
            ConfigError: there is none.
        """
        if kind not in _DATASETS:
            unread = f"; the lake has no table for {NOT_READ[kind]}" if kind in NOT_READ else ""
            raise ConfigError(f"no such kind of data is downloaded{unread}", value=kind, expected=", ".join(_DATASETS))
        return kind

    @staticmethod
    def spans(exchange: str, dataset: str) -> tuple[str, ...]:  # noqa: ARG004 - as of every archive
        """Files of days.

        Raises:
            ConfigError: the vendor does not collect the exchange, as far as this package knows.
        """
        if exchange not in EXCHANGES:
            raise ConfigError("the vendor's id of this exchange is not known", value=exchange, expected=", ".join(EXCHANGES))
        return ("daily",)

    @staticmethod
    def check_symbol(exchange: str, symbol: str) -> None:
        """Refuses what cannot be a symbol.

        Raises:
            ConfigError: it is none.
        """
        if _SYMBOL.fullmatch(_in_path(_slashed(exchange, symbol))) is None or (symbol == "OPTIONS"):
            raise ConfigError("this is no symbol of the archive", where=exchange, value=symbol, expected=_GRAMMAR)

    @staticmethod
    def continued(symbol: str, dataset: str) -> tuple[str, str] | None:
        """What is asked for to go on with an instrument and dataset of the lake; a group of instruments is not gone on with."""
        return None if symbol == "*" else (symbol, dataset)

    def offers(self, exchange: str, symbol: str, dataset: str, span: str, days: Sequence[str]) -> dict[str, RemoteFile]:  # noqa: ARG002 - as of every archive
        """What the archive has of a symbol in a window.

        Args:
            exchange: an exchange id of `EXCHANGES`.
            symbol: the exchange's own, or a group such as ``"PERPETUALS"``.
            dataset: the vendor's data type.
            span: ``"daily"``.
            days: YYYY-MM-DD.

        Returns:
            The files by their day. Without a key, those of other days than the first of a month have that as their problem.

        Raises:
            ConfigError: the symbol cannot be one.
            KeyRefusedError: the host refuses the key.
            BlockedError, ServerFailedError: the host does not answer.
        """
        self.check_symbol(exchange, symbol)
        found = {}
        for day in days:
            path = f"v1/{EXCHANGES[exchange]}/{dataset}/{day.replace('-', '/')}/{_in_path(_slashed(exchange, symbol))}.csv.gz"
            url, named = url_below(self._files, path), "*" if symbol in GROUPS else symbol
            free = self._has_key or day.endswith("-01")
            hint = _HINT if self._is_safe else "the key is sent over https only, so give a base URL that begins with it"
            problem = None if free else KeyRefusedError("this day needs a key, and none is given", where=url, hint=hint)
            blank = RemoteFile(url=url, key=f"tardis/{path}", exchange=exchange, symbol=named, dataset=dataset, period=day, problem=problem)
            file = self._asked(blank) if free else blank
            if file is not None:
                found[day] = file
        return found

    def _asked(self, file: RemoteFile) -> RemoteFile | None:
        try:
            return asked_for(self._transport, file, file.url, checksum=False)
        except KeyRefusedError as error:
            hint = f"{KEY_VARIABLE} has a key that the host refuses, or one that does not reach this day" if self._has_key else _HINT
            raise KeyRefusedError(error.what, where=error.where, value=error.value, hint=hint) from None


def _slashed(exchange: str, symbol: str) -> str:
    """A pair of Kraken as the vendor collects it, with a slash, where it is given as in the lake, without.

    >>> _slashed("kraken", "XBTUSD"), _slashed("kraken", "XBT/USD"), _slashed("bybit", "BTCUSD")
    ('XBT/USD', 'XBT/USD', 'BTCUSD')
    """
    if exchange not in SLASHED or symbol in GROUPS or re.search("[/-]", symbol):
        return symbol
    quotes = [quote for quote in market_of(exchange).quote_assets if symbol.endswith(quote) and symbol != quote]
    if not quotes:
        raise ConfigError("where base and quote of this pair part is not known", where=exchange, value=symbol, expected="such as XBT/USD")
    quote = max(quotes, key=len)
    return f"{symbol.removesuffix(quote)}/{quote}"


def _in_path(symbol: str) -> str:
    """A symbol as the vendor's paths have it.

    >>> _in_path("XBT/USD"), _in_path("kPEPE")
    ('XBT-USD', 'KPEPE')
    """
    return re.sub("[/:]", "-", symbol).upper()
