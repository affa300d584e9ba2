"""What an export costs, and what a query through it costs against the same in pointline's own SQL.

    python benchmarks/export.py --lake lake [--runs 5]

Prints a table: size of the file, time to write it, and for each question the median of several runs in DuckDB and in ClickHouse's engine,
both open and warm, with the rows of both held against each other.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

import pointline
from pointline import sql

if TYPE_CHECKING:
    from collections.abc import Callable

PERP = "exchange = 'binance-usdm-future' AND market = 'BTC-USDT'"
HOUR = "timestamp >= '2024-05-02 10:00:00' AND timestamp < '2024-05-02 11:00:00'"
CANDLES = f"SELECT start, close, volume FROM api.ohlcv({{}}) WHERE {PERP} ORDER BY start"
HIGHEST = f"SELECT max(price) FROM api.trade WHERE {PERP} AND {HOUR}"
TOTALS = "SELECT exchange, sum(quantity), count(*) FROM api.trade GROUP BY exchange ORDER BY exchange"
# By question: the text for DuckDB, and the text for pointline's own SQL.
QUESTIONS = {
    "daily candles of a market": (CANDLES.format("1440"), CANDLES.format("candle_duration_in_minutes = 1440")),
    "volume and number of all trades": (TOTALS, TOTALS),
    "highest price of an hour, by time": (HIGHEST, HIGHEST),
    "highest price of an hour, by date too": (f"{HIGHEST} AND date = '2024-05-02'", HIGHEST),
}


def median_s(run: Callable[[], object], runs: int) -> float:
    """Median seconds of several runs after one that is not measured."""
    run()
    spent = []
    for _ in range(runs):
        began = time.perf_counter()
        run()
        spent.append(time.perf_counter() - began)
    return statistics.median(spent)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lake", required=True)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    lake = pointline.open_lake(options.lake)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lake.duckdb"
        write_s = median_s(lambda: pointline.export_duckdb(path, lake=lake), options.runs)
        done = pointline.export_duckdb(path, lake=lake)
        rows = sum(view.rows for view in done.views)
        files = sum(len(view.files) for view in done.views)
        print(f"{files:,} files, {rows:,} rows; the export: {done.size / 1e3:,.0f} kB, written in {write_s * 1e3:,.0f} ms")
        with contextlib.closing(duckdb.connect(str(path), read_only=True)) as connection:
            for name, (theirs, ours) in QUESTIONS.items():
                same = connection.execute(theirs).fetchall()[0][-1] == sql.query(ours, lake=lake).rows()[0][-1]
                in_duckdb = median_s(lambda text=theirs: connection.execute(text).fetchall(), options.runs)  # type: ignore[misc]
                in_sql = median_s(lambda text=ours: sql.query(text, lake=lake), options.runs)  # type: ignore[misc]
                agree = "the same rows" if same else "OTHER ROWS"
                print(f"{name}: DuckDB {in_duckdb * 1e3:,.0f} ms, pointline's SQL {in_sql * 1e3:,.0f} ms, {agree}")


if __name__ == "__main__":
    main()
