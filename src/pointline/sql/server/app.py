"""The application: what is answered at which address."""

from __future__ import annotations

import asyncio
import logging
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from pointline.sql.server.audit import AuditLog, Entry
from pointline.sql.server.auth import Doorkeeper, credentials_of
from pointline.sql.server.channel import Job
from pointline.sql.server.codes import RefusedError
from pointline.sql.server.pool import WorkerLostError, job_limits
from pointline.sql.server.protocol import answer_head, common_head, query_id_of, read_ask, refusal_head

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractAsyncContextManager

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from pointline.sql.server.config import ServerConfig, User
    from pointline.sql.server.pool import Pool, Reply
    from pointline.sql.server.protocol import Ask

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
    config: ServerConfig, pool: Pool, *, lifespan: Callable[[Starlette], AbstractAsyncContextManager[None]] | None = None
) -> ASGIApp:
    """The application over a pool of workers.

    Args:
        config: users, limits and sizes.
        pool: opened and closed by whoever owns it, for example the `lifespan`.
        lifespan: what runs around the application's life.
    """
    queries = QueryEndpoint(config, pool)
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
    return Gate(application, config)


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


class Gate:
    """Keeps web pages of elsewhere from using a browser's way to the server.

    Without users whoever reaches the server may ask it, which is meant for programs of this machine. A page that a browser of this machine
    has open could reach it too, under a name of its own that leads here; so a server without users answers only when it is called by its
    own name. And with or without users no query is taken from a page of another origin.
    """

    def __init__(self, application: ASGIApp, config: ServerConfig) -> None:
        self._application = application
        self._any_name = bool(config.users) or "*" in config.allowed_hosts
        self._any_origin = "*" in config.allowed_hosts
        self._names = {"localhost", "127.0.0.1", "::1", config.host.lower(), *(name.lower() for name in config.allowed_hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - an ASGI application
        if scope["type"] == "http" and (said := self._objection(Request(scope))):
            await PlainTextResponse(said, 403)(scope, receive, send)
        else:
            await self._application(scope, receive, send)

    def _objection(self, request: Request) -> str:
        name, origin = _host(request.headers.get("host", "")), request.headers.get("origin", "")
        if not self._any_name and name not in self._names:
            return "this server answers to its own name only; others can be added with allowed_hosts in its configuration\n"
        asks = request.method == "POST" or "query" in request.query_params
        foreign = request.headers.get("sec-fetch-site") == "cross-site" or (
            origin and _host(origin.partition("://")[2]) not in {name, *self._names}
        )
        if asks and foreign and not self._any_origin:
            return "queries are not taken from pages of another origin\n"
        return ""


def _host(authority: str) -> str:
    """The name in ``name:port`` or ``[address]:port``."""
    text = authority.lower().partition("/")[0]
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0]


class QueryEndpoint:
    """Runs the query of a request and sends its result."""

    def __init__(self, config: ServerConfig, pool: Pool) -> None:
        self._config = config
        self._pool = pool
        self._doorkeeper = Doorkeeper(config)
        self._audit = AuditLog(config.audit_log, config.audit_log_mb * 1_000_000)

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
        entry = Entry(query_id=query_id, address=request.client.host if request.client else "")
        began = time.perf_counter()
        try:
            user = await self._doorkeeper.admit(credentials_of(request.headers, request.query_params))
            entry.user = user.name
            limit_bytes = self._config.max_query_kb * 1024
            ask = await read_ask(request, query_id, limit_bytes=limit_bytes, body_s=self._config.body_s)
            entry.text = ask.text
            await self._while_connected(request, self._answer(request, send, user, ask, entry), entry)
        except RefusedError as refusal:
            entry.outcome, entry.error = ("refused" if refusal.status in _REFUSED else "failed"), refusal.name
            await _refuse(request, send, refusal, query_id, self._pool.version)
        except (_StalledError, WorkerLostError) as error:
            entry.outcome = "stalled" if isinstance(error, _StalledError) else "failed"
            _drop(request)
        finally:
            entry.elapsed_ms = (time.perf_counter() - began) * 1e3
            self._audit.add(entry)

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

    async def _answer(self, request: Request, send: Send, user: User, ask: Ask, entry: Entry) -> None:
        began = time.perf_counter()
        job = Job(
            ask.text,
            parameters=ask.parameters,
            default_format=ask.default_format,
            settings=ask.settings,
            limits=job_limits(user),
            compression=ask.compression,
            revision=ask.revision,
        )
        async with self._pool.run(user, job) as reply:
            answer = reply.answer
            entry.output_format, entry.rows, entry.rows_read = answer.output_format, answer.rows, answer.rows_read
            entry.relations, entry.waited_ms = tuple(answer.relations), reply.waited_s * 1e3
            head = answer_head(ask, answer, time.perf_counter() - began)
            await send({"type": "http.response.start", "status": 200, "headers": _raw(head)})
            if request.method != "HEAD":
                await self._send_all(send, reply, entry)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_all(self, send: Send, reply: Reply, entry: Entry) -> None:
        try:
            async for chunk in reply.chunks:
                async with asyncio.timeout(self._config.stall_s):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                entry.bytes_sent += len(chunk)
        except TimeoutError:
            raise _StalledError from None
        except RefusedError as refusal:
            raise WorkerLostError("a result ended before its end", value=refusal.what) from refusal


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
