"""Requests to archive hosts: paced, repeated where that helps, and their failures told apart."""

from __future__ import annotations

import email.utils
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeVar
from urllib.parse import urlsplit

from pointline.download.hosts import HostGate
from pointline.errors import (
    BlockedError,
    DownloadError,
    KeyRefusedError,
    MissingExtraError,
    NotPublishedError,
    ServerFailedError,
    WrongContentError,
)
from pointline.version import package_version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpx

_Result = TypeVar("_Result")

_NOT_FOUND = frozenset({404, 410})
_TOO_OFTEN = frozenset({418, 429})  # 418: how Binance bans
_NO_KEY = frozenset({401, 402})
_FORBIDDEN = 403
_NO_SUCH_PART = 416
_SERVER_ERROR = 500
_TIMEOUT = 408
_GOOD = frozenset({200, 206})
_REST_S = 0.1


@dataclass(frozen=True, kw_only=True)
class Manners:
    """How a host is treated.

    Attributes:
        requests_per_s: the most requests per second.
        attempts: how often a request is made before it counts as failed.
        content_attempts: how often what comes may be something else than the file.
        back_off_s: wait before the second attempt; it doubles from attempt to attempt.
        stand_down_s: how long a host is left alone that says "too often" and not for how long.
        longest_wait_s: what a host may ask for at most; beyond it, it counts as blocked.
        timeout_s: how long a connection may be silent.
    """

    requests_per_s: float = 20.0
    attempts: int = 5
    content_attempts: int = 2
    back_off_s: float = 1.0
    stand_down_s: float = 60.0
    longest_wait_s: float = 900.0
    timeout_s: float = 60.0


class Transport:
    """A client for any number of hosts and threads. It takes proxies from the environment (HTTPS_PROXY, NO_PROXY and so on).

    Args:
        manners: how hosts are treated.
        connections: how many files come at a time.
        clock, sleep: see `HostGate`; `stop` ends a sleep of its own.
        gates: makes the gate of a host, by its name and port; None for gates that no other client shares.

    Attributes:
        manners: how hosts are treated.
        slots: held while a file comes, and given back while it is checked.

    Raises:
        MissingExtraError: httpx is not installed.
    """

    def __init__(
        self,
        manners: Manners | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
        connections: int = 4,
        gates: Callable[[str], HostGate] | None = None,
    ) -> None:
        try:
            import httpx
        except ImportError as error:
            raise MissingExtraError("downloads need httpx", hint="pip install 'pointline[download]'") from error
        self._broken: tuple[type[Exception], ...] = (httpx.TransportError, httpx.TooManyRedirects, httpx.DecodingError)
        self.manners = manners or Manners()
        self.slots = threading.Semaphore(connections)
        self._stopped = threading.Event()
        self._clock, self._sleep = clock, self._stopped.wait if sleep is None else sleep
        self._gates: dict[str, HostGate] = {}
        self._new_gate = gates or (lambda _: HostGate(self.manners.requests_per_s, clock=self._clock, sleep=self._sleep))
        self._keys: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()
        self._client = httpx.Client(
            follow_redirects=True,
            timeout=self.manners.timeout_s,
            limits=httpx.Limits(max_connections=None),
            headers={"User-Agent": f"pointline/{package_version()}", "Accept-Encoding": "identity"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def stop(self) -> None:
        """Ends all requests, those that are under way too, with `ServerFailedError`; no more are made."""
        self._stopped.set()

    def check(self) -> None:
        """Called while an answer is read.

        Raises:
            ServerFailedError: the requests were stopped.
        """
        if self._stopped.is_set():
            raise ServerFailedError("the download was stopped")

    def rest(self) -> None:
        """Waits for something else than a host.

        Raises:
            ServerFailedError: the requests were stopped.
        """
        self._sleep(_REST_S)
        self.check()

    def slow_down(self, url: str, requests_per_s: float) -> None:
        """Makes fewer requests to the host of an address than the manners allow."""
        self._gate(url).slow_down(requests_per_s)

    def stand_down(self, url: str, seconds: float) -> None:
        """The host of a URL is left alone for so long."""
        self._gate(url).stand_down(seconds)

    def authorise(self, url: str, key: str) -> None:
        """Sends a key with the requests to the host of an address, and to no other; a redirect to another host loses it.

        Args:
            url: of the host, with its scheme: a key for https is not sent over http.
            key: the key.
        """
        self._keys[_origin(url)] = key

    def ask(
        self,
        method: str,
        url: str,
        use: Callable[[httpx.Response], _Result],
        headers: Callable[[], Mapping[str, str]] = dict,
        content: bytes | None = None,
    ) -> _Result:
        """Makes a request, again where it fails in a way that may pass.

        Args:
            method: ``"GET"``, ``"HEAD"``, or ``"POST"`` for a question that changes nothing at the host.
            url: of the file.
            use: reads a good answer, whose body is still to come. It raises `WrongContentError` where that is not what was asked for.
            headers: called before each attempt.
            content: the body of a ``"POST"``.

        Returns:
            What `use` returns.

        Raises:
            NotPublishedError: the host has no such file.
            KeyRefusedError: it wants a key, or another one.
            BlockedError: it refuses to answer.
            ServerFailedError: it failed at each attempt.
            WrongContentError: at the last attempt `use` raised it.
        """
        gate, manners = self._gate(url), self.manners
        failure: DownloadError | None = None
        wrong = 0
        for attempt in range(manners.attempts):
            if attempt and not isinstance(failure, BlockedError):
                gate.pause(manners.back_off_s * 2 ** (attempt - 1))
            if not gate.is_shut:
                gate.wait()
            self.check()
            if gate.is_shut:
                raise BlockedError("the host refused several requests in a row and is not asked again", where=url, hint=_BLOCKED)
            try:
                key = self._keys.get(_origin(url))
                own = {} if key is None else {"Authorization": f"Bearer {key}"}
                with self._client.stream(method, url, headers={**headers(), **own}, content=content) as answer:
                    failure = self._judge(answer, gate, url)
                    if failure is None:
                        return use(answer)
            except self._broken as error:
                failure = ServerFailedError("the connection broke", where=url, value=str(error) or type(error).__name__, hint=_LATER)
            except WrongContentError as error:
                failure, wrong = error, wrong + 1
                if wrong >= manners.content_attempts:
                    break
        raise failure or ServerFailedError("the host was not asked", where=url)

    def _judge(self, answer: httpx.Response, gate: HostGate, url: str) -> DownloadError | None:
        """None where the answer is good, what is wrong with it where another attempt may help; raises where none will."""
        status = answer.status_code
        wait_s = _retry_after_s(answer.headers.get("Retry-After"))
        gate.answered(forbidden=status == _FORBIDDEN and wait_s is None)
        if status in _GOOD:
            return None
        key = self._keys.get(_origin(url))
        reason = answer.reason_phrase if key is None else answer.reason_phrase.replace(key, "(the key)")
        value = f"{status} {reason}".strip()
        if status in _NOT_FOUND:
            raise NotPublishedError("the archive has no such file", where=url, value=value)
        if status in _NO_KEY:
            raise KeyRefusedError("the host wants a key, or another one than it was given", where=url, value=value)
        if status == _NO_SUCH_PART:
            raise WrongContentError("the file at the host has no such part", where=url, value=value)
        if status == _FORBIDDEN and wait_s is None:
            raise BlockedError("the host refuses this request", where=url, value=value, hint=_BLOCKED)
        if status in _TOO_OFTEN or status == _FORBIDDEN:
            wait_s = self.manners.stand_down_s if wait_s is None else wait_s
            if wait_s > self.manners.longest_wait_s:
                raise BlockedError(
                    "the host bans this address for longer than is waited", where=url, value=value, hint=f"try again in {wait_s:,.0f} s"
                )
            gate.stand_down(wait_s)
            return BlockedError("the host says again and again that it is asked too often", where=url, value=value, hint=_LATER)
        failure = ServerFailedError(
            "the host failed" if status >= _SERVER_ERROR else "the host gave no file", where=url, value=value, hint=_LATER
        )
        if status >= _SERVER_ERROR or status == _TIMEOUT:
            return failure
        raise failure

    def _gate(self, url: str) -> HostGate:
        host = urlsplit(url).netloc
        with self._lock:
            if host not in self._gates:
                self._gates[host] = self._new_gate(host)
            return self._gates[host]


_BLOCKED = "the address may be banned for a time, or the archive closed to your country; HTTPS_PROXY names a proxy"
_LATER = "run the same command again later: what is stored stays"


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _retry_after_s(text: str | None) -> float | None:
    """Seconds of a Retry-After header, which are a number or a date; None where there is none that can be read.

    >>> _retry_after_s("120"), _retry_after_s("soon")
    (120.0, None)
    """
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None
