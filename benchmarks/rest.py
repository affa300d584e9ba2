"""What a download by REST costs the processor: Deribit's trades from a server of this machine.

    python benchmarks/rest.py [--days 2] [--trades 100000] [--runs 3]

The server, a process of its own, answers as Deribit does, in pages of a thousand. A host is asked five times a second at most; here these
waits take no time, so that the seconds are those of the work: requests, reading and checking the answers, writing files of JSON lines.
Prints the smallest of the runs.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import subprocess
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from pointline.download import get_targets, targets_of
from pointline.download.transport import Manners, Transport

SYMBOL = "BTC-PERPETUAL"
START = dt.date(2024, 5, 1)
START_MS = 1_714_521_600_000
DAY_MS = 86_400_000


class Waits:
    """A clock that a wait moves on."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def clock(self) -> float:
        """Seconds."""
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """A wait that takes no time."""
        self.now_s += seconds


def page(query: dict[str, str], per_day: int) -> bytes:
    """The answer to a question: trades come all day long in equal distances, numbered from 1 at `START`."""
    first, last = (int(query[key]) - START_MS for key in ("start_timestamp", "end_timestamp"))
    low, high = max(0, -(-first * per_day // DAY_MS)), (last + 1) * per_day // DAY_MS  # numbers from 0, the last exclusive
    while high > 0 and (high - 1) * DAY_MS // per_day > last:
        high -= 1
    while low * DAY_MS // per_day < first:
        low += 1
    ascending, count = query["sorting"] == "asc", int(query["count"])
    numbers = range(low, min(high, low + count)) if ascending else range(high - 1, max(low, high - count) - 1, -1)
    trades = [
        {
            "trade_seq": n + 1,
            "trade_id": str(290_000_000 + n),
            "timestamp": START_MS + n * DAY_MS // per_day,
            "tick_direction": n % 4,
            "price": 60_000 + n % 997 / 2,
            "mark_price": 60_000.25,
            "instrument_name": SYMBOL,
            "index_price": 59_990.5,
            "direction": ("buy", "sell")[n % 3 > 0],
            "contracts": float(n % 50 + 1),
            "amount": float(n % 50 + 1) * 10,
        }
        for n in numbers
    ]
    return json.dumps({"jsonrpc": "2.0", "result": {"trades": trades, "has_more": len(numbers) < high - low}}).encode()


def serve(per_day: int) -> None:
    """Answers until it is ended; says its port first."""

    class Answers(BaseHTTPRequestHandler):
        """The one path that is asked for."""

        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            """A page."""
            body = page({key: found[0] for key, found in parse_qs(urlsplit(self.path).query).items()}, per_day)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    print(server.server_port, flush=True)
    server.serve_forever()


def seconds_of(url: str, days: int) -> tuple[float, float]:
    """Wall and CPU seconds of a download."""
    waits = Waits()
    targets = targets_of("deribit", SYMBOL, "trades", str(START), str(START + dt.timedelta(days=days)))
    with tempfile.TemporaryDirectory() as folder, Transport(Manners(), clock=waits.clock, sleep=waits.sleep) as transport:
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        report = get_targets(targets, transport=transport, folder=folder, base_url=url)
        found = time.perf_counter() - wall_s, time.process_time() - cpu_s
    if report.counts != {"fetched": days}:
        sys.exit(f"not all days came: {report.counts}")
    return found


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=2)
    parser.add_argument("--trades", type=int, default=100_000, help="of a day")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(asked.trades)
        return
    command = [sys.executable, __file__, "--serve", "--trades", str(asked.trades)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None  # noqa: S101
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        try:
            found = [seconds_of(url, asked.days) for _ in range(asked.runs)]
        finally:
            server.terminate()
    wall_s, cpu_s = (min(one[at] for one in found) for at in (0, 1))
    trades = asked.days * asked.trades
    print(f"{trades:,} trades of {asked.days} days: {wall_s:.1f} s, {cpu_s:.1f} CPU s, {trades / cpu_s:,.0f} trades per CPU second")


if __name__ == "__main__":
    main()
