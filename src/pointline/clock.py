"""Time as the whole project counts it: int64 microseconds since 1970-01-01 00:00 UTC, intervals half-open ``[start, end)``."""

from __future__ import annotations

import datetime as dt
import re
import sys
from numbers import Integral
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

from pointline.errors import ConfigError

DAY_US = 86_400_000_000
HOUR_US = 3_600_000_000
MINUTE_US = 60_000_000
SECOND_US = 1_000_000

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MIN_US = 1_230_768_000_000_000  # 2009-01-01: no coin traded before
_MAX_US = 4_133_980_800_000_000  # 2101-01-01

_DURATION = re.compile(r"(\d{1,18})\s*(us|ms|s|m|h|d|w)", re.ASCII)
_DURATION_US = {"us": 1, "ms": 1_000, "s": SECOND_US, "m": MINUTE_US, "h": HOUR_US, "d": DAY_US, "w": 7 * DAY_US}
_DURATION_UNITS = [(unit, size) for unit, size in reversed(_DURATION_US.items()) if unit != "w"]
_DURATION_FORMS = "text such as '1m', '90s', '1h30m' or '1d', a timedelta, or integer microseconds"
_LONGEST_US = 1 << 62

if TYPE_CHECKING:
    import numpy as np

TimeLike: TypeAlias = "int | str | dt.date | dt.datetime | np.datetime64"
DurationLike: TypeAlias = "int | str | dt.timedelta | np.timedelta64"

BARE_FLOOR_US = 100_000
"""A duration below a tenth of a second needs a unit: seconds up to a day (86400) and milliseconds up to 100 s lie below it."""

MOST_BARS = 20_000_000
"""Bars, or candles of a grid, that are held at a time; a table of as many bars with all features takes some 20 GB."""


def to_us(value: TimeLike, *, name: str = "time") -> int:
    """Microseconds UTC of a clock string, date, datetime (also of numpy or pandas) or integer.

    A bare date is that day's midnight UTC; a string or datetime without an offset is UTC; an integer is already
    microseconds, and one that is evidently seconds, milliseconds or nanoseconds is refused rather than guessed. Nanoseconds of a numpy
    or pandas time are cut off.

    Raises:
        ConfigError: the value is of another type, unreadable, or outside 2009 to 2100.

    Examples:
        >>> to_us("2024-05-01")
        1714521600000000
        >>> to_us("2024-05-01 02:00+02:00") == to_us(dt.date(2024, 5, 1))
        True
    """
    if isinstance(value, bool):
        raise _unreadable(value, name)
    if is_whole(value):
        return _checked(int(value), value, name)
    if isinstance(value, str):
        return _from_text(value, name)
    if _is_numpy(value, "datetime64"):
        return _checked(_numpy_us(value, "datetime64[us]"), value, name)
    if isinstance(value, dt.datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
        return _checked((aware - _EPOCH) // dt.timedelta(microseconds=1), value, name)
    if isinstance(value, dt.date):
        return _checked((value - _EPOCH.date()).days * DAY_US, value, name)
    raise _unreadable(value, name)


def is_whole(value: object) -> TypeGuard[int]:
    """Whether a value is an integer, one of numpy too, and not a truth value."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_numpy(value: object, kind: str) -> bool:
    """Whether a value is a scalar of numpy; where numpy was never imported, there is none."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, getattr(numpy, kind))


def _numpy_us(value: Any, kind: str) -> int:  # noqa: ANN401 - numpy is not imported here
    """Microseconds of a numpy time or duration; "not a time" is the smallest integer, which lies outside every range."""
    return int(value.astype(kind).astype("int64"))


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


def to_duration_us(value: DurationLike, *, name: str = "duration", least_us: int = 1) -> int:
    """Microseconds of a duration: text with units such as ``"90s"`` or ``"1h30m"``, a timedelta, or an integer, already microseconds.

    An integer has no unit of its own, and one below `BARE_FLOOR_US` (60, 3600 and 86400 too) is evidently a number of seconds or
    milliseconds: it is refused rather than guessed. With a unit any duration can be written (``"60us"``). Zero is zero in every unit.

    Args:
        value: the duration.
        name: what it is, for the error.
        least_us: the shortest that makes sense here.

    Raises:
        ConfigError: the value is of another type, unreadable, a bare number that is evidently not microseconds, or out of range.

    Examples:
        >>> to_duration_us("1m")
        60000000
    """
    us = _duration_us(value, name)
    if us < least_us:
        what = "must not be negative" if us < 0 else "must be positive" if least_us == 1 else "is too short"
        raise ConfigError(f"{name} {what}", value=value, expected="zero or more" if not least_us else f"{duration_text(least_us)} or more")
    if us > _LONGEST_US:
        raise ConfigError(f"{name} is longer than can be counted", value=value, expected=f"up to {_LONGEST_US} microseconds")
    return us


def _duration_us(value: DurationLike, name: str) -> int:
    if _is_numpy(value, "timedelta64"):
        return _numpy_us(value, "timedelta64[us]")
    if isinstance(value, dt.timedelta):
        return value // dt.timedelta(microseconds=1)
    if is_whole(value):
        count = int(value)
        if 0 < count < BARE_FLOOR_US and not isinstance(value, _Microseconds):
            raise _without_unit(count, value, name)
        return count
    if isinstance(value, str):
        return _us_of_text(value.strip(), name)
    raise ConfigError(f"{name} cannot be read as a duration", value=value, expected=_DURATION_FORMS)


def _us_of_text(text: str, name: str) -> int:
    parts = _DURATION.findall(text.lower())
    if parts and _DURATION.sub("", text.lower()).strip() == "":
        if re.search("M(?![sS])", text):
            raise ConfigError(f"{name} can be read as minutes or months", value=text, expected="'1m' for a minute, '30d' for a month")
        return sum(int(count) * _DURATION_US[unit] for count, unit in parts)
    if re.fullmatch(r"\d{1,18}", text, re.ASCII):
        if int(text) == 0:
            return 0
        raise _without_unit(int(text), text, name)
    raise ConfigError(f"{name} cannot be read as a duration", value=text, expected=_DURATION_FORMS)


def _without_unit(count: int, value: object, name: str) -> ConfigError:
    written = f"'{count}s' or {count * SECOND_US:_} for seconds, '{count}m' for minutes, '{count}us' for microseconds"
    meant = f"{count} reads as {count} µs; write {written}" if not isinstance(value, str) else f"write {written}"
    return ConfigError(f"{name} has no unit", value=value, expected=_DURATION_FORMS, hint=meant)


class _Microseconds(int):
    """A duration that was read before, so that its unit is known: a copy of the object that holds it reads it again as it is."""


class DurationField:
    """A field of a dataclass that is given as any duration and held in microseconds.

    Args:
        default_us: its value where none is given.
        least_us: the shortest that makes sense.
    """

    def __init__(self, default_us: int, *, least_us: int = 1) -> None:
        self._default_us = default_us
        self._least_us = least_us

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object | None, owner: type) -> int:
        return self._default_us if instance is None else _Microseconds(vars(instance)[self._name])

    def __set__(self, instance: object, value: DurationLike) -> None:
        vars(instance)[self._name] = to_duration_us(value, name=self._name, least_us=self._least_us)


def duration_text(us: int) -> str:
    """A duration in its largest whole unit, as `to_duration_us` reads it.

    Examples:
        >>> duration_text(90_000_000)
        '90s'
    """
    unit, size = next((unit, size) for unit, size in _DURATION_UNITS if us % size == 0)
    return f"{us // size}{unit}"


def check_count(start_us: int, end_us: int, length_us: int, *, what: str = "bars", hint: str | None = None) -> None:
    """Refuses a range that would make more than `MOST_BARS` windows of one length, before any is made.

    Raises:
        ConfigError: it would.
    """
    count = -(-(end_us - start_us) // length_us)
    if count > MOST_BARS:
        raise ConfigError(
            f"the range would make {count:,} {what}, more than are held at a time",
            value=f"{what} of {duration_text(length_us)} from {time_text(start_us)} to {time_text(end_us)}",
            expected=f"at most {MOST_BARS:,}",
            hint=hint or "choose longer ones or a shorter range",
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


def window_us(start: TimeLike, end: TimeLike) -> tuple[int, int]:
    """Start and end in microseconds.

    Raises:
        ConfigError: the window is empty or backwards.
    """
    start_us, end_us = to_us(start, name="start"), to_us(end, name="end")
    if end_us <= start_us:
        raise ConfigError(
            "the window is empty: the end must come after the start",
            value=f"{start} to {end}",
            hint="the end is exclusive: one day is start=2024-05-01, end=2024-05-02",
        )
    return start_us, end_us
