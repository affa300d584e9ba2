"""Two markets that show one random walk, the second some time later, each at random moments of its own."""

from __future__ import annotations

import numpy as np
import polars as pl

HOUR_US = 3_600_000_000


def followed(
    seed: int, *, lead_us: int = 0, first: int = 72_000, second: int = 7_200, noise: float = 0.0
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Trades of one hour. The first market shows the walk at once, the second `lead_us` later; noise is added to every print."""
    random = np.random.default_rng(seed)
    shown, stamps = [], []
    for count, delay in ((first, 0), (second, lead_us)):
        stamps.append(np.sort(random.integers(0, HOUR_US, count)))
        shown.append(stamps[-1] - delay)
    moments = np.concatenate(shown)
    order = np.argsort(moments, kind="stable")
    steps = random.normal(size=len(moments)) * np.sqrt(np.diff(moments[order], prepend=moments[order][0]) / HOUR_US)
    walk = np.empty(len(moments))
    walk[order] = 0.01 * np.cumsum(steps)
    walk += noise * random.choice([-1.0, 1.0], len(walk))
    parts = (walk[:first], walk[first:])
    one, other = (pl.DataFrame({"ts_local_us": ts, "price": 100 * np.exp(part)}) for ts, part in zip(stamps, parts, strict=True))
    return one, other
