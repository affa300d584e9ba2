"""Builds spines from the lake."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from pointline.bars.amounts import BATCH_ROWS
from pointline.bars.rules import (
    BarRule,
    DollarBarConfig,
    ImbalanceBarConfig,
    TimeBarConfig,
    TradeBarConfig,
    VolumeBarConfig,
    check_bars,
)
from pointline.bars.run import Run, Venue, run_spine, run_spines, sum_over
from pointline.clock import DAY_US, TimeLike, days_in, to_us
from pointline.errors import ConfigError
from pointline.lake.store import as_lake
from pointline.lake.window_coverage import no_data

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future

    from pointline.bars.cache import BarCache
    from pointline.bars.run import BarSlice
    from pointline.instruments import Instrument
    from pointline.lake.store import Lake, LakeLike

_RULES: dict[str, type[BarRule]] = {
    "volume": VolumeBarConfig,
    "dollar": DollarBarConfig,
    "trades": TradeBarConfig,
    "time": TimeBarConfig,
    "imbalance": ImbalanceBarConfig,
}


@dataclass(frozen=True)
class SpineBuilder:
    """Builds one kind of spine.

    Attributes:
        kind: ``"volume"``, ``"dollar"``, ``"trades"``, ``"time"`` or ``"imbalance"``.
        rule: the config class that it takes.
    """

    kind: str
    rule: type[BarRule]

    def build_spine(
        self,
        *,
        symbol_id: int,
        start_ts_us: TimeLike,
        end_ts_us: TimeLike,
        config: BarRule,
        lake: LakeLike | None = None,
        include_off_book: bool = False,
    ) -> pl.DataFrame:
        """The whole bars inside ``[start_ts_us, end_ts_us)``, the same that any wider request would return.

        Args:
            symbol_id: the driving instrument.
            start_ts_us, end_ts_us: the window; any form that `pointline.clock.to_us` reads.
            config: when a bar closes.
            lake: where the trades are, a lake or its folder; the default lake if None.
            include_off_book: also count the prints that are flagged as off-book.

        Returns:
            One row per bar: symbol_id, bar_id, bucket_start, bucket_end, ts_local_us (= bucket_start), complete.

        Raises:
            ConfigError: `config` is for another kind of spine, the window is empty, it would hold too many time bars, the contract's size
                is not known, or the spine counts signed volume and a trade's side is not known.
            RegistryError: no instrument has this symbol_id.
            NoDataError: the lake has no trades of it in the window; the error says what it has.
        """
        if not isinstance(config, self.rule):
            raise ConfigError(f"a {self.kind} spine takes another config", value=type(config).__name__, expected=self.rule.__name__)
        start_us, end_us = window(start_ts_us, end_ts_us)
        check_bars(config, start_us, end_us)
        opened = as_lake(lake)
        driver = venue_of(opened, opened.registry().by_id(symbol_id), start_us, end_us, include_off_book=include_off_book)
        runs = run_stretches(config, driver, (), stretches(config, [driver], start_us, end_us))
        frame = pl.concat([spine_frame(run.bars(0, len(run.ends)), symbol_id) for run in runs])
        return whole_bars(frame, start_us, end_us)


def get_builder(kind: str) -> SpineBuilder:
    """The builder of a kind of spine.

    Raises:
        ConfigError: there is no such kind.
    """
    if kind not in _RULES:
        raise ConfigError("there is no such spine", value=kind, expected=", ".join(_RULES))
    return SpineBuilder(kind, _RULES[kind])


def window(start: TimeLike, end: TimeLike) -> tuple[int, int]:
    """Start and end in microseconds.

    Raises:
        ConfigError: the window is empty or backwards.
    """
    start_us, end_us = to_us(start, name="start"), to_us(end, name="end")
    if end_us <= start_us:
        raise ConfigError(
            "the window is empty: the end must come after the start",
            value=f"{start} to {end}",
            hint="the end is exclusive: one day is start=2024-05-01, end=2024-05-02",
        )
    return start_us, end_us


def venue_of(lake: Lake, instrument: Instrument, start_us: int, end_us: int, *, include_off_book: bool = False) -> Venue:
    """An instrument's trade partitions that touch the window's days.

    Raises:
        NoDataError: there are none.
    """
    days = days_in(start_us, end_us)
    files = {f.start_us: f for f in lake.files("trades", instrument.exchange, instrument.exchange_symbol, days[0], days[-1] + DAY_US)}
    if not files:
        raise no_data(lake, "trades", instrument.exchange, instrument.exchange_symbol, start_us, end_us)
    return Venue(instrument, files, include_off_book)


def stretches(rule: BarRule, drivers: Sequence[Venue], start_us: int, end_us: int) -> list[tuple[int, int]]:
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
    driver: Venue,
    venues: Sequence[Venue],
    parts: Sequence[tuple[int, int]],
    *,
    threads: int | None = None,
    cache: BarCache | None = None,
) -> Iterator[Run]:
    """The runs of all stretches in time order; while one is used, the next ones are counted.

    Stretches are independent, so they run side by side and equal a serial run bit for bit; what a cache knows is not run again.
    """
    workers = min(threads or os.cpu_count() or 1, len(parts))
    if workers <= 1:
        for part in parts:
            yield _run_or_recall(rule, driver, venues, part, cache)
    else:
        with ThreadPoolExecutor(workers) as pool:
            ahead: deque[Future[Run]] = deque()
            for part in parts:
                ahead.append(pool.submit(_run_or_recall, rule, driver, venues, part, cache))
                if len(ahead) > workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
    if cache is not None:
        cache.trim()


def keep_stretches(
    rules: Sequence[BarRule],
    driver: Venue,
    venues: Sequence[Venue],
    parts: Sequence[tuple[int, int]],
    cache: BarCache,
    *,
    threads: int | None = None,
) -> None:
    """Puts the runs of several rules into a cache, with one pass over the trades of each stretch for those that it does not know."""

    def keep(part: tuple[int, int]) -> None:
        unknown = [rule for rule in rules if cache.load(rule, driver, venues, *part)[1]]
        for rule, run in zip(unknown, run_spines(unknown, driver, venues, *part, BATCH_ROWS), strict=True):
            cache.store(rule, driver, venues, run)

    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        list(pool.map(keep, parts))
    cache.trim()


def _run_or_recall(rule: BarRule, driver: Venue, venues: Sequence[Venue], part: tuple[int, int], cache: BarCache | None) -> Run:
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


__all__ = ["SpineBuilder", "get_builder", "run_stretches", "spine_frame", "stretches", "venue_of", "whole_bars", "window"]
