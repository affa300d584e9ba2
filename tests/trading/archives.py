"""Archives of settled funding rates and of mark price candles, as Binance Vision publishes them."""

from __future__ import annotations

import datetime as dt
from itertools import groupby
from typing import TYPE_CHECKING, TypeAlias

from tests.archives import MARKETS
from tests.cli.running import write_zip

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FUNDING_HEADER = "calc_time,funding_interval_hours,last_funding_rate"
KLINES_HEADER = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
LENGTH_MS = {"1m": 60_000, "1h": 3_600_000}

Rate: TypeAlias = "tuple[int, int, str]"  # milliseconds, hours, rate
Candle: TypeAlias = "tuple[int, str, str, str, str]"  # milliseconds of the start; open, high, low, close


def month_of(ms: int) -> str:
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC).strftime("%Y-%m")


def funding_archives(folder: Path, exchange: str, symbol: str, rates: Iterable[Rate]) -> list[Path]:
    """A file for each month; the rates in order."""
    found = []
    for month, rows in groupby(rates, key=lambda rate: month_of(rate[0])):
        path = folder / f"data/{MARKETS[exchange]}/monthly/fundingRate/{symbol}/{symbol}-fundingRate-{month}.zip"
        found.append(write_zip(path, [FUNDING_HEADER, *(f"{ms},{hours},{rate}" for ms, hours, rate in rows)]))
    return found


def candle_archives(
    folder: Path, exchange: str, symbol: str, candles: Iterable[Candle], *, interval: str = "1h", dataset: str = "markPriceKlines"
) -> list[Path]:
    """A file for each month; the candles in order."""
    found = []
    for month, rows in groupby(candles, key=lambda candle: month_of(candle[0])):
        path = folder / f"data/{MARKETS[exchange]}/monthly/{dataset}/{symbol}/{interval}/{symbol}-{interval}-{month}.zip"
        amount = "1" if dataset == "klines" else "0"
        lines = [f"{ms},{','.join(prices)},{amount},{ms + LENGTH_MS[interval] - 1},{amount},60,{amount},{amount},0" for ms, *prices in rows]
        found.append(write_zip(path, [KLINES_HEADER, *lines]))
    return found
