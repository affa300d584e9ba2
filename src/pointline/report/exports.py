"""What an export holds, as a text table."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pointline.export.duckdb import DuckdbExport


def export_view(done: DuckdbExport) -> RenderableType:
    """The views with what they show, and the file."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, header_style="cyan", pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for column in ("view", "what it shows", "files", "rows"):
        table.add_column(column, justify="right" if column in {"files", "rows"} else "left", overflow="fold")
    for view in done.views:
        counts = (f"{len(view.files):,}", f"{view.rows:,}") if view.files else ("", "")
        table.add_row(f"api.{view.name}", view.about, *counts)
    return Group(table, Text(f"\nwrote {done.path}, {done.size / 1e3:,.0f} kB"), Text(f"views of {done.lake} as it is now"))
