"""Lead-lag as text tables for the terminal, and as a chart."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from pointline.report.colours import MUTED, PERP, SPOT, ZERO
from pointline.report.panels import Figure, Panel, need_plotly, stacked

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl
    from rich.console import RenderableType

_HEIGHT_PX = 380
_MORE_LINES_PX = 32


def lead_lag_view(
    *,
    title: str,
    lines: Sequence[str],
    figures: pl.DataFrame,
    shares: pl.DataFrame,
    first: str,
    notes: Sequence[str],
) -> RenderableType:
    """What `pointline lead-lag` prints.

    Args:
        title: heading.
        lines: window and verdict.
        figures: the curve's figures, a row for the measured pair and one for the null.
        shares: shares of price discovery by interval, the null's among them.
        first: the instrument whose shares they are.
        notes: sentences below the tables.
    """
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [Text(title, style="bold"), *(Text(line) for line in lines), Text(), _figure_table(figures)]
    if not shares.is_empty():
        parts += [Text(), Text(f"Price discovery: shares of {first}", style="bold"), _share_table(shares)]
    parts += [Text(), *(Text(f"note: {note}", style="yellow") for note in notes)]
    return Group(*parts)


def _grid(*headings: str) -> Any:  # noqa: ANN401 - a rich table
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left")
    return table


def _figure_table(figures: pl.DataFrame) -> Any:  # noqa: ANN401 - a rich table
    table = _grid("", "peak ms", "95 % interval ms", "correlation", "null band", "asymmetry t", "p", "LLR")
    for row in figures.iter_rows(named=True):
        ratio = row["lead_lag_ratio"]
        table.add_row(
            "measured" if row["kind"] == "measured" else "thinned null",
            f"{row['peak_ms']:+g}",
            f"{row['low_ms']:+g} to {row['high_ms']:+g}",
            f"{row['correlation']:.3f}",
            f"{row['null_band']:.3f}",
            f"{row['asymmetry_t']:.1f}",
            f"{row['asymmetry_p']:.3f}",
            "" if ratio is None else f"{ratio:.2f}",
        )
    return table


def _share_table(shares: pl.DataFrame) -> Any:  # noqa: ANN401 - a rich table
    table = _grid("", "grid ms", "Hasbrouck bounds", "component share", "leadership share", "points")
    for row in shares.iter_rows(named=True):
        leadership = row["information_leadership_share"]
        table.add_row(
            "measured" if row["kind"] == "measured" else "thinned null",
            f"{row['interval_us'] / 1000:g}",
            f"{row['information_share_low']:.2f} to {row['information_share_high']:.2f}",
            f"{row['component_share']:.2f}",
            "bounds too wide" if leadership is None else f"{leadership:.2f}",
            f"{row['rows']:,}",
        )
    return table


def lead_lag_figure(
    curve: pl.DataFrame,
    *,
    title: str,
    subtitle: str,
    band: float,
    peak_interval_us: tuple[int, int],
    names: tuple[str, str],
) -> Figure:
    """The correlation by lag of the pair and of the null.

    Args:
        curve: lag_us, correlation, null_correlation.
        title, subtitle: above the chart.
        band: the size that the correlation seldom passes where no common move is expected.
        peak_interval_us: the interval of the peak, drawn as a stripe.
        names: the instruments; the axis says which of them is ahead on which side.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    need_plotly()
    from plotly.graph_objects import Scatter

    ahead = [f"{side}: {escape(name)} is ahead" for side, name in zip(("right", "left"), names, strict=True)]
    across = f"lag in ms<br>{ahead[0]}<br>{ahead[1]}"
    figure = stacked(
        [Panel("correlation", _HEIGHT_PX, x_title=across, legend_rows=1, below=_MORE_LINES_PX)], title=title, subtitle=subtitle
    )
    lags = (curve["lag_us"] / 1000).to_list()
    for name, column, colour in (("thinned null", "null_correlation", MUTED), ("measured", "correlation", PERP)):
        line = {"color": colour.light, "width": 1.5}
        figure.add_trace(
            Scatter(x=lags, y=curve[column].to_list(), name=name, mode="lines", line=line, xaxis="x", yaxis="y", legend="legend")
        )
    low, high = (us / 1000 for us in peak_interval_us)
    figure.add_vrect(x0=low, x1=high, fillcolor=SPOT.light, opacity=0.2, line_width=0)
    for level in (-band, band):
        figure.add_hline(y=level, line={"color": ZERO.light, "width": 1, "dash": "dot"})
    return figure
