"""Features with labels beside them: what an evaluation reads, a part of the window at a time.

A label of a part's last bars is told by bars behind the part. So a part is computed with whole days behind it, as many as its labels
need, and cut off again; at the window's end labels are null, as they are where the whole window is computed at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from pointline.bars.aggregate import has_trade
from pointline.bars.cache import cache_of
from pointline.bars.request import BarRequest
from pointline.bars.trailing import thresholds_of_text, thresholds_text
from pointline.clock import DAY_US, date_text, day_start, to_duration_us
from pointline.features.labels import forward_labels
from pointline.report.files import write_blocks
from pointline.scale.files import footer_of, read_file
from pointline.scale.task import ScaledCase
from pointline.studies.compare import THRESHOLDS, PartFigures, compare_part

if TYPE_CHECKING:
    from pathlib import Path

    from pointline.lake.held import HeldLake
    from pointline.scale.task import LabelWork, ScaleTask


def request_of(lake: HeldLake, task: ScaleTask, end_us: int) -> BarRequest:
    """The bars of a task's part, until an instant at or behind the part's end.

    Raises:
        TypeError: the task is of a scan.
    """
    work, options = task.work, task.options
    if not isinstance(work, ScaledCase):
        raise TypeError(type(work).__name__)
    pair = work.settled.pair
    return BarRequest(
        *(lake, pair.perp, pair.spot, task.start_us, end_us, work.settled.rule, options.spot_bars, options.base_bars),
        threads=1,
        cache=cache_of(lake) if options.cache else None,
        include_off_book=options.include_off_book,
        events=options.events,
    )


def write_labelled(lake: HeldLake, task: ScaleTask, labels: LabelWork, path: Path) -> PartFigures:
    """The features of a task's part and its labels, in a file; a part without a whole bar has none.

    Raises:
        PointlineError: as `pointline.studies.compare.compare_part`.
        TypeError: the task is of a scan.
    """
    work = task.work
    if not isinstance(work, ScaledCase):
        raise TypeError(type(work).__name__)
    days = 1
    footer: dict[str, str] = {}
    while True:
        end_us = (
            min(day_start(task.end_us - 1) + (1 + days) * DAY_US, task.window_us[1]) if task.end_us < task.window_us[1] else task.end_us
        )
        figures = compare_part(request_of(lake, task, end_us), work.settled, "asof", task.options.state, path)
        if not figures.rows:
            table = pl.DataFrame()
        else:
            table, footer = read_file(path), footer_of(path)
            path.unlink()
        inside = pl.DataFrame() if table.is_empty() else table.filter(pl.col("bucket_start") < task.end_us)
        if end_us >= task.window_us[1] or inside.is_empty() or _reaches(table, inside, labels):
            break
        days *= 2
    if inside.is_empty():
        return PartFigures(0, 0)
    told = forward_labels(table, labels.horizons_bars, labels.horizons_us, params=work.settled.params)
    labelled = inside.hstack(told.head(inside.height).drop("bucket_end"))
    kept = labelled if task.options.join == "asof" else labelled.filter(has_trade("spot"))
    write_blocks(iter([kept]), path, footer=_own_thresholds(footer, task.end_us))
    return PartFigures(kept.height, int(inside["complete"].sum()))


def _own_thresholds(told: dict[str, str], end_us: int) -> dict[str, str]:
    """What a file's footer tells of the days before an instant."""
    if THRESHOLDS not in told:
        return {}
    table = thresholds_of_text(told[THRESHOLDS])
    return {THRESHOLDS: thresholds_text(table.filter(pl.col("day") <= date_text(end_us - 1)))}


def _reaches(table: pl.DataFrame, inside: pl.DataFrame, labels: LabelWork) -> bool:
    """Whether the bars behind a part tell all of its labels, and one more bar follows, without which the last one is not trusted."""
    behind = table.height - inside.height
    longest_us = max((to_duration_us(one, name="horizons_us") for one in labels.horizons_us), default=0)
    far_enough = int(table["bucket_start"][-1]) > int(inside["bucket_end"][-1]) + longest_us
    return far_enough and behind > max(labels.horizons_bars, default=0)
