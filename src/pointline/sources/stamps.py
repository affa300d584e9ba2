"""Times as numbers: seconds, milliseconds or microseconds, told apart by magnitude; and the time of a CSV's rows, which may be text."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import polars as pl

from pointline.clock import to_us
from pointline.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

EARLIEST_US, LATEST_US = to_us("2009-01-01"), to_us("2050-01-01")
"""No coin traded before; a time from the end on is a damaged one, or counts in a unit that is not known."""

_UNITS = {1000: "milliseconds", 1: "microseconds"}
_DECIMAL_UNITS = {1_000_000: "seconds", **_UNITS}
_TEXT_FORMAT = "%Y-%m-%d %H:%M:%S"


def is_possible(us: pl.Expr) -> pl.Expr:
    """Whether a time in microseconds lies between 2009 and 2050."""
    return us.is_between(EARLIEST_US, LATEST_US, closed="left")


def unit_us(value: pl.Expr, units: Iterable[int] = _UNITS) -> pl.Expr:
    """Microseconds per unit of numbers that count since 1970, told by their magnitude; null where they are no time.

    Args:
        value: the numbers.
        units: microseconds of each unit that they may count in.

    >>> pl.DataFrame({"t": [1714521600000, 1714521600000000, 7]}).select(unit_us(pl.col("t"))).to_series().to_list()
    [1000, 1, None]
    """
    found = pl.lit(None, dtype=pl.Int64)
    for unit in units:
        found = pl.when(value.is_between(EARLIEST_US // unit, LATEST_US // unit, closed="left")).then(unit).otherwise(found)
    return found


def epoch_us(value: pl.Expr) -> pl.Expr:
    """Microseconds of whole numbers in milliseconds or microseconds; null where they are neither."""
    return value * unit_us(value)


def _whole_us(value: pl.Expr, unit: int) -> pl.Expr:
    """Whole microseconds of numbers, Int64 or Decimal, that count in a unit of so many; parts of a microsecond are cut off."""
    return (value * unit).cast(pl.Int64)


class TimeUnit:
    """The unit in which one file counts time; the first time that is one decides.

    Whole numbers are milliseconds or microseconds, decimals may be seconds too. What a decimal says beyond the microsecond is cut off, so
    that no row is stamped before it happened by more than that, and none after.

    Args:
        path: the file, for the error.
        column: the time column, Int64, Decimal or String.
    """

    def __init__(self, path: Path, column: str) -> None:
        self._path = path
        self._column = column
        self._unit: int | None = None
        self._units = _UNITS
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
        values = frame[self._column]
        if values.dtype.is_decimal():
            self._units = _DECIMAL_UNITS
            self.expected = "is no time between 2009 and 2050 in seconds, milliseconds or microseconds"
        if frame.height and not values.null_count():
            low, high = cast("int", values.min()), cast("int", values.max())
            for unit in self._units:
                if self._unit in (None, unit) and low * unit >= EARLIEST_US and high * unit < LATEST_US:
                    self._unit = unit
                    return frame.with_columns(ts_event_us=_whole_us(pl.col(self._column), unit)), unit
        return self._row_by_row(frame)

    def _row_by_row(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, int]:
        value = pl.col(self._column)
        marked = frame.with_columns(_unit=unit_us(value, self._units))
        known = marked.filter(pl.col("_unit").is_not_null())
        if not known.is_empty():
            self._unit = self._unit or cast("int", known["_unit"][0])
            other = known.filter(pl.col("_unit") != self._unit)
            if not other.is_empty():
                raise self._mixed(self._unit, other.row(0, named=True))
        unit = self._unit or 1
        return marked.with_columns(ts_event_us=pl.when(pl.col("_unit") == unit).then(_whole_us(value, unit))).drop("_unit"), unit

    def _mixed(self, unit: int, row: dict[str, object]) -> SourceError:
        found = self._units[cast("int", row["_unit"])]
        return SourceError(
            f"times change from {self._units[unit]} to {found} inside the file; nothing of it was stored",
            where=f"{self._path}, line {row['source_row']}, column {self._column}",
            value=row[self._column],
            expected=f"{self._units[unit]}, as in the lines above",
            hint="the file was put together from two sources: download it again, or split it by unit",
        )
