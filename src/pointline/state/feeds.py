"""Which rows of the lake tell the state of a derivative: running ticker, mark and index candles, payments, open interest."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pointline import schema
from pointline.clock import DAY_US
from pointline.errors import VenueRuleError
from pointline.lake.rows import in_size
from pointline.state.attach import (
    INTEREST,
    INTEREST_COLUMNS,
    PAYMENT_COLUMNS,
    PAYMENTS,
    TICKER,
    TICKER_COLUMNS,
    Edges,
    StateParams,
    check_bars,
    readable,
    state_beside,
)
from pointline.state.known import RATES, SETTLEMENT, Known, Memory, Rows
from pointline.venues.dated import FAR_FUTURE_US
from pointline.venues.funding import funding_rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pointline.instruments import Instrument
    from pointline.lake.store import Lake
    from pointline.state.known import Ints
    from pointline.venues.files import Venues

# Far enough back that no usual age limit reaches further, and the same for every window.
LOOK_BACK_US = 2 * DAY_US
FUNDING_LOOK_BACK_US = 8 * DAY_US
_FILES_AT_ONCE = 4
_MONTH_US = 31 * DAY_US


class StateReader:
    """The state of one derivative beside bars, for blocks of bars in time order; a few days of rows are in memory at a time.

    A value, its age and the settlement of which it spoke are known as far as the look-back reaches, two days or eight for payments, and
    count as never known beyond, so that they depend neither on where the window starts nor on how the bars are cut into blocks. An
    age limit beyond the look-back is cut to it.

    The closes of one-minute mark and index candles, known at their ends, are rows of the ticker like any other: what is known last
    counts, whichever feed it came from (the ticker's where both came at once), so that a feed that begins later changes nothing before it.

    Open interest of linear contracts is in base units. A dated future pays no funding: all columns of it are null.

    Args:
        lake: where the rows are.
        perp: the derivative.
        params: age limits; without an interval, the venue's usual one.

    Raises:
        ConfigError: a linear contract's size is not known.
    """

    def __init__(self, lake: Lake, perp: Instrument, params: StateParams) -> None:
        self._pays_funding = perp.asset_type == "perpetual"
        hours = params.default_interval_hours
        hours = _usual_interval_hours(perp, lake.venues) if hours is None else hours
        self._params = replace(params, default_interval_hours=hours if self._pays_funding else None)
        size = perp.size if perp.contract_type == "linear" else Decimal(1)
        symbol, candle = perp.exchange_symbol, dict[str, pl.DataType](close=pl.Float64())

        def feed(kind: str, columns: Sequence[str], look_back_us: int = LOOK_BACK_US) -> _StateSource:
            types = schema.table(kind).columns
            return _StateSource(lake, perp.exchange, symbol, kind, {name: types[name] for name in columns}, look_back_us, size)

        self._feeds = {
            TICKER: feed(TICKER, TICKER_COLUMNS),
            PAYMENTS: feed(PAYMENTS, PAYMENT_COLUMNS, FUNDING_LOOK_BACK_US),
            INTEREST: feed(INTEREST, INTEREST_COLUMNS),
        }
        # index candles are filed under the pair's name, which is the symbol itself for USD-M
        names = {"mark": symbol, "index": symbol.split("_")[0]}
        self._candles = {
            f"{price}_price": _StateSource(lake, perp.exchange, name, schema.candles("1m", price).name, candle, LOOK_BACK_US)
            for price, name in names.items()
        }

    def read_ahead(self, us: int) -> None:
        """Reads what bars from an instant on need first, for a caller that waits for them; `attach` gives the same with and without."""
        for feed in (*self._feeds.values(), *self._candles.values()):
            feed.at(np.array([us], dtype=np.int64))

    def attach(self, bars: pl.DataFrame) -> pl.DataFrame:
        """The bars with the `STATE_COLUMNS` beside them.

        Raises:
            ConfigError: the bars have no edges, or are not in order.
        """
        check_bars(bars)
        edges = Edges.of(bars)
        told = {name: feed.at(edges.instants) for name, feed in self._feeds.items()}
        for column, candles in self._candles.items():
            told[TICKER][column] = candles.at(edges.instants)["close"].or_later(told[TICKER][column])
        if not self._pays_funding:
            nothing, no_integer = (Known.nothing(dtype, len(edges.instants)) for dtype in (pl.Float64(), pl.Int64()))
            told[TICKER] |= {**dict.fromkeys(RATES, nothing), SETTLEMENT: no_integer}
            told[PAYMENTS] = dict.fromkeys(PAYMENT_COLUMNS, nothing)
        known = state_beside(bars, edges, told, self._params)
        # where there is no rate, no age is told beyond the look-back of estimates
        told_age = (pl.col("funding_age_us") <= LOOK_BACK_US) | (pl.col("funding_source") == "settled")
        return known.with_columns(pl.when(told_age).then("funding_age_us").alias("funding_age_us"))


class _StateSource:
    """The last known values of one table's columns at instants in time order; each file is read once, unless time runs back.

    The instants are answered file by file: by the rows of the file that holds the moment before the instant, and by a memory of what all
    files before it told. While time runs on, a file that is left goes into the memory. Where it starts, jumps or runs back, the memory is
    made anew from the files of the look-back, and of them only the columns are read that the file's own rows leave open.

    Args:
        lake, exchange, symbol, kind: which files.
        columns: names and types; a decimal is read as a float.
        look_back_us: what is older was never known.
        size: base units per contract of open interest.
    """

    def __init__(
        self,
        lake: Lake,
        exchange: str,
        symbol: str,
        kind: str,
        columns: dict[str, pl.DataType],
        look_back_us: int,
        size: Decimal = Decimal(1),
    ) -> None:
        self._files = lake.files(kind, exchange, symbol)
        self._starts = np.array([file.start_us for file in self._files], dtype=np.int64)
        self._span_us = _MONTH_US if schema.table(kind).monthly else DAY_US
        self._columns = columns
        self._look_back_us = look_back_us
        self._size = size
        self._memory = Memory(columns)
        self._decoded: dict[int, Rows] = {}
        self._place: int | None = None
        self._from_us = 0

    def at(self, instants: Ints) -> dict[str, Known]:
        """The columns at the instants."""
        if not len(instants) or not len(self._starts):
            return {name: Known.nothing(dtype, len(instants)) for name, dtype in self._columns.items()}
        places = np.searchsorted(self._starts, instants, side="left") - 1
        cuts = [*np.flatnonzero(np.diff(places, prepend=-2)).tolist(), len(instants)]
        needed = places[cuts[:-1]].tolist()
        parts = []
        for k, place in enumerate(needed):
            self._go_to(needed[k : k + _FILES_AT_ONCE], int(instants[cuts[k]]))
            parts.append(self._memory.at(self._rows(place), instants[cuts[k] : cuts[k + 1]]))
        joined = {name: Known.joined([part[name] for part in parts]) for name in self._columns}
        return {name: known.not_older(instants, self._look_back_us) for name, known in joined.items()}

    def _go_to(self, places: list[int], instant: int) -> None:
        """Makes the memory tell of all rows before the first of the files, as far as instants from `instant` on can need them."""
        place = places[0]
        if place == self._place and instant >= self._from_us:
            return
        follows = self._place is not None and place == self._place + 1
        if follows:
            self._memory.add(self._rows(place - 1))
        self._read(places)
        if not follows:
            self._memory, self._from_us = self._look_back(place, instant), instant
        self._place = place

    def _look_back(self, place: int, instant: int) -> Memory:
        """What the files before `place` told, of the columns that its own rows before the instant leave open."""
        memory = Memory(self._columns)
        columns = self._left_open(self._rows(place), instant)
        for earlier in self._within_reach(place, instant) if columns else ():
            memory.add(Rows(self._scan(earlier, columns).collect()))
        return memory

    def _left_open(self, rows: Rows, instant: int) -> list[str]:
        """The columns of which no row before the instant tells; the settlement too where a rate stands in front of the first one told."""
        last = rows.places(np.array([instant], dtype=np.int64))
        tellers = {name: rows.last(name, last) for name in self._columns}
        open_columns = [name for name, teller in tellers.items() if teller[0] < 0]
        if SETTLEMENT in self._columns and SETTLEMENT not in open_columns:
            givers = [rows.last(SETTLEMENT, tellers[rate]) for rate in RATES]
            open_columns += [SETTLEMENT] if any(giver[0] < 0 for giver in givers) else []
        return open_columns

    def _within_reach(self, place: int, instant: int) -> list[int]:
        """The files before `place` that can hold rows of the look-back, in time order."""
        oldest_us = instant - self._look_back_us
        return [earlier for earlier in range(place) if self._starts[earlier] + self._span_us > oldest_us]

    def _rows(self, place: int) -> Rows:
        """The rows of the file that was gone to; none at -1."""
        return self._decoded[place] if place >= 0 else Rows(pl.DataFrame(schema={"ts_local_us": pl.Int64(), **self._columns}))

    def _read(self, places: list[int]) -> None:
        """Decodes files side by side where the first is not there yet, and drops those before it."""
        kept = {place: rows for place, rows in self._decoded.items() if place in places}
        missing = [] if places[0] in kept else [place for place in places if place >= 0]
        frames = pl.collect_all([self._scan(place, self._columns) for place in missing])
        self._decoded = kept | {place: Rows(frame) for place, frame in zip(missing, frames, strict=True)}

    def _scan(self, place: int, columns: Iterable[str]) -> pl.LazyFrame:
        rows = self._files[place].scan().select("ts_local_us", *map(readable, columns))
        if self._size == 1 or "open_interest" not in columns:
            return rows
        return rows.with_columns(in_size("open_interest", self._size).alias("open_interest"))


def _usual_interval_hours(perp: Instrument, known: Venues) -> float | None:
    """The funding interval that the venue's rules name, where all of them name the same; a symbol may have its own."""
    try:
        rules = funding_rules(perp.exchange, 0, FAR_FUTURE_US, base_asset=perp.base_asset, quote_asset=perp.quote_asset, known=known)
    except VenueRuleError:
        return None
    hours = {rule.interval_hours for rule in rules}
    return hours.pop() if len(hours) == 1 else None
