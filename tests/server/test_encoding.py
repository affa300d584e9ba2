"""Bytes of an answer: encodings of HTTP, ClickHouse's own blocks, and the Native format for newer clients."""

from __future__ import annotations

import gzip
import os
import struct
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING

import lz4.block
import lz4.frame
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from pointline.server.compressed_blocks import checksum
from pointline.server.encoding import OWN_BLOCKS, PREFERRED, chosen_encoding, compressed, decompressed, native_blocks
from pointline.sql.guard.codes import RefusedError
from pointline.sql.guard.formats import FORMATS

if TYPE_CHECKING:
    from pathlib import Path


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


# Of the hash written out in Python after its description, whose results the engine accepted; the sizes are those at which its cases change.
CHECKSUMS = {
    9: "55b18982353bb9e3c031db423aeb3387",
    15: "701af8bb2a7b4321ece0907375e70ecc",
    16: "caf252648ff3c85384b51ac54068af73",
    17: "9d7e8f09e11ec7d8e139304442f63425",
    31: "9ee9477063b32f99763ea6ad60b9465b",
    32: "74f2a23aa8567fef9fd74e633cce2607",
    33: "981a047e41786ba82e0482287164c803",
    143: "35fba2b746e5691d380dc7bf03b4b1fe",
    144: "ff2aa714684e9f8aa7ec734277ac41a1",
    145: "f28354fd70b771ec3890f07ba31ecce1",
    159: "928659717615eab9fec55236c6a6368c",
    160: "ca39c54e942ff9616615880296679937",
    255: "1a363c91efd8936dc9961eac15983cdd",
    256: "33bdc3a31438ed0ddb09da501a3e96cf",
    257: "5cd15eeb51fbb5702baac26cce6410a8",
    1_000: "793b002d855f8344f801590879973266",
    4_096: "8e1c60a56342b8df852ca4169a8cbccc",
    65_537: "ed348fe7657c7ea7764a74d65e2ca6e6",
}


@pytest.mark.parametrize("size", CHECKSUMS)
def test_checksums_are_those_of_version_1_0_2_of_the_hash(size: int) -> None:
    assert checksum(bytes(n * n % 251 for n in range(size))).hex() == CHECKSUMS[size]


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
