"""Tables of venue files that say what is paid: funding formulas and fees.

`pointline.venues.funding` applies the formulas, `pointline.venues.fees` finds the fees.
"""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - pydantic reads the annotations at run time
import math
from dataclasses import dataclass, field
from typing import Literal

from pointline.venues.dated import Bounded, check_filled, check_positive

FundingKind = Literal["premium_clamp", "deribit", "clamp_mean"]
Weights = Literal["rising", "equal"]
Averages = Literal["premium", "rate"]


@dataclass(frozen=True, kw_only=True)
class Funding(Bounded):
    """A funding formula as the file states it; `pointline.venues.funding.FundingRule` is the form for one asset.

    Attributes:
        kind, per_interval, interest_8h, clamp, interval_hours: as in `FundingRule`.
        averages: what the venue takes the mean of: the premium, to which it then applies the formula, or the rate that the formula makes
            of each value. Dead band and cap do not commute with a mean, so the order matters.
        weights: how the values of an interval are averaged; if not given, rising where the kind is ``"premium_clamp"``, else equal.
        rolling: the average is always over the last whole interval, also inside one.
        continuous: the rate accrues all the time, on the premium of each moment; then the rate is what is averaged.
        periods_later: how many intervals after the one whose premium makes it the rate is paid; 0 at that interval's own end.
        cap: largest absolute rate of every contract, in the period that the formula speaks of.
        caps: the same by base asset, where they differ.
        interest_free_bases: base assets whose contracts have no interest.
        pairs: the contracts that it speaks of by base and quote, e.g. ``XRP-USDC``; all of the exchanges if there are none.
    """

    kind: FundingKind
    per_interval: bool
    interest_8h: float
    clamp: float
    interval_hours: float
    weights: Weights | None = None
    averages: Averages = "premium"
    rolling: bool = False
    continuous: bool = False
    periods_later: int = 0
    cap: float | None = None
    caps: dict[str, float] = field(default_factory=dict)
    interest_free_bases: tuple[str, ...] = ()
    pairs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(interval_hours=self.interval_hours, cap=self.cap)
        check_positive(**{f"caps.{base}": cap for base, cap in self.caps.items()})
        message = None
        if not (self.clamp >= 0 and math.isfinite(self.clamp)):
            message = f"clamp must be zero or more, not {self.clamp}"
        elif not math.isfinite(self.interest_8h):
            message = f"interest_8h must be finite, not {self.interest_8h}"
        elif self.continuous and self.averages != "rate":
            message = 'a rate that accrues continuously needs averages = "rate"'
        elif self.periods_later < 0:
            message = f"periods_later must be zero or more, not {self.periods_later}"
        if message is not None:
            raise ValueError(message)


@dataclass(frozen=True, kw_only=True)
class Fee(Bounded):
    """What one fill costs on some exchanges in one fee tier.

    Attributes:
        tier: the tier's name.
        taker_bps: fee of a fill that takes, in basis points of its notional.
        maker_bps: fee of a fill that makes, below zero where it is a rebate; None where the source does not say.
        as_of: the day on which the figures were read.
    """

    tier: str
    taker_bps: float
    maker_bps: float | None = None
    as_of: dt.date

    def __post_init__(self) -> None:
        super().__post_init__()
        check_filled(tier=self.tier)
        if not (self.taker_bps >= 0 and math.isfinite(self.taker_bps)):
            message = f"taker_bps must be finite and zero or more, not {self.taker_bps}"
            raise ValueError(message)
        if self.maker_bps is not None and not math.isfinite(self.maker_bps):
            message = f"maker_bps must be finite, not {self.maker_bps}"
            raise ValueError(message)
