"""A process that writes to a bucket is killed at random moments: readers see the state after some file, and the next run completes."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import polars as pl
import pytest
from tests import buckets
from tests.crash.test_kill9 import ROOT, WRITER, Market, market, small_row_groups
from tests.lake.archives import contents, futures_trades, land, manifest, noon_trades, quarantine, trade

from pointline.lake import open_lake, places
from pointline.lake.lease import LEASE
from pointline.lake.transfer import copy_lake
from pointline.lake.verify import verify

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["market", "small_row_groups"]  # fixtures

KILLS = 100
PROGRAM = WRITER.replace("root, *paths = map(Path, sys.argv[1:])", "root, *paths = sys.argv[1], *map(Path, sys.argv[2:])")


def as_new_machine(patch: pytest.MonkeyPatch, store: buckets.Server, folder: Path) -> None:
    """From here on this process has mirrored nothing."""
    shutil.rmtree(folder, ignore_errors=True)
    buckets.enter(patch, store, folder)
    patch.setattr(places, "_MIRRORS", {})


def writer(url: str, market: Market, store: buckets.Server, mirror: Path) -> subprocess.Popen[str]:
    """A process that has loaded everything and waits for a line before it ingests."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, url, *map(str, market.paths)],
        cwd=ROOT,
        env={**os.environ, **buckets.environment(store, mirror)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.communicate()[1]
    return process


def strike(url: str, market: Market, store: buckets.Server, mirror: Path, delay: float) -> bool:
    """Kills a writer after `delay` seconds; whether it was still writing."""
    process = writer(url, market, store, mirror)
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    output, _ = process.communicate()
    return not output.startswith("done")


def strike_at(url: str, market: Market, store: buckets.Server, mirror: Path, count: int, keys: str = "") -> None:
    """Kills a writer in a certain of its writes, whose key has some text; the store carries that one out."""
    process = writer(url, market, store, mirror)
    left = itertools.count(1 - count)

    def kill(method: str, key: str) -> None:
        if method == "PUT" and keys in key and next(left) == 0:
            process.kill()

    store.fault = kill
    output, _ = process.communicate("\n")
    store.fault = None
    assert (process.returncode, output) == (-signal.SIGKILL, "")


def check_delta_readers(url: str) -> None:
    """What a plain Delta reader finds live is there, each row once; it may be one commit ahead of the book."""
    lake = open_lake(url)
    assert lake.mirror is not None
    options = lake.mirror.bucket.storage_options
    for kind in lake.kinds():
        rows = pl.scan_delta(f"{url}/{kind}", storage_options=options).select("source_file", "source_row").collect()
        assert not rows.is_duplicated().any(), kind


def strike_again_and_again(
    market: Market, store: buckets.Server, folder: Path, patch: pytest.MonkeyPatch, *, hits: int, seed: int
) -> dict[str, int]:
    rng = random.Random(seed)  # noqa: S311 - moments, not secrets
    counts = {"hit while writing": 0, "came too late": 0, "committed and not carried out": 0}
    seconds = market.seconds * 2
    while counts["hit while writing"] < hits:
        url = f"s3://desk/struck-{seed}-{sum(counts.values())}"
        as_new_machine(patch, store, folder / "mirror")
        copy_lake(market.base, url)
        hit = strike(url, market, store, folder / "killed", rng.uniform(0, seconds))
        seconds = seconds if hit else seconds * 0.9
        counts["hit while writing" if hit else "came too late"] += 1
        counts["committed and not carried out"] += check_and_complete(url, market, store, folder, patch, rng.choice(("killed", "mirror")))
    return counts


def check_and_complete(url: str, market: Market, store: buckets.Server, folder: Path, patch: pytest.MonkeyPatch, goes_on_at: str) -> bool:
    """Looks at the lake of a writer that was killed and lets the next one complete it; whether that one had a commit to carry out."""
    as_new_machine(patch, store, folder / "mirror")
    done = manifest(url).height - market.entries
    assert contents(url) == market.states[done]  # of all tables
    assert quarantine(url) == market.quarantines[done]
    assert verify(open_lake(url)).problems == []
    check_delta_readers(url)
    mirror = open_lake(url).mirror
    assert mirror is not None
    mirror.bucket.remove(LEASE)  # as if it had expired; the next writer may be the same machine, with what was left there
    buckets.enter(patch, store, folder / goes_on_at)
    patch.setattr(places, "_MIRRORS", {})
    reports = land(url, *market.paths)
    finished = sum(report.outcome == "unchanged" for report in reports)
    as_new_machine(patch, store, folder / "mirror")
    assert finished in {done, done + 1}
    assert contents(url) == market.states[-1]
    assert quarantine(url) == market.quarantines[-1]
    assert verify(open_lake(url)).problems == []
    shutil.rmtree(folder / "killed", ignore_errors=True)
    return finished > done


@pytest.fixture(scope="module")
def few_files(tmp_path_factory: pytest.TempPathFactory) -> Market:
    """As `market`, of three days with few trades and a correction; the second has rows that are set aside."""
    folder = tmp_path_factory.mktemp("few")
    land(folder / "base", noon_trades(folder / "in", "2024-05-01", 1))
    bad = trade(16, "2024-05-02 12:00:16").replace("60000.1", "sixty")
    second = futures_trades(folder / "in", "2024-05-02", *(trade(n, f"2024-05-02 12:00:{n:02d}") for n in range(6, 16)), bad)
    paths = (second, noon_trades(folder / "in", "2024-05-03", 17), noon_trades(folder / "corrected", "2024-05-01", 1, price="60000.2"))
    shutil.copytree(folder / "base", folder / "reference")
    states, quarantines = [contents(folder / "base")], [quarantine(folder / "base")]
    for path in paths:
        land(folder / "reference", path)
        states.append(contents(folder / "reference"))
        quarantines.append(quarantine(folder / "reference"))
    return Market(folder / "base", paths, tuple(states), tuple(quarantines), manifest(folder / "base").height, seconds=0)


@pytest.mark.parametrize(
    ("write", "goes_on_at", "is_committed"),
    [
        pytest.param((1, "/trades/exchange="), "mirror", False, id="while data is uploaded"),
        pytest.param((2, "/.commits/"), "mirror", True, id="with the record of a commit"),
        pytest.param((3, "/_delta_log/"), "killed", True, id="while a commit is carried out"),
    ],
)
def test_a_kill_at_a_chosen_write(
    write: tuple[int, str],
    goes_on_at: str,
    is_committed: bool,
    few_files: Market,
    store: buckets.Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = f"s3://desk/killed-at-{write[0]}"
    copy_lake(few_files.base, url)
    strike_at(url, few_files, store, tmp_path / "killed", *write)
    assert check_and_complete(url, few_files, store, tmp_path, monkeypatch, goes_on_at) == is_committed


@pytest.mark.crash
def test_a_hundred_kills(
    market: Market, store: buckets.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = strike_again_and_again(market, store, tmp_path, monkeypatch, hits=KILLS, seed=9)
    with capsys.disabled():
        print(f"\nkill -9 of writers to a bucket: {counts}")  # noqa: T201 - the result that a reader wants to see
    assert counts["hit while writing"] == KILLS
