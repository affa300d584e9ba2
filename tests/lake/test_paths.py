"""Names as folders: every text has a path of its own inside the lake, and Delta's own reader finds the same files and values."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import polars as pl
import pytest
from deltalake import DeltaTable
from hypothesis import example, given
from hypothesis import strategies as st
from tests.lake.stores import BOTH_STORES

from pointline.errors import ConfigError, LakeError, LakeVersionError, PointlineError
from pointline.lake import open_lake
from pointline.lake.bucket import Bucket
from pointline.lake.delta_log import Change, NewFile, commit
from pointline.lake.durable import single_writer
from pointline.lake.heads import head_of, read_heads, write_heads
from pointline.lake.paths import (
    NAME_BYTES,
    check_inside,
    decode_name,
    encode_name,
    partition_folder,
    path_of,
    read_slot,
    slot_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable

DATE = "2024-05-01"
TEXT = st.text(min_size=1, max_size=120)  # any Unicode but halves of surrogate pairs
PATHY = st.text(alphabet="./\\%~ *?[]{}#'\"=_-\0\n0Aéé币", min_size=1, max_size=20)
NAMES = st.one_of(
    TEXT, PATHY, st.sampled_from(["..", ".", "../../../../x", "/etc/passwd", "%2E%2E", "~", "__HIVE_DEFAULT_PARTITION__", "a" * 300])
)


@given(name=NAMES)
@example(name="e\u0301")  # the same letter, composed in two ways: two names
@example(name="\u00e9")
def test_a_name_comes_back_from_its_text(name: str) -> None:
    text = encode_name(name)
    assert decode_name(text) == name
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-%")
    assert text.strip(".")
    assert read_slot(slot_text("trades", name, name, DATE)) == ("trades", name, name, DATE)


@given(exchange=NAMES, symbol=NAMES)
def test_a_partition_stays_inside_its_table(exchange: str, symbol: str) -> None:
    folder = PurePosixPath(partition_folder(exchange, symbol, DATE))
    assert [part.partition("=")[0] for part in folder.parts] == ["exchange", "symbol", "date"]
    assert all(len(part.encode()) <= NAME_BYTES for part in folder.parts)
    root = Path("/lake/trades")
    assert (root / folder).resolve().is_relative_to(root)
    check_inside(str(folder), root)


@given(names=st.lists(st.tuples(NAMES, NAMES), min_size=2, max_size=8, unique=True))
@example(names=[("x", "a" * 300), ("x", "a" * 301)])
@example(names=[("x", "é" * 100), ("x", "é" * 101)])
@example(names=[("x", "%"), ("x", "%25")])
def test_no_two_instruments_share_a_folder(names: list[tuple[str, str]]) -> None:
    assert len({partition_folder(*pair, DATE) for pair in names}) == len(names)


def test_plain_symbols_stand_as_they_are() -> None:
    assert partition_folder("binance-spot", "BTCUSDT_250328", DATE) == f"exchange=binance-spot/symbol=BTCUSDT_250328/date={DATE}"


@pytest.mark.parametrize("name", ["", "\ud800", "a\udfff"])
def test_what_is_no_text_is_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        encode_name(name)


@pytest.mark.parametrize("date", ["", "2024-05-01/..", "..", "2024-5-1"])
def test_a_date_is_a_date(date: str) -> None:
    with pytest.raises(ConfigError):
        partition_folder("x", "y", date)


@pytest.mark.parametrize("text", ["a b", "%2e", "%FF", "~x", "", "BTC%", "%41"])
def test_foreign_texts_are_no_names(text: str) -> None:
    with pytest.raises(LakeError):
        decode_name(text)


@given(logged=st.text(alphabet="./%2eEfF:~a", max_size=30))
def test_no_entry_of_a_log_leads_out_of_its_table(logged: str) -> None:
    folder = Path("/lake/trades")
    try:
        path = path_of(logged, folder)
    except LakeError as error:
        assert "deltalake" in str(error)  # noqa: PT017 - both outcomes are right, depending on the text
    else:
        assert (folder / path).resolve().is_relative_to(folder)


# In a folder only, as there are fifty lakes to make; the next test has the hard names over a bucket.
@given(symbols=st.lists(NAMES, min_size=1, max_size=5, unique=True))
def test_deltas_own_reader_sees_the_same_files_and_values(symbols: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    lake = open_lake(tmp_path_factory.mktemp("lakes") / "lake", create=True)
    files = []
    for symbol in symbols:
        path = f"{partition_folder('x', symbol, DATE)}/part.parquet"
        place = lake.table_path("funding") / path
        place.parent.mkdir(parents=True)
        pl.DataFrame({"source_row": [len(files)]}).write_parquet(place)
        files.append(NewFile(path, {"exchange": "x", "symbol": symbol, "date": DATE}, 1))
    commit(lake, "funding", Change(added=files))
    listed = lake.listing("funding")
    assert sorted(listed["symbol"]) == sorted(symbols)
    assert all((lake.table_path("funding") / path).is_file() for path in listed["path"])
    table = DeltaTable(str(lake.table_path("funding")))
    assert {Path(uri) for uri in table.file_uris()} == {lake.table_path("funding") / path for path in listed["path"]}
    rows = pl.DataFrame(table.to_pyarrow_table(columns=["symbol", "source_row"])).sort("source_row")
    assert rows["symbol"].to_list() == symbols
    commit(lake, "funding", Change(removed=files[:1]))  # is found by the path that it was added with
    assert sorted(lake.listing("funding")["symbol"]) == sorted(symbols[1:])


def test_any_name_is_read_back(new_url: str, elsewhere: Callable[[], None]) -> None:
    """In a bucket, by this package and by Delta's own reader: the store and its client take the object keys as they are."""
    names = ["..", "%2E%2E", "a b", "50%25", "~", "币", "a/b\\c", "x=1&y=+", "#?*", "__HIVE_DEFAULT_PARTITION__"]
    lake = open_lake(new_url, create=True)
    files = []
    for symbol in names:
        path = f"{partition_folder('x', symbol, '2024-05-01')}/part.parquet"
        place = lake.table_path("funding") / path
        place.parent.mkdir(parents=True)
        pl.DataFrame({"source_row": [len(files)]}).write_parquet(place)
        files.append(NewFile(path, {"exchange": "x", "symbol": symbol, "date": "2024-05-01"}, 1))
    with single_writer(lake.root):
        commit(lake, "funding", Change(added=files))
        head = head_of(lake.log_path("funding"), [(file.path, 1) for file in files])
        write_heads(lake.root, {**read_heads(lake.root), "funding": head})
    elsewhere()
    lake = open_lake(new_url)
    listed = lake.listing("funding")
    assert sorted(listed["symbol"]) == sorted(names)
    with lake.held():
        rows = {
            symbol: pl.read_parquet(lake.table_path("funding") / path, hive_partitioning=False).item()
            for path, _, symbol, *_ in listed.rows()
        }
    assert rows == {symbol: number for number, symbol in enumerate(names)}
    table = DeltaTable(f"{new_url}/funding", storage_options=Bucket(new_url).storage_options)
    assert dict(pl.DataFrame(table.to_pyarrow_table(columns=["symbol", "source_row"])).rows()) == rows


def broken_lake(folder: Path, path: str, symbol: str) -> Path:
    """A lake into whose log something wrote a bad partition beside a good one."""
    lake = open_lake(folder, create=True)
    good = f"{partition_folder('binance-spot', 'BTCUSDT', DATE)}/part.parquet"
    (lake.table_path("funding") / good).parent.mkdir(parents=True)
    (lake.table_path("funding") / good).write_bytes(b"")
    commit(lake, "funding", Change(added=[NewFile(good, {"exchange": "binance-spot", "symbol": "BTCUSDT", "date": DATE}, 0)]))
    add = {
        "path": path,
        "partitionValues": {"exchange": "binance-spot", "symbol": symbol, "date": DATE},
        "size": 1,
        "modificationTime": 0,
        "dataChange": True,
        "stats": '{"numRecords": 1}',
    }
    log = lake.table_path("funding") / "_delta_log" / f"{2:020d}.json"
    log.write_text(json.dumps({"add": add}) + "\n", encoding="utf-8")
    return lake.root


# In a folder only, as the next one: a log in a bucket that something else wrote to is refused before its paths are read.
@pytest.mark.parametrize("path", ["symbol=../../../../out/part.parquet", "/etc/part.parquet"])
def test_a_bad_partition_is_named_with_the_way_out(tmp_path: Path, path: str) -> None:
    root = broken_lake(tmp_path / "lake", path, "../../../../out")
    with pytest.raises(LakeError, match="outside its table") as caught:
        open_lake(root).listing("funding")
    assert caught.value.hint is not None
    DeltaTable(str(root / "funding")).delete("symbol = '../../../../out'")  # as the hint says
    assert open_lake(root).listing("funding")["symbol"].to_list() == ["BTCUSDT"]


def test_a_partition_with_a_raw_space_still_opens(tmp_path: Path) -> None:
    root = broken_lake(tmp_path / "lake", f"exchange=binance-spot/symbol=BTC%20USDT/date={DATE}/part.parquet", "BTC USDT")
    listing = open_lake(root).listing("funding").filter(pl.col("symbol") == "BTC USDT")
    assert listing["path"].to_list() == [f"exchange=binance-spot/symbol=BTC USDT/date={DATE}/part.parquet"]


@BOTH_STORES
def test_no_commit_names_a_file_outside(place: Path | str) -> None:
    lake = open_lake(place, create=True)
    with pytest.raises(LakeError, match="outside its table"):
        commit(lake, "funding", Change(added=[NewFile("../x.parquet", {"exchange": "x", "symbol": "y", "date": DATE}, 1)]))


@pytest.mark.parametrize(("version", "age"), [(1, "older"), (3, "newer")])
@BOTH_STORES
def test_lakes_of_other_formats_say_so(place: Path | str, version: int, age: str) -> None:
    text = json.dumps({"format_version": version})
    if isinstance(place, Path):
        place.mkdir()
        (place / "pointline.json").write_text(text, encoding="utf-8")
    else:
        Bucket(place).put("pointline.json", text.encode())
    with pytest.raises(LakeVersionError, match=f"written by an? {age} pointline"):
        open_lake(place)


# In a folder only: prefixes of a bucket have a rule of their own (`Bucket`).
@pytest.mark.parametrize("name", ["a%20b", "a\\b", "a\nb", "a\x7f"])
def test_places_that_the_delta_library_would_mistake_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(PointlineError, match="rename the folder"):
        open_lake(tmp_path / name / "lake", create=True)
    assert not (tmp_path / name / "lake").exists()
