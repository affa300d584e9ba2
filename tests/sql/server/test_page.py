"""The page, in a real browser: it asks, shows, draws, cancels, shares, logs in, and never takes a value for markup."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from tests.sql.server.running import running_server

from pointline.sql.server.hashes import password_hash

sync_api = pytest.importorskip("playwright.sync_api", reason="the page is tested with playwright: pip install playwright")

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page
    from tests.sql.server.running import RunningServer

    from pointline.lake.store import Lake

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = os.environ.get("POINTLINE_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"the page is tested in a browser, and none of {', '.join(BROWSERS)} is installed")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def served(confining: None, december: Lake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:  # noqa: ARG001 -- skips
    with running_server(december, tmp_path_factory.mktemp("page")) as found:
        yield found


@pytest.fixture
def page(browser: Browser, served: RunningServer) -> Iterator[Page]:
    found = opened(browser, served.url)
    yield found
    found.context.close()


def opened(browser: Browser, url: str) -> Page:
    """The page in a browser without memory; an error of a script fails the test."""
    found = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    found.on("pageerror", lambda error: pytest.fail(str(error)))
    found.goto(url)
    return found


def ask(page: Page, text: str) -> None:
    page.fill("#text", text)
    page.press("#text", "Control+Enter")


def cells(page: Page) -> list[list[str]]:
    rows = page.locator("#result tbody tr")
    return [rows.nth(k).locator("td").all_inner_texts() for k in range(rows.count())]


def test_the_specification_is_an_example(page: Page, specification: str) -> None:
    page.select_option("#example", "Spreads of December 2024")
    assert page.input_value("#text").split() == specification.split()
    page.click("#run")
    page.get_by_text("93 rows in").wait_for()
    assert page.locator("#page").inner_text() == "1 to 93 of 93"
    assert cells(page)[1][:5] == ["2024-12-01", "binance-usdm-future", "BTC-USDT", "97265.1", "97185.18"]
    page.locator("#chart .plot-container .scatterlayer .trace").nth(2).wait_for()
    assert page.locator("#chart .trace.scatter").count() == 3


def test_no_digit_is_lost_and_null_is_shown(page: Page) -> None:
    values = "toInt64(9007199254740993) AS large, toDecimal128('0.100000000000000001', 18) AS fine, CAST(NULL, 'Nullable(Int8)') AS none"
    ask(page, f"SELECT {values}")
    page.get_by_text("1 rows in").wait_for()
    assert cells(page) == [["9007199254740993", "0.100000000000000001", "NULL"]]
    assert page.locator("#result td.number").count() == 2
    assert page.locator("#result td.null").count() == 1


def test_pages_of_a_long_result(page: Page) -> None:
    ask(page, "SELECT number FROM numbers(450)")
    page.get_by_text("1 to 200 of 450").wait_for()
    page.click("#next")
    page.click("#next")
    assert page.locator("#page").inner_text() == "401 to 450 of 450"
    assert page.locator("#next").is_disabled()
    assert cells(page)[-1] == ["449"]


def test_a_value_is_never_markup(page: Page) -> None:
    text = "<img src=x onerror=\"document.title='taken'\">"
    quoted = text.replace("'", "\\'")
    ask(page, f"SELECT '{quoted}' AS `<b>name</b>`")
    page.get_by_text("1 rows in").wait_for()
    assert cells(page) == [[text]]
    assert page.locator("#result img, #result b").count() == 0
    ask(page, f"SELECT throwIf(1, '{quoted}')")
    page.locator("#error").wait_for()
    assert page.locator("#error img").count() == 0
    assert page.title() == "pointline"


def test_an_error_has_its_code(page: Page) -> None:
    ask(page, "SELECT * FROM api.nothing")
    page.locator("#error").wait_for()
    assert page.locator("#error").inner_text().startswith("Error ")
    assert "nothing" in page.locator("#error").inner_text()
    ask(page, "SELECT 1")
    page.get_by_text("1 rows in").wait_for()
    assert page.locator("#error").is_hidden()


def test_a_query_is_cancelled_and_the_server_lets_go_of_it(page: Page, served: RunningServer) -> None:
    ask(page, "SELECT sum(cityHash64(number)) FROM numbers(900000000)")
    page.click("#cancel")
    page.get_by_text("cancelled").wait_for()
    ask(page, "SELECT 2")
    page.get_by_text("1 rows in").wait_for()
    assert cells(page) == [["2"]]
    assert any(entry["outcome"] == "gone" for entry in served.audit())


def test_the_catalogue_names_columns(page: Page) -> None:
    view = page.locator("#catalogue details", has_text="funding_rate")
    view.locator("summary").click(position={"x": 3, "y": 8})
    view.get_by_text("interval_hours").wait_for()
    page.fill("#text", "SELECT ")
    view.get_by_role("button", name="interval_hours").click()
    assert page.input_value("#text") == "SELECT interval_hours"


def test_spreads_and_term_structure_fill_in_their_statements(page: Page) -> None:
    page.locator("#catalogue details").first.wait_for()
    page.click("#tab-spreads")
    page.fill("#spreads [name=from]", "2024-12-01")
    page.fill("#spreads [name=to]", "2024-12-31")
    page.click("#spreads button")
    page.get_by_text("93 rows in").wait_for()
    assert cells(page)[2][1:5] == ["binance-usdm-future:BTC-USDT-2025-03-28", "102270.8", "97185.18", cells(page)[2][4]]
    assert float(cells(page)[2][5]) == pytest.approx(5.233, abs=5e-4)
    page.click("#tab-term")
    page.fill("#term [name=at]", "2024-12-02T00:00")
    page.click("#term button")
    page.get_by_text("1 rows in").wait_for()
    days, basis, annualised = map(float, cells(page)[0][2:])
    assert days == pytest.approx(116 + 8 / 24)  # from the close's end, 2 December 00:00, to 28 March 08:00
    assert basis == pytest.approx(5.233, abs=5e-4)
    assert annualised == pytest.approx(16.418, abs=5e-4)
    page.select_option("#term [name=shape]", "heat")
    page.fill("#term [name=at]", "2024-12-20T00:00")
    page.click("#term button")
    page.get_by_text("19 rows in").wait_for()
    page.locator("#chart .heatmaplayer image, #chart .hm image").first.wait_for()


def test_a_query_is_shared_by_its_address(page: Page, browser: Browser) -> None:
    ask(page, "SELECT 42 AS `it's & shared`")
    page.get_by_text("1 rows in").wait_for()
    other = opened(browser, page.url)
    assert other.input_value("#text") == "SELECT 42 AS `it's & shared`"
    other.context.close()


def test_the_result_is_saved_as_csv(page: Page) -> None:
    ask(page, "SELECT 1 AS a, 'x,y' AS b")
    page.get_by_text("1 rows in").wait_for()
    with page.expect_download() as download:
        page.click("#csv")
    assert download.value.path().read_text(encoding="utf-8") == '"a","b"\n1,"x,y"\n'


def test_a_user_logs_in(browser: Browser, confining: None, december: Lake, tmp_path: Path) -> None:  # noqa: ARG001 -- skips
    config = f'[users.ana]\npassword = "{password_hash("right")}"\n'
    with running_server(december, tmp_path, config=config) as server:
        page = opened(browser, server.url)
        page.locator("#login").wait_for()
        page.fill("#user", "ana")
        page.fill("#password", "wrong")
        page.press("#password", "Enter")
        page.locator("#error").wait_for()
        assert page.locator("#catalogue details").count() == 0
        page.fill("#password", "right")
        page.press("#password", "Enter")
        page.get_by_text("logged in as ana").wait_for()
        page.locator("#catalogue details").first.wait_for()
        ask(page, "SELECT currentUser() != ''")
        page.get_by_text("1 rows in").wait_for()
        page.context.close()
