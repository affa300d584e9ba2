"""What verify, repair and maintain found and did, as text tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pointline.ingest.repair import Repaired, RepairPlan
    from pointline.lake.maintenance import TableSize
    from pointline.lake.verify import Verdict

_SHOWN = 50


def verdict_view(verdict: Verdict) -> RenderableType:
    """How much was looked at, and every problem."""
    from rich.console import Group
    from rich.text import Text

    looked = f"{verdict.tables:,} tables, {verdict.files:,} files, {verdict.rows:,} rows, {verdict.bytes / 1e6:,.1f} MB"
    if not verdict.problems:
        return Text(f"{looked}: all as written")
    lines = [Text(f"{problem.where}: {problem.what}", style="yellow") for problem in verdict.problems[:_SHOWN]]
    more = len(verdict.problems) - _SHOWN
    if more > 0:
        lines.append(Text(f"and {more:,} more; --json lists all"))
    hint = Text("`pointline repair` restores what the archive files behind it are at hand for")
    return Group(Text(f"{looked}: {_count(len(verdict.problems), 'problem')}"), *lines, hint)


def repaired_view(done: Repaired) -> RenderableType:
    """What was wrong, what was read again, what is wrong still."""
    from rich.console import Group
    from rich.text import Text

    lines = [Text(f"{_count(len(done.before.problems), 'problem')} found, {_count(len(done.reread), 'archive file')} read again")]
    lines += [Text(f"read again: {report.path} ({report.outcome}, {report.rows_landed:,} rows serve)") for report in done.reread]
    lines += [Text(f"not at hand: {name}; name its folder with --archives", style="yellow") for name in done.missing]
    return Group(*lines, verdict_view(done.after))


def plan_view(plan: RepairPlan) -> RenderableType:
    """What is wrong, and what a repair would read again."""
    from rich.console import Group
    from rich.text import Text

    lines = [Text(f"would read again: {path}") for path in plan.rereads]
    lines += [Text(f"not at hand: {name}; name its folder with --archives", style="yellow") for name in plan.missing]
    if plan.unknown is not None:
        lines.append(Text(f"which archive files are needed shows when the books are put right: {plan.unknown}", style="yellow"))
    return Group(verdict_view(plan.found), *lines, Text("nothing was changed"))


def sizes_view(sizes: list[TableSize], *, dry_run: bool = False) -> RenderableType:
    """A table of what the lake takes on the disk."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    removed = ("would remove", "MB to remove") if dry_run else ("removed now", "MB removed")
    table = Table(box=SIMPLE_HEAD, header_style="cyan", pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for column in ("table", "files", "MB", "replaced", "MB replaced", *removed):
        table.add_column(column, justify="left" if column == "table" else "right")
    for size in sizes:
        table.add_row(
            size.table,
            *(f"{size.files:,}", _mb(size.bytes)),
            *(f"{size.dead_files:,}", _mb(size.dead_bytes)),
            *(f"{size.removed_files:,}", _mb(size.removed_bytes)),
        )
    return table


def _count(number: int, unit: str) -> str:
    return f"{number:,} {unit}{'' if number == 1 else 's'}"


def _mb(count: int) -> str:
    return f"{count / 1e6:,.2f}"
