"""A backtest as one loop over bars with a cash account, to be read and checked by eye.

A decision of bar j waits for the first later bar in which every traded leg has a price. Money is counted as a bank would: what is bought is
paid, what is sold is received, an inverse contract settles in coins that are sold for quote at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

DAY_US = 86_400_000_000


class Bar(NamedTuple):
    """One bar; prices are None where the leg did not trade in it or, for closes, before its first trade."""

    start: int
    end: int
    perp: float | None  # the price that a fill in this bar gets
    spot: float | None
    perp_close: float | None
    spot_close: float | None
    perp_low: float | None
    perp_high: float | None
    signal: float | None


class Settlement(NamedTuple):
    us: int
    rate: float
    mark: float


@dataclass
class Rules:
    """What is traded, in plain values."""

    legs: str = "both"
    high_is_long: bool = True
    sides: tuple[int, ...] = (1, -1)
    levels: tuple[float | None, float | None, float | None, float | None] | None = None  # above, exit_above, below, exit_below
    entry: float = 0.9
    exit: float = 0.5
    refit_us: int = 3_600_000_000
    lookback_us: int | None = None
    fewest: int = 2
    max_holding_us: int | None = None
    until_end: bool = False
    at_open: bool = False
    max_wait_us: int = 0
    notional: float = 1_000.0
    leverage: float | None = None
    maintenance: float = 0.0
    inverse: bool = False
    contract_size: float = 1.0
    factor: float = 1.0
    quote_rate: float = 1.0
    perp_step: float | None = None
    spot_step: float | None = None
    fee_bps: tuple[float, float] = (0.0, 0.0)
    slippage_bps: tuple[float, float] = (0.0, 0.0)
    withdrawal_bps: float = 0.0
    borrow_bps: float = 0.0
    window_us: tuple[int, int] = (0, 0)
    capital: float = 1_000.0


@dataclass
class Held:
    """A position: signed quantities, and fills as (time, perp price, spot price)."""

    side: int
    decided: int
    perp_qty: float
    spot_qty: float
    at: tuple[int, float, float]
    left: tuple[int, float, float] = (0, 0.0, 0.0)
    reason: str = "end_of_data"


@dataclass
class Account:
    """Trades, and the flows of cash as (time, amount)."""

    trades: list[Held] = field(default_factory=list)
    flows: list[tuple[int, float]] = field(default_factory=list)

    def pay(self, us: int, amount: float) -> None:
        self.flows.append((us, amount))


def quantile(values: list[float], q: float) -> float:
    """Linear between the two order statistics."""
    ordered = sorted(values)
    place = q * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def thresholds(bars: list[Bar], k: int, rules: Rules) -> tuple[float | None, float | None, float | None, float | None]:
    """above, exit_above, below, exit_below in force at the end of bar k."""
    if rules.levels is not None:
        return rules.levels
    fit = (bars[k].end - 1) // rules.refit_us * rules.refit_us
    past = []
    for bar in bars:
        old = rules.lookback_us is not None and bar.end <= fit - rules.lookback_us
        if bar.end <= fit and not old and bar.signal is not None:
            past.append(bar.signal)
    if len(past) < rules.fewest:
        return (None, None, None, None)
    return (quantile(past, rules.entry), quantile(past, rules.exit), quantile(past, 1 - rules.entry), quantile(past, 1 - rules.exit))


def wanted_side(bars: list[Bar], k: int, rules: Rules) -> int:
    """The side that bar k asks for, 0 for none."""
    above, _, below, _ = thresholds(bars, k, rules)
    signal = bars[k].signal
    if signal is None:
        return 0
    place = 1 if above is not None and signal > above else -1 if below is not None and signal < below else 0
    side = place if rules.high_is_long else -place
    return side if side in rules.sides else 0


def wants_out(bars: list[Bar], k: int, side: int, rules: Rules) -> bool:
    _, exit_above, _, exit_below = thresholds(bars, k, rules)
    signal = bars[k].signal
    if signal is None or rules.until_end:
        return False
    if (side == 1) == rules.high_is_long:
        return exit_above is not None and signal <= exit_above
    return exit_below is not None and signal >= exit_below


def rounded(amount: float, step: float | None) -> float:
    return amount if step is None else round(math.floor(amount / step + 1e-9) * step, 12)


def quantities(side: int, perp: float, spot: float, rules: Rules) -> tuple[float, float]:
    """What a decision at these closes orders."""
    if rules.legs == "spot":
        return 0.0, side * rounded(rules.notional / spot, rules.spot_step)
    units = rules.notional / spot / rules.factor
    contracts = units * perp / rules.contract_size if rules.inverse else units
    perp_qty = rounded(contracts, rules.perp_step)
    coins = (perp_qty * rules.contract_size / perp if rules.inverse else perp_qty) * rules.factor
    return side * perp_qty, 0.0 if rules.legs == "perp" else -side * rounded(coins, rules.spot_step)


def known(bars: list[Bar], k: int) -> tuple[float | None, float | None]:
    """The last closes of both legs at the end of bar k."""
    perp = spot = None
    for bar in bars[: k + 1]:
        perp = bar.perp_close if bar.perp_close is not None else perp
        spot = bar.spot_close if bar.spot_close is not None else spot
    return perp, spot


def liquidated(bar: Bar, held: Held, rules: Rules) -> bool:
    """Whether the margin is below the maintenance margin at the bar's worst price."""
    if rules.leverage is None or rules.legs == "spot":
        return False
    worst = bar.perp_low if held.side == 1 else bar.perp_high
    entry = held.at[1]
    if worst is None:
        return False
    if rules.inverse:  # in coins of one contract of one quote unit
        return 1 / (entry * rules.leverage) + held.side * (1 / entry - 1 / worst) <= rules.maintenance / worst
    return entry / rules.leverage + held.side * (worst - entry) <= rules.maintenance * worst


def pay_fill(account: Account, rules: Rules, held: Held, *, entry: bool) -> None:
    """Cash of both legs at one end of a position."""
    us, perp, spot = held.at if entry else held.left
    sign = -1 if entry else 1
    if held.spot_qty:
        value = abs(held.spot_qty) * spot
        account.pay(us, sign * held.spot_qty * spot - value * (rules.fee_bps[1] + rules.slippage_bps[1]) / 1e4)
        if not entry and rules.legs == "both":
            account.pay(us, -value * rules.withdrawal_bps / 1e4)
        if not entry and held.spot_qty < 0:
            days = (us - held.at[0]) / DAY_US
            account.pay(us, held.spot_qty * held.at[2] * rules.borrow_bps / 1e4 * days)
    if held.perp_qty:
        if rules.inverse:
            coins = abs(held.perp_qty) * rules.contract_size / perp
            value = coins * spot * rules.factor
            if not entry:
                earned = held.perp_qty * rules.contract_size * (1 / held.at[1] - 1 / perp)
                account.pay(us, earned * spot * rules.factor)
        else:
            value = abs(held.perp_qty) * perp * rules.quote_rate
            account.pay(us, sign * held.perp_qty * perp * rules.quote_rate)
        account.pay(us, -value * (rules.fee_bps[0] + rules.slippage_bps[0]) / 1e4)


def pay_funding(account: Account, rules: Rules, held: Held, settlements: list[Settlement], bars: list[Bar]) -> None:
    for one in settlements:
        if not held.perp_qty or not held.at[0] < one.us <= held.left[0]:
            continue
        if rules.inverse:
            spot = None
            for bar in bars:
                if bar.end <= one.us and bar.spot_close is not None:
                    spot = bar.spot_close
            assert spot is not None
            account.pay(one.us, -held.perp_qty * rules.contract_size / one.mark * one.rate * spot * rules.factor)
        else:
            account.pay(one.us, -held.perp_qty * one.mark * one.rate * rules.quote_rate)


def filled(bars: list[Bar], k: int, decided: int, rules: Rules) -> tuple[int, float, float]:
    """Time and prices of the fill in bar k; a leg that is not traded stands at its close known at the decision."""
    bar, (perp, spot) = bars[k], known(bars, decided)
    prices = (bar.perp if rules.legs != "spot" else perp, bar.spot if rules.legs != "perp" else spot)
    assert prices[0] is not None
    assert prices[1] is not None
    return (bar.start if rules.at_open else bar.end - 1, *prices)


def reason_to_leave(bars: list[Bar], k: int, held: Held, rules: Rules) -> str:
    """Why a position that is held at the end of bar k ends, empty if it does not."""
    if wants_out(bars, k, held.side, rules):
        return "signal"
    if rules.max_holding_us is not None and bars[k].end >= held.at[0] + rules.max_holding_us:
        return "max_holding"
    return "margin" if liquidated(bars[k], held, rules) else ""


def run(bars: list[Bar], rules: Rules, settlements: list[Settlement]) -> Account:
    """The whole backtest."""
    account = Account()
    held: Held | None = None
    orders: list[tuple[int, int]] = []  # decisions of bars that wait for a fill: bar, side wanted (0: flat)
    leaving = ""
    for k, bar in enumerate(bars):
        legs = {"both": (bar.perp, bar.spot), "perp": (bar.perp,), "spot": (bar.spot,)}[rules.legs]
        if None not in legs and orders:
            timely = [order for order in orders if bar.start - bars[order[0]].end <= rules.max_wait_us]
            orders = []
            for decided, side in timely[:1]:
                if held is None:
                    perp, spot = known(bars, decided)
                    assert perp is not None
                    assert spot is not None
                    held = Held(side, decided, *quantities(side, perp, spot, rules), at=filled(bars, k, decided, rules))
                    pay_fill(account, rules, held, entry=True)
                else:
                    close(account, rules, held, filled(bars, k, decided, rules), leaving)
                    held, leaving = None, ""
        if held is None:
            side = wanted_side(bars, k, rules)
            if side and None not in known(bars, k):
                orders.append((k, side))
            continue
        leaving = leaving or reason_to_leave(bars, k, held, rules)
        if leaving:
            orders.append((k, 0))
    if held is not None:
        perp, spot = known(bars, len(bars) - 1)
        assert perp is not None
        assert spot is not None
        close(account, rules, held, (max(min(bars[-1].end, rules.window_us[1] - 1), held.at[0]), perp, spot), "end_of_data")
    for one in account.trades:
        pay_funding(account, rules, one, settlements, bars)
    return account


def close(account: Account, rules: Rules, held: Held, left: tuple[int, float, float], reason: str) -> None:
    held.left, held.reason = left, reason
    pay_fill(account, rules, held, entry=False)
    account.trades.append(held)


def equity_at(us: int, account: Account, bars: list[Bar], rules: Rules) -> float:
    """Cash before an instant, and what is held then at the last closes."""
    equity = rules.capital + math.fsum(amount for at, amount in account.flows if at < us)
    perp = spot = math.nan
    for bar in bars:
        if bar.end <= us:
            perp = bar.perp_close if bar.perp_close is not None else perp
            spot = bar.spot_close if bar.spot_close is not None else spot
    for held in account.trades:
        if not held.at[0] < us <= held.left[0]:
            continue
        if held.spot_qty:
            equity += held.spot_qty * spot
        if held.spot_qty < 0:
            equity += held.spot_qty * held.at[2] * rules.borrow_bps / 1e4 * (us - held.at[0]) / DAY_US
        if held.perp_qty and rules.inverse:
            equity += held.perp_qty * rules.contract_size * (1 / held.at[1] - 1 / perp) * spot * rules.factor
        elif held.perp_qty:
            equity += held.perp_qty * perp * rules.quote_rate
    return equity
