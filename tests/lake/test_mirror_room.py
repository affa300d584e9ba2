"""What stays in the folder of a lake in a bucket, and what makes room."""

from __future__ import annotations

import os
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from tests.machine import until

from pointline.errors import ConfigError
from pointline.lake.mirror_room import IN_USE_SECONDS, LINKS, MirrorRoom
from pointline.lake.threads import THREADS, UnwantedError, in_threads

if TYPE_CHECKING:
    from pathlib import Path

BLOCK = 4096
"""Bytes of a file in these tests: one block of the disk."""


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MirrorRoom:
    """A folder that may keep three files."""
    monkeypatch.setenv("POINTLINE_MIRROR_BYTES", str(3 * BLOCK))
    return MirrorRoom(tmp_path, "s3://desk/lake")


def files(folder: Path, *names: str) -> dict[Path, int]:
    """Files that were read long ago, the first one longest, and their sizes."""
    found = {}
    for number, name in enumerate(names):
        path = folder / f"{name}.parquet"
        path.write_bytes(bytes(BLOCK))
        os.utime(path, (1000 + number, 1000 + number))
        found[path] = BLOCK
    return found


def names(folder: Path) -> str:
    return "".join(sorted(path.stem for path in folder.glob("*.parquet")))


def test_what_was_not_read_for_longest_makes_room(room: MirrorRoom, tmp_path: Path) -> None:
    files(tmp_path, *"abcde")
    room.trim()
    assert names(tmp_path) == "cde"
    with room.room(BLOCK):
        assert names(tmp_path) == "de"


def test_what_is_held_stays_and_goes_once_it_is_let_go(room: MirrorRoom, tmp_path: Path) -> None:
    found = files(tmp_path, *"abcd")
    first = dict(list(found.items())[:2])
    with room.held(first):
        assert room.used(first) == []
        with room.room(2 * BLOCK):
            assert names(tmp_path) == "ab"
    with room.room(3 * BLOCK):
        assert names(tmp_path) == ""


def test_what_another_reader_uses_stays(room: MirrorRoom, tmp_path: Path) -> None:
    """Whether it opened the file before, while or after this process held it."""
    before, meanwhile, after, nobody = found = files(tmp_path, *"abcd")
    os.utime(before)
    with room.held(dict.fromkeys((before, meanwhile, nobody), BLOCK)):
        room.used(found)
        os.utime(meanwhile)
    os.utime(after)
    with room.room(3 * BLOCK):
        assert names(tmp_path) == "abc"
    long_ago = time.time() - IN_USE_SECONDS - 1
    for path in (before, meanwhile, after):
        os.utime(path, (long_ago, long_ago))
    with room.room(3 * BLOCK):
        assert names(tmp_path) == ""


def test_a_file_that_came_is_known_as_this_process_own(room: MirrorRoom, tmp_path: Path) -> None:
    own, foreign = files(tmp_path, *"ab")
    for path in (own, foreign):
        os.utime(path)
    assert room.used([tmp_path / "c.parquet"]) == [tmp_path / "c.parquet"]
    room.came([own])
    with room.room(3 * BLOCK):
        assert names(tmp_path) == "b"


def test_names_for_engines_are_left_alone(room: MirrorRoom, tmp_path: Path) -> None:
    place = tmp_path / LINKS / "one"
    place.mkdir(parents=True)
    linked = files(place, *"abcde")
    room.trim()
    assert all(path.is_file() for path in linked)


def test_more_than_the_bound_at_once_waits_until_others_let_go(room: MirrorRoom, tmp_path: Path) -> None:
    a, b, c, d = (tmp_path / name for name in "abcd")
    reached, stop = threading.Event(), threading.Event()

    def wait() -> None:
        with room.held({c: BLOCK, d: BLOCK}):
            reached.set()

    with ExitStack() as stack:
        stack.enter_context(room.held({a: BLOCK, b: BLOCK}))
        stack.enter_context(room.held({b: BLOCK, a: BLOCK}))  # the same files need no more room
        with room.held({c: BLOCK}):
            pass
        stop.set()
        with pytest.raises(UnwantedError), room.held({c: BLOCK, d: BLOCK}, stop):
            pass
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not reached.is_set()
    until(reached.is_set)
    waiting.join()
    with pytest.raises(ConfigError, match="more than the mirror may hold") as raised, room.held(dict.fromkeys((a, b, c, d), BLOCK)):
        pass
    assert (raised.value.value, raised.value.expected) == ("12,288 bytes", "at least 16,384")


def test_work_in_threads_gives_what_it_finds_in_order() -> None:
    assert in_threads(lambda number: number * number, range(100)) == [number * number for number in range(100)]
    assert in_threads(str, []) == []


def test_work_in_threads_ends_at_the_first_error_and_when_it_is_not_wanted() -> None:
    begun: list[int] = []

    def work(number: int) -> None:
        begun.append(number)
        if number == THREADS:
            raise ValueError(number)

    with pytest.raises(ValueError, match="16"):
        in_threads(work, range(10_000))
    assert len(begun) < 10_000
    stop = threading.Event()
    with pytest.raises(UnwantedError):
        in_threads(lambda _: stop.set(), range(10_000), stop)
