"""A plan is the same wherever it is made, its tasks cut the window without a gap, and what a worker cannot do is refused before."""

from __future__ import annotations

import pickle
from dataclasses import fields, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from tests.archives import lake_from, lake_of, trades_archive

from pointline.clock import DAY_US, HOUR_US, to_us
from pointline.errors import ClusterError, ConfigError, NoDataError
from pointline.features import Feature, FeatureParams, register, unregister
from pointline.lake.held import HeldLake
from pointline.research.spines import AdaptiveVolumeConfig, TimeBarConfig, VolumeBarConfig
from pointline.scale.comparison import plan_compare
from pointline.scale.folder import DatasetFolder
from pointline.scale.pins import pinned_files
from pointline.scale.plan import parts_of
from pointline.scale.run import check_sizes
from pointline.scale.runner import run_task
from pointline.scale.task import MOST_RECORD_BYTES, MOST_TASK_BYTES, LabelWork, ScaledCase, ScaleOptions, TaskCall, TaskRecord, own_versions
from pointline.state.attach import StateParams

if TYPE_CHECKING:
    from decimal import Decimal
    from pathlib import Path

    from pointline.scale.plan import ScalePlan

PAIR = ("binance-futures:BTCUSDT", "binance-spot:BTCUSDT")
START = to_us("2024-05-01")
HOURS = TimeBarConfig("1h")


def planned(lake: str, **changed: Any) -> ScalePlan:  # noqa: ANN401
    given = {
        "window": ("2024-05-01", "2024-05-07"),
        "rules": [HOURS],
        "params": [None],
        "costs": None,
        "days_per_task": 1,
        "options": ScaleOptions(),
        **changed,
    }
    return plan_compare(given.pop("markets", [PAIR]), lake=lake, **given)


def call_of(plan: ScalePlan, place: int, folder: Path) -> TaskCall:
    return TaskCall(task=plan.tasks[place], lake=plan.lake, dataset=str(folder), plan=plan.key, versions=own_versions())


def test_tasks_cut_the_window_at_midnights_where_both_sides_traded(lake: str) -> None:
    plan = planned(lake)
    edges = [(one.start_us, one.end_us) for one in plan.tasks]
    assert "1 of the window's days have no spot trades (bars there have no fresh spot): 2024-05-04" in plan.notes[0]
    days = [START + n * DAY_US for n in range(7)]
    assert edges == [(days[0], days[1]), (days[1], days[2]), (days[2], days[3]), (days[3], days[5]), (days[5], days[6])]


@pytest.mark.parametrize(
    ("perp_days", "spot_days", "per_task", "cuts"),
    [
        ((0, 1, 2, 3), (0, 1, 2, 3), 1, (1, 2, 3)),
        ((0, 1, 2, 3), (0, 1, 2, 3), 2, (2,)),
        ((0, 1, 2, 3), (0, 1, 2, 3), 9, ()),
        ((0, 1, 2, 3), (3,), 1, ()),  # one part that has a spot day
        ((0, 1, 2, 3), (0,), 1, ()),  # the rest goes with it
        ((0, 3), (0, 3), 1, (1,)),  # empty days go with the next
        ((0, 1, 3), (0, 2, 3), 1, (1, 3)),
    ],
)
def test_a_part_has_days_of_both_sides(
    tmp_path: Path, perp_days: tuple[int, ...], spot_days: tuple[int, ...], per_task: int, cuts: tuple[int, ...]
) -> None:
    prints = {
        ("binance-futures", "BTCUSDT"): [(START + n * DAY_US + HOUR_US, "100.0", "1.0", False) for n in perp_days],
        ("binance-spot", "BTCUSDT"): [(START + n * DAY_US + HOUR_US, "100.0", "1.0", False) for n in spot_days],
    }
    made = lake_of(tmp_path, prints)
    window = START + HOUR_US, START + 4 * DAY_US - HOUR_US
    pair = planned(str(made.root), days_per_task=9).cases()[0].settled.pair
    edges = [window[0], *(START + n * DAY_US for n in cuts), window[1]]
    assert parts_of(made, pair, window, per_task) == list(pairwise(edges))


def test_a_window_without_one_side_is_refused(lake: str) -> None:
    with pytest.raises(NoDataError, match="spot"):
        planned(lake, window=("2024-05-04", "2024-05-05"))


def test_the_same_call_gives_the_same_keys_and_another_one_others(lake: str) -> None:
    base = planned(lake)
    assert planned(lake).key == base.key
    others = {
        "rule": planned(lake, rules=[TimeBarConfig("30m")]),
        "window": planned(lake, window=("2024-05-01", "2024-05-06")),
        "start": planned(lake, window=("2024-05-02", "2024-05-07")),
        "days": planned(lake, days_per_task=2),
        "params": planned(lake, params=[FeatureParams(z_bars=50)]),
        "costs": planned(lake, costs="same-exchange"),
        "join": planned(lake, options=ScaleOptions(join="inner")),
        "state": planned(lake, options=ScaleOptions(state=StateParams(max_ticker_age_us="2m"))),
        "dual": planned(lake, options=ScaleOptions(spot_bars=HOURS)),
        "base": planned(lake, rules=[VolumeBarConfig(100)], options=ScaleOptions(base_bars=VolumeBarConfig(10))),
        "off book": planned(lake, options=ScaleOptions(include_off_book=True)),
        "labels": planned(lake, labels=LabelWork(horizons_bars=(1,), horizons_us=())),
        "verb": planned(lake, verb="sweep"),
        "boundary": planned(lake, rules=[TimeBarConfig("1h", boundary="reset")]),
    }
    keys = {name: one.key for name, one in others.items()}
    assert len({base.key, *keys.values()}) == len(keys) + 1
    assert planned(lake, options=ScaleOptions(cache=False)).key == base.key  # the result does not depend on it
    assert {one.name for one in fields(ScaleOptions)} == {
        *("join", "events", "state", "spot_bars", "base_bars", "include_off_book", "cache")
    }  # each is above, but for events, whose lakes differ


def test_a_threshold_left_open_is_settled_once(lake: str) -> None:
    plan = planned(lake, rules=["auto"], window=("2024-05-03", "2024-05-07"))
    (case,) = plan.cases()
    assert isinstance(case.settled.rule, VolumeBarConfig)
    assert "the day before the window" in case.settled.rule_note
    assert len(plan.tasks) == 3  # the day without spot goes with the next


@pytest.mark.parametrize("options", [{"rules": [TimeBarConfig("1h", anchor="start")]}, {"options": {"spot_bars": "start"}}])
def test_bars_that_are_counted_from_the_start_make_one_task(lake: str, options: dict[str, Any]) -> None:
    given = dict(options)
    if "options" in given:
        given["options"] = ScaleOptions(spot_bars=TimeBarConfig("1h", anchor="start"))
    (task,) = planned(lake, **given).tasks
    assert (task.start_us, task.end_us) == (START, START + 6 * DAY_US)


class _OwnRule(TimeBarConfig):
    """A rule that no worker knows."""


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"rules": [pl.DataFrame({"bucket_start": [0]})]}, "rules of pointline"),
        ({"rules": [_OwnRule("1h")]}, "rules of pointline"),
        ({"rules": ["weekly"]}, "rules of pointline"),
        ({"rules": []}, "no rules"),
        ({"rules": [HOURS, HOURS]}, "twice"),
        ({"days_per_task": 0}, "days_per_task"),
        ({"days_per_task": 1.5}, "days_per_task"),
        ({"params": ["wide"]}, "params has the wrong type"),
        ({"options": ScaleOptions(join="outer")}, "no such join"),  # type: ignore[arg-type]
        ({"window": ("2024-05-02", "2024-05-02")}, "window"),
        ({"markets": []}, "an exchange or of pairs"),
        ({"markets": [PAIR, PAIR]}, "twice"),
        ({"lake": 3}, "wrong type"),
    ],
)
def test_what_cannot_be_planned_is_refused(lake: str, changed: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        planned(changed.pop("lake", lake) if "lake" in changed else lake, **changed)


def test_features_that_workers_do_not_have_are_refused(lake: str) -> None:
    register(Feature(name="own_basis", formula="2 * basis_bps", unit="bps", inputs=("basis_bps",), build=lambda _: pl.col("basis_bps") * 2))
    try:
        with pytest.raises(ConfigError, match="not known to workers"):
            planned(lake)
    finally:
        unregister("own_basis")


def test_what_goes_through_a_scheduler_is_small(lake: str, tmp_path: Path) -> None:
    plan = planned(lake, labels=LabelWork(horizons_bars=tuple(range(1, 30)), horizons_us=("10m",)))
    call = call_of(plan, 0, tmp_path)
    assert len(pickle.dumps(call)) < 16_384
    check_sizes([call])
    record = TaskRecord(key="k" * 32, path=call.task.path, rows=1 << 40, complete=1 << 40, bytes=1 << 60, sha256="f" * 64)
    assert len(pickle.dumps(record)) < MOST_RECORD_BYTES
    large = replace(call, task=replace(call.task, work=replace(call.task.work, perp="x" * MOST_TASK_BYTES)))
    with pytest.raises(ConfigError, match="too large for a scheduler"):
        check_sizes([large])


def test_other_days_and_markets_change_no_pin_and_a_replaced_file_does(tmp_path: Path) -> None:
    day = [(START + n * HOUR_US, "100.0", "1.0", False) for n in range(24)]
    pair = {("binance-futures", "BTCUSDT"): day, ("binance-spot", "BTCUSDT"): day}
    made = lake_of(tmp_path, pair)

    def pins() -> str:
        case = planned(str(made.root), window=("2024-05-01", "2024-05-02")).cases()[0]
        return pinned_files(HeldLake(made.root), (case.settled.pair.perp, case.settled.pair.spot), START + DAY_US)

    def add(exchange: str, symbol: str, day_us: int, prints: list[Any]) -> None:
        lake_from(tmp_path, [trades_archive(tmp_path / "archives", exchange, symbol, day_us, prints)])

    base = pins()
    add("binance-futures", "ETHUSDT", START, day)
    add("binance-spot", "BTCUSDT", START + 10 * DAY_US, [(us + 10 * DAY_US, *rest) for us, *rest in day])
    assert pins() == base
    add("binance-spot", "BTCUSDT", START, day[:-1])
    assert pins() != base


def test_a_replaced_file_of_the_trailing_days_changes_a_pin(tmp_path: Path) -> None:
    day = [(START + n * HOUR_US, "100.0", "1.0", False) for n in range(24)]
    days = [(us + n * DAY_US, *rest) for n in range(4) for us, *rest in day]
    made = lake_of(tmp_path, {("binance-futures", "BTCUSDT"): days, ("binance-spot", "BTCUSDT"): days})
    window = {"window": ("2024-05-04", "2024-05-05"), "rules": [AdaptiveVolumeConfig(4, trailing_days=3, least_days=2)]}

    def planned_now() -> ScalePlan:
        return planned(str(made.root), **window)

    plan = planned_now()
    DatasetFolder.of(tmp_path / "made").begin(plan.told())
    call = call_of(plan, 0, tmp_path / "made")
    lake_from(tmp_path, [trades_archive(tmp_path / "archives", "binance-futures", "BTCUSDT", START, day[:-1])])
    assert planned_now().key != plan.key
    with pytest.raises(ClusterError, match="changed after the plan was made"):
        run_task(call)


def test_thresholds_that_are_not_decided_are_refused_before_the_first_task(lake: str) -> None:
    with pytest.raises(ConfigError, match="2024-05-01 needs 2 whole days among the 2 before it, and 0 are whole"):
        planned(lake, rules=[AdaptiveVolumeConfig(48, trailing_days=2)])
    decided = AdaptiveVolumeConfig(48).decided_by(_Nothing())
    with pytest.raises(ConfigError, match="rules of pointline"):
        planned(lake, rules=[decided])


class _Nothing:
    """Decides no day."""

    def thresholds(self, day_us: int) -> tuple[Decimal, ...]:
        raise NotImplementedError

    def is_decided(self, day_us: int) -> bool:
        raise NotImplementedError


def test_a_task_of_another_state_of_the_lake_stops(lake: str, tmp_path: Path) -> None:
    plan = planned(lake)
    folder = tmp_path / "made"
    case = plan.tasks[0].work
    assert isinstance(case, ScaledCase)
    DatasetFolder.of(folder).begin(plan.told())
    call = call_of(plan, 0, folder)
    changed = replace(call, task=replace(call.task, work=replace(case, pinned="0" * 32)))
    with pytest.raises(ClusterError, match="changed after the plan was made"):
        run_task(changed)


def test_a_worker_that_lacks_something_says_what(lake: str, tmp_path: Path) -> None:
    plan = planned(lake)
    call = call_of(plan, 0, tmp_path / "made")
    with pytest.raises(ClusterError, match="does not see the dataset's folder"):
        run_task(call)
    with pytest.raises(ClusterError, match="other versions") as told:
        run_task(replace(call, versions={**own_versions(), "polars": "0.1"}))
    assert str(told.value.value) == f"polars {pl.__version__} there, 0.1 here"
    DatasetFolder.of(tmp_path / "made").begin(plan.told())
    with pytest.raises(ClusterError, match="a worker finds no lake"):
        run_task(replace(call, lake=str(tmp_path / "nowhere")))
