"""Rows of the lake as frames: eager or lazy, decoded to base-asset units or as the stored integers.

Every function takes the exchange and symbol, a half-open window ``[start, end)`` on ``ts_local_us`` in any form that
`pointline.clock.to_us` reads, and returns rows sorted by ``ts_local_us`` (ties in source order). Columns that are not selected and
partitions outside the window are never read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, TypeAlias, overload

import polars as pl

from pointline import schema
from pointline.clock import window_us
from pointline.datetimes import in_times
from pointline.errors import ConfigError
from pointline.instruments.versions import warn_of_versions
from pointline.lake import rows
from pointline.lake.store import as_lake
from pointline.lake.window_coverage import no_data

if TYPE_CHECKING:
    from pointline.clock import TimeLike
    from pointline.datetimes import Times
    from pointline.instruments import Instrument
    from pointline.lake.store import LakeLike

CandlePrice: TypeAlias = Literal["trade", "mark", "index", "premium"]


@overload
def trades(
    exchange: str,
    symbol: str,
    start: TimeLike,
    end: TimeLike,
    *,
    decoded: bool = ...,
    lazy: Literal[False] = ...,
    times: Times = ...,
    lake: LakeLike | None = ...,
) -> pl.DataFrame: ...
@overload
def trades(
    exchange: str,
    symbol: str,
    start: TimeLike,
    end: TimeLike,
    *,
    decoded: bool = ...,
    lazy: Literal[True],
    times: Times = ...,
    lake: LakeLike | None = ...,
) -> pl.LazyFrame: ...
@overload
def trades(
    exchange: str,
    symbol: str,
    start: TimeLike,
    end: TimeLike,
    *,
    decoded: bool = ...,
    lazy: bool,
    times: Times = ...,
    lake: LakeLike | None = ...,
) -> pl.DataFrame | pl.LazyFrame: ...
def trades(
    exchange: str,
    symbol: str,
    start: TimeLike,
    end: TimeLike,
    *,
    decoded: bool = True,
    lazy: bool = False,
    times: Times = "us",
    lake: LakeLike | None = None,
) -> pl.DataFrame | pl.LazyFrame:
    """Trades.

    Args:
        exchange, symbol: the instrument; the exchange's own symbol or the universal market name.
        start, end: the window, end exclusive.
        decoded: True gives float64 ``price`` (quote per base) and ``qty`` in base-asset units; where the exchange counts contracts they
            are converted (linear: contracts x contract_size, inverse: contracts x contract_size / price) and stand in
            ``qty_contracts`` too. False gives ``price_int`` and ``qty_int`` as the exchange counts, with their ``price_decimals`` and
            ``qty_decimals``.
        lazy: True gives a LazyFrame.
        times: ``"us"`` gives times as int64 microseconds UTC, which all functions of pointline take; ``"datetime"`` gives them as
            ``Datetime("us", "UTC")`` (see `pointline.with_datetimes`).
        lake: a lake or its folder; the default lake if None.

    Returns:
        ts_local_us, ts_event_us, trade_id, first_trade_id, last_trade_id, text_id, price, qty, side (0 = the buyer was the taker, 1 = the
        seller was, null = not known), off_book (True for a print away from the book, which bars leave out), source_row, source_file.

    Raises:
        RegistryError: unknown instrument; the error has the nearest names.
        NoDataError: no partition touches the window; the error has the coverage.
        ConfigError: decoded, and the contract's size is not known; there are no such `times`.

    Warns:
        MetadataWarning: the instrument has several versions inside the window.

    Examples:
        >>> from pointline.research import query
        >>> rows = query.trades("binance-spot", "BTC-USDT", "2024-05-01", "2024-05-02", lake="out/demo/lake")
        >>> rows.height
        2000
        >>> query.trades("binance-spot", "BTC-USDT", "2024-05-01", "2024-05-02", decoded=False, lake="out/demo/lake")["price_int"].dtype
        Int64
    """
    return _query("trades", exchange, symbol, (start, end), decoded=decoded, lazy=lazy, times=times, lake=lake)


@overload
def liquidations(
    exchange: str,
    symbol: str,
    start: TimeLike,
    end: TimeLike,
    *,
    decoded: bool = ...,
    lazy: Literal[False] = ...,
    times: Times = ...,
    lake: LakeLike | None = ...,
) -> pl.DataFrame: ...
@overload
def liquidations(
    exchange: str,
    symbol: str,
    start: TimeLike,
    end: TimeLike,
    *,
    decoded: bool = ...,
    lazy: Literal[True],
    times: Times = ...,
    lake: LakeLike | None = ...,
) -> pl.LazyFrame: ...
@overload
def liquidations(
    exchange: str,
    symbol: str,
    start: TimeLike,
    end: TimeLike,
    *,
    decoded: bool = ...,
    lazy: bool,
    times: Times = ...,
    lake: LakeLike | None = ...,
) -> pl.DataFrame | pl.LazyFrame: ...
def liquidations(
    exchange: str,
    symbol: str,
    start: TimeLike,
    end: TimeLike,
    *,
    decoded: bool = True,
    lazy: bool = False,
    times: Times = "us",
    lake: LakeLike | None = None,
) -> pl.DataFrame | pl.LazyFrame:
    """Positions that the exchange closed by force; arguments, units and errors as in `trades`.

    ``side`` is that of the forced order, which is the taker: 0 = it bought, so a short was closed; 1 = it sold, so a long was closed;
    null = not known. ``liquidation_id`` is the exchange's id, null where it has none.

    Examples:
        The demo's market has none; the error says what there is:

        >>> from pointline.errors import NoDataError
        >>> from pointline.research import query
        >>> try:
        ...     query.liquidations("binance-futures", "BTCUSDT", "2024-05-01", "2024-05-02", lake="out/demo/lake")
        ... except NoDataError:
        ...     print("no liquidations")
        no liquidations
    """
    return _query("liquidations", exchange, symbol, (start, end), decoded=decoded, lazy=lazy, times=times, lake=lake)


@overload
def quotes(
    exchange: str,
    symbol: str,
    start: TimeLike,
    end: TimeLike,
    *,
    decoded: bool = ...,
    lazy: Literal[False] = ...,
    times: Times = ...,
    lake: LakeLike | None = ...,
) -> pl.DataFrame: ...
@overload
def quotes(
    exchange: str,
    symbol: str,
    start: TimeLike,
    end: TimeLike,
    *,
    decoded: bool = ...,
    lazy: Literal[True],
    times: Times = ...,
    lake: LakeLike | None = ...,
) -> pl.LazyFrame: ...
@overload
def quotes(
    exchange: str,
    symbol: str,
    start: TimeLike,
    end: TimeLike,
    *,
    decoded: bool = ...,
    lazy: bool,
    times: Times = ...,
    lake: LakeLike | None = ...,
) -> pl.DataFrame | pl.LazyFrame: ...
def quotes(
    exchange: str,
    symbol: str,
    start: TimeLike,
    end: TimeLike,
    *,
    decoded: bool = True,
    lazy: bool = False,
    times: Times = "us",
    lake: LakeLike | None = None,
) -> pl.DataFrame | pl.LazyFrame:
    """Best bid and ask; arguments and errors as in `trades`.

    Decoded, ``bid_qty`` and ``ask_qty`` are in base-asset units, of inverse contracts at the quoted price, with the contracts in
    ``bid_qty_contracts`` and ``ask_qty_contracts`` where the exchange counts such.

    Examples:
        The demo's market has no quotes; the error says what there is:

        >>> from pointline.errors import NoDataError
        >>> from pointline.research import query
        >>> try:
        ...     query.quotes("binance-futures", "BTCUSDT", "2024-05-01", "2024-05-02", lake="out/demo/lake")
        ... except NoDataError:
        ...     print("no quotes")
        no quotes
    """
    return _query("quotes", exchange, symbol, (start, end), decoded=decoded, lazy=lazy, times=times, lake=lake)


@overload
def derivative_ticker(
    exchange: str,
    symbol: str,
    start: TimeLike,
    end: TimeLike,
    *,
    decoded: bool = ...,
    lazy: Literal[False] = ...,
    times: Times = ...,
    lake: LakeLike | None = ...,
) -> pl.DataFrame: ...
@overload
def derivative_ticker(
    exchange: str,
    symbol: str,
    start: TimeLike,
    end: TimeLike,
    *,
    decoded: bool = ...,
    lazy: Literal[True],
    times: Times = ...,
    lake: LakeLike | None = ...,
) -> pl.LazyFrame: ...
@overload
def derivative_ticker(
    exchange: str,
    symbol: str,
    start: TimeLike,
    end: TimeLike,
    *,
    decoded: bool = ...,
    lazy: bool,
    times: Times = ...,
    lake: LakeLike | None = ...,
) -> pl.DataFrame | pl.LazyFrame: ...
def derivative_ticker(
    exchange: str,
    symbol: str,
    start: TimeLike,
    end: TimeLike,
    *,
    decoded: bool = True,
    lazy: bool = False,
    times: Times = "us",
    lake: LakeLike | None = None,
) -> pl.DataFrame | pl.LazyFrame:
    """Mark and index price, the running funding estimate, open interest; arguments and errors as in `trades`.

    ``funding_rate`` is the running estimate of the next payment; what was paid is in `funding`. Decoded, ``open_interest`` is as in
    `open_interest`.

    Examples:
        >>> from pointline.research import query
        >>> ticks = query.derivative_ticker("binance-futures", "BTCUSDT", "2024-05-01", "2024-05-02", lake="out/demo/lake")
        >>> {"mark_price", "index_price", "funding_rate", "open_interest"} <= set(ticks.columns)
        True
    """
    return _query("derivative_ticker", exchange, symbol, (start, end), decoded=decoded, lazy=lazy, times=times, lake=lake)


@overload
def funding(
    exchange: str,
    symbol: str,
    start: TimeLike,
    end: TimeLike,
    *,
    decoded: bool = ...,
    lazy: Literal[False] = ...,
    times: Times = ...,
    lake: LakeLike | None = ...,
) -> pl.DataFrame: ...
@overload
def funding(
    exchange: str,
    symbol: str,
    start: TimeLike,
    end: TimeLike,
    *,
    decoded: bool = ...,
    lazy: Literal[True],
    times: Times = ...,
    lake: LakeLike | None = ...,
) -> pl.LazyFrame: ...
@overload
def funding(
    exchange: str,
    symbol: str,
    start: TimeLike,
    end: TimeLike,
    *,
    decoded: bool = ...,
    lazy: bool,
    times: Times = ...,
    lake: LakeLike | None = ...,
) -> pl.DataFrame | pl.LazyFrame: ...
def funding(
    exchange: str,
    symbol: str,
    start: TimeLike,
    end: TimeLike,
    *,
    decoded: bool = True,
    lazy: bool = False,
    times: Times = "us",
    lake: LakeLike | None = None,
) -> pl.DataFrame | pl.LazyFrame:
    """Settled funding payments, known from ``ts_local_us``; arguments and errors as in `trades`.

    Examples:
        Three settlements on a day of eight-hour intervals:

        >>> from pointline.research import query
        >>> paid = query.funding("binance-futures", "BTCUSDT", "2024-05-01", "2024-05-02", lake="out/demo/lake")
        >>> paid.select("funding_us", "interval_hours").rows()
        [(1714521600000000, 8.0), (1714550400000000, 8.0), (1714579200000000, 8.0)]
    """
    return _query("funding", exchange, symbol, (start, end), decoded=decoded, lazy=lazy, times=times, lake=lake)


@overload
def open_interest(
    exchange: str,
    symbol: str,
    start: TimeLike,
    end: TimeLike,
    *,
    decoded: bool = ...,
    lazy: Literal[False] = ...,
    times: Times = ...,
    lake: LakeLike | None = ...,
) -> pl.DataFrame: ...
@overload
def open_interest(
    exchange: str,
    symbol: str,
    start: TimeLike,
    end: TimeLike,
    *,
    decoded: bool = ...,
    lazy: Literal[True],
    times: Times = ...,
    lake: LakeLike | None = ...,
) -> pl.LazyFrame: ...
@overload
def open_interest(
    exchange: str,
    symbol: str,
    start: TimeLike,
    end: TimeLike,
    *,
    decoded: bool = ...,
    lazy: bool,
    times: Times = ...,
    lake: LakeLike | None = ...,
) -> pl.DataFrame | pl.LazyFrame: ...
def open_interest(
    exchange: str,
    symbol: str,
    start: TimeLike,
    end: TimeLike,
    *,
    decoded: bool = True,
    lazy: bool = False,
    times: Times = "us",
    lake: LakeLike | None = None,
) -> pl.DataFrame | pl.LazyFrame:
    """Open interest and account ratios; arguments and errors as in `trades`.

    Decoded, ``open_interest`` of linear contracts is in base-asset units, with the contracts in ``open_interest_contracts`` where the
    exchange counts such; of inverse contracts it stays in contracts. ``open_interest_value`` is in the quote asset; what the exchange
    states of inverse contracts is in the coin and called ``open_interest_value_base``.

    Examples:
        A row each five minutes, stamped at its end:

        >>> from pointline.research import query
        >>> query.open_interest("binance-futures", "BTCUSDT", "2024-05-01", "2024-05-02", lake="out/demo/lake").height
        287
    """
    return _query("open_interest", exchange, symbol, (start, end), decoded=decoded, lazy=lazy, times=times, lake=lake)


@overload
def candles(
    exchange: str,
    symbol: str,
    start: TimeLike,
    end: TimeLike,
    *,
    interval: str = ...,
    price: CandlePrice = ...,
    decoded: bool = ...,
    lazy: Literal[False] = ...,
    times: Times = ...,
    lake: LakeLike | None = ...,
) -> pl.DataFrame: ...
@overload
def candles(
    exchange: str,
    symbol: str,
    start: TimeLike,
    end: TimeLike,
    *,
    interval: str = ...,
    price: CandlePrice = ...,
    decoded: bool = ...,
    lazy: Literal[True],
    times: Times = ...,
    lake: LakeLike | None = ...,
) -> pl.LazyFrame: ...
@overload
def candles(
    exchange: str,
    symbol: str,
    start: TimeLike,
    end: TimeLike,
    *,
    interval: str = ...,
    price: CandlePrice = ...,
    decoded: bool = ...,
    lazy: bool,
    times: Times = ...,
    lake: LakeLike | None = ...,
) -> pl.DataFrame | pl.LazyFrame: ...
def candles(
    exchange: str,
    symbol: str,
    start: TimeLike,
    end: TimeLike,
    *,
    interval: str = "1m",
    price: CandlePrice = "trade",
    decoded: bool = True,
    lazy: bool = False,
    times: Times = "us",
    lake: LakeLike | None = None,
) -> pl.DataFrame | pl.LazyFrame:
    """Candles. A candle is known at its end, ``ts_local_us``, and belongs to the window that contains that time.

    Args:
        exchange, symbol, start, end, lazy, times, lake: as in `trades`.
        interval: ``"1m"``, ``"1h"``, ``"1d"``, …
        price: the price of which the candle is made.
        decoded: True gives float64 and, of linear contracts, ``volume`` and ``taker_buy_volume`` in base-asset units, with the
            contracts in ``volume_contracts`` and ``taker_buy_volume_contracts`` where the exchange counts such; of inverse contracts
            these two stay in contracts and ``base_volume`` is in the coin. False gives the stored decimals.

    Examples:
        A candle belongs to the day on which it ends, so the last minute of a day is in the next one:

        >>> from pointline.research import query
        >>> minutes = query.candles("binance-futures", "BTCUSDT", "2024-05-01", "2024-05-02", price="mark", lake="out/demo/lake")
        >>> minutes.height
        1439
    """
    if not re.fullmatch(r"[1-9]\d*(s|m|h|d|w|mo)", interval) or price not in ("trade", "mark", "index", "premium"):
        raise ConfigError(
            "there are no such candles", value=f"{price} {interval}", expected="interval 1m, 1h, 1d, …; price trade, mark, index or premium"
        )
    kind = schema.candles(interval, price).name
    return _query(kind, exchange, symbol, (start, end), decoded=decoded, lazy=lazy, times=times, lake=lake)


def _query(
    kind: str,
    exchange: str,
    symbol: str,
    span: tuple[TimeLike, TimeLike],
    *,
    decoded: bool,
    lazy: bool,
    times: Times,
    lake: LakeLike | None,
) -> pl.DataFrame | pl.LazyFrame:
    start_us, end_us = window_us(*span)
    opened = as_lake(lake)
    registry = opened.registry()
    instrument = registry.find(exchange, symbol, start_us)
    warn_of_versions(registry, instrument, start_us, end_us)
    if not opened.files(kind, instrument.exchange, instrument.exchange_symbol, start_us, end_us):
        raise no_data(opened, kind, instrument.exchange, instrument.exchange_symbol, start_us, end_us)
    frame = opened.scan(kind, instrument.exchange, instrument.exchange_symbol, start_us, end_us)
    side = [pl.col("side").cast(pl.Int8)] if "side" in schema.table(kind).columns else []
    frame = frame.with_columns(side)
    if decoded:
        frame = decode(frame, kind, instrument)
    frame = in_times(frame, times)
    return frame if lazy else frame.collect()


def decode(frame: pl.LazyFrame, kind: str, instrument: Instrument) -> pl.LazyFrame:
    """Stored integers and decimals as float64, quantities in base-asset units.

    Raises:
        ConfigError: the contract's size is not known.
    """
    table = schema.table(kind)
    inverse = instrument.contract_type == "inverse"
    if not table.amounts:
        floats = frame.with_columns(pl.col(name).cast(pl.Float64) for name, dtype in table.columns.items() if dtype == schema.PRICE)
        if inverse:
            return floats.rename({"open_interest_value": "open_interest_value_base"} if kind == "open_interest" else {})
        counted = [name for name in _COUNTED if name in table.columns and not _without_volume(kind)]
        return _in_base_units(floats, counted, instrument) if counted else floats
    order = [_decoded_name(name, table) for name in table.columns if not name.endswith("_decimals")]
    quantities = [name for name, (_, scale) in table.amounts.items() if scale == "qty"]
    if not instrument.counts_contracts:
        return frame.with_columns(rows.decode_amounts(kind)).select([*order, "source_file"])
    contracts = [rows.decoded(table.amounts[name][0], "qty").alias(f"{name}_contracts") for name in quantities]
    result = frame.with_columns(*rows.decode_amounts(kind, instrument.size), *contracts).select(
        [*order, "source_file", *(f"{name}_contracts" for name in quantities)]
    )
    # of inverse contracts these are quote units so far
    return result.with_columns(pl.col(name) / pl.col(name.replace("qty", "price")) for name in quantities) if inverse else result


_COUNTED = ("volume", "taker_buy_volume", "open_interest")  # as the exchange counts in tables that keep amounts as they came


def _without_volume(kind: str) -> bool:
    """Whether these are candles of a price that is not traded."""
    return kind.startswith(("mark_", "index_", "premium_"))


def _in_base_units(frame: pl.LazyFrame, counted: list[str], instrument: Instrument) -> pl.LazyFrame:
    """Columns of a linear contract or spot that count as the exchange does, in base units."""
    if not instrument.counts_contracts:
        return frame
    contracts = [pl.col(name).alias(f"{name}_contracts") for name in counted]
    return frame.with_columns(*(rows.in_size(name, instrument.size).alias(name) for name in counted), *contracts)


def _decoded_name(stored: str, table: schema.Table) -> str:
    names = {integer: name for name, (integer, _) in table.amounts.items()}
    return names.get(stored, stored)
