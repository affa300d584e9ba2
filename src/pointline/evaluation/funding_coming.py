"""The forecast of the settlement that comes after those that are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pointline import clock
from pointline.errors import ConfigError
from pointline.evaluation.funding_models import line_forecast
from pointline.evaluation.premium import PER_BPS, VenueRates, fitted_offset
from pointline.venues.premium import premium_so_far

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pointline.evaluation.settlements import SettledRates
    from pointline.venues.funding import FundingRule
    from pointline.venues.premium import PremiumSlots

COMING_SCHEMA: dict[str, pl.DataType] = {
    "funding_us": pl.Int64(),
    "known_us": pl.Int64(),
    "hours_before": pl.Float64(),
    "interval_hours": pl.Float64(),
    "last_known_bps": pl.Float64(),
    "premium_bps": pl.Float64(),
    "offset_bps": pl.Float64(),
    "constant_bps": pl.Float64(),
    "ar1_bps": pl.Float64(),
    "rule_bps": pl.Float64(),
}
"""Columns of the coming settlement; basis points are per 8 hours."""


def coming_settlement(
    paid: SettledRates,
    slots: PremiumSlots,
    rules: Sequence[FundingRule],
    whole_premium: NDArray[np.float64],
    whole_values: NDArray[np.float64] | None = None,
) -> pl.DataFrame:
    """The settlement after the last one, as the rule and the other baselines tell it where the premium ends.

    Args:
        paid: all settlements; the next one is expected after an interval like the last.
        slots: the premium.
        rules: the venue's rules.
        whole_premium: shape (n,), the average premium of each settlement's whole interval, a fraction, NaN where it is not known.
        whole_values: shape (n, m), the values of the premium in each whole interval, for rules that average the rate.

    Returns:
        One row of `COMING_SCHEMA`; none where the premium ends before the last settlement was known or has a hole since then, or
        where no rule is known for the date.

    Examples:
        A settlement of 1 bp, and two hours since then with a premium of 12 bp: 12 - 5 = 7 bp.

        >>> from pointline.venues.premium import PremiumSlots
        >>> from pointline.evaluation.settlements import SettledRates
        >>> from pointline.venues.funding import funding_rule
        >>> hour, start = 3_600_000_000, 1_714_521_600_000_000
        >>> values = np.array([1e-4] * 16 + [12e-4] * 2)
        >>> rows = {"funding_us": [start + 8 * hour, start + 16 * hour], "known_us": [start + 8 * hour, start + 16 * hour]}
        >>> paid = SettledRates.of(pl.DataFrame(rows | {"rate": [1e-4, 1e-4], "interval_hours": [8.0, 8.0]}))
        >>> rule = funding_rule("binance-futures", start)
        >>> found = coming_settlement(paid, PremiumSlots(start + hour, hour, values), [rule], np.array([1e-4, 1e-4]))
        >>> found.select("hours_before", pl.col("rule_bps").round(6)).rows()
        [(6.0, 7.0)]
    """
    nothing = pl.DataFrame(schema=COMING_SCHEMA)
    start, interval = paid.funding_us[-1:], paid.interval_us[-1:]
    ends_us = slots.first_end_us + slots.step_us * (len(slots.values) - 1) + slots.delay_us
    at_us = np.minimum(ends_us, start + interval)
    rows = np.flatnonzero(np.isfinite(whole_premium) & np.isfinite(paid.last_known(paid.funding_us)))
    if at_us[0] <= paid.known_us[-1] or not len(rows):
        return nothing
    try:
        coming = VenueRates.at(rules, start + interval, interval / clock.HOUR_US)
    except ConfigError:
        return nothing
    found = premium_so_far(slots, start, at_us, weights=coming.weights()[int(coming.which[0])], keep_values=coming.needs_values)
    if np.isnan(found.average[0]):
        return nothing
    past = VenueRates.at(rules, paid.funding_us, paid.interval_hours)
    offset = fitted_offset(past.take(rows), whole_premium[rows], paid.rate_bps[rows], None if whole_values is None else whole_values[rows])
    last = paid.rate_bps[-1:]
    columns = {
        "funding_us": start + interval,
        "known_us": at_us,
        "hours_before": (start + interval - at_us) / clock.HOUR_US,
        "interval_hours": interval / clock.HOUR_US,
        "last_known_bps": last,
        "premium_bps": found.average * PER_BPS,
        "offset_bps": np.array([offset]),
        "constant_bps": coming.interest() * PER_BPS,
        "ar1_bps": line_forecast(paid.last_known(paid.funding_us)[rows], paid.rate_bps[rows], last),
        "rule_bps": coming.of(found.average + offset / PER_BPS, found.values) * PER_BPS,
    }
    return pl.DataFrame(columns, schema=COMING_SCHEMA)
