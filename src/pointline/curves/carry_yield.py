"""Cash and carry on dated futures: the yearly yield of holding to delivery, before and after costs, and when the costs are earned back.

The trade is the guide's ("Cash-and-Carry"), with a delivery date. For its size in crypto futures and its risks see M. Schmeling,
A. Schrimpf, K. Todorov, Crypto Carry, BIS Working Papers 1087, 2023. Margin and the cost of capital are not counted here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from pointline.curves.annualised import DAYS_PER_YEAR, MIN_DAYS

if TYPE_CHECKING:
    from pointline.costs import CostModel

_BPS_PER_PCT = 100

LONG_SPOT, SHORT_SPOT = "long spot, short future", "short spot, long future"


def carry_yield(curve: pl.DataFrame, costs: CostModel) -> pl.DataFrame:
    """The yield of carrying each dated contract of a curve to delivery.

    If the basis is zero or positive, the trade buys spot and sells the future. If it is negative, it sells borrowed spot and buys the
    future. Either way it earns the size of the basis, because the two prices meet at delivery. It pays `CostModel.total_bps`: opening and
    closing both legs, and the withdrawal if there is one. A venue's delivery fee takes the place of the future's closing fill. The
    short-spot side also pays the borrowing for every day. All figures are of the spot notional; simple rates, actual days over 365.

    Args:
        curve: rows of `pointline.curves.term_structure.curve_at`.
        costs: fees and slippage; its perp figures are taken for the future.

    Returns:
        exchange, market, reference, expiry, days_to_expiry, side, gross_bps = size of the basis, cost_bps (borrowing to delivery
        included), net_bps = gross_bps - cost_bps, gross_annual_pct, net_annual_pct, break_even_days, basis_kind, end, age_us, known_at.
        break_even_days is the holding time after which the costs are earned back if the basis shrinks evenly. It is beyond days_to_expiry
        if the trade loses, and null if the costs are never earned back. Perpetuals, contracts in their last day and contracts without a
        fresh basis have no row.
    """
    basis_bps, days = pl.col("basis_pct") * _BPS_PER_PCT, pl.col("days_to_expiry")
    borrow_bps = pl.when(basis_bps < 0).then(costs.borrow_bps_per_day).otherwise(0.0)
    income_bps = basis_bps.abs() / days - borrow_bps
    annual = DAYS_PER_YEAR / _BPS_PER_PCT / days
    return (
        curve.filter((days >= MIN_DAYS) & pl.col("basis_pct").is_not_null())
        .with_columns(
            side=pl.when(basis_bps >= 0).then(pl.lit(LONG_SPOT)).otherwise(pl.lit(SHORT_SPOT)),
            gross_bps=basis_bps.abs(),
            cost_bps=costs.total_bps + borrow_bps * days,
            break_even_days=pl.when(income_bps > 0).then(costs.total_bps / income_bps),
        )
        .with_columns(net_bps=pl.col("gross_bps") - pl.col("cost_bps"))
        .with_columns(gross_annual_pct=pl.col("gross_bps") * annual, net_annual_pct=pl.col("net_bps") * annual)
        .select(
            "exchange",
            "market",
            "reference",
            "expiry",
            "days_to_expiry",
            "side",
            "gross_bps",
            "cost_bps",
            "net_bps",
            "gross_annual_pct",
            "net_annual_pct",
            "break_even_days",
            "basis_kind",
            "end",
            "age_us",
            "known_at",
        )
        .sort("exchange", "reference", "expiry", "market")
    )
