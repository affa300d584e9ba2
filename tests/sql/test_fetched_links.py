"""The names by which the engine reads files of a bucket: they lead to rows while a statement holds them, whoever makes room meanwhile."""

from __future__ import annotations

import json
import shutil
import threading
from typing import TYPE_CHECKING

import polars as pl
import pytest
from tests import buckets

from pointline.errors import ConfigError, DamageError, LakeError
from pointline.lake import open_lake
from pointline.lake.threads import UnwantedError
from pointline.sql import process
from pointline.sql.catalogue import build_catalogue, copy_catalogue, open_catalogue
from pointline.sql.fetched_links import FetchedLinks, link_scratch
from pointline.sql.guard.reads import ALWAYS, Read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pointline.lake import Lake

Place = tuple["Lake", FetchedLinks, str, "Path"]


@pytest.fixture
def place(copied: Path, store: buckets.Server) -> Iterator[Place]:  # noqa: ARG001 - the store must answer
    """A lake in a bucket, names of its files, one of these files, and its name."""
    lake = open_lake(buckets.DEMO)
    scratch = link_scratch(lake, "sql")
    assert scratch is not None
    links = FetchedLinks(lake, scratch.path / "files")
    path = f"trades/{lake.live('trades')['path'][0]}"
    ((_, name),) = links.named([("2024-05-01.parquet", f"{lake.root}/{path}")])
    yield lake, links, path, scratch.path / "files" / path
    assert name == str(scratch.path / "files" / path)
    scratch.remove()


def rows(name: Path) -> int:
    return pl.read_parquet(name, hive_partitioning=False).height


def test_a_name_leads_to_rows_while_it_is_held_by_anyone(place: Place) -> None:
    lake, links, path, name = place
    assert rows(name) == 0
    with links.held([path, path]):
        found = rows(name)
        assert found > 0
        with links.held([path]):
            assert name.samefile(lake.root / path)
        shutil.rmtree(lake.root / "trades")  # as another process that makes room
        assert rows(name) == found
        with links.held([path]):  # it is fetched again
            assert rows(name) == found
        assert rows(name) == found
    assert rows(name) == 0
    assert sorted(one.name for one in name.parent.iterdir()) == [name.name]


def test_new_names_leave_those_that_lead_to_rows(place: Place) -> None:
    lake, links, path, name = place
    with links.held([path]):
        found = rows(name)
        links.named([("2024-05-01.parquet", f"{lake.root}/{path}")])
        FetchedLinks(lake, name.parents[len(path.split("/")) - 1]).named([("x", f"{lake.root}/{path}")])  # of a later catalogue
        assert rows(name) == found > 0


def test_files_that_cannot_be_had_leave_names_without_rows(place: Place, store: buckets.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    lake, links, path, name = place
    stop = threading.Event()
    stop.set()
    shutil.rmtree(lake.root / "trades", ignore_errors=True)
    with pytest.raises(UnwantedError), links.held([path], stop):
        pass
    store.fault = lambda method, key: (403, "AccessDenied") if key.endswith(".parquet") else None  # noqa: ARG005
    with pytest.raises(LakeError, match="refuses"), links.held([path]):
        pass
    store.fault = None
    with pytest.raises(DamageError, match="missing"), links.held([path, "trades/exchange=x/symbol=y/date=2024-05-01/part-1.parquet"]):
        pass

    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr("os.link", no_links)
        with pytest.raises(ConfigError, match="hard links"), links.held([path]):
            pass
    assert rows(name) == 0
    with links.held([path]):
        assert rows(name) > 0


def test_a_file_that_goes_between_fetch_and_link_is_fetched_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    lake, links, path, name = place
    link, times = os.link, iter(range(10))

    def late(source: Path, target: str) -> None:
        if next(times) == 0:
            source.unlink()
        link(source, target)

    monkeypatch.setattr("os.link", late)
    with links.held([path]):
        assert rows(name) > 0
    monkeypatch.setattr("os.link", lambda source, target: (source.unlink(), link(source, target)))
    with pytest.raises(DamageError, match="missing"), links.held([path]):
        pass
    assert lake.root


def test_a_process_that_cannot_fetch_says_so(copied: Path, store: buckets.Server, tmp_path: Path) -> None:  # noqa: ARG001 - the store must answer
    """A catalogue whose files lead to no rows is never read as if they were all."""
    pytest.importorskip("chdb")
    process.close()  # a process has one catalogue open at a time
    lake = open_lake(buckets.DEMO)
    scratch = link_scratch(lake, "sql")
    assert scratch is not None
    built = build_catalogue(lake, tmp_path / "built", links=scratch.path / "links")
    reads = [Read("trade")]
    with built.held(reads):
        pass
    for other in (open_catalogue(tmp_path / "built"), copy_catalogue(built, tmp_path / "copy"), open_catalogue(tmp_path / "copy")):
        with pytest.raises(LakeError, match="cannot fetch"), other.held(reads):
            pass
    with pytest.raises(ConfigError, match="needs a folder for links"):
        build_catalogue(lake, tmp_path / "another")
    scratch.remove()


def test_reads_go_through_a_pipe() -> None:
    day_us = (1_714_521_600_000_000, 1_714_608_000_000_000)
    candles = Read("ohlcv", frozenset({"b", "a"}), frozenset(), ALWAYS, day_us, 60)
    for read in (Read("trade"), candles, Read("funding_rate", known_us=day_us, rows=100)):
        assert Read.of_json(json.loads(json.dumps(read.as_json()))) == read
    whole = Read("trade").as_json()
    for wrong in (
        {"relation": 1},
        {"exchanges": [1]},
        {"markets": 5},
        {"known_us": None},
        {"event_us": ["a", "b"]},
        {"minutes": True},
        {"rows": "1"},
    ):
        with pytest.raises(TypeError):
            Read.of_json({**whole, **wrong})
    for wrong in ({"known_us": [0, 1]}, {"known_us": [1, 2, 3]}, {"known_us": [ALWAYS[0], 1 << 61]}):
        with pytest.raises(ValueError, match=r"\w"):
            Read.of_json({**whole, **wrong})
    with pytest.raises(KeyError):
        Read.of_json({})
