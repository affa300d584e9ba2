"""What every measured script shares: it reads its task from a JSON file, times one piece of work, and prints what came of it as JSON.

Only the standard library is imported at the top, and numpy where results are compared, so that the scripts also run in the
environment of a peer, where pointline is not installed.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

DAY_US = 86_400_000_000
NO_TRADE = -1


@dataclass(frozen=True)
class Job:
    """A window of the benchmark's market.

    Attributes:
        lake: the lake's folder.
        start, end: the window as dates, the end exclusive.
        threshold: base units per bar as text; `threshold_lots` is the same in the perp's lots.
        perp_files, spot_files: one Parquet file of trades per day, in order.
        perp_decimals, spot_decimals: decimals of price and quantity, the same in every file.
        rows: trades of both venues.
        threads: cores that every contender may use.
        cache: what pointline may use of earlier runs: nothing (``"off"``), nothing yet (``"empty"``, it is filled) or all (``"full"``).
        calls: how often the work is done in the one process.
        check: also print a summary of the result.
    """

    lake: str
    start: str
    end: str
    threshold: str
    threshold_lots: int
    perp_files: list[str]
    spot_files: list[str]
    perp_decimals: tuple[int, int]
    spot_decimals: tuple[int, int]
    rows: int
    threads: int = 2
    cache: str = "off"
    calls: int = 1
    check: bool = False

    def decimals(self, venue: str) -> tuple[int, int]:
        """Decimals of price and quantity of ``"perp"`` or ``"spot"``."""
        return self.perp_decimals if venue == "perp" else self.spot_decimals

    def units(self) -> dict[str, float]:
        """One tick and one lot of each venue as numbers."""
        return {
            f"{venue}_{name}": 10.0**-decimals
            for venue in ("perp", "spot")
            for name, decimals in zip(("tick", "lot"), self.decimals(venue), strict=True)
        }


def read_job(path: str) -> Job:
    """The task in a file."""
    return Job(**json.loads(Path(path).read_text(encoding="utf-8")))


def run(
    work: Callable[[Job], Any],
    summary: Callable[[Any, Job], dict[str, Any]] | None = None,
    *,
    before: Callable[[Job], object] | None = None,
) -> None:
    """Does the work of the task named on the command line and prints seconds per call, and a summary of the result where one is asked for.

    Args:
        work: what is timed.
        summary: what is printed of its result where a check is asked for.
        before: called before each call of `work`, not timed.
    """
    job = read_job(sys.argv[1])
    elapsed_s, cpu_s = [], []
    result = None
    for _ in range(job.calls):
        result = None
        if before is not None:
            before(job)
        wall, cpu = time.perf_counter(), time.process_time()
        result = work(job)
        elapsed_s.append(time.perf_counter() - wall)
        cpu_s.append(time.process_time() - cpu)
    report: dict[str, Any] = {"elapsed_s": elapsed_s, "cpu_s": cpu_s}
    if job.check and summary is not None:
        report["summary"] = summary(result, job)
    sys.stdout.write(json.dumps(report) + "\n")


def fingerprint(columns: dict[str, Any], *, every_bar: bool = True) -> dict[str, Any]:
    """What two ways of building the same bars must agree on.

    Args:
        columns: close (ticks), volume (lots) and trades of ``perp_`` and ``spot_``, one integer per bar in time order.
        every_bar: the columns hold bars without a spot trade too.

    Returns:
        ``shared``: over the bars with trades on both sides their number, and a hash of each column; ``whole``: bars with a perp
        trade, and the volume of each side over all bars, None where bars are missing on purpose.
    """
    import numpy as np

    arrays = {name: np.asarray(values).astype(np.int64) for name, values in columns.items()}
    both = (arrays["perp_trades"] > 0) & (arrays["spot_trades"] > 0)
    shared = {name: hashlib.sha256(np.ascontiguousarray(values[both]).tobytes()).hexdigest()[:16] for name, values in arrays.items()}
    whole = None
    if every_bar:
        whole = {
            "bars": int((arrays["perp_trades"] > 0).sum()),
            "perp_lots": int(arrays["perp_volume"].sum()),
            "spot_lots": int(arrays["spot_volume"].sum()),
        }
    return {"shared": {"bars": int(both.sum()), **shared}, "whole": whole}
