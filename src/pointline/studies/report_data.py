"""The sections of a report about its data: coverage and staleness, basis and funding through time, provenance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from pointline import clock
from pointline.bars.run import VenueTrades
from pointline.features import CROSS_QUOTE_PREFIX
from pointline.report.charts import ComparedPair, comparison_figure
from pointline.report.data_figures import MOST_POINTS, age_figure, mark_events
from pointline.report.page import PageFigure, PageSection
from pointline.report.page_tables import PageTable
from pointline.studies import provenance

if TYPE_CHECKING:
    from pointline.studies.reported import Reported

MOST_MARKS = 200
_QUANTILES = ((0.5, "median_s"), (0.9, "q90_s"), (0.99, "q99_s"), (1.0, "largest_s"))
_AGES = {
    "perp_age_us": "perp price",
    "spot_age_us": "spot price",
    "mark_age_us": "mark price",
    "index_age_us": "index price",
    "funding_age_us": "funding rate",
    "oi_age_us": "open interest",
}
_BPS = 1e4


def window_text(study: Reported) -> str:
    """The window in words."""
    start, end = (clock.time_text(us).removesuffix(" 00:00:00") for us in (study.start_us, study.end_us))
    return f"{start} to {end} UTC, end exclusive"


def compared_pair(study: Reported) -> ComparedPair:
    """What the chart of a study says beside its figures."""
    perp, spot = study.pair.perp, study.pair.spot
    perp_age_us, spot_age_us = study.params.age_limits_us
    start, end = (clock.time_text(us).removesuffix(":00") for us in (study.start_us, study.end_us))
    return ComparedPair(
        title=f"{perp.name} against {spot.name}",
        subtitle=f"{start} to {end} UTC, {study.rule.words(perp.base_asset, perp.quote_asset)}",
        perp_quote=perp.quote_asset,
        spot_quote=spot.quote_asset,
        price_factor=study.params.price_factor,
        max_perp_age_us=perp_age_us,
        max_spot_age_us=spot_age_us,
    )


# ---- coverage and staleness ---------------------------------------------------------------------------------------------------------


def coverage_section(study: Reported) -> PageSection:
    """What of the window is covered, what is missing, and how old the prices are that bars show."""
    summary = study.summary
    limit_s = study.params.age_limits_us[1] / clock.SECOND_US
    stale, without = summary["share_bars_stale_spot"], summary["share_bars_without_spot"]
    ages = study._rows.select(at="bucket_end", value=pl.col("spot_age_us") / clock.SECOND_US).collect()  # noqa: SLF001 - of the same room
    figure = age_figure(
        ages, limit_s=limit_s, title=f"Age of the spot price, {study.pair.spot.name}", subtitle=compared_pair(study).subtitle
    )
    said = (
        f"{summary['bars']} bars. In {stale:.1%} of them the spot price is older than {limit_s:g} s: it is stale, and features of "
        f"both prices are empty there. In {without:.1%} spot did not trade at all."
    )
    parts = _part_days(study)
    tables = [
        PageTable("Coverage of the window", _coverage(study), headings=_COVERAGE, forms={"covered": ".4f"}),
        PageTable(
            "Age of what a bar shows, at its end",
            _ages(study),
            headings=_AGE_HEADINGS,
            forms=dict.fromkeys(("share of bars", "median_s", "q90_s", "q99_s", "largest_s"), ".3f"),
        ),
    ]
    if parts.height:
        tables.append(PageTable("Days that are covered in part or not at all", parts, headings={"covered": "share covered"}))
    return PageSection(
        "coverage",
        "Coverage and staleness",
        sentences=[said],
        figures=[PageFigure("spot-age", "Age of the last spot price at the end of each bar; the scale is logarithmic.", figure)],
        tables=tables,
    )


_COVERAGE = {"covered": "share covered", "quarantined": "rows quarantined", "flagged": "flagged as off-book"}
_AGE_FORMS = dict.fromkeys(("share of bars", *(word for _, word in _QUANTILES)), ".3f")
_AGE_HEADINGS = {"of": "age of", "median_s": "median (s)", "q90_s": "90 % (s)", "q99_s": "99 % (s)", "largest_s": "largest (s)"}


def _coverage(study: Reported) -> pl.DataFrame:
    summary = study.summary
    rows = []
    for side, name in (("perp", study.pair.perp.name), ("spot", study.pair.spot.name)):
        own = summary["coverage"][side]
        counted = (len(own["missing_days"]), own["missing_ids"], own["flagged"], own["quarantined"])
        rows.append((f"{side}: {name}", own["share"], summary[f"{side}_trades"], *counted))
    names = ("trades", "days missing", "ids missing", "flagged", "quarantined")
    return pl.DataFrame(rows, schema={"market": pl.String, "covered": pl.Float64, **dict.fromkeys(names, pl.Int64)}, orient="row")


def _part_days(study: Reported) -> pl.DataFrame:
    rows = []
    for side in ("perp", "spot"):
        own = study.summary["coverage"][side]
        rows += [(day, side, 0.0, "no trades") for day in own["missing_days"]]
        rows += [(part["date"], side, part["covered_share"], part["what"]) for part in own["part_days"]]
    schema = {"date": pl.String, "market": pl.String, "covered": pl.Float64, "what": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row").sort("date", "market")


def _ages(study: Reported) -> pl.DataFrame:
    names = [name for name in _AGES if name in study.columns]
    known = study._rows.select(  # noqa: SLF001 - of the same room
        *(pl.col(name).is_not_null().mean().alias(f"{name} known") for name in names),
        *(pl.col(name).quantile(q, "nearest").alias(f"{name} {word}") for name in names for q, word in _QUANTILES),
    )
    found = known.collect().row(0, named=True)
    rows = []
    for name in names:
        values = [found[f"{name} {word}"] for _, word in _QUANTILES]
        rows.append((_AGES[name], found[f"{name} known"], *(None if us is None else us / clock.SECOND_US for us in values)))
    schema = {"of": pl.String, "share of bars": pl.Float64, **{word: pl.Float64 for _, word in _QUANTILES}}
    return pl.DataFrame(rows, schema=schema, orient="row")


# ---- basis and funding --------------------------------------------------------------------------------------------------------------


def basis_section(study: Reported) -> PageSection:
    """Prices, basis and funding through time, with settlements, holes and off-book prints."""
    figure = comparison_figure(study._rows, compared_pair(study), most_points=MOST_POINTS)  # noqa: SLF001 - of the same room
    holes, flagged = _holes(study), _flagged(study)
    mark_events(figure, holes=holes[:MOST_MARKS], flagged=flagged.head(MOST_MARKS))
    told = [f"{len(holes) or 'No'} stretches lack data", f"{flagged.height or 'no'} prints of the perp are flagged as off-book"]
    more = max(len(holes), flagged.height) > MOST_MARKS
    return PageSection(
        "basis",
        "Basis and funding through time",
        sentences=[f"{told[0]}, {told[1]}{f'; of each the first {MOST_MARKS} are marked' if more else ''}."],
        figures=[
            PageFigure(
                "basis-and-funding",
                "Prices, basis and funding. Diamonds are settlements with the rate that was known before them, grey stripes are holes, "
                "open triangles are prints that the venue's book did not show. Lines part where a price is absent or too old.",
                figure,
            )
        ],
        tables=[PageTable("Quantiles over all bars", _quantiles(study), headings=_QUANTILE_HEADINGS, forms=_QUANTILE_FORMS)],
    )


_QUANTILE_COLUMNS = {"0": "q0", "0.01": "1 %", "0.25": "25 %", "0.5": "median", "0.75": "75 %", "0.99": "99 %", "1": "q1"}
_QUANTILE_HEADINGS = {"q0": "least", "q1": "largest"}
_QUANTILE_FORMS = dict.fromkeys(_QUANTILE_COLUMNS.values(), ".3f")


def _quantiles(study: Reported) -> pl.DataFrame:
    name = f"{CROSS_QUOTE_PREFIX}basis_bps" if "basis_bps" not in study.columns else "basis_bps"
    told = study.summary["quantiles"]
    heads = _QUANTILE_COLUMNS
    rows: list[dict[str, Any]] = []
    for column, words, scale in ((name, "basis (bps)", 1.0), ("funding_8h", "funding (bps per 8 h)", _BPS), ("spot_volume", "", 1.0)):
        unit = words or f"spot volume per bar ({study.pair.spot.base_asset})"
        rows.append({"quantity": unit, **{heads[q]: None if value is None else value * scale for q, value in told[column].items()}})
    return pl.DataFrame(rows, schema={"quantity": pl.String, **dict.fromkeys(heads.values(), pl.Float64)})


def _holes(study: Reported) -> list[tuple[int, int]]:
    """Spans of bars with a hole and of time without bars; those that touch are one."""
    hole = pl.any_horizontal(*(pl.col(name).fill_null(value=False) for name in ("perp_hole", "spot_hole") if name in study.columns))
    rows = study._rows.select(  # noqa: SLF001 - of the same room
        "bucket_start", "bucket_end", before="bucket_end", hole=hole if "perp_hole" in study.columns else pl.lit(value=False)
    ).with_columns(pl.col("before").shift(1))
    inside = rows.filter("hole").select(first="bucket_start", last="bucket_end")
    between = rows.filter(pl.col("bucket_start") > pl.col("before")).select(first="before", last="bucket_start")
    spans = pl.concat([inside, between]).sort("first").collect()
    merged: list[tuple[int, int]] = []
    for first, last in spans.iter_rows():
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


def _flagged(study: Reported) -> pl.DataFrame:
    """Times of the perp's prints that are flagged as off-book, with the perp's close that was known then."""
    venue = study._sides["perp"]  # noqa: SLF001 - of the same room
    if not isinstance(venue, VenueTrades):
        return pl.DataFrame(schema={"at": pl.Int64, "value": pl.Float64})
    files = [file for _, file in sorted(venue.files.items()) if file.totals.get("off_book")]
    prints = [file.scan(["ts_local_us", "off_book"]).filter("off_book").select(at="ts_local_us") for file in files]
    if not prints:
        return pl.DataFrame(schema={"at": pl.Int64, "value": pl.Float64})
    inside = pl.concat(prints).filter(pl.col("at").is_between(study.start_us, study.end_us, closed="left")).sort("at")
    closes = study._rows.select("bucket_end", value="perp_close").sort("bucket_end")  # noqa: SLF001 - of the same room
    return inside.join_asof(closes, left_on="at", right_on="bucket_end", strategy="backward").select("at", "value").collect()


# ---- provenance ---------------------------------------------------------------------------------------------------------------------


_REPEAT = (
    "The same files, versions and call give the same page. What a study does not keep has to be added to the call where it was given: age "
    "limits of state, funding rules, finer base bars, and the parts of this page that were made apart."
)


def provenance_section(study: Reported, name: str) -> PageSection:
    """Files with their hashes, the spine, the versions and the call that makes the page again.

    Args:
        study: a comparison.
        name: of the page's file.
    """
    files = provenance.sources(study)
    headings = {"used_for": "used for", "rows_read": "rows read", "rows_landed": "landed", "rows_flagged": "flagged"}
    headings |= {"rows_quarantined": "quarantined", "sha256": "SHA-256"}
    about = pl.DataFrame(
        [
            ("pair", study.title),
            ("window", window_text(study)),
            ("window (microseconds since 1970)", f"{study.start_us} to {study.end_us}"),
            ("spine", f"driven by {study.pair.perp.name} (symbol_id {study.pair.perp.symbol_id})"),
            ("bars close by", study.rule_text),
            ("costs", repr(study.params.costs)),
            ("lake", provenance.lake_name(study)),
            ("archive files", f"{files.height}, SHA-256 of their sorted hashes: {provenance.digest(files)}"),
        ],
        schema={"what": pl.String, "value": pl.String},
        orient="row",
    )
    return PageSection(
        "provenance",
        "Provenance",
        sentences=[_REPEAT],
        code=f'{provenance.call_text(study)}\nstudy.report("{name}")',
        tables=[
            PageTable("What was compared", about, headings={"what": "figure"}),
            PageTable("Versions", provenance.versions(), headings={"what": "software"}),
            PageTable("Archive files", files, headings=headings, folded=True, rest="Study.sources() has all of them"),
        ],
    )
