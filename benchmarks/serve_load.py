"""Start-up, requests a second, p50, p99 and fairness of the server: ``python benchmarks/serve_load.py [--seconds S] [--clients 1 8 12]``.

A simulated lake is served by a process of its own. Each client keeps one connection and asks without a pause, in a process of its own so
that clients do not wait for each other. Measured are a trivial query, which is what the server itself costs, and daily candles made
from one-minute candles; beside them what each worker's memory is at the start and at the end.

Fairness: a modest user asks small queries, first alone and then beside a greedy one who has eight endless cross joins under way at any
time; in turn, several times. The figure is the modest user's 99th percentile beside the greedy one over that alone (median of rounds).
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import multiprocessing
import re
import select
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pointline.ingest.run import ingest
from pointline.lake.store import open_lake
from pointline.server.hashes import new_token
from pointline.simulate import MarketConfig, write_archives
from pointline.sources.base import Hints
from pointline.sources.families import all_sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

QUERIES = {
    "SELECT 1": "SELECT 1",
    "candles": "SELECT * FROM api.ohlcv(candle_duration_in_minutes = 1440) ORDER BY exchange, market, start",
    "trades": "SELECT count(), sum(quantity) FROM api.trade WHERE timestamp >= '2024-05-02' AND timestamp < '2024-05-03'",
}


SMALL = """SELECT start, market, toFloat64(close) AS close FROM api.ohlcv(candle_duration_in_minutes = 60)
WHERE exchange = 'binance' ORDER BY start LIMIT 24"""
ENDLESS = "SELECT count() FROM numbers(1000000) AS a, numbers(1000000) AS b WHERE a.number + b.number = 7"
GREEDY = 8  # cross joins at a time
ROUNDS = 5


def load(port: int, text: str, seconds: float, token: str = "") -> list[float]:
    """Milliseconds of each answer that one client got.

    Raises:
        RuntimeError: an answer was an error.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    found = []
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        connection.request("POST", "/", body=text.encode(), headers={"Authorization": f"Bearer {token}"} if token else {})
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
                p50, p99 = statistics.median(times), percentile(times, 99)
                print(f"{name:12}{count:8}{rate:9.0f}{p50:9.1f}{p99:9.1f}{max(times):9.1f}", flush=True)


def percentile(times: list[float], percent: int) -> float:
    """The value below which so many of a hundred are."""
    return statistics.quantiles(times, n=100)[percent - 1] if len(times) > 1 else times[0]


def be_greedy(port: int, token: str, stop: threading.Event) -> None:
    """Asks one cross join after the other."""
    while not stop.is_set():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("POST", "/", body=ENDLESS, headers={"Authorization": f"Bearer {token}"})
            while connection.sock is not None and not stop.is_set() and not select.select([connection.sock], [], [], 0.1)[0]:
                pass
        connection.close()


def measure_fairness(port: int, tokens: dict[str, str], seconds: float) -> None:
    """Prints what a modest user gets alone and beside a greedy one."""
    ratios = []
    load(port, SMALL, 1.0, tokens["modest"])
    for number in range(ROUNDS):
        alone = load(port, SMALL, seconds, tokens["modest"])
        stop = threading.Event()
        threads = [threading.Thread(target=be_greedy, args=(port, tokens["greedy"], stop)) for _ in range(GREEDY)]
        for thread in threads:
            thread.start()
        time.sleep(1.0)
        try:
            beside = load(port, SMALL, seconds, tokens["modest"])
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        ratios.append(percentile(beside, 99) / percentile(alone, 99))
        print(
            f"modest user, round {number + 1}: alone p50 {statistics.median(alone):.1f} p99 {percentile(alone, 99):.1f} ms, "
            f"beside {GREEDY} cross joins p50 {statistics.median(beside):.1f} p99 {percentile(beside, 99):.1f} ms: {ratios[-1]:.2f} x",
            flush=True,
        )
        time.sleep(3.0)  # the greedy user's worker is replaced
    print(f"fairness: {statistics.median(ratios):.2f} x (median of {ROUNDS} rounds)")


def make_lake(folder: Path, trades: int) -> Path:
    """A lake of two simulated days."""
    paths = write_archives(MarketConfig(days=2, perp_trades_per_day=trades), folder / "archives", datasets=("trades", "klines"))
    lake = open_lake(folder / "lake", create=True)
    ingest(lake, paths, sources=all_sources(), hints=Hints())
    return lake.root


@contextlib.contextmanager
def served(options: list[str]) -> Iterator[tuple[int, int]]:
    """A server while it runs: its process id and its port.

    Raises:
        SystemExit: it did not start.
    """
    with subprocess.Popen([sys.executable, "-m", "pointline.cli", "serve", *options], stderr=subprocess.PIPE, text=True) as server:
        try:
            said = server.stderr or []
            address = next((found for line in said if (found := re.search(r" at http://127\.0\.0\.1:(\d+)/", line))), None)
            if address is None:
                raise SystemExit("the server did not start")
            threading.Thread(target=lambda: [None for _ in server.stderr or ()], daemon=True).start()  # nobody else reads what it says
            yield server.pid, int(address[1])
        finally:
            server.terminate()
            server.wait()


def main() -> None:
    """Makes the lake, starts the server and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 12])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--trades", type=int, default=100_000)
    parser.add_argument("--fairness-only", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lake = make_lake(folder, given.trades)
        options = ["--lake", str(lake), "--port", "0", "--workers", str(given.workers)]
        if not given.fairness_only:
            began = time.perf_counter()
            with served(options) as (pid, port):
                print(f"started in {time.perf_counter() - began:.2f} s; workers: {shown(resident_mb(pid))}")
                measure(port, given.clients, given.seconds)
                print(f"workers at the end: {shown(resident_mb(pid))}")
        made = {user: new_token() for user in ("greedy", "modest")}
        config = folder / "serve.toml"
        config.write_text("".join(f'[users.{user}]\ntokens = ["{digest}"]\n' for user, (_, digest) in made.items()), encoding="utf-8")
        config.chmod(0o600)
        with served([*options, "--config", str(config)]) as (_, port):
            measure_fairness(port, {user: token for user, (token, _) in made.items()}, given.seconds)


if __name__ == "__main__":
    main()
