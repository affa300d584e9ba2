"""Small markets as candle files, so that tests put closes into a lake by the way that users do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointline.clock import DAY_US, to_us
from pointline.ingest.run import ingest
from pointline.lake.store import open_lake
from pointline.sources.base import Hints
from pointline.sources.families import all_sources

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pointline.lake.store import Lake

SPOT, USDM, COINM, COINBASE = "binance-spot", "binance-futures", "binance-delivery", "coinbase"

MAPPING = """
kind = "candles_{interval}"
exchange = "{exchange}"
symbol = {{ column = "symbol" }}

[columns]
start_us = {{ column = "start", unit = "us" }}
open = "close"
high = "close"
low = "close"
close = "close"
"""


def add_candles(folder: Path, markets: Mapping[tuple[str, str], Mapping[int, float | str]], *, interval: str = "1d") -> Lake:
    """Adds candles, given as start -> close for each exchange and symbol, to the lake below a folder; every row must land."""
    folder.mkdir(parents=True, exist_ok=True)
    lake = open_lake(folder / "lake", create=True)
    for exchange in sorted({exchange for exchange, _ in markets}):
        rows = [
            f"{start},{symbol},{close}\n" for (on, symbol), closes in markets.items() if on == exchange for start, close in closes.items()
        ]
        number = len(list(folder.glob("*.csv")))
        path, mapping = folder / f"{exchange}-{interval}-{number}.csv", folder / f"{exchange}-{interval}-{number}.toml"
        path.write_text("start,symbol,close\n" + "".join(rows), encoding="utf-8")
        mapping.write_text(MAPPING.format(interval=interval, exchange=exchange), encoding="utf-8")
        (report,) = ingest(lake, [path], sources=all_sources("table"), hints=Hints(mapping=mapping))
        assert (report.outcome, report.problem, report.rows_landed) == ("landed", None, len(rows))
    return lake


def day(text: str, number: int = 0) -> int:
    """00:00 UTC of a date, or of the day so many days later."""
    return to_us(text) + number * DAY_US
