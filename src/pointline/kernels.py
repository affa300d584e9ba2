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

# Slices instead of bounds, and NumPy's division, are what lets the compiler use vector instructions.
_compiled = njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
_BLOCK = 128
_SMALL_STEP = 1e-6  # squared; below it four terms of the series are exact to the last bit or two
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


@_compiled
def _total(amounts):  # type: ignore[no-untyped-def]
    total = np.int64(0)
    for i in range(len(amounts)):
        total += amounts[i]
    return total


@_compiled
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
            block = _total(amount[i : i + _BLOCK])
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


@_compiled
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


@_compiled
def _squared_log_ratio(later, earlier):  # type: ignore[no-untyped-def]
    """ln(later / earlier) squared, by the atanh series where the step is small (relative error below 1e-16)."""
    z = (later - earlier) / (later + earlier)
    square = z * z
    if square < _SMALL_STEP:
        step = 2.0 * z * (1.0 + square * (1.0 / 3.0 + square * (0.2 + square * (1.0 / 7.0))))
    else:
        step = math.log(later / earlier)
    return step * step


@_compiled
def _squared_log_ratios(later, earlier, out):  # type: ignore[no-untyped-def]
    """`_squared_log_ratio` of two slices; the series is tried on all at once, and the rare large step sends all to the slow way."""
    largest = 0.0
    for i in range(len(later)):
        x, y = np.float64(later[i]), np.float64(earlier[i])
        z = (x - y) / (x + y)
        square = z * z
        largest = max(largest, square)
        step = 2.0 * z * (1.0 + square * (1.0 / 3.0 + square * (0.2 + square * (1.0 / 7.0))))
        out[i] = step * step
    if largest >= _SMALL_STEP:
        for i in range(len(later)):
            out[i] = _squared_log_ratio(np.float64(later[i]), np.float64(earlier[i]))


@_compiled
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


@_compiled
def _add_limbs(ints, row, high_column, low_column, high, low):  # type: ignore[no-untyped-def]
    total = ints[row, low_column] + low
    ints[row, high_column] += high + (total >> _LIMB)
    ints[row, low_column] = total & _MASK


@_compiled
def _bounds(values):  # type: ignore[no-untyped-def]
    """Smallest and largest of a slice that is not empty."""
    low = high = values[0]
    for i in range(len(values)):
        low = min(low, values[i])
        high = max(high, values[i])
    return low, high


@_compiled
def _add_amounts(price, qty, side, ints, row, small_square):  # type: ignore[no-untyped-def]
    """Adds the order-free sums of a slice of rows to bar `row`; `small_square` is the caller's proof that the squares fit int64."""
    origin = ints[row, OPEN]
    total = np.int64(0)
    bought = np.int64(0)
    deviation = np.int64(0)
    high, low = ints[row, HIGH], ints[row, LOW]
    for i in range(len(price)):
        total += qty[i]
        bought += qty[i] & (np.int64(side[i]) - 1)
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
        for i in range(len(price)):
            squares += (price[i] - origin) * (price[i] - origin)
        _add_limbs(ints, row, SQUARE_HIGH, SQUARE_LOW, 0, squares)
    else:
        for i in range(len(price)):
            step = abs(price[i] - origin)
            upper, lower = _product_limbs(step, step)
            _add_limbs(ints, row, SQUARE_HIGH, SQUARE_LOW, upper, lower)


@_compiled
def _add_quote(price, qty, ints, row, small_quote):  # type: ignore[no-untyped-def]
    """Adds price x quantity of a slice of rows to bar `row`."""
    if small_quote:
        quote = np.int64(0)
        for i in range(len(price)):
            quote += price[i] * qty[i]
        _add_limbs(ints, row, QUOTE_HIGH, QUOTE_LOW, 0, quote)
    else:
        for i in range(len(price)):
            upper, lower = _product_limbs(price[i], qty[i])
            _add_limbs(ints, row, QUOTE_HIGH, QUOTE_LOW, upper, lower)


@_compiled
def _add_notional(notional, ints, row):  # type: ignore[no-untyped-def]
    """Adds the quote amounts of a slice of rows to bar `row`."""
    for i in range(len(notional)):
        _add_limbs(ints, row, QUOTE_HIGH, QUOTE_LOW, 0, notional[i])


@_compiled
def _close_time(ints, variances, row):  # type: ignore[no-untyped-def]
    """The open timestamp of the bar is over: its last price becomes an observation of the realised variance."""
    if ints[row, TIMES] > 0:
        variances[row] += _squared_log_ratio(np.float64(ints[row, CLOSE]), np.float64(ints[row, BEFORE]))
    ints[row, BEFORE] = ints[row, CLOSE]
    ints[row, TIMES] += 1


@_compiled
def _walk_times(ts, price, ints, variances, row, last_prices, squares):  # type: ignore[no-untyped-def]
    """Realised variance over a slice of rows: the last price of each distinct time against that of the time before.

    The slice's last timestamp stays open. `last_prices` and `squares` are scratch, longer than the slice by one.
    """
    if ints[row, COUNT] > 0 and ts[0] != ints[row, LAST_US]:
        _close_time(ints, variances, row)
    first = np.int64(0)
    if ints[row, TIMES] > 0:
        last_prices[0] = ints[row, BEFORE]
        first = np.int64(1)
    found = first
    for i in range(len(ts) - 1):
        last_prices[found] = price[i]
        found += ts[i] != ts[i + 1]
    if found == first:
        return
    if found > 1:
        _squared_log_ratios(last_prices[1:found], last_prices[: found - 1], squares)
        variance = variances[row]
        for i in range(found - 1):
            variance += squares[i]
        variances[row] = variance
    ints[row, BEFORE] = last_prices[found - 1]
    ints[row, TIMES] += found - first


@_compiled
def _sums_fit(price, qty, ints, row):  # type: ignore[no-untyped-def]
    """Whether quantity and deviations of bar `row` stay below 2**62 with a slice of rows added."""
    deviation, quantity = abs(np.float64(ints[row, DEV])), np.float64(ints[row, QTY])
    for i in range(len(price)):
        deviation += abs(np.float64(price[i] - ints[row, OPEN]))
        quantity += qty[i]
    return deviation < _SAFE and quantity < _SAFE


@_compiled
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
        The number of rows added, or -1 - row of a bar whose sums pass 2**62.
    """
    rows = len(ts)
    if rows == 0:
        return 0
    lowest, highest = _bounds(price)
    largest = np.float64(_bounds(qty)[1])
    last_prices = np.empty(rows + 1, dtype=np.int64)
    squares = np.empty(rows + 1, dtype=np.float64)
    for k in range(len(starts)):
        a = starts[k]
        b = starts[k + 1] if k + 1 < len(starts) else rows
        row = first_row + k
        if a < b:
            if ints[row, COUNT] == 0:
                ints[row, OPEN] = price[a]
                ints[row, HIGH] = price[a]
                ints[row, LOW] = price[a]
            count = np.float64(b - a)
            reach = np.float64(max(highest - ints[row, OPEN], ints[row, OPEN] - lowest))
            small = reach * count + abs(np.float64(ints[row, DEV])) < _SAFE and largest * count + np.float64(ints[row, QTY]) < _SAFE
            if not small and not _sums_fit(price[a:b], qty[a:b], ints, row):
                return -1 - row
            _walk_times(ts[a:b], price[a:b], ints, variances, row, last_prices, squares)
            _add_amounts(price[a:b], qty[a:b], side[a:b], ints, row, reach * reach * count < _SAFE)
            if len(notional) > 0:
                _add_notional(notional[a:b], ints, row)
            else:
                _add_quote(price[a:b], qty[a:b], ints, row, np.float64(highest) * largest * count < _SAFE)
            ints[row, COUNT] += b - a
            ints[row, CLOSE] = price[b - 1]
            ints[row, LAST_US] = ts[b - 1]
        if k + 1 < len(starts) and ints[row, COUNT] > 0:
            _close_time(ints, variances, row)
    return rows


@_compiled
def close_last(ints, variances, row):  # type: ignore[no-untyped-def]
    """No more rows come for bar `row`: counts its open timestamp."""
    if ints[row, COUNT] > 0:
        _close_time(ints, variances, row)
