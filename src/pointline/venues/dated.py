"""What all rules of venue files share: a source, dates with bounds, and the search for the one that holds at a time.

A rule holds inside its dates only; outside them there is an error, never a guess. The error says why where a file does (`Unsettled`).
"""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - pydantic reads the annotations at run time
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from pointline.clock import time_text, to_us
from pointline.errors import VenueRuleError

if TYPE_CHECKING:
    from collections.abc import Iterable

UNKNOWN_START_US = 0
FAR_FUTURE_US = 4_133_980_800_000_000

RuleName = Literal["funding", "fee", "delivery", "contract size"]


class Strict:
    """No table of a file has a key that is not a field."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}


@dataclass(frozen=True, kw_only=True)
class Sourced(Strict):
    """What has a source.

    Attributes:
        source: where it is stated, with its confidence.
    """

    source: str

    def __post_init__(self) -> None:
        check_filled(source=self.source)


@dataclass(frozen=True, kw_only=True)
class Dated(Sourced):
    """A rule of some exchanges.

    Attributes:
        exchanges: exchange ids.
        valid_from, valid_until: the dates between which it holds, half-open; None where they are open.
    """

    exchanges: tuple[str, ...]
    valid_from: dt.datetime | None = None
    valid_until: dt.datetime | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_filled(exchanges=self.exchanges)
        check_offset(valid_from=self.valid_from, valid_until=self.valid_until)
        if self.valid_from_us >= self.valid_until_us:
            message = "valid_from must lie before valid_until"
            raise ValueError(message)

    @cached_property
    def valid_from_us(self) -> int:
        """First microsecond of the rule; `UNKNOWN_START_US` where it is open."""
        return UNKNOWN_START_US if self.valid_from is None else to_us(self.valid_from)

    @cached_property
    def valid_until_us(self) -> int:
        """First microsecond after the rule; `FAR_FUTURE_US` where it is open."""
        return FAR_FUTURE_US if self.valid_until is None else to_us(self.valid_until)


@dataclass(frozen=True, kw_only=True)
class Bounded(Dated):
    """A rule that needs both dates."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.valid_from is None or self.valid_until is None:
            message = "valid_from and valid_until are both needed"
            raise ValueError(message)


@dataclass(frozen=True, kw_only=True)
class Unsettled(Bounded):
    """A time for which no source settles a rule, and why: the text that an error shows.

    Attributes:
        rule: of which sort of rule.
        reason: what is known, and what is not.
    """

    rule: RuleName
    reason: str

    def __post_init__(self) -> None:
        super().__post_init__()
        check_filled(reason=self.reason)


def check_filled(**values: str | tuple[str, ...] | None) -> None:
    """Refuses empty values with a ValueError, which pydantic makes part of its own."""
    for name, value in values.items():
        if value is not None and not value:
            message = f"{name} must have at least 1 {'character' if isinstance(value, str) else 'entry'}"
            raise ValueError(message)


def check_positive(**values: float | None) -> None:
    """Refuses values that are not finite and above zero, likewise."""
    for name, value in values.items():
        if value is not None and not (value > 0 and math.isfinite(value)):
            message = f"{name} must be finite and greater than 0, not {value}"
            raise ValueError(message)


def check_offset(**values: dt.datetime | None) -> None:
    """Refuses times without an offset to UTC, likewise."""
    for name, value in values.items():
        if value is not None and value.tzinfo is None:
            message = f"{name} needs a timezone, e.g. {value:%Y-%m-%dT%H:%M:%S}Z"
            raise ValueError(message)


RuleT = TypeVar("RuleT", bound=Dated)


def rule_at(rules: Iterable[RuleT], wanted: str, at_us: int, name: RuleName, unsettled: Iterable[Unsettled] = ()) -> RuleT:
    """The rule of an exchange id that holds at a time.

    Args:
        rules: those of all exchanges.
        wanted: exchange id.
        at_us: microseconds UTC.
        name: what they are rules of, for errors.
        unsettled: times for which no source settles one; the error has their reasons.

    Raises:
        VenueRuleError: the exchange has no such rule, or none is known for that time.
    """
    stated = list(rules)
    own = sorted((rule for rule in stated if wanted in rule.exchanges), key=lambda rule: rule.valid_from_us)
    for rule in own:
        if rule.valid_from_us <= at_us < rule.valid_until_us:
            return rule
    open_then = [one for one in unsettled if one.valid_from_us <= at_us < one.valid_until_us]
    why = [one.reason for one in open_then if one.rule == name and wanted in one.exchanges]
    if not own:
        exchanges = sorted({one for rule in stated for one in rule.exchanges})
        raise VenueRuleError(
            f"the exchange has no {name} rule", value=wanted, expected="one of " + ", ".join(exchanges), hint="; ".join(why) or None
        )
    raise VenueRuleError(
        f"the {name} rule of {wanted} is not known for this time",
        value=time_text(at_us),
        expected=f"a time inside {spans_text((rule.valid_from_us, rule.valid_until_us) for rule in own)} UTC",
        hint="; ".join([*why, "add the rule with its dates and source to a venue file of the lake, or choose another window"]),
    )


def spans_text(spans: Iterable[tuple[int, int]]) -> str:
    """Half-open spans of time as errors show them.

    Examples:
        >>> spans_text([(0, 1_714_521_600_000_000)])
        '[1970-01-01 00:00:00, 2024-05-01 00:00:00)'
    """
    return "; ".join(f"[{time_text(start)}, {time_text(until)})" for start, until in spans)
