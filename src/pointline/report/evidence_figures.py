"""Figures of a page about evidence: coefficients with their intervals, nulls, and what follows in each tenth of a feature."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import polars as pl

from pointline.report.colours import BASIS, FUNDING, INK, MUTED, PERP, SPOT, ZERO
from pointline.report.panels import Figure, Panel, need_plotly, numbers, row_figure, stacked

if TYPE_CHECKING:
    from collections.abc import Sequence

_DECILES_PX = 300
_LABELS = {"spot_return": ("spot's return", SPOT, -0.17), "perp_return": ("perp's return", PERP, 0.17)}
_CURVES = (SPOT, PERP, BASIS, FUNDING)
_TENTHS = tuple(range(1, 11))


def forest_figure(rows: pl.DataFrame, *, title: str, subtitle: str) -> Figure:
    """Coefficients of features with their intervals, and those that the features' source printed beside them.

    Args:
        rows: ``feature``, ``label`` (spot_return or perp_return), ``ic``, ``low``, ``high``, ``ic_next``, ``stands``, ``published_ic``; a
            row per feature and label. The first feature stands on top.
        title, subtitle: of the figure.

    Returns:
        A plotly figure. A filled dot is a coefficient that stands, an open one does not.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    need_plotly()
    features = rows["feature"].unique(maintain_order=True).to_list()
    places = {feature: len(features) - 1 - n for n, feature in enumerate(features)}
    figure = row_figure(features, "correlation", title=title, subtitle=subtitle, legend_rows=3)
    published = rows.filter(pl.col("published_ic").is_not_null()).unique("feature", maintain_order=True)
    if published.height:
        marker = {"symbol": "diamond-open", "size": 11, "color": INK.light, "line": {"width": 1.5}}
        at = [float(places[name]) for name in published["feature"]]
        _dots(figure, published["published_ic"], at, "published, not reproduced", marker, "published: %{x:.3f}")
    for label, (words, colour, offset) in _LABELS.items():
        own = rows.filter(pl.col("label") == label)
        if own.is_empty():
            continue
        at = [places[name] + offset for name in own["feature"]]
        symbols = ["circle" if stands else "circle-open" for stands in own["stands"]]
        spread = {
            "type": "data",
            "symmetric": False,
            "array": numbers(own["high"] - own["ic"]),
            "arrayminus": numbers(own["ic"] - own["low"]),
            "color": colour.light,
            "thickness": 1.5,
            "width": 0,
        }
        marker = {"symbol": symbols, "size": 8, "color": colour.light}
        _dots(figure, own["ic"], at, words, marker, "%{x:+.4f}", error_x=spread)
        later = {"symbol": "line-ns-open", "size": 9, "color": colour.light, "line": {"width": 2}}
        _dots(figure, own["ic_next"], at, f"{words}, one bar later", later, "%{x:+.4f}", showlegend=False)
    return figure


def null_figure(rows: pl.DataFrame, *, title: str, subtitle: str) -> Figure:
    """Sizes of coefficients beside what they would be without any prediction.

    Args:
        rows: ``name``, ``ic``, ``low``, ``high``, ``null_bound``, ``ic_if_stale``, ``ic_if_bounce``, the first on top.
        title, subtitle: of the figure.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    need_plotly()
    names = rows["name"].to_list()
    figure = row_figure(names, "correlation, size", title=title, subtitle=subtitle, legend_rows=4)
    places = [float(len(names) - 1 - n) for n in range(len(names))]
    bars = {"color": ZERO.light, "opacity": 0.35, "line": {"width": 0}}
    figure.add_bar(
        x=numbers(rows["null_bound"]),
        y=places,
        orientation="h",
        width=0.62,
        marker=bars,
        name="shuffled days and shifted rows stay below",
        hovertemplate="%{x:.4f}",
    )
    size, flipped = rows["ic"].abs(), pl.Series([ic is not None and ic < 0 for ic in rows["ic"]])
    above = pl.select(pl.when(flipped).then(rows["ic"] - rows["low"]).otherwise(rows["high"] - rows["ic"])).to_series()
    below = pl.select(pl.when(flipped).then(rows["high"] - rows["ic"]).otherwise(rows["ic"] - rows["low"])).to_series()
    spread = {"type": "data", "symmetric": False, "array": numbers(above), "arrayminus": numbers(below), "width": 0, "color": PERP.light}
    for column, words, symbol, colour in (
        ("ic_if_stale", "the venue only follows the other", "diamond-open", SPOT),
        ("ic_if_bounce", "the venue only bounces", "square-open", FUNDING),
    ):
        marker = {"symbol": symbol, "size": 9, "color": colour.light, "line": {"width": 1.5}}
        _dots(figure, rows[column].abs(), places, words, marker, "%{x:.4f}")
    _dots(figure, size, places, "measured", {"size": 8, "color": PERP.light}, "%{x:.4f}", error_x=spread)
    return figure


def decile_figure(curves: Sequence[tuple[str, Sequence[float | None]]], *, cost_bps: float | None, title: str, subtitle: str) -> Figure:
    """Mean returns by tenths of features, against the cost of a round trip.

    Args:
        curves: name and ten means in bps, the lowest tenth first, null for a tenth without rows; up to four.
        cost_bps: of a round trip, drawn on both sides of zero; None draws no line.
        title, subtitle: of the figure.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    need_plotly()
    panel = Panel("mean return (bps)", _DECILES_PX, legend_rows=1 + len(curves), x_title="tenth of the feature, lowest to highest")
    figure = stacked([panel], title=title, subtitle=subtitle)
    for (name, means), colour in zip(curves, _CURVES, strict=False):
        line, marker = {"color": colour.light, "width": 2}, {"size": 7}
        figure.add_scatter(
            x=_TENTHS, y=list(means), mode="lines+markers", name=escape(name), line=line, marker=marker, hovertemplate="%{y:+.2f} bps"
        )
    for level in () if cost_bps is None else (-cost_bps, cost_bps):
        rule = {"color": MUTED.light, "width": 1.5, "dash": "dash"}
        words = f"cost of a round trip, {cost_bps:g} bps"
        figure.add_scatter(x=[1, 10], y=[level, level], mode="lines", line=rule, name=words, showlegend=level > 0, hoverinfo="skip")
    figure.update_layout(xaxis={"dtick": 1})
    return figure


def _dots(figure: Figure, values: pl.Series, places: Sequence[float], name: str, marker: dict[str, Any], hover: str, **more: Any) -> None:  # noqa: ANN401 - plotly's own options
    figure.add_scatter(
        x=numbers(values), y=list(places), mode="markers", name=name, marker=marker, hovertemplate=f"{hover}<extra>{name}</extra>", **more
    )
