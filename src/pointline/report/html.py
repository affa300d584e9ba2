"""Fragments of HTML for notebooks: a heading, a table, notes; every text is escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl


def table_html(frame: pl.DataFrame) -> str:
    """All rows of a frame as an HTML table; numbers are aligned to the right."""
    sides = ["right" if dtype.is_numeric() else "left" for dtype in frame.dtypes]
    head = "".join(f'<th style="text-align:{side}">{escape(name)}</th>' for name, side in zip(frame.columns, sides, strict=True))
    rows = "".join(
        "<tr>" + "".join(f'<td style="text-align:{side}">{_cell(value)}</td>' for value, side in zip(row, sides, strict=True)) + "</tr>"
        for row in frame.iter_rows()
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def study_html(*, title: str, lines: Sequence[str], tables: Sequence[tuple[str, pl.DataFrame]], notes: Sequence[str]) -> str:
    """A study for a notebook.

    Args:
        title: heading.
        lines: sentences below it.
        tables: each with its own heading.
        notes: what a reader should know.
    """
    parts = [f"<h3>{escape(title)}</h3>", *(f"<p>{escape(line)}</p>" for line in lines)]
    for heading, frame in tables:
        parts += [f"<h4>{escape(heading)}</h4>", table_html(frame)]
    parts += [f"<p><em>note: {escape(note)}</em></p>" for note in notes]
    return "\n".join(parts)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return escape(f"{value:,.6g}" if isinstance(value, float) else f"{value:,}" if type(value) is int else str(value))
