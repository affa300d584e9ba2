"""Tables whose rows a reader sorts, in a browser: by mouse and by keyboard, numbers as numbers, empty cells last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest
from tests.machine import limit

from pointline.report.page import PageSection, ReportPage, page_html, write_page
from pointline.report.page_tables import PageTable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

NET = [3.0, None, -20.0, 100.0, 3.0]
ROWS = pl.DataFrame({"perp": ["b", "a", "E", "d", "c"], "net": NET, "rate": [0.1, 0.02, -0.3, None, 0.0]})
PRESENT = "table => [...table.tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.textContent))"


def report(table: PageTable) -> ReportPage:
    return ReportPage(title="Rows", subtitle="", verdict="", facts=(), sections=[PageSection("rows", "Rows", tables=[table])])


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    table = PageTable("Pairs", ROWS, forms={"net": ".2f", "rate": ".2%"}, sortable=True)
    (path,) = write_page(report(table), tmp_path / "page.html")
    with browser.new_context() as context:
        opened = context.new_page()
        opened.set_default_timeout(limit(60_000))
        wrong: list[str] = []
        opened.on("pageerror", lambda error: wrong.append(str(error)))
        opened.goto(path.as_uri())
        opened.locator("html[data-drawn=true]").wait_for()
        yield opened
        assert wrong == []


def column(page: Page, place: int) -> list[str]:
    return [cells[place] for cells in page.locator("table.sortable").evaluate(PRESENT)]


def test_numbers_sort_as_numbers_and_empty_cells_stay_last(page: Page) -> None:
    heading = page.get_by_role("columnheader", name="net")
    heading.get_by_role("button").click()
    assert column(page, 1) == ["100.00", "3.00", "3.00", "-20.00", ""]
    assert column(page, 0) == ["d", "b", "c", "E", "a"]  # rows move whole, and those that are equal keep their order
    assert heading.get_attribute("aria-sort") == "descending"
    heading.get_by_role("button").click()
    assert column(page, 1) == ["-20.00", "3.00", "3.00", "100.00", ""]
    page.get_by_role("columnheader", name="rate").get_by_role("button").click()
    assert column(page, 2) == ["10.00%", "2.00%", "0.00%", "-30.00%", ""]
    assert page.locator("[aria-sort]").count() == 1


def test_texts_sort_by_the_keyboard(page: Page) -> None:
    button = page.get_by_role("columnheader", name="perp").get_by_role("button")
    button.focus()
    page.keyboard.press("Enter")
    assert column(page, 0) == ["a", "b", "c", "d", "E"]
    page.keyboard.press("Space")
    assert column(page, 0) == ["E", "d", "c", "b", "a"]


def test_headings_are_printed(page: Page) -> None:
    page.emulate_media(media="print")
    assert [heading.is_visible() for heading in page.locator("thead button").all()] == [True] * 3


def test_a_table_of_some_rows_is_not_sorted() -> None:
    """Its first rows would be taken for the largest of all."""
    assert '<table class="sortable">' in page_html(report(PageTable("Pairs", ROWS, sortable=True)))
    assert '<table class="sortable">' not in page_html(report(PageTable("Pairs", ROWS, sortable=True, most_rows=4)))


def test_a_page_without_figures_has_no_library() -> None:
    assert len(page_html(report(PageTable("Pairs", ROWS)))) < 50_000
