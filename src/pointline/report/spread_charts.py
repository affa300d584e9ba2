"""Charts of spreads: through time, by maturity, and the annualised basis as a heat map; as HTML pages or PNG pictures."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import polars as pl

from pointline.errors import ConfigError, MissingExtraError, NoDataError, PointlineError
from pointline.report.charts import write_html

if TYPE_CHECKING:
    from collections.abc import Iterator

ChartKind: TypeAlias = Literal["overview", "spread", "curve", "heatmap"]
BROWSER_VARIABLE = "POINTLINE_BROWSER"

MAX_POINTS = 4_000
MAX_CURVES, MAX_CURVE_LINES = 5, 10
_FEW_POINTS = 62  # up to here each close is marked
_CURVE_HOVER = "%{customdata[0]}: %{y:.2f} % a year, %{customdata[1]:+.3f} % in %{x:.1f} days<extra>%{fullData.name}</extra>"
_PALETTE = ("#2f6fde", "#e08a1e", "#0f9d76", "#c0392b", "#7d5ba6", "#5f6b7a", "#12a4b8", "#b08900", "#d0567f", "#6b8e23")
_SHADES = ("#b5cff7", "#8ab3f2", "#5a92ea", "#2a66d0", "#123878")
_MARKERS = ("circle", "square", "diamond", "triangle-up")
_FAMILY = ("exchange", "quote", "reference")
_DASHES = ("solid", "dash", "dot", "dashdot")
_INK = "#1f2933"
_PANEL_PX, _ROW_PX, _WIDTH_PX, _SCALE = 360, 26, 1_200, 2
_SUFFIXES = (".html", ".png")
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
_BROWSER_TIMEOUT_S = 120
_NAME = pl.col("exchange") + ":" + pl.col("market")
_RATE = "annualised_simple_pct"


def spread_figure(table: pl.DataFrame, kind: ChartKind, *, title: str) -> Any:  # noqa: ANN401 - plotly is imported where it is used
    """A chart of the long table.

    Args:
        table: rows of `pointline.curves.table.TABLE_SCHEMA`.
        kind: ``"spread"``: spread_pct through time, a line per contract and reference; ``"curve"``: the annualised basis against days to
            delivery, at some instants of the window (the first and the last among them); ``"heatmap"``: the annualised basis by
            contract and time; ``"overview"``: all that there are data for, one below the other.
        title: heading.

    Returns:
        A plotly figure.

    Raises:
        ConfigError: there is no such kind.
        MissingExtraError: plotly is not installed.
        NoDataError: curve or heat map are asked for and no row has an annualised basis.
    """
    if kind not in get_args(ChartKind):
        raise ConfigError("there is no such chart", value=kind, expected=", ".join(get_args(ChartKind)))
    _need_plotly()
    from plotly.subplots import make_subplots

    has_rates = table[_RATE].count() > 0
    if kind in {"curve", "heatmap"} and not has_rates:
        raise NoDataError(f"there is nothing for a {kind}: no dated contract has a basis with a day or more to delivery")
    panels = _panels(kind, has_rates=has_rates)
    heights = [_heat_height(table) if panel == "heatmap" else _PANEL_PX for panel in panels]
    total = sum(heights) + 90 * len(heights)
    figure = make_subplots(
        rows=len(panels),
        cols=1,
        vertical_spacing=90 / total if len(panels) > 1 else 0.0,
        row_heights=[float(height) for height in heights],
        subplot_titles=[_TITLES[panel] for panel in panels],
    )
    below = 110 if "heatmap" in panels else 50
    figure.update_layout(height=total + 10 + below, margin={"l": 70, "r": 260, "t": 90, "b": below})
    for row, panel in enumerate(panels, start=1):
        _DRAW[panel](figure, row, table)
    figure.update_annotations(font={"size": 13, "color": _INK}, x=0, xanchor="left")
    figure.update_layout(
        title={"text": title, "x": 0.01, "font": {"size": 17}},
        template="plotly_white",
        font={"family": "system-ui, sans-serif", "color": _INK, "size": 12},
        hovermode="closest",
    )
    return figure


def _panels(kind: ChartKind, *, has_rates: bool) -> list[str]:
    if kind != "overview":
        return [kind]
    return ["spread", "curve", "heatmap"] if has_rates else ["spread"]


def _heat_height(table: pl.DataFrame) -> int:
    rows = table.filter(pl.col(_RATE).is_not_null()).select("exchange", "market", "reference").n_unique()
    return max(140, _ROW_PX * rows)


def _labelled(table: pl.DataFrame) -> pl.DataFrame:
    """The rows with the name that a legend shows; the reference is in it where there are several."""
    several = table["reference"].n_unique() > 1
    return table.with_columns(label=_NAME + " − " + pl.col("reference") if several else _NAME)


def _lines(table: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    for (label,), rows in _labelled(table).sort("exchange", "market", "reference", "start").group_by("label", maintain_order=True):
        yield str(label), rows


def _draw_spread(figure: Any, row: int, table: pl.DataFrame) -> None:  # noqa: ANN401 - a plotly figure
    from plotly.graph_objects import Scatter

    for number, (label, rows) in enumerate(_lines(table)):
        kept = rows.gather_every(max(1, -(-rows.height // MAX_POINTS)))
        line = {"color": _PALETTE[number % len(_PALETTE)], "width": 1.6, "dash": _DASHES[number // len(_PALETTE) % len(_DASHES)]}
        trace = Scatter(
            x=kept["end"].to_list(),
            y=kept["spread_pct"].to_list(),
            name=label,
            mode="lines+markers" if kept.height <= _FEW_POINTS else "lines",
            line=line,
            marker={"size": 4},
            customdata=kept["spread"].to_list(),
            hovertemplate="%{x|%Y-%m-%d %H:%M}  %{y:+.3f} %  (%{customdata:+,.2f})<extra>%{fullData.name}</extra>",
        )
        figure.add_trace(trace, row=row, col=1)
    figure.update_yaxes(title_text="% of spot", zeroline=True, zerolinewidth=1, zerolinecolor="#8895a3", row=row, col=1)
    _place_legend(figure, row, "legend")


def _draw_curve(figure: Any, row: int, table: pl.DataFrame) -> None:  # noqa: ANN401 - a plotly figure
    from plotly.graph_objects import Scatter

    told = table.filter(pl.col(_RATE).is_not_null())
    ends = told["end"].unique().sort().to_list()
    counts = told.group_by(_FAMILY).agg(pl.col("market").n_unique().alias("contracts"))
    families = counts.sort("contracts", *_FAMILY, descending=[True, False, False, False]).select(_FAMILY).rows()
    steps = min(len(ends), max(2, min(MAX_CURVES, MAX_CURVE_LINES // len(families))))
    chosen = [ends[round(step * (len(ends) - 1) / max(1, steps - 1))] for step in range(steps)]
    for number, end in enumerate(chosen):
        for style, family in enumerate(families):
            of_family = pl.all_horizontal(pl.col(name) == value for name, value in zip(_FAMILY, family, strict=True))
            points = told.filter((pl.col("end") == end) & of_family).sort("days_to_expiry")
            if points.is_empty():
                continue
            trace = Scatter(
                x=points["days_to_expiry"].to_list(),
                y=points[_RATE].to_list(),
                name=f"{end:%Y-%m-%d %H:%M}" + _family_text(family, families),
                mode="lines+markers",
                line={"color": _SHADES[number - steps], "dash": _DASHES[style % len(_DASHES)], "width": 2},
                marker={"size": 7, "symbol": _MARKERS[style % len(_MARKERS)]},
                customdata=points.select("market", "spread_pct").rows(),
                hovertemplate=_CURVE_HOVER,
                legend="legend2",
            )
            figure.add_trace(trace, row=row, col=1)
    figure.update_xaxes(title_text="days to delivery", rangemode="tozero", row=row, col=1)
    figure.update_yaxes(title_text="% a year", row=row, col=1)
    _place_legend(figure, row, "legend2")


def _family_text(family: tuple[str, ...], families: list[tuple[str, ...]]) -> str:
    """What tells a curve from the others of the chart: exchange and quote, and the reference where there are several."""
    if len(families) == 1:
        return ""
    several = len({one[2] for one in families}) > 1
    return f" {family[0]} {family[1]}" + (f" − {family[2]}" if several else "")


def _draw_heatmap(figure: Any, row: int, table: pl.DataFrame) -> None:  # noqa: ANN401 - a plotly figure
    from plotly.graph_objects import Heatmap

    told = _labelled(table.filter(pl.col("expiry").is_not_null()))
    order = told.filter(pl.col(_RATE).is_not_null()).select("label", "expiry", "exchange").unique().sort("expiry", "exchange", "label")
    labels = list(dict.fromkeys(order["label"].to_list()))
    wide = told.sort("end").pivot(on="label", index="end", values=_RATE, maintain_order=True)
    kept = wide.gather_every(max(1, -(-wide.height // MAX_POINTS)))
    limit = told[_RATE].abs().quantile(0.98, interpolation="nearest") or 1.0
    lowest = told[_RATE].min()
    both_signs = isinstance(lowest, float) and lowest < 0
    bottom = figure.get_subplot(row, 1).yaxis.domain[0]
    trace = Heatmap(
        x=kept["end"].to_list(),
        y=labels,
        z=[kept[label].to_list() for label in labels],
        zmin=-limit if both_signs else 0.0,
        zmax=limit,
        colorscale="RdBu_r" if both_signs else "Blues",
        hoverongaps=False,
        hovertemplate="%{y}<br>%{x|%Y-%m-%d %H:%M}: %{z:.2f} % a year<extra></extra>",
        colorbar={
            "title": {"text": "% a year", "side": "right"},
            "orientation": "h",
            "thickness": 12,
            "len": 0.5,
            "x": 0.5,
            "y": bottom - 45 / float(figure.layout.height),
            "yanchor": "top",
        },
    )
    figure.add_trace(trace, row=row, col=1)
    figure.update_yaxes(side="right", autorange="reversed", row=row, col=1)


_DRAW = {"spread": _draw_spread, "curve": _draw_curve, "heatmap": _draw_heatmap}
_TITLES = {
    "spread": "Spread at the end of each candle (UTC), % of spot",
    "curve": "Annualised basis (simple, actual / 365) by days to delivery",
    "heatmap": "Annualised basis (simple, actual / 365) by contract; the strongest 2 % share the last colour",
}


def _place_legend(figure: Any, row: int, name: str) -> None:  # noqa: ANN401 - a plotly figure
    top = figure.get_subplot(row, 1).yaxis.domain[1]
    figure.update_layout({name: {"x": 1.01, "y": top, "yanchor": "top", "xanchor": "left", "font": {"size": 11}}})


def _need_plotly() -> None:
    if find_spec("plotly") is None:
        raise MissingExtraError("charts need plotly", hint="pip install 'pointline[report]'")


def check_chart_path(path: Path) -> Path:
    """The path of a chart to write, once it is sure that one can be made.

    Raises:
        ConfigError: it does not end in .html or .png, or its folder does not exist.
        MissingExtraError: plotly, or for a picture a browser, is not installed.
    """
    if path.suffix.lower() not in _SUFFIXES or not path.absolute().parent.is_dir() or path.is_dir():
        raise ConfigError(
            "the chart cannot be written there",
            value=str(path),
            expected=f"a file in an existing folder, ending in {' or '.join(_SUFFIXES)}",
        )
    _need_plotly()
    if path.suffix.lower() == ".png":
        _browser()
    return path


def write_chart(figure: Any, path: Path) -> None:  # noqa: ANN401 - a plotly figure
    """Writes a figure as a page that needs no network, or as a picture.

    A picture is taken by a headless Chromium or Chrome: the one named by ``POINTLINE_BROWSER``, else one that is installed.

    Raises:
        ConfigError, MissingExtraError: the chart cannot be made or written there (`check_chart_path`).
        PointlineError: the browser made no picture.
    """
    check_chart_path(path)
    if path.suffix.lower() == ".html":
        write_html(figure, path)
        return
    from pointline.lake.durable import write_atomically

    picture = _picture(figure, _browser())
    write_atomically(path.absolute(), lambda temporary: _write_bytes(temporary, picture))


def _write_bytes(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _browser() -> str:
    named = os.environ.get(BROWSER_VARIABLE)
    candidates = (named,) if named else _BROWSERS
    found = next((path for name in candidates if name and (path := shutil.which(name))), None)
    if found is None:
        raise MissingExtraError(
            "a picture needs an installed Chromium or Chrome",
            value=named,
            expected=f"one of {', '.join(_BROWSERS)} on the PATH, or its path in {BROWSER_VARIABLE}",
            hint="or write the chart as .html, which needs none",
        )
    return found


def _picture(figure: Any, browser: str) -> bytes:  # noqa: ANN401 - a plotly figure
    """The figure as PNG bytes, drawn at twice its size in CSS pixels."""
    height = int(figure.layout.height)
    with tempfile.TemporaryDirectory(prefix="pointline-chart-") as name:
        folder = Path(name)
        page, picture = folder / "page.html", folder / "picture.png"
        style = f"<style>html,body{{margin:0;background:#fff;width:{_WIDTH_PX}px;height:{height}px;overflow:hidden}}</style>"
        html = figure.to_html(
            include_plotlyjs=True,
            full_html=False,
            config={"staticPlot": True},
            default_width=f"{_WIDTH_PX}px",
            default_height=f"{height}px",
        )
        page.write_text(f"<!doctype html><html><head><meta charset='utf-8'>{style}</head><body>{html}</body></html>", encoding="utf-8")
        command = [
            browser,
            "--headless",
            "--disable-gpu",
            "--hide-scrollbars",
            "--no-first-run",
            "--disable-extensions",
            "--disable-background-networking",
            f"--user-data-dir={folder / 'profile'}",
            f"--window-size={_WIDTH_PX},{height}",
            f"--force-device-scale-factor={_SCALE}",
            "--virtual-time-budget=10000",
            f"--screenshot={picture}",
            *(["--no-sandbox"] if os.name == "posix" and os.geteuid() == 0 else []),
            page.as_uri(),
        ]
        try:
            run = subprocess.run(command, capture_output=True, check=False, cwd=folder, text=True, timeout=_BROWSER_TIMEOUT_S)  # noqa: S603 - our own page
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PointlineError("the browser made no picture", where=browser, value=str(error), hint="write the chart as .html") from error
        if not picture.is_file():
            said = run.stderr.strip().splitlines()[-1:] or ["nothing"]
            raise PointlineError("the browser made no picture", where=browser, value=said[0], hint="write the chart as .html")
        return picture.read_bytes()
