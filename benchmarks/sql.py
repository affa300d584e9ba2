"""The specification's statement on simulated 1-minute candles, against DuckDB and Polars on the same files.

``python benchmarks/sql.py --years 3 --coins 13`` makes a lake of 13 coins (spot, perpetual, inverse perpetual and a quarterly future of
each), or takes the one that is there, and asks every contender for the spreads of December 2024. *Cold* is a process from its start to the
rows, *warm* the median of later calls in that process. All answers must be the same rows. ``--smoke`` does it small.

``--queries`` prints what common queries of the views take, with three simulated days of trades beside the candles. To compare two versions,
run it in turns with PYTHONPATH set to the sources of either.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

    from pointline.lake.store import Lake

CONTENDERS = ("pointline", "duckdb", "polars")
DUCKDB = """
WITH candles AS (
    SELECT start_us // 86400000000 AS day, exchange, symbol, arg_max("close", start_us)::DOUBLE AS "close"
    FROM read_parquet($files, hive_partitioning = true, hive_types = {'exchange': VARCHAR, 'symbol': VARCHAR, 'date': DATE})
    WHERE (exchange, symbol) IN (('binance-spot', 'BTCUSDT'), ('binance-futures', 'BTCUSDT'), ('binance-futures', 'BTCUSDT_250328'),
                                 ('binance-delivery', 'BTCUSD_PERP'))
      AND date BETWEEN '2024-12-01' AND '2025-01-01'
      AND start_us >= $first_us AND start_us < $end_us
    GROUP BY ALL
), spot AS (SELECT day, "close" AS spot_close FROM candles WHERE exchange = 'binance-spot')
SELECT c.day, c.exchange, c.symbol, c."close", s.spot_close
FROM candles c JOIN spot s USING (day) WHERE c.exchange != 'binance-spot'
"""
MARKETS = (
    ("binance-spot", "{}USDT"),
    ("binance-futures", "{}USDT"),
    ("binance-delivery", "{}USD_PERP"),
    ("binance-futures", "{}USDT_250328"),
)
NAMES = {
    ("binance-futures", "BTCUSDT"): ("binance-usdm-future", "BTC-USDT"),
    ("binance-futures", "BTCUSDT_250328"): ("binance-usdm-future", "BTC-USDT-2025-03-28"),
    ("binance-delivery", "BTCUSD_PERP"): ("binance-coinm-future", "BTC-USD-PERP"),
}
LAST_YEAR = 2024
STATEMENT = Path(__file__).resolve().parent.parent / "tests" / "sql" / "specification.sql"


# --- the lake ----------------------------------------------------------------------------------------------------------------------


def make_lake(root: Path, *, years: int, coins: int) -> Lake:
    """1-minute candles up to the end of `LAST_YEAR`, written as ingest writes them."""
    from pointline.clock import next_month, to_us
    from pointline.lake.delta_log import Change, commit
    from pointline.lake.store import open_lake

    lake = open_lake(root, create=True)
    files = []
    for n in range(coins):
        coin = "BTC" if n == 0 else f"C{n:02d}"
        for place, (exchange, pattern) in enumerate(MARKETS):
            at_us, price = to_us(f"{LAST_YEAR - years + 1}-01-01"), 20_000.0 * (1 + 0.001 * place)
            while at_us < to_us(f"{LAST_YEAR + 1}-02-01"):
                last = at_us >= to_us(f"{LAST_YEAR + 1}-01-01")  # holds nothing but the candle that ends with the year
                end_us = at_us + 60_000_000 if last else next_month(at_us)
                file, price = _write_month(lake, (exchange, pattern.format(coin)), at_us, end_us, price, seed=n * 1_000 + place)
                files.append(file)
                at_us = next_month(at_us)
    commit(lake, "candles_1m", Change(files))
    return lake


def _write_month(lake: Lake, instrument: tuple[str, str], first_us: int, end_us: int, price: float, *, seed: int) -> tuple[Any, float]:
    """One partition: the candles that end in [first_us, end_us)."""
    import numpy as np
    import polars as pl

    from pointline.clock import date_text
    from pointline.lake.delta_log import NewFile
    from pointline.lake.partition import Feed, write_partition
    from pointline.lake.paths import partition_folder
    from pointline.lake.store import stored_columns

    ends = np.arange(first_us, end_us, 60_000_000)
    random = np.random.default_rng((seed, first_us))
    closes = np.round(price * np.exp(np.cumsum(random.normal(0, 3e-4, len(ends)))), 2)
    opens = np.concatenate([[round(price, 2)], closes[:-1]])
    values = {
        "open": opens,
        "high": np.round(np.maximum(opens, closes) * 1.0001, 2),
        "low": np.round(np.minimum(opens, closes) * 0.9999, 2),
        "close": closes,
        "volume": np.round(random.exponential(10, len(ends)), 3),
        "quote_volume": np.round(random.exponential(200_000, len(ends)), 2),
    }
    decimals = stored_columns("candles_1m")
    frame = pl.DataFrame({"ts_local_us": ends, "ts_event_us": ends, "start_us": ends - 60_000_000, **values}).with_columns(
        pl.lit(100).alias("trade_count"),
        pl.int_range(pl.len(), dtype=pl.Int64).alias("source_row"),
        pl.lit(1).alias("source_file"),
        *(pl.lit(None).alias(name) for name in ("base_volume", "taker_buy_volume", "taker_buy_quote_volume")),
    )
    frame = frame.select(pl.col(name).cast(dtype) for name, dtype in decimals.items())
    exchange, symbol = instrument
    date = date_text(first_us)
    feeds = [Feed(f"simulated|{exchange}|{symbol}|{date}", "0" * 64, "{}", 0, "assumed", "simulated", rows=frame.height)]
    path = f"{partition_folder(exchange, symbol, date)}/simulated.parquet"
    write_partition(lake.table_path("candles_1m") / path, frame, "candles_1m", feeds)
    bounds = {name: (int(ends[0]), int(ends[-1])) for name in ("ts_local_us", "ts_event_us")}
    return NewFile(path, {"exchange": exchange, "symbol": symbol, "date": date}, frame.height, bounds), float(closes[-1])


# --- the contenders ----------------------------------------------------------------------------------------------------------------


def pointline_asks(root: Path) -> Callable[[], pl.DataFrame]:
    """The statement as it is."""
    from pointline import sql
    from pointline.lake.store import open_lake

    lake, statement = open_lake(root), STATEMENT.read_text(encoding="utf-8")
    return lambda: sql.query(statement, lake=lake)


def _live_files(root: Path) -> list[str]:
    from pointline.lake.store import open_lake

    lake = open_lake(root)
    return [str(lake.table_path("candles_1m") / path) for path in lake.listing("candles_1m")["path"]]


def _spreads(frame: pl.DataFrame) -> pl.DataFrame:
    """The statement's columns of day, exchange, symbol, close and spot_close."""
    import polars as pl

    names = pl.DataFrame(
        [(*key, *name) for key, name in NAMES.items()], schema=["exchange", "symbol", "sql_exchange", "market"], orient="row"
    )
    return (
        frame.join(names, on=["exchange", "symbol"])
        .select(pl.from_epoch("day", time_unit="d"), "market", "close", "spot_close", exchange="sql_exchange")
        .select("day", "exchange", "market", "close", "spot_close")
        .with_columns(spread=pl.col("close") - pl.col("spot_close"))
        .with_columns(spread_pct=pl.col("spread") / pl.col("spot_close") * 100)
        .sort("day", "exchange", "market")
    )


def _december() -> tuple[int, int]:
    from pointline.clock import to_us

    return to_us(f"{LAST_YEAR}-12-01"), to_us(f"{LAST_YEAR + 1}-01-01")


def duckdb_asks(root: Path) -> Callable[[], pl.DataFrame]:
    """The same by hand for the stored names and integers, with the months named, over the table's live files."""
    import duckdb
    import polars as pl

    files = _live_files(root)
    first_us, end_us = _december()
    session = duckdb.connect()
    given = {"files": files, "first_us": first_us, "end_us": end_us}
    columns = ["day", "exchange", "symbol", "close", "spot_close"]
    return lambda: _spreads(pl.DataFrame(session.execute(DUCKDB, given).fetchall(), schema=columns, orient="row"))


def polars_asks(root: Path) -> Callable[[], pl.DataFrame]:
    """The same by hand in Polars."""
    import polars as pl

    files = _live_files(root)
    first_us, end_us = _december()

    def ask() -> pl.DataFrame:
        wanted = [{"exchange": exchange, "symbol": pattern.format("BTC")} for exchange, pattern in MARKETS]
        kinds = {"exchange": pl.String, "symbol": pl.String, "date": pl.Date}
        candles = (
            pl.scan_parquet(files, hive_partitioning=True, hive_schema=kinds)
            .filter(
                pl.any_horizontal((pl.col("exchange") == w["exchange"]) & (pl.col("symbol") == w["symbol"]) for w in wanted),
                pl.col("date").is_between(pl.date(LAST_YEAR, 12, 1), pl.date(LAST_YEAR + 1, 1, 1)),
                pl.col("start_us").is_between(first_us, end_us, closed="left"),
            )
            .group_by(pl.col("start_us") // 86_400_000_000, "exchange", "symbol")
            .agg(pl.col("close").sort_by("start_us").last().cast(pl.Float64))
            .rename({"start_us": "day"})
            .collect()
        )
        spot = candles.filter(pl.col("exchange") == "binance-spot").select("day", spot_close="close")
        return _spreads(candles.filter(pl.col("exchange") != "binance-spot").join(spot, on="day"))

    return ask


ASKS = {"pointline": pointline_asks, "duckdb": duckdb_asks, "polars": polars_asks}


# --- measuring ---------------------------------------------------------------------------------------------------------------------


def one_process(contender: str, root: Path, calls: int) -> None:
    """Asks again and again and prints what it took; the rows go along, so that answers can be compared."""
    ask = ASKS[contender](root)
    frame = ask()
    first_s = time.time() - float(os.environ["POINTLINE_STARTED"])
    spent = []
    for _ in range(calls):
        began = time.perf_counter()
        ask()
        spent.append(time.perf_counter() - began)
    peak_mb = int(next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))) / 1024
    rows = [[str(value) if not isinstance(value, float) else value for value in row] for row in frame.rows()]
    print(json.dumps({"cold_s": first_s, "warm_s": spent, "peak_mb": peak_mb, "rows": rows}))


def measured(contender: str, root: Path, *, calls: int, runs: int) -> dict[str, Any]:
    """Medians over several processes."""
    found = []
    for _ in range(runs):
        command = [sys.executable, __file__, "--lake", str(root), "--contender", contender, "--calls", str(calls)]
        environment = {**os.environ, "POINTLINE_STARTED": repr(time.time())}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode:
            return {"contender": contender, "failure": done.stderr.strip().splitlines()[-1]}
        found.append(json.loads(done.stdout))
    return {
        "contender": contender,
        "cold_s": statistics.median(run["cold_s"] for run in found),
        "warm_s": statistics.median(second for run in found for second in run["warm_s"]),
        "peak_mb": statistics.median(run["peak_mb"] for run in found),
        "rows": found[0]["rows"],
    }


def agree(results: list[dict[str, Any]]) -> bool:
    """Whether all answers hold the same rows; the last bits of a division may differ."""
    answers = [result["rows"] for result in results if "rows" in result]
    return all(
        len(one) == len(other)
        and all(
            left == right if isinstance(left, str) else abs(left - right) <= 1e-9 * max(1.0, abs(left))
            for row, same in zip(one, other, strict=True)
            for left, right in zip(row, same, strict=True)
        )
        for one, other in pairwise(answers)
    )


# --- common queries ----------------------------------------------------------------------------------------------------------------

ONE_DAY = "exchange = 'binance-usdm-future' AND market = 'BTC-USDT' AND timestamp >= '2024-05-02' AND timestamp < '2024-05-03'"
HOURS, MINUTES = (f"api.ohlcv(candle_duration_in_minutes = {n})" for n in (60, 1))
QUERIES = {
    "trade: count()": "SELECT count() FROM api.trade",
    "trade: max(price)": "SELECT max(price) FROM api.trade",
    "trade: sum(quantity)": "SELECT sum(quantity) FROM api.trade",
    "trade: vwap": "SELECT sum(price * quantity) / sum(quantity) FROM api.trade",
    "trade: vwap of floats": "SELECT sum(toFloat64(price) * toFloat64(quantity)) / sum(toFloat64(quantity)) FROM api.trade",
    "trade: argMax(price, timestamp)": "SELECT argMax(price, timestamp) FROM api.trade",
    "trade: by minute": "SELECT toStartOfMinute(timestamp) AS m, min(price), max(price), sum(quantity) FROM api.trade GROUP BY m",
    "trade: ten largest of a day": f"SELECT * FROM api.trade WHERE {ONE_DAY} ORDER BY quantity DESC LIMIT 10",
    "ohlcv(60): max, sum": f"SELECT max(high), sum(volume) FROM {HOURS}",
    "ohlcv(60): vwap": f"SELECT market, sum(close * volume) / sum(volume) FROM {HOURS} GROUP BY market",
    "ohlcv(1): max, sum": f"SELECT max(high), sum(volume) FROM {MINUTES}",
    "ohlcv(1): argMax(close, start)": f"SELECT exchange, market, argMax(close, start) FROM {MINUTES} GROUP BY exchange, market",
}


def measure_queries(root: Path, calls: int) -> None:
    """Prints the median and the least of some calls of each query, in milliseconds."""
    from pointline.ingest.run import ingest
    from pointline.lake.store import open_lake
    from pointline.simulate import MarketConfig, write_archives
    from pointline.sources.base import Hints
    from pointline.sources.families import all_sources
    from pointline.sql.process import run

    lake = open_lake(root)
    if "trades" not in lake.kinds():
        config = MarketConfig(days=3, perp_trades_per_day=1_000_000)
        ingest(lake, write_archives(config, root / "archives", datasets=("trades",)), sources=all_sources(), hints=Hints())
    for name, text in QUERIES.items():
        run(text, lake=lake, output_format="Null")
        spent = []
        for _ in range(calls):
            began = time.perf_counter()
            run(text, lake=lake, output_format="Null")
            spent.append((time.perf_counter() - began) * 1e3)
        print(f"{name:32} {statistics.median(spent):7.1f} ms {min(spent):7.1f} ms")


def main() -> int:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lake", type=Path, default=Path("out/sql-benchmark"), help="made where it is not there yet")
    parser.add_argument("--years", type=int, default=1)
    parser.add_argument("--coins", type=int, default=3, help="four markets each")
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--queries", action="store_true", help="what common queries of the views take")
    parser.add_argument("--smoke", action="store_true", help="one coin, one year, few calls")
    given = parser.parse_args()
    if given.contender:
        one_process(given.contender, given.lake, given.calls)
        return 0
    if given.smoke:
        given.coins, given.years, given.calls, given.runs = 1, 1, 2, 1
    if not (given.lake / "candles_1m").is_dir():
        given.lake.parent.mkdir(parents=True, exist_ok=True)
        make_lake(given.lake, years=given.years, coins=given.coins)
    if given.queries:
        measure_queries(given.lake, given.calls)
        return 0
    results = [measured(name, given.lake, calls=given.calls, runs=given.runs) for name in CONTENDERS]
    print(f"{'':10} {'cold':>8} {'warm':>9} {'peak':>8}")
    for result in results:
        if "failure" in result:
            print(f"{result['contender']:10} {result['failure']}")
        else:
            print(f"{result['contender']:10} {result['cold_s']:6.2f} s {result['warm_s'] * 1e3:6.1f} ms {result['peak_mb']:5.0f} MB")
    same = agree(results)
    print(f"{len(results[0].get('rows', ()))} rows, {'the same' if same else 'NOT THE SAME'} from all")
    return 0 if same and not any("failure" in result for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
