"""The store of the tests of lakes in buckets."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from tests import buckets

from pointline.lake import places

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[buckets.Server]:
    """One store for all tests of a process."""
    yield from buckets.serve()


@pytest.fixture
def store(s3_server: buckets.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[buckets.Server]:
    """The store, with its counts at zero and the environment of this process set to it; mirrors are new."""
    buckets.enter(monkeypatch, s3_server, tmp_path / "mirrors")
    monkeypatch.setattr(places, "_MIRRORS", {})
    s3_server.forget()
    yield s3_server
    s3_server.forget()


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
