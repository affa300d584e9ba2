"""Time as the whole project counts it: int64 microseconds since 1970-01-01 00:00 UTC, intervals half-open ``[start, end)``."""

from __future__ import annotations

import datetime as dt
import re
from typing import TypeAlias

from pointline.errors import ConfigError

DAY_US = 86_400_000_000
HOUR_US = 3_600_000_000
MINUTE_US = 60_000_000
SECOND_US = 1_000_000

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MIN_US = 1_230_768_000_000_000  # 2009-01-01: no coin traded before
_MAX_US = 4_133_980_800_000_000  # 2101-01-01

_DURATION = re.compile(r"(\d+)\s*(us|ms|s|m|h|d|w)")
_DURATION_US = {"us": 1, "ms": 1_000, "s": SECOND_US, "m": MINUTE_US, "h": HOUR_US, "d": DAY_US, "w": 7 * DAY_US}

TimeLike: TypeAlias = int | str | dt.date | dt.datetime


def to_us(value: TimeLike, *, name: str = "time") -> int:
    """Microseconds UTC of a clock string, date, datetime or integer.

    A bare date is that day's midnight UTC; a string or datetime without an offset is UTC; an integer is already
    microseconds, and one that is evidently seconds, milliseconds or nanoseconds is refused rather than guessed.

    Raises:
        ConfigError: the value is of another type, unreadable, or outside 2009 to 2100.

    >>> to_us("2024-05-01")
    1714521600000000
    >>> to_us("2024-05-01 02:00+02:00") == to_us(dt.date(2024, 5, 1))
    True
    """
    if isinstance(value, bool):
        raise _unreadable(value, name)
    if isinstance(value, int):
        return _checked(value, value, name)
    if isinstance(value, str):
        return _from_text(value, name)
    if isinstance(value, dt.datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
        return _checked((aware - _EPOCH) // dt.timedelta(microseconds=1), value, name)
    if isinstance(value, dt.date):
        return _checked((value - _EPOCH.date()).days * DAY_US, value, name)
    raise _unreadable(value, name)


def _from_text(value: str, name: str) -> int:
    text = value.strip()
    if re.fullmatch(r"\d{12,}", text):
        return _checked(int(text), value, name)
    try:
        parsed = dt.datetime.fromisoformat(text)
    except ValueError:
        raise _unreadable(value, name) from None
    return to_us(parsed, name=name)


def _checked(us: int, value: object, name: str) -> int:
    if not _MIN_US <= us < _MAX_US:
        raise ConfigError(
            f"{name} lies outside 2009 to 2100 when read as microseconds UTC",
            value=value,
            expected="an integer in microseconds since 1970 (16 digits today), a date, a datetime or an ISO string",
            hint="seconds, milliseconds and nanoseconds are not guessed: multiply or divide first",
        )
    return us


def _unreadable(value: object, name: str) -> ConfigError:
    return ConfigError(
        f"{name} cannot be read as a time",
        value=value,
        expected="'2024-05-01', '2024-05-01 12:30:00', '2024-05-01T12:30:00+02:00', a date, a datetime or integer microseconds",
    )


def to_duration_us(value: int | str | dt.timedelta, *, name: str = "duration") -> int:
    """Microseconds of a duration: an integer (already microseconds), a timedelta, or text such as ``"90s"`` or ``"1h30m"``.

    >>> to_duration_us("1m")
    60000000
    """
    if isinstance(value, dt.timedelta):
        return value // dt.timedelta(microseconds=1)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        text = value.strip().lower()
        parts = _DURATION.findall(text)
        if parts and _DURATION.sub("", text).strip() == "":
            return sum(int(count) * _DURATION_US[unit] for count, unit in parts)
    raise ConfigError(
        f"{name} cannot be read as a duration",
        value=value,
        expected="integer microseconds, a timedelta, or text such as '1m', '90s', '1h30m', '1d'",
    )


def day_start(us: int) -> int:
    """00:00 UTC of the day that holds `us`."""
    return us - us % DAY_US


def days_in(start_us: int, end_us: int) -> list[int]:
    """The 00:00 UTC stamps of all days that touch ``[start_us, end_us)``."""
    return list(range(day_start(start_us), end_us, DAY_US))


def next_month(us: int) -> int:
    """00:00 UTC of the first of the month after the one that holds `us`."""
    year, month = int(date_text(us)[:4]), int(date_text(us)[5:7])
    return to_us(f"{year + month // 12:04d}-{month % 12 + 1:02d}-01")


def date_text(us: int) -> str:
    """``YYYY-MM-DD`` of the UTC day that holds `us`."""
    return (_EPOCH + dt.timedelta(microseconds=us)).date().isoformat()


def time_text(us: int) -> str:
    """ISO time in UTC with as many decimals as needed, e.g. ``2024-05-01 12:00:00.5``."""
    moment = _EPOCH + dt.timedelta(microseconds=us)
    text = moment.strftime("%Y-%m-%d %H:%M:%S")
    return f"{text}.{us % SECOND_US:06d}".rstrip("0") if us % SECOND_US else text
