"""The loops that are compiled: where bars close, what each bar sums to, and how two series of prices move together at a lag.

Every one has a plain oracle in the tests, most of them in ``tests/oracle.py``. All amounts are int64. Sums of price x quantity and of
squares are kept as two limbs ``high * 2**62 + low``, so they are exact and do not depend on how the rows were cut into batches, days or
finer bars. The base amounts of inverse contracts are such limbs too, of which the loops add up the high ones. The realised variance is a
sum of such integers too: each squared return counts 2**-100. A batch may end anywhere, even between two trades of one timestamp: what is
still open waits in the state arrays.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from pointline.kernels.slots import BAR_INTS, CLOSER_STATE, OVERFLOW, SCRATCH_ROWS, TOO_LARGE

# Slices instead of bounds, and NumPy's division, are what lets the compiler use vector instructions.
_compiled = njit(boundscheck=False, error_model="numpy")
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
FIRST, RETURN_HIGH, RETURN_LOW = (BAR_INTS.index(name) for name in ("first_time_price", "return_square_high", "return_square_low"))
QTY_FRACTION, BUY_FRACTION, UNKNOWN = (BAR_INTS.index(name) for name in ("qty_fraction", "buy_fraction", "unknown_sides"))

_RETURN_SCALE = 2.0**100
_PIECE = SCRATCH_ROWS - 1  # rows whose columns stay in the fastest cache while they are walked several times
_LARGEST_AMOUNT = 1 << 53


@_compiled
def _total(amounts):  # type: ignore[no-untyped-def]
    """The sum, and the amounts' bits: amounts that together pass 53 bits cannot be added up unseen."""
    total, bits = np.int64(0), np.int64(0)
    for i in range(len(amounts)):
        total += amounts[i]
        bits |= amounts[i]
    return total, bits


@_compiled
def close_on_total(ts, amount, threshold, carry, state, ends, ids):  # type: ignore[no-untyped-def]
    """Closes bars when the accumulated amount reaches the threshold; a timestamp is never split.

    Args:
        ts: int64 microseconds, sorted.
        amount: int64 in [0, 2**62) per row.
        threshold: int64 in (0, 2**62).
        carry: True = the excess counts for the next bar and ids skip, False = the count restarts at zero.
        state: `CLOSER_STATE`, updated in place.
        ends, ids: outputs, as long as `ts` or longer + 1.

    Returns:
        How many bars closed; their ``bucket_end`` are in `ends`, their ``bar_id`` in `ids`. `OVERFLOW` where the count passes 2**62.
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
                if acc > _MASK:
                    return OVERFLOW
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
            block, bits = _total(amount[i : i + _BLOCK])
            if bits > _LARGEST_AMOUNT or acc + block >= threshold:
                break
            acc += block
            i += _BLOCK
        while i < rows:
            acc += amount[i]
            i += 1
            if acc >= threshold:
                if acc > _MASK:
                    return OVERFLOW
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
        if abs(acc) > _MASK:
            return OVERFLOW
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
def _bounds(price, qty):  # type: ignore[no-untyped-def]
    """Lowest price, highest price and largest quantity of rows, of which there is at least one."""
    low = high = price[0]
    most = qty[0]
    for i in range(len(price)):
        low = min(low, price[i])
        high = max(high, price[i])
        most = max(most, qty[i])
    return low, high, most


@_compiled
def _add_amounts(price, qty, side, ints, row, small_square):  # type: ignore[no-untyped-def]
    """Adds the order-free sums of a slice of rows to bar `row`; `small_square` is the caller's proof that the squares fit int64."""
    origin = ints[row, OPEN]
    total = np.int64(0)
    bought = np.int64(0)
    deviation = np.int64(0)
    for i in range(len(price)):
        total += qty[i]
        bought += qty[i] & (np.int64(side[i]) - 1)
        deviation += price[i] - origin
    ints[row, QTY] += total
    ints[row, BUY] += bought
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
def _add_square(ints, row, square):  # type: ignore[no-untyped-def]
    """Adds one squared return to bar `row`."""
    scaled = square * _RETURN_SCALE
    upper = np.int64(scaled * 2.0**-_LIMB)
    _add_limbs(ints, row, RETURN_HIGH, RETURN_LOW, upper, np.int64(scaled - np.float64(upper) * 2.0**_LIMB))


@_compiled
def _add_squares(ints, row, prices):  # type: ignore[no-untyped-def]
    """Adds the squared returns from each of some prices to the next to bar `row`, as `_add_square` would one by one.

    The series of `_squared_log_ratio` is tried on all at once; where one step is too large for it, all go the slow way.
    """
    large = np.int64(0)
    upper_sum = np.int64(0)
    lower_sum = np.int64(0)
    for i in range(len(prices) - 1):
        later, earlier = np.float64(prices[i + 1]), np.float64(prices[i])
        z = (later - earlier) / (later + earlier)
        square = z * z
        large += square >= _SMALL_STEP
        step = 2.0 * z * (1.0 + square * (1.0 / 3.0 + square * (0.2 + square * (1.0 / 7.0))))
        scaled = step * step * _RETURN_SCALE
        upper = np.int64(scaled * 2.0**-40)
        upper_sum += upper
        lower_sum += np.int64(scaled - np.float64(upper) * 2.0**40)
    if large:
        for i in range(len(prices) - 1):
            _add_square(ints, row, _squared_log_ratio(np.float64(prices[i + 1]), np.float64(prices[i])))
    else:
        _add_limbs(ints, row, RETURN_HIGH, RETURN_LOW, upper_sum >> 22, (upper_sum & ((1 << 22) - 1)) << 40)
        _add_limbs(ints, row, RETURN_HIGH, RETURN_LOW, 0, lower_sum)


@_compiled
def _close_time(ints, row):  # type: ignore[no-untyped-def]
    """The open timestamp of the bar is over: its last price becomes an observation of the realised variance."""
    if ints[row, TIMES] > 0:
        _add_square(ints, row, _squared_log_ratio(np.float64(ints[row, CLOSE]), np.float64(ints[row, BEFORE])))
    else:
        ints[row, FIRST] = ints[row, CLOSE]
    ints[row, BEFORE] = ints[row, CLOSE]
    ints[row, TIMES] += 1


@_compiled
def _walk_times(ts, price, ints, row, last_prices):  # type: ignore[no-untyped-def]
    """Realised variance over a slice of rows: the last price of each distinct time against that of the time before.

    The slice's last timestamp stays open. `last_prices` is scratch, longer than the slice by one.
    """
    if ints[row, COUNT] > 0 and ts[0] != ints[row, LAST_US]:
        _close_time(ints, row)
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
    if first == 0:
        ints[row, FIRST] = last_prices[0]
    _add_squares(ints, row, last_prices[:found])
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
def _add_piece(ts, price, qty, side, notional, ints, row, last_prices):  # type: ignore[no-untyped-def]
    """Adds a few rows to bar `row`; 0, or why they cannot be added."""
    lowest, highest, most = _bounds(price, qty)
    if max(highest, most) > _LARGEST_AMOUNT:
        return TOO_LARGE
    if ints[row, COUNT] == 0:
        ints[row, OPEN] = price[0]
        ints[row, HIGH] = price[0]
        ints[row, LOW] = price[0]
    count, largest = np.float64(len(price)), np.float64(most)
    reach = np.float64(max(highest - ints[row, OPEN], ints[row, OPEN] - lowest))
    small = reach * count + abs(np.float64(ints[row, DEV])) < _SAFE and largest * count + np.float64(ints[row, QTY]) < _SAFE
    if not small and not _sums_fit(price, qty, ints, row):
        return OVERFLOW
    _walk_times(ts, price, ints, row, last_prices)
    _add_amounts(price, qty, side, ints, row, reach * reach * count < _SAFE)
    if len(notional) > 0:
        _add_notional(notional, ints, row)
    else:
        _add_quote(price, qty, ints, row, np.float64(highest) * largest * count < _SAFE)
    ints[row, HIGH] = max(ints[row, HIGH], highest)
    ints[row, LOW] = min(ints[row, LOW], lowest)
    ints[row, COUNT] += len(price)
    ints[row, CLOSE] = price[-1]
    ints[row, LAST_US] = ts[-1]
    return 0


@_compiled
def _first_at_or_after(ts, instant, a):  # type: ignore[no-untyped-def]
    """The first row from `a` on whose time is not before an instant, found by steps that double from there."""
    rows = len(ts)
    step = np.int64(1)
    low, high = a, a
    while high < rows and ts[high] < instant:
        low = high + 1
        high += step
        step *= 2
    high = min(high, rows)
    while low < high:
        middle = (low + high) // 2
        if ts[middle] < instant:
            low = middle + 1
        else:
            high = middle
    return low


@_compiled
def add_rows(ts, price, qty, side, notional, ends, row, ints, last_prices):  # type: ignore[no-untyped-def]
    """Adds sorted rows to the bars whose ends are known; rows behind the last of these ends go to the bar that follows.

    Args:
        ts, price, qty: int64 rows, all prices and quantities > 0.
        side: int8, 1 = the seller was the taker, or not known who was.
        notional: int64 quote amounts, or empty where the quote amount is price x qty.
        ends: ``bucket_end`` of bars from the first on.
        row: the bar that is open; all earlier ones are complete.
        ints: accumulators in the columns of `BAR_INTS`, one row per bar, zeroed when fresh, as many as are reached.
        last_prices: scratch, `SCRATCH_ROWS` of int64.

    Returns:
        The bar that is open now, or `OVERFLOW` - row of a bar whose sums pass 2**62, or `TOO_LARGE` where an amount passes 2**53.
    """
    rows = len(ts)
    a = 0
    while a < rows:
        b = _first_at_or_after(ts, ends[row], a) if row < len(ends) else rows
        for c in range(a, b, _PIECE):
            d = min(c + _PIECE, b)
            problem = _add_piece(
                ts[c:d], price[c:d], qty[c:d], side[c:d], notional[c:d] if len(notional) else notional, ints, row, last_prices
            )
            if problem:
                return problem if problem == TOO_LARGE else OVERFLOW - row
        if b < rows:
            if ints[row, COUNT] > 0:
                _close_time(ints, row)
            row = row + 1
        a = b
    return row


@_compiled
def close_last(ints, row):  # type: ignore[no-untyped-def]
    """No more rows come for bar `row`: counts its open timestamp."""
    if ints[row, COUNT] > 0:
        _close_time(ints, row)


@_compiled
def _merge(ints, row, more, k):  # type: ignore[no-untyped-def]
    """Adds a finished bar to the finished bar before it; False where the sums would pass 2**62."""
    count, shift = more[k, COUNT], more[k, OPEN] - ints[row, OPEN]
    moved = np.float64(more[k, DEV]) + np.float64(count) * np.float64(shift)
    if abs(np.float64(ints[row, DEV])) + abs(moved) + abs(np.float64(more[k, DEV])) >= _SAFE:
        return False
    if np.float64(ints[row, QTY]) + np.float64(more[k, QTY]) >= _SAFE:
        return False
    # sum (p - o)^2 about the earlier open o: squares + shift * (2 * deviation + count * shift)
    factor = 2 * more[k, DEV] + count * shift
    upper, lower = _product_limbs(abs(shift), abs(factor))
    if (shift < 0) != (factor < 0):
        upper, lower = -upper, -lower
    _add_limbs(ints, row, SQUARE_HIGH, SQUARE_LOW, upper, lower)
    _add_limbs(ints, row, SQUARE_HIGH, SQUARE_LOW, more[k, SQUARE_HIGH], more[k, SQUARE_LOW])
    _add_limbs(ints, row, QUOTE_HIGH, QUOTE_LOW, more[k, QUOTE_HIGH], more[k, QUOTE_LOW])
    _add_limbs(ints, row, RETURN_HIGH, RETURN_LOW, more[k, RETURN_HIGH], more[k, RETURN_LOW])
    _add_square(ints, row, _squared_log_ratio(np.float64(more[k, FIRST]), np.float64(ints[row, CLOSE])))
    ints[row, DEV] += more[k, DEV] + count * shift
    _add_limbs(ints, row, QTY, QTY_FRACTION, more[k, QTY], more[k, QTY_FRACTION])
    _add_limbs(ints, row, BUY, BUY_FRACTION, more[k, BUY], more[k, BUY_FRACTION])
    for column in (COUNT, TIMES, UNKNOWN):
        ints[row, column] += more[k, column]
    ints[row, HIGH] = max(ints[row, HIGH], more[k, HIGH])
    ints[row, LOW] = min(ints[row, LOW], more[k, LOW])
    for column in (CLOSE, LAST_US, BEFORE):
        ints[row, column] = more[k, column]
    return True


@_compiled
def merge_rows(fine, target, coarse):  # type: ignore[no-untyped-def]
    """Adds finished bars up to coarser ones; the result is what the coarser bars would have summed to themselves.

    Args:
        fine: accumulators of bars in time order, all finished.
        target: the row of `coarse` for each, not decreasing.
        coarse: zeroed accumulators.

    Returns:
        The number of bars added, or -1 - k where bar k would take a sum past 2**62.
    """
    for k in range(len(fine)):
        if fine[k, COUNT] == 0:
            continue
        if coarse[target[k], COUNT] == 0:
            for column in range(fine.shape[1]):
                coarse[target[k], column] = fine[k, column]
        elif not _merge(coarse, target[k], fine, k):
            return -1 - k
    return len(fine)


@_compiled
def lagged_covariance(ts, value, other_ts, other, lags, block_ends, curves):  # type: ignore[no-untyped-def]
    """Adds up the Hayashi-Yoshida covariance of two series at each lag, for each block of the first series' time.

    A change of the first series over ``(ts[j - 1], ts[j]]`` is multiplied with the changes of the other series whose intervals overlap
    it once it is moved back by the lag. Their sum is the difference of two values of the other series: the first one at or after the end,
    and the last one at or before the beginning. As the lag falls these two only move forward.

    Args:
        ts: int64 microseconds, strictly rising.
        value: float64, one per time.
        other_ts, other: the other series, with at least one value.
        lags: int64 microseconds, rising; positive: the other series is ahead.
        block_ends: int64, the first microsecond behind each block, rising; the changes up to the last of them are counted.
        curves: float64, blocks x lags, the sums are added to it.
    """
    last = len(other_ts) - 1
    block = 0
    first_begin = 0
    first_end = 0
    for j in range(1, len(ts)):
        change = value[j] - value[j - 1]
        if change == 0.0:
            continue
        while block < len(block_ends) and ts[j] >= block_ends[block]:
            block += 1
        if block == len(block_ends):
            break
        curve = curves[block]
        begin_us = ts[j - 1] - lags[-1]
        while first_begin < last and other_ts[first_begin + 1] <= begin_us:
            first_begin += 1
        end_us = ts[j] - lags[-1]
        while first_end < last and other_ts[first_end] < end_us:
            first_end += 1
        begin, end = first_begin, first_end
        for k in range(len(lags) - 1, -1, -1):
            begin_us = ts[j - 1] - lags[k]
            while begin < last and other_ts[begin + 1] <= begin_us:
                begin += 1
            end_us = ts[j] - lags[k]
            while end < last and other_ts[end] < end_us:
                end += 1
            curve[k] += change * (other[end] - other[begin])
