"""A scan as a text table for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rich.console import RenderableType
    from rich.table import Table

_SHOWN_REASONS = 10
_READING = (
    "ratio: perp / spot volume. basis: median, bps; x: it holds the rate between two quotes. funding: per year, settled (e: the running "
    "estimate). net: funding over the window less costs, bps, on the side that received. days: until funding has paid the costs. "
    "covered: the smaller of both sides. stale: bars whose spot price is too old."
)


def scan_view(table: pl.DataFrame, *, title: str, lines: Sequence[str], notes: Sequence[str], rows: int) -> RenderableType:
    """What `pointline scan` prints.

    Args:
        table: the columns of `pointline.studies.scan_rows.SCAN_SCHEMA`, sorted.
        title: heading.
        lines: sentences below it.
        notes: sentences below the table.
        rows: pairs that are shown of those that were compared.
    """
    from rich.console import Group
    from rich.text import Text

    compared = table.filter(pl.col("status") == "compared")
    absent = table.filter(pl.col("status") != "compared")
    parts: list[RenderableType] = [Text(title, style="bold"), *map(Text, lines)]
    if compared.height:
        parts += [Text(), _table(compared.head(rows))]
        if compared.height > rows:
            parts.append(Text(f"{rows:,} of {compared.height:,} pairs"))
        parts += [Text(), Text(_READING, style="dim")]
    if absent.height:
        parts += [Text(), Text("Not compared", style="bold")]
        parts += [Text(f"{row['perp']}: {row['reason']}") for row in absent.head(_SHOWN_REASONS).iter_rows(named=True)]
        if absent.height > _SHOWN_REASONS:
            parts.append(Text(f"and {absent.height - _SHOWN_REASONS:,} more"))
    noted = compared.filter(pl.col("notes") != "").height
    if noted:
        notes = [*notes, f"{noted:,} {'pair has' if noted == 1 else 'pairs have'} notes of their own: -o FILE, --page or --json show them"]
    return Group(*parts, *(Text(f"note: {note}", style="yellow") for note in notes))


def _table(frame: pl.DataFrame) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as TextTable

    shown = TextTable(box=SIMPLE_HEAD, header_style="cyan", pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for heading in _COLUMNS:
        shown.add_column(heading, justify="left" if heading in _WORDS else "right", overflow="fold", no_wrap=heading not in _WORDS)
    for row in frame.iter_rows(named=True):
        shown.add_row(*(form(row) for form in _COLUMNS.values()))
    return shown


def _figure(name: str, form: str, ending: str = "") -> Callable[[Mapping[str, Any]], str]:
    return lambda row: "-" if row[name] is None else format(row[name], form) + ending


def _basis(row: Mapping[str, Any]) -> str:
    value = row["cross_quote_basis_p50_bps"] if row["cross_quote"] else row["basis_p50_bps"]
    return "-" if value is None else f"{value:+.2f}{' x' if row['cross_quote'] else ''}"


def _funding(row: Mapping[str, Any]) -> str:
    settled, estimate = row["funding_settled_per_year"], row["funding_estimate_per_year"]
    if settled is not None:
        return f"{settled:+.2%}"
    return "-" if estimate is None else f"{estimate:+.2%} e"


def _covered(row: Mapping[str, Any]) -> str:
    return f"{min(row['perp_covered'], row['spot_covered']):.1%}"


_COLUMNS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "perp": lambda row: row["perp"],
    "spot": lambda row: row["spot"],
    "ratio": _figure("volume_ratio", ",.2f"),
    "basis": _basis,
    "funding": _funding,
    "cost": _figure("cost_bps", ",.1f"),
    "net": _figure("carry_net_bps", "+,.1f"),
    "days": _figure("carry_breakeven_days", ",.1f"),
    "covered": _covered,
    "stale": _figure("share_bars_stale_spot", ".1%"),
    "check": lambda row: row["checklist"],
    "fails": lambda row: row["failed"],
}
_WORDS = frozenset({"perp", "spot", "check", "fails"})
