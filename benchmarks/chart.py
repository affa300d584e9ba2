"""The chart of the documentation: time against the floor, and peak memory, of every contender of one window."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Any

from contenders import CONTENDERS, FLOOR, MAIN

if TYPE_CHECKING:
    from pathlib import Path

_WIDTH, _ROW, _TOP = 900, 30, 74
_LABEL, _PANEL, _GAP = 250, 250, 70
_INK, _FAINT, _OURS, _OTHERS, _GROUND = "#1f2933", "#d5dbe1", "#d1495b", "#7a8b99", "#ffffff"
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
    """Horizontal bars on logarithmic scales: seconds of the whole process over those of the floor, and peak megabytes."""
    cases = {contender.name: window["cases"][contender.name] for contender in CONTENDERS if _measured(window, contender.name)}
    floor_s = cases[FLOOR]["wall_s"]
    order = sorted(cases, key=lambda name: cases[name]["wall_s"])
    times = [cases[name]["wall_s"] / floor_s for name in order]
    memory = [cases[name]["peak_mb"] for name in order]
    height = _TOP + _ROW * len(order) + 30
    plural = "s" if window["days"] > 1 else ""
    title = f"{window['rows'] / 1e6:,.1f} million trades of {window['days']} day{plural} to bars"
    font = f'font-family="system-ui, sans-serif" font-size="13" fill="{_INK}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" {font} role="img"><title>{title}</title>',
        f'<rect width="{_WIDTH}" height="{height}" fill="{_GROUND}"/>',
        f'<text x="16" y="26" font-size="16" font-weight="600">{title}</text>',
        *_panel(order, times, _LABEL, "time, process ÷ floor (log scale)", "{:.1f} ×"),
        *_panel(order, memory, _LABEL + _PANEL + _GAP, "peak memory, MB (log scale)", "{:,.0f}"),
    ]
    for number, name in enumerate(order):
        weight = ' font-weight="600"' if name == MAIN else ""
        parts.append(f'<text x="{_LABEL - 12}" y="{_middle(number)}" text-anchor="end"{weight}>{escape(_NAMES[name])}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _measured(window: dict[str, Any], name: str) -> bool:
    case = window["cases"].get(name)
    return name in _NAMES and case is not None and case["wall_s"] is not None


def _middle(number: int) -> int:
    return _TOP + _ROW * number + 19


def _panel(order: list[str], values: list[float], left: int, title: str, form: str) -> list[str]:
    """Bars from the power of ten below the smallest value to the one above the largest."""
    low = math.floor(math.log10(min(values)) + 1e-9)
    high = max(low + 1, math.ceil(math.log10(max(values))))
    if min(values) < 1.05 * 10.0**low:
        low -= 1  # the shortest bar can be seen

    def at(value: float) -> float:
        return left + _PANEL * (math.log10(value) - low) / (high - low)

    bottom = _TOP + _ROW * len(order)
    parts = [f'<text x="{left}" y="{_TOP - 22}" font-size="12">{escape(title)}</text>']
    for power in range(low, high + 1):
        x = at(10.0**power)
        parts.append(f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{bottom}" stroke="{_FAINT}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" font-size="11" text-anchor="middle">{10.0**power:,g}</text>')
    for number, (name, value) in enumerate(zip(order, values, strict=True)):
        colour = _OURS if name.startswith(MAIN) else _OTHERS
        parts.append(
            f'<rect x="{left}" y="{_TOP + _ROW * number + 5}" width="{at(value) - left:.1f}" height="{_ROW - 10}" rx="2" fill="{colour}"/>'
        )
        parts.append(f'<text x="{at(value) + 6:.1f}" y="{_middle(number)}" font-size="12">{escape(form.format(value))}</text>')
    return parts


def write_chart(path: Path, results: dict[str, Any]) -> None:
    """The chart of the run as SVG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(svg(chosen_window(results)), encoding="utf-8")
