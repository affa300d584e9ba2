"""What the lake's file layout gains, on one simulated day: ``python benchmarks/file_layout.py [TRADES]``.

Size, time to write and time to decode the four columns of a comparison (medians of five): 64-bit and 32-bit integers, with the
lake's encodings and with those of Polars' own writer.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pyarrow.parquet as pq

from pointline.lake.partition import ROW_GROUP_ROWS, encode
from pointline.schema import TRADES
from pointline.simulate import MarketConfig, simulate_day

if TYPE_CHECKING:
    from collections.abc import Callable

COLUMNS = ("ts_local_us", "price_int", "qty_int", "side")


def seconds(run: Callable[[], object]) -> float:
    """The median of five runs."""
    spent = []
    for _ in range(5):
        began = time.perf_counter()
        run()
        spent.append(time.perf_counter() - began)
    return statistics.median(spent)


def day(trades: int) -> pl.DataFrame:
    """A simulated day of perp trades as the lake stores it."""
    perp = simulate_day(MarketConfig(perp_trades_per_day=trades), 0).perp.sort("ts_event_us", maintain_order=True)
    known = perp.with_columns(ts_local_us="ts_event_us", source_row=pl.int_range(pl.len()), source_file=pl.lit(1, dtype=pl.Int64))
    unknown = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in TRADES.parsed.items() if name not in known.columns]
    return encode(known.with_columns(unknown), "trades")


def write_as_lake(frame: pl.DataFrame, path: Path) -> None:
    """The lake's encodings."""
    plain = [name for name in frame.columns if name not in TRADES.delta and frame.schema[name] != pl.Boolean]
    pq.write_table(
        frame.to_arrow(),
        path,
        compression="zstd",
        compression_level=3,
        row_group_size=ROW_GROUP_ROWS,
        use_dictionary=plain,
        column_encoding=dict.fromkeys((name for name in TRADES.delta if name in frame.columns), "DELTA_BINARY_PACKED"),
    )


def write_as_polars(frame: pl.DataFrame, path: Path) -> None:
    """The encodings that Polars chooses."""
    frame.write_parquet(path, compression="zstd", compression_level=3, row_group_size=ROW_GROUP_ROWS)


def main() -> None:
    """Prints the table."""
    trades = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000_000
    wide = day(trades)
    narrow = wide.with_columns(pl.col("price_int", "qty_int").cast(pl.Int32))
    print(f"{trades:,} trades\n{'layout':24}{'MB':>8}{'write s':>9}{'decode ms':>11}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "day.parquet"
        for name, frame, write in (
            ("64 bits, as the lake", wide, write_as_lake),
            ("32 bits, as the lake", narrow, write_as_lake),
            ("64 bits, as Polars", wide, write_as_polars),
            ("32 bits, as Polars", narrow, write_as_polars),
        ):
            write_s = seconds(lambda write=write, frame=frame: write(frame, path))
            decode = pl.scan_parquet(path).select(pl.col(COLUMNS).sum())
            decode_s = seconds(lambda decode=decode: decode.collect(engine="streaming"))
            print(f"{name:24}{path.stat().st_size / 1e6:8.1f}{write_s:9.2f}{decode_s * 1e3:11.1f}")


if __name__ == "__main__":
    main()
