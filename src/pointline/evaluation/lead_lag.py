"""Lead-lag on raw ticks: the Hayashi-Yoshida covariance at each lag, and whether what it shows is more than staleness, chance or clocks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from pointline import clock, kernels
from pointline.errors import ConfigError
from pointline.evaluation.ticks import MAX_GAP_US, Ticks, common_window, thinned, ticks_of

if TYPE_CHECKING:
    from pointline.evaluation.ticks import Floats, Ints

CLOCK_TOLERANCE_US = 10_000
"""How far apart the clocks of two venues are assumed to be at most, if the user says nothing."""

BLOCKS = 30
CHANGES_PER_BLOCK = 10
NEAR_US = 100_000
SIGNIFICANT = 0.05
_RESAMPLES = 1_000
_MOST_LAGS = 20_001


@dataclass(frozen=True, eq=False, kw_only=True)
class LagFigures:
    """What the covariances at all lags of one pair of series say. Positive lags: the first series is ahead.

    Attributes:
        curve: lag_us, covariance (of log prices, summed over the window), correlation (the covariance over the root of both sums of squared
            changes); out to twice the longest lag of the search.
        peak_us: the lag within the search with the largest absolute correlation.
        peak_correlation: the correlation there.
        peak_interval_us: the 2.5 and 97.5 % quantiles of the peak when the blocks are drawn with replacement.
        lead_lag_ratio: sum of squared correlations at positive lags over that at negative lags, within the search (Huth and Abergel);
            None where the latter is zero.
        asymmetry_t: t over the blocks of the squared covariances at positive lags less those at negative lags, near zero.
        asymmetry_p: its two-sided p, from Student's distribution.
        null_band: the 95 % quantile of the absolute correlation beyond the search, where no common move is expected.
    """

    curve: pl.DataFrame = field(repr=False)
    peak_us: int
    peak_correlation: float
    peak_interval_us: tuple[int, int]
    lead_lag_ratio: float | None
    asymmetry_t: float
    asymmetry_p: float
    null_band: float

    @property
    def significant(self) -> bool:
        """Whether the two sides of the curve differ at 5 %."""
        return self.asymmetry_p < SIGNIFICANT

    def to_dict(self) -> dict[str, Any]:
        """Every figure but the curve, JSON-ready."""
        names = ("peak_us", "peak_correlation", "lead_lag_ratio", "asymmetry_t", "asymmetry_p", "null_band")
        return {**{name: getattr(self, name) for name in names}, "peak_interval_us": list(self.peak_interval_us)}


@dataclass(frozen=True, eq=False, kw_only=True)
class LeadLag:
    """The result of `lead_lag`.

    Attributes:
        measured: the figures of the two markets.
        null: the same figures of the denser side against a part of its own ticks, as many as the other side has: no lead, and
            one side stale.
        names: what the two are called in the verdict.
        ticks: stamps of each side inside the common window.
        gaps: changes of each side that were left out because they reach over a silence.
        window_us: first and last moment at which both were trading.
        max_lag_us, step_us, near_us: the search, the distance of its lags, and the lags that the asymmetry test looks at.
        clock_tolerance_us: how far apart the two clocks may be; what is smaller is not called a lead.
    """

    measured: LagFigures
    null: LagFigures
    names: tuple[str, str]
    ticks: tuple[int, int]
    gaps: tuple[int, int]
    window_us: tuple[int, int]
    max_lag_us: int
    step_us: int
    near_us: int
    clock_tolerance_us: int

    @property
    def separable(self) -> bool:
        """Whether the whole interval of the peak is farther from zero than the clocks may be apart."""
        low, high = self.measured.peak_interval_us
        return low > self.clock_tolerance_us or high < -self.clock_tolerance_us

    @property
    def leader(self) -> str | None:
        """The market that leads: curve and peak say so, the clocks cannot explain it, and the null does not show it. Else None."""
        found = self.measured
        sure = found.significant and self.separable and not self.null.significant and abs(found.peak_correlation) > found.null_band
        agree = (found.asymmetry_t > 0) == (found.peak_us > 0)
        return (self.names[0] if found.peak_us > 0 else self.names[1]) if sure and agree else None

    @property
    def verdict(self) -> str:
        """What follows from all figures, in a sentence."""
        found = self.measured
        low, high = (f"{us / 1000:+g}" for us in found.peak_interval_us)
        peak = f"peak {found.peak_us / 1000:+g} ms, interval {low} to {high} ms, t {found.asymmetry_t:.1f}"
        limit = f"{self.clock_tolerance_us / 1000:g} ms"
        ahead = self.names[0] if found.asymmetry_t > 0 else self.names[1]
        if self.leader is not None:
            other = self.names[1] if self.leader == self.names[0] else self.names[0]
            return f"{self.leader} leads {other} by {abs(found.peak_us) / 1000:g} ms ({peak}), if the clocks agree within {limit}."
        if abs(found.peak_correlation) <= found.null_band:
            return f"No common move is visible at any lag: the peak is no higher than the curve far from zero ({peak})."
        if not found.significant:
            separated = "" if self.separable else f"; the peak is not separable below {limit}"
            return f"No lead is established: the two sides of the curve do not differ ({peak}){separated}."
        if self.null.significant:
            return f"Nothing can be said: the same ticks without a lead give an asymmetry too (t {self.null.asymmetry_t:.1f}; {peak})."
        if not self.separable:
            return f"{ahead} looks ahead, but a clock error would look the same: not separable below {limit} ({peak})."
        return f"No lead is established: the curve leans to {ahead}, its peak is on the other side ({peak})."

    def to_dict(self) -> dict[str, Any]:
        """Every figure but the curves, JSON-ready."""
        return {
            "verdict": self.verdict,
            "leader": self.leader,
            "separable": self.separable,
            "names": list(self.names),
            "ticks": list(self.ticks),
            "gaps": list(self.gaps),
            "window_us": list(self.window_us),
            "max_lag_us": self.max_lag_us,
            "step_us": self.step_us,
            "near_us": self.near_us,
            "clock_tolerance_us": self.clock_tolerance_us,
            "measured": self.measured.to_dict(),
            "null": self.null.to_dict(),
        }


@dataclass(frozen=True)
class _Search:
    max_lag_us: int
    step_us: int
    near_us: int
    seed: int

    @property
    def lags(self) -> Ints:
        """Every lag out to twice the longest of the search, rising."""
        count = 2 * self.max_lag_us // self.step_us
        return self.step_us * np.arange(-count, count + 1, dtype=np.int64)


def lead_lag(
    first: pl.DataFrame,
    second: pl.DataFrame,
    *,
    max_lag: clock.DurationLike = "1s",
    step: clock.DurationLike = "5ms",
    near: clock.DurationLike = NEAR_US,
    clock_tolerance_us: int = CLOCK_TOLERANCE_US,
    max_gap: clock.DurationLike = MAX_GAP_US,
    names: tuple[str, str] = ("the first", "the second"),
    seed: int = 0,
    include_off_book: bool = False,
) -> LeadLag:
    """Measures on raw ticks which of two markets moves first, and by how much.

    The covariance at a lag θ is that of Hayashi and Yoshida (2005, Bernoulli 11(2), 359-379) after the first series is moved θ later, as
    Hoffmann, Rosenbaum and Yoshida do (2013, Bernoulli 19(2), arXiv:1303.4871): the sum of the products of all changes whose intervals
    overlap. No grid and no last prices are needed, so the older prices of the side that trades less often make no lead. The ratio is that
    of Huth and Abergel (2014, Journal of Empirical Finance, https://doi.org/10.1016/j.jempfin.2014.01.003).

    The window is cut into 30 blocks of equal time, by the stamps of the sparser side. The asymmetry test is this project's
    own: per block, the squared covariances at lags in ``(0, near]`` less those in ``[-near, 0)``, and Student's t over the blocks.

    Args:
        first, second: trades: ``ts_local_us`` (int64, sorted), ``price``, and, if the frame has it, ``off_book``. One price counts per
            stamp, the last.
        max_lag: longest lag at which the peak is searched. The curve goes on to twice that, which gives the null band.
        step: distance of two lags.
        near: longest lag of the asymmetry test.
        clock_tolerance_us: how far apart the two clocks may be.
        max_gap: longest silence of one side across which its change of price counts.
        names: what the two are called in the verdict.
        seed: of the draws of blocks.
        include_off_book: count prints that are flagged as off-book too.

    Returns:
        A `LeadLag`.

    Raises:
        ConfigError: a frame that holds no trades, fewer than 300 price changes of a side while both were trading (10 per block), lags that
            make no grid, a negative tolerance.

    Examples:
        The demo's spot market follows its perpetual without any delay:

        >>> from pointline.evaluation import lead_lag
        >>> from pointline.research import query
        >>> window = ("2024-05-01", "2024-05-03")
        >>> perp = query.trades("binance-futures", "BTCUSDT", *window, lake="out/demo/lake")
        >>> spot = query.trades("binance-spot", "BTCUSDT", *window, lake="out/demo/lake")
        >>> found = lead_lag(perp, spot, max_lag="10s", step="100ms", near="2s")
        >>> found.leader is None
        True
    """
    search = _search(max_lag, step, near, seed)
    gap_us = clock.to_duration_us(max_gap, name="max_gap")
    if not clock.is_whole(clock_tolerance_us) or clock_tolerance_us < 0:
        raise ConfigError("clock_tolerance_us is no length of time", value=clock_tolerance_us, expected="whole microseconds, zero or more")
    sides = [ticks_of(frame, name=name, include_off_book=include_off_book) for frame, name in ((first, "first"), (second, "second"))]
    x, y = common_window(sides[0], sides[1], needed=BLOCKS * CHANGES_PER_BLOCK, max_gap_us=gap_us)
    return LeadLag(
        measured=_figures(x, y, search),
        null=_figures(*thinned(x, y), search),
        names=names,
        ticks=(len(x), len(y)),
        gaps=(x.gaps, y.gaps),
        window_us=(int(max(x.ts_us[0], y.ts_us[0])), int(min(one.ts_us[-1] for one in sides))),
        max_lag_us=search.max_lag_us,
        step_us=search.step_us,
        near_us=search.near_us,
        clock_tolerance_us=int(clock_tolerance_us),
    )


def _search(max_lag: clock.DurationLike, step: clock.DurationLike, near: clock.DurationLike, seed: int) -> _Search:
    lengths = {name: clock.to_duration_us(value, name=name) for name, value in (("max_lag", max_lag), ("step", step), ("near", near))}
    search = _Search(lengths["max_lag"], lengths["step"], min(lengths["near"], lengths["max_lag"]), seed)
    if search.step_us > search.near_us:
        raise ConfigError(
            "step is longer than the lags that are looked at",
            value=f"step {clock.duration_text(search.step_us)}, near {clock.duration_text(search.near_us)}",
            expected="a step of at most near and max_lag",
        )
    if (count := 4 * search.max_lag_us // search.step_us + 1) > _MOST_LAGS:
        raise ConfigError("there are too many lags", value=count, expected=f"up to {_MOST_LAGS:,}", hint="choose a longer step")
    return search


def block_curves(first: Ticks, second: Ticks, lags: Ints, blocks: int = BLOCKS) -> Floats:
    """The covariance at each lag in each block of equal time, blocks x lags. Positive lags: the first series is ahead."""
    swapped = len(first) < len(second)
    looped, other = (first, second) if swapped else (second, first)
    start, length = looped.ts_us[0], looped.ts_us[-1] - looped.ts_us[0] + 1
    ends = start + np.array([int(length) * k // blocks for k in range(1, blocks + 1)], dtype=np.int64)
    curves = np.zeros((blocks, len(lags)))
    turned = np.ascontiguousarray(-lags[::-1]) if swapped else lags
    kernels.lagged_covariance(looped.ts_us, looped.log_price, other.ts_us, other.log_price, turned, ends, curves)
    return curves[:, ::-1] if swapped else curves


def _figures(first: Ticks, second: Ticks, search: _Search) -> LagFigures:
    lags = search.lags
    curves = block_curves(first, second, lags)
    total = curves.sum(axis=0)
    correlation = total / np.sqrt(first.variance * second.variance)
    inside = np.abs(lags) <= search.max_lag_us
    near = np.abs(lags) <= search.near_us
    at = _peak(total[inside])
    squares = np.square(correlation)
    left = squares[inside & (lags < 0)].sum()
    t, p = _student(_right_less_left(np.square(curves[:, near])))
    return LagFigures(
        curve=pl.DataFrame({"lag_us": lags, "covariance": total, "correlation": correlation}),
        peak_us=int(lags[inside][at]),
        peak_correlation=float(correlation[inside][at]),
        peak_interval_us=_peak_interval(curves[:, inside], lags[inside], search.seed),
        lead_lag_ratio=float(squares[inside & (lags > 0)].sum() / left) if left > 0 else None,
        asymmetry_t=t,
        asymmetry_p=p,
        null_band=float(np.quantile(np.abs(correlation[~inside]), 0.95)),
    )


def _peak(curve: Floats) -> int:
    """Where the curve is farthest from zero; of equals the one nearest to the middle."""
    size = np.abs(curve)
    best = np.flatnonzero(size == size.max())
    return int(best[np.argmin(np.abs(best - len(curve) // 2))])


def _peak_interval(curves: Floats, lags: Ints, seed: int) -> tuple[int, int]:
    blocks = len(curves)
    drawn = np.random.default_rng(seed).multinomial(blocks, np.full(blocks, 1 / blocks), size=_RESAMPLES)
    peaks = lags[[_peak(curve) for curve in drawn @ curves]]
    low, high = np.quantile(peaks, (0.025, 0.975), method="inverted_cdf")
    return int(low), int(high)


def _right_less_left(curves: Floats) -> Floats:
    middle = curves.shape[1] // 2
    difference: Floats = curves[:, middle + 1 :].sum(axis=1) - curves[:, :middle].sum(axis=1)
    return difference


def _student(values: Floats) -> tuple[float, float]:
    """The t of the mean, and its two-sided p."""
    from scipy.special import stdtr

    error = float(values.std(ddof=1)) / len(values) ** 0.5
    if error == 0.0:
        return 0.0, 1.0
    t = float(values.mean()) / error
    return t, float(2 * stdtr(len(values) - 1, -abs(t)))
