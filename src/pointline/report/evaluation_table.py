"""A table of information coefficients for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType

_COLUMNS = ("feature", "label", "horizon", "IC ± 95 %", "p adj.", "out", "later", "null", "deciles", "cost", "days")
_WORDS = ("feature", "label", "horizon")
_WIDE = 124
_ONLY_WIDE = ("p adj.", "out", "days")
_READING = (
    "IC: rank correlation with what follows, in-sample, and its interval (equal-weighted cosines). p adj.: both tests, all rows counted. "
    "out: walk-forward, times the sign of earlier rows. later: the IC if one enters a bar later. null: the largest without prediction, "
    "of shuffled days, shifted rows, a venue that only follows the other, and one that only bounces. deciles: top minus bottom, bp. "
    "cost: of a round trip, bp. days: share of days with the sign. A file (-o) has every column."
)


def evaluation_view(
    table: pl.DataFrame, *, top: int, title: str, rule: str, verdict: str, confidence: float, notes: tuple[str, ...], width: int
) -> RenderableType:
    """The verdict and the largest coefficients that stand, then the largest others.

    Args:
        table: of `pointline.evaluation.ic`, with the column ``stands``.
        top: rows that are shown.
        title, rule: the pair and its bars.
        verdict: in sentences.
        confidence: of the intervals.
        notes: of the study.
        width: of the terminal; a narrow one has fewer columns.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    kept = [place for place, name in enumerate(_COLUMNS) if width >= _WIDE or name not in _ONLY_WIDE]
    columns = [_COLUMNS[place].replace("95", f"{confidence:.0%}".removesuffix("%")) for place in kept]
    shown = Table(box=SIMPLE_HEAD, header_style="cyan", pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        shown.add_column(
            name, justify="left" if name in _WORDS else "right", no_wrap=name in _WORDS or name.startswith("IC"), overflow="fold"
        )
    rows = table.filter(pl.col("ic").is_not_null()).sort("stands", pl.col("ic").abs(), descending=True)
    for row in rows.head(top).iter_rows(named=True):
        cells = _cells(row)
        shown.add_row(*(cells[place] for place in kept), style=None if row["stands"] else "dim")
    untested = table.height - rows.height
    parts: list[RenderableType] = [
        Text(title, style="bold"),
        Text(f"bars: {rule}"),
        Text(),
        Text(verdict),
        Text(),
        shown,
        Text(),
        Text(_READING, style="dim"),
    ]
    if rows.height > top:
        parts.append(Text(f"{rows.height - top:,} more rows: --top N, -o FILE"))
    if untested:
        parts.append(Text(f"{untested:,} rows have no figures, for want of values; -o FILE has the reasons"))
    parts += [Text(f"note: {note}", style="yellow") for note in notes]
    return Group(*parts)


def _cells(row: Mapping[str, Any]) -> list[str]:
    half, share = (row["high"] - row["low"]) / 2, row["days_same_sign"]
    nulls = [abs(row[name]) for name in ("null_bound", "ic_if_stale", "ic_if_bounce") if row.get(name) is not None]
    return [
        row["feature"],
        row["label"].replace("_", " "),
        row["horizon"],
        f"{row['ic']:+.4f} ± {half:.4f}",
        _number(row["p_bh"], ".3f"),
        _number(row.get("ic_out"), "+.4f"),
        _number(row["ic_next"], "+.4f"),
        _number(max(nulls, default=None), ".4f"),
        _number(row["decile_spread_bps"], ".2f"),
        _number(row["cost_bps"], "g"),
        "-" if share is None else f"{share:.0%} of {row['days']}",
    ]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
