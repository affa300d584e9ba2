"""Objects of a lake in a bucket that are damaged or gone, and names of any text: an error, or the same answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest
from deltalake import DeltaTable
from tests.lake.test_damage import answers, clean

from pointline.errors import DamageError, PointlineError
from pointline.lake import open_lake
from pointline.lake.delta_log import Change, NewFile, commit
from pointline.lake.durable import single_writer
from pointline.lake.heads import head_of, read_heads, write_heads
from pointline.lake.paths import partition_folder
from pointline.lake.transfer import copy_lake
from pointline.lake.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pointline.lake.bucket import Bucket

__all__ = ["clean"]  # a fixture


def bucket_of(url: str) -> Bucket:
    mirror = open_lake(url).mirror
    assert mirror is not None
    return mirror.bucket


@pytest.mark.parametrize("count", [16, pytest.param(160, marks=pytest.mark.slow)])
def test_readers_never_see_less_without_an_error(count: int, clean: Path, new_url: str, elsewhere: Callable[[], None]) -> None:
    """A flipped bit of an object, half of it, or none of it, whose reader has seen nothing of the lake before."""
    told = answers(clean)
    copy_lake(clean, new_url)
    bucket = bucket_of(new_url)
    keys = [key for key in bucket.listed() if key.endswith((".parquet", ".json")) and key not in {".lease.json", "pointline.json"}]
    heard = 0
    for number in range(count):
        key = keys[number * 7 % len(keys)]
        found = bucket.get(key)
        assert found is not None
        place = number * 37 % 101 * len(found.content) // 101
        flipped = bytearray(found.content)
        flipped[place] ^= 1 << number % 8
        wrong = (bytes(flipped), found.content[:place], None)[number % 3]
        bucket.remove(key) if wrong is None else bucket.put(key, wrong)
        elsewhere()
        try:
            now: object = answers(open_lake(new_url).root)
        except PointlineError as error:
            now = error
        assert isinstance(now, PointlineError) or now == told, key
        heard += isinstance(now, PointlineError)
        bucket.put(key, found.content)
    assert heard > count / 4
    elsewhere()
    assert answers(open_lake(new_url).root) == told


def test_a_damaged_data_file_is_named(clean: Path, new_url: str, elsewhere: Callable[[], None]) -> None:
    copy_lake(clean, new_url)
    bucket = bucket_of(new_url)
    for name in ("trades", "manifest"):
        key = next(key for key in bucket.listed(name) if key.endswith(".parquet"))
        found = bucket.get(key)
        assert found is not None
        bucket.put(key, found.content[:-100] + bytes(100))
        elsewhere()
        try:
            (problem,) = verify(open_lake(new_url)).problems
        except DamageError as error:  # of the lake's own books
            assert key.rpartition("/")[2] in str(error)  # noqa: PT017 - one of both
        else:
            assert (problem.table, problem.kind) == (name, "data")
        bucket.put(key, found.content)


def test_any_name_is_read_back(new_url: str, elsewhere: Callable[[], None]) -> None:
    """By this package and by Delta's own reader, through object keys that the store and its client take as they are."""
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
        pass
    rows = {
        symbol: pl.read_parquet(lake.table_path("funding") / path, hive_partitioning=False).item() for path, _, symbol, *_ in listed.rows()
    }
    assert rows == {symbol: number for number, symbol in enumerate(names)}
    table = DeltaTable(f"{new_url}/funding", storage_options=bucket_of(new_url).storage_options)
    assert dict(pl.DataFrame(table.to_pyarrow_table(columns=["symbol", "source_row"])).rows()) == rows
