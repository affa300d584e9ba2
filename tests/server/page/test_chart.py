"""The page's charts: lines, gaps, titles, figures that are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.server.page.browsing import ask, drawn, lines, titles

if TYPE_CHECKING:
    from playwright.sync_api import Page

DAYS = "api.ohlcv(candle_duration_in_minutes = 1440)"
TWO_MARKETS = """SELECT toDate('2024-12-01') + number % 6 AS day,
       if(number < 6, 'binance', 'binance-usdm-future') AS exchange, 'BTC-USDT' AS market,
       toDecimal256(97000 + number, 20) / 7 AS close
FROM numbers(12)
WHERE number NOT IN (2, 9)"""


def test_a_line_for_each_exchange_and_market(page: Page) -> None:
    ask(page, TWO_MARKETS, rows=10)
    assert page.input_value("#chart-series") == "exchange / market"
    assert [line["name"] for line in drawn(page)] == ["binance / BTC-USDT", "binance-usdm-future / BTC-USDT"]
    ask(page, f"SELECT * FROM {DAYS} WHERE market LIKE 'BTC-%'", rows=6 * 31 + 27)
    assert [page.input_value(f"#chart-{role}") for role in ("x", "y", "series")] == ["start", "close", "exchange / market"]
    assert lines(page) == 7


def test_a_missing_day_is_a_gap(page: Page) -> None:
    ask(page, TWO_MARKETS, rows=10)
    for line, missing in zip(drawn(page), ("2024-12-03", "2024-12-04"), strict=True):
        values = dict(zip(line["x"], line["y"], strict=True))
        assert list(values) == [f"2024-12-0{n}" for n in range(1, 7)]
        assert [x for x, y in values.items() if y is None] == [missing]
    assert page.locator("#plot .scatterlayer .js-line").count() == 4  # two parts of each line
    page.select_option("#chart-kind", "heatmap")
    page.locator("#plot .heatmaplayer image").wait_for()
    [heat] = drawn(page)
    assert heat["x"] == [f"2024-12-0{n}" for n in range(1, 7)]
    assert [[value is None for value in row] for row in heat["z"]] == [[n == 2 for n in range(6)], [n == 3 for n in range(6)]]


def test_a_missing_candle_is_a_gap_and_what_stands_alone_is_marked(page: Page) -> None:
    minutes = "SELECT toDateTime('2024-12-01 00:00:00') + 60 * number AS start, number AS value FROM numbers(200)"
    ask(page, f"{minutes} WHERE number NOT IN (50, 100, 102)", rows=197)
    [line] = drawn(page)
    missing = [x for x, y in zip(line["x"], line["y"], strict=True) if y is None]
    assert missing == ["2024-12-01 00:50:00", "2024-12-01 01:40:00", "2024-12-01 01:42:00"]
    marked = [x for x, size in zip(line["x"], line["marker"]["size"], strict=True) if size]
    assert marked == ["2024-12-01 01:41:00"]


def test_events_have_no_gaps(page: Page) -> None:
    ask(page, "SELECT toDateTime64('2024-12-01 00:00:00', 6) + number * number AS timestamp, number AS price FROM numbers(20)", rows=20)
    [line] = drawn(page)
    assert len(line["x"]) == 20


def test_rows_of_one_x_are_points(page: Page) -> None:
    ask(page, "SELECT toDate('2024-12-01') + number % 3 AS day, number AS value FROM numbers(6)", rows=6)
    [line] = drawn(page)
    assert line["mode"] == "markers"
    assert "another series may tell them apart" in page.inner_text("#chart-note")


def test_titles_have_units_and_figures_are_rounded(page: Page) -> None:
    ask(page, TWO_MARKETS, rows=10)
    assert titles(page) == ("day (UTC)", "close (USDT)")
    assert "%{x|%Y-%m-%d}: %{y:,.2~f}" in drawn(page)[0]["hovertemplate"]  # 13857.14
    ask(page, "SELECT toDateTime('2024-12-01 00:00:00') + 60 * number AS start, number / 3 AS spread_pct FROM numbers(3)", rows=3)
    page.get_by_text("spread_pct (%)").last.wait_for()
    assert titles(page) == ("start (UTC)", "spread_pct (%)")
    assert "%{x|%Y-%m-%d %H:%M}: %{y:,.5~f}" in drawn(page)[0]["hovertemplate"]
    ask(page, f"SELECT start, exchange, market, volume, close * 2 AS basis_bps FROM {DAYS} WHERE market = 'BTC-USDT' LIMIT 9", rows=9)
    page.get_by_text("basis_bps (bps)").last.wait_for()
    page.select_option("#chart-y", "volume")
    page.get_by_text("volume (BTC)").last.wait_for()


def test_quote_assets_are_named(page: Page) -> None:
    two = f"SELECT start, exchange, market, close, volume FROM {DAYS} WHERE market IN ('BTC-USD-PERP', 'BTC-USDC') ORDER BY market"
    ask(page, two, rows=62)
    assert titles(page)[1] == "close (USD or USDC)"
    page.select_option("#chart-y", "volume")
    page.get_by_text("volume (contracts or BTC)").last.wait_for()


def test_a_point_tells_its_figures(page: Page) -> None:
    ask(page, TWO_MARKETS, rows=10)
    lines(page)
    page.locator("#plot .scatterlayer .points path").first.hover(force=True)
    page.locator("#plot .hoverlayer .hovertext").first.wait_for()
    assert page.locator("#plot .hoverlayer").text_content() == "binance / BTC-USDT2024-12-01: 13,857.14"


def test_charts_follow_the_choices(page: Page) -> None:
    ask(page, "SELECT toDate('2024-12-01') + number % 3 AS day, if(number < 3, 'a', 'b') AS name, number AS one FROM numbers(6)", rows=6)
    assert page.input_value("#chart-kind") == "line"
    assert (page.input_value("#chart-x"), page.input_value("#chart-y"), page.input_value("#chart-series")) == ("day", "one", "name")
    page.locator("#plot .legendtext").nth(1).wait_for()
    assert lines(page) == 2
    page.select_option("#chart-kind", "bar")
    page.locator("#plot .barlayer .trace").nth(1).wait_for()
    page.select_option("#chart-kind", "scatter")
    page.locator("#plot .scatterlayer .points path").nth(5).wait_for()
    page.select_option("#chart-kind", "heatmap")
    page.locator("#plot .heatmaplayer image").wait_for()
    page.select_option("#chart-kind", "none")
    page.locator("#plot").wait_for(state="hidden")


@pytest.mark.parametrize("name", ["%{x}<b>", "<img src=x onerror=alert(1)>"])
def test_names_of_markets_are_text(page: Page, name: str) -> None:
    ask(page, f"SELECT toDate('2024-12-01') + number AS day, 'e' AS exchange, '{name}' AS market, number AS value FROM numbers(3)", rows=3)
    lines(page)
    page.locator("#plot .scatterlayer .points path").first.hover(force=True)
    page.locator("#plot .hoverlayer .hovertext").first.wait_for()
    assert page.locator("#plot .hoverlayer").text_content() == f"e / {name}2024-12-01: 0"
    assert page.locator("#plot img").count() == 0
