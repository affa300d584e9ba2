"""Study.report: what it gathers, what it leaves out and why, where its figures come from, and what it refuses before the work."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.report.pages import backtest, costs, forecast

import pointline
from pointline.clock import MINUTE_US
from pointline.costs import CostModel
from pointline.errors import ConfigError, NoDataError
from pointline.features import FeatureParams
from pointline.research.spines import TimeBarConfig, VolumeBarConfig
from pointline.studies import report_evidence
from pointline.studies.provenance import call_text, digest, sources
from pointline.studies.report_data import basis_section
from pointline.studies.report_trading import backtest_section, forecast_section

if TYPE_CHECKING:
    from pathlib import Path

    from tests.demo import Demo

    from pointline.studies.evaluate import Evaluation
    from pointline.studies.lead_lag import LeadLagStudy
    from pointline.studies.study import Study

PAIR = ("binance-futures:BTCUSDT", "binance-spot:BTCUSDT")


def compared(demo: Demo, **options: Any) -> Study:  # noqa: ANN401 - whatever compare takes
    window = {"start": "2024-05-01", "end": "2024-05-03", "bars": TimeBarConfig("5m"), **options}
    return pointline.compare(*PAIR, lake=demo.folder / "lake", **window)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def study(demo: Demo) -> Study:
    return compared(demo)


@pytest.fixture(scope="module")
def evaluation(study: Study) -> Evaluation:
    return study.ic(["basis_bps", "momentum_divergence", "perp_ret_1bar"], draws=5, folds=2)


@pytest.fixture(scope="module")
def measured(demo: Demo) -> LeadLagStudy:
    return pointline.lead_lag(*PAIR, start="2024-05-01", end="2024-05-02", lake=demo.folder / "lake")


@pytest.fixture(scope="module")
def page(study: Study, evaluation: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = study.report(tmp_path_factory.mktemp("report") / "out.html", evaluation=evaluation)
    return path.read_text(encoding="utf-8")


def rows(page: str, caption: str) -> list[list[str]]:
    """The cells of the table whose caption begins so."""
    (body,) = re.findall(rf"<caption><span>{re.escape(caption)}[^<]*</span></caption><thead>.*?</thead><tbody>(.*?)</tbody>", page)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", body)]


# ---- what it says -------------------------------------------------------------------------------------------------------------------


def test_the_verdict_says_what_is_not_known(page: str) -> None:
    (verdict,) = re.findall(r'<p class="verdict" id="verdict">(.*?)</p>', page)
    assert verdict.endswith(".")
    assert "; not known: whether it holds outside this window; " in verdict
    assert "where its price is stale" in verdict
    assert "the checklist fails on " in verdict


def test_coverage_is_that_of_the_summary(page: str, study: Study) -> None:
    told = rows(page, "Coverage of the window")
    coverage = study.summary["coverage"]
    assert [row[0] for row in told] == [f"perp: {PAIR[0]}", f"spot: {PAIR[1]}"]
    assert [float(row[1]) for row in told] == [coverage["perp"]["share"], coverage["spot"]["share"]]
    assert [int(row[5]) for row in told] == [2, 0]  # the demo has two insurance-fund prints


def test_ages_are_those_of_the_bars(page: str, study: Study) -> None:
    (spot,) = [row for row in rows(page, "Age of what a bar shows") if row[0] == "spot price"]
    ages = study.features["spot_age_us"].drop_nulls().sort()
    assert float(spot[5]) == pytest.approx(ages[-1] / 1e6, abs=1e-3)
    assert float(spot[2]) == pytest.approx(ages.quantile(0.5, "nearest") / 1e6, abs=1e-3)  # type: ignore[operator]


def test_coefficients_are_those_of_the_evaluation(page: str, evaluation: Evaluation) -> None:
    told = rows(page, "Coefficients with returns")
    table = evaluation.table.filter(pl.col("ic").is_not_null(), pl.col("label").str.ends_with("return"))
    assert len(told) == min(20, table.height)
    for feature, label, horizon, ic, *_ in told[:5]:
        assert float(ic) == round(table.filter(feature=feature, label=label, horizon=horizon)["ic"].item(), 4)


def test_tenths_are_those_of_the_features(study: Study, evaluation: Evaluation) -> None:
    found = evaluation.deciles("basis_bps", "spot_return", "5 bars")
    row = evaluation.table.filter(feature="basis_bps", label="spot_return", horizon="5 bars")
    assert found.spread == pytest.approx(row["decile_spread_bps"].item())
    assert sum(found.counts) == row["n"].item()
    with pytest.raises(ConfigError, match="was not judged"):
        evaluation.deciles("volume_ratio")
    assert study.pair.perp.name == PAIR[0]


def test_parts_that_are_not_given_are_computed(page: str) -> None:
    left_out = dict(re.findall(r"<li><strong>(.*?)</strong>: (.*?)</li>", page))
    assert list(left_out) == ["Funding forecast", "Backtest"]
    assert "too few settlements" in left_out["Funding forecast"]  # two days have six
    assert "too few bars" in left_out["Backtest"]  # a fit needs 500
    assert rows(page, "What a round trip costs")[-1][0] == "total"


def test_what_cannot_be_computed_is_named_with_the_reason(demo: Demo, measured: LeadLagStudy, tmp_path: Path) -> None:
    hours = compared(demo, bars=TimeBarConfig("8h"))
    text = hours.report(tmp_path / "out.html", lead_lag=measured).read_text(encoding="utf-8")
    told = dict(re.findall(r"<li><strong>(.*?)</strong>: (.*?)</li>", text))
    assert "Information coefficients, nulls and tenths" in told
    assert "could not be tested" in text


def test_what_was_not_tested_is_not_denied(study: Study, measured: LeadLagStudy, tmp_path: Path) -> None:
    judged = study.ic(["basis_bps"], labels="basis_change", horizons=1, draws=0, folds=0)
    text = study.report(tmp_path / "out.html", evaluation=judged, lead_lag=measured).read_text(encoding="utf-8")
    assert "was not tested; " in text
    assert "No feature predicts the return" not in text.split('<section id="coefficients"')[0]


@pytest.mark.parametrize("given", [pytest.param(False, id="all computed", marks=pytest.mark.slow), pytest.param(True, id="light")])
@pytest.mark.parametrize(
    ("options", "frame"),
    [
        ({"bars": VolumeBarConfig("2.5"), "spot_bars": VolumeBarConfig("0.25")}, None),
        ({"join": "inner"}, None),
        ({"output": "features.parquet"}, None),
        ({}, "empty"),
        ({}, "null"),
        ({"end": "2024-05-01T02:00", "bars": TimeBarConfig("1m")}, None),
    ],
    ids=["dual", "inner", "in a file", "no bars", "nothing known", "too short"],
)
def test_every_kind_of_study_has_a_page(
    demo: Demo,
    measured: LeadLagStudy,
    options: dict[str, Any],
    frame: str | None,
    given: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The light variant is given what takes longest: the lead and lag of a day, and coefficients of two features."""
    monkeypatch.chdir(tmp_path)
    own = compared(demo, **options)
    if frame == "empty":
        own = replace(own, _table=own.features.clear())
    if frame == "null":
        names = [name for name in ("basis_bps", "funding_8h", "spot_age_us", "spot_close") if name in own.columns]
        own = replace(own, _table=own.features.with_columns(pl.lit(None).cast(own.features.schema[name]).alias(name) for name in names))
    parts: dict[str, Any] = {"lead_lag": measured} if given else {}
    if given and frame is None and not {"join", "end"} & options.keys():  # with these there are too few bars
        parts["evaluation"] = own.ic(["basis_bps", "perp_ret_1bar"], draws=5, folds=2)
    text = own.report("out.html", **parts).read_text(encoding="utf-8")
    tables = re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", text)
    assert not {"None", "NaN", "nan", "null", "inf", "-inf"} & set(tables)
    assert '<section id="provenance"' in text


def test_bars_of_candles_have_no_lead_and_lag(demo: Demo) -> None:
    candles = compared(demo, events="candles_1m")
    with pytest.raises(NoDataError, match="made of candles"):
        report_evidence.lead_lag_of(candles)
    assert 'events="candles_1m"' in call_text(candles)
    assert sources(candles)["used_for"].to_list()[0] == "perp candles 1m: bars"


def test_lead_and_lag_of_a_long_window_is_of_its_last_days(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, on = report_evidence.lead_lag_of(study)
    assert (whole.start_us, whole.end_us) == (study.start_us, study.end_us)
    assert on == "the whole window, 2024-05-01 to 2024-05-03"
    monkeypatch.setattr(report_evidence, "MOST_TICKS", 100)
    last, on = report_evidence.lead_lag_of(study)
    assert (last.start_us, last.end_us) == (study.start_us + 24 * 60 * MINUTE_US, study.end_us)
    assert on.startswith("the last days of the window from 2024-05-02 on")


def test_what_is_given_is_not_computed_again(
    study: Study, evaluation: Evaluation, measured: LeadLagStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = study.checklist()

    def never(*_: object, **__: object) -> None:
        pytest.fail("it was given")

    for name in ("ic", "checklist"):
        monkeypatch.setattr(type(study), name, never)
    monkeypatch.setattr(report_evidence, "lead_lag_of", never)
    text = study.report(tmp_path / "o.html", evaluation=evaluation, checklist=checked, lead_lag=measured).read_text(encoding="utf-8")
    assert "Measured on 2024-05-01" in text


# ---- holes and flags ----------------------------------------------------------------------------------------------------------------


def test_holes_are_shaded_and_off_book_prints_marked(study: Study) -> None:
    hole = pl.col("bucket_end").is_between(study.start_us + 10 * MINUTE_US, study.start_us + 20 * MINUTE_US)
    table = study.features.with_columns(perp_hole=hole).filter(pl.col("bucket_start") != study.start_us + 60 * MINUTE_US)
    section = basis_section(replace(study, _table=table))
    figure = section.figures[0].drawn
    stripes = [(one.x0 * 1_000, one.x1 * 1_000) for one in figure.layout.shapes if one.type == "rect"]
    assert stripes == [
        (study.start_us + 5 * MINUTE_US, study.start_us + 20 * MINUTE_US),
        (study.start_us + 60 * MINUTE_US, study.start_us + 65 * MINUTE_US),
    ]
    (flagged,) = [trace for trace in figure.data if trace.name == "off-book"]
    assert len(flagged.x) == 2
    assert section.sentences == ["2 stretches lack data, 2 prints of the perp are flagged as off-book."]


# ---- trading ------------------------------------------------------------------------------------------------------------------------


def test_equity_and_drawdown_follow_from_the_days() -> None:
    days = backtest(3)
    pnl, equity = [5.0, -8.0, 1.0], [105.0, 97.0, 98.0]
    days.daily = days.daily.with_columns(pnl_quote=pl.Series(pnl), equity_quote=pl.Series(equity))
    drawn = backtest_section(days, "a window", "USDT").figures[0].drawn
    told = {trace.name: list(trace.y) for trace in drawn.data}
    assert told["equity"] == [100.0, *equity]  # the capital before the first day
    assert told["drawdown"] == [0.0, 0.0, -8.0, -7.0]
    assert told["fees"] == [-2.0, -2.0, -2.0]
    bare = {name: name.removesuffix("_quote") for name in days.daily.columns}
    days.daily = days.daily.rename(bare)
    assert list(backtest_section(days, "a window", "USDT").figures[0].drawn.data[0].y) == [100.0, *equity]


def test_a_first_loss_is_a_drawdown() -> None:
    days = backtest(2)
    days.daily = days.daily.with_columns(pnl_quote=pl.Series([-3.0, 1.0]), equity_quote=pl.Series([97.0, 98.0]))
    (drawdown,) = [trace for trace in backtest_section(days, "w", "USDT").figures[0].drawn.data if trace.name == "drawdown"]
    assert list(drawdown.y) == [0.0, -3.0, -2.0]


def test_a_forecast_is_drawn_four_hours_before_beside_the_rule() -> None:
    section = forecast_section(forecast(30), "a window")
    assert [figure.name for figure in section.figures] == ["funding-errors", "funding-forecast"]
    assert [trace.name for trace in section.figures[1].drawn.data] == ["paid", "rule", "ridge"]
    assert "4 h before" in section.figures[1].caption


# ---- provenance ---------------------------------------------------------------------------------------------------------------------


def test_files_are_those_of_the_archive_with_their_hashes(study: Study, demo: Demo) -> None:
    files = sources(study)
    assert files["file"].to_list()[:2] == ["BTCUSDT-trades-2024-05-01.zip", "BTCUSDT-trades-2024-05-02.zip"]
    hashes = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (demo.folder / "archives").rglob("*") if path.is_file()}
    assert set(files["sha256"]) <= hashes
    assert set(files["used_for"]) >= {"perp trades: bars", "spot trades: bars", "perp: funding, mark, index and open interest"}
    one_day = sources(compared(demo, end="2024-05-02"))
    assert {period for period in one_day["period"] if period > "2024-05-01"} == set()
    assert_frame_equal(study.sources(), files)


def test_the_digest_is_that_of_the_sorted_hashes() -> None:
    files = pl.DataFrame({"sha256": ["bb", "aa", "bb"]})
    assert digest(files) == hashlib.sha256(b"aa\nbb\n").hexdigest()


@pytest.mark.parametrize("options", [{}, {"bars": "auto", "join": "inner"}, {"include_off_book": True, "params": FeatureParams(z_bars=50)}])
def test_the_call_makes_the_study_again(demo: Demo, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = compared(demo, **options)
    monkeypatch.chdir(demo.folder)
    names: dict[str, Any] = {}
    exec(call_text(own), names)  # noqa: S102 - the page tells its reader to run it
    assert_frame_equal(names["study"].features, own.features)
    monkeypatch.chdir(tmp_path)
    assert 'lake="lake"' in call_text(own)


def test_costs_of_your_own_stand_in_the_call(demo: Demo) -> None:
    own = compared(demo, costs=CostModel(perp_taker_bps=1.5))
    assert "    costs=CostModel(perp_taker_bps=1.5),\n" in call_text(own)


def test_no_path_of_the_machine_is_in_the_page(page: str, demo: Demo) -> None:
    text = re.sub(r'<script type="text/plain" id="library">.*?</script>', "", page, flags=re.DOTALL)
    assert str(demo.folder.parent) not in text
    assert os.sep + "tmp" + os.sep not in text


def test_the_same_study_gives_the_same_page(study: Study, evaluation: Evaluation, page: str, tmp_path: Path) -> None:
    copy = pickle.loads(pickle.dumps(study))  # noqa: S301 - our own
    again = copy.report(tmp_path / "out.html", evaluation=evaluation).read_text(encoding="utf-8")
    assert again == page


# ---- what it refuses ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["missing/out.html", "out.pdf"])
def test_a_place_is_refused_before_the_work(study: Study, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(study), "ic", lambda *_: pytest.fail("the work began"))
    with pytest.raises(ConfigError, match="cannot be written there"):
        study.report(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("part", "missing"),
    [
        ({"evaluation": pl.DataFrame()}, "Evaluation"),
        ({"checklist": "passed"}, "Checklist"),
        ({"lead_lag": 1}, "LeadLagStudy"),
        ({"forecast": object()}, "settlements"),
        ({"costs": forecast()}, "break_even"),
        ({"backtest": costs()}, "daily"),
    ],
)
def test_a_part_of_another_kind_is_refused(study: Study, tmp_path: Path, part: dict[str, Any], missing: str) -> None:
    with pytest.raises(ConfigError, match="has the wrong type") as refused:
        study.report(tmp_path / "out.html", **part)
    assert missing in str(refused.value)


def test_days_without_a_term_are_refused(study: Study, evaluation: Evaluation, measured: LeadLagStudy, tmp_path: Path) -> None:
    days = backtest()
    days.daily = days.daily.drop("fees_quote")
    with pytest.raises(ConfigError, match="lack columns") as refused:
        study.report(tmp_path / "out.html", evaluation=evaluation, lead_lag=measured, backtest=days)
    assert "fees" in str(refused.value)
