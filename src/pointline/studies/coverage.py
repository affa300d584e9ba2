"""What of a study's window the lake covers, and what is to be said of it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import polars as pl

from pointline import clock
from pointline.bars.candle_events import VenueCandles
from pointline.lake.coverage import share_text
from pointline.lake.window_coverage import candle_coverage, window_coverage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointline.bars.request import Bars, VenueEvents
    from pointline.lake.store import Lake
    from pointline.lake.window_coverage import WindowCoverage

_SHOWN_DAYS = 5


class CoverageWarning(UserWarning):
    """Days of the window are missing on one side."""


def sides_of(lake: Lake, built: Bars, start_us: int, end_us: int) -> tuple[dict[str, VenueEvents], dict[str, WindowCoverage]]:
    """The partitions of each side, and what of the window they cover."""
    sides = {"perp": built.perp_venue, "spot": built.spot_venue}
    return sides, {side: _covered(lake, venue, start_us, end_us) for side, venue in sides.items()}


def _covered(lake: Lake, venue: VenueEvents, start_us: int, end_us: int) -> WindowCoverage:
    if isinstance(venue, VenueCandles):
        return candle_coverage(lake, venue.instrument, venue.kind, venue.files, start_us, end_us)
    return window_coverage(lake, venue.instrument, venue.files, start_us, end_us)


def coverage_notes(covered: dict[str, WindowCoverage], of: str) -> list[str]:
    """What a reader of the study should know of its coverage.

    Args:
        covered: what each side's trades or candles cover of the window.
        of: which of the two.

    Warns:
        CoverageWarning: days are missing on a side.
    """
    notes = []
    for side, own in covered.items():
        if own.missing_days:
            note = missing_days_note(side, own.missing_days, of)
            warnings.warn(note, CoverageWarning, stacklevel=3)
            notes.append(note)
        if own.part_days:
            days = _first_of([f"{clock.date_text(day)} to {share_text(share)}, {words}" for day, share, words in own.part_days], "; ")
            notes.append(f"{len(own.part_days)} of the window's days are covered in part by {side} {of}: {days}")
        counts = (own.flagged, own.quarantined, own.missing_ids)
        reasons = ("flagged as off-book and not in the bars", "quarantined", "missing by their ids")
        told = [f"{count:,} {reason}" for count, reason in zip(counts, reasons, strict=True) if count]
        if told:
            notes.append(f"{side} {of} of the window's days: {'; '.join(told)}")
    return notes


def missing_days_note(side: str, days: Sequence[int], of: str) -> str:
    """Says which days a side does not have.

    Args:
        side: ``"perp"`` or ``"spot"``.
        days: their 00:00 UTC stamps.
        of: trades or candles.
    """
    effect = "no bars there" if side == "perp" else "bars there have no fresh spot"
    return f"{len(days)} of the window's days have no {side} {of} ({effect}): {_first_of([clock.date_text(day) for day in days])}"


def _first_of(texts: list[str], comma: str = ", ") -> str:
    more = len(texts) - _SHOWN_DAYS
    return comma.join(texts[:_SHOWN_DAYS]) + (f" and {more} more" if more > 0 else "")


def interval_notes(bars: pl.DataFrame) -> list[str]:
    """A note where the funding interval of bars is the venue's usual one, as no payment tells it."""
    told = pl.col("funding_close").is_not_null() & (pl.col("funding_interval_source") == "default")
    assumed = bars.filter(told)["funding_interval_hours"]
    if assumed.is_empty():
        return []
    assumption = f"where no payment gives the funding interval, it is assumed to be the venue's usual {assumed[0]:g} h"
    return [f"{assumption}; fundingRate files have the real one, ingest them"]
