"""A process that writes to a bucket is killed at random moments: readers see the state after some file, and the next run completes."""

from __future__ import annotations

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
from tests.lake.archives import land, manifest, quarantine

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


def contents(url: str) -> dict[str, bytes]:
    lake = open_lake(url)
    with lake.held():
        pass
    return {f"{kind}/{path}": (lake.table_path(kind) / path).read_bytes() for kind in lake.kinds() for path in lake.listing(kind)["path"]}


def strike(url: str, market: Market, store: buckets.Server, mirror: Path, delay: float) -> bool:
    """Kills a writer after `delay` seconds; whether it was still writing."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, url, *map(str, market.paths)],
        cwd=ROOT,
        env={**os.environ, **buckets.environment(store, mirror)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.communicate()[1]
    process.stdin.write("\n")
    process.stdin.flush()
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    output, _ = process.communicate()
    return not output.startswith("done")


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
        as_new_machine(patch, store, folder / "mirror")
        done = manifest(url).height - market.entries
        assert contents(url) == market.states[done]  # of all tables
        assert quarantine(url) == market.quarantines[done]
        assert verify(open_lake(url)).problems == []
        check_delta_readers(url)
        mirror = open_lake(url).mirror
        assert mirror is not None
        mirror.bucket.remove(LEASE)  # as if it had expired; the next writer is the same machine half of the time, with what was left there
        buckets.enter(patch, store, folder / rng.choice(("killed", "mirror")))
        patch.setattr(places, "_MIRRORS", {})
        reports = land(url, *market.paths)
        finished = sum(report.outcome == "unchanged" for report in reports)
        counts["committed and not carried out"] += finished > done
        as_new_machine(patch, store, folder / "mirror")
        assert finished in {done, done + 1}
        assert contents(url) == market.states[-1]
        assert quarantine(url) == market.quarantines[-1]
        assert verify(open_lake(url)).problems == []
        shutil.rmtree(folder / "killed", ignore_errors=True)
    return counts


@pytest.mark.crash
def test_two_kills(market: Market, store: buckets.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = strike_again_and_again(market, store, tmp_path, monkeypatch, hits=2, seed=3)
    assert counts["hit while writing"] == 2


@pytest.mark.crash
def test_a_hundred_kills(
    market: Market, store: buckets.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = strike_again_and_again(market, store, tmp_path, monkeypatch, hits=KILLS, seed=9)
    with capsys.disabled():
        print(f"\nkill -9 of writers to a bucket: {counts}")  # noqa: T201 - the result that a reader wants to see
    assert counts["hit while writing"] == KILLS
