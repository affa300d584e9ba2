"""Encodings of a result: compression as HTTP names it, and the Native format as newer clients read it."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any, Protocol

from pointline.errors import MissingExtraError
from pointline.server.compressed_blocks import framed
from pointline.sql.guard.codes import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Bytes = bytes | memoryview

OWN_BLOCKS = "blocks"
"""ClickHouse's own compressed blocks, which no header names: a client gets them where it asks for them."""

PREFERRED = ("zstd", "lz4", "gzip", "deflate")
"""Encodings that the server can send, best first."""

REVISION_WITH_SERIALIZATION = 54_454
_BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"  # no overflow row, no bucket


class _Compressor(Protocol):
    def compress(self, data: Bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


def chosen_encoding(accepted: str) -> str | None:
    """The best encoding that an ``Accept-Encoding`` header allows, or None.

    >>> chosen_encoding("gzip, lz4;q=0.5, zstd;q=0")
    'lz4'
    """
    wanted = set()
    for item in accepted.lower().split(","):
        name, _, weight = item.strip().partition(";")
        if weight.strip().replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}:
            wanted.add(name.strip())
    return next((name for name in PREFERRED if name in wanted), None)


def compressed(chunks: Iterable[Bytes], encoding: str | None) -> Iterator[Bytes]:
    """The chunks in an encoding (one of `PREFERRED`, or `OWN_BLOCKS`); as they are for None."""
    if encoding is None:
        yield from chunks
        return
    if encoding == OWN_BLOCKS:
        yield from framed(chunks)
        return
    compressor = _compressor(encoding)
    for chunk in chunks:
        if part := compressor.compress(chunk):
            yield part
    if part := compressor.flush():
        yield part


def _compressor(encoding: str) -> _Compressor:
    if encoding in {"gzip", "deflate"}:
        return zlib.compressobj(3, zlib.DEFLATED, 31 if encoding == "gzip" else 15)
    if encoding == "zstd":
        import zstandard

        return zstandard.ZstdCompressor(level=1).compressobj()
    return _Lz4()


class _Lz4:
    def __init__(self) -> None:
        from importlib import import_module

        self._compressor: Any = import_module("lz4.frame").LZ4FrameCompressor()
        self._begun = False

    def compress(self, data: Bytes, /) -> bytes:
        head = b"" if self._begun else self._compressor.begin()
        self._begun = True
        return bytes(head + self._compressor.compress(data))

    def flush(self) -> bytes:
        return self.compress(b"") + bytes(self._compressor.flush())


def decompressed(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    """A request's body out of its ``Content-Encoding``, no larger than the limit.

    Raises:
        RefusedError: the encoding is unknown, the bytes are not in it, or the body is larger.
    """
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        return body
    if name not in PREFERRED:
        raise RefusedError("UNSUPPORTED_MEDIA_TYPE", f"the request is encoded as {name!r}; what can be read: {', '.join(PREFERRED)}")
    try:
        plain = _plain(body, name, limit_bytes + 1)
    except MissingExtraError:
        raise
    except Exception as error:  # each library has its own
        raise RefusedError("BAD_ARGUMENTS", f"the request says that it is encoded as {name} and is not: {error}") from error
    if len(plain) > limit_bytes:
        raise RefusedError("QUERY_IS_TOO_LARGE", f"the request is larger than {limit_bytes:,} bytes when decompressed")
    return plain


def _plain(body: bytes, name: str, most: int) -> bytes:
    if name in {"gzip", "deflate"}:
        return zlib.decompressobj(31 if name == "gzip" else 15).decompress(body, most)
    if name == "zstd":
        import zstandard

        reader = zstandard.ZstdDecompressor(max_window_size=1 << 24).stream_reader(body)
        return bytes(reader.read(most))
    from importlib import import_module

    decompressor = import_module("lz4.frame").LZ4FrameDecompressor()  # lz4 has no types
    return bytes(decompressor.decompress(body, max_length=most))


def native_blocks(buffers: memoryview, columns: list[tuple[str, str]]) -> Iterator[Bytes]:
    """Native blocks as clients read them that send ``client_protocol_version`` of 54454 or more.

    The engine writes Native for readers of revision 0. Newer ones expect an info in front of every block, and a byte in front of every
    column's values that says how they are serialised. Where a column ends is told by the format Buffers, which holds the same values with
    their sizes.

    Args:
        buffers: the result in the format Buffers: for each block the numbers of columns and rows, then size and bytes of each column.
        columns: name and type of each column.
    """
    head = b"".join
    at = 0
    while at < len(buffers):
        count, rows = struct.unpack_from("<QQ", buffers, at)
        at += 16
        if count != len(columns):
            raise RefusedError("LOGICAL_ERROR", "the result has other columns than its description")
        yield head((_BLOCK_INFO, _varint(count), _varint(rows)))
        for name, kind in columns:
            (size,) = struct.unpack_from("<Q", buffers, at)
            at += 8
            yield head((_text(name), _text(kind), b"\x00"))
            yield buffers[at : at + size]
            at += size


def _text(text: str) -> bytes:
    data = text.encode()
    return _varint(len(data)) + data


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:  # noqa: PLR2004 - seven bits in a byte
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
