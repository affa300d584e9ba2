"""ClickHouse's own compressed blocks, which clients get that send ``compress=1`` (those of Java do by default).

A block is a checksum of 16 bytes over the rest, a byte for the method, the sizes of the block (from the method's byte on) and of its
content, both 32 bits, and the compressed content. The checksum is CityHash128 in its version 1.0.2 (Geoff Pike and Jyrki Alakuijala, 2011);
ClickHouse kept that version when later ones changed the results.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Bytes: TypeAlias = "bytes | memoryview"

_LZ4 = 0x82
_BLOCK_BYTES = 1 << 18
_HEAD = struct.Struct("<BII")
_CHECKSUM = struct.Struct("<QQ")


def framed(chunks: Iterable[Bytes]) -> Iterator[bytes]:
    """The chunks as compressed blocks."""
    from importlib import import_module

    compress: Any = import_module("lz4.block").compress  # lz4 has no types
    for chunk in chunks:
        for start in range(0, len(chunk), _BLOCK_BYTES):
            part = bytes(chunk[start : start + _BLOCK_BYTES])
            packed = compress(part, store_size=False)
            rest = _HEAD.pack(_LZ4, _HEAD.size + len(packed), len(part)) + packed
            yield checksum(rest) + rest


def checksum(data: bytes) -> bytes:
    """CityHash128 as a block carries it: two words of 64 bits, the high one first."""
    from clickhouse_cityhash.cityhash import CityHash128

    number = CityHash128(data)
    return _CHECKSUM.pack(number >> 64, number & 0xFFFF_FFFF_FFFF_FFFF)
