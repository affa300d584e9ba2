"""Chooses a threshold when the user leaves it to us, and says how."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl

from pointline.bars.given import GivenBars
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


def resolve_rule(bars: BarRule | str | pl.DataFrame, lake: Lake, perp: Instrument, start_us: int, end_us: int) -> tuple[BarRule, str]:
    """The bar rule, and how it was chosen where the user left it open.

    Args:
        bars: a rule, a spine (see `pointline.bars.given.GivenBars`), ``"auto"`` (volume bars), or ``"auto:KIND"`` with a kind of
            `pointline.bars.rules.BAR_KINDS`.
        lake, perp, start_us, end_us: whose daily amounts the choice is made from. The newest day before the window that is covered
            whole decides, of the last 30, so that the choice knows nothing of the window; else the first whole day of the window does,
            and the note says so.

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
    day, where = _reference_day(lake, perp, start_us, end_us)
    daily = daily_amount(day, perp, kind.unit)
    size = round_to_125(daily * kind.daily_share)
    if kind.unit == "trades":
        size = max(size, Decimal(1))
    percent = f"{float(size / daily) * 100:.2g}"
    unit = {"base": perp.base_asset, "quote": perp.quote_asset, "trades": "trades"}[kind.unit]
    note = f"auto: {size:f} {unit} = {percent} % of the perp's {daily:,.0f} {unit} on {date_text(day.start_us)}, {where}"
    _log.info("threshold %s", note)
    return kind.of(size), note


def _reference_day(lake: Lake, perp: Instrument, start_us: int, end_us: int) -> tuple[PartitionFile, str]:
    """A whole day and where it lies: before the window the newest first, then inside it the oldest first."""
    first_us = day_start(start_us)
    inside = venue_of(lake, perp, start_us, end_us).files
    before = lake.files("trades", perp.exchange, perp.exchange_symbol, first_us - _DAYS_BEFORE * DAY_US, first_us)
    for day in (*reversed(before), *(inside[day_us] for day_us in sorted(inside))):
        if day_share(lake, perp, day) >= WHOLE_SHARE:
            if day.start_us < first_us:
                return day, "the day before the window" if day.start_us == first_us - DAY_US else "the last whole day before the window"
            return day, "the window's first day" if day.start_us == first_us else "the window's first whole day"
    raise ConfigError(
        "no threshold can be chosen: no day in the window or shortly before it is covered whole",
        value=f"{len(before)} days before the window and {len(inside)} in it, each a part of a day",
        expected=f"a day that {perp.name}'s trades cover to {WHOLE_SHARE:.1%} or more",
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
