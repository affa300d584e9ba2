"""The checklist of a study: its facts are those of the study, and its shapes for people and programs hold the same figures."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from tests.report.exposition import samples_of

import pointline
from pointline.clock import HOUR_US
from pointline.costs import CostModel
from pointline.errors import ConfigError
from pointline.evaluation import STATUS_CODES, CheckLimits, CheckPoint
from pointline.research.spines import TimeBarConfig

if TYPE_CHECKING:
    from tests.demo import Demo

    from pointline.studies.checklist import Checklist

PAIR = ("binance-futures:BTCUSDT", "binance-spot:BTCUSDT")


def compared(demo: Demo, **options: Any) -> pointline.Study:  # noqa: ANN401 -- whatever compare takes
    window = {"start": "2024-05-01", "end": "2024-05-03", **options}
    return pointline.compare(*PAIR, lake=demo.folder / "lake", **window)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def study(demo: Demo) -> pointline.Study:
    return compared(demo)


def points(found: Checklist) -> dict[str, CheckPoint]:
    return {point.name: point for point in found.points}


def test_the_figures_are_those_of_the_study(study: pointline.Study) -> None:
    found = points(study.checklist())
    features, summary = study.features, study.summary
    assert found["volume_ratio"].value == features["perp_volume"].sum() / features["spot_volume"].sum()
    assert found["spot_volume"].value == features["spot_volume"].median()
    nulls = {name: features[name].null_count() / features.height for name in ("volatility_ratio", "basis_bps", "flow_basis_interaction")}
    assert found["data_quality"].value == max(nulls.values())
    assert found["funding"].value == 0.0
    assert found["data_age"].value == summary["share_bars_stale_spot"]
    assert found["holes"].value == 1 - min(side["share"] for side in summary["coverage"].values())
    assert found["flagged"].value == 2 / 40_000  # the demo has two insurance-fund prints
    assert found["quarantined"].value == 0.0
    assert (found["funding_interval"].status, found["funding_interval"].value) == ("pass", 0)
    assert (found["fees"].status, found["fees"].value) == ("warn", 0.0)
    assert {name for name, point in found.items() if point.status == "unknown"} == {"ic", "selection"}


def test_an_evaluation_and_trials_answer_the_points_that_need_them(study: pointline.Study) -> None:
    evaluation = pl.DataFrame({"feature": ["basis_bps"], "label": ["spot"], "ic": [0.08], "significant": [True], "ic_out": [0.07]})
    found = points(study.checklist(evaluation=evaluation, trials=1))
    assert (found["ic"].status, found["ic"].value) == ("pass", 0.07)
    assert found["selection"].status == "pass"


def test_what_study_ic_found_answers_them_by_its_returns(study: pointline.Study) -> None:
    judged = study.ic(["basis_bps", "perp_hl_spread"], horizons=(1,), draws=0)
    found = points(study.checklist(evaluation=judged))
    returns = judged.table.filter(pl.col("label").str.ends_with("return"))
    standing = returns.filter("stands")["ic_out"].max()
    assert found["ic"].value == (returns["ic_out"].max() if standing is None else standing)
    assert found["selection"].value == judged.summary["trials"] == judged.table["p"].drop_nulls().len()
    assert found["selection"].status == "pass"


def test_limits_decide(study: pointline.Study) -> None:
    wide = CheckLimits(spot_volume_base=0.0, null_share=1.0, stale_share_fail=1.0)
    assert not study.checklist().passed
    assert study.checklist(limits=wide).passed
    assert "No point fails" in study.checklist(limits=wide).verdict


def test_costs_below_the_preset_fail(study: pointline.Study) -> None:
    cheap = replace(study, params=replace(study.params, costs=CostModel(perp_taker_bps=2.0)))
    assert points(cheap.checklist())["fees"].status == "fail"
    named = replace(study, params=replace(study.params, costs=CostModel(perp_taker_bps=2.0, tier="VIP 7")))
    assert points(named.checklist())["fees"].status == "unknown"


def test_flagged_prints_inside_the_bars_are_said(demo: Demo) -> None:
    found = compared(demo, bars=TimeBarConfig("4h"), include_off_book=True).checklist()
    assert "They are in the bars" in points(found)["flagged"].advice


def test_bars_that_the_join_drops_count_for_the_spot_volume(demo: Demo) -> None:
    inner = compared(demo, bars=TimeBarConfig("1m"), join="inner")
    median = points(inner.checklist())["spot_volume"].value
    assert median == inner.bars["spot_volume"].median()
    assert median < inner.features["spot_volume"].median()


def test_a_study_in_a_file_has_the_same_checklist(demo: Demo, tmp_path: Path) -> None:
    held, written = (compared(demo, bars=TimeBarConfig("30m"), output=path) for path in (None, tmp_path / "features.parquet"))
    assert held.checklist().points == written.checklist().points
    assert held.by_time_of_day().equals(written.by_time_of_day())


def test_table_summary_and_pickle(study: pointline.Study) -> None:
    found = study.checklist()
    assert found.table.columns == ["point", "status", "value", "threshold", "unit", "advice", "source"]
    assert found.table.rows(named=True)[1]["status"] == "fail"
    assert found.summary["counts"] == {status: sum(point.status == status for point in found.points) for status in STATUS_CODES}
    assert found.summary["fail"] == [point.name for point in found.points if point.status == "fail"]
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301 -- our own bytes
    html = found._repr_html_()
    assert "&lt;= 0.01" in html
    assert found.verdict in html


def test_a_study_from_a_pickle_needs_no_lake(demo: Demo, tmp_path: Path) -> None:
    lake = Path(shutil.copytree(demo.folder / "lake", tmp_path / "lake"))
    study = pointline.compare(*PAIR, start="2024-05-01", end="2024-05-02", lake=lake)
    held, packed = study.checklist(), pickle.dumps(study)
    shutil.rmtree(lake)
    again = pickle.loads(packed)  # noqa: S301 -- our own bytes
    assert again.checklist() == held
    assert again.by_time_of_day().equals(study.by_time_of_day())


def test_a_basis_between_unlike_quotes_is_judged_under_its_own_name(study: pointline.Study) -> None:
    renamed = {name: f"cross_quote_{name}" for name in ("basis_bps", "vwap_basis_bps", "log_basis_bps")}
    mixed = replace(study, _table=study.features.rename(renamed))
    assert points(mixed.checklist()) == points(study.checklist())


@pytest.mark.parametrize("timestamps", [False, True])
def test_prometheus_has_the_same_figures(study: pointline.Study, timestamps: bool) -> None:
    found = study.checklist()
    samples = samples_of(found.to_prometheus(timestamps=timestamps))
    assert {sample.ms for sample in samples} == {found.end_us // 1_000 if timestamps else None}
    told = {(sample.name, sample.labels.get("point")): sample.value for sample in samples}
    for point in found.points:
        assert told["pointline_check_status", point.name] == STATUS_CODES[point.status]
        assert told.get(("pointline_check_value", point.name)) == point.value
    assert told["pointline_check_window_end_seconds", None] == 1_714_694_400
    assert all((sample.labels["perp"], sample.labels["spot"]) == PAIR for sample in samples)


def test_volumes_by_hour_are_those_of_the_bars(study: pointline.Study) -> None:
    table = study.by_time_of_day()
    assert table["bars"].sum() == study.features.height
    assert table["spot_volume"].sum() == pytest.approx(study.features["spot_volume"].sum())
    third = study.features.filter(pl.col("bucket_start") % (24 * HOUR_US) // HOUR_US == 3)
    assert table.row(3, named=True)["volume_ratio"] == pytest.approx(third["perp_volume"].sum() / third["spot_volume"].sum())
    assert table.row(3, named=True)["advice"] == "below 5: consider the dual spine"


def test_a_dual_spine_has_no_hours_but_a_checklist(demo: Demo) -> None:
    dual = compared(demo, bars=TimeBarConfig("30m"), spot_bars=TimeBarConfig("1h"))
    with pytest.raises(ConfigError, match="one spine"):
        dual.by_time_of_day()
    assert points(dual.checklist())["volume_ratio"].status == "pass"


def test_limits_of_another_type_are_refused(study: pointline.Study) -> None:
    with pytest.raises(ConfigError, match="limits has the wrong type"):
        study.checklist(limits={"ic": 0.1})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="limits has the wrong type"):
        study.by_time_of_day(limits=5)  # type: ignore[arg-type]
