"""The commands that look after a lake: what it holds, whether it is whole, how it is mended, what it takes on the disk."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pointline.errors import ConfigError
from pointline.terminal import RESULT_SAYS_NO, JsonOption, LakeOption, show, show_json

app = typer.Typer()


@app.command(short_help="Shows what the lake holds and what is missing or wrong.")
def catalog(
    lake: LakeOption = None,
    exchange: Annotated[str | None, typer.Option(help="Only this exchange.", show_default=False)] = None,
    symbol: Annotated[str | None, typer.Option(help="Only this symbol.", show_default=False)] = None,
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="List the rows that were set aside, with file, line and reason.")
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Shows exchanges, symbols, days, gaps, duplicate or missing ids and quarantined rows.

    Example: pointline catalog --lake lake --json
    """
    from pointline.lake.catalog import asked_for
    from pointline.lake.catalog import catalog as read
    from pointline.lake.manifest import Manifest, read_quarantine
    from pointline.lake.store import open_lake
    from pointline.report.tables import catalog_view, quarantine_view

    opened = open_lake(lake)
    if quarantine:
        rows = read_quarantine(opened, Manifest(opened))
        rows = rows.filter(asked_for(opened, exchange, symbol))
        if json_output:
            show_json(rows.to_dicts())
        else:
            show(quarantine_view(rows))
        return
    found = read(opened, exchange, symbol)
    if not found["instruments"] and (exchange or symbol):
        held = sorted({f"{row['exchange']}:{row['symbol']}" for row in read(opened)["instruments"]})
        raise ConfigError(
            "the lake holds nothing of this", value=f"{exchange or '*'}:{symbol or '*'}", expected=", ".join(held) or "nothing yet"
        )
    if json_output:
        show_json(found)
    else:
        show(catalog_view(found))


@app.command(short_help="Compares the whole lake with what was written.")
def verify(lake: LakeOption = None, json_output: JsonOption = False) -> None:
    """Reads every file of the lake: content against names, totals, logs, manifest; exits with 1 where something is wrong.

    Example: pointline verify --lake lake
    """
    from dataclasses import asdict

    from pointline.lake.store import open_lake
    from pointline.lake.verify import verify as run
    from pointline.report.upkeep import verdict_view

    verdict = run(open_lake(lake))
    if json_output:
        show_json(asdict(verdict))
    else:
        show(verdict_view(verdict))
    if verdict.problems:
        raise typer.Exit(RESULT_SAYS_NO)


@app.command(short_help="Restores a damaged lake from the archive files behind it.")
def repair(
    archives: Annotated[
        list[Path] | None,
        typer.Option(help="Folder to search for archive files that are no longer where they were; may be repeated.", show_default=False),
    ] = None,
    lake: LakeOption = None,
    json_output: JsonOption = False,
) -> None:
    """Rebuilds logs from the data files and reads again the archive files behind lost rows; exits with 1 where something stays wrong.

    Example: pointline repair --archives ~/vision --lake lake
    """
    from dataclasses import asdict

    from pointline.ingest.repair import repair as run
    from pointline.lake.store import open_lake
    from pointline.report.upkeep import repaired_view
    from pointline.sources.families import all_sources

    done = run(open_lake(lake), all_sources, archives or ())
    if json_output:
        show_json(asdict(done))
    else:
        show(repaired_view(done))
    if done.after.problems or done.missing:
        raise typer.Exit(RESULT_SAYS_NO)


@app.command(short_help="Removes replaced files and shows what every table takes.")
def maintain(
    grace: Annotated[str, typer.Option(help="Files that were replaced less long ago stay for readers.")] = "1h",
    lake: LakeOption = None,
    json_output: JsonOption = False,
) -> None:
    """Removes replaced data files and what killed runs left behind, and shows the sizes of all tables.

    Example: pointline maintain --grace 1h --lake lake
    """
    from dataclasses import asdict

    from pointline.clock import to_duration_us
    from pointline.lake.durable import single_writer
    from pointline.lake.maintenance import maintain as run
    from pointline.lake.store import open_lake
    from pointline.report.upkeep import sizes_view

    opened = open_lake(lake)
    with single_writer(opened.root):
        sizes = run(opened, to_duration_us(grace, name="--grace", least_us=0))
    if json_output:
        show_json([asdict(size) for size in sizes])
    else:
        show(sizes_view(sizes))


@app.command(short_help="Shows or clears the bar sums beside the lake.")
def cache(
    lake: LakeOption = None,
    clear: Annotated[bool, typer.Option("--clear", help="Remove every entry.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Shows the bar sums that are kept beside the lake, or clears them.

    Example: pointline cache --lake lake --clear
    """
    from pointline.bars.cache import cache_of
    from pointline.lake.store import open_lake

    found = cache_of(open_lake(lake))
    removed = found.clear() if clear else 0
    entries = found.entries()
    size = sum(entry[1] for entry in entries)
    if json_output:
        show_json({"folder": str(found.folder), "entries": len(entries), "bytes": size, "most_bytes": found.most_bytes, "removed": removed})
    else:
        kept = f"{len(entries):,} entries, {size / 1e6:,.1f} of at most {found.most_bytes / 1e6:,.0f} MB in {found.folder}"
        sys.stdout.write((f"removed {removed:,} entries; " if clear else "") + kept + "\n")
