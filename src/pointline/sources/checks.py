"""Rules for the rows of a text file: which rows keep them, and what is said of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from pointline.clock import to_us
from pointline.sources.base import REJECT_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Sequence

RAW_CHARACTERS = 4_000  # as much of a line as is kept with a reject
EARLIEST_US, LATEST_US = to_us("2009-01-01"), to_us("2050-01-01")


@dataclass(frozen=True)
class Check:
    """A rule that every row has to keep.

    Attributes:
        ok: true where the row keeps it; null counts as broken.
        column: the column to name in the reject.
        value: what stood there.
        reason: why such a row is not accepted.
        fatal: as in `REJECT_SCHEMA`.
    """

    ok: pl.Expr
    column: str
    value: pl.Expr
    reason: str | pl.Expr
    fatal: bool = True


def split_rows(frame: pl.DataFrame, checks: Sequence[Check]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that keep all checks, and rejects for the others, each with the first check that it breaks.

    Args:
        frame: rows with ``source_row`` (line of the file) and ``raw`` (the line as it stood).
        checks: the rules, the most basic first.

    Returns:
        Accepted rows with the columns of `frame`; rejected ones in `REJECT_SCHEMA`. Both in the order of `frame`.
    """
    broken = pl.lit(None, dtype=pl.Int32)
    for number, check in reversed(list(enumerate(checks))):
        broken = pl.when(check.ok.fill_null(value=False)).then(broken).otherwise(pl.lit(number, dtype=pl.Int32))
    marked = frame.with_columns(broken.alias("_broken"))
    accepted = marked.filter(pl.col("_broken").is_null()).drop("_broken")
    if accepted.height == frame.height:
        return accepted, pl.DataFrame(schema=REJECT_SCHEMA)
    rejects = [
        marked.filter(pl.col("_broken") == number).select(
            line=pl.col("source_row"),
            column=pl.lit(check.column),
            value=check.value.cast(pl.String).str.slice(0, RAW_CHARACTERS),
            reason=pl.lit(check.reason) if isinstance(check.reason, str) else check.reason,
            raw=pl.col("raw").str.slice(0, RAW_CHARACTERS),
            fatal=pl.lit(check.fatal),
        )
        for number, check in enumerate(checks)
    ]
    return accepted, pl.concat(rejects).sort("line", maintain_order=True)


def number_lines(block: bytes, first_line: int = 1) -> pl.DataFrame:
    """The lines of a text as ``raw``, numbered in ``source_row``; bytes that are not UTF-8 become U+FFFD."""
    try:
        lines = pl.read_lines(block, name="raw")
    except pl.exceptions.ComputeError:
        lines = pl.read_lines(block.decode("utf-8", "replace").encode(), name="raw")
    return lines.with_columns(source_row=pl.int_range(first_line, first_line + pl.len(), dtype=pl.Int64))
