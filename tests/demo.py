"""The demo that the documentation begins with, which a test run makes once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

DEMO = ("demo", "-o", "out/demo", "--trades", "20000")


class Demo(NamedTuple):
    """What `pointline demo` has left in its folder, and what it said; only to be read."""

    folder: Path
    out: str
    err: str
