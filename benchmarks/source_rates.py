"""How fast each source reads a day in its own layout, and how fast the day is ingested: ``python benchmarks/source_rates.py [ROWS]``.

The days hold the same simulated walk; all are gzip, as the archives publish them. Rows per second and CPU seconds per million rows, the
best of three rounds.
"""

from __future__ import annotations

import gzip
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pointline.ingest.run import ingest
from pointline.lake import open_lake
from pointline.sources.base import Hints
from pointline.sources.families import all_sources

if TYPE_CHECKING:
    from collections.abc import Callable

DAY_US, HINTS = 1_714_521_600_000_000, Hints()


def walk(rows: int) -> pl.DataFrame:
    """A day of trades: time in microseconds, price, quantity, side, number and UUID."""
    rng = np.random.default_rng(7)
    us = DAY_US + np.sort(rng.integers(0, 86_400_000_000, rows))
    price = 60_000 + np.cumsum(rng.integers(-1, 2, rows)) / 2
    halves = (pl.Series(rng.integers(1 << 28, 1 << 32, rows)).map_elements("{:08x}".format, return_dtype=pl.String) for _ in range(2))
    first, second = halves
    return pl.DataFrame(
        {
            "us": us,
            "price": price,
            "qty": rng.integers(1, 5_000, rows) / 1000,
            "sell": rng.integers(0, 2, rows) == 1,
            "a": first,
            "b": second,
        }
    ).with_columns(id=pl.int_range(1, rows + 1), uuid=pl.format("{}-0000-4000-8000-0000{}", "a", "b"))


def tardis(*tail: pl.Expr, exchange: str = "bybit") -> list[pl.Expr]:
    """Columns of the vendor: exchange, symbol, both times and what follows."""
    local = (pl.col("us") + 3_000).alias("local_timestamp")
    return [pl.lit(exchange).alias("exchange"), pl.lit("BTCUSDT").alias("symbol"), pl.col("us").alias("timestamp"), local, *tail]


SIDE = pl.when("sell").then(pl.lit("sell")).otherwise(pl.lit("buy")).alias("side")
AMOUNT, ASK = pl.col("qty").alias("amount"), pl.col("price") + 0.5
EMPTY = pl.lit(None, dtype=pl.Float64)
QUOTE = {"ask_amount": pl.col("qty"), "ask_price": ASK, "bid_price": pl.col("price"), "bid_amount": pl.col("qty")}
SNAPSHOT = {
    f"{side}[{level}].{what}": pl.col("qty") if what == "amount" else (pl.col("price") + (0.5 + level if side == "asks" else -level))
    for level in range(5)
    for side in ("asks", "bids")
    for what in ("price", "amount")
}
TICKER = {
    "funding_timestamp": pl.lit(DAY_US + 28_800_000_000),
    "funding_rate": pl.lit(0.0001),
    "predicted_funding_rate": EMPTY,
    "open_interest": pl.col("qty"),
    "last_price": pl.col("price"),
    "index_price": pl.col("price") - 1,
    "mark_price": ASK,
}
SECONDS = pl.format("{}.{}", pl.col("us") // 1_000_000, (pl.col("us") % 1_000_000 // 100).cast(pl.String).str.zfill(4))
TRADING = [
    SECONDS.alias("timestamp"),
    pl.lit("BTCUSDT").alias("symbol"),
    SIDE.str.to_titlecase(),
    pl.col("qty").alias("size"),
    "price",
    pl.lit("ZeroPlusTick").alias("tickDirection"),
    pl.col("uuid").alias("trdMatchID"),
    (pl.col("price") * pl.col("qty") * 1e8).alias("grossValue"),
    pl.col("qty").alias("homeNotional"),
    (pl.col("price") * pl.col("qty")).alias("foreignNotional"),
]
VISION = ["id", "price", pl.col("qty"), (pl.col("price") * pl.col("qty")).round(8).alias("quote_qty"), pl.col("us").alias("time")]
LAYOUTS: dict[str, tuple[str, list[pl.Expr | str]]] = {
    "binance_vision trades": (
        "futures/um/daily/trades/BTCUSDT/BTCUSDT-trades-2024-05-01",
        [*VISION, pl.when("sell").then(pl.lit("true")).otherwise(pl.lit("false")).alias("is_buyer_maker")],
    ),
    "bybit trading": ("trading/BTCUSDT/BTCUSDT2024-05-01", TRADING),
    "bybit spot": (
        "spot/BTCUSDT/BTCUSDT_2024-05-01",
        ["id", (pl.col("us") // 1000).alias("timestamp"), "price", AMOUNT.alias("volume"), SIDE],
    ),
    "tardis trades, numbers": (
        "binance-futures/trades/2024/05/01/BTCUSDT",
        tardis(pl.col("id"), SIDE, pl.col("price"), AMOUNT, exchange="binance-futures"),
    ),
    "tardis trades, UUIDs": ("bybit/trades/2024/05/01/BTCUSDT", tardis(pl.col("uuid").alias("id"), SIDE, pl.col("price"), AMOUNT)),
    **{
        f"tardis {name}": (f"bybit/{name}/2024/05/01/BTCUSDT", tardis(*(value.alias(column) for column, value in columns.items())))
        for name, columns in (("quotes", QUOTE), ("book_snapshot_5", SNAPSHOT), ("derivative_ticker", TICKER))
    },
}


def best(work: Callable[[int], int]) -> tuple[float, float]:
    """Rows per second and CPU seconds per million rows."""
    rates, costs = [], []
    for turn in range(3):
        wall, cpu = time.perf_counter(), time.process_time()
        rows = work(turn)
        rates.append(rows / (time.perf_counter() - wall))
        costs.append((time.process_time() - cpu) / rows * 1e6)
    return max(rates), min(costs)


def main() -> None:
    """Prints the table."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    day = walk(rows)
    print(f"{rows:,} rows\n{'layout':26}{'B/row':>7}{'read M rows/s':>15}{'CPU s/M':>9}{'ingest M rows/s':>17}{'CPU s/M':>9}")
    with tempfile.TemporaryDirectory() as name:
        for number, (layout, (place, columns)) in enumerate(LAYOUTS.items()):
            path = Path(name) / f"{place}.csv.gz"
            path.parent.mkdir(parents=True)
            text = day.select(columns).write_csv().encode()
            path.write_bytes(gzip.compress(text, 6))
            source, identity = next((s, found) for s in all_sources() if (found := s.recognise(path, HINTS)) is not None)
            read = best(lambda _, s=source, i=identity, p=path: sum(batch.frame.height for batch in s.read(p, i, HINTS)))

            def whole(turn: int, p: Path = path, n: int = number) -> int:
                lake = open_lake(Path(name) / f"lake-{n}-{turn}", create=True)
                (report,) = ingest(lake, [p], sources=all_sources(), hints=HINTS)
                return report.rows_landed

            stored = best(whole)
            print(f"{layout:26}{len(text) / rows:7.0f}{read[0] / 1e6:15.2f}{read[1]:9.2f}{stored[0] / 1e6:17.2f}{stored[1]:9.2f}")


if __name__ == "__main__":
    main()
