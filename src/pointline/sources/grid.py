"""Where candles and settlements lie in time, whatever the exchange."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointline.clock import DAY_US, MINUTE_US

if TYPE_CHECKING:
    import polars as pl

MONDAY_US = 4 * DAY_US  # 1970-01-05: weeks begin on a Monday
LONGEST_FUNDING_HOURS = 24


def settlement_us(event_us: pl.Expr) -> pl.Expr:
    """The settlement to which a payment belongs: exchanges stamp it some milliseconds late, it is due on a whole minute."""
    return (event_us + MINUTE_US // 2) // MINUTE_US * MINUTE_US
