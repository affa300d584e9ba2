"""A lake in a bucket, written: the same as a local one, one commit after the other, whatever fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import polars as pl
import pytest
from tests.buckets import environment
from tests.lake.archives import land, take
from tests.lake.archives import noon_trades as archive
from tests.lake.archives import rows as trades

from pointline.errors import BusyError, LakeError
from pointline.lake import open_lake, places, segments
from pointline.lake.catalog import catalog
from pointline.lake.durable import single_writer
from pointline.lake.maintenance import maintain
from pointline.lake.manifest import Manifest
from pointline.lake.verify import verify
from pointline.schema import MANIFEST_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.buckets import Server


DAYS = ("2024-05-01", "2024-05-02", "2024-05-03")


def listing(place: str | Path) -> dict[str, list[tuple[object, ...]]]:
    lake = open_lake(place)
    return {name: lake.live(name).sort("path").rows() for name in lake.tables() if name != "manifest"}


def test_what_is_written_is_what_a_local_lake_holds(new_url: str, tmp_path: Path, elsewhere: Callable[[], None]) -> None:
    files = [archive(tmp_path / "in", day, 1 + 5 * k) for k, day in enumerate(DAYS)]
    land(tmp_path / "lake", *files)
    land(new_url, *files[:2])
    elsewhere()
    land(new_url, *files[2:])
    elsewhere()
    assert listing(new_url) == listing(tmp_path / "lake")  # names of content: the same bytes
    assert trades(new_url).equals(trades(tmp_path / "lake"))
    assert verify(open_lake(new_url)).problems == []
    assert catalog(open_lake(new_url))["instruments"] == catalog(open_lake(tmp_path / "lake"))["instruments"]


def test_the_same_file_again_changes_nothing_and_a_correction_replaces(new_url: str, tmp_path: Path, elsewhere: Callable[[], None]) -> None:
    first = archive(tmp_path / "in", DAYS[0], 1)
    land(new_url, first)
    before = listing(new_url)
    elsewhere()
    assert [report.outcome for report in land(new_url, first)] == ["unchanged"]
    assert listing(new_url) == before
    corrected = archive(tmp_path / "corrected", DAYS[0], 1, count=7)
    elsewhere()
    land(new_url, corrected)
    assert trades(new_url).height == 7
    manifest = open_lake(new_url).rows("manifest", MANIFEST_SCHEMA)
    assert manifest["entry"].sort().to_list() == [1, 2]


def test_delta_readers_see_the_same_rows(new_url: str, store: Server, tmp_path: Path) -> None:
    from deltalake import DeltaTable

    land(new_url, *(archive(tmp_path / "in", day, 1 + 5 * k) for k, day in enumerate(DAYS)))
    mirror = open_lake(new_url).mirror
    assert mirror is not None
    table = DeltaTable(f"{new_url}/trades", storage_options=mirror.bucket.storage_options)
    assert table.version() == open_lake(new_url).newest_version("trades")
    assert sorted(pl.DataFrame(table.get_add_actions(flatten=True))["num_records"]) == [5, 5, 5]
    assert store.url


def test_replaced_files_leave_the_bucket_after_the_grace_time(new_url: str, tmp_path: Path, elsewhere: Callable[[], None]) -> None:
    land(new_url, archive(tmp_path / "in", DAYS[0], 1))
    land(new_url, archive(tmp_path / "corrected", DAYS[0], 1, count=7))
    lake = open_lake(new_url)
    with single_writer(lake.root):
        (kept,) = (size for size in maintain(lake) if size.table == "trades")
    assert (kept.files, kept.dead_files, kept.removed_files) == (1, 1, 0)
    elsewhere()
    lake = open_lake(new_url)
    with single_writer(lake.root):
        (gone,) = (size for size in maintain(lake, 0) if size.table == "trades")
    assert (gone.files, gone.removed_files) == (1, 1)
    elsewhere()
    assert trades(new_url).height == 7
    assert verify(open_lake(new_url)).problems == []


def test_a_second_writer_is_busy_and_a_dead_one_is_forgotten(
    new_url: str, store: Server, tmp_path: Path, elsewhere: Callable[[], None]
) -> None:
    file = archive(tmp_path / "in", DAYS[0], 1)
    lake = open_lake(new_url, create=True)
    with single_writer(lake.root):
        elsewhere()
        with pytest.raises(BusyError, match="another process is writing"):
            take(new_url, file)
    land(new_url, file)
    mirror = open_lake(new_url).mirror
    assert mirror is not None
    held = {"owner": "dead", "host": "gone", "process": 1, "seconds": -10, "number": 1, "over": False}
    mirror.bucket.put(".lease.json", json.dumps(held).encode())  # expired: by the store's clock it was written 10 s too long ago
    assert [report.outcome for report in land(new_url, file)] == ["unchanged"]
    assert store.counted()["PUT"] > 0


@pytest.mark.parametrize("late", ["heads", "entry", "record"])
def test_a_commit_whose_writer_failed_is_finished_by_the_next(
    late: str, new_url: str, store: Server, tmp_path: Path, elsewhere: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer dies after the record of its commit: the next one carries it out; before it, nothing has happened."""
    monkeypatch.setattr("pointline.lake.bucket.MOST_RETRIES", 0)
    land(new_url, archive(tmp_path / "in", DAYS[0], 1))
    beginning = {"heads": ".heads.json", "entry": "trades/_delta_log/", "record": ".commits/"}[late]

    def refuse(method: str, key: str) -> tuple[int, str] | None:
        return (500, "InternalError") if method == "PUT" and beginning in key else None

    elsewhere()
    store.fault = refuse
    second = archive(tmp_path / "in", DAYS[1], 6)
    with pytest.raises(LakeError):
        land(new_url, second)
    store.fault = None
    elsewhere()
    assert trades(new_url).height == 5  # a reader sees the state before
    elsewhere()
    outcome = land(new_url, second)[0].outcome
    assert outcome == ("landed" if late == "record" else "unchanged")
    elsewhere()
    assert trades(new_url).height == 10
    assert verify(open_lake(new_url)).problems == []


def test_a_writer_that_was_away_too_long_commits_nothing(new_url: str, tmp_path: Path, elsewhere: Callable[[], None]) -> None:
    """Another writer took the lake over and committed more often than records are kept."""
    land(new_url, archive(tmp_path / "in", DAYS[0], 1))
    slow = open_lake(new_url)
    mirror = slow.mirror
    assert mirror is not None
    with single_writer(slow.root):
        change = dict(mirror.heads)
        mirror.bucket.put(".lease.json", b"{}")  # as if it had expired and been given to another
        mirror.bucket.put(".lease.json", json.dumps({"owner": "x", "host": "y", "process": 1, "seconds": 1, "over": True}).encode())
        elsewhere()
        for k, day in enumerate(("2024-06-01", "2024-06-02", "2024-06-03")):
            land(new_url, archive(tmp_path / "in", day, 100 + 5 * k))
        after = listing(new_url)
        places.register(mirror)
        with pytest.raises(BusyError):
            mirror.publish({**change, "trades": change["trades"]}, files={})
    elsewhere()
    assert listing(new_url) == after
    assert verify(open_lake(new_url)).problems == []


def test_old_entries_of_a_log_are_read_together(
    new_url: str, store: Server, tmp_path: Path, elsewhere: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "SEGMENT", 3)
    monkeypatch.setattr("pointline.lake.mirror.SEGMENT", 3)
    days = DAYS  # with the one that makes the table, four entries: a segment and one
    land(new_url, *(archive(tmp_path / "in", day, 1 + 5 * k) for k, day in enumerate(days)))
    elsewhere()
    store.forget()
    mirror = open_lake(new_url).mirror
    assert mirror is not None
    logs = [key for _, key in store.requests if "_delta_log" in key]
    assert len(logs) == 2 * 1  # of trades and manifest
    for content in (b"no segment", None):
        for key in mirror.bucket.listed(".segments"):
            mirror.bucket.remove(key) if content is None else mirror.bucket.put(key, content)
        elsewhere()
        assert trades(new_url).height == len(days) * 5


@pytest.mark.parametrize(("count", "commits"), [(2, 4), pytest.param(3, 50, marks=pytest.mark.slow)])
def test_concurrent_writers_lose_and_double_nothing(count: int, commits: int, new_url: str, store: Server, tmp_path: Path) -> None:
    program = (
        "import random, sys, time\nfrom pathlib import Path\nfrom pointline.errors import BusyError\n"
        "from tests.lake.archives import take, noon_trades as archive\n"
        "url, folder, writer, commits = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])\n"
        "for k in range(commits):\n"
        "    day = f'20{10 + writer}-{1 + k // 28:02d}-{1 + k % 28:02d}'\n"
        "    path = archive(folder, day, 1 + 5 * k)\n"
        "    while True:\n"
        "        try:\n"
        "            outcomes = [report.outcome for report in take(url, path)]\n"
        "        except BusyError:\n            time.sleep(random.random() / 10)\n"
        "            continue\n"
        "        if outcomes in (['landed'], ['unchanged']):\n"
        "            break\n"
    )
    open_lake(new_url, create=True)
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", program, new_url, str(tmp_path / f"in-{number}"), str(number), str(commits)],
            env={**os.environ, **environment(store, tmp_path / f"machine-{number}")},
        )
        for number in range(count)
    ]
    assert [writer.wait() for writer in writers] == [0] * count
    found = trades(new_url)
    assert found.height == count * commits * 5
    assert found.n_unique("ts_local_us") == found.height
    lake = open_lake(new_url)
    assert sorted(lake.rows("manifest", MANIFEST_SCHEMA)["entry"]) == list(range(1, count * commits + 1))
    assert len(Manifest(lake).frame()) == count * commits
    assert verify(lake).problems == []
