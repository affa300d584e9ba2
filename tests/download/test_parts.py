"""Parts of files: the next run goes on with what came, and begins anew where it cannot be of the same version."""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.download.conftest import DAYS, Rig, key, trades

from pointline.download.folder import PART_DAYS, ArchiveFolder

if TYPE_CHECKING:
    from pathlib import Path

    from tests.download.server import Handler

BAD = f"/{key(DAYS[1])}"


@pytest.fixture
def ranges(rig: Rig) -> list[str | None]:
    """The Range header of each request for the file."""
    seen: list[str | None] = []

    def look(handler: Handler) -> bool:
        if handler.path == BAD:
            seen.append(handler.headers.get("Range"))
        return False

    rig.archive.misdeeds.append(look)
    return seen


def leave(rig: Rig, body: bytes, etag: str | None = None, total: int | None = None, name: str = key(DAYS[1])) -> Path:
    """A part as a killed download leaves it."""
    folder = ArchiveFolder(rig.folder)
    part = folder.part(name)
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(body)
    if etag is not None:
        folder.arrival(name).write_text(json.dumps({"etag": etag, "total": total}))
    return part


def settle(rig: Rig) -> None:
    """The run after it gets everything, and leaves nothing."""
    assert rig.run().counts == {"fetched": 3}
    assert rig.stored() == {name: one.body for name, one in rig.archive.files.items()}
    assert list((rig.folder / ".pointline" / "parts").iterdir()) == []


def etag(rig: Rig) -> str:
    return rig.archive.files[key(DAYS[1])].etag


@pytest.mark.parametrize("first", [1, 100, len(trades(DAYS[1])) - 1])
def test_only_the_rest_is_asked_for(rig: Rig, ranges: list[str | None], first: int) -> None:
    body = trades(DAYS[1])
    leave(rig, body[:first], etag(rig), len(body))
    settle(rig)
    assert ranges == [f"bytes={first}-"]


def test_a_part_that_is_whole_is_not_asked_for(rig: Rig, ranges: list[str | None]) -> None:
    leave(rig, trades(DAYS[1]), etag(rig), len(trades(DAYS[1])))
    settle(rig)
    assert ranges == []


@pytest.mark.parametrize("told", ["nothing", "another version", "no json", "another type", "a length below"])
def test_what_cannot_be_of_this_version_begins_anew(rig: Rig, ranges: list[str | None], told: str) -> None:
    body = trades(DAYS[1])
    part = leave(rig, body[:100], None if told == "nothing" else "0" * 32 if told == "another version" else etag(rig), len(body))
    if told in {"no json", "another type", "a length below"}:
        text = {"no json": "{", "another type": '{"etag": 1, "total": "x"}', "a length below": json.dumps({"etag": etag(rig), "total": 50})}
        part.with_suffix(".json").write_text(text[told])
    settle(rig)
    assert ranges == [None]


def test_a_version_that_changed_without_the_listing_saying_so_begins_anew(rig: Rig, ranges: list[str | None]) -> None:
    rig.archive.listed = False
    old = trades(DAYS[1], version=7)
    leave(rig, old[:100], "f" * 32, len(old))
    rig.archive.misdeeds.append(lambda handler: handler.command == "HEAD" and handler.path == BAD and (handler.send(200, b"", {}) or True))  # type: ignore[func-returns-value]
    rig.run()
    assert ranges[-1] == "bytes=100-"
    assert rig.stored() == {name: one.body for name, one in rig.archive.files.items()}


def test_bytes_that_the_disk_has_lost_are_found_and_got_again(rig: Rig, ranges: list[str | None]) -> None:
    leave(rig, bytes(100), etag(rig), len(trades(DAYS[1])))
    settle(rig)
    assert ranges == ["bytes=100-", None]


def test_a_host_that_knows_no_such_part_is_asked_for_all(rig: Rig, ranges: list[str | None]) -> None:
    leave(rig, trades(DAYS[1])[:100], etag(rig), len(trades(DAYS[1])))
    rig.archive.misdeeds.append(
        lambda handler: handler.path == BAD and handler.headers.get("Range") is not None and (handler.send(416, b"", {}) or True)  # type: ignore[func-returns-value]
    )
    settle(rig)
    assert ranges == ["bytes=100-", "bytes=100-", None]


def test_a_host_that_gives_no_parts_is_asked_for_all(rig: Rig, ranges: list[str | None]) -> None:
    rig.archive.ranges = False
    leave(rig, trades(DAYS[1])[:100], etag(rig), len(trades(DAYS[1])))
    settle(rig)
    assert ranges == ["bytes=100-"]


def test_old_parts_that_nobody_wants_are_removed(rig: Rig) -> None:
    young = leave(rig, b"young", "a", 10, "x/young.zip")
    old = leave(rig, b"old", "a", 10, "x/old.zip")
    lone = leave(rig, b"lone", name="x/lone.zip")
    wanted = leave(rig, trades(DAYS[1])[:100], etag(rig), len(trades(DAYS[1])))
    for part in (old, wanted):
        then_s = part.stat().st_mtime - PART_DAYS * 86_400 - 60
        for path in (part, part.with_suffix(".json")):
            os.utime(path, (then_s, then_s))
    assert rig.run().counts == {"fetched": 3}
    assert sorted(path.name for path in young.parent.iterdir()) == sorted((young.name, young.with_suffix(".json").name))
    assert not lone.exists()


@pytest.mark.slow
@given(body=st.binary(max_size=400), length=st.integers(0, 500), same=st.booleans())
def test_whatever_was_left_the_file_is_the_host_s(tmp_path_factory: pytest.TempPathFactory, body: bytes, length: int, same: bool) -> None:
    from tests.download.conftest import Waits
    from tests.download.server import Archive, Server

    from pointline.download.transport import Manners, Transport

    archive, waits = Archive(), Waits()
    archive.add(key(DAYS[1]), trades(DAYS[1]))
    with Server(archive) as server, Transport(Manners(timeout_s=5), clock=waits.clock, sleep=waits.sleep) as transport:
        rig = Rig(archive, server.url, tmp_path_factory.mktemp("any") / "archives", waits, transport)
        leave(rig, trades(DAYS[1])[: length // 2] + body, etag(rig) if same else "x", len(trades(DAYS[1])))
        assert rig.run(DAYS[1], DAYS[2]).counts == {"fetched": 1}
        assert rig.stored()[key(DAYS[1])] == trades(DAYS[1])


@pytest.mark.parametrize("point", ["write_text", "record"])
def test_a_file_that_was_placed_before_its_record_gets_its_check_sum(rig: Rig, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    """A process that ends between two steps leaves a file that the next run checks, and whose ``.CHECKSUM`` it stores."""

    def end(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ArchiveFolder, point, end)
        patch.setattr(rig.transport, "stop", lambda: None)  # the next run uses it
        with pytest.raises(KeyboardInterrupt):
            rig.run()
    placed = [name for name in rig.stored() if name.endswith(".zip")]
    assert placed
    assert rig.run().counts == Counter({"checked": len(placed)}) + Counter(fetched=3 - len(placed))
    assert rig.stored() == {name: one.body for name, one in rig.archive.files.items()}
