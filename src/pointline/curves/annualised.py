"""The basis of a dated future as a yearly rate, by actual days over 365.

Days are counted from the moment of the price itself (the end of its candle) to delivery. In the last day before delivery a yearly rate is
meaningless, so it is null, as it is for contracts without delivery.

The simple rate is that of the specification's page on spot-futures-perp spreads: ``spread_pct`` x 365 / days to expiry. The other two
restate it with yearly and with continuous compounding. Such a rate is called carry in M. Schmeling, A. Schrimpf, K. Todorov, Crypto Carry,
BIS Working Papers 1087, 2023.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from pointline.clock import DAY_US

DAYS_PER_YEAR = 365
MIN_DAYS = 1.0

YIELDS = ("annualised_simple_pct", "annualised_compounded_pct", "annualised_continuous_pct")


def days_between(start_us: pl.Series, end_us: pl.Series) -> pl.Series:
    """Days from one time to another, null if one is null; each the double nearest to the quotient."""
    left = (end_us - start_us).cast(pl.Float64).fill_null(np.nan).to_numpy()
    return pl.Series(values=left / DAY_US, dtype=pl.Float64).fill_nan(None)


def annualised(basis: pl.Expr, days: pl.Expr) -> list[pl.Expr]:
    """The three yearly rates of a basis in percent.

    With b = (future - spot) / spot and T days: simple b x 365 / T; compounded (1 + b)^(365 / T) - 1; continuous ln(1 + b) x 365 / T.

    Args:
        basis: b, a fraction.
        days: T.

    Returns:
        annualised_simple_pct, annualised_compounded_pct and annualised_continuous_pct, null where T is null or below one day.
    """
    periods = DAYS_PER_YEAR / days
    rates = (basis * periods, (1 + basis) ** periods - 1, basis.log1p() * periods)
    return [pl.when(days >= MIN_DAYS).then(rate * 100).alias(name) for name, rate in zip(YIELDS, rates, strict=True)]
