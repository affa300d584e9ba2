"""Tables of a page: plain semantic HTML with plain numbers, so that what is copied from it is a table in a spreadsheet."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

MOST_ROWS = 200
_LARGE, _SMALL = 1e6, 1e-4
_FORMULA = re.compile(r"[=@\t\r]|[+-][A-Za-z(@=]")  # what a spreadsheet would run when it is pasted
_STATUSES = frozenset({"pass", "warn", "fail", "unknown"})


@dataclass(frozen=True, eq=False)
class PageTable:
    """A table of a page.

    Attributes:
        caption: what its rows are, plain text.
        frame: its columns and rows, in order; the first column names the row.
        headings: what stands above columns in place of their names; with the unit.
        forms: format of numbers by column, such as ``".4f"``; six significant digits where there is none.
        folded: it is closed until the reader opens it.
        sortable: a press on a heading sorts the rows; only where all of them are shown.
        most_rows: so many rows are shown; the caption says how many are not.
        rest: where the rows that are not shown can be found.
    """

    caption: str
    frame: pl.DataFrame = field(repr=False)
    headings: Mapping[str, str] = field(default_factory=dict)
    forms: Mapping[str, str] = field(default_factory=dict)
    folded: bool = False
    sortable: bool = False
    most_rows: int = MOST_ROWS
    rest: str = ""


def table_html(table: PageTable) -> str:
    """A table as HTML; wider ones than the window scroll by themselves.

    Cells without a value, not-a-number and infinities are empty. Numbers have no separators of thousands and a point before decimals.
    """
    frame, shown = table.frame, table.frame.head(table.most_rows)
    numeric = [dtype.is_numeric() for dtype in frame.dtypes]
    head = "".join(
        f'<th scope="col"{_side(right)}>{escape(table.headings.get(name, name.replace("_", " ")))}</th>'
        for name, right in zip(frame.columns, numeric, strict=True)
    )
    body = "".join(f"<tr>{_cells(row, frame.columns, numeric, table.forms)}</tr>" for row in shown.iter_rows())
    left = frame.height - shown.height
    more = f". The first {shown.height} of {frame.height} rows{'; ' + table.rest if table.rest else ''}." if left else ""
    caption = escape(table.caption + more)
    sorts = ' class="sortable"' if table.sortable and not left else ""
    whole = f"<table{sorts}><caption><span>{caption}</span></caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    label = escape(table.caption, quote=True)
    scrolled = f'<div class="scrolled" role="region" aria-label="{label}" tabindex="0">{whole}</div>'
    return f"<details><summary>{caption}</summary>{scrolled}</details>" if table.folded else scrolled


def _side(right: bool) -> str:  # noqa: FBT001 - of a cell
    return ' class="number"' if right else ""


def _cells(row: tuple[object, ...], names: list[str], numeric: list[bool], forms: Mapping[str, str]) -> str:
    cells = []
    for place, (value, name, right) in enumerate(zip(row, names, numeric, strict=True)):
        text = cell_text(value, forms.get(name, ""))
        marked = f' class="status {text}"' if name == "status" and text in _STATUSES else _side(right)
        tag, scope = ("th", ' scope="row"') if place == 0 else ("td", "")
        cells.append(f"<{tag}{scope}{marked}>{escape(text)}</{tag}>")
    return "".join(cells)


def cell_text(value: object, form: str = "") -> str:
    """A value as the text of a cell: empty where there is none, no signs that a spreadsheet takes for text or for a formula.

    Args:
        value: of a cell.
        form: of numbers; six significant digits if empty.

    Examples:
        >>> [cell_text(value) for value in (None, float("nan"), float("-inf"), True, 1234567, 0.1234567, -0.0, 12345678.9)]
        ['', '', '', 'yes', '1234567', '0.123457', '0', '12345679']
        >>> cell_text(0.5, ".3f")
        '0.500'
        >>> cell_text("=1+1")
        "'=1+1"
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _number(value, form)
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return f"'{text}" if _FORMULA.match(text) else text


def _number(value: float, form: str) -> str:
    if not math.isfinite(value):
        return ""
    size = abs(value)
    if form:
        text = format(value, form)
    elif size >= _LARGE:
        text = f"{value:.0f}"
    elif 0 < size < _SMALL:
        text = f"{value:.2e}"
    else:
        text = f"{value:.6g}"
    return text.removeprefix("-") if not text.strip("-0.") else text
