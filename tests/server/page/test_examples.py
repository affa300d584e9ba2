"""The page's examples and forms: they ask for the markets and days that the lake has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.server.page.browsing import answered, ask, cells, column, drawn, lines, read
from tests.server.page.conftest import flat
from tests.server.running import running_server
from tests.sql.markets import candles_archives, lake_with

from pointline.clock import DAY_US, HOUR_US, to_us

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page
    from tests.server.running import RunningServer

    from pointline.lake.store import Lake

NO_DATED = "not here: no asset here has a spot market and a dated future on the same days"


def run_all(page: Page) -> dict[str, int]:
    """Runs every example that can be chosen: rows by name."""
    found = {}
    for option in page.locator("#examples option:enabled").all():
        name = option.text_content() or ""
        if option.get_attribute("value") == "-1":
            continue
        page.select_option("#examples", label=name)
        page.click("#run")
        page.locator("#status").get_by_text(" rows, ").wait_for()
        assert page.locator("#error").is_hidden(), name
        found[name] = int(page.inner_text("#status").split(" rows, ")[0].replace(",", ""))
    return found


def test_the_specification_is_the_first_example(page: Page, specification: str) -> None:
    assert page.input_value("#statement") == specification
    page.press("#statement", "Control+Enter")
    page.get_by_text("93 rows, 7 columns").wait_for()
    assert " ms · read 124 rows, " in page.inner_text("#status")  # 31 days of four markets
    assert cells(page)[1][:5] == ["2024-12-01", "binance-usdm-future", "BTC-USDT", "97265.1", "97185.18"]
    assert [round(float(value), 2) for value in column(page, "spread")[:3]] == [140.92, 79.92, 5085.62]
    assert lines(page) == 3
    assert page.locator("#plot .legendtext").all_text_contents() == [
        "binance-coinm-future / BTC-USD-PERP",
        "binance-usdm-future / BTC-USDT",
        "binance-usdm-future / BTC-USDT-2025-03-28",
    ]


@pytest.mark.slow
def test_every_example_gives_rows(page: Page) -> None:
    assert run_all(page) == {
        "Spreads: spot, perpetuals, future": 93,
        "Annualised basis": 26 + 31 + 31,
        "Term structure of the newest closes": 2,
        "Another asset: ETH": 3,
        "Another reference: binance BTC-USDC": 4 * 31 + 26,
        "Candles of any length, with parameters": 31,
        "Funding by day": 1,
        "Coverage: what the lake holds": 10,
    }
    assert page.locator("#examples option:disabled").all_text_contents() == ["The last trades – not here: the lake has no trades"]
    page.fill("#statement", "SELECT 1")
    assert page.input_value("#examples") == "-1"


def test_every_example_of_the_demo_gives_rows_or_a_reason(opened: Callable[..., Page], server: RunningServer) -> None:
    page = read(opened(server.url))
    rows = run_all(page)
    assert rows == {
        "Spreads: spot, perpetuals, future": 48,
        "Candles of any length, with parameters": 48,
        "Funding by day": 2,
        "The last trades": 500,
        "Coverage: what the lake holds": 5,
    }
    assert page.locator("#examples option:disabled").all_text_contents() == [
        f"Annualised basis – {NO_DATED}",
        f"Term structure of the newest closes – {NO_DATED}",
        "Another asset – not here: BTC is the only asset here with a spot market and a contract",
        "Another reference – not here: BTC has one spot market here",
    ]
    page.click("text=Term structure")
    assert page.inner_text("#contracts") == "The lake has no dated future of this asset."
    assert page.locator("#show").is_disabled()
    page.click("text=Spreads")
    assert page.locator("#show").is_enabled()


def test_an_empty_lake_is_said(
    confining: None,  # noqa: ARG001 -- skips
    empty: Lake,
    opened: Callable[..., Page],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with running_server(empty, tmp_path_factory.mktemp("empty-server"), config="[server]\nworkers = 1\n") as server:
        page = read(opened(server.url))
        assert page.input_value("#statement") == ""
        assert page.locator("#examples option:enabled").all_text_contents() == ["choose one …"]
        assert "Coverage: what the lake holds – not here: the lake is empty" in page.locator("#examples option").all_text_contents()
        page.click("text=Spreads")
        assert page.locator("#show").is_disabled()
        assert page.inner_text("#quotes") == "The lake has no asset with both a spot market and a contract."


def test_spreads(page: Page) -> None:
    page.click("text=Spreads")
    assert page.input_value("#base") == "BTC"
    assert page.input_value("#reference") == "binance:BTC-USDT"
    assert (page.input_value("#from"), page.input_value("#to"), page.input_value("#duration")) == ("2024-12-01", "2024-12-31", "1440")
    assert page.locator("#contracts label").all_inner_texts() == [
        "binance-coinm-future BTC-USD-PERP",
        "binance-usdm-future BTC-USDT",
        "binance-usdm-future BTC-USDT-2024-12-27",
        "binance-usdm-future BTC-USDT-2025-03-28",
        "binance-usdm-future BTC-USDT-2025-06-27",
    ]
    assert "quoted in USD" in page.inner_text("#quotes")
    page.uncheck("text=BTC-USDT-2025-06-27")
    page.click("#show")
    answered(page, 31 * 3 + 26)  # the last close of the December contract is that of the 26th
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
    answered(page, 8)  # what the form wrote can be changed


def test_a_day_without_a_reference_has_no_spread(page: Page) -> None:
    page.click("text=Spreads")
    page.select_option("#base", "ETH")
    page.click("#show")
    answered(page, 3)
    assert column(page, "spread") == ["2", "NULL", "-1"]
    [line] = drawn(page)
    assert [value is None for value in line["y"]] == [False, True, False]  # a gap


def test_nothing_to_draw_is_said(page: Page) -> None:
    page.click("text=Spreads")
    for box in page.locator("#contracts input").all():
        box.uncheck()
    page.click("#show")
    assert page.inner_text("#quotes") == "Choose at least one contract."
    ask(page, "SELECT * FROM api.coverage WHERE market = 'NOTHING'", rows=0)
    assert "the example Coverage" in page.inner_text("#status")


def test_the_curve_at_an_instant(page: Page) -> None:
    page.click("text=Term structure")
    page.select_option("#shape", "instant")
    assert page.input_value("#at") == "2025-01-01T00:00"  # when the last day's candles are known
    page.fill("#at", "2024-12-02T00:00")
    page.click("#show")
    answered(page, 3)
    assert column(page, "market") == ["BTC-USDT-2024-12-27", "BTC-USDT-2025-03-28", "BTC-USDT-2025-06-27"]
    # From the close of 1 December, which is 2 December 00:00, to 28 March 08:00 there are 116 days and 8 hours.
    assert column(page, "close_time")[1] == "2024-12-02 00:00:00"
    assert float(column(page, "days_to_expiry")[1]) == pytest.approx(116 + 8 / 24)
    assert float(column(page, "basis_pct")[1]) == pytest.approx(5.233, abs=5e-4)
    assert float(column(page, "annualised_simple_pct")[1]) == pytest.approx(16.418, abs=5e-4)
    assert float(column(page, "annualised_compounded_pct")[1]) == pytest.approx(17.355, abs=5e-4)
    assert lines(page) == 1
    page.fill("#at", "2024-12-01T23:59")  # a minute before the first close is known
    page.click("#show")
    answered(page, 0)


def test_annualised_basis_as_a_heat_map(page: Page) -> None:
    page.click("text=Term structure")
    page.select_option("#shape", "heatmap")
    page.click("#show")
    answered(page, 26 + 31 + 31)
    page.locator("#plot .heatmaplayer image").wait_for()
    assert "Colour" in page.inner_text("#chart-y-label")
    ends = dict(zip(zip(column(page, "day"), column(page, "market"), strict=True), column(page, "annualised_simple_pct"), strict=True))
    assert ends["2024-12-26", "BTC-USDT-2024-12-27"] == "NULL"  # eight hours are left
    assert float(ends["2024-12-25", "BTC-USDT-2024-12-27"]) == pytest.approx(1 * 365 / (1 + 8 / 24), rel=1e-3)


@pytest.fixture(scope="module")
def unfinished(confining: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:  # noqa: ARG001 -- skips
    """Hours of two days, of which the second ends at 18:00; one contract ends at 12:00, another was delivered after the first day."""
    folder = tmp_path_factory.mktemp("unfinished")
    first = to_us("2025-01-05")
    hours = {
        ("binance-spot", "BTCUSDT"): (42, 1.0),
        ("binance-futures", "BTCUSDT_250328"): (42, 1.02),
        ("binance-futures", "BTCUSDT_250627"): (36, 1.04),
        ("binance-futures", "BTCUSDT_250106"): (24, 1.001),
    }
    paths = []
    for (exchange, symbol), (count, above) in hours.items():
        rows = [flat(first + n * HOUR_US, f"{(100_000 + 10 * n) * above:.2f}") for n in range(count)]
        paths += candles_archives(folder, exchange, symbol, "1h", rows)
    with running_server(lake_with(folder, paths), folder, config="[server]\nworkers = 2\n") as found:
        yield found


def test_the_newest_closes_are_in_the_term_structure(opened: Callable[..., Page], unfinished: RunningServer) -> None:
    page = read(opened(unfinished.url))
    page.select_option("#examples", label="Term structure of the newest closes")
    page.click("#run")
    answered(page, 2)
    assert "candle_duration_in_minutes = 60)" in page.input_value("#statement")
    assert column(page, "market") == ["BTC-USDT-2025-03-28", "BTC-USDT-2025-06-27"]
    assert column(page, "close_time") == column(page, "spot_close_time") == ["2025-01-06 18:00:00", "2025-01-06 12:00:00"]
    assert column(page, "close") == [f"{(100_000 + 10 * 41) * 1.02:.1f}", f"{(100_000 + 10 * 35) * 1.04:g}"]
    assert [round(float(value), 6) for value in column(page, "basis_pct")] == [2, 4]
    page.locator("#chart-note").get_by_text("Closes from 2025-01-06 12:00:00 to 2025-01-06 18:00:00 UTC.").wait_for()


def test_a_close_of_an_unfinished_day_has_its_own_time(opened: Callable[..., Page], unfinished: RunningServer) -> None:
    page = read(opened(unfinished.url))
    page.click("text=Term structure")
    assert page.input_value("#duration") == "60"
    page.select_option("#duration", "1440")
    page.click("#show")
    answered(page, 2)
    assert column(page, "close_time") == ["2025-01-06 18:00:00", "2025-01-06 12:00:00"]
    assert column(page, "spot_close_time") == ["2025-01-06 18:00:00"] * 2
    deliveries, closes = ("2025-03-28", "2025-06-27"), (18, 12)
    days = [(to_us(day) - to_us("2025-01-06")) / DAY_US + (8 - hour) / 24 for day, hour in zip(deliveries, closes, strict=True)]
    assert [float(value) for value in column(page, "days_to_expiry")] == pytest.approx(days)
    page.select_option("#shape", "instant")
    page.click("#show")
    answered(page, 2)
    assert sorted(column(page, "close_time")) == ["2025-01-06 12:00:00", "2025-01-06 18:00:00"]
