"""The sums that few markets need, added up beside the compiled loops: fractions of base units, and trades of unknown side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pointline.bars.amounts import FRACTION_BITS
from pointline.kernels.slots import BAR_INTS

if TYPE_CHECKING:
    from pointline.bars.amounts import Ints, TradeRows

_QTY, _BUY, _QTY_FRACTION, _BUY_FRACTION, _UNKNOWN = (
    BAR_INTS.index(name) for name in ("qty", "buy", "qty_fraction", "buy_fraction", "unknown_sides")
)
_HALF = FRACTION_BITS // 2
_MASK = (1 << _HALF) - 1


def add_rare_sums(rows: TradeRows, ends: Ints, ints: Ints) -> None:
    """Adds what rows have beside whole base units and known sides to their bars.

    Args:
        rows: at least one trade.
        ends: ``bucket_end`` of bars from the first on; later rows belong to the bar that follows.
        ints: accumulators in the columns of `BAR_INTS`, one row per bar.
    """
    if not len(rows.fraction) and not len(rows.unknown):
        return
    bars = np.searchsorted(ends, rows.ts, side="right")
    firsts = np.flatnonzero(np.append(True, bars[1:] != bars[:-1]))
    touched = bars[firsts]
    if len(rows.unknown):
        ints[touched, _UNKNOWN] += np.add.reduceat(rows.unknown.astype(np.int64), firsts)
    if len(rows.fraction):
        _add_fractions(rows.fraction, firsts, ints, touched, (_QTY, _QTY_FRACTION))
        _add_fractions(np.where(rows.side == 0, rows.fraction, 0), firsts, ints, touched, (_BUY, _BUY_FRACTION))


def _add_fractions(fractions: Ints, firsts: Ints, ints: Ints, touched: Ints, columns: tuple[int, int]) -> None:
    """Adds fractions of 62 bits in two halves, whose sums fit 62 bits, and carries what makes whole units."""
    whole, fraction = columns
    known = ints[touched, fraction]
    low = np.add.reduceat(fractions & _MASK, firsts) + (known & _MASK)
    high = np.add.reduceat(fractions >> _HALF, firsts) + (known >> _HALF) + (low >> _HALF)
    ints[touched, whole] += high >> _HALF
    ints[touched, fraction] = ((high & _MASK) << _HALF) | (low & _MASK)
