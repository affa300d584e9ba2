"""The chart of the documentation: time against the floor, and peak memory, of every contender of one window."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Any

from contenders import CONTENDERS, FLOOR, MAIN

if TYPE_CHECKING:
    from pathlib import Path

_WIDTH, _ROW, _TOP = 900, 30, 74
_LABEL, _PANEL, _GAP = 190, 290, 60
_DOT, _FOR_LABEL = 6, 58
_STEPS = (1, 2, 5)
_ROOM = 1.12  # the scale goes on so far beyond the smallest and the largest value
_STYLE = """
.ground { fill: #ffffff } text { fill: #1f2933 } .tick { fill: #5b6776 } .grid { stroke: #d9dfe7 } .floor { stroke: #8b98a6 }
.lead { stroke: #c3ccd6; stroke-dasharray: 1 4 } .ours { fill: #c2255c } .others { fill: #6b7a89 }
@media (prefers-color-scheme: dark) {
.ground { fill: #131922 } text { fill: #e4e9ef } .tick { fill: #9aa7b6 } .grid { stroke: #2a3441 } .floor { stroke: #66758a }
.lead { stroke: #465364 } .ours { fill: #ff8fb3 } .others { fill: #9aa7b6 } }
"""
_NAMES = {
    MAIN: "pointline, all features",
    "pointline-file": "pointline, into a file",
    "pointline-repeat": "pointline, asked again",
    FLOOR: "floor: decode only",
    "polars": "Polars by hand, no join",
    "guide": "the guide, step by step",
    "duckdb": "DuckDB",
    "chdb": "ClickHouse in process",
    "finmlkit": "finmlkit, perp alone",
    "mlfinpy": "mlfinpy, perp alone",
    "nautilus": "NautilusTrader, perp alone",
}


def chosen_window(results: dict[str, Any]) -> dict[str, Any]:
    """The longest window among those that no contender of the same rule was too slow or too large for."""
    same = {contender.name for contender in CONTENDERS if contender.same_rule}
    complete = [window for window in results["windows"] if not same & window["left_out"].keys()]
    return max(complete or results["windows"], key=lambda window: window["days"])


def svg(window: dict[str, Any]) -> str:
    """Dots on logarithmic scales: seconds of the whole process over those of the floor, and peak megabytes; for light and dark screens."""
    cases = {contender.name: window["cases"][contender.name] for contender in CONTENDERS if _measured(window, contender.name)}
    floor_s = cases[FLOOR]["wall_s"]
    order = sorted(cases, key=lambda name: cases[name]["wall_s"])
    times = [cases[name]["wall_s"] / floor_s for name in order]
    memory = [cases[name]["peak_mb"] for name in order]
    height = _TOP + _ROW * len(order) + 30
    plural = "s" if window["days"] > 1 else ""
    title = f"{window['rows'] / 1e6:,.1f} million trades of {window['days']} day{plural} to bars"
    font = 'font-family="system-ui, sans-serif" font-size="13"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" {font} role="img"><title>{title}</title>',
        f"<style>{_STYLE}</style>",
        f'<rect class="ground" width="{_WIDTH}" height="{height}"/>',
        f'<text x="16" y="26" font-size="16" font-weight="600">{title}</text>',
        *_panel(order, times, _LABEL, "time of the process ÷ floor (log scale)", "{:.1f} ×"),
        *_panel(order, memory, _LABEL + _PANEL + _GAP, "peak memory in MB (log scale)", "{:,.0f} MB"),
    ]
    for number, name in enumerate(order):
        weight = ' font-weight="600"' if name == MAIN else ""
        parts.append(f'<text x="{_LABEL - 14}" y="{_middle(number) + 5}" text-anchor="end"{weight}>{escape(_NAMES[name])}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _measured(window: dict[str, Any], name: str) -> bool:
    case = window["cases"].get(name)
    return name in _NAMES and case is not None and case["wall_s"] is not None


def _middle(number: int) -> int:
    return _TOP + _ROW * number + _ROW // 2


def _ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten between two values."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [tick for power in powers for step in _STEPS if low <= (tick := step * 10.0**power) <= high]


def _panel(order: list[str], values: list[float], left: int, title: str, form: str) -> list[str]:
    """A dot for each value, with the floor's value as a line through all rows."""
    low, high = min(values) / _ROOM, max(values) * _ROOM

    def at(value: float) -> float:
        return left + (_PANEL - _FOR_LABEL) * math.log(value / low) / math.log(high / low)

    bottom = _TOP + _ROW * len(order)
    parts = [f'<text x="{left}" y="{_TOP - 16}" font-size="12">{escape(title)}</text>']
    for tick in _ticks(low, high):
        x = at(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{bottom}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 17}" font-size="11" text-anchor="middle">{tick:,g}</text>')
    x = at(values[order.index(FLOOR)])
    parts.append(f'<line class="floor" x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{bottom}"/>')
    for number, (name, value) in enumerate(zip(order, values, strict=True)):
        kind, y = "ours" if name.startswith(MAIN) else "others", _middle(number)
        parts.append(f'<line class="lead" x1="{left}" y1="{y}" x2="{at(value):.1f}" y2="{y}"/>')
        parts.append(f'<circle class="{kind}" cx="{at(value):.1f}" cy="{y}" r="{_DOT}"/>')
        weight = ' font-weight="600"' if name == MAIN else ""
        label = escape(form.format(value))
        parts.append(f'<text x="{at(value) + _DOT + 5:.1f}" y="{y + 4}" font-size="12"{weight}>{label}</text>')
    return parts


def write_chart(path: Path, results: dict[str, Any]) -> None:
    """The chart of the run as SVG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(svg(chosen_window(results)), encoding="utf-8")
