"""Names, order, registration and the errors of the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

from pointline.errors import ConfigError
from pointline.features import BUILT_IN, FEATURES, Feature, FeatureParams, PairParams, compute_features, feature_table, register
from pointline.features import registry as registry_module
from pointline.features.feature import KEY_COLUMNS, VENUE_COLUMNS
from pointline.state.attach import STATE_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator

VENUE_TEXT = """
open high low close vwap volume quote_volume trade_count buy_volume sell_volume flow_imbalance price_std realized_vol hl_spread age_us
ret_1bar ret_5bar vwap_reversion
"""
PAIR_TEXT = """
basis_bps vwap_basis_bps log_basis_bps basis_momentum basis_smooth basis_slope basis_z
funding_close funding_8h funding_settled funding_age_us seconds_to_funding funding_step funding_carry_annual
predicted_funding_close funding_surprise oi_close oi_pct_change funding_oi_pressure flow_funding_interaction
funding_basis_divergence funding_fair funding_fair_divergence
cash_carry_opportunity cash_carry_profit_bps cash_carry_net_bps cash_carry_breakeven_hours
momentum_divergence momentum_divergence_fresh volume_ratio flow_divergence volatility_ratio realized_vol_ratio spread_ratio
flow_basis_interaction bar_duration_us
"""
PUBLISHED = {
    "funding_basis_divergence": 0.09,
    "momentum_divergence": 0.08,
    "flow_basis_interaction": 0.07,
    "basis_bps": 0.06,
    "flow_divergence": 0.06,
    "volume_ratio": 0.04,
    "volatility_ratio": 0.03,
}


@pytest.fixture
def restored() -> Iterator[None]:
    before = dict(FEATURES)
    yield
    registry_module._BY_NAME.clear()
    registry_module._BY_NAME.update(before)


def empty_bars() -> pl.DataFrame:
    keys = {"symbol_id": pl.Int64(), "bar_id": pl.Int64(), "bucket_start": pl.Int64(), "bucket_end": pl.Int64(), "complete": pl.Boolean()}
    venues = {f"{venue}_{name}": dtype for venue in ("perp", "spot") for name, dtype in VENUE_COLUMNS.items()}
    return pl.DataFrame(schema={**keys, **venues, **STATE_COLUMNS})


def feature(name: str, *inputs: str) -> Feature:
    return Feature(name=name, formula=" + ".join(inputs), unit="1", inputs=inputs, build=lambda _: pl.sum_horizontal(*inputs))


def test_names_are_the_contract() -> None:
    names = [f"{venue}_{name}" for venue in ("perp", "spot") for name in VENUE_TEXT.split()] + PAIR_TEXT.split()
    assert len(names) == len(set(names)) == 72
    assert set(FEATURES) == set(names)
    assert set(FEATURES) == BUILT_IN
    assert {f.name: f.published_ic for f in FEATURES.values() if f.published_ic is not None} == PUBLISHED


def test_inputs_come_first() -> None:
    held = {*KEY_COLUMNS, *STATE_COLUMNS, *(f"{venue}_{name}" for venue in ("perp", "spot") for name in VENUE_COLUMNS)}
    seen: set[str] = set()
    for name, one in FEATURES.items():
        assert one.name == name
        assert all(i in seen or i in held for i in one.inputs), name
        seen.add(name)


def test_an_expression_reads_exactly_its_inputs() -> None:
    rule_free = FeatureParams()
    for one in FEATURES.values():
        read = set(one.expression(rule_free).meta.root_names())
        if one.name != "funding_fair":  # without a rule it reads nothing
            assert read == set(one.inputs), one.name


def test_table_tells_each_feature() -> None:
    table = feature_table()
    assert table.columns == ["name", "formula", "unit", "inputs", "window", "source", "published_ic"]
    assert table["name"].to_list() == list(FEATURES)
    assert table.null_count().select(pl.exclude("published_ic")).row(0) == (0,) * 6
    windows = dict(table.select("name", "window").iter_rows())
    assert windows["basis_z"] == 100
    assert windows["perp_ret_5bar"] == 6
    assert windows["basis_smooth"] == 5
    assert windows["basis_slope"] == 6
    assert {name for name, window in windows.items() if window == 1} == set(FEATURES) - {
        "basis_z", "basis_smooth", "basis_slope", "basis_momentum", "momentum_divergence", "momentum_divergence_fresh",
        "perp_ret_1bar", "perp_ret_5bar", "spot_ret_1bar", "spot_ret_5bar",
    }  # fmt: skip


def test_no_bars_give_no_features_of_the_right_type() -> None:
    features = compute_features(empty_bars())
    assert features.height == 0
    assert all(features.schema[name] == one.dtype for name, one in FEATURES.items())


@pytest.mark.usefixtures("restored")
def test_a_registered_feature_is_computed_and_can_be_read_by_the_next() -> None:
    register(feature("mine", "basis_bps", "oi_close"))
    register(feature("mine_too", "mine", "perp_volume"))
    assert list(FEATURES)[-2:] == ["mine", "mine_too"]
    assert {"mine", "mine_too"} < set(compute_features(empty_bars()).columns)
    assert "mine" in feature_table()["name"]


@pytest.mark.usefixtures("restored")
def test_only_a_registered_feature_can_be_replaced() -> None:
    register(feature("mine", "basis_bps"))
    register(feature("later", "mine"))
    with pytest.raises(ConfigError, match="taken"):
        register(feature("mine", "oi_close"))
    assert register(feature("mine", "oi_close"), replace=True) is FEATURES["mine"]
    with pytest.raises(ConfigError, match="is neither a column of the bars nor a feature"):
        register(feature("mine", "later"), replace=True)
    with pytest.raises(ConfigError, match="taken"):
        register(feature("basis_bps", "oi_close"), replace=True)


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("name", ["basis_bps", "perp_close", "bucket_end", "mark_close", "funding_fair_source", "cross_quote_thing"])
def test_a_taken_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        register(feature(name, "perp_volume"))
    assert caught.value.value == name
    with pytest.raises(ConfigError):
        compute_features(empty_bars(), extra=[feature(name, "perp_volume")])


@pytest.mark.usefixtures("restored")
def test_an_unknown_input_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="basis_bps") as caught:
        register(feature("mine", "basis_bp", "perp_volume"))
    assert caught.value.value == ["basis_bp"]
    with pytest.raises(ConfigError):
        register(feature("circle", "circle"))
    assert "mine" not in FEATURES


def test_extra_features_serve_one_call_and_read_columns_of_these_bars() -> None:
    bars = empty_bars().with_columns(pl.lit(None, dtype=pl.Float64).alias("sentiment"))
    extra = [feature("felt", "sentiment", "basis_z"), feature("felt_twice", "felt", "felt")]
    features = compute_features(bars, extra=extra)
    assert {"sentiment", "felt", "felt_twice"} < set(features.columns)
    assert "felt" not in FEATURES
    with pytest.raises(ConfigError, match="is neither a column of the bars nor a feature"):
        compute_features(empty_bars(), extra=extra)


def test_infinity_and_not_a_number_become_null() -> None:
    wild = Feature(name="wild", formula="1 / 0", unit="1", inputs=("bar_id",), build=lambda _: 1.0 / pl.col("bar_id"))
    lost = Feature(name="lost", formula="0 / 0", unit="1", inputs=("bar_id",), build=lambda _: pl.col("bar_id") / pl.col("bar_id"))
    row = pl.DataFrame([{"bar_id": 0, "bucket_start": 0, "bucket_end": 1, "perp_price_std": float("nan")}])
    bars = pl.concat([empty_bars(), row], how="diagonal")
    features = compute_features(bars, extra=[wild, lost])
    assert features.select("wild", "lost", "perp_price_std").row(0) == (None, None, None)


def test_mistakes_of_the_bars_are_named() -> None:
    with pytest.raises(ConfigError, match="lack 2 column") as caught:
        compute_features(empty_bars().drop("mark_close", "spot_vwap"))
    assert caught.value.value == ["mark_close", "spot_vwap"]
    assert "attach_state" in str(caught.value)
    rows = pl.DataFrame({"symbol_id": [1, 1], "bucket_start": [10, 0], "bucket_end": [20, 10]})
    with pytest.raises(ConfigError, match="not in order"):
        compute_features(pl.concat([empty_bars(), rows], how="diagonal"))
    rows = pl.DataFrame({"symbol_id": [1, 2], "bucket_start": [0, 10], "bucket_end": [10, 20]})
    with pytest.raises(ConfigError, match="several spines"):
        compute_features(pl.concat([empty_bars(), rows], how="diagonal"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_spot_age_us", 0),
        ("max_perp_age_us", -1),
        ("smooth_bars", 0),
        ("z_bars", 1),
        ("costs", 40),
        ("costs", None),
        ("holding_hours", float("nan")),
        ("holding_hours", -8.0),
        ("holding_hours", "8"),
    ],
)
def test_parameters_out_of_range_are_refused(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=name):
        FeatureParams(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), "1000"])
def test_a_price_factor_is_above_zero(value: object) -> None:
    with pytest.raises(ConfigError, match="price_factor"):
        PairParams(price_factor=value)  # type: ignore[arg-type]


def test_what_the_pair_settles_is_no_option_of_the_user() -> None:
    with pytest.raises(TypeError, match="price_factor"):
        FeatureParams(price_factor=1000.0)  # type: ignore[call-arg]
    settled = PairParams.of(FeatureParams(z_bars=7), price_factor=1000.0, cross_quote=True)
    assert (settled.z_bars, settled.price_factor, settled.cross_quote) == (7, 1000.0, True)
    assert PairParams.of(settled) is settled


@pytest.mark.parametrize("params", [{}, 40, None, "default"])
def test_parameters_of_another_type_are_refused(params: object) -> None:
    with pytest.raises(ConfigError, match="params has the wrong type"):
        compute_features(empty_bars(), params)  # type: ignore[arg-type]
