"""Rows that become known one after the other, and what was known last before an instant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from pointline.research.amounts import Ints

Instants = np.ndarray[Any, np.dtype[np.int64]]


class KnownRows:
    """Rows in order of ``ts_local_us``, ties in order of arrival.

    Args:
        rows: the rows, sorted.
    """

    def __init__(self, rows: pl.DataFrame) -> None:
        self.rows = rows
        self._ts = rows["ts_local_us"].to_numpy()
        self._filled: dict[str, Ints] = {}
        self._before: dict[int, tuple[Instants, Ints]] = {}

    def last(self, column: str, instants: Instants) -> Found:
        """Where the column was last known strictly before each instant."""
        places = self._places(instants)
        return Found(self, self._filled_to(column, places), instants)

    def carried(self, column: str, places: Ints) -> pl.Series:
        """The column's last known value at or before each place; null where there is none."""
        return self.take(column, self._filled_to(column, places))

    def condensed(self) -> pl.DataFrame:
        """The rows that later instants can still find: the last known of each column, and the settlements that those carry."""
        last = np.array([self.rows.height - 1], dtype=np.int64)
        kept = {int(last[0]), *(int(self._filled_to(column, last)[0]) for column in self.rows.columns)}
        if "next_funding_us" in self.rows.columns:
            kept |= set(self._filled_to("next_funding_us", np.array(sorted(kept), dtype=np.int64)).tolist())
        return self.rows[sorted(kept - {-1})]

    def take(self, column: str, places: Ints) -> pl.Series:
        """The column at each place, null at -1."""
        values = self.rows[column]
        if not len(values):
            return pl.Series(column, [None], dtype=values.dtype).new_from_index(0, len(places))
        taken = values.gather(np.maximum(places, 0))
        return taken if places.min(initial=0) >= 0 else taken.set(pl.Series(places < 0), None)

    def times(self, places: Ints) -> Ints:
        """``ts_local_us`` at each place, anything at -1."""
        return self._ts[np.maximum(places, 0)] if len(self._ts) else np.zeros(len(places), dtype=np.int64)

    def _places(self, instants: Instants) -> Ints:
        """The last row strictly before each instant, -1 where there is none."""
        known = self._before.get(id(instants))
        if known is None:
            known = self._before[id(instants)] = (instants, np.searchsorted(self._ts, instants, side="left") - 1)
        return known[1]

    def _filled_to(self, column: str, places: Ints) -> Ints:
        """For each place the last one up to it at which the column has a value, -1 where none has."""
        missing = self.rows[column].null_count()
        if missing == 0:
            return places
        if missing == self.rows.height:
            return np.full(len(places), -1, dtype=np.int64)
        filled = self._filled.get(column)
        if filled is None:
            rows = np.where(self.rows[column].is_null().to_numpy(), -1, np.arange(self.rows.height, dtype=np.int64))
            filled = self._filled[column] = np.maximum.accumulate(rows)
        return np.where(places < 0, -1, filled[places])


@dataclass(frozen=True)
class Found:
    """Places in rows, one per instant; -1 where nothing was known."""

    known: KnownRows
    places: Ints
    instants: Instants

    def value(self, column: str) -> pl.Series:
        """The column at the places."""
        return self.known.take(column, self.places)

    def age_us(self) -> pl.Series:
        """From when it was known to the instant; null where nothing was."""
        ages = pl.Series("age_us", self.instants - self.known.times(self.places))
        return ages if self.places.min(initial=0) >= 0 else ages.set(pl.Series(self.places < 0), None)
