"""Names of the slots in the kernels' state arrays, kept apart so that code can name them without loading the compiler."""

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
)
