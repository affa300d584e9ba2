"""The page of `pointline serve` in a headless Chromium: queries, errors, links, the catalogue, signing in."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

import pytest
from tests.machine import until
from tests.server.page.browsing import MARKUP, ask, cells, column, read
from tests.server.running import running_server

from pointline.server.hashes import hash_password, new_token

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Page
    from tests.server.running import RunningServer

    from pointline.lake.store import Lake

ENDLESS = "SELECT sum(sipHash64(number)) FROM numbers(1000000000000)"


def test_an_error_has_its_code_its_text_and_its_place(page: Page) -> None:
    page.fill("#statement", "SELECT 'ä',\n 1 FORM api.coverage")
    page.press("#statement", "Control+Enter")
    page.locator("#error").wait_for()
    assert page.inner_text("#error h2") == "Code 62 · SYNTAX_ERROR"
    assert "Syntax error" in page.inner_text("#error pre")
    page.get_by_role("button", name="Show the place").click()
    selected = page.locator("#statement").evaluate("box => box.value.slice(box.selectionStart, box.selectionEnd)")
    assert selected == "api"  # FORM is read as the name of 1
    page.fill("#statement", "SELECT file('/etc/passwd')")
    page.click("#run")
    page.get_by_text("Code 497 · ACCESS_DENIED").wait_for()
    ask(page, "SELECT 1", rows=1)
    assert page.locator("#error").is_hidden()


@pytest.mark.parametrize("by", ["button", "key"])
def test_a_query_is_cancelled_and_stops(page: Page, served: RunningServer, by: str) -> None:
    def gone() -> int:
        return sum(entry["outcome"] == "gone" for entry in served.audit())

    until(served.has_settled)
    before = gone()
    page.fill("#statement", ENDLESS)
    page.press("#statement", "Control+Enter")
    until(served.busy)
    if by == "button":
        page.click("#cancel")
    else:
        page.keyboard.press("Escape")
    page.get_by_text("Cancelled after").wait_for()
    assert page.locator("#cancel").is_disabled()
    until(lambda: gone() > before)
    ask(page, "SELECT 1", rows=1)


def test_a_second_run_takes_the_place_of_the_first(page: Page) -> None:
    page.fill("#statement", ENDLESS)
    page.press("#statement", "Control+Enter")
    page.get_by_text("Running").wait_for()
    ask(page, "SELECT 5 AS five", rows=1)
    assert cells(page) == [["5"]]
    assert page.locator("#cancel").is_disabled()


def test_the_catalogue_puts_names_into_the_statement(page: Page) -> None:
    views = page.locator("#catalogue-tree > details > summary").evaluate_all("all => all.map(one => one.firstChild.textContent)")
    assert set(views) >= {"ohlcv", "coverage", "features", "funding_rate", "market_future", "market_spot", "trade"}
    candles = page.locator("#catalogue-tree > details").first
    candles.locator("summary").click()
    close = candles.locator("li", has_text="close").first.locator("> *").all_inner_texts()
    assert close[0] == "close"
    assert close[1].startswith("Nullable(Decimal(")
    assert close[2] == "last price, null where nothing was traded"
    page.fill("#statement", "SELECT  FROM ")
    page.get_by_role("button", name="api.ohlcv(candle_duration_in_minutes = 1440)").click()
    page.locator("#statement").evaluate("box => box.setSelectionRange(7, 7)")
    candles.get_by_role("button", name="close", exact=True).click()
    assert page.input_value("#statement") == "SELECT close FROM api.ohlcv(candle_duration_in_minutes = 1440)"
    described = page.locator("#catalogue-tree li .about").evaluate_all("all => all.map(one => one.textContent)")
    assert len(described) > 50
    assert all(described)


def test_a_query_is_shared_by_its_address_and_not_run_by_it(page: Page, opened: Callable[..., Page], served: RunningServer) -> None:
    text = "SELECT toDate('2024-12-01') + number AS day, number AS `it's & #1` FROM numbers(3)"
    ask(page, text, rows=3)
    page.select_option("#chart-kind", "bar")
    page.click("#copy-link")
    assert text in unquote_plus(page.url)
    asked = len(served.audit())
    other = read(opened(page.url))
    assert other.input_value("#statement") == text
    assert text not in [entry["text"] for entry in served.audit()[asked:]]
    other.click("#run")
    other.locator("#plot .barlayer .trace").first.wait_for()
    assert len(cells(other)) == 3


@pytest.mark.parametrize("view", ["nowhere", "constructor"])
def test_a_link_to_no_view_opens_the_query(opened: Callable[..., Page], served: RunningServer, view: str) -> None:
    page = read(opened(f"{served.url}#view={view}&sql=SELECT+1"))
    assert page.input_value("#statement") == "SELECT 1"
    assert page.locator("#views [aria-current]").inner_text() == "Query"
    assert page.evaluate("Object.sql") is None


def test_the_way_back_leads_to_the_query_before(page: Page) -> None:
    ask(page, "SELECT 1 AS first", rows=1)
    ask(page, "SELECT 2 AS second", rows=1)
    page.go_back()
    until(lambda: page.input_value("#statement") == "SELECT 1 AS first")


def test_text_is_never_markup(page: Page, opened: Callable[..., Page], served: RunningServer) -> None:
    literal = MARKUP.replace("'", "\\'")
    ask(
        page,
        f"SELECT toDate('2024-12-01') + number AS day, '{literal}' AS market, number AS `<b onclick=x>name</b>` FROM numbers(3)",
        rows=3,
    )
    assert column(page, "market") == [MARKUP] * 3
    page.select_option("#chart-series", "market")
    page.locator("#plot .legendtext").wait_for()
    assert page.locator("#plot .legendtext").text_content() == MARKUP
    page.select_option("#chart-x", "market")
    page.locator("#plot .xtick", has_text="<img").first.wait_for()
    page.fill("#statement", f"SELECT throwIf(1, '{literal}')")
    page.click("#run")
    page.locator("#error").wait_for()
    assert MARKUP in page.inner_text("#error pre")
    shared = read(opened(f"{served.url}#view={MARKUP}&sql={MARKUP}&kind={MARKUP}"))
    for one in (page, shared):
        assert one.locator("img, b[onclick], a[href^=http]").count() == 0
        assert one.title() == "pointline"


def test_another_format_is_shown_as_text_and_can_be_kept(page: Page) -> None:
    page.fill("#statement", "SELECT '<i>', 1 FORMAT CSV")
    page.click("#run")
    page.locator("#result pre").wait_for()
    assert page.locator("#result pre").inner_text() == '"<i>",1\n'
    page.fill("#statement", "SELECT 1 FORMAT Parquet")
    page.click("#run")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download Parquet").click()
    assert download.value.suggested_filename == "result.parquet"
    assert page.locator("#result pre").count() == 0


def test_who_is_not_known_signs_in(
    confining: None,  # noqa: ARG001 -- skips
    opened: Callable[..., Page],
    page_lake: Lake,
    tmp_path: Path,
) -> None:
    token, digest = new_token()
    users = f'[users.ann]\npassword = "{hash_password("päss")}"\n[users.robot]\ntokens = ["{digest}"]\n'
    with running_server(page_lake, tmp_path, config=f"[server]\nworkers = 1\n{users}") as server:
        page = opened(server.url)
        page.locator("#login").wait_for()
        page.fill("#login-user", "ann")
        page.fill("#login-secret", "wrong")
        page.press("#login-secret", "Enter")
        page.get_by_text("the password or token is wrong").first.wait_for()
        assert page.locator("#catalogue-tree details").count() == 0
        page.fill("#login-secret", "päss")
        page.press("#login-secret", "Enter")
        page.locator("#login").wait_for(state="hidden")
        page.locator("#catalogue-tree details").first.wait_for()
        assert page.inner_text("#user-name") == "ann"
        ask(page, "SELECT 1", rows=1)
        until(lambda: server.audit()[-1]["user"] == "ann")
        assert page.evaluate("[Object.keys(localStorage), sessionStorage.length, document.cookie]") == [["pointline.history.ann"], 0, ""]
        assert "päss" not in page.evaluate("JSON.stringify(localStorage)")
        page.click("#sign-out")
        page.locator("#login").wait_for()
        assert page.locator("#result").is_hidden()
        assert page.locator("#history li").count() == 0  # another user does not see what ann asked
        page.fill("#login-user", "")
        page.fill("#login-secret", token)
        page.press("#login-secret", "Enter")
        page.locator("#user").wait_for()
        ask(page, "SELECT 1", rows=1)
        until(lambda: server.audit()[-1]["user"] == "robot")


def test_a_server_that_is_gone_is_said(page: Page) -> None:
    page.route("**/?*", lambda route: route.abort())
    page.fill("#statement", "SELECT 1")
    page.click("#run")
    page.get_by_text("The server cannot be reached").wait_for()
