"""Simulated funding: an hourly premium that forgets slowly, and rates that the venue's rule makes of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pointline.clock import HOUR_US, to_us
from pointline.venues.funding import FundingRule, fair_funding_8h, funding_rule
from pointline.venues.premium import PremiumSlots

START = to_us("2024-01-01")
RULE: FundingRule = funding_rule("binance-futures", START)
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Market:
    """What forecasts are made from.

    Attributes:
        settlements: as `funding_forecasts` takes them.
        slots: the premium.
        surprise_bps: what was added to the rule's rate of each settlement.
    """

    settlements: pl.DataFrame
    slots: PremiumSlots
    surprise_bps: Floats


def hourly_premium(hours: int, seed: int, *, memory: float = 0.9, deviation: float = 4e-4) -> Floats:
    """An AR(1) around 3 bp."""
    noise = np.random.default_rng(seed).normal(0, deviation, hours)
    values = np.zeros(hours)
    for place in range(1, hours):
        values[place] = memory * values[place - 1] + noise[place]
    return values + 3e-4


def market(settlements: int = 400, *, seed: int = 1, surprise_bps: Floats | float = 0.0, jitter_us: int = 0) -> Market:
    """Settlements of 8 hours whose rate is what the rule makes of the weighted premium, plus a surprise."""
    premium = hourly_premium(8 * settlements, seed)
    funding_us = START + 8 * HOUR_US * np.arange(1, settlements + 1)
    surprise = np.broadcast_to(np.asarray(surprise_bps, dtype=np.float64), (settlements,))
    weights = np.arange(1, 9)
    rates = [
        fair_funding_8h(RULE, float((premium[8 * place : 8 * place + 8] * weights).sum() / 36)) + float(surprise[place]) / 1e4
        for place in range(settlements)
    ]
    frame = pl.DataFrame(
        {"funding_us": funding_us, "known_us": funding_us + jitter_us, "rate": rates, "interval_hours": np.full(settlements, 8.0)}
    )
    return Market(frame, PremiumSlots(START + HOUR_US, HOUR_US, premium), surprise)
