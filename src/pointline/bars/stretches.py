"""Stretches of counting: which days are counted on their own, side by side, from the trades or from a cache."""

from __future__ import annotations

import logging
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import polars as pl

from pointline.bars.amounts import BATCH_ROWS
from pointline.bars.rules import check_bars
from pointline.bars.run import Run, VenueTrades, run_spine, run_spines, sum_over
from pointline.clock import DAY_US, days_in
from pointline.lake.window_coverage import no_data

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future

    from pointline.bars.cache import BarCache
    from pointline.bars.rules import BarRule
    from pointline.bars.run import BarSlice
    from pointline.instruments import Instrument
    from pointline.lake.store import Lake

_log = logging.getLogger("pointline.bars")

_AHEAD = 3  # stretches per thread that are counted before they are asked for, so that no thread waits while features are computed


def venue_of(lake: Lake, instrument: Instrument, start_us: int, end_us: int, *, include_off_book: bool = False) -> VenueTrades:
    """An instrument's trade partitions that touch the window's days.

    Raises:
        NoDataError: there are none.
    """
    days = days_in(start_us, end_us)
    files = {f.start_us: f for f in lake.files("trades", instrument.exchange, instrument.exchange_symbol, days[0], days[-1] + DAY_US)}
    if not files:
        raise no_data(lake, "trades", instrument.exchange, instrument.exchange_symbol, start_us, end_us)
    rows = sum(file.rows for file in files.values())
    _log.info("%s: trades of %d days in the window, %d rows, files below %s", instrument.name, len(files), rows, lake.root)
    return VenueTrades(instrument, files, include_off_book)


def stretches(rule: BarRule, drivers: Sequence[VenueTrades], start_us: int, end_us: int) -> list[tuple[int, int]]:
    """What is counted on its own: each day that a driver has, or the whole window.

    Raises:
        ConfigError: one of them would hold too many time bars.
    """
    parts = [(start_us, end_us)]
    if rule.anchor == "day":
        parts = [(day, day + DAY_US) for day in days_in(start_us, end_us) if any(day in driver.files for driver in drivers)]
    for part in parts[:1]:  # all days are of one length
        check_bars(rule, *part)
    return parts


def run_stretches(
    rule: BarRule,
    driver: VenueTrades,
    venues: Sequence[VenueTrades],
    parts: Sequence[tuple[int, int]],
    *,
    threads: int | None = None,
    cache: BarCache | None = None,
) -> Iterator[Run]:
    """The runs of all stretches in time order. Counting begins with this call; while a run is used, the next ones are counted.

    Stretches are independent, so they run side by side and equal a serial run bit for bit; what a cache knows is not run again.
    """
    workers = min(threads or os.cpu_count() or 1, len(parts))
    pool = ThreadPoolExecutor(max(workers, 1), thread_name_prefix="pointline-bars")
    waiting = iter(parts)

    def begin(part: tuple[int, int]) -> Future[Run]:
        return pool.submit(run_or_recall, rule, driver, venues, part, cache)

    ahead = deque(begin(part) for part in islice(waiting, _AHEAD * workers))

    def in_order() -> Iterator[Run]:
        try:
            while ahead:
                run = ahead.popleft().result()
                ahead.extend(begin(part) for part in islice(waiting, 1))
                yield run
        finally:
            pool.shutdown(cancel_futures=True)
        if cache is not None:
            cache.trim()

    return in_order()


def keep_stretches(
    rules: Sequence[BarRule],
    driver: VenueTrades,
    venues: Sequence[VenueTrades],
    parts: Sequence[tuple[int, int]],
    cache: BarCache,
    *,
    threads: int | None = None,
) -> None:
    """Puts the runs of several rules into a cache, with one pass over the trades of each stretch for those that it does not know."""

    def keep(part: tuple[int, int]) -> None:
        counted = [rule.of_stretch(part[0]) for rule in rules]
        unknown = [rule for rule in counted if cache.load(rule, driver, venues, *part)[1]]
        for rule, run in zip(unknown, run_spines(unknown, driver, venues, *part, BATCH_ROWS), strict=True):
            cache.store(rule, driver, venues, run)

    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        list(pool.map(keep, parts))
    cache.trim()


def run_or_recall(rule: BarRule, driver: VenueTrades, venues: Sequence[VenueTrades], part: tuple[int, int], cache: BarCache | None) -> Run:
    """The run of one stretch: what the cache knows of it, else counted and kept there."""
    rule = rule.of_stretch(part[0])
    if cache is None:
        return run_spine(rule, driver, venues, *part, BATCH_ROWS)
    known, missing = cache.load(rule, driver, venues, *part)
    if known is not None and not missing:
        return known
    if known is None:
        run = run_spine(rule, driver, venues, *part, BATCH_ROWS)
    else:
        sums = list(known.sums)
        for place in missing:
            sums[place] = sum_over(rule, driver, known, venues[place], BATCH_ROWS)
        run = replace(known, sums=tuple(sums))
    cache.store(rule, driver, venues, run)
    return run


def spine_frame(bars: BarSlice, symbol_id: int) -> pl.DataFrame:
    """Bars as spine rows."""
    frame = pl.DataFrame(
        {
            "bar_id": bars.ids,
            "bucket_start": bars.starts,
            "bucket_end": bars.ends,
            "ts_local_us": bars.starts,
            "complete": bars.complete,
        }
    )
    return frame.select(pl.lit(symbol_id, dtype=pl.Int64).alias("symbol_id"), pl.all())


def whole_bars(frame: pl.DataFrame, start_us: int, end_us: int) -> pl.DataFrame:
    """The bars that lie wholly inside the window."""
    return frame.filter((pl.col("bucket_start") >= start_us) & (pl.col("bucket_end") <= end_us))
