"""One venue's trades of one day, made from the efficient price."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from pointline.simulate.config import MICROSECOND_SPOT_FROM_US
from pointline.simulate.process import DAY_S, Purpose, stream

if TYPE_CHECKING:
    from pointline.simulate.config import MarketConfig, SimulatedVenue, VenueName
    from pointline.simulate.process import Floats, Integers, PricePath

Flags: TypeAlias = npt.NDArray[np.bool_]

TRADE_SCHEMA = {
    "trade_id": pl.Int64(),
    "ts_event_us": pl.Int64(),
    "price": pl.Float64(),
    "qty": pl.Float64(),
    "side": pl.Boolean(),
    "off_book": pl.Boolean(),
}


@dataclass(frozen=True)
class MarketPath:
    """What both venues of one day share.

    Attributes:
        path: the efficient price.
        basis_bps: the basis at each second, both midnights included.
        intensity: relative trading intensity of each second.
    """

    path: PricePath
    basis_bps: Floats
    intensity: Floats


def venue_trades(config: MarketConfig, day_index: int, name: VenueName, market: MarketPath) -> pl.DataFrame:
    """The venue's trades of that day in `TRADE_SCHEMA`, in order of time and id.

    Taker orders arrive by the intensity, each filled in one or more trades. An order trades at the best ask or bid around the
    venue's price, which is the efficient price `lag_ms` ago, times one plus the basis for the perpetual.
    """
    venue = config.venue(name)
    count = config.trade_count(name, day_index)
    if count == 0:
        return pl.DataFrame(schema=TRADE_SCHEMA)
    random = stream(config, Purpose.PERP_TRADES if name == "perp" else Purpose.SPOT_TRADES, day_index)
    orders = max(1, round(count * (1 - config.tie_share)))
    unit_us = 1 if name == "spot" and config.day_us(day_index) >= MICROSECOND_SPOT_FROM_US else 1_000
    time_us = _arrivals(random, orders, market.intensity, config.halts_ms(name, day_index), unit_us)
    seller_taker = _sides(random, orders, config.side_autocorrelation)
    middle = _middle_ticks(venue, market, time_us)
    bid = np.floor(middle - (venue.spread_ticks - 1) / 2).astype(np.int64)
    order_ticks = bid + np.where(seller_taker, 0, venue.spread_ticks)

    order = _order_of_fill(random, count, orders)
    ticks = order_ticks[order]
    off_book = np.zeros(count, dtype=np.bool_)
    rows = _alone(random.choice(count, min(venue.off_book_prints, count), replace=False), time_us[order])
    ticks[rows] = _off_book_ticks(random, config.off_book_distance_percent / 100, middle[order[rows]])
    off_book[rows] = True
    return pl.DataFrame(
        {
            "trade_id": np.arange(count) + config.first_trade_id(name, day_index),
            "ts_event_us": time_us[order] + config.day_us(day_index),
            "price": ticks * venue.price.multiple / 10**venue.price.decimals,
            "qty": _lots(random, count, venue, config.qty_log_std) * venue.qty.multiple / 10**venue.qty.decimals,
            "side": seller_taker[order],
            "off_book": off_book,
        },
        schema=TRADE_SCHEMA,
    )


def _arrivals(random: np.random.Generator, count: int, rates: Floats, halts_ms: list[tuple[int, int]], unit_us: int) -> Integers:
    """Sorted arrival times after midnight in microseconds, multiples of `unit_us`: `count` points of a Poisson process given their number.

    The intensity is constant within a second and zero in a halt; times are the inverse of its integral at sorted uniform points.
    """
    edges = np.unique(np.concatenate([np.arange(DAY_S + 1) * 1_000, *(np.array(halt) for halt in halts_ms)]))
    start_ms, end_ms = edges[:-1], edges[1:]
    is_open = np.ones(len(start_ms), dtype=np.bool_)
    for first, last in halts_ms:
        is_open &= (start_ms < first) | (start_ms >= last)
    start_ms, end_ms = start_ms[is_open], end_ms[is_open]
    rate = rates[start_ms // 1_000]
    mass = np.cumsum(rate * (end_ms - start_ms))
    before = np.concatenate([[0.0], mass[:-1]])
    gaps = np.cumsum(random.standard_exponential(count + 1))
    target = gaps[:-1] * (mass[-1] / gaps[-1])
    piece = np.minimum(np.searchsorted(mass, target, side="right"), len(mass) - 1)
    time_us = (start_ms[piece] + (target - before[piece]) / rate[piece]) * 1_000
    whole = (time_us // unit_us).astype(np.int64) * unit_us
    arrivals: Integers = np.minimum(whole, end_ms[piece] * 1_000 - unit_us)
    return arrivals


def _sides(random: np.random.Generator, count: int, autocorrelation: float) -> Flags:
    """Taker sides (True = seller) as a two-state chain with that lag-one correlation."""
    turns = random.random(count) < (1 - autocorrelation) / 2
    turns[0] = random.random() < 1 / 2
    return np.logical_xor.accumulate(turns)


def _order_of_fill(random: np.random.Generator, count: int, orders: int) -> Integers:
    """Which order each trade fills: all splits of `count` trades into `orders` runs are equally likely."""
    first_fill = np.zeros(count, dtype=np.uint8)
    first_fill[1:orders] = 1
    random.shuffle(first_fill[1:])
    return np.cumsum(first_fill, dtype=np.int64)


def _middle_ticks(venue: SimulatedVenue, market: MarketPath, time_us: Integers) -> Floats:
    """The venue's price in ticks, not rounded."""
    price = market.path.at(time_us // 1_000 - venue.lag_ms)
    if venue.name == "perp":
        second, inside = np.divmod(time_us, 1_000_000)
        left, right = market.basis_bps[second], market.basis_bps[second + 1]
        price *= 1 + (left + (right - left) * (inside / 1e6)) / 1e4
    return price / venue.price.value


def _lots(random: np.random.Generator, count: int, venue: SimulatedVenue, log_std: float) -> Integers:
    size = random.standard_normal(count, dtype=np.float32)
    size *= np.float32(log_std)
    size += np.float32(math.log(venue.median_qty_base / venue.qty.value))
    return np.maximum(np.rint(np.exp(size)).astype(np.int64), 1)


def _alone(rows: Integers, time_us: Integers) -> Integers:
    """As many rows as these, each the same or one soon after it, that share their time with no other; these where there are too few."""
    differs = time_us[1:] != time_us[:-1]
    alone = np.flatnonzero(np.concatenate([[True], differs]) & np.concatenate([differs, [True]]))
    spare, rank = len(alone) - len(rows), np.arange(len(rows))
    if spare < 0:
        return rows
    at = np.minimum(np.searchsorted(alone, np.sort(rows)), spare + rank) - rank
    chosen: Integers = alone[np.maximum.accumulate(at) + rank]
    return chosen


def _off_book_ticks(random: np.random.Generator, distance: float, middle: Floats) -> Integers:
    """Prices in ticks that far (a fraction) above or below `middle`, either with the same chance."""
    direction = np.where(random.random(len(middle)) < 1 / 2, -1.0, 1.0)
    return np.rint(middle * (1 + direction * distance)).astype(np.int64)
