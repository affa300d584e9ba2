"""Where each exchange's data is downloaded: archives of files, and the REST interfaces of exchanges whose archive lacks a kind of data."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar, Protocol

from pointline.download import rest_funding
from pointline.download.bybit import BybitArchive
from pointline.download.gate import GateArchive
from pointline.download.kucoin import KucoinArchive
from pointline.download.okx import OkxArchive
from pointline.download.rest import RestArchive
from pointline.download.rest_funding import FundingHistory
from pointline.download.rest_trades import CoinbaseTrades, DeribitTrades
from pointline.download.tardis import KEY_VARIABLE, TardisArchive
from pointline.download.vision import MARKETS, VisionArchive
from pointline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pointline.download.remote import RemoteFile
    from pointline.download.rest import RestHistory
    from pointline.download.transport import Transport


class DownloadHost(Protocol):
    """Where data is got: in which files, and which of them there are of a window."""

    def spans(self, exchange: str, dataset: str) -> tuple[str, ...]:
        """``"daily"`` and ``"monthly"`` as far as it has such files, first what is preferred; or `ConfigError`."""

    def check_symbol(self, exchange: str, symbol: str) -> None:
        """`ConfigError` where the exchange writes no symbol like it."""

    def offers(self, exchange: str, symbol: str, dataset: str, span: str, days: Sequence[str]) -> dict[str, RemoteFile]:
        """The files that it has of a window, by their period."""


class ArchiveHost(DownloadHost, Protocol):
    """An archive of files.

    Attributes:
        source: the parser that reads its files, see `pointline.sources.families`.
        day_start_us: when its days begin, from 00:00 UTC.
    """

    source: ClassVar[str]
    day_start_us: ClassVar[int]

    def __init__(self, transport: Transport, base_url: str | None = None) -> None:
        """The archive, or a mirror of it."""

    @staticmethod
    def dataset(kind: str) -> str:
        """The archive's dataset of a kind of data, or `ConfigError`."""

    @staticmethod
    def spans(exchange: str, dataset: str) -> tuple[str, ...]:
        """As of every host, without asking it."""

    @staticmethod
    def check_symbol(exchange: str, symbol: str) -> None:
        """As of every host, without asking it."""

    @staticmethod
    def continued(symbol: str, dataset: str) -> tuple[str, str] | None:
        """Symbol and dataset that are asked for to go on with those of the lake; None where nothing is."""


TARDIS = "tardis"
ARCHIVES: dict[str, type[ArchiveHost]] = {
    **dict.fromkeys(MARKETS, VisionArchive),
    **dict.fromkeys(("bybit", "bybit-spot"), BybitArchive),
    **dict.fromkeys(("okx-spot", "okx-swap", "okx-futures"), OkxArchive),
    **dict.fromkeys(("gate-spot", "gate-futures"), GateArchive),
    **dict.fromkeys(("kucoin-spot", "kucoin-futures"), KucoinArchive),
    TARDIS: TardisArchive,
}
"""The archive of files of each exchange id, and the one that has many exchanges by its own name."""

KEY_VARIABLES = {TARDIS: KEY_VARIABLE}
"""Where the key of an archive stands in the environment, of those that have one."""

FUNDING_HISTORY = "fundingHistory"
"""The dataset of funding by REST; the kind ``"funding"`` means it where no archive of files has funding."""

HISTORIES: dict[str, dict[str, Callable[[], RestHistory]]] = {
    "bybit": {FUNDING_HISTORY: partial(FundingHistory, rest_funding.BYBIT)},
    "coinbase": {"trades": CoinbaseTrades},
    "deribit": {"trades": DeribitTrades, FUNDING_HISTORY: partial(FundingHistory, rest_funding.DERIBIT)},
    "gate-futures": {FUNDING_HISTORY: partial(FundingHistory, rest_funding.GATE)},
    "hyperliquid": {FUNDING_HISTORY: partial(FundingHistory, rest_funding.HYPERLIQUID)},
    "kraken-futures": {FUNDING_HISTORY: partial(FundingHistory, rest_funding.KRAKEN)},
    "kucoin-futures": {FUNDING_HISTORY: partial(FundingHistory, rest_funding.KUCOIN)},
}
"""The REST histories of each exchange id, by dataset."""


def dataset_of(exchange: str, kind: str, archive: str = "") -> str:
    """The dataset of a kind of data: of the archive of files where it has one, else of the REST interface.

    Args:
        exchange: an exchange id.
        kind: a dataset, or a table of the lake.
        archive: ``"tardis"``, or empty for what the exchange itself has.

    Raises:
        ConfigError: nothing of the exchange is downloaded, not this kind, or not for this exchange.

    >>> dataset_of("binance-futures", "funding"), dataset_of("bybit", "funding"), dataset_of("deribit", "trades")
    ('fundingRate', 'fundingHistory', 'trades')
    >>> dataset_of("deribit", "quotes", "tardis")
    'quotes'
    """
    if archive not in {"", TARDIS}:
        raise ConfigError("there is no such archive", value=archive, expected=f"{TARDIS}, or none for the exchange's own")
    host = ARCHIVES.get(archive or exchange) if exchange != TARDIS else None
    histories = {} if archive else HISTORIES.get(exchange, {})
    if host is None and not histories:
        known = ", ".join(dict.fromkeys(name for name in [*ARCHIVES, *HISTORIES] if name != TARDIS))
        raise ConfigError(
            "no archive of this exchange is downloaded",
            value=exchange,
            expected=known,
            hint="Tardis has files of more exchanges: --archive tardis",
        )
    name = FUNDING_HISTORY if kind == "funding" else kind
    if host is not None:
        try:
            found = host.dataset(kind)
            host.spans(exchange, found)
        except ConfigError:
            if name not in histories:
                raise
        else:
            return found
    elif name not in histories:
        raise ConfigError("the exchange has no such kind of data to download", value=kind, expected=", ".join(histories))
    return name


def day_start_of(exchange: str, dataset: str, archive: str = "") -> int:
    """When the days of a dataset's files begin, in microseconds from 00:00 UTC; arguments as of `dataset_of`, and its result."""
    return 0 if _history(exchange, dataset, archive) is not None else ARCHIVES[archive or exchange].day_start_us


def check_symbol_of(exchange: str, dataset: str, symbol: str, archive: str = "") -> None:
    """Refuses what cannot be a symbol of an exchange, before anybody is asked; arguments as of `day_start_of`.

    Raises:
        ConfigError: it is none.
    """
    if _history(exchange, dataset, archive) is not None:
        RestArchive.check_symbol(exchange, symbol)
    else:
        ARCHIVES[archive or exchange].check_symbol(exchange, symbol)


def continued(source: str, exchange: str, symbol: str, dataset: str) -> tuple[str, str, str] | None:
    """What is asked for to go on with what a lake has of files.

    Args:
        source, exchange, symbol, dataset: as the lake's manifest has them.

    Returns:
        Symbol, dataset, and the archive's name where it is not the exchange's own; None where nothing is downloaded.

    >>> continued("rest_funding", "bybit", "BTCUSDT", "fundingHistory"), continued("mapping", "bybit", "BTCUSDT", "trades")
    (('BTCUSDT', 'fundingHistory', ''), None)
    """
    archive = TARDIS if source == TARDIS else ""
    history = _history(exchange, dataset, archive)
    if history is not None:
        return (symbol, dataset, archive) if source == history().source else None
    host = ARCHIVES.get(archive or exchange)
    found = host.continued(symbol, dataset) if host is not None and host.source == source else None
    return None if found is None else (*found, archive)


def open_hosts(
    wanted: Iterable[tuple[str, str, str]], transport: Transport, base_url: str | None, *, now_us: int
) -> dict[tuple[str, str, str], DownloadHost]:
    """The hosts of datasets.

    Args:
        wanted: exchange id, dataset of `dataset_of`, and archive.
        transport: the client.
        base_url: stands for all hosts, where it is not None.
        now_us: the time now.
    """
    found: dict[tuple[str, str, str], DownloadHost] = {}
    for exchange, dataset, archive in sorted(set(wanted)):
        history = _history(exchange, dataset, archive)
        found[exchange, dataset, archive] = (
            ARCHIVES[archive or exchange](transport, base_url)
            if history is None
            else RestArchive(transport, history(), base_url, now_us=now_us)
        )
    return found


def new_history(exchange: str, dataset: str) -> RestHistory:
    """A history for one download; arguments of a dataset that is asked for by REST."""
    return HISTORIES[exchange][dataset]()


def _history(exchange: str, dataset: str, archive: str) -> Callable[[], RestHistory] | None:
    return None if archive else HISTORIES.get(exchange, {}).get(dataset)
