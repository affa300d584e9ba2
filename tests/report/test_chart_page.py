"""Charts in a browser: light and dark, wide and narrow, nothing cut off, nothing said on the console.

Playwright drives the browser; it and a Chromium or Chrome must be installed (``pip install playwright``, no browser of its own).
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from tests.machine import limit
from tests.report.test_charts import PAIR, bars
from tests.report.test_spread_charts import COINM, DAY, FIRST, rows

from pointline.report.chart_files import write_chart
from pointline.report.charts import comparison_figure
from pointline.report.colours import GROUND, PERP
from pointline.report.spread_charts import spread_figure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

PHONE, DESKTOP = 390, 1280
PLOT_WIDTH = "document.querySelector('#chart .main-svg').getBoundingClientRect().width"
CUT_OFF = """() => [...document.querySelectorAll('h1, p, #chart text')]
    .filter((node) => node.textContent.trim() && node.getBoundingClientRect().width > 0)
    .filter((node) => !node.closest('.scrollbox') && !node.closest('.hoverlayer'))
    .map((node) => [node.textContent, node.getBoundingClientRect()])
    .filter(([, box]) => box.left < -0.5 || box.right > innerWidth + 0.5)
    .map(([text, box]) => text + ': ' + box.left + ' to ' + box.right)"""
COVERED = """() => [...document.querySelectorAll('#chart .xtick text, #chart .xtitle, #chart .annotation text')]
    .filter((node) => node.textContent.trim() && node.getBoundingClientRect().width > 0)
    .map((node) => [node.textContent, node.getBoundingClientRect()])
    .flatMap(([text, one], n, all) => all.slice(n + 1)
        .filter(([, other]) => one.left < other.right - 1 && other.left < one.right - 1)
        .filter(([, other]) => one.top < other.bottom - 1 && other.top < one.bottom - 1)
        .map(([other]) => text + ' and ' + other))"""


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages once their chart is drawn; afterwards nothing may have failed, been said or been asked of a server."""
    contexts, wrong = [], []

    def open_page(path: Path, **options: Any) -> Page:  # noqa: ANN401 -- the browser's
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(limit(30_000))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text))
        page.on("request", lambda asked: None if asked.url.startswith(("file:", "blob:", "data:")) else wrong.append(asked.url))
        page.goto(path.as_uri())
        page.locator("#chart[data-drawn=true]").wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture(scope="module")
def charts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A comparison with a spike and a hole, and spreads of two perpetuals and of six dated contracts."""
    folder = tmp_path_factory.mktemp("charts")
    dice = np.random.default_rng(1)
    count = 2 * 24 * 60
    price = 60_000 * np.exp(dice.normal(0, 2e-4, count).cumsum())
    ages = np.where(np.arange(count) // 200 == 3, 10**9, 0)
    basis = np.where(ages == 0, dice.normal(2, 1, count), np.nan)
    basis[900] = 40
    table = bars(count, perp_close=price, spot_close=price * (1 - basis / 1e4), spot_age_us=ages, basis_bps=basis)
    contracts = [rows("BTC-USDT", dice.normal(0, 20, 31).tolist()), rows("BTC-USD-PERP", [3.0] * 31, exchange=COINM, quote="USD")]
    for quarter in (27, 118, 209):
        for exchange, quote in (("binance-usdm-future", "USDT"), (COINM, "USD")):
            expiry = FIRST + quarter * DAY + dt.timedelta(hours=8)
            spreads = [20.0 * quarter] * min(31, quarter)
            contracts.append(rows(f"BTC-{quote}-{expiry:%Y-%m-%d}", spreads, exchange=exchange, quote=quote, expiry=expiry))
    figures = {"comparison": comparison_figure(table, PAIR), "spreads": spread_figure(pl.concat(contracts), "overview", title="BTC")}
    paths = {name: folder / f"{name}.html" for name in figures}
    for name, figure in figures.items():
        write_chart(figure, paths[name])
    return paths


def strokes(page: Page) -> list[str]:
    """Colours of the lines of the first panel."""
    found: list[str] = page.locator("#chart .subplot.xy .scatterlayer .js-line").evaluate_all("all => all.map(line => line.style.stroke)")
    return found


def rgb(colour: str) -> str:
    return f"rgb({', '.join(str(int(colour[n : n + 2], 16)) for n in (1, 3, 5))})"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["comparison", "spreads"])
def test_a_chart_fits_and_is_in_the_colours_of_the_screen(
    opened: Callable[..., Page], charts: dict[str, Path], name: str, scheme: str
) -> None:
    page = opened(charts[name], viewport={"width": PHONE, "height": 844}, color_scheme=scheme)
    for width in (PHONE, DESKTOP):
        page.set_viewport_size({"width": width, "height": 844})
        page.wait_for_function(f"Math.abs({PLOT_WIDTH} - {width}) < 50")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(CUT_OFF) == []
        assert page.evaluate(COVERED) == []
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == rgb(getattr(GROUND, scheme))
    assert rgb(getattr(PERP, scheme)) in strokes(page)


def test_a_chart_follows_the_scheme(opened: Callable[..., Page], charts: dict[str, Path]) -> None:
    page = opened(charts["comparison"], viewport={"width": DESKTOP, "height": 844}, color_scheme="light")
    assert rgb(PERP.light) in strokes(page)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(
        "colour => [...document.querySelectorAll('#chart .js-line')].some(line => line.style.stroke === colour)", arg=rgb(PERP.dark)
    )
    assert rgb(PERP.light) not in strokes(page)


def test_the_pointer_tells_the_values_of_all_panels(opened: Callable[..., Page], charts: dict[str, Path]) -> None:
    page = opened(charts["comparison"], viewport={"width": DESKTOP, "height": 844})
    page.locator("#chart .draglayer .nsewdrag").first.hover()
    told = page.locator("#chart .hoverlayer .legend")
    told.get_by_text("UTC").wait_for()
    text = told.text_content() or ""
    assert [name for name in ("perp", "spot", "basis", "funding") if f"{name} : " not in text] == []
