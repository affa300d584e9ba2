"""State of the derivative at each bar: mark, index, funding and open interest, read as-of with their ages.

Clock: ``ts_local_us``. A value belongs to a bar when it was known strictly before ``bucket_end``; the value at the bar's opening is
the one known strictly before ``bucket_start``. Each column is as-of its own last non-null value, has its own age, and is null once that
age passes a limit. The age itself stays, so that a null can be explained.

Funding is three things. The running *estimate* speaks of one coming settlement: once that settlement has passed, the estimate is not
carried into the next period. The *settled* rate is the last payment, known from the ``ts_local_us`` of its row on. ``funding_close`` is
the estimate where one is known and else the last settled rate; ``funding_source`` says which.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import polars as pl

from pointline.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from pointline.errors import ConfigError
from pointline.schema import DERIVATIVE_TICKER, FUNDING, OPEN_INTEREST

if TYPE_CHECKING:
    from pointline.schema import Table

STATE_COLUMNS: dict[str, pl.DataType] = {
    "mark_close": pl.Float64(),
    "mark_age_us": pl.Int64(),
    "index_close": pl.Float64(),
    "index_age_us": pl.Int64(),
    "funding_close": pl.Float64(),  # a fraction per funding interval
    "funding_open": pl.Float64(),  # the same kind of rate (funding_source) as it stood at bucket_start
    "funding_age_us": pl.Int64(),
    "funding_source": pl.String(),  # "estimate", "settled" or null
    "funding_settled": pl.Float64(),
    "funding_settled_age_us": pl.Int64(),
    "funding_interval_hours": pl.Float64(),
    "funding_interval_source": pl.String(),  # "payment" (the last payment's row), "default" (StateParams) or null
    "seconds_to_funding": pl.Float64(),
    "predicted_funding_close": pl.Float64(),
    "predicted_funding_age_us": pl.Int64(),
    "oi_close": pl.Float64(),
    "oi_open": pl.Float64(),  # from the same feed (oi_source) as it stood at bucket_start
    "oi_age_us": pl.Int64(),
    "oi_source": pl.String(),  # "ticker", "open_interest" or null
}
"""The columns that `attach_state` adds, in order."""

SETTLED_INTERVALS = 2
"""A payment older than this many of its intervals is not the state of the market any more."""


@dataclass(frozen=True, kw_only=True)
class StateParams:
    """How old a value may be at the end of a bar.

    Attributes:
        max_ticker_age_us: mark, index, funding estimate, prediction and open interest of the running ticker.
        max_settled_age_us: last payment; None = twice its funding interval, and null where no interval is known.
        max_open_interest_age_us: rows of the open interest table.
        default_interval_hours: funding interval where no recent payment says it, for example from the venue's rule.

    Raises:
        ConfigError: a limit or the interval is not positive.
    """

    max_ticker_age_us: int = MINUTE_US
    max_settled_age_us: int | None = None
    max_open_interest_age_us: int = 15 * MINUTE_US
    default_interval_hours: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not value > 0:
                raise ConfigError(f"{field.name} has to be positive", where="StateParams", value=value, expected="more than zero")


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
        interval after 00:00 UTC; it is 0 for a bar that ends at the settlement.

    Raises:
        ConfigError: a column is missing, the bars are not in order, or a frame holds more than one instrument.
    """
    _check_bars(bars)
    ticker_rows = _rows(ticker, DERIVATIVE_TICKER)
    funding_rows = _rows(funding, FUNDING)
    interest_rows = _rows(open_interest, OPEN_INTEREST)
    ends, starts = bars["bucket_end"], bars["bucket_start"]
    limit = params.max_ticker_age_us
    mark = _last_known(ends, ticker_rows, "mark_price", limit)
    index = _last_known(ends, ticker_rows, "index_price", limit)
    predicted = _estimate(ends, ticker_rows, "predicted_funding_rate", limit)
    state = pl.concat(
        [
            bars.select("bucket_end"),
            mark.select(pl.col("value").alias("mark_close"), pl.col("age_us").alias("mark_age_us")),
            index.select(pl.col("value").alias("index_close"), pl.col("age_us").alias("index_age_us")),
            _funding(ends, starts, ticker_rows, funding_rows, params),
            predicted.select(pl.col("value").alias("predicted_funding_close"), pl.col("age_us").alias("predicted_funding_age_us")),
            _open_interest(ends, starts, ticker_rows, interest_rows, params),
            _next_funding(ends, ticker_rows),
        ],
        how="horizontal",
    )
    state = state.with_columns(_seconds_to_funding()).select(list(STATE_COLUMNS))
    return bars.with_columns(state.get_columns())


def _check_bars(bars: pl.DataFrame) -> None:
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
    """The table's columns in order of knowledge, not-a-number read as unknown; no rows where there is no frame."""
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
    columns = [pl.col(name).cast(dtype) for name, dtype in table.columns.items() if name in frame.columns]
    return frame.select(columns).with_columns(pl.col(pl.Float64).fill_nan(None)).sort("ts_local_us", maintain_order=True)


def _as_of(instants: pl.Series, rows: pl.DataFrame) -> pl.DataFrame:
    """For each instant the last of `rows` known strictly before it, with ``instant`` and ``age_us``."""
    known = rows.with_columns(pl.col("ts_local_us").alias("known_us"))
    found = pl.DataFrame({"instant": instants}).join_asof(
        known,
        left_on="instant",
        right_on="ts_local_us",
        strategy="backward",
        allow_exact_matches=False,
        coalesce=True,
    )
    return found.with_columns((pl.col("instant") - pl.col("known_us")).alias("age_us"))


def _last_known(instants: pl.Series, rows: pl.DataFrame, column: str, limit_us: int) -> pl.DataFrame:
    """``value`` and ``age_us`` of the column's last non-null value; the value is null past the limit."""
    found = _as_of(instants, rows.select("ts_local_us", pl.col(column).alias("value")).drop_nulls("value"))
    return found.select(pl.when(pl.col("age_us") <= limit_us).then("value").alias("value"), "age_us")


def _estimate(instants: pl.Series, ticker: pl.DataFrame, column: str, limit_us: int) -> pl.DataFrame:
    """As `_last_known`, and null once the settlement of which the row spoke has passed."""
    own = pl.col("next_funding_us")
    carried = own.forward_fill()
    settles = pl.when(own.is_not_null()).then(own).when(carried > pl.col("ts_local_us")).then(carried).alias("settles_us")
    rows = ticker.select("ts_local_us", pl.col(column).alias("value"), settles).drop_nulls("value")
    coming = pl.col("settles_us").is_null() | (pl.col("settles_us") >= pl.col("instant"))
    valid = (pl.col("age_us") <= limit_us) & coming
    return _as_of(instants, rows).select(pl.when(valid).then("value").alias("value"), "age_us")


def _settled(instants: pl.Series, funding: pl.DataFrame, params: StateParams) -> pl.DataFrame:
    """``value``, ``age_us``, ``interval`` and ``interval_source`` of the last payment."""
    rates = _as_of(instants, funding.select("ts_local_us", pl.col("funding_rate").alias("value")).drop_nulls("value"))
    intervals = _as_of(
        instants,
        funding.select("ts_local_us", pl.col("interval_hours").alias("interval")).filter(pl.col("interval") > 0),
    )
    default = pl.lit(params.default_interval_hours, dtype=pl.Float64)
    limit = _settled_limit(pl.col("interval"), params)
    paid = rates.select("value", "age_us", intervals["interval"], intervals["age_us"].alias("interval_age_us"))
    paid = paid.select("value", "age_us", pl.when(pl.col("interval_age_us") <= limit).then("interval").alias("interval"))
    said = pl.col("interval").is_not_null()
    source = pl.when(said).then(pl.lit("payment")).when(default.is_not_null()).then(pl.lit("default"))
    named = paid.with_columns(source.alias("interval_source"), pl.coalesce("interval", default).alias("interval"))
    return named.with_columns(pl.when(pl.col("age_us") <= limit).then("value").alias("value"))


def _settled_limit(interval_hours: pl.Expr, params: StateParams) -> pl.Expr:
    if params.max_settled_age_us is not None:
        return pl.lit(params.max_settled_age_us, dtype=pl.Int64)
    return interval_hours * (SETTLED_INTERVALS * HOUR_US)


def _funding(ends: pl.Series, starts: pl.Series, ticker: pl.DataFrame, funding: pl.DataFrame, params: StateParams) -> pl.DataFrame:
    limit = params.max_ticker_age_us
    columns = {
        "estimate": _estimate(ends, ticker, "funding_rate", limit),
        "estimate_open": _estimate(starts, ticker, "funding_rate", limit),
        "settled": _settled(ends, funding, params),
        "settled_open": _settled(starts, funding, params),
    }
    wide = pl.concat([frame.select(pl.all().name.prefix(f"{name}_")) for name, frame in columns.items()], how="horizontal")
    estimated = pl.col("estimate_value").is_not_null()
    paid = pl.col("settled_value").is_not_null()
    return wide.select(
        pl.coalesce("estimate_value", "settled_value").alias("funding_close"),
        pl.when(estimated).then("estimate_open_value").when(paid).then("settled_open_value").alias("funding_open"),
        pl.when(estimated)
        .then("estimate_age_us")
        .when(paid)
        .then("settled_age_us")
        .otherwise(pl.coalesce("estimate_age_us", "settled_age_us"))
        .alias("funding_age_us"),
        pl.when(estimated).then(pl.lit("estimate")).when(paid).then(pl.lit("settled")).alias("funding_source"),
        pl.col("settled_value").alias("funding_settled"),
        pl.col("settled_age_us").alias("funding_settled_age_us"),
        pl.col("settled_interval").alias("funding_interval_hours"),
        pl.col("settled_interval_source").alias("funding_interval_source"),
    )


def _open_interest(
    ends: pl.Series,
    starts: pl.Series,
    ticker: pl.DataFrame,
    open_interest: pl.DataFrame,
    params: StateParams,
) -> pl.DataFrame:
    """The ticker's open interest where known, else the table's; both feeds count in their own unit, so a bar never mixes them."""
    fast, slow = params.max_ticker_age_us, params.max_open_interest_age_us
    columns = {
        "ticker": _last_known(ends, ticker, "open_interest", fast),
        "ticker_open": _last_known(starts, ticker, "open_interest", fast),
        "table": _last_known(ends, open_interest, "open_interest", slow),
        "table_open": _last_known(starts, open_interest, "open_interest", slow),
    }
    wide = pl.concat([frame.select(pl.all().name.prefix(f"{name}_")) for name, frame in columns.items()], how="horizontal")
    running = pl.col("ticker_value").is_not_null()
    polled = pl.col("table_value").is_not_null()
    return wide.select(
        pl.coalesce("ticker_value", "table_value").alias("oi_close"),
        pl.when(running).then("ticker_open_value").when(polled).then("table_open_value").alias("oi_open"),
        pl.when(running)
        .then("ticker_age_us")
        .when(polled)
        .then("table_age_us")
        .otherwise(pl.min_horizontal("ticker_age_us", "table_age_us"))
        .alias("oi_age_us"),
        pl.when(running).then(pl.lit("ticker")).when(polled).then(pl.lit("open_interest")).alias("oi_source"),
    )


def _next_funding(instants: pl.Series, ticker: pl.DataFrame) -> pl.DataFrame:
    """The next settlement as the ticker last gave it, while it lies ahead."""
    found = _as_of(instants, ticker.select("ts_local_us", "next_funding_us").drop_nulls("next_funding_us"))
    return found.select(pl.when(pl.col("next_funding_us") >= pl.col("instant")).then("next_funding_us").alias("next_funding_us"))


def _seconds_to_funding() -> pl.Expr:
    end = pl.col("bucket_end")
    interval_us = (pl.col("funding_interval_hours") * HOUR_US).round().cast(pl.Int64)
    in_day = end % DAY_US
    waited = (in_day + interval_us - 1) // interval_us * interval_us - in_day
    scheduled = pl.when(interval_us > 0).then(pl.min_horizontal(waited, DAY_US - in_day))
    wait = pl.coalesce(pl.col("next_funding_us") - end, scheduled)
    # Whole seconds and the rest apart: polars divides by a constant with other bits for one row than for many.
    return (wait // SECOND_US + wait % SECOND_US * 1e-6).alias("seconds_to_funding")
