"""Times as datetimes, and frames for pandas."""

from __future__ import annotations

import builtins
import datetime as dt
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import pointline
from pointline.clock import to_us
from pointline.datetimes import TIME_COLUMNS, in_times, with_datetimes
from pointline.errors import ConfigError, MissingExtraError
from pointline.research import query
from pointline.research.resample import assign_to_buckets
from pointline.research.spines import VolumeBarConfig

if TYPE_CHECKING:
    from pathlib import Path

    from tests.demo import Demo

    from pointline import Spreads, Study

UTC_TIME = pl.Datetime("us", "UTC")
WINDOW = ("2024-05-01", "2024-05-02")
PERP = ("binance-futures", "BTCUSDT")
# Columns of all tables and studies that end in _us and are no time, by what they are.
LENGTHS = ("_age_us", "bar_duration_us", "missing_us")


@pytest.fixture(scope="module")
def lake(demo: Demo) -> Path:
    return demo.folder / "lake"


@pytest.fixture(scope="module")
def study(lake: Path) -> Study:
    names = ("binance-futures:BTCUSDT", "binance-spot:BTCUSDT")
    return pointline.compare(*names, start=WINDOW[0], end=WINDOW[1], bars=VolumeBarConfig(100), spot_bars=VolumeBarConfig(20), lake=lake)


@pytest.fixture(scope="module")
def spreads(lake: Path) -> Spreads:
    return pointline.spreads(
        "BTC", reference="binance:BTC-USDT", start=WINDOW[0], end=WINDOW[1], duration="1h", max_trade_age="1h", lake=lake
    )


def test_a_time_keeps_its_instant_and_its_name() -> None:
    us = to_us("2024-05-01 12:30:00.000001")
    frame = with_datetimes(pl.DataFrame({"ts_local_us": [us, None], "spot_age_us": [5, 6], "price": [1.0, 2.0]}))
    assert dict(frame.schema) == {"ts_local_us": UTC_TIME, "spot_age_us": pl.Int64(), "price": pl.Float64()}
    assert frame["ts_local_us"].to_list() == [dt.datetime(2024, 5, 1, 12, 30, 0, 1, tzinfo=dt.UTC), None]
    assert frame["ts_local_us"].dt.epoch("us").to_list() == [us, None]


def test_twice_is_once_and_lazy_stays_lazy() -> None:
    frame = pl.DataFrame({"bucket_end": [to_us("2024-05-01")]})
    assert with_datetimes(with_datetimes(frame)).equals(with_datetimes(frame))
    lazy = with_datetimes(frame.lazy())
    assert isinstance(lazy, pl.LazyFrame)
    assert lazy.collect().equals(with_datetimes(frame))


@pytest.mark.parametrize("name", ["trades", "derivative_ticker", "funding", "open_interest", "candles"])
@pytest.mark.parametrize("decoded", [True, False])
def test_queries_give_times_as_asked(lake: Path, name: str, decoded: bool) -> None:
    ask = getattr(query, name)
    plain = ask(*PERP, *WINDOW, decoded=decoded, lake=lake)
    told = ask(*PERP, *WINDOW, decoded=decoded, times="datetime", lake=lake)
    times = [column for column in plain.columns if column in TIME_COLUMNS]
    assert {"ts_local_us", "ts_event_us"} <= set(times)
    assert [column for column, dtype in told.schema.items() if dtype == UTC_TIME] == times
    assert told.with_columns(pl.col(times).dt.epoch("us")).equals(plain)
    lazy = ask(*PERP, *WINDOW, decoded=decoded, times="datetime", lazy=True, lake=lake)
    assert lazy.collect().equals(told)


def test_every_column_that_ends_in_us_is_a_time_or_a_length(lake: Path, study: Study) -> None:
    frames = [study.features, study.bars, study.labels(), study.spine, pointline.research.list_symbols(lake=lake)]
    frames += [
        getattr(query, name)(*PERP, *WINDOW, lake=lake) for name in ("trades", "derivative_ticker", "funding", "open_interest", "candles")
    ]
    named = {column for frame in frames for column in frame.columns if column.endswith("_us") or "bucket" in column}
    assert {column for column in named if column not in TIME_COLUMNS and not column.endswith(LENGTHS)} == set()
    assert {column for column in TIME_COLUMNS if column.endswith(LENGTHS)} == set()


def test_frames_of_a_study(study: Study) -> None:
    for frame in (study.features, study.bars, study.labels(), study.spine):
        told = with_datetimes(frame)
        assert told["bucket_end"].dtype == UTC_TIME
        assert told["bucket_end"].dt.epoch("us").equals(frame["bucket_end"])
    assert with_datetimes(study.features)["spot_bucket_end"].dtype == UTC_TIME


@pytest.mark.parametrize("times", ["ns", "", None, 1])
def test_there_are_no_other_forms(lake: Path, times: Any) -> None:  # noqa: ANN401 - wrong on purpose
    with pytest.raises(ConfigError, match="no such form of times"):
        query.trades(*PERP, *WINDOW, times=times, lake=lake)
    with pytest.raises(ConfigError, match="no such form of times"):
        in_times(pl.DataFrame(), times)


def test_other_frames_are_refused(study: Study) -> None:
    with pytest.raises(ConfigError, match="no polars frame"):
        with_datetimes(study.to_pandas())


def test_functions_that_count_in_integers_say_so(lake: Path, study: Study) -> None:
    trades = query.trades(*PERP, *WINDOW, times="datetime", lake=lake)
    with pytest.raises(ConfigError, match="the times of the events are no integers") as caught:
        assign_to_buckets(trades, study.spine)
    assert 'times="us"' in str(caught.value)
    with pytest.raises(ConfigError, match="the times of the spine are no integers"):
        assign_to_buckets(query.trades(*PERP, *WINDOW, lake=lake), with_datetimes(study.spine))


# ---- pandas


def test_a_study_for_pandas_is_indexed_by_when_each_row_was_known(study: Study) -> None:
    import pandas as pd

    frame = study.to_pandas()
    assert isinstance(frame.index, pd.DatetimeIndex)
    assert (frame.index.name, str(frame.index.tz)) == ("bucket_end", "UTC")
    assert [stamp.value // 1_000 for stamp in frame.index] == study.features["bucket_end"].to_list()
    assert list(frame.columns) == [name for name in study.features.columns if name != "bucket_end"]
    assert str(frame["bucket_start"].dtype) == "datetime64[us, UTC]"
    assert frame["basis_bps"].tolist() == pytest.approx(study.features["basis_bps"].fill_null(float("nan")).to_list(), nan_ok=True)
    noon = frame.loc["2024-05-01 12:00":]
    assert 0 < len(noon) < len(frame)


def test_spreads_for_pandas_are_indexed_by_the_candle_s_end(spreads: Spreads) -> None:
    frame = spreads.to_pandas()
    assert (frame.index.name, str(frame.index.tz)) == ("end", "UTC")
    assert frame["spread"].tolist() == pytest.approx(spreads.table["spread"].fill_null(float("nan")).to_list(), nan_ok=True)
    assert len(frame) == spreads.table.height


def test_without_pandas_the_error_says_what_to_install(study: Study, spreads: Spreads, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:  # noqa: ANN401 - as the builtin
        if name == "pandas":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    for made in (study, spreads):
        with pytest.raises(MissingExtraError, match="need pandas") as caught:
            made.to_pandas()
        assert caught.value.hint == "pip install 'pointline[pandas]'"


# ---- progress of compare


def test_compare_tells_how_far_it_is(lake: Path) -> None:
    told: list[tuple[int, int, str]] = []
    names = ("binance-futures:BTCUSDT", "binance-spot:BTCUSDT")

    def made(progress: Any = None) -> pl.DataFrame:  # noqa: ANN401 - as `compare` takes it
        rule = VolumeBarConfig(100)
        return pointline.compare(*names, start="2024-05-01", end="2024-05-03", bars=rule, lake=lake, progress=progress).features

    quiet, loud = made(), made(lambda *values: told.append(values))
    day = 86_400_000_000
    assert told == [(day, 2 * day, "2024-05-01"), (2 * day, 2 * day, "2024-05-02")]
    assert loud.equals(quiet)
