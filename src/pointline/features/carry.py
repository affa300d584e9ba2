"""Cash and carry: what the basis and the funding pay against what the trade costs.

Sign convention. Where the basis is zero or positive the trade is short perp and long spot: it earns the basis if that closes to zero and
receives funding while the rate is positive. Where the basis is negative it is long perp and short spot: it earns the size of the basis,
receives funding while the rate is negative, and borrows the coin. Funding is expected to stay at its present rate.

The first two features are the perp-spot guide's ("Cash-and-Carry Arbitrage"), its costs too. The other two are ours: the same trade with
funding, side, holding time and borrowing.
"""

from __future__ import annotations

import polars as pl

from pointline.features.basis import BPS
from pointline.features.feature import GUIDE, Feature, FeatureParams

_BASIS = pl.col("basis_bps")


def _income_bps_per_hour(params: FeatureParams) -> pl.Expr:
    """Funding received less borrowing paid, per hour of holding, on the side that earns the basis."""
    received = pl.col("funding_8h") * (BPS / 8)
    return pl.when(_BASIS >= 0).then(received).otherwise(-received - params.costs.borrow_bps_per_day / 24)


def _net(params: FeatureParams) -> pl.Expr:
    return _BASIS.abs() - params.costs.four_fill_bps + _income_bps_per_hour(params) * params.holding_hours


def _breakeven(params: FeatureParams) -> pl.Expr:
    missing = params.costs.four_fill_bps - _BASIS.abs()
    income = _income_bps_per_hour(params)
    return pl.when(missing <= 0).then(0.0).when(income > 0).then(missing / income)


CARRY_FEATURES = (
    Feature(
        name="cash_carry_opportunity",
        formula="abs(basis_bps) > costs.total_bps; ignores funding, holding time and side",
        unit="true or false",
        inputs=("basis_bps",),
        build=lambda params: _BASIS.abs() > params.costs.total_bps,
        source=GUIDE,
        dtype=pl.Boolean(),
    ),
    Feature(
        name="cash_carry_profit_bps",
        formula="abs(basis_bps) - costs.total_bps",
        unit="bps",
        inputs=("basis_bps",),
        build=lambda params: _BASIS.abs() - params.costs.total_bps,
        source=GUIDE,
    ),
    Feature(
        name="cash_carry_net_bps",
        formula=(
            "abs(basis_bps) + side * funding_8h * 10^4 * holding_hours / 8 - costs.four_fill_bps "
            "- costs.borrow_bps_per_day * holding_hours / 24 on the negative side; "
            "side is +1 (short perp, long spot) where basis_bps >= 0, else -1"
        ),
        unit="bps",
        inputs=("basis_bps", "funding_8h"),
        build=_net,
    ),
    Feature(
        name="cash_carry_breakeven_hours",
        formula=(
            "holding time at which cash_carry_net_bps is zero: 0 where the basis alone pays costs.four_fill_bps, "
            "null where the expected funding less borrowing is not positive"
        ),
        unit="h",
        inputs=("basis_bps", "funding_8h"),
        build=_breakeven,
    ),
)
