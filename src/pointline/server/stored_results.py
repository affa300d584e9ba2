"""Results that are stored for a short time, for clients which read an address piece by piece.

Such a client sends HEAD or asks for the end of the content, and then for ranges of it, each with a request of its own. All of them must see
the bytes of one result, so the query runs once and its result stays in a file of the server while it is in use.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, BinaryIO
from weakref import WeakValueDictionary

from pointline.sql.guard.codes import RefusedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from pointline.server.channel import Answer
    from pointline.server.pool import Reply

STORED_S = 60.0
"""Seconds without a request after which a result is dropped, and after which a client that begins anew gets a new one."""

_IN_USE_S = 5.0  # a result requested within these is being read; it is not replaced when the lake changes
_PIECE_BYTES = 1 << 18
_MOST_RESULTS = 256
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


@dataclass(frozen=True)
class ByteRange:
    """A part of a content: from `first` to `last`, or the `last` bytes where there is no `first`; to the end where there is no `last`."""

    first: int | None
    last: int | None

    @property
    def is_from_the_end(self) -> bool:
        """Whether it counts from the end, as a client does that has read nothing yet."""
        return self.first is None

    def within(self, size: int) -> tuple[int, int] | None:
        """Start and end (not included) in a content of this size, or None where nothing of it is there."""
        if self.first is None:
            start, end = max(0, size - (self.last or 0)), size
        else:
            start, end = self.first, size if self.last is None else min(size, self.last + 1)
        return (start, end) if start < end else None


def range_of(header: str) -> ByteRange | None:
    """The range that a ``Range`` header asks for; None where it asks for several, or for something that is not one, which is ignored."""
    found = _RANGE.fullmatch(header.strip())
    if found is None or found[0] == "bytes=-":
        return None
    first, last = (int(text) if text else None for text in found.groups())
    if first is not None and last is not None and first > last:
        return None
    return ByteRange(first, last)


@dataclass(eq=False)
class StoredResult:
    """A result in a file.

    Attributes:
        path: the file.
        answer: what the worker said of it.
        size: bytes.
        etag: of the bytes, as the header carries it.
        generation: number of the catalogue that was asked.
        made_s, used_s: when it was made and last asked for, by the monotonic clock.
    """

    path: Path
    answer: Answer
    size: int
    etag: str
    generation: int
    made_s: float
    used_s: float


@dataclass(frozen=True)
class ResultPart:
    """What a request gets of a stored result.

    Attributes:
        status: of HTTP.
        start, end: which bytes.
        head: headers that say so.
        error: name for the audit log, or empty.
    """

    status: int
    start: int
    end: int
    head: dict[str, str]
    error: str = ""


def part_of(headers: Mapping[str, str], stored: StoredResult, wanted: ByteRange | None) -> ResultPart:
    """What a request with these headers gets: the range, or all where there is none or where ``If-Range`` names other bytes."""
    head = {"Accept-Ranges": "bytes", "ETag": stored.etag}
    must, expected = headers.get("if-match"), headers.get("if-range")
    if must is not None and must.strip() != "*" and stored.etag not in {tag.strip() for tag in must.split(",")}:
        return ResultPart(412, 0, 0, head | {"Content-Length": "0"}, "PRECONDITION_FAILED")
    if wanted is None or (expected is not None and expected.strip() != stored.etag):
        return ResultPart(200, 0, stored.size, head | {"Content-Length": str(stored.size)})
    found = wanted.within(stored.size)
    if found is None:
        return ResultPart(416, 0, 0, head | {"Content-Length": "0", "Content-Range": f"bytes */{stored.size}"}, "RANGE_NOT_SATISFIABLE")
    start, end = found
    return ResultPart(
        206, start, end, head | {"Content-Length": str(end - start), "Content-Range": f"bytes {start}-{end - 1}/{stored.size}"}
    )


async def pieces(file: BinaryIO, start: int, end: int) -> AsyncIterator[bytes]:
    """The bytes between two places of a file."""
    file.seek(start)
    left = end - start
    while left > 0 and (piece := file.read(min(left, _PIECE_BYTES))):
        left -= len(piece)
        yield piece


class ResultStore:
    """Stored results, the most recently requested ones, within a number of bytes.

    Args:
        folder: for the files; made when it is needed.
        most_bytes: of all results together.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._stored: dict[str, StoredResult] = {}
        self._bytes = 0  # of all results, also of those that are not complete
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._numbers = count(1)
        self._timer: asyncio.TimerHandle | None = None

    async def result(
        self, key: str, *, begins: bool, generation: int, run: Callable[[], AbstractAsyncContextManager[Reply]]
    ) -> tuple[StoredResult, Reply | None]:
        """The result of a request, and what `run` gave where the query had to run.

        Args:
            key: of all that the result depends on, and of its requester.
            begins: whether the client seems to begin reading; it gets a new result then if the lake has changed.
            generation: number of the newest catalogue.
            run: runs the query.

        Raises:
            RefusedError: the query may not run or failed, or its result is too large to be stored.
        """
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            now = time.monotonic()
            found = self._stored.get(key)
            if found is not None and self._is_good(found, now, begins=begins, generation=generation):
                found.used_s = now
                return found, None
            async with run() as reply:
                made = await self._make(reply)
            self._drop(key)
            self._stored[key] = made
            if len(self._stored) > _MOST_RESULTS:
                self._drop_oldest()
            self._start_timer()
            return made, reply

    @staticmethod
    def _is_good(stored: StoredResult, now: float, *, begins: bool, generation: int) -> bool:
        if not begins:
            return now - stored.used_s < STORED_S
        is_current = stored.generation >= generation or now - stored.used_s < _IN_USE_S
        return is_current and now - stored.made_s < STORED_S

    async def _make(self, reply: Reply) -> StoredResult:
        self._folder.mkdir(exist_ok=True)
        path, size, digest = self._folder / str(next(self._numbers)), 0, hashlib.sha256()
        try:
            with path.open("xb") as file:
                async for piece in reply.chunks:
                    size += len(piece)
                    self._bytes += len(piece)
                    self._make_room()
                    file.write(piece)
                    digest.update(piece)
        except BaseException as error:
            self._bytes -= size
            path.unlink(missing_ok=True)
            if isinstance(error, OSError):
                text = f"the result could not be stored for reading it in parts: {error.strerror}; ask without Range and HEAD"
                raise RefusedError("ABORTED", text) from error
            raise
        now = time.monotonic()
        return StoredResult(path, reply.answer, size, f'"{digest.hexdigest()[:32]}"', reply.generation, now, now)

    def _make_room(self) -> None:
        while self._bytes > self._most_bytes:
            if not self._stored:
                text = "the result is too large to be read in parts (HEAD or Range) here: ask without, or for less (kept_mb of the server)"
                raise RefusedError("TOO_MANY_ROWS_OR_BYTES", text)
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        self._drop(min(self._stored, key=lambda key: self._stored[key].used_s))

    def _drop(self, key: str) -> None:
        stored = self._stored.pop(key, None)
        if stored is not None:
            self._bytes -= stored.size
            stored.path.unlink(missing_ok=True)

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(STORED_S, self._expire)

    def _expire(self) -> None:
        self._timer = None
        oldest = time.monotonic() - STORED_S
        for key in [key for key, stored in self._stored.items() if stored.used_s <= oldest]:
            self._drop(key)
        if self._stored:
            self._start_timer()
