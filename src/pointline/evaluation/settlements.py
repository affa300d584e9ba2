"""Settled funding rates, and which of them was known when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import polars as pl

from pointline import clock
from pointline.errors import ConfigError
from pointline.evaluation.premium import HOURS_OF_RATE, PER_BPS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

LAST_RATE_INTERVALS = 2
"""A payment older than this many of its intervals is not the last rate of the market."""

_LONGEST_HOURS = 24


@dataclass(frozen=True, eq=False)
class SettledRates:
    """Settled funding.

    Attributes:
        funding_us: shape (n,), when each was settled, rising.
        known_us: shape (n,), from when on each rate was known, not before it was settled.
        rate_bps: shape (n,), basis points per 8 hours.
        interval_us: shape (n,), how long the interval was that each closed.
    """

    funding_us: Ints
    known_us: Ints
    rate_bps: Floats
    interval_us: Ints

    @classmethod
    def of(cls, settlements: pl.DataFrame) -> Self:
        """The settlements of a frame.

        Args:
            settlements: ``funding_us``, ``known_us`` (µs UTC, integers), ``rate`` (a fraction per interval) and ``interval_hours``.

        Raises:
            ConfigError: a column is missing, a value is missing, infinite or in the wrong unit, or the order is another one.
        """
        kinds = {"funding_us": pl.Int64(), "known_us": pl.Int64(), "rate": pl.Float64(), "interval_hours": pl.Float64()}
        for name, dtype in kinds.items():
            if settlements.schema.get(name) != dtype:
                raise ConfigError(
                    f"the settlements have no {name}", where="settlements", value=settlements.schema.get(name), expected=str(dtype)
                )
            column = settlements[name]
            if column.null_count() or (dtype == pl.Float64() and not column.is_finite().all()):
                raise ConfigError(f"{name} of a settlement is not known", where=f"settlements, column {name}", expected="no missing values")
        funding, known = (settlements[name].to_numpy() for name in ("funding_us", "known_us"))
        hours, rate = (settlements[name].to_numpy() for name in ("interval_hours", "rate"))
        _refuse(np.diff(funding, prepend=-1) <= 0, funding, "the settlements are not in the order of time, or one is given twice")
        _refuse(
            (known < funding) | (np.diff(known, prepend=-1) < 0), known, "a rate is known before it was settled, or before an earlier one"
        )
        _refuse((hours <= 0) | (hours > _LONGEST_HOURS), hours, "a funding interval is not between 0 and 24 hours")
        _refuse(np.abs(rate) >= 1, rate, "a rate is no fraction; 1 bp is 0.0001")
        interval = np.rint(hours * clock.HOUR_US).astype(np.int64)
        return cls(funding, known, rate * PER_BPS * HOURS_OF_RATE / hours, interval)

    def __len__(self) -> int:
        return len(self.funding_us)

    @property
    def interval_hours(self) -> Floats:
        """Shape (n,), the interval of each in hours."""
        return self.interval_us / clock.HOUR_US

    def last_known(self, at_us: Ints) -> Floats:
        """Shape of ``at_us``: the last rate that was known strictly before each moment, NaN where that is old."""
        place = np.searchsorted(self.known_us, at_us, side="left") - 1
        age = at_us - self.funding_us[place]
        fresh = (place >= 0) & (age <= LAST_RATE_INTERVALS * self.interval_us[place])
        return np.where(fresh, self.rate_bps[place], np.nan)

    def intervals_at(self, at_us: Ints) -> tuple[Ints, Ints]:
        """The settlement that ends the interval of each moment, and that interval's start; -1 where the moment lies in none."""
        place = np.searchsorted(self.funding_us, at_us, side="left")
        inside = place < len(self)
        ending = np.minimum(place, len(self) - 1)
        start = self.funding_us[ending] - self.interval_us[ending]
        return np.where(inside & (at_us > start), ending, -1), start


def _refuse(wrong: NDArray[np.bool_], values: Ints | Floats, what: str) -> None:
    places = np.flatnonzero(wrong)
    if len(places):
        raise ConfigError(what, where=f"settlements, row {places[0]}", value=values[places[0]].item())
