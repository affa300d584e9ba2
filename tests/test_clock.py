"""Durations carry their unit; a bare number that makes no sense is refused with what was probably meant."""

from __future__ import annotations

import datetime as dt
import pickle
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointline.bars.rules import check_bars
from pointline.clock import BARE_FLOOR_US, DAY_US, MOST_BARS, SECOND_US, check_count, duration_text, to_duration_us, to_us
from pointline.curves.grid import candle_grid
from pointline.errors import ConfigError
from pointline.features import FeatureParams, label_names
from pointline.research.spines import TimeBarConfig
from pointline.state.attach import StateParams

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY_DOOR: dict[str, Callable[[Any], object]] = {
    "bars": lambda value: TimeBarConfig(value).interval_us,
    "spot age": lambda value: FeatureParams(max_spot_age_us=value).max_spot_age_us,
    "perp age": lambda value: FeatureParams(max_perp_age_us=value).max_perp_age_us,
    "hole": lambda value: FeatureParams(max_hole_us=value).max_hole_us,
    "ticker age": lambda value: StateParams(max_ticker_age_us=value).max_ticker_age_us,
    "settled age": lambda value: StateParams(max_settled_age_us=value).max_settled_age_us,
    "open interest age": lambda value: StateParams(max_open_interest_age_us=value).max_open_interest_age_us,
    "label": lambda value: to_duration_us(label_names((), (value,))[0].rpartition("_")[2]),
    "candles": lambda value: candle_grid("2024-05-01", "2024-05-31", value).duration_us,
}


@pytest.mark.parametrize("door", EVERY_DOOR)
@pytest.mark.parametrize("value", ["10m", "600s", "5m300s", dt.timedelta(minutes=10), 600_000_000, np.int64(600_000_000), " 10 m "])
def test_every_door_reads_the_same_durations(door: str, value: object) -> None:
    assert EVERY_DOOR[door](value) == 600 * SECOND_US


@pytest.mark.parametrize("door", EVERY_DOOR)
@pytest.mark.parametrize("value", [60, np.int32(60), "60", 3_600, 86_400, 60_000, 1, 99_999])
def test_a_number_that_is_evidently_not_microseconds_is_refused_with_what_was_meant(door: str, value: Any) -> None:  # noqa: ANN401
    with pytest.raises(ConfigError, match=f"'{value}s' or {int(value) * SECOND_US:_} for seconds"):
        EVERY_DOOR[door](value)


@pytest.mark.parametrize("door", EVERY_DOOR)
@pytest.mark.parametrize(
    "value",
    [0, -60, "0s", dt.timedelta(0), dt.timedelta(seconds=-1), True, 6e7, None, "", "minute", "1.5h", "10 x", "1M", "9" * 40 + "s", 1 << 63],
)
def test_what_is_no_duration_is_refused_everywhere(door: str, value: object) -> None:
    if not (value is None and door == "settled age"):  # there None is twice the funding interval
        with pytest.raises(ConfigError):
            EVERY_DOOR[door](value)


def test_a_unit_makes_any_length_possible() -> None:
    assert to_duration_us("60us") == FeatureParams(max_spot_age_us="60us").max_spot_age_us == 60
    assert TimeBarConfig("250ms").interval_us == 250_000
    assert to_duration_us(BARE_FLOOR_US) == BARE_FLOOR_US
    assert to_duration_us("0", least_us=0) == to_duration_us(0, least_us=0) == 0
    with pytest.raises(ConfigError, match="too short"):
        FeatureParams(max_hole_us="999ms")


@given(st.integers(1, 10**15))
def test_a_duration_is_read_as_it_is_written(us: int) -> None:
    assert to_duration_us(duration_text(us)) == us
    assert to_duration_us(dt.timedelta(microseconds=us)) == us


def test_parameters_hold_microseconds() -> None:
    params = FeatureParams(max_spot_age_us="5m", max_perp_age_us=dt.timedelta(seconds=30))
    assert params == FeatureParams(max_spot_age_us=300_000_000, max_perp_age_us="30s")
    assert vars(params)["max_spot_age_us"] == 300_000_000
    assert FeatureParams().max_spot_age_us == FeatureParams().max_hole_us == 60 * SECOND_US
    assert repr(StateParams(max_ticker_age_us="2m")).startswith("StateParams(max_ticker_age_us=120000000")


@given(st.integers(1, DAY_US), st.integers(1, 400))
def test_too_many_bars_are_refused_by_their_number(length_us: int, days: int) -> None:
    rule, end_us = TimeBarConfig(f"{length_us}us"), days * DAY_US
    count = -(-end_us // length_us)
    if count <= MOST_BARS:
        check_bars(rule, 0, end_us)
    else:
        with pytest.raises(ConfigError, match=f"{count:,} bars"):
            check_bars(rule, 0, end_us)


def test_too_many_candles_are_refused() -> None:
    with pytest.raises(ConfigError, match=f"at most {MOST_BARS:,}"):
        check_count(to_us("2009-01-01"), to_us("2100-01-01"), 60 * SECOND_US, what="candles")
    with pytest.raises(ConfigError, match="candles, more than are held"):
        candle_grid("2009-01-01", "2100-01-01", "1m")


def test_times_may_be_numpy_integers() -> None:
    assert to_us(np.int64(1_714_521_600_000_000)) == to_us("2024-05-01")  # type: ignore[arg-type]


def test_horizons_are_distinct_lengths() -> None:
    assert label_names((np.int64(2),), ("10m", 3_600_000_000))[::3] == [  # type: ignore[arg-type]
        "perp_forward_ret_2bar",
        "perp_forward_ret_10m",
        "perp_forward_ret_1h",
    ]
    with pytest.raises(ConfigError, match="horizons_us cannot be used"):
        label_names((), ("10m", "600s"))


def test_parameters_with_short_durations_can_be_copied() -> None:
    params = FeatureParams(max_spot_age_us="60us")
    assert replace(params, z_bars=7).max_spot_age_us == 60
    assert pickle.loads(pickle.dumps(params)) == params  # noqa: S301 - it was written a moment ago


@pytest.mark.parametrize("unit", ["D", "s", "ms", "us", "ns"])
def test_times_of_numpy_and_pandas_are_read(unit: str) -> None:
    day = np.datetime64("2024-05-01", unit)
    assert to_us(day) == to_us(pd.Timestamp(day)) == to_us(np.int64(1_714_521_600_000_000)) == 1_714_521_600_000_000
    assert to_us(pd.Timestamp("2024-05-01 02:00:00.000001999", tz="Europe/Berlin")) == 1_714_521_600_000_001  # nanoseconds are cut off
    assert to_duration_us(np.timedelta64(90, "s")) == to_duration_us(pd.Timedelta("90s")) == 90_000_000


@pytest.mark.parametrize("value", [np.datetime64("NaT"), pd.NaT, np.datetime64("1970-01-01"), np.float64(1.7e15)])
def test_what_is_no_time_of_numpy_or_pandas_is_refused(value: Any) -> None:  # noqa: ANN401 - of a type that is refused
    with pytest.raises(ConfigError):
        to_us(value)


@pytest.mark.parametrize("value", [np.timedelta64("NaT"), pd.NaT])
def test_what_is_no_duration_is_refused(value: Any) -> None:  # noqa: ANN401 - of a type that is refused
    with pytest.raises(ConfigError):
        to_duration_us(value)
