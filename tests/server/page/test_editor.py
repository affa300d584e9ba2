"""The page's query box: colours, size, fields of parameters, history."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.machine import until
from tests.server.page.browsing import MARKUP, answered, ask, cells, read

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page
    from tests.server.running import RunningServer

STATEMENT = "SELECT toDate('it''s -- no') AS `day`, 1.5e3 -- {not:String}\nFROM api.trade /* end */ WHERE x = {name:String} AND c.end > 2"


def parts(page: Page) -> list[tuple[str, str]]:
    """Kinds and texts of what is coloured."""
    found = page.locator("#statement-colours span").evaluate_all("all => all.map(one => [one.className, one.textContent])")
    return [(kind.removeprefix("sql-"), text) for kind, text in found]


def height(page: Page) -> float:
    """Lines that the query box can show."""
    return float(
        page.locator("#statement").evaluate(
            "box => { const style = getComputedStyle(box); "
            "return (box.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom)) / parseFloat(style.lineHeight); }"
        )
    )


def test_the_statement_is_coloured(page: Page) -> None:
    page.fill("#statement", STATEMENT)
    assert parts(page) == [
        ("keyword", "SELECT"), ("function", "toDate"), ("text", "'it''s -- no'"), ("keyword", "AS"), ("name", "`day`"), ("number", "1.5e3"),
        ("comment", "-- {not:String}"), ("keyword", "FROM"), ("comment", "/* end */"), ("keyword", "WHERE"), ("parameter", "{name:String}"),
        ("keyword", "AND"), ("number", "2"),
    ]  # fmt: skip
    assert page.locator("#statement-colours").text_content() == f"{STATEMENT} "
    assert page.locator(".editor pre").get_attribute("aria-hidden") == "true"


def test_markup_in_the_statement_is_text(page: Page) -> None:
    page.fill("#statement", f"SELECT '{MARKUP}' -- {MARKUP}")
    assert MARKUP in (page.locator("#statement-colours").text_content() or "")
    assert page.locator(".editor img, .editor a").count() == 0


@pytest.mark.parametrize("width", [390, 1280])
def test_colours_lie_under_their_letters(opened: Callable[..., Page], served: RunningServer, width: int) -> None:
    page = read(opened(served.url, viewport={"width": width, "height": 900}))
    page.fill("#statement", "\n".join(f"SELECT '{n}', " + "a_long_name, " * 12 for n in range(40)))
    wanted = ("fontFamily", "fontSize", "lineHeight", "letterSpacing", "tabSize", "whiteSpace", "overflowWrap")
    read_style = "(node, names) => names.map(name => getComputedStyle(node)[name])"
    assert page.locator("#statement").evaluate(read_style, wanted) == page.locator("#statement-colours").evaluate(read_style, wanted)
    full = page.locator("#statement").evaluate("box => box.scrollHeight - 2 * parseFloat(getComputedStyle(box).paddingTop)")
    coloured = page.locator("#statement-colours").evaluate("code => code.offsetHeight")
    assert coloured > 1000
    assert full == pytest.approx(coloured, abs=1)  # so both break their lines at the same places
    page.locator("#statement").evaluate("box => { box.scrollTop = 333; }")
    until(lambda: page.locator("#statement-colours").evaluate("code => getComputedStyle(code).transform").endswith(", -333)"))


def test_the_query_box_grows_to_thirty_lines(page: Page) -> None:
    for count, shown in ((1, 8), (20, 20), (30, 30), (31, 30), (300, 30), (12, 12)):
        page.fill("#statement", "\n".join(["SELECT 1"] * count))
        assert height(page) == pytest.approx(shown, abs=0.1), count
        scrolls = page.locator("#statement").evaluate("box => box.scrollHeight > box.clientHeight + 1")
        assert scrolls == (count > 30), count


def test_typing_selecting_and_undoing_are_the_browsers_own(page: Page) -> None:
    page.fill("#statement", "")
    page.locator("#statement").press_sequentially("SELECT 1")
    page.keyboard.press("Shift+Control+ArrowLeft")
    assert page.evaluate("getSelection().toString()") == "1"
    page.keyboard.type("2")
    assert page.input_value("#statement") == "SELECT 2"
    page.locator("#catalogue-tree summary", has_text="coverage").click()
    page.get_by_role("button", name="api.coverage").click()
    assert page.input_value("#statement") == "SELECT 2api.coverage"
    page.keyboard.press("Control+z")
    assert page.input_value("#statement") == "SELECT 2"
    assert page.locator("#statement-colours").text_content() == "SELECT 2 "
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "run"  # the box does not hold the focus


def test_keys_of_an_input_method_are_its_own(page: Page, served: RunningServer) -> None:
    page.fill("#statement", "SELECT 'composed'")
    asked = len(served.audit())
    page.locator("#statement").evaluate(
        "box => box.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', ctrlKey: true, isComposing: true, bubbles: true }))"
    )
    ask(page, "SELECT 1", rows=1)
    until(lambda: "SELECT 1" in [entry["text"] for entry in served.audit()[asked:]])
    assert "SELECT 'composed'" not in [entry["text"] for entry in served.audit()[asked:]]


def test_parameters_have_fields_of_their_types(page: Page) -> None:
    page.fill(
        "#statement",
        "SELECT {count:UInt64} AS count, {price:Decimal(38, 12)} AS price, {day:Date} AS day, {at:DateTime} AS at, "
        "{fine:DateTime64(3, 'UTC')} AS fine, "
        "{flag:Bool} AS flag, {none:Nullable(Int32)} AS none, {text:String} AS text, {list:Array(UInt8)} AS list, {text:String} AS again",
    )
    kinds = page.locator("[data-parameter]").evaluate_all("all => all.map(one => [one.dataset.parameter, one.type])")
    assert dict(kinds) == {
        "count": "number",
        "price": "number",
        "day": "date",
        "at": "datetime-local",
        "fine": "datetime-local",
        "flag": "select-one",
        "none": "number",
        "text": "text",
        "list": "text",
    }
    page.click("#run")
    page.get_by_text("The parameter count has no value: its field takes UInt64.").wait_for()
    text = "back\\slash and\ttab 'quote'"
    given = {
        "count": "18446744073709551615",
        "price": "0.1000000001",
        "day": "2024-12-01",
        "at": "2024-12-01T08:00",
        "fine": "2024-12-01T08:00:00.5",
    }
    for name, value in {**given, "text": text, "list": "[1,2]"}.items():
        page.fill(f"[data-parameter={name}]", value)
    page.select_option("[data-parameter=flag]", "false")
    page.click("#run")
    answered(page, 1)
    [shown] = cells(page)
    assert shown[:5] == ["18446744073709551615", "0.1000000001", "2024-12-01", "2024-12-01 08:00:00", "2024-12-01 08:00:00.500"]
    assert shown[5:] == ["false", "NULL", text, "[1,2]", text]
    page.fill("#statement", "SELECT '{text:String}'")
    page.locator("#parameters").wait_for(state="hidden")


def test_values_of_parameters_stay_while_the_statement_changes_and_are_in_the_link(page: Page, opened: Callable[..., Page]) -> None:
    page.fill("#statement", "SELECT {a:String}")
    page.fill("[data-parameter=a]", "x & y")
    page.fill("#statement", "SELECT {a:String}, {b:UInt8}")
    page.fill("[data-parameter=b]", "3")
    assert page.input_value("[data-parameter=a]") == "x & y"
    page.click("#copy-link")
    other = read(opened(page.url))
    assert (other.input_value("[data-parameter=a]"), other.input_value("[data-parameter=b]")) == ("x & y", "3")
    other.click("#run")
    answered(other, 1)
    assert cells(other) == [["x & y", "3"]]


def test_a_name_that_objects_have_is_a_parameter_like_others(page: Page) -> None:
    page.fill("#statement", "SELECT {constructor:String} AS word")
    assert page.input_value("[data-parameter=constructor]") == ""
    page.fill("[data-parameter=constructor]", "given")
    page.click("#run")
    answered(page, 1)
    assert cells(page) == [["given"]]


def test_queries_are_remembered_in_this_browser(page: Page, opened: Callable[..., Page], served: RunningServer) -> None:
    page.click("#history summary")
    assert "are kept here, in this browser only" in page.inner_text("#history-list")
    ask(page, "SELECT 1 AS first", rows=1)
    page.fill("#statement", "SELECT {n:UInt8} AS second")
    page.fill("[data-parameter=n]", "7")
    page.click("#run")
    answered(page, 1)
    ask(page, "SELECT 1 AS first", rows=1)  # again: it moves to the top
    names = page.locator("#history li button")
    assert names.all_text_contents() == ["SELECT 1 AS first", "SELECT {n:UInt8} AS second"]
    page.reload()
    read(page)
    page.click("#history summary")
    names.nth(1).click()
    assert page.input_value("#statement") == "SELECT {n:UInt8} AS second"
    page.click("#run")
    answered(page, 1)
    assert cells(page) == [["7"]]
    page.click("#clear-history")
    assert names.count() == 0
    assert page.evaluate("localStorage.length") == 0
    other = read(opened(served.url))  # another browser
    assert other.locator("#history li").count() == 0


def test_a_history_of_another_form_is_passed_over(page: Page) -> None:
    for stored in ("nonsense", "null", '{"a": 1}', '[null, 5, {"sql": 1}]', "[[]]"):
        page.evaluate("stored => localStorage.setItem('pointline.history.', stored)", stored)
        page.reload()
        read(page)
        assert page.locator("#history li").count() == 0, stored
    ask(page, "SELECT 1", rows=1)
    assert page.locator("#history li").count() == 1


def test_a_hostile_history_is_text(page: Page) -> None:
    entry = {"sql": MARKUP, "at": MARKUP, "parameters": {"n": MARKUP}}
    page.evaluate("stored => localStorage.setItem('pointline.history.', stored)", json.dumps([entry]))
    page.reload()
    read(page)
    page.click("#history summary")
    assert page.locator("#history li button").inner_text() == MARKUP
    page.locator("#history li button").click()
    assert page.input_value("#statement") == MARKUP
    assert page.locator("img, a[href^=http]").count() == 0
    assert page.title() == "pointline"
