"""The page's table: what a cell reads, pages, order, downloads, notes of the server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.server.page.browsing import MARKUP, ask, cells, column

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page, Route

PARQUET_ENDS = b"PAR1"


def heads(page: Page) -> dict[str, str | None]:
    """What each column says of its order."""
    return {head.locator("button").inner_text(): head.get_attribute("aria-sort") for head in page.locator("#result th[aria-sort]").all()}


def test_no_digit_is_lost_and_null_is_no_text(page: Page, tmp_path: Path) -> None:
    ask(
        page,
        "SELECT 9007199254740993 AS large, toDecimal128('0.100000000000000001', 18) AS fine, NULL AS none, 'NULL' AS word, '' AS empty, "
        "'a,\"b\"' AS odd, [18446744073709551615] AS list",
        rows=1,
    )
    assert cells(page) == [["9007199254740993", "0.1", "NULL", "NULL", "", 'a,"b"', '["18446744073709551615"]']]
    assert page.locator("#result td.rounded").get_attribute("title") == "0.100000000000000001"
    assert "rounded to ten digits" in page.inner_text("#result .note")
    kinds = page.locator("#result tbody td").evaluate_all("all => all.map(cell => cell.className)")
    assert kinds == ["row-number", "number", "number rounded", "null", "", "", "", ""]
    assert page.locator("#result td.number").first.evaluate("cell => getComputedStyle(cell).textAlign") == "right"
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    download.value.save_as(tmp_path / "result.csv")
    assert (tmp_path / "result.csv").read_bytes().decode() == (
        'large,fine,none,word,empty,odd,list\r\n9007199254740993,0.100000000000000001,,NULL,"","a,""b""","[""18446744073709551615""]"\r\n'
    )


def test_numbers_are_rounded_for_reading(page: Page) -> None:
    shown = {
        "toDecimal256('97265.10000000000000000000', 20)": "97265.1",
        "toDecimal256('1234567890123.98765', 20)": "1234567890124",
        "toDecimal256('-0.99999999999', 20)": "-1",
        "toDecimal256('0.00000000001234567890', 20)": "0.0000000000123456789",
        "toDecimal256('-0.00000000000000000000', 20)": "0",
        "toDecimal256('100', 20)": "100",
        "59816.2 - 59812.87": "3.33",
        "1e300": "1e+300",
        "1 / 0.": "inf",
        "-12345678901234567890123::Int128": "-12345678901234567890123",
    }
    ask(page, f"SELECT {', '.join(f'{value} AS c{n}' for n, value in enumerate(shown))}", rows=1)
    assert cells(page) == [list(shown.values())]


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


def test_columns_sort_by_value_with_null_last(page: Page) -> None:
    ask(
        page,
        "SELECT * FROM values('price Nullable(Decimal(76, 20)), id String, at DateTime, large UInt64, share Float64', "
        "(9.5, '10', '2024-12-02 00:00:00', 9007199254740993, nan), (NULL, '9', '2024-12-01 23:00:00', 9007199254740992, 0.5), "
        "(-10, '100', '2024-11-30 00:00:00', 5, -inf), (100.00000000000000000001, '1', '2025-01-01 00:00:00', 6, inf), "
        "(100, '2', '2023-01-01 00:00:00', 7, 1e-9))",
        rows=5,
    )
    # The order of the rows' numbers, upwards and downwards.
    wanted = {
        "price": ("31542", "45132"),
        "id": ("45213", "31254"),
        "at": ("53214", "41235"),
        "large": ("34521", "12543"),
        "share": ("35241", "42531"),
    }
    for name, (up, down) in wanted.items():
        button = page.locator("#result th button", has_text=name)
        for order, direction in ((up, "ascending"), (down, "descending"), ("12345", "none")):
            button.click()
            assert "".join(page.locator("#result td.row-number").all_text_contents()) == order, (name, direction)
            assert heads(page) == {other: direction if other == name else "none" for other in wanted}


def test_sorting_by_keyboard_goes_over_all_pages(page: Page) -> None:
    ask(page, "SELECT number FROM numbers(250)", rows=250)
    page.get_by_role("button", name="Last page").click()
    head = page.locator("#result th button")
    head.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Space")
    assert column(page, "number")[:2] == ["249", "248"]
    assert page.inner_text(".pager span") == "1 to 100 of 250"
    assert head.evaluate("button => document.activeElement === button")


def test_a_result_is_downloaded_as_parquet(page: Page, tmp_path: Path) -> None:
    page.fill("#statement", "SELECT number + {n:UInt8} AS value FROM numbers(3)")
    page.fill("[data-parameter=n]", "7")
    page.click("#run")
    page.get_by_text("3 rows, ").wait_for()
    page.fill("#statement", "SELECT 1")  # the file is of the result that is shown
    with page.expect_download() as download:
        page.get_by_role("button", name="Download Parquet").click()
    assert download.value.suggested_filename == "result.parquet"
    download.value.save_as(tmp_path / "result.parquet")
    data = (tmp_path / "result.parquet").read_bytes()
    assert data[:4] == data[-4:] == PARQUET_ENDS
    ask(page, "SELECT 1 FORMAT JSONCompact", rows=1)
    page.get_by_role("button", name="Download Parquet").click()
    page.get_by_text("without FORMAT at its end").wait_for()


@pytest.mark.parametrize(
    ("header", "shown"),
    [
        (json.dumps(["Decimals were added as Float64.", MARKUP]), ["Decimals were added as Float64.", MARKUP]),
        ("no list", ["no list"]),
        ("[]", []),
    ],
)
def test_notes_of_the_server_stand_above_the_result(page: Page, header: str, shown: list[str]) -> None:
    def with_notes(route: Route) -> None:
        response = route.fetch()
        route.fulfill(response=response, headers={**response.headers, "X-Pointline-Notes": header})

    page.route("**/?*", with_notes)
    ask(page, "SELECT 1", rows=1)
    assert page.locator("#notes li").all_text_contents() == shown
    assert page.locator("#notes").is_visible() == bool(shown)
    tops = [page.locator(name).evaluate("node => node.getBoundingClientRect().top") for name in ("#notes", "#result")]
    assert not shown or tops == sorted(tops)
    assert page.locator("#notes img").count() == 0
