"""The audit log: one JSON line for every query, also for those that were refused."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
import logging
import os
import re
from dataclasses import asdict, dataclass, field
from logging.handlers import RotatingFileHandler
from typing import TYPE_CHECKING

from pointline.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_KEPT_FILES = 5
_TEXT_KEPT, _VALUE_KEPT = 10_000, 1_000
_TOKEN = re.compile(r"[\w-]{43}", re.ASCII)  # what `pointline serve --new-token` makes, sent where a name should be


@dataclass
class AuditEntry:
    """What is known of a query.

    Attributes:
        user: who asked; empty where that was not established.
        claimed_user: the name that the request gave, also a wrong one; empty where it gave none, and where a token stands in its place.
        address: of the client; where a trusted proxy forwards requests, the one that it tells.
        proxy: address of that proxy.
        query_id: as the answer carries it.
        text: the statement, cut after 10,000 characters; `text_sha256` is of all of it.
        parameters: of the statement; values are cut after 1,000 characters, and all of them after 10,000.
        output_format: of the result.
        rows, rows_read, bytes_sent: of the result, of what was read for it, and of the body that was sent.
        waited_ms, elapsed_ms: until a worker was free, and from the request to the last byte.
        outcome: ``ok``, ``refused``, ``failed``, ``gone`` (the client left) or ``stalled`` (it did not read).
        error: ClickHouse's name of the error; where the request was turned away before, ``HOST_NOT_SERVED`` or ``ORIGIN_NOT_SERVED``.
        relations: names in `api` that were read.
        host, origin: what such a request gave as the server's name and the page's origin.
    """

    user: str = ""
    claimed_user: str = ""
    address: str = ""
    proxy: str = ""
    query_id: str = ""
    text: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    output_format: str = ""
    rows: int = 0
    rows_read: int = 0
    bytes_sent: int = 0
    waited_ms: float = 0.0
    elapsed_ms: float = 0.0
    outcome: str = "ok"
    error: str = ""
    relations: tuple[str, ...] = ()
    host: str = ""
    origin: str = ""

    def line(self, now: dt.datetime) -> str:
        """The entry as a line of JSON."""
        values = asdict(self)
        text = values.pop("text")
        values["parameters"] = _cut(self.parameters)
        values["claimed_user"] = "" if _TOKEN.search(self.claimed_user) else self.claimed_user[:_VALUE_KEPT]
        values["host"], values["origin"] = self.host[:_VALUE_KEPT], self.origin[:_VALUE_KEPT]
        digest = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
        time = now.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        rounded = {name: round(value, 3) if isinstance(value, float) else value for name, value in values.items()}
        return json.dumps({"time": time, **rounded, "text_sha256": digest, "text": text[:_TEXT_KEPT]}) + "\n"


def _cut(parameters: dict[str, str]) -> dict[str, str]:
    """The parameters, as far as they are kept."""
    kept, left = {}, _TEXT_KEPT
    for name, value in parameters.items():
        size = min(_VALUE_KEPT, left)
        kept[name[:_VALUE_KEPT]] = value if len(value) <= size else f"{value[:size]}... ({len(value):,} characters)"
        left = max(0, left - len(value))
    return kept


class AuditLog:
    """A file that entries are added to; when it has its size it becomes ``.1``, the one before it ``.2``, and so on.

    Args:
        path: the file, or None for no log.
        size_bytes: its size.

    Raises:
        ConfigError: it cannot be written.
    """

    def __init__(self, path: Path | None, size_bytes: int) -> None:
        self._handler: _PrivateFile | None = None
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._handler = _PrivateFile(path, maxBytes=size_bytes, backupCount=_KEPT_FILES, encoding="ascii")
        except OSError as error:
            raise ConfigError("the audit log cannot be written", where=str(path), value=error.strerror) from error

    def add(self, entry: AuditEntry) -> None:
        """Writes an entry in one piece.

        Raises:
            OSError: it cannot be written.
        """
        if self._handler is not None:
            self._handler.handle(logging.makeLogRecord({"msg": entry.line(dt.datetime.now(dt.UTC))}))

    def close(self) -> None:
        """Closes the file."""
        if self._handler is not None:
            self._handler.close()
            self._handler = None


class _PrivateFile(RotatingFileHandler):
    """Files that only their owner can read; a record is one call of the system, so that no line is ever there in part."""

    terminator = ""

    def _open(self) -> io.TextIOWrapper:
        return io.TextIOWrapper(io.FileIO(self.baseFilename, "a", opener=_private), encoding=self.encoding, write_through=True)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - the signature of the library
        """Raises what writing raised, which the library would only print."""
        raise  # noqa: PLE0704


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
