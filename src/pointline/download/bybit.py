"""Where Bybit keeps its public trades: files of days, of spot of months too, gzip, without check sums beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pointline.download.file_archive import FileArchive
from pointline.download.named import asked_names, url_below
from pointline.download.remote import RemoteFile

if TYPE_CHECKING:
    from collections.abc import Sequence


_PATHS = {
    ("bybit", "daily"): "trading/{symbol}/{symbol}{period}.csv.gz",
    ("bybit-spot", "daily"): "spot/{symbol}/{symbol}_{period}.csv.gz",
    ("bybit-spot", "monthly"): "spot/{symbol}/{symbol}-{period}.csv.gz",
}


class BybitArchive(FileArchive):
    """The archive, or a mirror of it. Names are asked for one by one: its address has no listing that tells sizes.

    Args:
        transport: the client.
        base_url: of a mirror with the archive's paths below it.
    """

    source: ClassVar[str] = "bybit"
    files: ClassVar[str] = "https://public.bybit.com"

    @staticmethod
    def spans(exchange: str, dataset: str) -> tuple[str, ...]:  # noqa: ARG004 - as of every archive
        """Files of days, and of spot of months too."""
        return ("daily", "monthly") if (exchange, "monthly") in _PATHS else ("daily",)

    def offers(self, exchange: str, symbol: str, dataset: str, span: str, days: Sequence[str]) -> dict[str, RemoteFile]:
        """What the archive has of a symbol in a window.

        Args:
            exchange: ``"bybit"`` or ``"bybit-spot"``.
            symbol, dataset: the exchange's own symbol, and trades.
            span: ``"daily"``, or of spot ``"monthly"``.
            days: YYYY-MM-DD.

        Returns:
            The files by their period.

        Raises:
            ConfigError: the symbol cannot be one.
            BlockedError, ServerFailedError: the host does not answer.
        """
        self.check_symbol(exchange, symbol)
        periods = days if span == "daily" else sorted({day[:7] for day in days})
        paths = {period: _PATHS[exchange, span].format(symbol=symbol, period=period) for period in periods}
        blanks = [
            RemoteFile(url=url_below(self._files, path), key=path, exchange=exchange, symbol=symbol, dataset=dataset, period=period)
            for period, path in paths.items()
        ]
        return asked_names(self._transport, blanks)
