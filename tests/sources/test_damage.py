"""Archives with random damage: the same rows as the whole one, or an error or a rejected row that says so; nothing else."""

from __future__ import annotations

import gzip
import io
import random
import zipfile
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pointline.errors import SourceError
from pointline.sources import inflate, text_lines
from pointline.sources.base import Hints
from pointline.sources.binance_vision import BinanceVision

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SOURCE = BinanceVision()
PLACE = "data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2024-05-01"
DAY_MS = 1_714_521_600_000


def _text() -> bytes:
    """300 spot trades, without a header, so that a repeated piece does not show by it."""
    chance = random.Random(7)  # noqa: S311 - not secrets
    lines = []
    for number in range(1, 301):
        price, qty = 6_000_000 + chance.randrange(-500, 500), chance.randrange(1, 10**6)
        quote = f"{price * qty / 10**7:.8f}"
        maker = chance.choice(("True", "False"))
        lines.append(f"{number},{price / 100:.8f},{qty / 10**5:.8f},{quote},{DAY_MS + number * 7},{maker},True\n")
    return "".join(lines).encode()


TEXT = _text()


def _zip(method: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("BTCUSDT-trades-2024-05-01.csv", TEXT)
    return buffer.getvalue()


ARCHIVES = {
    "deflated zip": (".zip", _zip(zipfile.ZIP_DEFLATED)),
    "stored zip": (".zip", _zip(zipfile.ZIP_STORED)),
    "bzip2 zip": (".zip", _zip(zipfile.ZIP_BZIP2)),
    "lzma zip": (".zip", _zip(zipfile.ZIP_LZMA)),
    "gz": (".csv.gz", gzip.compress(TEXT, mtime=0)),
    "plain": (".csv", TEXT),
}

Damage = tuple[str, int, int, bytes]
DAMAGE = st.tuples(
    st.sampled_from(["flip", "cut", "insert", "repeat", "drop", "zeros"]),
    st.integers(0, 10**9),
    st.integers(1, 10**9),
    st.binary(min_size=1, max_size=20),
)


def damaged(content: bytes, damage: list[Damage]) -> bytes:
    """The bytes after each damage in turn; the numbers are taken modulo the length."""
    for kind, at, length, inserted in damage:
        start = at % (len(content) + 1)
        end = min(len(content), start + length % 200 + 1)
        if kind == "flip" and start < len(content):
            content = content[:start] + bytes([content[start] ^ (1 << length % 8)]) + content[start + 1 :]
        elif kind == "cut":
            content = content[:start]
        elif kind == "insert":
            content = content[:start] + inserted + content[start:]
        elif kind == "repeat":
            content = content[:end] + content[start:end] + content[end:]
        elif kind == "drop":
            content = content[:start] + content[end:]
        elif kind == "zeros":
            content = content[:start] + bytes(end - start) + content[end:]
    return content


def read(folder: Path, ending: str, content: bytes) -> tuple[pl.DataFrame, int]:
    """The rows without their line numbers, each once, and how many were rejected."""
    path = folder / f"{PLACE}{ending}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    identity = SOURCE.recognise(path, Hints())
    assert identity is not None
    batches = list(SOURCE.read(path, identity, Hints()))
    rows = pl.concat([batch.frame for batch in batches]).drop("source_row").unique(maintain_order=True)
    return rows, sum(batch.rejects.height for batch in batches)


_WHOLE: list[pl.DataFrame] = []


def whole_rows(folder: Path) -> pl.DataFrame:
    """The rows of an archive without damage, read once."""
    if not _WHOLE:
        for ending, content in ARCHIVES.values():
            rows, rejected = read(folder, ending, content)
            assert (rows.height, rejected) == (300, 0)
            _WHOLE.append(rows)
    assert all(rows.equals(_WHOLE[0]) for rows in _WHOLE)
    return _WHOLE[0]


@pytest.mark.parametrize("kind", [kind for kind in ARCHIVES if kind != "plain"])
@given(damage=st.lists(DAMAGE, min_size=1, max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_archive_gives_its_rows_or_says_so(tmp_path: Path, kind: str, damage: list[Damage]) -> None:
    ending, content = ARCHIVES[kind]
    whole = whole_rows(tmp_path)
    try:
        rows, rejected = read(tmp_path, ending, damaged(content, damage))
    except SourceError:
        return
    assert rejected or rows.equals(whole)


@given(damage=st.lists(DAMAGE, min_size=1, max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_plain_file_is_read_or_refused_and_never_breaks_the_reader(tmp_path: Path, damage: list[Damage]) -> None:
    """Without a checksum a digit may be another one; but what is accepted agrees with itself."""
    try:
        rows, _ = read(tmp_path, ".csv", damaged(TEXT, damage))
    except SourceError:
        return
    assert rows["price"].is_finite().all()
    assert (rows["price"] > 0).all()
    assert (rows["qty"] > 0).all()
    assert not any(rows[name].null_count() for name in ("trade_id", "price", "qty", "side", "ts_event_us"))


@given(at=st.integers(0, 10**9), bit=st.integers(0, 7))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_price_or_quantity_shows_in_the_quote_quantity(tmp_path: Path, at: int, bit: int) -> None:
    """A flip in one of the three that still gives a number changes no amount in silence."""
    number = at % 300
    lines = TEXT.splitlines(keepends=True)
    fields = lines[number].split(b",")
    column = 1 + at // 300 % 3
    place = at // 900 % len(fields[column])
    fields[column] = fields[column][:place] + bytes([fields[column][place] ^ (1 << bit)]) + fields[column][place + 1 :]
    lines[number] = b",".join(fields)
    whole = whole_rows(tmp_path)
    rows, rejected = read(tmp_path, ".csv", b"".join(lines))
    if not rejected:  # the quote quantity was changed by no more than its rounding, or a leading zero became a blank
        assert rows.equals(whole)


def _header_and_directory(content: bytearray) -> tuple[int, int]:
    return content.index(b"PK\x03\x04"), content.index(b"PK\x01\x02")


def _with_flag(content: bytearray) -> None:
    header, directory = _header_and_directory(content)
    content[header + 6] |= 1
    content[directory + 8] |= 1


def _with_method(method: int) -> Callable[[bytearray], None]:
    def change(content: bytearray) -> None:
        header, directory = _header_and_directory(content)
        content[header + 8] = method
        content[directory + 10] = method

    return change


METHODS = {
    "encrypted": (_with_flag, "is encrypted"),
    "deflate64": (_with_method(9), "method that is not read"),
    "AES": (_with_method(99), "method that is not read"),
    "zstd": (_with_method(93), "method that is not read"),
    "deflate said to be bzip2": (_with_method(12), "truncated or damaged"),
    "deflate said to be LZMA": (_with_method(14), "truncated or damaged"),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_zip_that_cannot_be_unpacked_says_why(tmp_path: Path, name: str) -> None:
    change, words = METHODS[name]
    content = bytearray(ARCHIVES["deflated zip"][1])
    change(content)
    with pytest.raises(SourceError, match=words) as caught:
        read(tmp_path, ".zip", bytes(content))
    assert caught.value.hint is not None


@pytest.mark.parametrize("kind", ["deflated zip", "bzip2 zip", "gz", "plain"])
def test_a_line_without_end_is_refused_before_it_is_collected(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_lines, "BLOCK_BYTES", 10_000)
    monkeypatch.setattr(text_lines, "LINE_BYTES", 50_000)
    taken = []
    plain_read = inflate.Archive.read

    def count(archive: inflate.Archive, size: int = -1) -> bytes:
        piece = plain_read(archive, size)
        taken.append(len(piece))
        return piece

    monkeypatch.setattr(inflate.Archive, "read", count)
    text = TEXT + b"7" * 3_000_000
    buffer = io.BytesIO()
    method = zipfile.ZIP_BZIP2 if kind == "bzip2 zip" else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("text.csv", text)
    content = {"gz": gzip.compress(text), "plain": text}.get(kind, buffer.getvalue())
    with pytest.raises(SourceError, match="a line is too long"):
        read(tmp_path, ARCHIVES[kind][0], content)
    assert sum(taken) < len(TEXT) + 50_000 + 2 * 10_000
    assert max(taken) <= 10_000


def test_a_long_line_that_fits_is_one_malformed_row(tmp_path: Path) -> None:
    rows, rejected = read(tmp_path, ".csv", TEXT + b"7" * 9_000_000 + b"\n" + TEXT)
    assert (rows.height, rejected) == (300, 1)
