"""What the CSVs of each Binance Vision dataset hold, what no row of them may be, and how they become parsed columns."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from pointline import schema
from pointline.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from pointline.sources.checks import Check
from pointline.sources.csv_blocks import CsvLayout
from pointline.sources.grid import LONGEST_FUNDING_HOURS, MONDAY_US, settlement_us
from pointline.sources.products import Product

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointline.sources.base import Identity

INVERSE = "binance-delivery"

_TRADES = ("id", "price", "qty", "quote_qty", "time", "is_buyer_maker")
_INVERSE_TRADES = ("id", "price", "qty", "base_qty", "time", "is_buyer_maker")
_AGG_TRADES = ("agg_trade_id", "price", "quantity", "first_trade_id", "last_trade_id", "transact_time", "is_buyer_maker")
_KLINES = (
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close_time",
    "quote_volume",
    "count",
    "taker_buy_volume",
    "taker_buy_quote_volume",
    "ignore",
)
KLINE_DATASETS = {"klines": "trade", "markPriceKlines": "mark", "indexPriceKlines": "index", "premiumIndexKlines": "premium"}
_METRICS = (
    "create_time",
    "symbol",
    "sum_open_interest",
    "sum_open_interest_value",
    "count_toptrader_long_short_ratio",
    "sum_toptrader_long_short_ratio",
    "count_long_short_ratio",
    "sum_taker_long_short_vol_ratio",
)
_QUOTES = ("update_id", "best_bid_price", "best_bid_qty", "best_ask_price", "best_ask_qty", "transaction_time", "event_time")
_LIQUIDATIONS = (
    "time",
    "side",
    "order_type",
    "time_in_force",
    "original_quantity",
    "price",
    "average_price",
    "order_status",
    "last_fill_quantity",
    "accumulated_fill_quantity",
)
_FUNDING = ("calc_time", "funding_interval_hours", "last_funding_rate")

_UNIT_US = {"s": SECOND_US, "m": MINUTE_US, "h": HOUR_US, "d": DAY_US, "w": 7 * DAY_US}
_LAST_MOMENT_US = 1_000  # a candle's end is written as its last millisecond, its last microsecond, or the first moment after it
_CONTRACT_SIZES = (10.0, 100.0)  # US dollars: BTC 100, all others 10
_INT, _FLOAT, _TEXT = pl.Int64(), pl.Float64(), pl.String()


@dataclass(frozen=True)
class Dataset:
    """How one dataset's CSV maps to parsed columns.

    Attributes:
        layout: its columns and checks.
        kind: table of `pointline.schema`.
        convert: frame with the layout's read columns, `ts_event_us` and `source_row` -> those parsed columns that the
            archive has, but ``ts_local_us``.
        known: column with the time at which the exchange sent the row, in the unit of the layout's time; None where there is none.
        twice: the archive writes every row twice.
    """

    layout: CsvLayout
    kind: str
    convert: Callable[[pl.DataFrame], pl.DataFrame]
    known: str | None = None
    twice: bool = False

    def known_us(self, frame: pl.DataFrame, event_us: pl.Series) -> pl.Series:
        """When a row was known at the earliest, in microseconds: not before it happened, nor before the exchange sent it."""
        if self.known is None:
            return event_us
        late = frame[self.known] - frame[self.layout.time]
        scale = pl.when(pl.col("ts_event_us") == pl.col(self.layout.time)).then(1).otherwise(1000)
        return event_us + (late * frame.select(scale).to_series()).clip(lower_bound=0)


def dataset_of(identity: Identity) -> Dataset | None:
    """The dataset of a file; None where the archive has none of that name."""
    name, _, interval = identity.dataset.partition("-")
    if name in KLINE_DATASETS:
        return _klines(KLINE_DATASETS[name], interval, identity) if re.fullmatch(r"[1-9]\d*[smhdw]", interval) else None
    make = _DATASETS.get(identity.dataset)
    return make(identity) if make is not None else None


def is_dataset(name: str) -> bool:
    """Whether files of a dataset (``"trades"``, ``"klines-1m"``) are read."""
    family, _, interval = name.partition("-")
    return name in _DATASETS or (family in KLINE_DATASETS and re.fullmatch(r"[1-9]\d*[smhdw]", interval) is not None)


def _below_zero(*columns: str) -> tuple[Check, ...]:
    return tuple(Check.never(name, "must not be below zero", pl.col(name) < 0) for name in columns)


def _trades(identity: Identity) -> Dataset:
    inverse = identity.exchange == INVERSE
    columns = _INVERSE_TRADES if inverse else _TRADES
    return Dataset(
        layout=CsvLayout(
            layouts=(columns, (*columns, "is_best_match")),
            types={"id": _INT, **dict.fromkeys(columns[1:4], _FLOAT), "time": _INT, "is_buyer_maker": _TEXT},
            time="time",
            positive=("price", "qty"),
            flags=("is_buyer_maker", "is_best_match"),
            exact=("price", "qty"),
            checks=lambda _: _below_zero("id"),
            product=Product("price", "qty", columns[3], _CONTRACT_SIZES if inverse else ()),
        ),
        kind="trades",
        convert=_convert_trades,
    )


def _aggregated_trades(_: Identity) -> Dataset:
    ids = ("agg_trade_id", "first_trade_id", "last_trade_id")
    backward = Check.never("last_trade_id", "is below first_trade_id", pl.col("last_trade_id") < pl.col("first_trade_id"))
    return Dataset(
        layout=CsvLayout(
            layouts=(_AGG_TRADES, (*_AGG_TRADES, "is_best_match")),
            types={**dict.fromkeys(ids, _INT), "price": _FLOAT, "quantity": _FLOAT, "transact_time": _INT, "is_buyer_maker": _TEXT},
            time="transact_time",
            positive=("price", "quantity"),
            flags=("is_buyer_maker", "is_best_match"),
            exact=("price", "quantity"),
            checks=lambda _: (*_below_zero(*ids), backward),
        ),
        kind="trades",
        convert=_convert_trades,
    )


def _convert_trades(frame: pl.DataFrame) -> pl.DataFrame:
    aggregated = "agg_trade_id" in frame.columns
    ids = ("first_trade_id", "last_trade_id") if aggregated else ()
    return frame.select(
        "ts_event_us",
        *ids,
        trade_id=pl.col("agg_trade_id" if aggregated else "id"),
        price=pl.col("price"),
        qty=pl.col("quantity" if aggregated else "qty"),
        side=pl.col("is_buyer_maker"),
        source_row=pl.col("source_row"),
    )


def _klines(price: str, interval: str, identity: Identity) -> Dataset:
    amounts = (*_KLINES[1:6], "quote_volume", "taker_buy_volume", "taker_buy_quote_volume")
    prices = _KLINES[1:5]
    interval_us = int(interval[:-1]) * _UNIT_US[interval[-1]]
    return Dataset(
        layout=CsvLayout(
            layouts=(_KLINES,),
            types={"open_time": _INT, **dict.fromkeys(amounts, schema.PRICE), "close_time": _INT, "count": _INT},
            time="open_time",
            positive=prices if price != "premium" else (),
            exact=amounts,
            checks=partial(_candle_checks, interval, interval_us, price == "trade"),
        ),
        kind=schema.candles(interval, price).name,
        convert=partial(_convert_klines, interval_us, traded=price == "trade", inverse=identity.exchange == INVERSE),
    )


def _candle_checks(interval: str, interval_us: int, traded: bool, scale: int) -> tuple[Check, ...]:  # noqa: FBT001 - bound by partial
    """A candle lies on the grid of its interval, ends where the next begins, and spans its own prices and volumes."""
    start, end = pl.col("ts_event_us"), (pl.col("close_time") + 1) * scale
    grid_us = DAY_US if interval[-1] == "d" else interval_us  # several days: where their count begins is not documented
    origin_us = MONDAY_US if interval[-1] == "w" else 0
    checks = [
        Check.never("open_time", f"is no start of a {interval} candle", (start - origin_us) % grid_us != 0),
        Check.never("close_time", f"is not the end of a {interval} candle", (end - start - interval_us).abs() > _LAST_MOMENT_US),
        Check.never("high", "is below the open, the close or the low", pl.col("high") < pl.max_horizontal("open", "close", "low")),
        Check.never("low", "is above the open or the close", pl.col("low") > pl.min_horizontal("open", "close")),
    ]
    if traded:
        checks += _below_zero("volume", "quote_volume", "count", "taker_buy_volume", "taker_buy_quote_volume")
        checks += [
            Check.never(f"taker_buy_{name}", f"is above {name}, of which it is a part", pl.col(f"taker_buy_{name}") > pl.col(name))
            for name in ("volume", "quote_volume")
        ]
    return tuple(checks)


def _convert_klines(interval_us: int, frame: pl.DataFrame, *, traded: bool, inverse: bool) -> pl.DataFrame:
    nothing = pl.lit(None, dtype=schema.PRICE)
    quote = nothing if inverse or not traded else pl.col("quote_volume")
    return frame.select(
        ts_event_us=pl.col("ts_event_us") + interval_us,
        start_us=pl.col("ts_event_us"),
        open=pl.col("open"),
        high=pl.col("high"),
        low=pl.col("low"),
        close=pl.col("close"),
        volume=pl.col("volume") if traded else nothing,
        quote_volume=quote,
        base_volume=pl.col("quote_volume") if inverse and traded else nothing,
        trade_count=pl.col("count") if traded else pl.lit(None, dtype=_INT),
        taker_buy_volume=pl.col("taker_buy_volume") if traded else nothing,
        taker_buy_quote_volume=nothing if inverse or not traded else pl.col("taker_buy_quote_volume"),
        source_row=pl.col("source_row"),
    )


def _funding(_: Identity) -> Dataset:
    hours = pl.col("funding_interval_hours")
    checks = (
        Check.never(
            "funding_interval_hours", "is no interval between payments (above 0, up to 24)", (hours <= 0) | (hours > LONGEST_FUNDING_HOURS)
        ),
        Check.never("last_funding_rate", "is more than the whole position (a rate is a fraction)", pl.col("last_funding_rate").abs() > 1),
    )
    return Dataset(
        layout=CsvLayout(
            layouts=(_FUNDING,),
            types={"calc_time": _INT, "funding_interval_hours": _FLOAT, "last_funding_rate": _FLOAT},
            time="calc_time",
            exact=("last_funding_rate",),
            checks=lambda _: checks,
        ),
        kind="funding",
        convert=_convert_funding,
    )


def _convert_funding(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(
        "ts_event_us",
        funding_us=settlement_us(pl.col("ts_event_us")),
        funding_rate=pl.col("last_funding_rate"),
        interval_hours=pl.col("funding_interval_hours"),
        source_row=pl.col("source_row"),
    )


def _metrics(identity: Identity) -> Dataset:
    symbol = pl.col("symbol").str.strip_chars('" ')
    other = Check.never("symbol", f"is another symbol than the file's, {identity.symbol}", symbol != identity.symbol)
    return Dataset(
        layout=CsvLayout(
            layouts=(_METRICS,),
            types={"create_time": _TEXT, "symbol": _TEXT, **dict.fromkeys(_METRICS[2:], _FLOAT)},
            time="create_time",
            optional=_METRICS[4:],
            checks=lambda _: (other, *_below_zero(*_METRICS[2:])),
        ),
        kind="open_interest",
        convert=_convert_metrics,
    )


def _convert_metrics(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(
        "ts_event_us",
        open_interest=pl.col("sum_open_interest"),
        open_interest_value=pl.col("sum_open_interest_value"),
        top_trader_account_ratio=pl.col("count_toptrader_long_short_ratio"),
        top_trader_position_ratio=pl.col("sum_toptrader_long_short_ratio"),
        account_ratio=pl.col("count_long_short_ratio"),
        taker_volume_ratio=pl.col("sum_taker_long_short_vol_ratio"),
        source_row=pl.col("source_row"),
    )


def _quotes(_: Identity) -> Dataset:
    amounts = _QUOTES[1:5]
    return Dataset(
        layout=CsvLayout(
            layouts=(_QUOTES,),
            types={"update_id": _INT, **dict.fromkeys(amounts, _FLOAT), "transaction_time": _INT, "event_time": _INT},
            time="transaction_time",
            positive=amounts,
            exact=amounts,
            checks=_quote_checks,
        ),
        kind="quotes",
        convert=_convert_quotes,
        known="event_time",
    )


def _quote_checks(scale: int) -> tuple[Check, ...]:
    crossed = Check.never("best_ask_price", "is below best_bid_price", pl.col("best_ask_price") < pl.col("best_bid_price"))
    apart = (pl.col("event_time") - pl.col("transaction_time")).abs() > HOUR_US // scale
    return (*_below_zero("update_id"), crossed, Check.never("event_time", "is more than an hour from transaction_time", apart))


def _convert_quotes(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(
        "ts_event_us",
        update_id=pl.col("update_id"),
        bid_price=pl.col("best_bid_price"),
        bid_qty=pl.col("best_bid_qty"),
        ask_price=pl.col("best_ask_price"),
        ask_qty=pl.col("best_ask_qty"),
        source_row=pl.col("source_row"),
    )


def _liquidations(_: Identity) -> Dataset:
    sides = Check.never("side", "is neither BUY nor SELL", ~pl.col("side").is_in(["BUY", "SELL"]))
    unfilled = Check(pl.col("order_status") == "FILLED", "order_status", None, "the order was not filled, or not yet", fatal=False)
    texts = ("side", "order_type", "time_in_force", "order_status")
    return Dataset(
        layout=CsvLayout(
            layouts=(_LIQUIDATIONS,),
            types={"time": _INT, **{name: _TEXT if name in texts else _FLOAT for name in _LIQUIDATIONS[1:]}},
            time="time",
            positive=("average_price", "accumulated_fill_quantity"),
            exact=("average_price", "accumulated_fill_quantity"),
            checks=lambda _: (sides, unfilled),
        ),
        kind="liquidations",
        convert=_convert_liquidations,
        twice=True,
    )


def _convert_liquidations(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(
        "ts_event_us",
        price=pl.col("average_price"),
        qty=pl.col("accumulated_fill_quantity"),
        side=pl.col("side") == "SELL",
        source_row=pl.col("source_row"),
    )


def one_of_each_pair(frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of a file whose archive writes every row twice.

    Args:
        frame: all accepted rows in file order, with ``source_row``.

    Returns:
        The first row of each pair of equal rows, and rejects for the rows that are left without a second.

    >>> kept, rejects = one_of_each_pair(pl.DataFrame({"time": [7, 7, 8, 7, 7], "source_row": [1, 2, 3, 4, 5]}))
    >>> kept["source_row"].to_list(), rejects["line"].to_list()
    ([1, 4], [3])
    """
    values = [name for name in frame.columns if name != "source_row"]
    place, count = pl.int_range(pl.len()).over(values), pl.len().over(values)
    first = place % 2 == 0
    left = frame.filter(first & (place == count - 1))
    rejects = left.select(
        line=pl.col("source_row"),
        column=pl.lit("time"),
        value=pl.col("time").cast(pl.String),
        reason=pl.lit("stands an odd number of times, and this archive writes every row twice"),
        raw=pl.lit(None, dtype=pl.String),
        fatal=pl.lit(value=False),
    )
    return frame.filter(first & (place < count - 1)), rejects


_DATASETS: dict[str, Callable[[Identity], Dataset]] = {
    "trades": _trades,
    "aggTrades": _aggregated_trades,
    "fundingRate": _funding,
    "metrics": _metrics,
    "bookTicker": _quotes,
    "liquidationSnapshot": _liquidations,
}
DATASETS = (*_DATASETS, *KLINE_DATASETS)
