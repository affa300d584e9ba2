"""What a server lives through: users, limits, lost workers, clients that leave or dawdle, a lake that changes."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from tests.machine import limit, until
from tests.server.running import RunningServer, running_server
from typer.testing import CliRunner

from pointline import cli
from pointline.ingest.run import ingest
from pointline.lake.store import open_lake
from pointline.server.hashes import hash_password, new_token
from pointline.simulate import MarketConfig, write_archives
from pointline.sources.base import Hints
from pointline.sources.families import all_sources

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointline.lake.store import Lake

pytestmark = pytest.mark.usefixtures("confining")

UNBOUNDED = "SELECT sum(sipHash64(number)) FROM numbers(1000000000000)"
ENDLESS = f"{UNBOUNDED} SETTINGS max_execution_time = 1000"
TOKEN, TOKEN_HASH = new_token()
ANN = {"X-ClickHouse-User": "ann", "X-ClickHouse-Key": "secret"}
ROBOT = {"Authorization": f"Bearer {TOKEN}"}
HASTY = {"X-ClickHouse-User": "hasty", "X-ClickHouse-Key": "secret"}


def config() -> str:
    """A server with little patience for clients, as far as the machine allows, and with much for queries, but for those of one user."""
    patience = f"wait_s = {limit(2.0)}\nheader_s = {limit(0.5)}\nbody_s = {limit(0.5)}\nstall_s = {limit(1.0)}"
    return f"""
[server]
workers = 2
waiting = 1
{patience}
refresh_s = 0.2

[limits]
time_s = 1000
rows_read = 10_000_000_000_000
memory_mb = 300
megabytes_returned = 60
rows_returned = 100_000_000

[users.ann]
password = "{hash_password("secret")}"

[users.robot]
tokens = ["{TOKEN_HASH}"]
limits = {{ queries = 1 }}

[users.hasty]
password = "{hash_password("secret")}"
limits = {{ time_s = 0.5 }}
"""


@pytest.fixture(scope="module")
def strict(confining: None, simulated: Lake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:  # noqa: ARG001 -- skips
    """A server with users and little patience."""
    with running_server(simulated, tmp_path_factory.mktemp("strict"), config=config()) as found:
        yield found


def ask(server: RunningServer, text: str, **given: str) -> httpx.Response:
    return server.ask(text, headers=ANN, **given)


@contextlib.contextmanager
def running_query(server: RunningServer, user: dict[str, str] = ANN) -> Iterator[socket.socket]:
    """A query that would run for long, as a connection that can be left."""
    head = "".join(f"{name}: {value}\r\n" for name, value in user.items())
    with socket.create_connection((server.host, server.port)) as connection:
        connection.sendall(f"POST / HTTP/1.1\r\nHost: localhost\r\n{head}Content-Length: {len(ENDLESS)}\r\n\r\n{ENDLESS}".encode())
        yield connection


def settle(server: RunningServer) -> None:
    """Waits until both workers are there and idle."""
    until(server.has_settled)


def test_users(strict: RunningServer) -> None:
    basic, key = httpx.BasicAuth("ann", "secret"), {"X-ClickHouse-User": "ann", "X-ClickHouse-Key": "secret"}
    assert strict.client.post(strict.url, content="SELECT 1", auth=basic).text == "1\n"
    assert strict.client.post(strict.url, content="SELECT 1", headers=key).text == "1\n"
    assert strict.client.post(strict.url, content="SELECT 1", params={"user": "ann", "password": "secret"}).text == "1\n"
    assert strict.client.post(strict.url, content="SELECT 1", headers={"Authorization": f"Bearer {TOKEN}"}).text == "1\n"
    nobody = strict.client.post(strict.url, content="SELECT 1")
    assert (nobody.status_code, nobody.headers["x-clickhouse-exception-code"]) == (401, "194")
    assert nobody.headers["www-authenticate"].startswith("Basic")
    for name in ("robot", "token", "default", ""):
        assert strict.client.post(strict.url, content="SELECT 1", auth=httpx.BasicAuth(name, TOKEN)).text == "1\n"
    assert strict.client.post(strict.url, content="SELECT 1", headers={"X-ClickHouse-Key": TOKEN}).text == "1\n"
    for wrong in ({"user": "ann", "password": "x"}, {"user": "x"}, {"user": "ann", "password": TOKEN}):
        refused = strict.client.post(strict.url, content="SELECT 1", params=wrong)
        assert (refused.status_code, refused.headers["x-clickhouse-exception-code"]) == (403, "516")
    assert strict.client.get(strict.url + "ping").text == "Ok.\n"


def test_who_is_refused_does_not_get_to_send_a_body(strict: RunningServer) -> None:
    with socket.create_connection((strict.host, strict.port)) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n")
        connection.settimeout(limit(20))
        assert connection.recv(100).startswith(b"HTTP/1.1 401")


def test_a_killed_worker_is_replaced_and_only_its_query_fails(strict: RunningServer) -> None:
    settle(strict)
    before = strict.workers()
    with ThreadPoolExecutor(1) as threads:
        failing = threads.submit(ask, strict, ENDLESS)
        (victim,) = until(strict.busy)
        os.kill(victim, signal.SIGKILL)
        response = failing.result()
    assert (response.status_code, response.headers["x-clickhouse-exception-code"]) == (500, "236")
    assert strict.entry(response.headers["x-clickhouse-query-id"])["error"] == "ABORTED"
    assert ask(strict, "SELECT 1").text == "1\n"
    settle(strict)
    assert victim not in strict.workers()
    assert len(strict.workers() & before) == 1


def test_all_workers_killed_while_idle(strict: RunningServer) -> None:
    for pid in strict.workers():
        os.kill(pid, signal.SIGKILL)
    until(lambda: ask(strict, "SELECT 1").status_code == 200)
    settle(strict)


def test_a_client_that_leaves_stops_its_query(strict: RunningServer) -> None:
    settle(strict)
    earlier = len(strict.audit())
    with running_query(strict):
        (worker,) = until(strict.busy)
    until(lambda: worker not in strict.workers())
    until(lambda: [(entry["outcome"], entry["text"]) for entry in strict.audit()[earlier:]] == [("gone", ENDLESS)])
    settle(strict)


def test_time_is_kept_from_inside_and_outside(strict: RunningServer) -> None:
    response = strict.ask(UNBOUNDED, headers=HASTY)
    assert (response.status_code, response.headers["x-clickhouse-exception-code"]) == (408, "159")
    # a sort of one huge block does not look at the clock: the worker is stopped from outside
    stubborn = "SELECT length(arraySort(x -> sipHash64(x, 1), range(30000000))) FROM numbers(1)"
    response = strict.ask(stubborn, headers=HASTY)
    assert response.status_code in {408, 500}
    assert ask(strict, "SELECT 1").text == "1\n"


def test_memory_is_bounded(strict: RunningServer) -> None:
    for text in (
        "SELECT groupArray(number) FROM numbers(1000000000)",
        "SELECT uniqExact(number) FROM numbers(1000000000)",
        "SELECT repeat('x', 1000000000)",
    ):
        response = ask(strict, text)
        assert response.status_code >= 400
        assert ask(strict, "SELECT 1").text == "1\n"


def test_a_result_that_is_too_large(strict: RunningServer) -> None:
    response = ask(strict, "SELECT repeat('x', 1000) FROM numbers(70000)")
    assert (response.status_code, response.headers["x-clickhouse-exception-code"]) == (400, "396")


def test_queries_of_a_user_at_a_time(strict: RunningServer) -> None:
    settle(strict)
    with running_query(strict, ROBOT):
        until(strict.busy)
        for _ in range(2):
            told = strict.ask("SELECT 1", headers=ROBOT)
            assert (told.status_code, told.headers["x-clickhouse-exception-code"], told.headers["retry-after"]) == (429, "202", "1")
        assert ask(strict, "SELECT 1").text == "1\n"  # others are served
    until(lambda: strict.ask("SELECT 1", headers=ROBOT).text == "1\n")


def test_the_queue_is_bounded_in_length_and_time(strict: RunningServer) -> None:
    settle(strict)
    with running_query(strict), running_query(strict, ROBOT):
        until(lambda: len(strict.busy()) == 2)
        told: set[str] = set()

        def both_are_told() -> bool:
            with ThreadPoolExecutor(2) as threads:
                responses = list(threads.map(lambda _: ask(strict, "SELECT 1"), range(2)))
            assert {(response.status_code, response.headers["x-clickhouse-exception-code"]) for response in responses} == {(503, "202")}
            told.update("full" if "queue is full" in response.text else "late" for response in responses)
            return told == {"full", "late"}  # the second came while the first waited

        until(both_are_told)
    settle(strict)


def test_a_waiting_query_gets_the_next_worker(strict: RunningServer) -> None:
    settle(strict)

    def waited_ms() -> float:
        with ThreadPoolExecutor(1) as threads:
            ending = threads.submit(strict.ask, UNBOUNDED, headers=HASTY)
            until(lambda: len(strict.busy()) == 2 or ending.done())
            response = ask(strict, "SELECT 7")
            assert response.text == "7\n"
            assert ending.result().status_code == 408
        return float(strict.entry(response.headers["x-clickhouse-query-id"])["waited_ms"])

    with running_query(strict, ROBOT):
        until(lambda: len(strict.busy()) == 1)
        until(lambda: waited_ms() > 1)  # else the other query had ended before this one came
    settle(strict)


@pytest.mark.parametrize(
    "sent", [b"", b"POST / HT", b"POST / HTTP/1.1\r\nHost: x\r\nX-A: ", b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\nGET /ping HTTP/1.1\r\n"]
)
def test_a_head_must_arrive_in_time(strict: RunningServer, sent: bytes) -> None:
    with socket.create_connection((strict.host, strict.port)) as connection:
        connection.settimeout(limit(20))
        connection.sendall(sent)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(1000):
                received += part
        assert received.count(b"HTTP/1.1 200") == sent.count(b"\r\n\r\n")


def test_a_head_that_trickles_is_dropped_too(strict: RunningServer) -> None:
    with socket.create_connection((strict.host, strict.port)) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n")

        def is_dropped() -> bool:
            try:
                connection.sendall(b"X-A: 1\r\n")
            except OSError:
                return True
            return False

        until(is_dropped)


def test_a_body_that_nobody_waits_for_is_not_taken(strict: RunningServer) -> None:
    """Answered at once, the connection must not stay open for as long as a client sends single bytes."""
    for path, said in (("/ping", b"HTTP/1.1 200"), ("/", b"HTTP/1.1 401")):
        with socket.create_connection((strict.host, strict.port)) as connection:
            connection.settimeout(limit(20))
            connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n".replace("POST /p", "GET /p").encode())
            received = b""
            with contextlib.suppress(ConnectionResetError):
                while part := connection.recv(1000):
                    received += part
            assert received.startswith(said)


def test_a_body_must_arrive_in_time(strict: RunningServer) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nX-ClickHouse-User: ann\r\nX-ClickHouse-Key: secret\r\nContent-Length: 100\r\n\r\nSELECT"
    with socket.create_connection((strict.host, strict.port)) as connection:
        connection.settimeout(limit(20))
        connection.sendall(head)
        assert connection.recv(100).startswith(b"HTTP/1.1 408")


def test_a_client_that_does_not_read_is_dropped(strict: RunningServer) -> None:
    query = "SELECT repeat('x', 1000) FROM numbers(50000)"
    head = f"POST /?query_id=stalling&user=ann&password=secret HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(query)}\r\n\r\n"
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((strict.host, strict.port))
        connection.sendall((head + query).encode())
        entry = strict.entry("stalling")
    assert entry["outcome"] == "stalled"
    assert 0 < entry["bytes_sent"] < 50_000_000
    assert ask(strict, "SELECT 1").text == "1\n"
    settle(strict)  # another worker replaces the one whose result was not read


def test_everything_is_in_the_audit_log(strict: RunningServer) -> None:
    ask(strict, "SELECT count() FROM api.market_spot", query_id="good")
    ask(strict, "SELECT file('/etc/passwd')", query_id="bad")
    strict.ask("SELECT 1", query_id="unknown", user="x")
    good, bad, unknown = map(strict.entry, ("good", "bad", "unknown"))
    assert (good["user"], good["outcome"], good["error"], good["rows"], good["relations"]) == ("ann", "ok", "", 1, ["market_spot"])
    assert (good["address"], good["output_format"], good["bytes_sent"] > 0, good["elapsed_ms"] > 0) == (
        "127.0.0.1",
        "TabSeparated",
        True,
        True,
    )
    assert (bad["outcome"], bad["error"], bad["text"]) == ("refused", "ACCESS_DENIED", "SELECT file('/etc/passwd')")
    assert (unknown["user"], unknown["outcome"], unknown["error"], unknown["text"]) == ("", "refused", "AUTHENTICATION_FAILED", "")
    assert (good["claimed_user"], bad["claimed_user"], unknown["claimed_user"]) == ("ann", "ann", "x")


def test_the_audit_log_holds_parameters_claimed_names_and_refused_pages_but_no_secrets(strict: RunningServer) -> None:
    ask(strict, "SELECT {a:String}, length({b:String})", query_id="given", param_a="x\ty", param_b="b" * 5_000)
    strict.ask("SELECT 1", query_id="as-name", user=TOKEN)
    strict.ask("SELECT 1", query_id="in-address", user="eve", password="hush-hush")  # noqa: S106 - a wrong one
    for headers in ({"X-ClickHouse-User": "eve", "X-ClickHouse-Key": "hush-hush"}, {"Authorization": "Bearer hush-hush"}):
        strict.ask("SELECT 1", headers=headers)
    away = {"query": "SELECT 2", "query_id": "foreign", "password": "hush-hush"}
    assert strict.client.get(strict.url, params=away, headers={"Origin": "https://elsewhere.example"}).status_code == 403
    found, as_name, in_address, foreign = map(strict.entry, ("given", "as-name", "in-address", "foreign"))
    assert found["parameters"]["a"] == "x\ty"
    assert found["parameters"]["b"] == "b" * 1_000 + "... (5,000 characters)"
    assert as_name["claimed_user"] == ""
    assert (in_address["claimed_user"], in_address["user"], in_address["outcome"]) == ("eve", "", "refused")
    assert (foreign["origin"], foreign["error"], foreign["text"], foreign["outcome"]) == (
        "https://elsewhere.example",
        "ORIGIN_NOT_SERVED",
        "SELECT 2",
        "refused",
    )
    log = (strict.folder / "audit.jsonl").read_text(encoding="utf-8")
    assert not [secret for secret in ("secret", "hush-hush", TOKEN) if secret in log]


def test_new_data_shows_without_a_query_failing(tmp_path: Path) -> None:
    paths = write_archives(MarketConfig(days=2, perp_trades_per_day=1_000), tmp_path / "archives", datasets=("klines",))
    lake = open_lake(tmp_path / "lake", create=True)
    first = [path for path in paths if path.stem.endswith("-01")]
    ingest(lake, first, sources=all_sources(), hints=Hints())
    query = "SELECT toString(max(start)) FROM api.ohlcv(candle_duration_in_minutes = 1440)"
    with running_server(lake, tmp_path, config="[server]\nrefresh_s = 0.1\nwait_s = 0.01") as server:
        assert server.rows(query) == [["2024-05-01 00:00:00"]]
        outdated = server.workers()  # each must stay until another can work: no query waits longer than a hundredth of a second
        ingest(lake, [path for path in paths if path not in first], sources=all_sources(), hints=Hints())
        seen = []
        until(lambda: seen.append(server.rows(query)[0][0]) or seen[-1] == "2024-05-02 00:00:00")
        until(lambda: not server.workers() & outdated)
        assert server.rows(query) == [["2024-05-02 00:00:00"]]
        assert set(seen) <= {"2024-05-01 00:00:00", "2024-05-02 00:00:00"}
        assert {entry["outcome"] for entry in server.audit()} == {"ok"}


@pytest.mark.slow
def test_a_worn_worker_is_replaced(simulated: Lake, tmp_path: Path) -> None:
    with running_server(simulated, tmp_path, config="[server]\nworkers = 1\nworker_queries = 3") as server:
        seen = set()
        for _ in range(8):
            seen |= server.workers()
            assert server.rows("SELECT 1") == [[1]]
        until(lambda: len(server.workers()) == 1)
        assert len(seen | server.workers()) >= 3


def test_nothing_is_left_behind(simulated: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    before = sorted(path for path in simulated.root.rglob("*"))
    with running_server(simulated, tmp_path) as server:
        workers = server.workers()
        assert len(workers) == 2
        assert list((tmp_path / "scratch").iterdir())
    assert list((tmp_path / "scratch").iterdir()) == []
    assert sorted(path for path in simulated.root.rglob("*")) == before
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    assert server.said[-1] == "stopped"


@pytest.mark.slow
def test_workers_end_with_a_server_that_is_killed(simulated: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # it cannot tidy up any more
    with contextlib.suppress(AssertionError), running_server(simulated, tmp_path) as server:
        workers = server.workers()
        server.process.kill()
        server.process.wait()
    until(lambda: not [pid for pid in workers if Path(f"/proc/{pid}").exists()])


# ---- the command


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pointline.cli", "serve", *arguments], capture_output=True, text=True, check=False, timeout=limit(60)
    )


def test_it_does_not_start_where_it_should_not(simulated: Lake, tmp_path: Path) -> None:
    lake = ("--lake", str(simulated.root))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for arguments, told in (
            ((*lake, "--host", "0.0.0.0", "--port", "0"), "needs users"),  # noqa: S104 -- what must be refused
            ((*lake, "--port", str(taken.getsockname()[1])), "cannot listen"),
            (("--lake", str(tmp_path / "none")), "there is no lake"),
            ((*lake, "--config", str(tmp_path / "none.toml")), "cannot be read"),
            ((*lake, "--workers", "0"), "out of its range"),
        ):
            done = run(*arguments)
            assert done.returncode == 2
            assert told in done.stderr
            assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_without_walls_it_says_so_or_does_not_start(simulated: Lake, tmp_path: Path) -> None:
    with running_server(simulated, tmp_path, options=("--unsafe-no-sandbox",)) as server:
        assert any("WARNING" in line and "not confined" in line for line in server.said)
        assert server.rows("SELECT 1") == [[1]]
        assert server.ask("SELECT file('/etc/passwd')").status_code == 403  # the guard stands without a sandbox too


def test_it_does_not_start_where_the_kernel_cannot_confine(monkeypatch: pytest.MonkeyPatch) -> None:
    from pointline.errors import ConfigError
    from pointline.server import sandbox
    from pointline.server.config import ServerConfig
    from pointline.server.serve import check_sandbox

    monkeypatch.setattr(sandbox, "landlock_abi", lambda: 0)
    with pytest.raises(sandbox.SandboxError, match="Landlock") as caught:
        check_sandbox(ServerConfig(), unsafe_no_sandbox=False)
    assert "--unsafe-no-sandbox" in str(caught.value)
    assert "WARNING" in check_sandbox(ServerConfig(), unsafe_no_sandbox=True)
    with pytest.raises(ConfigError, match="only this machine"):
        check_sandbox(ServerConfig(host="10.0.0.1"), unsafe_no_sandbox=True)


def test_secrets_for_the_file(tmp_path: Path) -> None:
    from pointline.server.config import read_config

    runner = CliRunner()
    hashed = runner.invoke(cli.app, ["serve", "--hash-password"], input="secret\nsecret\n")
    token = runner.invoke(cli.app, ["serve", "--new-token"])
    lines = [line for line in (hashed.stdout + token.stdout).splitlines() if line.startswith(("password = ", "tokens = "))]
    path = tmp_path / "serve.toml"
    path.write_text("[users.ann]\n" + "\n".join(lines), encoding="utf-8")
    path.chmod(0o600)
    user = read_config(path).users["ann"]
    assert user.password is not None
    assert len(user.tokens) == 1
