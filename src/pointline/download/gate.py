"""Where Gate keeps its public trades and settled funding: files of months, gzip, without check sums beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pointline.download.file_archive import FileArchive
from pointline.download.named import asked_names, url_below
from pointline.download.remote import RemoteFile
from pointline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence


_FOLDERS = {
    ("gate-spot", "trades"): "spot/deals",
    ("gate-futures", "trades"): "futures_usdt/trades",
    ("gate-futures", "funding_applies"): "futures_usdt/funding_applies",
}


class GateArchive(FileArchive):
    """The archive, or a mirror of it. Names are asked for one by one: the listing of its address is known to be wrong.

    Args:
        transport: the client.
        base_url: of a mirror with the archive's paths below it.
    """

    source: ClassVar[str] = "gate"
    files: ClassVar[str] = "https://download.gatedata.org"
    kinds: ClassVar[dict[str, str]] = {
        "trades": "trades",
        "deals": "trades",
        "funding": "funding_applies",
        "funding_applies": "funding_applies",
    }

    @staticmethod
    def spans(exchange: str, dataset: str) -> tuple[str, ...]:
        """Files of months.

        Raises:
            ConfigError: it does not have it for this exchange.
        """
        if (exchange, dataset) not in _FOLDERS:
            raise ConfigError("the archive has this kind of data for futures only", value=f"{dataset} of {exchange}", expected="trades")
        return ("monthly",)

    def offers(self, exchange: str, symbol: str, dataset: str, span: str, days: Sequence[str]) -> dict[str, RemoteFile]:  # noqa: ARG002 - as of every archive
        """What the archive has of a symbol in a window.

        Args:
            exchange: ``"gate-spot"`` or ``"gate-futures"``.
            symbol, dataset: the exchange's own symbol (``"BTC_USDT"``), and the dataset.
            span: ``"monthly"``.
            days: YYYY-MM-DD.

        Returns:
            The files by their month.

        Raises:
            ConfigError: the symbol cannot be one.
            BlockedError, ServerFailedError: the host does not answer.
        """
        self.check_symbol(exchange, symbol)
        folder = _FOLDERS[exchange, dataset]
        blanks = []
        for month in sorted({day[:7] for day in days}):
            digits = month.replace("-", "")
            path = f"{folder}/{digits}/{symbol}-{digits}.csv.gz"
            blanks.append(
                RemoteFile(
                    url=url_below(self._files, path),
                    key=f"gate/{path}",
                    exchange=exchange,
                    symbol=symbol,
                    dataset=folder.rpartition("/")[2],
                    period=month,
                )
            )
        return asked_names(self._transport, blanks)
