"""Where trades of an instrument are known to be missing, and which bars that spoils.

The lake knows of three kinds of holes: days without a partition; stretches inside a partition that its footer lists (``holes``, spans of
at least a second); and ids that are missing between the last trade of one partition and the first of the next. A day without trades of a
market that exists cannot be told from one that was not ingested.

A bar is spoiled where a hole overlaps ``[last price known at the end of the bar before, bucket_end)``. So a quiet bar behind a hole is
spoiled too, whose price is from before it, and the bar of the first trade behind it, whose return is the whole jump; the next is not.

That ids are missing shows with the first trade behind the hole. So a bar that ends inside a hole is marked by what came later: the one
thing in a bar that later data tell. It takes values away and gives none; for a bar that ends inside a hole and was cut off there, the
hole is a quiet time as any other, whose length is its price's age.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pointline.clock import DAY_US

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pointline.bars.amounts import Ints
    from pointline.bars.run import VenueTrades
    from pointline.lake.store import Lake, PartitionFile

_EVER_US, _NEVER_US = 0, 1 << 62


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


def holes_of(lake: Lake, venue: VenueTrades, start_us: int, end_us: int, longer_than_us: int) -> Holes:
    """The holes of an instrument's trades that bars of a window can touch, whatever the window: none is cut at its edges.

    Args:
        lake: where the trades are.
        venue: the instrument; its partitions are used where they are of the window, since their footers are read already.
        start_us, end_us: the window.
        longer_than_us: holes up to this length do not count.
    """
    files = [venue.files.get(f.start_us, f) for f in lake.files("trades", venue.instrument.exchange, venue.instrument.exchange_symbol)]
    if not files:
        return joined_holes([(_EVER_US, _NEVER_US)], longer_than_us)
    starts = [file.start_us for file in files]
    # the last price before the window's first partition is in the one before; the one behind tells which ids are missing at the end
    first, last = bisect_right(starts, start_us) - 2, bisect_left(starts, end_us) + 1
    near = files[max(first, 0) : last]
    found = [(start, end) for file in near for start, end in file.totals.get("holes", ())]
    found += [span for before, after in pairwise(near) for span in _between(before, after)]
    found += [(_EVER_US, starts[0]), (starts[-1] + DAY_US, _NEVER_US)]
    return joined_holes(found, longer_than_us)


def _between(before: PartitionFile, after: PartitionFile) -> list[tuple[int, int]]:
    """The days between two partitions, and the time from the last trade to the next where ids between them are missing."""
    days = (before.start_us + DAY_US, after.start_us)
    last, first = before.totals.get("last_id"), after.totals.get("first_id")
    if last is None or first is None or first <= last + 1:
        return [days]
    return [days, (before.totals["last_local_us"] + 1, after.totals["first_local_us"])]


def joined_holes(spans: Sequence[tuple[int, int]], longer_than_us: int) -> Holes:
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
