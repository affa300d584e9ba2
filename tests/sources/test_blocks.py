"""What lies below the parsers of CSV archives: inflating, reading ahead, counting."""

from __future__ import annotations

import random
import zipfile
from typing import TYPE_CHECKING

import pytest

from pointline.sources.inflate import ahead, open_archive
from pointline.sources.separators import find_separators

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.mark.parametrize("size", [1, 1000, 4096, 1 << 20, -1])
def test_a_zip_is_read_in_pieces_of_the_size_asked_for(tmp_path: Path, size: int) -> None:
    text = b"".join(b"%d,%d\n" % (n, n * n) for n in range(3_000 if size == 1 else 200_000))
    path = tmp_path / "text.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("text.csv", text)
    with open_archive(path) as stream:
        pieces = list(iter(lambda: stream.read(size), b""))
    assert b"".join(pieces) == text
    assert {len(piece) for piece in pieces[:-1]} <= {size}


@pytest.mark.parametrize("length", [0, 1, 7, 2_047, 2_048, 2_049, 255 << 11, (255 << 11) + 1, 1_500_000])
def test_line_ends_and_commas_are_counted(length: int) -> None:
    for text in (b"," * length, b"\n" * length, bytes(random.Random(length).choices(b"\n,1\x00\xff", k=length))):  # noqa: S311 - not secrets
        assert find_separators(text, long_fields=length % 2 == 0)[:2] == (text.count(b"\n"), text.count(b","))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_items_made_ahead_keep_their_order(count: int) -> None:
    assert list(ahead(iter(range(20)), count)) == list(range(20))
    assert list(ahead(iter([]), count)) == []


@pytest.mark.parametrize("count", [1, 2, 5])
def test_what_fails_ahead_fails_where_it_would_have(count: int) -> None:
    def items() -> Iterator[int]:
        yield from range(3)
        raise ValueError("damaged")

    found = []

    def take() -> None:
        for item in ahead(items(), count):
            found.append(item)  # noqa: PERF402 - those before the failure are wanted

    with pytest.raises(ValueError, match="damaged"):
        take()
    assert found == [0, 1, 2]
