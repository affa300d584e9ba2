"""A report in a browser: every figure drawn, nothing cut off, light, dark and on paper, nothing said on the console."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from tests.machine import limit
from tests.report.pages import FIRST_US, MARKUP, backtest, costs, forecast
from tests.report.test_charts import PAIR, bars

import pointline
from pointline.clock import MINUTE_US
from pointline.report.charts import comparison_figure
from pointline.report.colours import GROUND, INK
from pointline.report.data_figures import MOST_POINTS, age_figure
from pointline.report.page import PageFigure, PageSection, ReportPage, page_html, write_page
from pointline.report.trading_figures import MOST_PERIODS, equity_figure
from pointline.research.spines import TimeBarConfig
from pointline.studies.report_trading import backtest_section

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page
    from tests.demo import Demo

    from pointline.studies.study import Study

PHONE, DESKTOP = 390, 1280
FIGURES = {
    *("spot-age", "basis-and-funding", "information-coefficients", "nulls", "deciles", "lead-lag-curve"),
    *("funding-errors", "funding-forecast", "opportunities", "costs-ladder", "equity"),
}
MOST_BYTES = 6_000_000
AA, AA_LARGE, LARGE_PX = 4.5, 3.0, 24

CUT_OFF = """() => [...document.querySelectorAll('h1, h2, p, li, dt, dd, button, figcaption, summary, .plot text')]
    .filter((node) => node.textContent.trim() && node.getBoundingClientRect().width > 0)
    .filter((node) => !node.closest('.scrollbox') && !node.closest('.hoverlayer'))
    .map((node) => [node.textContent, node.getBoundingClientRect()])
    .filter(([, box]) => box.left < -0.5 || box.right > innerWidth + 0.5)
    .map(([text, box]) => text + ': ' + box.left + ' to ' + box.right)"""
COVERED = """() => [...document.querySelectorAll('.plot')].flatMap((plot) =>
    [...plot.querySelectorAll('.xtick text, .xtitle, .ytick text, .legendtext')]
    .filter((node) => node.textContent.trim() && node.getBoundingClientRect().width > 0 && !node.closest('.hoverlayer'))
    .map((node) => [node.textContent, node.getBoundingClientRect()])
    .flatMap(([text, one], n, all) => all.slice(n + 1)
        .filter(([, other]) => one.left < other.right - 1 && other.left < one.right - 1)
        .filter(([, other]) => one.top < other.bottom - 2 && other.top < one.bottom - 2)
        .map(([other]) => plot.id + ': ' + text + ' and ' + other)))"""
TEXTS = """() => {
    const found = new Map();
    const rgb = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
    const ground = (node) => {
        for (let at = node; at; at = at.parentElement) {
            const colour = rgb(getComputedStyle(at).backgroundColor);
            if (colour.length === 3 || colour[3] > 0) return colour.slice(0, 3);
        }
        return [255, 255, 255];
    };
    for (const node of document.querySelectorAll('body *')) {
        const own = [...node.childNodes].some((part) => part.nodeType === 3 && part.textContent.trim());
        const box = node.getBoundingClientRect();
        if (!own || !box.width || ['SCRIPT', 'STYLE'].includes(node.tagName) || node.closest('.hoverlayer, .modebar')) continue;
        const look = getComputedStyle(node);
        const ink = rgb(node instanceof SVGElement ? look.fill : look.color);
        const told = [ink.slice(0, 3), ground(node), parseFloat(look.fontSize)];
        found.set(JSON.stringify(told), [...told, node.tagName + ': ' + node.textContent.slice(0, 40)]);
    }
    return [...found.values()];
}"""
SIZES = """() => Object.fromEntries([...document.querySelectorAll('.plot')].map((plot) => {
    const svg = plot.querySelector('.main-svg').getBoundingClientRect();
    const marks = plot.querySelectorAll('.trace, .point, .js-line, .bars path').length;
    return [plot.dataset.figure, [svg.width, svg.height, marks]];
}))"""


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages once their figures are drawn; afterwards nothing may have failed, been said or been asked of a server."""
    contexts, wrong = [], []

    def open_page(path: Path, **options: Any) -> Page:  # noqa: ANN401 - the browser's
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(limit(60_000))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text))
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        page.on("request", lambda asked: None if asked.url.startswith(("file:", "blob:", "data:")) else wrong.append(asked.url))
        page.goto(path.as_uri())
        page.locator("html[data-drawn=true]").wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture(scope="module")
def study(demo: Demo) -> Study:
    rule = TimeBarConfig("5m")
    pair = ("binance-futures:BTCUSDT", "binance-spot:BTCUSDT")
    return pointline.compare(*pair, start="2024-05-01", end="2024-05-03", bars=rule, lake=demo.folder / "lake")


@pytest.fixture(scope="module")
def report(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with every part, and markup where a user's text can stand."""
    folder = tmp_path_factory.mktemp("report")
    parts = {"forecast": forecast(verdict=MARKUP), "costs": costs(), "backtest": backtest(title=MARKUP)}
    return study.report(folder / "report.html", evaluation=study.ic(draws=20), **parts)


def luminance(rgb: list[float]) -> float:
    linear = [one / 255 / 12.92 if one <= 10.31 else ((one / 255 + 0.055) / 1.055) ** 2.4 for one in rgb]
    return sum(part * one for part, one in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: list[float], other: list[float]) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def rgb(colour: str) -> str:
    return f"rgb({', '.join(str(int(colour[n : n + 2], 16)) for n in (1, 3, 5))})"


def weak(page: Page) -> list[str]:
    """Texts that do not stand out from their ground as WCAG 2 asks for at level AA."""
    texts = page.evaluate(TEXTS)
    assert len(texts) > 5
    return [
        f"{text} {ink} on {ground}" for ink, ground, size, text in texts if contrast(ink, ground) < (AA_LARGE if size >= LARGE_PX else AA)
    ]


@pytest.mark.parametrize(("width", "scheme"), [(PHONE, "dark"), (DESKTOP, "light")])  # colours do not move anything
def test_every_figure_is_drawn_and_nothing_is_cut_off(opened: Callable[..., Page], report: Path, width: int, scheme: str) -> None:
    page = opened(report, viewport={"width": width, "height": 844}, color_scheme=scheme)
    sizes = page.evaluate(SIZES)
    assert sizes.keys() == FIGURES
    assert [name for name, (across, down, marks) in sizes.items() if across < 250 or down < 100 or not marks] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CUT_OFF) == []
    assert page.evaluate(COVERED) == []
    assert weak(page) == []
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == rgb(getattr(GROUND, scheme))


def test_a_reader_can_choose_dark_and_light(opened: Callable[..., Page], report: Path) -> None:
    page = opened(report, viewport={"width": DESKTOP, "height": 844}, color_scheme="light")
    ticks = "() => getComputedStyle(document.querySelector('#plot-equity .xtick text')).fill"
    assert page.evaluate(ticks) == rgb(INK.light)
    page.get_by_role("button", name="Show in dark colours").click()
    page.wait_for_function(f"({ticks})() === '{rgb(INK.dark)}'")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == rgb(GROUND.dark)
    assert weak(page) == []
    page.get_by_role("button", name="Show in light colours").click()
    page.wait_for_function(f"({ticks})() === '{rgb(INK.light)}'")
    page.emulate_media(color_scheme="dark")  # what the reader chose stays
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == rgb(GROUND.light)


def test_the_page_prints_in_light_colours_with_all_details(opened: Callable[..., Page], report: Path) -> None:
    page = opened(report, viewport={"width": 700, "height": 900}, color_scheme="dark")
    page.emulate_media(media="print")
    page.wait_for_function("document.querySelector('#plot-equity .main-svg').getBoundingClientRect().width <= 662")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == rgb(GROUND.light)
    assert page.evaluate("getComputedStyle(document.querySelector('#plot-equity .xtick text')).fill") == rgb(INK.light)
    assert page.locator("details:not([open])").count() == 0
    assert not page.locator("#theme").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 700
    page.emulate_media(media="screen")
    page.wait_for_function("document.querySelectorAll('details[open]').length === 0")
    assert page.pdf(format="A4")[:5] == b"%PDF-"


def test_tables_are_tables_and_hold_no_words_for_missing_numbers(opened: Callable[..., Page], report: Path) -> None:
    page = opened(report, viewport={"width": DESKTOP, "height": 844})
    bare = "tables => tables.filter(t => !t.caption || !t.tHead || t.tHead.querySelector('th:not([scope=col])')).length"
    assert page.locator("table").evaluate_all(bare) == 0
    assert page.locator("tbody tr").evaluate_all("rows => rows.filter(r => !r.querySelector('th[scope=row]')).length") == 0
    words = "cells => cells.map(c => c.textContent.trim()).filter(t => /^[-+]?(nan|null|none|inf|infinity|undefined)$/i.test(t))"
    assert page.locator("td, th, dd").evaluate_all(words) == []
    assert not {"NaN", "undefined", "Infinity"} & set(page.locator("main").inner_text().split())


def test_markup_in_names_is_text(opened: Callable[..., Page], report: Path) -> None:
    page = opened(report, viewport={"width": DESKTOP, "height": 844})
    assert page.locator("#forecast > p").first.inner_text() == MARKUP
    assert page.locator("main script, main b").count() == 0


def test_sections_stand_in_order(opened: Callable[..., Page], report: Path) -> None:
    page = opened(report, viewport={"width": DESKTOP, "height": 844})
    names = page.locator("main > section").evaluate_all("all => all.map(one => one.id)")
    expected = ["coverage", "basis", "coefficients", "nulls", "deciles", "lead-lag", "forecast", "costs", "backtest", "checklist"]
    assert names == [*expected, "provenance"]
    assert page.locator("nav a").evaluate_all("all => all.map(one => one.hash.slice(1))") == names


def test_each_figure_becomes_a_picture(study: Study, tmp_path: Path, browser: Browser) -> None:
    del browser  # only that there is one
    days = backtest()
    page = ReportPage("t", "s", "v", [], [backtest_section(days, "a window", "USDT")])
    written = write_page(page, tmp_path / "page.html", pictures=tmp_path)
    assert [path.name for path in written] == ["equity.png", "page.html"]
    picture = (tmp_path / "equity.png").read_bytes()
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(picture[16:20], "big") == 2_400
    assert study.pair.perp.name.startswith("binance-futures")


# ---- size ---------------------------------------------------------------------------------------------------------------------------


def long_page(count: int) -> str:
    """A page about so many bars of a minute, with a spike and a hole, and as many days of a backtest up to 5,000."""
    dice = np.random.default_rng(1)
    price = 60_000 * np.exp(dice.normal(0, 2e-4, count).cumsum())
    basis = dice.normal(2, 1, count)
    table = bars(count, perp_close=price, spot_close=price * (1 - basis / 1e4), basis_bps=basis)
    ages = pl.DataFrame({"at": FIRST_US + MINUTE_US * np.arange(count), "value": dice.exponential(20, count)})
    figures = [
        PageFigure("chart", "x", comparison_figure(table, PAIR, most_points=MOST_POINTS)),
        PageFigure("age", "x", age_figure(ages, limit_s=60, title="x", subtitle="y")),
    ]
    traded = backtest_section(backtest(min(count, 5_000)), "a window", "USDT")
    return page_html(ReportPage("t", "s", "v", [], [PageSection("one", "One", figures=figures), traded]))


def test_the_size_does_not_grow_with_the_bars() -> None:
    sizes = [len(long_page(count).encode()) for count in (20_000, 200_000)]
    assert max(sizes) < MOST_BYTES
    assert sizes[1] - sizes[0] < 100_000


def test_no_trace_has_more_points_than_may_be_drawn() -> None:
    dice = np.random.default_rng(1)
    count = 30_000
    ages = pl.DataFrame({"at": np.arange(count) * MINUTE_US, "value": dice.exponential(20, count)})
    (line, _) = age_figure(ages, limit_s=60, title="x", subtitle="y").data
    assert len(line.x) <= MOST_POINTS
    assert max(line.y) == pytest.approx(ages["value"].max())  # the extremes are drawn
    drawn = backtest_section(backtest(5_000), "a window", "USDT").figures[0].drawn
    assert max(len(trace.x) for trace in drawn.data) <= MOST_POINTS
    assert max(len(trace.x) for trace in drawn.data if trace.type == "bar") <= MOST_PERIODS


def test_terms_of_a_backtest_add_up_to_the_change_of_equity() -> None:
    days = pl.DataFrame({"at": [1, 2, 3], "equity": [1.0, 3.0, 2.0], "drawdown": [0.0, 0.0, -1.0], "price": [1.0, 2.0, -1.0]})
    days = days.with_columns(**dict.fromkeys(("funding", "fees", "slippage", "borrow"), pl.lit(0.0)))
    figure = equity_figure(days, capital=0.0, quote="USDT", title="x", subtitle="y")
    assert sum(sum(trace.y) for trace in figure.data if trace.type == "bar") == 2.0
