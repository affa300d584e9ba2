"""The chart of a comparison: what is drawn, where lines break, colours, titles, units, and its size for any number of bars."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from tests.demo import Demo  # noqa: TC002 -- a fixture's type

import pointline
from pointline.clock import HOUR_US, MINUTE_US, to_us
from pointline.errors import ConfigError
from pointline.report.chart_files import page
from pointline.report.charts import ComparedPair, comparison_figure
from pointline.report.colours import BASIS, FUNDING, PERP, SPOT
from pointline.research.spines import DollarBarConfig, ImbalanceBarConfig, TimeBarConfig, TradeBarConfig, VolumeBarConfig

if TYPE_CHECKING:
    from pathlib import Path

START = to_us("2024-05-01")
PAIR = ComparedPair(title="perp against spot", subtitle="a window", perp_quote="USDT", spot_quote="USDT")
MOST_BYTES = 300_000


def bars(count: int = 10, **columns: Any) -> pl.DataFrame:  # noqa: ANN401 -- whatever a column holds
    """Bars of a minute from `START`, with an 8-hourly settlement at 00:05."""
    end = START + MINUTE_US * np.arange(1, count + 1)
    left = (START + 5 * MINUTE_US - end) % (8 * HOUR_US)
    usual = {
        "bucket_start": end - MINUTE_US,
        "bucket_end": end,
        "perp_close": 100.0 + np.arange(count),
        "spot_close": 99.0 + np.arange(count),
        "perp_age_us": np.zeros(count, dtype=np.int64),
        "spot_age_us": np.zeros(count, dtype=np.int64),
        "basis_bps": np.arange(count, dtype=np.float64),
        "funding_8h": np.full(count, 1e-4),
        "seconds_to_funding": left / 1e6,
    }
    return pl.DataFrame({**usual, **columns})


def traces(figure: Any) -> dict[str, Any]:  # noqa: ANN401 -- a plotly figure
    return {trace.name: trace for trace in figure.data if trace.mode == "lines" or trace.name == "settlement"}


def minutes(trace: Any) -> list[float]:  # noqa: ANN401 -- a plotly trace
    return [(at * 1_000 - START) / MINUTE_US for at in trace.x]


def drawn(trace: Any) -> list[float | None]:  # noqa: ANN401 -- a plotly trace
    return [None if np.isnan(value) else value for value in trace.y]


def test_each_role_has_its_panel_unit_and_colour() -> None:
    figure = comparison_figure(bars(), PAIR)
    found = traces(figure)
    assert {name: (trace.yaxis, (trace.line if trace.mode == "lines" else trace.marker).color) for name, trace in found.items()} == {
        "perp": ("y", PERP.light),
        "spot": ("y", SPOT.light),
        "basis": ("y2", BASIS.light),
        "funding": ("y3", FUNDING.light),
        "settlement": ("y3", FUNDING.light),
    }
    layout = figure.layout
    titles = [axis.title.text for axis in (layout.yaxis, layout.yaxis2, layout.yaxis3, layout.xaxis)]
    assert titles == ["price (USDT)", "basis (bps)", "funding (bps per 8 h)", "time (UTC)"]
    assert (layout.title.text, layout.title.subtitle.text) == ("perp against spot", "a window")
    assert found["perp"].line.width < found["spot"].line.width  # the spot is seen on both sides of the perp
    assert [trace.name for trace in figure.data][:2] == ["spot", "perp"]


def test_values_at_the_ends_of_bars() -> None:
    found = traces(comparison_figure(bars(3), PAIR))
    assert minutes(found["perp"]) == [1, 2, 3]
    assert drawn(found["perp"]) == [100, 101, 102]
    assert drawn(found["spot"]) == [99, 100, 101]
    assert drawn(found["basis"]) == [0, 1, 2]
    assert drawn(found["funding"]) == pytest.approx([1, 1, 1])  # bps


def test_a_spot_that_is_absent_or_too_old_is_a_gap() -> None:
    ages = [0, 59_000_000, 60_000_001, 0, None, 0, 0, 0, 0, 0]
    basis = [0.0, 1.0, None, 3.0, None, 5.0, 6.0, 7.0, 8.0, 9.0]
    figure = comparison_figure(bars(spot_age_us=ages, basis_bps=basis), PAIR)
    found = traces(figure)
    assert drawn(found["spot"]) == [99, 100, None, 102, None, *range(104, 109)]
    assert drawn(found["basis"]) == [0, 1, None, 3, None, 5, 6, 7, 8, 9]
    assert None not in drawn(found["perp"])
    dots = [trace for trace in figure.data if trace.mode == "markers" and trace.name == "spot"]
    assert [list(trace.y) for trace in dots] == [[102]]  # between two gaps there is no line, but a dot


def test_no_line_crosses_a_hole() -> None:
    whole = bars(8, perp_hole=[False] * 6 + [True, False], spot_hole=[False] * 8)
    found = traces(comparison_figure(whole.filter(pl.col("perp_close") != 103), PAIR))  # the fourth bar is missing
    for name, values in {"perp": [100, 101, 102, None, 104, 105, None, 106, 107], "spot": [99, 100, 101, None, *range(103, 107)]}.items():
        assert drawn(found[name]) == values
    assert drawn(found["basis"]) == [0, 1, 2, None, 4, 5, None, 6, 7]
    assert found["perp"].connectgaps is False


def test_settlements_are_marked() -> None:
    figure = comparison_figure(bars(funding_8h=np.arange(10) / 1e4), PAIR)
    found = traces(figure)["settlement"]
    assert minutes(found) == [5]
    assert drawn(found) == pytest.approx([4])  # the bar that ends at the settlement knows no later rate
    rules = [(shape.x0, shape.x1, shape.yref) for shape in figure.layout.shapes]
    at = (START + 5 * MINUTE_US) / 1_000
    assert rules == [(at, at, f"{axis} domain") for axis in ("y", "y2", "y3")]


def test_many_settlements_are_marked_on_the_funding_alone() -> None:
    count = 24 * 60 * 30
    figure = comparison_figure(bars(count), PAIR)
    assert len(traces(figure)["settlement"].x) == 90
    assert not figure.layout.shapes


def test_quotes_that_differ_are_named() -> None:
    crossed = bars().rename({"basis_bps": "cross_quote_basis_bps"})
    pair = ComparedPair(title="a", subtitle="b", perp_quote="USD", spot_quote="USDT")
    figure = comparison_figure(crossed, pair)
    assert traces(figure)["cross-quote basis"].yaxis == "y2"
    assert figure.layout.yaxis2.title.text == "cross-quote basis (bps)"
    assert figure.layout.yaxis.title.text == "price (USD; spot in USDT)"


def test_the_spot_of_a_contract_on_many_coins_is_in_its_unit() -> None:
    pair = ComparedPair(title="a", subtitle="b", perp_quote="USDT", spot_quote="USDT", price_factor=1_000)
    assert drawn(traces(comparison_figure(bars(2, spot_close=[0.01, 0.02]), pair))["spot"]) == [10, 20]


def test_without_funding_there_is_no_panel_for_it() -> None:
    nothing = pl.Series([None] * 10, dtype=pl.Float64)
    figure = comparison_figure(bars(funding_8h=nothing, seconds_to_funding=nothing), PAIR)
    assert set(traces(figure)) == {"spot", "perp", "basis"}
    assert figure.layout.xaxis.anchor == "y2"
    assert "yaxis3" not in figure.layout


def test_no_bars() -> None:
    assert len(comparison_figure(bars().clear(), PAIR).data) == 0


def data_bytes(figure: Any) -> int:  # noqa: ANN401 -- a plotly figure
    """Size of what a page holds beside the library and its frame."""
    found = re.search(r'<script type="application/json" id="figure">(.*?)</script>', page(figure), re.DOTALL)
    assert found
    return len(found[1].encode())


def test_a_spike_and_a_hole_of_a_million_bars_are_drawn() -> None:
    count, spike = 1_000_000, 314_159
    dice = np.random.default_rng(3)
    price = 50_000 * np.exp(dice.normal(0, 1e-5, count).cumsum())
    basis = dice.normal(size=count)
    price[spike], basis[spike] = 61_234.5, -450.0
    whole = bars(count, perp_close=price, spot_close=price, basis_bps=basis, funding_8h=dice.normal(0, 1e-4, count))
    table = pl.concat([whole[:700_000], whole[700_900:]])
    figure = comparison_figure(table, PAIR)
    found = traces(figure)
    for name, value in (("perp", 61_234.5), ("basis", -450.0)):
        (where,) = np.flatnonzero(found[name].y == value)
        assert found[name].x[where] == (START + (spike + 1) * MINUTE_US) / 1_000
    for name in ("perp", "spot", "basis", "funding"):
        before = max(at for at in minutes(found[name]) if at <= 700_000)
        between = [value for at, value in zip(minutes(found[name]), drawn(found[name]), strict=True) if before < at < 700_902]
        assert between[0] is None
    assert data_bytes(figure) < MOST_BYTES


def test_holes_everywhere_take_no_more_room() -> None:
    count = 300_000
    dice = np.random.default_rng(4)
    ages = np.where(dice.random(count) < 0.5, 0, HOUR_US)
    basis = np.where(ages == 0, dice.normal(size=count), np.nan)
    figure = comparison_figure(bars(count, perp_age_us=ages, spot_age_us=ages, basis_bps=basis, funding_8h=basis / 1e4), PAIR)
    assert data_bytes(figure) < MOST_BYTES
    assert np.nanmax(traces(figure)["basis"].y) == np.nanmax(basis)


# ---- of a study ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def study(demo: Demo) -> pointline.Study:
    bars_of_10 = VolumeBarConfig(10)
    names = ("binance-futures:BTCUSDT", "binance-spot:BTCUSDT")
    return pointline.compare(*names, start="2024-05-01", end="2024-05-02", bars=bars_of_10, lake=demo.folder / "lake", cache=False)


def test_a_study_draws_itself(study: pointline.Study, tmp_path: Path) -> None:
    path = tmp_path / "chart.html"
    figure = study.chart(path)
    assert figure.layout.title.text == "binance-futures:BTCUSDT against binance-spot:BTCUSDT"
    assert figure.layout.title.subtitle.text == "2024-05-01 00:00 to 2024-05-02 00:00 UTC, volume bars of 10 BTC"
    assert set(traces(figure)) == {"spot", "perp", "basis", "funding", "settlement"}
    text = path.read_text(encoding="utf-8")
    assert "<h1>binance-futures:BTCUSDT against binance-spot:BTCUSDT</h1>" in text
    assert study.chart().to_json() == figure.to_json()


def test_a_study_in_a_file_draws_the_same(study: pointline.Study, demo: Demo, tmp_path: Path) -> None:
    written = pointline.compare(
        "binance-futures:BTCUSDT",
        "binance-spot:BTCUSDT",
        start="2024-05-01",
        end="2024-05-02",
        bars=study.rule,
        lake=demo.folder / "lake",
        cache=False,
        output=tmp_path / "features.parquet",
    )
    assert written.chart().to_json() == study.chart().to_json()


def test_a_place_where_no_chart_goes(study: pointline.Study, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written there"):
        study.chart(tmp_path / "missing" / "chart.html")
    with pytest.raises(ConfigError, match="cannot be written there"):
        study.chart(str(tmp_path / "chart.pdf"))


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (DollarBarConfig("2500000"), "dollar bars of 2,500,000 USDT"),
        (TradeBarConfig(500), "trade bars of 500 trades"),
        (TimeBarConfig("90s"), "time bars of 90s"),
        (ImbalanceBarConfig(2.5), "imbalance bars of 2.5 BTC"),
        (VolumeBarConfig(3, use_absolute_volume=False, boundary="reset"), "signed volume bars of 3 BTC"),
    ],
)
def test_the_bar_rule_in_words(study: pointline.Study, rule: Any, words: str) -> None:  # noqa: ANN401 -- a bar rule
    from dataclasses import replace

    assert replace(study, rule=rule).chart().layout.title.subtitle.text.endswith(f" UTC, {words}")
