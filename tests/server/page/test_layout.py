"""The page on a phone and on a large screen, in both themes: what comes first, what fits, what can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.server.page.browsing import PHONE, ask, lines, read

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page
    from tests.server.running import RunningServer

SCREEN: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}}
SCREENS = {390: PHONE, 1280: SCREEN}
VIEWS = ("Query", "Spreads", "Term structure")

# Texts whose contrast against what lies behind them is too small, with the ratio of WCAG 2; of the query box the coloured text counts.
FAINT = """() => {
  const parts = (text) => { const found = text.match(/[\\d.]+/g).map(Number); return [...found.slice(0, 3), found[3] ?? 1]; };
  const light = (colour) => {
    const [r, g, b] = colour.map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const over = (front, back) => [0, 1, 2].map((n) => front[n] * front[3] + back[n] * (1 - front[3]));
  const behind = (node) => {
    if (node === null) return [255, 255, 255];
    const own = parts(getComputedStyle(node).backgroundColor);
    return own[3] === 1 ? own.slice(0, 3) : over(own, behind(node.parentElement));
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const nodes = [...document.querySelectorAll('select, input:not([type=checkbox])')];
  while (walker.nextNode()) if (walker.currentNode.data.trim()) nodes.push(walker.currentNode.parentElement);
  const found = [];
  let seen = 0;
  for (const node of new Set(nodes)) {
    const style = getComputedStyle(node);
    if (node.matches('textarea, option, noscript, script') || node.getClientRects().length === 0 || style.visibility === 'hidden') continue;
    seen += 1;
    const text = parts(node instanceof SVGElement ? style.fill : style.color);
    const back = behind(node);
    const [a, b] = [light(over(text, back)), light(back)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const name = `${node.tagName} ${node.className.baseVal ?? node.className}: ${node.textContent.slice(0, 40)}`;
    if (ratio < 4.5 || Number(style.opacity) !== 1) found.push([name, ratio.toFixed(2)]);
  }
  return { found, seen };
}"""


def run_view(page: Page, view: str) -> None:
    """Opens a view and waits for its chart."""
    page.click(f"#views >> text={view}")
    page.click("#run" if view == "Query" else "#show")
    lines(page)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 390, 1280])
def test_nothing_is_wider_than_the_screen(opened: Callable[..., Page], served: RunningServer, width: int, scheme: str) -> None:
    screen = {**SCREENS.get(width, PHONE), "viewport": {"width": width, "height": 800}}
    page = read(opened(served.url, **screen, color_scheme=scheme))
    assert (page.locator("#catalogue").get_attribute("open") is None) == (width < 1000)
    for view in VIEWS:
        run_view(page, view)
        assert page.evaluate("document.documentElement.scrollWidth") == width, view
    page.click("#views >> text=Query")
    ask(page, f"SELECT '{'wide' * 200}' AS text, {{a_parameter_with_a_long_name:String}} AS {'x' * 90}", rows=1)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    light = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).every(part => part > 128)")
    assert light == (scheme == "light")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_all_text_can_be_read(opened: Callable[..., Page], served: RunningServer, width: int, scheme: str) -> None:
    page = read(opened(served.url, **SCREENS[width], color_scheme=scheme))
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")

    def readable(least: int) -> None:
        page.evaluate("Promise.all(document.getAnimations().map(one => one.finished)).then(() => null)")
        said = page.evaluate(FAINT)
        assert said["found"] == []
        assert said["seen"] > least

    for view in VIEWS:
        run_view(page, view)
        readable(100)
    page.click("#views >> text=Query")
    page.fill("#statement", "SELECT {a:Nullable(String)}, NULL, 1.5, 'text' -- a comment\nFROM `table` WHERE toDate('2024-12-01') > 5")
    page.click("#run")
    page.locator("#error").wait_for()
    readable(50)
    ask(page, "SELECT NULL AS nothing, toDecimal64('1.23456789012345678', 17) AS fine FROM numbers(150)", rows=150)
    page.locator("#result th button").first.click()
    readable(100)


def place(page: Page, name: str) -> tuple[float, float]:
    """Where an element begins and ends, from the top of the screen."""
    top, bottom = page.locator(name).evaluate("node => { const box = node.getBoundingClientRect(); return [box.top, box.bottom]; }")
    return top, bottom


@pytest.mark.parametrize("view", VIEWS)
def test_on_a_phone_the_result_comes_before_the_tail_of_the_form(opened: Callable[..., Page], served: RunningServer, view: str) -> None:
    page = read(opened(served.url, **PHONE))
    run_view(page, view)
    top, _ = place(page, "#outcome")
    assert -1 <= top < 100  # it has been scrolled to
    chart, _ = place(page, "#chart")
    assert chart < 250
    table, _ = place(page, "#result")
    assert table < 844  # the table begins on the same screen
    start, end = place(page, "#query")
    if view == "Query":
        assert end <= top
        assert end - start < 450  # the statement has become small
        page.click("#statement")
        assert place(page, "#query")[1] - place(page, "#query")[0] > 600  # and shows all of it again where it is used
    else:
        assert start >= place(page, "#result")[1]
        assert place(page, "#markets")[1] <= top


def test_on_a_desk_the_query_stands_above_the_result(page: Page) -> None:
    for view in VIEWS:
        run_view(page, view)
        assert place(page, "#query")[1] <= place(page, "#outcome")[0] < place(page, "#chart")[0] < place(page, "#result")[0]
        if view != "Query":
            assert place(page, "#plot")[0] < 900  # the chart begins on the same screen


def test_everything_can_be_reached_by_keyboard(page: Page) -> None:
    seen = []
    page.click("h1")
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
    wanted = ["Query", "Spreads", "Term structure", "Catalogue", "History", "examples", "statement", "run", "copy-link"]
    assert [name for name in seen[: seen.index("copy-link") + 1] if name in wanted] == wanted
