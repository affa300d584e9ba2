"""The sections of a report about evidence: coefficients, nulls, deciles, lead and lag, the checklist."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import polars as pl

from pointline.bars.run import VenueTrades
from pointline.clock import date_text, time_text
from pointline.errors import NoDataError
from pointline.report.evidence_figures import decile_figure, forest_figure, null_figure
from pointline.report.page import PageFigure, PageSection
from pointline.report.page_tables import PageTable
from pointline.studies.lead_lag import lead_lag as measure_lead_lag
from pointline.studies.report_data import compared_pair
from pointline.studies.report_verdict import RETURNS

if TYPE_CHECKING:
    from pointline.studies.checklist import Checklist
    from pointline.studies.evaluate import Evaluation
    from pointline.studies.lead_lag import LeadLagStudy
    from pointline.studies.reported import Reported

MOST_FEATURES = 18
MOST_NULLS = 12
MOST_CURVES = 4
MOST_TICKS = 3_000_000
"""Trades of both sides that the lead and lag of a report is measured on; of a longer window the last days are."""

_PUBLISHED_BARS = 5
_IC_ROWS = 20
_IC_COLUMNS = (
    *("feature", "label", "horizon", "ic", "low", "high", "p_bh", "ic_next", "ic_out", "n_eff", "detectable"),
    *("decile_spread_bps", "cost_bps", "published_ic"),
)
_IC_HEADINGS = {
    "ic": "IC",
    "low": "low",
    "high": "high",
    "p_bh": "adjusted p",
    "ic_next": "one bar later",
    "ic_out": "out of sample",
    "n_eff": "effective n",
    "detectable": "smallest seen IC",
    "decile_spread_bps": "top − bottom (bps)",
    "cost_bps": "cost (bps)",
    "published_ic": "published IC",
}
_IC_FORMS = {
    **dict.fromkeys(("ic", "low", "high", "ic_next", "ic_out", "detectable", "null_bound", "ic_if_stale", "ic_if_bounce"), ".4f"),
    "p_bh": ".4f",
    "n_eff": ".0f",
    "decile_spread_bps": ".2f",
    "cost_bps": "g",
    "published_ic": ".2f",
}


# ---- coefficients -------------------------------------------------------------------------------------------------------------------


def ic_section(study: Reported, evaluation: Evaluation) -> PageSection:
    """A forest plot of the coefficients with returns, beside the guide's, and the largest of all in a table."""
    horizon = _horizon(evaluation)
    chosen = _of_returns(evaluation.table, horizon)
    confidence = evaluation.options.confidence
    kind = "Rank correlation" if evaluation.options.method == "spearman" else "Correlation"
    figures = []
    if chosen.height:
        title = f"Information coefficients over {horizon}"
        drawn = forest_figure(chosen, title=title, subtitle=compared_pair(study).subtitle)
        caption = (
            f"{kind} with the return over {horizon} after each bar and its {confidence:.0%} interval, in-sample: features with a "
            f"published figure, then the largest, {chosen['feature'].n_unique()} in all. Filled dots stand, open ones do not; "
            "upright strokes are the coefficient if one enters a bar later; diamonds are printed in the guide, not reproduced here."
        )
        figures.append(PageFigure("information-coefficients", caption, drawn))
    table = evaluation.table
    untested = table["ic"].null_count()
    of_returns = pl.col("label").is_in(RETURNS)
    parts = (
        (table.filter(of_returns), "Coefficients with returns, those that stand first, then by size", False),
        (table.filter(~of_returns), "Coefficients with changes of the basis and with volatility", True),
    )
    return PageSection(
        "coefficients",
        "Information coefficients",
        sentences=[evaluation.verdict],
        figures=figures,
        tables=[_ic_table(rows, caption, folded=folded) for rows, caption, folded in parts if rows.height],
        notes=[f"{untested} rows have no figures, for want of values"] if untested else [],
    )


def _ic_table(rows: pl.DataFrame, caption: str, *, folded: bool) -> PageTable:
    ordered = rows.filter(pl.col("ic").is_not_null()).sort("stands", pl.col("ic").abs(), descending=True)
    shown = ordered.select([name for name in _IC_COLUMNS if name in ordered.columns])
    return PageTable(caption, shown, _IC_HEADINGS, _IC_FORMS, folded=folded, most_rows=_IC_ROWS, rest="Study.ic().table has all of them")


def _horizon(evaluation: Evaluation) -> str:
    """The horizon of the guide's figures where it was judged, else the first one."""
    table = evaluation.table
    published = table.filter(pl.col("horizon_bars") == _PUBLISHED_BARS)["horizon"].to_list()
    named = f"{_PUBLISHED_BARS} bars"
    return named if named in published else str(table["horizon"][0])


def _of_returns(table: pl.DataFrame, horizon: str) -> pl.DataFrame:
    """Rows of returns over a horizon: features with a published figure, then those with the largest coefficients."""
    rows = table.filter(pl.col("horizon") == horizon, pl.col("label").is_in(RETURNS), pl.col("ic").is_not_null())
    best = rows.group_by("feature").agg(size=pl.col("ic").abs().max(), told=pl.col("published_ic").is_not_null().any())
    best = best.sort("told", "size", "feature", descending=[True, True, False]).head(MOST_FEATURES)
    shown = best.sort("size", "feature", descending=[True, False]).select("feature", "size")
    return shown.join(rows, on="feature", maintain_order="left")


def null_section(study: Reported, evaluation: Evaluation) -> PageSection | None:
    """The largest coefficients beside what they would be without any prediction; None where no nulls were drawn, or no return judged."""
    table = evaluation.table
    if "null_bound" not in table.columns or table.filter(pl.col("label").is_in(RETURNS), pl.col("ic").is_not_null()).is_empty():
        return None
    rows = table.filter(pl.col("ic").is_not_null(), pl.col("label").is_in(RETURNS)).sort(pl.col("ic").abs(), descending=True)
    held = int(rows.select(pl.col("beyond_null").fill_null(value=False).sum()).item())
    name = pl.concat_str("feature", pl.lit(", "), pl.col("label").str.replace("_return", ""), pl.lit(", "), "horizon")
    shown = rows.head(MOST_NULLS).with_columns(name=name)
    columns = ("feature", "label", "horizon", "ic", "low", "high", "null_bound", "ic_if_stale", "ic_if_bounce", "beyond_null")
    headings = {
        **_IC_HEADINGS,
        "null_bound": "shuffled and shifted stay below",
        "ic_if_stale": "if the venue only follows",
        "ic_if_bounce": "if the venue only bounces",
        "beyond_null": "beyond them",
    }
    drawn = null_figure(shown, title="Coefficients beside their nulls", subtitle=compared_pair(study).subtitle)
    caption = f"The {shown.height} largest coefficients with returns, their size and interval, beside nulls without any prediction."
    said = (
        f"{held} of {rows.height} coefficients with returns are larger than what shuffled days, shifted rows, a venue that only follows "
        "the other one's price, and one whose price only bounces would show."
    )
    return PageSection(
        "nulls",
        "Null battery",
        sentences=[said],
        figures=[PageFigure("nulls", caption, drawn)],
        tables=[PageTable("The same as a table", shown.select(columns), headings, _IC_FORMS, folded=True)],
    )


# ---- deciles ------------------------------------------------------------------------------------------------------------------------


def decile_section(study: Reported, evaluation: Evaluation) -> PageSection | None:
    """What follows in each tenth of the features with the largest coefficients, against costs; None where no row has figures."""
    horizon = _horizon(evaluation)
    rows = evaluation.table.filter(
        pl.col("horizon") == horizon, pl.col("label").is_in(RETURNS), pl.col("decile_spread_bps").is_not_null()
    ).sort("stands", pl.col("ic").abs(), "feature", descending=[True, True, False])
    best = rows.unique("feature", keep="first", maintain_order=True).head(MOST_CURVES)
    if best.is_empty():
        return None
    curves, told = [], []
    for row in best.iter_rows(named=True):
        means = [None if math.isnan(mean) else mean for mean in evaluation.deciles(row["feature"], row["label"], horizon).means]
        name = f"{row['feature']}, {row['label'].removesuffix('_return')}"
        curves.append((name, means))
        tenths = {str(tenth): mean for tenth, mean in enumerate(means, start=1)}
        told.append({"feature": name, **tenths, "top − bottom": row["decile_spread_bps"], "cost": row["cost_bps"]})
    costs = [cost for cost in best["cost_bps"].to_list() if cost is not None]
    cost = max(costs) if costs else None
    largest = max(abs(spread) for spread in best["decile_spread_bps"].to_list())
    against = "no costs are known" if cost is None else f"a round trip costs up to {cost:g} bps"
    numbers = dict.fromkeys((*map(str, range(1, 11)), "top − bottom"), ".2f")
    drawn = decile_figure(curves, cost_bps=cost, title=f"Return over {horizon} by tenths", subtitle=compared_pair(study).subtitle)
    return PageSection(
        "deciles",
        "Returns by tenths against costs",
        sentences=[f"The widest of these spreads between the top and the bottom tenth is {largest:.2f} bps; {against}."],
        figures=[PageFigure("deciles", f"Mean return over {horizon} in each tenth of a feature, in-sample; dashes are the cost.", drawn)],
        tables=[PageTable(f"Mean return over {horizon} by tenths (bps)", pl.DataFrame(told), forms=numbers)],
    )


# ---- lead and lag -------------------------------------------------------------------------------------------------------------------


def lead_lag_of(study: Reported) -> tuple[LeadLagStudy, str]:
    """Which side moves first, on the window or on its last days, and in words on what.

    Raises:
        NoDataError: the bars are made of candles, or one side has no trades in a day that the other has.
        PointlineError: as `pointline.lead_lag`.
    """
    perp, spot = (study._sides[side] for side in ("perp", "spot"))  # noqa: SLF001 - of the same room
    if not (isinstance(perp, VenueTrades) and isinstance(spot, VenueTrades)):
        raise NoDataError("lead and lag need trades, and these bars are made of candles")
    days = sorted(perp.files.keys() & spot.files.keys())
    if not days:
        raise NoDataError("lead and lag need a day with trades of both sides")
    first, rows = len(days), 0
    while first and (first == len(days) or rows + perp.files[days[first - 1]].rows + spot.files[days[first - 1]].rows <= MOST_TICKS):
        first -= 1
        rows += perp.files[days[first]].rows + spot.files[days[first]].rows
    start_us = study.start_us if first == 0 else max(study.start_us, days[first])
    found = measure_lead_lag(
        *(study.pair.perp.name, study.pair.spot.name),
        start=start_us,
        end=study.end_us,
        lake=study._lake,  # noqa: SLF001 - of the same room
        include_off_book=perp.include_off_book,
    )
    whole = f"the whole window, {time_text(start_us).removesuffix(' 00:00:00')} to {time_text(study.end_us).removesuffix(' 00:00:00')}"
    return found, whole if first == 0 else f"the last days of the window from {date_text(start_us)} on, with up to {MOST_TICKS} trades"


def lead_lag_section(found: LeadLagStudy, measured_on: str) -> PageSection:
    """The correlation by lag beside its null, and where the price is found."""
    headings = {
        "kind": "prices",
        "peak_ms": "peak (ms)",
        "low_ms": "interval from (ms)",
        "high_ms": "to (ms)",
        "null_band": "null band",
        "asymmetry_t": "asymmetry t",
        "asymmetry_p": "asymmetry p",
        "lead_lag_ratio": "lead-lag ratio",
    }
    forms = dict.fromkeys(("correlation", "null_band", "asymmetry_p", "lead_lag_ratio"), ".3f") | {"asymmetry_t": ".2f"}
    tables = [PageTable("Figures of the curve beside those of its null", _named(found.figure_table), headings, forms)]
    if not found.share_table.is_empty():
        shares = _named(found.share_table).with_columns(pl.col("interval_us") / 1_000).select("kind", pl.exclude("kind"))
        names = {"kind": "prices", "interval_us": "grid (ms)", "rows": "points"}
        tables.append(PageTable(f"Shares of {found.names[0]} in price discovery", shares, names, dict.fromkeys(shares.columns[2:6], ".3f")))
    caption = (
        "Correlation of price changes by lag (Hayashi-Yoshida on raw trades), beside the same prices thinned to ticks without any lead. "
        "Dots are the band that chance stays in, the stripe is the interval of the peak."
    )
    return PageSection(
        "lead-lag",
        "Lead and lag",
        sentences=[found.verdict, f"Measured on {measured_on or found.window_text}."],
        figures=[PageFigure("lead-lag-curve", caption, found.chart())],
        tables=tables,
        notes=found.notes,
    )


def _named(table: pl.DataFrame) -> pl.DataFrame:
    """The rows of the null under a name that nobody takes for a missing value."""
    return table.with_columns(pl.col("kind").replace({"null": "thinned null"}))


# ---- the checklist ------------------------------------------------------------------------------------------------------------------


def checklist_section(checklist: Checklist) -> PageSection:
    """Every point with its status, its limit and what to do."""
    headings = {"threshold": "limit", "source": "source of the limit"}
    table = checklist.table.with_columns(pl.col("point").str.replace_all("_", " "))
    return PageSection(
        "checklist",
        "Checklist",
        sentences=[checklist.verdict],
        tables=[PageTable("Whether data, funding, costs and evidence are ready for use", table, headings)],
    )
