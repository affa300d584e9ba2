"""Execution: when and at what price a decision is filled. A decision is made at a bar's end, and no fill is earlier.

Each bar is taken as a possible decision. Fills are looked up for all of them at once; which are used is decided in
`pointline.trading.positions`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
import polars as pl

from pointline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pointline.trading.strategy import Legs

    Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
    Ints: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
    Mask: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]

Execution = Literal["next_bar_vwap", "next_bar_open", "next_trade", "touch"]
EXECUTIONS: tuple[Execution, ...] = get_args(Execution)
BAR_EXECUTIONS: tuple[Execution, ...] = ("next_bar_vwap", "next_bar_open")
NEVER_US = -1


@dataclass(frozen=True, eq=False)
class LegFills:
    """The fill of one leg for a decision at each bar.

    Attributes:
        at_us: shape (n,), int64 µs UTC, when it is filled; `NEVER_US` where it is not.
        price: shape (n,), the price before slippage, NaN where it is not filled.
        slippage_bps: shape (n,), what the fill costs beside that price.
    """

    at_us: Ints
    price: Floats
    slippage_bps: Floats

    @property
    def filled(self) -> Mask:
        """Which decisions are filled."""
        return np.asarray(self.at_us != NEVER_US)


@dataclass(frozen=True, eq=False)
class Fills:
    """The fills of both legs; a leg that is not traded is filled at once at no price.

    Attributes:
        perp, spot: of each leg; None for one that is not traded.
    """

    perp: LegFills | None
    spot: LegFills | None

    @property
    def _legs(self) -> list[LegFills]:
        return [leg for leg in (self.perp, self.spot) if leg is not None]

    @property
    def filled(self) -> Mask:
        """Decisions of which every leg is filled."""
        return np.asarray(np.logical_and.reduce([leg.filled for leg in self._legs]))

    @property
    def done_us(self) -> Ints:
        """When the last leg is filled; `NEVER_US` where one is not."""
        latest = np.maximum.reduce([leg.at_us for leg in self._legs])
        return np.where(self.filled, latest, NEVER_US)


def check_execution(execution: str) -> None:
    """Refuses a rule that there is not.

    Raises:
        ConfigError: there is no such execution rule.
    """
    if execution not in EXECUTIONS:
        raise ConfigError("there is no such execution rule", where="execution", value=execution, expected=f"one of {', '.join(EXECUTIONS)}")


def next_bar_fills(
    bars: pl.DataFrame, *, price: Literal["vwap", "open"], legs: Legs, max_wait_us: int, slippage_bps: tuple[float, float]
) -> Fills:
    """Fills in the first later bar in which every traded leg trades: at its vwap, or at its first price.

    A vwap is filled at the last microsecond of its bar, a first price at the bar's begin: a position that is opened in the bar before a
    settlement is held at it, one that is opened in the bar after it is not.

    Args:
        bars: ``bucket_start``, ``bucket_end`` and the price column of each traded leg, such as ``perp_vwap``; a bar without a trade has
            null there.
        price: which price of that bar.
        legs: the legs that are traded.
        max_wait_us: longest time from the decision to the begin of that bar; later bars do not fill it.
        slippage_bps: of a perp and of a spot fill.

    Raises:
        ConfigError: no bar has such a price.
    """
    traded_legs = ("perp", "spot") if legs == "both" else (legs,)
    prices = {leg: bars[f"{leg}_{price}"].cast(pl.Float64).to_numpy() for leg in traded_legs}
    for leg, values in prices.items():
        if np.isnan(values).all():
            raise ConfigError(
                f"no bar has a {leg} {price}",
                where=f"{leg}_{price}",
                expected=f"bars in which the {leg} trades",
                hint="candles without a quote volume have no vwap: use execution='next_bar_open'" if price == "vwap" else None,
            )
    n = bars.height
    traded = ~np.logical_or.reduce([np.isnan(values) for values in prices.values()])
    here_or_later = np.minimum.accumulate(np.where(traded, np.arange(n), n)[::-1])[::-1]
    following = np.append(here_or_later[1:], n)
    start, end = bars["bucket_start"].to_numpy(), bars["bucket_end"].to_numpy()
    at = np.minimum(following, n - 1)
    filled = (following < n) & (start[at] - end <= max_wait_us)
    when = np.where(filled, (end - 1 if price == "vwap" else start)[at], NEVER_US)

    def leg_fills(leg: str, slippage: float) -> LegFills | None:
        if leg not in prices:
            return None
        return LegFills(when, np.where(filled, prices[leg][at], np.nan), np.full(n, slippage))

    return Fills(leg_fills("perp", slippage_bps[0]), leg_fills("spot", slippage_bps[1]))


def next_trade_fills(wanted_us: Ints, trades: Iterable[tuple[Ints, Floats]], *, max_wait_us: int, slippage_bps: float) -> LegFills:
    """Fills at the first trade at or after each instant, which is a decision and the latency.

    Args:
        wanted_us: shape (n,), µs UTC, not falling.
        trades: times (sorted) and prices of the leg's trades, in parts that follow one another; of trades of one time the first counts.
        max_wait_us: a trade later than this does not fill.
        slippage_bps: of a fill.
    """
    at_us, price = np.full(len(wanted_us), NEVER_US), np.full(len(wanted_us), np.nan)
    done = 0
    for times, prices in trades:
        if not len(times) or done == len(wanted_us):
            continue
        stop = int(np.searchsorted(wanted_us, times[-1], side="right"))
        found = np.searchsorted(times, wanted_us[done:stop], side="left")
        late = times[found] - wanted_us[done:stop] > max_wait_us
        at_us[done:stop] = np.where(late, NEVER_US, times[found])
        price[done:stop] = np.where(late, np.nan, prices[found])
        done = max(done, stop)
    return LegFills(at_us, price, np.full(len(wanted_us), slippage_bps))


def touch_fills(wanted_us: Ints, quotes: Iterable[tuple[Ints, Floats, Floats]], *, max_age_us: int) -> LegFills:
    """Fills at the best bid or ask at each instant: the price is the mid, the slippage half of the spread.

    Args:
        wanted_us: shape (n,), µs UTC, not falling.
        quotes: times (sorted), best bids and best asks, in parts that follow one another. The last quote at or before an instant counts.
        max_age_us: an older quote does not fill, nor does one that is crossed, empty or not known.
    """
    bid, ask = np.full(len(wanted_us), np.nan), np.full(len(wanted_us), np.nan)
    age = np.full(len(wanted_us), max_age_us + 1)
    for times, bids, asks in quotes:
        first = int(np.searchsorted(wanted_us, times[0], side="left")) if len(times) else len(wanted_us)
        if first == len(wanted_us):
            continue
        found = np.searchsorted(times, wanted_us[first:], side="right") - 1
        bid[first:], ask[first:], age[first:] = bids[found], asks[found], wanted_us[first:] - times[found]
    with np.errstate(invalid="ignore"):
        usable = (age <= max_age_us) & (bid > 0) & (ask >= bid)
    mid = (bid + ask) / 2
    half_spread_bps = np.where(usable, (ask - bid) / 2 / np.where(usable, mid, 1.0) * 1e4, np.nan)
    return LegFills(np.where(usable, wanted_us, NEVER_US), np.where(usable, mid, np.nan), half_spread_bps)
