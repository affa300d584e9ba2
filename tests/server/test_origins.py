"""Requests of foreign pages, foreign names and proxies."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from pointline.server.audit import AuditLog
from pointline.server.config import ServerConfig, User
from pointline.server.origins import ClientAddresses, OriginCheck

if TYPE_CHECKING:
    from pathlib import Path


FORWARDED = [
    ("10.1.1.1", ["1.2.3.4"], ("10.1.1.1", "")),  # the sender is no proxy
    ("127.0.0.1", [], ("127.0.0.1", "")),
    ("127.0.0.1", ["1.2.3.4"], ("1.2.3.4", "127.0.0.1")),
    ("127.0.0.1", ["6.6.6.6, 1.2.3.4"], ("1.2.3.4", "127.0.0.1")),  # the client can write what it likes on the left
    ("127.0.0.1", ["6.6.6.6", "1.2.3.4, 10.9.9.9"], ("1.2.3.4", "127.0.0.1")),
    ("127.0.0.1", ["10.0.0.1, 10.0.0.2"], ("10.0.0.1", "127.0.0.1")),
    ("127.0.0.1", ["1.2.3.4, rubbish"], ("127.0.0.1", "")),
    ("127.0.0.1", ["1.2.3.4, rubbish, 10.0.0.2"], ("10.0.0.2", "127.0.0.1")),
    ("127.0.0.1", ["1.2.3.4:5678"], ("1.2.3.4", "127.0.0.1")),
    ("127.0.0.1", ["[2001:db8::1]:80"], ("2001:db8::1", "127.0.0.1")),
    ("127.0.0.1", ["2001:DB8::1"], ("2001:db8::1", "127.0.0.1")),
]


@pytest.mark.parametrize(("peer", "forwarded", "expected"), FORWARDED)
def test_where_a_forwarded_request_comes_from(peer: str, forwarded: list[str], expected: tuple[str, str]) -> None:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    request = Request({"type": "http", "client": (peer, 1), "headers": headers})
    assert ClientAddresses(("127.0.0.1", "10.0.0.0/24", "10.9.9.9")).origin(request) == expected
    assert ClientAddresses(()).origin(request) == (peer, "")


def test_a_refused_name_is_in_the_log(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "log", 10**6)
    check = OriginCheck(PlainTextResponse("in"), ServerConfig(trusted_proxies=("127.0.0.1",)), log)

    async def ask() -> None:
        transport = httpx.ASGITransport(check)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            given = {"Host": "rebound.example", "X-Forwarded-For": "1.2.3.4"}
            assert (await client.get("/?query=SELECT+1&password=hush", headers=given)).status_code == 403
            assert (await client.get("/?query=SELECT+2")).status_code == 200

    asyncio.run(ask())
    log.close()
    (entry,) = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert (entry["host"], entry["address"], entry["proxy"]) == ("rebound.example", "1.2.3.4", "127.0.0.1")
    assert (entry["outcome"], entry["error"], entry["text"]) == ("refused", "HOST_NOT_SERVED", "SELECT 1")
    assert "hush" not in str(entry)


def status_of(headers: dict[str, str], path: str = "/?query=1", **given: object) -> int:
    transport = httpx.ASGITransport(OriginCheck(PlainTextResponse("in"), ServerConfig(**given), AuditLog(None, 1)))  # type: ignore[arg-type]

    async def ask() -> int:
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8123") as client:
            return (await client.get(path, headers=headers)).status_code

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:8123"}, 200),
        ({"Host": "[::1]:8123"}, 200),
        ({"Host": "LOCALHOST"}, 200),
        ({"Host": "rebound.example"}, 403),
        ({"Host": "127.0.0.1.rebound.example:8123"}, 403),
        ({"Host": ""}, 403),
        ({"Origin": "http://127.0.0.1:8123"}, 200),
        ({"Origin": "https://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "rebound.example", "Origin": "http://rebound.example"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_pages_of_elsewhere_cannot_use_a_browser_of_this_machine(headers: dict[str, str], status: int) -> None:
    assert status_of(headers) == status


def test_a_link_from_elsewhere_may_lead_to_the_page() -> None:
    assert status_of({"Sec-Fetch-Site": "cross-site"}, path="/") == 200
    assert status_of({"Host": "rebound.example"}, path="/") == 403


def test_names_and_origins_of_a_server_with_users() -> None:
    own = {"Host": "quotes.example", "Origin": "https://quotes.example"}
    users = {"ann": User("ann")}
    assert status_of(own, allowed_hosts=("quotes.example",)) == 200
    assert status_of(own, users=users) == 200
    assert status_of({**own, "Origin": "https://elsewhere.example"}, users=users) == 403
    assert status_of({**own, "Origin": "https://elsewhere.example"}, allowed_hosts=("*",)) == 200
