"""The colours of charts: one for each role in every chart, each with the one that takes its place on a dark ground.

Figures are drawn in the light ones; the page of a chart puts the dark ones in their place where the reader's screen is dark. The roles, and
neighbours among the dated contracts, stay apart for readers who see no red, green or blue (the simulation of Machado, Oliveira and
Fernandes 2009, doi:10.1109/TVCG.2009.113), and stand out from the ground by a contrast of 3 or more.
"""

from __future__ import annotations

from typing import NamedTuple


class Colour(NamedTuple):
    """A colour on a light ground, and the one of the same meaning on a dark ground, as ``#rrggbb``."""

    light: str
    dark: str


GROUND = Colour("#ffffff", "#131922")
INK = Colour("#1f2933", "#e4e9ef")
MUTED = Colour("#5b6776", "#9aa7b6")
GRID = Colour("#e3e8ee", "#2a3441")
ZERO = Colour("#8b98a6", "#66758a")

PERP = Colour("#2a7de1", "#4f94f7")
SPOT = Colour("#d9730d", "#f2902e")
BASIS = Colour("#0a6b55", "#8ee6c8")
FUNDING = Colour("#6d1b7b", "#eab8f5")

DATED = (
    Colour("#117733", "#a5e8b8"),
    Colour("#b5179e", "#ff9df0"),
    Colour("#2b3440", "#e3e8ee"),
    Colour("#7a4a12", "#c9a06a"),
    Colour("#5c6675", "#8a96a3"),
)
"""Dated contracts in order of delivery, over and over."""

SHADES = (
    Colour("#8cc7b5", "#2f5f52"),
    Colour("#5dad97", "#3f8470"),
    Colour("#36907a", "#52a98f"),
    Colour("#16745f", "#78d0b3"),
    Colour("#064a3b", "#b9f3de"),
)
"""Curves of one kind from the oldest to the newest."""

RISING = (
    Colour("#eef5f2", "#1b2a2b"),
    Colour("#a9d6c7", "#22564b"),
    Colour("#4fa48e", "#3f9079"),
    Colour("#127059", "#7fd4b9"),
    Colour("#043d31", "#d3fbee"),
)
"""Stops of a scale from zero upwards."""

TURNING = (
    Colour("#6b3d08", "#f0c58a"),
    Colour("#c99a5b", "#8d6530"),
    Colour("#f3f3f1", "#222b36"),
    Colour("#6fb8a5", "#2f7564"),
    Colour("#033e32", "#b5f0dc"),
)
"""Stops of a scale on both sides of zero."""


def twins() -> dict[str, str]:
    """The dark colour for each light one."""
    single = (GROUND, INK, MUTED, GRID, ZERO, PERP, SPOT, BASIS, FUNDING)
    return dict((*single, *DATED, *SHADES, *RISING, *TURNING))
