"""The compiled loops on numpy arrays; what they compute is said in `pointline.kernels.loops`.

Arrays are contiguous, int64 where nothing else is said; the loops run without holding Python's lock.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from pointline.kernels.slots import BAR_INTS, CLOSER_STATE, SCRATCH_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable

Ints = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]


def close_on_total(ts: Ints, amount: Ints, threshold: int, carry: bool, state: Ints, ends: Ints, ids: Ints) -> int:  # noqa: FBT001
    """Closes bars when the accumulated amount reaches the threshold; returns how many closed, or `OVERFLOW`."""
    rows = len(ts)
    return _loop("close_on_total")(
        *(_at(ts), _at(amount, rows), rows, threshold, int(carry)),
        *(_at(state, len(CLOSER_STATE)), _at(ends, rows + 1), _at(ids, rows + 1)),
    )


def close_on_imbalance(ts: Ints, amount: Ints, threshold: int, state: Ints, ends: Ints, ids: Ints) -> int:
    """Closes bars when the signed amount reaches the threshold in absolute value; returns how many closed, or `OVERFLOW`."""
    rows = len(ts)
    return _loop("close_on_imbalance")(
        *(_at(ts), _at(amount, rows), rows, threshold), *(_at(state, len(CLOSER_STATE)), _at(ends, rows + 1), _at(ids, rows + 1))
    )


def add_rows(
    ts: Ints,
    price: Ints,
    qty: Ints,
    side: np.ndarray[Any, np.dtype[np.int8]],
    notional: Ints,
    ends: Ints,
    row: int,
    ints: Ints,
) -> int:
    """Adds sorted rows to bars; returns the bar that is open then, `OVERFLOW` - row where sums pass 2**62, or `TOO_LARGE`."""
    rows = len(ts)
    reached = int(np.searchsorted(ends, ts[-1], side="right")) if rows else 0
    if len(notional) not in {0, rows} or row < 0 or max(row, reached) >= len(ints):
        raise ValueError("the arrays do not belong together")
    last_prices = np.empty(SCRATCH_ROWS, dtype=np.int64)
    return _loop("add_rows")(
        *(_at(ts), _at(price, rows), _at(qty, rows), _at(side, rows, np.int8), rows),
        *(_at(notional), len(notional), _at(ends), len(ends)),
        *(row, _table(ints), len(ints), _at(last_prices)),
    )


def close_last(ints: Ints, row: int) -> None:
    """No more rows come for bar `row`: counts its open timestamp."""
    if not 0 <= row < len(ints):
        raise ValueError("there is no such bar")
    _loop("close_last")(_table(ints), len(ints), row)


def merge_rows(fine: Ints, target: Ints, coarse: Ints) -> int:
    """Adds finished bars up to coarser ones; returns their number, or -1 - k where bar k would take a sum past 2**62."""
    if len(target) and not 0 <= target[0] <= target[-1] < len(coarse):
        raise ValueError("there is no such bar")
    return _loop("merge_rows")(_table(fine), len(fine), _at(target, len(fine)), _table(coarse), len(coarse))


def lagged_covariance(ts: Ints, value: Floats, other_ts: Ints, other: Floats, lags: Ints, block_ends: Ints, curves: Floats) -> None:
    """Adds the Hayashi-Yoshida covariance at each lag to `curves`, blocks x lags; positive lags: the other series is ahead."""
    rows, others, shape = len(ts), len(other_ts), (len(block_ends), len(lags))
    if curves.shape != shape or not (rows and others and shape[0] and shape[1]):
        raise ValueError(f"expected blocks x lags = {shape} sums and no empty series, not the shape {curves.shape}")
    if not all(np.all(times[1:] > times[:-1]) for times in (ts, other_ts, lags, block_ends)):
        raise ValueError("times, lags and the ends of blocks rise strictly")
    floats = np.float64
    _loop("lagged_covariance")(
        *(_at(ts), _at(value, rows, floats), rows, _at(other_ts), _at(other, others, floats), others),
        *(_at(lags), len(lags), _at(block_ends), len(block_ends), _at(curves, 0, floats)),
    )


def load_ahead() -> None:
    """Loads the loops in a thread of its own, for a caller that will wait for something else first."""
    if "pointline.kernels.machine_code" not in sys.modules:
        threading.Thread(target=_load, name="pointline-kernels", daemon=True).start()


def _load() -> None:
    with contextlib.suppress(Exception):  # raised again where a loop is called
        from pointline.kernels.machine_code import load

        load()


def _loop(name: str) -> Callable[..., int]:
    from pointline.kernels.machine_code import entry_points

    return entry_points()[name]


def _at(array: np.ndarray[Any, Any], at_least: int = 0, dtype: type = np.int64) -> int:
    """Where an array begins, once it is sure that the loop may read or write what it will."""
    if array.dtype != dtype or not array.flags.c_contiguous or array.size < at_least:
        raise ValueError(f"expected {at_least} contiguous values of {np.dtype(dtype)}, not {array.size} of {array.dtype}")
    return array.__array_interface__["data"][0]  # type: ignore[no-any-return]


def _table(ints: Ints) -> int:
    if ints.ndim != 2 or ints.shape[1] != len(BAR_INTS):
        raise ValueError(f"expected rows of {len(BAR_INTS)} accumulators, not the shape {ints.shape}")
    return _at(ints)
