"""Charts of a comparison, as a self-contained HTML page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from pointline.errors import MissingExtraError
from pointline.features import CROSS_QUOTE_PREFIX

if TYPE_CHECKING:
    from pathlib import Path

MAX_POINTS = 4_000
_INK, _PERP, _SPOT, _ACCENT, _FAINT = "#1f2933", "#2f6fde", "#e08a1e", "#0f9d76", "#b9c2cc"


def basis_and_funding(features: pl.DataFrame, *, title: str) -> Any:  # noqa: ANN401 - plotly is imported where it is used
    """Basis in bps and funding in bps per 8 hours over time, with the price above them.

    Args:
        features: the table of a comparison; long ones are thinned to every k-th bar.
        title: heading.

    Returns:
        A plotly figure.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    try:
        from plotly.graph_objects import Figure, Scattergl
        from plotly.subplots import make_subplots
    except ImportError as error:
        raise MissingExtraError("charts need plotly", hint="pip install 'pointline[report]'") from error
    basis = "basis_bps" if "basis_bps" in features.columns else f"{CROSS_QUOTE_PREFIX}basis_bps"
    thinned = features.gather_every(max(1, -(-features.height // MAX_POINTS)))
    at = pl.from_epoch(thinned["bucket_end"], time_unit="us")
    figure: Figure = make_subplots(
        rows=3,
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.06,
        row_heights=[0.4, 0.35, 0.25],
        subplot_titles=(
            "Price at the end of each bar (UTC)",
            "Basis, bps" if basis == "basis_bps" else "Basis across quotes, bps",
            "Funding, bps per 8 h",
        ),
    )

    def line(row: int, values: pl.Series, name: str, color: str, **options: Any) -> None:  # noqa: ANN401 - plotly's own options
        trace = Scattergl(x=at.to_list(), y=values.to_list(), name=name, mode="lines", line={"color": color, "width": 1.3, **options})
        figure.add_trace(trace, row=row, col=1)

    line(1, thinned["perp_close"], "perp", _PERP)
    line(1, thinned["spot_close"], "spot", _SPOT)
    line(2, thinned[basis], "basis", _ACCENT)
    line(3, thinned["funding_fair"] * 1e4, "the venue's rule on the bar's premium", _FAINT, shape="hv")
    line(3, thinned["funding_8h"] * 1e4, "funding", _PERP, shape="hv")
    figure.update_layout(
        title={"text": title, "x": 0.01},
        template="plotly_white",
        font={"family": "system-ui, sans-serif", "color": _INK, "size": 13},
        height=820,
        margin={"l": 60, "r": 20, "t": 90, "b": 40},
        legend={"orientation": "h", "y": -0.07, "x": 0},
        hovermode="x unified",
    )
    return figure


def write_html(figure: Any, path: Path) -> None:  # noqa: ANN401 - a plotly figure
    """Writes a figure as one HTML file that needs no network."""
    from pointline.lake.durable import write_atomically

    html = figure.to_html(include_plotlyjs=True, full_html=True, config={"displaylogo": False})

    def write(temporary: Path) -> None:
        temporary.write_text(html, encoding="utf-8")

    write_atomically(path.absolute(), write)
