"""The command that charges funding to a held position."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pointline.cli.bars import PerpArgument
from pointline.cli.options import JsonOption, LakeOption, command
from pointline.cli.output import settings, show, show_json, show_text
from pointline.cli.studies import ChartOption
from pointline.errors import ConfigError

if TYPE_CHECKING:
    from pointline.studies.funding_payments import FundingPayments

app = typer.Typer()


@command(app, short_help="Says what a position in a perpetual paid and received in funding.")
def funding(
    perp: PerpArgument,
    start: Annotated[
        str, typer.Option(help="When the position is entered; a settlement at this moment does not count.", show_default=False)
    ],
    end: Annotated[str, typer.Option(help="When it is left; a settlement at this moment counts.", show_default=False)],
    quantity: Annotated[
        float, typer.Option(help="+ long, - short; linear contracts: base units, inverse contracts: number of contracts.")
    ] = -1.0,
    max_mark_age: Annotated[str, typer.Option(help="How old a mark price may be at its settlement.")] = "1m",
    perp_price: Annotated[
        bool, typer.Option("--perp-price", help="Let the perp's own price stand in where there is no mark price.")
    ] = False,
    interval_hours: Annotated[
        float | None, typer.Option(help="The funding interval where the lake does not tell it.", show_default=False)
    ] = None,
    gaps: Annotated[str, typer.Option(help="Where a settlement or its mark is missing: refuse, or flag the row.")] = "refuse",
    rows: Annotated[int, typer.Option(help="Settlements that are shown at each end.")] = 6,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Write all rows: .parquet, .arrow, .exact.csv, .xlsx or .csv.", show_default=False),
    ] = None,
    chart: ChartOption = None,
    lake: LakeOption = None,
    json_output: JsonOption = False,
) -> None:
    """Charges every settled funding rate between entry and exit to a position, each at the mark price of its moment.

    Example: pointline funding binance-futures:BTCUSDT --start 2024-05-01 --end 2024-05-02 --quantity -1
    """
    from pointline.report.files import check_output, write_blocks
    from pointline.studies.funding_payments import funding_payments

    if rows < 1:
        raise ConfigError("--rows is no number of rows", value=rows, expected="1 or more")
    if output is not None:
        check_output(output)
    held = funding_payments(
        perp,
        start=start,
        end=end,
        quantity=quantity,
        max_mark_age=max_mark_age,
        perp_price_as_mark=perp_price,
        interval_hours=interval_hours,
        gaps=gaps,  # type: ignore[arg-type]
        lake=lake,
    )
    if output is not None:
        write_blocks(iter([held.table]), output)
    if chart is not None:
        held.chart(chart)
    if json_output:
        show_json({**held.summary, "notes": held.notes, "rows": held.table.to_dicts()})
    elif not settings.quiet:
        _show(held, rows, output, chart)


def _show(held: FundingPayments, rows: int, output: Path | None, chart: Path | None) -> None:
    show(held.view(rows=rows))
    if output is not None:
        show_text(f"wrote {held.table.height:,} rows x {held.table.width} columns to {output}")
    if chart is not None:
        show_text(f"wrote {chart}")
