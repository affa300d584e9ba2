"""What the tests themselves lean on: waits that end, and folders that are built once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests import machine
from tests.machine import limit, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_a_limit_is_never_shorter_than_that_of_an_idle_machine() -> None:
    assert machine.slowness() >= 1
    assert limit(2.0) >= 2.0


def test_a_wait_gives_what_was_found_and_ends_where_nothing_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter(["", "", "found"])
    assert until(lambda: next(looks)) == "found"
    monkeypatch.setattr(machine, "slowness", lambda: 2.0)
    asked: list[int] = []
    with pytest.raises(AssertionError, match="did not happen"):
        until(lambda: asked.append(1), seconds=0.05)
    assert len(asked) >= 2


def test_a_folder_is_built_once_and_again_where_that_failed(built_once: Callable[[str, Callable[[Path], None]], Path]) -> None:
    filled: list[Path] = []

    def fill(folder: Path) -> None:
        assert list(folder.iterdir()) == []
        (folder / "content").touch()
        filled.append(folder)
        if len(filled) == 1:
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 -- it is our own
        built_once("sample", fill)
    assert built_once("sample", fill) == built_once("sample", fill) == filled[1]
    assert len(filled) == 2
