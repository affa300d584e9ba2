"""The chart of a comparison: prices, basis and funding below one another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from pointline.clock import SECOND_US
from pointline.features import CROSS_QUOTE_PREFIX
from pointline.report.colours import BASIS, FUNDING, PERP, SPOT, Colour
from pointline.report.panels import Figure, Panel, millis, need_plotly, numbers, stacked, time_axis
from pointline.report.thinning import thinned

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_POINTS = 3_000  # of a series; four of them and the settlements stay under 300 kB
MOST_SETTLEMENTS = 400
_FEW_SETTLEMENTS = 31  # more vertical lines would hide what they mark
_SPOT_WIDTH, _WIDTH, _DOT = 4, 1.5, 4
_BPS = 1e4


@dataclass(frozen=True)
class ComparedPair:
    """What the chart of a comparison says beside its figures.

    Attributes:
        title: the pair.
        subtitle: the window and the bar rule.
        perp_quote, spot_quote: the assets that prices are in.
        price_factor: spot units in one perp unit; the spot's price is shown times this.
        max_perp_age_us, max_spot_age_us: a price older than this is not drawn.
    """

    title: str
    subtitle: str
    perp_quote: str
    spot_quote: str
    price_factor: float = 1.0
    max_perp_age_us: int = 60 * SECOND_US
    max_spot_age_us: int = 60 * SECOND_US


def comparison_figure(features: pl.DataFrame | pl.LazyFrame, pair: ComparedPair, *, most_points: int = MOST_POINTS) -> Figure:
    """Prices, basis in bps and funding in bps per 8 hours over time.

    Every extreme is drawn, whatever the number of bars (`pointline.report.thinning`), and no line crosses a hole: bars that do not touch,
    trades that are known to be missing, a price that is absent or too old.

    Args:
        features: the table of a comparison, in order; a few columns are in memory at a time.
        pair: names, units and limits.
        most_points: how many points of each series may be drawn.

    Returns:
        A plotly figure.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    need_plotly()
    rows = features.lazy()
    crossed = "basis_bps" not in rows.collect_schema()
    series = {line.name: line.points(rows, most_points) for line in _lines(pair, crossed=crossed)}
    settlements = _settlements(rows)
    funded = not series["funding"].is_empty()
    figure = stacked(_panels(pair, crossed=crossed, funded=funded), title=pair.title, subtitle=pair.subtitle)
    for line in _lines(pair, crossed=crossed):
        line.draw(figure, series[line.name])
    window = _window(series.values())
    across = time_axis(hoverformat="%Y-%m-%d %H:%M:%S.%L UTC", range=window)
    figure.update_layout(xaxis=across, hovermode="x unified", hoversubplots="axis")
    if funded and window is not None:
        _mark_settlements(figure, settlements, window)
    return figure


@dataclass(frozen=True)
class _Line:
    """A series of the chart: its role, panel, look and where it comes from."""

    name: str
    panel: int
    colour: Colour
    value: pl.Expr
    holes: tuple[str, ...]
    hover: str
    width: float = _WIDTH
    shape: str = "linear"
    told: bool = True

    def points(self, rows: pl.LazyFrame, most: int) -> pl.DataFrame:
        """What is drawn of it: at, value, alone."""
        known = rows.collect_schema()
        apart = pl.col("bucket_start") != pl.col("bucket_end").shift(1)
        holes = [pl.col(name).fill_null(value=False) for name in self.holes if name in known]
        frame = rows.select(
            at="bucket_end", value=self.value.cast(pl.Float64), apart=pl.any_horizontal(apart.fill_null(value=False), *holes)
        )
        return thinned(frame.collect(), most=most)

    def draw(self, figure: Figure, points: pl.DataFrame) -> None:
        """Adds the line, and dots for values that stand alone."""
        if points.is_empty():
            return
        suffix = str(self.panel) if self.panel > 1 else ""
        common: dict[str, Any] = {
            "name": self.name,
            "legendgroup": self.name,
            "yaxis": f"y{suffix}",
            "legend": f"legend{suffix}",
            "showlegend": self.told,
            "hovertemplate": self.hover,
        }
        line = {"color": self.colour.light, "width": self.width, "shape": self.shape}
        figure.add_scatter(x=millis(points["at"]), y=numbers(points["value"]), mode="lines", line=line, connectgaps=False, **common)
        dots = points.filter("alone")
        if not dots.is_empty():
            marker = {"color": self.colour.light, "size": max(_DOT, self.width)}
            common["showlegend"] = False
            figure.add_scatter(x=millis(dots["at"]), y=numbers(dots["value"]), mode="markers", marker=marker, **common)


def _lines(pair: ComparedPair, *, crossed: bool) -> tuple[_Line, ...]:
    """The series from the hindmost to the foremost."""
    perp = pl.when(pl.col("perp_age_us") <= pair.max_perp_age_us).then("perp_close")
    spot = pl.when(pl.col("spot_age_us") <= pair.max_spot_age_us).then(pl.col("spot_close") * pair.price_factor)
    basis = f"{CROSS_QUOTE_PREFIX}basis_bps" if crossed else "basis_bps"
    both = ("perp_hole", "spot_hole")
    spot_hover, perp_hover = (f"%{{y:,}} {quote}" for quote in (pair.spot_quote, pair.perp_quote))
    return (
        _Line("spot", 1, SPOT, spot, ("spot_hole",), spot_hover, width=_SPOT_WIDTH),
        _Line("perp", 1, PERP, perp, ("perp_hole",), perp_hover),
        _Line(_basis_name(crossed=crossed), 2, BASIS, pl.col(basis), both, "%{y:+.2f} bps", told=False),
        _Line("funding", 3, FUNDING, pl.col("funding_8h") * _BPS, (), "%{y:+.3f} bps per 8 h", width=1.8, shape="hv"),
    )


def _basis_name(*, crossed: bool) -> str:
    return "cross-quote basis" if crossed else "basis"


def _panels(pair: ComparedPair, *, crossed: bool, funded: bool) -> list[Panel]:
    quotes = pair.perp_quote if pair.perp_quote == pair.spot_quote else f"{pair.perp_quote}; spot in {pair.spot_quote}"
    time = "time (UTC)"
    basis = Panel(f"{_basis_name(crossed=crossed)} (bps)", 230, x_title="" if funded else time)
    price = Panel(f"price ({quotes})", 250, legend_rows=1, zero=False)
    return [price, basis, Panel("funding (bps per 8 h)", 170, legend_rows=1, x_title=time)] if funded else [price, basis]


def _window(series: Iterable[pl.DataFrame]) -> list[float] | None:
    """First and last moment of what is drawn, in milliseconds."""
    times = pl.concat([points["at"] for points in series])
    if times.is_empty():
        return None
    return [float(edge) for edge in millis(pl.Series([times.min(), times.max()]))]


def _settlements(rows: pl.LazyFrame) -> pl.DataFrame:
    """The moments of funding settlements (at), with the rate per 8 h in bps that was known before each (value)."""
    due = pl.col("bucket_end") + (pl.col("seconds_to_funding") * SECOND_US).round().cast(pl.Int64)
    told = rows.select(at=(due + SECOND_US // 2) // SECOND_US * SECOND_US, value=pl.col("funding_8h") * _BPS)
    return told.filter(pl.col("at").is_not_null()).group_by("at").agg(pl.col("value").last()).sort("at").collect()


def _mark_settlements(figure: Figure, settlements: pl.DataFrame, window: list[float]) -> None:
    """A mark on the funding at each settlement of the window, and while they are few a line through all panels."""
    first_us, last_us = (round(edge * 1_000) for edge in window)
    inside = settlements.filter(pl.col("at").is_between(first_us, last_us))
    few = inside.height <= _FEW_SETTLEMENTS
    known = inside.filter(pl.col("value").is_not_null())
    if not known.is_empty():
        kept = thinned(known.with_columns(apart=pl.lit(False)), most=MOST_SETTLEMENTS)
        figure.add_scatter(
            x=millis(kept["at"]),
            y=numbers(kept["value"]),
            name="settlement",
            cliponaxis=False,
            yaxis="y3",
            legend="legend3",
            mode="markers",
            marker={"color": FUNDING.light, "size": 9 if few else 5, "symbol": "diamond"},
            hovertemplate="known before it: %{y:+.3f} bps per 8 h",
        )
    if few:
        line = {"color": FUNDING.light, "width": 1, "dash": "dot"}
        rule = {"type": "line", "line": line, "xref": "x", "y0": 0, "y1": 1, "layer": "above", "opacity": 0.5}
        places = [(at, axis) for at in millis(inside["at"]).tolist() for axis in ("y", "y2", "y3")]
        figure.update_layout(shapes=[{**rule, "x0": at, "x1": at, "yref": f"{axis} domain"} for at, axis in places])
