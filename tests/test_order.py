"""Long files are the first ones, and each is a file."""

from __future__ import annotations

from tests.conftest import LONG


def test_every_long_file_is_there() -> None:
    assert [path for path in sorted(LONG) if not path.is_file()] == []
