"""What the rows of a feed said last of each column, strictly before given instants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Values = NDArray[Any]

NEVER = -(1 << 62)
"""The time, and the settlement, of what is not known."""

NO_AGE_US = 1 << 61
"""Ages from here on belong to what is not known."""

SETTLEMENT = "next_funding_us"
RATES = ("funding_rate", "predicted_funding_rate")


@dataclass(frozen=True)
class Known:
    """The last known values of one column at each of some instants.

    Attributes:
        values: not-a-number (floats) or `NEVER` (integers) where nothing was known.
        times: from when on the value was known; `NEVER` where none was.
        settles: of rates, the settlement that the row spoke of, its own or the last one known while that lay ahead; else `NEVER`.
        settles_times: from when on that settlement was known.
    """

    values: Values
    times: Ints
    settles: Ints
    settles_times: Ints

    @classmethod
    def nothing(cls, dtype: pl.DataType, count: int) -> Known:
        """Nothing known at any of `count` instants."""
        never = np.full(count, NEVER)
        return cls(np.full(count, np.nan) if dtype == pl.Float64 else never, never, never, never)

    @classmethod
    def joined(cls, parts: Sequence[Known]) -> Known:
        """The instants of all parts, one after the other."""
        if len(parts) == 1:
            return parts[0]
        columns = zip(*((part.values, part.times, part.settles, part.settles_times) for part in parts), strict=True)
        return cls(*(np.concatenate(column) for column in columns))

    def repeated(self, count: int) -> Known:
        """One instant's, `count` times."""
        return Known(*(np.repeat(column, count) for column in (self.values, self.times, self.settles, self.settles_times)))

    def settles_at(self, instants: Ints) -> Ints:
        """The settlement of which the last row before each instant spoke; the instant itself where none is known."""
        return np.where(self.settles == NEVER, instants, self.settles)

    def or_later(self, other: Known) -> Known:
        """Of this and another column the value that was known last; the other's where both came at once."""
        mine = self.times > other.times
        if not mine.any():
            return other
        return Known(np.where(mine, self.values, other.values), np.where(mine, self.times, other.times), other.settles, other.settles_times)

    def not_older(self, instants: Ints, limit_us: int) -> Known:
        """Without what is older than the limit, which is then as if it had never been known."""
        oldest = instants - limit_us
        gone, unsettled = self.times < oldest, self.settles_times < oldest
        if not (gone.any() or unsettled.any()):
            return self
        missing = np.nan if self.values.dtype.kind == "f" else NEVER
        settles = np.where(unsettled, NEVER, self.settles)
        return Known(np.where(gone, missing, self.values), np.where(gone, NEVER, self.times), settles, self.settles_times)


class Rows:
    """Rows of one feed.

    Args:
        frame: ``ts_local_us`` and columns of numbers; in any order, rows of one time in order of arrival.
    """

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame if frame["ts_local_us"].is_sorted() else frame.sort("ts_local_us", maintain_order=True)
        self._arrays: dict[str, Values] = {}
        self._filled: dict[str, Ints] = {}
        self.times: Ints = self._frame["ts_local_us"].to_numpy()
        self.columns = tuple(name for name in frame.columns if name != "ts_local_us")

    def places(self, instants: Ints) -> Ints:
        """The last row strictly before each instant, -1 where there is none."""
        return np.searchsorted(self.times, instants, side="left") - 1

    def end(self) -> Ints:
        """The place of the last row."""
        return np.array([len(self.times) - 1], dtype=np.int64)

    def values(self, column: str) -> Values:
        """The column, unknown values as in `Known`."""
        found = self._arrays.get(column)
        if found is None:
            series = self._frame[column]
            plain = series.dtype == pl.Float64 or not series.null_count()
            found = (series if plain else series.fill_null(NEVER)).to_numpy()
            self._arrays[column] = found
        return found

    def tells_nothing(self, column: str) -> bool:
        """Whether the column is null throughout."""
        return self._frame[column].null_count() == len(self.times)

    def last(self, column: str, places: Ints) -> Ints:
        """For each place the last one up to it at which the column is known, -1 where it is not."""
        if self.tells_nothing(column):
            return np.full(len(places), -1)
        values = self.values(column)
        if not _unknown(values[places]).any():
            return places
        filled = self._filled.get(column)
        if filled is None:
            filled = np.maximum.accumulate(np.where(_unknown(values), -1, np.arange(len(values))))
            self._filled[column] = filled
        return np.where(places < 0, -1, filled[places])


class Memory:
    """What a feed's rows so far said last of each column, and how that goes on over the rows that follow.

    A feed is a table with empty cells, read a file at a time. What is known of a column at an instant is its last filled cell before it:
    among the rows at hand where there is one, else in the memory, which holds the last filled cell of all rows before these.

    Args:
        columns: names and types.
    """

    def __init__(self, columns: dict[str, pl.DataType]) -> None:
        self._last = {name: Known.nothing(dtype, 1) for name, dtype in columns.items()}

    def add(self, rows: Rows) -> None:
        """Rows later than all before; what they do not tell of stays."""
        self._last |= self._at(rows, rows.end(), rows.columns)

    def at(self, rows: Rows, instants: Ints) -> dict[str, Known]:
        """The columns at instants after all rows so far and before those that follow `rows`."""
        return self._at(rows, rows.places(instants), self._last)

    def _at(self, rows: Rows, places: Ints, columns: Iterable[str]) -> dict[str, Known]:
        return {name: self._column(rows, places, name) for name in columns}

    def _column(self, rows: Rows, places: Ints, name: str) -> Known:
        """A column at places among the rows, -1 for the time before the first of them."""
        remembered = self._last[name]
        if rows.tells_nothing(name):
            return remembered.repeated(len(places))
        tellers = rows.last(name, places)
        values = _taken(rows.values(name), tellers, remembered.values)
        times = _taken(rows.times, tellers, remembered.times)
        if name not in RATES or SETTLEMENT not in self._last:
            return Known(values, times, times, times)
        return Known(values, times, *self._settlements(rows, tellers, times, remembered))

    def _settlements(self, rows: Rows, tellers: Ints, times: Ints, remembered: Known) -> tuple[Ints, Ints]:
        """The settlement of which the rows that told a rate spoke, and since when it was known.

        It is the row's own. A row that gives none speaks of the last one that was given before it, unless that had passed when the row
        came. A remembered rate keeps the settlement that is remembered with it.

        Args:
            rows: the rows at hand.
            tellers: which of them told the rate, -1 where the rate is remembered.
            times: when the rate was told.
            remembered: the rate of the rows before.
        """
        givers = rows.last(SETTLEMENT, tellers)
        earlier = self._last[SETTLEMENT]
        settles = _taken(rows.values(SETTLEMENT), givers, earlier.values)
        since = _taken(rows.times, givers, earlier.times)
        spoken_of = (givers == tellers) | (settles > times)
        told_here = tellers >= 0
        if spoken_of.all() and told_here.all():
            return settles, since
        settles = np.where(told_here, np.where(spoken_of, settles, NEVER), remembered.settles)
        return settles, np.where(told_here, since, remembered.settles_times)


def _taken(values: Values, places: Ints, before: Values) -> Values:
    """The values at the places, `before` at -1."""
    missing = places < 0
    taken = values[places]
    return np.where(missing, before, taken) if missing.any() else taken


def _unknown(values: Values) -> NDArray[np.bool_]:
    return np.isnan(values) if values.dtype.kind == "f" else values == NEVER
