"""Slippage of one fill, measured: half the quoted spread, or half the effective spread that bars tell.

Quotes show what the first fill at the touch pays. They say nothing of depth: an order larger than the quoted size pays more.

Bars tell the spread only through their noise. Of the estimators in the literature this is that of F. Abdi and A. Ranaldo, A Simple
Estimation of Bid-Ask Spreads from Daily Close, High, and Low Prices, Review of Financial Studies 30 (12), 2017,
doi:10.1093/rfs/hhx084: with c the log close and m the middle of log high and log low of a bar, half the spread is the square root of the
mean of ``(c_t - m_t)(c_t - m_t+1)``. It reads more of a bar than the closes of R. Roll (1984, doi:10.1111/j.1540-6261.1984.tb03897.x), and
needs no correction for moves between two bars, as the two-bar ranges of S. Corwin and P. Schultz
(2012, doi:10.1111/j.1540-6261.2012.01729.x) do. Two choices are ours: bars stand for days, and the mean is held against its standard error.

What it cannot see: a spread that is small against the range of a bar (``detectable_bps`` says how small), depth, and whether prices revert
because of the spread or for another reason. Where they revert for another reason it is too large, where they trend, too small.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pointline.clock import MINUTE_US
from pointline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

_BPS = 10_000.0
_ERRORS = 2.0

LEAST_BARS = 100
"""Fewer pairs of bars tell no spread."""

MAX_QUOTE_AGE_US = MINUTE_US
"""A quote counts for no longer than this."""


@dataclass(frozen=True, kw_only=True)
class QuotedSpread:
    """Half the quoted spread of an instrument.

    Attributes:
        half_spread_bps: mean over time of (ask - bid) / (ask + bid); None without a quote that holds for some time.
        covered_us: time for which a quote held.
        window_us: length of the window.
        quotes: rows that were used.
        set_aside: rows that were not: crossed (the bid above the ask), or a price that is missing or not positive.
    """

    half_spread_bps: float | None
    covered_us: int
    window_us: int
    quotes: int
    set_aside: int


def quoted_half_spread(blocks: Iterable[pl.DataFrame], start_us: int, end_us: int, *, max_age_us: int = MAX_QUOTE_AGE_US) -> QuotedSpread:
    """Half the quoted spread, weighted by the time for which each quote held.

    A quote holds from when it was known to the next one, for `max_age_us` at most, inside the window. Of several quotes of one time the
    last counts. A quote that is set aside ends the one before it and holds for no time.

    Args:
        blocks: quotes inside the window, in order of time, block by block: ts_local_us, bid_price, ask_price.
        start_us, end_us: the window.
        max_age_us: after which a quote holds no longer.

    Raises:
        ConfigError: quotes are not in order of time, or outside the window.

    Examples:
        >>> import polars as pl
        >>> quotes = pl.DataFrame({"ts_local_us": [0, 10], "bid_price": [99.99, 99.98], "ask_price": [100.01, 100.02]})
        >>> round(quoted_half_spread([quotes], 0, 40).half_spread_bps, 6)  # 1 bps for a quarter of the time, 2 for the rest
        1.75
    """
    sums = _QuoteSums(end_us, max_age_us)
    last_us = start_us
    for block in blocks:
        times = block["ts_local_us"]
        if block.is_empty():
            continue
        if not (times[0] >= last_us and times.is_sorted() and times[-1] < end_us):
            raise ConfigError("the quotes are not in order of time inside the window", where="ts_local_us", value=int(times[0]))
        last_us = int(times[-1])
        sums.add(block)
    return sums.found(end_us - start_us)


class _QuoteSums:
    """Sums over quotes, a block at a time; the last quote waits for the next block, which says how long it held."""

    def __init__(self, end_us: int, max_age_us: int) -> None:
        self.end_us, self.max_age_us = end_us, max_age_us
        self.spread_us, self.covered_us, self.quotes, self.set_aside = 0.0, 0, 0, 0
        self.waiting: tuple[int, float | None] | None = None

    def add(self, block: pl.DataFrame) -> None:
        bid, ask = pl.col("bid_price"), pl.col("ask_price")
        usable = bid.is_finite() & ask.is_finite() & (bid > 0) & (ask >= bid)
        told = block.select("ts_local_us", half=pl.when(usable.fill_null(value=False)).then((ask - bid) / (ask + bid) * _BPS))
        self.set_aside += told["half"].null_count()
        self.quotes += told.height - told["half"].null_count()
        first_us = int(told["ts_local_us"][0])
        if self.waiting is not None:
            self._hold(np.array([self.waiting[0]]), np.array([first_us]), np.array([self.waiting[1]], dtype=float))
        times = told["ts_local_us"].to_numpy()
        half = told["half"].fill_null(math.nan).to_numpy()
        self._hold(times[:-1], times[1:], half[:-1])
        self.waiting = (int(times[-1]), float(half[-1]))

    def _hold(self, begins: np.ndarray, ends: np.ndarray, half: np.ndarray) -> None:
        length = np.minimum(ends - begins, self.max_age_us)
        used = np.isfinite(half)
        self.covered_us += int(length[used].sum())
        self.spread_us += math.fsum(half[used] * length[used])

    def found(self, window_us: int) -> QuotedSpread:
        if self.waiting is not None:
            self._hold(np.array([self.waiting[0]]), np.array([self.end_us]), np.array([self.waiting[1]], dtype=float))
        return QuotedSpread(
            half_spread_bps=self.spread_us / self.covered_us if self.covered_us else None,
            covered_us=self.covered_us,
            window_us=window_us,
            quotes=self.quotes,
            set_aside=self.set_aside,
        )


@dataclass(frozen=True, kw_only=True)
class BarSpread:
    """Half the effective spread of an instrument, as its bars tell it.

    Attributes:
        half_spread_bps: the estimate; 0 where the mean is not positive.
        detectable_bps: a half-spread below this cannot be told from none: the mean would lie within two standard errors of zero.
        pairs: pairs of bars that were used.
    """

    half_spread_bps: float
    detectable_bps: float
    pairs: int

    @property
    def is_seen(self) -> bool:
        """Whether the estimate stands out of its noise."""
        return self.half_spread_bps > self.detectable_bps

    @property
    def cautious_bps(self) -> float:
        """The larger of the estimate and of what could not be seen."""
        return max(self.half_spread_bps, self.detectable_bps)


def bar_half_spread(bars: pl.DataFrame, venue: str) -> BarSpread | None:
    """Half the effective spread by Abdi and Ranaldo (2017), see the module.

    Args:
        bars: sorted by time: bucket_start, bucket_end and the venue's high, low and close, e.g. ``perp_high``; ``perp_hole`` where known.
            Pairs of bars count that touch, without a hole, and both hold a trade.
        venue: ``"perp"`` or ``"spot"``.

    Returns:
        The estimate, or None where fewer than `LEAST_BARS` pairs of bars can be used.

    Examples:
        Each bar closes at its high, and the price does not move: the close is half of the range above both middles.

        >>> import polars as pl
        >>> bars = pl.DataFrame({"bucket_start": range(200), "bucket_end": range(1, 201)})
        >>> bars = bars.with_columns(perp_high=100.02, perp_low=100.0, perp_close=100.02)
        >>> found = bar_half_spread(bars, "perp")
        >>> round(found.half_spread_bps, 3), found.is_seen
        (1.0, True)
    """
    high, low, close = (pl.col(f"{venue}_{name}").log() for name in ("high", "low", "close"))
    middle = (high + low) / 2
    touches = pl.col("bucket_end") == pl.col("bucket_start").shift(-1)
    if f"{venue}_hole" in bars.columns:
        touches &= ~pl.col(f"{venue}_hole").fill_null(value=False).shift(-1)
    products = bars.select(pl.when(touches).then((close - middle) * (close - middle.shift(-1)))).to_series()
    used = products.filter(products.is_finite()).to_numpy()
    if len(used) < LEAST_BARS:
        return None
    mean, error = float(used.mean()), float(used.std(ddof=1)) / math.sqrt(len(used))
    return BarSpread(half_spread_bps=math.sqrt(max(mean, 0.0)) * _BPS, detectable_bps=math.sqrt(_ERRORS * error) * _BPS, pairs=len(used))
