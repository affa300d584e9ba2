"""Where Binance Vision keeps its files."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote

from pointline.download.file_archive import FileArchive
from pointline.download.listing import bucket_entries
from pointline.download.named import asked_for
from pointline.download.remote import RemoteFile
from pointline.errors import ConfigError
from pointline.sources.vision_datasets import DATASETS, KLINE_DATASETS, is_dataset
from pointline.sources.vision_names import parse_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointline.download.transport import Transport

MARKETS = {"binance-spot": "spot", "binance-futures": "futures/um", "binance-delivery": "futures/cm"}
"""Exchange id to the archive's name of the market."""

_BUCKET = "https://s3-ap-northeast-1.amazonaws.com/data.binance.vision"
_SPANS = {"fundingRate": ("monthly",), "metrics": ("daily",), "liquidationSnapshot": ("daily",)}
_SPOT = frozenset({"trades", "aggTrades", "klines"})
_TABLES = {"quotes": "bookTicker", "funding": "fundingRate", "open_interest": "metrics", "liquidations": "liquidationSnapshot"}
_CANDLES = {("" if price == "trade" else f"{price}_"): dataset for dataset, price in KLINE_DATASETS.items()}


class VisionArchive(FileArchive):
    """The archive, or a mirror of it.

    Args:
        transport: the client.
        base_url: of a mirror with the archive's paths below it; a listing in the form of the bucket's is used where it has one.
    """

    source: ClassVar[str] = "binance_vision"
    files: ClassVar[str] = "https://data.binance.vision"

    def __init__(self, transport: Transport, base_url: str | None = None) -> None:
        super().__init__(transport, base_url)
        self._bucket = _BUCKET if base_url is None else f"{self._files}/"

    @staticmethod
    def dataset(kind: str) -> str:
        """The archive's dataset of a kind of data.

        Args:
            kind: a dataset of the archive (``"aggTrades"``, ``"klines-1m"``) or a table of the lake (``"quotes"``, ``"candles_1m"``).

        Raises:
            ConfigError: there is none that ingest reads.
        """
        candles = re.fullmatch(r"(|mark_|index_|premium_)candles_(\w+)", kind)
        name = f"{_CANDLES[candles[1]]}-{candles[2]}" if candles else _TABLES.get(kind, kind)
        if not is_dataset(name):
            raise ConfigError(
                "the archive has no such kind of data",
                value=kind,
                expected=f"{', '.join(DATASETS)} (candles with their interval, such as klines-1m), or a table such as quotes or candles_1m",
            )
        return name

    @staticmethod
    def spans(exchange: str, dataset: str) -> tuple[str, ...]:
        """``"daily"`` and ``"monthly"``, as far as the archive has the dataset in such files.

        Raises:
            ConfigError: it does not have it for this exchange.
        """
        family = dataset.partition("-")[0]
        if exchange == "binance-spot" and family not in _SPOT:
            raise ConfigError(
                "the archive has this kind of data for futures only", value=f"{dataset} of {exchange}", expected=", ".join(sorted(_SPOT))
            )
        if dataset.endswith("-1s") and exchange != "binance-spot":
            raise ConfigError("the archive has candles of one second for spot only", value=f"{dataset} of {exchange}")
        return _SPANS.get(family, ("daily", "monthly"))

    @staticmethod
    def check_symbol(exchange: str, symbol: str) -> None:
        """Refuses what cannot be a symbol.

        Raises:
            ConfigError: it is none.
        """
        sample = parse_name(f"{symbol}-trades-2024-05-01.zip")
        if sample is None or sample.symbol != symbol:
            raise ConfigError(
                "this is no symbol of the archive",
                where=exchange,
                value=symbol,
                expected="the exchange's own, such as BTCUSDT or BTCUSD_PERP",
            )

    def offers(self, exchange: str, symbol: str, dataset: str, span: str, days: Sequence[str]) -> dict[str, RemoteFile]:
        """What the archive has of a symbol and dataset in a window.

        Args:
            exchange: an exchange id of `MARKETS`.
            symbol, dataset: the exchange's own symbol and the archive's dataset.
            span: ``"daily"`` or ``"monthly"``.
            days: the window's days, YYYY-MM-DD, in order.

        Returns:
            The files by their period.

        Raises:
            ConfigError: the symbol cannot be one.
            BlockedError, ServerFailedError, WrongContentError: the host does not answer, or wrongly.
        """
        family, _, interval = dataset.partition("-")
        stem = f"{symbol}-{interval or dataset}"
        self.check_symbol(exchange, symbol)
        folder = "/".join(["data", MARKETS[exchange], span, family, symbol, *([interval] if interval else [])])
        prefix = f"{folder}/{stem}-"
        blank = RemoteFile(url="", key="", exchange=exchange, symbol=symbol, dataset=dataset, period="")
        after, before = f"{prefix}{days[0][:4]}", f"{prefix}{int(days[-1][:4]) + 1}"
        entries = bucket_entries(self._transport, self._bucket, prefix=prefix, after=after, before=before)
        if entries is None:
            wanted = days if span == "daily" else sorted({day[:7] for day in days})
            blanks = (replace(blank, key=f"{prefix}{period}.zip", period=period) for period in wanted)
            asked = (asked_for(self._transport, file, self._url(file.key), checksum=True) for file in blanks)
            return {file.period: file for file in asked if file is not None}
        keys = {entry.key for entry in entries}
        found: dict[str, RemoteFile] = {}
        for entry in entries:
            named = parse_name(entry.key.rpartition("/")[2])
            if not entry.key.endswith(".zip") or named is None or entry.key.count("/") != prefix.count("/") or named.symbol != symbol:
                continue  # a stray file
            if (len(named.period) == len("2024-05")) != (span == "monthly"):
                continue
            checksum = f"{entry.key}.CHECKSUM"
            found[named.period] = replace(
                blank,
                url=self._url(entry.key),
                key=entry.key,
                period=named.period,
                size=entry.size,
                etag=entry.etag,
                modified_us=entry.modified_us,
                checksum_url=self._url(checksum) if checksum in keys else None,
            )
        return found

    def _url(self, key: str) -> str:
        return f"{self._files}/{quote(key)}"
