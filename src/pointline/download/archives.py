"""Which archive has the files of an exchange."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from pointline.download.bybit import BybitArchive
from pointline.download.vision import MARKETS, VisionArchive
from pointline.errors import ConfigError

if TYPE_CHECKING:
    ArchiveHost: TypeAlias = VisionArchive | BybitArchive

ARCHIVES: dict[str, type[VisionArchive | BybitArchive]] = {
    **dict.fromkeys(MARKETS, VisionArchive),
    "bybit": BybitArchive,
    "bybit-spot": BybitArchive,
}
"""The archive of each exchange id."""


def archive_of(exchange: str) -> type[VisionArchive | BybitArchive]:
    """The archive of an exchange.

    Raises:
        ConfigError: there is none that is downloaded.
    """
    if exchange not in ARCHIVES:
        raise ConfigError("no archive of this exchange is downloaded", value=exchange, expected=", ".join(ARCHIVES))
    return ARCHIVES[exchange]
