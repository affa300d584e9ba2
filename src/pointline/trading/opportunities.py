"""Opportunities: the bars in which the basis is larger than what a round trip of both legs costs, and for how long that lasts.

A bar counts where both closes are fresh and the size of the basis is above the cost: on the positive side the trade is short perp and long
spot, on the negative side long perp and short spot, which borrows the coin. Bars whose prices are stale never count; those whose stale
prices are as far apart are counted on their own, because a quiet or silent venue makes a basis that nobody can trade.

A *spell* is a run of such bars on one side without a gap: it ends where the basis is smaller, changes its side, is stale, or where
time or trades are missing between two bars. Times are covered time, the lengths of the bars.

The basis of a bar is known at its ``bucket_end``. Whether it is still above the cost one bar later is what somebody who acts then can
reach; it is the one column that looks ahead, and no bar's own columns depend on it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pointline.errors import ConfigError
from pointline.features.basis import BPS
from pointline.features.feature import HOLE_COLUMNS, fresh, ratio, spot_price

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pointline.features import PairParams

LEVELS_BPS = (50.0, 100.0, 200.0)
"""Sizes of the basis that the perp-spot guide names beside the cost: its 50 bps example, extreme volatility and liquidation cascades."""

LADDER = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
"""Multiples of the cost in the table of sensitivity."""

VOLATILITY_BARS = 1_000
"""A bar is volatile against the range of this many bars before it."""

LEAST_VOLATILITY_BARS = 100
"""With fewer bars before it, nothing is said of a bar's volatility."""

VOLATILE_SHARE = 0.05
"""A bar is volatile where its range is above the largest 5 % of the bars before it."""

_SIDES = {"positive": 1, "negative": -1}
_NEEDED = ("bucket_start", "bucket_end", "perp_close", "spot_close", "perp_age_us", "spot_age_us", "perp_high", "perp_low")
COLUMNS_READ = (*_NEEDED, *HOLE_COLUMNS)
"""Columns of the bars that `opportunity_bars` reads; those of holes may be absent."""

_SPELLS = {
    "side": pl.String,
    "start_us": pl.Int64,
    "end_us": pl.Int64,
    "bars": pl.Int64,
    "duration_us": pl.Int64,
    "mean_basis_bps": pl.Float64,
    "largest_basis_bps": pl.Float64,
    "mean_excess_bps": pl.Float64,
    "ended_by": pl.String,
}


def opportunity_bars(bars: pl.DataFrame, params: PairParams) -> pl.DataFrame:
    """What is needed of each bar to count opportunities; each row is known at its ``bucket_end``.

    Args:
        bars: rows of a comparison, sorted by time, with `COLUMNS_READ`.
        params: age limits and price factor; `pointline.Study.params`.

    Returns:
        bucket_start, bucket_end, duration_us; basis_bps of the closes whatever their age, null where one is missing; fresh: both closes
        are within their age limits; joined: no time and no trades are missing between the bar before and this one; perp_silent,
        spot_silent: the venue's last trade is older than the bar or than its age limit; volatile: the perp's high-low range per square
        root of time is above the `VOLATILE_SHARE` largest of the `VOLATILITY_BARS` bars before, null where that is not known.

    Raises:
        ConfigError: a column is absent, bars are out of order, or the quotes of the pair differ.

    Examples:
        >>> import polars as pl
        >>> from pointline.features import PairParams
        >>> own = {"perp_close": [60_050.0], "spot_close": [60_000.0], "perp_age_us": [1], "spot_age_us": [1]}
        >>> times = {"bucket_start": [0], "bucket_end": [60_000_000], "perp_high": [60_050.0], "perp_low": [60_040.0]}
        >>> opportunity_bars(pl.DataFrame(times | own), PairParams()).select(pl.col("basis_bps").round(2), "fresh", "joined").row(0)
        (8.33, True, False)
    """
    _check(bars, params)
    perp_limit_us, spot_limit_us = params.age_limits_us
    spot = spot_price("spot_close", params)
    apart = pl.col("bucket_start") != pl.col("bucket_end").shift(1)
    holes = [pl.col(name).fill_null(value=False) for name in HOLE_COLUMNS if name in bars.columns]
    basis = ratio(pl.col("perp_close") - spot, spot) * BPS
    priced = bars.with_columns(basis_bps=pl.when(basis.is_finite()).then(basis), duration_us=pl.col("bucket_end") - pl.col("bucket_start"))
    return priced.select(
        "bucket_start",
        "bucket_end",
        "duration_us",
        "basis_bps",
        fresh=fresh(params).fill_null(value=False) & pl.col("basis_bps").is_not_null(),
        joined=~pl.any_horizontal(apart.fill_null(value=True), *holes),
        perp_silent=_silent("perp", perp_limit_us),
        spot_silent=_silent("spot", spot_limit_us),
        volatile=_volatile(),
    )


def _check(bars: pl.DataFrame, params: PairParams) -> None:
    absent = [name for name in _NEEDED if name not in bars.columns]
    if absent:
        raise ConfigError("opportunities need columns that are absent", value=", ".join(absent), expected=", ".join(_NEEDED))
    if params.cross_quote:
        raise ConfigError(
            "the basis of this pair contains the rate between two quotes, so no cost can be held against it",
            value="cross_quote_basis_bps",
            expected="a perp and a spot market with the same quote asset",
        )
    starts, ends = bars["bucket_start"], bars["bucket_end"]
    if not ((ends > starts).all() and (starts.slice(1) >= ends.head(max(bars.height - 1, 0))).all()):
        raise ConfigError("the bars are not in order of time", expected="rows sorted by bucket_start that do not overlap")


def _silent(venue: str, limit_us: int) -> pl.Expr:
    age = pl.col(f"{venue}_age_us")
    return (age.is_null() | (age > limit_us) | (age > pl.col("duration_us"))).alias(f"{venue}_silent")


def _volatile() -> pl.Expr:
    pace = ratio(pl.col("perp_high") - pl.col("perp_low"), pl.col("perp_close")) / pl.col("duration_us").sqrt()
    before = pace.shift(1).rolling_quantile(
        1 - VOLATILE_SHARE, interpolation="nearest", window_size=VOLATILITY_BARS, min_samples=LEAST_VOLATILITY_BARS
    )
    return pace > before


def sides_above(bars: pl.DataFrame, cost_bps: float) -> NDArray[np.int8]:
    """The side of each bar whose fresh basis is larger than a cost: 1 positive, -1 negative, 0 neither.

    Args:
        bars: of `opportunity_bars`.
        cost_bps: the cost; a basis that equals it is no opportunity.

    Examples:
        >>> import polars as pl
        >>> sides_above(pl.DataFrame({"basis_bps": [50.0, -60.0, 90.0], "fresh": [True, True, False]}), 48.0).tolist()
        [1, -1, 0]
    """
    return np.where(bars["fresh"].to_numpy(), _raw_sides(bars, cost_bps), 0).astype(np.int8)


def _raw_sides(bars: pl.DataFrame, cost_bps: float) -> NDArray[np.int8]:
    basis = bars["basis_bps"].fill_null(0.0).to_numpy()
    return np.where(np.abs(basis) > cost_bps, np.sign(basis), 0).astype(np.int8)


def spells(bars: pl.DataFrame, cost_bps: float) -> pl.DataFrame:
    """The spells in which the basis is larger than a cost.

    Args:
        bars: of `opportunity_bars`.
        cost_bps: the cost.

    Returns:
        One row per spell, in order: side, start_us (of its first bar), end_us (of its last), bars, duration_us, mean_basis_bps and
        mean_excess_bps over its bars (not weighted by time), largest_basis_bps (signed), ended_by: ``"basis"`` (smaller, or of the
        other side), ``"stale"``, ``"gap"`` or ``"window"`` (the last bar is still above the cost).

    Examples:
        >>> import polars as pl
        >>> bars = pl.DataFrame({"bucket_start": [0, 10, 20], "bucket_end": [10, 20, 30], "duration_us": [10, 10, 10]})
        >>> bars = bars.with_columns(basis_bps=pl.Series([50.0, 60.0, 3.0]), fresh=True, joined=pl.Series([False, True, True]))
        >>> spells(bars, 48.0).select("side", "bars", "duration_us", "mean_excess_bps", "ended_by").rows()
        [('positive', 2, 20, 7.0, 'basis')]
    """
    sides, joined = sides_above(bars, cost_bps), bars["joined"].to_numpy()
    rows = np.flatnonzero(sides)
    if not len(rows):
        return pl.DataFrame(schema=_SPELLS)
    begins = ~(joined & (sides == np.concatenate(([0], sides[:-1]))))[rows]
    firsts = np.flatnonzero(begins)  # places in `rows`, as reduceat takes them
    counts = np.diff(np.append(firsts, len(rows)))
    first, last = rows[firsts], rows[firsts + counts - 1]
    basis, side = bars["basis_bps"].to_numpy()[rows], sides[first]
    size = np.abs(basis)
    table = {
        "side": np.where(side > 0, "positive", "negative"),
        "start_us": bars["bucket_start"].to_numpy()[first],
        "end_us": bars["bucket_end"].to_numpy()[last],
        "bars": counts,
        "duration_us": np.add.reduceat(bars["duration_us"].to_numpy()[rows], firsts),
        "mean_basis_bps": np.add.reduceat(basis, firsts) / counts,
        "largest_basis_bps": side * np.maximum.reduceat(size, firsts),
        "mean_excess_bps": np.add.reduceat(size, firsts) / counts - cost_bps,
        "ended_by": _ended_by(last + 1, joined, bars["fresh"].to_numpy()),
    }
    return pl.DataFrame(table, schema=_SPELLS)


def _ended_by(after: NDArray[np.int64], joined: NDArray[np.bool_], is_fresh: NDArray[np.bool_]) -> NDArray[np.str_]:
    """What ended each spell, by the place of the bar after it; a place behind the last bar is that of the window's end."""
    joined, is_fresh = np.append(joined, False), np.append(is_fresh, False)
    why = np.where(joined[after], np.where(is_fresh[after], "basis", "stale"), "gap")
    return np.where(after == len(joined) - 1, "window", why)


def count_opportunities(bars: pl.DataFrame, costs: Sequence[tuple[str, float]]) -> pl.DataFrame:
    """How often, how long and by how much the basis is larger than each of some costs, by side.

    Args:
        bars: of `opportunity_bars`.
        costs: names and costs in bps.

    Returns:
        Three rows per cost (positive, negative, either side): name, cost_bps, side, bars, share_of_bars of the fresh ones, spells,
        duration_us, share_of_time of the fresh bars, median_spell_us, longest_spell_us, mean_excess_bps over the bars,
        largest_basis_bps (signed), remain_next_bar (bars whose next bar, joined to it, is fresh and above the cost on the same
        side), share_remaining (of the bars that have such a neighbour, fresh or not), stale_bars (their old prices are as far apart).
        Shares and sizes are null where there is nothing to take them of.

    Raises:
        ConfigError: a cost is not a finite number, zero or more.

    Examples:
        >>> import polars as pl
        >>> bars = pl.DataFrame({"bucket_start": [0, 10, 20], "bucket_end": [10, 20, 30], "duration_us": [10, 10, 10]})
        >>> bars = bars.with_columns(basis_bps=pl.Series([50.0, -60.0, 3.0]), fresh=True, joined=pl.Series([False, True, True]))
        >>> count_opportunities(bars, [("guide", 48.0)]).select("side", "bars", "spells", "remain_next_bar").rows()
        [('positive', 1, 1, 0), ('negative', 1, 1, 0), ('either', 2, 2, 0)]
    """
    return pl.concat([_counted(bars, name, checked_cost(cost)) for name, cost in costs])


def checked_cost(cost: object) -> float:
    """A cost, or a level of the basis, in bps.

    Raises:
        ConfigError: it is not a finite number, zero or more.

    Examples:
        >>> checked_cost(48)
        48.0
    """
    is_number = isinstance(cost, int | float) and not isinstance(cost, bool)
    if not is_number or not (math.isfinite(cost) and cost >= 0):  # type: ignore[operator, arg-type]
        raise ConfigError("this cannot be a cost", value=cost, expected="a finite number of bps, zero or more")
    return float(cost)  # type: ignore[arg-type]


def _counted(bars: pl.DataFrame, name: str, cost_bps: float) -> pl.DataFrame:
    sides, raw, remain, neighbour = _by_bar(bars, cost_bps)
    found = spells(bars, cost_bps)
    size = bars["basis_bps"].abs().fill_null(0.0).to_numpy()
    durations, is_fresh = bars["duration_us"].to_numpy(), bars["fresh"].to_numpy()
    rows = []
    for side, sign in (*_SIDES.items(), ("either", 0)):
        here = sides == sign if sign else sides != 0
        stale = (raw == sign if sign else raw != 0) & ~is_fresh
        own = found if sign == 0 else found.filter(side=side)
        basis = bars["basis_bps"].filter(pl.Series(here))
        rows.append(
            {
                "name": name,
                "cost_bps": cost_bps,
                "side": side,
                "bars": int(here.sum()),
                "share_of_bars": _share(int(here.sum()), int(is_fresh.sum())),
                "spells": own.height,
                "duration_us": int(durations[here].sum()),
                "share_of_time": _share(int(durations[here].sum()), int(durations[is_fresh].sum())),
                "median_spell_us": own["duration_us"].median(),
                "longest_spell_us": own["duration_us"].max(),
                "mean_excess_bps": float(size[here].mean() - cost_bps) if here.any() else None,
                "largest_basis_bps": basis[basis.abs().arg_max() or 0] if here.any() else None,
                "remain_next_bar": int(remain[here].sum()),
                "share_remaining": _share(int(remain[here].sum()), int(neighbour[here].sum())),
                "stale_bars": int(stale.sum()),
            }
        )
    return pl.DataFrame(rows, schema=_COUNTS)


_COUNTS = {
    "name": pl.String,
    "cost_bps": pl.Float64,
    "side": pl.String,
    "bars": pl.Int64,
    "share_of_bars": pl.Float64,
    "spells": pl.Int64,
    "duration_us": pl.Int64,
    "share_of_time": pl.Float64,
    "median_spell_us": pl.Float64,
    "longest_spell_us": pl.Int64,
    "mean_excess_bps": pl.Float64,
    "largest_basis_bps": pl.Float64,
    "remain_next_bar": pl.Int64,
    "share_remaining": pl.Float64,
    "stale_bars": pl.Int64,
}


def _by_bar(bars: pl.DataFrame, cost_bps: float) -> tuple[NDArray[np.int8], NDArray[np.int8], NDArray[np.bool_], NDArray[np.bool_]]:
    """The side of each bar, that of its prices whatever their age, whether it remains one bar later, and whether there is such a bar."""
    sides, raw = sides_above(bars, cost_bps), _raw_sides(bars, cost_bps)
    neighbour = np.concatenate((bars["joined"].to_numpy()[1:], [False]))[: bars.height]
    after = np.concatenate((sides[1:], [0]))[: bars.height]
    return sides, raw, neighbour & (sides != 0) & (after == sides), neighbour


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def count_by_condition(bars: pl.DataFrame, cost_bps: float, levels_bps: Sequence[float] = LEVELS_BPS) -> pl.DataFrame:
    """Opportunities at one cost by what the market was like.

    Conditions overlap. They are: all bars; the fresh basis larger than each level; one side silent (exactly one of the two venues), each
    of the two, and both; volatile bars, see `opportunity_bars`.

    Args:
        bars: of `opportunity_bars`.
        cost_bps: the cost.
        levels_bps: sizes of the basis.

    Returns:
        One row per condition: condition, bars, share_of_bars and duration_us, share_of_time of all bars; opportunities (bars above the
        cost), their share_of_condition and share_of_opportunities (those of all bars), mean_excess_bps, remain_next_bar, stale_bars (not
        fresh, with old prices as far apart).

    Raises:
        ConfigError: the cost or a level is not a finite number, zero or more.

    Examples:
        >>> import polars as pl
        >>> bars = pl.DataFrame({"bucket_start": [0, 10, 20], "bucket_end": [10, 20, 30], "duration_us": [10, 10, 10]})
        >>> bars = bars.with_columns(basis_bps=pl.Series([50.0, -60.0, 3.0]), fresh=True, joined=pl.Series([False, True, True]))
        >>> bars = bars.with_columns(perp_silent=False, spot_silent=pl.Series([True, False, False]), volatile=pl.lit(None, pl.Boolean))
        >>> count_by_condition(bars, 48.0, levels_bps=(55.0,)).select("condition", "bars", "opportunities").rows()[:3]
        [('all bars', 3, 2), ('basis above 55 bps', 1, 1), ('one side silent', 1, 1)]
    """
    sides, raw, remain, _ = _by_bar(bars, checked_cost(cost_bps))
    size = bars["basis_bps"].abs().fill_null(0.0).to_numpy()
    is_fresh, durations = bars["fresh"].to_numpy(), bars["duration_us"].to_numpy()
    perp, spot = bars["perp_silent"].to_numpy(), bars["spot_silent"].to_numpy()
    conditions = {"all bars": np.ones(bars.height, bool)}
    conditions |= {f"basis above {checked_cost(level):g} bps": is_fresh & (size > level) for level in levels_bps}
    conditions |= {"one side silent": perp ^ spot, "perp silent": perp, "spot silent": spot, "both sides silent": perp & spot}
    conditions["volatile"] = bars["volatile"].fill_null(value=False).to_numpy()
    above = sides != 0
    rows = []
    for condition, here in conditions.items():
        count, hits = int(here.sum()), here & above
        rows.append(
            {
                "condition": condition,
                "bars": count,
                "share_of_bars": _share(count, bars.height),
                "duration_us": int(durations[here].sum()),
                "share_of_time": _share(int(durations[here].sum()), int(durations.sum())),
                "opportunities": int(hits.sum()),
                "share_of_condition": _share(int(hits.sum()), count),
                "share_of_opportunities": _share(int(hits.sum()), int(above.sum())),
                "mean_excess_bps": float(size[hits].mean() - cost_bps) if hits.any() else None,
                "remain_next_bar": int(remain[hits].sum()),
                "stale_bars": int((here & (raw != 0) & ~is_fresh).sum()),
            }
        )
    return pl.DataFrame(rows, schema=_CONDITIONS)


_CONDITIONS = {
    "condition": pl.String,
    "bars": pl.Int64,
    "share_of_bars": pl.Float64,
    "duration_us": pl.Int64,
    "share_of_time": pl.Float64,
    "opportunities": pl.Int64,
    "share_of_condition": pl.Float64,
    "share_of_opportunities": pl.Float64,
    "mean_excess_bps": pl.Float64,
    "remain_next_bar": pl.Int64,
    "stale_bars": pl.Int64,
}


def sensitivity(bars: pl.DataFrame, costs: Sequence[tuple[str, float]]) -> pl.DataFrame:
    """Opportunities of both sides at each of some costs, from the cheapest on; bars, time and what remains never rise with the cost.

    The number of spells may rise: a higher cost can part one of them in two.

    Args:
        bars: of `opportunity_bars`.
        costs: names and costs in bps.

    Returns:
        The rows of `count_opportunities` for either side, without that column, sorted by cost.

    Raises:
        ConfigError: a cost is not a finite number, zero or more.

    Examples:
        >>> import polars as pl
        >>> bars = pl.DataFrame({"bucket_start": [0, 10, 20], "bucket_end": [10, 20, 30], "duration_us": [10, 10, 10]})
        >>> bars = bars.with_columns(basis_bps=pl.Series([50.0, -60.0, 3.0]), fresh=True, joined=pl.Series([False, True, True]))
        >>> sensitivity(bars, [("guide", 48.0), ("half", 24.0), ("more", 55.0)]).select("name", "bars").rows()
        [('half', 2), ('guide', 2), ('more', 1)]
    """
    return count_opportunities(bars, costs).filter(side="either").drop("side").sort("cost_bps", maintain_order=True)
