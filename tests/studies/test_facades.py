"""Both studies have one shape: a table, a summary, a chart, a place in the lake, a view for notebooks, and a copy by pickle."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import pointline
from pointline.bars.given import GivenBars
from pointline.clock import to_us
from pointline.costs import CostModel
from pointline.errors import ConfigError
from pointline.features import FeatureParams
from pointline.research import query
from pointline.research.resample import assign_to_buckets
from pointline.research.spines import TimeBarConfig, VolumeBarConfig, get_builder
from pointline.studies.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.demo import Demo

    from pointline.lake.store import Lake
    from pointline.studies.study import Study

PAIR = ("binance-futures:BTCUSDT", "binance-spot:BTCUSDT")
WINDOW = {"start": "2024-05-01", "end": "2024-05-03"}


@pytest.fixture(scope="module")
def lake(demo: Demo) -> Lake:
    return pointline.open_lake(demo.folder / "lake")


@pytest.fixture(scope="module")
def study(lake: Lake) -> Study:
    return pointline.compare(*PAIR, **WINDOW, bars=VolumeBarConfig(20), lake=lake)


@pytest.fixture(scope="module")
def spreads(lake: Lake) -> pointline.Spreads:
    return pointline.spreads("BTC", reference="binance:BTC-USDT", **WINDOW, duration="1h", lake=lake)


def test_summaries_are_of_one_type(study: Study, spreads: pointline.Spreads) -> None:
    for summary in (study.summary, spreads.summary):
        assert isinstance(summary, Summary)
        assert summary.frame().columns == ["figure", "value"]
    names = study.summary.frame()["figure"].to_list()
    assert {"bars", "coverage.perp.share", "quantiles.basis_bps.0.5"} < set(names)
    assert "summary.0.mean_spread" in spreads.summary.frame()["figure"].to_list()


def test_notebooks_show_them_escaped(study: Study, spreads: pointline.Spreads) -> None:
    assert "binance-futures:BTCUSDT against binance-spot:BTCUSDT" in study._repr_html_()
    assert "<td" in study.summary._repr_html_()
    assert "BTC: 1 contract against binance:BTC-USDT" in spreads._repr_html_()
    assert "&lt;b&gt;" in Summary({"note": "<b>"})._repr_html_()


def test_a_pickled_study_is_whole_without_its_lake(study: Study, spreads: pointline.Spreads) -> None:
    copy, other = pickle.loads(pickle.dumps((study, spreads)))  # noqa: S301 - they were written a moment ago
    assert_frame_equal(copy.features, study.features)
    assert copy.summary == study.summary
    assert copy.labels().equals(study.labels())
    assert (copy.rule_text, copy.notes, copy.params) == (study.rule_text, study.notes, study.params)
    assert_frame_equal(other.table, spreads.table)
    assert other.summary == spreads.summary


# --- a spine of one's own ---------------------------------------------------------------------------------------------------------


def test_the_spine_of_a_rule_gives_the_bars_of_the_rule(lake: Lake, study: Study) -> None:
    again = pointline.compare(*PAIR, **WINDOW, bars=study.spine, lake=lake)
    assert_frame_equal(again.features.drop("perp_vwap", "spot_vwap"), study.features.drop("perp_vwap", "spot_vwap"), rel_tol=1e-9)
    assert again.spine.equals(study.spine)
    assert again.rule_text.startswith(f"a spine of {study.spine.height:,} windows")


def test_windows_that_do_not_touch_hold_their_own_trades_only(lake: Lake) -> None:
    minutes = pointline.compare(*PAIR, **WINDOW, bars=TimeBarConfig("1m"), lake=lake)
    some = minutes.spine.filter(pl.int_range(pl.len()) % 3 == 0).select("bucket_start", "bucket_end")
    found = pointline.compare(*PAIR, **WINDOW, bars=some, lake=lake).bars
    expected = minutes.bars.filter(pl.int_range(pl.len()) % 3 == 0)
    amounts = [
        "bucket_start",
        "bucket_end",
        "perp_trade_count",
        "perp_volume",
        "spot_trade_count",
        "perp_close",
        "spot_close",
        "spot_age_us",
    ]
    assert_frame_equal(found.select(amounts), expected.select(amounts), rel_tol=1e-12)
    assert found["bar_id"].to_list() == list(range(some.height))


def test_counts_equal_those_of_assignment(lake: Lake) -> None:
    driver = lake.registry().find("binance-futures", "BTCUSDT", to_us("2024-05-01")).symbol_id
    start, end = "2024-05-01 00:30", "2024-05-01 23:00"
    rule = TimeBarConfig("17m")
    spine = get_builder("time").build_spine(symbol_id=driver, start_ts_us=start, end_ts_us=end, config=rule, lake=lake)
    found = pointline.compare(*PAIR, **WINDOW, bars=spine, lake=lake).bars
    trades = query.trades("binance-spot", "BTCUSDT", **WINDOW, lake=lake).filter(~pl.col("off_book"))
    counted = assign_to_buckets(trades, spine).drop_nulls("bucket_start").group_by("bucket_start").len().sort("bucket_start")
    assert found.filter(spot_trade_count=0).height + counted.height == spine.height
    assert found.filter(pl.col("spot_trade_count") > 0)["spot_trade_count"].to_list() == counted["len"].to_list()


def test_a_spine_that_ends_earlier_changes_no_bar_before(lake: Lake) -> None:
    minutes = pointline.compare(*PAIR, **WINDOW, bars=TimeBarConfig("1h"), lake=lake).spine
    whole = pointline.compare(*PAIR, **WINDOW, bars=minutes, lake=lake).features
    cut = pointline.compare(*PAIR, **WINDOW, bars=minutes.head(20), lake=lake).features
    assert cut.equals(whole.head(20))


@pytest.mark.parametrize(
    ("spine", "words"),
    [
        ({"start": [1], "end": [2]}, "lacks columns"),
        ({"bucket_start": [1.0], "bucket_end": [2.0]}, "lacks columns"),
        ({"bucket_start": pl.Series([], dtype=pl.Int64), "bucket_end": pl.Series([], dtype=pl.Int64)}, "no window"),
        ({"bucket_start": [5, 1], "bucket_end": [6, 2]}, "out of order"),
        ({"bucket_start": [1, 2], "bucket_end": [3, 4]}, "overlap"),
        ({"bucket_start": [1], "bucket_end": [1]}, "empty"),
        ({"bucket_start": [1, None], "bucket_end": [2, 4]}, "out of order"),
    ],
)
def test_a_spine_that_cannot_be_used(spine: dict[str, list[int]], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        GivenBars(pl.DataFrame(spine))


# --- values of another type -------------------------------------------------------------------------------------------------------


WRONG: dict[str, tuple[Callable[[Lake], object], str]] = {
    "bars": (lambda lake: pointline.compare(*PAIR, **WINDOW, bars=100.0, lake=lake), "a rule, a spine or the word auto"),  # type: ignore[arg-type]
    "rule class": (lambda lake: pointline.compare(*PAIR, **WINDOW, bars=VolumeBarConfig, lake=lake), "a rule, a spine"),  # type: ignore[arg-type]
    "sweep": (lambda lake: list(pointline.sweep(*PAIR, **WINDOW, bars=VolumeBarConfig(1), lake=lake)), "a list of rules"),  # type: ignore[arg-type]
    "empty sweep": (lambda lake: list(pointline.sweep(*PAIR, **WINDOW, bars=[], lake=lake)), "a list of rules"),
    "sweep of numbers": (lambda lake: list(pointline.sweep(*PAIR, **WINDOW, bars=[5.0], lake=lake)), "a list of rules"),  # type: ignore[list-item]
    "params": (lambda lake: pointline.compare(*PAIR, **WINDOW, params={}, lake=lake), "params has the wrong type"),  # type: ignore[arg-type]
    "costs": (lambda lake: pointline.compare(*PAIR, **WINDOW, costs=40, lake=lake), "costs has the wrong type"),  # type: ignore[arg-type]
    "state": (lambda lake: pointline.compare(*PAIR, **WINDOW, state="1m", lake=lake), "state has the wrong type"),  # type: ignore[arg-type]
    "spot_bars": (lambda lake: pointline.compare(*PAIR, **WINDOW, spot_bars=5, lake=lake), "spot_bars is not a bar rule"),  # type: ignore[arg-type]
    "perp": (lambda lake: pointline.compare(7, PAIR[1], **WINDOW, lake=lake), "named by exchange and symbol"),  # type: ignore[arg-type]
    "lake": (lambda _: pointline.compare(*PAIR, **WINDOW, lake=7), "lake"),  # type: ignore[arg-type]
    "both costs": (
        lambda lake: pointline.compare(
            *PAIR, **WINDOW, costs=CostModel(), params=FeatureParams(costs=CostModel.same_exchange()), lake=lake
        ),
        "given twice",
    ),
    "events": (lambda _: assign_to_buckets({"ts_local_us": [1]}, pl.DataFrame()), "events is not a polars frame"),  # type: ignore[call-overload]
}


@pytest.mark.parametrize("case", WRONG)
def test_a_value_of_another_type_is_one_clear_error(lake: Lake, case: str) -> None:
    call, words = WRONG[case]
    with pytest.raises(ConfigError, match=words):
        call(lake)


def test_pandas_frames_are_told_how_to_get_in() -> None:
    frame = pl.DataFrame({"ts_local_us": [1]}).to_pandas()
    with pytest.raises(ConfigError, match="not a polars frame") as caught:
        assign_to_buckets(frame, pl.DataFrame({"bucket_start": [0], "bucket_end": [2]}))  # type: ignore[call-overload]
    assert "pl.from_pandas" in str(caught.value)
