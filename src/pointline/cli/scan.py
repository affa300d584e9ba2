"""The command that compares every perpetual of an exchange with its spot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pointline.cli.bars import AnchorOption, BoundaryOption, CostsOption, EndOption, StartOption, costs_of_options, rule_of_options
from pointline.cli.options import JsonOption, LakeOption, command
from pointline.cli.output import settings, show, show_json, show_text, shows_progress
from pointline.errors import ConfigError, SlowStartWarning

if TYPE_CHECKING:
    from pointline.studies.scan import Scan

app = typer.Typer()


@command(app, short_help="Compares every perpetual of an exchange with its spot.")
def scan(
    start: StartOption,
    end: EndOption,
    exchange: Annotated[str | None, typer.Option(help="Whose perpetuals, e.g. binance-futures.", show_default=False)] = None,
    perp: Annotated[
        list[str] | None, typer.Option(help="exchange:symbol of one perpetual in place of all; may be repeated.", show_default=False)
    ] = None,
    threshold: Annotated[str, typer.Option(help="Size of a bar, as for compare; auto is each pair's own.")] = "5m",
    bars: Annotated[str, typer.Option(help="time, volume or dollar; of trades also trades or imbalance.")] = "time",
    events: Annotated[str, typer.Option(help="What bars are made of: candles of the lake such as candles_1m, or trades.")] = "candles_1m",
    boundary: BoundaryOption = None,
    anchor: AnchorOption = "day",
    costs: CostsOption = None,
    sort: Annotated[str, typer.Option(help="Column of the table to sort by; an unknown one lists all.")] = "carry_net_bps",
    threads: Annotated[int | None, typer.Option(min=1, help="Pairs side by side. [default: one per core]", show_default=False)] = None,
    rows: Annotated[int, typer.Option(help="Pairs that are shown.")] = 20,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Write the table: .parquet, .arrow, .exact.csv, .xlsx or .csv.", show_default=False),
    ] = None,
    features: Annotated[
        Path | None, typer.Option(help="Write the features of each pair into this folder, a Parquet file each.", show_default=False)
    ] = None,
    page: Annotated[Path | None, typer.Option(help="Write the whole table as a page (.html).", show_default=False)] = None,
    lake: LakeOption = None,
    json_output: JsonOption = False,
) -> None:
    """Compares every perpetual of an exchange that the lake has with its spot, and sorts them by what funding left after costs.

    Example: pointline scan --exchange binance-futures --start 2024-05-01 --end 2024-05-03 --events trades
    """
    import warnings

    from pointline.report.files import check_output, write_blocks
    from pointline.report.page import check_page_path
    from pointline.studies.scan import scan as run

    if (exchange is None) == (not perp):
        given = "neither" if exchange is None else "both"
        raise ConfigError("a scan is of an exchange or of perpetuals", value=given, expected="one of --exchange and --perp")
    if rows < 1:
        raise ConfigError("--rows is no number of rows", value=rows, expected="1 or more")
    if output is not None:
        check_output(output)
    if page is not None:
        check_page_path(page, figures=False)
    with warnings.catch_warnings(action="ignore"):  # the notes say the same
        warnings.simplefilter("default", SlowStartWarning)
        found = run(
            exchange or perp or [],
            start=start,
            end=end,
            bars=rule_of_options(bars, threshold, boundary, anchor),
            events=events,
            costs=costs_of_options(costs),
            sort=sort,
            threads=threads,
            lake=lake,
            output=features,
            progress=shows_progress(),
        )
    if output is not None:
        write_blocks(iter([found.table]), output)
    if page is not None:
        found.report(page)
    if json_output:
        show_json({**found.summary, "notes": found.notes, "rows": found.table.to_dicts()})
    elif not settings.quiet:
        _show(found, rows, [one for one in (output, page, features) if one is not None])


def _show(found: Scan, rows: int, written: list[Path]) -> None:
    show(found.view(rows=rows))
    for one in written:
        show_text(f"wrote {one}")
