"""The study of lead-lag has the shape of the others, and the command prints what the study holds."""

from __future__ import annotations

import io
import pickle
from typing import TYPE_CHECKING

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.cli.running import run

import pointline
from pointline.errors import ConfigError, NoDataError, RegistryError
from pointline.evaluation import lead_lag
from pointline.research import query
from pointline.studies.summary import Summary

if TYPE_CHECKING:
    from pathlib import Path

    from tests.demo import Demo

PAIR = ("binance-futures:BTCUSDT", "binance-spot:BTCUSDT")
WINDOW = {"start": "2024-05-01", "end": "2024-05-03"}
OPTIONS = ("--start", "2024-05-01", "--end", "2024-05-03")


@pytest.fixture(scope="module")
def lake(demo: Demo) -> Path:
    return demo.folder / "lake"


@pytest.fixture(scope="module")
def study(lake: Path) -> pointline.LeadLagStudy:
    return pointline.lead_lag(*PAIR, **WINDOW, lake=lake)


def test_it_is_the_evaluation_of_the_lake_s_trades(study: pointline.LeadLagStudy, lake: Path) -> None:
    frames = [query.trades(*name.split(":"), *WINDOW.values(), lake=lake) for name in PAIR]
    assert study.measured.to_dict() == lead_lag(*frames, names=PAIR).to_dict()


def test_it_has_the_shape_of_a_study(study: pointline.LeadLagStudy) -> None:
    assert study.table.columns == ["lag_us", "covariance", "correlation", "null_covariance", "null_correlation"]
    assert study.table.height == 801
    assert isinstance(study.summary, Summary)
    assert {"verdict", "measured.peak_us", "null.asymmetry_t", "price_discovery.0.measured.component_share"} <= set(
        study.summary.frame()["figure"]
    )
    html = study._repr_html_()
    assert "who leads?" in html
    assert "Shares of binance-futures:BTCUSDT" in html
    assert study.verdict in html
    assert study.to_pandas().index.name == "lag_us"


def test_a_pickled_study_is_whole(study: pointline.LeadLagStudy) -> None:
    copy = pickle.loads(pickle.dumps(study))  # noqa: S301 - it was written a moment ago
    assert_frame_equal(copy.table, study.table)
    assert copy.summary == study.summary


def test_a_chart_has_the_curve_and_the_null(study: pointline.LeadLagStudy, tmp_path: Path) -> None:
    figure = study.chart(tmp_path / "curve.html")
    assert [trace.name for trace in figure.data] == ["thinned null", "measured"]
    assert len(figure.data[1].x) == 801
    assert (tmp_path / "curve.html").stat().st_size > 100_000


def test_the_command_prints_what_the_study_holds(study: pointline.LeadLagStudy, lake: Path, tmp_path: Path) -> None:
    found = run("lead-lag", *PAIR, *OPTIONS, "--json", "-o", tmp_path / "curve.parquet", "--lake", lake)
    assert (found.code, found.err) == (0, "")
    assert found.json == dict(study.summary)
    assert_frame_equal(pl.read_parquet(tmp_path / "curve.parquet"), study.table)
    text = run("lead-lag", *PAIR, *OPTIONS, "--lake", lake)
    assert text.code == 0
    for part in ("who leads?", study.verdict, "thinned null", "Price discovery: shares of binance-futures:BTCUSDT"):
        assert part in " ".join(text.out.split())
    piped = run("lead-lag", *PAIR, *OPTIONS, "-o", "-", "--lake", lake)
    assert pl.read_csv(io.BytesIO(piped.out.encode())).height == 801
    assert "note: binance-spot:BTCUSDT: times are the exchange's own" in piped.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*PAIR, *OPTIONS, "--step", "2s"), "step is longer"),
        ((*PAIR, *OPTIONS, "--clock-tolerance", "soon"), "clock_tolerance"),
        ((PAIR[0], PAIR[0], *OPTIONS), "both sides are the same instrument"),
        ((PAIR[0], "spot", *OPTIONS), "named by exchange and symbol"),
        ((PAIR[0], "binance-spot:NOPE", *OPTIONS), "NOPE"),
        ((*PAIR, "--start", "2024-06-01", "--end", "2024-06-02"), "has no trades"),
        ((*PAIR, "--start", "2024-05-01", "--end", "2024-05-01 00:10"), "too few price changes"),
    ],
)
def test_wrong_usage_is_one_error(lake: Path, arguments: tuple[str, ...], words: str) -> None:
    found = run("lead-lag", *arguments, "--lake", lake)
    assert found.code == 2
    assert words in found.err
    assert "Traceback" not in found.err


def test_errors_in_python(lake: Path) -> None:
    with pytest.raises(NoDataError):
        pointline.lead_lag(*PAIR, start="2024-06-01", end="2024-06-02", lake=lake)
    with pytest.raises(RegistryError):
        pointline.lead_lag("binance-futures:NOPE", PAIR[1], **WINDOW, lake=lake)
    with pytest.raises(ConfigError, match="too few price changes"):
        pointline.lead_lag(*PAIR, start="2024-05-01", end="2024-05-01 00:10", lake=lake)
