"""Funding cash flows as a plain loop over positions and settlements, to be read and checked by eye."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

HOUR_US = 3_600_000_000


class Position(NamedTuple):
    position_id: int
    entry_us: int
    exit_us: int | None
    quantity: float


class Settlement(NamedTuple):
    funding_us: int
    rate: float
    hours: float
    mark: float | None


class Mark(NamedTuple):
    ts_us: int
    price: float
    source: str


class Flow(NamedTuple):
    position_id: int
    funding_us: int
    rate: float | None
    mark: float | None
    age_us: int | None
    cash: float | None
    cumulative: float
    status: str


@dataclass
class Contract:
    inverse: bool
    size: float
    ends_us: int | None = None


def expected_stamps(settlements: list[Settlement], first_us: int, last_us: int) -> dict[int, Settlement | None]:
    """The known settlements, and None at each that must have taken place; `settlements` in order, at least one."""
    found: dict[int, Settlement | None] = {}
    oldest = settlements[0]
    stamp = oldest.funding_us - round(oldest.hours * HOUR_US)
    while stamp > first_us:
        found[stamp] = None
        stamp -= round(oldest.hours * HOUR_US)
    for before, after in pairwise(settlements):
        step = round(max(before.hours, after.hours) * HOUR_US)
        stamp = before.funding_us + step
        while after.funding_us - stamp >= step / 2:  # nearer to the next settlement than half a step is that settlement
            found[stamp] = None
            stamp += step
    newest = settlements[-1]
    stamp = newest.funding_us + round(newest.hours * HOUR_US)
    while stamp <= last_us:
        found[stamp] = None
        stamp += round(newest.hours * HOUR_US)
    found |= {one.funding_us: one for one in settlements}
    return dict(sorted(found.items()))


def mark_at(us: int, one: Settlement, marks: list[Mark], limit_us: int) -> tuple[float | None, int | None]:
    """The price that a settlement counts at, and its age."""
    if one.mark is not None:
        return one.mark, 0
    before = [mark for mark in marks if mark.ts_us <= us]
    if not before:
        return None, None
    last = max(before, key=lambda mark: mark.ts_us)
    age = us - last.ts_us
    return (last.price if age <= limit_us else None), age


def flows(
    positions: list[Position], settlements: list[Settlement], marks: list[Mark], contract: Contract, data_end_us: int, limit_us: int
) -> list[Flow]:
    """What each position paid and received, position by position."""
    end_us = data_end_us if contract.ends_us is None else min(data_end_us, contract.ends_us)
    untils = [end_us if one.exit_us is None else min(one.exit_us, end_us) for one in positions]
    stamps = expected_stamps(settlements, min(one.entry_us for one in positions), max(untils))
    found = []
    for number in sorted({one.position_id for one in positions}):
        total = 0.0
        for us, settled in stamps.items():
            for position, until_us in zip(positions, untils, strict=True):
                if position.position_id != number or not position.entry_us < us <= until_us:
                    continue
                if settled is None:
                    found.append(Flow(number, us, None, None, None, None, total, "no settlement"))
                    continue
                price, age = mark_at(us, settled, marks, limit_us)
                if price is None:
                    found.append(Flow(number, us, settled.rate, None, age, None, total, "no mark"))
                    continue
                if contract.inverse:
                    cash = -position.quantity * contract.size / price * settled.rate
                else:
                    cash = -position.quantity * price * settled.rate
                total += cash
                found.append(Flow(number, us, settled.rate, price, age, cash, total, "paid"))
    return found
