"""What a download did, as text for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pointline.download.report import DownloadReport, FileOutcome, MissingDays

_SHOWN_FILES = 20
_SHOWN_GAPS = 20
_DONE = frozenset({"planned", "fetched", "replaced", "held", "checked"})
_WORDS = {
    "not_published": "not published (404)",
    "key_refused": "no key, or a refused one",
    "blocked": "blocked (403, a ban)",
    "failed": "server failed",
    "refused": "refused",
}
_UNITS = ("bytes", "kB", "MB", "GB", "TB")
_THOUSAND = 1000


def download_view(report: DownloadReport, *, elapsed_s: float) -> RenderableType:
    """Files that did not come and those that came, days that are missing, and the sums."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, header_style="cyan", pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for column in ("outcome", "size", "held against", "file"):
        table.add_column(column, justify="right" if column == "size" else "left", overflow="fold")
    shown = sorted(report.files, key=lambda file: file.outcome in _DONE)[:_SHOWN_FILES]
    for file in shown:
        table.add_row(_WORDS.get(file.outcome, file.outcome), _size(file), file.verified_by or "-", file.key)
    gaps = [Text(_gap(gap), style="yellow") for gap in report.missing[:_SHOWN_GAPS]]
    if len(report.missing) > _SHOWN_GAPS:
        gaps.append(Text(f"and {len(report.missing) - _SHOWN_GAPS} more ranges of days", style="yellow"))
    counts = ", ".join(f"{count} {_WORDS.get(name, name)}" for name, count in report.counts.items()) or "nothing to do"
    more = f" ({len(shown)} shown)" if len(shown) < len(report.files) else ""
    unknown = sum(file.outcome == "planned" and file.size is None for file in report.files)
    rest = f" and {unknown} files of unknown size" if unknown else ""
    speed = "" if report.dry_run else f" in {elapsed_s:.1f} s"
    return Group(
        table, *gaps, Text(f"{len(report.files)} files{more}: {counts}; {bytes_text(report.bytes)}{rest}{speed}, in {report.folder}")
    )


def bytes_text(count: int) -> str:
    """Bytes in a unit that keeps the number short, in steps of a thousand.

    >>> bytes_text(999), bytes_text(16_800_000)
    ('999 bytes', '16.8 MB')
    """
    size = float(count)
    for unit in _UNITS[:-1]:
        if size < _THOUSAND:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= _THOUSAND
    return f"{size:.1f} {_UNITS[-1]}"


def _size(file: FileOutcome) -> str:
    return "-" if file.size is None else bytes_text(file.size)


def _gap(gap: MissingDays) -> str:
    days = gap.first if gap.first == gap.last else f"{gap.first} to {gap.last}"
    what = "not published yet" if gap.pending else "missing: the archive has no file"
    return f"{what}: {gap.dataset} of {gap.exchange}:{gap.symbol}, {days}"
