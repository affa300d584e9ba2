"""Figures of a page about trading: forecasts of funding, opportunities against costs, equity and what it is made of."""

from __future__ import annotations

from html import escape
from typing import Any

import polars as pl

from pointline.clock import DAY_US
from pointline.report.colours import BASIS, FUNDING, INK, MUTED, PERP, SHADES, SPOT, Colour
from pointline.report.data_figures import MOST_POINTS
from pointline.report.panels import Figure, Panel, millis, need_plotly, numbers, row_figure, stacked, time_axis
from pointline.report.thinning import thinned

_LINE_PX = 260
_EQUITY_PX, _PARTS_PX, _DRAWDOWN_PX = 260, 220, 120
MOST_PERIODS = 400
_TERMS: tuple[tuple[str, str, Colour], ...] = (
    ("price", "both legs", BASIS),
    ("funding", "funding", FUNDING),
    ("fees", "fees", PERP),
    ("slippage", "slippage", SPOT),
    ("borrow", "borrowing", MUTED),
)


def error_figure(scores: pl.DataFrame, *, title: str, subtitle: str) -> Figure:
    """Mean absolute errors of forecasts by predictor and by hours before the settlement.

    Args:
        scores: ``predictor``, ``hours_before``, ``mae_bps``; the first predictor stands on top.
        title, subtitle: of the figure.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    need_plotly()
    names = scores["predictor"].unique(maintain_order=True).to_list()
    places = {name: float(len(names) - 1 - n) for n, name in enumerate(names)}
    figure = row_figure(names, "mean absolute error (bps)", title=title, subtitle=subtitle, legend_rows=2)
    shades = SHADES[1:]
    leads = sorted(scores["hours_before"].unique().to_list(), reverse=True)
    for number, lead in enumerate(leads):
        own = scores.filter(pl.col("hours_before") == lead)
        marker = {"size": 10, "color": shades[number * (len(shades) - 1) // max(1, len(leads) - 1)].light}
        figure.add_scatter(
            x=numbers(own["mae_bps"]),
            y=[places[name] for name in own["predictor"]],
            mode="markers",
            name=f"{lead:g} h before",
            marker=marker,
            hovertemplate="%{x:.4f} bps",
        )
    figure.update_layout(xaxis={"rangemode": "tozero"})
    return figure


def forecast_figure(rows: pl.DataFrame, *, title: str, subtitle: str) -> Figure:
    """What was paid at each settlement, and what was forecast.

    Args:
        rows: ``at`` (microseconds, rising) and one column for each line by its name, in bps; the first is what was paid.
        title, subtitle: of the figure.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    need_plotly()
    figure = stacked([Panel("funding (bps)", _LINE_PX, legend_rows=2, x_title="settlement (UTC)")], title=title, subtitle=subtitle)
    for name, colour, width in zip(rows.columns[1:], (INK, FUNDING, SPOT), (2.2, 1.4, 1.2), strict=False):
        points = _points(rows, name)
        line = {"color": colour.light, "width": width}
        figure.add_scatter(
            x=millis(points["at"]), y=numbers(points["value"]), mode="lines", name=escape(name), line=line, hovertemplate="%{y:+.4f} bps"
        )
    figure.update_layout(xaxis=time_axis(hoverformat="%Y-%m-%d %H:%M UTC"), hovermode="x unified")
    return figure


def opportunity_figure(counts: pl.DataFrame, *, title: str, subtitle: str) -> Figure:
    """The share of time in which the basis was larger than each level, by its sign.

    Args:
        counts: ``name``, ``side`` (positive or negative), ``share_of_time``; the first level stands on top.
        title, subtitle: of the figure.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    need_plotly()
    names = counts["name"].unique(maintain_order=True).to_list()
    places = {name: float(len(names) - 1 - n) for n, name in enumerate(names)}
    figure = row_figure(names, "share of time (%)", title=title, subtitle=subtitle, legend_rows=2)
    for side, words, colour in (("positive", "perp above spot", PERP), ("negative", "perp below spot", SPOT)):
        own = counts.filter(pl.col("side") == side)
        figure.add_bar(
            x=numbers(own["share_of_time"] * 100),
            y=[places[name] for name in own["name"]],
            orientation="h",
            width=0.62,
            name=words,
            marker={"color": colour.light},
            hovertemplate="%{x:.3f} %",
        )
    figure.update_layout(barmode="stack", xaxis={"rangemode": "tozero"})
    return figure


def cost_figure(ladder: pl.DataFrame, *, title: str, subtitle: str) -> Figure:
    """The share of time in which the basis was larger than each of several costs.

    Args:
        ladder: ``name``, ``cost_bps``, ``share_of_time``.
        title, subtitle: of the figure.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    need_plotly()
    rows = ladder.sort("cost_bps", "name")
    panel = Panel("share of time (%)", _LINE_PX, x_title="cost of a round trip (bps)")
    figure = stacked([panel], title=title, subtitle=subtitle)
    figure.add_scatter(
        x=numbers(rows["cost_bps"]),
        y=numbers(rows["share_of_time"] * 100),
        mode="lines+markers",
        text=[escape(name) for name in rows["name"]],
        line={"color": BASIS.light, "width": 1.5},
        marker={"size": 9, "color": BASIS.light},
        showlegend=False,
        hovertemplate="%{text}: %{y:.3f} % above %{x:g} bps<extra></extra>",
    )
    figure.update_layout(xaxis={"rangemode": "tozero"}, yaxis={"rangemode": "tozero"})
    return figure


def equity_figure(days: pl.DataFrame, *, capital: float, quote: str, title: str, subtitle: str) -> Figure:
    """Equity, what each term added, and the drawdown, day by day.

    Args:
        days: ``at`` (microseconds, the end of each day), ``equity``, ``drawdown`` (zero or below) and the terms ``price``, ``funding``,
            ``fees``, ``slippage``, ``borrow`` as they add to the equity, costs below zero; in money.
        capital: the equity before the first day.
        quote: the money.
        title, subtitle: of the figure.

    Returns:
        A plotly figure. Of many days the terms are sums over several days each, up to `MOST_PERIODS` bars.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    need_plotly()
    panels = [
        Panel(f"equity ({quote})", _EQUITY_PX, legend_rows=0, zero=False),
        Panel(f"added ({quote})", _PARTS_PX, legend_rows=3),
        Panel(f"drawdown ({quote})", _DRAWDOWN_PX, x_title="end of the day (UTC)"),
    ]
    figure = stacked(panels, title=title, subtitle=subtitle)
    told: dict[str, Any] = {"hovertemplate": f"%{{y:+,.2f}} {escape(quote)}"}
    before = pl.DataFrame({"at": days["at"].head(1) - DAY_US}).with_columns(equity=pl.lit(float(capital)), drawdown=pl.lit(0.0))
    lines = pl.concat([before, days.select("at", pl.col("equity", "drawdown").cast(pl.Float64))])
    equity = _points(lines, "equity")
    figure.add_scatter(
        x=millis(equity["at"]), y=numbers(equity["value"]), name="equity", showlegend=False, line={"color": INK.light, "width": 2}, **told
    )
    periods, length = _periods(days)
    for name, words, colour in _TERMS:
        figure.add_bar(
            x=millis(periods["at"]),
            y=numbers(periods[name]),
            name=words,
            marker={"color": colour.light, "line": {"width": 0}},
            width=length / 1_000 * 0.9,
            yaxis="y2",
            legend="legend2",
            **told,
        )
    drawdown = _points(lines, "drawdown")
    fill = {"fill": "tozeroy", "line": {"color": SPOT.light, "width": 1}}
    figure.add_scatter(
        x=millis(drawdown["at"]), y=numbers(drawdown["value"]), name="drawdown", showlegend=False, yaxis="y3", **fill, **told
    )
    figure.update_layout(barmode="relative", xaxis=time_axis(hoverformat="%Y-%m-%d"), hovermode="x unified", hoversubplots="axis")
    return figure


def _periods(days: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """The terms summed over periods of whole days, at their middle, and the length of a period in microseconds."""
    per = max(1, -(-days.height // MOST_PERIODS))
    terms = [name for name, _, _ in _TERMS]
    summed = days.with_row_index("_row").group_by(pl.col("_row") // per, maintain_order=True).agg(pl.col("at").mean(), pl.col(terms).sum())
    return summed.with_columns(pl.col("at").round().cast(pl.Int64) - DAY_US // 2), per * DAY_US


def _points(rows: pl.DataFrame, name: str) -> pl.DataFrame:
    return thinned(rows.select("at", value=pl.col(name).cast(pl.Float64), apart=pl.lit(value=False)), most=MOST_POINTS)
