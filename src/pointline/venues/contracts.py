"""Tables of venue files that say what a contract is: its size, what an asset holds, and when it is delivered."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pointline.clock import to_us
from pointline.venues.dated import Bounded, Dated, check_filled, check_positive


@dataclass(frozen=True, kw_only=True)
class ContractSize(Dated):
    """What one contract is: quote units (inverse) or base units (linear).

    A size without dates is a unit that the exchange counts in, such as one coin or one US dollar.

    Attributes:
        contract_type: of which contracts.
        default: of all that the others do not name; None where those are not known.
        by_base_asset: by base asset.
        by_pair: by base and quote, e.g. ``BTC-USDT``; it goes before the base asset's.
        as_of: the day on which the source says so, where it has one.
    """

    contract_type: Literal["linear", "inverse"] = "inverse"
    default: float | None = None
    by_base_asset: dict[str, float] = field(default_factory=dict)
    by_pair: dict[str, float] = field(default_factory=dict)
    as_of: dt.date | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(default=self.default, **self.by_base_asset, **self.by_pair)
        message = None
        if self.default is None and not self.by_base_asset and not self.by_pair:
            message = "a contract size needs a default, by_base_asset or by_pair"
        elif (self.valid_from is None) != (self.valid_until is None):
            message = "a contract size has both valid_from and valid_until, or neither"
        if message is not None:
            raise ValueError(message)

    def named(self) -> list[tuple[str, ...]]:
        """Whom it speaks of: pairs and base assets by name, and all contracts of the type as an empty name."""
        return [*((one,) for one in (*self.by_pair, *self.by_base_asset)), *([] if self.default is None else [()])]


@dataclass(frozen=True, kw_only=True)
class Asset(Dated):
    """What one unit of a listed base asset is made of: `multiplier` units of `underlying_asset`."""

    base_asset: str
    underlying_asset: str
    multiplier: int

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(multiplier=self.multiplier)


@dataclass(frozen=True, kw_only=True)
class Delivery(Bounded):
    """When on their last day dated contracts are delivered: all of them, or the linear or inverse ones.

    Attributes:
        time_utc: the time of day in UTC.
        local_time, time_zone: instead of it, where the exchange keeps the time of a place, e.g. 16:00 of ``"Europe/London"``.
        contract_type: of which contracts; None for all.
        settlement: what the contract is settled at, where the source says so.
    """

    time_utc: dt.time | None = None
    local_time: dt.time | None = None
    time_zone: str | None = None
    contract_type: Literal["linear", "inverse"] | None = None
    settlement: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_filled(settlement=self.settlement, time_zone=self.time_zone)
        message = None
        if (self.time_utc is None) == (self.local_time is None) or (self.local_time is None) != (self.time_zone is None):
            message = "a delivery has time_utc, or local_time with time_zone"
        elif self.time_zone is not None:
            try:
                ZoneInfo(self.time_zone)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                message = f"there is no time zone {self.time_zone!r}"
        if message is not None:
            raise ValueError(message)

    @property
    def text(self) -> str:
        """The time of day as tables show it, e.g. ``08:00 UTC``."""
        return f"{self.time_utc:%H:%M} UTC" if self.time_utc is not None else f"{self.local_time:%H:%M} {self.time_zone}"

    def on(self, day: dt.date) -> int:
        """The delivery of a day, microseconds UTC."""
        if self.time_utc is not None:
            return to_us(dt.datetime.combine(day, self.time_utc, dt.UTC))
        assert self.local_time is not None  # noqa: S101 - said in __post_init__
        return to_us(dt.datetime.combine(day, self.local_time, ZoneInfo(self.time_zone or "UTC")))
