"""Requests, bytes and seconds of `compare` over a lake in a bucket, against the same lake in a folder.

The store is moto, a server in Python on this machine: its seconds say little of a real store, its requests and bytes are those of any.
Run: python benchmarks/s3.py LAKE --perp binance-futures:BTCUSDT --spot binance-spot:BTCUSDT --start 2024-05-01 --days 1 10
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests import buckets  # noqa: E402 - the server of the tests

if TYPE_CHECKING:
    from collections.abc import Iterator

URL = "s3://desk/lake"
CHILD = """
import json, sys, time
import pointline
from pointline.research.spines import VolumeBarConfig
perp, spot, start, end, lake = sys.argv[1:]
began = time.perf_counter()
study = pointline.compare(perp, spot, start=start, end=end, lake=lake, bars=VolumeBarConfig(500.0))
print(json.dumps({"seconds": time.perf_counter() - began, "hash": int(study.features.hash_rows().sum()), "rows": study.features.height}))
"""


@contextmanager
def served() -> Iterator[buckets.Server]:
    """The store."""
    running = buckets.serve()
    try:
        yield next(running)
    finally:
        next(running, None)


def compared(words: list[str], environment: dict[str, str]) -> dict[str, float]:
    """What a process of its own says of its comparison."""
    done = subprocess.run([sys.executable, "-c", CHILD, *words], check=True, capture_output=True, text=True, env=environment)
    return dict(json.loads(done.stdout))


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lake", type=Path)
    parser.add_argument("--perp", default="binance-futures:BTCUSDT")
    parser.add_argument("--spot", default="binance-spot:BTCUSDT")
    parser.add_argument("--start", default="2024-05-01")
    parser.add_argument("--days", type=int, nargs="+", default=[1, 10])
    told = parser.parse_args()
    with served() as server, tempfile.TemporaryDirectory() as folder:
        lake = Path(folder) / "lake"  # the bars beside the lake that was named stay as they are
        shutil.copytree(told.lake, lake, ignore=shutil.ignore_patterns(".cache"), copy_function=os.link)
        mirror = Path(folder) / "mirror"
        os.environ.update(buckets.environment(server, mirror))
        from pointline.lake import places
        from pointline.lake.transfer import copy_lake

        began = time.perf_counter()
        done = copy_lake(lake, URL)
        print(f"copied {done.files} files, {done.bytes / 1e6:,.0f} MB, in {time.perf_counter() - began:.1f} s")
        places._MIRRORS.clear()  # noqa: SLF001 - the mirror is removed
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "POINTLINE_CACHE_BYTES": "0"}
        first = dt.date.fromisoformat(told.start)
        for days in told.days:
            window = [told.perp, told.spot, told.start, (first + dt.timedelta(days=days)).isoformat()]
            compared([*window, str(lake)], environment)  # compiles
            local = compared([*window, str(lake)], environment)
            print(f"{days:>3} days, folder: {local['seconds']:.2f} s, {local['rows']:,} bars")
            shutil.rmtree(mirror, ignore_errors=True)
            for name in ("first on a machine", "again"):
                server.forget()
                found = compared([*window, URL], environment)
                same = "the same figures" if found["hash"] == local["hash"] else "OTHER FIGURES"
                logs = sum("_delta_log" in key for _, key in server.requests)
                data = sum(key.endswith(".parquet") for _, key in server.requests)
                counts = f"{len(server.requests):,} requests ({logs} of logs, {data} of data)"
                print(f"{days:>3} days, bucket, {name}: {found['seconds']:.2f} s, {counts}, {server.sent / 1e6:,.1f} MB, {same}")


if __name__ == "__main__":
    main()
