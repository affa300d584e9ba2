"""The store of the tests of lakes in buckets."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from pointline.lake import places

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests import buckets

_NUMBERS = itertools.count(1)


@pytest.fixture
def new_url(store: buckets.Server) -> str:  # noqa: ARG001 - the store must answer there
    """A place in the store where nothing is yet."""
    return f"s3://desk/lake-{next(_NUMBERS)}"


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], None]:
    """From here on this process is another machine: nothing was mirrored yet."""
    numbers = itertools.count(1)

    def move() -> None:
        monkeypatch.setenv("POINTLINE_MIRROR", str(tmp_path / f"other-{next(numbers)}"))
        monkeypatch.setattr(places, "_MIRRORS", {})

    return move
