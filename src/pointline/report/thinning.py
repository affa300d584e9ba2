"""Fewer points for the same picture: the extremes of a series stay, and so do its holes.

Time is cut into columns of equal width. Of each column the first, the last, the lowest and the highest value stay, at their own times, so
that a picture of so many pixels in width shows what all points would show (the M4 aggregation of Jugel, Jerzak, Hackenbroich and Markl
2014, doi:10.14778/2732951.2732953). Between two points that stay a line is drawn only where no hole lies between them.
"""

from __future__ import annotations

import polars as pl

_ROWS_PER_COLUMN = (4, 6, 8, 12)  # four points; with gaps there are up to twice as many rows, and all of the points may stand alone
LEAST = 36  # of three columns


def thinned(rows: pl.DataFrame, *, most: int) -> pl.DataFrame:
    """The rows to draw of a series.

    Args:
        rows: ``at`` (int64 microseconds, rising), ``value`` (float64; null and not-a-number are holes), ``apart`` (true where a hole lies
            between the row before and this one), and other columns that stay beside their value.
        most: how many rows may be drawn, those that are alone counted twice; `LEAST` or more.

    Returns:
        The columns of `rows` without ``apart``, and ``alone``: true for a value with a hole on either side, which no line shows. A row
        without a value, at the time of the next one, parts what no line may join.
    """
    usable = pl.col("value").is_finite().fill_null(value=False)
    hole = pl.col("apart").fill_null(value=False) | ~usable
    known = rows.with_columns(_run=hole.cast(pl.Int64).cum_sum()).filter(usable).drop("apart")
    drawn = _parted(known)
    for rows_per_column in _ROWS_PER_COLUMN:
        if drawn.height + int(drawn["alone"].sum()) <= most:
            break
        drawn = _parted(_extremes(known, max(1, most // rows_per_column)))
    return drawn


def _extremes(known: pl.DataFrame, columns: int) -> pl.DataFrame:
    """First, last, lowest and highest value of each column of time."""
    first, last = known["at"][0], known["at"][-1]
    column = (pl.col("at") - first) * columns // (last - first + 1)
    value, row = pl.col("value"), pl.col("_row")
    picked = (row.first(), row.last(), row.get(value.arg_min()), row.get(value.arg_max()))
    found = known.with_row_index("_row").group_by(column.alias("_column")).agg(pl.concat_list(picked).alias("_row"))
    return known[found["_row"].explode().unique().sort()]


def _parted(known: pl.DataFrame) -> pl.DataFrame:
    """The values with a row without one wherever the next belongs to another run."""
    begins = known.filter(pl.col("_run") != pl.col("_run").shift(1))
    gaps = begins.select("at", pl.lit(None, dtype=pl.Int64).alias("_run"))
    order = pl.col("_run").is_not_null()
    whole = pl.concat([known, gaps], how="diagonal").sort("at", order, maintain_order=True).drop("_run")
    beside = (pl.col("value").shift(n).is_null() for n in (1, -1))
    return whole.with_columns(alone=pl.col("value").is_not_null() & pl.all_horizontal(*beside))
