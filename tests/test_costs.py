"""The cost model's figures, by hand."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointline.costs import CostModel
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
    numeric = {f.name for f in dataclasses.fields(CostModel)} - {"venue", "tier", "as_of", "source"}
    assert set(AMOUNTS) == numeric


@given(st.lists(st.floats(0, 100), min_size=5, max_size=5))
def test_total_is_twice_each_fill_and_one_withdrawal(figures: list[float]) -> None:
    perp_fee, perp_slip, spot_fee, spot_slip, withdrawal = figures
    costs = CostModel(
        perp_taker_bps=perp_fee,
        perp_slippage_bps=perp_slip,
        spot_taker_bps=spot_fee,
        spot_slippage_bps=spot_slip,
        withdrawal_bps=withdrawal,
    )
    assert costs.total_bps == pytest.approx(2 * perp_fee + 2 * perp_slip + 2 * spot_fee + 2 * spot_slip + withdrawal)
    assert costs.total_bps == costs.perp_round_trip_bps + costs.spot_round_trip_bps + costs.withdrawal_bps
