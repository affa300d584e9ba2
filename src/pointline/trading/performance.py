"""Performance statistics of daily equity: return, volatility, Sharpe ratio with its error, drawdown. Years have 365 days."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from pointline.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

DAYS_PER_YEAR = 365
_ROUNDING = 1e-13  # what the division of two amounts of equity may be off; returns that differ by less are equal
FEWEST_DAYS = 10
"""Fewer daily returns give no ratio: its error would be larger than any value that it can have."""


@dataclass(frozen=True)
class Performance:
    """Statistics of daily returns; None where they cannot be computed.

    Attributes:
        days: number n of returns, up to and with the day on which the equity is used up.
        used_up: the equity fell to zero or below on the last of these days; what was traded later had no capital.
        total_return: equity of the last of these days over the capital, less 1.
        annual_return: compound, per 365 days.
        annual_volatility: sample standard deviation of the daily returns times √365.
        sharpe: mean over sample standard deviation of the daily returns, times √365; no riskless rate is taken off.
        sharpe_error: its standard error, per year, with skew and kurtosis of the returns.
        skew, kurtosis: of the daily returns; 3 is the normal kurtosis.
        max_drawdown: largest fall from a peak of equity, the capital included, as a fraction of the peak; zero or negative.
        drawdown_days: most days in a row that end below an earlier peak.
    """

    days: int
    used_up: bool
    total_return: float
    annual_return: float | None
    annual_volatility: float | None
    sharpe: float | None
    sharpe_error: float | None
    skew: float | None
    kurtosis: float | None
    max_drawdown: float
    drawdown_days: int

    @property
    def daily_sharpe(self) -> float | None:
        """The ratio per day."""
        return None if self.sharpe is None else self.sharpe / math.sqrt(DAYS_PER_YEAR)


def daily_returns(equity: ArrayLike, capital: float) -> Floats:
    """Change of equity over the equity of the day before.

    Args:
        equity: shape (n,), at the end of each day.
        capital: equity before the first day, above zero.

    Raises:
        ConfigError: the capital is not above zero, or equity falls to zero or below before the last day.

    Examples:
        >>> daily_returns([110.0, 99.0], 100.0).round(4)
        array([ 0.1, -0.1])
    """
    ends = np.asarray(equity, dtype=np.float64)
    before = np.concatenate([[float(capital)], ends[:-1]])
    if not capital > 0 or np.any(before <= 0):
        raise ConfigError(
            "equity is used up, so that later returns have no base",
            where="capital",
            value=float(capital),
            expected="more capital than the strategy loses",
        )
    return np.asarray(ends / before - 1)


def performance(equity: ArrayLike, capital: float) -> Performance:
    """Statistics of the equity at the ends of days.

    The error of the Sharpe ratio SR per day is √((1 - skew SR + (kurtosis - 1)/4 SR²)/(n - 1)): Mertens (2002), Comments on variance of the
    IID estimator in Lo (2002). Lo (2002), The statistics of Sharpe ratios, doi:10.2469/faj.v58.n4.2453, has it for the normal case. It
    holds for returns without serial dependence.

    Args:
        equity: shape (n,), at the end of each day.
        capital: equity before the first day.

    Raises:
        ConfigError: the capital is not above zero.

    Examples:
        >>> found = performance([101.0, 99.0, 103.0, 102.0, 105.0, 104.0, 107.0, 106.0, 109.0, 108.0], 100.0)
        >>> round(found.sharpe, 2), round(found.max_drawdown, 4), found.drawdown_days
        (6.9, -0.0198, 1)
    """
    ends = np.asarray(equity, dtype=np.float64)
    gone = np.flatnonzero(ends <= 0)
    returns = daily_returns(ends[: gone[0] + 1] if len(gone) else ends, capital)
    n = len(returns)
    curve = np.concatenate([[float(capital)], ends[:n]])
    peaks = np.maximum.accumulate(curve)
    at_peak = np.flatnonzero(curve >= peaks)
    longest = max(int((np.diff(at_peak) - 1).max(initial=0)), len(curve) - 1 - int(at_peak[-1]))
    total = float(curve[-1] / capital - 1)
    deviation = float(returns.std(ddof=1)) if n > 1 else 0.0
    judged = n >= FEWEST_DAYS and deviation > _ROUNDING * (1 + float(np.abs(returns).max(initial=0.0)))
    daily = float(returns.mean()) / deviation if judged else None
    skew, kurtosis = _moments(returns) if judged else (None, None)
    error = None
    if daily is not None and skew is not None and kurtosis is not None:
        error = math.sqrt(max(0.0, 1 - skew * daily + (kurtosis - 1) / 4 * daily**2) / (n - 1))
    year = math.sqrt(DAYS_PER_YEAR)
    return Performance(
        days=n,
        used_up=bool(len(gone)),
        total_return=total,
        annual_return=(1 + total) ** (DAYS_PER_YEAR / n) - 1 if n >= FEWEST_DAYS and total > -1 else None,
        annual_volatility=deviation * year if n >= FEWEST_DAYS else None,
        sharpe=None if daily is None else daily * year,
        sharpe_error=None if error is None else error * year,
        skew=skew,
        kurtosis=kurtosis,
        max_drawdown=float((curve / peaks - 1).min()),
        drawdown_days=longest,
    )


def _moments(returns: Floats) -> tuple[float, float]:
    """Skew and kurtosis, each of the population formula."""
    centred = returns - returns.mean()
    variance = float(np.square(centred).mean())
    return float((centred**3).mean() / variance**1.5), float((centred**4).mean() / variance**2)
