"""A scan as one page: the table of all pairs, and those that could not be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from pointline.report.page import PageSection, ReportPage
from pointline.report.page_tables import PageTable

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEADINGS = {
    "perp": "perp",
    "spot": "spot",
    "volume_ratio": "perp / spot volume",
    "basis_p01_bps": "basis 1 %, bps",
    "basis_p50_bps": "basis median, bps",
    "basis_p99_bps": "basis 99 %, bps",
    "funding_settled_per_year": "funding per year, settled",
    "funding_estimate_per_year": "funding per year, estimate",
    "cost_bps": "costs, bps",
    "carry_side": "side",
    "carry_gross_bps": "funding in the window, bps",
    "carry_net_bps": "less costs, bps",
    "carry_breakeven_days": "days to pay the costs",
    "perp_covered": "perp covered",
    "spot_covered": "spot covered",
    "share_bars_without_spot": "bars without spot",
    "share_bars_stale_spot": "bars with stale spot",
    "status": "checklist",
    "failed": "points that fail",
}
_CROSS = {
    "cross_quote_basis_p01_bps": "basis_p01_bps",
    "cross_quote_basis_p50_bps": "basis_p50_bps",
    "cross_quote_basis_p99_bps": "basis_p99_bps",
}
_SHARES = ("perp_covered", "spot_covered", "share_bars_without_spot", "share_bars_stale_spot")
_FORMS = {
    **{name: ".2f" for name in _HEADINGS if name.endswith("_bps")},
    **dict.fromkeys((*_SHARES, "funding_settled_per_year", "funding_estimate_per_year"), ".2%"),
    "volume_ratio": ".2f",
    "carry_breakeven_days": ".1f",
}
_MOST_ROWS = 2_000
_CARRY = (
    "Carry is what holding both legs over the window received in funding, on the side that received it, less the costs of one round trip. "
    "The basis is not in it. It tells what was, and is no forecast."
)
_CROSSED = "The two sides are quoted in different assets, so the basis also holds the rate between them, and no carry is told."


def scan_page(
    table: pl.DataFrame, *, title: str, subtitle: str, verdict: str, facts: Sequence[tuple[str, str]], notes: Sequence[str]
) -> ReportPage:
    """The page of a scan.

    Args:
        table: the columns of `pointline.studies.scan_rows.SCAN_SCHEMA`, sorted.
        title, subtitle, verdict, facts, notes: as in `pointline.report.page.ReportPage`.
    """
    compared = table.filter(pl.col("status") == "compared").with_columns(status="checklist")
    alike, crossed = (compared.filter(pl.col("cross_quote") == wanted) for wanted in (False, True))
    sections = [PageSection("pairs", "Pairs", [_CARRY], tables=[_pairs("Pairs of like quotes", alike)])]
    if crossed.height:
        told = crossed.drop(_CROSS.values()).rename(_CROSS)
        sections.append(PageSection("cross-quote", "Cross quote", [_CROSSED], tables=[_pairs("Pairs of different quotes", told)]))
    absent = table.filter(pl.col("status") != "compared").select("perp", "spot", "reason")
    if absent.height:
        sections.append(
            PageSection("not-compared", "Not compared", tables=[PageTable("Pairs without figures", absent, most_rows=_MOST_ROWS)])
        )
    noted = compared.filter(pl.col("notes") != "").select("perp", "notes")
    if noted.height:
        listed = PageTable("What to know of single pairs", noted, folded=True, most_rows=_MOST_ROWS)
        sections.append(PageSection("notes-of-pairs", "Notes", tables=[listed]))
    return ReportPage(title=title, subtitle=subtitle, verdict=verdict, facts=facts, sections=sections, notes=notes)


def _pairs(caption: str, rows: pl.DataFrame) -> PageTable:
    return PageTable(caption, rows.select(list(_HEADINGS)), headings=_HEADINGS, forms=_FORMS, sortable=True, most_rows=_MOST_ROWS)
