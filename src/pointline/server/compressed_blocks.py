"""ClickHouse's own compressed blocks, which clients get that send ``compress=1`` (those of Java do by default).

A block is a checksum of 16 bytes over the rest, a byte for the method, the sizes of the block (from the method's byte on) and of its
content, both 32 bits, and the compressed content. The checksum is CityHash128 in its version 1.0.2 (Geoff Pike and Jyrki Alakuijala, 2011),
written here after the published description; ClickHouse kept that version when later ones changed the results.
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

_ALL = (1 << 64) - 1
_K0, _K1, _K2, _K3 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F, 0xC949D7C7509E6557
_MIX = 0x9DDFEA08EB382D69
_LONG = 128


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
    """CityHash128 of at least 9 bytes, as a block carries it."""
    if len(data) < 16:  # noqa: PLR2004 - the hash's own cases
        first, second = _word(data, 0) ^ (len(data) * _K0 & _ALL), _word(data, len(data) - 8) ^ _K1
        low, high = _murmur(b"", first, second)
    else:
        first, second, rest = _word(data, 0) ^ _K3, _word(data, 8), data[16:]
        low, high = _city(rest, first, second) if len(rest) >= _LONG else _murmur(rest, first, second)
    return struct.pack("<QQ", low, high)


def _word(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")


def _turn(value: int, bits: int) -> int:
    return (value >> bits | value << 64 - bits) & _ALL


def _fold(value: int) -> int:
    return value ^ value >> 47


def _pair(first: int, second: int) -> int:
    """64 bits of 128."""
    inner = _fold((first ^ second) * _MIX & _ALL)
    return _fold((second ^ inner) * _MIX & _ALL) * _MIX & _ALL


def _weak(words: tuple[int, ...], first: int, second: int) -> tuple[int, int]:
    """Mixes 32 bytes into two words."""
    begin = first + words[0]
    second = _turn(second + begin + words[3] & _ALL, 21)
    whole = begin + words[1] + words[2] & _ALL
    return whole + words[3] & _ALL, second + _turn(whole, 44) + begin & _ALL


def _short(data: bytes) -> int:
    """64 bits of at most 16 bytes."""
    size = len(data)
    if size > 8:  # noqa: PLR2004 - the hash's own cases
        first, last = _word(data, 0), _word(data, size - 8)
        return _pair(first, _turn(last + size & _ALL, size)) ^ last
    if size >= 4:  # noqa: PLR2004 - as above
        first, last = int.from_bytes(data[:4], "little"), int.from_bytes(data[-4:], "little")
        return _pair(size + (first << 3), last)
    if size:
        low, high = data[0] + (data[size >> 1] << 8), size + (data[-1] << 2)
        return _fold(low * _K2 & _ALL ^ high * _K3 & _ALL) * _K2 & _ALL
    return _K2


def _murmur(data: bytes, first: int, second: int) -> tuple[int, int]:
    """128 bits of fewer than 128 bytes."""
    size = len(data)
    if size <= 16:  # noqa: PLR2004 - as above
        first = _fold(first * _K1 & _ALL) * _K1 & _ALL
        third = second * _K1 + _short(data) & _ALL
        fourth = _fold(first + (_word(data, 0) if size >= 8 else third) & _ALL)  # noqa: PLR2004 - as above
    else:
        third = _pair(_word(data, size - 8) + _K1 & _ALL, first)
        fourth = _pair(second + size & _ALL, third + _word(data, size - 16) & _ALL)
        first = first + fourth & _ALL
        for at in range(0, size - 16, 16):
            first = (first ^ _fold(_word(data, at) * _K1 & _ALL) * _K1 & _ALL) * _K1 & _ALL
            second ^= first
            third = (third ^ _fold(_word(data, at + 8) * _K1 & _ALL) * _K1 & _ALL) * _K1 & _ALL
            fourth ^= third
    first, second = _pair(first, third), _pair(fourth, second)
    return first ^ second, _pair(second, first)


def _city(data: bytes, x: int, y: int) -> tuple[int, int]:
    """128 bits of 128 bytes or more; the letters are those of the description."""
    z = len(data) * _K1 & _ALL
    v0 = _turn(y ^ _K1, 49) * _K1 + _word(data, 0) & _ALL
    v1 = _turn(v0, 42) * _K1 + _word(data, 8) & _ALL
    w0 = _turn(y + z & _ALL, 35) * _K1 + x & _ALL
    w1 = _turn(x + _word(data, 88) & _ALL, 53) * _K1 & _ALL
    rounds = len(data) // _LONG * 2
    for words in struct.iter_unpack("<8Q", memoryview(data)[: rounds * 64]):
        x = _turn(x + y + v0 + words[2] & _ALL, 37) * _K1 & _ALL ^ w1
        y = _turn(y + v1 + words[6] & _ALL, 42) * _K1 & _ALL ^ v0
        z = _turn(z ^ w0, 33)
        v0, v1 = _weak(words[:4], v1 * _K1 & _ALL, x + w0 & _ALL)
        w0, w1 = _weak(words[4:], z + w1 & _ALL, y)
        z, x = x, z
    y = y + _turn(w0, 37) * _K0 + z & _ALL
    x = x + _turn(v0 + z & _ALL, 49) * _K0 & _ALL
    for end in range(len(data), rounds * 64, -32):
        words = struct.unpack_from("<4Q", data, end - 32)
        y = _turn(y - x & _ALL, 42) * _K0 + v1 & _ALL
        w0 = w0 + words[2] & _ALL
        x = _turn(x, 49) * _K0 + w0 & _ALL
        w0 = w0 + v0 & _ALL
        v0, v1 = _weak(words, v0, v1)
    x, y = _pair(x, v0), _pair(y, w0)
    return _pair(x + v1 & _ALL, w1) + y & _ALL, _pair(x + w1 & _ALL, y + v1 & _ALL)
