"""How slow the machine is at the moment, and waits that allow for it.

A test waits for a state, never for a number of seconds. A limit only makes sure that what never happens ends as a failure: it is given
in seconds of an idle machine, grows with `slowness`, and costs nothing where the state is reached.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Found = TypeVar("Found")

IDLE_S = 0.08  # what the probe takes on an idle machine of two cores
_FRESH_S = 10.0
_PROBE = "total = 0\nfor n in range(600_000):\n    total += n * n"
_KEPT = 3
_measured: deque[tuple[float, float]] = deque(maxlen=_KEPT)  # when, and what


def slowness() -> float:
    """How many times longer than an idle machine this one takes, at least 1: the largest of the last figures, with a new one when due."""
    while len(_measured) < _KEPT or time.monotonic() > _measured[-1][0] + _FRESH_S:
        began = time.monotonic()
        subprocess.run([sys.executable, "-I", "-S", "-c", _PROBE], check=True)
        now = time.monotonic()
        _measured.append((now, (now - began) / IDLE_S))
    return max(1.0, *(figure for _, figure in _measured))


def limit(seconds: float) -> float:
    """Seconds that something may take now which takes no longer than `seconds` on an idle machine."""
    return seconds * slowness()


def until(holds: Callable[[], Found], *, seconds: float = 30.0) -> Found:
    """Waits for a state and gives what `holds` found.

    Args:
        holds: true, or anything that counts as true, once the state is reached.
        seconds: limit of an idle machine.

    Raises:
        AssertionError: it was not reached.
    """
    began = time.monotonic()
    while not (found := holds()):
        waited = time.monotonic() - began
        assert waited < seconds or waited < limit(seconds), f"it did not happen within {waited:.0f} s"
        time.sleep(0.02)
    return found
