"""Line ends, commas and long fields of a piece of CSV, found in all its bytes at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LONG_FIELD = 17  # fifteen digits and a point fit below it, and what has no more digits than that is held exactly by a float64

_PIECE_BYTES = 255 << 11  # see `_count`; it stays in the processor's cache
_LINE_END, _COMMA = b"\n,"
_DIGITS_BEGIN = b"-"[0]  # a number's bytes are at or above it, separators (and blanks, quotes, plus signs) below


class Separators(NamedTuple):
    """How many line ends and commas there are, and whether `LONG_FIELD` bytes follow one another without a separator."""

    line_ends: int
    commas: int
    long_field: bool


def find_separators(data: bytes, *, long_fields: bool) -> Separators:
    """Counts separators, and looks for long fields where that is asked for; in columns of digits a field is long if a number is."""
    text = np.frombuffer(data, dtype=np.uint8)
    marks = np.empty(min(len(text), _PIECE_BYTES), dtype=np.bool_)
    rooms = (np.empty(len(marks), dtype=np.uint8), np.empty(len(marks), dtype=np.uint8))
    ends = commas = 0
    found = False
    for at in range(0, len(text), _PIECE_BYTES - (LONG_FIELD if long_fields else 0)):
        piece = text[at : at + _PIECE_BYTES]
        own = piece[: _PIECE_BYTES - (LONG_FIELD if long_fields else 0)]
        ends += _count(np.equal(own, _LINE_END, out=marks[: len(own)]))
        commas += _count(np.equal(own, _COMMA, out=marks[: len(own)]))
        if long_fields and not found:
            found = _has_long_field(np.less(piece, _DIGITS_BEGIN, out=marks[: len(piece)]).view(np.uint8), rooms)
    return Separators(ends, commas, found)


def _count(found: NDArray[np.bool_]) -> int:
    """Counts in the eight bytes of each word at once, in columns so short that no byte can overflow."""
    whole = len(found) // 2048 * 2048
    words = found[:whole].view(np.uint64).reshape(-1, 256)
    return int(words.sum(axis=0, dtype=np.uint64).view(np.uint8).sum()) + int(np.count_nonzero(found[whole:]))


def _has_long_field(marks: NDArray[np.uint8], rooms: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> bool:
    """Whether some window of `LONG_FIELD` bytes holds no mark: windows double, as each is two of half its size."""
    if len(marks) < LONG_FIELD:
        return False
    width = 1
    while width < LONG_FIELD:
        step = min(width, LONG_FIELD - width)
        count = len(marks) - step
        marks = np.bitwise_or(marks[step:], marks[:count], out=rooms[0][:count])
        rooms = rooms[::-1]
        width += step
    return not marks.min()
