"""Lakes that are exported, each made once and only read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest
from tests.archives import trades_archive
from tests.sql.markets import Candle, candles_archives, funding_archive, lake_with

from pointline.clock import DAY_US, HOUR_US, MINUTE_US, to_us
from pointline.ingest.run import ingest
from pointline.lake.store import open_lake
from pointline.sources.base import Hints
from pointline.sources.families import all_sources

if TYPE_CHECKING:
    from pathlib import Path

    from tests.demo import Demo

    from pointline.lake.store import Lake

MONDAY = to_us("2024-04-29")
SPOT = ("binance-spot", "BTCUSDT")


@pytest.fixture(scope="session")
def market(demo: Demo) -> Lake:
    """Two simulated days: trades, candles, mark, index and premium candles, funding, open interest and tickers."""
    return open_lake(demo.folder / "lake")


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return open_lake(tmp_path_factory.mktemp("empty") / "lake", create=True)


def stairs(start_us: int, count: int, step_us: int, price: int) -> list[Candle]:
    """Candles whose prices tell of which source they are; every seventh without a trade."""
    return [Candle(start_us + n * step_us, *[f"{price}.{n:05d}"] * 4, "0" if n % 7 == 3 else "1.5", n % 5) for n in range(count)]


@pytest.fixture(scope="session")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Days that several sources hold, whole and in part, with trades whose ids have holes; beside them an inverse contract and funding."""
    folder = tmp_path_factory.mktemp("mixed")
    day = [MONDAY + n * DAY_US for n in range(6)]
    minutes = stairs(day[0], 1_440, MINUTE_US, 100) + stairs(day[1] + 12 * HOUR_US, 720, MINUTE_US, 101)
    hours = [candle for n in range(3) for candle in stairs(day[n], 24, HOUR_US, 200 + n)]
    paths = [
        *candles_archives(folder, *SPOT, "1m", minutes),
        *candles_archives(folder, *SPOT, "1h", hours),
        *candles_archives(folder, *SPOT, "1d", [Candle(day[n], *[f"30{n}"] * 4) for n in range(4)]),
        *candles_archives(folder, "binance-futures", "BTCUSDT", "5m", stairs(day[0], 600, 5 * MINUTE_US, 500)),
        funding_archive(
            folder, "binance-delivery", "BTCUSD_PERP", "2024-04", [(MONDAY, 8, "-0.00012345"), (MONDAY + 8 * HOUR_US, 8, "1e-7")]
        ),
    ]
    for start in (day[0], day[1], day[4]):
        prints = [(start + n * 61_000_000, f"400.{n:05d}", "0.5", bool(n % 2)) for n in range(1_300) if not 700 < n < 730]
        paths.append(trades_archive(folder, *SPOT, start, [one for one in prints if one[0] < start + DAY_US]))
    prints = [(day[5] + n // 3 * 20_000_000, f"{60_000 + n % 11}.{n % 10}", str(1 + n % 9), n % 4 == 0) for n in range(4_000)]
    paths.append(trades_archive(folder, "binance-delivery", "BTCUSD_PERP", day[5], prints))
    return lake_with(folder, paths)


TRADES = """kind = "trades"
exchange = "okx-swap"
symbol = "BTC-USDT-SWAP"
[columns]
ts_event_us = { column = "time", unit = "us" }
trade_id = "id"
price = "price"
qty = "size"
side = { column = "side", seller_taker = ["sell"], buyer_taker = ["buy"] }
"""
QUOTES = """kind = "quotes"
exchange = "okx-swap"
symbol = "BTC-USDT-SWAP"
[columns]
ts_event_us = { column = "time", unit = "us" }
bid_price = "bid"
bid_qty = "bid_size"
ask_price = "ask"
ask_qty = "ask_size"
"""
CANDLES = """kind = "candles_1m"
exchange = "okx-swap"
symbol = "BTC-USDT-SWAP"
[columns]
start_us = { column = "time", unit = "us" }
open = "price"
high = "price"
low = "price"
close = "price"
volume = "size"
taker_buy_volume = "size"
"""
INTEREST = """kind = "open_interest"
exchange = "okx-swap"
symbol = "BTC-USDT-SWAP"
[columns]
ts_event_us = { column = "time", unit = "us" }
open_interest = "size"
"""


def mapped(lake: Lake, folder: Path, name: str, mapping: str, rows: pl.DataFrame) -> None:
    """Ingests a table by a mapping; it must land."""
    table, rules = folder / f"{name}.parquet", folder / f"{name}.toml"
    rows.write_parquet(table)
    rules.write_text(mapping, encoding="utf-8")
    (report,) = ingest(lake, [table], sources=all_sources("table"), hints=Hints(mapping=rules))
    assert (report.outcome, report.problem) == ("landed", None)


@pytest.fixture(scope="session")
def contracts(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A linear contract of 0.01 coins: trades, quotes, candles and open interest that count contracts."""
    folder = tmp_path_factory.mktemp("contracts")
    lake = open_lake(folder / "lake", create=True)
    n = pl.int_range(900, eager=True)
    rows = pl.DataFrame(
        {
            "time": MONDAY + n * 7_000_000,
            "id": n + 1,
            "price": 60_000 + n % 10 / 10,
            "size": n % 17 + 1,
            "side": ["buy", "sell", "buy"] * 300,
        }
    )
    mapped(lake, folder, "trades", TRADES, rows)
    quotes = rows.select("time", bid="price", bid_size="size", ask=pl.col("price") + 0.1, ask_size=pl.col("size") + 3)
    mapped(lake, folder, "quotes", QUOTES, quotes)
    minutes = rows.filter(n < 50).with_columns(time=MONDAY + DAY_US + n.head(50) * MINUTE_US)
    mapped(lake, folder, "candles", CANDLES, minutes)
    mapped(lake, folder, "interest", INTEREST, rows.gather_every(100).with_columns(pl.col("size") + 0.7))
    return lake
