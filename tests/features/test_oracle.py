"""All derived features against plain loops on random bars, and proof that no value depends on later or on too early bars."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointline.costs import CostModel
from pointline.features import FEATURES, FeatureParams, PairParams, compute_features
from pointline.state.attach import STATE_COLUMNS
from pointline.venues.funding import FundingRule

START = 1_714_521_600_000_000
VENUE_FLOATS = ("open", "high", "low", "close", "vwap", "volume", "quote_volume", "buy_volume", "sell_volume", "price_std", "realized_vol")
SCHEMA: dict[str, pl.DataType] = {
    **dict.fromkeys(("symbol_id", "bar_id", "bucket_start", "bucket_end"), pl.Int64()),
    "complete": pl.Boolean(),
    **{f"{venue}_{name}": pl.Float64() for venue in ("perp", "spot") for name in VENUE_FLOATS},
    **{f"{venue}_{name}": pl.Int64() for venue in ("perp", "spot") for name in ("trade_count", "age_us")},
    "perp_hole": pl.Boolean(),
    "spot_hole": pl.Boolean(),
    **STATE_COLUMNS,
}
RULE = FundingRule(
    kind="premium_clamp",
    interest_8h=0.0001,
    clamp=0.0005,
    cap=0.004,
    interval_hours=8.0,
    valid_from_us=START + 40,
    valid_until_us=START + 200,
    source="test",
)
PARAMS = PairParams(
    max_spot_age_us="100us",
    max_perp_age_us="80us",
    price_factor=2.0,
    smooth_bars=3,
    z_bars=4,
    funding_rules=(RULE,),
    costs=CostModel(borrow_bps_per_day=2.0),
    holding_hours=12.0,
)


def _maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), values)


PRICE = _maybe(st.one_of(st.floats(0.5, 200), st.just(0.0), st.just(50.0)))
AMOUNT = st.one_of(st.just(0.0), st.floats(0.001, 1e6))
RATE = _maybe(st.floats(-0.01, 0.01))
BAR = st.fixed_dictionaries(
    {
        "duration": st.integers(1, 50),
        "gap": st.sampled_from([0, 0, 0, 0, 5]),
        "perp_hole": st.sampled_from([False, False, False, True]),
        "spot_hole": st.sampled_from([False, False, False, True, None]),
        **{f"{venue}_{name}": PRICE for venue in ("perp", "spot") for name in ("open", "high", "low", "close", "vwap", "price_std")},
        **{f"{venue}_{name}": AMOUNT for venue in ("perp", "spot") for name in ("volume", "quote_volume", "buy_volume", "sell_volume")},
        **{f"{venue}_realized_vol": _maybe(AMOUNT) for venue in ("perp", "spot")},
        **{f"{venue}_trade_count": st.integers(0, 9) for venue in ("perp", "spot")},
        **{f"{venue}_age_us": _maybe(st.integers(1, 120)) for venue in ("perp", "spot")},
        **dict.fromkeys(("mark_close", "index_close", "oi_close", "oi_open"), PRICE),
        **dict.fromkeys(("funding_close", "funding_open", "funding_settled", "predicted_funding_close"), RATE),
        "funding_interval_hours": st.sampled_from([None, 0.0, 1.0, 4.0, 8.0]),
        "seconds_to_funding": _maybe(st.floats(0, 28_800)),
        "funding_age_us": _maybe(st.integers(1, 100)),
    }
)


def frame_of(drawn: list[dict[str, Any]]) -> pl.DataFrame:
    rows, start = [], START
    for bar_id, bar in enumerate(drawn):
        start += bar["gap"]
        end = start + bar["duration"]
        rows.append(
            {**dict.fromkeys(SCHEMA), **bar, "symbol_id": 1, "bar_id": bar_id, "bucket_start": start, "bucket_end": end, "complete": True}
        )
        start = end
    return pl.DataFrame([{name: row[name] for name in SCHEMA} for row in rows], schema=SCHEMA)


BARS = st.lists(BAR, min_size=1, max_size=9).map(frame_of)


def divide(numerator: float | None, denominator: float | None) -> float | None:
    if numerator is None or denominator is None or denominator == 0:
        return None
    return numerator / denominator


def minus(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else left - right


def times(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else left * right


def whole(rows: list[dict[str, Any]], k: int, bars: int, *sides: str) -> bool:
    """Whether the last so many bars up to bar k are there, touch each other, and have no hole of these sides between two of them."""
    if k < bars - 1:
        return False
    touch = all(rows[j]["bucket_start"] == rows[j - 1]["bucket_end"] for j in range(k - bars + 2, k + 1))
    return touch and not any(rows[j][f"{side}_hole"] for j in range(k - bars + 2, k + 1) for side in sides)


def venue_oracle(rows: list[dict[str, Any]], out: dict[str, Any], k: int, v: str) -> None:
    bar = rows[k]
    buys, sells = bar[f"{v}_buy_volume"], bar[f"{v}_sell_volume"]
    out[f"{v}_flow_imbalance"] = divide(buys - sells, buys + sells)
    out[f"{v}_hl_spread"] = divide(minus(bar[f"{v}_high"], bar[f"{v}_low"]), bar[f"{v}_close"])
    out[f"{v}_vwap_reversion"] = divide(minus(bar[f"{v}_close"], bar[f"{v}_vwap"]), bar[f"{v}_vwap"])
    for lag in (1, 5):
        before = rows[k - lag][f"{v}_close"] if whole(rows, k, lag + 1, v) else None
        out[f"{v}_ret_{lag}bar"] = minus(divide(bar[f"{v}_close"], before), 1.0)


def basis_oracle(rows: list[dict[str, Any]], k: int, out: dict[str, Any], earlier: list[dict[str, Any]]) -> None:
    bar = rows[k]
    both = [n for n in range(1, k + 2) if whole(rows, k, n, "perp", "spot")]
    spot, perp = times(bar["spot_close"], 2.0), bar["perp_close"]
    fresh_spot = bar["spot_age_us"] is not None and bar["spot_age_us"] <= 100
    fresh_perp = bar["perp_age_us"] is not None and bar["perp_age_us"] <= 80
    comparable = fresh_spot and fresh_perp
    out["basis_bps"] = times(divide(minus(perp, spot), spot), 10_000) if comparable else None
    rate = divide(perp, spot) if comparable else None
    out["log_basis_bps"] = None if not rate else math.log(rate) * 10_000
    vwap = times(bar["spot_vwap"], 2.0)
    out["vwap_basis_bps"] = times(divide(minus(bar["perp_vwap"], vwap), vwap), 10_000)
    series = [row["basis_bps"] for row in earlier] + [out["basis_bps"]]
    out["basis_momentum"] = minus(series[-1], series[-2]) if 2 in both else None
    out["basis_slope"] = minus(series[-1], series[-4]) if 4 in both else None
    out["basis_smooth"] = sum(series[-3:]) / 3 if 3 in both and None not in series[-3:] else None
    out["basis_z"] = None
    window = series[-4:]
    if 4 in both and None not in window and len(set(window)) > 1:
        mean = sum(window) / 4
        out["basis_z"] = divide(window[-1] - mean, math.sqrt(sum((value - mean) * (value - mean) for value in window) / 3))
    out["momentum_divergence"] = minus(out["perp_ret_1bar"], out["spot_ret_1bar"]) if 2 in both else None
    out["momentum_divergence_fresh"] = out["momentum_divergence"] if fresh_spot else None
    out["volume_ratio"] = divide(bar["perp_volume"], bar["spot_volume"] / 2.0)
    out["volatility_ratio"] = divide(bar["perp_price_std"], times(bar["spot_price_std"], 2.0))
    out["realized_vol_ratio"] = divide(bar["perp_realized_vol"], bar["spot_realized_vol"])
    out["spread_ratio"] = divide(out["perp_hl_spread"], out["spot_hl_spread"])
    out["bar_duration_us"] = bar["bucket_end"] - bar["bucket_start"]


def funding_oracle(bar: dict[str, Any], out: dict[str, Any]) -> None:
    close, hours = bar["funding_close"], bar["funding_interval_hours"]
    out["funding_8h"] = divide(times(close, 8), hours)
    out["funding_carry_annual"] = divide(times(close, 8_760), hours)
    out["funding_step"] = minus(close, bar["funding_open"])
    out["funding_surprise"] = minus(close, bar["predicted_funding_close"])
    third = None if out["basis_bps"] is None else out["basis_bps"] / 10_000 / 3
    out["funding_basis_divergence"] = minus(out["funding_8h"], third)
    premium = divide(minus(bar["mark_close"], bar["index_close"]), bar["index_close"])
    source = "mark_index"
    if premium is None:
        premium, source = (None if out["basis_bps"] is None else out["basis_bps"] / 10_000), "basis"
    covered = START + 40 <= bar["bucket_end"] < START + 200
    fair = None
    if covered and premium is not None:
        pull = min(max(0.0001 - premium, -0.0005), 0.0005)
        fair = min(max(premium + pull, -0.004), 0.004)
    out["funding_fair"] = fair
    out["funding_fair_source"] = None if fair is None else source
    out["funding_fair_divergence"] = minus(out["funding_8h"], fair)


def flow_and_carry_oracle(bar: dict[str, Any], out: dict[str, Any]) -> None:
    flow, basis, rate = out["perp_flow_imbalance"], out["basis_bps"], out["funding_8h"]
    out["flow_divergence"] = minus(flow, out["spot_flow_imbalance"])
    out["flow_basis_interaction"] = times(flow, basis)
    out["flow_funding_interaction"] = times(flow, rate)
    out["oi_pct_change"] = minus(divide(bar["oi_close"], bar["oi_open"]), 1.0)
    out["funding_oi_pressure"] = times(out["funding_step"], out["oi_pct_change"])
    out["cash_carry_opportunity"] = None if basis is None else abs(basis) > 48.0
    out["cash_carry_profit_bps"] = None if basis is None else abs(basis) - 48.0
    out["cash_carry_net_bps"] = None
    out["cash_carry_breakeven_hours"] = None
    if basis is None:
        return
    if abs(basis) >= 40.0:
        out["cash_carry_breakeven_hours"] = 0.0
    if rate is None:
        return
    hourly = rate * 10_000 / 8 if basis >= 0 else -rate * 10_000 / 8 - 2.0 / 24
    out["cash_carry_net_bps"] = abs(basis) - 40.0 + hourly * 12.0
    if abs(basis) < 40.0 and hourly > 0:
        out["cash_carry_breakeven_hours"] = (40.0 - abs(basis)) / hourly


def oracle(bars: pl.DataFrame) -> list[dict[str, Any]]:
    rows = bars.to_dicts()
    done: list[dict[str, Any]] = []
    for k, bar in enumerate(rows):
        out: dict[str, Any] = {}
        venue_oracle(rows, out, k, "perp")
        venue_oracle(rows, out, k, "spot")
        basis_oracle(rows, k, out, done)
        funding_oracle(bar, out)
        flow_and_carry_oracle(bar, out)
        done.append(out)
    return done


def same(found: object, expected: object) -> bool:
    if isinstance(found, float) and isinstance(expected, float):
        return math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-9)
    return found == expected


@settings(deadline=None)
@given(BARS)
def test_every_derived_feature_equals_the_plain_loop(bars: pl.DataFrame) -> None:
    features = compute_features(bars, PARAMS)
    expected = oracle(bars)
    assert set(expected[0]) == {name for name in FEATURES if name not in bars.columns} | {"funding_fair_source"}
    for name in expected[0]:
        for found, row in zip(features[name].to_list(), expected, strict=True):
            assert same(found, row[name]), (name, found, row[name])
    for name in set(FEATURES) & set(bars.columns):
        assert features[name].equals(bars[name])


@settings(max_examples=40, deadline=None)
@given(BARS, st.data())
def test_later_bars_change_nothing(bars: pl.DataFrame, data: st.DataObject) -> None:
    kept = data.draw(st.integers(1, bars.height))
    assert compute_features(bars, PARAMS).head(kept).equals(compute_features(bars.head(kept), PARAMS))


@settings(max_examples=40, deadline=None)
@given(BARS)
def test_no_value_is_infinite_or_not_a_number(bars: pl.DataFrame) -> None:
    floats = compute_features(bars, PARAMS).select(pl.col(pl.Float64).is_finite().all())
    assert set(floats.row(0)) == {True}


def market(count: int) -> pl.DataFrame:
    """Bars of a random walk whose prices first are huge, so that a running sum would leave its rounding behind."""
    noise = np.random.default_rng(11)
    level = np.where(np.arange(count) < count // 3, 1e9, 60_000.0)
    spot = level * np.exp(np.cumsum(noise.normal(0, 1e-4, count)))
    perp = spot * (1 + noise.normal(1e-4, 3e-4, count))
    ends = START + np.cumsum(noise.integers(1_000_000, 20_000_000, count))
    columns: dict[str, Any] = {
        "symbol_id": np.ones(count, dtype=np.int64),
        "bar_id": np.arange(count),
        "bucket_start": np.concatenate([[START], ends[:-1]]),
        "bucket_end": ends,
        "complete": np.ones(count, dtype=bool),
        "funding_interval_hours": noise.choice([1.0, 3.0, 6.0, 8.0], count),
    }
    for venue, close in (("perp", perp), ("spot", spot)):
        columns |= {f"{venue}_{name}": close * (1 + noise.normal(0, 1e-4, count)) for name in ("open", "high", "low", "vwap")}
        columns |= {f"{venue}_{name}": noise.exponential(5, count) for name in ("volume", "quote_volume", "buy_volume", "sell_volume")}
        columns |= {f"{venue}_{name}": noise.exponential(1, count) for name in ("price_std", "realized_vol")}
        columns |= {f"{venue}_close": close, f"{venue}_trade_count": np.ones(count, dtype=np.int64), f"{venue}_age_us": np.full(count, 10)}
    columns |= {"mark_close": perp * 1.0001, "index_close": spot}
    columns |= {
        name: noise.normal(1e-4, 1e-5, count) for name in ("funding_close", "funding_open", "funding_settled", "predicted_funding_close")
    }
    columns |= {name: noise.uniform(900, 1_100, count) for name in ("oi_close", "oi_open", "seconds_to_funding")}
    columns |= {"funding_age_us": np.full(count, 5)}
    return pl.DataFrame([pl.Series(name, columns.get(name, [None] * count), dtype=dtype) for name, dtype in SCHEMA.items()])


@pytest.fixture(scope="module")
def long_run() -> tuple[pl.DataFrame, pl.DataFrame, FeatureParams]:
    bars = market(400)
    rule = FundingRule("premium_clamp", 0.0001, 0.0005, 0.02, 8.0, START, START + 10**12, "test", per_interval=True)
    params = FeatureParams(funding_rules=(rule,))
    return bars, compute_features(bars, params), params


def test_the_last_120_bars_alone_give_the_same_bits(long_run: tuple[pl.DataFrame, pl.DataFrame, FeatureParams]) -> None:
    bars, features, params = long_run
    alone = compute_features(bars.tail(120), params)
    assert features["basis_z"].tail(120).null_count() == 0
    for name, one in FEATURES.items():
        whole = 120 - one.bars_needed(params) + 1
        assert alone[name].tail(whole).equals(features[name].tail(whole)), name


@pytest.mark.parametrize("name", list(FEATURES))
def test_a_feature_depends_on_its_window_and_on_all_of_it(long_run: tuple[pl.DataFrame, pl.DataFrame, FeatureParams], name: str) -> None:
    bars, features, params = long_run
    window = FEATURES[name].bars_needed(params)
    value = features[name][250]
    cut = compute_features(bars[251 - window : 251], params)[name]
    assert value is not None
    assert cut[-1] == value  # bit for bit: floats compared with ==
    if window > 1:
        assert compute_features(bars[252 - window : 251], params)[name][-1] is None


def test_truncation_at_any_bar_changes_nothing(long_run: tuple[pl.DataFrame, pl.DataFrame, FeatureParams]) -> None:
    bars, features, params = long_run
    for kept in (1, 2, *range(93, 111), 257, 399):
        assert compute_features(bars.head(kept), params).equals(features.head(kept))


def test_a_constant_column_divides_like_any_other(long_run: tuple[pl.DataFrame, pl.DataFrame, FeatureParams]) -> None:
    bars, _, params = long_run
    stated = bars.with_columns(pl.lit(3.0).alias("funding_interval_hours"))
    written = bars.with_columns(pl.Series("funding_interval_hours", [3.0] * bars.height))
    assert compute_features(stated, params).equals(compute_features(written, params))
