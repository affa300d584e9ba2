"""What charts share: panels below one another whose heights are given in pixels, so that they stay as they are at every width."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias

import polars as pl

from pointline.errors import MissingExtraError
from pointline.report.colours import GRID, GROUND, INK, MUTED, ZERO

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

Figure: TypeAlias = Any
"""A plotly figure; plotly is imported where it is used."""

FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
HEADING_PX = 76
LEGEND_ROW_PX = 22
_TITLE_PX, _TICKS_PX, _GAP_PX = 24, 60, 14
_LEFT_PX, _RIGHT_PX, _TOP_PX = 64, 12, 10
_TICK_LENGTH_PX = 4
_ROW_PX, _LEAST_ROWS_PX = 30, 120
_TIME_FORMS = (
    (None, 1_000, "%H:%M:%S.%L\n%b %-d"),
    (1_000, 60_000, "%H:%M:%S\n%b %-d"),
    (60_000, 86_400_000, "%H:%M\n%b %-d"),
    (86_400_000, "M1", "%b %-d\n%Y"),
    ("M1", "M12", "%b\n%Y"),
    ("M12", None, "%Y"),
)


@dataclass(frozen=True)
class Panel:
    """One of the panels of a chart.

    Attributes:
        y_title: what the vertical axis shows, with its unit; empty where the ticks are names.
        height: of the plot, in pixels.
        title: above the plot; may be empty.
        legend_rows: rows of the legend above the plot for which there is room; more are scrolled.
        x_title: what the horizontal axis shows; empty where the panel shares the axis of the one below it.
        zero: whether a line marks zero.
        below: room between the ticks and the next panel, in pixels, for what else stands there.
    """

    y_title: str
    height: int
    title: str = ""
    legend_rows: int = 0
    x_title: str = ""
    zero: bool = True
    below: int = 0

    @property
    def above_px(self) -> int:
        """Room above the plot."""
        return _TOP_PX + _TITLE_PX * bool(self.title) + LEGEND_ROW_PX * self.legend_rows

    @property
    def below_px(self) -> int:
        """Room below the plot."""
        return (_TICKS_PX if self.x_title else _GAP_PX) + self.below


def need_plotly() -> None:
    """Raises `MissingExtraError` where plotly is not installed."""
    if find_spec("plotly") is None:
        raise MissingExtraError("charts need plotly", hint="pip install 'pointline[report]'")


def stacked(panels: Sequence[Panel], *, title: str, subtitle: str) -> Figure:
    """An empty figure of panels from top to bottom.

    Args:
        panels: those without an ``x_title`` share the horizontal axis of the next one that has one.
        title, subtitle: plain text above all of it; the page of a chart shows them as text of its own.

    Returns:
        A plotly figure with the axes ``y``, ``y2``, … of the panels and ``x``, ``x2``, … of those that have an ``x_title``, and a legend
        ``legend``, ``legend2``, … for each panel.
    """
    from plotly.graph_objects import Figure as PlotlyFigure

    total = sum(panel.above_px + panel.height + panel.below_px for panel in panels)
    margin = {"l": _LEFT_PX, "r": _RIGHT_PX, "t": HEADING_PX + panels[0].above_px, "b": panels[-1].below_px}
    layout: dict[str, Any] = {**_looks(), "height": HEADING_PX + total, "margin": margin, "title": _title(title, subtitle)}
    inner = total - panels[0].above_px - panels[-1].below_px
    top, across, headings = panels[0].above_px, 1, []
    for number, panel in enumerate(panels, start=1):
        from_top = top - panels[0].above_px
        domain = [max(0.0, 1 - (from_top + panel.height) / inner), 1 - from_top / inner]
        y, x = _suffix(number), _suffix(across)
        layout[f"yaxis{y}"] = _axis(panel.y_title, domain=domain, anchor=f"x{x}", zeroline=panel.zero)
        layout[f"legend{y}"] = _legend(panel, domain[1])
        if panel.title:
            headings.append(_heading(panel, domain[1]))
        if panel.x_title:
            layout[f"xaxis{x}"] = _axis(panel.x_title, domain=[0, 1], anchor=f"y{y}", tickangle=0)
            across += 1
        top += panel.height + panel.below_px + (panels[number].above_px if number < len(panels) else 0)
    return PlotlyFigure(layout={**layout, "annotations": headings})


def row_figure(names: Sequence[str], across: str, *, title: str, subtitle: str, legend_rows: int) -> Figure:
    """An empty figure of one panel with a row for each name, the first on top; the place of row n of k is k - 1 - n.

    Args:
        names: of the rows, plain text.
        across: what the horizontal axis shows.
        title, subtitle: as in `stacked`.
        legend_rows: as in `Panel`.
    """
    panel = Panel("", max(_LEAST_ROWS_PX, _ROW_PX * len(names)), x_title=across, legend_rows=legend_rows, zero=False)
    figure = stacked([panel], title=title, subtitle=subtitle)
    ticks = {"tickvals": list(range(len(names))), "ticktext": [escape(name) for name in reversed(names)], "tickmode": "array"}
    rows = {**ticks, "range": [-0.6, len(names) - 0.4], "ticks": "", "showgrid": False}
    return figure.update_layout(yaxis=rows, xaxis={"zeroline": True, "zerolinewidth": 1.5}, hovermode="closest")


def _suffix(number: int) -> str:
    """What plotly appends to the names of the axes and the legend of a panel."""
    return str(number) if number > 1 else ""


def _looks() -> dict[str, Any]:
    hover = {"bgcolor": GROUND.light, "bordercolor": GRID.light, "font": {"color": INK.light}, "align": "left", "namelength": -1}
    return {
        "template": "none",
        "font": {"family": FONT, "color": INK.light, "size": 12},
        "paper_bgcolor": GROUND.light,
        "plot_bgcolor": GROUND.light,
        "hoverlabel": hover,
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": ZERO.light, "activecolor": INK.light},
        "uirevision": "kept",  # a change of colours keeps what was zoomed
    }


def _title(title: str, subtitle: str) -> dict[str, Any]:
    below = {"text": escape(subtitle), "font": {"size": 13, "color": MUTED.light}}
    place = {"x": 0, "xref": "paper", "xanchor": "left", "y": 1, "yref": "container", "yanchor": "top", "pad": {"t": 16}}
    return {"text": escape(title), "font": {"size": 18}, "subtitle": below, **place}


def _axis(title: str, **options: Any) -> dict[str, Any]:  # noqa: ANN401 - plotly's own options
    line = {"showline": True, "linecolor": ZERO.light, "ticks": "outside", "ticklen": _TICK_LENGTH_PX, "tickcolor": ZERO.light}
    numbers = {"exponentformat": "none", "separatethousands": True, "zerolinecolor": ZERO.light, "zerolinewidth": 1}
    follow = {"spikecolor": ZERO.light, "spikethickness": 1, "spikedash": "dot"}
    return {"title": {"text": title, "standoff": 8}, "gridcolor": GRID.light, "automargin": True, **line, **numbers, **follow, **options}


def time_axis(**options: Any) -> dict[str, Any]:  # noqa: ANN401 - plotly's own options
    """A horizontal axis of times, whose tick labels are short enough for a narrow window; what follows a line break is told once."""
    stops = [{"dtickrange": [least, most], "value": form} for least, most, form in _TIME_FORMS]
    return {"type": "date", "tickformatstops": stops, **options}


def _legend(panel: Panel, top: float) -> dict[str, Any]:
    place = {"orientation": "h", "x": 0, "xanchor": "left", "y": top, "yanchor": "bottom"}
    most = max(30, LEGEND_ROW_PX * panel.legend_rows)
    return {**place, "maxheight": most, "bgcolor": "rgba(0,0,0,0)", "font": {"size": 11}, "itemsizing": "constant", "tracegroupgap": 0}


def _heading(panel: Panel, top: float) -> dict[str, Any]:
    place = {"xref": "paper", "yref": "paper", "x": 0, "xanchor": "left", "y": top, "yanchor": "bottom", "align": "left"}
    up = LEGEND_ROW_PX * panel.legend_rows + 4
    return {**place, "yshift": up, "text": f"<b>{panel.title}</b>", "font": {"size": 13}, "showarrow": False}


def millis(times: pl.Series) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Times in microseconds as plotly reads numbers on an axis of dates: milliseconds since 1970, which take half the room of text."""
    return times.to_numpy() / 1_000


def numbers(values: pl.Series) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Values with not-a-number, at which plotly parts a line, where there is none."""
    return values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
