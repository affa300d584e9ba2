"""Many queries and connections at once: no user holds all workers, all within the limits are answered, new clients are accepted."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from tests.machine import limit, until
from tests.server.running import RunningServer, running_server

from pointline.server.channel import Answer, Job
from pointline.server.config import ServerConfig
from pointline.server.hashes import new_token
from pointline.server.pool import Pool, Requester
from pointline.sql.guard.codes import RefusedError
from pointline.sql.guard.limits import QueryLimits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from pointline.lake.store import Lake

pytestmark = pytest.mark.usefixtures("confining")

TOKENS = {name: new_token() for name in ("greedy", "modest", "third")}
ENDLESS = "SELECT count() FROM numbers(1000000) AS a, numbers(1000000) AS b WHERE a.number + b.number = 7"
PANEL = "SELECT start AS time, market, toFloat64(close) AS close FROM api.ohlcv(candle_duration_in_minutes = {}) ORDER BY ALL"
PANELS = 24
CONNECTIONS = 12


def config() -> str:
    users = "".join(f'[users.{name}]\ntokens = ["{digest}"]\n' for name, (_, digest) in TOKENS.items())
    limits = "[limits]\ntime_s = 1000\nrows_read = 10_000_000_000_000\n"
    return f"[server]\nwait_s = 1000\nconnections = {CONNECTIONS}\nheader_s = 1000\n{limits}{users}"


@pytest.fixture(scope="module")
def shared(confining: None, simulated: Lake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:  # noqa: ARG001 -- skips
    """A server with three users and two workers, whose queries may run and wait for long."""
    with running_server(simulated, tmp_path_factory.mktemp("shared"), config=config()) as found:
        yield found


def as_user(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS[name][0]}"}


@contextlib.contextmanager
def running(server: RunningServer, user: str, count: int) -> Iterator[list[socket.socket]]:
    """So many endless queries of a user, each on a connection that ends with the context."""
    until(server.has_settled)
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection((server.host, server.port)))
            head = f"POST / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKENS[user][0]}\r\nContent-Length: {len(ENDLESS)}"
            connection.sendall(f"{head}\r\n\r\n{ENDLESS}".encode())
            found.append(connection)
        yield found
    until(server.has_settled)


def test_a_user_never_holds_all_workers(shared: RunningServer) -> None:
    with running(shared, "greedy", 8):
        (busy,) = until(shared.busy)
        for n in range(10):
            assert shared.ask(f"SELECT {n}", headers=as_user("modest")).text == f"{n}\n"
            assert busy in shared.busy()
        until(lambda: shared.busy() == {busy})  # the other seven wait


def test_a_user_whose_queries_cost_workers_leaves_the_others_alone(shared: RunningServer) -> None:
    """A query that is stopped costs its worker, and its user no other one until the next is there."""
    for _ in range(3):
        with running(shared, "greedy", 4):
            (busy,) = until(shared.busy)
            (calm,) = shared.workers() - {busy}
            assert shared.ask("SELECT 1", headers=as_user("modest")).text == "1\n"
        assert calm in shared.workers()
        assert busy not in shared.workers()


def test_a_dashboard_with_many_panels_is_answered(server: RunningServer, shared: RunningServer) -> None:
    for asked, headers in ((server, {}), (shared, as_user("modest"))):
        count = PANELS if asked is server else CONNECTIONS - 2
        with ThreadPoolExecutor(count) as threads:
            found = list(threads.map(lambda n, to=asked, of=headers: to.ask(PANEL.format(60 * (1 + n % 12)), headers=of), range(count)))
        assert [response.status_code for response in found] == [200] * count
        assert all(response.text.count("\n") > 1 for response in found)


def test_idle_connections_make_room_for_new_ones(shared: RunningServer) -> None:
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(socket.create_connection((shared.host, shared.port))) for _ in range(3 * CONNECTIONS)]
        assert shared.ask("SELECT 1", headers=as_user("modest")).text == "1\n"
        for connection in idle[: CONNECTIONS + 1]:  # the first were dropped
            connection.settimeout(limit(30))
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b""


def test_of_idle_connections_the_oldest_goes_first(shared: RunningServer) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(httpx.Client(timeout=limit(60))) for _ in range(CONNECTIONS - 1)]
        for client in [*clients, clients[0]]:  # the first one is the youngest by its last request
            assert client.get(shared.url + "ping").status_code == 200
        ports = {id(client): _port(client) for client in clients}
        for _ in range(3):
            stack.enter_context(socket.create_connection((shared.host, shared.port)))
        for client in (clients[0], *clients[4:]):
            assert client.get(shared.url + "ping").status_code == 200
            assert _port(client) == ports[id(client)], "was dropped before an older one"


def _port(client: httpx.Client) -> int:
    (connection,) = client._transport._pool.connections  # type: ignore[attr-defined]
    found: int = connection._connection._network_stream.get_extra_info("client_addr")[1]
    return found


def test_a_running_query_is_never_dropped_for_a_new_client(shared: RunningServer) -> None:
    with running(shared, "greedy", CONNECTIONS) as connections:
        until(shared.busy)
        refused = httpx.get(shared.url + "ping", timeout=limit(60))
        assert refused.status_code == 503
        for connection in connections:
            connection.setblocking(False)
            with pytest.raises(BlockingIOError):
                connection.recv(1)
        connections[-1].close()
        until(lambda: httpx.get(shared.url + "ping", timeout=limit(60)).status_code == 200)


def test_an_answer_that_nobody_reads_does_not_hold_a_place(shared: RunningServer) -> None:
    """The end of an answer fits into buffers; a client that leaves it there is idle for who wants to get in."""
    query = "SELECT repeat('x', 3000000)"
    head = (
        f"POST / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKENS['modest'][0]}\r\nContent-Length: {len(query)}\r\n\r\n{query}"
    )
    with contextlib.ExitStack() as stack:
        for _ in range(2 * CONNECTIONS):
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect((shared.host, shared.port))
            with contextlib.suppress(ConnectionError):
                connection.sendall(head.encode())
        until(lambda: shared.ask("SELECT 1", headers=as_user("third")).status_code == 200)


# ---- the order in which those who wait are served


class IdleWorker:
    """Stands for a worker: its queries last until the test ends them."""

    version, generation, queries, pid = "", 1, 0, 0
    is_alive = True

    def __init__(self) -> None:
        self.done = asyncio.Event()

    async def ask(self, job: Job) -> Answer:
        self.job = job
        await self.done.wait()
        self.done.clear()
        return Answer("TabSeparated", 0, 0, 0, 0.0, [])

    async def data(self) -> AsyncIterator[bytes]:
        for part in ():
            yield part

    def grown_mb(self) -> tuple[float, float]:
        return 0.0, 0.0

    def kill(self) -> None:
        self.is_alive = False

    async def gone(self) -> None:
        pass


async def order_of(pool: Pool, queries: list[tuple[Requester, str]], limits: QueryLimits) -> list[str]:
    """The texts in the order in which workers got them, when the longest running query ends first."""
    got: list[str] = []

    async def ask(requester: Requester, text: str) -> None:
        async with pool.run(requester, Job(text), limits):
            pass

    for worker in list(pool._idle):
        began = worker.ask

        async def note(job: Job, began: Any = began) -> Answer:  # noqa: ANN401 - a function
            got.append(job.text)
            return await began(job)

        worker.ask = note  # type: ignore[method-assign]
    workers = dict.fromkeys(pool._idle)
    asking = []
    for requester, text in queries:
        asking.append(asyncio.ensure_future(ask(requester, text)))
        await asyncio.sleep(0)
    while not all(one.done() for one in asking):
        for worker in workers:
            worker.done.set()  # type: ignore[attr-defined]
            for _ in range(20):
                await asyncio.sleep(0)
    await asyncio.gather(*asking)
    return got


def served(workers: int, *queries: tuple[Requester, str], limits: QueryLimits | None = None) -> list[str]:
    async def run() -> list[str]:
        pool = Pool(ServerConfig(workers=workers), _nowhere, lambda _: None)
        pool._start = _idle_worker  # type: ignore[method-assign,assignment]
        await pool.open()
        return await order_of(pool, list(queries), limits or QueryLimits())

    return asyncio.run(run())


async def _idle_worker() -> IdleWorker:
    return IdleWorker()


async def _nowhere() -> Any:  # noqa: ANN401 - never asked
    raise AssertionError


A, B, C = Requester("a"), Requester("b"), Requester("c")


def test_who_waits_is_served_in_turn() -> None:
    """Two users who always have a query waiting do not keep a third one from its turn."""
    many = [query for n in range(5) for query in ((A, f"a{n}"), (B, f"b{n}"))]
    order = served(2, *many, (C, "c"))
    assert order[:2] == ["a0", "b0"]
    assert order.index("c") == 2
    assert [text for text in order if text != "c"] == [text for _, text in many]


def test_a_share_is_all_workers_but_one() -> None:
    for workers in (1, 2, 4):
        order = served(workers, *((A, f"a{n}") for n in range(8)), (B, "b"))
        assert order.index("b") == max(1, workers - 1)
    alone = Requester("127.0.0.1", may_hold_all=True)
    assert served(4, *((alone, f"a{n}") for n in range(8)), (B, "b"))[:4] == ["a0", "a1", "a2", "a3"]


def test_limits_of_queries_at_a_time() -> None:
    with pytest.raises(RefusedError) as caught:
        served(2, *((A, str(n)) for n in range(3)), limits=QueryLimits(queries=2))
    assert caught.value.status == 429
