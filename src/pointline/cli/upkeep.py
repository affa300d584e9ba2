"""The commands that look after a lake: what it holds, whether it is whole, how it is mended, what it takes on the disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pointline.cli import failures
from pointline.cli.options import DryRunOption, JsonOption, LakeOption, command
from pointline.cli.output import RESULT_SAYS_NO, settings, show, show_json, show_text, shows_progress
from pointline.errors import ConfigError, PointlineError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointline.lake.store import Lake
    from pointline.lake.verify import Verdict

app = typer.Typer()

FINDINGS = {"gaps": "gaps", "missing": "missing data", "quarantine": "quarantined rows"}


@command(app, short_help="Shows what the lake holds and what is missing or wrong.")
def catalog(
    lake: LakeOption = None,
    exchange: Annotated[str | None, typer.Option(help="Only this exchange.", show_default=False)] = None,
    symbol: Annotated[str | None, typer.Option(help="Only this symbol.", show_default=False)] = None,
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="List the rows that were set aside, with file, line and reason.")
    ] = False,
    fail_on: Annotated[
        str | None,
        typer.Option(
            help="Exit with 1 where there is one of these, with commas: gaps (days without a file), missing (ids, candles or parts of "
            "days), quarantine (rows set aside).",
            show_default=False,
        ),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Shows what the lake holds, by exchange and symbol, and what is missing: days, ids, candles. Also the rows that were set aside.

    Example: pointline catalog --lake lake --fail-on gaps,missing
    """
    from pointline.lake.catalog import asked_for
    from pointline.lake.manifest import Manifest, read_quarantine
    from pointline.lake.store import open_lake
    from pointline.report.tables import catalog_view, quarantine_view

    wanted = _wanted(fail_on)
    opened = open_lake(lake)
    found = {} if quarantine and not wanted else _catalog(opened, exchange, symbol)
    if quarantine:
        rows = read_quarantine(opened, Manifest(opened)).filter(asked_for(opened, exchange, symbol))
        if json_output:
            show_json(rows.to_dicts())
        else:
            show(quarantine_view(rows))
    elif json_output:
        show_json(found)
    else:
        show(catalog_view(found))
    if wanted:
        _fail_on(found, wanted)


def _wanted(text: str | None) -> list[str]:
    """The findings that end the command with 1."""
    names = [] if text is None else [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in FINDINGS]
    if unknown:
        raise ConfigError(
            "there is no such finding", where="--fail-on", value=unknown[0], expected=f"of {', '.join(FINDINGS)} one or more, with commas"
        )
    return names


def _catalog(lake: Lake, exchange: str | None, symbol: str | None) -> dict[str, Any]:
    """The catalog of what is asked for, with the layouts among its files that nobody compared with the archive's own bytes."""
    from pointline.lake.catalog import catalog as read
    from pointline.sources.families import unverified_layouts

    found = read(lake, exchange, symbol)
    if not found["instruments"] and (exchange or symbol):
        held = sorted({f"{row['exchange']}:{row['symbol']}" for row in read(lake)["instruments"]})
        raise ConfigError(
            "the lake holds nothing of this", value=f"{exchange or '*'}:{symbol or '*'}", expected=", ".join(held) or "nothing yet"
        )
    held_layouts = {layout for row in found["instruments"] for layout in row["layouts"]}
    return {**found, "unverified_layouts": sorted(held_layouts & unverified_layouts())}


def _fail_on(found: dict[str, Any], wanted: Sequence[str]) -> None:
    """Ends the command with 1 where the catalog has what is wanted, and names each finding."""
    from pointline.report.tables import flaws_of

    named = [f"{finding}: {text}" for finding, text in flaws_of(found) if finding in wanted]
    if not named:
        return
    kinds = [words for finding, words in FINDINGS.items() if any(text.startswith(f"{finding}: ") for text in named)]
    what = f"the lake has {' and '.join(kinds)}"
    rest = {
        "where": found["lake"],
        "expected": f"none of {', '.join(wanted)} (--fail-on)",
        "hint": "ingest the files that lack, or corrected ones",
    }
    as_text = PointlineError("\n  ".join([f"{what}:", *named]), **rest)
    raise typer.Exit(failures.report_all([as_text], PointlineError(what, value=named, **rest), RESULT_SAYS_NO))


@command(app, short_help="Compares the whole lake with what was written.")
def verify(lake: LakeOption = None, json_output: JsonOption = False) -> None:
    """Reads every file of the lake and compares it with what was written. Exits with 1 where something is wrong.

    Example: pointline verify --lake lake
    """
    from pointline.lake.store import open_lake
    from pointline.lake.verify import verify as run
    from pointline.progress import followed
    from pointline.report.upkeep import verdict_view

    opened = open_lake(lake, damaged=True)
    with followed("verify", shows_progress()) as tell:
        total = _size_of(opened) if shows_progress() else 0
        read = 0

        def advance(size: int) -> None:
            nonlocal read
            read += size
            tell(read, total, f"{read / 1e6:,.0f} of {total / 1e6:,.0f} MB")

        verdict = run(opened, advance)
    if json_output:
        show_json(verdict)
    else:
        show(verdict_view(verdict))
    if verdict.problems:
        raise typer.Exit(
            failures.report(_problems(opened, verdict, "`pointline repair --dry-run` says what can be restored"), RESULT_SAYS_NO)
        )


def _size_of(lake: Lake) -> int:
    """Bytes of the lake's data files."""
    if lake.mirror is not None:
        return sum(one.size for key, one in lake.mirror.bucket.listed().items() if key.endswith(".parquet"))
    return sum(path.stat().st_size for path in lake.root.rglob("*.parquet") if path.is_file())


def _problems(lake: Lake, verdict: Verdict, hint: str) -> PointlineError:
    """The error of a lake that is not what was written."""
    first = verdict.problems[0]
    count = len(verdict.problems)
    return PointlineError(
        f"the lake is not what was written: {count:,} problem{'' if count == 1 else 's'}",
        where=lake.place,
        value=f"{first.where}: {first.what}",
        expected="every file, log and book as written",
        hint=hint,
    )


@command(app, short_help="Restores a damaged lake from the archive files behind it.")
def repair(
    archives: Annotated[
        list[Path] | None,
        typer.Option(help="Folder to search for archive files that were moved; may be repeated.", show_default=False),
    ] = None,
    lake: LakeOption = None,
    dry_run: DryRunOption = False,
    json_output: JsonOption = False,
) -> None:
    """Rebuilds logs from the data files, and reads lost rows again from the archive files. Exits with 1 where something stays wrong.

    Example: pointline repair --archives ~/vision --lake lake
    """
    from pointline.ingest.repair import repair as run
    from pointline.lake.store import open_lake
    from pointline.report.upkeep import repaired_view
    from pointline.sources.families import all_sources

    opened = open_lake(lake, damaged=True)
    if dry_run:
        _plan(opened, archives or ())
        return
    done = run(opened, all_sources, archives or ())
    if json_output:
        show_json(
            {
                "before": done.before,
                "after": done.after,
                "reread": [report.row() for report in done.reread],
                "missing": done.missing,
            }
        )
    else:
        show(repaired_view(done))
    if done.after.problems:
        raise typer.Exit(
            failures.report(_problems(opened, done.after, "name the folders of the archive files with --archives"), RESULT_SAYS_NO)
        )
    if done.missing:
        raise typer.Exit(failures.report(_missing(opened, done.missing), RESULT_SAYS_NO))


def _missing(lake: Lake, names: Sequence[str]) -> PointlineError:
    """The error of archive files that are needed and not at hand."""
    return PointlineError(
        f"{len(names):,} archive file{'' if len(names) == 1 else 's'} behind lost rows cannot be found",
        where=lake.place,
        value=names[0],
        expected="the file where it was, or in a folder of --archives",
        hint="name its folder: pointline repair --archives FOLDER",
    )


def _plan(lake: Lake, archives: Sequence[Path]) -> None:
    """Says what a repair would do."""
    from pointline.ingest.repair import plan_repair
    from pointline.report.upkeep import plan_view

    plan = plan_repair(lake, archives)
    if settings.json:
        show_json({"found": plan.found, "rereads": [str(path) for path in plan.rereads], "missing": plan.missing, "unknown": plan.unknown})
    else:
        show(plan_view(plan))
    if plan.missing:
        raise typer.Exit(failures.report(_missing(lake, plan.missing), RESULT_SAYS_NO))


@command(app, short_help="Removes replaced files and shows what every table takes.")
def maintain(
    grace: Annotated[str, typer.Option(help="Keep files that were replaced less long ago than this: readers may still use them.")] = "1h",
    lake: LakeOption = None,
    dry_run: DryRunOption = False,
    json_output: JsonOption = False,
) -> None:
    """Removes replaced data files and what killed runs left behind. Shows the sizes of all tables.

    Example: pointline maintain --grace 1h --lake lake
    """
    import contextlib

    from pointline.clock import to_duration_us
    from pointline.lake.durable import single_writer
    from pointline.lake.maintenance import maintain as run
    from pointline.lake.store import open_lake
    from pointline.report.upkeep import sizes_view

    opened = open_lake(lake)
    with contextlib.nullcontext() if dry_run else single_writer(opened.root):
        sizes = run(opened, to_duration_us(grace, name="--grace", least_us=0), dry_run=dry_run)
    if json_output:
        show_json(sizes)
    else:
        show(sizes_view(sizes, dry_run=dry_run))


@command(app, short_help="Shows or clears the bar sums beside the lake.")
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
        show_text((f"removed {removed:,} entries; " if clear else "") + kept)
