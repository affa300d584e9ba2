"""What the tests of the page do with it: ask, and read what it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page

MARKUP = '<img src=x onerror="document.title=\'taken\'"><a href="https://example.com">here</a>'
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


def read(page: Page) -> Page:
    """The page once it has read what it shows of the lake."""
    page.locator("#catalogue-tree details").first.wait_for(state="attached")
    page.locator("#examples option").nth(1).wait_for(state="attached")
    return page


def ask(page: Page, text: str, *, rows: int) -> None:
    """Runs a statement by keyboard and waits for its result."""
    page.fill("#statement", text)
    page.press("#statement", "Control+Enter")
    answered(page, rows)


def answered(page: Page, rows: int) -> None:
    """Waits for a result of so many rows."""
    page.locator("#status").get_by_text(f"{rows:,} rows, ").wait_for()


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


def drawn(page: Page) -> list[dict[str, Any]]:
    """What the chart was given to draw, once it shows something."""
    page.locator("#plot .main-svg").first.wait_for()
    found: list[dict[str, Any]] = page.locator("#plot").evaluate(
        "plot => plot.data.map(({ name, x, y, z, mode, marker, hovertemplate }) => ({ name, x, y, z, mode, marker, hovertemplate }))"
    )
    return found


def titles(page: Page) -> tuple[str, str]:
    """Titles of the chart's axes."""
    page.locator("#plot .xtitle").wait_for()
    return page.locator("#plot .xtitle").text_content() or "", page.locator("#plot .ytitle").text_content() or ""
