"""Results as text tables for the terminal."""

from __future__ import annotations

import os
from itertools import groupby
from typing import TYPE_CHECKING, Any

import polars as pl

from pointline import schema
from pointline.clock import time_text
from pointline.lake.coverage import candle_length_us, share_text, span_text

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

    from pointline.ingest.preview import FilePreview
    from pointline.ingest.run import FileReport

_SHOWN_FILES = 20
_ALWAYS_SAID = {"quarantined", "duplicates", "missing ids"}
_SHOWN_GAPS = 10
_SHOWN_BARS = 4
_WIDE, _FEW = 130, 5
_BAR_COLUMNS = (
    "perp_close",
    "spot_close",
    "basis_bps",
    "cross_quote_basis_bps",
    "funding_8h",
    "spot_age_us",
    "volume_ratio",
    "flow_divergence",
    "funding_basis_divergence",
)
_FLAWS = {
    "rows_flagged": "flagged",
    "duplicates": "duplicates",
    "rows_superseded": "superseded",
    "rows_quarantined": "quarantined",
    "rows_skipped": "skipped",
    "rounded": "rounded",
    "displaced": "displaced",
    "missing_ids": "missing ids",
}


def summary_view(summary: dict[str, Any], *, title: str, rule: str, notes: tuple[str, ...]) -> RenderableType:
    """The page-long summary of a comparison."""
    from rich.console import Group
    from rich.text import Text

    head = _grid()
    start, end = (time_text(us) for us in summary["window_us"])
    head.add_row("window", f"{start} to {end} UTC, end exclusive")
    head.add_row("bars close by", rule)
    head.add_row("trades", f"perp {_said(summary['perp_trades'], ',')}   spot {_said(summary['spot_trades'], ',')}")
    volumes = [_said(summary[f"{side}_volume_base"], ",.3f") for side in ("perp", "spot")]
    head.add_row("volume (base)", f"perp {volumes[0]}   spot {volumes[1]}")
    ratio = summary["volume_ratio"]
    for side in ("perp", "spot"):
        own = summary["coverage"][side]
        aside = f"{own['flagged']:,} flagged as off-book, {own['quarantined']:,} quarantined, {own['missing_ids']:,} missing ids"
        head.add_row(f"{side} covered", f"{share_text(own['share'])} of the window; {aside}")
    head.add_row("perp / spot volume", f"{'-' if ratio is None else format(ratio, '.2f')}   {summary['advice']}")
    dropped = f", {summary['bars_dropped']:,} without spot dropped" if summary["bars_dropped"] else ""
    length = summary["median_bar_seconds"]
    median = "" if length is None else f", median length {length:,.3g} s"
    head.add_row("bars", f"{summary['bars']:,} ({summary['incomplete_bars']} incomplete{dropped}){median}")
    head.add_row("bars without spot", f"{summary['share_bars_without_spot']:.2%}   with stale spot {summary['share_bars_stale_spot']:.2%}")
    head.add_row("funding from", ", ".join(summary["funding_source"]) or "nothing in the lake: funding features are null")
    head.add_row("costs", summary["costs"])
    speed = summary["rows_per_s"]
    size = f"{summary['rows_in_partitions']:,} rows of the window's days"
    head.add_row("time", f"{summary['elapsed_s']:.2f} s for the {size}, {speed / 1e6:.2f} M rows/s (kept sums included)")
    parts: list[RenderableType] = [
        Text(title, style="bold"),
        head,
        Text(),
        _quantile_table(summary["quantiles"]),
        Text(),
        _null_table(summary["null_share"]),
    ]
    parts += [Text(f"note: {note}", style="yellow") for note in notes]
    return Group(*parts)


def _said(value: float | None, form: str) -> str:
    """A figure, or that the candles do not tell it."""
    return "not told" if value is None else format(value, form)


def _grid() -> Any:  # noqa: ANN401 - rich is imported where it is used
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="cyan", no_wrap=True)
    grid.add_column()
    return grid


def _table(*columns: str, words: tuple[str, ...]) -> Any:  # noqa: ANN401 - rich is imported where it is used
    """A table with numbers on the right and the columns of `words` on the left; what is too wide is folded, never cut."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, header_style="cyan", pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(column, justify="left" if column in words else "right", overflow="fold")
    return table


def _quantile_table(quantiles: dict[str, dict[str, float | None]]) -> Any:  # noqa: ANN401
    levels = list(next(iter(quantiles.values())))
    names = {"0": "min", "1": "max", "0.5": "median"}
    table = _table("quantiles", *(names.get(level, f"{float(level):.0%}") for level in levels), words=("quantiles",))
    for name, values in quantiles.items():
        table.add_row(name, *("-" if value is None else f"{value:,.4g}" for value in values.values()))
    return table


def _null_table(shares: dict[str, float]) -> RenderableType:
    from rich.text import Text

    full = [name for name, share in shares.items() if share == 0]
    some = {name: share for name, share in shares.items() if 0 < share < 1}
    empty = [name for name, share in shares.items() if share == 1]
    text = Text()
    text.append("nulls per feature: ", style="cyan")
    text.append(f"none in {len(full)} features; ")
    text.append(", ".join(f"{name} {share:.1%}" for name, share in sorted(some.items(), key=lambda item: -item[1])) or "none partly null")
    if empty:
        text.append("; all null: " + ", ".join(empty))
    return text


def bars_view(features: pl.DataFrame, *, width: int) -> RenderableType:
    """The first and last bars of a comparison; a narrow terminal gets fewer columns."""
    from rich.console import Group
    from rich.text import Text

    names = [name for name in (_BAR_COLUMNS if width >= _WIDE else _BAR_COLUMNS[:_FEW]) if name in features.columns]
    table = _table("bar end, UTC", *names, words=("bar end, UTC",))
    shown = features if features.height <= 2 * _SHOWN_BARS else pl.concat([features.head(_SHOWN_BARS), features.tail(_SHOWN_BARS)])
    for number, row in enumerate(shown.select("bucket_end", *names).iter_rows()):
        if number == _SHOWN_BARS and shown.height < features.height:
            table.add_row("...")
        table.add_row(time_text(row[0]), *map(_cell, row[1:]))
    more = f"{shown.height} of {features.height:,} bars and {len(names) + 1} of {features.width} columns"
    return Group(table, Text(more))


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.8g}" if abs(value) >= 1_000 else f"{value:.4g}"  # noqa: PLR2004 - a price


def ingest_view(reports: list[FileReport], *, elapsed_s: float, width: int) -> RenderableType:
    """What became of the files of an ingest, those with a problem first; a narrow terminal gets no names of tables."""
    from rich.console import Group
    from rich.text import Text

    shown = sorted(reports, key=lambda report: report.problem is None)[:_SHOWN_FILES]
    flaws = [name for name in _FLAWS if any(getattr(report, name) for report in shown)]
    tables = ["tables"] if width >= _WIDE and any(report.kinds for report in shown) else []
    table = _table("outcome", *tables, "rows", "landed", *(_FLAWS[name] for name in flaws), "file", words=("outcome", "tables", "file"))
    names = _short_names([report.path for report in reports])
    for report in shown:
        counts = (report.rows_read, report.rows_landed, *(getattr(report, name) for name in flaws))
        kinds = [", ".join(report.kinds)] if tables else []
        table.add_row(report.outcome, *kinds, *(f"{count:,}" for count in counts), names[report.path])
    rows = sum(r.rows_read for r in reports if r.outcome not in {"unchanged", "instruments"})
    more = f" ({len(shown)} shown)" if len(shown) < len(reports) else ""
    outcomes = ", ".join(f"{sum(r.outcome == name for r in reports)} {name}" for name in dict.fromkeys(r.outcome for r in reports))
    counted = {title: sum(getattr(r, name) for r in reports) for name, title in _FLAWS.items()}
    totals = ", ".join(f"{count:,} {title}" for title, count in counted.items() if count or title in _ALWAYS_SAID)
    speed = f", {rows / elapsed_s / 1e6:.2f} M rows/s" if rows else ""
    conflicts = [Text(f"conflict: {text}", style="yellow") for report in reports for text in report.conflicts]
    told = Text(f"{_count(len(reports), 'file')}{more}: {outcomes}; {rows:,} rows read in {elapsed_s:.1f} s{speed}; {totals}")
    return Group(table, *conflicts, told)


def preview_view(previews: list[FilePreview]) -> RenderableType:
    """What an ingest would do with each file, those with a problem first."""
    from rich.console import Group
    from rich.text import Text

    shown = sorted(previews, key=lambda one: one.error is None)[:_SHOWN_FILES]
    names = _short_names([one.path for one in previews])
    table = _table("outcome", "read as", "rows", "set aside", "days", "file", words=("outcome", "read as", "days", "file"))
    for one in shown:
        known = f"{one.source}: {one.dataset} of {one.exchange}:{one.symbol}" if one.exchange else one.source
        days = sorted({day for days in one.days.values() for day in days})
        span = "" if not days else days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}, {_count(len(days), 'day')}"
        table.add_row(one.outcome, known, f"{one.rows:,}", f"{one.rows_rejected:,}", span, names[one.path])
    more = f" ({len(shown)} shown)" if len(shown) < len(previews) else ""
    outcomes = ", ".join(
        f"{sum(one.outcome == name for one in previews)} {name}" for name in dict.fromkeys(one.outcome for one in previews)
    )
    return Group(table, Text(f"{_count(len(previews), 'file')}{more}: {outcomes}; nothing was written"))


def _short_names(paths: list[Path]) -> dict[Path, str]:
    """The paths below the folder that all of them share."""
    absolute = {path: path.absolute() for path in paths}
    folder = os.path.commonpath([path.parent for path in absolute.values()])
    names = {path: whole.relative_to(folder).as_posix() for path, whole in absolute.items()}
    return {path: name.encode("utf-8", "backslashreplace").decode("utf-8") for path, name in names.items()}  # not all are UTF-8


def catalog_view(catalog: dict[str, Any]) -> RenderableType:
    """The lake's tables by instrument, then what is missing and what is wrong with them, the pairs and the rows set aside."""
    from rich.console import Group
    from rich.text import Text

    table = _table("instrument and table", "first", "last", "present", "share", "rows", "clock", words=("instrument and table",))
    table.padding = (0, 0)  # so that the names of usual instruments fit into 80 columns
    rows = sorted(catalog["instruments"], key=lambda row: (row["exchange"], row["symbol"], row["kind"]))
    for name, own in groupby(rows, key=lambda row: f"{row['exchange']}:{row['symbol']}"):
        table.add_row(name, style="bold")
        for row in own:
            present = _count(row["partitions"], _unit(row))
            share = share_text(row["covered_share"]).replace(" ", "")
            table.add_row(f"  {row['kind']}", row["first_date"], row["last_date"], present, share, f"{row['rows']:,}", row["clock"])
    parts: list[RenderableType] = [Text(f"lake {catalog['lake']}"), table]
    flaws = [Text(text, style="yellow") for _, text in flaws_of(catalog)]
    parts += flaws or [Text("no gaps, no missing ids, no duplicates, nothing out of order, nothing quarantined")]
    parts += [Text(f"pair {pair['perp']} with {pair['spot'] or 'no spot'}: {pair['reason']}") for pair in catalog["pairs"]]
    for layout in catalog.get("unverified_layouts", ()):
        parts.append(Text(f"layout {layout} is unverified: nobody compared it with the archive's own bytes"))
    return Group(*parts)


def _unit(row: dict[str, Any]) -> str:
    return "month" if schema.table(row["kind"]).monthly else "day"


def _count(number: int, unit: str) -> str:
    return f"{number:,} {unit}{'' if number == 1 else 's'}"


_COUNTS = {
    "missing_ids": "missing ids",
    "off_grid": "off the grid",
    "duplicates": "duplicates",
    "out_of_order": "out of order",
    "quarantined": "quarantined",
    "flagged": "flagged as off-book",
    "superseded": "superseded",
}


def flaws_of(catalog: dict[str, Any]) -> list[tuple[str, str]]:
    """What is missing or odd in each table of each instrument, and the rows set aside.

    Returns:
        Pairs of the kind of flaw and the flaw in words: ``gaps`` (days or months without a partition), ``missing`` (days in part, holes
        of a grid, ids), ``quarantine`` (rows set aside, by reason), ``counts`` (duplicates and the like).
    """
    rows = sorted(catalog["instruments"], key=lambda row: (row["exchange"], row["symbol"], row["kind"]))
    found = [(kind, f"{row['kind']} of {row['exchange']}:{row['symbol']}: {text}") for row in rows for kind, text in _flaws_of(row)]
    return found + [("quarantine", f"quarantined {entry['rows']:,} x {entry['reason']}") for entry in catalog["quarantine"]]


def _flaws_of(row: dict[str, Any]) -> list[tuple[str, str]]:
    """The flaws of one table of one instrument."""
    lines = []
    if row["gaps"]:
        lines.append(("gaps", f"{_count(len(row['gaps']), _unit(row))} missing: {_first_of(row['gaps'])}"))
    if row["part_days"]:
        days = [f"{day['date']} to {share_text(day['covered_share'])}, {day['what']}" for day in row["part_days"]]
        lines.append(("missing", f"{_count(len(days), 'day')} covered in part: {_first_of(days, '; ')}"))
    if row["missing_candles"]:
        length_us = candle_length_us(row["kind"])
        spans = [span_text((start_us, end_us), length_us) for start_us, end_us in row["missing"]]
        lines.append(("missing", f"{_count(row['missing_candles'], 'candle')} missing: {_first_of(spans)}"))
    if row["missing_stamps"]:
        spans = [span_text((start_us, end_us)) for start_us, end_us in row["missing"]]
        lines.append(("missing", f"{_count(row['missing_stamps'], 'row')} missing: {_first_of(spans)}"))
    found = [f"{row[name]:,} {title}" for name, title in _COUNTS.items() if row[name]]
    counts = [("missing" if row["missing_ids"] else "counts", ", ".join(found))] if found else []
    return [*lines, *counts]


def _first_of(texts: list[str], comma: str = ", ") -> str:
    more = len(texts) - _SHOWN_GAPS
    return comma.join(texts[:_SHOWN_GAPS]) + (f" and {more:,} more" if more > 0 else "")


def quarantine_view(rows: pl.DataFrame) -> RenderableType:
    """The rows set aside, by file."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    keys = ["key", "path", "file_name", "kind", "exchange", "symbol"]
    for (_, path, file_name, kind, exchange, symbol), own in rows.group_by(keys, maintain_order=True):
        table = _table("line", "column", "value", "reason", words=("column", "value", "reason"))
        for line, column, value, reason in own.select("line", "column", "value", "reason").iter_rows():
            table.add_row("-" if line is None else f"{line}", column or "-", value or "-", reason)
        heading = Text(f"{file_name} ({kind} of {exchange}:{symbol})", style="bold")
        parts += [heading, Text(f"of {path.removesuffix(file_name)}", style="dim", overflow="fold"), table]
    return Group(*parts, Text(f"{_count(rows.height, 'row')} set aside"))
