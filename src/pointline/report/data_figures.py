"""Figures of a page about the data: how old the spot's price was, and what happened on the chart of a comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from pointline.report.colours import INK, MUTED, SPOT, ZERO
from pointline.report.panels import Figure, Panel, millis, need_plotly, numbers, stacked, time_axis
from pointline.report.thinning import thinned

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_POINTS = 2_000
_HEIGHT_PX = 230
_LEAST_AGE_S = 1e-3  # a logarithm has no zero


def age_figure(ages: pl.DataFrame, *, limit_s: float, title: str, subtitle: str) -> Figure:
    """How old the last spot price was at the end of each bar, on a logarithmic scale, and the age beyond which it counts as stale.

    Args:
        ages: ``at`` (int64 microseconds, rising) and ``value`` (seconds, null where there is no price), every bar of the window.
        limit_s: a price older than this is stale.
        title, subtitle: of the figure.

    Raises:
        MissingExtraError: plotly is not installed.

    Examples:
        >>> import polars as pl
        >>> ages = pl.DataFrame({"at": [0, 60_000_000], "value": [2.5, 80.0]})
        >>> [trace.name for trace in age_figure(ages, limit_s=60, title="ages", subtitle="a minute").data]
        ['age of the spot price', 'stale beyond 60 s']
    """
    need_plotly()
    rows = ages.select("at", value=pl.col("value").clip(_LEAST_AGE_S), apart=pl.lit(value=False))
    points = thinned(rows, most=MOST_POINTS)
    panel = Panel("age (s)", _HEIGHT_PX, legend_rows=2, x_title="time (UTC)", zero=False)
    figure = stacked([panel], title=title, subtitle=subtitle)
    line: dict[str, Any] = {"color": SPOT.light, "width": 1.2}
    figure.add_scatter(
        x=millis(points["at"]),
        y=numbers(points["value"]),
        name="age of the spot price",
        mode="lines",
        line=line,
        connectgaps=False,
        hovertemplate="%{y:,.4g} s",
    )
    if points.height:
        ends = millis(pl.Series([points["at"].min(), points["at"].max()]))
        rule = {"color": MUTED.light, "width": 1.5, "dash": "dash"}
        figure.add_scatter(x=ends, y=[limit_s, limit_s], name=f"stale beyond {limit_s:g} s", mode="lines", line=rule, hoverinfo="skip")
    figure.update_layout(xaxis=time_axis(hoverformat="%Y-%m-%d %H:%M:%S UTC"), yaxis={"type": "log", "exponentformat": "SI"})
    return figure


def mark_events(figure: Figure, *, holes: Sequence[tuple[int, int]], flagged: pl.DataFrame) -> None:
    """Marks holes and off-book prints on the chart of a comparison (`pointline.report.charts.comparison_figure`).

    Args:
        figure: the chart, which is changed.
        holes: spans of time in microseconds in which trades are missing.
        flagged: ``at`` (microseconds) and ``value`` (the price of the perp that was known then) of prints that are flagged as off-book.
    """
    stripe = {"type": "rect", "xref": "x", "yref": "paper", "y0": 0, "y1": 1, "layer": "below", "line": {"width": 0}}
    look = {"fillcolor": ZERO.light, "opacity": 0.25}
    shapes = [{**stripe, **look, "x0": first / 1_000, "x1": last / 1_000} for first, last in holes]
    figure.update_layout(shapes=[*figure.layout.shapes, *shapes])
    if flagged.height:
        figure.add_scatter(
            x=millis(flagged["at"]),
            y=numbers(flagged["value"]),
            name="off-book",
            mode="markers",
            marker={"color": INK.light, "size": 11, "symbol": "triangle-down-open"},
            yaxis="y",
            legend="legend",
            hovertemplate="a print that is flagged as off-book",
        )
