"""The small parts: errors of the engine, settings, encodings, the audit log, the check, the Native format for newer clients."""

from __future__ import annotations

import asyncio
import datetime as dt
import gzip
import hashlib
import json
import os
import struct
import subprocess
import sys
import zlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import lz4.block
import lz4.frame
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from pointline.errors import ConfigError
from pointline.server.app import make_app
from pointline.server.audit import AuditEntry, AuditLog
from pointline.server.channel import Answer, Job
from pointline.server.compressed_blocks import checksum
from pointline.server.config import ServerConfig, User
from pointline.server.encoding import OWN_BLOCKS, PREFERRED, chosen_encoding, compressed, decompressed, native_blocks
from pointline.server.hashes import new_token
from pointline.server.origins import ClientAddresses, OriginCheck
from pointline.server.pool import Reply, Requester
from pointline.sql.guard.codes import DECIMAL_MARK, NUMBERS, RefusedError, from_engine
from pointline.sql.guard.formats import FORMATS
from pointline.sql.guard.limits import QueryLimits
from pointline.sql.guard.settings import for_engine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

# ---- errors

ENGINE_SAID = {
    "Code: 62. DB::Exception: Syntax error: failed at position 8. (SYNTAX_ERROR)": (
        62,
        "SYNTAX_ERROR",
        "Syntax error: failed at position 8.",
    ),
    "Code: 164. DB::Exception: Code: 164. DB::Exception: Cannot modify 'a'. (READONLY) (version 26.9.2.1). (READONLY)": (
        164,
        "READONLY",
        "Cannot modify 'a'.",
    ),
    "Failed to create connection: Code: 27. DB::Exception: Cannot parse: in (x). (CANNOT_PARSE) (version 1 (official build))": (
        27,
        "CANNOT_PARSE",
        "Cannot parse: in (x).",
    ),
    "Code: 76. DB::ErrnoException: Cannot open file /a: , errno: 13: In scope SELECT file('/a'). (CANNOT_OPEN_FILE)": (
        107,
        "FILE_DOESNT_EXIST",
        "a file that the statement needs cannot be read",
    ),
    "Code: 117. DB::Exception: Bad footer in /tmp/lake/a=1/b.parquet, 1 / 2. (INCORRECT_DATA)": (
        117,
        "INCORRECT_DATA",
        "Bad footer in <path>, 1 / 2.",
    ),
    "Code: 36. DB::Exception: bad, Stack trace (when copying this message, always include the lines below):\n0. x @ 0x1": (
        36,
        "UNKNOWN_EXCEPTION",
        "bad.",
    ),
    "something else": (1002, "UNKNOWN_EXCEPTION", "something else."),
}


@pytest.mark.parametrize("said", ENGINE_SAID)
def test_what_the_engine_says_is_taken_apart(said: str) -> None:
    found = from_engine(said)
    assert (found.code, found.name, found.what) == ENGINE_SAID[said]


def test_a_message_of_megabytes_is_taken_apart_too() -> None:
    """A statement of a thousand checked decimals comes back in the engine's message; what is quadratic in its length takes minutes."""
    found = from_engine(f"Code: 1. DB::Exception: {DECIMAL_MARK * 300_000}{'(A' * 100_000} (TOO_BIG_AST)")
    assert found.name == "TOO_BIG_AST"


def test_an_answer_is_in_the_form_that_clients_take_apart() -> None:
    body = RefusedError("READONLY", "no").body("26.9")
    assert body == "Code: 164. DB::Exception: no (READONLY) (version 26.9 (pointline))\n"


# of ClickHouse's exceptionCodeToHTTPStatus.cpp, and those that this server adds
STATUSES = {
    "SYNTAX_ERROR": 400,
    "BAD_ARGUMENTS": 400,
    "UNKNOWN_TABLE": 404,
    "UNKNOWN_FUNCTION": 404,
    "UNKNOWN_FORMAT": 404,
    "UNKNOWN_DATABASE": 404,
    "UNKNOWN_SETTING": 404,
    "REQUIRED_PASSWORD": 401,
    "AUTHENTICATION_FAILED": 403,
    "ACCESS_DENIED": 403,
    "QUERY_IS_TOO_LARGE": 413,
    "NOT_IMPLEMENTED": 501,
    "TIMEOUT_EXCEEDED": 408,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "MEMORY_LIMIT_EXCEEDED": 500,
    "TOO_MANY_SIMULTANEOUS_QUERIES": 503,
    "TOO_MANY_ROWS": 400,
    "READONLY": 403,
}


@pytest.mark.parametrize("name", STATUSES)
def test_statuses(name: str) -> None:
    assert RefusedError(name, "x").status == STATUSES[name]


def test_numbers_are_unlike() -> None:
    assert len(set(NUMBERS.values())) == len(NUMBERS)


# ---- settings

LIMITS = QueryLimits(time_s=10.0, memory_mb=100, rows_read=1_000, rows_returned=50, megabytes_returned=2, threads=2)


def test_limits_are_always_there() -> None:
    found = for_engine({}, LIMITS)
    assert found["max_execution_time"] == "10"
    assert found["max_memory_usage"] == "100000000"
    assert (found["max_rows_to_read"], found["max_result_rows"], found["max_result_bytes"], found["max_threads"]) == (
        "1000",
        "50",
        "2000000",
        "2",
    )


@given(value=st.one_of(st.integers(0, 10**12).map(str), st.floats(0, 1e6).map(lambda value: f"{value:.3f}")))
def test_limits_can_be_lowered_and_never_raised(value: str) -> None:
    found = float(for_engine({"max_execution_time": value}, LIMITS)["max_execution_time"])
    assert found == (float(value) if 0 < float(value) < 10 else 10)


@pytest.mark.parametrize(
    "name",
    ["readonly", "allow_ddl", "max_bytes_to_read", "output_format_schema", "profile", "log_comment", "", "MAX_THREADS", "max_threads&x"],
)
def test_other_settings_are_refused(name: str) -> None:
    with pytest.raises(RefusedError) as caught:
        for_engine({name: "1"}, LIMITS)
    assert (caught.value.name, caught.value.status) == ("READONLY", 403)


@pytest.mark.parametrize("value", ["a&b=c", "a=b", "a%26", "?", "#", "\n", "é", "x" * 65, "'", '"', "\\"])
def test_values_cannot_become_settings(value: str) -> None:
    with pytest.raises(RefusedError):
        for_engine({"date_time_output_format": value}, LIMITS)


@pytest.mark.parametrize("value", ["-1", "1e9", "abc", "", " 1", "1.5", "9" * 30])
def test_a_limit_is_a_number(value: str) -> None:
    with pytest.raises(RefusedError):
        for_engine({"max_result_rows": value}, LIMITS)


def test_what_clients_ask_for_is_passed_on() -> None:
    asked = {"output_format_json_quote_64bit_integers": "1", "join_use_nulls": "1", "format_csv_delimiter": ";", "limit": "5"}
    assert asked.items() <= for_engine(asked, LIMITS).items()


# ---- encodings

DECODERS = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
    "lz4": lz4.frame.decompress,
}


@given(chunks=st.lists(st.binary(max_size=300), max_size=5), encoding=st.sampled_from(PREFERRED))
def test_what_is_compressed_can_be_read_by_others(chunks: list[bytes], encoding: str) -> None:
    assert DECODERS[encoding](b"".join(compressed(chunks, encoding))) == b"".join(chunks)


ENCODERS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "lz4": lz4.frame.compress,
}


@pytest.mark.parametrize("encoding", PREFERRED)
def test_requests_may_be_compressed_but_not_grow_without_bound(encoding: str) -> None:
    assert decompressed(ENCODERS[encoding](b"SELECT 1"), encoding.upper(), 100) == b"SELECT 1"
    assert decompressed(ENCODERS[encoding](b"x" * 100), encoding, 100) == b"x" * 100
    with pytest.raises(RefusedError) as caught:
        decompressed(ENCODERS[encoding](bytes(50_000_000)), encoding, 100)
    assert caught.value.status == 413
    with pytest.raises(RefusedError) as caught:
        decompressed(b"not compressed", encoding, 100)
    assert caught.value.status == 400


def test_an_unknown_encoding_of_a_request() -> None:
    assert decompressed(b"x", "", 10) == b"x"
    assert decompressed(b"x", "identity", 10) == b"x"
    with pytest.raises(RefusedError) as caught:
        decompressed(b"x", "br", 10)
    assert caught.value.status == 415


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("", None),
        ("identity", None),
        ("br", None),
        ("gzip", "gzip"),
        ("gzip, deflate", "gzip"),
        ("lz4,zstd,gzip,deflate", "zstd"),
        ("GZIP;q=0.5, zstd;q=0", "gzip"),
        ("gzip; q=0", None),
    ],
)
def test_the_best_encoding_that_is_accepted(accepted: str, expected: str | None) -> None:
    assert chosen_encoding(accepted) == expected


def test_formats_have_a_content_type_without_line_breaks() -> None:
    assert {
        "JSON",
        "JSONCompact",
        "JSONEachRow",
        "CSV",
        "TabSeparated",
        "TSV",
        "Native",
        "RowBinaryWithNamesAndTypes",
        "Parquet",
        "Arrow",
        "ArrowStream",
    } <= set(FORMATS)
    assert not [name for name, kind in FORMATS.items() if "\n" in kind or "html" in kind]


# ---- ClickHouse's own blocks

# Makes a table whose file holds a block for each row, uncompressed, so that blocks of many sizes come from ClickHouse itself.
BLOCKS = """
import sys
from chdb.session import Session

session = Session(sys.argv[1])
session.query("CREATE DATABASE d ENGINE = Atomic")
session.query("CREATE TABLE d.t (a String CODEC(NONE)) ENGINE = TinyLog")
for size in [*range(1, 300), 1000, 5000, 100000]:
    session.query(f"INSERT INTO d.t SELECT randomString({size})")
session.close()
"""


def test_checksums_are_those_that_the_engine_writes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", BLOCKS, str(tmp_path / "d")], check=True, env={**os.environ, "TMPDIR": str(tmp_path)})
    (path,) = (tmp_path / "d").rglob("a.bin")
    data, at, sizes = path.read_bytes(), 0, []
    while at < len(data):
        size = int.from_bytes(data[at + 17 : at + 21], "little")
        assert checksum(data[at + 16 : at + 16 + size]) == data[at : at + 16], size
        sizes.append(size)
        at += 16 + size
    assert len(sizes) == 302
    assert min(sizes) < 16
    assert max(sizes) > 100_000


@given(chunks=st.lists(st.binary(max_size=300), max_size=4))
def test_blocks_hold_what_went_in(chunks: list[bytes]) -> None:
    plain = b""
    for block in compressed(chunks, OWN_BLOCKS):
        (method, packed, size) = struct.unpack_from("<BII", block, 16)
        assert (block[:16], method, packed) == (checksum(block[16:]), 0x82, len(block) - 16)
        plain += lz4.block.decompress(block[25:], uncompressed_size=size)
    assert plain == b"".join(chunks)


# ---- Native for newer clients


def test_native_blocks_get_their_info_and_a_byte_for_each_column() -> None:
    """Two blocks of (a UInt8, s String), written out by hand as ClickHouse's Native format with revision 54454 has them."""
    columns = [("a", "UInt8"), ("s", "String")]
    first = struct.pack("<QQQ", 2, 2, 2) + b"\x01\x02" + struct.pack("<Q", 5) + b"\x01x\x02yz"
    second = struct.pack("<QQQ", 2, 1, 1) + b"\x03" + struct.pack("<Q", 1) + b"\x00"
    info = b"\x01\x00\x02\xff\xff\xff\xff\x00"
    expected = (
        info + b"\x02\x02" + b"\x01a\x05UInt8\x00" + b"\x01\x02" + b"\x01s\x06String\x00" + b"\x01x\x02yz"
        + info + b"\x02\x01" + b"\x01a\x05UInt8\x00" + b"\x03" + b"\x01s\x06String\x00" + b"\x00"
    )  # fmt: skip
    assert b"".join(map(bytes, native_blocks(memoryview(first + second), columns))) == expected
    assert b"".join(map(bytes, native_blocks(memoryview(b""), columns))) == b""


# ---- audit log


def test_an_entry_is_a_line_of_json() -> None:
    now = dt.datetime(2024, 12, 1, 12, 30, 0, 123_456, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    entry = AuditEntry(user="ann", text="SELECT 'ä\n'" + " " * 20_000, elapsed_ms=1.23456, relations=("trade",))
    line = entry.line(now)
    assert line.endswith("\n")
    assert line.count("\n") == 1
    found = json.loads(line)
    assert found["time"] == "2024-12-01T11:30:00.123Z"
    assert (found["user"], found["elapsed_ms"], found["relations"], found["outcome"]) == ("ann", 1.235, ["trade"], "ok")
    assert found["text"] == entry.text[:10_000]
    assert found["text_sha256"] == hashlib.sha256(entry.text.encode()).hexdigest()


def test_the_log_is_put_aside_when_it_is_full(tmp_path: Path) -> None:
    path = tmp_path / "log" / "audit.jsonl"
    log = AuditLog(path, 1_000)
    for n in range(60):
        log.add(AuditEntry(query_id=str(n)))
    log.close()
    files = sorted(tmp_path.rglob("audit*"))
    assert [file.name for file in files] == ["audit.jsonl", *(f"audit.jsonl.{n}" for n in range(1, 6))]
    assert all(file.stat().st_size < 1_500 for file in files)
    assert path.stat().st_mode & 0o077 == 0
    kept = [json.loads(line)["query_id"] for file in [*reversed(files[1:]), files[0]] for line in file.read_text().splitlines()]
    assert kept == [str(n) for n in range(60 - len(kept), 60)]


def test_a_log_goes_on_after_a_restart(tmp_path: Path) -> None:
    for n in range(2):
        log = AuditLog(tmp_path / "a", 10**6)
        log.add(AuditEntry(query_id=str(n)))
        log.close()
    assert len((tmp_path / "a").read_text().splitlines()) == 2


def test_a_log_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="audit log"):
        AuditLog(tmp_path / "file" / "audit", 10)
    AuditLog(None, 10).add(AuditEntry())


# ---- what goes to the worker, and what comes back


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


# ---- the check


FORWARDED = [
    ("10.1.1.1", ["1.2.3.4"], ("10.1.1.1", "")),  # from somebody who is no proxy
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
    check = OriginCheck(PlainTextResponse("in"), ServerConfig(trusted_proxies=("127.0.0.1",)), AuditLog(tmp_path / "log", 10**6))

    async def ask() -> None:
        transport = httpx.ASGITransport(check)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            given = {"Host": "rebound.example", "X-Forwarded-For": "1.2.3.4"}
            assert (await client.get("/?query=SELECT+1&password=hush", headers=given)).status_code == 403
            assert (await client.get("/?query=SELECT+2")).status_code == 200

    asyncio.run(ask())
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
