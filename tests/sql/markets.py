"""Small markets as archive files for the tests of SQL: candles of any length, funding, and the trades of `tests.archives`."""

from __future__ import annotations

import zipfile
from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from tests.archives import MARKETS

from pointline.clock import DAY_US, HOUR_US, MINUTE_US, date_text
from pointline.ingest.run import ingest
from pointline.lake.store import open_lake
from pointline.sources.base import Hints
from pointline.sources.binance_vision import BinanceVision

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pointline.lake.store import Lake

SQL_NAMES = {"binance-spot": "binance", "binance-futures": "binance-usdm-future", "binance-delivery": "binance-coinm-future"}
LENGTHS_US = {"1m": MINUTE_US, "3m": 3 * MINUTE_US, "5m": 5 * MINUTE_US, "1h": HOUR_US, "1d": DAY_US}


class Candle(NamedTuple):
    """One candle as an archive prints it."""

    start_us: int
    open: str
    high: str
    low: str
    close: str
    volume: str = "1"
    count: int = 1


def candles_archives(folder: Path, exchange: str, symbol: str, interval: str, candles: Iterable[Candle]) -> list[Path]:
    """Monthly archives of candles, by the month in which they start."""
    months: dict[str, list[Candle]] = defaultdict(list)
    for candle in candles:
        months[date_text(candle.start_us)[:7]].append(candle)
    paths = []
    for month, rows in sorted(months.items()):
        path = folder / "data" / MARKETS[exchange] / "monthly" / "klines" / symbol / interval / f"{symbol}-{interval}-{month}.zip"
        lines = [
            f"{c.start_us},{c.open},{c.high},{c.low},{c.close},{c.volume},{c.start_us + LENGTHS_US[interval] - 1},0,{c.count},0,0,0\n"
            for c in rows
        ]
        paths.append(zipped(path, lines))
    return paths


def funding_archive(folder: Path, exchange: str, symbol: str, month: str, payments: Iterable[tuple[int, int, str]]) -> Path:
    """A monthly archive of settled funding: microseconds, hours of the interval, rate."""
    path = folder / "data" / MARKETS[exchange] / "monthly" / "fundingRate" / symbol / f"{symbol}-fundingRate-{month}.zip"
    header = "calc_time,funding_interval_hours,last_funding_rate\n"
    return zipped(path, [header, *(f"{us // 1000},{hours},{rate}\n" for us, hours, rate in payments)])


def zipped(path: Path, lines: list[str]) -> Path:
    """A zip file with one CSV member."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{path.stem}.csv", "".join(lines))
    return path


def add(lake: Lake, *paths: Path, hints: Hints | None = None) -> None:
    """Ingests archive files, each of which must land whole."""
    reports = ingest(lake, paths, sources=(BinanceVision(),), hints=hints or Hints())
    failed = [report for report in reports if report.outcome != "landed"]
    assert not failed, failed[0]


def lake_with(folder: Path, paths: Iterable[Path]) -> Lake:
    """A new lake of archive files."""
    lake = open_lake(folder / "lake", create=True)
    add(lake, *paths)
    return lake


def walk(start_us: int, count: int, step_us: int, *, seed: int = 1, first: int = 5_000_000) -> list[Candle]:
    """Candles of a price that wanders by whole cents, each opening where the last closed."""
    candles, price, state = [], first, seed
    for n in range(count):
        moves = []
        for _ in range(3):
            state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
            moves.append((state >> 40) % 201 - 100)
        close = price + moves[0]
        high, low = max(price, close) + abs(moves[1]), min(price, close) - abs(moves[2])
        volume = Decimal(abs(moves[1]) + 1) / 1000
        cents = [str(Decimal(value) / 100) for value in (price, high, low, close)]
        candles.append(Candle(start_us + n * step_us, *cents, str(volume), abs(moves[2])))
        price = close
    return candles
