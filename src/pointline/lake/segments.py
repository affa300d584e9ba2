"""Entries of a log that are one object: a machine that sees a lake in a bucket for the first time asks for twenty at once.

They are copies. The log is what the Delta readers see, and the book's sum over all entries tells whether the copies are the same.
"""

from __future__ import annotations

import json
import zlib

SEGMENT = 20
"""Entries of one object."""


def segment_key(name: str, start: int) -> str:
    """Key of the segment of a table's log that begins with an entry."""
    return f".segments/{name}/{start:020d}"


def new_segments(before: int, after: int) -> list[range]:
    """The segments that a log has with the newest entry `after` and did not have with `before`."""
    return [range(number * SEGMENT, (number + 1) * SEGMENT) for number in range((before + 1) // SEGMENT, (after + 1) // SEGMENT)]


def parts_of(versions: range) -> list[range]:
    """Entries that follow one another as whole segments, and single ones before and behind.

    >>> parts_of(range(19, 41))
    [range(19, 20), range(20, 40), range(40, 41)]
    """
    found = []
    at = versions.start
    while at < versions.stop:
        count = SEGMENT if at % SEGMENT == 0 and at + SEGMENT <= versions.stop else 1
        found.append(range(at, at + count))
        at += count
    return found


def make_segment(entries: list[bytes]) -> bytes:
    """The object of these entries."""
    return zlib.compress(json.dumps([entry.decode() for entry in entries]).encode())


def read_segment(content: bytes) -> list[bytes]:
    """The entries of an object; as many empty ones where it is none, which are not what the book says."""
    try:
        found = [str(entry).encode() for entry in json.loads(zlib.decompress(content))]
    except (ValueError, TypeError, zlib.error):
        found = []
    return found if len(found) == SEGMENT else [b""] * SEGMENT
