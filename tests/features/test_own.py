"""Features of one's own: what they say they depend on is checked on real bars, and refused by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.archives import Print, lake_of
from tests.features.test_oracle import START, market

import pointline
from pointline import clock
from pointline.bars import trade_events as bars_module
from pointline.errors import ConfigError
from pointline.features import FEATURES, Feature, FeatureParams, compute_features, register, unregister
from pointline.features import registry as registry_module
from pointline.features.own import CHECKED_BARS
from pointline.features.rolling import rolling_mean_expr, rolling_z_expr
from pointline.research.spines import TradeBarConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pointline.lake.store import Lake

BARS = market(400)
CLOSE = pl.col("perp_close")


@pytest.fixture
def restored() -> Iterator[None]:
    before = dict(FEATURES)
    yield
    registry_module._BY_NAME.clear()
    registry_module._BY_NAME.update(before)


def own(build: Callable[[FeatureParams], Any], *inputs: str, window: Any = 1, name: str = "mine", **options: Any) -> Feature:  # noqa: ANN401
    return Feature(name=name, formula="mine", unit="1", inputs=inputs or ("perp_close",), build=build, window=window, **options)


HONEST = {
    "lag": own(lambda _: CLOSE / CLOSE.shift(7) - 1, window=8),
    "mean": own(lambda _: rolling_mean_expr("perp_close", 20), window=20),
    "polars mean": own(lambda _: CLOSE.rolling_mean(20), window=20),
    "polars deviation": own(lambda _: CLOSE.log().diff().rolling_std(20), window=21),
    "few samples": own(lambda _: CLOSE.rolling_max(20, min_samples=1), window=20),
    "forgetful": own(lambda _: pl.col("basis_bps").ewm_mean(half_life=3), "basis_bps", window=150),
    "input's window": own(lambda _: pl.col("basis_z").shift(1), "basis_z", window=101),
    "params": own(lambda p: rolling_z_expr("basis_bps", p.z_bars), "basis_bps", window=lambda p: p.z_bars),
    "not said input": own(lambda _: CLOSE - pl.col("spot_close"), "perp_close"),
    "flag": own(lambda _: CLOSE.shift(1) < CLOSE, window=2, dtype=pl.Boolean()),
    "count": own(lambda _: pl.col("perp_trade_count") - 1, "perp_trade_count", dtype=pl.Int64()),
    "text": own(lambda _: pl.col("funding_source"), "funding_source", dtype=pl.String()),
    "nothing": own(lambda _: pl.lit(None), dtype=pl.Float64()),
    "longer than the bars": own(lambda _: CLOSE.rolling_mean(1_000), window=1_000),
}

AHEAD = {
    "next bar": own(lambda _: CLOSE.shift(-1)),
    "next bar, filled": own(lambda _: CLOSE.shift(-1).fill_null(0)),
    "sign of the next move": own(lambda _: CLOSE.diff().shift(-1).sign().fill_null(0), window=2),
    "z of all": own(lambda _: (CLOSE - CLOSE.mean()) / CLOSE.std()),
    "z of all, long window": own(lambda _: (CLOSE - CLOSE.mean()) / CLOSE.std(), window=100),
    "rank": own(lambda _: CLOSE.rank()),
    "from behind": own(lambda _: CLOSE.reverse()),
    "centred": own(lambda _: CLOSE.rolling_mean(9, center=True), window=9),
    "hidden in an input": own(lambda _: pl.col("basis_bps") - pl.col("spot_close").shift(-2), "basis_bps"),
    "filled from later": own(lambda _: pl.when(pl.col("basis_bps") > 2).then(CLOSE).backward_fill(), "basis_bps", "perp_close"),
}

SHORT = {
    "lag": own(lambda _: CLOSE / CLOSE.shift(7) - 1, window=7),
    "one bar": own(lambda _: CLOSE.diff()),
    "mean": own(lambda _: CLOSE.rolling_mean(20), window=19),
    "few samples": own(lambda _: CLOSE.rolling_sum(20, min_samples=1), window=10),
    "all before": own(lambda _: CLOSE.cum_sum() - CLOSE, window=100),
    "ewm": own(lambda _: CLOSE.ewm_mean(half_life=50), window=20),
    "input's window": own(lambda _: pl.col("basis_z").shift(1), "basis_z", window=2),
}

FAILS = {
    "no column": own(lambda _: pl.col("nothing_of_this_name")),
    "python": own(lambda _: 1 / 0),
    "no expression": own(lambda _: 3),
    "inside": own(lambda _: CLOSE.map_batches(lambda _: 1 / 0, return_dtype=pl.Float64)),  # type: ignore[arg-type, return-value]
    "length": own(lambda _: CLOSE.head(3)),
    "type": own(lambda _: pl.lit("a"), dtype=pl.Int64()),
}


@pytest.mark.parametrize("case", HONEST)
def test_an_honest_feature_is_computed(case: str) -> None:
    table = compute_features(BARS, extra=[HONEST[case]])
    assert table.columns[-2:] == ["mine", "funding_fair_source"]
    assert table.drop("mine").equals(compute_features(BARS))


@pytest.mark.parametrize("case", AHEAD)
def test_a_look_ahead_is_refused_by_name_with_both_values(case: str) -> None:
    with pytest.raises(ConfigError, match="the feature mine looks ahead") as caught:
        compute_features(BARS, extra=[AHEAD[case]])
    assert "mine, row " in str(caught.value.where)
    assert "without the bars after it" in str(caught.value.value)


@pytest.mark.parametrize("case", SHORT)
def test_a_window_that_is_too_short_is_refused_by_name_with_both_values(case: str) -> None:
    with pytest.raises(ConfigError, match=f"the feature mine depends on more bars than its window of {SHORT[case].window}") as caught:
        compute_features(BARS, extra=[SHORT[case]])
    row = int(str(caught.value.where).split("row ")[1].split(" of ")[0])
    assert clock.time_text(BARS["bucket_end"][row]) in str(caught.value.where)
    assert "alone" in str(caught.value.value)


@pytest.mark.parametrize("case", FAILS)
def test_a_feature_that_fails_is_named(case: str) -> None:
    with pytest.raises(ConfigError, match="the feature mine cannot be computed") as caught:
        compute_features(BARS, extra=[own(lambda _: CLOSE * 2, name="before"), FAILS[case]])
    assert len(str(caught.value.value)) <= 200


def test_the_one_at_fault_is_named_not_the_one_that_reads_it() -> None:
    reader = own(lambda _: pl.col("root") * 2, "root", name="reader")
    with pytest.raises(ConfigError, match="the feature root looks ahead"):
        compute_features(BARS, extra=[own(lambda _: CLOSE.shift(-1), name="root"), reader])
    with pytest.raises(ConfigError, match="the feature reader depends on more bars"):
        compute_features(BARS, extra=[own(lambda _: CLOSE.shift(1), name="root", window=2), reader])


@pytest.mark.parametrize("window", [0, -1, 1.5, True, "2"])
def test_a_window_is_a_number_of_bars(window: Any) -> None:  # noqa: ANN401
    with pytest.raises(ConfigError, match="the window of the feature mine"):
        own(lambda _: CLOSE, window=window)
    with pytest.raises(ConfigError, match="the window of the feature mine"):
        compute_features(BARS, extra=[own(lambda _: CLOSE, window=lambda _: window)])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(2, 60), st.sampled_from(["lag", "sum", "partial"]))
def test_a_window_passes_exactly_where_it_is_long_enough(needed: int, stated: int, bars: int, kind: str) -> None:
    """Whatever the frame: a table comes back only where each value is made from its window, and is null before that is full."""
    build = {
        "lag": lambda _: CLOSE.shift(needed - 1) * 1.0,
        "sum": lambda _: CLOSE.rolling_sum(needed),
        "partial": lambda _: CLOSE.rolling_sum(needed, min_samples=1),
    }[kind]
    frame, feature = BARS.head(bars), own(build, window=stated)
    if needed <= stated:
        values = compute_features(frame, extra=[feature])["mine"]
        assert values.null_count() == min(stated - 1, bars)
    elif bars > needed + CHECKED_BARS:
        with pytest.raises(ConfigError, match="depends on more bars"):
            compute_features(frame, extra=[feature])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 10), st.integers(1, 12), st.integers(12, 60))
def test_any_shift_from_the_future_is_found(ahead: int, window: int, bars: int) -> None:
    frame = BARS.head(bars + ahead + window)
    with pytest.raises(ConfigError, match="the feature mine looks ahead"):
        compute_features(frame, extra=[own(lambda _: CLOSE.shift(-ahead), window=window)])


def test_holes_cut_a_feature_of_ones_own_too() -> None:
    holes = [row in {50, 51, 200} for row in range(BARS.height)]
    frame = BARS.with_columns(pl.Series("perp_hole", holes)).filter(pl.col("bar_id") != 300)
    features = [
        own(lambda _: CLOSE.shift(2), window=3, name="of_perp"),
        own(lambda _: pl.col("spot_close").shift(2), "spot_close", window=3, name="of_spot"),
        own(lambda _: pl.col("of_spot") - pl.col("spot_close"), "of_spot", window=3, name="of_both_by_expression"),
        own(lambda _: pl.col("funding_close").shift(2), "funding_close", window=3, name="of_state"),
    ]
    table = compute_features(frame, extra=features)
    bars = frame["bar_id"]
    gap = {301, 302}
    assert set(bars.filter(table["of_perp"].is_null())) == {0, 1, 50, 51, 52, 200, 201} | gap
    for name in ("of_spot", "of_both_by_expression", "of_state"):
        assert set(bars.filter(table[name].is_null())) == {0, 1} | gap


# --- the registry


@pytest.mark.usefixtures("restored")
def test_what_was_registered_can_be_taken_out_again() -> None:
    mine = register(own(lambda _: CLOSE * 2))
    later = register(own(lambda _: pl.col("mine") * 2, "mine", name="later"))
    with pytest.raises(ConfigError, match="other features read this one") as caught:
        unregister("mine")
    assert "later" in str(caught.value.hint)
    assert unregister("later") is later
    assert unregister("mine") is mine
    assert "mine" not in compute_features(BARS).columns
    with pytest.raises(ConfigError, match="no such feature"):
        unregister("mine")
    with pytest.raises(ConfigError, match="built-in"):
        unregister("basis_bps")
    assert "basis_bps" in FEATURES


@pytest.mark.usefixtures("restored")
def test_a_replaced_feature_may_read_what_came_later_and_its_readers_follow() -> None:
    register(own(lambda _: CLOSE * 2))
    register(own(lambda _: pl.col("mine") + 1, "mine", name="reader"))
    register(own(lambda _: pl.col("reader") + 1, "reader", name="reader_of_reader"))
    register(own(lambda _: CLOSE * 3, name="other"))
    for name in ("reader", "reader_of_reader", "mine"):
        with pytest.raises(ConfigError, match="is neither a column of the bars nor a feature"):
            register(own(lambda _: CLOSE, name), replace=True)
    before = compute_features(BARS)
    register(own(lambda _: pl.col("other") * 1, "other"), replace=True)
    assert list(FEATURES)[-4:] == ["other", "mine", "reader", "reader_of_reader"]
    after = compute_features(BARS)
    assert after["reader_of_reader"].to_list() == [value + 2 for value in after["other"]]
    assert not after["mine"].equals(before["mine"])
    register(own(lambda _: CLOSE * 5), replace=True)
    assert compute_features(BARS)["reader"].to_list() == [value * 5 + 1 for value in BARS["perp_close"]]


@pytest.mark.usefixtures("restored")
def test_a_replaced_feature_with_a_longer_window_shows_in_its_readers() -> None:
    register(own(lambda _: CLOSE * 2))
    register(own(lambda _: pl.col("mine") + 1, "mine", name="reader"))
    register(own(lambda _: CLOSE.shift(3), window=4), replace=True)
    with pytest.raises(ConfigError, match="the feature reader depends on more bars than its window of 1"):
        compute_features(BARS)


# --- compare, block by block

DAY = clock.day_start(START)
PERP, SPOT = "binance-futures:BTCUSDT", "binance-spot:BTCUSDT"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    def prints(price: float) -> list[Print]:
        return [(DAY + k * 10_000_000, f"{price + k % 37:.1f}", "1", k % 2 == 0) for k in range(2_000)]

    return lake_of(
        tmp_path_factory.mktemp("own"), {("binance-futures", "BTCUSDT"): prints(100.5), ("binance-spot", "BTCUSDT"): prints(100.0)}
    )


def compared(lake: Lake, output: Path | None = None) -> pl.DataFrame:
    return pointline.compare(PERP, SPOT, start="2024-05-01", end="2024-05-02", bars=TradeBarConfig(2), lake=lake, output=output).features


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("case", ["all before", "lag", "ewm"])
def test_compare_refuses_a_feature_whose_numbers_depend_on_the_blocks(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.setattr(bars_module, "BLOCK_BARS", 170)
    register(SHORT[case])
    for output in (None, tmp_path / "out.parquet"):
        with pytest.raises(ConfigError, match="the feature mine depends on more bars than its window"):
            compared(lake, output)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("case", ["lag", "mean", "few samples", "input's window"])
def test_an_honest_feature_does_not_depend_on_the_blocks(lake: Lake, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    register(HONEST[case])
    whole = compared(lake)
    monkeypatch.setattr(bars_module, "BLOCK_BARS", 170)
    assert compared(lake).equals(whole)
    assert whole["mine"].is_not_null().any()


@pytest.mark.usefixtures("restored")
def test_compare_refuses_a_look_ahead(lake: Lake) -> None:
    register(AHEAD["next bar"])
    with pytest.raises(ConfigError, match="the feature mine looks ahead"):
        compared(lake)
