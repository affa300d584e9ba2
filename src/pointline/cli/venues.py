"""The command that compares several perps with several spot markets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pointline.cli.bars import (
    AnchorOption,
    BarsOption,
    BoundaryOption,
    CostsOption,
    EndOption,
    EventsOption,
    StartOption,
    ThresholdOption,
    costs_of_options,
    rule_of_options,
)
from pointline.cli.options import JsonOption, LakeOption, command
from pointline.cli.output import settings, show, show_json, show_text
from pointline.errors import ConfigError

app = typer.Typer()


@command(app, short_help="Compares several perps with several spot markets of one asset.")
def compare_venues(
    perp: Annotated[list[str], typer.Option(help="exchange:symbol of a derivative; repeat it for each.", show_default=False)],
    spot: Annotated[list[str], typer.Option(help="exchange:symbol of a spot market; repeat it for each.", show_default=False)],
    start: StartOption,
    end: EndOption,
    driver: Annotated[str, typer.Option(help="The perp whose trades make the bars; largest: the one with the most volume.")] = "largest",
    threshold: ThresholdOption = "auto",
    bars: BarsOption = "volume",
    events: EventsOption = "trades",
    boundary: BoundaryOption = None,
    anchor: AnchorOption = "day",
    rate: Annotated[
        list[str] | None,
        typer.Option(help="An instrument that converts quotes, e.g. USDT/USD=kraken:USDTUSD; may be repeated.", show_default=False),
    ] = None,
    preset: CostsOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Write the widest basis of each bar: .parquet, .arrow, .exact.csv, .xlsx or .csv.", show_default=False
        ),
    ] = None,
    pairs: Annotated[
        Path | None, typer.Option(help="Write the basis of every pair at every bar, in the same formats.", show_default=False)
    ] = None,
    lake: LakeOption = None,
    json_output: JsonOption = False,
) -> None:
    """Puts every market on the bars of one perp, and says which pair has the widest basis at each bar and what it costs.

    Example: pointline compare-venues --perp binance-futures:BTCUSDT --perp bybit:BTCUSDT --spot binance-spot:BTCUSDT --start 2024-05-01
    --end 2024-05-02
    """
    from pointline.report.files import check_output, write_blocks
    from pointline.studies.compare_venues import compare_venues as run

    files = {"widest": output, "pairs": pairs}
    for path in files.values():
        if path is not None:
            check_output(path)
    found = run(
        *(perp, spot),
        start=start,
        end=end,
        driver=driver,
        bars=rule_of_options(bars, threshold, boundary, anchor),
        events=events,
        rates=_rates(rate or []),
        costs=costs_of_options(preset),
        lake=lake,
    )
    tables = {"widest": found.widest, "pairs": found.pairs}
    for name, path in files.items():
        if path is not None:
            write_blocks(iter([tables[name]]), path)
    if json_output:
        show_json(found.summary)
    elif not settings.quiet:
        show(found.view())
        for name, path in files.items():
            if path is not None:
                show_text(f"wrote {tables[name].height:,} rows x {tables[name].width} columns to {path}")


def _rates(given: list[str]) -> dict[str, str]:
    found = {}
    for text in given:
        quotes, equals, instrument = (part.strip() for part in text.partition("="))
        if not equals or "/" not in quotes or not instrument:
            raise ConfigError(
                "a rate is given as BASE/QUOTE=exchange:symbol", where="--rate", value=text, expected="USDT/USD=kraken:USDTUSD"
            )
        found[quotes] = instrument
    return found
