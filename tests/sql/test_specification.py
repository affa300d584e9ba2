"""The specification's statement, byte for byte: the page's figures, published statistics, and a plain computation beside it."""

from __future__ import annotations

import csv
import datetime as dt
import json
import os
import subprocess
import sys
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.sql.conftest import CONTRACTS, PRINTED, december_closes
from tests.sql.markets import SQL_NAMES, Candle, candles_archives, lake_with

from pointline import sql
from pointline.clock import DAY_US, to_us

if TYPE_CHECKING:
    from pointline.lake.store import Lake

MARKETS = {"BTCUSD_PERP": "BTC-USD-PERP", "BTCUSDT": "BTC-USDT", "BTCUSDT_250328": "BTC-USDT-2025-03-28"}


def test_the_statement_is_the_pages(shared_data: Path, specification: str) -> None:
    page = shared_data.parent / "spec" / "spot-futures-perp-spreads.md"
    if not page.is_file():
        pytest.skip(f"the specification is not at {page}")
    assert page.read_text(encoding="utf-8").split("```sql\n")[1].split("```")[0] == specification


def test_december_has_93_rows_with_the_printed_spreads(december: Lake, specification: str) -> None:
    result = sql.query(specification, lake=december)
    assert result.columns == ["day", "exchange", "market", "close", "spot_close", "spread", "spread_pct"]
    assert result.height == 93
    rows = {(str(row["day"]), row["market"], row["exchange"]): row for row in result.iter_rows(named=True)}
    for (day, symbol), (close, spread) in PRINTED.items():
        row = rows[day, MARKETS[symbol], SQL_NAMES[CONTRACTS[symbol]]]
        assert row["close"] == float(close)
        assert f"{row['spread']:.2f}" == spread
    percent = {(day, symbol): f"{rows[day, MARKETS[symbol], SQL_NAMES[CONTRACTS[symbol]]]['spread_pct']:+.2f}" for day, symbol in PRINTED}
    assert percent == {
        ("2024-12-01", "BTCUSD_PERP"): "+0.15",
        ("2024-12-01", "BTCUSDT"): "+0.08",
        ("2024-12-01", "BTCUSDT_250328"): "+5.23",
        ("2024-12-02", "BTCUSD_PERP"): "+0.08",
        ("2024-12-02", "BTCUSDT"): "+0.05",
        ("2024-12-02", "BTCUSDT_250328"): "+4.95",
        ("2024-12-04", "BTCUSD_PERP"): "+0.19",
    }


def test_every_row_equals_a_computation_in_polars(december: Lake, specification: str) -> None:
    closes = pl.DataFrame(
        [(exchange, symbol, day_us, close) for (exchange, symbol, day_us), close in december_closes().items()],
        schema=["exchange", "symbol", "day_us", "close"],
        orient="row",
    ).select(
        day=pl.from_epoch("day_us", time_unit="us").dt.date(),
        exchange=pl.col("exchange").replace_strict(SQL_NAMES),
        market=pl.col("symbol").replace_strict(MARKETS),
        close=pl.col("close").cast(pl.Float64),
    )
    is_spot = pl.col("exchange") == "binance"
    spot = closes.filter(is_spot).select("day", spot_close="close")
    expected = (
        closes.filter(~is_spot)
        .join(spot, on="day")
        .with_columns(spread=pl.col("close") - pl.col("spot_close"))
        .with_columns(spread_pct=pl.col("spread") / pl.col("spot_close") * 100)
        .sort("day", "exchange", "market")
    )
    assert_frame_equal(sql.query(specification, lake=december), expected)


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kathmandu"])
def test_the_environments_time_zone_changes_nothing(december: Lake, specification: str, zone: str, tmp_path: Path) -> None:
    script = tmp_path / "ask.py"
    script.write_text(
        "import sys\nfrom pointline import sql\n"
        "if __name__ == '__main__':\n"
        "    frame = sql.query(open(sys.argv[2]).read(), lake=sys.argv[1])\n"
        "    clock = sql.query('SELECT timezone() AS zone, toString(start) AS start, toString(known_at) AS known_at '\n"
        "        'FROM api.ohlcv(candle_duration_in_minutes = 1440) ORDER BY start LIMIT 1', lake=sys.argv[1])\n"
        "    print(frame.write_json() + '\\n' + clock.write_json())\n"
    )
    environment = {**os.environ, "TZ": zone, "PYTHONPATH": os.pathsep.join(sys.path)}
    statement = Path(__file__).parent / "specification.sql"
    run = subprocess.run(
        [sys.executable, str(script), str(december.root), str(statement)], capture_output=True, text=True, check=True, env=environment
    )
    rows, clock = run.stdout.splitlines()
    assert json.loads(rows) == json.loads(sql.query(specification, lake=december).write_json())
    assert json.loads(clock) == [{"zone": "UTC", "start": "2024-12-01 00:00:00", "known_at": "2024-12-02 00:00:00.000000"}]


# --- July 2024, as published ------------------------------------------------------------------------------------------------------

JULY = """
SELECT exchange, market, count() AS days, round(avg(spread), 2) AS mean, round(min(spread), 2) AS least, round(max(spread), 2) AS most
FROM ({statement})
GROUP BY exchange, market ORDER BY exchange
"""
DAILY = {
    ("binance-spot", "BTCUSDT"): "Binance_BTCUSDT_d.csv",
    ("binance-futures", "BTCUSDT"): "BTCUSDT_Binance_futures_UM_day.csv",
    ("binance-delivery", "BTCUSD_PERP"): "BTCUSD_PERP_Binance_futures_CM_day.csv",
}


def published(folder: Path, file: str) -> list[dict[str, str]]:
    lines = (folder / "klines" / file).read_text(encoding="utf-8-sig").splitlines()
    rows = list(csv.DictReader(lines[1:]))
    return [row for row in rows if row["Date"].startswith("2024-07")]


def test_july_2024_equals_the_published_statistics(shared_data: Path, specification: str, tmp_path: Path) -> None:
    paths = []
    for (exchange, symbol), file in DAILY.items():
        candles = [
            Candle(to_us(row["Date"][:10]), row["Open"], row["High"], row["Low"], row["Close"]) for row in published(shared_data, file)
        ]
        assert len(candles) == 31
        paths += candles_archives(tmp_path, exchange, symbol, "1d", candles)
    lake = lake_with(tmp_path, paths)
    statement = specification.replace("2024-12-01", "2024-07-01").replace("2024-12-31", "2024-07-31")
    assert sql.query(JULY.replace("{statement}", statement), lake=lake).rows() == [
        ("binance-coinm-future", "BTC-USD-PERP", 31, -24.85, -100.87, 18.76),
        ("binance-usdm-future", "BTC-USDT", 31, -25.66, -44.36, -0.58),
    ]


def test_hourly_candles_of_two_years_equal_a_computation_in_polars(shared_data: Path, specification: str, tmp_path: Path) -> None:
    files = {
        ("binance-spot", "BTCUSDT"): "binance_BTC_USDT-1h_202301-202411.feather",
        ("binance-futures", "BTCUSDT"): "binance_BTC_USDT_USDT-1h-futures_202301-202411.feather",
    }
    paths, hourly = [], {}
    for key, file in files.items():
        frame = pl.read_ipc(shared_data / "klines" / file).with_columns(pl.col("date").cast(pl.Datetime("us", "UTC")))
        hourly[key] = frame
        rows = frame.select(pl.col("date").cast(pl.Int64), "open", "high", "low", "close", "volume").iter_rows()
        paths += candles_archives(tmp_path, *key, "1h", [Candle(us, *(repr(value) for value in values)) for us, *values in rows])
    lake = lake_with(tmp_path, paths)
    statement = specification.replace("2024-12-01", "2023-01-01").replace("2024-12-31", "2024-11-30")
    spot, perp = (
        frame.group_by_dynamic("date", every="1d").agg(pl.col("close").last()).select(pl.col("date").dt.date().alias("day"), "close")
        for frame in hourly.values()
    )
    expected = (
        perp.join(spot.rename({"close": "spot_close"}), on="day")
        .with_columns(spread=pl.col("close") - pl.col("spot_close"))
        .with_columns(spread_pct=pl.col("spread") / pl.col("spot_close") * 100)
        .sort("day")
    )
    result = sql.query(statement, lake=lake).filter(pl.col("market") == "BTC-USDT")
    assert result.height > 600
    assert_frame_equal(result.drop("exchange", "market"), expected)


# --- the page's four extensions ---------------------------------------------------------------------------------------------------


def test_the_annualised_basis_of_the_quarterly_future(december: Lake) -> None:
    """5.233 % on 2024-12-01, counted from that day's close to delivery: 116 days and 8 hours."""
    result = sql.query(
        """
        WITH closes AS (
            SELECT end, exchange, market, toFloat64(close) AS price
            FROM api.ohlcv(candle_duration_in_minutes = 1440)
            WHERE start = '2024-12-01' AND market LIKE 'BTC-USDT%'
        )
        SELECT dateDiff('second', f.end, m.expiration) / 86400 AS days, f.price / s.price - 1 AS basis,
               basis * 365 / days AS simple, pow(1 + basis, 365 / days) - 1 AS compounded
        FROM closes f
        JOIN api.market_future m ON m.exchange = f.exchange AND m.market = f.market AND m.expiration_type = 'EXPIRING'
        CROSS JOIN (SELECT price FROM closes WHERE exchange = 'binance') s
        """,
        lake=december,
    ).row(0, named=True)
    to_delivery = dt.datetime(2025, 3, 28, 8, tzinfo=dt.UTC) - dt.datetime(2024, 12, 2, tzinfo=dt.UTC)
    assert result["days"] == pytest.approx(to_delivery / dt.timedelta(days=1))
    assert round(result["basis"] * 100, 3) == 5.233
    assert round(result["simple"] * 100, 1) == 16.4
    assert round(result["compounded"] * 100, 1) == 17.4


def test_more_contracts_are_more_series(december: Lake, specification: str) -> None:
    """A contract that the lake has no candles of adds no rows; one that it has adds its own."""
    without = specification.replace("('BTC-USDT', 'BTC-USDT-2025-03-28')", "('BTC-USDT')")
    nothing_more = specification.replace("'BTC-USDT-2025-03-28')", "'BTC-USDT-2025-03-28', 'BTC-USDT-2025-06-27')")
    assert [sql.query(text, lake=december).height for text in (without, specification, nothing_more)] == [62, 93, 93]


def test_another_asset_and_another_reference(tmp_path: Path, specification: str) -> None:
    start = to_us("2024-12-01")
    prices = {("binance-spot", "ETHUSDT"): 3_700, ("binance-futures", "ETHUSDT"): 3_710, ("binance-delivery", "ETHUSD_PERP"): 3_690}
    paths = [
        path
        for (exchange, symbol), price in prices.items()
        for path in candles_archives(
            tmp_path, exchange, symbol, "1d", [Candle(start + n * DAY_US, *[str(price + n)] * 4) for n in range(3)]
        )
    ]
    lake = lake_with(tmp_path, paths)
    ether = sql.query(specification.replace("BTC", "ETH"), lake=lake)
    spreads = {
        market: [row[5] for row in rows] for market, rows in groupby(sorted(ether.rows(), key=lambda row: row[2]), key=lambda row: row[2])
    }
    assert spreads == {"ETH-USD-PERP": [-10.0] * 3, "ETH-USDT": [10.0] * 3}
    other = specification.replace("BTC", "ETH").replace(
        "WHERE exchange = 'binance' AND market = 'ETH-USDT'", "WHERE exchange = 'binance-coinm-future' AND market = 'ETH-USD-PERP'"
    )
    against_coin = sql.query(other, lake=lake).filter(pl.col("exchange") == "binance-usdm-future")
    assert against_coin["spread"].to_list() == [20.0] * 3
