"""Every feature on six bars, worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import polars as pl
import pytest

from pointline.costs import CostModel
from pointline.features import FEATURES, FeatureParams, PairParams, compute_features
from pointline.state.attach import STATE_COLUMNS
from pointline.venues.funding import FundingRule

START = 1_714_521_600_000_000  # 2024-05-01 00:00 UTC
EDGES = [START + second * 1_000_000 for second in (0, 10, 15, 25, 30, 60, 61)]
NO = None

BARS: dict[str, list[Any]] = {
    "symbol_id": [7] * 6,
    "bar_id": list(range(6)),
    "bucket_start": EDGES[:-1],
    "bucket_end": EDGES[1:],
    "complete": [True] * 5 + [False],
    "perp_open": [101.0, 101.0, 202.0, 204.0, NO, 99.0],
    "perp_high": [102.0, 102.0, 205.0, 204.0, NO, 101.0],
    "perp_low": [100.0, 100.0, 201.0, 200.0, NO, 99.0],
    "perp_close": [101.0, 102.0, 204.0, 200.0, 99.0, 100.5],
    "perp_vwap": [100.5, 101.0, 203.0, 202.0, NO, 100.0],
    "perp_volume": [10.0, 10.0, 10.0, 10.0, 0.0, 10.0],
    "perp_quote_volume": [1005.0, 1010.0, 2030.0, 2020.0, 0.0, 1000.0],
    "perp_trade_count": [3, 4, 5, 6, 0, 7],
    "perp_buy_volume": [6.0, 10.0, 0.0, 5.0, 0.0, 8.0],
    "perp_sell_volume": [4.0, 0.0, 10.0, 5.0, 0.0, 2.0],
    "perp_price_std": [1.0, 0.5, 2.0, 1.5, NO, 0.3],
    "perp_realized_vol": [0.01, 0.02, 0.03, 0.01, 0.0, 0.02],
    "perp_age_us": [1_000_000] * 6,
    "spot_open": [100.0, 100.0, 200.0, 200.0, 100.0, NO],
    "spot_high": [101.0, 100.0, 202.0, 201.0, 100.0, NO],
    "spot_low": [99.0, 100.0, 200.0, 199.0, 100.0, NO],
    "spot_close": [100.0, 100.0, 200.0, 200.0, 100.0, 100.0],
    "spot_vwap": [100.0, 100.0, 200.0, 200.0, 100.0, NO],
    "spot_volume": [2.0, 1.0, 2.0, 4.0, 1.0, 0.0],
    "spot_quote_volume": [200.0, 100.0, 400.0, 800.0, 100.0, 0.0],
    "spot_trade_count": [2, 1, 2, 3, 1, 0],
    "spot_buy_volume": [1.0, 0.0, 2.0, 1.0, 1.0, 0.0],
    "spot_sell_volume": [1.0, 1.0, 0.0, 3.0, 0.0, 0.0],
    "spot_price_std": [0.5, 0.0, 1.0, 0.5, NO, NO],
    "spot_realized_vol": [0.02, 0.01, 0.0, 0.01, 0.0, 0.0],
    "spot_age_us": [1_000_000] * 6,
    "mark_close": [100.08, NO, 200.2, 199.9, 100.0, 100.0],
    "index_close": [100.0, 100.0, 200.0, 200.0, 0.0, NO],
    "funding_close": [0.0001, 0.0001, 0.0002, -0.0001, 0.0004, NO],
    "funding_open": [NO, 0.0001, 0.0001, 0.0002, 0.0004, NO],
    "funding_age_us": [5, 6, 7, 8, 9, NO],
    "funding_source": ["estimate"] * 4 + ["settled", NO],
    "funding_settled": [NO, NO, 0.0003, 0.0003, 0.0004, 0.0004],
    "funding_interval_hours": [8.0, 8.0, 8.0, 4.0, 4.0, 4.0],
    "seconds_to_funding": [90.0, 85.0, 75.0, 70.0, 40.0, 39.0],
    "predicted_funding_close": [NO, 0.00015, 0.0001, -0.0001, NO, 0.1],
    "oi_close": [1000.0, 1010.0, 1000.0, 0.0, 500.0, 500.0],
    "oi_open": [1000.0, 1000.0, 1010.0, 1000.0, 0.0, NO],
}


def rule(kind: Any, clamp: float, cap: float, start: int, end: int) -> FundingRule:  # noqa: ANN401
    return FundingRule(
        kind=kind, interest_8h=0.0001, clamp=clamp, cap=cap, interval_hours=8.0, valid_from_us=start, valid_until_us=end, source="test"
    )


# The second rule begins at the very end of the fifth bar, so it is the fifth bar's.
RULES = (rule("premium_clamp", 0.0005, 0.003, START, EDGES[5]), rule("deribit", 0.00025, 0.005, EDGES[5], EDGES[6] + 1))
PARAMS = FeatureParams(smooth_bars=2, z_bars=3, costs=CostModel(borrow_bps_per_day=3.0), funding_rules=RULES)

DERIVED: dict[str, list[Any]] = {
    # (6 - 4) / 10, 10 / 10, -10 / 10, 0 / 10, no trade, 6 / 10
    "perp_flow_imbalance": [0.2, 1.0, -1.0, 0.0, NO, 0.6],
    "spot_flow_imbalance": [0.0, -1.0, 1.0, -0.5, 1.0, NO],
    # 2/101, 2/102, 4/204, 4/200, no trade, 2/100.5
    "perp_hl_spread": [0.0198019802, 0.0196078431, 0.0196078431, 0.02, NO, 0.0199004975],
    "spot_hl_spread": [0.02, 0.0, 0.01, 0.01, 0.0, NO],
    # 102/101 - 1, 204/102 - 1, 200/204 - 1, 99/200 - 1, 100.5/99 - 1
    "perp_ret_1bar": [NO, 0.0099009901, 1.0, -0.0196078431, -0.505, 0.0151515152],
    "spot_ret_1bar": [NO, 0.0, 1.0, 0.0, -0.5, 0.0],
    "perp_ret_5bar": [NO, NO, NO, NO, NO, -0.0049504950],  # 100.5/101 - 1
    "spot_ret_5bar": [NO, NO, NO, NO, NO, 0.0],
    # 0.5/100.5, 1/101, 1/203, -2/202, no vwap, 0.5/100
    "perp_vwap_reversion": [0.0049751244, 0.0099009901, 0.0049261084, -0.0099009901, NO, 0.005],
    "spot_vwap_reversion": [0.0, 0.0, 0.0, 0.0, 0.0, NO],
    # 1/100, 2/100, 4/200, 0/200, -1/100, 0.5/100, times 10^4
    "basis_bps": [100.0, 200.0, 200.0, 0.0, -100.0, 50.0],
    # 0.5/100, 1/100, 3/200, 2/200; then one side did not trade
    "vwap_basis_bps": [50.0, 100.0, 150.0, 100.0, NO, NO],
    # ln 1.01, ln 1.02, ln 1.02, ln 1, ln 0.99, ln 1.005
    "log_basis_bps": [99.5033085, 198.0262730, 198.0262730, 0.0, -100.5033585, 49.8754151],
    "basis_momentum": [NO, 100.0, 0.0, -200.0, -100.0, 150.0],
    "basis_smooth": [NO, 150.0, 200.0, 100.0, -50.0, -25.0],  # means of two
    "basis_slope": [NO, NO, 100.0, -200.0, -300.0, 50.0],  # two bars back
    # 100 200 200: mean 166.67, std sqrt(6666.67/2) = 57.735, 33.33/57.735; 200 200 0: -133.33/sqrt(26666.67/2);
    # 200 0 -100: -133.33/sqrt(46666.67/2); 0 -100 50: 66.67/sqrt(11666.67/2)
    "basis_z": [NO, NO, 0.5773502692, -1.1547005384, -0.8728715609, 0.8728715609],
    "momentum_divergence": [NO, 0.0099009901, 0.0, -0.0196078431, -0.005, 0.0151515152],
    "momentum_divergence_fresh": [NO, 0.0099009901, 0.0, -0.0196078431, -0.005, 0.0151515152],
    "volume_ratio": [5.0, 10.0, 5.0, 2.5, 0.0, NO],
    "flow_divergence": [0.2, 2.0, -2.0, 0.5, NO, NO],
    "volatility_ratio": [2.0, NO, 2.0, 3.0, NO, NO],  # the second divides by zero
    "realized_vol_ratio": [0.5, 2.0, NO, 1.0, NO, NO],
    "spread_ratio": [0.9900990099, NO, 1.9607843137, 2.0, NO, NO],
    "flow_basis_interaction": [20.0, 200.0, -200.0, 0.0, NO, 30.0],
    "bar_duration_us": [10_000_000, 5_000_000, 10_000_000, 5_000_000, 30_000_000, 1_000_000],
    # times 8/8, then 8/4
    "funding_8h": [0.0001, 0.0001, 0.0002, -0.0002, 0.0008, NO],
    # times 8760/8 = 1095, then 8760/4 = 2190
    "funding_carry_annual": [0.1095, 0.1095, 0.219, -0.219, 0.876, NO],
    "funding_step": [NO, 0.0, 0.0001, -0.0003, 0.0, NO],
    "funding_surprise": [NO, -0.00005, 0.0001, 0.0, NO, NO],
    "oi_pct_change": [0.0, 0.01, -0.0099009901, -1.0, NO, NO],
    "funding_oi_pressure": [NO, 0.0, -0.00000099009901, 0.0003, NO, NO],
    "flow_funding_interaction": [0.00002, 0.0001, -0.0002, 0.0, NO, NO],
    # 0.0001 - 0.01/3, 0.0001 - 0.02/3, 0.0002 - 0.02/3, -0.0002 - 0, 0.0008 + 0.01/3
    "funding_basis_divergence": [-0.0032333333, -0.0065666667, -0.0064666667, -0.0002, 0.0041333333, NO],
    # premium 8 bp: 8 - 5; no mark, basis 200 bp: 195, capped at 30; 10 - 5; -5: -5 + 5 (the interest is 6 away, the clamp 5);
    # the other rule: basis -100: 2.5 - 100, capped at -50; basis 50: 50 - 2.5
    "funding_fair": [0.0003, 0.003, 0.0005, 0.0, -0.005, 0.00475],
    "funding_fair_divergence": [-0.0002, -0.0029, -0.0003, -0.0002, 0.0058, NO],
    "cash_carry_opportunity": [True, True, True, False, True, True],  # above 48
    "cash_carry_profit_bps": [52.0, 152.0, 152.0, -48.0, 52.0, 2.0],
    # 100+1-40, 200+1-40, 200+2-40, 0-2-40, 100-8-40 and 8 of 24 hours at 3 bps borrowed
    "cash_carry_net_bps": [61.0, 161.0, 162.0, -42.0, 51.0, NO],
    "cash_carry_breakeven_hours": [0.0, 0.0, 0.0, NO, 0.0, 0.0],
}


def bars(**changes: list[Any]) -> pl.DataFrame:
    return pl.DataFrame({**BARS, **changes}, schema_overrides={name: dtype for name, dtype in STATE_COLUMNS.items() if name in BARS})


def same(found: object, expected: object) -> bool:
    if isinstance(found, float) and isinstance(expected, float):
        return math.isclose(found, expected, rel_tol=2e-9, abs_tol=6e-11)
    return found == expected


@pytest.fixture(scope="module")
def features() -> pl.DataFrame:
    return compute_features(bars(), PARAMS)


@pytest.mark.parametrize("name", list(FEATURES))
def test_feature_equals_the_hand_made_figures(features: pl.DataFrame, name: str) -> None:
    expected = DERIVED.get(name, BARS.get(name))
    assert expected is not None
    found = features[name].to_list()
    assert all(same(f, e) for f, e in zip(found, expected, strict=True)), (found, expected)


def test_what_is_derived_is_not_taken_from_the_bars() -> None:
    assert not set(DERIVED) & set(BARS)
    assert set(DERIVED) < set(FEATURES)


def test_the_frame_is_the_bars_the_features_and_where_they_came_from(features: pl.DataFrame) -> None:
    assert features.height == 6
    assert set(features.columns) == {*BARS, *FEATURES, "funding_fair_source"}
    assert features["funding_fair_source"].to_list() == ["mark_index", "basis", "mark_index", "mark_index", "basis", "basis"]
    assert features["funding_source"].to_list() == BARS["funding_source"]
    assert features.columns[:5] == ["symbol_id", "bar_id", "bucket_start", "bucket_end", "complete"]
    assert features.schema["cash_carry_opportunity"] == pl.Boolean
    assert features.schema["bar_duration_us"] == pl.Int64


def test_default_windows_are_five_and_a_hundred_bars() -> None:
    features = compute_features(bars())
    # Mean of 100, 200, 200, 0, -100 and of 200, 200, 0, -100, 50; the last basis against the first.
    assert features["basis_smooth"].to_list() == [NO, NO, NO, NO, 80.0, 70.0]
    assert features["basis_slope"].to_list() == [NO, NO, NO, NO, NO, -50.0]
    assert features["basis_z"].null_count() == 6
    assert features["funding_fair"].null_count() == 6  # no rule was given
    assert features["funding_fair_source"].null_count() == 6


def test_published_examples() -> None:
    close = {"perp_close": [60_050.0] * 6, "spot_close": [60_000.0] * 6}
    features = compute_features(bars(**close, funding_close=[0.0001] * 6, funding_interval_hours=[8.0] * 6))
    # 50 / 60,000 is 8.33 bps, not 50; a rate of 0.01 % is 1 bp per 8 h and 10.95 % a year; the trade loses 40 - 8.33 - 1.
    assert features["basis_bps"][0] == pytest.approx(8.3333333)
    assert features["funding_8h"][0] == pytest.approx(1e-4)
    assert features["funding_carry_annual"][0] == pytest.approx(0.1095)
    assert features["cash_carry_opportunity"].to_list() == [False] * 6
    assert features["cash_carry_profit_bps"][0] == pytest.approx(-39.6666667)
    assert features["cash_carry_net_bps"][0] == pytest.approx(-30.6666667)
    assert features["cash_carry_breakeven_hours"][0] == pytest.approx((40 - 8.3333333) * 8)
    # The guide's own formula: 1 - 60/3 = -19 bps per 8 h.
    sixty = compute_features(
        bars(perp_close=[60_360.0] * 6, spot_close=[60_000.0] * 6, funding_close=[0.0001] * 6, funding_interval_hours=[8.0] * 6)
    )
    assert sixty["funding_basis_divergence"][0] * 1e4 == pytest.approx(-19.0)


def test_breakeven_of_the_negative_side_pays_for_the_borrowed_coin() -> None:
    params = FeatureParams(costs=CostModel(borrow_bps_per_day=3.0))
    negative = {"perp_close": [99.8] * 6, "spot_close": [100.0] * 6, "funding_interval_hours": [8.0] * 6}
    # 20 bps missing; 2 bps per 8 h received is 0.25 an hour, 3 a day borrowed 0.125: 160 hours.
    features = compute_features(bars(**negative, funding_close=[-0.0002] * 6), params)
    assert features["cash_carry_breakeven_hours"][0] == pytest.approx(160.0)
    # 1 bp per 8 h is 0.125 an hour: all goes to the lender.
    assert (
        compute_features(bars(**negative, funding_close=[-0.0001] * 6), FeatureParams(costs=CostModel(borrow_bps_per_day=3.1)))[
            "cash_carry_breakeven_hours"
        ].to_list()
        == [NO] * 6
    )


def test_stale_prices_give_no_basis() -> None:
    limit = 60_000_000
    features = compute_features(
        bars(
            spot_age_us=[limit, limit + 1, NO, 1, 1, 1],
            perp_age_us=[1, 1, 1, limit, limit + 1, NO],
        )
    )
    assert features["basis_bps"].to_list() == [100.0, NO, NO, 0.0, NO, NO]
    assert [value is None for value in features["log_basis_bps"]] == [False, True, True, False, True, True]
    for name in ("basis_momentum", "flow_basis_interaction", "funding_basis_divergence", "cash_carry_profit_bps", "cash_carry_opportunity"):
        assert features[name][1] is None
    # The returns stay what they are; only the fresh one is held back, and only by the spot's age.
    assert features["momentum_divergence"].null_count() == 1
    assert [value is None for value in features["momentum_divergence_fresh"]] == [True, True, True, False, False, False]


def test_a_thousandfold_contract_is_compared_in_its_own_unit() -> None:
    thousandth = {
        name: [None if v is None else v / 1000 for v in BARS[name]]
        for name in ("spot_open", "spot_high", "spot_low", "spot_close", "spot_vwap", "spot_price_std")
    }
    thousandfold = {name: [v * 1000 for v in BARS[name]] for name in ("spot_volume", "spot_buy_volume", "spot_sell_volume")}
    features = compute_features(bars(**thousandth, **thousandfold), PairParams.of(PARAMS, price_factor=1000.0))
    for name, expected in DERIVED.items():
        found = features[name].to_list()
        assert all(
            (f is None) == (e is None) and (f is None or math.isclose(f, e, rel_tol=1e-6, abs_tol=1e-8))
            for f, e in zip(found, expected, strict=True)
        ), name
    assert features["spot_close"][0] == 0.1


def test_unlike_quotes_are_named() -> None:
    features = compute_features(bars(), PairParams.of(PARAMS, cross_quote=True))
    assert features["cross_quote_basis_bps"].to_list() == DERIVED["basis_bps"]
    assert {"cross_quote_vwap_basis_bps", "cross_quote_log_basis_bps"} < set(features.columns)
    assert not {"basis_bps", "vwap_basis_bps", "log_basis_bps"} & set(features.columns)
    assert features["basis_momentum"].to_list() == DERIVED["basis_momentum"]
    assert features["funding_fair_source"][1] == "cross_quote_basis"
    for name in (*(name for name in FEATURES if name.startswith("cash_carry")), "funding_basis_divergence"):
        assert features[name].null_count() == features.height, name
    again = compute_features(features, PairParams.of(PARAMS, cross_quote=True))
    assert again.equals(features)


def test_rule_per_interval_uses_the_bars_own_interval() -> None:
    scaled = FundingRule(
        kind="premium_clamp",
        interest_8h=0.0001,
        clamp=0.0005,
        cap=None,
        interval_hours=8.0,
        valid_from_us=START,
        valid_until_us=EDGES[6] + 1,
        source="test",
        per_interval=True,
    )
    params = FeatureParams(funding_rules=[scaled])  # type: ignore[arg-type]
    features = compute_features(bars(mark_close=[100.08] * 6, index_close=[100.0] * 6), params)
    # 8 bp - 5 bp is paid per 8 hours, then per 4 hours: 3 and 6 bp per 8 hours.
    assert features["funding_fair"].to_list() == pytest.approx([0.0003, 0.0003, 0.0003, 0.0006, 0.0006, 0.0006])
    unknown = compute_features(bars(mark_close=[100.08] * 6, index_close=[100.0] * 6, funding_interval_hours=[NO] * 6), params)
    assert unknown["funding_fair"].to_list() == pytest.approx([0.0003] * 6)  # the rule's own 8 hours
