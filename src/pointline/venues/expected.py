"""The rate that a venue would settle on the premium of an interval so far, by its dated rule."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pointline import clock
from pointline.errors import ConfigError, NoDataError
from pointline.venues.funding import FundingRule, fair_funding_8h, fair_funding_8h_values, funding_rule
from pointline.venues.premium import PremiumSlots, premium_so_far

if TYPE_CHECKING:
    from pointline.instruments.instrument import Instrument, Observation
    from pointline.venues.files import Venues
    from pointline.venues.payments import Weights
    from pointline.venues.premium import PremiumSoFar

_FUNDING_HOURS = 8.0


@dataclass(frozen=True, kw_only=True)
class ExpectedFunding:
    """What an interval would settle if it ended with the premium that is known.

    Attributes:
        rate: the rate of the interval, a fraction of the notional; of a continuous venue, which has no settlements, what the whole
            interval accrues if it goes on like this.
        rate_8h: the same per 8 hours.
        premium: the average premium, a fraction.
        slots: how many values that average has.
        start_us, end_us: the interval whose premium counts.
        paid_us: when the rate is paid, or has been paid in full: the end of the interval, or of a later one where the rule says so.
        at_us: when all this was known.
        interval_hours: the length of the interval.
        rule: the venue's rule, with its dates and source.
    """

    rate: float
    rate_8h: float
    premium: float
    slots: int
    start_us: int
    end_us: int
    paid_us: int
    at_us: int
    interval_hours: float
    rule: FundingRule


def expected_funding(
    premium_path: PremiumSlots,
    instrument: Instrument | Observation,
    at: clock.TimeLike,
    *,
    interval_hours: float | None = None,
    known: Venues | None = None,
) -> ExpectedFunding:
    """The rate that the venue would settle on the premium of the interval so far.

    The venue's rule at the settlement makes it: values weighted equally or by their place in the interval, the dead band and the
    interest per interval or per 8 hours, the cap where the file has one. Most venues apply the formula to the mean of the premium; some
    (Deribit) to each value, and their rate is the mean of those (``averages`` of the rule). Where the rule's average rolls (OKX from March
    2024 to April 2025), it is over the time of a whole interval before ``at``.

    Args:
        premium_path: the venue's premium, (perp - index) / index as a fraction, at the ends of equal slots. A value counts once it is
            known; those after ``at`` do not. The finer the slots, the closer to the venue's own samples.
        instrument: a perpetual.
        at: the moment; at the very end of an interval it is that interval's.
        interval_hours: the contract's funding interval at that time, from 00:00 UTC on; None takes the rule's default. Contracts differ.
        known: the venue files; the package's own if None.

    Raises:
        ConfigError: the instrument is no perpetual, the interval does not divide a day, or slots do not fit into it.
        VenueRuleError: no funding rule of the contract is known for the settlement.
        NoDataError: no value of the interval is known yet, or one is missing.

    Examples:
        Binance, eight hours from 00:00, a premium of 20 bp for all of the first four: 20 - 5 = 15 bp.

        >>> from pointline.instruments import derive
        >>> hour, midnight = 3_600_000_000, 1_714_521_600_000_000
        >>> path = PremiumSlots(midnight + hour, hour, np.full(4, 20e-4))
        >>> found = expected_funding(path, derive("binance-futures", "BTCUSDT"), "2024-05-01 04:00")
        >>> round(found.rate * 1e4, 6), found.slots, (found.end_us - midnight) // hour
        (15.0, 4, 8)
    """
    if instrument.asset_type != "perpetual":
        name = f"{instrument.exchange}:{instrument.exchange_symbol}"
        raise ConfigError(f"{name} pays no funding", where="instrument", value=instrument.asset_type, expected="a perpetual")
    at_us = clock.to_us(at, name="at")
    hours = _rule(instrument, at_us, known).interval_hours if interval_hours is None else interval_hours
    interval_us = _interval_us(hours, premium_path.step_us)
    start_us = (at_us - 1) // interval_us * interval_us
    end_us = start_us + interval_us
    rule = _rule(instrument, end_us, known)
    newest_us = (at_us - premium_path.delay_us) // premium_path.step_us * premium_path.step_us
    first_us = newest_us - interval_us if rule.rolling else start_us
    found = _so_far(premium_path, first_us, newest_us, rule.weights)
    premium, slots = float(found.average[0]), int(found.slots[0])
    rate_8h = fair_funding_8h(rule, premium, interval_hours=hours)
    if rule.averages == "rate":
        each = replace(premium_path, values=fair_funding_8h_values(rule, premium_path.values, interval_hours=hours))
        rate_8h = float(_so_far(each, first_us, newest_us, rule.weights).average[0])
    return ExpectedFunding(
        rate=rate_8h * hours / _FUNDING_HOURS,
        rate_8h=rate_8h,
        premium=premium,
        slots=slots,
        start_us=start_us,
        end_us=end_us,
        paid_us=end_us + rule.periods_later * interval_us,
        at_us=at_us,
        interval_hours=hours,
        rule=rule,
    )


def _rule(instrument: Instrument | Observation, at_us: int, known: Venues | None) -> FundingRule:
    return funding_rule(instrument.exchange, at_us, base_asset=instrument.base_asset, quote_asset=instrument.quote_asset, known=known)


def _interval_us(hours: float, step_us: int) -> int:
    interval_us = round(hours * clock.HOUR_US) if math.isfinite(hours) else 0
    if interval_us <= 0 or clock.DAY_US % interval_us:
        raise ConfigError("a funding interval divides a day", where="interval_hours", value=hours, expected="for example 8, 4, 2 or 1")
    if interval_us % step_us:
        expected, step = f"a step that divides {clock.duration_text(interval_us)}", clock.duration_text(step_us)
        raise ConfigError("the slots do not fit into the interval", where="premium_path", value=step, expected=expected)
    return interval_us


def _so_far(path: PremiumSlots, start_us: int, newest_us: int, weights: Weights) -> PremiumSoFar:
    """The average of the values that end in ``(start_us, newest_us]``, all of which must be there."""
    found = premium_so_far(replace(path, delay_us=0), np.array([start_us]), np.array([newest_us]), weights=weights)
    if not found.slots[0]:
        text = clock.time_text(start_us)
        raise NoDataError("no value of the interval's premium is known yet", where="premium_path", expected=f"one after {text} UTC")
    if np.isnan(found.average[0]):
        ends = np.arange(start_us + path.step_us, newest_us + 1, path.step_us)
        places = (ends - path.first_end_us) // path.step_us
        there = (places >= 0) & (places < len(path.values))
        there[there] = np.isfinite(path.values[places[there]])
        raise NoDataError(
            "values of the interval's premium are missing",
            where="premium_path",
            value=f"{int((~there).sum()):,} of {len(ends):,}, the first at {clock.time_text(int(ends[~there][0]))} UTC",
            hint="an average with holes is not the venue's; take a coarser step or another moment",
        )
    return found
