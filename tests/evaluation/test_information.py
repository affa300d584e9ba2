"""study.ic: the figures of a real month, labels and groups against plain loops, nulls, look-ahead, and what is refused."""

from __future__ import annotations

import itertools
import math
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr
from tests.archives import lake_of
from tests.bars.test_candle_events import START, Minute, compared, lake_of_minutes, walk

import pointline
from pointline.clock import DAY_US, MINUTE_US
from pointline.errors import ConfigError
from pointline.evaluation import ic, label_series
from pointline.evaluation.null_prices import half_spread_bps
from pointline.evaluation.steadiness import daily_signs, decay, grouped, groups_of, turnover
from pointline.features import Feature, FeatureParams, PairParams, register, unregister
from pointline.research.spines import TimeBarConfig
from pointline.studies.evaluate import followed_prices

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pointline.studies.evaluate import Evaluation
    from pointline.studies.study import Study


# --- a real month -----------------------------------------------------------------------------------------------------------------

MAPPING = """
kind = "candles_1m"
exchange = "{exchange}"
symbol = "BTCUSDT"

[columns]
start_us = "date"
open = "open_{side}"
high = "high_{side}"
low = "low_{side}"
close = "close_{side}"
volume = "volume_{side}"
"""


@pytest.fixture(scope="module")
def month(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """The first 51,031 minutes of the file, with a feature of the test's own."""
    folder = tmp_path_factory.mktemp("month")
    for side, exchange in (("p", "binance-futures"), ("s", "binance-spot")):
        mapping = folder / f"{side}.toml"
        mapping.write_text(MAPPING.format(exchange=exchange, side=side))
        pointline.ingest(shared_data / "minutes_btc_2025" / "BTC_1m_perp_spot.parquet", mapping=mapping, lake=folder / "lake")
    own = Feature(
        name="perp_mom30",
        formula="perp_close / perp_close.shift(30) - 1",
        unit="1",
        inputs=("perp_close",),
        build=lambda _: pl.col("perp_close") / pl.col("perp_close").shift(30) - 1,
        window=31,
    )
    register(own)
    try:
        yield pointline.compare(
            "binance-futures:BTCUSDT",
            "binance-spot:BTCUSDT",
            start="2025-05-20",
            end="2025-06-24 10:31",
            bars=TimeBarConfig("1m"),
            events="candles_1m",
            params=FeatureParams(z_bars=60),
            lake=folder / "lake",
        )
    finally:
        unregister("perp_mom30")


@pytest.fixture(scope="module")
def judged_month(month: Study) -> Evaluation:
    names = ["basis_z", "basis_bps", "basis_momentum", "volume_ratio", "perp_mom30"]
    return month.ic(names, labels=("perp_return", "spot_return"), horizons=(1, 30), draws=10)


@pytest.mark.parametrize(
    ("feature", "label", "horizon", "coefficient", "half", "causal_t"),
    [
        ("basis_z", "spot_return", "1 bar", 0.1025, 0.0086, 23.0),
        ("basis_z", "perp_return", "1 bar", 0.0008, 0.0082, -0.3),
        ("basis_bps", "spot_return", "1 bar", 0.0760, 0.0085, 17.0),
        ("basis_momentum", "spot_return", "1 bar", 0.0936, 0.0090, 20.8),
        ("volume_ratio", "spot_return", "1 bar", 0.0066, 0.0081, 1.4),
        ("perp_mom30", "perp_return", "30 bars", -0.0496, 0.0373, -2.7),
    ],
)
def test_the_real_month_has_the_figures_that_were_computed_apart(
    judged_month: Evaluation, feature: str, label: str, horizon: str, coefficient: float, half: float, causal_t: float
) -> None:
    row = judged_month.table.row(
        by_predicate=(pl.col("feature") == feature) & (pl.col("label") == label) & (pl.col("horizon") == horizon), named=True
    )
    assert row["ic"] == pytest.approx(coefficient, abs=1e-4)
    assert (row["high"] - row["low"]) / 2 == pytest.approx(half, abs=1e-4)
    assert row["causal_t"] == pytest.approx(causal_t, abs=0.11)  # printed with one digit


def test_the_real_month_predicts_for_one_bar_and_does_not_pay(judged_month: Evaluation) -> None:
    row = judged_month.standing.row(0, named=True)
    assert (row["feature"], row["label"], row["horizon"]) == ("basis_z", "spot_return", "1 bar")
    assert row["ic_next"] == pytest.approx(-0.0044, abs=1e-4)
    assert row["next_t"] == pytest.approx(-1.0, abs=0.05)
    assert row["decile_spread_bps"] == pytest.approx(1.32, abs=0.005)
    assert "which does not pay a cost of 26 bp" in judged_month.verdict
    assert "(gone)" in judged_month.verdict
    days = judged_month.by("day", "basis_z")["ic"]
    assert (len(days), row["days_same_sign"]) == (36, 1.0)


# --- a small market ---------------------------------------------------------------------------------------------------------------


def random_minutes(count: int, *, seed: int) -> list[Minute]:
    """Candles whose closes follow no rule."""
    moves = np.random.default_rng(seed).integers(-9, 10, count)
    prices = (60_000 + np.concatenate([[0], np.cumsum(moves)])).tolist()
    rows = zip(walk(count, seed=seed), prices, prices[1:], strict=False)
    return [m._replace(open=str(a), high=str(max(a, b) + 2), low=str(min(a, b) - 2), close=str(b)) for m, a, b in rows]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    lake = lake_of_minutes(tmp_path_factory.mktemp("small"), random_minutes(2 * 1440, seed=1), random_minutes(2 * 1440, seed=5))
    return compared(lake, TimeBarConfig("1m"), START, START + 2 * DAY_US)


def test_columns_stand_beside_each_other_and_the_seed_decides(study: Study) -> None:
    one, again, other = (study.ic(["basis_bps", "volume_ratio"], horizons=(1, 3), seed=seed).table for seed in (0, 0, 1))
    assert one.equals(again)
    assert not one["null_bound"].equals(other["null_bound"])
    assert one.drop("null_bound", "ic_if_bounce", "beyond_null", "p_min", "stands").equals(
        other.drop("null_bound", "ic_if_bounce", "beyond_null", "p_min", "stands")
    )
    assert one.height == 2 * 5 * 2
    assert one["p_bh"].drop_nulls().is_between(0, 1).all()
    assert (one["p_bh"] >= one["p"]).all()


def test_a_change_of_order_or_of_neighbours_changes_no_coefficient(study: Study) -> None:
    alone = study.ic(["basis_bps"], draws=0).table.drop("p_bh", "p_min", "stands")
    among = study.ic(["volume_ratio", "basis_bps", "spread_ratio"], draws=0).table
    assert among.filter(feature="basis_bps").select(alone.columns).equals(alone)


def test_rows_known_later_change_nothing_of_the_labels_before(study: Study) -> None:
    frame = study.features
    cut = frame.head(2000)
    for whole, known in zip(_labels(frame), _labels(cut), strict=True):
        told = ~np.isnan(known.values)
        assert told.sum() > 1900
        assert np.array_equal(known.values[told], whole.values[:2000][told])


def _labels(frame: pl.DataFrame) -> list[Any]:
    return list(label_series(frame, ("spot_return", "basis_change", "spot_volatility"), (1, 7), ("10m",), PairParams()))


def test_volatility_is_the_root_of_the_squared_returns_that_follow(study: Study) -> None:
    closes = study.features["spot_close"].to_list()
    returns = [10_000 * (later / before - 1) for before, later in itertools.pairwise(closes)]
    found = {label.horizon: label for label in label_series(study.features, ("spot_volatility",), (5,), ("5m",), PairParams())}
    for horizon in ("5 bars", "5m"):
        values = found[horizon].values
        for place in (0, 17, 2000):
            assert values[place] == pytest.approx(math.sqrt(sum(r * r for r in returns[place : place + 5])), rel=1e-12)
        assert np.isnan(values[-5:]).all()
    assert (found["5m"].bars, found["5 bars"].bars) == (5, 5)


def test_bars_with_little_spot_volume_are_left_out_and_the_effect_is_shown(study: Study) -> None:
    found = study.ic(["basis_bps"], labels="spot_return", horizons=1, min_spot_volume=15.0, draws=0)
    few = study.features["spot_volume"] >= 15.0
    row = found.table.row(0, named=True)
    rows = study.features.with_columns(label=study.labels((1,))["spot_forward_ret_1bar"]).filter(few).drop_nulls(["basis_bps", "label"])
    assert row["n"] == rows.height < study.features.height / 2 + 200
    assert row["ic"] == pytest.approx(spearmanr(rows["basis_bps"], rows["label"])[0], abs=1e-12)
    assert row["ic_all_bars"] == study.ic(["basis_bps"], labels="spot_return", horizons=1, draws=0).table["ic"][0]
    assert found.summary["share_bars_dropped"] == pytest.approx(1 - few.mean())


def test_a_look_ahead_that_is_planted_stands_out_of_every_null(study: Study) -> None:
    leaking = study.features.with_columns(cheat=pl.col("spot_ret_1bar").shift(-1))
    row = ic(leaking, ["cheat"], params=study.params, labels="spot_return", horizons=1).table.row(0, named=True)
    assert row["ic"] > 0.99 > 10 * row["null_bound"]
    assert row["ic_next"] < 0.6


def test_the_stale_null_takes_a_venue_s_price_at_the_last_trade_of_the_other(tmp_path: Path) -> None:
    noise = np.random.default_rng(3)
    times = np.sort(noise.choice(40 * MINUTE_US, 400, replace=False)) + START
    perp = [(int(us), f"{60_000 + k % 97}.{k % 10}", "0.01", bool(k % 2)) for k, us in enumerate(times)]
    spot = [(us + 7, price, qty, side) for us, price, qty, side in perp[5::23]]
    lake = lake_of(tmp_path, {("binance-futures", "BTCUSDT"): perp, ("binance-spot", "BTCUSDT"): spot})
    study = compared(lake, TimeBarConfig("1m"), START, START + DAY_US, events="trades")
    found = followed_prices(study._sides, study.features)
    assert found is not None
    for venue, trades, others in (("spot", spot, perp), ("perp", perp, spot)):
        for place in range(40):
            end = START + (place + 1) * MINUTE_US
            last = max((us for us, *_ in trades if us < end), default=None)
            known = [float(price) for us, price, _, _ in others if last is not None and us <= last]
            assert found[venue][place] == known[-1] if known else np.isnan(found[venue][place])


@pytest.mark.parametrize("follower", ["spot", "perp"])
def test_a_venue_that_only_follows_is_predicted_no_more_than_its_null(tmp_path: Path, follower: str) -> None:
    """It prints the other's last price at a few moments: its return is predictable by staleness alone."""
    noise = np.random.default_rng(11)
    seconds = np.arange(0, 20 * 3_600)
    prices = 60_000 + np.cumsum(noise.integers(-3, 4, len(seconds)))
    leading = [(START + int(s) * 1_000_000, str(p), "0.01", False) for s, p in zip(seconds, prices, strict=True)]
    kept = noise.random(len(leading)) < 0.02
    following = [(us + 1, price, qty, side) for (us, price, qty, side), printed in zip(leading, kept, strict=True) if printed]
    trades = {"spot": leading, "perp": leading} | {follower: following}
    lake = lake_of(tmp_path, {("binance-futures", "BTCUSDT"): trades["perp"], ("binance-spot", "BTCUSDT"): trades["spot"]})
    params = FeatureParams(max_spot_age_us="10m", max_perp_age_us="10m")
    study = compared(lake, TimeBarConfig("1m"), START, START + DAY_US, events="trades", params=params)
    row = study.ic(["basis_bps"], labels=f"{follower}_return", horizons=1).table.row(0, named=True)
    assert row["significant"]
    assert abs(row["ic"]) > 0.2
    assert row["ic_if_stale"] == pytest.approx(row["ic"], abs=1e-6)
    assert not row["stands"]


def test_the_facade_can_be_pickled_and_shown(study: Study) -> None:
    found = study.ic(["basis_bps"], horizons=(1,), draws=0)
    again = pickle.loads(pickle.dumps(found))  # noqa: S301 - our own
    assert again.table.equals(found.table)
    assert again.summary == found.summary
    assert "information coefficients" in found._repr_html_()


# --- groups, against plain loops ----------------------------------------------------------------------------------------------------

NUMBERS = st.one_of(st.just(float("nan")), st.integers(-4, 4).map(float))


@given(rows=st.lists(st.tuples(NUMBERS, NUMBERS, st.integers(0, 1)), min_size=70, max_size=140), lag=st.integers(1, 5))
def test_groups_and_lags_equal_plain_loops(rows: list[tuple[float, float, int]], lag: int) -> None:
    x, y, group = (np.array(column) for column in zip(*rows, strict=True))
    for number, count, found in grouped(x, y, group.astype(np.int64)).iter_rows():
        own = [(a, b) for a, b, g in rows if g == number and not math.isnan(a) and not math.isnan(b)]
        assert count == len(own)
        expected = plain_spearman(own)
        assert found is None if expected is None else found == pytest.approx(expected, abs=1e-9)
    pairs = [(rows[k][0], rows[k + lag - 1][1]) for k in range(len(rows) - lag + 1)]
    expected = plain_spearman([(a, b) for a, b in pairs if not math.isnan(a) and not math.isnan(b)])
    found = decay(x, y, lag)[-1]
    assert math.isnan(found) if expected is None else found == pytest.approx(expected, abs=1e-9)


def plain_spearman(pairs: list[tuple[float, float]]) -> float | None:
    if len(pairs) < 30:
        return None
    a, b = (rankdata(column) for column in zip(*pairs, strict=True))
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 0 and b.std() > 0 else None


def test_days_with_the_sign_have_wilson_s_interval() -> None:
    """8 of 10, by hand: (.8 + 3.8415 / 20 ± 1.96 sqrt(.8 · .2 / 10 + 3.8415 / 400)) / 1.38415."""
    x = np.tile(np.arange(40.0), 10)
    y = np.concatenate([np.arange(40.0) * (1 if day < 8 else -1) for day in range(10)])
    found = daily_signs(x, y, np.repeat(np.arange(10), 40), 0.3)
    assert (found["days"], found["days_same_sign"]) == (10, 0.8)
    assert found["days_low"] == pytest.approx(0.490, abs=5e-4)
    assert found["days_high"] == pytest.approx(0.943, abs=5e-4)


def test_a_position_that_alternates_turns_over_wholly() -> None:
    assert turnover(np.array([1.0, 2.0, 1.0, 2.0])) == pytest.approx(4 / 3)  # ranks 1.5 and 3.5 of 4: from -2/3 to 2/3
    assert math.isnan(turnover(np.array([1.0, np.nan])))


def test_hours_days_and_settlements() -> None:
    ends = np.array([MINUTE_US, 3_600_000_000, 3_600_000_001, DAY_US, DAY_US + 1])
    assert groups_of("hour", ends, None).tolist() == [0, 0, 1, 23, 0]
    assert groups_of("day", ends, None).tolist() == [0, 0, 0, 0, 1]
    assert groups_of("settlement", ends, np.array([0.0, 3_599.0, 3_600.0, np.nan, 28_800.0])).tolist() == [0, 0, 1, -1, 8]


def test_the_half_spread_of_a_price_that_bounces_is_found() -> None:
    noise = np.random.default_rng(7)
    price = 100 * np.exp(np.cumsum(noise.normal(0, 1e-5, 40_000))) * (1 + 2e-4 * noise.choice([-1.0, 1.0], 40_000))
    assert half_spread_bps(price) == pytest.approx(2.0, rel=0.05)
    assert half_spread_bps(np.cumprod(np.tile([1.001, 1.001, 0.999, 0.999], 50))) == pytest.approx(0.0, abs=0.8)
    assert half_spread_bps(np.ones(10)) == 0.0


# --- what is refused ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("features", "options", "what"),
    [
        (["basis_bsp"], {}, "basis_bps"),
        (["spot_forward_ret_1bar"], {}, "a label cannot be a feature"),
        (["funding_source"], {}, "this column is no number"),
        (["basis_bps", "basis_bps"], {}, "each feature is named once"),
        (None, {"horizon": 5}, "horizons"),
        (None, {"labels": ("spot_returns",)}, "spot_return"),
        (None, {"horizons": (5_000,)}, "5000|5,000"),
        (None, {"horizons": ()}, "nothing is to be predicted"),
        (None, {"method": "kendall"}, "method"),
        (None, {"confidence": 95}, "confidence"),
        (None, {"min_spot_volume": 1e9}, "leaves no bar"),
        (None, {"min_spot_volume": -1}, "no volume"),
        (None, {"draws": -1}, "draws"),
        (None, {"seed": "x"}, "seed"),
    ],
)
def test_refused(study: Study, features: list[str] | None, options: dict[str, Any], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        study.ic(features, **options)


def test_few_bars_say_how_many_are_needed(study: Study) -> None:
    with pytest.raises(ConfigError, match=r"needed|at least"):
        ic(study.features.head(20), ["basis_bps"], params=study.params, draws=0)


def test_features_without_values_have_a_reason_and_no_figure(study: Study) -> None:
    row = study.ic(["volatility_ratio"], labels="spot_return", horizons=1, draws=0).table.row(0, named=True)
    assert row["ic"] is None
    assert "0 rows have feature and label" in row["reason"]
    assert study.ic(["volatility_ratio"], draws=0).verdict.startswith("Nothing could be tested")


def test_a_label_without_values_is_named_and_the_others_are_judged(study: Study) -> None:
    stale = FeatureParams(max_spot_age_us=1_000_000)
    frame = study.features.with_columns(spot_age_us=pl.lit(5_000_000, pl.Int64))
    judged = ic(frame, ["volume_ratio"], params=stale, labels=("spot_return", "basis_change"), horizons=1, draws=0)
    assert judged.table["label"].to_list() == ["spot_return"]
    assert judged.untold == ("basis_change over 1 bar",)
    with pytest.raises(ConfigError, match="the label is missing in every row"):
        ic(frame, ["volume_ratio"], params=stale, labels="basis_change", horizons=1, draws=0)


def test_volatility_that_is_too_short_is_named_and_returns_are_judged(study: Study) -> None:
    judged = ic(study.features.head(200), ["basis_bps"], params=study.params, horizons=1, draws=0)
    assert judged.table["label"].to_list() == ["perp_return", "spot_return", "basis_change"]
    assert judged.untold == ("perp_volatility over 1 bar", "spot_volatility over 1 bar")


def test_frames_of_pandas_are_refused(study: Study) -> None:
    with pytest.raises(ConfigError, match="no polars frame"):
        ic(study.to_pandas(), ["basis_bps"])  # type: ignore[arg-type]


def test_a_grouping_a_feature_or_a_label_that_is_not_there(study: Study) -> None:
    found = study.ic(["basis_bps"], labels="spot_return", horizons=1, draws=0)
    for call in (lambda: found.by("week", "basis_bps"), lambda: found.by("day", "basis"), lambda: found.decay("basis_bps", "perp_return")):
        with pytest.raises(ConfigError):
            call()
