"""The cost model's figures, by hand."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointline.costs import LEAST_FEE_BPS, MOST_FEE_BPS, CostModel
from pointline.errors import ConfigError


def test_defaults_are_the_guides() -> None:
    costs = CostModel()
    assert costs.perp_fill_bps == 7.0  # 5 + 2
    assert costs.spot_fill_bps == 13.0  # 10 + 3
    assert costs.perp_round_trip_bps == 14.0
    assert costs.spot_round_trip_bps == 26.0
    assert costs.four_fill_bps == 40.0
    assert costs.total_bps == 48.0


def test_same_exchange_has_no_withdrawal() -> None:
    costs = CostModel.same_exchange()
    assert (costs.withdrawal_bps, costs.total_bps) == (0.0, 40.0)
    assert CostModel.same_exchange(perp_taker_bps=2.0, spot_slippage_bps=0.0).total_bps == 28.0  # 2(2+2) + 2(10+0)


def test_withdrawal_in_money_is_divided_by_the_notional() -> None:
    costs = CostModel(withdrawal_quote=5.0, notional_quote=60_000)
    assert costs.withdrawal_bps == pytest.approx(0.8333, abs=5e-5)  # 5 / 60,000 = 0.0000833
    assert costs.total_bps == pytest.approx(40.8333, abs=5e-5)
    assert dataclasses.replace(costs, perp_taker_bps=4.0).total_bps == pytest.approx(38.8333, abs=5e-5)


@pytest.mark.parametrize(
    "arguments",
    [
        {"withdrawal_quote": 5.0},
        {"notional_quote": 60_000.0},
        {"withdrawal_quote": 5.0, "notional_quote": 0.0},
        {"withdrawal_quote": 5.0, "notional_quote": 60_000.0, "withdrawal_bps": 3.0},
    ],
)
def test_half_a_withdrawal_or_two_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="withdrawal"):
        CostModel(**arguments)  # type: ignore[arg-type]


AMOUNTS = [f.name for f in dataclasses.fields(CostModel) if f.name.endswith(("_bps", "_per_day", "_quote"))]


@pytest.mark.parametrize("name", AMOUNTS)
@pytest.mark.parametrize("value", [-0.5, math.nan, math.inf, "5", True])
def test_what_is_no_cost_is_refused(name: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        CostModel(**{name: value})  # type: ignore[arg-type]
    assert name in str(caught.value)
    assert caught.value.value is value


def test_all_amounts_are_checked() -> None:
    numeric = {f.name for f in dataclasses.fields(CostModel)} - {"venue", "tier", "as_of", "source", "slippage_source"}
    assert set(AMOUNTS) == numeric


FEES = st.just(0.0) | st.floats(LEAST_FEE_BPS, MOST_FEE_BPS)


@given(FEES, FEES, st.lists(st.floats(0, 100), min_size=3, max_size=3))
def test_total_is_twice_each_fill_and_one_withdrawal(perp_fee: float, spot_fee: float, figures: list[float]) -> None:
    perp_slip, spot_slip, withdrawal = figures
    costs = CostModel(
        perp_taker_bps=perp_fee,
        perp_slippage_bps=perp_slip,
        spot_taker_bps=spot_fee,
        spot_slippage_bps=spot_slip,
        withdrawal_bps=withdrawal,
    )
    assert costs.total_bps == pytest.approx(2 * perp_fee + 2 * perp_slip + 2 * spot_fee + 2 * spot_slip + withdrawal)
    assert costs.total_bps == costs.perp_round_trip_bps + costs.spot_round_trip_bps + costs.withdrawal_bps


# What users type who think in fractions or in percent, and what they mean.
@pytest.mark.parametrize(
    ("fee", "meaning"),
    [
        (0.0005, "0.0005 as a fraction is 5 bps"),
        (0.001, "0.001 as a fraction is 10 bps"),
        (0.05, "0.05 % is 5 bps"),
        (0.1, "0.1 % is 10 bps"),
        (0.01, "0.01 as a fraction is 100 bps, 0.01 % is 1 bps"),
        (500.0, "500 bps are 5 %"),
        (1e-9, None),
    ],
)
@pytest.mark.parametrize("name", ["perp_taker_bps", "spot_taker_bps"])
def test_a_fee_in_another_unit_is_refused_with_what_it_may_mean(name: str, fee: float, meaning: str | None) -> None:
    with pytest.raises(ConfigError, match=f"{name} is too") as caught:
        CostModel(**{name: fee})  # type: ignore[arg-type]
    assert caught.value.expected == "basis points: 0, or 0.5 to 200"
    assert caught.value.hint is None if meaning is None else meaning in str(caught.value.hint)


@pytest.mark.parametrize("fee", [0.0, 0.5, 1.53, 200.0])
def test_fees_that_venues_have_are_accepted(fee: float) -> None:
    assert CostModel(perp_taker_bps=fee).perp_fill_bps == fee + 2.0


@pytest.mark.parametrize("name", ["perp_slippage_bps", "spot_slippage_bps", "withdrawal_bps", "borrow_bps_per_day"])
def test_small_slippage_is_real_and_the_whole_notional_is_not(name: str) -> None:
    assert getattr(CostModel(**{name: 0.008}), name) == 0.008  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=f"{name} takes the whole notional"):
        CostModel(**{name: 10_000.0})  # type: ignore[arg-type]


def test_a_withdrawal_in_money_larger_than_the_position_is_refused() -> None:
    with pytest.raises(ConfigError, match="withdrawal_bps takes the whole notional"):
        CostModel(withdrawal_quote=60.0, notional_quote=50.0)


def test_costs_have_the_name_of_their_figures() -> None:
    assert CostModel().preset == CostModel.guide().preset == "guide"
    assert CostModel.same_exchange().preset == dataclasses.replace(CostModel(), withdrawal_bps=0.0).preset == "same-exchange"
    assert dataclasses.replace(CostModel.guide(), spot_slippage_bps=2.9).preset == "own figures"
    assert CostModel(venue="x", tier="VIP 1").preset == "venue:VIP 1"
    assert CostModel(borrow_bps_per_day=1.0).text == "48 bps (own figures)"
    assert CostModel(borrow_bps_per_day=1.0, as_of="2024-05-01", source="broker").text == "48 bps (own figures of 2024-05-01)"
