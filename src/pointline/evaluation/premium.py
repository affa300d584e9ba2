"""What the venues' rules make of the premium of many settlements, and how far a measured premium lies from the venue's own.

How a venue averages the premium of an interval stands in `pointline.venues.premium`, its formulas in `pointline.venues.funding`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from pointline import clock
from pointline.errors import ConfigError
from pointline.venues.funding import fair_funding_8h_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pointline.venues.funding import FundingRule
    from pointline.venues.payments import Weights

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

PER_BPS = 1e4
HOURS_OF_RATE = 8.0
_COARSE_BPS, _COARSE_STEP_BPS, _FINE_STEP_BPS = 50.0, 0.5, 0.01
_OFFSETS_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class VenueRates:
    """What the venue's rule makes of a premium, for settlements under rules of different dates.

    Attributes:
        rules: the rules that hold at one or more of the settlements.
        which: shape (n,), the rule of each.
        interval_hours: shape (n,), the funding interval of each.
    """

    rules: tuple[FundingRule, ...]
    which: Ints
    interval_hours: Floats

    @classmethod
    def at(cls, rules: Sequence[FundingRule], funding_us: Ints, interval_hours: Floats) -> Self:
        """The rule of each settlement, by the dates of the rules.

        Raises:
            ConfigError: no rule covers one of the settlements.
        """
        which = np.full(len(funding_us), -1)
        for number, rule in enumerate(rules):
            which[(funding_us >= rule.valid_from_us) & (funding_us < rule.valid_until_us)] = number
        without = np.flatnonzero(which < 0)
        if len(without):
            raise ConfigError(
                "no funding rule is known for a settlement",
                where="rules",
                value=f"{clock.time_text(int(funding_us[without[0]]))} UTC",
                expected="rules that cover all settlements",
                hint="add the rule with its dates and source to the venue file, or choose another window",
            )
        return cls(tuple(rules), which, interval_hours)

    @property
    def needs_values(self) -> bool:
        """Whether a rule averages the rate, so that the mean of the premium does not tell it."""
        return any(rule.averages == "rate" for rule in self.rules)

    def of(self, premium: Floats, values: Floats | None = None) -> Floats:
        """The rate per 8 hours of each settlement's premium, a fraction (see `pointline.venues.funding.fair_funding_8h`).

        Where the rule averages the premium, the formula is applied to the mean; where it averages the rate, to each value.

        Args:
            premium: shape (…, n), the mean of each, a fraction.
            values: shape (n, m), the values of each in their order, then NaN; needed where a rule averages the rate. If ``premium`` has
                more than n entries, each of its rows is the mean moved by some offset, and so are the values.

        Raises:
            ConfigError: a rule averages the rate, and there are no values.
        """
        rates = np.full(premium.shape, np.nan)
        for number, rule in enumerate(self.rules):
            own = np.flatnonzero(self.which == number)
            if not len(own):
                continue
            if rule.averages == "premium":
                rates[..., own] = fair_funding_8h_values(rule, premium[..., own], interval_hours=self.interval_hours[own])
            elif values is None:
                raise ConfigError(
                    "the venue averages the rate, not the premium", where="premium", expected="the values of each interval, not their mean"
                )
            else:
                rates[..., own] = self._mean_rates(rule, own, premium[..., own], values[own])
        return rates

    def _mean_rates(self, rule: FundingRule, own: Ints, premium: Floats, values: Floats) -> Floats:
        """The weighted mean of what the formula makes of each value, moved by as much as the premium is from the values' mean."""
        known = np.isfinite(values)
        weight = np.where(known, np.arange(1.0, values.shape[1] + 1) if rule.weights == "rising" else 1.0, 0.0)
        filled, total = np.where(known, values, 0.0), weight.sum(axis=1)
        with np.errstate(invalid="ignore"):
            moved = premium - np.sum(filled * weight, axis=1) / total
            rows = [
                np.sum(fair_funding_8h_values(rule, filled.T + some, interval_hours=self.interval_hours[own]).T * weight, axis=1) / total
                for some in np.atleast_2d(moved)
            ]
        return np.reshape(rows, premium.shape)

    def interest(self) -> Floats:
        """The interest per 8 hours of each settlement's rule, a fraction."""
        return np.array([rule.interest_8h if rule.kind == "premium_clamp" else 0.0 for rule in self.rules])[self.which]

    def weights(self) -> list[Weights]:
        """How each rule's venue weighs the premium."""
        return [rule.weights for rule in self.rules]

    def take(self, rows: Ints) -> VenueRates:
        """The settlements of some rows."""
        return VenueRates(self.rules, self.which[rows], self.interval_hours[rows])


def fitted_offset(rates: VenueRates, premium: Floats, actual_bps: Floats, values: Floats | None = None) -> float:
    """What has to be added to the measured premium, in basis points, so that the rule meets the rates that were paid.

    The venue's own premium compares its impact prices with its index. Another measure of it, such as the perp's last price against
    spot, can lie above or below it by some amount throughout. The offset is the one with the least squared error, in steps of 0.01 bp
    within 50 bp; of several the one nearest to zero. Where every rate lies in the dead band it is zero, because nothing tells it.

    Args:
        rates: the rules of the settlements.
        premium: shape (n,), the average premium of the whole interval, a fraction, none missing.
        actual_bps: shape (n,), the rate that was paid, basis points per 8 hours, none missing.
        values: shape (n, m), as in `VenueRates.of`.

    Examples:
        The measured premium is 2 bp too low throughout:

        >>> import numpy as np
        >>> from pointline.venues.funding import funding_rule
        >>> rule = funding_rule("binance-futures", 1_714_521_600_000_000)
        >>> rates = VenueRates((rule,), np.zeros(3, dtype=np.int64), np.full(3, 8.0))
        >>> fitted_offset(rates, np.array([8e-4, 10e-4, 13e-4]), np.array([5.0, 7.0, 10.0]))
        2.0
    """
    coarse = np.arange(-_COARSE_BPS, _COARSE_BPS + _COARSE_STEP_BPS, _COARSE_STEP_BPS)
    best = _best_offset(rates, premium, values, actual_bps, coarse)
    steps = round(_COARSE_STEP_BPS / _FINE_STEP_BPS)
    fine = (round(best / _FINE_STEP_BPS) + np.arange(-steps, steps + 1)) / round(1 / _FINE_STEP_BPS)
    return _best_offset(rates, premium, values, actual_bps, fine)


def _best_offset(rates: VenueRates, premium: Floats, values: Floats | None, actual_bps: Floats, offsets: Floats) -> float:
    ordered = offsets[np.argsort(np.abs(offsets), kind="stable")]
    losses = np.concatenate(
        [
            np.sum((rates.of(premium + some[:, np.newaxis] / PER_BPS, values) * PER_BPS - actual_bps) ** 2, axis=1)
            for some in np.array_split(ordered, -(-len(ordered) // _OFFSETS_AT_ONCE))
        ]
    )
    least = losses.min()
    return float(ordered[np.flatnonzero(losses <= least * (1 + 1e-12))[0]])
