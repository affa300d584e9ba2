"""Adaptive against fixed thresholds: ``python benchmarks/adaptive.py LAKE START END [--bars-per-day 480] [--rounds 3]``.

Builds the bars of the BTCUSDT perp of Binance over its spot market by a fixed threshold, by a threshold per day, and by one per hour of
the day, each from the trades alone (no kept sums) in a process of its own. Prints the least CPU and wall seconds of some rounds, how many
bars, how many days they lie in, and the spread of their number over days and hours. With ``--kept``, each round uses the sums that the
round before it kept beside the lake.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

import polars as pl

import pointline
from pointline.research.spines import AdaptiveVolumeConfig, BarRule, VolumeBarConfig

PERP, SPOT = "binance-futures:BTCUSDT", "binance-spot:BTCUSDT"
DAY_US, HOUR_US = 86_400_000_000, 3_600_000_000


def rule_of(name: str, target: int, days: int, threshold: str) -> BarRule:
    """The rule of a name."""
    if name == "fixed":
        return VolumeBarConfig(threshold)
    return AdaptiveVolumeConfig(target, trailing_days=days, segments=24 if name == "by hour" else 1)


def measured(given: argparse.Namespace) -> None:
    """One comparison, measured, as JSON."""
    rule = rule_of(given.rule, given.bars_per_day, given.trailing_days, given.threshold)
    wall, cpu = time.perf_counter(), time.process_time()
    study = pointline.compare(PERP, SPOT, start=given.start, end=given.end, bars=rule, lake=given.lake, cache=given.kept)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    starts = study.bars.lazy().select(pl.col("bucket_start"))
    days = starts.group_by(pl.col("bucket_start") // DAY_US).len().collect()["len"]
    hours = starts.group_by(pl.col("bucket_start") % DAY_US // HOUR_US).len().collect()["len"]
    volume = float(study.bars["perp_volume"].sum())
    print(json.dumps({"wall": wall, "cpu": cpu, "days": days.to_list(), "hours": hours.to_list(), "volume": volume}))


def main() -> None:
    """Measures every rule in turn and prints a line for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("lake")
    parser.add_argument("start")
    parser.add_argument("end")
    parser.add_argument("--bars-per-day", type=int, default=480)
    parser.add_argument("--trailing-days", type=int, default=7)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kept", action="store_true")
    parser.add_argument("--rule", help=argparse.SUPPRESS)
    parser.add_argument("--threshold", default="0", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.rule:
        measured(given)
        return
    options = ["--bars-per-day", str(given.bars_per_day), "--trailing-days", str(given.trailing_days), *(["--kept"] if given.kept else [])]

    def once(rule: str, threshold: str) -> dict[str, float | list[int]]:
        command = [sys.executable, __file__, given.lake, given.start, given.end, *options, "--rule", rule, "--threshold", threshold]
        found: dict[str, float | list[int]] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        return found

    first = once("by day", "0")
    threshold = f"{first['volume'] / len(first['days']) / given.bars_per_day:.3f}"  # type: ignore[operator,arg-type]
    for rule in ("fixed", "by day", "by hour"):
        rounds = [once(rule, threshold) for _ in range(given.rounds)]
        days, hours = (pl.Series(rounds[0][name]) for name in ("days", "hours"))
        wall, cpu = (min(one[name] for one in rounds) for name in ("wall", "cpu"))
        print(
            f"{rule:8} {cpu:6.2f} s CPU {wall:6.2f} s wall  {days.sum():,} bars in {len(days)} days, "
            f"{days.min()} to {days.max()} a day, {hours.min() / days.sum():.1%} to {hours.max() / days.sum():.1%} in an hour of the day"
        )


if __name__ == "__main__":
    main()
