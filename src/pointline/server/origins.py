"""Where requests come from: which names and pages may reach the server, and the client's address behind a reverse proxy."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import PlainTextResponse

from pointline.server.audit import AuditEntry
from pointline.server.protocol import query_id_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from pointline.server.audit import AuditLog
    from pointline.server.config import ServerConfig

OWN_NAME_ONLY = "this server answers to its own name only; others can be added with allowed_hosts in its configuration\n"
NO_FOREIGN_PAGES = "queries are not taken from pages of another origin\n"


class ClientAddresses:
    """Finds a client's address: that of its connection, or behind a trusted proxy the one in ``X-Forwarded-For``.

    Args:
        trusted: addresses and networks of proxies.
    """

    def __init__(self, trusted: Iterable[str]) -> None:
        self._trusted = [ipaddress.ip_network(text) for text in trusted]

    def origin(self, request: Request) -> tuple[str, str]:
        """The client's address, and the proxy's; the second is empty where there is none."""
        peer = request.client.host if request.client else ""
        if not self._is_trusted(peer):
            return peer, ""
        address = peer
        for hop in reversed(",".join(request.headers.getlist("x-forwarded-for")).split(",")):
            found = _address(hop.strip())
            if not found:
                break  # what stands left of it cannot be trusted
            address = found
            if not self._is_trusted(found):
                break
        return (address, peer) if address != peer else (peer, "")

    def _is_trusted(self, text: str) -> bool:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        return any(address in network for network in self._trusted if network.version == address.version)


def _address(text: str) -> str:
    """The address in ``1.2.3.4``, ``1.2.3.4:80``, ``::1`` or ``[::1]:80``; empty where there is none."""
    bare = text[1:].partition("]")[0] if text.startswith("[") else text.partition(":")[0] if text.count(":") == 1 else text
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        return ""


class OriginCheck:
    """Refuses requests of foreign web pages, which a browser on this machine could send.

    A server without users answers every program that reaches it. A foreign page in a local browser could reach it too, under a host name
    of its own that resolves to this machine (DNS rebinding). So a server without users answers only to its own host name. With or without
    users, no query is accepted from a page of another origin. Refused requests are written to the audit log.
    """

    def __init__(self, application: ASGIApp, config: ServerConfig, audit: AuditLog) -> None:
        self._application = application
        self._audit = audit
        self._addresses = ClientAddresses(config.trusted_proxies)
        self._any_name = bool(config.users) or "*" in config.allowed_hosts
        self._any_origin = "*" in config.allowed_hosts
        self._names = {"localhost", "127.0.0.1", "::1", config.host.lower(), *(name.lower() for name in config.allowed_hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - an ASGI application
        if scope["type"] == "http" and (said := self._objection(Request(scope))):
            self._note(Request(scope), said)
            await PlainTextResponse(said, 403)(scope, receive, send)
        else:
            await self._application(scope, receive, send)

    def _note(self, request: Request, said: str) -> None:
        address, proxy = self._addresses.origin(request)
        entry = AuditEntry(
            query_id=query_id_of(request.query_params, request.headers),
            address=address,
            proxy=proxy,
            text=request.query_params.get("query", ""),
            outcome="refused",
            error="HOST_NOT_SERVED" if said == OWN_NAME_ONLY else "ORIGIN_NOT_SERVED",
            host=request.headers.get("host", ""),
            origin=request.headers.get("origin", "") or request.headers.get("sec-fetch-site", ""),
        )
        self._audit.add(entry)

    def _objection(self, request: Request) -> str:
        name, origin = _host(request.headers.get("host", "")), request.headers.get("origin", "")
        if not self._any_name and name not in self._names:
            return OWN_NAME_ONLY
        asks = request.method == "POST" or "query" in request.query_params
        foreign = request.headers.get("sec-fetch-site") == "cross-site" or (
            origin and _host(origin.partition("://")[2]) not in {name, *self._names}
        )
        if asks and foreign and not self._any_origin:
            return NO_FOREIGN_PAGES
        return ""


def _host(authority: str) -> str:
    """The name in ``name:port`` or ``[address]:port``."""
    text = authority.lower().partition("/")[0]
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0]
