"""The benchmark's data: a lake of simulated days and archives of every dataset, made once and used again.

It runs as a process of its own, ``python market.py lake …`` or ``python market.py archives …``, and prints what it made as JSON: the
process that measures must stay small, because the system counts its memory into the peak of every process that it starts.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

import pointline
from pointline.clock import DAY_US, date_text, to_us
from pointline.ingest.run import ingest
from pointline.simulate import MarketConfig, write_archives
from pointline.sources.base import Hints
from pointline.sources.families import all_sources

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pointline.lake.store import Lake, PartitionFile

START_US = to_us("2024-05-01")
PERP, SPOT = ("binance-futures", "BTCUSDT"), ("binance-spot", "BTCUSDT")
FEW_TRADES = 1_000  # a day of state needs a market, not its trades
AGGREGATED_HEADER = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n"


def make_lake(folder: Path, days: int, trades: int) -> Lake:
    """The lake of `days` days with `trades` perp trades each; days that it already has are kept.

    Each day of trades is a market of its own, its number the seed, so that one day's archives are on disk at a time. It has no off-book
    print: contenders that read plain columns know no flag.
    """
    lake = pointline.open_lake(folder, create=True)
    known = {file.start_us for file in lake.files("trades", *PERP)} & {file.start_us for file in lake.files("trades", *SPOT)}
    scratch = folder.with_name(f"{folder.name}-archives")
    for number in range(days):
        day_us = START_US + number * DAY_US
        if day_us not in known:
            print(f"simulating {date_text(day_us)}: {trades:,} perp trades", file=sys.stderr, flush=True)
            market = MarketConfig(seed=1 + number, start=day_us, days=1, perp_trades_per_day=trades, off_book_prints_per_day=0)
            _fill(lake, write_archives(market, scratch, datasets=("trades",)), scratch)
    if len(lake.files("derivative_ticker", *PERP)) < days:
        market = MarketConfig(start=START_US, days=days, perp_trades_per_day=min(trades, FEW_TRADES))
        _fill(lake, write_archives(market, scratch, datasets=("fundingRate", "metrics", "recorded")), scratch)
    return lake


def _fill(lake: Lake, paths: Iterable[Path], scratch: Path) -> None:
    reports = ingest(lake, paths, sources=all_sources(), hints=Hints())
    shutil.rmtree(scratch)
    problems = [report.problem for report in reports if report.problem]
    if problems:
        raise SystemExit(problems[0])


def described(lake: Lake, days: int) -> dict[str, Any]:
    """The lake's days without a gap from its first on, at most `days` of them, and the decimals that all of them share."""
    perp, spot = ({file.start_us: file for file in lake.files("trades", *market)} for market in (PERP, SPOT))
    both = sorted(perp.keys() & spot.keys())
    gap = next((k + 1 for k, (day, following) in enumerate(pairwise(both)) if following != day + DAY_US), len(both))
    chosen = both[: min(gap, days)]
    rows = [
        {
            "date": date_text(day),
            "perp_file": str(perp[day].path),
            "spot_file": str(spot[day].path),
            "rows": perp[day].rows + spot[day].rows,
            "perp_lots": int(perp[day].totals["qty_int"]),
            "spot_lots": int(spot[day].totals["qty_int"]),
        }
        for day in chosen
    ]
    return {
        "lake": str(lake.root),
        "days": rows,
        "end": date_text(chosen[-1] + DAY_US),
        "perp_decimals": _decimals([perp[day] for day in chosen]),
        "spot_decimals": _decimals([spot[day] for day in chosen]),
    }


def _decimals(files: list[PartitionFile]) -> tuple[int, int]:
    found = {(file.totals["price_decimals"], file.totals["qty_decimals"]) for file in files}
    if len(found) != 1:
        raise SystemExit(f"the days of {files[0].exchange} count in different decimals: {sorted(found)}; simulate more trades a day")
    return found.pop()


def make_archives(folder: Path, days: int, trades: int) -> dict[str, list[str]]:
    """Archive files by dataset: one day of trades at full size, `days` days of what is smaller."""
    listing = folder / "files.json"
    if listing.is_file():
        return json.loads(listing.read_text(encoding="utf-8"))
    print(f"writing archives of every dataset to {folder}", file=sys.stderr, flush=True)
    large = MarketConfig(start=START_US, perp_trades_per_day=trades)
    perp, spot = write_archives(large, folder / "large", datasets=("trades",))
    files = {"trades, USD-M": [perp], "trades, spot": [spot], "aggTrades, USD-M": [aggregated(perp)]}
    small = MarketConfig(start=START_US, days=days, perp_trades_per_day=min(trades, 20 * FEW_TRADES))
    for dataset in ("klines", "markPriceKlines", "fundingRate", "metrics", "recorded"):
        files[_TITLES[dataset]] = write_archives(small, folder / "small", datasets=(dataset,))
    text = {title: [str(path) for path in paths] for title, paths in files.items()}
    listing.write_text(json.dumps(text), encoding="utf-8")
    return text


_TITLES = {
    "klines": "klines 1m, both",
    "markPriceKlines": "markPriceKlines 1m",
    "fundingRate": "fundingRate",
    "metrics": "metrics",
    "recorded": "recorded mark price stream",
}


def aggregated(trades: Path) -> Path:
    """The USD-M trades of an archive as its aggTrades archive: consecutive fills of one moment, price and side in one row."""
    with zipfile.ZipFile(trades) as archive:
        rows = pl.read_csv(archive.read(archive.namelist()[0]), schema_overrides={"price": pl.String})
    together = pl.struct("time", "price", "is_buyer_maker").rle_id()
    merged = rows.group_by(together.alias("agg_trade_id"), maintain_order=True).agg(
        pl.col("price").first(),
        pl.col("qty").sum().round(3),
        pl.col("id").first().alias("first"),
        pl.col("id").last().alias("last"),
        pl.col("time").first(),
        pl.col("is_buyer_maker").first(),
    )
    path = Path(str(trades).replace("trades", "aggTrades"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(f"{path.stem}.csv", AGGREGATED_HEADER + merged.write_csv(include_header=False))
    return path


def main() -> None:
    """Makes what is named and prints it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("lake", "archives"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--days", type=int, required=True)
    parser.add_argument("--trades", type=int, required=True)
    parser.add_argument("--as-it-is", action="store_true", help="the lake exists and nothing is added to it")
    options = parser.parse_args()
    if options.what == "archives":
        made: dict[str, Any] = make_archives(options.folder, options.days, options.trades)
    else:
        lake = pointline.open_lake(options.folder) if options.as_it_is else make_lake(options.folder, options.days, options.trades)
        made = described(lake, options.days)
    sys.stdout.write(json.dumps(made) + "\n")


if __name__ == "__main__":
    main()
