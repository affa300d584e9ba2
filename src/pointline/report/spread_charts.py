"""Charts of spreads: through time in money and in percent, by maturity, and the annualised basis as a heat map."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
import polars as pl

from pointline.clock import DAY_US
from pointline.errors import ConfigError, NoDataError
from pointline.report.colours import DATED, PERP, RISING, SHADES, TURNING, Colour
from pointline.report.panels import Figure, Panel, millis, need_plotly, numbers, stacked, time_axis
from pointline.report.thinning import LEAST, thinned

if TYPE_CHECKING:
    from collections.abc import Iterator

ChartKind: TypeAlias = Literal["overview", "spread", "percent", "curve", "heatmap"]

MAX_POINTS = 3_200  # of all lines of a panel together
MAX_CELLS = 18_000
MAX_CURVES, MAX_CURVE_LINES = 5, 10
_FEW_POINTS = 62  # up to here each close is marked
_FEW_DAYS = 7  # up to here each day has a tick
_LEGEND_ROWS = 3  # more are scrolled
_ITEMS_PER_ROW = 3  # of a legend, where the window is narrow
_CURVE_HOVER = "%{customdata[0]}: %{y:.2f} % a year, %{customdata[1]:+.3f} % in %{x:.1f} days<extra>%{fullData.name}</extra>"
_MARKERS = ("circle", "square", "diamond", "triangle-up")
_FAMILY = ("exchange", "quote", "reference")
_DASHES = ("solid", "dash", "dot", "dashdot")
_PANEL_PX, _ROW_PX, _LABEL_PX = 300, 34, 16
_BAR_PX, _BAR_TOP_PX = 76, 60
_NAME = pl.col("exchange") + ":" + pl.col("market")
_KEY = ("exchange", "market", "reference")
_RATE = "annualised_simple_pct"


def spread_figure(table: pl.DataFrame, kind: ChartKind, *, title: str, subtitle: str = "") -> Figure:
    """A chart of the long table. Each close stands at the start of its candle, the candle's own date.

    Args:
        table: rows of `pointline.curves.table.TABLE_SCHEMA`.
        kind: ``"spread"``: close less spot_close through time in the quote asset, a line per contract and reference; ``"percent"``: the
            same in percent of spot; ``"curve"``: the annualised basis against days to delivery, at some candles of the window (the first
            and the last among them); ``"heatmap"``: the annualised basis by contract and time; ``"overview"``: spread, curve and heat
            map, as far as there are data for them, one below the other.
        title, subtitle: above all of it.

    Returns:
        A plotly figure. Long tables are thinned: lines keep their extremes and gaps, a cell of the heat map shows the value of its
        time that is farthest from zero.

    Raises:
        ConfigError: there is no such kind.
        MissingExtraError: plotly is not installed.
        NoDataError: curve or heat map are asked for and no row has an annualised basis.
    """
    if kind not in get_args(ChartKind):
        raise ConfigError("there is no such chart", value=kind, expected=", ".join(get_args(ChartKind)))
    need_plotly()
    has_rates = table[_RATE].count() > 0
    if kind in {"curve", "heatmap"} and not has_rates:
        raise NoDataError(f"there is nothing for a {kind}: no dated contract has a basis with a day or more to delivery")
    kinds = [kind] if kind != "overview" else ["spread", "curve", "heatmap"] if has_rates else ["spread"]
    figure = stacked([_panel(one, table) for one in kinds], title=title, subtitle=subtitle)
    for number, one in enumerate(kinds, start=1):
        _DRAW[one](figure, str(number) if number > 1 else "", table)
    figure.update_layout(hovermode="closest")
    return figure


def _panel(kind: str, table: pl.DataFrame) -> Panel:
    time = "date of the candle (UTC)" if _candle_us(table) % DAY_US == 0 else "start of the candle (UTC)"
    rows = min(_LEGEND_ROWS, -(-table.select(_KEY).n_unique() // _ITEMS_PER_ROW))
    if kind == "curve":
        return Panel("basis (% a year)", _PANEL_PX, title="Annualised basis by maturity", legend_rows=2, x_title="days to delivery")
    if kind == "heatmap":
        height = _ROW_PX * len(_heat_rows(table))
        return Panel("", height, title="Annualised basis by contract", x_title=time, zero=False, below=_BAR_PX)
    unit = "% of spot" if kind == "percent" else " or ".join(table["quote"].unique().sort())
    return Panel(f"price spread ({unit})", _PANEL_PX, title="Contract less spot at the close", legend_rows=rows, x_title=time)


def _candle_us(table: pl.DataFrame) -> int:
    return int(table.select((pl.col("end") - pl.col("start")).dt.total_microseconds().first()).item() or DAY_US)


def _labelled(table: pl.DataFrame) -> pl.DataFrame:
    """The rows with the name of their line in a legend, as short as can be (label), and in full (full)."""
    references = table["reference"].unique()
    contract = pl.col("quote") + " " + pl.coalesce(pl.col("expiry").dt.strftime("%Y-%m-%d"), pl.lit("perp"))
    contracts = table.select(contract=contract, market="market", exchange="exchange").unique()
    short = next((name for name in ("contract", "market") if contracts[name].is_unique().all()), "full")
    name = {"contract": contract, "market": pl.col("market"), "full": _NAME}[short]
    if len(references) == 1:
        return table.with_columns(label=name, full=_NAME)
    shorter = pl.col("reference").replace_strict(_shorter(references.to_list()), return_dtype=pl.String)
    return table.with_columns(label=name + " − " + shorter, full=_NAME + " − " + pl.col("reference"))


def _shorter(references: list[str]) -> dict[str, str]:
    """The exchanges of references, or their whole names where that does not tell them apart."""
    exchanges = {name: name.partition(":")[0] for name in references}
    return exchanges if len(set(exchanges.values())) == len(exchanges) else {name: name for name in references}


def _lines(table: pl.DataFrame) -> Iterator[tuple[str, str, pl.DataFrame, Colour, str]]:
    """Label, full name, rows, colour and dash of each line: perpetuals first, then dated contracts by delivery."""
    order = ("expiry", "exchange", "market", "reference")
    counts = {True: 0, False: 0}
    for _, rows in _labelled(table).sort(*order, "start", nulls_last=False).group_by(_KEY, maintain_order=True):
        perpetual = rows["expiry"][0] is None
        number, colours = counts[perpetual], (PERP,) if perpetual else DATED
        counts[perpetual] += 1
        dash = _DASHES[number // len(colours) % len(_DASHES)]
        yield rows["label"][0], rows["full"][0], rows, colours[number % len(colours)], dash


def _draw_spread(figure: Figure, suffix: str, table: pl.DataFrame) -> None:
    _draw_lines(figure, suffix, table, "spread", "%{y:+,.2f} (%{customdata:+.3f} %)", beside="spread_pct")


def _draw_percent(figure: Figure, suffix: str, table: pl.DataFrame) -> None:
    _draw_lines(figure, suffix, table, "spread_pct", "%{y:+.3f} % (%{customdata:+,.2f})", beside="spread")


def _draw_lines(figure: Figure, suffix: str, table: pl.DataFrame, column: str, told: str, *, beside: str) -> None:
    most = max(LEAST, MAX_POINTS // table.select(_KEY).n_unique())
    when = _when(table)
    for label, full, rows, colour, dash in _lines(table):
        points = thinned(_points(rows, column, beside), most=most)
        marked = rows.height <= _FEW_POINTS or bool(points["alone"].any())
        sizes = 4 if rows.height <= _FEW_POINTS else points["alone"].cast(pl.UInt8).to_numpy() * np.uint8(4)
        figure.add_scatter(
            x=millis(points["at"]),
            y=numbers(points["value"]),
            name=escape(label),
            mode="lines+markers" if marked else "lines",
            line={"color": colour.light, "width": 1.6, "dash": dash},
            marker={"size": sizes, "color": colour.light, "opacity": 1, "line": {"width": 0}} if marked else None,
            customdata=numbers(points["beside"]).astype(np.float32),
            hovertemplate=f"{escape(full)}<br>{when}: {told}<extra></extra>",
            xaxis=f"x{suffix}",
            yaxis=f"y{suffix}",
            legend=f"legend{suffix}",
            showlegend=True,
        )
    _date_axis(figure, suffix, table)


def _points(rows: pl.DataFrame, column: str, beside: str) -> pl.DataFrame:
    return rows.select(at=pl.col("start").dt.epoch("us"), value=column, apart=pl.lit(False), beside=beside)


def _when(table: pl.DataFrame) -> str:
    return "%{x|%Y-%m-%d}" if _candle_us(table) % DAY_US == 0 else "%{x|%Y-%m-%d %H:%M}"


def _date_axis(figure: Figure, suffix: str, table: pl.DataFrame) -> None:
    ticks = {}
    if _candle_us(table) % DAY_US == 0 and table["start"].n_unique() <= _FEW_DAYS:
        ticks = {"dtick": DAY_US // 1_000, "tick0": float(millis(table["start"].dt.epoch("us"))[0])}
    figure.update_layout({f"xaxis{suffix}": time_axis(**ticks)})


def _draw_curve(figure: Figure, suffix: str, table: pl.DataFrame) -> None:
    told = table.filter(pl.col(_RATE).is_not_null())
    starts = told["start"].unique().sort().to_list()
    counts = told.group_by(_FAMILY).agg(pl.col("market").n_unique().alias("contracts"))
    families = counts.sort("contracts", *_FAMILY, descending=[True, False, False, False]).select(_FAMILY).rows()
    steps = min(len(starts), max(2, min(MAX_CURVES, MAX_CURVE_LINES // len(families))))
    chosen = [starts[round(step * (len(starts) - 1) / max(1, steps - 1))] for step in range(steps)]
    form = "%Y-%m-%d" if _candle_us(table) % DAY_US == 0 else "%Y-%m-%d %H:%M"
    for number, start in enumerate(chosen):
        colour = SHADES[number - steps]
        for style, family in enumerate(families):
            of_family = pl.all_horizontal(pl.col(name) == value for name, value in zip(_FAMILY, family, strict=True))
            points = told.filter((pl.col("start") == start) & of_family).sort("days_to_expiry")
            if points.is_empty():
                continue
            figure.add_scatter(
                x=points["days_to_expiry"].to_list(),
                y=points[_RATE].to_list(),
                name=escape(f"{start:{form}}" + _family_text(family, families)),
                mode="lines+markers",
                line={"color": colour.light, "dash": _DASHES[style % len(_DASHES)], "width": 2},
                marker={"size": 7, "symbol": _MARKERS[style % len(_MARKERS)], "color": colour.light},
                customdata=points.select("market", "spread_pct").rows(),
                hovertemplate=_CURVE_HOVER,
                xaxis=f"x{suffix}",
                yaxis=f"y{suffix}",
                legend=f"legend{suffix}",
                showlegend=True,
            )
    figure.update_layout({f"xaxis{suffix}": {"rangemode": "tozero"}})


def _family_text(family: tuple[str, ...], families: list[tuple[str, ...]]) -> str:
    """What tells a curve from the others of the chart: of exchange, quote and reference those that differ."""
    differ = [len({one[number] for one in families}) > 1 for number in range(len(_FAMILY))]
    exchange, quote, reference = differ
    exchange = exchange and len({one[1:] for one in families}) < len(families)  # quotes may tell all of them apart
    shorter = _shorter(list({one[2] for one in families}))
    return f" {family[0]}" * exchange + f" {family[1]}" * quote + f" − {shorter[family[2]]}" * reference


def _heat_rows(table: pl.DataFrame) -> list[tuple[str, str]]:
    """Full names and labels of the contracts that have a rate, in order of delivery."""
    told = _labelled(table).filter(pl.col("expiry").is_not_null() & pl.col(_RATE).is_not_null())
    return told.select("full", "label", "expiry", "exchange").unique().sort("expiry", "exchange", "full").select("full", "label").rows()


def _draw_heatmap(figure: Figure, suffix: str, table: pl.DataFrame) -> None:
    rows = _heat_rows(table)
    names = [full for full, _ in rows]
    told = _labelled(table).filter(pl.col("full").is_in(names))
    wide = _heat_cells(told.sort("start").pivot(on="full", index="start", values=_RATE, maintain_order=True).select("start", *names))
    limit = told[_RATE].abs().quantile(0.98, interpolation="nearest") or 1.0
    lowest = told[_RATE].min()
    both_signs = isinstance(lowest, float) and lowest < 0
    stops = TURNING if both_signs else RISING
    axis = figure.layout[f"yaxis{suffix}"]
    inner = figure.layout.height - figure.layout.margin.t - figure.layout.margin.b
    figure.add_heatmap(
        x=millis(wide["start"].dt.epoch("us")),
        y=[escape(name) for name in names],
        z=np.stack([numbers(wide[name]).astype(np.float32) for name in names]),
        zmin=-limit if both_signs else 0.0,
        zmax=limit,
        ygap=_LABEL_PX,
        colorscale=[[number / (len(stops) - 1), colour.light] for number, colour in enumerate(stops)],
        hoverongaps=False,
        hovertemplate=f"%{{y}}<br>{_when(table)}: %{{z:.2f}} % a year<extra></extra>",
        colorbar=_colour_bar(axis.domain[0] - _BAR_TOP_PX / inner),
        xaxis=f"x{suffix}",
        yaxis=f"y{suffix}",
    )
    above = _LABEL_PX / 2 / _ROW_PX  # each label stands above its row, the first one too
    hidden = {"showgrid": False, "ticks": "", "showticklabels": False, "showline": False}
    axis.update({"type": "category", "range": [len(rows) - 0.5 - above, -0.5 - above], **hidden})
    for number, (name, label) in enumerate(rows):
        place = _beside(wide.filter(pl.col(name).is_not_null())["start"], wide["start"])
        place |= {"xref": f"x{suffix}", "y": number, "yref": f"y{suffix}", "yshift": _ROW_PX // 2 - 1}
        figure.add_annotation(text=escape(label), showarrow=False, font={"size": 11}, borderpad=0, **place)
    _date_axis(figure, suffix, table)


def _beside(own: pl.Series, all_starts: pl.Series) -> dict[str, Any]:
    """Where a row's label stands: at the beginning of its cells, or, where the window would cut it, at their end."""
    first, last = (float(edge) for edge in millis(pl.concat([own.head(1), own.tail(1)]).dt.epoch("us")))
    edges = millis(all_starts.dt.epoch("us"))
    late = first - edges[0] > (edges[-1] - edges[0]) / 2
    return {"x": last if late else first, "xanchor": "right" if late else "left"}


def _heat_cells(wide: pl.DataFrame) -> pl.DataFrame:
    """At most `MAX_CELLS`: a cell of several candles has their value that is farthest from zero."""
    together = -(-wide.height // max(1, MAX_CELLS // (wide.width - 1)))
    if together == 1:
        return wide
    farthest = [pl.col(name).get(pl.col(name).abs().arg_max()) for name in wide.columns[1:]]
    cell = (pl.int_range(pl.len()) // together).alias("_cell")
    return wide.group_by(cell, maintain_order=True).agg(pl.col("start").first(), *farthest).drop("_cell")


def _colour_bar(y: float) -> dict[str, Any]:
    text = "basis (% a year); the strongest 2 %<br>share the last colour"
    place = {"orientation": "h", "thickness": 10, "len": 1, "x": 0, "xanchor": "left", "y": y, "yanchor": "top"}
    return {"title": {"text": text, "side": "bottom", "font": {"size": 11}}, "outlinewidth": 0, **place}


_DRAW = {"spread": _draw_spread, "percent": _draw_percent, "curve": _draw_curve, "heatmap": _draw_heatmap}
