"""What a bar is, as plain loops over Python integers and fractions. Slow, exact, and written from the definitions, not from the code.

A trade is counted in whole units: ``price`` in ``10**-price_decimals`` quote, ``qty`` in ``10**-base_decimals`` base, ``quote`` in
``10**-quote_decimals`` quote. Nothing here imports the package.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Trade:
    """One trade; `seller` is True where the seller was the taker."""

    us: int
    price: int
    qty: int
    seller: bool
    quote: int


@dataclass(frozen=True)
class Window:
    """One bar of a spine, half-open."""

    bar_id: int
    start: int
    end: int
    complete: bool


Amount = Callable[[Trade], int]


def volume(trade: Trade) -> int:
    return trade.qty


def dollars(trade: Trade) -> int:
    return trade.quote


def one(_: Trade) -> int:
    return 1


def bought_less_sold(trade: Trade) -> int:
    return -trade.qty if trade.seller else trade.qty


def moments(trades: list[Trade]) -> list[list[Trade]]:
    """Trades that share a timestamp, together and in their order."""
    groups: list[list[Trade]] = []
    for trade in trades:
        if groups and groups[-1][0].us == trade.us:
            groups[-1].append(trade)
        else:
            groups.append([trade])
    return groups


def carry_windows(trades: list[Trade], amount: Amount, threshold: int, start: int, end: int) -> list[Window]:
    """A moment belongs to bar floor(amount before it / threshold); the moment that crosses the threshold completes its bar."""
    found: list[Window] = []
    opened = start
    before = 0
    for moment in moments([t for t in trades if start <= t.us < end]):
        bar_id = before // threshold
        after = before + sum(amount(t) for t in moment)
        if after // threshold > bar_id:
            closed = moment[0].us + 1
            found.append(Window(bar_id, opened, closed, complete=True))
            opened = closed
        before = after
    if opened < end:
        found.append(Window(before // threshold, opened, end, complete=False))
    return found


def reset_windows(trades: list[Trade], amount: Amount, threshold: int, start: int, end: int) -> list[Window]:
    """The count restarts at zero after each close; a signed count closes at either sign."""
    found: list[Window] = []
    opened = start
    count = 0
    for moment in moments([t for t in trades if start <= t.us < end]):
        count += sum(amount(t) for t in moment)
        if abs(count) >= threshold:
            closed = moment[0].us + 1
            found.append(Window(len(found), opened, closed, complete=True))
            opened = closed
            count = 0
    if opened < end:
        found.append(Window(len(found), opened, end, complete=False))
    return found


def segment_windows(trades: list[Trade], amount: Amount, thresholds: list[int], start: int, end: int, *, carry: bool) -> list[Window]:
    """A bar closes at the threshold of the segment of ``[start, end)`` in which it begins; segments are of one length."""
    found: list[Window] = []
    length = (end - start) // len(thresholds)
    opened, bar_id, count = start, 0, 0
    for moment in moments([t for t in trades if start <= t.us < end]):
        count += sum(amount(t) for t in moment)
        needed = thresholds[(opened - start) // length]
        if count < needed:
            continue
        closed = moment[0].us + 1
        found.append(Window(bar_id, opened, closed, complete=True))
        opened, bar_id, count = closed, bar_id + 1, count - needed if carry else 0
        while carry and closed < end and count >= thresholds[(opened - start) // length]:
            bar_id, count = bar_id + 1, count - thresholds[(opened - start) // length]
    if opened < end:
        found.append(Window(bar_id, opened, end, complete=False))
    return found


def time_windows(interval: int, start: int, end: int) -> list[Window]:
    """Every `interval` from `start`; the last window is cut by `end`."""
    found: list[Window] = []
    opened = start
    while opened < end:
        closed = min(opened + interval, end)
        found.append(Window(len(found), opened, closed, complete=closed - opened == interval))
        opened = closed
    return found


def days_with_trades(trades: list[Trade]) -> list[tuple[int, int]]:
    """What is counted on its own with ``anchor="day"``."""
    days = sorted({trade.us // DAY_US for trade in trades})
    return [(day * DAY_US, (day + 1) * DAY_US) for day in days]


@dataclass(frozen=True)
class Sums:
    """What the trades of one window add up to; None where a figure needs more trades than there are."""

    count: int
    open: int | None
    high: int | None
    low: int | None
    close: int | None
    qty: int
    bought: int
    sold: int
    quote: int
    variance: Fraction | None
    realized_variance: float | None
    last_us: int | None


def sums_of(trades: list[Trade], window: Window) -> Sums:
    """The figures of features.md, from the trades in ``[start, end)``."""
    inside = [t for t in trades if window.start <= t.us < window.end]
    bought = sold = quote = 0
    for trade in inside:
        quote += trade.quote
        if trade.seller:
            sold += trade.qty
        else:
            bought += trade.qty
    prices = [t.price for t in inside]
    return Sums(
        count=len(inside),
        open=prices[0] if prices else None,
        high=max(prices) if prices else None,
        low=min(prices) if prices else None,
        close=prices[-1] if prices else None,
        qty=bought + sold,
        bought=bought,
        sold=sold,
        quote=quote,
        variance=sample_variance(prices),
        realized_variance=realized_variance(inside),
        last_us=inside[-1].us if inside else None,
    )


def sample_variance(values: list[int]) -> Fraction | None:
    """Sum of squared distances from the mean over n - 1."""
    if len(values) < 2:
        return None
    mean = Fraction(sum(values), len(values))
    return sum(((value - mean) ** 2 for value in values), Fraction(0)) / (len(values) - 1)


def realized_variance(trades: list[Trade]) -> float | None:
    """Sum of squared log returns between the last prices of consecutive distinct times."""
    last_prices = [moment[-1].price for moment in moments(trades)]
    if len(last_prices) < 2:
        return None
    total = 0.0
    for earlier, later in pairwise(last_prices):
        low, high = sorted((earlier, later))
        total += math.log1p(Fraction(high - low, low)) ** 2  # ln(high / low) without losing the digits of a small step
    return total


def last_trade_before(trades: list[Trade], us: int) -> Trade | None:
    """The newest trade strictly before `us`, of a tie the last."""
    found = None
    for trade in trades:
        if trade.us < us:
            found = trade
    return found


def window_of(windows: list[Window], us: int) -> Window | None:
    """The window that holds a time."""
    for window in windows:
        if window.start <= us < window.end:
            return window
    return None


def base_of_contracts(contracts: Fraction, size: Fraction, price: Fraction) -> int:
    """By what an inverse trade drives bars: its base amount in 1e-8 of the coin, rounded half up."""
    exact = contracts * size / price * 10**8
    return math.floor(exact + Fraction(1, 2))


def nearest_double(count: int, decimals: int) -> float:
    """The double nearest to ``count / 10**decimals`` (Python rounds the quotient of two integers once)."""
    return count / 10**decimals
