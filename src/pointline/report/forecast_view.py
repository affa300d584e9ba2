"""Forecasts of funding as a text table for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl
    from rich.console import RenderableType

_READING = (
    "h: hours before. MAE: mean absolute error, bp per 8 h. right: share of right directions where the rate changed. IC: rank "
    "correlation of the forecast change and the actual one, with its interval. p: the chance of an error so much smaller than the "
    "rule's if both were equally good (Diebold-Mariano, one-sided). p adj.: all models counted."
)


def forecast_view(scores: pl.DataFrame, *, title: str, lines: Sequence[str], notes: Sequence[str]) -> RenderableType:
    """What `pointline next-funding` prints.

    Args:
        scores: columns of `pointline.evaluation.SCORES_SCHEMA`.
        title: heading.
        lines: window and verdict.
        notes: sentences below the table.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, heading in enumerate(("h", "predictor", "MAE", "R²", "right", "IC", "p", "p adj.")):
        table.add_column(heading, justify="left" if number == 1 else "right")
    before = None
    for row in scores.iter_rows(named=True):
        if before not in {None, row["hours_before"]}:
            table.add_row()
        before = row["hours_before"]
        table.add_row(*_cells(row))
    parts: list[RenderableType] = [
        Text(title, style="bold"),
        *(Text(line) for line in lines),
        Text(),
        table,
        Text(),
        Text(_READING, style="dim"),
    ]
    return Group(*parts, *(Text(f"note: {note}", style="yellow") for note in notes))


def _cells(row: Mapping[str, Any]) -> list[str]:
    def figure(name: str, places: int = 3) -> str:
        return "" if row[name] is None else f"{row[name]:.{places}f}"

    interval = "" if row["ic"] is None else f"{row['ic']:+.2f} ({row['ic_low']:+.2f} to {row['ic_high']:+.2f})"
    return [
        f"{row['hours_before']:g}",
        row["predictor"].replace("_", " "),
        figure("mae_bps"),
        figure("r2", 2),
        figure("direction_right", 2),
        interval,
        figure("p_less_than_rule"),
        figure("p_adjusted"),
    ]
