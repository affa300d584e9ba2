"""What the application sends to a worker, and what it answers."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx

from pointline.server.app import make_app
from pointline.server.channel import Answer, Job
from pointline.server.config import ServerConfig, User
from pointline.server.hashes import new_token
from pointline.server.pool import Reply, Requester

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from pointline.sql.guard.limits import QueryLimits


class OnePool:
    """Stands for a pool: keeps what it was asked and gives one answer."""

    version, generation = "26.9", 1

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[tuple[Requester, Job]] = []

    @asynccontextmanager
    async def run(self, requester: Requester, job: Job, limits: QueryLimits) -> AsyncIterator[Reply]:
        assert limits.queries == 32
        self.asked.append((requester, job))

        async def chunks() -> AsyncIterator[bytes]:
            yield b"1\n"

        yield Reply(self.answer, chunks(), 0.0, size=2)


def asked_of(pool: OnePool, config: ServerConfig, folder: Path, **given: Any) -> httpx.Response:  # noqa: ANN401 - of httpx
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(make_app(config, pool, folder), client=("127.0.0.1", 5))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.post("/", content="SELECT 1", **given)

    return asyncio.run(ask())


def test_the_worker_is_told_who_asks(tmp_path: Path) -> None:
    token, digest = new_token()
    users = {"ann": User("ann", tokens=(digest,))}
    pool = OnePool(Answer("TabSeparated", 1, 1, 1, 0.0, []))
    assert asked_of(pool, ServerConfig(users=users), tmp_path, headers={"Authorization": f"Bearer {token}"}).text == "1\n"
    assert asked_of(pool, ServerConfig(), tmp_path).text == "1\n"
    assert [(requester, job.user) for requester, job in pool.asked] == [
        (Requester("ann"), "ann"),
        (Requester("127.0.0.1", may_hold_all=True), "default"),
    ]


def test_without_users_clients_of_a_proxy_share_by_address(tmp_path: Path) -> None:
    pool = OnePool(Answer("TabSeparated", 1, 1, 1, 0.0, []))
    config = ServerConfig(trusted_proxies=("127.0.0.1",))
    for client in ("1.2.3.4", "5.6.7.8"):
        asked_of(pool, config, tmp_path, headers={"X-Forwarded-For": f"9.9.9.9, {client}"})
    assert [requester for requester, _ in pool.asked] == [Requester("1.2.3.4"), Requester("5.6.7.8")]


def test_notes_stand_in_a_header(tmp_path: Path) -> None:
    notes = ["sum(price * quantity) was computed as Float64", "wider than 38 digits: ü"]
    response = asked_of(OnePool(Answer("CSV", 1, 1, 1, 0.0, [], notes)), ServerConfig(), tmp_path)
    assert response.headers["x-pointline-notes"].isascii()
    assert json.loads(response.headers["x-pointline-notes"]) == notes
    assert "x-pointline-notes" not in asked_of(OnePool(Answer("CSV", 1, 1, 1, 0.0, [])), ServerConfig(), tmp_path).headers
    many = asked_of(OnePool(Answer("CSV", 1, 1, 1, 0.0, [], ["n" * 999] * 9)), ServerConfig(), tmp_path)
    assert json.loads(many.headers["x-pointline-notes"]) == [*["n" * 999] * 3, "..."]
