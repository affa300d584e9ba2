"""Lead-lag of simulated markets whose lead is known, and of ticks that are stale only."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.evaluation.followed import HOUR_US, followed

from pointline.errors import ConfigError
from pointline.evaluation import LeadLag, grid_correlation, lead_lag
from pointline.evaluation.lead_lag import SIGNIFICANT
from pointline.evaluation.ticks import thinned, ticks_of
from pointline.simulate import MarketConfig, simulate_day


@pytest.fixture(scope="module")
def led() -> LeadLag:
    return lead_lag(*followed(1, lead_us=20_000), names=("perp", "spot"))


def share_found(hours: int, **market: Any) -> float:  # noqa: ANN401 - handed on to the simulation
    """In how many of some simulated hours the two sides of the curve differ at 5 %."""
    return sum(lead_lag(*followed(1_000 + n, **market)).measured.significant for n in range(hours)) / hours


# --- what is known of simulated hours ------------------------------------------------------------------------------------------------


def test_a_lead_of_20_ms_is_found_and_measured(led: LeadLag) -> None:
    found = led.measured
    assert abs(found.peak_us - 20_000) <= 10_000
    assert found.peak_interval_us[0] <= 20_000 <= found.peak_interval_us[1]
    assert found.significant
    assert not led.null.significant
    assert abs(led.null.peak_us) <= 5_000


def test_the_other_way_round_it_is_the_mirror_image(led: LeadLag) -> None:
    one, other = followed(1, lead_us=20_000)
    turned = lead_lag(other, one).measured
    assert turned.peak_us == -led.measured.peak_us
    assert turned.asymmetry_t == pytest.approx(-led.measured.asymmetry_t)
    assert turned.curve["correlation"].reverse().to_list() == pytest.approx(led.measured.curve["correlation"].to_list())


def test_prices_may_be_in_any_unit(led: LeadLag) -> None:
    one, other = followed(1, lead_us=20_000)
    scaled = lead_lag(one.with_columns(pl.col("price") * 1_000), other.with_columns(pl.col("price") / 7)).measured
    assert scaled.asymmetry_t == pytest.approx(led.measured.asymmetry_t)
    assert scaled.peak_interval_us == led.measured.peak_interval_us


def test_leads_are_found_and_staleness_is_none() -> None:
    """A small part of the next two tests: of 12 hours each, 10 with the lead, and at most 2 without one."""
    assert share_found(12, lead_us=20_000) >= 10 / 12
    assert share_found(12) <= 2 / 12


@pytest.mark.slow
def test_a_lead_of_20_ms_is_found_in_nine_hours_of_ten_with_7200_spot_ticks() -> None:
    assert share_found(400, lead_us=20_000) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second", "noise"), [(72_000, 7_200, 0.0), (72_000, 720, 0.0), (72_000, 7_200, 1e-4)])
def test_staleness_alone_is_no_lead(first: int, second: int, noise: float) -> None:
    """At most 7 % of 1,000 hours."""
    assert share_found(1_000, first=first, second=second, noise=noise) <= 0.07


def test_the_ratio_is_one_where_nobody_leads_while_a_grid_shows_a_lead() -> None:
    ratios, grids = [], []
    for seed in range(12):
        one, other = followed(seed, second=12_000)
        ratios.append(lead_lag(one, other, max_lag="100ms", step="1ms").measured.lead_lag_ratio)
        grid = dict(grid_correlation(one, other, steps=1).select("lag_us", "correlation").iter_rows())
        grids.append(grid[100_000] / grid[-100_000])
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.04)
    assert np.mean(grids) > 1.7


def test_the_lead_of_the_simulated_market_is_measured() -> None:
    """`pointline.simulate` was written without this estimator: its perpetual is 100 ms ahead, with bounce, bursts and common stamps."""
    day = simulate_day(MarketConfig(perp_trades_per_day=400_000, perp_spot_ratio=5), 0)
    perp, spot = (frame.rename({"ts_event_us": "ts_local_us"}) for frame in (day.perp, day.spot))
    found = lead_lag(perp, spot, max_lag="500ms", near="200ms", names=("perp", "spot"))
    assert day.truth["lead_ms"] == 100
    assert abs(found.measured.peak_us - 100_000) <= 20_000
    assert found.leader == "perp"


# --- the verdict ----------------------------------------------------------------------------------------------------------------


def changed(found: LeadLag, *, tolerance_us: int | None = None, null: dict[str, Any] | None = None, **figures: Any) -> LeadLag:  # noqa: ANN401
    kept = found.clock_tolerance_us if tolerance_us is None else tolerance_us
    return replace(found, measured=replace(found.measured, **figures), null=replace(found.null, **(null or {})), clock_tolerance_us=kept)


def test_a_verdict_names_who_leads_and_by_how_much(led: LeadLag) -> None:
    sure = changed(led, tolerance_us=1_000, peak_us=20_000, peak_interval_us=(15_000, 30_000), asymmetry_t=6.0, asymmetry_p=1e-6)
    assert sure.leader == "perp"
    expected = "perp leads spot by 20 ms (peak +20 ms, interval +15 to +30 ms, t 6.0), if the clocks agree within 1 ms."
    assert sure.verdict == expected


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tolerance_us": 15_000}, "perp looks ahead, but a clock error would look the same: not separable below 15 ms"),
        ({"asymmetry_p": SIGNIFICANT}, "No lead is established: the two sides of the curve do not differ"),
        ({"asymmetry_p": 0.5, "tolerance_us": 15_000}, "the peak is not separable below 15 ms."),
        ({"null": {"asymmetry_p": 0.01}}, "Nothing can be said: the same ticks without a lead give an asymmetry too"),
        ({"peak_correlation": 0.01, "null_band": 0.02}, "No common move is visible at any lag"),
        ({"asymmetry_t": -6.0}, "No lead is established: the curve leans to spot, its peak is on the other side"),
    ],
)
def test_a_verdict_says_why_there_is_no_leader(led: LeadLag, change: dict[str, Any], words: str) -> None:
    sure = {"peak_us": 20_000, "peak_interval_us": (15_000, 30_000), "asymmetry_t": 6.0, "asymmetry_p": 1e-6, "tolerance_us": 1_000}
    found = changed(led, **{**sure, **change})
    assert found.leader is None
    assert words in found.verdict


def test_the_same_seed_gives_the_same_interval(led: LeadLag) -> None:
    assert lead_lag(*followed(1, lead_us=20_000), names=("perp", "spot")).to_dict() == led.to_dict()


# --- what is counted --------------------------------------------------------------------------------------------------------------


def test_flagged_prints_are_left_out() -> None:
    one, other = followed(3)
    flagged = one.with_columns(off_book=pl.int_range(pl.len()) % 50 == 7).with_columns(
        price=pl.when("off_book").then(pl.col("price") * 1.02).otherwise("price")
    )
    clean = lead_lag(one.filter(~flagged["off_book"]), other)
    assert lead_lag(flagged, other).to_dict() == clean.to_dict()
    assert lead_lag(flagged, other, include_off_book=True).measured.peak_correlation < clean.measured.peak_correlation / 2


def test_the_last_price_of_a_stamp_counts() -> None:
    trades = pl.DataFrame({"ts_local_us": [1, 5, 5, 5, 9], "price": [1.0, 7.0, 8.0, math.e, 1.0]})
    ticks = ticks_of(trades, name="x")
    assert ticks.ts_us.tolist() == [1, 5, 9]
    assert ticks.log_price.tolist() == [0.0, 1.0, 0.0]


def test_what_a_price_does_across_a_silence_is_not_counted() -> None:
    one, other = followed(4)
    jump = pl.when(pl.col("ts_local_us") > HOUR_US // 2).then(2.0).otherwise(1.0)
    silent = (pl.col("ts_local_us") - HOUR_US // 2).abs() > 60_000_000
    cut = [frame.filter(silent) for frame in (one, other)]
    plain = lead_lag(*cut)
    jumped = lead_lag(*(frame.with_columns(pl.col("price") * jump) for frame in cut))
    assert plain.gaps == (1, 1)
    assert jumped.measured.curve["correlation"].to_list() == pytest.approx(plain.measured.curve["correlation"].to_list(), abs=1e-9)


def test_only_the_common_window_counts() -> None:
    one, other = followed(5)
    late = other.filter(pl.col("ts_local_us") > HOUR_US // 4)
    found = lead_lag(one, late)
    before = one.filter(pl.col("ts_local_us") <= late["ts_local_us"][0])["ts_local_us"][-1]
    assert found.to_dict() == lead_lag(one.filter(pl.col("ts_local_us") >= before), late).to_dict()
    assert found.window_us == (late["ts_local_us"][0], min(one["ts_local_us"][-1], late["ts_local_us"][-1]))


def test_the_null_is_a_part_of_the_denser_side_s_own_ticks() -> None:
    one, other = (ticks_of(frame, name="x") for frame in followed(6))
    dense, part = thinned(one, other)
    assert dense is one
    assert set(part.ts_us.tolist()) <= set(one.ts_us.tolist())
    assert 0.9 * len(other) < len(part) <= len(other)
    again, same = thinned(other, one)
    assert same is one
    assert again.ts_us.tolist() == part.ts_us.tolist()


# --- what is refused ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"step": "2s"}, "step is longer"),
        ({"max_lag": "1h", "step": "1ms"}, "too many lags"),
        ({"max_lag": 1000}, "max_lag"),
        ({"step": "0s"}, "step must be positive"),
        ({"clock_tolerance_us": -1}, "clock_tolerance_us is no length of time"),
        ({"clock_tolerance_us": 0.5}, "clock_tolerance_us is no length of time"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        lead_lag(*followed(7, second=720), **options)


def test_too_few_changes_say_how_many_are_needed() -> None:
    one, other = followed(8, first=5_000, second=290)
    with pytest.raises(ConfigError, match="too few price changes") as caught:
        lead_lag(one, other)
    assert caught.value.expected == "at least 300 of each"
    assert str(caught.value.value).endswith(" of the second")
    with pytest.raises(ConfigError, match="too few price changes"):
        lead_lag(one, other.clear())
    apart = other.with_columns(pl.col("ts_local_us") + 2 * HOUR_US)
    with pytest.raises(ConfigError, match="too few price changes"):
        lead_lag(one, apart)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ({"ts_local_us": [1, 2]}, "lacks columns"),
        ({"ts_local_us": [2, 1], "price": [1.0, 1.0]}, "not sorted integers"),
        ({"ts_local_us": [1.0, 2.0], "price": [1.0, 1.0]}, "not sorted integers"),
        ({"ts_local_us": [1, 2], "price": [1.0, 0.0]}, "a price that is none"),
        ({"ts_local_us": [1, 2], "price": [1.0, None]}, "a price that is none"),
    ],
)
def test_frames_that_hold_no_trades(frame: dict[str, list[float]], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        lead_lag(followed(9)[0], pl.DataFrame(frame))


def test_pandas_frames_are_refused() -> None:
    one, other = followed(9, first=1_000, second=1_000)
    with pytest.raises(ConfigError, match="second is not a polars frame"):
        lead_lag(one, other.to_pandas())  # type: ignore[arg-type]


# --- the grid -------------------------------------------------------------------------------------------------------------------


def test_the_correlation_on_a_grid_is_that_of_numpy() -> None:
    one, other = followed(10, first=2_000, second=500)
    found = grid_correlation(one, other, interval="10s", steps=2)
    start = max(one["ts_local_us"][0], other["ts_local_us"][0])
    last = min(one["ts_local_us"][-1], other["ts_local_us"][-1])
    prices = []
    for frame in (one, other):
        rows = list(frame.iter_rows())
        prices.append([math.log([price for ts, price in rows if ts <= point][-1]) for point in range(start, last + 1, 10_000_000)])
    x, y = (np.diff(side) for side in prices)
    expected = [np.corrcoef(x[: len(x) - k], y[k:])[0, 1] if k >= 0 else np.corrcoef(y[:k], x[-k:])[0, 1] for k in range(-2, 3)]
    assert found["correlation"].to_list() == pytest.approx(expected)
    assert found["lag_us"].to_list() == [-20_000_000, -10_000_000, 0, 10_000_000, 20_000_000]
