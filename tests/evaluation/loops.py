"""The formulas of pointline.evaluation as plain loops that a reader can hold against the text; nothing here is fast."""

from __future__ import annotations

import math
from statistics import fmean, pstdev
from typing import TYPE_CHECKING

from scipy.stats import t as student

if TYPE_CHECKING:
    from collections.abc import Sequence

BURN_IN = 50


def ranks(values: Sequence[float]) -> list[float]:
    """One more than the number of smaller values, plus half of the number of other equal ones."""
    return [1 + sum(other < one for other in values) + (sum(other == one for other in values) - 1) / 2 for one in values]


def scores(values: Sequence[float]) -> list[float]:
    mean, deviation = fmean(values), pstdev(values)
    return [(value - mean) / deviation for value in values]


def nu(n: int, horizon: int) -> int:
    """In whole numbers: k is at most 0.4 n^(2/3) where 125 k³ is at most 8 n²."""
    most = 0
    while 125 * (most + 1) ** 3 <= 8 * n**2:
        most += 1
    return max(1, min(most, max(4, 2 * n // (5 * horizon))))


def cosines(values: Sequence[float], count: int) -> list[float]:
    n, mean = len(values), fmean(values)
    return [
        math.sqrt(2 / n) * math.fsum((value - mean) * math.cos(math.pi * j * (t - 0.5) / n) for t, value in enumerate(values, 1))
        for j in range(1, count + 1)
    ]


def t_test(values: Sequence[float], count: int) -> tuple[float, float, float]:
    """Mean, standard error and p by the cosines."""
    mean = fmean(values)
    se = math.sqrt(fmean(q * q for q in cosines(values, count)) / len(values))
    return mean, se, float(2 * student.sf(abs(mean / se), count))


def products(x: Sequence[float], y: Sequence[float], *, by_rank: bool) -> list[float]:
    """What the coefficient is the mean of, in the rows that have both."""
    both = [(a, b) for a, b in zip(x, y, strict=True) if not (math.isnan(a) or math.isnan(b))]
    a, b = [one for one, _ in both], [other for _, other in both]
    a, b = scores(ranks(a) if by_rank else a), scores(ranks(b) if by_rank else b)
    return [one * other for one, other in zip(a, b, strict=True)]


def label(one_bar: Sequence[float], horizon: int) -> list[float]:
    """The sum of as many increments from each row on; NaN where one is missing or beyond the end."""
    n = len(one_bar)
    return [
        math.fsum(one_bar[t : t + horizon]) if t + horizon <= n and not any(map(math.isnan, one_bar[t : t + horizon])) else math.nan
        for t in range(n)
    ]


def causal_products(x: Sequence[float], one_bar: Sequence[float], horizon: int) -> list[float]:
    """The products of the rows that count."""
    known = [r for r in one_bar if not math.isnan(r)]
    size = dict(zip(map(abs, known), ranks([abs(r) for r in known]), strict=True))
    w = []
    for t, value in enumerate(x):
        before = [other for other in x[: t + 1] if not math.isnan(other)]
        w.append(0.0 if math.isnan(value) or len(before) <= BURN_IN else value - fmean(before))
    signed = {r: ((r > 0) - (r < 0)) * size[abs(r)] / len(known) for r in known}
    level = fmean(signed[r] for r in known) if all(r >= 0 for r in known) and known else 0.0
    found = []
    for t, r in enumerate(one_bar):
        window = range(max(0, t - horizon + 1), t + 1)
        if math.isnan(r) or all(math.isnan(x[s]) for s in window):
            continue
        found.append(math.fsum(w[s] for s in window) * (signed[r] - level))
    return found
