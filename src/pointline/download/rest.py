"""Histories that a host answers page by page: asked until a period is whole, and stored as one file of JSON lines.

What is stored are the host's own records, one on a line, in the order of time, with their numbers as they came: the same answers give
the same bytes. A file gets its name when its period is proven whole, or not at all.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, TypeVar
from urllib.parse import urlencode

from pointline.clock import DAY_US, HOUR_US, next_month, to_us
from pointline.download.json_text import canonical, decode
from pointline.download.remote import RemoteFile
from pointline.download.whole import check_whole
from pointline.errors import BlockedError, ConfigError, WrongContentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    import httpx

    from pointline.download.folder import ArchiveFolder, Verified
    from pointline.download.transport import Transport

_Result = TypeVar("_Result")

IDS = "ids"
"""Proof of a file: its trades' numbers follow each other, and those of the trades before and after it."""

PAGES = "pages"
"""Proof of a file: the pages reach from before its period to after it, and no payment is overdue in between."""

SETTLED_US = HOUR_US
"""A period is asked for when it has been over for so long."""

LATE_US = 2 * DAY_US
"""Where nothing follows a period that ended less than so long ago, its end may not have been answered yet."""

_SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_ANSWER_BYTES = 64 << 20


class RestAnswer(NamedTuple):
    """What a host says of itself in an answer with status 200: an error, in words, and whether it is asked too often."""

    error: str | None
    too_often: bool = False


@dataclass(frozen=True)
class RestQuestion:
    """A request.

    Attributes:
        path: below the host's address.
        query: its parameters; None for a question that is posted.
        body: what is posted.
    """

    path: str
    query: Mapping[str, object] | None = None
    body: Mapping[str, object] | None = None


class RestHistory(Protocol):
    """One kind of data of one exchange; an object of it serves one download.

    Attributes:
        source: the parser that reads the files, see `pointline.sources.families`.
        spans: ``"daily"``, ``"monthly"``: the files that are made.
        name: what the file's name says between symbol and period: ``"trades"`` or ``"funding"``.
    """

    source: ClassVar[str]
    spans: tuple[str, ...]
    name: str

    @property
    def host(self) -> str:
        """The address of the interface."""

    @property
    def requests_per_s(self) -> float:
        """How often it is asked."""

    def judge(self, document: Any) -> RestAnswer:  # noqa: ANN401 - any JSON value
        """What an answer says of itself."""

    def write_rows(self, asker: RestAsker, file: RestFile, write: Callable[[Iterable[Any]], object]) -> str:
        """Asks for a file's records.

        Args:
            asker: to ask with.
            file: which.
            write: takes records, in the order of time.

        Returns:
            How it is known that they are all: `IDS` or `PAGES`, and behind commas what could not be proven.

        Raises:
            NotPublishedError: the host has none, or not all of them yet.
            BlockedError, ServerFailedError: the host does not answer.
            WrongContentError: the answers cannot be trusted.
        """


@dataclass(frozen=True, kw_only=True)
class RestFile(RemoteFile):
    """A file that is made from answers.

    Attributes:
        history: asks for its records.
        start_us, end_us: its period.
        now_us: the time of the download.
    """

    history: RestHistory
    start_us: int
    end_us: int
    now_us: int

    def __getstate__(self) -> dict[str, object]:
        """Without the history, in whose place another process puts its own."""
        return {name: value for name, value in vars(self).items() if name != "history"}


class RestArchive:
    """The files that are made of a history.

    Args:
        transport: the client.
        history: of what.
        base_url: a host that answers as the exchange's does; None for the exchange's own.
        now_us: the time now; later periods are not offered.
    """

    def __init__(self, transport: Transport, history: RestHistory, base_url: str | None, *, now_us: int) -> None:
        self._history, self._now_us = history, now_us
        self._url = (base_url or history.host).rstrip("/")
        transport.slow_down(self._url, history.requests_per_s)

    def spans(self, exchange: str, dataset: str) -> tuple[str, ...]:  # noqa: ARG002 - as of every archive
        """``"daily"``, and ``"monthly"`` where months that are over are got in one file."""
        return self._history.spans

    @staticmethod
    def check_symbol(exchange: str, symbol: str) -> None:
        """Refuses what cannot be a symbol.

        Raises:
            ConfigError: it is none.
        """
        if _SYMBOL.fullmatch(symbol) is None:
            raise ConfigError(
                "this is no symbol of the exchange", where=exchange, value=symbol, expected="the exchange's own, such as BTC-PERPETUAL"
            )

    def offers(self, exchange: str, symbol: str, dataset: str, span: str, days: Sequence[str]) -> dict[str, RemoteFile]:
        """The files that can be made of a window; nobody is asked.

        Args:
            exchange, symbol, dataset: the exchange's id, its own symbol, and what is wanted.
            span: ``"daily"`` or ``"monthly"``.
            days: YYYY-MM-DD.

        Returns:
            The files by their period. Days of a month that is over are left out where there is a file of the month.

        Raises:
            ConfigError: the symbol cannot be one.
        """
        self.check_symbol(exchange, symbol)
        name = self._history.name
        blank = RestFile(
            url=self._url,
            key="",
            exchange=exchange,
            symbol=symbol,
            dataset=dataset,
            period="",
            history=self._history,
            start_us=0,
            end_us=0,
            now_us=self._now_us,
        )
        found: dict[str, RemoteFile] = {}
        for period in sorted({day[:7] for day in days} if span == "monthly" else days):
            start_us = to_us(period if span == "daily" else f"{period}-01")
            end_us = start_us + DAY_US if span == "daily" else next_month(start_us)
            month_is_over = next_month(start_us) + SETTLED_US <= self._now_us
            if end_us + SETTLED_US > self._now_us or (span == "daily" and month_is_over and "monthly" in self._history.spans):
                continue
            key = f"{exchange}/{dataset}/{symbol}/{exchange}-{symbol}-{name}-{period}.jsonl.gz"
            found[period] = replace(blank, key=key, period=period, start_us=start_us, end_us=end_us)
        return found


class RestAsker:
    """Asks one host and reads its answers.

    Args:
        transport: the client.
        url: the host's address.
        judge: what an answer says of itself.
        told: called with the bytes of each answer.
    """

    def __init__(self, transport: Transport, url: str, judge: Callable[[Any], RestAnswer], told: Callable[[int], object]) -> None:
        self._transport, self._url, self._judge, self._told = transport, url, judge, told

    def ask(self, question: RestQuestion, read: Callable[[Any], _Result]) -> _Result:
        """The answer to a question.

        Args:
            question: what is asked.
            read: makes something of the document, or raises `WrongContentError` where it is not the answer.

        Raises:
            NotPublishedError, BlockedError, ServerFailedError, WrongContentError: as `Transport.ask`.
        """
        url = f"{self._url}/{question.path}"
        if question.query is not None:
            url = f"{url}?{urlencode(question.query)}"
        content = None if question.body is None else json.dumps(question.body).encode()
        method, headers = ("GET", {}) if content is None else ("POST", {"Content-Type": "application/json"})

        def use(answer: httpx.Response) -> tuple[_Result] | None:
            document = decode(self._body(answer), url)
            said = self._judge(document)
            if said.too_often:
                return None
            if said.error is not None:
                raise WrongContentError("the host answered with an error", where=url, value=said.error)
            return (read(document),)

        manners = self._transport.manners
        for _ in range(manners.attempts):
            with self._transport.slots:
                found = self._transport.ask(method, url, use, headers=lambda: headers, content=content)
            if found is not None:
                return found[0]
            self._transport.stand_down(url, manners.stand_down_s)
        raise BlockedError("the host says again and again that it is asked too often", where=url, hint="run the same command again later")

    def _body(self, answer: httpx.Response) -> bytes:
        found = bytearray()
        for piece in answer.iter_bytes():
            found += piece
            self._told(len(piece))
            self._transport.check()
            if len(found) > _ANSWER_BYTES:
                raise WrongContentError("the answer is too long to be one", where=str(answer.url), expected=f"{_ANSWER_BYTES >> 20} MB")
        return bytes(found)


def fetch_history(transport: Transport, folder: ArchiveFolder, file: RestFile, told: Callable[[int], object]) -> Verified:
    """Asks for a file's records and stores them, whole or not at all.

    Args:
        transport, folder, told: as of `pointline.download.fetch.fetch`.
        file: which.

    Raises:
        NotPublishedError, BlockedError, ServerFailedError, WrongContentError: see `RestHistory.write_rows`.
    """
    part = folder.part(file.key)
    asker = RestAsker(transport, file.url, file.history.judge, told)
    try:
        with part.open("wb") as stream, gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0) as packed:

            def write(rows: Iterable[Any]) -> None:
                packed.write("".join(f"{canonical(row)}\n" for row in rows).encode())

            proof = file.history.write_rows(asker, file, write)
        check_whole(part, ".gz", file.url)
        return folder.accept(part, file.key, sha256=_sha256(part), etag=None, by=proof)
    finally:
        part.unlink(missing_ok=True)


def check_history(folder: ArchiveFolder, file: RestFile) -> Verified | None:
    """Holds a stored file against the record of what was proven when it was made; nobody is asked.

    Returns:
        The record; None where there is none, it says that something could not be proven, or the bytes are others.
    """
    path = folder.path(file.key)
    known = folder.recorded(file.key)
    if known is None or known.by not in {IDS, PAGES} or not path.is_file() or _sha256(path) != known.sha256:
        return None
    return folder.record(file.key, sha256=known.sha256, etag=None, by=known.by)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
