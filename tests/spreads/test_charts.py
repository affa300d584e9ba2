"""Charts: what is drawn, pages without a network, pictures by an installed browser."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from tests.spreads.market import SPOT, USDM, add_candles, day

import pointline
from pointline.errors import ConfigError, MissingExtraError, NoDataError, PointlineError
from pointline.report import chart_files, spread_charts

if TYPE_CHECKING:
    from pathlib import Path

    from pointline import Spreads

START, DAYS = "2024-06-20", 14


@pytest.fixture(scope="module")
def spreads(tmp_path_factory: pytest.TempPathFactory) -> Spreads:
    def closes(premium: float, count: int = DAYS) -> dict[int, float | str]:
        return {day(START, n): round((100 + n) * (1 + premium * (1 + 0.02 * n)), 9) for n in range(count) if n != 4}

    markets = {
        (SPOT, "BTCUSDT"): closes(0.0),
        (USDM, "BTCUSDT"): closes(0.0002),
        (USDM, "BTCUSDT_240628"): closes(0.002, 8),
        (USDM, "BTCUSDT_240927"): closes(0.02),
    }
    lake = add_candles(tmp_path_factory.mktemp("charts"), markets)
    return pointline.spreads("BTC", reference="binance:BTC-USDT", start=START, through="2024-07-03", lake=lake)


def names(figure: object) -> list[tuple[str, str]]:
    return [(trace.type, trace.name) for trace in figure.data]  # type: ignore[attr-defined]


def test_a_line_for_each_contract(spreads: Spreads) -> None:
    figure = spreads.chart(kind="spread")
    assert names(figure) == [("scatter", name) for name in ("USDT perp", "USDT 2024-06-28", "USDT 2024-09-27")]
    perp = spreads.table.filter(pl.col("market") == "BTC-USDT")
    assert perp["spread"][4] is None  # a missing day is a gap
    assert list(figure.data[0].y) == pytest.approx(perp["spread"].fill_null(float("nan")).to_list(), nan_ok=True)
    assert list(figure.data[0].customdata) == pytest.approx(perp["spread_pct"].fill_null(float("nan")).to_list(), rel=1e-6, nan_ok=True)
    assert list(spreads.chart(kind="percent").data[0].y) == pytest.approx(perp["spread_pct"].fill_null(float("nan")).to_list(), nan_ok=True)


def test_curves_of_some_instants_by_days_to_delivery(spreads: Spreads) -> None:
    figure = spreads.chart(kind="curve")
    assert len(figure.data) == spread_charts.MAX_CURVES
    first, last = figure.data[0], figure.data[-1]
    assert (first.name, last.name) == ("2024-06-20", "2024-07-03")
    assert list(first.x) == pytest.approx([7 + 8 / 24, 98 + 8 / 24])
    assert list(first.y) == pytest.approx([0.2 * 365 / (7 + 1 / 3), 2 * 365 / (98 + 1 / 3)])
    assert list(last.x) == pytest.approx([85 + 8 / 24])  # the other was delivered


def test_a_heat_map_of_dated_contracts_in_order_of_delivery(spreads: Spreads) -> None:
    (heat,) = spreads.chart(kind="heatmap").data
    assert list(heat.y) == ["binance-usdm-future:BTC-USDT-2024-06-28", "binance-usdm-future:BTC-USDT-2024-09-27"]
    later = spreads.table.filter(pl.col("market") == "BTC-USDT-2024-09-27")
    assert list(heat.z[1]) == pytest.approx(later["annualised_simple_pct"].fill_null(float("nan")).to_list(), rel=1e-6, nan_ok=True)
    assert np.isnan(heat.z[0][8:]).all()
    assert heat.zmin == 0  # nothing below zero: colours start there


def test_the_overview_has_all_three(spreads: Spreads) -> None:
    kinds = [trace.type for trace in spreads.chart().data]
    assert kinds == ["scatter"] * (3 + spread_charts.MAX_CURVES) + ["heatmap"]


def test_without_dated_contracts_the_overview_has_the_lines(tmp_path: Path) -> None:
    one: dict[int, float | str] = {day(START): 1.0}
    lake = add_candles(tmp_path, {(SPOT, "BTCUSDT"): one, (USDM, "BTCUSDT"): one})
    perp = pointline.spreads("BTC", reference="binance:BTC-USDT", start=START, through=START, lake=lake)
    assert names(perp.chart()) == [("scatter", "USDT perp")]
    for kind in ("curve", "heatmap"):
        with pytest.raises(NoDataError, match=f"nothing for a {kind}"):
            perp.chart(kind=kind)


def test_a_page_needs_no_network(spreads: Spreads, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    spreads.chart(path)
    text = path.read_text(encoding="utf-8")
    assert "BTC: contracts against binance:BTC-USDT" in text
    assert 'src="http' not in text


def test_a_picture(spreads: Spreads, tmp_path: Path) -> None:
    try:
        chart_files.browser()
    except MissingExtraError:
        pytest.skip("no Chromium or Chrome is installed")
    path = tmp_path / "picture.png"
    spreads.chart(str(path), kind="curve")
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    assert (width, height) == (2 * 1_200, 2 * int(spreads.chart(kind="curve").layout.height))
    assert len(data) > 20_000  # an empty page of this size compresses to less


def test_a_picture_without_a_browser(spreads: Spreads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(chart_files.BROWSER_VARIABLE, "no-such-browser")
    with pytest.raises(MissingExtraError, match="needs an installed Chromium"):
        spreads.chart(tmp_path / "picture.png")
    monkeypatch.setenv(chart_files.BROWSER_VARIABLE, "false")
    with pytest.raises(PointlineError, match="made no picture"):
        spreads.chart(tmp_path / "picture.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["chart.pdf", "chart", "missing/chart.html", "."])
def test_places_where_no_chart_goes(spreads: Spreads, tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be written there"):
        spreads.chart(tmp_path / name)


def test_an_unknown_chart(spreads: Spreads) -> None:
    with pytest.raises(ConfigError, match="no such chart"):
        spreads.chart(kind="pie")  # type: ignore[arg-type]
