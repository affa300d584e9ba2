"""What of a window the lake covers with an instrument's trades, and the error for a window without data: it says what there is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from pointline import schema
from pointline.clock import DAY_US, days_in, time_text
from pointline.errors import NoDataError, nearest
from pointline.lake.coverage import candle_length_us, clipped, cover_candles, cover_parts, declared_span, part_days, parts_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pointline.instruments import Instrument
    from pointline.lake.coverage import Part
    from pointline.lake.store import Lake, PartitionFile

_TRADES = schema.TRADES.name


@dataclass(frozen=True)
class WindowCoverage:
    """What of a window an instrument's trades cover.

    Attributes:
        share: of the window's time, 0 to 1. Time before the market's first trade and after a contract's delivery is not covered.
        missing_days: 00:00 UTC of the days that have no trades.
        part_days: days that are covered to less than 99.9 %: 00:00 UTC, the share covered, and in words what is missing.
        missing_ids: ids that are missing in the window's days and between them.
        flagged: off-book prints of the window's days, which bars leave out.
        quarantined: rows that were set aside from the files of the window's days.
    """

    share: float
    missing_days: list[int]
    part_days: list[tuple[int, float, str]]
    missing_ids: int
    flagged: int
    quarantined: int


def window_coverage(lake: Lake, instrument: Instrument, files: Mapping[int, PartitionFile], start_us: int, end_us: int) -> WindowCoverage:
    """What the trades of an instrument cover of ``[start_us, end_us)``.

    Args:
        lake, instrument: whose trades.
        files: its partitions that touch the window, by 00:00 UTC of their days; at least one.
        start_us, end_us: the window.
    """
    own = [files[day] for day in sorted(files)]
    around, parts = _parts(lake, instrument, own)
    spans = cover_parts(around).uncovered(start_us, end_us)
    return WindowCoverage(
        share=1 - sum(b - a for a, b in spans) / (end_us - start_us),
        missing_days=[day for day in days_in(start_us, end_us) if day not in files],
        part_days=part_days(spans, start_us, end_us, files),
        missing_ids=cover_parts(parts).missing_ids,
        flagged=sum(file.totals.get("off_book", 0) for file in own),
        quarantined=_quarantined(lake, instrument, own, start_us, end_us),
    )


def candle_coverage(
    lake: Lake, instrument: Instrument, kind: str, files: Mapping[int, PartitionFile], start_us: int, end_us: int
) -> WindowCoverage:
    """What the candles of an instrument cover of ``[start_us, end_us)``; they have no ids and no flags.

    Args:
        lake, instrument: whose candles.
        kind: their table.
        files: its partitions that touch the window, at least one.
        start_us, end_us: the window.
    """
    own = [files[month] for month in sorted(files)]
    starts = pl.concat([file.scan(["start_us"]) for file in own]).collect()["start_us"]
    expiry_us = instrument.expiry_us if instrument.asset_type == "future" else None
    spans = cover_candles(starts, candle_length_us(kind) or DAY_US, expiry_us=expiry_us).uncovered(start_us, end_us)
    held = set((starts // DAY_US * DAY_US).unique().to_list())
    return WindowCoverage(
        share=1 - sum(b - a for a, b in spans) / (end_us - start_us),
        missing_days=[day for day in days_in(start_us, end_us) if day not in held],
        part_days=part_days(spans, start_us, end_us, held),
        missing_ids=0,
        flagged=0,
        quarantined=_quarantined(lake, instrument, own, start_us, end_us, kind),
    )


def day_share(lake: Lake, instrument: Instrument, day: PartitionFile) -> float:
    """Share of a day that the trades of an instrument cover, 0 to 1."""
    around, _ = _parts(lake, instrument, [day])
    spans = cover_parts(around).uncovered(day.start_us, day.start_us + DAY_US)
    return 1 - sum(b - a for a, b in spans) / DAY_US


def day_share_by_then(lake: Lake, instrument: Instrument, day: PartitionFile) -> float:
    """As `day_share`, by what is known when the first trade after the day has come: its id tells whether some are missing between.

    Nothing later than that trade changes the share, so that a decision from it looks at nothing that comes.
    """
    around, _ = _parts(lake, instrument, [day])
    known = [part if part.start_us <= day.start_us else _first_row(part) for part in around]
    spans = cover_parts(known).uncovered(day.start_us, day.start_us + DAY_US)
    return 1 - sum(b - a for a, b in spans) / DAY_US


def _first_row(part: Part) -> Part:
    return replace(part, last_us=part.first_us, rows=1, last_id=part.first_id, missing_ids=0, holes=())


def _parts(lake: Lake, instrument: Instrument, files: list[PartitionFile]) -> tuple[list[Part], list[Part]]:
    """These partitions with the nearest ones before and after, whose ids tell of the edges, and without."""
    names = (_TRADES, instrument.exchange, instrument.exchange_symbol)
    expiry_us = instrument.expiry_us if instrument.asset_type == "future" else None
    before = lake.files(*names, None, files[0].start_us)[-1:]
    after = lake.files(*names, files[-1].start_us + DAY_US)[:1]
    own = parts_of(files, expiry_us)
    return [*parts_of(before, expiry_us), *own, *parts_of(after, expiry_us)], own


def _quarantined(lake: Lake, instrument: Instrument, files: list[PartitionFile], start_us: int, end_us: int, kind: str = _TRADES) -> int:
    """Rows set aside from the files that the window's partitions were made of, and from files that declare a period inside it."""
    aside = lake.rows("quarantine", schema.QUARANTINE_SCHEMA).filter(
        (pl.col("kind") == kind) & (pl.col("exchange") == instrument.exchange) & (pl.col("symbol") == instrument.exchange_symbol)
    )
    serving = {feed["key"]: feed["sha256"] for file in files for feed in file.footer["feeds"]}
    count = 0
    for (key, sha256), rows in aside.group_by("key", "sha256"):
        period = declared_span(str(key))
        if serving[str(key)] == sha256 if key in serving else period and clipped([period], start_us, end_us):
            count += rows.height
    return count


def uneven_days(perp: WindowCoverage, spot: WindowCoverage) -> list[int]:
    """Days of a window whose volumes cannot be compared: covered in part on a side, or missing on one."""
    part = {day for side in (perp, spot) for day, _, _ in side.part_days}
    return sorted(part | (set(perp.missing_days) ^ set(spot.missing_days)))


def no_data(lake: Lake, kind: str, exchange: str, symbol: str, start_us: int, end_us: int) -> NoDataError:
    """The error for an instrument without rows of a kind in a window, with its coverage or the nearest names."""
    from pointline.lake.catalog import coverage

    own = coverage(lake, exchange, symbol)
    window = f"{time_text(start_us)} to {time_text(end_us)} (exclusive)"
    what = f"the lake has no {kind} of {exchange}:{symbol} in this window"
    if own.is_empty():
        listed = {pair for held in lake.kinds() for pair in lake.listing(held).select("exchange", "symbol").unique().iter_rows()}
        names = [f"{e}:{s}" for e, s in sorted(listed)]
        return NoDataError(
            what,
            value=window,
            expected=f"an instrument that was ingested; alike: {nearest(f'{exchange}:{symbol}', names).lower()}",
            hint="`pointline catalog` lists what the lake holds",
        )
    same = own.filter(pl.col("kind") == kind)
    own = own if same.is_empty() else same
    held = "; ".join(f"{row['kind']} {row['first_date']} to {row['last_date']}" for row in own.iter_rows(named=True))
    return NoDataError(
        what, value=window, expected=f"a window inside its coverage: {held}", hint="ingest the missing days, or choose another window"
    )
