"""The time of a CSV's rows: milliseconds or microseconds, told apart by magnitude, or text."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import polars as pl

from pointline.clock import to_us
from pointline.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path

# No coin traded before 2009; a later time than this is a damaged one, or a unit that is not known.
FIRST_US = to_us("2009-01-01")
LAST_US = to_us("2050-01-01")
_SCALES = {1000: "milliseconds", 1: "microseconds"}
_TEXT_FORMAT = "%Y-%m-%d %H:%M:%S"


class TimeUnit:
    """The unit in which one file counts time; the first time that is one decides.

    Args:
        path: the file, for the error.
        column: the time column, Int64 or String.
    """

    def __init__(self, path: Path, column: str) -> None:
        self._path = path
        self._column = column
        self._scale: int | None = None
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
            return frame.with_columns(ts_event_us=pl.when(read.is_between(FIRST_US, LAST_US, closed="left")).then(read)), 1
        values = frame[self._column]
        if frame.height and not values.null_count():
            low, high = cast("int", values.min()), cast("int", values.max())
            for scale in _SCALES:
                if self._scale in (None, scale) and low * scale >= FIRST_US and high * scale < LAST_US:
                    self._scale = scale
                    return frame.hstack([(values * scale).alias("ts_event_us")]), scale
        return self._row_by_row(frame)

    def _row_by_row(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, int]:
        value = pl.col(self._column)
        own = pl.lit(None, dtype=pl.Int64)
        for scale in _SCALES:
            own = pl.when(value.is_between(FIRST_US // scale, LAST_US // scale, closed="left")).then(scale).otherwise(own)
        scaled = frame.with_columns(_scale=own)
        known = scaled.filter(pl.col("_scale").is_not_null())
        if not known.is_empty():
            self._scale = self._scale or cast("int", known["_scale"][0])
            other = known.filter(pl.col("_scale") != self._scale)
            if not other.is_empty():
                raise self._mixed(self._scale, other.row(0, named=True))
        scale = self._scale or 1
        return scaled.with_columns(ts_event_us=pl.when(pl.col("_scale") == scale).then(value * scale)).drop("_scale"), scale

    def _mixed(self, scale: int, row: dict[str, object]) -> SourceError:
        found = _SCALES[cast("int", row["_scale"])]
        return SourceError(
            f"times change from {_SCALES[scale]} to {found} inside the file; nothing of it was stored",
            where=f"{self._path}, line {row['source_row']}, column {self._column}",
            value=row[self._column],
            expected=f"{_SCALES[scale]}, as in the lines above",
            hint="the file was put together from two sources: download it again, or split it by unit",
        )
