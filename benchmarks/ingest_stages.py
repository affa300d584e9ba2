"""What the stages of an ingest cost, on one simulated day: ``python benchmarks/ingest_stages.py [TRADES]``.

Each stage runs alone, one block or row group after another, so CPU time can be told apart; then the whole ingest, in which they overlap.
Wall and CPU seconds of all threads, the smallest of three rounds.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from pointline.ingest import run as ingesting
from pointline.ingest.checks import check_rows
from pointline.lake import open_lake
from pointline.lake.partition import ROW_GROUP_ROWS, PartitionWriter, encode
from pointline.simulate import MarketConfig, write_archives
from pointline.sources import csv_blocks
from pointline.sources.base import Hints
from pointline.sources.binance_vision import BinanceVision
from pointline.sources.separators import find_separators

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE, HINTS = BinanceVision(), Hints()


class Stopwatch:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds what happens inside to a stage."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.spent[name][0] += time.perf_counter() - wall
        self.spent[name][1] += time.process_time() - cpu


def stages(archive: Path, folder: Path, watch: Stopwatch) -> None:
    """Runs the stages one after another."""
    identity = SOURCE.recognise(archive, HINTS)
    if identity is None:
        raise SystemExit(f"{archive} is no archive of trades")
    with watch.stage("hash"), archive.open("rb") as stream:
        hashlib.file_digest(stream, "sha256")
    with watch.stage("inflate, cut into lines"):
        blocks = list(csv_blocks.text_blocks(archive))
    with watch.stage("count fields and lines"):
        for block in blocks:
            find_separators(block, long_fields=True)
    plain = folder / archive.with_suffix(".csv").name
    plain.write_bytes(b"".join(blocks))
    del blocks
    with watch.stage("read plain CSV: count, parse, check values, units"):
        rows = pl.concat([batch.frame for batch in SOURCE.read(plain, identity, HINTS)])
    groups = [group.rechunk() for group in rows.iter_slices(ROW_GROUP_ROWS)]
    del rows
    with watch.stage("order, repeats, off-book"):
        checked = [check_rows(group, "trades").frame for group in groups]
    with watch.stage("encode as integers"):
        stored = [encode(group.with_columns(source_file=pl.lit(1, dtype=pl.Int64)), "trades") for group in checked]
    writer = PartitionWriter(folder / "day.parquet", "trades")
    with watch.stage("write Parquet"):
        for group in stored:
            writer.write(group)
        writer.close([])


def main() -> None:
    """Prints the table."""
    trades = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000_000
    rounds = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = write_archives(MarketConfig(perp_trades_per_day=trades), folder / "archives", datasets=("trades",))
        archive = next(path for path in made if "um" in path.parts)
        for turn in range(3):
            watch = Stopwatch()
            stages(archive, folder, watch)
            with watch.stage("whole ingest, overlapped"):
                ingesting.ingest(open_lake(folder / f"lake-{turn}", create=True), [archive], sources=[SOURCE], hints=HINTS)
            rounds.append(watch.spent)
    print(f"{trades:,} trades\n{'stage':52}{'wall s':>8}{'CPU s':>8}")
    for stage in rounds[0]:
        wall, cpu = (min(spent[stage][at] for spent in rounds) for at in (0, 1))
        print(f"{stage:52}{wall:8.3f}{cpu:8.3f}")


if __name__ == "__main__":
    main()
