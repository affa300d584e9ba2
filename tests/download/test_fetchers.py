"""Other processes that get files for a download: what they stage is taken whole or not at all, and one at a time writes a part."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.download.conftest import DAYS, NOW_US, Rig, key, trades

from pointline.download import targets_of
from pointline.download.archives import open_hosts
from pointline.download.folder import ArchiveFolder, FetcherFolder
from pointline.download.run import got, make_plan

if TYPE_CHECKING:
    from pointline.download.remote import RemoteFile

STAGED = ".pointline/staged"


def remote(rig: Rig, day: str) -> RemoteFile:
    """A file as its host lists it now."""
    targets = targets_of("binance-futures", "BTCUSDT", "trades", day, f"{day}T12:00")
    hosts = open_hosts([("binance-futures", "trades", "")], rig.transport, rig.url, now_us=NOW_US)
    (file,) = make_plan(hosts, targets, connections=1, now_us=NOW_US).files
    return file


def help_with(rig: Rig, day: str) -> Path:
    """A fetcher stages a file, and nobody takes it; where its bytes are."""
    with ArchiveFolder(rig.folder).writing():
        got(rig.transport, FetcherFolder(rig.folder), remote(rig, day), lambda _: None)
    (path,) = (rig.folder / STAGED).glob(f"*{day}*.whole")
    return path


def test_what_a_helper_staged_is_taken_by_the_next_download(rig: Rig) -> None:
    help_with(rig, DAYS[1])
    assert rig.stored() == {}
    assert rig.run().counts == {"fetched": 2, "held": 1}
    assert f"/{key(DAYS[1])}" not in rig.archive.gets()
    assert rig.stored() == {name: one.body for name, one in rig.archive.files.items()}
    assert list((rig.folder / STAGED).iterdir()) == []
    assert list((rig.folder / ".pointline/locks").iterdir()) == []


@pytest.mark.parametrize("spoil", ["bytes", "note", "other key", "no bytes"])
def test_what_is_not_staged_in_whole_is_got(rig: Rig, spoil: str) -> None:
    path = help_with(rig, DAYS[1])
    (note,) = path.parent.glob("*.json")
    if spoil == "bytes":
        path.write_bytes(path.read_bytes()[:-9])
    elif spoil == "note":
        note.write_bytes(note.read_bytes()[:-9])
    elif spoil == "other key":
        note.write_text(json.dumps({**json.loads(note.read_bytes()), "key": key(DAYS[2])}))
    else:
        path.unlink()
    assert rig.run().counts == {"fetched": 3}
    assert rig.stored() == {name: one.body for name, one in rig.archive.files.items()}
    assert list((rig.folder / STAGED).iterdir()) == []


def test_another_version_than_the_listed_one_is_replaced(rig: Rig) -> None:
    help_with(rig, DAYS[1])
    rig.archive.add(key(DAYS[1]), trades(DAYS[1], version=2))
    assert rig.run().counts == {"fetched": 2, "replaced": 1}
    assert rig.stored()[key(DAYS[1])] == trades(DAYS[1], version=2)


def test_what_is_there_already_is_not_taken_again(rig: Rig) -> None:
    rig.run()
    before = rig.stored()
    help_with(rig, DAYS[1])
    assert rig.run().counts == {"held": 3}
    assert rig.stored() == before
    assert list((rig.folder / STAGED).iterdir()) == []


def test_one_process_at_a_time_writes_a_part(rig: Rig) -> None:
    with ArchiveFolder(rig.folder).writing():
        first, second = FetcherFolder(rig.folder), FetcherFolder(rig.folder)
        waits: list[int] = []

        class EndedError(Exception):
            pass

        def wait() -> None:
            waits.append(1)
            if len(waits) == 3:
                raise EndedError

        with first.alone("a/b", wait), pytest.raises(EndedError), second.alone("a/b", wait):
            pass
        with first.alone("a/b", wait), second.alone("a/c", wait):
            assert sorted(path.name for path in (rig.folder / ".pointline/locks").iterdir()) == ["a!b", "a!c"]
        assert list((rig.folder / ".pointline/locks").iterdir()) == []


def test_a_lock_that_its_holder_removed_is_not_held(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes never hold one lock by two files of its name."""
    folder = ArchiveFolder(rig.folder)
    opened = os.open
    removed = []

    def open_and_lose(path: Path, *options: int) -> int:
        handle = opened(path, *options)
        if Path(path).parent.name == "locks" and not removed:
            Path(path).unlink()
            removed.append(path)
        return handle

    monkeypatch.setattr("pointline.download.folder.os.open", open_and_lose)
    with folder.alone("a/b", lambda: None):
        assert removed
        assert removed[0].exists()


def test_a_file_that_a_helper_staged_meanwhile_is_not_got_again(rig: Rig) -> None:
    with ArchiveFolder(rig.folder).writing():
        file = remote(rig, DAYS[1])
        for _ in range(2):
            got(rig.transport, FetcherFolder(rig.folder), file, lambda _: None)
        known = got(rig.transport, ArchiveFolder(rig.folder), file, lambda _: None)
    assert len(rig.archive.gets()) == 1
    assert (rig.folder / file.key).read_bytes() == trades(DAYS[1])
    assert known == ArchiveFolder(rig.folder).verified(file.key)


def test_fetchers_see_when_their_client_is_gone(rig: Rig) -> None:
    folder = ArchiveFolder(rig.folder)
    with folder.writing(), folder.with_fetchers() as notes:
        assert notes.is_dir()
    assert not notes.exists()
    notes.mkdir(parents=True)
    with ArchiveFolder(rig.folder).writing():
        assert not notes.exists(), "of a client that was killed"
