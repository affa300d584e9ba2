"""Where trades of an instrument are known to be missing, and which bars that spoils.

The lake knows of three kinds of holes: days without a partition; stretches inside a partition that its footer lists (``holes``, spans of
at least a second); and ids that are missing between the last trade of one partition and the first of the next. A day without trades of a
market that exists cannot be told from one that was not ingested.

A bar is spoiled where a hole overlaps ``[last price known at the end of the bar before, bucket_end)``. So a quiet bar behind a hole is
spoiled too, whose price is from before it, and the bar of the first trade behind it, whose return is the whole jump; the next is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pointline.clock import DAY_US, day_start

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pointline.lake.store import Lake, PartitionFile
    from pointline.research.amounts import Ints
    from pointline.research.spines.run import Venue

_DENSE = 0.5  # of a partition's ids are there where they count its trades; ids that an exchange shares between markets tell nothing


@dataclass(frozen=True)
class Holes:
    """Stretches ``[start, end)`` on ``ts_local_us`` that are apart from each other, in time order.

    Attributes:
        starts, ends: microseconds UTC.
    """

    starts: Ints
    ends: Ints

    def overlap(self, from_us: Ints, until_us: Ints) -> NDArray[np.bool_]:
        """For each ``[from, until)`` whether a hole overlaps it."""
        if not len(self.starts):
            return np.zeros(len(from_us), dtype=np.bool_)
        last = np.searchsorted(self.starts, until_us) - 1  # the last hole that begins before it ends
        spoiled: NDArray[np.bool_] = (last >= 0) & (self.ends[np.maximum(last, 0)] > from_us)
        return spoiled


def holes_of(lake: Lake, venue: Venue, start_us: int, end_us: int, longer_than_us: int) -> Holes:
    """The holes of an instrument's trades between the last partition before a window and the end of its last day.

    Args:
        lake: where the trades are.
        venue: the instrument; its partitions are used where they are of the window, since their footers are read already.
        start_us, end_us: the window.
        longer_than_us: holes up to this length do not count.
    """
    instrument, end_us = venue.instrument, day_start(end_us - 1) + DAY_US
    files = [venue.files.get(f.start_us, f) for f in lake.files("trades", instrument.exchange, instrument.exchange_symbol, None, end_us)]
    first = max((place for place, file in enumerate(files) if file.start_us <= start_us), default=0)
    files = files[max(first - 1, 0) :]
    found = [(start, end) for file in files for start, end in file.totals.get("holes", ())]
    found += [span for before, after in pairwise(files) for span in _between(before, after)]
    known_us = files[0].start_us if files else end_us
    found += [(min(day_start(start_us), known_us), known_us), (files[-1].start_us + DAY_US if files else end_us, end_us)]
    return _joined(found, longer_than_us)


def _between(before: PartitionFile, after: PartitionFile) -> list[tuple[int, int]]:
    """The days between two partitions, and the time from the last trade to the next where ids between them are missing."""
    days = (before.start_us + DAY_US, after.start_us)
    if not (_counted(before) and _counted(after)) or after.totals["first_id"] <= before.totals["last_id"] + 1:
        return [days]
    return [days, (before.totals["last_local_us"] + 1, after.totals["first_local_us"])]


def _counted(file: PartitionFile) -> bool:
    """Whether ids count the trades of a partition."""
    first, last = file.totals.get("first_id"), file.totals.get("last_id")
    return first is not None and last is not None and file.rows >= _DENSE * (last - first + 1)


def _joined(spans: Sequence[tuple[int, int]], longer_than_us: int) -> Holes:
    """The union of spans that may touch or overlap, without what is short."""
    union: list[list[int]] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if union and start <= union[-1][1]:
            union[-1][1] = max(union[-1][1], end)
        else:
            union.append([start, end])
    long = np.array([span for span in union if span[1] - span[0] > longer_than_us], dtype=np.int64).reshape(-1, 2)
    return Holes(np.ascontiguousarray(long[:, 0]), np.ascontiguousarray(long[:, 1]))


class Spoiled:
    """Marks the spoiled bars of one venue, from one block of bars to the next.

    Args:
        venue: ``"perp"`` or ``"spot"``.
        holes: of its trades.
    """

    def __init__(self, venue: str, holes: Holes) -> None:
        self._name = f"{venue}_hole"
        self._last_us = pl.coalesce(f"{venue}_last_us", "bucket_end")
        self._holes = holes
        self._before_us: int | None = None

    def mark(self, bars: pl.DataFrame) -> pl.Series:
        """True for each bar that is spoiled.

        Args:
            bars: the next ones, with the time of the last trade known at their ends (``…_last_us``, null where there is none).
        """
        known = bars.select(self._last_us).to_series().to_numpy()
        before = np.empty_like(known)
        before[1:] = known[:-1]
        before[:1] = bars["bucket_start"][0] if self._before_us is None else self._before_us
        self._before_us = int(known[-1])
        return pl.Series(self._name, self._holes.overlap(before, bars["bucket_end"].to_numpy()), dtype=pl.Boolean)
