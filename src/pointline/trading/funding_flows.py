"""What held perpetual positions paid and received at each settlement of funding."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import polars as pl

from pointline import schema
from pointline.clock import HOUR_US, MINUTE_US, DurationLike, duration_text, time_text, to_duration_us
from pointline.errors import ConfigError, NoDataError

if TYPE_CHECKING:
    from pointline.instruments import Instrument

Gaps: TypeAlias = Literal["refuse", "flag"]

POSITIONS_SCHEMA: dict[str, pl.DataType] = {
    "position_id": pl.Int64(),
    "entry_us": pl.Int64(),
    "exit_us": pl.Int64(),  # null: still held
    "quantity": pl.Float64(),  # + long, - short; linear: base units, inverse: contracts
}
MARKS_SCHEMA: dict[str, pl.DataType] = {"ts_us": pl.Int64(), "mark_price": pl.Float64(), "mark_source": pl.String()}
FUNDING_FLOWS_SCHEMA: dict[str, pl.DataType] = {
    "position_id": pl.Int64(),
    "funding_us": pl.Int64(),
    "side": pl.String(),  # long | short
    "quantity": pl.Float64(),
    "interval_hours": pl.Float64(),
    "funding_rate": pl.Float64(),
    "mark_price": pl.Float64(),
    "mark_age_us": pl.Int64(),
    "mark_source": pl.String(),
    "notional": pl.Float64(),  # in the quote asset, without sign
    "cash": pl.Float64(),  # in the settle asset, + received
    "settle_asset": pl.String(),
    "cumulative_cash": pl.Float64(),  # of the position so far
    "status": pl.String(),
}
"""Columns of `funding_cash_flows`."""

PAID, NO_SETTLEMENT, NO_MARK = "paid", "no settlement", "no mark"
SETTLEMENT_MARK = "settlement"
MAX_MARK_AGE_US = MINUTE_US
SETTLEMENT_TAKES_US = MINUTE_US
_MOST_ROWS = 50_000_000
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class FundingTerms:
    """What of a perpetual contract decides the amount of a funding payment.

    Attributes:
        contract_type: ``"linear"`` (settled in the quote asset, quantities in base units) or ``"inverse"`` (settled in the base asset,
            quantities in contracts).
        contract_size: inverse: quote units of a contract; linear: base units of a contract, which nothing here needs, because quantities
            are in base units.
        settle_asset: the asset that is paid.
        quote_asset: the asset of notional and mark price.
        interval_hours: the funding interval of settlements whose row does not say it; None: such a row is refused.
        ends_us: when the contract ended; no settlement is expected later. None: it has not.

    Raises:
        ConfigError: an unknown type, a size or an interval that is not positive.

    Examples:
        >>> FundingTerms(contract_type="inverse", contract_size=100.0, settle_asset="BTC", quote_asset="USD").interval_hours is None
        True
    """

    contract_type: Literal["linear", "inverse"]
    contract_size: float
    settle_asset: str
    quote_asset: str
    interval_hours: float | None = None
    ends_us: int | None = None

    def __post_init__(self) -> None:
        if self.contract_type not in ("linear", "inverse"):
            raise ConfigError(
                "there is no such type of contract", where="FundingTerms", value=self.contract_type, expected="linear or inverse"
            )
        for name in ("contract_size", "interval_hours"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise ConfigError(f"{name} must be positive", where="FundingTerms", value=value, expected="more than zero")

    @classmethod
    def of(cls, instrument: Instrument, *, interval_hours: float | None = None) -> FundingTerms:
        """The terms of a perpetual.

        Args:
            instrument: a perpetual whose contract size is known.
            interval_hours: the funding interval of settlements whose row does not say it.

        Returns:
            `FundingTerms`.

        Raises:
            ConfigError: it is no perpetual, its contract size is not known, or it settles in a third asset (a quanto contract).

        Examples:
            >>> import pointline
            >>> registry = pointline.open_lake("out/demo/lake").registry()
            >>> terms = FundingTerms.of(registry.find("binance-futures", "BTCUSDT", 1_714_521_600_000_000))
            >>> terms.contract_type, terms.settle_asset
            ('linear', 'USDT')
        """
        if instrument.asset_type != "perpetual" or instrument.contract_type is None:
            raise ConfigError(f"{instrument.name} pays no funding", value=instrument.asset_type, expected="a perpetual")
        inverse = instrument.contract_type == "inverse"
        usual = instrument.base_asset if inverse else instrument.quote_asset
        if instrument.settle_asset not in (None, usual):
            raise ConfigError(
                f"{instrument.name} settles in a third asset, whose payments are not known here",
                value=instrument.settle_asset,
                expected=usual,
            )
        return cls(
            contract_type=instrument.contract_type,
            contract_size=float(instrument.size),
            settle_asset=usual,
            quote_asset=instrument.quote_asset,
            interval_hours=interval_hours,
            ends_us=instrument.expiry_us,
        )


def funding_cash_flows(
    positions: pl.DataFrame,
    settlements: pl.DataFrame,
    marks: pl.DataFrame,
    *,
    terms: FundingTerms,
    data_end_us: int,
    max_mark_age_us: DurationLike = MAX_MARK_AGE_US,
    gaps: Gaps = "refuse",
) -> pl.DataFrame:
    """One row for each position and settlement in ``(entry, exit]``: what it paid or received.

    At a positive rate F a long pays and a short receives. Linear: cash = - quantity x mark x F, in the quote asset. Inverse: cash =
    - contracts x contract_size / mark x F, in the base asset. Every settlement counts at its own mark price: that of its row, else the
    last one at or before it. A position is held at a settlement if it was entered before ``funding_us`` and not left before it; the
    milliseconds by which the exchange stamps a payment late (``ts_event_us``) do not matter. No rate is ever carried on: a settlement that
    must have taken place and is not in the data is refused or flagged. Expected are as many settlements between two others as the longer
    of their two intervals fits in; before the first and after the last one they are expected at the distance of its interval. So give
    the settlements next to the positions on both sides too.

    Args:
        positions: a row for each position or piece of one: ``position_id``, ``entry_us``, ``exit_us`` (null: still held), ``quantity``
            (+ long, - short; linear: base units, inverse: contracts). Pieces may share a number.
        settlements: rows of `pointline.schema.FUNDING` of the instrument, in any order: ``funding_us``, ``funding_rate`` (a fraction),
            ``interval_hours``, ``mark_price``. A settlement that stands there twice alike counts once.
        marks: ``ts_us``, ``mark_price`` (quote per base), ``mark_source``, in any order, a time once.
        terms: of the contract.
        data_end_us: up to when the positions that are still held are charged, itself included.
        max_mark_age_us: how old a mark price of `marks` may be at the settlement.
        gaps: ``"refuse"`` raises where a settlement or its mark price is missing; ``"flag"`` gives the row without rate or price and
            without cash, and says why in ``status``.

    Returns:
        The columns of `FUNDING_FLOWS_SCHEMA`, by position_id and funding_us. ``notional`` is quantity x mark, or contracts x
        contract_size, in the quote asset and without sign; ``cash`` and ``cumulative_cash`` are in ``settle_asset``, + received;
        ``status`` is ``"paid"``, ``"no settlement"`` or ``"no mark"``.

    Raises:
        ConfigError: columns are missing, values are null, not finite or of the wrong sign, a position ends before it begins or after the
            data, two rows of one settlement or one mark contradict each other, or a row has no interval and `terms` neither.
        NoDataError: there are no settlements at all; or, unless they are to be flagged, a settlement or its mark price is missing.

    Examples:
        A short of two coins over two settlements:

        >>> import polars as pl
        >>> day, hours = 1_714_521_600_000_000, 3_600_000_000
        >>> positions = pl.DataFrame({"position_id": [1], "entry_us": [day], "exit_us": [day + 16 * hours], "quantity": [-2.0]})
        >>> settlements = pl.DataFrame(
        ...     {
        ...         "funding_us": [day + 8 * hours, day + 16 * hours],
        ...         "funding_rate": [0.0001, -0.0002],
        ...         "interval_hours": [8.0, 8.0],
        ...         "mark_price": [60_000.0, 50_000.0],
        ...     }
        ... )
        >>> marks = pl.DataFrame(schema=MARKS_SCHEMA)
        >>> terms = FundingTerms(contract_type="linear", contract_size=1.0, settle_asset="USDT", quote_asset="USDT")
        >>> flows = funding_cash_flows(positions, settlements, marks, terms=terms, data_end_us=day + 24 * hours)
        >>> flows.select("notional", "cash", "cumulative_cash").rows()
        [(120000.0, 12.0, 12.0), (100000.0, -20.0, -8.0)]
    """
    if gaps not in ("refuse", "flag"):
        raise ConfigError("there is no such way with gaps", where="funding_cash_flows", value=gaps, expected="refuse or flag")
    limit_us = to_duration_us(max_mark_age_us, name="max_mark_age_us", least_us=0)
    held = _checked_positions(positions, terms, data_end_us)
    known = _with_marks(_checked_settlements(settlements, terms), _checked_marks(marks), limit_us)
    if held.is_empty():
        return pl.DataFrame(schema=FUNDING_FLOWS_SCHEMA)
    if known.is_empty():
        raise NoDataError("there are no settlements, so no payment is known", where="funding_cash_flows", hint="ingest funding rates")
    stamps = _with_missing(known, int(held["entry_us"].min()), int(held["until_us"].max()))  # type: ignore[arg-type]
    flows = _priced(_expanded(held, stamps), terms)
    if gaps == "refuse":
        _refuse_gaps(flows, limit_us)
    return flows


def near_settlements(positions: pl.DataFrame, settlements: pl.DataFrame, *, within: DurationLike = SETTLEMENT_TAKES_US) -> pl.DataFrame:
    """Entries and exits so close behind a settlement that the exchange may have decided otherwise.

    A settlement takes the exchange up to a minute. `funding_cash_flows` goes by its nominal time: who enters at that time or later does
    not pay, who leaves at that time or later does.

    Args:
        positions: as for `funding_cash_flows`.
        settlements: ``funding_us``, in any order.
        within: entries and exits from the settlement itself up to this much later, exclusive.

    Returns:
        ``position_id``, ``funding_us``, ``edge`` (``"entry"`` or ``"exit"``), ``offset_us`` behind the settlement, ``charged``: whether
        the settlement counts; by position, entry before exit. A position that ends with its own entry has no rows.

    Raises:
        ConfigError: columns are missing or of the wrong type, or `within` is no duration.

    Examples:
        >>> positions = pl.DataFrame({"position_id": [1], "entry_us": [28_800_000_007], "exit_us": [57_600_000_000], "quantity": [1.0]})
        >>> near_settlements(positions, pl.DataFrame({"funding_us": [28_800_000_000, 57_600_000_000]})).rows()
        [(1, 28800000000, 'entry', 7, False), (1, 57600000000, 'exit', 0, True)]
    """
    limit_us = to_duration_us(within, name="within")
    rows = _columns(positions, POSITIONS_SCHEMA, "positions").with_row_index("piece")
    stamps = _columns(settlements, {"funding_us": pl.Int64()}, "settlements").drop_nulls().unique().sort("funding_us")
    held = rows.filter(pl.col("exit_us").is_null() | (pl.col("exit_us") > pl.col("entry_us")))
    edges = [
        held.select("piece", "position_id", pl.col(f"{edge}_us").alias("edge_us"), pl.lit(edge).alias("edge")) for edge in ("entry", "exit")
    ]
    moments = pl.concat(edges).drop_nulls("edge_us").sort("edge_us", "piece", "edge")
    found = moments.join_asof(stamps, left_on="edge_us", right_on="funding_us", coalesce=False, strategy="backward")
    near = found.with_columns(offset_us=pl.col("edge_us") - pl.col("funding_us")).filter(pl.col("offset_us") < limit_us)
    entered = near.join(held.select("piece", "entry_us"), on="piece", how="left")
    charged = (pl.col("edge") == "exit") & (pl.col("funding_us") > pl.col("entry_us"))
    return entered.sort("position_id", "piece", "edge_us", "edge").select(
        "position_id", "funding_us", "edge", "offset_us", charged.alias("charged")
    )


def _columns(frame: pl.DataFrame, wanted: dict[str, pl.DataType], name: str) -> pl.DataFrame:
    missing = [column for column in wanted if column not in frame.columns]
    if missing:
        where = f"funding_cash_flows, {name}"
        raise ConfigError(f"{name} have no column {', '.join(missing)}", where=where, value=frame.columns, expected=", ".join(wanted))
    types = {column: frame.schema[column] for column, dtype in wanted.items() if not _fits(frame.schema[column], dtype)}
    if types:
        raise ConfigError(f"{name} have columns of the wrong type", where=f"funding_cash_flows, {name}", value=types, expected=str(wanted))
    return frame.select(pl.col(column).cast(dtype) for column, dtype in wanted.items())


def _fits(given: pl.DataType, wanted: pl.DataType) -> bool:
    if given == pl.Null:
        return True
    if wanted == pl.Int64():
        return given.is_integer()
    return given.is_numeric() if wanted == pl.Float64() else given == wanted


def _refuse(frame: pl.DataFrame, wrong: pl.Expr, what: str, name: str, expected: str) -> None:
    """Raises with the first row of which `wrong` is true."""
    found = frame.filter(wrong)
    if not found.is_empty():
        raise ConfigError(
            f"{what} ({found.height:,} of {frame.height:,} rows)",
            where=f"funding_cash_flows, {name}",
            value=found.row(0, named=True),
            expected=expected,
        )


def _checked_positions(positions: pl.DataFrame, terms: FundingTerms, data_end_us: int) -> pl.DataFrame:
    """The positions with ``piece``, their place, and ``until_us``, the last moment at which they can be charged."""
    rows = _columns(positions, POSITIONS_SCHEMA, "positions")
    unknown = pl.any_horizontal(pl.col(name).is_null() for name in ("position_id", "entry_us", "quantity"))
    _refuse(rows, unknown, "a position has no number, entry or quantity", "positions", "only exit_us may be null")
    unusable = ~pl.col("quantity").is_finite() | (pl.col("quantity") == 0)
    _refuse(rows, unusable, "the quantity of a position cannot be used", "positions", "a number other than 0: + long, - short")
    _refuse(rows, pl.col("exit_us") < pl.col("entry_us"), "a position ends before it begins", "positions", "entry_us <= exit_us")
    _refuse(
        rows,
        (pl.col("exit_us") > data_end_us) | (pl.col("entry_us") > data_end_us),
        "a position reaches beyond the end of the data",
        "positions",
        f"times up to data_end_us, {data_end_us}; exit_us null for a position that is still held",
    )
    end_us = data_end_us if terms.ends_us is None else min(data_end_us, terms.ends_us)
    until_us = pl.min_horizontal(pl.col("exit_us").fill_null(end_us), pl.lit(end_us, dtype=pl.Int64))
    return rows.with_row_index("piece").with_columns(until_us=until_us)


def _checked_settlements(settlements: pl.DataFrame, terms: FundingTerms) -> pl.DataFrame:
    """The settlements in order, each once: ``funding_us``, ``funding_rate``, ``interval_hours``, ``mark_price``."""
    wanted = {name: schema.FUNDING.columns[name] for name in ("funding_us", "funding_rate", "interval_hours", "mark_price")}
    rows = _columns(settlements, wanted, "settlements").with_columns(
        pl.col("interval_hours").fill_null(pl.lit(terms.interval_hours, dtype=pl.Float64))
    )
    unknown = pl.col("funding_us").is_null() | pl.col("funding_rate").is_null() | ~pl.col("funding_rate").is_finite()
    _refuse(rows, unknown, "a settlement has no time or no rate", "settlements", "funding_us and a finite funding_rate")
    whole = pl.col("funding_rate").abs() > 1
    _refuse(rows, whole, "a funding rate is more than the whole position", "settlements", "a fraction: 0.0001 is one basis point")
    no_interval = pl.col("interval_hours").is_null()
    hint = "hours in the row or as interval_hours of FundingTerms; without them a missing settlement could not be seen"
    _refuse(rows, no_interval, "the funding interval of a settlement is not known", "settlements", hint)
    bad_interval = ~(pl.col("interval_hours").is_finite() & (pl.col("interval_hours") * HOUR_US >= 1))
    _refuse(rows, bad_interval, "the funding interval of a settlement is not positive", "settlements", "hours, more than zero")
    _refuse(rows, _no_price(pl.col("mark_price")), "the mark price of a settlement is no price", "settlements", "more than zero, or null")
    values = [pl.col(name) for name in ("funding_rate", "interval_hours", "mark_price")]
    once = (
        rows.group_by("funding_us")
        .agg(*(value.drop_nulls().first() for value in values), apart=pl.max_horizontal(value.drop_nulls().n_unique() for value in values))
        .sort("funding_us")
    )
    _refuse(once, pl.col("apart") > 1, "rows of one settlement contradict each other", "settlements", "a settlement once")
    return once.drop("apart")


def _checked_marks(marks: pl.DataFrame) -> pl.DataFrame:
    rows = _columns(marks, MARKS_SCHEMA, "marks")
    unknown = pl.any_horizontal(pl.col(name).is_null() for name in MARKS_SCHEMA) | _no_price(pl.col("mark_price"))
    _refuse(rows, unknown, "a mark has no time, no source or no price", "marks", "a time, a price above zero and where it comes from")
    ordered = rows.sort("ts_us", maintain_order=True)
    twice = pl.col("ts_us") == pl.col("ts_us").shift()
    if ordered.select(twice.any()).item():
        ordered = ordered.unique(maintain_order=True)
        _refuse(ordered, twice, "marks of one time contradict each other", "marks", "a time once")
    return ordered


def _no_price(price: pl.Expr) -> pl.Expr:
    return ~(price.is_finite() & (price > 0))


def _with_marks(settlements: pl.DataFrame, marks: pl.DataFrame, limit_us: int) -> pl.DataFrame:
    """The settlements with the mark price that each counts at, its age and source; null where there is none that is young enough."""
    last = marks.rename({"mark_price": "last_price", "mark_source": "last_source"}).with_columns(pl.col("ts_us").alias("last_us"))
    found = settlements.join_asof(last, left_on="funding_us", right_on="ts_us", strategy="backward")
    own, young = pl.col("mark_price").is_not_null(), pl.col("funding_us") - pl.col("last_us") <= limit_us
    age_us = pl.when(own).then(pl.lit(0, dtype=pl.Int64)).otherwise(pl.col("funding_us") - pl.col("last_us"))
    return found.select(
        *("funding_us", "interval_hours", "funding_rate"),
        pl.coalesce("mark_price", pl.when(young).then("last_price")).alias("mark_price"),
        age_us.alias("mark_age_us"),
        pl.when(own).then(pl.lit(SETTLEMENT_MARK)).otherwise("last_source").alias("mark_source"),
        pl.when(own | young.fill_null(value=False)).then(pl.lit(PAID)).otherwise(pl.lit(NO_MARK)).alias("status"),
    )


def _with_missing(known: pl.DataFrame, first_us: int, last_us: int) -> pl.DataFrame:
    """The settlements and those that must have taken place after `first_us` and up to `last_us`, in order."""
    length_us = (pl.col("interval_hours") * HOUR_US).round().cast(pl.Int64)
    rows = known.select("funding_us", length_us.alias("length_us"))
    steps = rows.select(
        pl.col("funding_us").alias("from_us"),
        pl.max_horizontal("length_us", pl.col("length_us").shift(-1)).alias("length_us"),
        (pl.col("funding_us").shift(-1) - pl.col("funding_us")).alias("gap_us"),
    ).filter(pl.col("gap_us").is_not_null())
    inside = steps.select("from_us", "length_us", count=(2 * pl.col("gap_us") + pl.col("length_us")) // (2 * pl.col("length_us")) - 1)
    (start_us, start_length_us), (end_us, end_length_us) = rows.row(0), rows.row(-1)
    before = max(0, (start_us - first_us - 1) // start_length_us)
    after = max(0, (last_us - end_us) // end_length_us)
    edges = [(start_us - (before + 1) * start_length_us, start_length_us, before), (end_us, end_length_us, after)]
    holes = pl.concat([inside, pl.DataFrame(edges, schema=inside.schema, orient="row")]).filter(pl.col("count") > 0)
    _refuse_more(int(holes["count"].sum()), "more settlements are missing than are held at a time", "are all times microseconds UTC?")
    missing = holes.with_columns(pl.int_ranges(1, pl.col("count") + 1).alias("number")).explode("number")
    added = missing.select(
        funding_us=pl.col("from_us") + pl.col("number") * pl.col("length_us"),
        interval_hours=pl.col("length_us") / HOUR_US,
        status=pl.lit(NO_SETTLEMENT),
    )
    return pl.concat([known, added], how="diagonal").sort("funding_us")


def _expanded(held: pl.DataFrame, stamps: pl.DataFrame) -> pl.DataFrame:
    """A row for each piece and stamp in ``(entry_us, until_us]``."""
    times = stamps["funding_us"].to_numpy()
    first, stop = (np.searchsorted(times, held[name].to_numpy(), side="right") for name in ("entry_us", "until_us"))
    counts = np.maximum(stop - first, 0)
    total = int(counts.sum())
    _refuse_more(total, "the positions meet more settlements than are held at a time", "charge them in parts")
    starts = np.cumsum(counts) - counts
    pieces = np.repeat(np.arange(len(counts)), counts)
    places = np.arange(total) - np.repeat(starts - first, counts)
    return held[pieces].hstack(stamps[places])


def _refuse_more(rows: int, what: str, hint: str) -> None:
    if rows > _MOST_ROWS:
        raise ConfigError(what, where="funding_cash_flows", value=rows, expected=f"at most {_MOST_ROWS:,}", hint=hint)


def _priced(rows: pl.DataFrame, terms: FundingTerms) -> pl.DataFrame:
    """The rows with notional and cash, in the order of the result."""
    quantity, mark, rate = pl.col("quantity"), pl.col("mark_price"), pl.col("funding_rate")
    if terms.contract_type == "inverse":
        notional, payment = quantity * terms.contract_size, quantity * terms.contract_size / mark * rate
    else:
        notional, payment = quantity * mark, quantity * mark * rate
    priced = rows.sort("position_id", "funding_us", "piece").with_columns(
        side=pl.when(quantity > 0).then(pl.lit("long")).otherwise(pl.lit("short")),
        notional=notional.abs(),
        cash=pl.when(payment == 0).then(0.0).otherwise(-payment),  # never -0.0
        settle_asset=pl.lit(terms.settle_asset),
    )
    return priced.with_columns(cumulative_cash=pl.col("cash").fill_null(0.0).cum_sum().over("position_id")).select(
        pl.col(name).cast(dtype) for name, dtype in FUNDING_FLOWS_SCHEMA.items()
    )


def _refuse_gaps(flows: pl.DataFrame, limit_us: int) -> None:
    for status, what, hint in (
        (NO_SETTLEMENT, "positions were held over settlements that are not in the data", "ingest the missing funding rates"),
        (
            NO_MARK,
            f"settlements have no mark price that is at most {duration_text(limit_us)} old",
            "ingest mark prices, or allow older ones",
        ),
    ):
        stamps = flows.filter(pl.col("status") == status)["funding_us"].unique().sort()
        if stamps.len():
            shown = ", ".join(time_text(us) for us in stamps.head(_SHOWN).to_list())
            more = f" and {stamps.len() - _SHOWN:,} more" if stamps.len() > _SHOWN else ""
            raise NoDataError(
                f"{what}: {stamps.len():,}",
                where="funding_cash_flows",
                value=f"{shown}{more}",
                expected="every settlement between entry and exit, with a mark price",
                hint=f"{hint}; gaps: flag gives these rows without cash",
            )
