"""Repairs of a lake in a bucket: one commit, which happens whole or not at all, and is finished by whoever comes next."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from tests.cli.running import run
from tests.lake.archives import contents, land, manifest, noon_trades, rows
from tests.lake.stores import InBucket

from pointline.errors import BusyError, DamageError, LakeError
from pointline.ingest import repair as repairs
from pointline.ingest.repair import plan_repair, repair
from pointline.lake import open_lake
from pointline.lake.lease import LEASE
from pointline.lake.transfer import copy_lake
from pointline.lake.verify import verify
from pointline.sources.families import all_sources

if TYPE_CHECKING:
    from pathlib import Path

    from tests.buckets import Server

    from pointline.ingest.run import FileReport

DAYS = ("2024-05-01", "2024-05-02", "2024-05-03")
ENTRY = "trades/_delta_log/00000000000000000002.json"


@pytest.fixture
def stored(new_url: str, tmp_path: Path, made: Path) -> InBucket:
    copy_lake(made, new_url)
    return InBucket(new_url, tmp_path / "mirrors")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of three days."""
    folder = tmp_path_factory.mktemp("whole")
    land(folder / "lake", *(noon_trades(folder / "in", day, 1 + 5 * k) for k, day in enumerate(DAYS)))
    return folder / "lake"


def data_file(stored: InBucket, day: str) -> str:
    return next(name for name in stored.names() if name.startswith("trades/") and f"date={day}" in name)


def mend(stored: InBucket) -> object:
    return repair(stored.opened(damaged=True), all_sources)


@pytest.mark.parametrize("after", [6, *(pytest.param(after, marks=pytest.mark.slow) for after in (0, 1, 2, 3, 4, 5, 7, 8, 9))])
def test_a_repair_that_is_cut_off_changes_nothing_or_is_finished(
    after: int, stored: InBucket, made: Path, store: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store takes a few writes and then no more; a log and two data files are damaged."""
    monkeypatch.setattr("pointline.lake.bucket.MOST_RETRIES", 0)
    lost = data_file(stored, DAYS[0])
    stored.write(lost, None)
    stored.write(data_file(stored, DAYS[1]), b"nothing")
    stored.write(ENTRY, None)
    before = {name: stored.read(name) for name in stored.names()}
    left = itertools.count(-after)
    store.fault = lambda method, key: (500, "InternalError") if method in {"PUT", "DELETE"} and next(left) >= 0 else None  # noqa: ARG005
    with pytest.raises(LakeError):
        mend(stored)
    store.fault = None
    mirror = stored.opened(damaged=True).mirror
    assert mirror is not None
    mirror.bucket.remove(LEASE)  # as if it had expired
    if mirror.pending() is None:
        assert {name: stored.read(name) for name in before if not name.endswith(".parquet")} == {
            name: content for name, content in before.items() if not name.endswith(".parquet")
        }
        with pytest.raises(DamageError, match="log of a table is damaged"):
            stored.opened()
        mend(stored)
    else:
        stored.forget()
        land(stored.place)  # any writer carries the commit out
    stored.forget()
    assert contents(stored.place) == contents(made)
    assert rows(stored.place).equals(rows(made))
    assert verify(stored.opened()).problems == []


def test_readers_see_the_lake_as_it_was_until_a_repair_is_stored(stored: InBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    stored.write(data_file(stored, DAYS[2]), None)
    lake, seen, original = open_lake(stored.place), [], repairs._read_again

    def look(*args: Any) -> FileReport:  # noqa: ANN401 - as the function takes them
        lake.refresh()
        seen.append(lake.listing("trades")["date"].to_list())
        return original(*args)

    monkeypatch.setattr(repairs, "_read_again", look)
    mend(stored)
    assert seen == [list(DAYS)]


def test_a_repair_and_a_writer_exclude_each_other(stored: InBucket, tmp_path: Path) -> None:
    mirror = stored.opened().mirror
    assert mirror is not None
    with mirror.repairing(), pytest.raises(BusyError):
        land(stored.place, noon_trades(tmp_path / "in", "2024-06-01", 100))
    with mirror.writing(), pytest.raises(BusyError):
        mend(stored)


def test_the_commands_name_the_object_and_mend_it(stored: InBucket) -> None:
    stored.write(ENTRY, None)
    stored.forget()
    found = run("verify", "--lake", stored.place)
    assert (found.code, found.err.count(f"{stored.place}/{ENTRY}")) == (1, 1)
    stored.forget()
    assert run("catalog", "--lake", stored.place).code == 5
    assert run("repair", "--lake", stored.place).code == 0
    stored.forget()
    assert run("verify", "--lake", stored.place).code == 0


def test_a_plan_says_what_is_wrong_and_changes_nothing(stored: InBucket, store: Server) -> None:
    lost = data_file(stored, DAYS[1])
    stored.write(lost, None)
    store.forget()
    plan = plan_repair(stored.opened(damaged=True))
    assert [problem.where for problem in plan.found.problems] == [f"{stored.place}/{lost}"]
    assert [path.name for path in plan.rereads] == ["BTCUSDT-trades-2024-05-02.zip"]
    assert store.counted().keys() <= {"GET", "HEAD"}


@pytest.mark.parametrize("content", [None, *(pytest.param(content, marks=pytest.mark.slow) for content in (b"{", b"", b"[]", b"\xff"))])
def test_a_book_that_is_lost_is_an_error_and_is_written_anew(content: bytes | None, stored: InBucket, made: Path, tmp_path: Path) -> None:
    land(stored.place, noon_trades(tmp_path / "in", "2024-06-01", 100))
    expected = contents(stored.place)
    assert len(expected) == len(contents(made)) + 1
    stored.write(".heads.json", content)
    with pytest.raises(DamageError, match="book of the lake's tables"):
        stored.opened()
    assert {problem.kind for problem in verify(stored.opened(damaged=True)).problems} & {"book", "journal"}
    if content is None:  # the record of the newest change has that of its log too
        stored.write(f"trades/_delta_log/{4:020d}.json", b"{}")
    mend(stored)
    stored.forget()
    assert contents(stored.place) == expected
    assert verify(stored.opened()).problems == []


@pytest.mark.parametrize(
    "content", [b'{"entries": {"a": 1}, "heads": ""}', *(pytest.param(content, marks=pytest.mark.slow) for content in (b"", b"{}"))]
)
def test_a_record_of_a_commit_that_cannot_be_read_stops_writers_until_a_repair(content: bytes, stored: InBucket, tmp_path: Path) -> None:
    second = noon_trades(tmp_path / "in", "2024-06-01", 100)
    land(stored.place, second)
    mirror = stored.opened().mirror
    assert mirror is not None
    (record,) = mirror.bucket.listed(".commits")
    stored.write(record, content)
    assert rows(stored.place).height == 20  # readers do without
    with pytest.raises(DamageError, match="newest change cannot be read"):
        land(stored.place, second)
    assert [problem.kind for problem in verify(stored.opened()).problems] == ["journal"]
    mend(stored)
    assert [report.outcome for report in land(stored.place, second)] == ["unchanged"]
    land(stored.place, noon_trades(tmp_path / "in", "2024-06-02", 200))
    assert rows(stored.place).height == 25
    assert manifest(stored.place).height == 5
    assert verify(stored.opened()).problems == []


def test_an_undamaged_lake_stays_as_it_is(stored: InBucket, store: Server) -> None:
    lake = stored.opened()
    store.forget()
    repair(lake, all_sources)
    assert {key.rpartition("/")[2] for method, key in store.requests if method not in {"GET", "HEAD"}} == {LEASE}
