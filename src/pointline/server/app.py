"""The application: what is answered at which address."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import json
import logging
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from pointline.server.audit import AuditLog, Entry
from pointline.server.auth import Doorkeeper, credentials_of
from pointline.server.channel import Job
from pointline.server.gate import Gate, Peers
from pointline.server.kept import Shelf, part_of, pieces, range_of
from pointline.server.pool import Party, WorkerLostError, job_limits
from pointline.server.protocol import address_of, answer_head, common_head, headers_of, query_id_of, read_ask, refusal_head
from pointline.sql.guard.codes import RefusedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from contextlib import AbstractAsyncContextManager

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from pointline.server.channel import Answer
    from pointline.server.config import ServerConfig, User
    from pointline.server.kept import ByteRange
    from pointline.server.pool import Pool, Reply
    from pointline.server.protocol import Ask

_log = logging.getLogger("pointline.serve")

PAGE = Path(__file__).parent / "page"
_PAGE_HEAD = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_REFUSED = frozenset({400, 401, 403, 404, 413, 415, 429, 501, 503})

ABORT = "pointline.abort"
"""Key of the scope under which the connection's owner puts a function that drops it at once."""


class _StalledError(Exception):
    """The client does not read its answer."""


def make_app(
    config: ServerConfig,
    pool: Pool,
    folder: Path,
    *,
    lifespan: Callable[[Starlette], AbstractAsyncContextManager[None]] | None = None,
) -> ASGIApp:
    """The application over a pool of workers.

    Args:
        config: users, limits and sizes.
        pool: opened and closed by whoever owns it, for example the `lifespan`.
        folder: of the server's own, for results that are read piece by piece.
        lifespan: what runs around the application's life.
    """
    audit = AuditLog(config.audit_log, config.audit_log_mb * 1_000_000)
    queries = QueryEndpoint(config, pool, audit, folder / "kept")
    routes = [
        Route("/ping", _ok, methods=["GET"]),
        Route("/replicas_status", _ok, methods=["GET"]),
        Route("/play", _to_page, methods=["GET"]),
        Route("/static/plotly.min.js", _plotly, methods=["GET"]),
        Mount("/static", StaticFiles(directory=PAGE)),
        Route("/", queries),
    ]
    application = Starlette(routes=routes, lifespan=lifespan)
    application.state.pool = pool
    return Gate(application, config, audit)


async def _ok(_: Request) -> Response:
    return PlainTextResponse("Ok.\n", headers=common_head(""))


async def _plotly(_: Request) -> Response:
    """The drawing library as the installed package brings it."""
    found = find_spec("plotly")
    script = Path(found.origin).parent / "package_data" / "plotly.min.js" if found is not None and found.origin else None
    if script is None or not script.is_file():
        return PlainTextResponse("plotly is not installed\n", 404)
    return FileResponse(script, headers={"Cache-Control": "max-age=86400"})


async def _to_page(_: Request) -> Response:
    return RedirectResponse("/")


class QueryEndpoint:
    """Runs the query of a request and sends its result."""

    def __init__(self, config: ServerConfig, pool: Pool, audit: AuditLog, folder: Path) -> None:
        self._config = config
        self._pool = pool
        self._doorkeeper = Doorkeeper(config)
        self._peers = Peers(config.trusted_proxies)
        self._audit = audit
        self._shelf = Shelf(folder, config.kept_mb * 1_000_000) if config.kept_mb else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - an ASGI application
        request = Request(scope, receive, send)
        if request.method not in {"GET", "POST", "HEAD"}:
            await PlainTextResponse("GET, POST and HEAD are served\n", 405, headers={"Allow": "GET, POST, HEAD"})(scope, receive, send)
        elif request.method != "POST" and not request.query_params.get("query"):
            await _front(request)(scope, receive, send)
        else:
            await self._query(request, send)

    async def _query(self, request: Request, send: Send) -> None:
        query_id = query_id_of(request.query_params, request.headers)
        address, proxy = self._peers.origin(request)
        entry = Entry(query_id=query_id, address=address, proxy=proxy)
        began = time.perf_counter()
        try:
            credentials = credentials_of(headers_of(request), address_of(request))
            entry.claimed_user = credentials.name or ""
            user = await self._doorkeeper.admit(credentials)
            entry.user = user.name
            limit_bytes = self._config.max_query_kb * 1024
            ask = await read_ask(request, query_id, limit_bytes=limit_bytes, body_s=self._config.body_s)
            entry.text, entry.parameters = ask.text, ask.parameters
            question = _Question(request, send, ask, user, self._party(user, address), entry)
            await self._while_connected(request, self._answer(question), entry)
        except RefusedError as refusal:
            entry.outcome, entry.error = ("refused" if refusal.status in _REFUSED else "failed"), refusal.name
            await _refuse(request, send, refusal, query_id, self._pool.version)
        except (_StalledError, WorkerLostError) as error:
            entry.outcome = "stalled" if isinstance(error, _StalledError) else "failed"
            _drop(request)
        finally:
            entry.elapsed_ms = (time.perf_counter() - began) * 1e3
            self._audit.add(entry)

    def _party(self, user: User, address: str) -> Party:
        """Who shares the workers: a user, or without users whoever asks from an address; this machine's programs need to leave none."""
        if self._config.users:
            return Party(user.name)
        return Party(address, may_hold_all=_is_loopback(address))

    async def _while_connected(self, request: Request, work: Coroutine[None, None, None], entry: Entry) -> None:
        """Does the work unless the client leaves, which stops it."""
        working = asyncio.ensure_future(work)
        leaving = asyncio.ensure_future(_left(request.receive))
        try:
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
            else:
                entry.outcome = "gone"
        finally:
            for task in (working, leaving):
                task.cancel()
            await asyncio.gather(working, leaving, return_exceptions=True)

    async def _answer(self, question: _Question) -> None:
        request = question.request
        wanted = range_of(request.headers.get("range", "")) if request.method == "GET" else None
        if self._shelf is not None and (request.method == "HEAD" or wanted is not None):
            await self._answer_from(self._shelf, question, wanted)
        else:
            await self._answer_at_once(question)

    def _run(self, question: _Question) -> AbstractAsyncContextManager[Reply]:
        ask, user = question.ask, question.user
        job = Job(
            ask.text,
            parameters=ask.parameters,
            default_format=ask.default_format,
            settings=ask.settings,
            limits=job_limits(user.limits),
            compression=ask.compression,
            revision=ask.revision,
            user=user.name,
        )
        return self._pool.run(question.party, job, user.limits)

    async def _answer_at_once(self, question: _Question) -> None:
        """Sends the result as the worker gives it."""
        async with self._run(question) as reply:
            question.entry.waited_ms = reply.waited_s * 1e3
            head = {} if reply.size is None else {"Content-Length": str(reply.size)}
            if question.request.method == "GET" and self._shelf is not None:
                head["Accept-Ranges"] = "bytes"
            await question.begin(200, reply.answer, head)
            if question.request.method != "HEAD":
                await self._send_all(question, reply.chunks)
            await question.send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _answer_from(self, shelf: Shelf, question: _Question, wanted: ByteRange | None) -> None:
        """Sends the head of a kept result, or a part of it."""
        begins = wanted is None or wanted.is_from_the_end
        kept, reply = await shelf.result(question.key(), begins=begins, generation=self._pool.generation, run=lambda: self._run(question))
        question.entry.waited_ms = reply.waited_s * 1e3 if reply is not None else 0.0
        part = part_of(question.request.headers, kept, wanted)
        question.entry.outcome, question.entry.error = ("refused" if part.error else "ok"), part.error
        with kept.path.open("rb") as file:
            await question.begin(part.status, kept.answer, part.head)
            if question.request.method != "HEAD":
                await self._send_all(question, pieces(file, part.start, part.end))
        await question.send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_all(self, question: _Question, chunks: AsyncIterator[bytes]) -> None:
        try:
            async for chunk in chunks:
                async with asyncio.timeout(self._config.stall_s):
                    await question.send({"type": "http.response.body", "body": chunk, "more_body": True})
                question.entry.bytes_sent += len(chunk)
        except TimeoutError:
            raise _StalledError from None
        except RefusedError as refusal:
            raise WorkerLostError("a result ended before its end", value=refusal.what) from refusal


@dataclass
class _Question:
    """A query on its way: who asks, what, and how to answer."""

    request: Request
    send: Send
    ask: Ask
    user: User
    party: Party
    entry: Entry
    began: float = field(default_factory=time.perf_counter)

    def key(self) -> str:
        """What its result depends on, and whose it is."""
        ask = self.ask
        parts = [self.party.name, ask.text, sorted(ask.parameters.items()), sorted(ask.settings.items())]
        return hashlib.sha256(json.dumps([*parts, ask.default_format, ask.compression, ask.revision]).encode()).hexdigest()

    async def begin(self, status: int, answer: Answer, more: dict[str, str]) -> None:
        """Sends the head of the answer."""
        self.entry.output_format, self.entry.rows, self.entry.rows_read = answer.output_format, answer.rows, answer.rows_read
        self.entry.relations = tuple(answer.relations)
        head = answer_head(self.ask, answer, time.perf_counter() - self.began) | more
        await self.send({"type": "http.response.start", "status": status, "headers": _raw(head)})


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


async def _left(receive: Receive) -> None:
    """Waits until the client is gone."""
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            return


def _front(request: Request) -> Response:
    """What a request without a query gets: the page in a browser, a sign of life elsewhere."""
    page = PAGE / "index.html"
    if "text/html" in request.headers.get("accept", "") and page.is_file():
        return FileResponse(page, headers=_PAGE_HEAD)
    return PlainTextResponse("Ok.\n", headers=common_head(""))


async def _refuse(request: Request, send: Send, refusal: RefusedError, query_id: str, version: str) -> None:
    head = {"Content-Type": "text/plain; charset=UTF-8", **refusal_head(refusal, query_id)}
    if refusal.status in {408, 413}:
        head["Connection"] = "close"  # what is left of the request is not read
    body = b"" if request.method == "HEAD" else refusal.body(version).encode(errors="replace")
    await send({"type": "http.response.start", "status": refusal.status, "headers": _raw(head)})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _raw(head: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode("latin-1", errors="replace")) for name, value in head.items()]


def _drop(request: Request) -> None:
    """Ends the connection at once, so that the client does not take a part for the whole."""
    abort = request.scope.get(ABORT)
    if abort is not None:
        abort()
