"""What the lake tells for a forecast of funding: the payments, the premium, the running estimate and open interest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import polars as pl

from pointline import clock, schema
from pointline.curves.closes import closes
from pointline.errors import ConfigError, NoDataError
from pointline.evaluation.premium import HOURS_OF_RATE, PER_BPS
from pointline.state.attach import StateParams
from pointline.state.feeds import StateReader
from pointline.venues.premium import PremiumSlots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pointline.curves.grid import CandleGrid
    from pointline.instruments import Pair
    from pointline.lake.store import Lake

PremiumSource = Literal["premium_index", "mark_index", "basis", "cross_quote_basis"]
WantedPremium = Literal["auto", "premium_index", "mark_index", "basis"]

_LATEST_RECEIPT_US = clock.DAY_US
_ENOUGH = 0.9  # a source that tells so much of the window is taken before the next is looked at
_USUAL_HOURS = (1.0, 2.0, 4.0, 8.0)
_STEP_US = clock.HOUR_US
_INTEREST_US = 8 * clock.HOUR_US


def payments(lake: Lake, pair: Pair, window_us: tuple[int, int], usual_hours: float) -> tuple[pl.DataFrame, list[str]]:
    """The settlements of a perpetual in a window, as `pointline.evaluation.settlements.SettledRates.of` takes them, and notes on them.

    Raises:
        ConfigError: the instrument pays no funding.
        NoDataError: the lake has no funding of it in the window.
    """
    perp, (start_us, end_us) = pair.perp, window_us
    if perp.asset_type != "perpetual":
        raise ConfigError(f"{perp.name} pays no funding", value=perp.asset_type, expected="a perpetual")
    columns = ["ts_local_us", "funding_us", "funding_rate", "interval_hours"]
    table = schema.FUNDING.name
    rows = lake.scan(table, perp.exchange, perp.exchange_symbol, start_us, end_us + _LATEST_RECEIPT_US, columns)
    inside = (pl.col("funding_us") >= start_us) & (pl.col("funding_us") < end_us)
    held = rows.filter(inside).sort("funding_us").collect()
    found = held.filter(pl.col("funding_rate").is_finite())
    if found.is_empty():
        raise NoDataError(
            f"the lake has no settled funding of {perp.name} in this window",
            value=f"{clock.time_text(start_us)} to {clock.time_text(end_us)} (exclusive)",
            expected="the exchange's archive of funding rates, of Binance Vision the dataset fundingRate",
            hint="ingest it; `pointline catalog` lists what the lake holds",
        )
    told = pl.when(pl.col("interval_hours").is_finite() & (pl.col("interval_hours") > 0)).then("interval_hours")
    since = pl.col("funding_us").diff() / clock.HOUR_US
    hours = pl.coalesce(told, pl.when(since.is_in(_USUAL_HOURS)).then(since), pl.lit(usual_hours))
    frame = found.with_columns(told=told, hours=hours, since=since)
    notes = []
    if held.height > found.height:
        notes.append(f"{held.height - found.height:,} settlements without a rate are left out")
    if untold := frame["told"].null_count():
        notes.append(
            f"the interval of {untold:,} settlements is taken from the settlement before, else {usual_hours:g} h: their rows do not say it"
        )
    if sooner := frame.filter(pl.col("since") < pl.col("hours")).height:
        notes.append(f"{sooner:,} of the settlements came sooner after the one before than their interval says")
    known_us = pl.max_horizontal("ts_local_us", "funding_us").cum_max()
    return frame.select("funding_us", known_us=known_us, rate="funding_rate", interval_hours="hours"), notes


@dataclass(frozen=True)
class PremiumRead:
    """The premium as the lake tells it.

    Attributes:
        slots: its values.
        source: what it was computed from.
        notes: what a reader of the result should know of it.
    """

    slots: PremiumSlots
    source: PremiumSource
    notes: tuple[str, ...]


def premium(lake: Lake, pair: Pair, grid: CandleGrid, wanted: str) -> PremiumRead:
    """The premium at the end of each slot of a grid.

    ``premium_index``: closes of the exchange's premium index candles. ``mark_index``: (mark - index) / index, each the last one known
    strictly before the end and not older than a minute. ``basis``: (perp - spot) / spot of the last trades, from candles or from trades
    not older than a minute. ``auto`` takes the first of them that tells nine tenths of the slots, else the one that tells most.

    Raises:
        ConfigError: there is no such source.
        NoDataError: the source tells nothing in the window.
    """
    if wanted not in get_args(WantedPremium):
        raise ConfigError("there is no such premium", where="premium", value=wanted, expected=", ".join(get_args(WantedPremium)))
    readers: dict[str, Callable[[Lake, Pair, CandleGrid], pl.DataFrame]] = {
        "premium_index": _premium_index,
        "mark_index": _mark_index,
        "basis": _basis,
    }
    found: dict[str, pl.DataFrame] = {}
    for name, reader in readers.items() if wanted == "auto" else [(wanted, readers[wanted])]:
        found[name] = reader(lake, pair, grid).filter(pl.col("premium").is_finite())
        if found[name].height >= _ENOUGH * grid.count:
            break
    name = max(found, key=lambda one: found[one].height)
    values = found[name]
    if values.is_empty():
        raise NoDataError(
            f"the lake has no premium of {pair.perp.name} in this window",
            value=f"{clock.time_text(grid.start_us)} to {clock.time_text(grid.end_us)} (exclusive), from {', '.join(found)}",
            expected="candles or trades of both sides, mark and index prices, or premium index candles",
            hint="ingest one of them; `pointline catalog` lists what the lake holds",
        )
    late = values["known_us"] - values["end_us"]
    delay_us = int(late.filter(late < grid.duration_us).max() or 0)  # type: ignore[arg-type] # integers
    step, delay = clock.duration_text(grid.duration_us), clock.duration_text(delay_us)
    slots = PremiumSlots.of(values.filter(late <= delay_us).select("end_us", "premium"), step=step, delay=delay)
    notes = [f"values of the premium are known up to {delay} after their ends, and are used from then on"] if delay_us else []
    if name == "basis" and not pair.quote_match:
        perp, spot = pair.perp, pair.spot
        quotes = f"{perp.name} is quoted in {perp.quote_asset}, {spot.name} in {spot.quote_asset}"
        notes.append(f"{quotes}: the premium also contains the rate between them")
        return PremiumRead(slots, "cross_quote_basis", tuple(notes))
    return PremiumRead(slots, name, tuple(notes))  # type: ignore[arg-type] # a key of the readers


def _premium_index(lake: Lake, pair: Pair, grid: CandleGrid) -> pl.DataFrame:
    perp = pair.perp
    parts = [pl.DataFrame(schema={"end_us": pl.Int64(), "known_us": pl.Int64(), "premium": pl.Float64()})]
    for kind in lake.kinds():
        price, found, interval = kind.partition("_candles_")
        if price != "premium" or not found:
            continue
        try:
            length_us = clock.to_duration_us(interval)
        except ConfigError:  # months
            continue
        if grid.duration_us % length_us:
            continue
        end_us = pl.col("start_us") + length_us
        rows = lake.scan(
            kind, perp.exchange, perp.exchange_symbol, grid.start_us, grid.end_us + _LATEST_RECEIPT_US, ["ts_local_us", "start_us", "close"]
        )
        inside = (end_us % grid.duration_us == 0) & (end_us > grid.start_us) & (end_us <= grid.end_us)
        parts.append(
            rows.filter(inside)
            .select(end_us=end_us, known_us=pl.max_horizontal("ts_local_us", end_us), premium=pl.col("close").cast(pl.Float64))
            .collect()
        )
    return pl.concat(parts).unique("end_us", keep="first", maintain_order=True).sort("end_us")


def _mark_index(lake: Lake, pair: Pair, grid: CandleGrid) -> pl.DataFrame:
    ends = grid.starts + grid.duration_us
    bars = pl.DataFrame({"bucket_start": grid.starts, "bucket_end": ends})
    nothing = pl.DataFrame(schema={"end_us": pl.Int64(), "known_us": pl.Int64(), "premium": pl.Float64()})
    if not _holds(lake, pair, (schema.DERIVATIVE_TICKER.name, schema.candles("1m", "index").name), grid.start_us, grid.end_us):
        return nothing
    state = StateReader(lake, pair.perp, StateParams()).attach(bars)
    premium_of = (pl.col("mark_close") - pl.col("index_close")) / pl.col("index_close")
    return state.select(end_us="bucket_end", known_us="bucket_end", premium=premium_of)


def _basis(lake: Lake, pair: Pair, grid: CandleGrid) -> pl.DataFrame:
    perp, spot = (
        closes(lake, one.exchange, one.exchange_symbol, grid).select("start_us", "close", "known_us") for one in (pair.perp, pair.spot)
    )
    both = perp.join(spot, on="start_us", suffix="_spot", maintain_order="left")
    spot_price = pl.col("close_spot") * pair.price_factor
    known_us = pl.max_horizontal("known_us", "known_us_spot")
    return both.select(end_us=pl.col("start_us") + grid.duration_us, known_us=known_us, premium=(pl.col("close") - spot_price) / spot_price)


def extras(lake: Lake, pair: Pair, settlements: pl.DataFrame, leads_us: Iterable[int]) -> pl.DataFrame | None:
    """The change of the running estimate and of open interest before each forecast; None where the lake has neither.

    Returns:
        ``at_us``; ``funding_step_bps``, the change of the estimate over the hour before, basis points per 8 hours;
        ``oi_change``, the log change of open interest over the 8 hours before. Known strictly before ``at_us``, null where not;
        a column that is null throughout is left out.
    """
    funding_us = settlements["funding_us"]
    first, last = int(funding_us[0]), int(funding_us[-1])
    if not _holds(lake, pair, (schema.DERIVATIVE_TICKER.name, schema.OPEN_INTEREST.name), first - clock.DAY_US, last):
        return None
    moments = pl.concat([(funding_us - lead).alias("at_us") for lead in leads_us]).unique().sort()

    def state(back_us: int) -> pl.DataFrame:
        bars = pl.DataFrame({"bucket_start": moments - back_us, "bucket_end": moments})
        return StateReader(lake, pair.perp, StateParams()).attach(bars)

    per_8h = HOURS_OF_RATE / pl.col("funding_interval_hours") * PER_BPS
    step = pl.when(pl.col("funding_source") == "estimate").then((pl.col("funding_close") - pl.col("funding_open")) * per_8h)
    change = pl.when((pl.col("oi_close") > 0) & (pl.col("oi_open") > 0)).then((pl.col("oi_close") / pl.col("oi_open")).log())
    told = state(_STEP_US).select(at_us="bucket_end", funding_step_bps=step)
    both = told.with_columns(state(_INTEREST_US).select(oi_change=change)).with_columns(pl.col(pl.Float64).fill_nan(None))
    return both.select("at_us", *(name for name in both.columns[1:] if both[name].null_count() < both.height))


def _holds(lake: Lake, pair: Pair, kinds: Iterable[str], start_us: int, end_us: int) -> bool:
    held = set(lake.kinds())
    names = {pair.perp.exchange_symbol, pair.perp.exchange_symbol.split("_")[0]}
    return any(kind in held and bool(lake.files(kind, pair.perp.exchange, name, start_us, end_us)) for kind in kinds for name in names)
