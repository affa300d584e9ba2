"""Where KuCoin keeps its public trades: files of days, zip, with their MD5 beside them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from pointline.clock import DAY_US, date_text, to_us
from pointline.download.file_archive import FileArchive
from pointline.download.listing import bucket_entries
from pointline.download.named import asked_for, url_below
from pointline.download.remote import RemoteFile
from pointline.download.symbols import check_symbol
from pointline.errors import ConfigError
from pointline.sources.kucoin import archive_symbol, own_symbol

if TYPE_CHECKING:
    from collections.abc import Sequence


_MARKETS = {"kucoin-spot": "spot", "kucoin-futures": "futures"}


class KucoinArchive(FileArchive):
    """The archive, or a mirror of it. Files of spot have the paths of Binance's, so all are stored below a folder ``kucoin``.

    Args:
        transport: the client.
        base_url: of a mirror with the archive's paths below it; a listing in the form of the bucket's is used where it has one.
    """

    source: ClassVar[str] = "kucoin"
    files: ClassVar[str] = "https://historical-data.kucoin.com"

    @staticmethod
    def spans(exchange: str, dataset: str) -> tuple[str, ...]:  # noqa: ARG004 - as of every archive
        """Files of days."""
        return ("daily",)

    @staticmethod
    def check_symbol(exchange: str, symbol: str) -> None:
        """Refuses what cannot be a symbol.

        Raises:
            ConfigError: it is none.
        """
        check_symbol(exchange, symbol)
        if own_symbol(exchange, archive_symbol(exchange, symbol)) != symbol:
            raise ConfigError(
                "the archive's name of this instrument would be read back as another's",
                where=exchange,
                value=symbol,
                expected=own_symbol(exchange, archive_symbol(exchange, symbol)),
            )

    def offers(self, exchange: str, symbol: str, dataset: str, span: str, days: Sequence[str]) -> dict[str, RemoteFile]:
        """What the archive has of a symbol in a window.

        Args:
            exchange: ``"kucoin-spot"`` or ``"kucoin-futures"``.
            symbol, dataset: the exchange's own symbol (``"BTC-USDT"``, ``"XBTUSDTM"``), and trades.
            span: ``"daily"``.
            days: YYYY-MM-DD, in order.

        Returns:
            The files by their day.

        Raises:
            ConfigError: the symbol cannot be one.
            BlockedError, ServerFailedError, WrongContentError: the host does not answer, or wrongly.
        """
        self.check_symbol(exchange, symbol)
        name = archive_symbol(exchange, symbol)
        prefix = f"data/{_MARKETS[exchange]}/{span}/{dataset}/{name}/{name}-{dataset}-"
        blanks = {
            f"{prefix}{day}.zip": RemoteFile(
                url=url_below(self._files, f"{prefix}{day}.zip"),
                key=f"kucoin/{prefix}{day}.zip",
                exchange=exchange,
                symbol=symbol,
                dataset=dataset,
                period=day,
            )
            for day in days
        }
        after, before = f"{prefix}{days[0]}", f"{prefix}{date_text(to_us(days[-1]) + DAY_US)}"
        entries = bucket_entries(self._transport, f"{self._files}/", prefix=prefix, after=after, before=before)
        if entries is None:
            asked = (asked_for(self._transport, blank, blank.url, checksum=True) for blank in blanks.values())
            return {file.period: file for file in asked if file is not None}
        keys = {entry.key for entry in entries}
        return {
            blanks[entry.key].period: replace(
                blanks[entry.key],
                size=entry.size,
                etag=entry.etag,
                modified_us=entry.modified_us,
                checksum_url=url_below(self._files, f"{entry.key}.CHECKSUM") if f"{entry.key}.CHECKSUM" in keys else None,
            )
            for entry in entries
            if entry.key in blanks
        }
