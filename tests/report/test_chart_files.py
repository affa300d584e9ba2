"""The page of a chart: whole without a network, the library once, texts as texts; and places where no chart goes."""

from __future__ import annotations

import base64
import gzip
import json
import re
from typing import TYPE_CHECKING

import pytest
from plotly.offline import get_plotlyjs

from pointline.errors import ConfigError
from pointline.report.chart_files import check_chart_path, page, write_chart
from pointline.report.colours import twins
from pointline.report.panels import HEADING_PX, Panel, stacked

if TYPE_CHECKING:
    from pathlib import Path

    from pointline.report.panels import Figure

MARKUP = "BTC</script><script>alert(1)</script> & <b>"


@pytest.fixture
def figure() -> Figure:
    found = stacked([Panel("price (USDT)", 200, x_title="time (UTC)")], title=MARKUP, subtitle="a window")
    return found.add_scatter(x=[1, 2], y=[3, 4], name="perp")


def script(text: str, name: str) -> str:
    (found,) = re.findall(rf'<script type="[a-z/]+" id="{name}">(.*?)</script>', text, re.DOTALL)
    return str(found)


def test_the_page_holds_everything_once(figure: Figure) -> None:
    text = page(figure)
    assert gzip.decompress(base64.b64decode(script(text, "library"))).decode() == get_plotlyjs()
    assert text.count('id="library"') == 1
    assert len(text) < 2_500_000  # half of the library as it is
    assert not re.search(r"<(?:script|img|iframe)[^>]*\ssrc\s*=|<link[^>]*\shref\s*=|@import|url\(", text)
    assert json.loads(script(text, "twins")) == twins()


def test_what_is_drawn_is_the_figure_without_its_heading(figure: Figure) -> None:
    drawn = json.loads(script(page(figure), "figure"))
    assert [(trace["name"], trace["x"], trace["y"]) for trace in drawn["data"]] == [("perp", [1, 2], [3, 4])]
    assert "title" not in drawn["layout"]
    assert drawn["layout"]["height"] == figure.layout.height - HEADING_PX
    assert figure.layout.title.subtitle.text == "a window"  # the figure itself is as it was


def test_names_are_text(figure: Figure) -> None:
    text = page(figure)
    assert "alert(1)</script>" not in text
    assert "<h1>BTC&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt; &amp; &lt;b&gt;</h1>" in text
    figure.data[0].name = MARKUP
    assert json.loads(script(page(figure), "figure"))["data"][0]["name"] == MARKUP


def test_the_same_figure_gives_the_same_page(figure: Figure, tmp_path: Path) -> None:
    write_chart(figure, tmp_path / "one.html")
    write_chart(figure, str(tmp_path / "two.html"))
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes() == page(figure).encode()


@pytest.mark.parametrize("name", ["chart.pdf", "chart", "missing/chart.html", "."])
def test_places_where_no_chart_goes(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be written there"):
        check_chart_path(tmp_path / name)
