"""Times as numbers: milliseconds or microseconds, told apart by magnitude, or seconds; and the time of a CSV's rows, which may be text."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import polars as pl

from pointline.clock import SECOND_US, to_us
from pointline.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path

EARLIEST_US, LATEST_US = to_us("2009-01-01"), to_us("2050-01-01")
"""No coin traded before; a time from the end on is a damaged one, or counts in a unit that is not known."""

_UNITS = {1000: "milliseconds", 1: "microseconds"}
_TEXT_FORMAT = "%Y-%m-%d %H:%M:%S"


def is_possible(us: pl.Expr) -> pl.Expr:
    """Whether a time in microseconds lies between 2009 and 2050."""
    return us.is_between(EARLIEST_US, LATEST_US, closed="left")


def unit_us(value: pl.Expr) -> pl.Expr:
    """Microseconds per unit of whole numbers that count since 1970: 1000 or 1, told by their magnitude; null where they are no time.

    >>> pl.DataFrame({"t": [1714521600000, 1714521600000000, 7]}).select(unit_us(pl.col("t"))).to_series().to_list()
    [1000, 1, None]
    """
    found = pl.lit(None, dtype=pl.Int64)
    for unit in _UNITS:
        found = pl.when(value.is_between(EARLIEST_US // unit, LATEST_US // unit, closed="left")).then(unit).otherwise(found)
    return found


def epoch_us(value: pl.Expr) -> pl.Expr:
    """Microseconds of whole numbers in milliseconds or microseconds; null where they are neither."""
    return value * unit_us(value)


def seconds_us(value: pl.Expr) -> pl.Expr:
    """Microseconds of seconds with decimals as Float64, which holds every microsecond until 2255; null where they are no number.

    >>> pl.DataFrame({"t": [1714521600.0, 1767225600.277618]}).select(seconds_us(pl.col("t"))).to_series().to_list()
    [1714521600000000, 1767225600277618]
    """
    return (value * SECOND_US).round().cast(pl.Int64, strict=False)


class TimeUnit:
    """The unit in which one file counts time; the first time that is one decides.

    Args:
        path: the file, for the error.
        column: the time column: Int64 of milliseconds or microseconds, Float64 of seconds, or String.
    """

    def __init__(self, path: Path, column: str) -> None:
        self._path = path
        self._column = column
        self._unit: int | None = None
        self.expected = "is no time between 2009 and 2050 in milliseconds or microseconds"

    def add_event_time(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, int]:
        """Adds ``ts_event_us``, null where a time is none; also says how many microseconds the unit has.

        Args:
            frame: rows with the time column and `source_row`.

        Raises:
            SourceError: the unit changes inside the file.
        """
        if frame.schema[self._column] == pl.String:
            self.expected = "is no time between 2009 and 2050 as YYYY-MM-DD HH:MM:SS"
            read = pl.col(self._column).str.strip_chars('"').str.to_datetime(_TEXT_FORMAT, strict=False).dt.epoch("us")
            return frame.with_columns(ts_event_us=pl.when(is_possible(read)).then(read)), 1
        if frame.schema[self._column].is_float():
            self.expected = "is no time between 2009 and 2050 in seconds"
            read = seconds_us(pl.col(self._column))
            return frame.with_columns(ts_event_us=pl.when(is_possible(read)).then(read)), SECOND_US
        values = frame[self._column]
        if frame.height and not values.null_count():
            low, high = cast("int", values.min()), cast("int", values.max())
            for unit in _UNITS:
                if self._unit in (None, unit) and low * unit >= EARLIEST_US and high * unit < LATEST_US:
                    self._unit = unit
                    return frame.hstack([(values * unit).alias("ts_event_us")]), unit
        return self._row_by_row(frame)

    def _row_by_row(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, int]:
        value = pl.col(self._column)
        marked = frame.with_columns(_unit=unit_us(value))
        known = marked.filter(pl.col("_unit").is_not_null())
        if not known.is_empty():
            self._unit = self._unit or cast("int", known["_unit"][0])
            other = known.filter(pl.col("_unit") != self._unit)
            if not other.is_empty():
                raise self._mixed(self._unit, other.row(0, named=True))
        unit = self._unit or 1
        return marked.with_columns(ts_event_us=pl.when(pl.col("_unit") == unit).then(value * unit)).drop("_unit"), unit

    def _mixed(self, unit: int, row: dict[str, object]) -> SourceError:
        found = _UNITS[cast("int", row["_unit"])]
        return SourceError(
            f"times change from {_UNITS[unit]} to {found} inside the file; nothing of it was stored",
            where=f"{self._path}, line {row['source_row']}, column {self._column}",
            value=row[self._column],
            expected=f"{_UNITS[unit]}, as in the lines above",
            hint="the file was put together from two sources: download it again, or split it by unit",
        )
