"""The page of `pointline serve`, clicked through in a headless Chromium.

Playwright drives the browser; it and a Chromium or Chrome must be installed (``pip install playwright``, no browser of its own).
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import pytest
from tests.machine import limit, until
from tests.sql.conftest import december_closes
from tests.sql.markets import Candle, candles_archives, funding_archive, lake_with
from tests.sql.server.running import running_server

from pointline.clock import DAY_US, to_us
from pointline.sql.server.hashes import hash_password, new_token

playwright = pytest.importorskip("playwright.sync_api", reason="the page is tested with playwright: pip install playwright")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page
    from tests.sql.server.running import RunningServer

    from pointline.lake.store import Lake

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ENDLESS = "SELECT sum(sipHash64(number)) FROM numbers(1000000000000)"
MARKUP = '<img src=x onerror="document.title=\'taken\'"><a href="https://example.com">here</a>'
CONFIG = """
[server]
workers = 2

[limits]
time_s = 1000
rows_read = 10_000_000_000_000
"""


def flat(start_us: int, price: str) -> Candle:
    """A candle of one price."""
    return Candle(start_us, price, price, price, price)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """December 2024 as the specification prints it, with two contracts more, a hole in the spot closes of ETH, and a day of funding.

    The December contract closes 1 % above spot each day, also on the 27th, on which it is delivered; the June contract 8 % above.
    """
    folder = tmp_path_factory.mktemp("page")
    first = to_us("2024-12-01")
    candles: dict[tuple[str, str], list[Candle]] = {}
    for (exchange, symbol, day_us), close in december_closes().items():
        candles.setdefault((exchange, symbol), []).append(flat(day_us, close))
    for n, spot in enumerate(candles["binance-spot", "BTCUSDT"]):
        for symbol, above, days in (("BTCUSDT_241227", 1.01, 27), ("BTCUSDT_250627", 1.08, 31)):
            if n < days:
                close = f"{float(spot.close) * above:.4f}"
                candles.setdefault(("binance-futures", symbol), []).append(flat(spot.start_us, close))
    for n, (spot_close, perp_close) in enumerate([("3700", "3702"), (None, "3650"), ("3800", "3799")]):
        candles.setdefault(("binance-futures", "ETHUSDT"), []).append(flat(first + n * DAY_US, perp_close))
        if spot_close:
            candles.setdefault(("binance-spot", "ETHUSDT"), []).append(flat(first + n * DAY_US, spot_close))
    paths = [path for key, rows in candles.items() for path in candles_archives(folder, *key, "1d", rows)]
    payments = [(first + n * DAY_US // 3, 8, "0.0001") for n in range(3)]
    return lake_with(folder, [*paths, funding_archive(folder, "binance-futures", "BTCUSDT", "2024-12", payments)])


@pytest.fixture(scope="module")
def served(confining: None, lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:  # noqa: ARG001 -- skips
    """A server on that lake."""
    with running_server(lake, tmp_path_factory.mktemp("served"), config=CONFIG) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The installed browser."""
    path = os.environ.get("POINTLINE_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"the page is tested in a browser, and none of {', '.join(BROWSERS)} is installed")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=path, args=["--no-sandbox"], timeout=limit(180_000))
        yield found
        found.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens addresses, each in a browser of its own; afterwards nothing may have failed, been blocked, or been asked of another server."""
    contexts, wrong = [], []

    def open_address(address: str, **options: Any) -> Page:  # noqa: ANN401 -- the browser's
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(limit(15_000))
        origin = address.partition("#")[0]
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
        page.on("request", lambda asked: None if asked.url.startswith((origin, "blob:", "data:")) else wrong.append(asked.url))
        page.goto(address)
        return page

    yield open_address
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def page(opened: Callable[..., Page], served: RunningServer) -> Page:
    """The page, with what it shows of the lake read."""
    return read(opened(served.url))


def read(page: Page) -> Page:
    """The page once it has read what it shows of the lake."""
    page.locator("#catalogue-tree details").first.wait_for(state="attached")
    page.locator("#show:enabled").wait_for(state="attached")
    return page


def ask(page: Page, text: str, *, rows: int) -> None:
    """Runs a statement by keyboard and waits for its result."""
    page.fill("#statement", text)
    page.press("#statement", "Control+Enter")
    page.get_by_text(f"{rows} rows, ").wait_for()


def cells(page: Page) -> list[list[str]]:
    """What the table shows, without the numbers of rows."""
    found: list[list[str]] = page.locator("#result tbody").evaluate(
        "body => [...body.rows].map(row => [...row.cells].slice(1).map(cell => cell.textContent))"
    )
    return found


def column(page: Page, name: str) -> list[str]:
    """A column of the table."""
    names = page.locator("#result th").evaluate_all("all => all.slice(1).map(head => head.firstChild.textContent)")
    return [row[names.index(name)] for row in cells(page)]


def lines(page: Page) -> int:
    """How many lines the chart shows, once it shows any."""
    page.locator("#plot .scatterlayer .trace").first.wait_for()
    return page.locator("#plot .scatterlayer .trace").count()


def test_the_specification_is_the_first_example(page: Page, specification: str) -> None:
    assert page.input_value("#statement") == specification
    page.press("#statement", "Control+Enter")
    page.get_by_text("93 rows, 7 columns").wait_for()
    said = page.inner_text("#status")
    assert " ms · read 124 rows, " in said  # 31 days of four markets
    assert cells(page)[1][:5] == ["2024-12-01", "binance-usdm-future", "BTC-USDT", "97265.1", "97185.18"]
    assert [round(float(value), 2) for value in column(page, "spread")[:3]] == [140.92, 79.92, 5085.62]
    assert lines(page) == 3
    assert page.locator("#plot .legendtext").all_text_contents() == [
        "binance-coinm-future / BTC-USD-PERP",
        "binance-usdm-future / BTC-USDT",
        "binance-usdm-future / BTC-USDT-2025-03-28",
    ]


@pytest.mark.slow
def test_every_example_runs(page: Page) -> None:
    rows = {
        "Spreads: spot, perpetuals, future": 93,
        "Annualised basis": 26 + 31 + 31,
        "Another asset: ETH": 3,
        "Another reference: Coinbase": 93,
        "Term structure": 3,
        "Funding by day": 1,
        "Coverage: what the lake holds": 9,
    }
    assert page.locator("#examples option").all_text_contents() == ["choose one …", *rows]
    for name, count in rows.items():
        page.select_option("#examples", label=name)
        page.click("#run")
        page.get_by_text(f"{count} rows, ").wait_for()
        assert page.locator("#error").is_hidden()
    page.fill("#statement", "SELECT 1")
    assert page.input_value("#examples") == "-1"
    page.select_option("#examples", label="Funding by day")
    assert "api.funding_rate" in page.input_value("#statement")


def test_no_digit_is_lost_and_null_is_no_text(page: Page, tmp_path: Path) -> None:
    ask(
        page,
        "SELECT 9007199254740993 AS large, toDecimal128('0.100000000000000001', 18) AS fine, NULL AS none, 'NULL' AS word, '' AS empty, "
        "'a,\"b\"' AS odd, [18446744073709551615] AS list",
        rows=1,
    )
    assert cells(page) == [["9007199254740993", "0.100000000000000001", "NULL", "NULL", "", 'a,"b"', '["18446744073709551615"]']]
    kinds = page.locator("#result tbody td").evaluate_all("all => all.map(cell => cell.className)")
    assert kinds == ["row-number", "number", "number", "null", "", "", "", ""]
    assert page.locator("#result td.number").first.evaluate("cell => getComputedStyle(cell).textAlign") == "right"
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    download.value.save_as(tmp_path / "result.csv")
    assert (tmp_path / "result.csv").read_bytes().decode() == (
        'large,fine,none,word,empty,odd,list\r\n9007199254740993,0.100000000000000001,,NULL,"","a,""b""","[""18446744073709551615""]"\r\n'
    )


def test_a_long_result_is_shown_in_pages(page: Page) -> None:
    ask(page, "SELECT number FROM numbers(250)", rows=250)
    assert len(cells(page)) == 100
    page.get_by_role("button", name="Next page").click()
    page.keyboard.press("Enter")  # the button keeps the focus
    assert page.inner_text(".pager span") == "201 to 250 of 250"
    assert column(page, "number")[-1] == "249"
    assert page.get_by_role("button", name="Next page").is_disabled()
    page.get_by_role("button", name="First page").click()
    assert column(page, "number")[0] == "0"


def test_charts_follow_the_choices(page: Page) -> None:
    ask(page, "SELECT toDate('2024-12-01') + number % 3 AS day, if(number < 3, 'a', 'b') AS name, number AS one FROM numbers(6)", rows=6)
    assert page.input_value("#chart-kind") == "line"
    assert (page.input_value("#chart-x"), page.input_value("#chart-y")) == ("day", "one")
    page.select_option("#chart-series", "name")
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
    assert set(views) == {"ohlcv", "coverage", "features", "funding_rate", "market_future", "market_spot", "trade", "trade_last"}
    candles = page.locator("#catalogue-tree > details").first
    candles.locator("summary").click()
    close = candles.locator("li", has_text="close").first.locator("> *").all_inner_texts()
    assert close == ["close", "Nullable(Decimal(76, 20))", "last price, null where nothing was traded"]
    page.fill("#statement", "SELECT  FROM ")
    page.get_by_role("button", name="api.ohlcv(candle_duration_in_minutes = 1440)").click()
    page.locator("#statement").evaluate("box => box.setSelectionRange(7, 7)")
    candles.get_by_role("button", name="close", exact=True).click()
    assert page.input_value("#statement") == "SELECT close FROM api.ohlcv(candle_duration_in_minutes = 1440)"
    described = page.locator("#catalogue-tree li .about").evaluate_all("all => all.map(one => one.textContent)")
    assert len(described) > 50
    assert all(described)


def test_spreads(page: Page) -> None:
    page.click("text=Spreads")
    assert page.input_value("#base") == "BTC"
    assert page.input_value("#reference") == "binance:BTC-USDT"
    assert page.locator("#contracts label").all_inner_texts() == [
        "binance-coinm-future BTC-USD-PERP",
        "binance-usdm-future BTC-USDT",
        "binance-usdm-future BTC-USDT-2024-12-27",
        "binance-usdm-future BTC-USDT-2025-03-28",
        "binance-usdm-future BTC-USDT-2025-06-27",
    ]
    assert "quoted in USD" in page.inner_text("#quotes")
    page.fill("#from", "2024-12-01")
    page.fill("#to", "2024-12-31")
    page.uncheck("text=BTC-USDT-2025-06-27")
    page.click("#show")
    page.get_by_text(f"{31 * 3 + 26} rows, ").wait_for()  # the last close of the December contract is that of the 26th
    first = dict(zip(column(page, "market")[:4], column(page, "spread_pct")[:4], strict=True))
    assert {market: round(float(value), 3) for market, value in first.items()} == {
        "BTC-USD-PERP": 0.145,
        "BTC-USDT": 0.082,
        "BTC-USDT-2024-12-27": 1.0,
        "BTC-USDT-2025-03-28": 5.233,
    }
    assert lines(page) == 4
    page.fill("#statement", page.input_value("#statement").replace("'2024-12-31'", "'2024-12-02'"))
    page.click("#run")
    page.get_by_text("8 rows, ").wait_for()  # what the form wrote can be changed


def test_a_day_without_a_reference_has_no_spread(page: Page) -> None:
    page.click("text=Spreads")
    page.select_option("#base", "ETH")
    page.fill("#from", "2024-12-01")
    page.click("#show")
    page.get_by_text("3 rows, ").wait_for()
    assert column(page, "spread") == ["2", "NULL", "-1"]


def test_nothing_to_draw_is_said(page: Page) -> None:
    page.click("text=Spreads")
    for box in page.locator("#contracts input").all():
        box.uncheck()
    page.click("#show")
    assert page.inner_text("#quotes") == "Choose at least one contract."
    ask(page, "SELECT * FROM api.coverage WHERE market = 'NOTHING'", rows=0)
    assert "the example Coverage" in page.inner_text("#status")


def test_term_structure(page: Page) -> None:
    page.click("text=Term structure")
    page.fill("#at", "2024-12-02T00:00")
    page.click("#show")
    page.get_by_text("3 rows, ").wait_for()
    assert column(page, "market") == ["BTC-USDT-2024-12-27", "BTC-USDT-2025-03-28", "BTC-USDT-2025-06-27"]
    # From the close of 1 December, which is 2 December 00:00, to 28 March 08:00 there are 116 days and 8 hours.
    assert float(column(page, "days_to_expiry")[1]) == pytest.approx(116 + 8 / 24)
    assert float(column(page, "basis_pct")[1]) == pytest.approx(5.233, abs=5e-4)
    assert float(column(page, "annualised_simple_pct")[1]) == pytest.approx(16.418, abs=5e-4)
    assert float(column(page, "annualised_compounded_pct")[1]) == pytest.approx(17.355, abs=5e-4)
    assert lines(page) == 1
    page.fill("#at", "2024-12-01T23:59")  # a minute before the first close is known
    page.click("#show")
    page.get_by_text("0 rows, ").wait_for()


def test_annualised_basis_as_a_heat_map(page: Page) -> None:
    page.click("text=Term structure")
    page.select_option("#shape", "heatmap")
    page.fill("#from", "2024-12-01")
    page.fill("#to", "2024-12-31")
    page.click("#show")
    page.get_by_text(f"{26 + 31 + 31} rows, ").wait_for()
    page.locator("#plot .heatmaplayer image").wait_for()
    assert "Colour" in page.inner_text("#chart-y-label")
    ends = dict(zip(zip(column(page, "day"), column(page, "market"), strict=True), column(page, "annualised_simple_pct"), strict=True))
    assert ends["2024-12-26", "BTC-USDT-2024-12-27"] == "NULL"  # eight hours are left
    assert float(ends["2024-12-25", "BTC-USDT-2024-12-27"]) == pytest.approx(1 * 365 / (1 + 8 / 24), rel=1e-3)


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
    page.wait_for_function("document.getElementById('statement').value === 'SELECT 1 AS first'")


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
    page.wait_for_function("document.querySelector('#plot .xtick')?.textContent.includes('<img')")
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
    lake: Lake,
    tmp_path: Path,
) -> None:
    token, digest = new_token()
    users = f'[users.ann]\npassword = "{hash_password("päss")}"\n[users.robot]\ntokens = ["{digest}"]\n'
    with running_server(lake, tmp_path, config=f"[server]\nworkers = 1\n{users}") as server:
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
        assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
        page.click("#sign-out")
        page.locator("#login").wait_for()
        assert page.locator("#result").is_hidden()
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


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_is_wider_than_the_screen(opened: Callable[..., Page], served: RunningServer, scheme: str) -> None:
    page = read(opened(served.url, viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True, color_scheme=scheme))
    assert page.locator("#catalogue").get_attribute("open") is None
    for view in ("Query", "Spreads", "Term structure"):
        page.click(f"#views >> text={view}")
        page.click("#run" if view == "Query" else "#show")
        lines(page)
        assert page.evaluate("document.documentElement.scrollWidth") == 360, view
    light = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).every(part => part > 128)")
    assert light == (scheme == "light")


def test_everything_can_be_reached_by_keyboard(page: Page) -> None:
    seen = []
    page.click("h1")
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
    wanted = ["Query", "Spreads", "Term structure", "Catalogue", "examples", "statement", "run", "copy-link"]
    assert [name for name in seen[: seen.index("copy-link") + 1] if name in wanted] == wanted
