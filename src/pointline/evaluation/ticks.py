"""Trades as series of log prices: one price per stamp, cut to a common window, on a grid, and thinned to a null without any lead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import polars as pl

from pointline import clock
from pointline.errors import ConfigError

if TYPE_CHECKING:
    Ints: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
    Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
    Mask: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]

MAX_GAP_US = clock.MINUTE_US
"""A silence of one side longer than this is a gap: what the price did across it is not counted."""

_MOST_POINTS = 5_000_000


@dataclass(frozen=True, eq=False)
class Ticks:
    """The prices of one market, one per stamp.

    Attributes:
        ts_us: int64 microseconds, strictly rising.
        log_price: float64, the last price of each stamp; only its changes mean anything.
        gaps: how many changes were left out because they reach over a silence.
    """

    ts_us: Ints
    log_price: Floats
    gaps: int = 0

    def __len__(self) -> int:
        return len(self.ts_us)

    @property
    def changes(self) -> int:
        """How often the price changed from one stamp to the next."""
        return int(np.count_nonzero(np.diff(self.log_price)))

    @property
    def variance(self) -> float:
        """Sum of the squared changes."""
        return float(np.square(np.diff(self.log_price)).sum())

    def between(self, start_us: int, end_us: int) -> Ticks:
        """The ticks in ``[start_us, end_us)`` and the one before, which is the price at the start."""
        first = max(int(np.searchsorted(self.ts_us, start_us, side="right")) - 1, 0)
        behind = int(np.searchsorted(self.ts_us, end_us))
        return Ticks(self.ts_us[first:behind], self.log_price[first:behind])

    def without_gaps(self, max_gap_us: int) -> Ticks:
        """The same ticks, with the price standing still across each silence longer than `max_gap_us`."""
        silent = np.diff(self.ts_us) > max_gap_us
        if not silent.any():
            return self
        changes = np.where(silent, 0.0, np.diff(self.log_price))
        return Ticks(self.ts_us, np.concatenate(([0.0], np.cumsum(changes))), int(silent.sum()))

    def at(self, stamps_us: Ints) -> Floats:
        """The last price at or before each stamp, of which none is earlier than the first tick."""
        return self.log_price[np.searchsorted(self.ts_us, stamps_us, side="right") - 1]


def ticks_of(trades: pl.DataFrame, *, name: str, include_off_book: bool = False) -> Ticks:
    """The ticks of a frame of trades.

    Args:
        trades: ``ts_local_us`` (int64, sorted) and ``price`` (above zero); where there is an ``off_book``, the prints that it flags are
            left out.
        name: what the frame is, for errors.
        include_off_book: count flagged prints too.

    Raises:
        ConfigError: no frame of polars, a missing column, unsorted times, or a price that is none.
    """
    if not isinstance(trades, pl.DataFrame):
        raise ConfigError(f"{name} is not a polars frame", value=type(trades).__name__, expected="a polars DataFrame of trades")
    missing = [column for column in ("ts_local_us", "price") if column not in trades.columns]
    if missing:
        raise ConfigError(
            f"{name} lacks columns", value=missing, expected="ts_local_us and price", hint=f"it has {', '.join(trades.columns)}"
        )
    rows = trades if include_off_book or "off_book" not in trades.columns else trades.filter(~pl.col("off_book").fill_null(value=False))
    stamps, prices = rows["ts_local_us"], rows["price"].cast(pl.Float64)
    if not stamps.dtype.is_integer() or stamps.null_count() or not stamps.is_sorted():
        raise ConfigError(
            f"the times of {name} are not sorted integers",
            where="ts_local_us",
            value=str(stamps.dtype),
            expected="int64 microseconds UTC, sorted",
        )
    ts, price = stamps.to_numpy().astype(np.int64), prices.to_numpy()
    bad = ~(np.isfinite(price) & (price > 0))
    if bad.any():
        at = int(np.argmax(bad))
        raise ConfigError(f"{name} has a price that is none", where=f"row {at}", value=float(price[at]), expected="a number above zero")
    last = np.append(ts[1:] != ts[:-1], True) if len(ts) else np.zeros(0, dtype=bool)
    return Ticks(np.ascontiguousarray(ts[last]), np.ascontiguousarray(np.log(price[last])))


def common_window(first: Ticks, second: Ticks, *, needed: int, max_gap_us: int = MAX_GAP_US) -> tuple[Ticks, Ticks]:
    """Both sides from the first to the last moment at which both were trading, without changes across gaps.

    Args:
        first, second: the two sides.
        needed: price changes that each side must have in there.
        max_gap_us: longest silence across which a change counts.

    Raises:
        ConfigError: too few changes; the error says how many are needed.
    """
    sides = [first, second]
    if len(first) and len(second):
        start, last = max(first.ts_us[0], second.ts_us[0]), min(first.ts_us[-1], second.ts_us[-1])
        sides = [one.between(int(start), int(last) + 1).without_gaps(max_gap_us) for one in sides]
    counts = [one.changes if len(one) else 0 for one in sides]
    if min(counts) < needed:
        raise ConfigError(
            "there are too few price changes while both markets were trading",
            value=f"{counts[0]:,} of the first, {counts[1]:,} of the second",
            expected=f"at least {needed:,} of each",
            hint="choose a longer window",
        )
    return sides[0], sides[1]


def thinned(first: Ticks, second: Ticks) -> tuple[Ticks, Ticks]:
    """The null: the denser side against a part of its own ticks, so that there is no lead and only one side is stale.

    The part has about as many ticks as the sparser side. They are those that the denser side showed at the sparser side's stamps, once
    these are moved by half the window (and around its end), so that they have nothing to do with the denser side's own prices.

    Args:
        first, second: the two sides, cut to their common window.

    Returns:
        A pair in the order of the arguments: the denser side is itself, the other its part.
    """
    swapped = len(first) < len(second)
    dense, sparse = (second, first) if swapped else (first, second)
    start, length = dense.ts_us[0], dense.ts_us[-1] - dense.ts_us[0] + 1
    moved = start + (sparse.ts_us - start + length // 2) % length
    chosen = np.unique(np.searchsorted(dense.ts_us, moved, side="right") - 1)
    part = Ticks(np.ascontiguousarray(dense.ts_us[chosen]), np.ascontiguousarray(dense.log_price[chosen]))
    return (part, dense) if swapped else (dense, part)


def last_prices(first: Ticks, second: Ticks, interval_us: int, *, max_gap_us: int = MAX_GAP_US) -> tuple[Floats, Floats, Ints]:
    """The last log price of both sides at each point of a grid, and the number of the stretch without a gap that the point is in.

    Args:
        first, second: the two sides, cut to their common window.
        interval_us: length of the grid's steps.
        max_gap_us: a point at which either price is older than this is left out, and a new stretch begins behind it.

    Raises:
        ConfigError: the grid has more points than can be held.
    """
    start, last = max(first.ts_us[0], second.ts_us[0]), min(first.ts_us[-1], second.ts_us[-1])
    count = int((last - start) // interval_us) + 1
    if count > _MOST_POINTS:
        raise ConfigError("the grid has too many points", value=count, expected=f"up to {_MOST_POINTS:,}", hint="choose a longer interval")
    grid = start + interval_us * np.arange(count, dtype=np.int64)
    fresh = np.ones(count, dtype=bool)
    for one in (first, second):
        fresh &= grid - one.ts_us[np.searchsorted(one.ts_us, grid, side="right") - 1] <= max_gap_us
    kept = grid[fresh]
    stretch = np.cumsum(np.diff(kept, prepend=kept[:1]) > interval_us)
    return first.at(kept), second.at(kept), stretch


def grid_correlation(first: pl.DataFrame, second: pl.DataFrame, *, interval: clock.DurationLike = "100ms", steps: int = 5) -> pl.DataFrame:
    """The usual cross-correlation of returns of last prices on a grid. **It shows a lead where there is none**: see `lead_lag`.

    The side that trades less often has the older last prices, so its returns come later on the grid even if both follow the same price
    at the same time.

    Args:
        first, second: trades, as in `lead_lag`.
        interval: length of the grid's steps.
        steps: how many steps the lag goes in each direction.

    Returns:
        lag_us, correlation, points; positive lags: the first is ahead.

    Raises:
        ConfigError: a frame that holds no trades, or too few of them.

    Examples:
        >>> import polars as pl
        >>> from pointline.evaluation import grid_correlation
        >>> trades = pl.DataFrame({"ts_local_us": range(0, 9_000_000, 100_000), "price": [100 + (7 * n) % 5 for n in range(90)]})
        >>> grid_correlation(trades, trades, steps=1)["correlation"].round(2).to_list()[1]
        1.0
    """
    interval_us = clock.to_duration_us(interval, name="interval")
    if not clock.is_whole(steps) or steps < 1:
        raise ConfigError("steps is no count", value=steps, expected="a whole number, 1 or more")
    pair = [ticks_of(frame, name=name) for frame, name in ((first, "first"), (second, "second"))]
    one, other, stretch = last_prices(*common_window(*pair, needed=10), interval_us)
    whole = stretch[1:] == stretch[:-1]
    x, y, part = np.diff(one)[whole], np.diff(other)[whole], stretch[1:][whole]
    rows = []
    for lag in range(-steps, steps + 1):
        ahead, behind = (x, y) if lag >= 0 else (y, x)
        size = max(len(x) - abs(lag), 0)
        same = part[:size] == part[len(part) - size :]
        earlier, later = ahead[:size][same], behind[len(behind) - size :][same]
        moves = len(earlier) > 1 and earlier.any() and later.any()
        rows.append((lag * interval_us, float(np.corrcoef(earlier, later)[0, 1]) if moves else None, len(earlier)))
    return pl.DataFrame(rows, schema={"lag_us": pl.Int64, "correlation": pl.Float64, "points": pl.Int64}, orient="row")
