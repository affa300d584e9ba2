"""Requests, bytes and seconds of `pointline serve` over a lake in a bucket: of its start, and of one statement.

The store is moto, a server in Python on this machine: its seconds say little of a real store, its requests and bytes are those of any.
Run: python benchmarks/s3_server.py, which simulates a market of eight days, or with a lake that holds Binance's BTCUSDT of `--day`.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from s3 import URL, buckets, served
from tests.server.running import RunningServer, running_server

DAY = "WHERE exchange = 'binance-usdm-future' AND market = 'BTC-USDT' AND known_at >= '{day} 06:00:00' AND known_at < '{day} 18:00:00'"


def simulated(folder: Path) -> Path:
    """A lake of eight days of a perpetual with 600,000 trades a day and its spot market."""
    from pointline.ingest.run import ingest
    from pointline.lake import open_lake
    from pointline.simulate import MarketConfig, write_archives
    from pointline.sources.base import Hints
    from pointline.sources.families import all_sources

    paths = write_archives(MarketConfig(days=8, perp_trades_per_day=600_000), folder, datasets=("trades", "klines", "fundingRate"))
    ingest(open_lake(folder / "lake", create=True), paths, sources=all_sources(), hints=Hints())
    return folder / "lake"


def told(server: buckets.Server, what: str, seconds: float) -> None:
    """Prints what the store sent since the last call."""
    data = sum(method == "GET" and key.endswith(".parquet") for method, key in server.requests)
    print(f"{what}: {seconds:.2f} s, {len(server.requests):,} requests ({data:,} of data), {server.sent / 1e6:,.2f} MB")
    server.forget()


def asked(store: buckets.Server, running: RunningServer, what: str, text: str) -> None:
    """Runs a statement and prints what it took."""
    began = time.perf_counter()
    rows = running.rows(text)
    told(store, f"{what}, {rows[0][0]:,} trades", time.perf_counter() - began)


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lake", type=Path, nargs="?")
    parser.add_argument("--day", default="2024-05-03")
    words = parser.parse_args()
    with served() as store, tempfile.TemporaryDirectory() as folder:
        os.environ.update(buckets.environment(store, Path(folder) / "of-the-copy"))
        from pointline.lake import open_lake, places
        from pointline.lake.transfer import copy_lake

        lake = words.lake or simulated(Path(folder) / "market")
        done = copy_lake(lake, URL)
        print(f"a lake of {done.files} files, {done.bytes / 1e6:,.1f} MB")
        places._MIRRORS.clear()  # noqa: SLF001 - the server is another machine
        os.environ["POINTLINE_MIRROR"] = str(Path(folder) / "mirror")
        store.forget()
        began = time.perf_counter()
        with running_server(open_lake(lake), Path(folder), place=URL) as running:
            told(store, "start until the first statement is taken", time.perf_counter() - began)
            day = "SELECT count(), avg(price) FROM trade " + DAY.format(day=words.day)
            for name in ("first", "again"):
                asked(store, running, f"one market, half a day, {name}", day)
            asked(store, running, "all trades of all days", "SELECT count() FROM trade WHERE known_at >= '2020-01-01'")


if __name__ == "__main__":
    main()
