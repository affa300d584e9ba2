"""Text in pieces of whole lines, at bounded memory, and the numbers of its lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

BLOCK_BYTES = 8 << 20
LINE_BYTES = 16 << 20  # no file of market data has a longer line


def whole_lines(pieces: Iterable[bytes], long_line: Callable[[bytes], bytes]) -> Iterator[bytes]:
    """The text in blocks of whole lines, each of about `BLOCK_BYTES`; the last one may end inside a line.

    Args:
        pieces: the text, cut anywhere, in pieces of up to `BLOCK_BYTES`.
        long_line: what stands for a line of which more than `LINE_BYTES` came, without its line end, given the bytes that came. It may
            raise instead. The rest of the line is passed over.
    """
    block: list[bytes | memoryview] = []
    block_bytes = 0
    line: list[bytes] = []  # the line that has not ended yet
    line_bytes = 0
    cut_short = False
    for piece in pieces:
        first = piece.find(b"\n")
        if not cut_short and line_bytes + (len(piece) if first < 0 else first) > LINE_BYTES:
            line = [long_line(b"".join([*line, piece if first < 0 else piece[:first]]))]
            line_bytes, cut_short = len(line[0]), True
        if cut_short and first < 0:
            continue
        text = piece[first:] if cut_short else piece
        cut_short = False
        cut = text.rfind(b"\n") + 1
        if not cut:
            line.append(text)
            line_bytes += len(text)
            continue
        block += [*line, memoryview(text)[:cut]]
        block_bytes += line_bytes + cut
        line = [text[cut:]] if cut < len(text) else []
        line_bytes = len(text) - cut
        if block_bytes + line_bytes >= BLOCK_BYTES:
            yield b"".join(block)
            block, block_bytes = [], 0
    if block or line:
        yield b"".join([*block, *line])


def number_lines(block: bytes, first_line: int = 1) -> pl.DataFrame:
    """The lines of a text as ``raw``, numbered in ``source_row``; bytes that are not UTF-8 become U+FFFD."""
    try:
        lines = pl.read_lines(block, name="raw")
    except pl.exceptions.ComputeError:
        lines = pl.read_lines(block.decode("utf-8", "replace").encode(), name="raw")
    return lines.with_columns(source_row=pl.int_range(first_line, first_line + pl.len(), dtype=pl.Int64))
