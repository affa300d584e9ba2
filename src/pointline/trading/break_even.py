"""Break-even: what a round trip of both legs costs, leg by leg, and what pays for it, the basis or funding payments."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import polars as pl

from pointline.errors import ConfigError

if TYPE_CHECKING:
    from pointline.costs import CostModel

_BPS = 10_000.0
_DAY_HOURS = 24.0
_LEGS = {
    "leg": pl.String,
    "taker_bps": pl.Float64,
    "slippage_bps": pl.Float64,
    "fills": pl.Int64,
    "fees_bps": pl.Float64,
    "slippage_paid_bps": pl.Float64,
    "withdrawal_bps": pl.Float64,
    "round_trip_bps": pl.Float64,
    "round_trip_quote": pl.Float64,
}
_SIDES = {
    "side": pl.String,
    "trade": pl.String,
    "cost_bps": pl.Float64,
    "basis_bps": pl.Float64,
    "basis_earned_bps": pl.Float64,
    "missing_bps": pl.Float64,
    "funding_bps_per_payment": pl.Float64,
    "borrow_bps_per_payment": pl.Float64,
    "interval_hours": pl.Float64,
    "paid_by_funding": pl.Boolean,
    "payments_alone": pl.Int64,
    "hours_alone": pl.Float64,
    "payments_with_basis": pl.Int64,
    "hours_with_basis": pl.Float64,
}


def leg_costs(costs: CostModel, notional_quote: float) -> pl.DataFrame:
    """What each leg costs, and all of it.

    Args:
        costs: the cost model.
        notional_quote: size of one leg, in money.

    Returns:
        Rows perp, spot, withdrawal and total: leg, taker_bps and slippage_bps of one fill, fills, fees_bps and slippage_paid_bps over all
        fills, withdrawal_bps, round_trip_bps, round_trip_quote in money.

    Raises:
        ConfigError: the notional is no finite number above zero.

    Examples:
        >>> from pointline.costs import CostModel
        >>> leg_costs(CostModel(), 60_000).select("leg", "round_trip_bps", "round_trip_quote").rows()
        [('perp', 14.0, 84.0), ('spot', 26.0, 156.0), ('withdrawal', 8.0, 48.0), ('total', 48.0, 288.0)]
    """
    check_notional(notional_quote)
    legs = (("perp", costs.perp_taker_bps, costs.perp_slippage_bps), ("spot", costs.spot_taker_bps, costs.spot_slippage_bps))
    rows: list[tuple[object, ...]] = [(leg, fee, slip, 2, 2 * fee, 2 * slip, 0.0, 2 * (fee + slip)) for leg, fee, slip in legs]
    rows.append(("withdrawal", None, None, 0, 0.0, 0.0, costs.withdrawal_bps, costs.withdrawal_bps))
    fees, slippage = (2 * (perp + spot) for perp, spot in zip(legs[0][1:], legs[1][1:], strict=True))
    rows.append(("total", None, None, 4, fees, slippage, costs.withdrawal_bps, costs.total_bps))
    own = {name: kind for name, kind in _LEGS.items() if name != "round_trip_quote"}
    return pl.DataFrame(rows, schema=own, orient="row").with_columns(
        round_trip_quote=pl.col("round_trip_bps") * notional_quote / _BPS,
    )


def check_notional(notional_quote: object) -> None:
    """Refuses what is no size of a position.

    Raises:
        ConfigError: it is no finite number above zero.

    Examples:
        >>> check_notional(60_000)
        >>> check_notional(0)
        Traceback (most recent call last):
        pointline.errors.ConfigError: notional_quote is no size of a position
          value:    0
          expected: a finite number above zero
    """
    is_number = isinstance(notional_quote, int | float) and not isinstance(notional_quote, bool)
    if not is_number or not (math.isfinite(notional_quote) and notional_quote > 0):  # type: ignore[operator, arg-type]
        raise ConfigError("notional_quote is no size of a position", value=notional_quote, expected="a finite number above zero")


def side_costs(
    costs: CostModel,
    *,
    basis_bps: float | None = None,
    funding_8h: float | None = None,
    interval_hours: float | None = None,
) -> pl.DataFrame:
    """What pays for a round trip on each side, if the basis closes and funding stays as it is.

    The positive side is short perp and long spot: it earns a basis above zero, and receives funding while the rate is positive. The
    negative side is long perp and short spot: it earns a basis below zero, receives funding while the rate is negative, and borrows the
    coin. Where a side loses by the closing of the basis, that comes on top of its costs.

    Args:
        costs: the cost model.
        basis_bps: the present basis; None if it is not known.
        funding_8h: the present funding rate, normalised to 8 hours, as a fraction; None if it is not known.
        interval_hours: hours between two payments; None if they are not known, then payments are not counted.

    Returns:
        Two rows: side, trade, cost_bps, basis_bps, basis_earned_bps (negative: lost), missing_bps after that (zero where the basis pays
        all), funding_bps_per_payment, borrow_bps_per_payment, interval_hours; paid_by_funding: funding is larger than borrowing,
        null where it is not known; payments_alone and hours_alone: until funding less borrowing
        has paid the cost if the basis stays where it is; payments_with_basis and hours_with_basis: until it has paid what is missing.
        Payments are whole numbers; hours are those of a rate that accrues evenly. Null where they never do, or something is not known.

    Examples:
        The guide's example: 60,050 against 60,000 and 1 bp of funding earn 9.33 bps against a cost of 48.

        >>> from pointline.costs import CostModel
        >>> table = side_costs(CostModel(), basis_bps=50 / 6, funding_8h=0.0001, interval_hours=8.0)
        >>> table.select("side", pl.col("missing_bps").round(2), "payments_alone", "payments_with_basis").rows()
        [('positive', 39.67, 48, 40), ('negative', 56.33, None, None)]
    """
    rows = [_side(costs, sign, basis_bps, funding_8h, interval_hours) for sign in (1, -1)]
    return pl.DataFrame(rows, schema=_SIDES)


def _side(
    costs: CostModel, sign: int, basis_bps: float | None, funding_8h: float | None, interval_hours: float | None
) -> dict[str, object]:
    earned = None if basis_bps is None else sign * basis_bps
    missing = None if earned is None else max(costs.total_bps - earned, 0.0)
    borrow_per_hour = costs.borrow_bps_per_day / _DAY_HOURS if sign < 0 else 0.0
    received_per_hour = None if funding_8h is None else sign * funding_8h * _BPS / 8
    income = None if received_per_hour is None else received_per_hour - borrow_per_hour
    return {
        "side": "positive" if sign > 0 else "negative",
        "trade": "short perp, long spot" if sign > 0 else "long perp, short spot (borrowed)",
        "cost_bps": costs.total_bps,
        "basis_bps": basis_bps,
        "basis_earned_bps": earned,
        "missing_bps": missing,
        "funding_bps_per_payment": _times(received_per_hour, interval_hours),
        "borrow_bps_per_payment": _times(borrow_per_hour, interval_hours),
        "interval_hours": interval_hours,
        "paid_by_funding": None if income is None else income > 0,
        "payments_alone": _payments(costs.total_bps, income, interval_hours),
        "hours_alone": _hours(costs.total_bps, income),
        "payments_with_basis": _payments(missing, income, interval_hours),
        "hours_with_basis": _hours(missing, income),
    }


def _times(rate: float | None, hours: float | None) -> float | None:
    return None if rate is None or hours is None else rate * hours


def _hours(cost_bps: float | None, income: float | None) -> float | None:
    if cost_bps is None:
        return None
    if cost_bps == 0:
        return 0.0
    return cost_bps / income if income is not None and income > 0 else None


def _payments(cost_bps: float | None, income: float | None, interval_hours: float | None) -> int | None:
    hours = _hours(cost_bps, income)
    if hours is None or interval_hours is None:
        return None if hours != 0 else 0
    return math.ceil(round(hours / interval_hours, 9))
