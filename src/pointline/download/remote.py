"""Files of an archive as its host names them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pointline.errors import DownloadError


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """One file that a host offers.

    Attributes:
        url: where it is got.
        key: its path below the archive's root, and below the user's folder.
        exchange, symbol, dataset, period: what is in it, as `pointline.sources` names it, e.g. ``"binance-futures"``, ``"BTCUSDT"``,
            ``"klines-1m"``, ``"2024-05-01"`` or ``"2024-05"``.
        size: its bytes; None where the host does not tell them beforehand.
        etag: the host's mark of this version of it, without quotes; None where there is none.
        md5: of its bytes, as the host says, in hexadecimal digits; None where it does not say.
        modified_us: when the host stored it, microseconds UTC; None where it does not say.
        checksum_url: where its SHA-256 or MD5 stands; None where there is none.
        picks: of a file of many instruments, those that are wanted; all if there are none.
        problem: why it cannot be got, where that is known without asking; None where nothing is.
    """

    url: str
    key: str
    exchange: str
    symbol: str
    dataset: str
    period: str
    size: int | None = None
    etag: str | None = None
    md5: str | None = None
    modified_us: int | None = None
    checksum_url: str | None = None
    picks: tuple[str, ...] = ()
    problem: DownloadError | None = None

    @property
    def is_monthly(self) -> bool:
        """Whether it holds a month rather than a day."""
        return len(self.period) == len("2024-05")
