"""How fast this machine copies memory, with one core and with all: the scale on which to read every other figure."""

from __future__ import annotations

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

BYTES = 1 << 28
TRIES = 7


def gigabytes_per_second(threads: int) -> float:
    """Bytes read plus bytes written, in the best of some tries."""
    source, target = np.ones(BYTES, dtype=np.uint8), np.zeros(BYTES, dtype=np.uint8)
    parts = [slice(k * BYTES // threads, (k + 1) * BYTES // threads) for k in range(threads)]
    best = float("inf")
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(TRIES):
            began = time.perf_counter()
            list(pool.map(lambda part: np.copyto(target[part], source[part]), parts))
            best = min(best, time.perf_counter() - began)
    return 2 * BYTES / best / 1e9


if __name__ == "__main__":
    sys.stdout.write(
        json.dumps({"one_core_gb_s": gigabytes_per_second(1), "all_cores_gb_s": gigabytes_per_second(os.cpu_count() or 1)}) + "\n"
    )
