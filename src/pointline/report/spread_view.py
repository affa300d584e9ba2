"""Spreads as text tables for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import RenderableType

_DAY_US = 86_400_000_000


def spreads_view(
    *,
    title: str,
    window: str,
    table: pl.DataFrame,
    summary: pl.DataFrame,
    curve: pl.DataFrame,
    carry: pl.DataFrame,
    costs: str,
    notes: Sequence[str],
) -> RenderableType:
    """What `pointline spreads` prints: the summary, the curve and the carry at the window's end, and the notes.

    Args:
        title: heading.
        window: first and last moment and the candles, in words.
        table: the long table; its rows are counted.
        summary: rows of `pointline.curves.summarise`.
        curve: rows of `pointline.curves.curve_at`; may be empty.
        carry: rows of `pointline.curves.carry_yield`; may be empty.
        costs: what the carry pays, in words.
        notes: sentences below the tables.
    """
    from rich.console import Group
    from rich.text import Text

    missing = int(summary["missing"].sum())
    head = f"{table.height:,} rows = candles x contracts x references, {missing:,} without a spread"
    parts: list[RenderableType] = [Text(title, style="bold"), Text(window), Text(head), Text(), _summary_table(summary)]
    dated = curve.filter(pl.col("expiry").is_not_null())
    if not dated.is_empty():
        parts += [Text(), Text("Term structure at the end of the window", style="bold"), _curve_table(dated)]
    if not carry.is_empty():
        parts += [Text(), Text(f"Cash and carry to delivery, {costs}", style="bold"), _carry_table(carry)]
    if notes:
        parts.append(Text())
    parts += [Text(f"note: {note}", style="yellow") for note in notes]
    return Group(*parts)


def _summary_table(summary: pl.DataFrame) -> Any:  # noqa: ANN401 - a rich table
    several = summary["reference"].n_unique() > 1
    money = [f"{name}_spread" for name in ("mean", "min", "max")]
    percent = [f"{name}_spread_pct" for name in ("mean", "min", "max")]
    heads = ["contract", *(["reference"] if several else []), "mean", "min", "max", "mean %", "min %", "max %", "candles", "missing"]
    rows = _table(*heads, words=2 if several else 1)
    for row in summary.iter_rows(named=True):
        names = [_name(row), *([row["reference"]] if several else [])]
        counts = [f"{row['candles']:,}", f"{row['missing']:,}"]
        rows.add_row(*names, *(_cell(row[name], _MONEY) for name in money), *(_cell(row[name], _PERCENT) for name in percent), *counts)
    return rows


def _curve_table(curve: pl.DataFrame) -> Any:  # noqa: ANN401 - a rich table
    several = curve["reference"].n_unique() > 1
    heads = ["contract", *(["reference"] if several else []), "delivery (UTC)", "days", "basis %"]
    rows = _table(*heads, "simple % a year", "compounded %", "continuous %", "quotes", "age", words=len(heads) - 2)
    for row in curve.iter_rows(named=True):
        names = [_name(row), *([row["reference"]] if several else []), f"{row['expiry']:%Y-%m-%d %H:%M}"]
        rates = [_cell(row[f"annualised_{kind}_pct"], _RATE) for kind in ("simple", "compounded", "continuous")]
        kind = row["basis_kind"].replace("_", " ")
        rows.add_row(*names, _cell(row["days_to_expiry"], _DAYS), _cell(row["basis_pct"], _PERCENT), *rates, kind, _age(row["age_us"]))
    return rows


def _carry_table(carry: pl.DataFrame) -> Any:  # noqa: ANN401 - a rich table
    several = carry["reference"].n_unique() > 1
    heads = ["contract", *(["reference"] if several else []), "future"]
    columns = ("gross bps", "costs bps", "net bps", "gross % a year", "net % a year", "break-even days", "of days")
    rows = _table(*heads, *columns, words=len(heads))
    for row in carry.iter_rows(named=True):
        names = [_name(row), *([row["reference"]] if several else []), row["side"].partition(", ")[2].removesuffix(" future")]
        amounts = [_cell(row[name], _DAYS) for name in ("gross_bps", "cost_bps", "net_bps")]
        rates = [_cell(row[name], _RATE) for name in ("gross_annual_pct", "net_annual_pct")]
        rows.add_row(*names, *amounts, *rates, _cell(row["break_even_days"], _DAYS), _cell(row["days_to_expiry"], _DAYS))
    return rows


def _table(*columns: str, words: int) -> Any:  # noqa: ANN401 - rich is imported where it is used
    """A table whose first columns are words; what is too wide is folded, never cut."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, header_style="cyan", pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for number, column in enumerate(columns):
        left = number < words or column == "quotes"
        table.add_column(column, justify="left" if left else "right", overflow="fold")
    return table


def _name(row: dict[str, Any]) -> str:
    return f"{row['exchange']}:{row['market']}"


def _cell(value: float | None, form: Callable[[float], str]) -> str:
    return "-" if value is None else form(value)


def _age(age_us: int) -> str:
    hours = age_us / (_DAY_US / 24)
    return f"{hours:,.1f} h"


_MONEY, _PERCENT = "{:+,.2f}".format, "{:+.3f}".format
_RATE, _DAYS = "{:+.2f}".format, "{:,.2f}".format
