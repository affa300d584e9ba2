"""Charts in files: a page that needs no network, light or dark and of any width, and a picture that a browser takes."""

from __future__ import annotations

import base64
import gzip
import json
import os
import shutil
import subprocess
import tempfile
from functools import cache
from importlib import resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from pointline.errors import ConfigError, MissingExtraError, PointlineError
from pointline.lake.durable import write_atomically
from pointline.report.colours import GROUND, INK, MUTED, twins
from pointline.report.panels import FONT, HEADING_PX, need_plotly

if TYPE_CHECKING:
    from pointline.report.panels import Figure

BROWSER_VARIABLE = "POINTLINE_BROWSER"
SUFFIXES = (".html", ".png")
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
_BROWSER_TIMEOUT_S = 120
_WIDTH_PX, _SCALE = 1_200, 2
_COMPRESSION = 6


def check_chart_path(path: str | Path) -> Path:
    """The path of a chart to write, once it is sure that one can be made.

    Raises:
        ConfigError: it does not end in .html or .png, or its folder does not exist.
        MissingExtraError: plotly, or for a picture a browser, is not installed.
    """
    target = Path(path)
    if target.suffix.lower() not in SUFFIXES or not target.absolute().parent.is_dir() or target.is_dir():
        raise ConfigError(
            "the chart cannot be written there",
            value=str(path),
            expected=f"a file in an existing folder, ending in {' or '.join(SUFFIXES)}",
        )
    need_plotly()
    if target.suffix.lower() == ".png":
        browser()
    return target


def write_chart(figure: Figure, path: str | Path) -> None:
    """Writes a figure of `pointline.report.panels.stacked` as a page that needs no network, or as a picture.

    A picture is taken by a headless Chromium or Chrome: the one named by ``POINTLINE_BROWSER``, else one that is installed.

    Raises:
        ConfigError, MissingExtraError: the chart cannot be made or written there (`check_chart_path`).
        PointlineError: the browser made no picture.
    """
    target = check_chart_path(path)
    content = page(figure).encode() if target.suffix.lower() == ".html" else _picture(figure, browser())

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    write_atomically(target.absolute(), write)


def written(figure: Figure, path: str | Path | None) -> Figure:
    """The figure, which is also written if a path is given (`write_chart`)."""
    if path is not None:
        write_chart(figure, path)
    return figure


def page(figure: Figure) -> str:
    """A figure of `pointline.report.panels.stacked` as one HTML document with everything in it.

    The page shows the figure's title as its own heading, follows the width of the window and the reader's choice of light or dark, and
    holds the plotly library once, compressed. It needs a browser of 2023 or later.
    """
    drawn, title = drawing(figure)
    grounds = (("ground", GROUND), ("ink", INK), ("muted", MUTED))
    template = Template(resources.files("pointline.report").joinpath("chart_page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=title["text"],
        subtitle=title["subtitle"]["text"],
        font=FONT,
        height=drawn["layout"]["height"],
        figure=script_text(drawn),
        twins=script_text(twins()),
        library=compressed_library(),
        **{f"{name}_{scheme}": getattr(colour, scheme) for name, colour in grounds for scheme in ("light", "dark")},
    )


def drawing(figure: Figure) -> tuple[dict[str, Any], dict[str, Any]]:
    """The data and layout of a figure of `pointline.report.panels.stacked` without its heading, and that heading as plotly holds it."""
    drawn = json.loads(figure.to_json())
    layout = drawn["layout"]
    title = layout.pop("title")
    layout["height"] -= HEADING_PX
    layout["margin"]["t"] -= HEADING_PX
    return {"data": drawn["data"], "layout": layout}, title


@cache
def compressed_library() -> str:
    """The plotly library that is installed, as compressed bytes in base 64."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), _COMPRESSION, mtime=0)).decode()


def script_text(value: object) -> str:
    """JSON that ends no script element."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")


def browser() -> str:
    """The path of the browser that takes pictures.

    Raises:
        MissingExtraError: none is installed.
    """
    named = os.environ.get(BROWSER_VARIABLE)
    candidates = (named,) if named else _BROWSERS
    found = next((path for name in candidates if name and (path := shutil.which(name))), None)
    if found is None:
        raise MissingExtraError(
            "a picture needs an installed Chromium or Chrome",
            value=named,
            expected=f"one of {', '.join(_BROWSERS)} on the PATH, or its path in {BROWSER_VARIABLE}",
            hint="or write the chart as .html, which needs none",
        )
    return found


def _picture(figure: Figure, program: str) -> bytes:
    """The figure as PNG bytes, drawn at twice its size in CSS pixels."""
    height = int(figure.layout.height)
    with tempfile.TemporaryDirectory(prefix="pointline-chart-") as name:
        folder = Path(name)
        document, picture = folder / "page.html", folder / "picture.png"
        style = f"<style>html,body{{margin:0;background:#fff;width:{_WIDTH_PX}px;height:{height}px;overflow:hidden}}</style>"
        html = figure.to_html(
            include_plotlyjs=True,
            full_html=False,
            config={"staticPlot": True},
            default_width=f"{_WIDTH_PX}px",
            default_height=f"{height}px",
        )
        document.write_text(f"<!doctype html><html><head><meta charset='utf-8'>{style}</head><body>{html}</body></html>", encoding="utf-8")
        command = [
            program,
            "--headless",
            "--disable-gpu",
            "--hide-scrollbars",
            "--no-first-run",
            "--disable-extensions",
            "--disable-background-networking",
            f"--user-data-dir={folder / 'profile'}",
            f"--window-size={_WIDTH_PX},{height}",
            f"--force-device-scale-factor={_SCALE}",
            "--virtual-time-budget=10000",
            f"--screenshot={picture}",
            *(["--no-sandbox"] if os.name == "posix" and os.geteuid() == 0 else []),
            document.as_uri(),
        ]
        try:
            run = subprocess.run(command, capture_output=True, check=False, cwd=folder, text=True, timeout=_BROWSER_TIMEOUT_S)  # noqa: S603 - our own page
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PointlineError("the browser made no picture", where=program, value=str(error), hint="write the chart as .html") from error
        if not picture.is_file():
            said = run.stderr.strip().splitlines()[-1:] or ["nothing"]
            raise PointlineError("the browser made no picture", where=program, value=said[0], hint="write the chart as .html")
        return picture.read_bytes()
