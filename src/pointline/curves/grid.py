"""The candles of a window: whole ones only, on a grid that starts at 1970-01-01 00:00 UTC."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from pointline.clock import DAY_US, MINUTE_US, DurationLike, TimeLike, check_count, time_text, to_duration_us, to_us
from pointline.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class CandleGrid:
    """Candles of one duration that tile ``[start_us, end_us)``.

    Attributes:
        start_us: start of the first candle.
        end_us: end of the last candle, exclusive.
        duration_us: length of each; starts are multiples of it.
    """

    start_us: int
    end_us: int
    duration_us: int

    @property
    def count(self) -> int:
        """Number of candles."""
        return (self.end_us - self.start_us) // self.duration_us

    @property
    def starts(self) -> pl.Series:
        """The candles' starts, ``start_us``."""
        return pl.int_range(self.start_us, self.end_us, self.duration_us, dtype=pl.Int64, eager=True).alias("start_us")


def candle_grid(
    start: TimeLike, end: TimeLike | None = None, duration: DurationLike = "1d", *, through: TimeLike | None = None
) -> CandleGrid:
    """The whole candles between two times.

    Args:
        start: first moment; a bare date is its midnight UTC.
        end: first moment that is not in the window any more; a bare date is its midnight UTC.
        duration: length of a candle in whole minutes. Weeks begin on Thursdays, as 1970-01-01 was one.
        through: in place of `end`, the last day of the window, as in ``BETWEEN '2024-12-01' AND '2024-12-31'``.

    Raises:
        ConfigError: a time or duration cannot be read, not one of `end` and `through` is given, `through` is no date, the window is
            empty, no whole candle fits into it, or more than `pointline.clock.MOST_BARS` do.

    Examples:
        >>> candle_grid("2024-12-01", through="2024-12-31") == candle_grid("2024-12-01", "2025-01-01")
        True
    """
    start_us = to_us(start, name="start")
    end_us = _end_us(end, through)
    length_us = to_duration_us(duration, least_us=0)
    if not length_us or length_us % MINUTE_US:
        raise ConfigError("a candle lasts whole minutes", value=duration, expected="for example 1m, 15m, 1h, 4h or 1d")
    if end_us <= start_us:
        raise ConfigError(
            "the window is empty: the end must come after the start",
            value=f"{time_text(start_us)} to {time_text(end_us)} UTC",
            hint="the end is exclusive: through names the last day of a window",
        )
    first, last = start_us + -start_us % length_us, end_us - end_us % length_us
    if last <= first:
        raise ConfigError(
            "no whole candle fits into the window",
            value=f"{time_text(start_us)} to {time_text(end_us)} UTC, candles of {duration}",
            expected="a longer window or a shorter duration",
            hint="candles are counted from 1970-01-01 00:00 UTC",
        )
    check_count(first, last, length_us, what="candles")
    return CandleGrid(start_us=first, end_us=last, duration_us=length_us)


def _end_us(end: TimeLike | None, through: TimeLike | None) -> int:
    if (end is None) == (through is None):
        given = None if end is None else f"end={end}, through={through}"
        raise ConfigError("a window has one end", value=given, expected="end (exclusive), or through (the last day)")
    if through is None:
        return to_us(end, name="end")  # type: ignore[arg-type] # one of the two is given
    last_us = to_us(through, name="through")
    if last_us % DAY_US:
        raise ConfigError("through names a day", value=through, expected="a date such as 2024-12-31", hint="use end for a time of day")
    return last_us + DAY_US
