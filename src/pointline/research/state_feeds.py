"""Which rows of the lake tell the state of a derivative: running ticker, settled funding, open interest."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pointline import schema
from pointline.clock import DAY_US
from pointline.errors import VenueRuleError
from pointline.research.known import KnownRows
from pointline.research.state import STATE_COLUMNS, StateParams, in_order, state_beside
from pointline.venue_rules import FAR_FUTURE_US, funding_rules

if TYPE_CHECKING:
    from pathlib import Path

    from pointline.instruments import Instrument
    from pointline.lake.store import Lake, PartitionFile

# Far enough back that no age limit reaches further, and the same for every window.
LOOK_BACK_US = 2 * DAY_US
FUNDING_LOOK_BACK_US = 8 * DAY_US
_STEP_US = 7 * DAY_US
_TICKER = ("ts_local_us", "mark_price", "index_price", "funding_rate", "next_funding_us", "predicted_funding_rate", "open_interest")
_INTEREST = ("ts_local_us", "open_interest")
_FUNDING = ("ts_local_us", "funding_rate", "interval_hours")


class StateReader:
    """The state of one derivative beside bars, for blocks of bars in time order; the rows of a week are in memory at a time.

    A value and its age are told as far as the look-back reaches, two days or eight for payments, and null beyond, so that they depend
    neither on where the window starts nor on how the bars are cut into blocks.

    The closes of one-minute mark and index candles, known at their ends, are rows of the ticker like any other: what is known last
    counts, whichever feed it came from, so that a feed that begins later changes nothing before it.

    Args:
        lake: where the rows are.
        perp: the derivative.
        params: age limits; those beyond the look-back count as the look-back.
    """

    def __init__(self, lake: Lake, perp: Instrument, params: StateParams) -> None:
        self._lake = lake
        self._perp = perp
        self._params = _limited(params, perp)
        self._until_us: int | None = None
        self._ticker = pl.DataFrame()
        self._tables: dict[str, tuple[Path, pl.DataFrame]] = {}

    def attach(self, bars: pl.DataFrame) -> pl.DataFrame:
        """The bars with the `STATE_COLUMNS` beside them."""
        starts = bars["bucket_start"].to_numpy()
        week = (starts - starts[0]) // _STEP_US
        cuts = [*np.flatnonzero(np.diff(week, prepend=-1)).tolist(), bars.height]
        return pl.concat([self._attach(bars.slice(first, end - first)) for first, end in pairwise(cuts)])

    def _attach(self, bars: pl.DataFrame) -> pl.DataFrame:
        start_us, end_us = int(bars["bucket_start"][0]), int(bars["bucket_end"][-1])
        ticker = self._ticker_rows(start_us, end_us)
        funding = self._rows(schema.FUNDING.name, self._perp.exchange_symbol, _FUNDING, start_us - FUNDING_LOOK_BACK_US, end_us)
        interest = self._rows(schema.OPEN_INTEREST.name, self._perp.exchange_symbol, _INTEREST, start_us - LOOK_BACK_US, end_us)
        known = state_beside(bars, ticker, funding, KnownRows(interest), self._params)
        return known.with_columns(_limited_age(name) for name in STATE_COLUMNS if name.endswith("_age_us"))

    def _ticker_rows(self, start_us: int, end_us: int) -> KnownRows:
        """The ticker before `end_us`: what was known last before the block, and the rows since then."""
        if self._until_us is None or start_us < self._until_us or start_us - self._until_us > LOOK_BACK_US:
            self._until_us, self._ticker = start_us - LOOK_BACK_US, pl.DataFrame()
        feeds = [self._ticker, *self._candles(self._until_us, end_us)]
        feeds.append(self._rows(schema.DERIVATIVE_TICKER.name, self._perp.exchange_symbol, _TICKER, self._until_us, end_us))
        rows = KnownRows(in_order(pl.concat([feed for feed in feeds if feed.width], how="diagonal")))
        self._until_us, self._ticker = end_us, rows.condensed()
        return rows

    def _candles(self, start_us: int, end_us: int) -> list[pl.DataFrame]:
        found = []
        symbol = self._perp.exchange_symbol
        # index candles are filed under the pair's name, which is the symbol itself for USD-M
        for price, column, name in (("mark", "mark_price", symbol), ("index", "index_price", symbol.split("_")[0])):
            rows = self._rows(schema.candles("1m", price).name, name, ("ts_local_us", "close"), start_us, end_us)
            if rows.height:
                found.append(rows.select("ts_local_us", pl.col("close").cast(pl.Float64).alias(column)))
        return found

    def _rows(self, kind: str, symbol: str, columns: tuple[str, ...], start_us: int, end_us: int) -> pl.DataFrame:
        """Rows with ``start_us <= ts_local_us < end_us``."""
        parts = []
        for file in self._lake.files(kind, self._perp.exchange, symbol, start_us, end_us):
            rows = self._file(kind, file, columns)
            first, end = np.searchsorted(rows["ts_local_us"].to_numpy(), [start_us, end_us]).tolist()
            parts.append(rows.slice(first, end - first))
        stored = schema.table(kind).columns
        return pl.concat(parts) if parts else pl.DataFrame(schema={name: stored[name] for name in columns})

    def _file(self, kind: str, file: PartitionFile, columns: tuple[str, ...]) -> pl.DataFrame:
        """A partition's rows in order; the last one of each table is kept, because the next block often begins in it."""
        known = self._tables.get(kind)
        if known is None or known[0] != file.path:
            rows = pl.scan_parquet(file.path, hive_partitioning=False).select(columns).collect()
            known = self._tables[kind] = (file.path, in_order(rows))
        return known[1]


def _limited(params: StateParams, perp: Instrument) -> StateParams:
    """The limits as far as the look-back reaches, and the venue's usual funding interval where none is given."""
    settled = params.max_settled_age_us
    hours = params.default_interval_hours
    return replace(
        params,
        max_ticker_age_us=min(params.max_ticker_age_us, LOOK_BACK_US),
        max_settled_age_us=None if settled is None else min(settled, FUNDING_LOOK_BACK_US),
        max_open_interest_age_us=min(params.max_open_interest_age_us, LOOK_BACK_US),
        default_interval_hours=_usual_interval_hours(perp) if hours is None else hours,
    )


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
