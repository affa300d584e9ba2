"""Stores that send less than an object, or what they had before: an error or the same answers, and nothing lost or doubled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest
from tests.lake.archives import land, noon_trades, rows

from pointline.errors import BusyError, DamageError, LakeError
from pointline.ingest.repair import repair
from pointline.lake import open_lake
from pointline.lake.durable import single_writer
from pointline.lake.maintenance import maintain
from pointline.lake.verify import verify
from pointline.sources.families import all_sources

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.buckets import Server

    from pointline.lake import Lake
    from pointline.lake.mirror import Mirror


SLOW = pytest.mark.slow


def maintained(lake: Lake) -> None:
    with single_writer(lake.root):
        maintain(lake, 0)


@pytest.fixture
def landed(new_url: str, tmp_path: Path, elsewhere: Callable[[], None]) -> str:
    """A lake of two days that this machine has not seen."""
    land(new_url, noon_trades(tmp_path / "in", "2024-05-01", 1), noon_trades(tmp_path / "in", "2024-05-02", 6))
    elsewhere()
    return new_url


@pytest.mark.parametrize(
    ("most", "every"), [(40, 3), (1_000, 2), *(pytest.param(most, every, marks=SLOW) for most in (0, 1, 41) for every in (2, 3, 7))]
)
def test_bodies_that_end_early_now_and_then(most: int, every: int, landed: str, store: Server) -> None:
    expected = [*range(1, 11)]
    store.cut = lambda method, key, span: most if method == "GET" and len(store.requests) % every == 0 else None  # noqa: ARG005
    for _ in range(3):
        try:
            found = rows(landed)["trade_id"].to_list()
        except LakeError:
            continue
        assert found == expected
    store.cut = None
    assert rows(landed)["trade_id"].to_list() == expected


@pytest.mark.parametrize("what", [".heads.json", "_delta_log", ".parquet", "list-type"])
def test_bodies_that_always_end_early_are_an_error(what: str, landed: str, store: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pointline.lake.bucket.MOST_RETRIES", 1)
    store.cut = lambda method, key, span: 20 if method == "GET" and what in (key or store.requests[-1][1]) else None  # noqa: ARG005
    with pytest.raises(LakeError):
        rows(landed)
    store.cut = None
    assert rows(landed).height == 10


def a_data_file(url: str) -> tuple[Path, str, Mirror, bytes]:
    """The file of a day's trades in the mirror, its key, the mirror and what the bucket has of it."""
    lake = open_lake(url)
    path = lake.partition_paths("trades", "binance-futures", "BTCUSDT", "2024-05-01")[0]
    key = path.relative_to(lake.root).as_posix()
    assert lake.mirror is not None
    found = lake.mirror.bucket.get(key)
    assert found is not None
    return path, key, lake.mirror, found.content


@pytest.mark.parametrize("size", [0, 10, 100])
def test_an_object_that_became_shorter_is_damage(size: int, landed: str) -> None:
    """Before its footer is read, and afterwards."""
    path, key, mirror, content = a_data_file(landed)
    mirror.bucket.put(key, content[:size])
    with pytest.raises(DamageError):
        mirror.parts.footer(path)
    assert mirror.bucket.tail(key, 50) == (content[:size][-50:], size)
    assert [len(part) for part in mirror.bucket.ranges(key, [(0, 40), (200, 300)])] != [40, 100]


def test_a_footer_that_cannot_be_read_is_damage_and_is_fetched_again(
    landed: str, elsewhere: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pointline.lake.parts.TAIL_BYTES", 1_000)  # so that the file is larger
    path, key, mirror, content = a_data_file(landed)
    length = int.from_bytes(content[-8:-4], "little")
    mirror.bucket.put(key, content[: -8 - length] + bytes([255]) * length + content[-8:])
    with pytest.raises(DamageError, match="damaged"):
        mirror.parts.with_columns(path, ["trade_id"])
    mirror.bucket.put(key, content)
    assert pl.read_parquet(mirror.parts.with_columns(path, ["trade_id"])[0], columns=["trade_id"])["trade_id"].to_list() == [1, 2, 3, 4, 5]
    elsewhere()
    assert rows(landed).height == 10


@pytest.mark.parametrize(
    ("act", "what"),
    [
        ("ingest", ".commits"),
        ("maintain", ".heads.json .commits"),
        *(pytest.param("ingest", what, marks=SLOW) for what in (".heads.json", ".heads.json .commits")),
        *(pytest.param(act, what, marks=SLOW) for act in ("maintain", "repair") for what in (".heads.json", ".commits")),
        pytest.param("repair", ".heads.json .commits", marks=SLOW),
    ],
)
def test_a_writer_who_is_told_what_was_before_is_busy(
    act: str, what: str, landed: str, store: Server, tmp_path: Path, elsewhere: Callable[[], None]
) -> None:
    """Each answer is one that was right before the last commit; nothing that is stored is lost."""
    again = noon_trades(tmp_path / "again", "2024-05-03", 11)
    store.records = True
    land(landed, noon_trades(tmp_path / "in", "2024-05-02", 6))  # unchanged: it looks, and writes the lease alone
    store.records = False
    elsewhere()
    land(landed, noon_trades(tmp_path / "third", "2024-05-03", 11, count=7))
    elsewhere()
    store.replays = lambda asked: any(part in asked for part in what.split())
    lake = open_lake(landed)
    acts: dict[str, Callable[[], object]] = {
        "ingest": lambda: land(landed, again),
        "repair": lambda: repair(lake, all_sources),
        "maintain": lambda: maintained(lake),
    }
    with pytest.raises(BusyError):
        acts[act]()
    store.replays = None
    elsewhere()
    assert rows(landed).height == 17
    assert verify(open_lake(landed)).problems == []
    land(landed, again)
    assert rows(landed)["trade_id"].to_list() == [*range(1, 16)]
