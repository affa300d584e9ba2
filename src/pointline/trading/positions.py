"""Positions: at which bars one is begun and ended, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointline.trading.thresholds import Wishes

    Ints: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
    Mask: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]

Reason = Literal["signal", "max_holding", "margin", "delivery", "end_of_data"]
OPEN = -1
"""In place of the bar of an exit that no fill was found for."""


@dataclass(frozen=True)
class Position:
    """One position.

    Attributes:
        side: +1 long, -1 short.
        entry: the bar at whose end it was decided to begin.
        exit: the bar at whose end it was decided to end it and from which a fill was found; `OPEN` if there was none.
        decided: the bar at whose end it was first decided to end it; `OPEN` if it was not.
        reason: why it ended.
    """

    side: int
    entry: int
    exit: int
    decided: int
    reason: Reason


@dataclass(frozen=True, eq=False)
class Timeline:
    """The bars that positions are decided on.

    Attributes:
        known_us: shape (n,), the ends of the bars.
        filled: shape (n,), whether a decision of each bar is filled.
        done_us: shape (n,), when it is filled whole.
    """

    known_us: Ints
    filled: Mask
    done_us: Ints


def find_positions(
    wishes: Wishes, timeline: Timeline, *, max_holding_us: int | None = None, breach: Callable[[int, int, int, int], int] | None = None
) -> list[Position]:
    """The positions that follow from what the signal asks for.

    There is one position at a time. It is begun at the first bar that asks for one and can be filled; a bar that cannot is passed over.
    It ends at the first bar known after the fill that asks for its end, whose holding time is over, or whose margin is used up. An end
    that cannot be filled is tried again at each later bar. The next position is decided at a bar known after that fill.

    Args:
        wishes: of each bar.
        timeline: of the same bars.
        max_holding_us: longest time from the fill on; None for no limit.
        breach: given side, entry bar, first bar after the fill and the bar to stop before: the first bar between these two in which the
            margin is used up, or the last of them if there is none.
    """
    n = len(timeline.known_us)
    entries = np.flatnonzero((wishes.enter_long | wishes.enter_short) & timeline.filled)
    exits = {1: np.flatnonzero(wishes.exit_long), -1: np.flatnonzero(wishes.exit_short)}
    fillable = np.flatnonzero(timeline.filled)
    found: list[Position] = []
    free = 0
    while True:
        place = int(np.searchsorted(entries, free))
        if place == len(entries):
            return found
        entry = int(entries[place])
        side = 1 if wishes.enter_long[entry] else -1
        begun_us = timeline.done_us[entry]
        held = int(np.searchsorted(timeline.known_us, begun_us, side="right"))  # a bar that ends with the fill tells what was before it
        ends: dict[Reason, int] = {"signal": _first(exits[side], held, n)}
        if max_holding_us is not None:
            ends["max_holding"] = int(np.searchsorted(timeline.known_us, begun_us + max_holding_us))
        reason = min(ends, key=lambda name: ends[name])
        decided = min(ends[reason], n)
        if breach is not None and (used_up := breach(side, entry, held, decided)) < decided:
            reason, decided = "margin", used_up
        last = _first(fillable, decided, n)
        if last >= n:
            found.append(Position(side, entry, OPEN, decided if decided < n else OPEN, "end_of_data"))
            return found
        found.append(Position(side, entry, last, decided, reason))
        free = int(np.searchsorted(timeline.known_us, timeline.done_us[last], side="right"))


def _first(places: Ints, begin: int, none: int) -> int:
    """The first of rising numbers that is not below `begin`, or `none`."""
    at = int(np.searchsorted(places, begin))
    return int(places[at]) if at < len(places) else none
