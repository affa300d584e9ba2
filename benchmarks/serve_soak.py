"""What a server does under load: requests/s and latency at 1 and many clients, memory of every process over minutes, identical results.

    python benchmarks/serve_soak.py                     # 8 clients for 5 minutes on a simulated lake
    python benchmarks/serve_soak.py --minutes 0.5 --lake ./lake --json soak.json

The clients are threads of this process that keep their connections; they take processor time of the same machine. The rows of every answer
are compared with those of the other answers to the same request; bytes may differ where a format cuts the rows into blocks. At the end
honest queries run beside a hostile user's (refused statements and ones that run into the limits of time, rows and memory), three times in
turn with the same queries alone; the figure is the 99th percentile beside the hostile ones over that alone, the median of the three.
Exit code 1: a request failed, an answer differed, or a process grew.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import http.client
import io
import itertools
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SETTLING_S = 120.0  # a shorter run says nothing of growth: the engine's caches still fill
GROWTH_MB, GROWTH_SHARE = 20.0, 0.05  # what a process may take more, or of its size, between the second and the last quarter of a run
ROUNDS = 3  # of honest queries alone and beside hostile ones, in turn

CANDLES = "SELECT * FROM api.ohlcv(candle_duration_in_minutes = {}) ORDER BY exchange, market, start"
SPREAD = """SELECT f.start, f.exchange, f.market, f.close - s.close AS spread FROM api.ohlcv(candle_duration_in_minutes = 15) AS f
JOIN api.ohlcv(candle_duration_in_minutes = 15) AS s ON f.start = s.start WHERE s.exchange = 'binance' AND f.exchange != 'binance'
ORDER BY f.start, f.exchange, f.market"""
TRADES = """SELECT toStartOfHour(timestamp) AS hour, exchange, market, count(), sum(quantity), min(price), max(price) FROM api.trade
WHERE timestamp >= '2024-01-01' AND timestamp < '2025-01-01' GROUP BY ALL ORDER BY ALL"""
HONEST = (
    (CANDLES.format(1440), "JSONCompactEachRow"),
    (CANDLES.format(60), "CSVWithNames"),
    (CANDLES.format(5), "Native"),
    (CANDLES.format(60), "Parquet"),
    (SPREAD, "RowBinaryWithNamesAndTypes"),
    (TRADES, "ArrowStream"),
    ("SELECT * FROM api.market_future ORDER BY ALL", "TabSeparated"),
    ("SELECT * FROM api.coverage ORDER BY ALL", "JSONEachRow"),
)
HOSTILE = (
    "SELECT file('/etc/passwd')",
    "DROP TABLE api.trade",
    "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
    "SELECT 1; SELECT 2",
    "SELECT * FROM system.users",
    "SELECT " + "(" * 10_000 + "1" + ")" * 10_000,
    "SELECT count() FROM numbers(1000000000000)",
    "SELECT count() FROM numbers(100000) AS a, numbers(100000) AS b",
    "SELECT groupArray(repeat('x', 10000)) FROM numbers(10000000)",
    "SELECT sum(sipHash64(number)) FROM numbers(40000000)",
    "SELECT repeat('x', 1000000000)",
    "SELECT count() FROM api.trade",
)


# ---- a server


@dataclass(frozen=True)
class Served:
    """A running server.

    Attributes:
        port: of 127.0.0.1.
        pid: of its main process.
        start_s: seconds from the command to the first query that could be sent.
        tokens: of the users honest and hostile.
    """

    port: int
    pid: int
    start_s: float
    tokens: dict[str, str]

    def processes(self) -> dict[int, str]:
        """Ids of its processes and what each is."""
        found = {self.pid: "server"}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, IndexError, ValueError):
                if entry.name.isdigit() and int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == self.pid:
                    found[int(entry.name)] = "worker"
        return found


@contextlib.contextmanager
def served(lake: Path, folder: Path, workers: int) -> Iterator[Served]:
    """Starts a server with two users and stops it at the end."""
    from pointline.server.hashes import new_token

    made = {name: new_token() for name in ("honest", "hostile")}
    config = folder / "serve.toml"
    config.write_text(
        f"[server]\nport = 0\nworkers = {workers}\nwaiting = 100\nwait_s = 60.0\n"
        f'[users.honest]\ntokens = ["{made["honest"][1]}"]\nlimits = {{ queries = 100 }}\n'
        f'[users.hostile]\ntokens = ["{made["hostile"][1]}"]\n'
        "limits = { queries = 1, threads = 1, time_s = 1.0, memory_mb = 300, rows_read = 50_000_000 }\n",
        encoding="utf-8",
    )
    config.chmod(0o600)
    command = [sys.executable, "-m", "pointline.cli", "serve", "--lake", str(lake), "--config", str(config)]
    began = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    said: list[str] = []
    try:
        for line in process.stderr or ():
            said.append(line)
            if found := re.search(r"^serving .* at http://127\.0\.0\.1:(\d+)/", line):
                break
        else:
            raise SystemExit("the server did not start:\n" + "".join(said))
        start_s = time.perf_counter() - began
        threading.Thread(target=lambda: [None for _ in process.stderr or ()], daemon=True).start()  # nobody else reads what it says
        yield Served(int(found[1]), process.pid, start_s, {name: token for name, (token, _) in made.items()})
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def simulated_lake(folder: Path) -> Path:
    """A lake with three simulated days of a perp and its spot market."""
    from pointline.ingest.run import ingest
    from pointline.lake.store import open_lake
    from pointline.simulate import MarketConfig, write_archives
    from pointline.sources.base import Hints
    from pointline.sources.families import all_sources

    paths = write_archives(MarketConfig(days=3, perp_trades_per_day=100_000), folder, datasets=("trades", "klines", "fundingRate"))
    ingest(open_lake(folder / "lake", create=True), paths, sources=all_sources(), hints=Hints())
    return folder / "lake"


# ---- clients


@dataclass
class Tally:
    """What clients saw.

    Attributes:
        latencies_ms: of requests that succeeded.
        failures: what went wrong -> how often.
        answers: request -> digest of an answer's bytes -> the bytes.
    """

    latencies_ms: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    answers: defaultdict[tuple[str, str], dict[str, bytes]] = field(default_factory=lambda: defaultdict(dict))

    def figures(self, seconds: float) -> dict[str, float]:
        """Requests/s and percentiles in milliseconds."""
        ranked = sorted(self.latencies_ms) or [float("nan")]
        return {
            "requests": len(self.latencies_ms),
            "requests_per_s": round(len(self.latencies_ms) / seconds, 1),
            "p50_ms": round(statistics.median(ranked), 1),
            "p99_ms": round(ranked[min(len(ranked) - 1, int(len(ranked) * 0.99))], 1),
            "max_ms": round(ranked[-1], 1),
        }


def send(connection: http.client.HTTPConnection, text: str, output_format: str, token: str) -> tuple[int, bytes]:
    """Status and body of a query's answer."""
    headers = {"Authorization": f"Bearer {token}", "X-ClickHouse-Format": output_format}
    connection.request("POST", "/", body=text.encode(), headers=headers)
    response = connection.getresponse()
    return response.status, response.read()


def honest_client(server: Served, tally: Tally, stop: threading.Event, offset: int) -> None:
    """Sends the honest queries in turn, beginning with another one in each client."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    for text, output_format in itertools.islice(itertools.cycle(HONEST), offset, None):
        if stop.is_set():
            break
        began = time.perf_counter()
        try:
            status, body = send(connection, text, output_format, server.tokens["honest"])
        except (OSError, http.client.HTTPException) as error:
            tally.failures[repr(error)] += 1
            connection.close()
            continue
        if status == http.HTTPStatus.OK:
            tally.latencies_ms.append((time.perf_counter() - began) * 1e3)
            tally.answers[text, output_format].setdefault(hashlib.sha256(body).hexdigest(), body)
        else:
            tally.failures[f"{status} {body[:200]!r}"] += 1
    connection.close()


def rows_of(output_format: str, body: bytes) -> object:
    """The rows of an answer; of a format that writes row after row its bytes are the rows."""
    if output_format == "Native":
        return native_rows(body)
    if output_format in {"Parquet", "ArrowStream"}:
        import polars as pl

        frame = pl.read_parquet(io.BytesIO(body)) if output_format == "Parquet" else pl.read_ipc_stream(io.BytesIO(body))
        return frame.columns, frame.rows()
    return body


def native_rows(body: bytes) -> object:
    """Names and rows of blocks in the Native format, as clickhouse-connect reads them."""
    from clickhouse_connect.driver.buffer import ResponseBuffer
    from clickhouse_connect.driver.query import QueryContext
    from clickhouse_connect.driver.transform import NativeTransform

    class Source:
        gen = iter([body])

        def close(self) -> None:
            """Nothing is open."""

    result = NativeTransform().parse_response(ResponseBuffer(Source()), QueryContext())
    return result.column_names, [tuple(row) for row in result.result_rows]


def differ(output_format: str, bodies: Iterable[bytes]) -> bool:
    """Whether answers to one request hold other rows."""
    first, *others = bodies
    rows = rows_of(output_format, first) if others else None
    return any(rows_of(output_format, body) != rows for body in others)


def hostile_client(server: Served, seen: Counter[int], stop: threading.Event) -> None:
    """Sends the hostile statements in turn."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    for text in itertools.cycle(HOSTILE):
        if stop.is_set():
            break
        try:
            seen[send(connection, text, "TabSeparated", server.tokens["hostile"])[0]] += 1
        except (OSError, http.client.HTTPException):
            seen[0] += 1
            connection.close()
    connection.close()


def load(server: Served, clients: int, seconds: float, *, hostile: int = 0, sampler: Memory | None = None) -> tuple[Tally, dict[str, Any]]:
    """Runs clients for a while; what they saw, and their figures."""
    tally, stop, seen = Tally(), threading.Event(), Counter[int]()
    threads = [threading.Thread(target=honest_client, args=(server, tally, stop, n)) for n in range(clients)]
    threads += [threading.Thread(target=hostile_client, args=(server, seen, stop)) for _ in range(hostile)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    while (left := began + seconds - time.perf_counter()) > 0:
        if sampler is not None:
            sampler.take()
        stop.wait(min(1.0, left))
    stop.set()
    for thread in threads:
        thread.join()
    figures: dict[str, Any] = tally.figures(time.perf_counter() - began)
    if hostile:
        figures["hostile_statuses"] = {str(status): count for status, count in sorted(seen.items())}
    return tally, figures


# ---- memory


class Memory:
    """Resident memory of a server's processes, sampled."""

    def __init__(self, server: Served) -> None:
        self._server = server
        self._began = time.perf_counter()
        self.samples: defaultdict[tuple[int, str], list[tuple[float, float]]] = defaultdict(list)

    def take(self) -> None:
        """One sample of each process."""
        for pid, kind in self._server.processes().items():
            with contextlib.suppress(OSError, IndexError):
                pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
                self.samples[pid, kind].append((time.perf_counter() - self._began, pages * os.sysconf("SC_PAGE_SIZE") / 1e6))

    def report(self) -> list[dict[str, Any]]:
        """For each process its memory at first, at last and at most, its slope in the second half, and its growth between two quarters."""
        found = []
        for (pid, kind), samples in sorted(self.samples.items()):
            sizes = [size for _, size in samples]
            half, quarter = len(samples) // 2, max(1, len(samples) // 4)
            later = samples[half:]
            slope = statistics.linear_regression(*zip(*later, strict=True)).slope if len(later) > 1 else 0.0
            growth = statistics.median(sizes[-quarter:]) - statistics.median(sizes[quarter : 2 * quarter] or sizes)
            found.append(
                {
                    "pid": pid,
                    "kind": kind,
                    "seconds": round(samples[-1][0] - samples[0][0]),
                    "first_mb": round(sizes[0]),
                    "last_mb": round(sizes[-1]),
                    "highest_mb": round(max(sizes)),
                    "slope_mb_per_minute": round(slope * 60, 2),
                    "growth_mb": round(growth, 1),
                }
            )
        return found


def is_growing(process: dict[str, Any]) -> bool:
    """Whether a process was watched for long enough and still took more memory."""
    return bool(process["seconds"] >= SETTLING_S and process["growth_mb"] > max(GROWTH_MB, GROWTH_SHARE * process["first_mb"]))


# ---- the run


def measure(lake: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    seconds = options.minutes * 60
    tallies: list[Tally] = []

    def run(clients: int, duration_s: float, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - of `load`
        tally, figures = load(server, clients, duration_s, **more)
        tallies.append(tally)
        return figures

    with served(lake, folder, options.workers) as server:
        at_start, memory = Memory(server), Memory(server)
        at_start.take()
        run(options.workers, 3.0)  # every worker has seen queries
        alone = run(1, max(5.0, seconds / 10))
        many = run(options.clients, seconds, sampler=memory)
        rounds = [(run(1, max(5.0, seconds / 10)), run(1, max(5.0, seconds / 10), hostile=options.hostile)) for _ in range(ROUNDS)]
    answers = defaultdict[tuple[str, str], dict[str, bytes]](dict)
    for tally in tallies:
        for request, bodies in tally.answers.items():
            answers[request] |= bodies
    ratios = [round(beside["p99_ms"] / calm["p99_ms"], 2) for calm, beside in rounds]
    return {
        "start_s": round(server.start_s, 2),
        "worker_start_mb": [process["first_mb"] for process in at_start.report() if process["kind"] == "worker"],
        "one_client": alone,
        f"{options.clients}_clients": many,
        "minutes": options.minutes,
        "memory": memory.report(),
        "alone": [calm for calm, _ in rounds],
        "beside_hostile": [beside for _, beside in rounds],
        "p99_ratios": ratios,
        "p99_ratio": statistics.median(ratios),
        "failures": dict(sum((tally.failures for tally in tallies), Counter[str]())),
        "requests_with_other_bytes": [list(request) for request, bodies in answers.items() if len(bodies) > 1],
        "requests_with_different_answers": [list(request) for request, bodies in answers.items() if differ(request[1], bodies.values())],
    }


def main() -> None:
    """Runs and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0, help="of the load with many clients (default: 5)")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--hostile", type=int, default=2, help="hostile clients at the end (default: 2)")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--lake", type=Path, help="instead of a simulated one")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pointline-soak-") as name:
        folder = Path(name)
        found = measure(options.lake or simulated_lake(folder), folder, options)
    text = json.dumps(found, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")
    growing = [process for process in found["memory"] if is_growing(process)]
    if found["failures"] or found["requests_with_different_answers"] or growing:
        sys.exit(f"not clean: {len(found['failures'])} kinds of failure, {len(growing)} growing processes")


if __name__ == "__main__":
    main()
