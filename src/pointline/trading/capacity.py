"""Capacity: how much money a strategy could carry, as a range and never as one number.

Two bounds. A share of the volume that trades in the bars of the fills, 1 to 5 % of the thinner leg. And the size at which the impact of its
own fills eats the net edge, by the square-root law: a fill of Q moves the price by Y σ √(Q/V), with σ the daily volatility and V the daily
volume of the leg, Y from 0.5 to 1.5 (Tóth and others 2011, doi:10.1103/PhysRevX.1.021006; for Bitcoin Donier and Bonart 2015,
arXiv:1412.4503).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

PARTICIPATION = (0.01, 0.05)
IMPACT_FACTORS = (1.5, 0.5)


@dataclass(frozen=True)
class Liquidity:
    """What is known of one traded leg.

    Attributes:
        fill_volumes: shape (m,), volume of the bar of each fill, in the quote asset.
        daily_volatility: standard deviation of the log price over a day.
        daily_volume: volume of a day, in the quote asset.
    """

    fill_volumes: Floats
    daily_volatility: float
    daily_volume: float


@dataclass(frozen=True)
class Capacity:
    """Notional per trade, in the quote asset, that the strategy could carry: from a careful to a bold assumption.

    Attributes:
        by_volume: 1 % and 5 % of the median bar volume of the thinner leg; None where no bar volume is known.
        by_impact: size at which impact eats the net edge, with Y = 1.5 and Y = 0.5; zero where there is no edge, None where volume or
            volatility is not known.
    """

    by_volume: tuple[float, float] | None
    by_impact: tuple[float, float] | None

    @property
    def range(self) -> tuple[float, float] | None:
        """The smaller of both bounds, careful and bold."""
        known = [bound for bound in (self.by_volume, self.by_impact) if bound is not None]
        return (min(low for low, _ in known), min(high for _, high in known)) if known else None


def capacity(legs: Sequence[Liquidity], *, net_edge_bps: float) -> Capacity:
    """The capacity of a strategy.

    Args:
        legs: the traded legs, each with two fills a trade.
        net_edge_bps: mean profit of a trade after all costs, in bps of its notional.

    Returns:
        A `Capacity`. The impact bound solves 2 Σ Y σ √(Q/V) = edge for Q.

    Examples:
        One leg of 1 % daily volatility and a hundred million of daily volume, for an edge of 4 bps:

        >>> import numpy as np
        >>> found = capacity([Liquidity(np.array([2e5, 4e5]), 0.01, 1e8)], net_edge_bps=4.0)
        >>> found.by_volume, tuple(round(size) for size in found.by_impact)
        ((3000.0, 15000.0), (17778, 160000))
    """
    medians = [float(np.nanmedian(leg.fill_volumes)) for leg in legs if np.isfinite(leg.fill_volumes).any()]
    by_volume = None
    if len(medians) == len(legs) and medians:
        by_volume = (PARTICIPATION[0] * min(medians), PARTICIPATION[1] * min(medians))
    slope = sum(leg.daily_volatility / math.sqrt(leg.daily_volume) if leg.daily_volume > 0 else math.nan for leg in legs)
    by_impact = None
    if math.isfinite(slope) and slope > 0:
        edge = max(0.0, net_edge_bps) / 1e4
        careful, bold = ((edge / (2 * factor * slope)) ** 2 for factor in IMPACT_FACTORS)
        by_impact = (careful, bold)
    return Capacity(by_volume, by_impact)
