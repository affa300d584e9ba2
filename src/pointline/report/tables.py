"""Results as text tables for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pointline.clock import time_text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pointline.lake.ingest import FileReport

_SHOWN_FILES = 20


def summary_view(summary: dict[str, Any], *, title: str, rule: str, notes: tuple[str, ...]) -> RenderableType:
    """The page-long summary of a comparison."""
    from rich.console import Group
    from rich.text import Text

    head = _grid()
    start, end = (time_text(us) for us in summary["window_us"])
    head.add_row("window", f"{start} to {end} UTC, end exclusive")
    head.add_row("bars close by", rule)
    head.add_row("trades", f"perp {summary['perp_trades']:,}   spot {summary['spot_trades']:,}")
    head.add_row("volume (base)", f"perp {summary['perp_volume_base']:,.3f}   spot {summary['spot_volume_base']:,.3f}")
    ratio = summary["volume_ratio"]
    head.add_row("perp / spot volume", f"{'-' if ratio is None else format(ratio, '.2f')}   {summary['advice']}")
    dropped = f", {summary['bars_dropped']:,} without spot dropped" if summary["bars_dropped"] else ""
    length = summary["median_bar_seconds"]
    median = "" if length is None else f", median length {length:,.3g} s"
    head.add_row("bars", f"{summary['bars']:,} ({summary['incomplete_bars']} incomplete{dropped}){median}")
    head.add_row("bars without spot", f"{summary['share_bars_without_spot']:.2%}   with stale spot {summary['share_bars_stale_spot']:.2%}")
    head.add_row("funding from", ", ".join(summary["funding_source"]) or "nothing in the lake: funding features are null")
    speed = summary["rows_per_s"]
    head.add_row("time", f"{summary['elapsed_s']:.2f} s, {summary['rows_in_partitions']:,} rows, {speed / 1e6:.2f} M rows/s")
    parts: list[RenderableType] = [
        Text(title, style="bold"),
        head,
        _quantile_table(summary["quantiles"]),
        _null_table(summary["null_share"]),
    ]
    parts += [Text(f"note: {note}", style="yellow") for note in notes]
    return Group(*parts)


def _grid() -> Any:  # noqa: ANN401 - rich is imported where it is used
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="cyan", no_wrap=True)
    grid.add_column()
    return grid


def _table(*columns: str, title: str | None = None) -> Any:  # noqa: ANN401 - rich is imported where it is used
    from rich.table import Table

    table = Table(title=title, title_justify="left", header_style="cyan", pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", overflow="fold")
    return table


def _quantile_table(quantiles: dict[str, dict[str, float | None]]) -> Any:  # noqa: ANN401
    levels = list(next(iter(quantiles.values())))
    names = {"0": "min", "1": "max", "0.5": "median"}
    table = _table("quantiles", *(names.get(level, f"{float(level):.0%}") for level in levels))
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


def ingest_view(reports: list[FileReport], *, elapsed_s: float) -> RenderableType:
    """What became of the files of an ingest."""
    from rich.console import Group
    from rich.text import Text

    table = _table("file", "tables", "outcome", "rows", "landed", "quarantined", "duplicates", "missing ids", title=None)
    for report in reports[:_SHOWN_FILES]:
        counts = (report.rows_read, report.rows_landed, report.rows_quarantined, report.duplicates, report.missing_ids)
        table.add_row(report.path.name, ", ".join(report.kinds), report.outcome, *(f"{count:,}" for count in counts))
    rows = sum(r.rows_read for r in reports if r.outcome in {"landed", "shadowed"})
    more = f" (the first {_SHOWN_FILES} of {len(reports)} shown)" if len(reports) > _SHOWN_FILES else ""
    outcomes = ", ".join(f"{sum(r.outcome == name for r in reports)} {name}" for name in dict.fromkeys(r.outcome for r in reports))
    speed = f", {rows / elapsed_s / 1e6:.2f} M rows/s" if rows else ""
    return Group(table, Text(f"{len(reports)} files{more}: {outcomes}; {rows:,} rows in {elapsed_s:.1f} s{speed}"))


def catalog_view(catalog: dict[str, Any]) -> RenderableType:
    """The lake's instruments, gaps and rows set aside."""
    from rich.console import Group
    from rich.text import Text

    table = _table(
        "table",
        "exchange",
        "symbol",
        "first",
        "last",
        "days or months",
        "missing",
        "rows",
        "quarantined",
        "duplicates",
        "missing ids",
        "clock",
    )
    for row in catalog["instruments"]:
        table.add_row(
            row["kind"],
            row["exchange"],
            row["symbol"],
            row["first_date"],
            row["last_date"],
            *(f"{row[name]:,}" for name in ("partitions", "missing_partitions", "rows", "quarantined", "duplicates", "missing_ids")),
            row["clock"],
        )
    parts: list[RenderableType] = [Text(f"lake {catalog['lake']}"), table]
    for row in catalog["instruments"]:
        if row["gaps"]:
            shown = ", ".join(row["gaps"][:10]) + (f" and {len(row['gaps']) - 10} more" if len(row["gaps"]) > 10 else "")  # noqa: PLR2004 - a line's worth
            parts.append(Text(f"gap in {row['kind']} of {row['exchange']}:{row['symbol']}: {shown}", style="yellow"))
    parts += [Text(f"pair {pair['perp']} with {pair['spot'] or 'no spot'}: {pair['reason']}") for pair in catalog["pairs"]]
    parts += [Text(f"quarantined {entry['rows']:,} x {entry['reason']}", style="yellow") for entry in catalog["quarantine"]]
    return Group(*parts)
