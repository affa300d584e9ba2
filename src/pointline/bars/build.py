"""Bars with both venues' aggregates and as-of closes: the table that state and features are added to, a block of bars at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from pointline.bars.candle_events import CandleEvents
from pointline.bars.carried import CarriedCloses
from pointline.bars.request import TRADES, Bars
from pointline.bars.stretches import whole_bars
from pointline.bars.trade_events import TradeEvents
from pointline.bars.trailing import threshold_table, with_decided
from pointline.clock import DAY_US, time_text
from pointline.errors import ConfigError, NoDataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointline.bars.request import BarRequest, Events

_MAX_WARM_UP_DAYS = 400


def build_bars(request: BarRequest) -> Bars:
    """Bars of the request with ``perp_*`` and ``spot_*`` aggregates, as-of closes, ages and holes; counting begins with this call.

    Raises:
        NoDataError: one side has no trades or candles in the window; or, with the last block, no whole bar lies inside the window.
        ConfigError: too many bars, or candles that cannot make them; or, with the last block, no bar completes.
    """
    request = with_decided(request)
    events: Events = TradeEvents(request) if request.events == TRADES else CandleEvents(request)
    parts = events.parts()
    thresholds = threshold_table(request.rule, [start_us for start_us, _ in parts])  # refuses a day before any bar is counted
    return Bars(_in_window(request, events, parts[0][0], events.blocks(parts)), *events.venues, thresholds)


def _in_window(request: BarRequest, events: Events, first_us: int, blocks: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The blocks of the window, warm-up bars in front of the first."""
    earlier = _earlier(request, events, first_us)
    closes = CarriedCloses(events, int(earlier["bucket_start"][0]) if earlier.height else first_us)
    before = closes.carried(earlier) if earlier.height else earlier
    seen = _Seen()
    for block in blocks:
        seen.note(block, request)
        known = closes.carried(block)
        before = pl.concat([before, known.filter(pl.col("bucket_start") < request.start_us)], how="diagonal").tail(request.warm_up_bars)
        inside = request.rule.kept(whole_bars(known, request.start_us, request.end_us))
        if inside.height:
            yield pl.concat([before, inside], how="diagonal") if before.height else inside
            before = before.clear()
    if not request.part:
        seen.require_bars(request)


@dataclass
class _Seen:
    """What went by, for the error when nothing came of it.

    Attributes:
        whole: whether a bar lay inside the window.
        complete: whether a bar closed by its rule.
        open_bars: the bars before the first that did.
    """

    whole: bool = False
    complete: bool = False
    open_bars: list[pl.DataFrame] = field(default_factory=list)

    def note(self, block: pl.DataFrame, request: BarRequest) -> None:
        self.whole = self.whole or not whole_bars(block, request.start_us, request.end_us).is_empty()
        self.complete = self.complete or bool(block["complete"].any())
        if not self.complete:
            self.open_bars.append(block)

    def require_bars(self, request: BarRequest) -> None:
        """At least one bar closed by its rule, and at least one lay inside the window."""
        if not self.complete:
            amounts = pl.col("perp_volume", "perp_quote_volume", "perp_trade_count").sum()
            daily = pl.concat(self.open_bars).group_by(pl.col("bucket_start") // DAY_US).agg(amounts)
            base, quote, count = (max(daily[name].to_list()) for name in ("perp_volume", "perp_quote_volume", "perp_trade_count"))
            raise ConfigError(
                "no bar completes in this window: the threshold is larger than what was traded in any stretch that is counted",
                value=str(request.rule),
                expected=f"less than the day's perp volume, at most {base:g} base units, {quote:g} quote units or {count:,} trades here",
                hint="choose a smaller threshold, or let --threshold auto choose one",
            )
        if not self.whole:
            raise NoDataError(
                "no whole bar lies inside the window",
                value=f"{time_text(request.start_us)} to {time_text(request.end_us)}",
                expected="a window longer than a bar",
                hint="widen the window or choose a smaller threshold",
            )


def _earlier(request: BarRequest, events: Events, first_us: int) -> pl.DataFrame:
    """Bars of whole days in front of the window, until there are enough to look back on or the lake has no more."""
    found: list[pl.DataFrame] = []
    if request.rule.anchor == "day" and request.warm_up_bars:
        for day in reversed(events.days_before(first_us)[-_MAX_WARM_UP_DAYS:]):
            if sum(frame.height for frame in found) >= request.warm_up_bars or not request.rule.is_decided(day):
                break
            last = pl.DataFrame()
            for block in events.of_day(day):
                last = pl.concat([last, block], how="diagonal").tail(request.warm_up_bars)
            found.insert(0, last)
    return pl.concat(found) if found else pl.DataFrame()


def spine_of(frame: pl.DataFrame) -> pl.DataFrame:
    """The spine columns of bars."""
    return frame.select("symbol_id", "bar_id", "bucket_start", "bucket_end", "ts_local_us", "complete")
