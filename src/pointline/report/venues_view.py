"""A comparison of venues as text tables for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl
    from rich.console import RenderableType

_PAIRS = {
    "perp": "perp",
    "spot": "spot",
    "cross_quote": "quotes",
    "fresh_share": "fresh",
    "low_bps": "1 %",
    "median_bps": "median",
    "high_bps": "99 %",
    "cost_bps": "cost",
    "above_cost_share": "above",
    "widest_bars": "widest",
}
_SPREADS = {"first": "perp", "second": "less", "spread_8h_bps": "bps per 8 h", "spread_year": "a year"}
_READING = (
    "fresh: bars with both prices recent and in like quotes. above: bars in which the basis exceeds the cost. widest: bars; basis in bps."
)


def venues_view(pairs: pl.DataFrame, spreads: pl.DataFrame, *, title: str, lines: Sequence[str], notes: Sequence[str]) -> RenderableType:
    """What `pointline compare-venues` prints.

    Args:
        pairs: one row per pair.
        spreads: medians of the funding spreads between perps; no rows where there is one perp.
        title: heading.
        lines: sentences below it.
        notes: sentences below the tables.
    """
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [Text(title, style="bold"), *(Text(line) for line in lines), Text(), _table(pairs, _PAIRS)]
    if not spreads.is_empty():
        parts += [Text(), Text("Funding, median of the first less the second", style="bold"), _table(spreads, _SPREADS)]
    parts += [Text(), Text(_READING, style="dim"), *(Text(f"note: {note}", style="yellow") for note in notes)]
    return Group(*parts)


def _table(frame: pl.DataFrame, columns: dict[str, str]) -> Any:  # noqa: ANN401 - a rich table
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name, heading in columns.items():
        table.add_column(heading, justify="right" if frame.schema[name].is_numeric() else "left")
    for row in frame.select(list(columns)).iter_rows(named=True):
        table.add_row(*(_cell(name, value) for name, value in row.items()))
    return table


def _cell(name: str, value: Any) -> str:  # noqa: ANN401 - text or a number
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "unlike" if value else "like"
    if isinstance(value, str | int):
        return f"{value:,}" if isinstance(value, int) else value
    if name.endswith("_share"):
        return f"{value:.1%}"
    return f"{value:+.2%}" if name == "spread_year" else f"{value:g}" if name == "cost_bps" else f"{value:+.2f}"
