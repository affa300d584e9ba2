"""Who may write to a lake in a bucket: an object that its owner renews, and that others may take over once it has expired.

Expiry is judged by the store's clock alone: the time at which the object was last written, against the time of another object written
now. What the clocks of two machines say does not matter. The lease only keeps writers from working for nothing; what keeps the lake whole
is that a commit is one conditional write (`pointline.lake.mirror`), which fails for a writer that was away too long.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from typing import TYPE_CHECKING, Self

from pointline.errors import BusyError, ConfigError, LakeError
from pointline.lake.bucket import WriteConflict

if TYPE_CHECKING:
    from pointline.lake.bucket import Bucket, Stored

LEASE = ".lease.json"
SECONDS = 60
_CLOCK = ".clock"
_SLACK_SECONDS = 2  # the store's times are whole seconds
_LEAST_SECONDS = 3


def lease_seconds() -> int:
    """How long a lease lasts without being renewed: ``POINTLINE_LEASE_SECONDS``, else a minute.

    Raises:
        ConfigError: it is no whole number of at least three seconds.
    """
    text = os.environ.get("POINTLINE_LEASE_SECONDS", "") or str(SECONDS)
    if not text.isdecimal() or int(text) < _LEAST_SECONDS:
        raise ConfigError(
            "the lease cannot last so long", where="POINTLINE_LEASE_SECONDS", value=text, expected=f"{_LEAST_SECONDS} or more"
        )
    return int(text)


class Lease:
    """The right to write, held from entering to leaving; a thread renews it.

    Args:
        bucket: the lake's.
        seconds: how long it lasts without being renewed.

    Raises:
        BusyError: another writer holds it.
    """

    def __init__(self, bucket: Bucket, seconds: int | None = None) -> None:
        self._bucket = bucket
        self._seconds = lease_seconds() if seconds is None else seconds
        self._owner = secrets.token_hex(8)
        self._number = 0
        self._etag = ""
        self._renewed_s = 0.0
        self._is_lost = False
        self._writing = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew_until_over, daemon=True)

    def __enter__(self) -> Self:
        started_s = time.monotonic()
        try:
            self._etag = self._bucket.put_new(LEASE, self._text())
        except WriteConflict:
            self._take_over()
        self._renewed_s = started_s
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if not self._is_lost:
            with self._writing:
                try:
                    self._bucket.put_over(LEASE, self._text(is_over=True), self._etag)
                except (WriteConflict, LakeError):
                    return  # it is another's, or expires

    def check(self) -> None:
        """Refuses to go on where the lease may be another's by now.

        Raises:
            BusyError: it was not renewed in time, or is another's.
        """
        if self._is_lost or time.monotonic() - self._renewed_s > self._seconds - _SLACK_SECONDS / 2:
            self._is_lost = True
            raise BusyError(
                "this writer was away for longer than its lease lasts; what it had not committed is not in the lake",
                where=self._bucket.address(LEASE),
                value=f"{self._seconds} s",
                hint="run the command again; a longer POINTLINE_LEASE_SECONDS helps where the store or this machine is slow",
            )

    def _take_over(self) -> None:
        held = self._bucket.get(LEASE)
        if held is None:
            raise self._busy("it was given back just now")
        told = _told(held)
        if not told["over"] and not self._has_expired(held, int(str(told["seconds"]))):
            raise self._busy(f"{told['host']}, process {told['process']}")
        try:
            self._etag = self._bucket.put_over(LEASE, self._text(), held.etag)
        except WriteConflict:
            raise self._busy("it took the lease at the same moment") from None

    def _has_expired(self, held: Stored, seconds: int) -> bool:
        self._bucket.put(_CLOCK, self._owner.encode())
        now = self._bucket.get(_CLOCK)
        return now is not None and (now.modified - held.modified).total_seconds() > seconds + _SLACK_SECONDS

    def _busy(self, who: str) -> BusyError:
        return BusyError(
            "another process is writing to this lake",
            where=self._bucket.url,
            value=who,
            hint="wait until it has finished, then run the command again; a writer that died is forgotten when its lease has expired",
        )

    def _text(self, *, is_over: bool = False) -> bytes:
        self._number += 1
        told = {
            "owner": self._owner,
            "host": socket.gethostname(),
            "process": os.getpid(),
            "seconds": self._seconds,
            "number": self._number,
            "over": is_over,
        }
        return json.dumps(told).encode()

    def _renew_until_over(self) -> None:
        while not self._over.wait(self._seconds / 3):
            started_s = time.monotonic()
            with self._writing:
                try:
                    self._etag = self._bucket.put_over(LEASE, self._text(), self._etag)
                    self._renewed_s = started_s
                except WriteConflict:
                    self._is_lost = True
                    return
                except LakeError:
                    continue  # the next try may succeed; `check` knows how long the last success is ago


def _told(held: Stored) -> dict[str, object]:
    try:
        told = json.loads(held.content)
        return {"host": told["host"], "process": told["process"], "seconds": str(int(told["seconds"])), "over": bool(told["over"])}
    except (ValueError, KeyError, TypeError):
        return {"host": "unknown", "process": "unknown", "seconds": str(SECONDS), "over": False}
