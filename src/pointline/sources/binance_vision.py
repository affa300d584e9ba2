"""Binance Vision archives (data.binance.vision): spot, USD-M and COIN-M; daily and monthly; zip, gz or plain CSV.

Nothing is assumed from the date: header, time unit (ms or µs, by magnitude), boolean spelling and column count are read off each file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from pointline import schema
from pointline.errors import SourceError
from pointline.sources.base import RANKS, Batch, Hints, Identity
from pointline.sources.csv_blocks import CsvLayout, read_csv_blocks, time_unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_MARKETS = {"spot": "binance-spot", "futures/um": "binance-futures", "futures/cm": "binance-delivery"}
_EXCHANGES = {exchange: market for market, exchange in _MARKETS.items()}

_TRADES = ("id", "price", "qty", "quote_qty", "time", "is_buyer_maker")
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
_KLINE_DATASETS = {"klines": "trade", "markPriceKlines": "mark", "indexPriceKlines": "index", "premiumIndexKlines": "premium"}
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
_INTERVAL_MINUTES = {"s": 1 / 60, "m": 1, "h": 60, "d": 1440, "w": 10080}


@dataclass(frozen=True)
class _Dataset:
    """How one dataset's CSV maps to parsed columns.

    Attributes:
        layouts: accepted column lists; a file has as many columns as one of them.
        integers: columns read as integers; all others are float, boolean or text.
        time: the column that carries the rows' time.
        convert: frame with the layout's columns, `ts_event_us` and `source_row` -> parsed columns beside the clocks.
    """

    layouts: tuple[tuple[str, ...], ...]
    types: dict[str, pl.DataType]
    time: str
    kind: Callable[[str], str]
    convert: Callable[[pl.DataFrame, Identity], pl.DataFrame]
    positive: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


_INT, _FLOAT, _TEXT = pl.Int64(), pl.Float64(), pl.String()


def _convert_trades(frame: pl.DataFrame, identity: Identity) -> pl.DataFrame:
    del identity
    aggregated = "agg_trade_id" in frame.columns
    none = pl.lit(None, dtype=_INT)
    return frame.select(
        "ts_event_us",
        trade_id=pl.col("agg_trade_id" if aggregated else "id"),
        first_trade_id=pl.col("first_trade_id") if aggregated else none,
        last_trade_id=pl.col("last_trade_id") if aggregated else none,
        text_id=pl.lit(None, dtype=_TEXT),
        price=pl.col("price"),
        qty=pl.col("quantity" if aggregated else "qty"),
        side=pl.col("is_buyer_maker"),
        off_book=pl.lit(None, dtype=pl.Boolean()),
        source_row=pl.col("source_row"),
    )


def _convert_klines(frame: pl.DataFrame, identity: Identity) -> pl.DataFrame:
    inverse = identity.exchange == "binance-delivery"
    traded = identity.dataset.startswith("klines")
    interval_us = _interval_us(identity.dataset.rpartition("-")[2])
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


def _interval_us(interval: str) -> int:
    count, unit = int(interval[:-1] or 1), interval[-1]
    return int(count * _INTERVAL_MINUTES[unit] * 60_000_000)


def _convert_funding(frame: pl.DataFrame, identity: Identity) -> pl.DataFrame:
    del identity
    minute = 60_000_000
    return frame.select(
        "ts_event_us",
        funding_us=(pl.col("ts_event_us") + minute // 2) // minute * minute,
        funding_rate=pl.col("last_funding_rate"),
        interval_hours=pl.col("funding_interval_hours"),
        mark_price=pl.lit(None, dtype=_FLOAT),
        source_row=pl.col("source_row"),
    )


def _convert_metrics(frame: pl.DataFrame, identity: Identity) -> pl.DataFrame:
    del identity
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


def _convert_quotes(frame: pl.DataFrame, identity: Identity) -> pl.DataFrame:
    del identity
    return frame.select(
        "ts_event_us",
        update_id=pl.col("update_id"),
        bid_price=pl.col("best_bid_price"),
        bid_qty=pl.col("best_bid_qty"),
        ask_price=pl.col("best_ask_price"),
        ask_qty=pl.col("best_ask_qty"),
        source_row=pl.col("source_row"),
    )


_FLAGS = {"is_buyer_maker": _TEXT, "is_best_match": _TEXT}
_DATASETS = {
    "trades": _Dataset(
        layouts=(_TRADES, (*_TRADES, "is_best_match")),
        types={"id": _INT, "price": _FLOAT, "qty": _FLOAT, "time": _INT, **_FLAGS},
        time="time",
        kind=lambda _: "trades",
        convert=_convert_trades,
        positive=("price", "qty"),
    ),
    "aggTrades": _Dataset(
        layouts=(_AGG_TRADES, (*_AGG_TRADES, "is_best_match")),
        types={
            "agg_trade_id": _INT,
            "price": _FLOAT,
            "quantity": _FLOAT,
            "first_trade_id": _INT,
            "last_trade_id": _INT,
            "transact_time": _INT,
            **_FLAGS,
        },
        time="transact_time",
        kind=lambda _: "trades",
        convert=_convert_trades,
        positive=("price", "quantity"),
    ),
    "fundingRate": _Dataset(
        layouts=(("calc_time", "funding_interval_hours", "last_funding_rate"),),
        types={"calc_time": _INT, "funding_interval_hours": _FLOAT, "last_funding_rate": _FLOAT},
        time="calc_time",
        kind=lambda _: "funding",
        convert=_convert_funding,
    ),
    "metrics": _Dataset(
        layouts=(_METRICS,),
        types={"create_time": _TEXT, **dict.fromkeys(_METRICS[2:], _FLOAT)},
        time="create_time",
        optional=_METRICS[4:],
        kind=lambda _: "open_interest",
        convert=_convert_metrics,
    ),
    "bookTicker": _Dataset(
        layouts=(("update_id", "best_bid_price", "best_bid_qty", "best_ask_price", "best_ask_qty", "transaction_time", "event_time"),),
        types={
            "update_id": _INT,
            "best_bid_price": _FLOAT,
            "best_bid_qty": _FLOAT,
            "best_ask_price": _FLOAT,
            "best_ask_qty": _FLOAT,
            "transaction_time": _INT,
        },
        time="transaction_time",
        kind=lambda _: "quotes",
        convert=_convert_quotes,
        positive=("best_bid_price", "best_bid_qty", "best_ask_price", "best_ask_qty"),
    ),
}


def _klines_dataset(price: str) -> _Dataset:
    decimals = dict.fromkeys((*_KLINES[1:6], "quote_volume", "taker_buy_volume", "taker_buy_quote_volume"), schema.PRICE)
    return _Dataset(
        layouts=(_KLINES,),
        types={"open_time": _INT, **decimals, "count": _INT},
        time="open_time",
        kind=lambda dataset: schema.candles(dataset.rpartition("-")[2], price).name,
        convert=_convert_klines,
        positive=("open", "high", "low", "close") if price != "premium" else (),
    )


_KLINES_BY_NAME = {name: _klines_dataset(price) for name, price in _KLINE_DATASETS.items()}

_PERIOD = r"(?P<period>\d{4}-\d{2}(?:-\d{2})?)"
_INTERVAL = r"(?P<interval>\d+(?:s|m|h|d|w)|1mo)"
_NAME = re.compile(
    rf"^(?:.*?[^A-Z0-9_])?(?P<symbol>[A-Z0-9]+(?:_(?:PERP|\d{{6}}))?)-(?:(?P<dataset>{'|'.join(_DATASETS)})|{_INTERVAL})-{_PERIOD}\.(?:zip|csv|csv\.gz)$"
)
_FOLDER = re.compile(r"(?:^|/)(?P<market>spot|futures/um|futures/cm)/(?P<span>daily|monthly)/(?P<dataset>\w+)/")
_SUFFIXES = (".zip", ".csv", ".csv.gz")


def _agreed(path: Path, flag: str, said: str | None, told: str | None) -> str | None:
    """What the flag or the path says.

    Raises:
        SourceError: both speak, and differ.
    """
    if said is not None and told is not None and said != told:
        raise SourceError(
            f"{flag} contradicts the file's path; nothing of it was stored",
            where=str(path),
            value=said,
            expected=f"{told}, as the path says",
            hint=f"leave {flag} away, or move the file to where it belongs",
        )
    return said or told


class BinanceVision:
    """Parser of Binance Vision files."""

    name = "binance_vision"

    def recognise(self, path: Path, hints: Hints) -> Identity | None:
        """The identity from folder and file name, completed by the hints.

        Raises:
            SourceError: the file looks like one of these archives but its market, dataset or symbol is in neither path nor hints.
        """
        if not path.name.endswith(_SUFFIXES):
            return None
        named = _NAME.match(path.name)
        folder = _FOLDER.search(path.as_posix())
        if named is None and (hints.dataset is None or self._family(hints.dataset) is None):
            return None
        symbol = _agreed(path, "--symbol", hints.symbol, named["symbol"] if named else None)
        period = _agreed(path, "--period", hints.period, named["period"] if named else None) or ""
        said = "binance-spot" if hints.exchange == "binance" else hints.exchange
        exchange = _agreed(path, "--exchange", said, _MARKETS[folder["market"]] if folder else None)
        dataset = _agreed(path, "--dataset", hints.dataset, self._dataset(named, folder))
        if exchange is None or dataset is None or symbol is None:
            missing = [flag for flag, value in (("--exchange", exchange), ("--dataset", dataset), ("--symbol", symbol)) if value is None]
            raise SourceError(
                "the path does not say everything about this file",
                where=str(path),
                expected="…/{spot|futures/um|futures/cm}/{daily|monthly}/{dataset}/{SYMBOL}/…, as the archive lays it out",
                hint=f"give {' and '.join(missing)} (exchanges: {', '.join(_EXCHANGES)})",
            )
        if exchange not in _EXCHANGES:
            raise SourceError("this archive has no such exchange", where=str(path), value=exchange, expected=", ".join(_EXCHANGES))
        return Identity(self.name, exchange, _EXCHANGES[exchange], dataset, symbol, period)

    def read(self, path: Path, identity: Identity, hints: Hints) -> Iterator[Batch]:
        """The file's rows, one batch per block of the file.

        Raises:
            SourceError: truncated or foreign archive, wrong number of columns, or times in more than one unit.
        """
        dataset = self._family(identity.dataset)
        if dataset is None:
            raise SourceError(
                "this archive has no such dataset",
                where=str(path),
                value=identity.dataset,
                expected=", ".join((*_DATASETS, *_KLINE_DATASETS)),
            )
        daily = len(identity.period) != len("2024-05")
        rank = RANKS["daily" if daily else "monthly"]
        layout = CsvLayout(
            layouts=dataset.layouts,
            types=dataset.types,
            time=dataset.time,
            positive=dataset.positive,
            optional=dataset.optional,
            flags=("is_buyer_maker",) if "is_buyer_maker" in dataset.types else (),
        )
        unit: int | None = None
        for block in read_csv_blocks(path, layout):
            frame, unit = time_unit(block.frame, dataset.time, unit, path)
            kind = dataset.kind(identity.dataset)
            latency_us = 0 if "candles_" in kind else hints.latency_us  # a candle is stamped with its end
            parsed = dataset.convert(frame, identity).with_columns(ts_local_us=pl.col("ts_event_us") + latency_us)
            columns = schema.table(kind).parsed
            yield Batch(
                kind=kind,
                exchange=identity.exchange,
                symbol=identity.symbol,
                frame=parsed.select([pl.col(name).cast(dtype) for name, dtype in columns.items()]),
                rank=rank,
                rejects=block.rejects,
            )

    def _family(self, dataset: str) -> _Dataset | None:
        name, _, interval = dataset.partition("-")
        if name in _KLINES_BY_NAME:
            return _KLINES_BY_NAME[name] if re.fullmatch(r"\d+[smhdw]", interval) else None
        return _DATASETS.get(dataset)

    def _dataset(self, named: re.Match[str] | None, folder: re.Match[str] | None) -> str | None:
        if named is None:
            return None
        if named["dataset"]:
            return named["dataset"]
        family = folder["dataset"] if folder else None
        return f"{family}-{named['interval']}" if family in _KLINES_BY_NAME else None
