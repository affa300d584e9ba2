"""Break-even: the guide's figures and others worked by hand, against steps of an hour, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointline.costs import CostModel
from pointline.errors import ConfigError
from pointline.trading.break_even import leg_costs, side_costs


def by_leg(costs: CostModel, notional: float, name: str) -> dict[str, float]:
    return dict(leg_costs(costs, notional).select("leg", name).iter_rows())


# The guide's "Transaction Cost Modeling": perp (5 + 2) x 2 = 14, spot (10 + 3) x 2 + 8 = 34, together 48.
def test_the_guides_costs() -> None:
    costs = by_leg(CostModel.guide(), 60_000, "round_trip_bps")
    assert costs == {"perp": 14.0, "spot": 26.0, "withdrawal": 8.0, "total": 48.0}
    assert costs["spot"] + costs["withdrawal"] == 34.0
    assert by_leg(CostModel.guide(), 60_000, "round_trip_quote") == {"perp": 84.0, "spot": 156.0, "withdrawal": 48.0, "total": 288.0}
    assert by_leg(CostModel.guide(), 60_000, "fees_bps") == {"perp": 10.0, "spot": 20.0, "withdrawal": 0.0, "total": 30.0}
    assert by_leg(CostModel.guide(), 60_000, "fills") == {"perp": 2, "spot": 2, "withdrawal": 0, "total": 4}


def test_one_exchange_costs_40() -> None:
    assert by_leg(CostModel.same_exchange(), 1.0, "round_trip_bps")["total"] == 40.0


# Domain facts B8 #3: $5 on $60,000 is 0.83 bps and no 8, and in money it is the $5.
def test_a_withdrawal_in_money() -> None:
    costs = CostModel(withdrawal_quote=5.0, notional_quote=60_000)
    assert by_leg(costs, 60_000, "round_trip_bps")["withdrawal"] == pytest.approx(0.8333, abs=5e-5)
    assert by_leg(costs, 60_000, "round_trip_quote")["withdrawal"] == pytest.approx(5.0, rel=1e-15)
    assert by_leg(costs, 60_000, "round_trip_bps")["total"] == pytest.approx(40.8333, abs=5e-5)


# B8 #2: basis 8.33 bps and 1 bp of funding are 9.33 gross, against 48.
def test_the_guides_trade_is_a_loss() -> None:
    basis = (60_050 - 60_000) / 60_000 * 10_000
    row = side_costs(CostModel(), basis_bps=basis, funding_8h=0.0001, interval_hours=8.0).row(0, named=True)
    gross = row["basis_earned_bps"] + row["funding_bps_per_payment"]
    assert gross == pytest.approx(9.3333, abs=5e-5)
    assert row["cost_bps"] - gross == pytest.approx(38.6667, abs=5e-5)
    assert (row["payments_alone"], row["hours_alone"]) == (48, pytest.approx(384.0))
    assert (row["payments_with_basis"], row["hours_with_basis"]) == (40, pytest.approx(39.6667 * 8, abs=4e-4))  # 39.67 payments


def test_the_negative_side_borrows() -> None:
    # -3 bp of funding each 4 h are 18 a day to whoever is long, less 2.4 for the coin: 15.6. 48 / 15.6 = 3.077 days = 18.46 payments
    costs = CostModel(borrow_bps_per_day=2.4)
    positive, negative = side_costs(costs, basis_bps=-20.0, funding_8h=-0.0006, interval_hours=4.0).iter_rows(named=True)
    assert (negative["funding_bps_per_payment"], negative["borrow_bps_per_payment"]) == (pytest.approx(3.0), pytest.approx(0.4))
    assert (negative["payments_alone"], negative["hours_alone"]) == (19, pytest.approx(48 / 15.6 * 24))
    assert (negative["missing_bps"], negative["payments_with_basis"]) == (28.0, 11)  # 28 / 2.6 = 10.77
    assert (positive["basis_earned_bps"], positive["missing_bps"], positive["paid_by_funding"]) == (-20.0, 68.0, False)
    assert (positive["payments_alone"], positive["hours_alone"]) == (None, None)


def test_borrowing_that_eats_the_funding_is_never_paid_back() -> None:
    row = side_costs(CostModel(borrow_bps_per_day=3.0), basis_bps=-1.0, funding_8h=-0.0001, interval_hours=8.0).row(1, named=True)
    assert (row["paid_by_funding"], row["hours_alone"]) == (False, None)


def test_a_basis_that_pays_all_needs_no_payment() -> None:
    row = side_costs(CostModel(), basis_bps=48.0).row(0, named=True)
    assert (row["missing_bps"], row["payments_with_basis"], row["hours_with_basis"]) == (0.0, 0, 0.0)
    assert (row["paid_by_funding"], row["payments_alone"], row["hours_alone"]) == (None, None, None)


def test_what_is_not_known_is_null() -> None:
    table = side_costs(CostModel(), funding_8h=0.0001)
    row = table.row(0, named=True)
    assert (row["hours_alone"], row["payments_alone"], row["missing_bps"], row["hours_with_basis"]) == (384.0, None, None, None)
    assert side_costs(CostModel())["cost_bps"].to_list() == [48.0, 48.0]


@given(
    st.floats(-200, 200),
    st.sampled_from([-0.002, -0.0004, 0.0, 0.0001, 0.0007]),
    st.sampled_from([1.0, 2.0, 4.0, 8.0]),
    st.floats(0, 5),
    st.sampled_from([1, -1]),
)
def test_payments_equal_counting_them(basis: float, funding_8h: float, interval: float, borrow: float, sign: int) -> None:
    costs = CostModel(borrow_bps_per_day=borrow)
    row = side_costs(costs, basis_bps=basis, funding_8h=funding_8h, interval_hours=interval).row(0 if sign > 0 else 1, named=True)
    each = sign * funding_8h * 10_000 * interval / 8 - (borrow * interval / 24 if sign < 0 else 0.0)
    for name, start in (("payments_alone", 0.0), ("payments_with_basis", sign * basis)):
        earned, count = start, 0
        while earned < 48.0 - 1e-7 and each > 0 and count < 2_000:
            earned, count = earned + each, count + 1
        if count < 2_000:
            assert row[name] == (count if earned >= 48.0 - 1e-7 else None)


@pytest.mark.parametrize("notional", [0, -1.0, math.nan, math.inf, True, "60000"])
def test_what_is_no_notional_is_refused(notional: Any) -> None:  # noqa: ANN401 - wrong on purpose
    with pytest.raises(ConfigError, match="notional_quote is no size") as caught:
        leg_costs(CostModel(), notional)
    assert caught.value.value is notional or caught.value.value == notional


def test_columns() -> None:
    assert leg_costs(CostModel(), 1.0).schema["round_trip_quote"] == pl.Float64
