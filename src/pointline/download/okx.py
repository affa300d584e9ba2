"""Where OKX keeps its public trades and funding: an index names the files, of days and of months, and where they are."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlencode, urlsplit

from pointline.clock import DAY_US, next_month, to_us
from pointline.download.file_archive import FileArchive
from pointline.download.named import asked_for, url_below
from pointline.download.remote import RemoteFile
from pointline.errors import ConfigError, ServerFailedError, WrongContentError
from pointline.sources.hints import PERIOD, period_of
from pointline.sources.okx import DAY_START_US

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import httpx

    from pointline.download.transport import Transport

_INDEX = "https://www.okx.com"
_INDEX_PATH = "/api/v5/public/market-data-history"
_INDEX_REQUESTS_PER_S = 0.5
_FILES_PATH = "/cdn/okex/traderecords/"
_MODULES = {"trades": "1", "fundingrates": "3"}
_TYPES = {"okx-spot": "SPOT", "okx-swap": "SWAP", "okx-futures": "FUTURES"}
_PERIODS_AT_ONCE = 9  # the index refuses more than ten
_ALL = "*"
_PATH = re.compile(rf"{re.escape(_FILES_PATH)}(?P<path>(?:[A-Za-z0-9_][A-Za-z0-9_-]*/)*(?P<name>[A-Za-z0-9_-]+\.zip))")
_QUERY = re.compile(r"[A-Za-z0-9_=&.-]*")


class OkxArchive(FileArchive):
    """The archive, or a mirror of it. Its days and months are those of UTC+8.

    Args:
        transport: the client.
        base_url: of a mirror that has the paths of the index and of the files below it.
    """

    source: ClassVar[str] = "okx"
    files: ClassVar[str] = "https://static.okx.com"
    kinds: ClassVar[dict[str, str]] = {"trades": "trades", "funding": "fundingrates", "fundingrates": "fundingrates"}
    day_start_us: ClassVar[int] = DAY_START_US

    def __init__(self, transport: Transport, base_url: str | None = None) -> None:
        super().__init__(transport, base_url)
        self._index = (base_url or _INDEX).rstrip("/")
        if base_url is None:
            transport.slow_down(_INDEX, _INDEX_REQUESTS_PER_S)

    @staticmethod
    def spans(exchange: str, dataset: str) -> tuple[str, ...]:
        """Files of days and months; of funding those of months first, because a file of a day has the funding of all swaps.

        Raises:
            ConfigError: it does not have it for this exchange.
        """
        if dataset == "trades":
            return ("daily", "monthly")
        if exchange != "okx-swap":
            raise ConfigError("the archive has funding of swaps only", value=f"{dataset} of {exchange}", expected="trades, or okx-swap")
        return ("monthly", "daily")

    @staticmethod
    def continued(symbol: str, dataset: str) -> tuple[str, str] | None:
        """What is asked for to go on with an instrument and dataset of the lake; all contracts of a family are its name."""
        if dataset.startswith("trades-"):
            return (dataset.removeprefix("trades-") if symbol == _ALL else symbol), "trades"
        return symbol, "fundingrates" if dataset.endswith("fundingrates") else dataset

    def offers(self, exchange: str, symbol: str, dataset: str, span: str, days: Sequence[str]) -> dict[str, RemoteFile]:
        """What the archive has of a symbol in a window.

        Args:
            exchange: ``"okx-spot"``, ``"okx-swap"`` or ``"okx-futures"``.
            symbol: the exchange's own; of futures a family such as ``"BTC-USD"`` does too, ``"*"`` is all swaps.
            dataset: ``"trades"`` or ``"fundingrates"``.
            span: ``"daily"`` or ``"monthly"``.
            days: days of UTC+8, YYYY-MM-DD, in order.

        Returns:
            The files by their period.

        Raises:
            ConfigError: the symbol cannot be one.
            BlockedError, ServerFailedError, WrongContentError: the host does not answer, or wrongly.
        """
        self.check_symbol(exchange, symbol)
        if symbol == _ALL and (dataset == "trades" or span == "monthly"):
            if dataset == "trades":
                raise ConfigError("trades are asked for by symbol", where=exchange, value=symbol, expected="such as BTC-USDT-SWAP")
            return {}
        of_all = dataset == "fundingrates" and span == "daily"
        periods = list(days) if span == "daily" else sorted({day[:7] for day in days})
        found: dict[str, RemoteFile] = {}
        for at in range(0, len(periods), _PERIODS_AT_ONCE):
            part = periods[at : at + _PERIODS_AT_ONCE]
            for one in self._listed(exchange, _ALL if of_all else symbol, dataset, span, part):
                of_many = one.symbol == _ALL and symbol != _ALL and symbol != _family(symbol)
                file = replace(one, picks=(symbol,)) if of_many else one
                if file.period in found and found[file.period] != file:
                    raise WrongContentError("the index names two files of one period", where=file.url, value=found[file.period].url)
                found[file.period] = file
        asked = ((period, asked_for(self._transport, file, file.url, checksum=False) or file) for period, file in found.items())
        return dict(asked)

    def _listed(self, exchange: str, symbol: str, dataset: str, span: str, periods: Sequence[str]) -> Iterator[RemoteFile]:
        """The files that the index names of some periods that follow each other, as far as they are wanted."""
        first_us, last_us = (to_us(period if span == "daily" else f"{period}-01") for period in (periods[0], periods[-1]))
        if span == "daily":
            first_us -= DAY_US  # its newest day is listed only where the window begins before it
        else:
            last_us = next_month(last_us) - DAY_US
        family = _family(symbol) if exchange != "okx-spot" else symbol
        query = {
            "module": _MODULES[dataset],
            "instType": _TYPES[exchange],
            "instIdList" if exchange == "okx-spot" else "instFamilyList": "ANY" if symbol == _ALL else family,
            "dateAggrType": span,
            "begin": (first_us + DAY_START_US) // 1000,
            "end": (last_us + DAY_START_US) // 1000,
        }
        url = f"{self._index}{_INDEX_PATH}?{urlencode(query)}"
        names = _names(exchange, symbol, dataset)
        for name, address in self._transport.ask("GET", url, _entries):
            if exchange == "okx-futures" and re.fullmatch(rf"{re.escape(family)}(?:-[0-9]{{6}})?-trades-{PERIOD}\.zip", name):
                continue  # of one contract, or spot, to which the plain name of a family leads; the chain's file has all contracts
            matched = re.fullmatch(names, name)
            period = period_of(matched["period"]) if matched else None
            if matched is None or period is None or (len(period) == len("2024-05")) != (span == "monthly"):
                raise WrongContentError(
                    "the index names a file of something else than was asked for", where=url, value=name, expected=names
                )
            path = self._path(url, name, address)
            if period in periods:
                known = "allswap-fundingrates" if symbol == _ALL else dataset
                yield RemoteFile(
                    url=address if self._files == self.files else url_below(self._files, f"{_FILES_PATH[1:]}{path}"),
                    key=f"okx/{path}",
                    exchange=exchange,
                    symbol=_ALL if "-futureschain-" in name else symbol,
                    dataset=known,
                    period=period,
                )

    def _path(self, where: str, name: str, address: str) -> str:
        """The path of a file below the archive's folder.

        Raises:
            WrongContentError: it is at another host, or outside the folder.
        """
        parts = urlsplit(address)
        found = _PATH.fullmatch(parts.path)
        hosts = {urlsplit(root).netloc for root in (self.files, self._files)}
        scheme = {urlsplit(self._files).scheme, "https"}
        if parts.netloc not in hosts or parts.scheme not in scheme or found is None or found["name"] != name or parts.fragment:
            expected = f"{self._files}{_FILES_PATH}…/{name}"
            raise WrongContentError(
                "the index names a file at another place than the archive's", where=where, value=address, expected=expected
            )
        if _QUERY.fullmatch(parts.query) is None:
            raise WrongContentError("the index names a file by an odd address", where=where, value=address)
        return found["path"]


def _family(symbol: str) -> str:
    return "-".join(symbol.split("-")[:2])


def _names(exchange: str, symbol: str, dataset: str) -> str:
    """The pattern of the names of files that hold a symbol."""
    if symbol == _ALL:
        stem = "allswap"
    elif exchange == "okx-futures":
        stem = rf"{re.escape(_family(symbol))}-futureschain"
    else:
        stem = re.escape(symbol)
    return rf"{stem}-{dataset}-(?P<period>{PERIOD})\.zip"


def _entries(answer: httpx.Response) -> list[tuple[str, str]]:
    """Names and addresses of the files in an answer of the index.

    Raises:
        ServerFailedError: the index answers with an error.
        WrongContentError: the answer is cut off, or no answer of the index.
    """
    where, body = str(answer.url), answer.read()
    try:
        told: Any = json.loads(body)
    except ValueError as error:
        raise WrongContentError("the answer of the index is cut off, or none", where=where, value=body[:120], expected="JSON") from error
    if isinstance(told, dict) and str(told.get("code", "0")) != "0":
        value = f"code {str(told.get('code'))[:20]}: {str(told.get('msg'))[:200]}"
        raise ServerFailedError("the index answers with an error", where=where, value=value)
    try:
        return [
            (_text(file["filename"]), _text(file["url"]))
            for group in _list(told["data"])
            for detail in _list(group["details"])
            for file in _list(detail["groupDetails"])
        ]
    except (KeyError, TypeError) as error:
        expected = "data, details, groupDetails with filename and url"
        raise WrongContentError("this is no answer of the index", where=where, value=body[:120], expected=expected) from error


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
