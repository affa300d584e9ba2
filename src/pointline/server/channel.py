"""Messages between the server and its workers over pipes: frames of a kind, a length and bytes."""

from __future__ import annotations

import json
import os
import struct
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Bytes = bytes | bytearray | memoryview

HEAD = struct.Struct(">cI")
READY, ANSWER, DATA, END, REFUSED, NEEDED, FETCHED = b"R", b"A", b"D", b"E", b"X", b"N", b"F"
CHUNK_BYTES = 1 << 18


@dataclass(frozen=True)
class Job:
    """One query for a worker.

    Attributes:
        text: the statement.
        parameters: values of its `{name:Type}`, in ClickHouse's escaped form.
        default_format: where the statement has no FORMAT.
        settings: what the client asked for, not yet checked.
        limits: the user's, as in `pointline.sql.guard.limits.Limits`.
        compression: an encoding of `pointline.server.encoding`, or None.
        revision: of the Native format that the client reads.
        user: name of the user.
    """

    text: str
    parameters: dict[str, str] = field(default_factory=dict)
    default_format: str = "TabSeparated"
    settings: dict[str, str] = field(default_factory=dict)
    limits: dict[str, Any] = field(default_factory=dict)
    compression: str | None = None
    revision: int = 0
    user: str = ""

    def encoded(self) -> bytes:
        """As a frame's bytes."""
        return json.dumps(asdict(self)).encode()


@dataclass(frozen=True)
class Answer:
    """What a worker sends before the bytes of a result.

    Attributes:
        output_format: of the bytes.
        rows, rows_read, bytes_read: of the result, and of what was read for it.
        elapsed_s: seconds of the engine.
        relations: names in `api` that were read.
        notes: what the client should know of the result, a sentence each.
    """

    output_format: str
    rows: int
    rows_read: int
    bytes_read: int
    elapsed_s: float
    relations: list[str]
    notes: list[str] = field(default_factory=list)


def write_all(descriptor: int, data: Bytes) -> None:
    """Writes everything to a pipe, waiting for its reader."""
    rest = memoryview(data).cast("B")
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def send(descriptor: int, kind: bytes, payload: Bytes = b"") -> None:
    """Writes a frame to a pipe."""
    view = memoryview(payload).cast("B")
    write_all(descriptor, HEAD.pack(kind, len(view)))
    write_all(descriptor, view)


def send_json(descriptor: int, kind: bytes, value: dict[str, Any]) -> None:
    """Writes a frame of JSON to a pipe."""
    send(descriptor, kind, json.dumps(value).encode())


def receive(descriptor: int) -> tuple[bytes, bytes] | None:
    """Reads a frame off a pipe, waiting for it; None at the pipe's end."""
    head = _read(descriptor, HEAD.size)
    if head is None:
        return None
    kind, size = HEAD.unpack(head)
    payload = _read(descriptor, size)
    return None if payload is None else (kind, payload)


def _read(descriptor: int, size: int) -> bytes | None:
    parts = []
    while size:
        part = os.read(descriptor, min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
