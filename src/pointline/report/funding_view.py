"""Funding payments as a text table for the terminal, and as a chart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from pointline.clock import time_text
from pointline.report.colours import BASIS, FUNDING
from pointline.report.panels import Figure, Panel, millis, need_plotly, numbers, stacked, time_axis

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from rich.console import RenderableType

_HEIGHT_PX = 260


def funding_view(
    flows: pl.DataFrame, *, title: str, lines: Sequence[str], notes: Sequence[str], rows: int, assets: tuple[str, str]
) -> RenderableType:
    """What `pointline funding` prints.

    Args:
        flows: the columns of `pointline.trading.funding_flows.FUNDING_FLOWS_SCHEMA`, of one position.
        title: heading.
        lines: sentences below it.
        notes: sentences below the table.
        rows: settlements that are shown at each end.
        assets: of the notional and of the cash.
    """
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [Text(title, style="bold"), *(Text(line) for line in lines)]
    if not flows.is_empty():
        parts += [Text(), _table(flows, rows, assets)]
        if flows.height > 2 * rows:
            parts.append(Text(f"{2 * rows} of {flows.height:,} settlements"))
    parts += [Text(f"note: {note}", style="yellow") for note in notes]
    return Group(*parts)


def _table(flows: pl.DataFrame, rows: int, assets: tuple[str, str]) -> Any:  # noqa: ANN401 - a rich table
    from rich.table import Table

    quote, settle = assets
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, heading in enumerate(("settlement, UTC", "rate bp", "mark", f"notional {quote}", f"cash {settle}", f"so far {settle}")):
        table.add_column(heading, justify="right" if number else "left")
    shown = flows if flows.height <= 2 * rows else pl.concat([flows.head(rows), flows.tail(rows)])
    for number, row in enumerate(shown.iter_rows(named=True)):
        if number == rows and shown.height < flows.height:
            table.add_row("...")
        amounts = (_amount(row[name]) for name in ("mark_price", "notional"))
        rate = "-" if row["funding_rate"] is None else f"{row['funding_rate'] * 1e4:+.4f}"
        cash = row["status"] if row["cash"] is None else _signed(row["cash"])
        table.add_row(time_text(row["funding_us"]), rate, *amounts, cash, _signed(row["cumulative_cash"]))
    return table


def _amount(value: float | None) -> str:
    return "-" if value is None else f"{value:,.8g}"


def _signed(value: float) -> str:
    return f"{value:+,.8g}"


def funding_figure(flows: pl.DataFrame, *, title: str, subtitle: str, settle_asset: str) -> Figure:
    """The rate of each settlement in bp above the cash so far.

    Args:
        flows: the columns of `pointline.trading.funding_flows.FUNDING_FLOWS_SCHEMA`, of one position.
        title, subtitle: above the chart.
        settle_asset: of the cash.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    need_plotly()
    from plotly.graph_objects import Bar, Scatter

    panels = [Panel("rate, bp", _HEIGHT_PX), Panel(f"cash so far, {settle_asset}", _HEIGHT_PX, x_title="settlement, UTC")]
    figure = stacked(panels, title=title, subtitle=subtitle)
    figure.update_layout(xaxis=time_axis())
    times = millis(flows["funding_us"])
    rates = Bar(x=times, y=numbers(flows["funding_rate"] * 1e4), name="rate", marker={"color": FUNDING.light}, yaxis="y", showlegend=False)
    line = {"color": BASIS.light, "width": 1.5, "shape": "hv"}
    cash = numbers(flows["cumulative_cash"])
    so_far = Scatter(x=times, y=cash, name="cash so far", mode="lines+markers", line=line, marker={"size": 3}, yaxis="y2", showlegend=False)
    figure.add_traces([rates, so_far])
    return figure
