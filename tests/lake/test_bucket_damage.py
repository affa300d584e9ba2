"""Objects of a lake in a bucket that are damaged or gone, and names of any text: an error, or the same answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.lake.test_damage import answers, clean

from pointline.errors import DamageError, PointlineError
from pointline.lake import open_lake
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
