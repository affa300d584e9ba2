"""The rows of data files: the one place that opens them, and the one that turns stored integers into amounts.

Paths are names here, never patterns: a folder called ``lake*`` or ``[1]`` is that folder.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import polars as pl

from pointline import schema
from pointline.lake.content import check_content
from pointline.lake.places import mirror_above

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pointline.lake.mirror import Mirror

_EXACT_POWER = 22  # the largest power of ten that is a double
_POWERS = np.array([10.0**decimals for decimals in range(_EXACT_POWER + 1)])
_ONE = Decimal(1)
_SCALES = ("price", "qty")


def scan_rows(
    paths: Path | Iterable[Path], columns: Sequence[str] | None = None, *, span_us: tuple[int, int] | None = None
) -> pl.LazyFrame:
    """Rows of data files as they are stored, lazily and in the order of the files.

    Args:
        paths: one file or several of one table.
        columns: those to read; all if None.
        span_us: rows whose ``ts_local_us`` lies outside may be left out, so that of a file in a bucket less is fetched.

    Raises:
        DamageError: a file is missing or damaged.
        LakeError: a bucket does not answer, or refuses.
    """
    listed = [paths] if isinstance(paths, Path) else list(paths)
    if listed and (mirror := _mirror_above(listed[0])) is not None:
        return _scan_mirrored(mirror, listed, columns, span_us)
    for path in listed:
        check_content(path)
    rows = pl.scan_parquet(listed, hive_partitioning=False, glob=False)
    return rows if columns is None else rows.select(columns)


def _mirror_above(path: Path) -> Mirror | None:
    return cast("Mirror | None", mirror_above(path))


def _scan_mirrored(mirror: Mirror, paths: Sequence[Path], columns: Sequence[str] | None, span_us: tuple[int, int] | None) -> pl.LazyFrame:
    """As `scan_rows`, of a lake in a bucket: fetches what is read of the files, and reads that."""
    if columns is None:
        return pl.scan_parquet(mirror.parts.all_whole(paths), hive_partitioning=False, glob=False)
    wanted = {*columns, "ts_local_us"} if span_us is not None else set(columns)
    mirror.parts.prefetch(paths)
    scans = []
    for path in paths:
        local, part = mirror.parts.with_columns(path, wanted, span_us)
        scan = pl.scan_parquet(local, hive_partitioning=False, glob=False)
        scans.append((scan if part is None else scan.slice(*part)).select(columns))
    return pl.concat(scans)


def read_footer(path: Path) -> dict[str, str]:
    """Key and text of what a data file's footer tells beside the rows.

    Raises:
        LakeError: a bucket does not answer, or refuses.
    """
    mirror = _mirror_above(path)
    return pl.read_parquet_metadata(path if mirror is None else mirror.parts.footer(path))


def decode_amounts(kind: str, size: Decimal = _ONE) -> list[pl.Expr]:
    """The parsed amounts of stored rows (``price``, ``qty``, ...), each the double nearest to its decimal.

    Args:
        kind: table name.
        size: by what quantities are multiplied, the base units of a linear contract for example.
    """
    amounts = schema.table(kind).amounts.items()
    return [decoded(stored, scale, size if scale == "qty" else _ONE).alias(name) for name, (stored, scale) in amounts]


def decoded(stored: str, scale: str, size: Decimal = _ONE) -> pl.Expr:
    """A column of integers that count ``10**-decimals``, as doubles.

    Args:
        stored: the column, e.g. ``price_int``.
        scale: ``"price"`` or ``"qty"``, whose column of decimals stands beside it.
        size: by what the amounts are multiplied, before they are rounded.
    """
    units, finer = _whole(size)
    powers = _POWERS[finer:]

    # NumPy divides each value; Polars multiplies by the reciprocal where the decimals are one constant, which is not exact
    def divided(columns: Sequence[pl.Series]) -> pl.Series:
        counts = columns[0].to_numpy()
        counts = counts if units == 1 else counts * float(units)
        return pl.Series(counts / powers[columns[1].to_numpy()], dtype=pl.Float64)

    columns = [pl.col(stored), pl.col(f"{scale}_decimals")]
    return pl.map_batches(columns, divided, return_dtype=pl.Float64, is_elementwise=True)


def _whole(size: Decimal) -> tuple[int, int]:
    """A decimal as a whole number of ``10**-n``, and n."""
    finer = max(0, -int(size.normalize().as_tuple().exponent))
    return int(size.scaleb(finer)), finer


def in_size(column: str, size: Decimal) -> pl.Expr:
    """A column of doubles times a decimal, rounded as the product of whole numbers over a power of ten."""
    units, finer = _whole(size)
    return pl.col(column).map_batches(
        lambda values: pl.Series(values.to_numpy() * float(units) / 10.0**finer, dtype=pl.Float64, nan_to_null=True),
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


def group_times(path: Path) -> list[tuple[int, int, int]]:
    """Rows and the first and last ``ts_local_us`` of each row group of a data file, from the file's own statistics."""
    import pyarrow.parquet as pq

    found = []
    mirror = _mirror_above(path)
    metadata = pq.read_metadata(path if mirror is None else mirror.parts.footer(path))
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        columns = [group.column(place) for place in range(group.num_columns)]
        bounds = next(column.statistics for column in columns if column.path_in_schema == "ts_local_us")
        found.append((group.num_rows, bounds.min, bounds.max))
    return found
