"""The compiled loops as functions of plain pointers and integers, so that their machine code can be kept and called without the compiler.

Each entry of `ENTRIES` is a signature and a function of those arguments. Pointers are int64 arrays where nothing else is said.
"""

from __future__ import annotations

from numba import carray, types  # type: ignore[attr-defined]

from pointline.kernels import loops
from pointline.kernels.slots import BAR_INTS, CLOSER_STATE, SCRATCH_ROWS

_INT = types.int64
_INTS = types.CPointer(types.int64)  # type: ignore[no-untyped-call]
_FLOATS = types.CPointer(types.float64)  # type: ignore[no-untyped-call]
_BYTES = types.CPointer(types.int8)  # type: ignore[no-untyped-call]
_WIDTH, _STATE = len(BAR_INTS), len(CLOSER_STATE)


def _close_on_total(ts, amount, rows, threshold, carry, state, ends, ids):  # type: ignore[no-untyped-def]
    return loops.close_on_total(
        carray(ts, rows), carray(amount, rows), threshold, carry != 0, carray(state, _STATE), carray(ends, rows + 1), carray(ids, rows + 1)
    )


def _close_on_imbalance(ts, amount, rows, threshold, state, ends, ids):  # type: ignore[no-untyped-def]
    return loops.close_on_imbalance(
        carray(ts, rows), carray(amount, rows), threshold, carray(state, _STATE), carray(ends, rows + 1), carray(ids, rows + 1)
    )


def _add_rows(  # type: ignore[no-untyped-def]
    ts, price, qty, side, rows, notional, notionals, ends, known, row, ints, bars, last_prices
):
    return loops.add_rows(
        carray(ts, rows),
        carray(price, rows),
        carray(qty, rows),
        carray(side, rows),
        carray(notional, notionals),
        carray(ends, known),
        row,
        carray(ints, (bars, _WIDTH)),
        carray(last_prices, SCRATCH_ROWS),
    )


def _close_last(ints, bars, row):  # type: ignore[no-untyped-def]
    loops.close_last(carray(ints, (bars, _WIDTH)), row)
    return row


def _merge_rows(fine, fine_bars, target, coarse, coarse_bars):  # type: ignore[no-untyped-def]
    return loops.merge_rows(carray(fine, (fine_bars, _WIDTH)), carray(target, fine_bars), carray(coarse, (coarse_bars, _WIDTH)))


def _lagged_covariance(  # type: ignore[no-untyped-def]
    ts, value, rows, other_ts, other, others, lags, lag_count, block_ends, blocks, curves
):
    loops.lagged_covariance(
        carray(ts, rows),
        carray(value, rows),
        carray(other_ts, others),
        carray(other, others),
        carray(lags, lag_count),
        carray(block_ends, blocks),
        carray(curves, (blocks, lag_count)),
    )
    return rows


ENTRIES = {
    "close_on_total": (_INT(_INTS, _INTS, _INT, _INT, _INT, _INTS, _INTS, _INTS), _close_on_total),
    "close_on_imbalance": (_INT(_INTS, _INTS, _INT, _INT, _INTS, _INTS, _INTS), _close_on_imbalance),
    "add_rows": (_INT(_INTS, _INTS, _INTS, _BYTES, _INT, _INTS, _INT, _INTS, _INT, _INT, _INTS, _INT, _INTS), _add_rows),
    "close_last": (_INT(_INTS, _INT, _INT), _close_last),
    "merge_rows": (_INT(_INTS, _INT, _INTS, _INTS, _INT), _merge_rows),
    "lagged_covariance": (
        _INT(_INTS, _FLOATS, _INT, _INTS, _FLOATS, _INT, _INTS, _INT, _INTS, _INT, _FLOATS),
        _lagged_covariance,
    ),
}
