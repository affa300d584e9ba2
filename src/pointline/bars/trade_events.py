"""Bars of trades: counted by compiled loops, a stretch of days at a time (see `pointline.bars.stretches`)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pointline.bars.aggregate import venue_frame
from pointline.bars.amounts import BATCH_ROWS, on_book
from pointline.bars.carried import carry
from pointline.bars.coarsen import coarsen, multiple_of
from pointline.bars.holes import holes_of
from pointline.bars.request import TRADES
from pointline.bars.rules import check_bars
from pointline.bars.run import BarSlice, VenueTrades, run_spine
from pointline.bars.stretches import run_stretches, spine_frame, stretches, venue_of
from pointline.clock import DAY_US, day_start
from pointline.lake.rows import decoded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pointline.bars.amounts import Amounts
    from pointline.bars.holes import Holes
    from pointline.bars.request import BarRequest
    from pointline.bars.rules import BarRule
    from pointline.bars.run import Run
    from pointline.instruments import Instrument
    from pointline.lake.store import Lake, PartitionFile


BLOCK_BARS = 16_384


class TradeEvents:
    """The trades of a request; the methods are those of `pointline.bars.request.Events`.

    Args:
        request: what bars to build.

    Raises:
        NoDataError: one side has no trades in the window.
    """

    def __init__(self, request: BarRequest) -> None:
        self._request = request
        window = request.start_us, request.end_us
        self._perp, self._spot = (
            venue_of(request.lake, instrument, *window, include_off_book=request.include_off_book)
            for instrument in (request.perp, request.spot)
        )

    @property
    def venues(self) -> tuple[VenueTrades, VenueTrades]:
        """Perp and spot, on the days of the window."""
        return self._perp, self._spot

    def parts(self) -> list[tuple[int, int]]:
        """The stretches of the window that are counted on their own."""
        return stretches(self._request.rule, [self._perp], self._request.start_us, self._request.end_us)

    def days_before(self, us: int) -> list[int]:
        """00:00 UTC of the days before an instant that the perp has, in time order."""
        return [file.start_us for file in self._files(self._request.perp, None, us).values()]

    def blocks(self, parts: Sequence[tuple[int, int]]) -> Iterator[pl.DataFrame]:
        """The bars of stretches; counting begins with this call."""
        return self._blocks(self._perp, self._spot, parts)

    def of_day(self, day: int) -> Iterator[pl.DataFrame]:
        """The bars of one day in front of the window."""
        request = self._request
        part = day, day + DAY_US
        perp, spot = (VenueTrades(one, self._files(one, *part), request.include_off_book) for one in (request.perp, request.spot))
        return self._blocks(perp, spot, [part])

    def holes(self, venue: int, first_us: int) -> Holes:
        """Where trades of an instrument are missing (see `pointline.bars.holes`)."""
        return holes_of(self._request.lake, self.venues[venue], first_us, self._request.end_us, self._request.max_hole_us)

    def last_before(self, instrument: Instrument, us: int) -> tuple[float | None, int | None]:
        """The last trade strictly before an instant."""
        return last_trade_before(self._request.lake, instrument, us, include_off_book=self._request.include_off_book)

    def spot_bars(self, first_us: int) -> pl.DataFrame | None:
        """The spot's own bars, each known at its end; None without a spot rule."""
        return None if self._request.spot_rule is None else self._own_bars(self._request.spot_rule, first_us)

    def _own_bars(self, rule: BarRule, first_us: int) -> pl.DataFrame:
        """The bars of the spot's own rule.

        Counting starts with the last day of spot trades before the first perp bar, so that the bars known at midnight do not depend on the
        window that was asked for.
        """
        request = self._request
        files = self._files(request.spot, None, day_start(request.end_us - 1) + DAY_US)
        earlier = next((day for day in sorted(files, reverse=True) if day < first_us), first_us)
        start_us = request.start_us if rule.anchor == "start" else earlier if rule.is_decided(earlier) else first_us
        kept = {day: file for day, file in files.items() if day >= day_start(start_us)}
        venue = VenueTrades(request.spot, kept, request.include_off_book)
        check_bars(rule, start_us, request.end_us)
        parts = stretches(rule, [venue], start_us, request.end_us)
        runs = run_stretches(rule, venue, (venue,), parts, threads=request.threads, cache=request.cache)
        spot = carry(pl.concat(_frames(runs, ("spot",), request.spot.symbol_id)), "spot", partial(self.last_before, request.spot))
        return spot.select(pl.col("bucket_start", "bucket_end").name.prefix("spot_"), pl.col("^spot_.*$"))

    def _files(self, instrument: Instrument, start_us: int | None, end_us: int) -> dict[int, PartitionFile]:
        files = self._request.lake.files(TRADES, instrument.exchange, instrument.exchange_symbol, start_us, end_us)
        return {file.start_us: file for file in files}

    def _blocks(self, perp: VenueTrades, spot: VenueTrades, parts: Sequence[tuple[int, int]]) -> Iterator[pl.DataFrame]:
        request = self._request
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
