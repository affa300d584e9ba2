"""A writing process is killed at random moments: the lake is as before a file or as after it, and the next run completes."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from tests.lake.archives import contents, land, manifest, ms, quarantine, rows, write

from pointline.ingest import ordered, spool
from pointline.lake import open_lake, partition
from pointline.simulate import MarketConfig, write_archives

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent.parent
KILLS = 50
INTERRUPTS = 10

# Everything that takes time before the first file is imported before the word "ready".
WRITER = """
import sys
from pathlib import Path
import deltalake, deltalake.transaction, pyarrow.parquet
from pointline.ingest import instrument_table, ordered, spool
from pointline.lake import partition
from tests.lake.archives import take
root, *paths = map(Path, sys.argv[1:])
ordered.ROW_GROUP_ROWS = partition.ROW_GROUP_ROWS = 500
spool.ORDERED_ROWS = 700
print("ready", flush=True)
sys.stdin.readline()
reports = take(root, *paths)
print("done", *(report.outcome for report in reports), flush=True)
"""


@dataclass(frozen=True)
class Market:
    """Archive files, the lake before them, and what it must be after each of them.

    Attributes:
        base: a lake that holds the files of an earlier day.
        paths: files that the writer ingests.
        states: live files by path with their bytes, before the first file and after each.
        quarantines: rows set aside, likewise.
        entries: manifest entries of the base.
        seconds: how long a run takes.
    """

    base: Path
    paths: tuple[Path, ...]
    states: tuple[dict[str, bytes], ...]
    quarantines: tuple[list[dict[str, object]], ...]
    entries: int
    seconds: float


def changed(path: Path, folder: Path, *, drop: int = 0, add: tuple[str, ...] = ()) -> Path:
    """A copy of an archive without its last lines, with other lines on top, at the same place under another folder."""
    with zipfile.ZipFile(path) as archive:
        header, *lines = archive.read(f"{path.stem}.csv").decode().splitlines()
    target = folder / path.relative_to(path.parents[6])
    target.parent.mkdir(parents=True, exist_ok=True)
    kept = [header, *add, *(lines[:-drop] if drop else lines)]
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{path.stem}.csv", "\n".join(kept) + "\n")
    return target


def last_line(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        return archive.read(f"{path.stem}.csv").decode().splitlines()[-1]


def recording(folder: Path) -> Path:
    """One file that feeds three tables, each of them in a commit of its own."""
    at = ms("2024-05-01 12:00:00")
    common = f'"E":{at},"T":{at},"s":"ETHUSDT"'
    return write(
        folder,
        "binance_usdm_ethusdt.dat.gz",
        f'{at}001 {{"e":"trade",{common},"t":7,"p":"3000.5","q":"0.5","X":"MARKET","m":true}}',
        f'{at}002 {{"e":"bookTicker",{common},"u":9,"b":"3000","B":"1","a":"3000.5","A":"2"}}',
        f'{at}003 {{"e":"markPriceUpdate",{common},"p":"3000.1","i":"3000.2","r":"0.0001"}}',
    )


@pytest.fixture(scope="module", autouse=True)
def small_row_groups() -> Iterator[None]:
    """As in the writer: days of trades are many row groups, written while their archive is read."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (ordered, partition):
            patch.setattr(module, "ROW_GROUP_ROWS", 500)
        patch.setattr(spool, "ORDERED_ROWS", 700)
        yield


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Market:
    folder = tmp_path_factory.mktemp("market")
    datasets = ("trades", "klines", "metrics", "fundingRate")
    files = write_archives(MarketConfig(days=3, perp_trades_per_day=3_000), folder / "archive", datasets=datasets)
    perp = [path for path in files if "um/daily/trades" in path.as_posix()]
    others = [path for path in files if path not in perp]
    old = changed(perp[0], folder / "old", drop=500, add=("1,nonsense,1,1,1,true",))
    stray = changed(perp[1], folder / "stray", add=(last_line(perp[0]).replace("4000", "4999", 1),))
    base = folder / "base"
    land(base, old, others[0])
    paths = (stray, *others[1:6], recording(folder), perp[0], perp[2], *others[6:])
    reference = folder / "reference"
    shutil.copytree(base, reference)
    states, quarantines = [contents(reference)], [quarantine(reference)]
    for path in paths:
        land(reference, path)
        states.append(contents(reference))
        quarantines.append(quarantine(reference))
    assert all(before != after for before, after in pairwise(states))
    perp_rows = rows(reference).height + sum(
        row["exchange"] == "binance-futures" and row["kind"] == "trades" for row in quarantine(reference)
    )
    assert perp_rows == 3 * 3_000 + 1
    seconds = run_time(base, folder / "timed", paths)
    return Market(base, paths, tuple(states), tuple(quarantines), manifest(base).height, seconds)


def writer(root: Path, paths: tuple[Path, ...]) -> subprocess.Popen[str]:
    """A process that has loaded everything and waits for a line before it ingests."""
    command = [sys.executable, "-c", WRITER, str(root), *map(str, paths)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.communicate()[1]
    return process


def run_time(base: Path, root: Path, paths: tuple[Path, ...]) -> float:
    shutil.copytree(base, root)
    process = writer(root, paths)
    start = time.perf_counter()
    output, problem = process.communicate("\n")
    assert output.startswith("done"), problem
    return time.perf_counter() - start


def strike(root: Path, paths: tuple[Path, ...], blow: signal.Signals, delay: float) -> bool:
    """Starts a writer and strikes after `delay` seconds; whether it was still writing."""
    process = writer(root, paths)
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    time.sleep(delay)
    process.send_signal(blow)
    output, _ = process.communicate()
    return not output.startswith("done")


def check_between_files(root: Path, market: Market) -> int:
    """The lake is as after some file, or on the way of one table to the next file; returns how many files are done."""
    done = manifest(root).height - market.entries
    found = contents(root)
    before, after = market.states[done], market.states[min(done + 1, len(market.paths))]
    for kind in {path.split("/")[0] for path in (*found, *before, *after)}:
        of_kind, was, becomes = (
            {path: data for path, data in state.items() if path.startswith(f"{kind}/")} for state in (found, before, after)
        )
        assert of_kind in (was, becomes), f"{kind} is neither as before nor as after {market.paths[done]}"
    assert quarantine(root) == market.quarantines[done]
    return done


def check_rows_are_visible_once(root: Path) -> None:
    """What a plain Delta reader counts is what the live files hold: nothing unfinished is visible."""
    lake = open_lake(root)
    for kind in lake.kinds():
        live = lake.listing(kind)
        if live.is_empty():
            continue
        assert pl.scan_delta(str(root / kind)).select(pl.len()).collect().item() == live["num_records"].sum()
        for path, exchange, symbol, _, count in live.iter_rows():
            frame = pl.read_parquet(root / kind / path)
            assert frame.height == count
            assert frame.select("source_file", "source_row").is_duplicated().sum() == 0, (path, exchange, symbol)


def check_next_run_completes(root: Path, market: Market, scratch: Path) -> None:
    shutil.copytree(root, scratch)
    land(scratch, *market.paths)
    assert contents(scratch) == market.states[-1]
    assert quarantine(scratch) == market.quarantines[-1]
    assert {report.outcome for report in land(scratch, *market.paths)} == {"unchanged"}
    assert not list(scratch.glob("**/*.tmp"))
    assert not list((scratch / ".staging").glob("*"))
    shutil.rmtree(scratch)


def strike_again_and_again(market: Market, folder: Path, *, hits: int, blow: signal.Signals, seed: int) -> dict[str, int]:
    """Strikes until a running writer was hit `hits` times; half of the time the struck lake is struck again."""
    rng = random.Random(seed)  # noqa: S311 - moments, not secrets
    counts = {"hit while writing": 0, "came too late": 0, "nothing of the next file live": 0, "some of it live": 0}
    root = folder / "lake"
    while counts["hit while writing"] < hits:
        if not root.exists():
            shutil.copytree(market.base, root)
        left = 1 - (manifest(root).height - market.entries) / len(market.paths)
        hit = strike(root, market.paths, blow, rng.uniform(0, market.seconds * max(left, 0.1)))
        counts["hit while writing" if hit else "came too late"] += 1
        done = check_between_files(root, market)
        counts["nothing of the next file live" if contents(root) == market.states[done] else "some of it live"] += hit
        check_rows_are_visible_once(root)
        check_next_run_completes(root, market, folder / "next")
        if done == len(market.paths) or rng.random() < 0.5:
            shutil.rmtree(root)
    return counts


def test_three_kills(market: Market, tmp_path: Path) -> None:
    counts = strike_again_and_again(market, tmp_path, hits=3, blow=signal.SIGKILL, seed=3)
    assert counts["hit while writing"] == 3


@pytest.mark.crash
def test_fifty_kills(market: Market, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts = strike_again_and_again(market, tmp_path, hits=KILLS, blow=signal.SIGKILL, seed=9)
    with capsys.disabled():
        print(f"\nkill -9 over runs of {market.seconds:.2f} s: {counts}")  # noqa: T201 - the result that a reader wants to see
    assert counts["hit while writing"] == KILLS


@pytest.mark.crash
def test_interrupts(market: Market, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C is as harmless as kill -9."""
    counts = strike_again_and_again(market, tmp_path, hits=INTERRUPTS, blow=signal.SIGINT, seed=2)
    with capsys.disabled():
        print(f"\nCtrl-C over runs of {market.seconds:.2f} s: {counts}")  # noqa: T201 - as above
    assert counts["hit while writing"] == INTERRUPTS
