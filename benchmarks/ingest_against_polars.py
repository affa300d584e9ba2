"""Ingest of one simulated day against Polars on its unzipped CSV: ``python benchmarks/ingest_against_polars.py [TRADES]``.

Polars reads the CSV and writes Parquet with its defaults; pointline inflates, checks, sorts, encodes, writes and synchronises. Each
runs in a process of its own, three times in turn; wall, CPU and peak memory of the whole process, as medians.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from pointline.simulate import MarketConfig, write_archives

POLARS = "import sys, polars; polars.read_csv(sys.argv[1]).write_parquet(sys.argv[2], compression='zstd', compression_level=3)"


def run(command: list[str]) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak MB of a command.

    Raises:
        SystemExit: it failed.
    """
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command[:3]} ended with status {status}")
    return time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    """Prints the two rows and their ratio."""
    trades = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000_000
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        archive = next(
            path
            for path in write_archives(MarketConfig(perp_trades_per_day=trades), root / "archives", datasets=("trades",))
            if "um" in path.parts
        )
        with zipfile.ZipFile(archive) as opened:
            csv = Path(opened.extract(opened.namelist()[0], root))
        found: dict[str, list[tuple[float, float, float]]] = {"polars": [], "pointline": []}
        for turn in range(3):
            found["polars"].append(run([sys.executable, "-c", POLARS, str(csv), str(root / "polars.parquet")]))
            lake = root / f"lake-{turn}"
            found["pointline"].append(run([sys.executable, "-m", "pointline.cli", "ingest", str(archive), "--lake", str(lake)]))
    print(f"{trades:,} trades\n{'':12}{'wall s':>8}{'CPU s':>8}{'peak MB':>9}")
    medians = {name: [statistics.median(values) for values in zip(*runs, strict=True)] for name, runs in found.items()}
    for name, (wall, cpu, peak) in medians.items():
        print(f"{name:12}{wall:8.2f}{cpu:8.2f}{peak:9.0f}")
    ratios = [ours / theirs for ours, theirs in zip(medians["pointline"], medians["polars"], strict=True)]
    print(f"{'ratio':12}{ratios[0]:8.2f}{ratios[1]:8.2f}{ratios[2]:9.2f}")


if __name__ == "__main__":
    main()
