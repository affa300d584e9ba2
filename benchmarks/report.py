"""What was measured as tables: for the terminal, and for the documentation between two marks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contenders import CONTENDERS, FLOOR, MAIN

if TYPE_CHECKING:
    from pathlib import Path

BEGIN, END = "<!-- begin: made by benchmarks/run.py -->", "<!-- end -->"
NONE = "–"
_SMALL = 10.0
_NARROWEST = 165  # a log has no width of its own


@dataclass(frozen=True)
class Sheet:
    """A table of text; the first column is left-aligned, the others are numbers."""

    title: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    note: str = ""


def sheets(results: dict[str, Any]) -> list[Sheet]:
    """All tables of a run."""
    found = []
    if results["ingest"]:
        found.append(_ingest(results["ingest"]))
    found += [_window(window) for window in results["windows"]]
    if results["sweep"]:
        found.append(_sweep(results["sweep"]))
    if results["startup"]:
        found.append(_startup(results["startup"]))
    return found


def _ingest(cases: dict[str, Any]) -> Sheet:
    rows = []
    for name, case in cases.items():
        summary, seconds = case["summary"], case["first_s"]
        if summary is None or seconds is None:
            rows.append((name, *[NONE] * 8))
            continue
        count = summary["rows"]
        rows.append(
            (
                name,
                f"{summary['files']:,}",
                f"{count:,}",
                _number(seconds),
                f"{count / seconds:,.0f}",
                _number(summary["archive_bytes"] / count),
                _number(summary["lake_bytes"] / count),
                _number(summary["disk_bytes"] / count),
                f"{case['peak_mb']:,.0f}",
            )
        )
    return Sheet(
        "Ingest",
        ("archives", "files", "rows", "s", "rows/s", "archive B/row", "lake B/row", "disk B/row", "peak MB"),
        rows,
        "Each run goes from closed archives to a new lake on disk, synchronised. Small files are dominated by what a file costs. "
        "*disk* counts the files too that a later day of the same month has replaced.",
    )


def _window(window: dict[str, Any]) -> Sheet:
    cases = window["cases"]
    floor, main = cases.get(FLOOR, {}), cases.get(MAIN, {})
    most = max(case["runs"] for case in cases.values())
    rows = []
    for contender in CONTENDERS:
        case = cases.get(contender.name)
        if case is None or case["wall_s"] is None:
            continue
        rows.append(
            (
                contender.name + ("" if case["runs"] == most else f" ({case['runs']} run)"),
                _number(case["wall_s"]),
                _number(case["cpu_s"]),
                _number(case["first_s"]),
                _number(case["again_s"]),
                f"{case['peak_mb']:,.0f}",
                f"{window['rows'] / case['first_s'] / 1e6:,.1f}",
                _ratio(case, floor, "wall_s"),
                _ratio(case, floor, "cpu_s"),
                _ratio(case, floor, "first_s"),
                _ratio(case, floor, "again_s"),
                _ratio(case, main, "wall_s"),
            )
        )
    header = (
        *("contender", "process s", "CPU s", "work s", "again s", "peak MB", "M rows/s"),
        *("process ÷ decode", "CPU ÷ decode", "work ÷ decode", "again ÷ decode", "process ÷ pointline"),
    )
    plural = "s" if window["days"] > 1 else ""
    return Sheet(
        f"{window['days']} day{plural}, {window['rows']:,} trades",
        header,
        rows,
        f"Bars of {window['threshold']} BTC, {window['bars']:,} of them.",
    )


def _sweep(cases: dict[str, Any]) -> Sheet:
    rows = []
    for threshold, case in cases.items():
        if case["summary"] is not None and case["wall_s"] is not None:
            bars = case["summary"]["whole"]["bars"]
            figures = (_number(case["wall_s"]), _number(case["cpu_s"]), _number(case["first_s"]), f"{case['peak_mb']:,.0f}")
            rows.append((threshold, f"{bars:,}", *figures))
    return Sheet(
        "Threshold, one day",
        ("BTC per bar", "bars", "process s", "CPU s", "work s", "peak MB"),
        rows,
        "From the smallest lot, where every moment is a bar, to the volume of the whole day.",
    )


def _startup(cases: dict[str, Any]) -> Sheet:
    rows = [(name, _number(case["wall_s"]), _number(case["cpu_s"])) for name, case in cases.items() if case["wall_s"] is not None]
    return Sheet("Start-up", ("command", "process s", "CPU s"), rows)


def _number(value: float | None) -> str:
    """Three digits, which is more than a repetition agrees on."""
    if value is None:
        return NONE
    return f"{value:.2f}" if value < _SMALL else f"{value:,.1f}"


def _ratio(case: dict[str, Any], base: dict[str, Any], name: str) -> str:
    value, unit = case.get(name), base.get(name)
    return NONE if value is None or not unit else f"{value / unit:.2f}"


def machine_text(machine: dict[str, Any]) -> str:
    """One paragraph on where the figures come from."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    copy = ", ".join(f"{machine['copy'][name]:.0f} GB/s with {who}" for name, who in _COPIES.items())
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']:.0f} GB of memory, {machine['system']}. "
        f"Memory is copied (read and written) at {copy}. {versions}. {_runs(machine)}"
    )


def _runs(machine: dict[str, Any]) -> str:
    count, load = machine["repetitions"], machine["load"]
    runs = f"Medians of {count} runs" if count > 1 else "One run each, for a first look"
    return f"{runs}; {load:.1f} processes were running when it began."


_COPIES = {"one_core_gb_s": "one core", "all_cores_gb_s": "all"}


def markdown(results: dict[str, Any]) -> str:
    """All tables as Markdown."""
    parts = [machine_text(results["machine"]), legend(results)]
    for sheet in sheets(results):
        lines = [f"### {sheet.title}", "", "| " + " | ".join(sheet.header) + " |", "|---" + "|--:" * (len(sheet.header) - 1) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in sheet.rows]
        parts.append("\n".join(lines))
        if sheet.note:
            parts.append(sheet.note)
    missing = [f"- {name}: {reason}" for name, reason in results["missing"].items()]
    if missing:
        parts.append("Not measured:\n\n" + "\n".join(missing))
    return "\n\n".join(parts)


def legend(results: dict[str, Any]) -> str:
    """Who the contenders in the tables are, as a Markdown list."""
    seen = {name for window in results["windows"] for name in window["cases"]}
    return "\n".join(f"- **{contender.name}**: {contender.title}" for contender in CONTENDERS if contender.name in seen)


def write_page(page: Path, results: dict[str, Any]) -> None:
    """Puts the tables between the marks of the page."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    page.write_text(f"{before}{BEGIN}\n\n{markdown(results)}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def print_tables(results: dict[str, Any]) -> None:
    """All tables to the terminal."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.width = max(console.width, _NARROWEST)
    console.print(machine_text(results["machine"]), soft_wrap=True)
    console.print(legend(results).replace("**", ""), soft_wrap=True)
    for sheet in sheets(results):
        table = Table(title=sheet.title, caption=sheet.note or None, title_justify="left", caption_justify="left")
        for number, name in enumerate(sheet.header):
            table.add_column(name, justify="left" if number == 0 else "right", no_wrap=number == 0)
        for row in sheet.rows:
            table.add_row(*row)
        console.print(table)
