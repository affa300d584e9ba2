"""Hostile requests against a real server: sizes, encodings, slow and half-closed connections, paths, methods and forms."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import lz4.frame  # type: ignore[import-untyped]
import pytest
import zstandard
from tests.machine import limit, until
from tests.server.running import RunningServer, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointline.lake.store import Lake

HONEST = "SELECT count(), sum(volume) FROM api.ohlcv(candle_duration_in_minutes = 60)"
END_S = 20.0  # by when the server must have ended a connection that wastes its time


def config() -> str:
    """A server that leaves its clients a second of an idle machine."""
    patience = "".join(f"{name} = {limit(1.0)}\n" for name in ("header_s", "body_s", "stall_s"))
    return f"[server]\n{patience}connections = 40\n[limits]\ntime_s = 1000\n"


@pytest.fixture(scope="module")
def server(
    confining: None,  # noqa: ARG001 - it may skip
    simulated: Lake,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RunningServer]:
    """A server with little patience."""
    with running_server(simulated, tmp_path_factory.mktemp("impatient"), config=config()) as found:
        yield found


@pytest.fixture(scope="module")
def honest(server: RunningServer) -> str:
    """Answer of `HONEST`."""
    response = server.ask(HONEST)
    assert response.status_code == 200, response.text
    return response.text


@pytest.fixture(autouse=True)
def _served_on(server: RunningServer, honest: str) -> Iterator[None]:
    """Every test ends with the server answering as before."""
    yield

    def answer() -> str:
        with contextlib.suppress(httpx.HTTPError):
            response = server.ask(HONEST)
            if response.status_code == 200:
                return response.text
        return ""

    assert until(answer, seconds=END_S) == honest
    assert server.process.poll() is None


def exchange(server: RunningServer, *sent: bytes, half_close: bool = False) -> bytes:
    """What the server answers to bytes until it ends the connection, or until its answer is complete for one that stays open."""
    with socket.create_connection((server.host, server.port)) as connection:
        connection.settimeout(limit(END_S))
        received = b""
        with contextlib.suppress(ConnectionError):
            for part in sent:
                connection.sendall(part)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65_536):
                received += part
        return received


def status(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:200]
    return int(answer[9:12])


def head(*lines: str, method: str = "POST", path: str = "/") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *lines, "", ""]).encode()


# ---- sizes


def test_queries_of_ten_megabytes(server: RunningServer) -> None:
    text = b"SELECT '" + b"x" * 10_000_000 + b"'"
    for body in (text, (text[at : at + 100_000] for at in range(0, len(text), 100_000))):
        with contextlib.suppress(httpx.WriteError, httpx.ReadError):  # the server need not read what it has refused
            assert server.client.post(server.url, content=body, timeout=limit(END_S)).status_code == 413
    assert status(exchange(server, head("Content-Length: 99999999999999"))) == 413
    assert status(exchange(server, head("Transfer-Encoding: chunked"), b"FFFFFFFF\r\n", b"x" * 1_000_000)) == 413


BOMBS = {
    "gzip": gzip.compress(bytes(200_000_000)),
    "zstd": zstandard.ZstdCompressor(level=3).compress(bytes(500_000_000)),
    "lz4": lz4.frame.compress(bytes(50_000_000)),
}


@pytest.mark.parametrize("encoding", BOMBS)
def test_bombs(server: RunningServer, encoding: str) -> None:
    bomb = BOMBS[encoding]
    assert len(bomb) < 256_000  # or it would be refused for its own size
    before = resident_mb(server)
    for _ in range(5):
        response = server.client.post(server.url, content=bomb, headers={"Content-Encoding": encoding}, timeout=limit(END_S))
        assert (response.status_code, response.headers["x-clickhouse-exception-code"]) == (413, "314")
    assert resident_mb(server) < before + 50


def resident_mb(server: RunningServer) -> float:
    with open(f"/proc/{server.process.pid}/statm", encoding="ascii") as file:  # noqa: PTH123 - of the system
        return int(file.read().split()[1]) * 4096 / 1e6


def test_encodings_that_are_none(server: RunningServer) -> None:
    twice = gzip.compress(gzip.compress(bytes(10_000_000)))
    for encoding, body in (
        ("gzip", b"SELECT 1"),
        ("zstd", b"\x28\xb5\x2f\xfd" + b"\xff" * 100),
        ("lz4", b"x" * 100),
        ("gzip", gzip.compress(b"SELECT 1")[:-4]),
    ):
        response = server.client.post(server.url, content=body, headers={"Content-Encoding": encoding})
        assert response.status_code in {200, 400}
    for encoding in ("gzip, gzip", "br", "xz", "snappy", "gzip\x01", "x" * 1_000):
        assert server.client.post(server.url, content=twice, headers={"Content-Encoding": encoding}).status_code in {400, 415}


def test_heads_that_are_too_large(server: RunningServer) -> None:
    large = [
        head("X-A: " + "a" * 1_000_000),
        head(*(f"X-{n}: a" for n in range(50_000))),
        head(path="/?" + "a" * 1_000_000),
        b"A" * 1_000_000,
    ]
    for sent in large:
        answer = exchange(server, sent)
        assert answer == b"" or status(answer) in {400, 413, 414, 431}
    many = "&".join(f"param_p{n}=1" for n in range(2_000))
    assert status(exchange(server, head("Content-Length: 8", path=f"/?{many}"), b"SELECT 1")) == 400


def test_rubbish_in_addresses(server: RunningServer) -> None:
    for path in (
        "/?query=%00",
        "/?query=%FF%FE",
        "/?query=SELECT%201&query=SELECT%202",
        "/?%00=%00",
        "/?=&&&=;",
        "/?query=%",
        "//",
        "/?" + "%" * 1_000,
    ):
        answer = exchange(server, head(method="GET", path=path))
        assert status(answer) in {200, 400, 403, 404, 413}
        assert b"Traceback" not in answer
    assert status(exchange(server, head("Content-Length: 10"), b"SELECT '\xff'")) == 400


# ---- time


def trickle(server: RunningServer, data: bytes, stop: threading.Event) -> bool:
    """Sends byte by byte until the server has had enough; whether it ended the connection or answered before all was sent."""
    with socket.create_connection((server.host, server.port)) as connection:
        connection.settimeout(0.1)
        for at in range(len(data)):
            try:
                connection.send(data[at : at + 1])
                connection.recv(1)
            except TimeoutError:
                if stop.is_set():
                    return False
            except OSError:
                return True
            else:
                return True
    return False


def test_slow_heads_and_bodies_are_ended_while_others_are_served(server: RunningServer) -> None:
    """With a tenth of a second for each byte these requests would take a quarter of an hour and more."""
    slow_head = head(*(f"X-{n}: a" for n in range(1_000)))
    slow_body = head("Content-Length: 100000") + b"SELECT " + b" " * 90_000
    slow_chunks = head("Transfer-Encoding: chunked") + b"1\r\nS\r\n" * 10_000
    stop, served = threading.Event(), 0
    with ThreadPoolExecutor(15) as threads:
        slow = [threads.submit(trickle, server, data, stop) for data in (slow_head, slow_body, slow_chunks) for _ in range(5)]

        def are_ended() -> bool:
            nonlocal served
            assert server.ask("SELECT 1").text == "1\n"
            ended = all(one.done() for one in slow)
            served += not ended
            return ended

        try:
            until(are_ended, seconds=END_S)
        finally:
            stop.set()
    assert all(one.result() for one in slow), "a connection was left to trickle"
    assert served > 0


def test_half_closed_connections(server: RunningServer) -> None:
    """A client that has sent all and closed its side is gone for HTTP servers that watch for leaving clients; it must not hold anything."""
    for sent in (
        b"",
        b"POST / HT",
        head("Content-Length: 100"),
        head("Content-Length: 100") + b"SELECT",
        head("Content-Length: 8") + b"SELECT 1",
    ):
        answer = exchange(server, sent, half_close=True)
        assert answer == b"" or status(answer) in {200, 400, 408}


def test_connections_that_do_nothing(server: RunningServer) -> None:
    """More connections than there may be: others are told to wait, and are served when the idle ones were ended."""
    idle = [socket.create_connection((server.host, server.port)) for _ in range(60)]
    try:
        response = server.client.get(server.url + "ping", timeout=limit(END_S))
        assert response.status_code in {200, 503}
        until(lambda: server.client.get(server.url + "ping", timeout=limit(END_S)).status_code == 200, seconds=END_S)
    finally:
        for connection in idle:
            connection.close()


def test_clients_that_leave_in_the_middle(server: RunningServer) -> None:
    query = b"SELECT sum(sipHash64(number)) FROM numbers(100000000000) SETTINGS max_rows_to_read = 0"
    for _ in range(10):
        with socket.create_connection((server.host, server.port)) as connection:
            connection.sendall(head(f"Content-Length: {len(query)}") + query)
    large = b"SELECT repeat('x', 1000) FROM numbers(100000)"
    for _ in range(5):
        with socket.create_connection((server.host, server.port)) as connection:
            connection.sendall(head(f"Content-Length: {len(large)}") + large)
            connection.recv(100)


# ---- paths, methods, forms


PATHS = (
    "/static/../app.py",
    "/static/../../../../../../../../etc/passwd",
    "/static/%2e%2e/app.py",
    "/static/%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e%2fetc/passwd",
    "/static/..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
    "/static/..%5c..%5capp.py",
    "/static/....//....//app.py",
    "/static//etc/passwd",
    "/static/%2fetc%2fpasswd",
    "/static/%00",
    "/static/index.html%00.png",
    "/static/%252e%252e/app.py",
    "/static/%c0%ae%c0%ae/app.py",
    "/static/",
    "/static",
    "/../etc/passwd",
    "/./static/../../app.py",
    "http://localhost/static/../app.py",
    "/play/../static/../app.py",
    "/dashboard",
    "/metrics",
    "/server-status",
    "/js/uplot.js",
    "/?file=/etc/passwd",
)


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leads_out_of_the_page(server: RunningServer, path: str) -> None:
    answer = exchange(server, head(method="GET", path=path))
    assert status(answer) in {200, 307, 400, 404, 405}
    for told in (b"root:", b"import annotations", b"Traceback", b"Index of", b"Directory"):
        assert told not in answer
    if status(answer) == 200:
        assert path == "/?file=/etc/passwd"
        assert answer.endswith(b"Ok.\n")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "FOO", "get", "POST\t", "QUERY"])
def test_methods(server: RunningServer, method: str) -> None:
    sent = head("Content-Length: 21", method=method, path="/?query=SELECT+1") + b"DROP TABLE api.trade;"
    answer = exchange(server, sent)
    assert status(answer) in {400, 405, 501}
    assert b"1\n" not in answer.partition(b"\r\n\r\n")[2]


def form(*parts: tuple[str, str], boundary: str = "b") -> bytes:
    listed = "".join(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in parts)
    return f"{listed}--{boundary}--\r\n".encode()


FORMS = {
    "too large": form(("query", "SELECT '" + "x" * 1_000_000 + "'")),
    "many fields": form(*((f"param_{n}", "1") for n in range(5_000)), ("query", "SELECT 1")),
    "no end": form(("query", "SELECT 1"))[:-8],
    "no name": b"--b\r\nContent-Disposition: form-data\r\n\r\nSELECT 1\r\n--b--\r\n",
    "no head": b"--b\r\n\r\nSELECT 1\r\n--b--\r\n",
    "only boundaries": b"--b\r\n" * 40_000,
    "endless head": b"--b\r\n" + b"X-A: a\r\n" * 30_000,
    "long head": b'--b\r\nContent-Disposition: form-data; name="' + b"a" * 200_000 + b'"\r\n\r\n1\r\n--b--\r\n',
    "hostile": form(("query", "SELECT file('/etc/passwd')")),
    "outfile": form(("query", "SELECT 1"), ("query", "SELECT 1 INTO OUTFILE '/tmp/x'")),
    "a setting": form(("query", "SELECT 1"), ("readonly_", "0"), ("allow_ddl", "1")),
    "a file": b'--b\r\nContent-Disposition: form-data; name="t"; filename="../../x"\r\n\r\n1\r\n--b--\r\n',
    "empty": b"",
}


@pytest.mark.parametrize("name", FORMS)
def test_forms(server: RunningServer, name: str) -> None:
    body = FORMS[name]
    with contextlib.suppress(httpx.WriteError, httpx.ReadError):
        response = server.client.post(
            server.url, content=body, headers={"Content-Type": "multipart/form-data; boundary=b"}, timeout=limit(END_S)
        )
        assert 400 <= response.status_code < 502 or response.text in {"1\n", "Ok.\n"}, (response.status_code, response.text)
        assert "root:" not in response.text
        assert "Traceback" not in response.text


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "b" * 100_000]
)
def test_forms_without_a_boundary(server: RunningServer, kind: str) -> None:
    assert status(exchange(server, head(f"Content-Type: {kind}", "Content-Length: 8"), b"SELECT 1")) in {400, 413, 431}


SMUGGLED = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\nSELECT 9"
FRAMING = {
    "both lengths": head("Content-Length: 6", "Transfer-Encoding: chunked") + b"0\r\n\r\n" + SMUGGLED,
    "two lengths": head("Content-Length: 8", "Content-Length: 60") + b"SELECT 1" + SMUGGLED,
    "signed length": head("Content-Length: +8") + b"SELECT 1",
    "negative length": head("Content-Length: -1") + b"SELECT 1",
    "odd encoding": head("Transfer-Encoding: xchunked") + b"8\r\nSELECT 1\r\n0\r\n\r\n",
    "bare feeds": b"POST / HTTP/1.1\nHost: localhost\nConnection: close\nContent-Length: 8\n\nSELECT 1",
    "folded head": head("X-A: a\r\n b: c", "Content-Length: 8") + b"SELECT 1",
    "NUL in head": head("X-A: \0", "Content-Length: 8") + b"SELECT 1",
    "no host": b"POST / HTTP/1.1\r\nContent-Length: 8\r\n\r\nSELECT 1",
    "two hosts": head("Host: elsewhere.example", "Content-Length: 8") + b"SELECT 1",
    "HTTP/0.9": b"GET /?query=SELECT+1\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "native protocol": b"\x00\x11ClickHouse client\x1a\x09\xbc\xa9\x03\x03api\x07default\x00",
    "websocket": head("Upgrade: websocket", "Sec-WebSocket-Key: x", "Sec-WebSocket-Version: 13", method="GET"),
    "wrong chunk": head("Transfer-Encoding: chunked") + b"ZZ\r\nSELECT 1\r\n0\r\n\r\n",
    "long chunk extension": head("Transfer-Encoding: chunked") + b"8;" + b"a" * 200_000 + b"\r\nSELECT 1\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", FRAMING)
def test_requests_that_are_framed_wrongly(server: RunningServer, name: str) -> None:
    """One answer, or one and a complaint about what follows, and never that of a second statement hidden in the first request's body."""
    answer = exchange(server, FRAMING[name])
    assert answer.count(b"HTTP/1.1 200") <= 1
    assert answer.count(b"HTTP/1.1 ") <= 2
    assert b"9\n" not in answer.partition(b"\r\n\r\n")[2]
    if answer:
        assert status(answer) in {200, 400, 403, 404, 413, 426, 431, 501}


def test_headers_cannot_be_injected(server: RunningServer) -> None:
    evil = "x\r\nSet-Cookie: a=b"
    for response in (
        server.ask("SELECT 1", query_id=evil),
        server.ask("SELECT 1", default_format=evil),
        server.ask(f"SELECT `{evil}`"),
        server.ask("SELECT 1 FORMAT JSON", headers={"X-ClickHouse-Query-Id": "a b"}),
        server.client.get(server.url + "play", params={"a": evil}),
    ):
        assert "set-cookie" not in response.headers


def test_pages_of_elsewhere_are_kept_out(server: RunningServer) -> None:
    for headers in (
        {"Host": "elsewhere.example"},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "localhost.elsewhere.example"},
        {"Host": "127.0.0.1@elsewhere.example"},
    ):
        assert server.client.post(server.url, content="SELECT 1", headers=headers).status_code in {400, 403}
