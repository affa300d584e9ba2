"""Lead-lag on a day of raw ticks: ``python benchmarks/lead_lag.py [--first N] [--second N] [--lags N]``.

Two random walks, by default 1,000,000 and 200,000 ticks at random moments of a day, and 401 lags of 5 ms. Prints the CPU seconds of the
compiled loop, which gives the curve of every one of 30 blocks in one pass, and of the whole `lead_lag` with its null, its bootstrap and
lags out to twice as far. Every tick changes the price, which is the slowest case: changes of zero are skipped.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pointline.clock import DAY_US
from pointline.evaluation import lead_lag
from pointline.evaluation.lead_lag import BLOCKS, block_curves
from pointline.evaluation.ticks import ticks_of

if TYPE_CHECKING:
    from collections.abc import Callable

STEP_US = 5_000
RUNS = 3


def walk(seed: int, count: int) -> pl.DataFrame:
    """Trades at random moments of a day, each with a new price."""
    random = np.random.default_rng(seed)
    stamps = np.sort(random.integers(0, DAY_US, count))
    return pl.DataFrame({"ts_local_us": stamps, "price": 100 * np.exp(np.cumsum(random.normal(0, 1e-5, count)))})


def cpu_seconds(work: Callable[[], object]) -> float:
    """The least CPU time of some runs."""
    taken = []
    for _ in range(RUNS):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return min(taken)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--first", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--second", type=int, default=200_000, metavar="N")
    parser.add_argument("--lags", type=int, default=401, metavar="N")
    given = parser.parse_args()
    first, second = walk(1, given.first), walk(2, given.second)
    one, other = ticks_of(first, name="first"), ticks_of(second, name="second")
    lags = STEP_US * (np.arange(given.lags, dtype=np.int64) - given.lags // 2)
    block_curves(one, other, lags[:1])  # loads the machine code
    sizes = f"{len(one):,} x {len(other):,} ticks"
    print(f"loop: {sizes} x {given.lags} lags, {BLOCKS} blocks: {cpu_seconds(lambda: block_curves(one, other, lags)):.2f} s CPU")
    half = f"{STEP_US * (given.lags // 2)}us"
    whole = cpu_seconds(lambda: lead_lag(first, second, max_lag=half, step=f"{STEP_US}us"))
    print(f"lead_lag: {sizes}, {2 * given.lags - 1} lags, with null and bootstrap: {whole:.2f} s CPU")


if __name__ == "__main__":
    main()
