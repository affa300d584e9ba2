"""A scan of many pairs of one-minute candles: ``python benchmarks/scan.py FOLDER [--pairs N] [--bars 1m] [--threads N] [--profile]``.

FOLDER gets a lake of N simulated pairs over April 2024, made once from archives in the exchange's layout: one-minute candles of the
perpetual and its spot, and settled funding. The scan runs in a process of its own. Prints its wall time, processor time and peak memory,
and with ``--profile`` where the time of one pair after the other goes.
"""

from __future__ import annotations

import argparse
import cProfile
import io
import json
import pstats
import resource
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from string import ascii_uppercase

START, END = "2024-04-01", "2024-05-01"
MINUTES = 30 * 1_440
START_MS = 1_711_929_600_000
_PAIRS_AT_ONCE = 50
_LETTERS = 26


def base_asset(number: int) -> str:
    """A name of four letters that no reviewed table knows."""
    rest, last = divmod(number, _LETTERS)
    return f"Q{ascii_uppercase[rest // _LETTERS]}{ascii_uppercase[rest % _LETTERS]}{ascii_uppercase[last]}"


def write_pair(folder: Path, number: int) -> list[Path]:
    """The archives of one pair: two files of candles and one of funding."""
    import numpy as np
    import polars as pl

    from pointline.simulate.archives import FUNDING_HEADER, KLINES_HEADER

    symbol = f"{base_asset(number)}USDT"
    random = np.random.default_rng(number)
    middle = 100.0 * np.exp(np.cumsum(random.normal(0, 6e-4, MINUTES)))
    written = []
    for market, header, share in (("futures/um", True, 1.0), ("spot", False, 0.15)):
        quiet = random.random(MINUTES) > (1.0 if header else 0.97)
        close = np.round(middle * (1 + random.normal(3e-4 if header else 0.0, 2e-4, MINUTES)), 2)
        opened = np.concatenate([close[:1], close[:-1]])
        spread = np.round(np.abs(random.normal(0, 4e-4, MINUTES)) * close, 2)
        volume = np.where(quiet, 0.0, np.round(random.lognormal(6, 1, MINUTES) * share, 3))
        count = np.where(quiet, 0, random.integers(1, 500, MINUTES))
        bought = np.round(volume * random.random(MINUTES) * 0.99, 3)
        times = START_MS + 60_000 * np.arange(MINUTES)
        rows = pl.DataFrame(
            {
                "open_time": times,
                "open": opened,
                "high": np.maximum(opened, close) + spread,
                "low": np.minimum(opened, close) - spread,
                "close": close,
                "volume": volume,
                "close_time": times + 59_999,
                "quote_volume": np.round(volume * (opened + close) / 2, 5),
                "count": count,
                "taker_buy_volume": bought,
                "taker_buy_quote_volume": np.floor(bought * np.minimum(opened, close) * 0.999),
                "ignore": np.zeros(MINUTES, dtype=np.int64),
            }
        )
        text = rows.write_csv(include_header=False, float_scientific=False, float_precision=5)
        path = folder / f"data/{market}/monthly/klines/{symbol}/1m/{symbol}-1m-2024-04.zip"
        written.append(write_zip(path, (KLINES_HEADER if header else "") + text))
    paid = START_MS + 8 * 3_600_000 * np.arange(90)
    lines = "".join(f"{ms},8,{rate:.8f}\n" for ms, rate in zip(paid.tolist(), random.normal(1e-4, 5e-5, 90).tolist(), strict=True))
    path = folder / f"data/futures/um/monthly/fundingRate/{symbol}/{symbol}-fundingRate-2024-04.zip"
    return [*written, write_zip(path, FUNDING_HEADER + lines)]


def write_zip(path: Path, text: str) -> Path:
    """One CSV in a zip."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(f"{path.stem}.csv", text)
    return path


def make_lake(folder: Path, pairs: int) -> None:
    """The lake of so many pairs; those that it has are kept."""
    import pointline
    from pointline.ingest.run import ingest
    from pointline.sources.base import Hints
    from pointline.sources.families import all_sources

    lake = pointline.open_lake(folder / "lake", create=True)
    known = set.intersection(*(set(lake.listing(kind)["symbol"]) for kind in ("candles_1m", "funding"))) if lake.kinds() else set()
    missing = [number for number in range(pairs) if f"{base_asset(number)}USDT" not in known]
    for first in range(0, len(missing), _PAIRS_AT_ONCE):
        scratch = folder / "archives"
        group = missing[first : first + _PAIRS_AT_ONCE]
        print(f"making pairs {group[0]} to {group[-1]}", file=sys.stderr, flush=True)
        paths = [path for number in group for path in write_pair(scratch, number)]
        reports = ingest(lake, paths, sources=all_sources(), hints=Hints())
        shutil.rmtree(scratch)
        problems = [report.problem for report in reports if report.problem]
        if problems:
            raise SystemExit(problems[0])


def scanned(folder: Path, threads: int | None, bars: str) -> tuple[float, object]:
    """One scan and its seconds."""
    import pointline
    from pointline.research.spines import TimeBarConfig

    began = time.perf_counter()
    found = pointline.scan("binance-futures", start=START, end=END, bars=TimeBarConfig(bars), lake=folder / "lake", threads=threads)
    return time.perf_counter() - began, found


def measure(folder: Path, threads: int | None, bars: str) -> None:
    """Scans and prints seconds and memory as JSON."""
    seconds, found = scanned(folder, threads, bars)
    used = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    table = found.table  # type: ignore[attr-defined]
    told = {
        "pairs": table.height,
        "compared": table["carry_net_bps"].drop_nulls().len(),
        "scan_s": round(seconds, 2),
        "cpu_s": round(used.ru_utime + used.ru_stime + children.ru_utime + children.ru_stime, 1),
        "peak_mb": round(used.ru_maxrss / 1024),
        "largest_child_mb": round(children.ru_maxrss / 1024),
    }
    print(json.dumps(told))


def profile(folder: Path, bars: str) -> None:
    """Scans in one thread under the profiler and prints the calls that take the most time."""
    profiler = cProfile.Profile()
    profiler.enable()
    scanned(folder, 1, bars)
    profiler.disable()
    out = io.StringIO()
    pstats.Stats(profiler, stream=out).sort_stats("cumulative").print_stats(60)
    print(out.getvalue())


def main() -> None:
    """Makes the lake where it lacks pairs, then measures in a process of its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pairs", type=int, default=300, metavar="N")
    parser.add_argument("--threads", type=int, default=None, metavar="N")
    parser.add_argument("--bars", default="1m", metavar="LENGTH")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure(given.folder, given.threads, given.bars)
        return
    maker = "import sys; sys.path.insert(0, sys.argv[1]); import scan, pathlib; scan.make_lake(pathlib.Path(sys.argv[2]), int(sys.argv[3]))"
    subprocess.run([sys.executable, "-c", maker, str(Path(__file__).parent), str(given.folder), str(given.pairs)], check=True)
    if given.profile:
        profile(given.folder, given.bars)
        return
    began = time.perf_counter()
    threads = [] if given.threads is None else ["--threads", str(given.threads)]
    subprocess.run([sys.executable, __file__, str(given.folder), "--measure", "--bars", given.bars, *threads], check=True)
    print(f"whole process: {time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main()
