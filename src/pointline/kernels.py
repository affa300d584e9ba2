"""The compiled loops: where bars close, and what each bar sums to. Every one has a plain oracle in ``tests/oracle.py``.

All amounts are int64. Sums of price x quantity and of squares are kept as two limbs ``high * 2**62 + low``, so they are exact and
do not depend on how the rows were cut into batches. The realised variance is a float sum, always taken in row order.
A batch may end anywhere, even between two trades of one timestamp: what is still open waits in the state arrays.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from pointline.kernel_slots import BAR_INTS, CLOSER_STATE

_BLOCK = 128
_LIMB = 62
_MASK = (1 << _LIMB) - 1
_SAFE = float(1 << _LIMB)

# closer state
ACC, BAR, PENDING, LAST = (CLOSER_STATE.index(name) for name in ("accumulated", "bar_id", "pending", "last_us"))

# columns of the integer accumulator of a bar
COUNT, OPEN, HIGH, LOW, CLOSE = (BAR_INTS.index(name) for name in ("count", "open", "high", "low", "close"))
QTY, BUY, QUOTE_HIGH, QUOTE_LOW = (BAR_INTS.index(name) for name in ("qty", "buy", "quote_high", "quote_low"))
DEV, SQUARE_HIGH, SQUARE_LOW = (BAR_INTS.index(name) for name in ("deviation", "square_high", "square_low"))
LAST_US, BEFORE, TIMES = (BAR_INTS.index(name) for name in ("last_us", "price_before", "distinct_times"))


@njit(cache=True, nogil=True, boundscheck=False)
def close_on_total(ts, amount, threshold, carry, state, ends, ids):  # type: ignore[no-untyped-def]
    """Closes bars when the accumulated amount reaches the threshold; a timestamp is never split.

    Args:
        ts: int64 microseconds, sorted.
        amount: int64 >= 0 per row.
        threshold: int64 > 0.
        carry: True = the excess counts for the next bar and ids skip, False = the count restarts at zero.
        state: `CLOSER_STATE`, updated in place.
        ends, ids: outputs, as long as `ts` or longer + 1.

    Returns:
        How many bars closed; their ``bucket_end`` are in `ends`, their ``bar_id`` in `ids`.
    """
    rows = len(ts)
    acc, bar, pending, last = state[ACC], state[BAR], state[PENDING], state[LAST]
    closed = 0
    i = 0
    while i < rows:
        if pending:
            while i < rows and ts[i] == last:
                acc += amount[i]
                i += 1
            if i == rows:
                break
            ends[closed] = last + 1
            ids[closed] = bar
            closed += 1
            pending = 0
            if carry:
                whole = acc // threshold
                bar += whole
                acc -= whole * threshold
            else:
                bar += 1
                acc = 0
        while i + _BLOCK <= rows:
            block = np.int64(0)
            for j in range(i, i + _BLOCK):
                block += amount[j]
            if acc + block >= threshold:
                break
            acc += block
            i += _BLOCK
        while i < rows:
            acc += amount[i]
            i += 1
            if acc >= threshold:
                pending = 1
                last = ts[i - 1]
                break
    state[ACC], state[BAR], state[PENDING], state[LAST] = acc, bar, pending, last
    return closed


@njit(cache=True, nogil=True, boundscheck=False)
def close_on_imbalance(ts, amount, threshold, state, ends, ids):  # type: ignore[no-untyped-def]
    """Closes bars when the signed amount, summed over whole timestamps, reaches the threshold in absolute value.

    Arguments and result as in `close_on_total`; `amount` is signed, the count restarts at zero after each close.
    """
    acc, bar, open_group, last = state[ACC], state[BAR], state[PENDING], state[LAST]
    closed = 0
    for i in range(len(ts)):
        if open_group and ts[i] != last and abs(acc) >= threshold:
            ends[closed] = last + 1
            ids[closed] = bar
            closed += 1
            bar += 1
            acc = np.int64(0)
        acc += amount[i]
        last = ts[i]
        open_group = 1
    state[ACC], state[BAR], state[PENDING], state[LAST] = acc, bar, open_group, last
    return closed


@njit(cache=True, nogil=True, inline="always")
def _log_ratio(later, earlier):  # type: ignore[no-untyped-def]
    """ln(later / earlier), by its atanh series where the step is small (relative error below 1e-16)."""
    z = (later - earlier) / (np.float64(later) + np.float64(earlier))
    if abs(z) < 1e-3:
        square = z * z
        return 2.0 * z * (1.0 + square * (1.0 / 3.0 + square * (1.0 / 5.0 + square / 7.0)))
    return math.log(np.float64(later) / np.float64(earlier))


@njit(cache=True, nogil=True)
def _product_limbs(a, b):  # type: ignore[no-untyped-def]
    """The product of two int64 in [0, 2**62) as limbs of 62 bits."""
    half = np.uint64(32)
    low_mask = np.uint64(0xFFFFFFFF)
    x, y = np.uint64(a), np.uint64(b)
    x_high, x_low = x >> half, x & low_mask
    y_high, y_low = y >> half, y & low_mask
    low = x_low * y_low
    cross = x_high * y_low + (low >> half)
    cross_low = (cross & low_mask) + x_low * y_high
    high = x_high * y_high + (cross >> half) + (cross_low >> half)
    low = (cross_low << half) | (low & low_mask)
    return np.int64((high << np.uint64(2)) | (low >> np.uint64(_LIMB))), np.int64(low & np.uint64(_MASK))


@njit(cache=True, nogil=True, inline="always")
def _add_limbs(ints, row, high_column, low_column, high, low):  # type: ignore[no-untyped-def]
    total = ints[row, low_column] + low
    ints[row, high_column] += high + (total >> _LIMB)
    ints[row, low_column] = total & _MASK


@njit(cache=True, nogil=True, boundscheck=False)
def _add_amounts(price, qty, side, notional, a, b, small_quote, small_square, ints, row):  # type: ignore[no-untyped-def]
    """Adds the order-free sums of rows [a, b) to bar `row`; the fast path needs the caller's proof that int64 suffices."""
    origin = ints[row, OPEN]
    total = np.int64(0)
    bought = np.int64(0)
    high = ints[row, HIGH]
    low = ints[row, LOW]
    deviation = np.int64(0)
    for i in range(a, b):
        total += qty[i]
        bought += qty[i] * (1 - side[i])
        high = max(high, price[i])
        low = min(low, price[i])
        deviation += price[i] - origin
    ints[row, QTY] += total
    ints[row, BUY] += bought
    ints[row, HIGH] = high
    ints[row, LOW] = low
    ints[row, DEV] += deviation
    if small_square:
        squares = np.int64(0)
        for i in range(a, b):
            squares += (price[i] - origin) * (price[i] - origin)
        _add_limbs(ints, row, SQUARE_HIGH, SQUARE_LOW, 0, squares)
    else:
        for i in range(a, b):
            step = abs(price[i] - origin)
            upper, lower = _product_limbs(step, step)
            _add_limbs(ints, row, SQUARE_HIGH, SQUARE_LOW, upper, lower)
    if len(notional) > 0:
        for i in range(a, b):
            _add_limbs(ints, row, QUOTE_HIGH, QUOTE_LOW, 0, notional[i])
    elif small_quote:
        quote = np.int64(0)
        for i in range(a, b):
            quote += price[i] * qty[i]
        _add_limbs(ints, row, QUOTE_HIGH, QUOTE_LOW, 0, quote)
    else:
        for i in range(a, b):
            upper, lower = _product_limbs(price[i], qty[i])
            _add_limbs(ints, row, QUOTE_HIGH, QUOTE_LOW, upper, lower)


@njit(cache=True, nogil=True, inline="always")
def _close_time(ints, variances, row):  # type: ignore[no-untyped-def]
    """The open timestamp of the bar is over: its last price becomes an observation of the realised variance."""
    if ints[row, TIMES] > 0 and ints[row, CLOSE] != ints[row, BEFORE]:
        step = _log_ratio(ints[row, CLOSE], ints[row, BEFORE])
        variances[row] += step * step
    ints[row, BEFORE] = ints[row, CLOSE]
    ints[row, TIMES] += 1


@njit(cache=True, nogil=True, boundscheck=False)
def _walk_times(ts, price, a, b, ints, variances, row):  # type: ignore[no-untyped-def]
    """Realised variance over rows [a, b): the last price of each distinct time against that of the time before."""
    if ints[row, COUNT] > 0 and ts[a] != ints[row, LAST_US]:
        _close_time(ints, variances, row)
    before = ints[row, BEFORE]
    times = ints[row, TIMES]
    variance = variances[row]
    for i in range(a, b - 1):
        if ts[i] != ts[i + 1]:
            if times > 0 and price[i] != before:
                step = _log_ratio(price[i], before)
                variance += step * step
            before = price[i]
            times += 1
    ints[row, BEFORE] = before
    ints[row, TIMES] = times
    variances[row] = variance


@njit(cache=True, nogil=True)
def _sums_fit(price, qty, a, b, ints, row):  # type: ignore[no-untyped-def]
    """Whether quantity and deviations of bar `row` stay below 2**62 with rows [a, b) added."""
    quantity = np.float64(ints[row, QTY])
    deviation = abs(np.float64(ints[row, DEV]))
    for i in range(a, b):
        quantity += qty[i]
        deviation += abs(np.float64(price[i] - ints[row, OPEN]))
    return quantity < _SAFE and deviation < _SAFE


@njit(cache=True, nogil=True, boundscheck=False)
def add_rows(ts, price, qty, side, notional, starts, first_row, ints, variances):  # type: ignore[no-untyped-def]
    """Adds sorted rows to bars: rows ``[starts[k], starts[k + 1])`` go to bar ``first_row + k``, the last segment to the end.

    Args:
        ts, price, qty: int64 rows, all prices and quantities > 0.
        side: int8, 1 = the seller was the taker.
        notional: int64 quote amounts, or empty where the quote amount is price x qty.
        starts: row offsets, the first is 0.
        first_row: the bar that is open; all earlier ones are complete.
        ints, variances: accumulators, one row per bar, zeroed when fresh.

    Returns:
        The number of rows added, or -1 - row of a bar whose quantity or sum of deviations passes 2**62.
    """
    rows = len(ts)
    highest = np.int64(0)
    lowest = np.int64(np.iinfo(np.int64).max)
    largest = np.int64(0)
    for i in range(rows):
        highest = max(highest, price[i])
        lowest = min(lowest, price[i])
        largest = max(largest, qty[i])
    for k in range(len(starts)):
        a = starts[k]
        b = starts[k + 1] if k + 1 < len(starts) else rows
        row = first_row + k
        if a < b:
            if ints[row, COUNT] == 0:
                ints[row, OPEN] = price[a]
                ints[row, HIGH] = price[a]
                ints[row, LOW] = price[a]
            origin = ints[row, OPEN]
            reach = np.float64(max(highest - origin, origin - lowest))
            certain = abs(np.float64(ints[row, DEV])) + reach * (b - a) < _SAFE and ints[row, QTY] + np.float64(largest) * (b - a) < _SAFE
            if not certain and not _sums_fit(price, qty, a, b, ints, row):
                return -1 - row
            small_square = reach * reach * (b - a) < _SAFE
            small_quote = np.float64(highest) * np.float64(largest) * (b - a) < _SAFE
            _walk_times(ts, price, a, b, ints, variances, row)
            _add_amounts(price, qty, side, notional, a, b, small_quote, small_square, ints, row)
            ints[row, COUNT] += b - a
            ints[row, CLOSE] = price[b - 1]
            ints[row, LAST_US] = ts[b - 1]
        if k + 1 < len(starts) and ints[row, COUNT] > 0:
            _close_time(ints, variances, row)
    return rows


@njit(cache=True, nogil=True)
def close_last(ints, variances, row):  # type: ignore[no-untyped-def]
    """No more rows come for bar `row`: counts its open timestamp."""
    if ints[row, COUNT] > 0:
        _close_time(ints, variances, row)
