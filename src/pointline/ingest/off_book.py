"""Which trades were printed away from the book: isolated against what was traded before and right after them.

Exchanges publish transfers of their insurance fund and the like among the trades, at prices at which nobody could trade. A stream marks
them, an archive drops the mark. The rule restores it from the prints alone and reads no further than the next group of them:

1. The prints of one exchange time are one group. The distance of two prices is ``2 (b - a) / (a + b)``: the log of their ratio but for
   terms of third order, and the same on every machine.
2. A group is off-book where all its prints have one price, and that lies away from the last price of the group before and from the first
   price of the group after, in one direction and by more than the limit: the largest of 1 %, three ticks, and eight times the mean move
   from last price to last price over the 50 groups before.
3. Those two neighbours lie within half the limit of each other, and no print of the last 500 groups lies within a quarter of it.

The tick is the smallest step from print to print in those 500 groups; where their price never changed, it is the unit of the last decimal,
or its two- or fivefold where all prices are multiples of that. A group with fewer than ten before it is never off-book, neither is the last
one. A flagged group is a neighbour of later ones as any other is: a second print at its price is not isolated.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]

LEAST = 0.01
TICKS = 3.0
MOVES = 8.0
MOVE_GROUPS = 50
RECENT_GROUPS = 500
GROUPS_BEFORE = 10
BLOCK = 4096  # rows whose steps are looked at only where their prices lie far enough apart
MOVE_UNIT = 2.0**-40  # moves are added up as integers, so their sum does not depend on where it began


def flag_off_book(trades: pl.DataFrame) -> pl.DataFrame:
    """Parsed trades with ``off_book`` filled where the source did not say.

    Args:
        trades: all rows of one partition of one file, in time order; single and aggregated trades are judged apart.
    """
    single = trades["first_trade_id"].is_null()
    if single.all() or not single.any():
        return OffBook().judge(trades, last=True)
    numbered = trades.with_row_index("_row")
    parts = [OffBook().judge(numbered.filter(chosen), last=True) for chosen in (single, ~single)]
    return pl.concat(parts).sort("_row").drop("_row")


class OffBook:
    """Judges one partition of one file in pieces; how the rows are cut changes no flag.

    What the source says of a row stays. A row that it calls off-book is no neighbour of others, and a group with a row that it calls
    usual is not flagged.
    """

    def __init__(self) -> None:
        self._recent = _Prints(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0, dtype=np.bool_))  # ends with the open group
        self._open = 0  # where that begins
        self.withheld: list[pl.DataFrame] = []

    def judge(self, trades: pl.DataFrame, *, last: bool = False) -> pl.DataFrame:
        """Takes the next rows and returns, in order, those of which the flag is known; the others are `withheld`, as they came.

        A row is withheld only while it may be flagged, that is until the time after it has begun.

        Args:
            trades: parsed rows, not before those taken already.
            last: no more rows come, so none is withheld.
        """
        rows = pl.concat([*self.withheld, trades])
        said = rows["off_book"]
        prints = self._recent.followed_by(_Prints.of(trades))
        starts = np.concatenate([[0], np.flatnonzero(prints.times[1:] != prints.times[:-1]) + 1])
        flags = _flags(prints, starts, self._open)
        count = rows.height if said.null_count() == rows.height else rows.height - int(said.sum() or 0)
        flags = flags[len(flags) - count :]
        cut = count if last or not _may_be_flagged(prints, starts) else count - (len(prints.times) - int(starts[-1]))
        if count < rows.height:
            places = np.flatnonzero((~said.fill_null(value=False)).to_numpy())
            cut = int(places[cut]) if cut < count else rows.height
            spread = np.zeros(rows.height, dtype=np.bool_)
            spread[places] = flags
            flags = spread
        kept = int(starts[max(0, len(starts) - 1 - RECENT_GROUPS)])
        self._recent, self._open = prints.after(kept), int(starts[-1]) - kept
        self.withheld = [rows[cut:]] if cut < rows.height else []
        return rows[:cut].with_columns(_filled(said[:cut], flags[:cut]))


def _filled(said: pl.Series, flags: Flags) -> pl.Series:
    found = pl.Series("off_book", flags, dtype=pl.Boolean)
    return found if said.null_count() == len(said) else said.zip_with(said.is_not_null(), found)


@dataclass(frozen=True)
class _Prints:
    """Prints in time order: exchange times, prices, and whether the source leaves open what each is."""

    times: Integers
    prices: Floats
    unsaid: Flags

    @classmethod
    def of(cls, trades: pl.DataFrame) -> _Prints:
        """Those that their source does not call off-book."""
        said = trades["off_book"]
        if said.null_count() < trades.height:
            trades = trades.filter(~said.fill_null(value=False))
        times = trades["ts_event_us"]
        if times.null_count():
            times = times.fill_null(trades["ts_local_us"])
        return cls(times.to_numpy(), trades["price"].to_numpy(), trades["off_book"].is_null().to_numpy())

    def followed_by(self, more: _Prints) -> _Prints:
        """These and then those."""
        return _Prints(
            np.concatenate([self.times, more.times]),
            np.concatenate([self.prices, more.prices]),
            np.concatenate([self.unsaid, more.unsaid]),
        )

    def after(self, row: int) -> _Prints:
        """A copy of the rows from one on."""
        return _Prints(self.times[row:].copy(), self.prices[row:].copy(), self.unsaid[row:].copy())


def _distance(a: Floats, b: Floats) -> Floats:
    return 2.0 * (b - a) / (a + b)


def _may_be_flagged(prints: _Prints, starts: Integers) -> bool:
    """Whether the open group may turn out to be off-book once the next one is known."""
    start = int(starts[-1])
    if len(starts) <= GROUPS_BEFORE:
        return False
    prices = prints.prices[start - 1 :]
    return bool(abs(_distance(prices[0], prices[1])) > LEAST and (prices[1:] == prices[1]).all() and prints.unsaid[start:].all())


def _flags(prints: _Prints, starts: Integers, begin: int) -> Flags:
    """The flag of each print from row `begin` on, where a group begins; earlier ones only tell what was traded before."""
    flags = np.zeros(len(prints.prices), dtype=np.bool_)
    for group, limit in _candidates(prints, starts, begin):
        first, end = int(starts[group]), int(starts[group + 1])
        price, before, after = prints.prices[first], prints.prices[first - 1], prints.prices[end]
        recent = prints.prices[starts[max(0, group - RECENT_GROUPS)] : first]
        allowed = max(limit, TICKS * _tick(recent, price, after) / before)
        flags[first:end] = (
            min(abs(_distance(before, price)), abs(_distance(after, price))) > allowed
            and abs(_distance(before, after)) <= allowed / 2
            and not (np.abs(_distance(recent, price)) <= allowed / 4).any()
        )
    return flags


def _candidates(prints: _Prints, starts: Integers, begin: int) -> list[tuple[int, float]]:
    """Groups that look away from both neighbours, with their limit but for the tick; nearly always there are none."""
    prices = prints.prices
    jumps = _jumps(prices, max(begin, 1))
    if not len(jumps):
        return []
    groups = np.searchsorted(starts, jumps)
    groups = groups[(groups >= GROUPS_BEFORE) & (groups < len(starts) - 1)]
    groups = groups[np.isin(starts[groups], jumps)]
    first, end = starts[groups], starts[groups + 1]
    to_before, to_after = _distance(prices[first - 1], prices[first]), _distance(prices[end], prices[end - 1])
    least = np.minimum(np.abs(to_before), np.abs(to_after))
    changes, said = np.flatnonzero(prices[1:] != prices[:-1]), np.flatnonzero(~prints.unsaid)
    chosen = (
        ((to_before > 0) == (to_after > 0))
        & (least > LEAST)
        & (np.abs(_distance(prices[first - 1], prices[end])) <= least / 2)
        & (np.searchsorted(changes, first) == np.searchsorted(changes, end - 1))
        & (np.searchsorted(said, first) == np.searchsorted(said, end))
    )
    groups, least = groups[chosen], least[chosen]
    if not len(groups):
        return []
    limits = np.maximum(LEAST, MOVES * _mean_moves(prices[starts[1:] - 1], groups))
    return [(int(group), float(limit)) for group, limit in zip(groups[least > limits], limits[least > limits], strict=True)]


def _jumps(prices: Floats, begin: int) -> Integers:
    """The rows from `begin` on that lie further than `LEAST` from the row before."""
    starts = np.arange(begin - 1, len(prices) - 1, BLOCK)
    if not len(starts):
        return starts
    ends = np.minimum(starts + BLOCK, len(prices) - 1)
    low = np.minimum(np.minimum.reduceat(prices, starts), prices[ends])
    high = np.maximum(np.maximum.reduceat(prices, starts), prices[ends])
    found = []
    for block in np.flatnonzero(_distance(low, high) > LEAST * 0.999):  # a step is no longer than the block's range, but for rounding
        rows = prices[starts[block] : ends[block] + 1]
        found.append(np.flatnonzero(np.abs(_distance(rows[:-1], rows[1:])) > LEAST) + starts[block] + 1)
    return np.concatenate(found) if found else starts[:0]


def _mean_moves(lasts: Floats, groups: Integers) -> Floats:
    """For each of these groups, the mean distance from last price to last price over the `MOVE_GROUPS` before it.

    Args:
        lasts: the last price of each group.
        groups: positions in it, two or more.
    """
    moves = np.rint(np.abs(_distance(lasts[:-1], lasts[1:])) / MOVE_UNIT).astype(np.int64)
    total = np.concatenate([[0], np.cumsum(moves)])
    since = np.maximum(groups - 1 - MOVE_GROUPS, 0)
    means: Floats = (total[groups - 1] - total[since]) * MOVE_UNIT / (groups - 1 - since)
    return means


def _tick(recent: Floats, *more: float) -> float:
    """The smallest step from print to print; where there was none, what the price's digits suggest."""
    steps = np.abs(np.diff(recent))
    steps = steps[steps > 0]
    return float(steps.min()) if len(steps) else _unit(float(recent[-1]), *map(float, more))


def _unit(*prices: float) -> float:
    """The unit of their last decimal, times five or two where all prices are multiples of that; one for whole numbers."""
    exact = [Decimal(repr(price)) for price in prices]
    decimals = max(-int(price.normalize().as_tuple().exponent) for price in exact)
    if decimals <= 0:
        return 1.0
    counts = [int(price.scaleb(decimals)) for price in exact]
    return next(multiple for multiple in (5, 2, 1) if not any(count % multiple for count in counts)) / 10.0**decimals
