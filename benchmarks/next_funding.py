"""The next funding on real hours: ``python benchmarks/next_funding.py FOLDER [--folds N] [--hours-before 8,4,1,0]``.

FOLDER holds three feather files of hourly rows in the layout of public research archives, with a column ``date`` (the hour's start):
``*_USDT-1h-futures_*`` and ``*_USDT-1h_*`` with ``close``, and ``*-funding_rate_*`` with the settled rate in ``open``. Nothing of them is
kept. Prints the scores of every predictor, the verdict and the time. With ``--folds 1 --hours-before 4,1,0`` the first half fits and the
second is scored, as in the documentation.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import polars as pl
from rich.console import Console

from pointline.clock import HOUR_US
from pointline.evaluation import PremiumSlots, funding_forecasts
from pointline.report.forecast_view import forecast_view
from pointline.venues.funding import funding_rules

FILES = {"perp": "*-1h-futures_*.feather", "spot": "*_USDT-1h_*.feather", "funding": "*-1h-funding_rate_*.feather"}


def hours_of(folder: Path, name: str, column: str) -> pl.DataFrame:
    """The start of each hour and a column."""
    found = sorted(folder.glob(FILES[name]))
    if len(found) != 1:
        raise SystemExit(f"{folder} has {len(found)} files of {name}, {FILES[name]}; one is wanted")
    return pl.read_ipc(found[0].read_bytes()).select(start_us=pl.col("date").dt.epoch("us"), value=column)


def main() -> None:
    """Reads, forecasts and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--folds", type=int, default=5, metavar="N")
    parser.add_argument("--hours-before", default="8,4,1,0", metavar="HOURS")
    given = parser.parse_args()
    both = hours_of(given.folder, "perp", "close").join(hours_of(given.folder, "spot", "close"), on="start_us", suffix="_spot")
    premium = both.select(end_us=pl.col("start_us") + HOUR_US, premium=pl.col("value") / pl.col("value_spot") - 1)
    paid = hours_of(given.folder, "funding", "open").select(
        funding_us="start_us", known_us="start_us", rate="value", interval_hours=pl.lit(8.0)
    )
    rules = funding_rules("binance-futures", int(paid["funding_us"][0]), int(paid["funding_us"][-1]) + 1, base_asset="BTC")
    leads = [float(hours) for hours in given.hours_before.split(",")]
    began = time.perf_counter()
    found = funding_forecasts(paid, PremiumSlots.of(premium), rules, folds=given.folds, hours_before=leads)
    line = f"{found.settlements:,} settlements, {found.settlements - found.left_out:,} used, {time.perf_counter() - began:.1f} s"
    Console(width=150).print(forecast_view(found.scores, title="Next funding", lines=(line, found.verdict), notes=found.notes))


if __name__ == "__main__":
    main()
