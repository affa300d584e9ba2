"""The rows of data files: the one place that opens them, and the one that turns stored integers into amounts.

Paths are names here, never patterns: a folder called ``lake*`` or ``[1]`` is that folder.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pointline import schema
from pointline.lake.content import check_content

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_DECIMALS = 12
_POWERS = np.array([10.0**decimals for decimals in range(MAX_DECIMALS + 1)])
_SCALES = ("price", "qty")


def scan_rows(paths: Path | Iterable[Path], columns: Sequence[str] | None = None) -> pl.LazyFrame:
    """Rows of data files as they are stored, lazily and in the order of the files.

    Args:
        paths: one file or several of one table.
        columns: those to read; all if None.

    Raises:
        DamageError: a file is missing or damaged.
    """
    listed = [paths] if isinstance(paths, Path) else list(paths)
    for path in listed:
        check_content(path)
    rows = pl.scan_parquet(listed, hive_partitioning=False, glob=False)
    return rows if columns is None else rows.select(columns)


def decode_amounts(kind: str) -> list[pl.Expr]:
    """The parsed amounts of stored rows (``price``, ``qty``, ...), each the double nearest to its decimal."""
    return [decoded(stored, scale).alias(name) for name, (stored, scale) in schema.table(kind).amounts.items()]


def decoded(stored: str, scale: str) -> pl.Expr:
    """A column of integers that count ``10**-decimals``, as doubles.

    Args:
        stored: the column, e.g. ``price_int``.
        scale: ``"price"`` or ``"qty"``, whose column of decimals stands beside it.
    """
    # NumPy divides each value; Polars multiplies by the reciprocal where the decimals are one constant, which is not exact
    return pl.map_batches(
        [pl.col(stored), pl.col(f"{scale}_decimals")],
        lambda columns: pl.Series(columns[0].to_numpy() / _POWERS[columns[1].to_numpy()], dtype=pl.Float64),
        return_dtype=pl.Float64,
        is_elementwise=True,
    )


def decode_frame(frame: pl.DataFrame, kind: str) -> pl.DataFrame:
    """Stored rows with the columns that a source parsed: amounts as doubles, their integers and decimals gone."""
    amounts = schema.table(kind).amounts
    if not amounts:
        return frame
    dropped = [*(stored for stored, _ in amounts.values()), *(f"{scale}_decimals" for scale in _SCALES)]
    return frame.with_columns(decode_amounts(kind)).drop(dropped)


def decode_one(count: int | str, decimals: int) -> Decimal:
    """One stored integer as the decimal that it counts."""
    return Decimal(count).scaleb(-decimals)
