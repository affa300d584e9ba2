"""Bars of a multiple of a threshold from bars of the threshold itself, without reading a trade.

Under the carry rule a timestamp belongs to bar floor(amount before it / threshold). The bar of m times the threshold is therefore the
union of the fine bars whose id // m is its id, and all sums add up exactly (`pointline.kernels.merge_rows`).
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

from pointline import kernels
from pointline.bars.pages import PAGE_BARS
from pointline.errors import AmountOverflowError, ConfigError
from pointline.kernels.slots import BAR_INTS

if TYPE_CHECKING:
    from pointline.bars.amounts import Ints
    from pointline.bars.pages import FiledBars
    from pointline.bars.rules import BarRule
    from pointline.bars.run import Run


def multiple_of(rule: BarRule, base: BarRule) -> int:
    """How many times the base rule's threshold a rule's threshold is.

    Raises:
        ConfigError: the two are not of the same kind and anchor, not both under the carry rule, or the ratio is not a whole number.
    """
    alike = type(base) is type(rule) and replace(base, **{rule.threshold_field: rule.threshold}) == rule
    if not (alike and rule.mergeable and rule.boundary == "carry"):
        raise ConfigError(
            "bars can be derived only from finer volume, dollar or trade bars of the same kind and anchor under the carry rule",
            value=str(base),
            expected=f"{type(rule).__name__} with boundary='carry' and anchor={rule.anchor!r}",
        )
    ratio = Decimal(str(rule.threshold)) / Decimal(str(base.threshold))
    if ratio != ratio.to_integral_value():
        raise ConfigError(
            "the threshold is no multiple of the base bars' threshold", value=str(ratio), expected="a whole number of base bars a bar"
        )
    return int(ratio)


def coarsen(run: Run, factor: int) -> Run | None:
    """The run of `factor` times the threshold; None where the run's last bar ends with its stretch, so that what follows is unknown."""
    if factor == 1:
        return run
    if not run.tail:
        return None
    ids = run.ids // factor
    last_of_bar = np.flatnonzero(np.append(ids[1:] != ids[:-1], True))
    target = np.cumsum(np.append(0, ids[1:] != ids[:-1])).astype(np.int64)
    sums = tuple(_merged(ints, target, len(last_of_bar)) for ints in run.sums)
    return replace(run, ends=run.ends[last_of_bar], ids=ids[last_of_bar], sums=sums)


def _merged(fine: Ints | FiledBars, target: Ints, bars: int) -> Ints:
    coarse = np.zeros((bars, len(BAR_INTS)), dtype=np.int64)
    for first in range(0, len(target), PAGE_BARS):
        page = slice(first, first + PAGE_BARS)
        added = kernels.merge_rows(np.ascontiguousarray(fine[page]), target[page], coarse)
        if added < 0:
            raise AmountOverflowError(
                "the sums of a coarser bar do not fit 62 bits", value=int(target[first - 1 - added]), hint="use a smaller threshold"
            )
    return coarse
