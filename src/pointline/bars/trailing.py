"""What the days before a day traded, and the thresholds that follow from it (see `pointline.bars.adaptive`).

A day counts only where it is covered whole: trades to 99.9 % of its time, candles without a gap. Whether a day is whole is judged by
what is known when the first trade after it has come, so a threshold never changes afterwards. Amounts are those that bars add up, exact,
without flagged prints: of whole days the totals in the files' footers where they tell, else sums over the segments, which the cache keeps.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from fractions import Fraction
from threading import RLock
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import polars as pl

from pointline.bars.adaptive import AdaptiveBars
from pointline.bars.amounts import FRACTION_BITS, on_book
from pointline.bars.candle_events import segment_amounts
from pointline.bars.request import TRADES
from pointline.bars.rules import TimeBarConfig
from pointline.bars.run import Run, VenueTrades
from pointline.bars.stretches import run_or_recall
from pointline.clock import DAY_US, date_text
from pointline.errors import ConfigError
from pointline.kernels.slots import BAR_INTS
from pointline.lake.coverage import WHOLE_SHARE
from pointline.lake.window_coverage import day_share_by_then

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from pointline.bars.amounts import Amounts, Ints
    from pointline.bars.cache import BarCache
    from pointline.bars.request import BarRequest
    from pointline.bars.rules import BarRule
    from pointline.instruments import Instrument
    from pointline.lake.store import Lake, PartitionFile

THRESHOLD_SCHEMA = {
    "day": pl.String(),
    "segment_start": pl.Int64(),
    "segment_end": pl.Int64(),
    "threshold": pl.Float64(),
    "threshold_text": pl.String(),
    "days_used": pl.Int64(),
    "days_missing": pl.String(),
}
_COLUMN = {name: i for i, name in enumerate(BAR_INTS)}
_LIMB = 62
_NAMED_DAYS = 8
_Rule = TypeVar("_Rule", bound="BarRule")


@dataclass(frozen=True)
class AmountBars(TimeBarConfig):
    """Time bars of which only the trades and their base units are added up; their own name keeps them apart in the cache."""


def amount_run(rule: AmountBars, file: PartitionFile, amounts: Amounts) -> Run:
    """The bars of a day whose sums are counts and quantities alone, from two columns; without flagged prints.

    Args:
        rule: parts of the day.
        file: a day of trades of an instrument that is no inverse contract.
        amounts: the scale of the sums.
    """
    ends = np.asarray(rule.closes(file.start_us, file.start_us + DAY_US), dtype=np.int64)
    ints = np.zeros((len(ends), len(BAR_INTS)), dtype=np.int64)
    factor = amounts.factors(file)[1]

    def add(rows: pl.DataFrame) -> None:
        if rows.height:
            edges = np.searchsorted(rows["ts_local_us"].to_numpy(), ends)
            counts = np.diff(edges, prepend=0)
            traded = np.flatnonzero(counts)
            ints[:, _COLUMN["count"]] += counts
            ints[traded, _COLUMN["qty"]] += np.add.reduceat(rows["qty_int"].to_numpy(), edges[traded] - counts[traded]) * factor

    on_book(file, ["ts_local_us", "qty_int"]).sink_batches(add)
    return Run(file.start_us, file.start_us + DAY_US, ends, np.arange(len(ends)), False, (ints,), (amounts,))  # noqa: FBT003


@dataclass(frozen=True)
class TrailingDays:
    """The amounts of an instrument's days, read once each; several threads may ask.

    Attributes:
        rule: what is counted, over how many days and segments.
        lake, instrument: whose trades or candles.
        events: ``"trades"``, or the table of candles.
        include_off_book: whether the prints that are flagged as off-book count.
        cache: sums of time bars that are known already.
        threads: days read side by side; None = one per core.
    """

    rule: AdaptiveBars
    lake: Lake
    instrument: Instrument
    events: str = TRADES
    include_off_book: bool = False
    cache: BarCache | None = None
    threads: int | None = None
    _wrong: dict[int, str] = field(default_factory=dict)
    _amounts: dict[int, tuple[Fraction, ...]] = field(default_factory=dict)
    _files: dict[int, PartitionFile] = field(default_factory=dict)
    _lock: RLock = field(default_factory=RLock)

    def thresholds(self, day_us: int) -> tuple[Decimal, ...]:
        """One threshold per segment of a day.

        Raises:
            ConfigError: fewer of the days before it are whole than the rule requires; or nothing was traded in a segment of these days.
        """
        whole = [day for day, wrong in self.before(day_us).items() if not wrong]
        if len(whole) < self.rule.days_required:
            raise self._too_few(day_us)
        found = tuple(self.rule.threshold_of(amounts) for amounts in zip(*self._of_days(whole), strict=True))
        if not all(found):
            raise self._too_little(day_us, found.index(min(found)))
        return found

    def is_decided(self, day_us: int) -> bool:
        """Whether enough whole days lie before a day."""
        return sum(not wrong for wrong in self.before(day_us).values()) >= self.rule.days_required

    def check(self, days: Sequence[int]) -> None:
        """Refuses days that are not decided.

        Raises:
            ConfigError: one is not.
        """
        undecided = next((day for day in days if not self.is_decided(day)), None)
        if undecided is not None:
            raise self._too_few(undecided)

    def before(self, day_us: int) -> dict[int, str]:
        """By the trailing days of a day, the oldest first, why one does not count; empty text where it does."""
        days = range(day_us - self.rule.trailing_days * DAY_US, day_us, DAY_US)
        with self._lock:
            self._look_at([day for day in days if day not in self._wrong])
            return {day: self._wrong[day] for day in days}

    def read_ahead(self, days: Sequence[int]) -> None:
        """Reads what the trailing days of these days traded, side by side; where one of them is not decided, only which days are whole."""
        length_us = self.rule.trailing_days * DAY_US
        with self._lock:
            self._look_at(sorted({day for one in days for day in range(one - length_us, one, DAY_US)} - self._wrong.keys()))
        if all(self.is_decided(day) for day in days):
            self._of_days(sorted({day for one in days for day, wrong in self.before(one).items() if not wrong}))

    def _look_at(self, days: Sequence[int]) -> None:
        """Whether days are whole; of candles also what they traded."""
        if not days:
            return
        own, rule, span = self.instrument, self.rule, (days[0], days[-1] + DAY_US)
        if self.events == TRADES:
            self._files.update((file.start_us, file) for file in self.lake.files(TRADES, own.exchange, own.exchange_symbol, *span))
            self._wrong.update((day, self._wrong_with(self._files.get(day))) for day in days)
        else:
            self._amounts.update(segment_amounts(self.lake, own, self.events, rule.unit, rule.segments, *span))
            self._wrong.update((day, "" if day in self._amounts else "candles are missing") for day in days)

    def _wrong_with(self, file: PartitionFile | None) -> str:
        if file is None:
            return "no trades"
        share = day_share_by_then(self.lake, self.instrument, file)
        return "" if share >= WHOLE_SHARE else f"covered to {share:.1%}"

    def _of_days(self, days: Sequence[int]) -> list[tuple[Fraction, ...]]:
        """What whole days traded, one amount per segment."""
        with self._lock:
            unknown = [day for day in days if day not in self._amounts]
            if unknown:
                with ThreadPoolExecutor(self.threads or os.cpu_count() or 1, thread_name_prefix="pointline-days") as pool:
                    found = pool.map(lambda day: self._of_file(self._files[day]), unknown)
                    self._amounts.update(zip(unknown, found, strict=True))
            return [self._amounts[day] for day in days]

    def _of_file(self, file: PartitionFile) -> tuple[Fraction, ...]:
        total = self._of_footer(file)
        return self._of_segments(file) if total is None else (total,)

    def _of_footer(self, file: PartitionFile) -> Fraction | None:
        """What a day traded, where the footer's totals tell it; they do not of parts of the day, coins of inverse contracts, quote."""
        own, off_book = self.instrument, file.totals.get("off_book", 0)
        if self.rule.segments > 1 or (self.include_off_book and off_book):
            return None
        if self.rule.unit == "trades":
            return Fraction(file.rows - off_book)
        if self.rule.unit == "base" and own.contract_type != "inverse":
            return Fraction(file.qty) * Fraction(own.size)
        return None

    def _of_segments(self, file: PartitionFile) -> tuple[Fraction, ...]:
        venue = VenueTrades(self.instrument, {file.start_us: file}, self.include_off_book)
        part = file.start_us, file.start_us + DAY_US
        rule = AmountBars(self.rule.segment_us)
        amounts = venue.amounts(rule, [file.start_us])
        if self._needs_prices(file, amounts):
            run = run_or_recall(TimeBarConfig(self.rule.segment_us), venue, (venue,), part, self.cache)
        else:
            known = None if self.cache is None else self.cache.load(rule, venue, (venue,), *part)[0]
            run = amount_run(rule, file, amounts) if known is None else known
            if known is None and self.cache is not None:
                self.cache.store(rule, venue, (venue,), run)
        return tuple(_amount(ints, run.amounts[0], self.rule.unit) for ints in run.sums[0][: len(run.ends)])

    def _needs_prices(self, file: PartitionFile, amounts: Amounts) -> bool:
        """Whether the amounts of parts of a day need more than a sum of quantities that is sure to fit 62 bits."""
        largest = file.totals["max_qty_int"] * file.rows * amounts.factors(file)[1]
        flagged = self.include_off_book and bool(file.totals.get("off_book"))
        return self.rule.unit == "quote" or amounts.inverse or flagged or largest >= 1 << _LIMB

    def _too_few(self, day_us: int) -> ConfigError:
        rule, name = self.rule, self.instrument.name
        wrong = {day: why for day, why in self.before(day_us).items() if why}
        whole = rule.trailing_days - len(wrong)
        first = self._first_decided(day_us)
        works = "no later day of the lake has enough of them" if first is None else f"from {date_text(first)} on it works"
        least = f"least_days={whole} accepts what there is" if whole else "ingest the days before it"
        return ConfigError(
            f"{date_text(day_us)} needs {rule.days_required} whole days among the {rule.trailing_days} before it, and {whole} are whole",
            where=f"{name} {self.events}",
            value=named_days(wrong),
            expected=f"{rule.days_required} whole days before each day; {works}",
            hint=least,
        )

    def _first_decided(self, day_us: int) -> int | None:
        """The first later day that has enough whole days before it, of those that the lake has or that follow its last."""
        own = self.instrument
        files = self.lake.files(self.events, own.exchange, own.exchange_symbol, day_us)
        if not files:
            return None
        last_us = files[-1].start_us + (DAY_US if self.events == TRADES else 31 * DAY_US)
        return next((day for day in range(day_us + DAY_US, last_us + 1, DAY_US) if self.is_decided(day)), None)

    def _too_little(self, day_us: int, segment: int) -> ConfigError:
        minutes = segment * self.rule.segment_us // 60_000_000
        return ConfigError(
            "the threshold is smaller than can be counted: too little was traded for so many bars",
            where=f"{self.instrument.name}, segment from {minutes // 60:02}:{minutes % 60:02} of {date_text(day_us)}",
            value=f"{self.rule.target_bars_per_day} bars a day in {self.rule.segments} segments",
            expected="fewer bars a day, fewer segments, or more trailing days",
        )


def named_days(wrong: dict[int, str]) -> str:
    """Days and what is wrong with them, `_NAMED_DAYS` at most."""
    told = [f"{date_text(day)}: {why}" for day, why in wrong.items()]
    more = len(told) - _NAMED_DAYS
    return "; ".join(told[:_NAMED_DAYS]) + (f"; and {more} more" if more > 0 else "")


def _amount(ints: Ints, amounts: Amounts, unit: str) -> Fraction:
    """The sum of one bar in a unit, exactly."""
    told = {name: int(ints[place]) for name, place in _COLUMN.items()}
    if unit == "trades":
        return Fraction(told["count"])
    if unit == "quote":
        return Fraction((told["quote_high"] << _LIMB) + told["quote_low"], 10**amounts.quote_decimals)
    return Fraction((told["qty"] << FRACTION_BITS) + told["qty_fraction"], 10**amounts.base_decimals << FRACTION_BITS)


def decided(
    rule: _Rule,
    lake: Lake,
    instrument: Instrument,
    *,
    events: str = TRADES,
    include_off_book: bool = False,
    cache: BarCache | None = None,
    threads: int | None = None,
) -> _Rule:
    """The rule with what decides its thresholds; any rule but an adaptive one as it is.

    Args:
        rule: when a bar closes.
        lake, instrument: the trades or candles that drive the bars.
        events: ``"trades"``, or the table of candles.
        include_off_book, cache, threads: as of `pointline.bars.request.BarRequest`.
    """
    if not isinstance(rule, AdaptiveBars) or rule.decider is not None:
        return rule
    return rule.decided_by(TrailingDays(rule, lake, instrument, events, include_off_book, cache, threads))


def with_decided(request: BarRequest) -> BarRequest:
    """The request with rules whose thresholds are decided."""

    def of(rule: _Rule, instrument: Instrument) -> _Rule:
        options = {"events": request.events, "include_off_book": request.include_off_book, "cache": request.cache}
        return decided(rule, request.lake, instrument, threads=request.threads, **options)  # type: ignore[arg-type]

    spot_rule = request.spot_rule if request.spot_rule is None else of(request.spot_rule, request.spot)
    return replace(request, rule=of(request.rule, request.perp), spot_rule=spot_rule)


def threshold_table(rule: BarRule, days: Sequence[int]) -> pl.DataFrame:
    """The thresholds of days, one row per day and segment; no row of a rule whose threshold does not change by the day.

    Args:
        rule: from `decided`.
        days: 00:00 UTC of each.

    Returns:
        ``day``, ``segment_start`` and ``segment_end`` (microseconds UTC), ``threshold`` (as a float) and ``threshold_text`` (exact, both
        in the rule's unit), ``days_used`` (how many whole days decided), ``days_missing`` (which of the trailing days did not count).

    Raises:
        ConfigError: as `TrailingDays.thresholds`.
    """
    if not isinstance(rule, AdaptiveBars) or not isinstance(rule.decider, TrailingDays):
        return pl.DataFrame(schema=THRESHOLD_SCHEMA)
    past = rule.decider
    past.read_ahead(days)
    rows = []
    for day in days:
        missing = [date_text(one) for one, wrong in past.before(day).items() if wrong]
        told = rule.trailing_days - len(missing), ", ".join(missing)
        for segment, threshold in enumerate(past.thresholds(day)):
            start_us = day + segment * rule.segment_us
            rows.append((date_text(day), start_us, start_us + rule.segment_us, float(threshold), f"{threshold:f}", *told))
    return pl.DataFrame(rows, schema=THRESHOLD_SCHEMA, orient="row")


def thresholds_text(table: pl.DataFrame) -> str:
    """A `threshold_table` as text, which `thresholds_of_text` reads back."""
    return json.dumps(table.rows(), separators=(",", ":"))


def thresholds_of_text(text: str) -> pl.DataFrame:
    """The `threshold_table` of a text from `thresholds_text`."""
    return pl.DataFrame([tuple(row) for row in json.loads(text)], schema=THRESHOLD_SCHEMA, orient="row")


def check_decided(rule: BarRule, lake: Lake, instrument: Instrument, days: Sequence[int], *, events: str = TRADES) -> None:
    """Refuses days before which too few days are whole; no amount is read. Rules of fixed thresholds have all of them.

    Args:
        rule, lake, instrument, events: as for `decided`.
        days: 00:00 UTC of each.

    Raises:
        ConfigError: fewer of the days before one of them are whole than the rule requires.
    """
    past = getattr(decided(rule, lake, instrument, events=events), "decider", None)
    if isinstance(past, TrailingDays):
        past.check(days)


def threshold_note(table: pl.DataFrame, unit: str) -> str:
    """A `threshold_table` in words: the span of the thresholds, and the days that fewer than all trailing days decided; empty without rows.

    Args:
        table: the thresholds.
        unit: their unit in words.
    """
    if table.is_empty():
        return ""
    days = table.unique("day", keep="first", maintain_order=True)
    low, high = min(table["threshold"].to_list()), max(table["threshold"].to_list())
    fewer = days.filter(pl.col("days_missing") != "").select("day", "days_used").rows()
    named = ", ".join(f"{day} by {used}" for day, used in fewer[:_NAMED_DAYS]) + (" and others" if len(fewer) > _NAMED_DAYS else "")
    told = f"; {len(fewer)} of them by fewer than all trailing days ({named})" if fewer else ""
    return f"thresholds {low:,.12g} to {high:,.12g} {unit}, of {days.height} days{told}"
