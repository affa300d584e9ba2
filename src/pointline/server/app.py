"""The HTTP application: its addresses, and the answer to a query."""

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

from pointline.server.audit import AuditEntry, AuditLog
from pointline.server.auth import Authenticator, credentials_of
from pointline.server.channel import Job
from pointline.server.origins import ClientAddresses, OriginCheck
from pointline.server.pool import Requester, WorkerLostError, job_limits
from pointline.server.protocol import address_of, answer_head, common_head, headers_of, query_id_of, read_request, refusal_head
from pointline.server.stored_results import ResultStore, part_of, pieces, range_of
from pointline.sql.guard.codes import RefusedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from contextlib import AbstractAsyncContextManager

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from pointline.server.channel import Answer
    from pointline.server.config import ServerConfig, User
    from pointline.server.pool import Pool, Reply
    from pointline.server.protocol import QueryRequest
    from pointline.server.stored_results import ByteRange

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
"""Key in the ASGI scope of a function that drops the connection at once."""


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
    queries = QueryEndpoint(config, pool, audit, folder / "results")
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
    return OriginCheck(application, config, audit)


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
        self._authenticator = Authenticator(config)
        self._addresses = ClientAddresses(config.trusted_proxies)
        self._audit = audit
        self._results = ResultStore(folder, config.kept_mb * 1_000_000) if config.kept_mb else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - an ASGI application
        request = Request(scope, receive, send)
        if request.method not in {"GET", "POST", "HEAD"}:
            await PlainTextResponse("GET, POST and HEAD are served\n", 405, headers={"Allow": "GET, POST, HEAD"})(scope, receive, send)
        elif request.method != "POST" and not request.query_params.get("query"):
            await _page_or_ok(request)(scope, receive, send)
        else:
            await self._query(request, send)

    async def _query(self, request: Request, send: Send) -> None:
        query_id = query_id_of(request.query_params, request.headers)
        address, proxy = self._addresses.origin(request)
        entry = AuditEntry(query_id=query_id, address=address, proxy=proxy)
        began = time.perf_counter()
        try:
            credentials = credentials_of(headers_of(request), address_of(request))
            entry.claimed_user = credentials.name or ""
            user = await self._authenticator.authenticate(credentials)
            entry.user = user.name
            limit_bytes = self._config.max_query_kb * 1024
            query = await read_request(request, query_id, limit_bytes=limit_bytes, body_s=self._config.body_s)
            entry.text, entry.parameters = query.text, query.parameters
            running = _RunningQuery(request, send, query, user, self._requester(user, address), entry)
            await self._while_connected(request, self._answer(running), entry)
        except RefusedError as refusal:
            entry.outcome, entry.error = ("refused" if refusal.status in _REFUSED else "failed"), refusal.name
            await _refuse(request, send, refusal, query_id, self._pool.version)
        except (_StalledError, WorkerLostError) as error:
            entry.outcome = "stalled" if isinstance(error, _StalledError) else "failed"
            _drop(request)
        finally:
            entry.elapsed_ms = (time.perf_counter() - began) * 1e3
            self._audit.add(entry)

    def _requester(self, user: User, address: str) -> Requester:
        """Who shares the workers: a user, or without users an address. Programs of this machine may use all workers."""
        if self._config.users:
            return Requester(user.name)
        return Requester(address, may_hold_all=_is_loopback(address))

    async def _while_connected(self, request: Request, work: Coroutine[None, None, None], entry: AuditEntry) -> None:
        """Does the work; a client that disconnects stops it."""
        working = asyncio.ensure_future(work)
        disconnecting = asyncio.ensure_future(_disconnected(request.receive))
        try:
            await asyncio.wait({working, disconnecting}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
            else:
                entry.outcome = "gone"
        finally:
            for task in (working, disconnecting):
                task.cancel()
            await asyncio.gather(working, disconnecting, return_exceptions=True)

    async def _answer(self, running: _RunningQuery) -> None:
        request = running.request
        wanted = range_of(request.headers.get("range", "")) if request.method == "GET" else None
        if self._results is not None and (request.method == "HEAD" or wanted is not None):
            await self._answer_from(self._results, running, wanted)
        else:
            await self._answer_at_once(running)

    def _run(self, running: _RunningQuery) -> AbstractAsyncContextManager[Reply]:
        query, user = running.query, running.user
        job = Job(
            query.text,
            parameters=query.parameters,
            default_format=query.default_format,
            settings=query.settings,
            limits=job_limits(user.limits),
            compression=query.compression,
            revision=query.revision,
            user=user.name,
        )
        return self._pool.run(running.requester, job, user.limits)

    async def _answer_at_once(self, running: _RunningQuery) -> None:
        """Sends the result as the worker gives it."""
        async with self._run(running) as reply:
            running.entry.waited_ms = reply.waited_s * 1e3
            head = {} if reply.size is None else {"Content-Length": str(reply.size)}
            if running.request.method == "GET" and self._results is not None:
                head["Accept-Ranges"] = "bytes"
            await running.begin(200, reply.answer, head)
            if running.request.method != "HEAD":
                await self._send_all(running, reply.chunks)
            await running.send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _answer_from(self, results: ResultStore, running: _RunningQuery, wanted: ByteRange | None) -> None:
        """Sends the head of a stored result, or a part of it."""
        begins = wanted is None or wanted.is_from_the_end
        stored, reply = await results.result(running.key(), begins=begins, generation=self._pool.generation, run=lambda: self._run(running))
        running.entry.waited_ms = reply.waited_s * 1e3 if reply is not None else 0.0
        part = part_of(running.request.headers, stored, wanted)
        running.entry.outcome, running.entry.error = ("refused" if part.error else "ok"), part.error
        with stored.path.open("rb") as file:
            await running.begin(part.status, stored.answer, part.head)
            if running.request.method != "HEAD":
                await self._send_all(running, pieces(file, part.start, part.end))
        await running.send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_all(self, running: _RunningQuery, chunks: AsyncIterator[bytes]) -> None:
        try:
            async for chunk in chunks:
                async with asyncio.timeout(self._config.stall_s):
                    await running.send({"type": "http.response.body", "body": chunk, "more_body": True})
                running.entry.bytes_sent += len(chunk)
        except TimeoutError:
            raise _StalledError from None
        except RefusedError as refusal:
            raise WorkerLostError("a result ended before its end", value=refusal.what) from refusal


@dataclass
class _RunningQuery:
    """A query that is being answered: its request, its user, and where the answer goes."""

    request: Request
    send: Send
    query: QueryRequest
    user: User
    requester: Requester
    entry: AuditEntry
    began: float = field(default_factory=time.perf_counter)

    def key(self) -> str:
        """Digest of everything that the result depends on, and of its requester."""
        query = self.query
        parts = [self.requester.name, query.text, sorted(query.parameters.items()), sorted(query.settings.items())]
        return hashlib.sha256(json.dumps([*parts, query.default_format, query.compression, query.revision]).encode()).hexdigest()

    async def begin(self, status: int, answer: Answer, more: dict[str, str]) -> None:
        """Sends the head of the answer."""
        self.entry.output_format, self.entry.rows, self.entry.rows_read = answer.output_format, answer.rows, answer.rows_read
        self.entry.relations = tuple(answer.relations)
        head = answer_head(self.query, answer, time.perf_counter() - self.began) | more
        await self.send({"type": "http.response.start", "status": status, "headers": _raw(head)})


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


async def _disconnected(receive: Receive) -> None:
    """Waits until the client disconnects."""
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            return


def _page_or_ok(request: Request) -> Response:
    """The answer to a request without a query: the page in a browser, ``Ok.`` elsewhere."""
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
