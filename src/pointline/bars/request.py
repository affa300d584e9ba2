"""What bars are asked for, what is given, and what kinds of events bars are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pointline import schema
from pointline.clock import MINUTE_US

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import polars as pl

    from pointline.bars.cache import BarCache
    from pointline.bars.holes import Holes
    from pointline.bars.rules import BarRule
    from pointline.instruments import Instrument
    from pointline.lake.store import Lake, PartitionFile

TRADES = schema.TRADES.name


@dataclass(frozen=True)
class BarRequest:
    """What bars to build.

    Attributes:
        lake: where the trades or candles are.
        perp, spot: the instruments.
        start_us, end_us: the window.
        rule: when the perp's bars close.
        spot_rule: None puts both venues on the perp's bars; a rule gives the spot its own bars, joined as-of (dual spine).
        base_rule: finer bars of the same kind to derive the perp's bars from; None = count them from the trades.
        max_hole_us: a bar is marked (``perp_hole``, ``spot_hole``) where trades are missing for longer.
        warm_up_bars: bars before the window that features look back on; as many as the lake holds are returned in front.
        threads: days counted side by side; None = one per core.
        cache: sums of earlier requests; None = compute everything.
        include_off_book: also count the prints that are flagged as off-book.
        events: what bars are made of: ``"trades"``, or a table of trade-price candles such as ``"candles_1m"``.
        told: called with the end of each stretch of time whose bars are counted.
        part: the window is a part of a longer one, so that no bar need complete or lie inside it.
    """

    lake: Lake
    perp: Instrument
    spot: Instrument
    start_us: int
    end_us: int
    rule: BarRule
    spot_rule: BarRule | None = None
    base_rule: BarRule | None = None
    max_hole_us: int = MINUTE_US
    warm_up_bars: int = 0
    threads: int | None = None
    cache: BarCache | None = None
    include_off_book: bool = False
    events: str = TRADES
    told: Callable[[int], object] | None = None
    part: bool = False


class VenueEvents(Protocol):
    """One instrument's part of the data that bars are made of."""

    @property
    def instrument(self) -> Instrument:
        """Registry row."""
        ...

    @property
    def files(self) -> Mapping[int, PartitionFile]:
        """Partitions by the 00:00 UTC stamp of their first day."""
        ...


@dataclass(frozen=True)
class Bars:
    """Bars and what is worth knowing about them.

    Attributes:
        blocks: the whole bars of the window in time order, one row each, some thousand in a frame; they are built as they are
            asked for, once. Warm-up bars, ``bucket_start`` before the window, are in front, at most as many as were asked for.
        perp_venue, spot_venue: the partitions of the window (without warm-up).
        thresholds: of a rule whose threshold changes by the day, its thresholds (see `pointline.bars.trailing.threshold_table`);
            empty of any other.
    """

    blocks: Iterator[pl.DataFrame]
    perp_venue: VenueEvents
    spot_venue: VenueEvents
    thresholds: pl.DataFrame


class Events(Protocol):
    """The trades, or candles, of the two instruments of a request."""

    @property
    def venues(self) -> tuple[VenueEvents, VenueEvents]:
        """Perp and spot, in the window."""
        ...

    def parts(self) -> list[tuple[int, int]]:
        """The stretches of the window that are counted on their own."""
        ...

    def days_before(self, us: int) -> list[int]:
        """00:00 UTC of the days before an instant that the perp has, in time order."""
        ...

    def blocks(self, parts: Sequence[tuple[int, int]]) -> Iterator[pl.DataFrame]:
        """The bars of stretches: spine columns, aggregates of both venues, and ``…_last_us``, the time of the last price in the bar."""
        ...

    def of_day(self, day: int) -> Iterator[pl.DataFrame]:
        """The bars of one day in front of the window, as `blocks`."""
        ...

    def spot_bars(self, first_us: int) -> pl.DataFrame | None:
        """The spot's own bars from an instant on, where it has some; else None."""
        ...

    def holes(self, venue: int, first_us: int) -> Holes:
        """Where data of ``venues[venue]`` is missing that bars from an instant on can touch."""
        ...

    def last_before(self, instrument: Instrument, us: int) -> tuple[float | None, int | None]:
        """The last price before an instant and its time; (None, None) where there is none."""
        ...
