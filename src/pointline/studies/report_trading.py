"""The sections of a report about trading: funding forecast, costs and opportunities, backtest.

What is read of each part is listed here, so that a part may be any value that has it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import polars as pl

from pointline.clock import DAY_US, SECOND_US, time_text
from pointline.errors import ConfigError
from pointline.report import trading_figures as drawn
from pointline.report.page import PageFigure, PageSection
from pointline.report.page_tables import PageTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointline.report.panels import Figure

FORECAST_PARTS = ("table", "settlements", "verdict", "notes")
COST_PARTS = ("break_even", "opportunities", "by_condition", "sensitivity", "verdict", "notes")
BACKTEST_PARTS = ("title", "trades", "daily", "figures", "summary", "verdict", "notes")
_TERMS = ("perp_price", "spot_price", "funding", "fees", "slippage", "borrow")
_PAID = ("fees", "slippage", "borrow")
_SHOWN_LEAD_HOURS = 4.0
_FIRST_TIME_US = 10**14  # 1973; lengths of time are shorter
_NOT_FORECASTS = frozenset({"actual_bps", "last_known_bps", "premium_bps", "offset_bps"})


def check_part(name: str, part: object, wanted: Sequence[str]) -> None:
    """Refuses a part of a report that lacks what is read of it.

    Args:
        name: of the argument.
        part: its value; None is no part.
        wanted: names of attributes.

    Raises:
        ConfigError: an attribute is missing.
    """
    missing = [] if part is None else [one for one in wanted if not hasattr(part, one)]
    if missing:
        raise ConfigError(f"{name} has the wrong type", where="report", value=type(part).__name__, expected=", ".join(wanted))


# ---- the next funding ---------------------------------------------------------------------------------------------------------------


def forecast_section(forecast: Any, subtitle: str) -> PageSection:  # noqa: ANN401 - with FORECAST_PARTS
    """Errors of the forecasts by predictor and lead, and what was paid beside what was forecast.

    Args:
        forecast: with `FORECAST_PARTS`.
        subtitle: of the figures.
    """
    table = forecast.table
    figures = []
    scored = table.filter(pl.col("mae_bps").is_finite())
    if scored.height:
        figure = drawn.error_figure(scored, title="Error of funding forecasts", subtitle=subtitle)
        figures.append(PageFigure("funding-errors", "Mean absolute error of each predictor, some hours before the settlement.", figure))
    figure, lead = forecast_chart(forecast, subtitle)
    if figure is not None:
        caption = f"What each settlement paid, and what was forecast {lead}; every extreme is drawn."
        figures.append(PageFigure("funding-forecast", caption, figure))
    forms = dict.fromkeys(table.columns, ".3f") | {"hours_before": "g"}
    return PageSection(
        "forecast",
        "Funding forecast",
        sentences=[forecast.verdict],
        figures=figures,
        tables=[PageTable("Scores by predictor and hours before the settlement", readable(table), forms=forms)],
        notes=list(forecast.notes),
    )


def forecast_chart(forecast: Any, subtitle: str) -> tuple[Figure | None, str]:  # noqa: ANN401 - with FORECAST_PARTS
    """What was paid beside what was forecast, and at which lead; None without settlements.

    Args:
        forecast: with `FORECAST_PARTS`.
        subtitle: of the figure.
    """
    lines, lead = _forecast_lines(forecast.table.filter(pl.col("mae_bps").is_finite()), forecast.settlements)
    if lines is None:
        return None, lead
    return drawn.forecast_figure(lines, title=f"Funding, paid and forecast {lead}", subtitle=subtitle), lead


def _forecast_lines(scored: pl.DataFrame, settlements: pl.DataFrame) -> tuple[pl.DataFrame | None, str]:
    """What was paid, and the forecasts of the rule and of the best predictor at one lead."""
    rows, scores, lead = settlements, scored, "before"
    if "hours_before" in settlements.columns and settlements.height:
        leads = sorted(settlements["hours_before"].unique().to_list(), key=lambda one: (abs(one - _SHOWN_LEAD_HOURS), one))
        rows, scores = (one.filter(pl.col("hours_before") == leads[0]) for one in (settlements, scored))
        lead = f"{leads[0]:g} h before"
    told = [name for name in rows.columns if name.endswith("_bps") and name not in _NOT_FORECASTS and rows[name].count()]
    ranked = [f"{name}_bps" for name in scores.sort("mae_bps", "predictor")["predictor"].to_list()]
    best = [name for name in ranked if name in told]
    chosen = list(dict.fromkeys([*(name for name in ("rule_bps",) if name in told), *best[:1], *told]))[:2]
    if rows.is_empty() or "actual_bps" not in rows.columns:
        return None, lead
    names = {"actual_bps": "paid", **{name: name.removesuffix("_bps").replace("_", " ") for name in chosen}}
    return rows.sort("funding_us").select(pl.col("funding_us").alias("at"), *(pl.col(one).alias(two) for one, two in names.items())), lead


# ---- costs --------------------------------------------------------------------------------------------------------------------------


def cost_section(costs: Any, subtitle: str) -> PageSection:  # noqa: ANN401 - with COST_PARTS
    """What a round trip costs, when the basis was larger, under which conditions, and at other costs.

    Args:
        costs: with `COST_PARTS`.
        subtitle: of the figures.
    """
    figures = []
    if costs.opportunities.height and {"name", "side", "share_of_time"} <= set(costs.opportunities.columns):
        figure = drawn.opportunity_figure(costs.opportunities, title="Basis beyond costs and levels", subtitle=subtitle)
        figures.append(PageFigure("opportunities", "Share of time in which the size of the basis was above each level.", figure))
    if costs.sensitivity.height and {"name", "cost_bps", "share_of_time"} <= set(costs.sensitivity.columns):
        figure = drawn.cost_figure(costs.sensitivity, title="Opportunities at other costs", subtitle=subtitle)
        figures.append(PageFigure("costs-ladder", "Share of time in which the basis was larger than a round trip costs.", figure))
    named = (
        ("What a round trip costs", costs.break_even),
        ("How often the basis was larger", costs.opportunities),
        ("By condition; conditions overlap", costs.by_condition),
        ("At other costs", costs.sensitivity),
    )
    return PageSection(
        "costs",
        "Costs and opportunities",
        sentences=[costs.verdict],
        figures=figures,
        tables=[PageTable(caption, readable(frame)) for caption, frame in named if frame.height],
        notes=list(costs.notes),
    )


# ---- backtest -----------------------------------------------------------------------------------------------------------------------


def backtest_section(backtest: Any, subtitle: str, quote: str) -> PageSection:  # noqa: ANN401 - with BACKTEST_PARTS
    """Equity with what it is made of, the drawdown, and the trades.

    Args:
        backtest: with `BACKTEST_PARTS`; ``daily`` has ``date_us``, the terms, ``pnl`` and ``equity``, also with ``_quote`` behind them.
        subtitle: of the figure.
        quote: the money of all amounts.

    Raises:
        ConfigError: ``daily`` lacks a column.
    """
    figures = []
    if backtest.daily.height:
        figure = equity_chart(backtest, subtitle, quote)
        caption = (
            f"Equity at the end of each UTC day, what each term added to it, and how far it lies below its peak, in {quote}. "
            "Costs are drawn below zero; the price of both legs is what basis and drift added together."
        )
        figures.append(PageFigure("equity", caption, figure))
    return PageSection(
        "backtest",
        "Backtest",
        sentences=[f"{backtest.title}.", backtest.verdict],
        figures=figures,
        tables=[
            PageTable("Figures", backtest.figures),
            PageTable(f"What the equity is made of ({quote})", _sums(backtest.daily), forms={"sum": ".2f"}),
            PageTable("Trades", readable(backtest.trades), folded=True, rest="Backtest.trades has all of them"),
        ],
        notes=list(backtest.notes),
    )


def equity_chart(backtest: Any, subtitle: str, quote: str) -> Figure:  # noqa: ANN401 - with BACKTEST_PARTS
    """Equity, what each term added to it, and the drawdown, day by day.

    Args:
        backtest: with `BACKTEST_PARTS`.
        subtitle: of the figure.
        quote: the money of all amounts.

    Raises:
        ConfigError: ``daily`` lacks a column.
    """
    daily = _daily(backtest.daily)
    capital = daily["equity"][0] - _bare(backtest.daily)["pnl"][0]
    return drawn.equity_figure(daily, capital=capital, quote=quote, title=backtest.title, subtitle=subtitle)


def _bare(daily: pl.DataFrame) -> pl.DataFrame:
    bare = daily.rename({name: name.removesuffix("_quote") for name in daily.columns})
    missing = [name for name in ("date_us", *_TERMS, "pnl", "equity") if name not in bare.columns]
    if missing:
        raise ConfigError("the days of a backtest lack columns", where="report", value=missing, expected="date_us, its terms, pnl, equity")
    return bare


def _daily(daily: pl.DataFrame) -> pl.DataFrame:
    """Days as they are drawn: costs below zero, the price of both legs together, the drawdown from the highest equity so far."""
    equity, pnl = pl.col("equity"), pl.col("pnl")
    capital = (equity - pnl).first()
    return _bare(daily).select(
        "equity",
        "funding",
        at=pl.col("date_us") + DAY_US,
        price=pl.col("perp_price") + pl.col("spot_price"),
        drawdown=equity - pl.max_horizontal(equity.cum_max(), capital),
        **{name: -pl.col(name) for name in _PAID},
    )


def _sums(daily: pl.DataFrame) -> pl.DataFrame:
    """Each term over all days as it adds to the equity."""
    bare = _bare(daily)
    rows = [(name.replace("_", " "), math.fsum(bare[name].to_list()) * (-1 if name in _PAID else 1)) for name in _TERMS]
    rows.append(("change of equity", math.fsum(bare["pnl"].to_list())))
    return pl.DataFrame(rows, schema={"term": pl.String, "sum": pl.Float64}, orient="row")


def readable(frame: pl.DataFrame) -> pl.DataFrame:
    """A table for a reader: times in microseconds become text in UTC, lengths of time seconds.

    Examples:
        >>> readable(pl.DataFrame({"exit_us": [1714521600000000], "longest_us": [1500000]})).row(0, named=True)
        {'exit': '2024-05-01 00:00:00', 'longest (s)': 1.5}
    """
    columns = []
    for name, dtype in frame.schema.items():
        if not (name.endswith("_us") and dtype.is_numeric()):
            columns.append(frame[name])
            continue
        bare, least = name.removesuffix("_us"), frame[name].min()
        if dtype.is_integer() and isinstance(least, int) and least >= _FIRST_TIME_US:
            texts = [None if us is None else time_text(us) for us in frame[name].to_list()]
            columns.append(pl.Series(bare, texts, dtype=pl.String))
        else:
            columns.append((frame[name] / SECOND_US).alias(f"{bare} (s)"))
    return pl.DataFrame(columns)
