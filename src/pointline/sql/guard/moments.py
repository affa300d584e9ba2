"""Times that a statement writes out, as far as its text shows them: within which bounds each of them lies.

Bounds instead of one time: texts have no time zone of their own, ``now()`` is the time when the statement runs, and some functions round
down. What the text does not show plainly has no bounds.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, TypeAlias

from pointline.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from pointline.sql.guard.trees import Tree, arguments_of

if TYPE_CHECKING:
    from collections.abc import Mapping

Bounds: TypeAlias = tuple[int, int]  # both included, in microseconds UTC

FIRST_US, LAST_US = 31_536_000 * SECOND_US, 4_102_444_800 * SECOND_US
"""The years 1971 to 2099: not far beyond, the engine's types begin anew."""

_ZONE_US = DAY_US  # a time of another zone lies less than a day off
_MONTH_US = 31 * DAY_US
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?Z?)?", re.ASCII)
_TIME_TYPE = re.compile(r"(?:Nullable\()?Date(?:32|Time(?:32|64)?)?\b.*")
_UNITS_US = {"Second": SECOND_US, "Minute": MINUTE_US, "Hour": HOUR_US, "Day": DAY_US, "Week": 7 * DAY_US}
_CASTS = frozenset({"toDate", "toDate32", "toDateTime", "toDateTime32", "toDateTime64", "CAST", "_CAST"})
_NOW = {"now": 0, "now64": 0, "today": DAY_US, "yesterday": 2 * DAY_US}  # and how far they may lie back
_UNIX_US = {
    "toDateTime": SECOND_US,
    "toDateTime64": SECOND_US,
    "fromUnixTimestamp": SECOND_US,
    "fromUnixTimestamp64Milli": 1_000,
    "fromUnixTimestamp64Micro": 1,
}
_ROUNDED_US = {
    **dict.fromkeys(("toStartOfMinute", "toStartOfFiveMinutes", "toStartOfTenMinutes", "toStartOfFifteenMinutes"), HOUR_US),
    **dict.fromkeys(("toStartOfHour", "toStartOfDay"), DAY_US),
    **dict.fromkeys(("toStartOfWeek", "toMonday", "toStartOfMonth"), _MONTH_US),
}
_SHIFTS = {f"{verb}{unit}s": sign * us for verb, sign in (("add", 1), ("subtract", -1)) for unit, us in _UNITS_US.items()}
_INTERVALS = {f"toInterval{unit}": us for unit, us in _UNITS_US.items()}
FUNCTIONS = frozenset({*_CASTS, *_NOW, *_UNIX_US, *_ROUNDED_US, *_SHIFTS, *_INTERVALS, "plus", "minus"})
"""The functions whose names are taken at their word."""


def bounds_of(node: Tree, parameters: Mapping[str, str], now_us: int) -> Bounds | None:
    """Within which bounds a time lies; None where the text does not show it.

    Args:
        node: of the time.
        parameters: values of the statement's `{name:Type}`, as the engine reads them.
        now_us: the time now, UTC.
    """
    found = _bounds(node, parameters, now_us)
    return found if found is not None and found[0] >= FIRST_US and found[1] < LAST_US else None


def _bounds(node: Tree, parameters: Mapping[str, str], now_us: int) -> Bounds | None:
    kind, name, arguments = node.get("type"), str(node.get("name")), arguments_of(node)
    if kind == "QueryParameter":
        is_time = node.get("param_type") == "String" or _TIME_TYPE.fullmatch(str(node.get("param_type"))) is not None
        return _of_text(parameters.get(name, "")) if is_time else None
    if kind == "Literal":
        return _of_text(_value(node, "String") or "")
    if kind != "Function" or name not in FUNCTIONS:
        return None
    if name in _NOW:
        return now_us - _ZONE_US - _NOW[name], now_us + _ZONE_US
    if name in _UNIX_US and arguments and (number := _whole(arguments[0])) is not None:
        return number * _UNIX_US[name], number * _UNIX_US[name]
    inner = bounds_of(arguments[0], parameters, now_us) if arguments and not name.startswith("fromUnix") else None
    return None if inner is None else _moved(inner, name, arguments)


def _moved(inner: Bounds, name: str, arguments: list[Tree]) -> Bounds | None:
    """What a function makes of a time with these bounds."""
    low, high = inner
    if name in _CASTS:
        kind = (_value(arguments[1], "String") or "") if name in {"CAST", "_CAST"} and len(arguments) > 1 else name.removeprefix("to")
        if _TIME_TYPE.fullmatch(kind) is None:
            return None
        return (low, high) if "Time" in kind else (low - DAY_US, high)  # to a date is rounded down
    if name in _ROUNDED_US:
        return low - _ROUNDED_US[name], high
    by_us = _shift_us(name, arguments)
    return None if by_us is None else (low + by_us, high + by_us)


def _shift_us(name: str, arguments: list[Tree]) -> int | None:
    if len(arguments) != 2:  # noqa: PLR2004 - the time and what it is moved by
        return None
    by = arguments[1]
    if name in _SHIFTS:
        return None if (count := _whole(by)) is None else count * _SHIFTS[name]
    if name not in {"plus", "minus"} or by.get("type") != "Function" or str(by.get("name")) not in _INTERVALS:
        return None
    count = _whole(next(iter(arguments_of(by)), {}))
    return None if count is None else count * _INTERVALS[str(by["name"])] * (1 if name == "plus" else -1)


def _of_text(text: str) -> Bounds | None:
    try:
        found = dt.datetime.fromisoformat(text) if _TIME.fullmatch(text) else None
    except ValueError:
        return None
    if found is None:
        return None
    us = int(found.replace(tzinfo=dt.UTC).timestamp()) * SECOND_US
    return us - _ZONE_US, us + _ZONE_US


def _value(node: Tree, kind: str) -> str | None:
    value = node.get("value") if node.get("type") == "Literal" else None
    return str(value["value"]) if isinstance(value, dict) and value.get("field_type") == kind else None


def _whole(node: Tree) -> int | None:
    text = _value(node, "UInt64") or _value(node, "Int64")
    return int(text) if text is not None and re.fullmatch(r"-?\d{1,18}", text) else None
