"""What of its time a table holds of an instrument, and what is missing: ids, candles, stamps, and the time in which rows are missing.

A table of daily partitions (trades, quotes, tickers) is measured by ids and silences. Between two partitions whose ids follow one another
nothing is missing, however long the silence. Where ids are missing, so is the time between the two rows around them. Without ids, and
at the first and last partition, a silence counts as missing if it is longer than 30 minutes and than 20 times the partition's mean gap
between rows. Candles and open interest are measured against their grid, settlements of funding against their interval.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import polars as pl

from pointline import schema
from pointline.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US, date_text, day_start, days_in, next_month, to_us
from pointline.lake.rows import group_times, scan_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pointline.lake.store import PartitionFile

Span: TypeAlias = "tuple[int, int]"

QUIET_US = 30 * MINUTE_US
QUIET_GAPS = 20
WHOLE_SHARE = 0.999  # what is covered to less than this is a part
_FEW_ROWS = 10  # fewer tell no mean gap of their own
_LISTING_IDS = (0, 1)  # a market's first trade: before it there was nothing

_UNITS_US = {"s": SECOND_US, "m": MINUTE_US, "h": HOUR_US, "d": DAY_US, "w": 7 * DAY_US}
_INTERVAL = re.compile(r"candles_((?:\d+[smhdw])+)$")
_STEP = re.compile(r"(\d+)([smhdw])")
_PERIOD = re.compile(r"\|(\d{4}-\d{2})(-\d{2})?$")


@dataclass(frozen=True, kw_only=True)
class Part:
    """A daily partition, as its footer tells of it.

    Attributes:
        start_us, end_us: the day, or as much of it as the instrument could be traded.
        first_us, last_us: ``ts_local_us`` of the first and the last row.
        rows: how many.
        first_id, last_id: trade ids; None without ids.
        missing_ids: ids that are missing inside.
        holes: spans inside in which rows are known to be missing by their ids, or silences where there are none.
    """

    start_us: int
    end_us: int
    first_us: int
    last_us: int
    rows: int
    first_id: int | None = None
    last_id: int | None = None
    missing_ids: int = 0
    holes: tuple[Span, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Covered:
    """What a table holds of one instrument.

    Attributes:
        from_us, until_us: the time ``[from_us, until_us)`` of which rows are expected: from the first row's day, or the first candle, to
            the end of the last row's day.
        last_us: the last row; of candles the start of the last.
        missing: spans of it in which rows are missing, in time order, none touching another.
        missing_ids: trade ids that are missing inside partitions and between them.
        missing_candles: candles that are missing from the grid.
        missing_stamps: settlements of funding or stamps of open interest that are missing.
        off_grid: candles that start at no multiple of their length.
        id_holes: the spans of `missing` that ids tell of, one for each place at which they jump.
    """

    from_us: int
    until_us: int
    last_us: int
    missing: tuple[Span, ...] = ()
    missing_ids: int = 0
    missing_candles: int = 0
    missing_stamps: int = 0
    off_grid: int = 0
    id_holes: tuple[Span, ...] = ()

    @property
    def missing_us(self) -> int:
        """Time that is missing."""
        return sum(until_us - from_us for from_us, until_us in self.missing)

    @property
    def share(self) -> float:
        """Share of the expected time that is covered, 0 to 1."""
        return 1 - self.missing_us / max(self.until_us - self.from_us, 1)

    def missing_in(self, start_us: int, end_us: int) -> list[Span]:
        """What is missing of ``[start_us, end_us)``."""
        return clipped(self.missing, start_us, end_us)

    def uncovered(self, start_us: int, end_us: int) -> list[Span]:
        """What is missing of ``[start_us, end_us)``, and what of it lies outside the expected time."""
        return clipped(merged([(start_us, self.from_us), (self.until_us, end_us), *self.missing]), start_us, end_us)


def merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The same time as spans in time order of which none touches another; empty ones are dropped."""
    found: list[Span] = []
    for start_us, end_us in sorted(span for span in spans if span[0] < span[1]):
        if found and start_us <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end_us))
        else:
            found.append((start_us, end_us))
    return tuple(found)


def clipped(spans: Iterable[Span], start_us: int, end_us: int) -> list[Span]:
    """What of the spans lies inside ``[start_us, end_us)``."""
    inside = ((max(a, start_us), min(b, end_us)) for a, b in spans)
    return [span for span in inside if span[0] < span[1]]


# --- trades, quotes, tickers ------------------------------------------------------------------------------------------------------


def cover_parts(parts: Sequence[Part]) -> Covered:
    """What daily partitions cover; the first of them may be the instrument's first, where its ids begin.

    Args:
        parts: of one table and instrument, in time order, at least one.
    """
    usual_us = _mean_gap(parts)
    first, last = parts[0], parts[-1]
    listed = first.first_id in _LISTING_IDS
    spans = [] if listed else _head(first, usual_us)
    missing_ids = 0
    id_holes = [span for part in parts if part.first_id is not None for span in part.holes]
    for before, after in pairwise(parts):
        between = _ids_between(before, after)
        if between is None:
            spans += [*_tail(before, usual_us), (before.end_us, after.start_us), *_head(after, usual_us)]
        elif between:
            missing_ids += between
            id_holes.append((before.last_us, after.first_us))
    spans += _tail(last, usual_us)
    spans += [*id_holes, *(span for part in parts for span in part.holes)]
    return Covered(
        from_us=first.first_us if listed else first.start_us,
        until_us=last.end_us,
        last_us=last.last_us,
        missing=merged(spans),
        missing_ids=missing_ids + sum(part.missing_ids for part in parts),
        id_holes=tuple(sorted(id_holes)),
    )


def _ids_between(before: Part, after: Part) -> int | None:
    """How many ids are missing between two partitions; None where ids do not tell, because there are none or they begin anew."""
    if before.last_id is None or after.first_id is None or after.first_id <= before.last_id:
        return None
    return after.first_id - before.last_id - 1


def cover_declared(parts: Sequence[Part], declared: Sequence[Span]) -> Covered:
    """What daily partitions of rare events cover, whose silences say nothing: the periods that archive files declare.

    Of a day that no file declares, the time from its first to its last row counts.

    Args:
        parts: of one table and instrument, in time order, at least one.
        declared: the periods of the files, also of those in which nothing happened.
    """
    edges = []
    for part in parts:
        whole = any(start_us <= part.first_us and part.last_us < end_us for start_us, end_us in declared)
        edges.append((part.start_us, part.end_us) if whole else (part.first_us, part.last_us + 1))
    from_us, until_us = edges[0][0], edges[-1][1]
    spans = [(before[1], after[0]) for before, after in pairwise(merged([*edges, *clipped(declared, from_us, until_us)]))]
    return Covered(from_us=from_us, until_us=until_us, last_us=parts[-1].last_us, missing=merged(spans))


def _mean_gap(parts: Sequence[Part]) -> float:
    gaps = sum(part.rows - 1 for part in parts)
    return sum(part.last_us - part.first_us for part in parts) / gaps if gaps else 0.0


def quiet_limit(part: Part, usual_us: float) -> float:
    """A silence that is longer than this counts as missing where ids do not tell.

    Args:
        part: 30 minutes, or 20 times its mean gap between rows where that is more.
        usual_us: the mean gap that stands for that of a partition of fewer than 10 rows.
    """
    own_us = (part.last_us - part.first_us) / (part.rows - 1) if part.rows >= _FEW_ROWS else usual_us
    return max(QUIET_US, QUIET_GAPS * own_us)


def _head(part: Part, usual_us: float) -> list[Span]:
    return [(part.start_us, part.first_us)] if part.first_us - part.start_us > quiet_limit(part, usual_us) else []


def _tail(part: Part, usual_us: float) -> list[Span]:
    return [(part.last_us, part.end_us)] if part.end_us - part.last_us > quiet_limit(part, usual_us) else []


def parts_of(files: Sequence[PartitionFile], expiry_us: int | None = None) -> list[Part]:
    """What daily partitions say of themselves; where they have no ids, their long silences are looked for in their rows.

    Args:
        files: of one table and instrument, in time order.
        expiry_us: when a dated contract is delivered; its last day ends then.
    """
    return [_part(file, expiry_us) for file in files]


def _part(file: PartitionFile, expiry_us: int | None) -> Part:
    part = _bounds_of(file, expiry_us)
    if part.first_id is not None or part.rows < _FEW_ROWS:
        return part
    return replace(part, holes=_silences(file.path, round(quiet_limit(part, 0.0))))


def _bounds_of(file: PartitionFile, expiry_us: int | None) -> Part:
    totals = file.totals
    first_us, last_us, rows = totals["first_local_us"], totals["last_local_us"], totals["rows"]
    first_id, last_id = totals.get("first_id"), totals.get("last_id")
    end_us = file.start_us + DAY_US
    return Part(
        start_us=file.start_us,
        end_us=end_us if expiry_us is None else min(end_us, max(expiry_us, last_us + 1)),
        first_us=first_us,
        last_us=last_us,
        rows=rows,
        first_id=first_id,
        last_id=last_id,
        missing_ids=totals.get("missing_ids", 0 if first_id is None else max(0, last_id - first_id + 1 - rows)),
        holes=tuple((a, b) for a, b in totals.get("holes", ())),
    )


@lru_cache(maxsize=65_536)  # a data file never changes under its name
def _silences(path: Path, limit_us: int) -> tuple[Span, ...]:
    """Spans longer than a limit without a row; only row groups that are long enough to hold one are read."""
    found: list[Span] = []
    offset, before_us = 0, None
    for rows, first_us, last_us in group_times(path):
        if before_us is not None and first_us - before_us > limit_us:
            found.append((before_us, first_us))
        if last_us - first_us > limit_us:
            time_us = pl.col("ts_local_us")
            times = scan_rows(path, ["ts_local_us"]).slice(offset, rows).select(time_us, before=time_us.shift())
            found += [(a, b) for b, a in times.filter(time_us - pl.col("before") > limit_us).collect().iter_rows()]
        offset, before_us = offset + rows, last_us
    return tuple(sorted(found))


# --- candles, open interest, funding ----------------------------------------------------------------------------------------------


def candle_length_us(kind: str) -> int | None:
    """Length of a candle table's candles; None of other tables and of candles of no fixed length (``"1mo"``)."""
    found = _INTERVAL.search(kind)
    length_us = sum(int(count) * _UNITS_US[unit] for count, unit in _STEP.findall(found[1])) if found else 0
    return length_us or None


def cover_candles(starts_us: pl.Series, length_us: int, *, declared_us: int = 0, expiry_us: int | None = None) -> Covered:
    """What candles cover, from the first to the last and on to the end of its day and of the period that its file declares.

    Before the first candle nothing is missing: it may be the market's first.

    Args:
        starts_us: starts of the candles, at least one.
        length_us: their length.
        declared_us: end of the last file's declared period; 0 where it declares none.
        expiry_us: when a dated contract is delivered; candles are not expected after that.
    """
    phases = starts_us % length_us
    usual = int(phases.mode().min())  # type: ignore[arg-type]
    on_grid = starts_us.filter(phases == usual).unique().sort()
    in_day = DAY_US % length_us == 0
    end_us = max(declared_us, day_start(int(on_grid[-1])) + DAY_US if in_day and length_us < DAY_US else 0)
    found = _cover_grid(on_grid, length_us, end_us if expiry_us is None else min(end_us, expiry_us))
    return replace(found, missing_candles=found.missing_us // length_us, off_grid=int((phases != (0 if in_day else usual)).sum()))


def _cover_grid(starts_us: pl.Series, length_us: int, end_us: int) -> Covered:
    """What distinct sorted starts cover of their own grid, from the first to the last and on as far as whole steps end by `end_us`."""
    first_us, last_us = int(starts_us[0]), int(starts_us[-1])
    until_us = last_us + max(1, (end_us - last_us) // length_us) * length_us
    steps = pl.DataFrame({"from": starts_us + length_us, "until": starts_us.shift(-1, fill_value=until_us)})
    missing = tuple(steps.filter(pl.col("from") < pl.col("until")).iter_rows())
    return Covered(from_us=first_us, until_us=until_us, last_us=last_us, missing=missing)


def cover_stamps(stamps_us: pl.Series, *, declared_us: int = 0) -> Covered:
    """What stamps at regular times (open interest) cover, from the first to the last and on to the end of the declared period.

    Args:
        stamps_us: their times, at least one; they may be some seconds off.
        declared_us: as in `cover_candles`.
    """
    minutes_us = (stamps_us + MINUTE_US // 2) // MINUTE_US * MINUTE_US
    minutes_us = minutes_us.unique().sort()
    first_us = int(minutes_us[0])
    if len(minutes_us) == 1:
        return Covered(from_us=first_us, until_us=first_us, last_us=int(stamps_us[0]))
    length_us = int(minutes_us.diff().mode().min())  # type: ignore[arg-type]
    places = ((minutes_us - first_us + length_us // 2) // length_us).unique().sort()
    found = _cover_grid(first_us + places * length_us, length_us, declared_us)
    return replace(found, last_us=int(stamps_us.max()), missing_stamps=found.missing_us // length_us)  # type: ignore[arg-type]


def cover_payments(payments: pl.DataFrame) -> Covered:
    """What settlements of funding cover, from the first to the last.

    Between two settlements so many are missing as the longer of their two intervals fits in, so that a change of interval is no hole.

    Args:
        payments: funding_us and interval_hours (null where not known: then the usual distance counts), at least one row.
    """
    rows = payments.select("funding_us", hours_us=(pl.col("interval_hours") * HOUR_US).round().cast(pl.Int64)).unique("funding_us")
    rows = rows.sort("funding_us")
    gap_us = pl.col("funding_us") - pl.col("funding_us").shift()
    usual_us = rows.select(gap_us.drop_nulls().mode().min()).item() if rows.height > 1 else HOUR_US
    known_us = pl.col("hours_us").fill_null(usual_us)
    steps = rows.select(
        before="funding_us", after=pl.col("funding_us").shift(-1), length=pl.max_horizontal(known_us, known_us.shift(-1))
    ).drop_nulls()
    spans, missing = [], 0
    for before_us, after_us, length_us in steps.iter_rows():
        count = max(0, round((after_us - before_us) / length_us) - 1) if length_us > 0 else 0
        missing += count
        if count:
            spans.append((before_us, after_us - length_us))
    first_us, last_us = int(rows["funding_us"][0]), int(rows["funding_us"][-1])
    return Covered(from_us=first_us, until_us=last_us, last_us=last_us, missing=merged(spans), missing_stamps=missing)


# --- a table of one instrument ----------------------------------------------------------------------------------------------------


def cover(kind: str, files: Sequence[PartitionFile], expiry_us: int | None = None, *, keys: Iterable[str] = ()) -> Covered:
    """What a table holds of one instrument.

    Args:
        kind: the table.
        files: all its partitions of the instrument, in time order, at least one.
        expiry_us: when a dated contract is delivered.
        keys: of the archive files that the lake was made from, beside those in the footers. Of liquidations they tell a quiet day from one
            of which there is no file.
    """
    if kind == schema.LIQUIDATIONS.name:
        return cover_declared([_bounds_of(file, expiry_us) for file in files], _declared_spans(files, keys))
    if not schema.table(kind).monthly:
        return cover_parts(parts_of(files, expiry_us))
    paths = [file.path for file in files]
    if kind == schema.FUNDING.name:
        return cover_payments(scan_rows(paths, ["funding_us", "interval_hours"]).collect())
    if kind == schema.OPEN_INTEREST.name:
        found = cover_stamps(scan_rows(paths, ["ts_event_us"]).collect()["ts_event_us"], declared_us=_declared_us(files))
        return replace(found, last_us=max(found.from_us, found.last_us - 1))  # a stamp at midnight closes the day before
    starts_us = scan_rows(paths, ["start_us"]).collect()["start_us"]
    length_us = candle_length_us(kind)
    if length_us is None:
        return _cover_months(starts_us)
    return cover_candles(starts_us, length_us, declared_us=_declared_us(files), expiry_us=expiry_us)


def _cover_months(starts_us: pl.Series) -> Covered:
    """What candles of calendar months cover, from the first to the last."""
    months = sorted(set(starts_us.to_list()))
    spans = [(next_month(before), after) for before, after in pairwise(months) if next_month(before) < after]
    missing = 0
    for start_us, end_us in spans:
        while start_us < end_us:
            start_us, missing = next_month(start_us), missing + 1  # noqa: PLW2901 - walks through the span
    return Covered(from_us=months[0], until_us=next_month(months[-1]), last_us=months[-1], missing=merged(spans), missing_candles=missing)


def _declared_spans(files: Sequence[PartitionFile], keys: Iterable[str]) -> list[Span]:
    """The periods that the partitions' archive files declare, and other files of the same archive, dataset and instrument."""
    own = {feed["key"] for file in files for feed in file.footer["feeds"]}
    series = {key.rpartition("|")[0] for key in own}
    same = own | {key for key in keys if key.rpartition("|")[0] in series}
    return [span for key in sorted(same) if (span := declared_span(key))]


def _declared_us(files: Sequence[PartitionFile]) -> int:
    """End of the latest period that the last files declare; a month's last candle lies in the next month's partition."""
    declared = [declared_span(feed["key"]) for file in files[-2:] for feed in file.footer["feeds"]]
    return max((span[1] for span in declared if span), default=0)


def declared_span(key: str) -> Span | None:
    """The period that an archive file declares, from its key (see `pointline.sources.base.Identity`); None where it declares none."""
    found = _PERIOD.search(key)
    if not found:
        return None
    if found[2]:
        return to_us(found[1] + found[2]), to_us(found[1] + found[2]) + DAY_US
    return to_us(f"{found[1]}-01"), next_month(to_us(f"{found[1]}-01"))


def part_days(spans: Sequence[Span], start_us: int, end_us: int, days: Iterable[int]) -> list[tuple[int, float, str]]:
    """Days of ``[start_us, end_us)`` that are covered in part only: the day, the share covered, and in words what is missing.

    Args:
        spans: what is missing, in time order.
        start_us, end_us: the window; of a day that it cuts, what lies inside counts.
        days: 00:00 UTC of those to look at.
    """
    found = []
    wanted = set(days)
    for day_us in sorted({day for a, b in spans for day in days_in(a, b)} & wanted):
        first_us, last_us = max(day_us, start_us), min(day_us + DAY_US, end_us)
        own = clipped(spans, first_us, last_us)
        share = 1 - sum(b - a for a, b in own) / max(last_us - first_us, 1)
        if own and share < WHOLE_SHARE:
            found.append((day_us, share, _missing_text(own, first_us, last_us)))
    return found


_SHOWN_SPANS = 3


def _missing_text(spans: Sequence[Span], start_us: int, end_us: int) -> str:
    words, inner = [], []
    for a, b in spans:
        if a == start_us:
            words.append(f"begins at {_clock(b)}")
        elif b == end_us:
            words.append(f"ends at {_clock(a)}")
        else:
            inner.append(f"{_clock(a)} to {_clock(b)}")
    if inner:
        more = f" and {len(inner) - _SHOWN_SPANS} more" if len(inner) > _SHOWN_SPANS else ""
        words.append(f"nothing from {', '.join(inner[:_SHOWN_SPANS])}{more}")
    return ", ".join(words)


def _clock(us: int) -> str:
    """Time of day, with seconds where there are any."""
    seconds = us % DAY_US // SECOND_US
    text = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}"
    return f"{text}:{seconds % 60:02d}" if seconds % 60 else text


def span_text(span: Span, length_us: int | None = None) -> str:
    """A span in words: the candles that are missing by their starts, of whole days by their dates."""
    start_us, last_us = span[0], span[1] - (length_us or 0)
    if start_us % DAY_US == 0 and last_us % DAY_US == 0 and (length_us is None or length_us % DAY_US == 0):
        first, last = date_text(start_us), date_text(last_us)
    else:
        first, last = (f"{date_text(us)} {_clock(us)}" for us in (start_us, last_us))
    return first if first == last else f"{first} to {last}"


def share_text(share: float) -> str:
    """A share in percent that looks whole only where it is, and like nothing only where it is."""
    percent = share * 100
    if share < 1 and percent >= 99.5:  # noqa: PLR2004 - rounds to 100
        return "99.9 %" if percent >= 99.9 else f"{percent:.1f} %"  # noqa: PLR2004 - rounds to 100.0
    if 0 < percent < 0.5:  # noqa: PLR2004 - rounds to 0
        return f"{max(percent, 0.1):.1f} %"
    return f"{percent:.0f} %"
