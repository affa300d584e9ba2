"""A simulated market with known truth: a perpetual, its spot, funding, mark and index, made from a seed.

One efficient price, a driftless geometric Brownian motion, drives both venues. The perpetual shows it first and adds a
mean-reverting basis; spot shows it `lead_ms` later. Trades bounce between bid and ask, arrive in bursts and share milliseconds. Their taker
side contains no information about prices, so every feature made of order flow alone should find nothing. `SimulatedDay.truth` has the
values that an estimator should find. The lead is exact in event time. Last prices sampled on a grid show a longer one if spot trades more
rarely than the perpetual, as in real data.

The index is spot's own price before it is rounded, the mark is the index times one plus the basis, so the premium index is exactly the
basis, and funding follows from it by the exchange's rule, dead band included. A halt stops a venue's trades, not index, mark or funding.

The same configuration gives the same values and files (with the same versions of numpy and polars), and a day is the same
whether it is made alone or with others; see `pointline.simulate.process`.

>>> from pointline.simulate import MarketConfig, simulate_day
>>> day = simulate_day(MarketConfig(perp_trades_per_day=1_000), 0)
>>> day.perp.height, day.spot.height
(1000, 100)
"""

from __future__ import annotations

from pointline.simulate.archives import DATASETS, write_archives, write_exchange_info
from pointline.simulate.config import MarketConfig, Outage
from pointline.simulate.day import SimulatedDay, funding_estimates, simulate_day, simulate_market

__all__ = [
    "DATASETS",
    "MarketConfig",
    "Outage",
    "SimulatedDay",
    "funding_estimates",
    "simulate_day",
    "simulate_market",
    "write_archives",
    "write_exchange_info",
]
