"""The checklist of a study, and volumes by hour of day, as text tables for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl
    from rich.console import RenderableType

_STYLES = {"pass": "green", "warn": "yellow", "fail": "bold red", "unknown": "dim"}


def checklist_view(*, title: str, lines: Sequence[str], table: pl.DataFrame, verdict: str, notes: Sequence[str]) -> RenderableType:
    """What `pointline check` prints.

    Args:
        title: heading.
        lines: sentences below it.
        table: one row per point: point, status, value, threshold, unit, advice, source.
        verdict: the result in a sentence.
        notes: what a reader should know.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=SIMPLE_HEAD, header_style="cyan", pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for column in ("point", "status", "value", "threshold", "unit", "advice"):
        shown.add_column(column, justify="right" if column == "value" else "left", overflow="fold")
    for row in table.iter_rows(named=True):
        status = Text(row["status"], style=_STYLES[row["status"]])
        shown.add_row(row["point"], status, number_text(row["value"]), row["threshold"], row["unit"], row["advice"])
    parts: list[RenderableType] = [Text(title, style="bold"), *map(Text, lines), shown, Text(verdict, style="bold")]
    parts += [Text(f"note: {note}", style="yellow") for note in notes]
    return Group(*parts)


def hours_view(table: pl.DataFrame) -> RenderableType:
    """Volumes by UTC hour of day, rows of `pointline.evaluation.volumes_by_hour`."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    shown = Table(box=SIMPLE_HEAD, header_style="cyan", pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for column in table.columns:
        shown.add_column(column, justify="left" if column == "advice" else "right", overflow="fold")
    for row in table.iter_rows():
        shown.add_row(*(value if isinstance(value, str) else number_text(value) for value in row))
    return shown


def number_text(value: float | None) -> str:
    """A figure with four digits, a dash where there is none."""
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
