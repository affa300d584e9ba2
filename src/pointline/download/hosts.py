"""How often a host is asked, and how long not at all after it has said that it is too often."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_FORBIDDEN_IN_A_ROW = 3


class HostGate:
    """Lets the requests to one host through, one after the other; threads share it.

    Args:
        requests_per_s: the most that are made.
        clock: seconds that only grow.
        sleep: waits for a number of seconds.
    """

    def __init__(
        self, requests_per_s: float, *, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self._interval_s = 1 / requests_per_s
        self._sharers = 1
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._free_s = float("-inf")
        self._forbidden = 0

    def wait(self) -> None:
        """Returns when the next request may be made."""
        while True:
            with self._lock:
                now = self._clock()
                if now >= self._free_s:
                    self._free_s = now + self._interval_s * self._sharers
                    return
                left = self._free_s - now
            self._sleep(left)

    def stand_down(self, seconds: float) -> None:
        """No request is made for so long."""
        with self._lock:
            self._free_s = max(self._free_s, self._clock() + seconds)

    def slow_down(self, requests_per_s: float) -> None:
        """Lets at most so many requests through from now on, where that is fewer than before."""
        with self._lock:
            self._interval_s = max(self._interval_s, 1 / requests_per_s)

    def share(self, count: int) -> None:
        """Keeps the part of the pace that is left where so many processes ask the host; the largest number counts that was ever told."""
        with self._lock:
            self._sharers = max(self._sharers, count)

    def pause(self, seconds: float) -> None:
        """Waits before the same request is made again; other requests go on."""
        self._sleep(seconds)

    def answered(self, *, forbidden: bool) -> None:
        """Counts refusals (403) that follow each other."""
        with self._lock:
            self._forbidden = self._forbidden + 1 if forbidden else 0

    @property
    def is_shut(self) -> bool:
        """Whether the host refused so many requests in a row that it refuses the address, not the file."""
        return self._forbidden >= _FORBIDDEN_IN_A_ROW
