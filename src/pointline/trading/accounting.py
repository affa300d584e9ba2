"""Accounting: what each trade earned and paid, and on which day.

The change of equity is the price of both legs + funding - fees - slippage - borrow, per trade, per day and in total. The basis is a view of
the two price terms and no further one: ``basis_quote + unhedged_quote = perp_price_quote + spot_price_quote``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import polars as pl

from pointline.clock import DAY_US, HOUR_US

if TYPE_CHECKING:
    from pointline.costs import CostModel
    from pointline.trading.legs import PairTerms

    Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
    Ints: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

BPS = 1e-4
PRICE_TERMS = ("perp_price_quote", "spot_price_quote")
COST_TERMS = ("fees_quote", "slippage_quote", "borrow_quote")
TERMS = (*PRICE_TERMS, "funding_quote", *COST_TERMS)
"""What a change of equity is made of; costs are subtracted."""


@dataclass(frozen=True, eq=False)
class LegTrades:
    """One leg of every trade.

    Attributes:
        qty: shape (k,), signed; zero where the leg is not traded.
        in_us, out_us: shape (k,), when it was opened and closed.
        in_price, out_price: shape (k,), before slippage.
        slippage_in_bps, slippage_out_bps: shape (k,), of each fill.
    """

    qty: Floats
    in_us: Ints
    out_us: Ints
    in_price: Floats
    out_price: Floats
    slippage_in_bps: Floats
    slippage_out_bps: Floats


class _Fill(NamedTuple):
    """One fill of every trade."""

    at_us: Ints
    notional: Floats
    fee: Floats
    slippage: Floats


@dataclass(frozen=True, eq=False)
class Ledger:
    """All trades with what they need to be valued at any time.

    Attributes:
        terms: of the pair.
        costs: fees, withdrawal and borrowing; slippage is that of the fills.
        perp, spot: the legs.
        spot_in, spot_out: shape (k,), spot price at each end, also where the spot is not traded.
        withdraws: both legs are traded, so that the coin is moved once a trade.
    """

    terms: PairTerms
    costs: CostModel
    perp: LegTrades
    spot: LegTrades
    spot_in: Floats
    spot_out: Floats
    withdraws: bool

    @property
    def begun_us(self) -> Ints:
        """First fill of each trade."""
        return np.minimum(self.perp.in_us, self.spot.in_us)

    @property
    def ended_us(self) -> Ints:
        """Last fill of each trade."""
        return np.maximum(self.perp.out_us, self.spot.out_us)

    def perp_value(self, price: Floats, spot: Floats, trade: Ints | slice = slice(None)) -> Floats:
        """What the perp legs have earned by their price."""
        return self.terms.perp_value(self.perp.qty[trade], self.perp.in_price[trade], price, spot)

    def spot_value(self, price: Floats, trade: Ints | slice = slice(None)) -> Floats:
        """What the spot legs have earned by their price."""
        return self.spot.qty[trade] * (price - self.spot.in_price[trade])

    def notionals(self, end: str) -> tuple[Floats, Floats]:
        """Unsigned notionals of perp and spot at the fills of one end, ``"in"`` or ``"out"``."""
        spot_price = self.spot_in if end == "in" else self.spot_out
        perp_price = self.perp.in_price if end == "in" else self.perp.out_price
        return self.terms.perp_notional(self.perp.qty, perp_price, spot_price), np.abs(self.spot.qty) * spot_price

    def fills(self) -> list[_Fill]:
        """The four fills of every trade; the withdrawal is a fee of the spot's last."""
        costs, found = self.costs, []
        for end in ("in", "out"):
            perp, spot = self.notionals(end)
            withdrawal = costs.withdrawal_bps if self.withdraws and end == "out" else 0.0
            for leg, notional, fee in ((self.perp, perp, costs.perp_taker_bps), (self.spot, spot, costs.spot_taker_bps + withdrawal)):
                at_us, slippage = (leg.in_us, leg.slippage_in_bps) if end == "in" else (leg.out_us, leg.slippage_out_bps)
                found.append(_Fill(at_us, notional, notional * fee * BPS, notional * slippage * BPS))
        return found

    def borrow_a_day(self) -> Floats:
        """Borrowing of the coin that is sold short, a day."""
        return np.where(self.spot.qty < 0, -self.spot.qty * self.spot.in_price, 0.0) * self.costs.borrow_bps_per_day * BPS


def trade_amounts(ledger: Ledger, funding: Floats) -> pl.DataFrame:
    """What each trade earned and paid: the `TERMS`, ``pnl_quote``, and the views ``basis_quote`` and ``unhedged_quote``.

    Args:
        ledger: of k trades.
        funding: shape (k,), funding of each, + received.
    """
    fees, slippage = sum(fill.fee for fill in ledger.fills()), sum(fill.slippage for fill in ledger.fills())
    perp = ledger.perp_value(ledger.perp.out_price, ledger.spot_out)
    spot = ledger.spot_value(ledger.spot.out_price)
    borrow = ledger.borrow_a_day() * ((ledger.spot.out_us - ledger.spot.in_us) / DAY_US)
    unhedged_qty = ledger.terms.perp_base(ledger.perp.qty, ledger.perp.in_price) + ledger.spot.qty
    unhedged = unhedged_qty * (ledger.spot_out - ledger.spot_in)
    return pl.DataFrame(
        {
            "perp_price_quote": perp,
            "spot_price_quote": spot,
            "funding_quote": funding,
            "fees_quote": fees,
            "slippage_quote": slippage,
            "borrow_quote": borrow,
            "pnl_quote": perp + spot + funding - fees - slippage - borrow,
            "basis_quote": perp + spot - unhedged,
            "unhedged_quote": unhedged,
            "unhedged_base": unhedged_qty,
            "holding_hours": (ledger.ended_us - ledger.begun_us) / HOUR_US,
        }
    )


@dataclass(frozen=True, eq=False)
class Marks:
    """Prices at which positions are valued at the end of a day.

    Attributes:
        known_us: shape (n,), when each is known, rising.
        perp, spot: shape (n,), without gaps.
    """

    known_us: Ints
    perp: Floats
    spot: Floats

    def at(self, us: Ints) -> tuple[Floats, Floats]:
        """The last prices known by each instant."""
        row = np.maximum(np.searchsorted(self.known_us, us, side="right") - 1, 0)
        return self.perp[row], self.spot[row]


def daily_amounts(
    ledger: Ledger, trades: pl.DataFrame, payments: tuple[Ints, Floats], marks: Marks, *, window_us: tuple[int, int], capital: float
) -> pl.DataFrame:
    """The attribution of each UTC day of a window: ``date_us``, the `TERMS`, ``pnl_quote``, ``equity_quote``, the views, ``traded_quote``.

    A leg that is held over midnight is valued at the last prices known by then. A fill or a payment at midnight belongs to the day that
    begins. The terms of all days add up to those of all trades.

    Args:
        ledger: of k trades.
        trades: their amounts (`trade_amounts`).
        payments: times and amounts of the funding payments, + received.
        marks: prices for the ends of days.
        window_us: the window; its first and last day may be parts of a day.
        capital: equity before the first day.
    """
    first, last = window_us[0] // DAY_US, (window_us[1] - 1) // DAY_US
    if len(ledger.ended_us):
        last = max(last, int(ledger.ended_us.max() // DAY_US))
    days = last - first + 1
    spans = _spans(ledger)
    trade, boundary_us, is_last = spans
    perp_mark, spot_mark = marks.at(boundary_us)

    def per_day(ends: Floats) -> Floats:
        before = np.where(np.diff(trade, prepend=-1) == 0, np.roll(ends, 1), 0.0)
        return _sum(trade_day, ends - before, days)

    def at_boundary(leg: LegTrades, value: Floats, final: Floats) -> Floats:
        closed = is_last | (boundary_us > leg.out_us[trade])  # a fill at midnight is not known when the day before ends
        return np.where(closed, final[trade], np.where(boundary_us <= leg.in_us[trade], 0.0, value))

    trade_day = boundary_us // DAY_US - 1 - first
    perp_final, spot_final = trades["perp_price_quote"].to_numpy(), trades["spot_price_quote"].to_numpy()
    perp_ends = at_boundary(ledger.perp, ledger.perp_value(perp_mark, spot_mark, trade), perp_final)
    spot_ends = at_boundary(ledger.spot, ledger.spot_value(spot_mark, trade), spot_final)
    unhedged_qty = trades["unhedged_base"].to_numpy()
    unhedged_mark = unhedged_qty[trade] * (spot_mark - ledger.spot_in[trade])
    unhedged_ends = np.where(is_last, trades["unhedged_quote"].to_numpy()[trade], unhedged_mark)
    held = np.clip(boundary_us, ledger.spot.in_us[trade], ledger.spot.out_us[trade]) - ledger.spot.in_us[trade]
    borrow_ends = ledger.borrow_a_day()[trade] * (held / DAY_US)
    fills = [(fill.at_us // DAY_US - first, fill) for fill in ledger.fills()]
    amounts = {
        "perp_price_quote": per_day(perp_ends),
        "spot_price_quote": per_day(spot_ends),
        "funding_quote": _sum(payments[0] // DAY_US - first, payments[1], days),
        "fees_quote": np.sum([_sum(day, fill.fee, days) for day, fill in fills], axis=0),
        "slippage_quote": np.sum([_sum(day, fill.slippage, days) for day, fill in fills], axis=0),
        "borrow_quote": per_day(borrow_ends),
    }
    pnl = sum(amounts[name] * (-1 if name in COST_TERMS else 1) for name in TERMS)
    unhedged = per_day(unhedged_ends)
    return pl.DataFrame(
        {
            "date_us": (np.arange(days) + first) * DAY_US,
            **amounts,
            "pnl_quote": pnl,
            "equity_quote": capital + np.cumsum(pnl),
            "basis_quote": amounts["perp_price_quote"] + amounts["spot_price_quote"] - unhedged,
            "unhedged_quote": unhedged,
            "traded_quote": np.sum([_sum(day, fill.notional, days) for day, fill in fills], axis=0),
        }
    )


def _spans(ledger: Ledger) -> tuple[Ints, Ints, np.ndarray[Any, np.dtype[np.bool_]]]:
    """A row for each trade and UTC day that it touches: the trade, the end of the day, and whether it is the trade's last."""
    begin, stop = ledger.begun_us // DAY_US, ledger.ended_us // DAY_US
    counts = stop - begin + 1
    trade = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(trade)) - np.repeat(np.cumsum(counts) - counts, counts)
    return trade, (begin[trade] + within + 1) * DAY_US, within == counts[trade] - 1


def _sum(day: Ints, amounts: Floats, days: int) -> Floats:
    return np.asarray(np.bincount(day, weights=amounts, minlength=days), dtype=np.float64)
