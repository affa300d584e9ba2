"""The looks of a page: the colours of charts as those of its text, and its style sheet."""

from __future__ import annotations

from importlib import resources
from string import Template

from pointline.report.colours import GRID, GROUND, INK, MUTED, ZERO, Colour
from pointline.report.panels import FONT

PANEL = Colour("#f5f7fa", "#1a2230")
LINK = Colour("#1459b3", "#86b6ff")
GOOD = Colour("#0a6b55", "#8ee6c8")
CAUTION = Colour("#8a4b00", "#ffc078")
BAD = Colour("#b3261e", "#ff9d94")

_COLOURS = {
    "ground": GROUND,
    "ink": INK,
    "muted": MUTED,
    "line": GRID,
    "rule": ZERO,
    "panel": PANEL,
    "link": LINK,
    "good": GOOD,
    "caution": CAUTION,
    "bad": BAD,
}


def style() -> str:
    """The style sheet of a page, for light and dark screens and for paper."""
    template = Template(resources.files("pointline.report").joinpath("page.css").read_text(encoding="utf-8"))
    told = {scheme: " ".join(f"--{name}: {getattr(colour, scheme)};" for name, colour in _COLOURS.items()) for scheme in ("light", "dark")}
    return template.substitute(font=FONT, **told)
