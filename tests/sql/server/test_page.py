"""The page, in a real browser: it asks, shows, draws, cancels, shares, logs in, and never takes a value for markup."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from tests.sql.server.running import running_server

from pointline.sql.server.hashes import hash_password

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
    page.fill("#statement", text)
    page.press("#statement", "Control+Enter")


def rows_come(page: Page, count: int) -> None:
    page.locator("#status", has_text=f"{count} rows,").wait_for()


def cells(page: Page) -> list[list[str]]:
    """The rows that are shown, without their numbers."""
    rows = page.locator("#result tbody tr")
    return [rows.nth(k).locator("td").all_inner_texts()[1:] for k in range(rows.count())]


def test_the_specification_is_the_first_example(page: Page, specification: str) -> None:
    assert page.input_value("#statement").split() == specification.split()
    page.click("#run")
    rows_come(page, 93)
    assert cells(page)[1][:5] == ["2024-12-01", "binance-usdm-future", "BTC-USDT", "97265.1", "97185.18"]
    page.locator("#plot .trace.scatter").nth(2).wait_for()
    assert page.locator("#plot .trace.scatter").count() == 3


@pytest.mark.parametrize("example", range(1, 7))
def test_every_example_runs(page: Page, example: int) -> None:
    page.select_option("#examples", str(example))
    page.click("#run")
    page.locator("#status", has_text="rows,").wait_for()
    assert page.locator("#error").is_hidden()


def test_no_digit_is_lost_and_null_is_shown(page: Page) -> None:
    ask(page, "SELECT toInt64(9007199254740993) AS large, toDecimal128('0.100000000000000001', 18) AS fine, toUInt8OrNull('') AS x")
    rows_come(page, 1)
    assert cells(page) == [["9007199254740993", "0.100000000000000001", "NULL"]]
    assert page.locator("#result td.null").count() == 1


def test_pages_of_a_long_result(page: Page) -> None:
    ask(page, "SELECT number FROM numbers(450)")
    page.get_by_text("1 to 100 of 450").wait_for()
    page.get_by_label("Last page").click()
    page.get_by_text("401 to 450 of 450").wait_for()
    assert page.get_by_label("Next page").is_disabled()
    assert cells(page)[-1] == ["449"]


def test_a_value_is_never_markup(page: Page) -> None:
    text = "<img src=x onerror=\"document.title='taken'\">"
    quoted = text.replace("'", "\\'")
    ask(page, f"SELECT '{quoted}' AS `<b>name</b>`")
    rows_come(page, 1)
    assert cells(page) == [[text]]
    assert page.locator("#result img, #result b").count() == 0
    ask(page, f"SELECT throwIf(1, '{quoted}')")
    page.locator("#error pre").wait_for()
    assert page.locator("#error img").count() == 0
    assert page.title() == "pointline"


def test_an_error_has_its_code(page: Page) -> None:
    ask(page, "SELECT * FROM api.nothing")
    page.locator("#error h2", has_text="Code ").wait_for()
    assert "nothing" in page.locator("#error pre").inner_text()
    ask(page, "SELECT 1")
    rows_come(page, 1)
    assert page.locator("#error").is_hidden()


def test_a_query_is_cancelled_and_the_server_lets_go_of_it(page: Page, served: RunningServer) -> None:
    ask(page, "SELECT sum(cityHash64(number)) FROM numbers(900000000)")
    page.click("#cancel")
    page.locator("#status", has_text="Cancelled").wait_for()
    ask(page, "SELECT 2")
    rows_come(page, 1)
    assert cells(page) == [["2"]]
    assert any(entry["outcome"] == "gone" for entry in served.audit())


def test_the_catalogue_names_columns(page: Page) -> None:
    tree = page.locator("#catalogue-tree")
    tree.get_by_text("funding_rate", exact=True).first.wait_for()
    tree.locator("details", has_text="funding_rate").locator("summary").first.click()
    column = tree.get_by_role("button", name="interval_hours")
    column.wait_for()
    page.fill("#statement", "SELECT ")
    column.click()
    assert page.input_value("#statement") == "SELECT interval_hours"


def test_spreads_and_term_structure_fill_in_their_statements(page: Page) -> None:
    page.locator("#catalogue-tree details").first.wait_for()
    page.click("#views [data-view=spreads]")
    page.fill("#from", "2024-12-01")
    page.fill("#to", "2024-12-31")
    page.click("#show")
    rows_come(page, 93)
    first = cells(page)[2]
    assert first[:6] == ["2024-12-01", "binance-usdm-future", "BTC-USDT-2025-03-28", "USDT", "102270.8", "97185.18"]
    assert float(first[7]) == pytest.approx(5.233, abs=5e-4)
    page.click("#views [data-view=term]")
    page.fill("#at", "2024-12-02T00:00")
    page.click("#show")
    rows_come(page, 1)
    days, _, percent, _, simple, compounded = map(float, cells(page)[0][4:10])
    assert days == pytest.approx(116 + 8 / 24)  # from the close's end, 2 December 00:00, to 28 March 08:00
    assert percent == pytest.approx(5.233, abs=5e-4)
    assert simple == pytest.approx(16.418, abs=5e-4)
    assert compounded == pytest.approx(17.355, abs=5e-4)
    page.select_option("#shape", "heatmap")
    page.fill("#from", "2024-12-01")
    page.fill("#to", "2024-12-19")
    page.click("#show")
    rows_come(page, 19)
    page.locator("#plot .hm image").wait_for()


def test_a_query_is_shared_by_its_address(page: Page, browser: Browser) -> None:
    ask(page, "SELECT 42 AS `it's & shared`")
    rows_come(page, 1)
    other = opened(browser, page.url)
    assert other.input_value("#statement") == "SELECT 42 AS `it's & shared`"
    other.context.close()


def test_the_result_is_saved_as_csv(page: Page) -> None:
    ask(page, "SELECT 1 AS a, 'x,y' AS b")
    rows_come(page, 1)
    with page.expect_download() as download:
        page.get_by_text("Download CSV").click()
    assert download.value.path().read_bytes() == b'a,b\r\n1,"x,y"\r\n'


def test_a_user_signs_in_and_out(browser: Browser, confining: None, december: Lake, tmp_path: Path) -> None:  # noqa: ARG001 -- skips
    config = f'[users.ana]\npassword = "{hash_password("right")}"\n'
    with running_server(december, tmp_path, config=config) as server:
        page = opened(browser, server.url)
        page.locator("#login").wait_for()
        for secret in ("wrong", "right"):
            page.fill("#login-user", "ana")
            page.fill("#login-secret", secret)
            page.press("#login-secret", "Enter")
            if secret == "wrong":  # noqa: S105 -- none
                page.locator("#login-error:not(:empty)").wait_for()
                assert page.locator("#catalogue-tree details").count() == 0
        page.locator("#user-name", has_text="ana").wait_for()
        page.locator("#catalogue-tree details").first.wait_for()
        ask(page, "SELECT 1")
        rows_come(page, 1)
        page.click("#sign-out")
        ask(page, "SELECT 1")
        page.locator("#login").wait_for()
        page.context.close()
