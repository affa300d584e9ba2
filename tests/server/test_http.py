"""ClickHouse's HTTP interface, asked of a real server the way that clients ask."""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import json
import socket
import struct
from typing import TYPE_CHECKING

import httpx
import lz4.block
import lz4.frame
import polars as pl
import pytest
import zstandard
from tests.machine import limit, until

if TYPE_CHECKING:
    from tests.server.running import RunningServer

DAY = "timestamp >= '2024-05-01' AND timestamp < '2024-05-02'"


def test_signs_of_life(server: RunningServer) -> None:
    for path in ("", "ping", "replicas_status"):
        response = server.client.get(server.url + path)
        assert (response.status_code, response.text) == (200, "Ok.\n")
        assert response.headers["x-clickhouse-server-display-name"] == "pointline"
        head = server.client.head(server.url + path)
        assert (head.status_code, head.text) == (200, "")
    assert server.client.get(server.url + "nothing").status_code == 404
    refused = server.client.put(server.url, content="SELECT 1")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, POST, HEAD")


def test_where_the_text_of_a_query_stands(server: RunningServer) -> None:
    assert server.client.get(server.url, params={"query": "SELECT 1"}).text == "1\n"
    assert server.client.post(server.url, content="SELECT 2").text == "2\n"
    assert server.client.post(server.url, params={"query": "SELECT 3"}).text == "3\n"
    assert server.client.post(server.url, params={"query": "SELECT -- the rest is in the body"}, content="4").text == "4\n"
    assert server.client.post(server.url, params={"query": "SELECT"}, content="5 + 1").text == "6\n"
    curl = {"content-type": "application/x-www-form-urlencoded"}  # what `curl -d` sends
    assert server.client.post(server.url, content="SELECT 7", headers=curl).text == "7\n"
    chunked = server.client.post(server.url, content=iter([b"SEL", b"ECT 8"]))
    assert chunked.text == "8\n"


def test_the_head_of_an_answer(server: RunningServer) -> None:
    response = server.ask(f"SELECT count() FROM api.trade WHERE {DAY} FORMAT JSONEachRow", query_id="my-query.1")
    assert response.headers["content-type"] == "application/x-ndjson; charset=UTF-8"
    assert response.headers["x-clickhouse-format"] == "JSONEachRow"
    assert response.headers["x-clickhouse-query-id"] == "my-query.1"
    assert response.headers["x-clickhouse-timezone"] == "UTC"
    summary = json.loads(response.headers["x-clickhouse-summary"])
    assert summary["result_rows"] == "1"
    assert int(summary["read_rows"]) >= response.json()["count()"] > 0
    assert set(map(type, summary.values())) == {str}
    made = [server.ask("SELECT 1", query_id=bad).headers["x-clickhouse-query-id"] for bad in ("a\r\nx: y", "ä", "x" * 200)]
    assert len(set(made)) == 3
    assert all(len(text) == 36 for text in made)


def test_formats(server: RunningServer) -> None:
    query = "SELECT 1 AS a, 'x' AS b"
    expected = {
        "TabSeparated": b"1\tx\n",
        "TSVWithNamesAndTypes": b"a\tb\nUInt8\tString\n1\tx\n",
        "CSV": b'1,"x"\n',
        "CSVWithNames": b'"a","b"\n1,"x"\n',
        "JSONEachRow": b'{"a":1,"b":"x"}\n',
        "JSONCompactEachRow": b'[1, "x"]\n',
        "Native": b"\x02\x01\x01a\x05UInt8\x01\x01b\x06String\x01x",
        "RowBinary": b"\x01\x01x",
        "RowBinaryWithNamesAndTypes": b"\x02\x01a\x01b\x05UInt8\x06String\x01\x01x",
        "Null": b"",
    }
    for name, data in expected.items():
        assert server.ask(query, default_format=name).content == data, name
        response = server.ask(f"{query} FORMAT {name}", default_format="JSON")
        assert (response.content, response.headers["x-clickhouse-format"]) == (data, name)
    for name in ("JSON", "JSONCompact"):
        assert server.ask(query, default_format=name).json()["data"] == ([{"a": 1, "b": "x"}] if name == "JSON" else [[1, "x"]])
    rows = [(1, "x")]
    assert pl.read_parquet(io.BytesIO(server.ask(query, default_format="Parquet").content)).rows() == rows
    assert pl.read_ipc(io.BytesIO(server.ask(query, default_format="Arrow").content)).rows() == rows
    assert pl.read_ipc_stream(io.BytesIO(server.ask(query, default_format="ArrowStream").content)).rows() == rows
    assert server.ask(query, headers={"X-ClickHouse-Format": "CSV"}).content == b'1,"x"\n'


def test_parameters_in_address_and_form(server: RunningServer) -> None:
    query = "SELECT {n:UInt8} + 1, {s:String}, {d:DateTime}, {a:Array(String)}"
    given = {"param_n": "7", "param_s": "it's\\ta tab", "param_d": "2024-12-01 00:00:00", "param_a": "['x','y']"}
    expected = [[8, "it's\ta tab", "2024-12-01 00:00:00", ["x", "y"]]]
    assert server.rows(query, **given) == expected
    form = {name: (None, value) for name, value in {**given, "query": query}.items()}
    response = server.client.post(server.url, params={"default_format": "JSONCompact"}, files=form)
    assert response.json()["data"] == expected
    missing = server.ask(query)
    assert (missing.status_code, missing.headers["x-clickhouse-exception-code"]) == (400, "456")
    wrong = server.ask("SELECT {n:UInt8}", param_n="x")
    assert (wrong.status_code, wrong.headers["x-clickhouse-exception-code"]) == (400, "457")


def test_tables_sent_along_are_refused(server: RunningServer) -> None:
    files = {"t": ("t.csv", b"1\n"), "query": (None, "SELECT 1")}
    response = server.client.post(server.url, params={"t_structure": "a Int8"}, files=files)
    assert (response.status_code, response.headers["x-clickhouse-exception-code"]) == (501, "48")


READERS = {
    "gzip": gzip.decompress,
    "deflate": lambda data: __import__("zlib").decompress(data),
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
    "lz4": lz4.frame.decompress,
}


@pytest.mark.parametrize("encoding", READERS)
def test_answers_are_compressed_when_asked(server: RunningServer, encoding: str) -> None:
    query = {"query": "SELECT number FROM numbers(50000)", "enable_http_compression": "1"}
    with server.client.stream("GET", server.url, params=query, headers={"Accept-Encoding": encoding}) as response:
        raw = b"".join(response.iter_raw())
    assert response.headers["content-encoding"] == encoding
    plain = b"".join(b"%d\n" % n for n in range(50_000))
    assert READERS[encoding](raw) == plain
    assert len(raw) < len(plain)
    del query["enable_http_compression"]
    response = server.client.get(server.url, params=query, headers={"Accept-Encoding": encoding})
    assert "content-encoding" not in response.headers
    assert response.content == plain


def test_blocks_of_clickhouse_own(server: RunningServer) -> None:
    """Each block: 16 bytes of checksum, method, sizes with and without compression, content."""
    data = server.ask("SELECT number FROM numbers(100000)", compress="1")
    assert "content-encoding" not in data.headers
    rest, plain = data.content, b""
    while rest:
        method, packed, size = struct.unpack_from("<BII", rest, 16)
        assert method == 0x82
        plain += lz4.block.decompress(rest[25 : 16 + packed], uncompressed_size=size)
        rest = rest[16 + packed :]
    assert plain == b"".join(b"%d\n" % n for n in range(100_000))


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "lz4"])
def test_requests_may_be_compressed(server: RunningServer, encoding: str) -> None:
    body = {"gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress, "lz4": lz4.frame.compress}[encoding](b"SELECT 1")
    assert server.client.post(server.url, content=body, headers={"Content-Encoding": encoding}).text == "1\n"
    bomb = server.client.post(server.url, content=gzip.compress(bytes(30_000_000)), headers={"Content-Encoding": "gzip"})
    assert bomb.status_code == 413


ERRORS = {
    "SELEKT 1": (400, 62, "SYNTAX_ERROR"),
    "SELECT nosuch": (404, 47, "UNKNOWN_IDENTIFIER"),
    "SELECT nosuch(1)": (404, 46, "UNKNOWN_FUNCTION"),
    "SELECT * FROM nosuch": (404, 60, "UNKNOWN_TABLE"),
    "SELECT 1 FORMAT Nosuch": (404, 73, "UNKNOWN_FORMAT"),
    "SELECT toUInt8('x')": (400, 6, "CANNOT_PARSE_TEXT"),
    "SELECT 1 + 'x'": (400, 43, "ILLEGAL_TYPE_OF_ARGUMENT"),
    "SELECT throwIf(1)": (500, 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
    "SELECT file('/etc/passwd')": (403, 497, "ACCESS_DENIED"),
    "DROP TABLE api.trade": (403, 497, "ACCESS_DENIED"),
    "SELECT sum(price) FROM api.trade": (400, 158, "TOO_MANY_ROWS"),
    "SELECT number FROM numbers(1e12)": (400, 158, "TOO_MANY_ROWS"),
    "SELECT number FROM numbers(2000000)": (400, 396, "TOO_MANY_ROWS_OR_BYTES"),
}


@pytest.mark.parametrize("query", ERRORS)
def test_errors(server: RunningServer, query: str) -> None:
    status, code, name = ERRORS[query]
    response = server.ask(query)
    assert (response.status_code, response.headers["x-clickhouse-exception-code"]) == (status, str(code)), response.text
    assert response.text.startswith(f"Code: {code}. DB::Exception: ")
    assert f"({name}) (version " in response.text
    assert "Stack trace" not in response.text
    assert "formatQuerySingleLine" not in response.text


def test_an_error_of_one_query_is_not_in_the_next(server: RunningServer) -> None:
    for _ in range(10):
        server.ask("SELECT toUInt8('x')")
        server.ask("SELECT nosuch FROM numbers(5)")
        assert server.ask("SELECT 1").text == "1\n"


def test_what_is_accepted_without_effect_and_what_is_not(server: RunningServer) -> None:
    harmless = {
        "session_id": "abc",
        "session_timeout": "60",
        "wait_end_of_query": "1",
        "buffer_size": "1000000",
        "send_progress_in_http_headers": "1",
        "http_headers_progress_interval_ms": "10000",
        "cancel_http_readonly_queries_on_client_close": "1",
        "readonly": "2",
        "database": "default",
        "quota_key": "x",
        "log_comment": "x",
        "session_timezone": "UTC",
        "compress": "0",
    }
    assert server.rows("SELECT 1", **harmless) == [[1]]
    assert server.rows("SELECT currentDatabase()", database="api") == [["api"]]
    refused = {
        ("database", "lake"): 404,
        ("role", "admin"): 403,
        ("session_timezone", "Europe/London"): 403,
        ("decompress", "1"): 501,
        ("allow_ddl", "1"): 403,
        ("nosuchsetting", "1"): 403,
    }
    for (name, value), status in refused.items():
        assert server.ask("SELECT 1", **{name: value}).status_code == status, name


def test_settings_and_limits_of_a_query(server: RunningServer) -> None:
    assert (
        server.ask("SELECT toInt64(1) AS a", default_format="JSONEachRow", output_format_json_quote_64bit_integers="1").text
        == '{"a":"1"}\n'
    )
    too_many = server.ask("SELECT number FROM numbers(100)", max_result_rows="10")
    assert too_many.headers["x-clickhouse-exception-code"] == "396"
    assert server.ask("SELECT number FROM numbers(10)", limit="3").text == "0\n1\n2\n"
    slow = server.ask("SELECT sum(sipHash64(number)) FROM numbers(400000000)", max_execution_time="0.2")
    assert (slow.status_code, slow.headers["x-clickhouse-exception-code"]) == (408, "159")
    hungry = server.ask("SELECT uniqExact(number) FROM numbers(10000000)", max_memory_usage="50000000")
    assert (hungry.status_code, hungry.headers["x-clickhouse-exception-code"]) == (500, "241")
    greedy = server.ask("SELECT count() FROM numbers(1000)", max_rows_to_read="10")
    assert greedy.headers["x-clickhouse-exception-code"] == "158"


def test_a_large_query_is_refused_before_it_is_read(server: RunningServer) -> None:
    response = server.client.post(server.url, content=b"SELECT '" + b"x" * 10_000_000 + b"'")
    assert (response.status_code, response.headers["x-clickhouse-exception-code"]) == (413, "314")
    chunked = server.client.post(server.url, content=(b"x" * 100_000 for _ in range(100)))
    assert chunked.status_code == 413
    assert server.ask("SELECT length('" + "x" * 200_000 + "')").text == "200000\n"


def test_a_large_result_arrives_whole(server: RunningServer) -> None:
    rows = 1_000_000
    data = server.ask(f"SELECT number, toString(number) FROM numbers({rows})", default_format="RowBinary").content
    digits = sum(len(str(n)) for n in (0, rows - 1)) * 0 + sum(9 * 10**k * (k + 1) for k in range(6)) + 1
    assert len(data) == rows * 9 + digits
    assert data.endswith((rows - 1).to_bytes(8, "little") + b"\x06999999")


def test_many_queries_on_one_connection(server: RunningServer) -> None:
    with httpx.Client(timeout=limit(60)) as client:
        for n in range(20):
            assert client.post(server.url, content=f"SELECT {n}").text == f"{n}\n"
            assert client.post(server.url, content="SELECT file('x')").status_code == 403


def test_the_native_format_of_newer_clients(server: RunningServer) -> None:
    response = server.ask("SELECT 1 AS a, ['x'] AS b", default_format="Native", client_protocol_version="54460")
    info = b"\x01\x00\x02\xff\xff\xff\xff\x00"
    values = b"\x01a\x05UInt8\x00\x01" + b"\x01b\x0dArray(String)\x00" + b"\x01" + bytes(7) + b"\x01x"
    assert response.content == info + b"\x02\x01" + values
    assert server.ask("SELECT 1 AS a WHERE 0", default_format="Native", client_protocol_version="54460").content == b""
    shown = server.ask("SHOW TABLES LIKE 'trade'", default_format="Native", client_protocol_version="54460")
    assert shown.content == info + b"\x01\x01" + b"\x04name\x06String\x00" + b"\x05trade"
    older = server.ask("SELECT 1 AS a", default_format="Native", client_protocol_version="54405")
    assert older.content == b"\x01\x01\x01a\x05UInt8\x01"


def test_what_grafana_asks(server: RunningServer) -> None:
    """The requests of its ClickHouse data source (clickhouse-go over HTTP), as its source code makes them."""
    given = {
        "database": "api",
        "default_format": "Native",
        "client_protocol_version": "54460",
        "limit": "100",
        "enable_http_compression": "1",
    }
    auth = {"Authorization": "Basic " + base64.b64encode(b"default:").decode(), "Accept-Encoding": "gzip"}
    asked = {
        "SELECT displayName(), version(), revision(), timezone()": b"pointline",
        "SELECT 1": b"UInt8",
        "SELECT name FROM system.databases": b"api",
        "SELECT name FROM system.tables WHERE database = 'api'": b"market_spot",
        "SELECT database, name FROM system.tables ORDER BY database, name": b"coverage",
        "SELECT database, table, name, type, comment FROM system.columns WHERE (database, table) IN (('api', 'trade')) "
        "ORDER BY database, table, position": b"timestamp",
        'DESCRIBE TABLE "api"."trade"': b"DateTime64(9, 'UTC')",
        "SELECT DISTINCT market FROM api.market_spot SETTINGS max_execution_time=10": b"market",
        "SELECT name FROM system.functions WHERE is_aggregate LIMIT 5": b"name",
        "SELECT timestamp AS time, price FROM api.trade WHERE timestamp >= toDateTime(1714521600) "
        "AND timestamp <= toDateTime(1714525200)": b"price",
        f"SELECT toStartOfInterval(toDateTime(timestamp), INTERVAL 3600 second) AS time, avg(price) FROM api.trade WHERE {DAY} "
        "GROUP BY time ORDER BY time": b"avg(price)",
    }
    for query, expected in asked.items():
        response = server.client.post(server.url, content=query, params=given, headers=auth)
        assert response.status_code == 200, (query, response.text)
        assert response.headers["content-encoding"] == "gzip"
        assert response.content[:8] == b"\x01\x00\x02\xff\xff\xff\xff\x00"
        assert expected in response.content, query


def test_a_request_head_that_never_ends_is_dropped(server: RunningServer) -> None:
    """The server of this test has a patience of 10 s; one with less is in test_life.py. Here others are served meanwhile."""

    def others_are_served() -> bool:
        with contextlib.ExitStack() as stack:
            slow = [stack.enter_context(socket.create_connection((server.host, server.port))) for _ in range(30)]
            for connection in slow:
                connection.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nX-")
                connection.setblocking(False)
            assert server.ask("SELECT 1").text == "1\n"
            return all(is_open(connection) for connection in slow)

    def is_open(connection: socket.socket) -> bool:
        try:
            connection.recv(1)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    until(others_are_served)


def test_rubbish_instead_of_http(server: RunningServer) -> None:
    for rubbish in (b"\x00" * 100, b"GET\r\n\r\n", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", b"x" * 200_000):
        with socket.create_connection((server.host, server.port)) as connection:
            connection.settimeout(limit(20))
            connection.sendall(rubbish)
            assert connection.recv(100).startswith(b"HTTP/1.1 400")
    assert server.ask("SELECT 1").text == "1\n"


def test_the_page_and_its_head(server: RunningServer) -> None:
    response = server.client.get(server.url, headers={"Accept": "text/html"})
    assert response.status_code == 200
    assert server.client.get(server.url + "static/../app.py").status_code == 404
    assert server.client.get(server.url + "static/%2e%2e/app.py").status_code == 404
    assert server.client.get(server.url, headers={"Host": "elsewhere.example"}).status_code == 403
