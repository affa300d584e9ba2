"""What all workers of a download know of a host: notes in a folder that they share, which is there as long as the download runs."""

from __future__ import annotations

import contextlib
import json
import math
import threading
import time
import uuid
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from pointline.download.hosts import HostGate
from pointline.errors import ServerFailedError

if TYPE_CHECKING:
    from collections.abc import Callable

_LOOK_S = 1.0
_making = threading.Lock()


class SharedGate(HostGate):
    """A gate that also keeps what other processes were told: a host that stands down, or refuses the address, does so for all.

    Args:
        notes: folder of the notes. Without it the download is over.
        host: name and port.
        requests_per_s, clock, sleep: as of every gate.
        now: seconds since 1970, which the processes have in common.
    """

    def __init__(
        self,
        notes: Path,
        host: str,
        requests_per_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(requests_per_s, clock=clock, sleep=sleep)
        self._note = notes / f"{quote(host, safe='')}.json"
        self._now = now

    def wait(self) -> None:
        """Returns when the next request may be made.

        Raises:
            ServerFailedError: the download is over.
        """
        while True:
            if not self._note.parent.is_dir():
                raise ServerFailedError("the download was stopped")
            left_s = self._until_s() - self._now()
            if 0 < left_s < math.inf:
                self._sleep(min(left_s, _LOOK_S))
                continue
            super().wait()
            if self._until_s() <= self._now() or self.is_shut:
                return

    def stand_down(self, seconds: float) -> None:
        """No process makes a request for so long."""
        super().stand_down(seconds)
        self._tell(self._now() + seconds)

    def answered(self, *, forbidden: bool) -> None:
        """Counts refusals (403) that follow each other, and tells when they shut the host."""
        super().answered(forbidden=forbidden)
        if super().is_shut:
            self._tell(math.inf)

    @property
    def is_shut(self) -> bool:
        """Whether the host refuses the address, as one of the processes found."""
        return super().is_shut or math.isinf(self._until_s())

    def _until_s(self) -> float:
        return _noted_s(self._note)

    def _tell(self, until_s: float) -> None:
        if until_s > self._until_s():
            part = self._note.with_suffix(f".{uuid.uuid4().hex[:8]}")
            with contextlib.suppress(OSError):  # the download is over
                part.write_text(json.dumps(until_s))
                part.replace(self._note)


def _noted_s(note: Path) -> float:
    """Until when nobody asks a host, in seconds since 1970."""
    try:
        return float(json.loads(note.read_bytes()))
    except (OSError, ValueError):
        return 0.0


def stand_downs(notes: Path) -> list[tuple[str, float]]:
    """Hosts that stand down, with the seconds that are left."""
    now_s = time.time()
    found = ((unquote(note.name.removesuffix(".json")), _noted_s(note) - now_s) for note in sorted(notes.glob("*.json")))
    return [(host, left_s) for host, left_s in found if 0 < left_s < math.inf]


def gate_of(notes: str, requests_per_s: float, host: str) -> SharedGate:
    """The gate of a host, which all threads of this process share while a download runs."""
    with _making:
        return _gate(notes, requests_per_s, host)


@lru_cache(maxsize=64)
def _gate(notes: str, requests_per_s: float, host: str) -> SharedGate:
    return SharedGate(Path(notes), host, requests_per_s)
