"""The commands on whole lakes: copies between folders and buckets."""

from __future__ import annotations

from typing import Annotated

import typer

from pointline.cli.options import JsonOption, command
from pointline.cli.output import settings, show_json, show_text, shows_progress

app = typer.Typer()
group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(group, name="lake", help="Copies lakes between folders and buckets.", short_help="Copies lakes between folders and buckets.")

_Source = Annotated[str, typer.Argument(help="The lake: a folder or s3://BUCKET/PREFIX.", metavar="SRC")]
_Destination = Annotated[str, typer.Argument(help="Where the copy is: a folder or s3://BUCKET/PREFIX.", metavar="DST")]


@command(group, short_help="Copies a lake to a new place.")
def copy(source: _Source, destination: _Destination, json_output: JsonOption = False) -> None:
    """Copies a lake to a new place. Every data file is compared with the checksum in its name, and the logs come last.

    Run it again after an interruption: it goes on where it stopped.

    Example: pointline lake copy lake s3://bucket/lake
    """
    _copy(source, destination, into_existing=False, json_output=json_output)


@command(group, short_help="Adds to a copy what the lake has got since.")
def sync(source: _Source, destination: _Destination, json_output: JsonOption = False) -> None:
    """Adds to a copy of a lake what the lake has got since. A copy that was written to itself is refused.

    Example: pointline lake sync lake s3://bucket/lake
    """
    _copy(source, destination, into_existing=True, json_output=json_output)


def _copy(source: str, destination: str, *, into_existing: bool, json_output: bool) -> None:
    from pointline.lake.transfer import copy_lake
    from pointline.progress import followed

    with followed("copy", shows_progress()) as tell:
        done = copy_lake(source, destination, into_existing=into_existing, progress=tell)
    if json_output:
        show_json(done)
    elif not settings.quiet:
        files = f"{done.files:,} data files copied ({done.bytes / 1e6:,.1f} MB), {done.present:,} were there"
        others = f", {done.other_files:,} venue files and saved studies" if done.other_files else ""
        show_text(f"{done.source} to {done.destination}: {files}; {done.entries:,} log entries of {done.tables:,} tables{others}")
