"""Line ends, separators and long fields of a piece of CSV, found in all its bytes at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LONG_FIELD = 17  # fifteen digits and a point fit below it, and what has no more digits than that is held exactly by a float64

_PIECE_BYTES = 255 << 11  # see `_count`; it stays in the processor's cache
_POINT, _ZERO = b".0"
_LINE_END, _DIGITS_BEGIN = b"\n-"  # the bytes of a number are at or above the minus sign; commas, blanks, quotes and plus signs below


class Separators(NamedTuple):
    """What was counted in a piece of CSV.

    Attributes:
        line_ends: how many line ends there are.
        others: how many other bytes below the minus sign, which in clean columns of numbers are the commas.
        long_field: whether `LONG_FIELD` bytes follow one another without any of these; False where that was not asked for.
    """

    line_ends: int
    others: int
    long_field: bool


def find_separators(data: bytes, *, long_fields: bool) -> Separators:
    """Counts separators, and looks for long fields where that is asked for."""
    text = np.frombuffer(data, dtype=np.uint8)
    room = np.empty(min(len(text), _PIECE_BYTES), dtype=np.bool_)
    ends = below = 0
    found = False
    overlap = LONG_FIELD + 1 if long_fields else 0  # even: pieces begin at even bytes
    for at in range(0, len(text), _PIECE_BYTES - overlap):
        piece = text[at : at + _PIECE_BYTES]
        own = min(len(piece), _PIECE_BYTES - overlap)
        ends += _count(np.equal(piece[:own], _LINE_END, out=room[:own]))
        marks = np.less(piece, _DIGITS_BEGIN, out=room[: len(piece)])
        below += _count(marks[:own])
        found = found or (long_fields and _has_long_field(marks.view(np.uint8)))
    return Separators(ends, below - ends, found)


def has_long_fraction(data: bytes, decimals: int) -> bool:
    """Whether a point is followed by more digits than that, or some number has an exponent."""
    text = np.frombuffer(data, dtype=np.uint8)
    overlap = decimals + 1  # bytes of a window; one more, the point, stands before it
    for at in range(0, len(text), _PIECE_BYTES - overlap):
        piece = text[at : at + _PIECE_BYTES]
        width, windows = 1, piece < _ZERO  # whether a window of that width, beginning here, holds anything but digits
        while len(windows) > (step := min(width, overlap - width)) > 0:
            windows = windows[step:] | windows[:-step]
            width += step
        if width == overlap and ((piece[: len(windows) - 1] == _POINT) > windows[1:]).any():
            return True
    return b"e" in data or b"E" in data


def _count(found: NDArray[np.bool_]) -> int:
    """Counts in the eight bytes of each word at once, in columns so short that no byte can overflow."""
    whole = len(found) // 2048 * 2048
    words = found[:whole].view(np.uint64).reshape(-1, 256)
    return int(words.sum(axis=0, dtype=np.uint64).view(np.uint8).sum()) + int(np.count_nonzero(found[whole:]))


def _has_long_field(marks: NDArray[np.uint8]) -> bool:
    """Whether some window of 17 bytes holds no mark.

    Such a window holds eight pairs of bytes that begin at an even place, and one byte more before or after them. Pairs are half as
    many as bytes, and windows of pairs double: each is two of half its size.
    """
    pairs = marks[: len(marks) // 2 * 2].view(np.uint16) != 0
    if len(pairs) < LONG_FIELD // 2:
        return False
    two = pairs[1:] | pairs[:-1]
    four = two[2:] | two[:-2]
    eight = four[4:] | four[:-4]
    if eight.all():
        return False
    starts = 2 * np.flatnonzero(~eight)
    before = (starts > 0) & (marks[starts - 1] == 0)
    ends = starts + LONG_FIELD - 1
    after = (ends < len(marks)) & (marks[np.minimum(ends, len(marks) - 1)] == 0)
    return bool((before | after).any())
