"""Names of the slots in the loops' state arrays, and what they answer, kept apart so that code can use them without the compiler."""

from __future__ import annotations

CLOSER_STATE = ("accumulated", "bar_id", "pending", "last_us")

BAR_INTS = (
    "count",
    "open",
    "high",
    "low",
    "close",
    "qty",
    "buy",
    "quote_high",
    "quote_low",
    "deviation",
    "square_high",
    "square_low",
    "last_us",
    "price_before",
    "distinct_times",
    "first_time_price",
    "return_square_high",
    "return_square_low",
    "qty_fraction",
    "buy_fraction",
    "unknown_sides",
)
"""Columns of a bar's accumulator. The last three are filled outside the loops, by `pointline.bars.rare_sums`."""

SCRATCH_ROWS = 1_025

# what a loop returns where it cannot go on
OVERFLOW = -1
TOO_LARGE = -(1 << 62)
