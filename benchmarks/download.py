"""What a download costs against curl, on the same server of this machine.

    python benchmarks/download.py [--files 12] [--megabytes 24] [--runs 3]

A server gives zip files of trades, once as fast as it can and once at the speed of a line (400 Mbit/s, all connections together). Three
clients get them, each in a process of its own with four connections: curl, which checks nothing; curl followed by what a careful user
does, ``sha256sum --check`` and ``unzip -t``; and pointline, which does the same and makes every file durable. Prints a table: megabytes per
second, the ratio to curl's, processor time and peak memory.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import io
import random
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from measure import Sample, run_process

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = "data/futures/um/daily/trades/BTCUSDT"
LINE_BYTES_PER_S = 50_000_000
PIECE = 1 << 18
MEGABYTE = 1_000_000
PROGRAM = (
    "import sys; from pointline.download import *; from pointline.download.transport import *; "
    "t = Transport(Manners(requests_per_s=1000)); "
    "r = get_targets(targets_of('binance-futures', 'BTCUSDT', 'trades', sys.argv[3], sys.argv[4]), transport=t, folder=sys.argv[1], "
    "base_url=sys.argv[2]); sys.exit(r.exit_code)"
)


class Line:
    """Lets bytes of all connections through at one speed."""

    def __init__(self, bytes_per_s: int | None) -> None:
        self._bytes_per_s = bytes_per_s
        self._free_s = 0.0
        self._lock = threading.Lock()

    def wait(self, count: int) -> None:
        """Returns when so many bytes may go."""
        if self._bytes_per_s is None:
            return
        with self._lock:
            self._free_s = max(self._free_s, time.monotonic()) + count / self._bytes_per_s
            left = self._free_s - time.monotonic()
        if left > 0:
            time.sleep(left)


def serve(root: Path, bytes_per_s: int | None, *, each: bool) -> None:
    """Serves a folder until it is ended, each connection at a speed or all together; says its port first. It has no listing."""
    shared = Line(bytes_per_s)

    class Files(BaseHTTPRequestHandler):
        """Files of the folder."""

        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            """Of a connection."""
            super().setup()
            self.line = Line(bytes_per_s) if each else shared

        def do_GET(self) -> None:
            """A file."""
            path = root / self.path.lstrip("/").partition("?")[0]
            found = path.is_file()
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(path.stat().st_size if found else 0))
            self.end_headers()
            if not found or self.command == "HEAD":
                return
            self.wfile.flush()
            with path.open("rb") as stream:
                for at in range(0, path.stat().st_size, PIECE):
                    self.line.wait(PIECE)
                    self.connection.sendfile(stream, at, PIECE)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    server.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print(server.server_port, flush=True)
    server.serve_forever()


def make_files(root: Path, count: int, megabytes: int) -> list[str]:
    """Zips of about so many megabytes, with the ratio of packed to text that trades have; one is made, and its like under each name."""
    draw = random.Random(1)  # noqa: S311 - no secret
    lines = [
        f"{n},{60_000 + draw.randrange(999) / 10},{draw.randrange(1, 9_999) / 1000},{1_714_521_600_000 + n * 7},true"
        for n in range(200_000)
    ]
    text = ("\n".join(lines) + "\n").encode()
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive,
        archive.open("trades.csv", "w", force_zip64=True) as out,
    ):
        while packed.tell() < megabytes * MEGABYTE:
            out.write(text)
    body, keys = packed.getvalue(), []
    for number in range(count):
        name = f"BTCUSDT-trades-{dt.date(2024, 1, 1) + dt.timedelta(days=number)}.zip"
        path = root / FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        path.with_name(f"{name}.CHECKSUM").write_text(f"{hashlib.sha256(body).hexdigest()}  {name}")
        keys.append(f"{FOLDER}/{name}")
    return keys


def commands(keys: list[str], url: str) -> Iterator[tuple[str, list[str]]]:
    """The clients and their commands; the folder is the last word."""
    wanted = [f"{url}/{key}{suffix}" for key in keys for suffix in ("", ".CHECKSUM")]
    curl = f'cd "$0" && curl -sS --fail --parallel --parallel-max 4 --remote-name-all {shlex.join(wanted)}'
    check = "for sum in *.CHECKSUM; do (cat $sum; echo) | sha256sum --check --quiet || exit 1; unzip -tqq ${sum%.CHECKSUM} || exit 1; done"
    end = dt.date(2024, 1, 1) + dt.timedelta(days=len(keys))
    yield "curl", ["bash", "-c", curl]
    yield "curl, then sha256sum and unzip -t", ["bash", "-c", f"{curl} && {check}"]
    yield "pointline", ["bash", "-c", f'exec {shlex.join([sys.executable, "-c", PROGRAM])} "$0" {url} 2024-01-01 {end}']


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=12)
    parser.add_argument("--megabytes", type=int, default=24)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--speed", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--each", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.speed or None, each=options.each)
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "served"
        keys = make_files(root, options.files, options.megabytes)
        size = sum((root / key).stat().st_size for key in keys) / MEGABYTE
        print(f"{len(keys)} files, {size:.0f} MB; medians of {options.runs} runs\n")
        print("| server | client | MB/s | of curl's | CPU s | peak MB |\n|---|---|---|---|---|---|")
        for name, speed in (("unlimited", 0), ("400 Mbit/s", LINE_BYTES_PER_S)):
            command = [sys.executable, __file__, "--serve", str(root), "--speed", str(speed)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
                assert server.stdout is not None  # noqa: S101
                url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
                table(name, dict(commands(keys, url)), size, options.runs, Path(folder))
                server.terminate()


def table(server: str, clients: dict[str, list[str]], size_mb: float, runs: int, folder: Path) -> None:
    """Runs the clients in turn and prints a row for each."""
    samples: dict[str, list[Sample]] = {name: [] for name in clients}
    for _ in range(runs):
        for name, command in clients.items():
            with tempfile.TemporaryDirectory(dir=folder) as out:
                samples[name].append(run_process([*command, out]))
    curl_s = median(sample.wall_s for sample in samples["curl"])
    for name, found in samples.items():
        wall_s = median(sample.wall_s for sample in found)
        cpu_s, peak_mb = median(sample.cpu_s for sample in found), max(sample.peak_mb for sample in found)
        print(f"| {server} | {name} | {size_mb / wall_s:.0f} | {curl_s / wall_s:.2f} | {cpu_s:.1f} | {peak_mb:.0f} |", flush=True)


if __name__ == "__main__":
    main()
