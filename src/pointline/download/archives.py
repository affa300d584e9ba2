"""Which archive has the files of an exchange."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

from pointline.download.bybit import BybitArchive
from pointline.download.gate import GateArchive
from pointline.download.kucoin import KucoinArchive
from pointline.download.okx import OkxArchive
from pointline.download.tardis import TardisArchive
from pointline.download.vision import MARKETS, VisionArchive
from pointline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointline.download.remote import RemoteFile
    from pointline.download.transport import Transport


class ArchiveHost(Protocol):
    """An archive: which datasets it has, in which files, and which files it has of a window.

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
        """``"daily"`` and ``"monthly"`` as far as it has such files, first what is preferred; or `ConfigError`."""

    @staticmethod
    def check_symbol(exchange: str, symbol: str) -> None:
        """`ConfigError` where the exchange writes no symbol like it."""

    @staticmethod
    def continued(symbol: str, dataset: str) -> tuple[str, str] | None:
        """Symbol and dataset that are asked for to go on with those of the lake; None where nothing is."""

    def offers(self, exchange: str, symbol: str, dataset: str, span: str, days: Sequence[str]) -> dict[str, RemoteFile]:
        """The files that it has of a window, by their period."""


TARDIS = "tardis"
ARCHIVES: dict[str, type[ArchiveHost]] = {
    **dict.fromkeys(MARKETS, VisionArchive),
    **dict.fromkeys(("bybit", "bybit-spot"), BybitArchive),
    **dict.fromkeys(("okx-spot", "okx-swap", "okx-futures"), OkxArchive),
    **dict.fromkeys(("gate-spot", "gate-futures"), GateArchive),
    **dict.fromkeys(("kucoin-spot", "kucoin-futures"), KucoinArchive),
    TARDIS: TardisArchive,
}
"""The archive of each exchange id, and the one that has many exchanges by its own name."""


def archive_of(exchange: str, archive: str = "") -> type[ArchiveHost]:
    """The archive of an exchange.

    Args:
        exchange: an exchange id.
        archive: ``"tardis"``, or empty for the exchange's own.

    Raises:
        ConfigError: there is none that is downloaded.
    """
    if archive not in {"", TARDIS}:
        raise ConfigError("there is no such archive", value=archive, expected=f"{TARDIS}, or none for the exchange's own")
    if not archive and (exchange not in ARCHIVES or exchange == TARDIS):
        raise ConfigError(
            "no archive of this exchange is downloaded",
            value=exchange,
            expected=", ".join(name for name in ARCHIVES if name != TARDIS),
            hint="Tardis has files of more exchanges: --archive tardis",
        )
    return ARCHIVES[archive or exchange]
