"""State of the derivative at each bar: mark, index, funding and open interest, read as-of with their ages.

Clock: ``ts_local_us``. A value belongs to a bar when it was known strictly before ``bucket_end``; the value at the bar's opening is
the one known strictly before ``bucket_start``. Each column is as-of its own last non-null value, has its own age, and is null once that
age passes a limit. The age itself stays, so that a null can be explained.

Funding is three things. The running *estimate* speaks of one coming settlement: once that settlement has passed, the estimate is not
carried into the next period. The *settled* rate is the last payment, known from the ``ts_local_us`` of its row on. ``funding_close`` is
the estimate where one is known and else the last settled rate; ``funding_source`` says which.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

import polars as pl

from pointline.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from pointline.errors import ConfigError
from pointline.research.known import KnownRows
from pointline.schema import DERIVATIVE_TICKER, FUNDING, OPEN_INTEREST

if TYPE_CHECKING:
    from pointline.research.known import Found, Instants
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
        for limit in fields(self):
            value = getattr(self, limit.name)
            if value is not None and not value > 0:
                raise ConfigError(f"{limit.name} has to be positive", where="StateParams", value=value, expected="more than zero")


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
    return state_beside(
        bars,
        KnownRows(_rows(ticker, DERIVATIVE_TICKER)),
        _rows(funding, FUNDING),
        KnownRows(_rows(open_interest, OPEN_INTEREST)),
        params,
    )


def state_beside(bars: pl.DataFrame, ticker: KnownRows, funding: pl.DataFrame, interest: KnownRows, params: StateParams) -> pl.DataFrame:
    """What `attach_state` does, of rows that are checked: sorted, of one instrument, without not-a-number."""
    ends, starts = bars["bucket_end"].to_numpy(), bars["bucket_start"].to_numpy()
    fast, slow = params.max_ticker_age_us, params.max_open_interest_age_us
    known = _Known({"bucket_end": bars["bucket_end"], "bucket_start": bars["bucket_start"]})
    known.add("mark", ticker.last("mark_price", ends), "mark_price", fast)
    known.add("index", ticker.last("index_price", ends), "index_price", fast)
    known.add_estimate("predicted", ticker.last("predicted_funding_rate", ends), "predicted_funding_rate", fast)
    known.add_estimate("estimate", ticker.last("funding_rate", ends), "funding_rate", fast)
    known.add_estimate("estimate_open", ticker.last("funding_rate", starts), "funding_rate", fast)
    known.add("ticker", ticker.last("open_interest", ends), "open_interest", fast)
    known.add("ticker_open", ticker.last("open_interest", starts), "open_interest", fast)
    known.add("table", interest.last("open_interest", ends), "open_interest", slow)
    known.add("table_open", interest.last("open_interest", starts), "open_interest", slow)
    known.add_payment("settled", funding, ends, params)
    known.add_payment("settled_open", funding, starts, params)
    known.columns["next_us"] = ticker.last("next_funding_us", ends).value("next_funding_us")
    ahead = pl.when(pl.col("next_us") >= pl.col("bucket_end")).then("next_us").alias("next_funding_us")
    plain = {"mark_close": "mark_value", "index_close": "index_value"}
    predicted = {"predicted_funding_close": "predicted_value", "predicted_funding_age_us": "predicted_age_us"}
    state = (
        pl.DataFrame(known.columns)
        .lazy()
        .with_columns(known.intervals)
        .with_columns(known.values)
        .with_columns(*_funding(), *_open_interest(), ahead)
        .with_columns(pl.col(name).alias(alias) for alias, name in {**plain, **predicted}.items())
        .with_columns(_seconds_to_funding())
        .select(list(STATE_COLUMNS))
        .collect()
    )
    return bars.with_columns(state.get_columns())


@dataclass
class _Known:
    """Raw columns that were looked up, and the expressions that say which of their values count.

    Attributes:
        columns: ``{name}_raw``, ``{name}_age_us`` and what else the expressions read.
        values: ``{name}_value``, null where the raw value is too old.
        intervals: what `values` of payments read.
    """

    columns: dict[str, pl.Series]
    values: list[pl.Expr] = field(default_factory=list)
    intervals: list[pl.Expr] = field(default_factory=list)

    def add(self, name: str, found: Found, column: str, limit_us: int) -> None:
        """The last non-null value and its age; null past the limit."""
        self._look_up(name, found, column)
        self._keep(name, pl.col(f"{name}_age_us") <= limit_us)

    def add_estimate(self, name: str, found: Found, column: str, limit_us: int) -> None:
        """As `add`, and null once the settlement of which the row spoke has passed."""
        self._look_up(name, found, column)
        rows = found.known
        self.columns[f"{name}_known_us"] = pl.Series(rows.times(found.places))
        self.columns[f"{name}_own_us"] = found.value("next_funding_us")
        self.columns[f"{name}_carried_us"] = rows.carried("next_funding_us", found.places)
        own, carried = pl.col(f"{name}_own_us"), pl.col(f"{name}_carried_us")
        settles = pl.when(own.is_not_null()).then(own).when(carried > pl.col(f"{name}_known_us")).then(carried)
        instant = pl.col("bucket_start" if name.endswith("_open") else "bucket_end")
        self._keep(name, (pl.col(f"{name}_age_us") <= limit_us) & (settles.is_null() | (settles >= instant)))

    def add_payment(self, name: str, funding: pl.DataFrame, instants: Instants, params: StateParams) -> None:
        """The last payment, its age, its interval and who says that."""
        self._look_up(name, KnownRows(funding.drop_nulls("funding_rate")).last("funding_rate", instants), "funding_rate")
        spans = KnownRows(funding.filter(pl.col("interval_hours") > 0)).last("interval_hours", instants)
        self.columns[f"{name}_span"], self.columns[f"{name}_span_age_us"] = spans.value("interval_hours"), spans.age_us()
        default = pl.lit(params.default_interval_hours, dtype=pl.Float64)
        limit = _settled_limit(pl.col(f"{name}_span"), params)
        span = pl.when(pl.col(f"{name}_span_age_us") <= limit).then(f"{name}_span")
        source = pl.when(span.is_not_null()).then(pl.lit("payment")).when(default.is_not_null()).then(pl.lit("default"))
        self.intervals += [pl.coalesce(span, default).alias(f"{name}_interval"), source.alias(f"{name}_interval_source")]
        self._keep(name, pl.col(f"{name}_age_us") <= _settled_limit(pl.col(f"{name}_interval"), params))

    def _look_up(self, name: str, found: Found, column: str) -> None:
        self.columns[f"{name}_raw"], self.columns[f"{name}_age_us"] = found.value(column), found.age_us()

    def _keep(self, name: str, valid: pl.Expr) -> None:
        self.values.append(pl.when(valid).then(f"{name}_raw").alias(f"{name}_value"))


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
    return in_order(frame.select(pl.col(name).cast(dtype) for name, dtype in table.columns.items() if name in frame.columns))


def in_order(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows in order of knowledge, not-a-number read as unknown."""
    unclear = [series.name for series in frame if series.dtype == pl.Float64 and series.is_nan().any()]
    known = frame.with_columns(pl.col(unclear).fill_nan(None)) if unclear else frame
    return known if known["ts_local_us"].is_sorted() else known.sort("ts_local_us", maintain_order=True)


def _settled_limit(interval_hours: pl.Expr, params: StateParams) -> pl.Expr:
    if params.max_settled_age_us is not None:
        return pl.lit(params.max_settled_age_us, dtype=pl.Int64)
    return interval_hours * (SETTLED_INTERVALS * HOUR_US)


def _funding() -> list[pl.Expr]:
    """The estimate where one counts, else the payment; the opening rate is of the same kind."""
    estimated = pl.col("estimate_value").is_not_null()
    paid = pl.col("settled_value").is_not_null()
    return [
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
    ]


def _open_interest() -> list[pl.Expr]:
    """The ticker's open interest where known, else the table's; both feeds count in their own unit, so a bar never mixes them."""
    running = pl.col("ticker_value").is_not_null()
    polled = pl.col("table_value").is_not_null()
    return [
        pl.coalesce("ticker_value", "table_value").alias("oi_close"),
        pl.when(running).then("ticker_open_value").when(polled).then("table_open_value").alias("oi_open"),
        pl.when(running)
        .then("ticker_age_us")
        .when(polled)
        .then("table_age_us")
        .otherwise(pl.min_horizontal("ticker_age_us", "table_age_us"))
        .alias("oi_age_us"),
        pl.when(running).then(pl.lit("ticker")).when(polled).then(pl.lit("open_interest")).alias("oi_source"),
    ]


def _seconds_to_funding() -> pl.Expr:
    end = pl.col("bucket_end")
    interval_us = (pl.col("funding_interval_hours") * HOUR_US).round().cast(pl.Int64)
    in_day = end % DAY_US
    waited = (in_day + interval_us - 1) // interval_us * interval_us - in_day
    scheduled = pl.when(interval_us > 0).then(pl.min_horizontal(waited, DAY_US - in_day))
    wait = pl.coalesce(pl.col("next_funding_us") - end, scheduled)
    # Whole seconds and the rest apart: polars divides by a constant with other bits for one row than for many.
    return (wait // SECOND_US + wait % SECOND_US * 1e-6).alias("seconds_to_funding")
