"""Which host has the data of an exchange: an archive of files, or a REST interface."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from pointline.download import rest_funding
from pointline.download.bybit import BybitArchive
from pointline.download.rest import RestArchive
from pointline.download.rest_funding import FundingHistory
from pointline.download.rest_trades import CoinbaseTrades, DeribitTrades
from pointline.download.vision import MARKETS, VisionArchive
from pointline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointline.download.rest import RestHistory
    from pointline.download.transport import Transport

    ArchiveHost: TypeAlias = VisionArchive | BybitArchive | RestArchive

ARCHIVES: dict[str, type[VisionArchive | BybitArchive]] = {
    **dict.fromkeys(MARKETS, VisionArchive),
    "bybit": BybitArchive,
    "bybit-spot": BybitArchive,
}
"""The archive of files of each exchange id."""

FUNDING_HISTORY = "fundingHistory"
"""The dataset of funding by REST; the kind ``"funding"`` means it where no archive has funding."""

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


def dataset_of(exchange: str, kind: str) -> str:
    """The dataset of a kind of data: of the archive of files where it has one, else of the REST interface.

    Args:
        exchange: an exchange id.
        kind: a dataset, or a table of the lake.

    Raises:
        ConfigError: nothing of the exchange is downloaded, not this kind, or not for this exchange.

    >>> dataset_of("binance-futures", "funding"), dataset_of("bybit", "funding"), dataset_of("deribit", "trades")
    ('fundingRate', 'fundingHistory', 'trades')
    """
    archive, histories = ARCHIVES.get(exchange), HISTORIES.get(exchange, {})
    if archive is None and not histories:
        known = ", ".join(dict.fromkeys([*ARCHIVES, *HISTORIES]))
        raise ConfigError("no archive of this exchange is downloaded", value=exchange, expected=known)
    name = FUNDING_HISTORY if kind == "funding" else kind
    if archive is not None:
        try:
            found = archive.dataset(kind)
            archive.spans(exchange, found)
        except ConfigError:
            if name not in histories:
                raise
        else:
            return found
    elif name not in histories:
        raise ConfigError("the exchange has no such kind of data to download", value=kind, expected=", ".join(histories))
    return name


def open_hosts(
    pairs: set[tuple[str, str]], transport: Transport, base_url: str | None, *, now_us: int
) -> dict[tuple[str, str], ArchiveHost]:
    """The hosts of exchanges' datasets.

    Args:
        pairs: exchange id and dataset of `dataset_of`.
        transport: the client.
        base_url: stands for all hosts, where it is not None.
        now_us: the time now.
    """
    found: dict[tuple[str, str], ArchiveHost] = {}
    for exchange, dataset in sorted(pairs):
        history = HISTORIES.get(exchange, {}).get(dataset)
        if history is None:
            found[exchange, dataset] = ARCHIVES[exchange](transport, base_url)
        else:
            found[exchange, dataset] = RestArchive(transport, history(), base_url, now_us=now_us)
    return found
