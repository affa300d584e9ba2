"""What `pointline scale ingest` spends where: what workers parse, what the one process does with parsed rows, and how far workers help.

    python benchmarks/scale_ingest.py [--days 4] [--trades 2000000] [--workers 2] [--runs 3]

Simulated archives of a perpetual and its spot. Each part runs alone in this process: an ingest without workers; what a worker does with
every file; reading the parsed rows, as they wait on disk; and the same with settling and storing. On a disk of this machine they wait as
they are, in a place that machines share they are compressed. Then a cluster of this machine does it all. Wall seconds, and CPU seconds of
this process's threads; the smallest of the runs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pointline.ingest.request import IngestOptions
from pointline.ingest.run import ingest
from pointline.lake.store import open_lake
from pointline.scale.cluster import connected
from pointline.scale.ingestion import ParsedFiles, ParsedSource, calls_of, ingest_paths
from pointline.scale.parsing import ParsedFile, parse_file
from pointline.scale.staging import place_of_run
from pointline.simulate import MarketConfig, write_archives
from pointline.sources.base import Hints

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distributed import Client

    from pointline.scale.parsing import ParseCall

OPTIONS = IngestOptions()
PLAIN = "ingest, one process"
PARSE = "parse, what workers do"
TAKE = "take: parsed rows are read"
REST = "take, settle, store and commit"
CLUSTER = "scale ingest"
SHARED = ", for a shared place"


class Watch:
    """The smallest wall and CPU seconds of each part, and the bytes of parsed rows that it left."""

    def __init__(self) -> None:
        self.least: dict[str, tuple[float, float]] = {}
        self.waiting_bytes: dict[str, int] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Measures the body."""
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        yield
        found = time.perf_counter() - wall_s, time.process_time() - cpu_s
        before = self.least.get(name, found)
        self.least[name] = min(found[0], before[0]), min(found[1], before[1])


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=4)
    parser.add_argument("--trades", type=int, default=2_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    watch = Watch()
    with tempfile.TemporaryDirectory(prefix="pointline-bench-") as text:
        folder = Path(text)
        files = write_archives(MarketConfig(days=asked.days, perp_trades_per_day=asked.trades), folder / "archives", datasets=("trades",))
        size = sum(path.stat().st_size for path in files) / 1_000_000
        with connected(f"local:{asked.workers}") as client:
            for turn in range(asked.runs):
                parts(files, folder / str(turn), watch)
                on_workers(files, folder / str(turn), client, watch)
    print(f"{len(files)} files, {size:.0f} MB, {asked.days} days of {asked.trades:,} perp trades; {asked.runs} runs\n")
    print("| part | wall s | CPU s | MB of parsed rows |\n|---|--:|--:|--:|")
    for name, (wall_s, cpu_s) in watch.least.items():
        left = f"{watch.waiting_bytes[name] / 1_000_000:.0f}" if name in watch.waiting_bytes else ""
        print(f"| {name} | {wall_s:.2f} | {cpu_s:.2f} | {left} |")
    print(
        f"\nof the CPU seconds of one process, {watch.least[REST][1] / watch.least[PLAIN][1]:.0%} stay with it, however many workers parse"
    )


def parts(files: list[Path], folder: Path, watch: Watch) -> None:
    """Each part alone."""
    folder.mkdir()
    with watch.part(PLAIN):
        ingest(open_lake(folder / "plain", create=True), files, sources=OPTIONS.sources, hints=Hints())
    for told in (SHARED, ""):
        lake = open_lake(folder / f"parsed{told}", create=True)
        with place_of_run(folder) as place:
            calls = calls_of(lake, files, OPTIONS, place.place, own_disk=told != SHARED)
            with watch.part(PARSE + told):
                parsed = [parse_file(call) for call in calls]
            watch.waiting_bytes[PARSE + told] = sum(path.stat().st_size for path in Path(place.place).rglob("*.arrow"))
            with watch.part(TAKE + told):
                source = waiting(calls, parsed)
                for call in calls:
                    for _ in source[call.source].read(Path(call.path), call.identity, call.hints):
                        pass
            again = [parse_file(call) for call in calls]
            with watch.part(REST + told):
                ingest(lake, files, sources=list(waiting(calls, again).values()), hints=Hints())
        if lake_bytes(folder / "plain") != lake_bytes(lake.root):
            sys.exit("the lakes differ")


def waiting(calls: list[ParseCall], parsed: list[ParsedFile]) -> dict[str, ParsedSource]:
    """Sources whose files were all parsed."""
    found = ParsedFiles(calls)
    for one in parsed:
        found.put(Path(one.path), one)
    return {source.name: ParsedSource(source, found) for source in OPTIONS.sources}


def on_workers(files: list[Path], folder: Path, client: Client, watch: Watch) -> None:
    """The whole, with workers."""
    with watch.part(CLUSTER):
        found = ingest_paths(files, OPTIONS, cluster=client, lake=folder / "cluster")
    if found.by_workers != len(files) or lake_bytes(folder / "cluster") != lake_bytes(folder / "plain"):
        sys.exit("workers did not parse all files to the same bytes")


def lake_bytes(folder: Path) -> list[str]:
    """The data files; their names are hashes of their content."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.parquet") if ".staging" not in path.parts)


if __name__ == "__main__":
    main()
