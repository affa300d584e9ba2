"""What lies below the parsers of CSV archives: inflating, reading ahead, counting."""

from __future__ import annotations

import random
import zipfile
from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointline.sources.exact_text import inexact
from pointline.sources.inflate import ahead, open_archive
from pointline.sources.separators import LONG_FIELD, find_separators, has_long_fraction

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
def test_separators_are_counted(length: int) -> None:
    for text in (b"," * length, b"\n" * length, bytes(random.Random(length).choices(b"\n,1\x00\xff", k=length))):  # noqa: S311 - not secrets
        for long_fields in (True, False):
            found = find_separators(text, long_fields=long_fields)
            assert found.line_ends == text.count(b"\n")
            assert found.others == sum(byte < ord("-") for byte in text) - found.line_ends


FIELDS = st.lists(st.integers(0, 20).map(lambda length: b"0" * length), min_size=1, max_size=30)


@given(fields=FIELDS, separator=st.sampled_from([b",", b"\n"]))
def test_a_field_of_17_bytes_is_found_wherever_it_stands(fields: list[bytes], separator: bytes) -> None:
    text = separator.join(fields)
    assert find_separators(text, long_fields=True).long_field == any(len(field) >= LONG_FIELD for field in fields)


@pytest.mark.parametrize("length", [16, 17, 18])
def test_a_long_field_is_found_across_pieces(length: int) -> None:
    """At every place around the end of a piece."""
    for shift in range(40):
        text = b"1,22\n" * 104_440 + b"," * shift + b"7" * length + b"\n1,2\n"
        assert find_separators(text, long_fields=True).long_field == (length >= LONG_FIELD)
        fraction = b"1,22\n" * 104_440 + b"," * shift + b"." + b"7" * length + b"\n1,2\n"
        assert has_long_fraction(fraction, LONG_FIELD - 1) == (length >= LONG_FIELD)


@given(
    fields=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 16)), min_size=1, max_size=20),
    separator=st.sampled_from([",", "\n", "\r\n"]),
)
def test_a_long_fraction_is_found_wherever_it_stands(fields: list[tuple[int, int]], separator: str) -> None:
    text = separator.join("7" * whole + ("." + "3" * decimals if decimals else "") for whole, decimals in fields)
    assert has_long_fraction(text.encode(), 12) == any(decimals > 12 for _, decimals in fields)
    assert has_long_fraction(text.encode() + b",1e-5", 12)


@given(
    digits=st.integers(1, 10**22 - 1),
    decimals=st.integers(0, 16),
    zeros=st.integers(0, 5),
    form=st.sampled_from(["plain", "scientific"]),
)
@settings(max_examples=500)
def test_a_text_is_held_exactly_or_found(digits: int, decimals: int, zeros: int, form: str) -> None:
    """What is not found inexact is, as the shortest decimal of its double, the number that was written."""
    number = Decimal(digits).scaleb(-decimals)
    text = f"{number:f}" + ("0" * zeros if decimals else "") if form == "plain" else f"{number:E}"
    for kind in (pl.Float64(), pl.Decimal(38, 12)):
        values = pl.read_csv(f"{text}\n".encode(), has_header=False, schema={"v": kind}, ignore_errors=True)["v"]
        found = inexact(values, pl.Series([text])) is not None
        if values[0] is None:
            continue
        held = values[0] if isinstance(values[0], Decimal) else Decimal(repr(values[0]))
        fits = number.normalize().as_tuple().exponent >= -12  # type: ignore[operator]
        if kind == pl.Float64 and not fits:
            assert found or held == number  # an amount of more than 12 decimals is refused when it is stored
        else:
            assert found == (held != number or not fits)


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
