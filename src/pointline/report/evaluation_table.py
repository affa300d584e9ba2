"""A table of information coefficients for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType

_COLUMNS = (
    *("feature", "label", "horizon", "IC", "± 95 %", "causal t", "p adj.", "out", "1 bar later", "null", "if stale", "if bounce"),
    *("deciles bp", "cost bp", "days", "n eff", "smallest", "published"),
)
_WORDS = ("feature", "label", "horizon")
_READING = (
    "IC: rank correlation with what follows, in-sample. ± 95 %: equal-weighted cosines. p adj.: of both tests, counting all rows. "
    "out: walk-forward, times the sign of earlier rows. "
    "1 bar later: the IC if one enters a bar later. null: what 95 % of draws with shuffled days or shifted rows stay below. "
    "if stale, if bounce: the IC where spot is only the late, or bouncing, perp. deciles: top minus bottom. "
    "days: share with the same sign. smallest: IC that so many bars show. "
    "published: by the feature's source, not reproduced."
)


def evaluation_view(
    table: pl.DataFrame, *, top: int, title: str, rule: str, verdict: str, confidence: float, notes: tuple[str, ...]
) -> RenderableType:
    """The verdict and the largest coefficients that stand, then the largest others.

    Args:
        table: of `pointline.evaluation.ic`, with the column ``stands``.
        top: rows that are shown.
        title, rule: the pair and its bars.
        verdict: in sentences.
        confidence: of the intervals.
        notes: of the study.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    columns = [name.replace("95", f"{confidence:.0%}".removesuffix("%")) for name in _COLUMNS]
    shown = Table(box=SIMPLE_HEAD, header_style="cyan", pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        shown.add_column(name, justify="left" if name in _WORDS else "right", overflow="fold")
    rows = table.filter(pl.col("ic").is_not_null()).sort("stands", pl.col("ic").abs(), descending=True)
    for row in rows.head(top).iter_rows(named=True):
        shown.add_row(*_cells(row), style=None if row["stands"] else "dim")
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
    half = None if row["low"] is None else (row["high"] - row["low"]) / 2
    share = row["days_same_sign"]
    return [
        row["feature"],
        row["label"].replace("_", " "),
        row["horizon"],
        _number(row["ic"], "+.4f"),
        _number(half, ".4f"),
        _number(row["causal_t"], ".1f"),
        _number(row["p_bh"], ".3f"),
        _number(row.get("ic_out"), "+.4f"),
        _number(row["ic_next"], "+.4f"),
        _number(row.get("null_bound"), ".4f"),
        _number(row.get("ic_if_stale"), "+.4f"),
        _number(row.get("ic_if_bounce"), "+.4f"),
        _number(row["decile_spread_bps"], ".2f"),
        _number(row["cost_bps"], "g"),
        "-" if share is None else f"{share:.0%} of {row['days']}",
        _number(row["n_eff"], ",.0f"),
        _number(row["detectable"], ".4f"),
        _number(row["published_ic"], ".2f"),
    ]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
