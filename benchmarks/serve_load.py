"""Start-up, requests a second, p50 and p99 of the server: ``python benchmarks/serve_load.py [--seconds S] [--clients 1 8] [--workers N]``.

A simulated lake is served by a process of its own. Each client keeps one connection and asks without a pause, in a process of its own so
that clients do not wait for each other. Measured are a trivial query, which is what the server itself costs, and daily candles made
from one-minute candles; beside them what each worker's memory is at the start and at the end.
"""

from __future__ import annotations

import argparse
import http.client
import multiprocessing
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pointline.lake.ingest import ingest
from pointline.lake.store import open_lake
from pointline.simulate import MarketConfig, write_archives
from pointline.sources.base import Hints
from pointline.sources.families import all_sources

if TYPE_CHECKING:
    from collections.abc import Sequence

QUERIES = {
    "SELECT 1": "SELECT 1",
    "candles": "SELECT * FROM api.ohlcv(candle_duration_in_minutes = 1440) ORDER BY exchange, market, start",
    "trades": "SELECT count(), sum(quantity) FROM api.trade WHERE timestamp >= '2024-05-02' AND timestamp < '2024-05-03'",
}


def load(port: int, text: str, seconds: float) -> list[float]:
    """Milliseconds of each answer that one client got.

    Raises:
        RuntimeError: an answer was an error.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    found = []
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        connection.request("POST", "/", body=text.encode())
        response = connection.getresponse()
        body = response.read()
        if response.status != http.client.OK:
            raise RuntimeError(body.decode())
        found.append((time.perf_counter() - began) * 1e3)
    return found


def resident_mb(server: int) -> list[float]:
    """Memory of each of the server's workers."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text(encoding="utf-8")
        except OSError:
            continue
        if f"\nPPid:\t{server}\n" in text and (held := re.search(r"VmRSS:\s*(\d+) kB", text)):
            found.append(int(held[1]) / 1e3)
    return sorted(found)


def shown(megabytes: list[float]) -> str:
    """Megabytes as text."""
    return ", ".join(f"{mb:.0f} MB" for mb in megabytes)


def measure(port: int, clients: Sequence[int], seconds: float) -> None:
    """Prints a row for each query and number of clients."""
    print(f"{'query':12}{'clients':>8}{'req/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}")
    with multiprocessing.get_context("spawn").Pool(max(clients)) as pool:
        for name, text in QUERIES.items():
            load(port, text, 0.5)
            for count in clients:
                parts = pool.starmap(load, [(port, text, seconds)] * count)
                times = [ms for part in parts for ms in part]
                rate = sum(1e3 * len(part) / sum(part) for part in parts)
                p50, p99 = statistics.median(times), statistics.quantiles(times, n=100)[98] if len(times) > 1 else times[0]
                print(f"{name:12}{count:8}{rate:9.0f}{p50:9.1f}{p99:9.1f}{max(times):9.1f}", flush=True)


def make_lake(folder: Path, trades: int) -> Path:
    """A lake of two simulated days."""
    paths = write_archives(MarketConfig(days=2, perp_trades_per_day=trades), folder / "archives", datasets=("trades", "klines"))
    lake = open_lake(folder / "lake", create=True)
    ingest(lake, paths, sources=all_sources(), hints=Hints())
    return lake.root


def main() -> None:
    """Makes the lake, starts the server and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--trades", type=int, default=100_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lake = make_lake(Path(folder), given.trades)
        command = [sys.executable, "-m", "pointline.cli", "serve", "--lake", str(lake), "--port", "0", "--workers", str(given.workers)]
        began = time.perf_counter()
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
            try:
                said = iter(server.stderr or [])
                address = next((found for line in said if (found := re.search(r" at http://127\.0\.0\.1:(\d+)/", line))), None)
                if address is None:
                    raise SystemExit("the server did not start")
                print(f"started in {time.perf_counter() - began:.2f} s; workers: {shown(resident_mb(server.pid))}")
                measure(int(address[1]), given.clients, given.seconds)
                print(f"workers at the end: {shown(resident_mb(server.pid))}")
            finally:
                server.terminate()


if __name__ == "__main__":
    main()
