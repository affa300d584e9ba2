"""What workers change of a download, from a server of this machine that gives each connection a line of its own.

    python benchmarks/scale_download.py [--files 24] [--megabytes 4] [--runs 5] [--megabit 24]

`download` in one process and `scale download` with two worker processes take turns, both with four connections. Prints medians and their
ratio, and whether both folders hold the same bytes. The start of the cluster is told apart.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import download as served

from pointline.download import targets_of
from pointline.download.transport import Manners, Transport
from pointline.scale.cluster import connected
from pointline.scale.downloading import download_targets

if TYPE_CHECKING:
    from distributed import Client

WORKERS = 2
CONNECTIONS = 4
MEGABIT_BYTES = 125_000


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=24)
    parser.add_argument("--megabytes", type=int, default=4)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--megabit", type=int, default=24)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pointline-download-") as text:
        folder = Path(text)
        keys = served.make_files(folder / "served", asked.files, asked.megabytes)
        size_mb = sum((folder / "served" / key).stat().st_size for key in keys) / served.MEGABYTE
        options = ["--serve", str(folder / "served"), "--speed", str(asked.megabit * MEGABIT_BYTES), "--each"]
        with subprocess.Popen([sys.executable, served.__file__, *options], stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None  # noqa: S101
            url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
            began = time.perf_counter()
            with connected(f"local:{WORKERS}") as client:
                print(f"{len(keys)} files, {size_mb:.0f} MB; a cluster of {WORKERS} starts in {time.perf_counter() - began:.1f} s")
                compare(asked, folder, url, client, size_mb)
            server.terminate()


def compare(asked: argparse.Namespace, folder: Path, url: str, client: Client, size_mb: float) -> None:
    """Lets both take turns and prints what they took."""
    taken: dict[str, list[float]] = {"one process": [], f"{WORKERS} workers": []}
    found = set()
    for run in range(asked.runs):
        for name, cluster in zip(taken, (None, client), strict=True):
            out = folder / f"{name} {run}"
            taken[name].append(got(asked.files, out, url, cluster))
            files = sorted(path for path in out.rglob("*") if path.is_file() and ".pointline" not in path.parts)
            found.add(hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in files)).hexdigest())
    for name, seconds in taken.items():
        print(f"{name}: {median(seconds):.2f} s, {size_mb / median(seconds):.0f} MB/s")
    alone, together = (median(seconds) for seconds in taken.values())
    print(f"ratio {alone / together:.2f} of {asked.runs} runs each; bytes {'equal' if len(found) == 1 else 'DIFFERENT'}")


def got(count: int, folder: Path, url: str, cluster: Client | None) -> float:
    """Seconds of a download."""
    end = dt.date(2024, 1, 1) + dt.timedelta(days=count)
    targets = targets_of("binance-futures", "BTCUSDT", "trades", "2024-01-01", str(end))
    with Transport(Manners(requests_per_s=1_000), connections=CONNECTIONS) as transport:
        began = time.perf_counter()
        run = download_targets(targets, cluster=cluster, transport=transport, folder=folder, base_url=url, connections=CONNECTIONS)
        seconds = time.perf_counter() - began
    assert run.report.counts == {"fetched": count}, run  # noqa: S101
    return seconds


if __name__ == "__main__":
    main()
