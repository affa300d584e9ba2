"""Bytes that are not UTF-8: they survive, or they are refused with a word on where they stand."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

if TYPE_CHECKING:
    from tests.server.running import RunningServer

ODD = bytes(range(256))
SELECT_ODD = "SELECT unhex({h:String}) AS s"


def odd(server: RunningServer, output_format: str) -> bytes:
    response = server.ask(SELECT_ODD, param_h=ODD.hex(), default_format=output_format)
    assert response.status_code == 200, response.text
    return response.content


def test_in_a_result(server: RunningServer) -> None:
    assert odd(server, "RowBinary") == b"\x80\x02" + ODD
    assert odd(server, "Native") == b"\x01\x01\x01s\x06String\x80\x02" + ODD
    escapes = {0: b"\\0", 8: b"\\b", 9: b"\\t", 10: b"\\n", 12: b"\\f", 13: b"\\r", 39: b"\\'", 92: b"\\\\"}
    assert odd(server, "TabSeparated") == b"".join(escapes.get(byte, bytes([byte])) for byte in ODD) + b"\n"
    assert odd(server, "TabSeparatedRaw") == ODD + b"\n"
    assert odd(server, "CSV") == b'"' + ODD.replace(b'"', b'""') + b'"\n'
    assert pa.ipc.open_stream(odd(server, "ArrowStream")).read_all()["s"].cast(pa.binary()).to_pylist() == [ODD]
    assert pq.read_table(io.BytesIO(odd(server, "Parquet")), binary_type=pa.binary())["s"].cast(pa.binary()).to_pylist() == [ODD]
    newer = server.ask(SELECT_ODD, param_h=ODD.hex(), default_format="Native", client_protocol_version="54460").content
    assert newer.endswith(b"\x80\x02" + ODD)


def test_in_json_the_engine_decides(server: RunningServer) -> None:
    """Whole documents get U+FFFD for what is not UTF-8; formats with a document for each row have the bytes as they are."""
    for name in ("JSON", "JSONCompact", "JSONStrings", "JSONColumnsWithMetadata"):
        assert "a\ufffdb" in server.ask("SELECT unhex('61FF62') AS s", default_format=name).content.decode(), name
    for name in ("JSONEachRow", "JSONCompactEachRow"):
        assert b'"a\xffb"' in server.ask("SELECT unhex('61FF62') AS s", default_format=name).content, name


@pytest.mark.parametrize("content_type", ["", "text/plain", "text/plain; charset=utf-8"])
def test_in_a_statement(server: RunningServer, content_type: str) -> None:
    refused = server.client.post(server.url, content=b"SELECT '\xff'", headers={"Content-Type": content_type} if content_type else {})
    assert (refused.status_code, refused.headers["x-clickhouse-exception-code"]) == (400, "36")
    assert "not UTF-8 text (byte 8)" in refused.text
    assert server.client.post(server.url, content="SELECT 'ü 你好'".encode()).text == "ü 你好\n"


def test_in_a_text_of_another_encoding(server: RunningServer) -> None:
    headers = {"Content-Type": "text/plain; charset=ISO-8859-1"}
    refused = server.client.post(server.url, content="SELECT 'ü'".encode("latin-1"), headers=headers)
    assert (refused.status_code, "iso-8859-1" in refused.text) == (415, True)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("query=SELECT%201&param_x=%FF", "'param_x'"),
        ("query=SELECT%20'%FF'", "'query'"),
        ("query=SELECT%201&%FF=1", "is not UTF-8"),
        ("query=SELECT%201&user=%FF", "'user'"),
        ("query=SELECT%201&param_x=%ED%A0%80", "'param_x'"),
    ],
)
def test_in_the_address(server: RunningServer, query: str, told: str) -> None:
    refused = server.client.get(f"{server.url}?{query}")
    assert (refused.status_code, refused.headers["x-clickhouse-exception-code"]) == (400, "36")
    assert told in refused.text


def test_in_a_parameter_they_are_written_as_escapes(server: RunningServer) -> None:
    told = server.client.get(f"{server.url}?query=SELECT%201&param_x=%FF").text
    assert r"\xFF" in told
    assert server.ask("SELECT hex({x:String})", param_x=r"a\xFF\x00b").text == "61FF0062\n"
    assert server.ask("SELECT {x:String}", param_x="ü 你好").text == "ü 你好\n"
    assert server.ask("SELECT arrayMap(x -> hex(x), {x:Array(String)})", param_x=r"['\xFF','ü']").text == "['FF','C3BC']\n"


def test_in_a_form(server: RunningServer) -> None:
    def form(value: bytes) -> bytes:
        parts = ((b"query", b"SELECT {x:String}"), (b"param_x", value))
        return b"".join(b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % part for part in parts) + b"--b--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    refused = server.client.post(server.url, content=form(b"\xff"), headers=headers)
    assert (refused.status_code, refused.headers["x-clickhouse-exception-code"]) == (400, "36")
    assert "UTF-8" in refused.text
    assert server.client.post(server.url, content=form("ü".encode()), headers=headers).text == "ü\n"


def test_in_headers(server: RunningServer) -> None:
    for name in ("X-ClickHouse-User", "X-ClickHouse-Key", "X-ClickHouse-Format", "X-ClickHouse-Database", "Content-Encoding"):
        refused = server.client.post(server.url, content="SELECT 1", headers={name.encode(): b"\xff"})
        assert (refused.status_code, name.lower() in refused.text) == (400, True), refused.text
    assert server.client.post(server.url, content="SELECT 1", headers={b"X-Else": b"\xff"}).text == "1\n"
    basic = {"Authorization": "Basic " + base64.b64encode(b"default:\xff").decode()}
    refused = server.client.post(server.url, content="SELECT 1", headers=basic)
    assert (refused.status_code, "UTF-8" in refused.text) == (403, True)


def test_a_name_that_is_not_ascii_arrives_in_a_header(server: RunningServer) -> None:
    """Without users every name but one is refused, and the log says which it was."""
    for number, headers in enumerate(({"X-ClickHouse-User": "jörg".encode()}, dict([_basic("jörg:x")]))):
        query = {"query_id": f"named-{number}"}
        assert httpx.post(server.url, params=query, content="SELECT 1", headers=headers, timeout=600).status_code == 403
        assert server.entry(f"named-{number}")["claimed_user"] == "jörg"


def _basic(text: str) -> tuple[str, bytes]:
    return "Authorization", b"Basic " + base64.b64encode(text.encode())
