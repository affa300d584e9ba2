"""Bars with both venues' aggregates and as-of closes: the table that state and features are added to, a block of bars at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pointline.bars.aggregate import venue_frame
from pointline.bars.amounts import BATCH_ROWS, on_book
from pointline.bars.coarsen import coarsen, multiple_of
from pointline.bars.holes import Spoiled, holes_of
from pointline.bars.rules import check_bars
from pointline.bars.run import BarSlice, VenueTrades, run_spine
from pointline.bars.stretches import run_stretches, spine_frame, stretches, venue_of, whole_bars
from pointline.clock import DAY_US, MINUTE_US, day_start, time_text
from pointline.errors import ConfigError, NoDataError
from pointline.lake.rows import decoded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pointline.bars.amounts import Amounts
    from pointline.bars.cache import BarCache
    from pointline.bars.rules import BarRule
    from pointline.bars.run import Run
    from pointline.instruments import Instrument
    from pointline.lake.store import Lake

BLOCK_BARS = 16_384
_MAX_WARM_UP_DAYS = 400


@dataclass(frozen=True)
class BarRequest:
    """What bars to build.

    Attributes:
        lake: where the trades are.
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
        told: called with the end of each stretch of time whose bars are counted.
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
    told: Callable[[int], object] | None = None

    def venue(self, instrument: Instrument, start_us: int, end_us: int) -> VenueTrades:
        """An instrument's trades on the days of a window; raises as `venue_of`."""
        return venue_of(self.lake, instrument, start_us, end_us, include_off_book=self.include_off_book)


@dataclass(frozen=True)
class Bars:
    """Bars and what is worth knowing about them.

    Attributes:
        blocks: the whole bars of the window in time order, one row each, `BLOCK_BARS` or so in a frame; they are built as they are
            asked for, once. Warm-up bars, ``bucket_start`` before the window, are in front, at most as many as were asked for.
        perp_venue, spot_venue: the partitions of the window (without warm-up).
    """

    blocks: Iterator[pl.DataFrame]
    perp_venue: VenueTrades
    spot_venue: VenueTrades


def build_bars(request: BarRequest) -> Bars:
    """Bars of the request with ``perp_*`` and ``spot_*`` aggregates, as-of closes, ages and holes; counting begins with this call.

    Raises:
        NoDataError: one side has no trades in the window; or, with the last block, no whole bar lies inside the window.
        ConfigError: too many bars; or, with the last block, no bar completes.
    """
    perp = request.venue(request.perp, request.start_us, request.end_us)
    spot = request.venue(request.spot, request.start_us, request.end_us)
    parts = stretches(request.rule, [perp], request.start_us, request.end_us)
    return Bars(_in_window(request, (perp, spot), parts[0][0], _blocks(request, perp, spot, parts)), perp, spot)


def _in_window(
    request: BarRequest, venues: tuple[VenueTrades, VenueTrades], first_us: int, blocks: Iterator[pl.DataFrame]
) -> Iterator[pl.DataFrame]:
    """The blocks of the window, warm-up bars in front of the first."""
    earlier = _earlier(request, first_us)
    closes = _CarriedCloses(request, venues, int(earlier["bucket_start"][0]) if earlier.height else first_us)
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


def _earlier(request: BarRequest, first_us: int) -> pl.DataFrame:
    """Bars of whole days in front of the window, until there are enough to look back on or the lake has no more."""
    found: list[pl.DataFrame] = []
    if request.rule.anchor == "day" and request.warm_up_bars:
        lake, spot = request.lake, request.spot
        days = [f.start_us for f in lake.files("trades", request.perp.exchange, request.perp.exchange_symbol, None, first_us)]
        for day in reversed(days[-_MAX_WARM_UP_DAYS:]):
            if sum(frame.height for frame in found) >= request.warm_up_bars:
                break
            perp = request.venue(request.perp, day, day + DAY_US)
            spot_files = {f.start_us: f for f in lake.files("trades", spot.exchange, spot.exchange_symbol, day, day + DAY_US)}
            last = pl.DataFrame()
            for block in _blocks(request, perp, VenueTrades(spot, spot_files, request.include_off_book), [(day, day + DAY_US)]):
                last = pl.concat([last, block], how="diagonal").tail(request.warm_up_bars)
            found.insert(0, last)
    return pl.concat(found) if found else pl.DataFrame()


def _blocks(request: BarRequest, perp: VenueTrades, spot: VenueTrades, parts: Sequence[tuple[int, int]]) -> Iterator[pl.DataFrame]:
    """The bars of all stretches: spine columns and aggregates."""
    venues = (perp, spot) if request.spot_rule is None else (perp,)
    return _frames(_told(_runs(request, perp, venues, parts), request.told), ("perp", "spot"), request.perp.symbol_id)


def _told(runs: Iterator[Run], told: Callable[[int], object] | None) -> Iterator[Run]:
    for run in runs:
        yield run
        if told is not None:
            told(run.end_us)


def _runs(request: BarRequest, perp: VenueTrades, venues: Sequence[VenueTrades], parts: Sequence[tuple[int, int]]) -> Iterator[Run]:
    """The runs of the request's rule, derived from finer ones where a base rule is given."""
    if request.base_rule is None:
        return run_stretches(request.rule, perp, venues, parts, threads=request.threads, cache=request.cache)
    factor = multiple_of(request.rule, request.base_rule)
    fine = run_stretches(request.base_rule, perp, venues, parts, threads=request.threads, cache=request.cache)
    return (coarsen(run, factor) or run_spine(request.rule, perp, venues, *part, BATCH_ROWS) for run, part in zip(fine, parts, strict=True))


def _frames(runs: Iterator[Run], prefixes: tuple[str, ...], symbol_id: int) -> Iterator[pl.DataFrame]:
    """Runs as frames of about `BLOCK_BARS` bars; short runs share one while they count in the same units."""
    waiting: list[BarSlice] = []
    units: tuple[Amounts, ...] = ()
    for run in runs:
        if waiting and run.amounts != units:
            yield _frame(waiting, units, prefixes, symbol_id)
            waiting = []
        units = run.amounts
        for first in range(0, len(run.ends), BLOCK_BARS):
            waiting.append(run.bars(first, min(first + BLOCK_BARS, len(run.ends))))
            if sum(len(bars.ends) for bars in waiting) >= BLOCK_BARS:
                yield _frame(waiting, units, prefixes, symbol_id)
                waiting = []
    if waiting:
        yield _frame(waiting, units, prefixes, symbol_id)


def _frame(slices: Sequence[BarSlice], units: tuple[Amounts, ...], prefixes: tuple[str, ...], symbol_id: int) -> pl.DataFrame:
    bars = BarSlice(
        ids=np.concatenate([bars.ids for bars in slices]),
        starts=np.concatenate([bars.starts for bars in slices]),
        ends=np.concatenate([bars.ends for bars in slices]),
        complete=np.concatenate([bars.complete for bars in slices]),
        sums=tuple(np.concatenate(ints) for ints in zip(*(bars.sums for bars in slices), strict=True)),
    )
    frames = [venue_frame(prefix, sums, amounts) for prefix, sums, amounts in zip(prefixes, bars.sums, units, strict=False)]
    return pl.concat([spine_frame(bars, symbol_id), *frames], how="horizontal")


class _CarriedCloses:
    """As-of closes of both venues, their ages at ``bucket_end`` and their holes, from one block of bars to the next.

    Args:
        request: the bars.
        venues: perp and spot.
        first_us: where the first bar opens.
    """

    def __init__(self, request: BarRequest, venues: tuple[VenueTrades, VenueTrades], first_us: int) -> None:
        self._request = request
        self._spoiled = [
            Spoiled(side, holes_of(request.lake, venue, first_us, request.end_us, request.max_hole_us))
            for side, venue in zip(("perp", "spot"), venues, strict=True)
        ]
        self._last = {"perp": pl.DataFrame(), "spot": pl.DataFrame()}
        self._spot_bars = None if request.spot_rule is None else _spot_spine(request, request.spot_rule, first_us)

    def carried(self, block: pl.DataFrame) -> pl.DataFrame:
        """The block with closes carried over quiet bars, and the bars marked that a hole spoils."""
        block = self._carried(block, "perp")
        block = self._carried(block, "spot") if self._spot_bars is None else _with_known(block, self._spot_bars)
        ages = [(pl.col("bucket_end") - pl.col(f"{prefix}_last_us")).alias(f"{prefix}_age_us") for prefix in ("perp", "spot")]
        return block.with_columns(*ages, *(venue.mark(block) for venue in self._spoiled)).drop("perp_last_us", "spot_last_us")

    def _carried(self, block: pl.DataFrame, prefix: str) -> pl.DataFrame:
        last = self._last[prefix]
        carried = _carry(pl.concat([last, block]) if last.height else block, prefix, self._request)
        carried = carried.slice(last.height)
        self._last[prefix] = carried.tail(1)
        return carried


def _spot_spine(request: BarRequest, rule: BarRule, first_us: int) -> pl.DataFrame:
    """The spot's own bars, each known at its end.

    Counting starts with the last day of spot trades before the first perp bar, so that the bars known at midnight do not depend on
    the window that was asked for.
    """
    lake, exchange, symbol = request.lake, request.spot.exchange, request.spot.exchange_symbol
    files = {f.start_us: f for f in lake.files("trades", exchange, symbol, None, day_start(request.end_us - 1) + DAY_US)}
    start_us = request.start_us if rule.anchor == "start" else max((day for day in files if day < first_us), default=first_us)
    venue = VenueTrades(request.spot, {day: file for day, file in files.items() if day >= day_start(start_us)}, request.include_off_book)
    check_bars(rule, start_us, request.end_us)
    runs = run_stretches(
        rule, venue, (venue,), stretches(rule, [venue], start_us, request.end_us), threads=request.threads, cache=request.cache
    )
    spot = _carry(pl.concat(_frames(runs, ("spot",), request.spot.symbol_id)), "spot", request)
    return spot.select(pl.col("bucket_start", "bucket_end").name.prefix("spot_"), pl.col("^spot_.*$"))


def _with_known(block: pl.DataFrame, spot_bars: pl.DataFrame) -> pl.DataFrame:
    """Each perp bar with the newest spot bar that was known at its end."""
    known = block.join_asof(
        spot_bars, left_on="bucket_end", right_on="spot_bucket_end", strategy="backward", coalesce=False, check_sortedness=False
    )
    amounts = ("spot_trade_count", "spot_volume", "spot_quote_volume", "spot_buy_volume", "spot_sell_volume")
    no_bar = pl.col("spot_bucket_end").is_null()
    return known.with_columns(pl.when(no_bar).then(pl.lit(0, known.schema[name])).otherwise(name).alias(name) for name in amounts)


def _carry(frame: pl.DataFrame, prefix: str, request: BarRequest) -> pl.DataFrame:
    """A quiet bar carries the last price before its end, also one from before the first bar or from a day without windows."""
    close, time = f"{prefix}_close", f"{prefix}_last_us"
    if not frame[close].null_count():
        return frame
    behind_gap = (pl.col("bucket_start") != pl.col("bucket_end").shift(1)).fill_null(value=True)
    openings = frame.filter(behind_gap & pl.col(close).is_null())["bucket_start"].to_list()
    instrument = request.perp if prefix == "perp" else request.spot
    found = [(start, *last_trade_before(request.lake, instrument, start, include_off_book=request.include_off_book)) for start in openings]
    earlier = pl.DataFrame(found, schema={"bucket_start": pl.Int64, "_price": pl.Float64, "_time": pl.Int64}, orient="row")
    return (
        frame.join(earlier, on="bucket_start", how="left", maintain_order="left")
        .with_columns(pl.coalesce(close, "_price").forward_fill().alias(close), pl.coalesce(time, "_time").forward_fill().alias(time))
        .drop("_price", "_time")
    )


def last_trade_before(lake: Lake, instrument: Instrument, us: int, *, include_off_book: bool = False) -> tuple[float | None, int | None]:
    """Price and time of the last trade strictly before `us`; (None, None) where the lake has none.

    Prints that are flagged as off-book are passed over unless they are included.
    """
    files = lake.files("trades", instrument.exchange, instrument.exchange_symbol, None, us)
    for file in reversed(files):
        totals = file.totals
        last_us = totals.get("last_trade_us", totals["last_local_us"])  # of the prints that are not flagged
        if last_us is not None and last_us < us and not (include_off_book and totals.get("off_book")):
            return float(file.last_price), last_us
        trades = on_book(file, ["ts_local_us", "price_int", "price_decimals"], include_off_book=include_off_book)
        before = trades.filter(pl.col("ts_local_us") < us).tail(1).select("ts_local_us", decoded("price_int", "price"))
        rows = before.collect()
        if rows.height:
            return rows["price_int"][0], rows["ts_local_us"][0]
    return None, None


def spine_of(frame: pl.DataFrame) -> pl.DataFrame:
    """The spine columns of bars."""
    return frame.select("symbol_id", "bar_id", "bucket_start", "bucket_end", "ts_local_us", "complete")
