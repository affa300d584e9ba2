"""Chooses a threshold when the user leaves it to us, and says how."""

from __future__ import annotations

import logging
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from pointline.bars.candle_events import daily_amounts
from pointline.bars.given import GivenBars
from pointline.bars.request import TRADES
from pointline.bars.rules import BAR_KINDS, BarRule
from pointline.bars.stretches import venue_of
from pointline.clock import DAY_US, date_text, day_start
from pointline.errors import ConfigError
from pointline.lake.coverage import WHOLE_SHARE
from pointline.lake.window_coverage import day_share

if TYPE_CHECKING:
    from pointline.bars.rules import Unit
    from pointline.instruments import Instrument
    from pointline.lake.store import Lake, PartitionFile

_log = logging.getLogger("pointline.bars")
_DAYS_BEFORE = 30


def resolve_rule(
    bars: BarRule | str | pl.DataFrame, lake: Lake, perp: Instrument, start_us: int, end_us: int, *, events: str = TRADES
) -> tuple[BarRule, str]:
    """The bar rule, and how it was chosen where the user left it open.

    Args:
        bars: a rule, a spine (see `pointline.bars.given.GivenBars`), ``"auto"`` (volume bars), or ``"auto:KIND"`` with a kind of
            `pointline.bars.rules.BAR_KINDS`.
        lake, perp, start_us, end_us: whose daily amounts the choice is made from. The newest day before the window that is covered
            whole decides, of the last 30, so that the choice knows nothing of the window; else the first whole day of the window does,
            and the note says so.
        events: trades, or the table of candles that bars are made of.

    Raises:
        ConfigError: `bars` is no rule and names no kind, or none of these days is covered whole: a part of a day does not tell what a
            day trades.
    """
    if isinstance(bars, BarRule):
        return bars, ""
    if isinstance(bars, pl.DataFrame):
        return GivenBars(bars), ""
    auto, _, name = str(bars).partition(":")
    kind = BAR_KINDS.get(name or "volume")
    if auto != "auto" or kind is None:
        raise ConfigError(
            "bars must be a rule, a spine or the word auto",
            value=bars,
            expected=f"a config such as VolumeBarConfig(100.0), 'auto', or 'auto:' and one of {', '.join(BAR_KINDS)}",
            hint="from pointline.research.spines import VolumeBarConfig",
        )
    if kind.daily_share is None:
        return kind.automatic()
    reference = _reference_day if events == TRADES else partial(_reference_candles, events=events)
    day_us, where, daily = reference(lake, perp, start_us, end_us, kind.unit)
    size = round_to_125(daily * kind.daily_share)
    if kind.unit == "trades":
        size = max(size, Decimal(1))
    percent = f"{float(size / daily) * 100:.2g}"
    unit = {"base": perp.base_asset, "quote": perp.quote_asset, "trades": "trades"}[kind.unit]
    note = f"auto: {size:f} {unit} = {percent} % of the perp's {daily:,.0f} {unit} on {date_text(day_us)}, {where}"
    _log.info("threshold %s", note)
    return kind.of(size), note


def _reference_day(lake: Lake, perp: Instrument, start_us: int, end_us: int, unit: Unit) -> tuple[int, str, Decimal]:
    """A whole day, where it lies, and what it traded: before the window the newest first, then inside it the oldest first."""
    first_us = day_start(start_us)
    inside = venue_of(lake, perp, start_us, end_us).files
    before = lake.files(TRADES, perp.exchange, perp.exchange_symbol, first_us - _DAYS_BEFORE * DAY_US, first_us)
    for day in (*reversed(before), *(inside[day_us] for day_us in sorted(inside))):
        if day_share(lake, perp, day) >= WHOLE_SHARE:
            return day.start_us, _where(day.start_us, first_us), daily_amount(day, perp, unit)
    raise _no_whole_day(perp, TRADES, f"{len(before)} days before the window and {len(inside)} in it, each a part of a day")


def _reference_candles(lake: Lake, perp: Instrument, start_us: int, end_us: int, unit: Unit, *, events: str) -> tuple[int, str, Decimal]:
    """As `_reference_day`, of a day of which no candle is missing."""
    first_us, last_us = day_start(start_us), day_start(end_us - 1) + DAY_US
    if unit not in {"base", "quote"}:
        raise ConfigError(
            "these bars count single trades", where="bars", value=f"auto, in {unit}", expected="auto, auto:dollar or auto:time"
        )
    days = daily_amounts(lake, perp, events, first_us - _DAYS_BEFORE * DAY_US, last_us).drop_nulls(unit).filter(pl.col(unit) > 0)
    before, inside = days.filter(pl.col("day") < first_us).reverse(), days.filter(pl.col("day") >= first_us)
    chosen = pl.concat([before, inside]).head(1)
    if chosen.is_empty():
        raise _no_whole_day(perp, events, "candles are missing on each of them, or have no such volume")
    day_us = chosen["day"][0]
    return day_us, _where(day_us, first_us), Decimal(str(chosen[unit][0]))


def _where(day_us: int, first_us: int) -> str:
    if day_us < first_us:
        return "the day before the window" if day_us == first_us - DAY_US else "the last whole day before the window"
    return "the window's first day" if day_us == first_us else "the window's first whole day"


def _no_whole_day(perp: Instrument, events: str, value: str) -> ConfigError:
    return ConfigError(
        "no threshold can be chosen: no day in the window or shortly before it is covered whole",
        value=value,
        expected=f"a day that {perp.name}'s {events} cover to {WHOLE_SHARE:.1%} or more",
        hint="give a threshold (--threshold 100, VolumeBarConfig(100.0)) or ingest a whole day; `pointline catalog` shows what is missing",
    )


def daily_amount(day: PartitionFile, perp: Instrument, unit: Unit) -> Decimal:
    """What was traded in a day's partition, in a unit that bars are counted in; without flagged prints."""
    if unit == "trades":
        return Decimal(day.rows - day.totals.get("off_book", 0))
    price, qty = day.last_price, day.qty * perp.size
    if perp.contract_type == "inverse":
        quote = qty
        return quote if unit == "quote" else quote / price
    return qty * price if unit == "quote" else qty


def round_to_125(value: Decimal) -> Decimal:
    """The number 1, 2 or 5 times a power of ten that is nearest in ratio.

    >>> round_to_125(Decimal("731"))
    Decimal('1000')
    """
    exponent = value.adjusted()
    candidates = [Decimal(digit).scaleb(exponent) for digit in (1, 2, 5, 10)]
    nearest = min(candidates, key=lambda c: max(c / value, value / c))
    return Decimal(f"{nearest.normalize():f}")
