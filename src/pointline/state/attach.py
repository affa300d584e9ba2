"""State of the derivative at each bar: mark, index, funding and open interest, read as-of with their ages.

Clock: ``ts_local_us``. A value belongs to a bar when it was known strictly before ``bucket_end``; the value at the bar's opening is
the one known strictly before ``bucket_start``. Each column is as-of its own last non-null value, has its own age, and is null once that
age passes a limit. The age itself stays, so that a null can be explained.

Funding is three things. The running *estimate* speaks of one coming settlement: once that settlement has passed, the estimate is not
carried into the next period. The *settled* rate is the last payment, known from the ``ts_local_us`` of its row on. ``funding_close`` is
the estimate where one is known and else the last settled rate; ``funding_source`` says which. A settled rate keeps the interval of its own
row, as long as it is shown; an estimate's row has none, so it takes the interval in force, that of the last payment or the default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from pointline.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US, DurationField, to_duration_us
from pointline.errors import ConfigError
from pointline.schema import DERIVATIVE_TICKER, FUNDING, OPEN_INTEREST
from pointline.state.known import NO_AGE_US, SETTLEMENT, Memory, Rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from pointline.schema import Table
    from pointline.state.known import Ints, Known, Values

    Floats = NDArray[np.float64]
    Told = Mapping[str, Mapping[str, Known]]  # by feed and column, at the instants of some edges

STATE_COLUMNS: dict[str, pl.DataType] = {
    "mark_close": pl.Float64(),
    "mark_age_us": pl.Int64(),
    "index_close": pl.Float64(),
    "index_age_us": pl.Int64(),
    "funding_close": pl.Float64(),  # a fraction per funding interval
    "funding_open": pl.Float64(),  # the same kind of rate (funding_source) per the same interval as it stood at bucket_start, else null
    "funding_age_us": pl.Int64(),
    "funding_source": pl.String(),  # "estimate", "settled" or null
    "funding_settled": pl.Float64(),
    "funding_settled_age_us": pl.Int64(),
    "funding_interval_hours": pl.Float64(),
    "funding_interval_source": pl.String(),  # "payment" (a payment's row: of a settled rate its own), "default" (StateParams) or null
    "seconds_to_funding": pl.Float64(),
    "predicted_funding_close": pl.Float64(),
    "predicted_funding_age_us": pl.Int64(),
    "oi_close": pl.Float64(),  # base units of linear contracts, contracts of inverse ones
    "oi_open": pl.Float64(),  # from the same feed (oi_source) as it stood at bucket_start
    "oi_age_us": pl.Int64(),
    "oi_source": pl.String(),  # "ticker", "open_interest" or null
}
"""The columns that `attach_state` adds, in order."""

TICKER, PAYMENTS, INTEREST = DERIVATIVE_TICKER.name, FUNDING.name, OPEN_INTEREST.name
TICKER_COLUMNS = ("mark_price", "index_price", "funding_rate", "predicted_funding_rate", "open_interest", SETTLEMENT)
PAYMENT_COLUMNS = ("funding_rate", "interval_hours")
INTEREST_COLUMNS = ("open_interest",)

NOT_TOLD = 0.0
SETTLED_INTERVALS = 2
"""A payment older than this many of its intervals is not the state of the market any more."""


@dataclass(frozen=True, kw_only=True)
class StateParams:
    """How old a value may be at the end of a bar.

    Ages are given as text (``"15m"``), a timedelta or integer microseconds (`pointline.clock.to_duration_us`), and held in microseconds.

    Attributes:
        max_ticker_age_us: mark, index, funding estimate, prediction and open interest of the running ticker.
        max_settled_age_us: last payment; None = twice its funding interval, and null where no interval is known.
        max_open_interest_age_us: rows of the open interest table.
        default_interval_hours: funding interval where no recent payment says it, for example from the venue's rule.

    Raises:
        ConfigError: a limit cannot be read as a duration, or one or the interval is not positive.
    """

    max_ticker_age_us: DurationField = DurationField(MINUTE_US)  # noqa: RUF009 - it holds no value
    max_settled_age_us: int | None = None
    max_open_interest_age_us: DurationField = DurationField(15 * MINUTE_US)  # noqa: RUF009
    default_interval_hours: float | None = None

    def __post_init__(self) -> None:
        if self.max_settled_age_us is not None:
            object.__setattr__(self, "max_settled_age_us", to_duration_us(self.max_settled_age_us, name="max_settled_age_us"))
        hours = self.default_interval_hours
        if hours is not None and not hours > 0:
            raise ConfigError("default_interval_hours must be positive", where="StateParams", value=hours, expected="more than zero")


_DEFAULTS = StateParams()


def attach_state(
    bars: pl.DataFrame,
    *,
    ticker: pl.DataFrame | None = None,
    funding: pl.DataFrame | None = None,
    open_interest: pl.DataFrame | None = None,
    params: StateParams = _DEFAULTS,
) -> pl.DataFrame:
    """The bars with the `STATE_COLUMNS` of one derivative beside them.

    Args:
        bars: sorted by ``bucket_start``, with ``bucket_start`` and ``bucket_end`` (µs UTC, half-open).
        ticker: rows of `pointline.schema.DERIVATIVE_TICKER`.
        funding: settled payments, rows of `pointline.schema.FUNDING`.
        open_interest: rows of `pointline.schema.OPEN_INTEREST`; used where the ticker has no open interest.
        params: maximum ages and the default interval.

    Notes:
        An estimate is dropped once ``next_funding_us`` lies before the bar's end. A row without it takes the last one known, unless
        that has passed already; where the venue gives none, only the age limit ends an estimate.
        ``funding_age_us`` is the age of ``funding_close``; where that is null, of the last estimate, else of the last payment.
        ``seconds_to_funding`` counts to the ticker's ``next_funding_us`` while it lies ahead, else to the next multiple of the
        interval in force after 00:00 UTC; it is 0 for a bar that ends at the settlement.

    Raises:
        ConfigError: a column is missing, the bars are not in order, or a frame holds more than one instrument.
    """
    check_bars(bars)
    edges = Edges.of(bars)
    told = {
        TICKER: _told(edges, ticker, DERIVATIVE_TICKER, TICKER_COLUMNS),
        PAYMENTS: _told(edges, funding, FUNDING, PAYMENT_COLUMNS),
        INTEREST: _told(edges, open_interest, OPEN_INTEREST, INTEREST_COLUMNS),
    }
    return state_beside(bars, edges, told, params)


@dataclass(frozen=True)
class Edges:
    """The instants at which bars open and close, in order, those that are both only once.

    Attributes:
        instants: µs UTC.
        starts, ends: where each bar's are among them.
    """

    instants: Ints
    starts: slice | Ints
    ends: slice | Ints

    @classmethod
    def of(cls, bars: pl.DataFrame) -> Edges:
        """Those of bars in order."""
        starts, ends = bars["bucket_start"].to_numpy(), bars["bucket_end"].to_numpy()
        if np.array_equal(starts[1:], ends[:-1]):
            return cls(np.concatenate([starts[:1], ends]), slice(0, len(ends)), slice(1, None))
        instants = np.unique(np.concatenate([starts, ends]))
        return cls(instants, np.searchsorted(instants, starts), np.searchsorted(instants, ends))


def state_beside(bars: pl.DataFrame, edges: Edges, told: Told, params: StateParams) -> pl.DataFrame:
    """What `attach_state` does, of what each feed told at the edges of the bars."""
    ticker, instants, ends = told[TICKER], edges.instants, edges.ends
    limit = params.max_ticker_age_us
    mark, index = (_aged(ticker[name], instants, limit) for name in ("mark_price", "index_price"))
    predicted = _estimate(ticker["predicted_funding_rate"], instants, limit)
    funding = _funding(edges, ticker["funding_rate"], told[PAYMENTS], params)
    hours = funding.pop("interval_in_force")
    known = {
        "mark_close": mark.values[ends],
        "mark_age_us": mark.ages[ends],
        "index_close": index.values[ends],
        "index_age_us": index.ages[ends],
        **funding,
        "seconds_to_funding": _seconds_to_funding(instants[ends], ticker[SETTLEMENT].values[ends], hours),
        "predicted_funding_close": predicted.values[ends],
        "predicted_funding_age_us": predicted.ages[ends],
        **_open_interest(edges, ticker["open_interest"], told[INTEREST]["open_interest"], params),
    }
    state = pl.DataFrame({name: _SOURCES[name].gather(codes) if name in _SOURCES else codes for name, codes in known.items()})
    ages = [pl.when(pl.col(name) < NO_AGE_US).then(name).alias(name) for name in STATE_COLUMNS if name.endswith("_age_us")]
    return bars.with_columns(state.select(list(STATE_COLUMNS)).with_columns(pl.col(pl.Float64).fill_nan(None), *ages).get_columns())


_FIRST, _SECOND, _NEITHER = 0, 1, 2
_SOURCES = {
    name: pl.Series(name, [*words, None], dtype=pl.String)
    for name, words in {
        "funding_source": ("estimate", "settled"),
        "funding_interval_source": ("payment", "default"),
        "oi_source": ("ticker", "open_interest"),
    }.items()
}


class _Aged(NamedTuple):
    """Values, not-a-number where there is none or it is too old, and their ages, `NO_AGE_US` or more where there is none."""

    values: Floats
    ages: Ints


def _aged(known: Known, instants: Ints, limit_us: int) -> _Aged:
    ages = instants - known.times
    return _Aged(np.where(ages <= limit_us, known.values, np.nan), ages)


def _estimate(known: Known, instants: Ints, limit_us: int) -> _Aged:
    """As `_aged`, and nothing once the settlement of which the row spoke has passed."""
    values, ages = _aged(known, instants, limit_us)
    return _Aged(np.where(known.settles_at(instants) < instants, np.nan, values), ages)


class _Interval(NamedTuple):
    """Funding intervals in hours, not-a-number where none is known, and which of `_SOURCES` says so."""

    hours: Floats
    source: Ints


def _intervals(payments: Mapping[str, Known], instants: Ints, params: StateParams) -> tuple[_Interval, _Interval]:
    """Of the last payment, by its own row or the default; and in force: the same while the payment is young enough, else the default."""
    span = payments["interval_hours"]
    default = np.nan if params.default_interval_hours is None else params.default_interval_hours

    def where(told: NDArray[np.bool_]) -> _Interval:
        return _Interval(np.where(told, span.values, default), np.where(told, _FIRST, _NEITHER if np.isnan(default) else _SECOND))

    told = span.values > NOT_TOLD
    return where(told), where(told & (instants - span.times <= _settled_limit(span.values, params)))


def _settled_limit(hours: Floats, params: StateParams) -> Floats | int:
    return hours * (SETTLED_INTERVALS * HOUR_US) if params.max_settled_age_us is None else params.max_settled_age_us


def _either(edges: Edges, first: _Aged, second: _Aged) -> tuple[Floats, Floats, Ints]:
    """At each bar's end the first where known, else the second; the same one at its start; and which that is."""
    ones, others = first.values[edges.ends], second.values[edges.ends]
    which = np.where(~np.isnan(ones), _FIRST, np.where(~np.isnan(others), _SECOND, _NEITHER))
    opening = np.where(which == _SECOND, second.values[edges.starts], np.nan)
    return (
        np.where(which == _FIRST, ones, others),
        np.where(which == _FIRST, first.values[edges.starts], opening),
        which,
    )


def _funding(edges: Edges, rate: Known, payments: Mapping[str, Known], params: StateParams) -> dict[str, Values]:
    """The estimate where one counts, else the payment, each with its interval; the opening rate is of the same kind and interval."""
    estimate = _estimate(rate, edges.instants, params.max_ticker_age_us)
    own, in_force = _intervals(payments, edges.instants, params)
    ages = edges.instants - payments["funding_rate"].times
    settled = _Aged(np.where(ages <= _settled_limit(own.hours, params), payments["funding_rate"].values, np.nan), ages)
    close, opening, which = _either(edges, estimate, settled)
    age, settled_age = estimate.ages[edges.ends], settled.ages[edges.ends]
    shown = (which == _SECOND) | ((which == _NEITHER) & (age >= NO_AGE_US))
    hours, hours_before = (np.where(which == _SECOND, own.hours[at], in_force.hours[at]) for at in (edges.ends, edges.starts))
    return {
        "funding_close": close,
        "funding_open": np.where((hours == hours_before) | np.isnan(hours) & np.isnan(hours_before), opening, np.nan),
        "funding_age_us": np.where(shown, settled_age, age),
        "funding_source": which,
        "funding_settled": settled.values[edges.ends],
        "funding_settled_age_us": settled_age,
        "funding_interval_hours": hours,
        "funding_interval_source": np.where(which == _SECOND, own.source[edges.ends], in_force.source[edges.ends]),
        "interval_in_force": in_force.hours[edges.ends],
    }


def _open_interest(edges: Edges, running: Known, polled: Known, params: StateParams) -> dict[str, Values]:
    """The ticker's open interest where known, else the table's; the two count at different instants, so a bar never mixes them."""
    fast = _aged(running, edges.instants, params.max_ticker_age_us)
    slow = _aged(polled, edges.instants, params.max_open_interest_age_us)
    close, opening, which = _either(edges, fast, slow)
    fast_age, slow_age = fast.ages[edges.ends], slow.ages[edges.ends]
    younger = np.where(which == _SECOND, slow_age, np.minimum(fast_age, slow_age))
    return {"oi_close": close, "oi_open": opening, "oi_age_us": np.where(which == _FIRST, fast_age, younger), "oi_source": which}


def _seconds_to_funding(ends: Ints, settles: Ints, hours: Floats) -> Floats:
    """To the next settlement as the ticker last gave it, while it lies ahead, else to the next multiple of the interval."""
    interval_us = np.rint(np.where(np.isfinite(hours), hours, 0.0) * HOUR_US).astype(np.int64)
    in_day = ends % DAY_US
    step = np.maximum(interval_us, 1)
    scheduled = np.minimum((in_day + step - 1) // step * step - in_day, DAY_US - in_day)
    wait = np.where(settles >= ends, settles - ends, scheduled)
    told = (settles >= ends) | (interval_us > 0)
    return np.where(told, wait // SECOND_US + wait % SECOND_US * 1e-6, np.nan)


def _told(edges: Edges, frame: pl.DataFrame | None, table: Table, columns: tuple[str, ...]) -> dict[str, Known]:
    types = {name: table.columns[name] for name in columns}
    rows = _rows(frame, table).select("ts_local_us", *map(readable, columns))
    return Memory(types).at(Rows(rows), edges.instants)


def readable(column: str) -> pl.Expr:
    """The column as it is looked up: decimals as floats, and a funding interval for each rate, `NOT_TOLD` where its row has none."""
    if column == "close":
        return pl.col(column).cast(pl.Float64)
    if column == "interval_hours":
        told = pl.when(pl.col(column).is_finite() & (pl.col(column) > 0)).then(column).otherwise(NOT_TOLD)
        return pl.when(pl.col("funding_rate").is_not_nan()).then(told).alias(column)
    return pl.col(column)


def check_bars(bars: pl.DataFrame) -> None:
    """The bars have edges in order."""
    for name in ("bucket_start", "bucket_end"):
        if bars.schema.get(name) != pl.Int64():
            raise ConfigError(
                f"the bars have no {name} in integer microseconds",
                where="attach_state, bars",
                value=bars.schema.get(name),
                expected="int64 microseconds UTC",
            )
        if bars[name].null_count() or not bars[name].is_sorted():
            raise ConfigError(f"the bars are not in order of {name}", where="attach_state, bars", hint="sort them by bucket_start first")


def _rows(frame: pl.DataFrame | None, table: Table) -> pl.DataFrame:
    """The table's columns; no rows where there is no frame."""
    if frame is None:
        return pl.DataFrame(schema=table.columns)
    missing = [name for name in table.columns if name not in frame.columns and name != "source_row"]
    if missing:
        raise ConfigError(
            f"the {table.name} frame has no {', '.join(missing)}",
            where=f"attach_state, {table.name}",
            value=frame.columns,
            expected=", ".join(table.columns),
        )
    for name in ("exchange", "symbol", "symbol_id"):
        if name in frame.columns and frame[name].n_unique() > 1:
            raise ConfigError(
                f"the {table.name} frame holds more than one instrument",
                where=f"attach_state, {table.name}, column {name}",
                value=frame[name].unique().sort().head(5).to_list(),
                expected="the rows of the derivative whose state is wanted",
            )
    return frame.select(pl.col(name).cast(dtype) for name, dtype in table.columns.items() if name in frame.columns)
