"""Stores that know conditional writes in other ways, or not at all: the first is written to safely, the second is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.buckets import ENDPOINT
from tests.cli.running import run
from tests.lake.archives import land, noon_trades, rows

from pointline.errors import LakeError
from pointline.lake import bucket, open_lake
from pointline.lake.bucket import Bucket, WriteConflict
from pointline.lake.maintenance import maintain
from pointline.lake.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.buckets import Server


# These stand in front of moto; another store has its own conditions, and signatures over the headers.
pytestmark = pytest.mark.skipif(bool(ENDPOINT), reason="the store behind POINTLINE_S3_ENDPOINT is as it is")


@pytest.fixture(autouse=True)
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process has looked at no store yet."""
    monkeypatch.setattr(bucket, "_QUOTES", {})


def test_a_store_that_takes_no_quotes_is_written_to(new_url: str, store: Server, tmp_path: Path, elsewhere: Callable[[], None]) -> None:
    store.takes_quotes = False
    for number, day in enumerate(("2024-05-01", "2024-05-02", "2024-05-01")):
        land(new_url, noon_trades(tmp_path / f"in-{number}", day, 1 + 5 * number))
        elsewhere()
    assert rows(new_url)["trade_id"].to_list() == [*range(11, 16), *range(6, 11)]
    lake = open_lake(new_url)
    assert lake.mirror is not None
    with lake.mirror.writing():
        maintain(lake, 0)
    assert verify(open_lake(new_url)).problems == []
    assert not [key for key in Bucket(new_url).listed() if key.startswith(".probe")]


@pytest.mark.parametrize("takes_quotes", [True, False])
def test_a_condition_that_does_not_hold_is_a_conflict(takes_quotes: bool, new_url: str, store: Server) -> None:
    store.takes_quotes = takes_quotes
    objects = Bucket(new_url)
    first = objects.put_new("a", b"1")
    second = objects.put_over("a", b"2", first)
    with pytest.raises(WriteConflict):
        objects.put_over("a", b"3", first)
    with pytest.raises(WriteConflict):
        objects.put_new("a", b"3")
    found = objects.get("a")
    assert found is not None
    assert (found.content, objects.is_as("a", second), objects.is_as("a", first)) == (b"2", True, False)


def test_a_store_is_looked_at_once(new_url: str, store: Server) -> None:
    Bucket(new_url).put_new("a", b"1")
    assert store.counted()["PUT"] == 6
    store.forget()
    Bucket(new_url).put_new("b", b"1")
    assert store.requests == [("PUT", f"{new_url.removeprefix('s3://desk/')}/b")]


@pytest.mark.parametrize(
    ("ignored", "says"),
    [
        ({"HTTP_IF_MATCH"}, "it ignores If-Match"),
        ({"HTTP_IF_NONE_MATCH"}, "it ignores If-None-Match"),
        ({"HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH"}, "it ignores If-None-Match"),
    ],
)
def test_a_store_that_ignores_conditions_is_refused(ignored: set[str], says: str, new_url: str, store: Server, tmp_path: Path) -> None:
    """There two writers would overwrite each other's commits, and neither would know."""
    store.ignored = frozenset(ignored)
    path = noon_trades(tmp_path / "in", "2024-05-01", 1)
    with pytest.raises(LakeError, match="cannot write on a condition") as caught:
        land(new_url, path)
    for part in (store.url, new_url, says):
        assert part in str(caught.value)
    assert Bucket(new_url).listed() == {}
    assert run("ingest", path, "--lake", new_url).code == 5


def test_a_store_that_knows_conditions_on_new_objects_only_is_refused(new_url: str, store: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "MOST_RETRIES", 0)
    store.fault = lambda method, key: (412, "PreconditionFailed") if method == "PUT" and store.requests.count((method, key)) > 1 else None
    with pytest.raises(LakeError, match="refuses If-Match with the right etag"):
        Bucket(new_url).put_new("a", b"1")


@pytest.mark.parametrize("answer", [(500, "InternalError"), "reset", "late"])
def test_a_failure_while_a_store_is_looked_at_says_nothing_of_conditions(
    answer: tuple[int, str] | str, new_url: str, store: Server
) -> None:
    """Every second request fails, so that each write is repeated."""
    store.fault = lambda method, key: answer if len(store.requests) % 2 else None  # noqa: ARG005
    assert Bucket(new_url).put_new("a", b"1")
    assert list(bucket._QUOTES.values()) == [True]
