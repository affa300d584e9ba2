"""The page of a report: everything in one file, texts as texts, tables that a spreadsheet takes, written whole or not at all."""

from __future__ import annotations

import base64
import gzip
import json
import math
import re
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from plotly.offline import get_plotlyjs
from tests.report.pages import MARKUP

from pointline.errors import ConfigError, MissingExtraError, PointlineError
from pointline.report import page as page_module
from pointline.report.colours import GROUND
from pointline.report.page import PageFigure, PageSection, ReportPage, check_page_path, page_html, write_page
from pointline.report.page_style import BAD, CAUTION, GOOD, LINK, PANEL
from pointline.report.page_tables import PageTable, cell_text, table_html
from pointline.report.panels import Figure, Panel, stacked

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

AA = 4.5


def figure(name: str = "BTC") -> Figure:
    found = stacked([Panel("price", 200, x_title="time", legend_rows=1)], title=name, subtitle="a window")
    return found.add_scatter(x=[1, 2, 3], y=[3, math.nan, 4], name="perp")


def report(*sections: PageSection, title: str = "BTC", notes: Sequence[str] = ()) -> ReportPage:
    return ReportPage(title, "a window", "Nothing is known.", [("bars", "2")], sections, notes, [("Backtest", "it was not given")])


def section(name: str = "basis", **parts: Any) -> PageSection:  # noqa: ANN401 - fields of a section
    return PageSection(name, "Basis", **parts)


def test_everything_is_in_the_page_once() -> None:
    text = page_html(report(section(figures=[PageFigure("one", "first", figure()), PageFigure("two", "second", figure())])))
    (library,) = re.findall(r'<script type="text/plain" id="library">(.*?)</script>', text, re.DOTALL)
    assert gzip.decompress(base64.b64decode(library)).decode() == get_plotlyjs()
    assert not re.search(r"<(?:script|img|iframe)[^>]*\ssrc\s*=|<link[^>]*\shref\s*=|@import|url\(|https?://", text.replace(library, ""))
    assert [json.loads(one)["data"][0]["name"] for one in re.findall(r'id="figure-[a-z]+">(.*?)</script>', text)] == ["perp", "perp"]


def test_the_same_page_gives_the_same_text() -> None:
    assert page_html(report(section(figures=[PageFigure("one", "x", figure())]))) == page_html(
        report(section(figures=[PageFigure("one", "x", figure())]))
    )


def test_texts_are_texts() -> None:
    frame = pl.DataFrame({MARKUP: [MARKUP]})
    parts = section(
        sentences=[MARKUP],
        notes=[MARKUP],
        code=MARKUP,
        tables=[PageTable(MARKUP, frame), PageTable(MARKUP, frame, folded=True)],
        figures=[PageFigure("one", MARKUP, figure(MARKUP).update_traces(name=MARKUP))],
    )
    text = page_html(report(parts, title=MARKUP, notes=[MARKUP]))
    assert "alert('it ran')</script>" not in text
    assert "<b>" not in text
    assert text.count("🚀") > 8


def test_a_part_is_left_out_with_its_reason() -> None:
    assert "<li><strong>Backtest</strong>: it was not given</li>" in page_html(report(section()))


@pytest.mark.parametrize("names", [("basis", "basis"), ("twins", "basis"), ("left-out",)])
def test_names_stand_once(names: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="the same name"):
        page_html(report(*(section(name) for name in names)))


def test_a_figure_has_a_name_for_files() -> None:
    with pytest.raises(ConfigError, match="cannot be used"):
        PageFigure("../elsewhere", "caption", figure())


# ---- tables -------------------------------------------------------------------------------------------------------------------------


def test_a_table_is_semantic() -> None:
    frame = pl.DataFrame({"point": ["age", "holes"], "status": ["fail", "pass"], "value": [0.5, None], "n": [1234567, 2]})
    text = table_html(PageTable("What is ready", frame, headings={"n": "count"}, forms={"value": ".3f"}))
    assert "<caption><span>What is ready</span></caption>" in text
    assert re.findall(r"<th scope=\"col\"[^>]*>(.*?)</th>", text) == ["point", "status", "value", "count"]
    assert re.findall(r"<th scope=\"row\"[^>]*>(.*?)</th>", text) == ["age", "holes"]
    assert '<td class="status fail">fail</td><td class="number">0.500</td><td class="number">1234567</td>' in text
    assert '<td class="number"></td>' in text


def test_a_long_table_says_what_it_does_not_show() -> None:
    text = table_html(PageTable("Files", pl.DataFrame({"file": [f"{n}.zip" for n in range(900)]}), rest="sources() has all of them"))
    assert text.count("<tr>") == 201
    assert "Files. The first 200 of 900 rows; sources() has all of them" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (float("nan"), ""),
        (float("inf"), ""),
        (-0.00001, "-1.00e-05"),
        (1234.5678, "1234.57"),
        (-2_500_000.4, "-2500000"),
        (2.0, "2"),
        (-1e-300, "-1.00e-300"),
        (False, "no"),
        (7, "7"),
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("@SUM(1)", "'@SUM(1)"),
        ("-cmd", "'-cmd"),
        ("-240 to +360", "-240 to +360"),
        ("-, trials: 1", "-, trials: 1"),
        ("+SUM(1)", "'+SUM(1)"),
        ([1, 2], "1, 2"),
    ],
)
def test_a_cell_is_what_a_spreadsheet_reads(value: object, text: str) -> None:
    assert cell_text(value) == text


def test_a_number_that_rounds_to_zero_has_no_sign() -> None:
    assert [cell_text(value, ".2f") for value in (-0.001, -0.01, 0.0)] == ["0.00", "-0.01", "0.00"]


# ---- looks --------------------------------------------------------------------------------------------------------------------------


def luminance(colour: str) -> float:
    channels = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in channels]
    return sum(part * one for part, one in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("colour", [GOOD, CAUTION, BAD, LINK])
def test_colours_of_text_stand_out(scheme: str, colour: Any) -> None:  # noqa: ANN401 - a Colour
    for ground in (GROUND, PANEL):
        light, dark = sorted((luminance(getattr(one, scheme)) for one in (ground, colour)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= AA


# ---- files --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["page.pdf", "page", "missing/page.html", "."])
def test_places_where_no_page_goes(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="the page cannot be written there"):
        check_page_path(tmp_path / name)


def test_pictures_need_a_folder_and_a_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="the pictures cannot be written there"):
        check_page_path(tmp_path / "page.html", tmp_path / "missing")
    monkeypatch.setenv("POINTLINE_BROWSER", str(tmp_path / "no-browser"))
    with pytest.raises(MissingExtraError, match="Chromium"):
        check_page_path(tmp_path / "page.html", tmp_path)
    assert check_page_path(tmp_path / "page.html") == tmp_path / "page.html"


def test_a_page_that_fails_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "page.html"
    place.write_text("the old one", encoding="utf-8")

    def failing(*_: object) -> None:
        raise PointlineError("the browser made no picture")

    monkeypatch.setattr(page_module, "write_chart", failing)
    monkeypatch.setattr(page_module, "browser", lambda: "a browser")
    with pytest.raises(PointlineError, match="no picture"):
        write_page(report(section(figures=[PageFigure("one", "x", figure())])), place, pictures=tmp_path)
    with pytest.raises(ConfigError, match="the same name"):
        write_page(report(section(), section()), place)
    assert [path.read_text(encoding="utf-8") for path in tmp_path.iterdir()] == ["the old one"]


def test_a_page_replaces_the_old_one(tmp_path: Path) -> None:
    place = tmp_path / "page.html"
    place.write_text("the old one", encoding="utf-8")
    assert write_page(report(section()), place) == [place]
    assert place.read_text(encoding="utf-8") == page_html(report(section()))
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
