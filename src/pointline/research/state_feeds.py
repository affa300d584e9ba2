"""Which rows of the lake tell the state of a derivative: running ticker, settled funding, open interest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from pointline import schema
from pointline.clock import DAY_US
from pointline.errors import VenueRuleError
from pointline.research.state import STATE_COLUMNS, StateParams, attach_state
from pointline.venue_rules import FAR_FUTURE_US, funding_rules

if TYPE_CHECKING:
    from pointline.instruments import Instrument
    from pointline.lake.store import Lake

# Far enough back that no age limit reaches further, and the same for every window.
LOOK_BACK_US = 2 * DAY_US
FUNDING_LOOK_BACK_US = 8 * DAY_US
_STEP_US = 7 * DAY_US


@dataclass(frozen=True)
class StateFeeds:
    """Rows for `pointline.research.state.attach_state`; None where the lake has none."""

    ticker: pl.DataFrame | None
    funding: pl.DataFrame | None
    open_interest: pl.DataFrame | None


def state_feeds(lake: Lake, perp: Instrument, start_us: int, end_us: int) -> StateFeeds:
    """The state rows of a derivative that bars in ``[start_us, end_us)`` can need.

    The closes of one-minute mark and index candles, known at their ends, are rows of the ticker like any other: what is known last
    counts, whichever feed it came from, so that a feed that begins later changes nothing before it.
    """
    span = (start_us - LOOK_BACK_US, end_us)
    feeds = [
        feed for feed in (_candle_ticker(lake, perp, *span), _rows(lake, schema.DERIVATIVE_TICKER.name, perp, *span)) if feed is not None
    ]
    ticker = pl.concat(feeds, how="diagonal").sort("ts_local_us", maintain_order=True) if feeds else None
    return StateFeeds(
        ticker,
        _rows(lake, schema.FUNDING.name, perp, start_us - FUNDING_LOOK_BACK_US, end_us),
        _rows(lake, schema.OPEN_INTEREST.name, perp, start_us - LOOK_BACK_US, end_us),
    )


def with_state(lake: Lake, perp: Instrument, bars: pl.DataFrame, params: StateParams) -> pl.DataFrame:
    """Bars with the state of their derivative, a week of rows in memory at a time.

    A value's age is told as far as its look-back reaches, two days or eight for payments, and null beyond, so that it does not
    depend on where the window starts.
    """
    if params.default_interval_hours is None:
        params = replace(params, default_interval_hours=_usual_interval_hours(perp))
    week = (pl.col("bucket_start") - int(bars["bucket_start"][0])) // _STEP_US
    parts = []
    for part in bars.with_columns(_week=week).partition_by("_week", maintain_order=True, include_key=False):
        feeds = state_feeds(lake, perp, int(part["bucket_start"][0]), int(part["bucket_end"][-1]))
        known = attach_state(part, ticker=feeds.ticker, funding=feeds.funding, open_interest=feeds.open_interest, params=params)
        parts.append(known.with_columns(_limited_age(name) for name in STATE_COLUMNS if name.endswith("_age_us")))
    return pl.concat(parts)


def _usual_interval_hours(perp: Instrument) -> float | None:
    """The funding interval that the venue's rules name, where all of them name the same; a symbol may have its own."""
    try:
        rules = funding_rules(perp.exchange, 0, FAR_FUTURE_US, base_asset=perp.base_asset)
    except VenueRuleError:
        return None
    hours = {rule.interval_hours for rule in rules}
    return hours.pop() if len(hours) == 1 else None


def _limited_age(name: str) -> pl.Expr:
    settled = name.startswith("funding_settled")
    either = pl.when(pl.col("funding_source") == "settled").then(FUNDING_LOOK_BACK_US).otherwise(LOOK_BACK_US)
    limit = pl.lit(FUNDING_LOOK_BACK_US) if settled else either if name == "funding_age_us" else pl.lit(LOOK_BACK_US)
    return pl.when(pl.col(name) <= limit).then(name).alias(name)


def _rows(lake: Lake, kind: str, perp: Instrument, start_us: int, end_us: int) -> pl.DataFrame | None:
    columns = [name for name in schema.table(kind).columns if name != "source_row"]
    frame = lake.scan(kind, perp.exchange, perp.exchange_symbol, start_us, end_us, columns).collect()
    return None if frame.is_empty() else frame


def _candle_ticker(lake: Lake, perp: Instrument, start_us: int, end_us: int) -> pl.DataFrame | None:
    parts = []
    # index candles are filed under the pair's name, which is the symbol itself for USD-M
    for price, column, symbol in (("mark", "mark_price", perp.exchange_symbol), ("index", "index_price", _index_name(perp))):
        kind = schema.candles("1m", price).name
        frame = lake.scan(kind, perp.exchange, symbol, start_us, end_us, ["ts_local_us", "ts_event_us", "close"]).collect()
        if not frame.is_empty():
            parts.append(frame.select("ts_local_us", "ts_event_us", pl.col("close").cast(pl.Float64).alias(column)))
    if not parts:
        return None
    joined = pl.concat(parts, how="diagonal").sort("ts_local_us", maintain_order=True)
    missing = {
        name: dtype for name, dtype in schema.DERIVATIVE_TICKER.columns.items() if name not in joined.columns and name != "source_row"
    }
    return joined.with_columns(pl.lit(None, dtype=dtype).alias(name) for name, dtype in missing.items())


def _index_name(perp: Instrument) -> str:
    return perp.exchange_symbol.split("_")[0]
