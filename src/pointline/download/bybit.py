"""Where Bybit keeps its public trades: files of days, gzip, without check sums beside them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from pointline.download.named import asked_for
from pointline.download.remote import RemoteFile
from pointline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointline.download.transport import Transport

_FILES = "https://public.bybit.com"
_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9-]*")
_PATHS = {"bybit": "trading/{symbol}/{symbol}{day}.csv.gz", "bybit-spot": "spot/{symbol}/{symbol}_{day}.csv.gz"}


class BybitArchive:
    """The archive, or a mirror of it. Names are asked for one by one: its address has no listing that tells sizes.

    Args:
        transport: the client.
        base_url: of a mirror with the archive's paths below it.
    """

    def __init__(self, transport: Transport, base_url: str | None = None) -> None:
        self._transport = transport
        self._files = (base_url or _FILES).rstrip("/")

    @staticmethod
    def dataset(kind: str) -> str:
        """The archive's dataset of a kind of data: trades, and nothing else.

        Raises:
            ConfigError: it is another.
        """
        if kind != "trades":
            raise ConfigError("the archive has no such kind of data", value=kind, expected="trades")
        return kind

    @staticmethod
    def spans(exchange: str, dataset: str) -> tuple[str, ...]:  # noqa: ARG004 - as of every archive
        """Files of days."""
        return ("daily",)

    def offers(self, exchange: str, symbol: str, dataset: str, span: str, days: Sequence[str]) -> dict[str, RemoteFile]:  # noqa: ARG002 - as of every archive
        """What the archive has of a symbol in a window.

        Args:
            exchange: ``"bybit"`` or ``"bybit-spot"``.
            symbol, dataset: the exchange's own symbol, and trades.
            span: ``"daily"``.
            days: YYYY-MM-DD.

        Returns:
            The files by their day.

        Raises:
            ConfigError: the symbol cannot be one.
            BlockedError, ServerFailedError: the host does not answer.
        """
        if _SYMBOL.fullmatch(symbol) is None:
            raise ConfigError(
                "this is no symbol of the archive", value=symbol, expected="the exchange's own, such as BTCUSDT or BTC-27DEC24"
            )
        found = {}
        for day in days:
            key = _PATHS[exchange].format(symbol=symbol, day=day)
            blank = RemoteFile(url="", key=key, exchange=exchange, symbol=symbol, dataset=dataset, period=day)
            file = asked_for(self._transport, blank, f"{self._files}/{quote(key)}", checksum=False)
            if file is not None:
                found[day] = file
        return found
