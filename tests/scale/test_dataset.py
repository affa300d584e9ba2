"""A dataset equals one comparison of its window, is made once, goes on where it stopped, and shows what is wrong with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.scale.working import PAIR, bytes_of

import pointline
from pointline import scale
from pointline.errors import BusyError, ConfigError, DamageError, NoDataError, PointlineError
from pointline.features import FeatureParams
from pointline.research.spines import (
    AdaptiveTradeConfig,
    AdaptiveVolumeConfig,
    DollarBarConfig,
    TimeBarConfig,
    TradeBarConfig,
    VolumeBarConfig,
)
from pointline.scale import runner
from pointline.scale.files import sha256_of
from pointline.scale.folder import DatasetFolder
from pointline.studies.compare import compare_part

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore::pointline.studies.coverage.CoverageWarning")  # the notes of datasets are looked at

WINDOW = {"start": "2024-05-01", "end": "2024-05-07"}
HOURS = TimeBarConfig("1h")


def made(lake: str, output: Path, **changed: Any) -> scale.ScaledDataset:  # noqa: ANN401
    return scale.compare([PAIR], **{**WINDOW, "bars": HOURS, "days_per_task": 1, "cache": False, "lake": lake, **changed}, output=output)


@pytest.mark.parametrize(
    ("window", "options"),
    [
        (WINDOW, {"bars": TimeBarConfig("15m")}),  # 100 bars back reach over two midnights
        pytest.param(WINDOW, {"bars": TradeBarConfig(40), "join": "inner"}, marks=pytest.mark.slow),
        ({"start": "2024-05-02 05:30", "end": "2024-05-06 17:10"}, {"bars": DollarBarConfig(500_000), "include_off_book": True}),
        pytest.param(WINDOW, {"bars": HOURS, "spot_bars": TimeBarConfig("10m")}, marks=pytest.mark.slow),
        pytest.param(
            WINDOW, {"bars": VolumeBarConfig(20), "base_bars": VolumeBarConfig(2), "costs": "same-exchange"}, marks=pytest.mark.slow
        ),
        pytest.param(WINDOW, {"bars": TimeBarConfig("45m", anchor="start")}, marks=pytest.mark.slow),
        ({"start": "2024-05-02", "end": "2024-05-05"}, {"bars": "auto", "params": FeatureParams(max_spot_age_us="1h", z_bars=3)}),
    ],
)
def test_the_rows_are_those_of_one_comparison_bit_for_bit(
    lake: str, tmp_path: Path, window: dict[str, str], options: dict[str, Any]
) -> None:
    study = pointline.compare(*PAIR, **window, **options, lake=lake, cache=False)
    for days in (1, 4):
        found = made(lake, tmp_path / str(days), days_per_task=days, **window, **options)
        assert_frame_equal(found.features().collect(), study.features, check_exact=True)
    assert found.cases["rule"].to_list() == [study.rule.text]


ADAPTIVE = AdaptiveVolumeConfig(48, trailing_days=2, segments=4, least_days=1)


def test_thresholds_that_follow_the_market_are_those_of_one_comparison(lake: str, tmp_path: Path) -> None:
    window = {"start": "2024-05-02", "end": "2024-05-06 17:00"}
    options: dict[str, Any] = {"bars": ADAPTIVE, "spot_bars": AdaptiveTradeConfig(30, trailing_days=6, least_days=1)}
    study = pointline.compare(*PAIR, **window, **options, lake=lake, cache=False)
    found = made(lake, tmp_path / "made", **window, **options)
    assert found.files.height == 4
    assert_frame_equal(found.features().collect(), study.features, check_exact=True)
    assert found.thresholds().height == 5 * 4
    assert_frame_equal(found.thresholds(), study.thresholds, check_exact=True)
    assert made(lake, tmp_path / "hours", days_per_task=9).thresholds().is_empty()


def test_labels_beside_such_bars_are_those_of_one_window(lake: str, tmp_path: Path) -> None:
    window = {"start": "2024-05-02", "end": "2024-05-07"}
    study = pointline.compare(*PAIR, **window, bars=ADAPTIVE, lake=lake, cache=False)
    labelled = study.features.join(study.labels((3,)), on="bucket_end", how="left", maintain_order="left")
    options: dict[str, Any] = {"bars": ADAPTIVE, "horizons_bars": (3,), "lake": lake, "cache": False}
    found = scale.ic([PAIR], **window, **options, days_per_task=2, output=tmp_path / "made")
    rows = found.features().collect()
    assert_frame_equal(rows, labelled.select(rows.columns), check_exact=True)
    assert_frame_equal(found.thresholds(), study.thresholds, check_exact=True)


@pytest.mark.parametrize(
    ("bars", "join"), [pytest.param(TimeBarConfig("30m"), "asof", marks=pytest.mark.slow), (TradeBarConfig(60), "inner")]
)
def test_labels_are_those_of_one_window(lake: str, tmp_path: Path, bars: Any, join: str) -> None:  # noqa: ANN401
    horizons, times = (1, 60), ("10m", "26h")
    study = pointline.compare(*PAIR, **WINDOW, bars=bars, join=join, lake=lake, cache=False)  # type: ignore[arg-type]
    labelled = study.features.join(study.labels(horizons, times), on="bucket_end", how="left", maintain_order="left")
    options: dict[str, Any] = {"bars": bars, "join": join, "horizons_bars": horizons, "horizons_us": times}
    found = scale.ic([PAIR], **WINDOW, **options, lake=lake, cache=False, days_per_task=1, output=tmp_path / "made")
    rows = found.features().collect()
    assert_frame_equal(rows, labelled.select(rows.columns), check_exact=True)
    assert rows["perp_forward_ret_26h"].drop_nulls().len() > 0


def test_a_horizon_that_cannot_be_used_is_refused_before_the_lake_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="horizons_bars"):
        scale.ic([PAIR], **WINDOW, horizons_bars=(0,), lake=tmp_path / "none", output=tmp_path / "made")


def test_a_sweep_has_a_case_for_each_rule_and_parameters(lake: str, tmp_path: Path) -> None:
    rules, params = [HOURS, TradeBarConfig(50)], [FeatureParams(), FeatureParams(smooth_bars=2)]
    found = scale.sweep([PAIR], **WINDOW, bars=rules, params=params, lake=lake, cache=False, output=tmp_path / "made")
    assert found.cases["case"].to_list() == [0, 1, 2, 3]
    for number, (rule, param) in enumerate((rule, param) for rule in rules for param in params):
        one = pointline.compare(*PAIR, **WINDOW, bars=rule, params=param, lake=lake, cache=False).features
        assert_frame_equal(found.features(case=number).collect(), one, check_exact=True)
    everything = found.scan().collect()
    assert everything.columns[:3] == ["perp", "spot", "case"]
    assert everything.height == found.rows
    hive = pl.scan_parquet(found.root / "data/**/*.parquet", hive_partitioning=True).collect()
    assert hive["perp"].unique().to_list() == [PAIR[0]]
    with pytest.raises(ConfigError, match="several cases"):
        found.features()
    with pytest.raises(ConfigError, match="no case"):
        found.features(case=9)
    with pytest.raises(ConfigError, match="list of bars"):
        scale.sweep([PAIR], **WINDOW, bars=HOURS, lake=lake, output=tmp_path / "other")  # type: ignore[arg-type]


def test_a_scan_has_the_table_of_a_scan(lake: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"events": "trades", "bars": HOURS, "lake": lake, "cache": False}
    found = scale.scan("binance-futures", **WINDOW, **options, output=tmp_path / "made")
    assert_frame_equal(found.table(), pointline.scan("binance-futures", **WINDOW, **options).table, check_exact=True)
    bad = scale.scan([PAIR[0]], **WINDOW, **{**options, "bars": TimeBarConfig("7m"), "events": "candles_1m"}, output=tmp_path / "bad")
    assert bad.table()["status"].to_list() == ["not compared"]
    with pytest.raises(ConfigError, match="no such column"):
        found.table("profit")
    with pytest.raises(ConfigError, match="only a scan"):
        made(lake, tmp_path / "other", days_per_task=9).table()


def test_the_same_call_computes_nothing_twice_and_what_is_damaged_again(lake: str, tmp_path: Path) -> None:
    found = made(lake, tmp_path / "made")
    before = bytes_of(found.root)
    assert found.run is not None
    assert (found.run.computed, found.run.kept) == (5, 0)
    again = made(lake, tmp_path / "made")
    assert again.run is not None
    assert (again.run.computed, again.run.kept) == (0, 5)
    first, second, third, *_ = (found.root / path for path in found.files["path"])
    body = bytearray(first.read_bytes())
    body[len(body) // 2] ^= 1
    first.write_bytes(body)
    second.unlink()
    third.write_bytes(third.read_bytes()[:-1])
    with pytest.raises(ConfigError, match="3 of 5 files are missing or damaged"):
        scale.open_dataset(found.root).check()
    mended = made(lake, tmp_path / "made")
    assert mended.run is not None
    assert (mended.run.computed, mended.run.kept) == (3, 2)
    mended.check()
    record = next((found.root / "records").iterdir())
    record.write_text("{}", encoding="utf-8")
    whole = made(lake, tmp_path / "made")
    assert whole.run is not None
    assert whole.run.computed == 1
    assert bytes_of(found.root) == before


def test_an_interrupted_run_leaves_a_partial_dataset_that_the_same_call_completes(
    lake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = bytes_of(made(lake, tmp_path / "whole").root)
    seen: list[str] = []

    def interrupt(done: int, total: int, path: str) -> None:
        seen.append(path)
        assert total == 5
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made(lake, tmp_path / "made", progress=interrupt)
    with pytest.raises(ConfigError, match="not complete"):
        scale.open_dataset(tmp_path / "made")

    def killed(*arguments: Any) -> Any:  # noqa: ANN401
        compare_part(*arguments)
        raise KeyboardInterrupt  # the file is written, and not at its place

    monkeypatch.setattr(runner, "compare_part", killed)
    with pytest.raises(KeyboardInterrupt):
        made(lake, tmp_path / "made")
    monkeypatch.undo()
    (tmp_path / "made/.staging/left-behind.parquet").write_bytes(b"half")
    found = made(lake, tmp_path / "made")
    assert found.run is not None
    assert (found.run.computed, found.run.kept) == (3, 2)
    assert bytes_of(found.root) == whole
    assert not list((found.root / ".staging").glob("*.parquet"))


def test_a_task_that_fails_stops_no_other_one(lake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def damaged(request: Any, *others: Any) -> Any:  # noqa: ANN401
        tried.append(request.start_us)
        if len(tried) == 2:
            raise DamageError("a data file is damaged", where="some file")
        return compare_part(request, *others)

    monkeypatch.setattr(runner, "compare_part", damaged)
    with pytest.raises(DamageError, match="1 of 5 tasks failed, 4 are done") as told:
        made(lake, tmp_path / "made")
    monkeypatch.undo()
    assert "2024-05-02: a data file is damaged" in str(told.value.value)
    found = made(lake, tmp_path / "made")
    assert found.run is not None
    assert (found.run.computed, found.run.kept) == (1, 4)


def test_a_file_that_does_not_hold_what_was_written_is_no_result(lake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "rows_of_file", lambda _: 1)
    with pytest.raises(DamageError):
        made(lake, tmp_path / "made")
    monkeypatch.undo()
    assert not (tmp_path / "made/data").exists()


def test_another_plan_and_other_files_keep_their_folder(lake: str, tmp_path: Path) -> None:
    made(lake, tmp_path / "made", days_per_task=9)
    before = bytes_of(tmp_path / "made")
    with pytest.raises(ConfigError, match="another plan") as told:
        made(lake, tmp_path / "made", days_per_task=9, end="2024-05-06")
    assert "window_us" in str(told.value.value)
    assert bytes_of(tmp_path / "made") == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other/notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match="other files"):
        made(lake, tmp_path / "other")
    with pytest.raises(ConfigError, match="a file where"):
        made(lake, tmp_path / "other/notes.txt")
    with pytest.raises(ConfigError, match="no place for a dataset"):
        made(lake, "gs://bucket/made")  # type: ignore[arg-type]


def test_one_run_fills_a_folder(lake: str, tmp_path: Path) -> None:
    with pytest.raises(BusyError, match="another run fills"):
        made(lake, tmp_path / "made", progress=lambda *_: made(lake, tmp_path / "made"))


@pytest.mark.parametrize("damage", ["{", '{"plan": 1}\n', ""])
def test_a_damaged_manifest_is_no_dataset(lake: str, tmp_path: Path, damage: str) -> None:
    found = made(lake, tmp_path / "made", days_per_task=9)
    manifest = found.root / "manifest.ndjson"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(damage or text.replace('"rows": ', '"rows": 1', 1), encoding="utf-8")
    with pytest.raises(ConfigError, match="manifest of a dataset is damaged"):
        scale.open_dataset(found.root)
    made(lake, tmp_path / "made", days_per_task=9)
    assert manifest.read_text(encoding="utf-8") == text


def test_what_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no dataset here"):
        scale.open_dataset(tmp_path)
    (tmp_path / "plan.json").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be read"):
        scale.open_dataset(tmp_path)
    (tmp_path / "plan.json").write_text(json.dumps({"cases": [], "format": 2, "key": "x"}), encoding="utf-8")
    with pytest.raises(ConfigError, match="another version"):
        scale.open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"bars": VolumeBarConfig(10**9)}, ConfigError, "no bar completes"),
        ({"bars": HOURS, "start": "2024-05-02 01:10", "end": "2024-05-02 01:50"}, NoDataError, "no whole bar"),
    ],
)
def test_what_one_comparison_refuses_is_refused(
    lake: str, tmp_path: Path, options: dict[str, Any], kind: type[PointlineError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        pointline.compare(*PAIR, **{**WINDOW, **options}, lake=lake)
    with pytest.raises(kind, match=words):
        made(lake, tmp_path / "made", **options)


def test_a_manifest_tells_every_byte(lake: str, tmp_path: Path) -> None:
    found = made(lake, tmp_path / "made")
    head, *lines = [json.loads(line) for line in (found.root / "manifest.ndjson").read_text(encoding="utf-8").splitlines()]
    assert (head["rows"], head["files"], head["plan"]) == (found.rows, 5, found.plan["key"])
    for line in lines:
        path = found.root / line["path"]
        assert (path.stat().st_size, sha256_of(path), pl.read_parquet(path).height) == (line["bytes"], line["sha256"], line["rows"])
    assert DatasetFolder.of(found.root).plan() == found.plan
