"""The report: sentences, tables and figures of a study as one HTML document with everything in it.

A page with figures holds the plotly library once, compressed, and the figures as they are drawn. It asks no server for anything, follows
the reader's choice of light or dark and the width of the window, and prints in light colours. It needs a browser of 2023 or later.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from pointline.errors import ConfigError
from pointline.lake.durable import write_atomically
from pointline.report.chart_files import browser, compressed_library, drawing, script_text, write_chart
from pointline.report.colours import twins
from pointline.report.page_style import style
from pointline.report.page_tables import PageTable, table_html
from pointline.report.panels import HEADING_PX, need_plotly

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pointline.report.panels import Figure

SUFFIX = ".html"
_TAKEN = ("theme", "verdict", "twins", "library", "left-out")
_NAME = re.compile(r"[a-z][a-z0-9-]*")


@dataclass(frozen=True, eq=False)
class PageFigure:
    """A figure of a page.

    Attributes:
        name: of its picture and its place in the page: small letters, digits and dashes, once in a page.
        caption: what it shows and how it is read, plain text.
        drawn: made by `pointline.report.panels.stacked`; its own heading is its title in a picture, the page shows the caption.

    Raises:
        ConfigError: the name holds other signs.
    """

    name: str
    caption: str
    drawn: Figure = field(repr=False)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigError("a figure's name cannot be used", value=self.name, expected="small letters, digits and dashes")


@dataclass(frozen=True, eq=False)
class PageSection:
    """A section of a page.

    Attributes:
        name: of its place in the page, as that of a figure.
        heading: plain text.
        sentences: paragraphs below the heading.
        figures, tables: in order; tables come after the figures.
        code: what a reader may run, as it stands; empty where there is none.
        notes: what a reader should know beside it.
    """

    name: str
    heading: str
    sentences: Sequence[str] = ()
    figures: Sequence[PageFigure] = ()
    tables: Sequence[PageTable] = ()
    code: str = ""
    notes: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class ReportPage:
    """A page, before it is written.

    Attributes:
        title, subtitle: what is compared, and over which window.
        verdict: the result, in a sentence.
        facts: names and values of the few figures that stand below the verdict.
        sections: in order.
        notes: what a reader should know before the sections.
        left_out: names of parts that the page does not have, with the reason.
    """

    title: str
    subtitle: str
    verdict: str
    facts: Sequence[tuple[str, str]]
    sections: Sequence[PageSection]
    notes: Sequence[str] = ()
    left_out: Sequence[tuple[str, str]] = ()

    @property
    def figures(self) -> list[PageFigure]:
        """All figures, in order."""
        return [figure for section in self.sections for figure in section.figures]


def check_page_path(path: str | Path, pictures: str | Path | None = None, *, figures: bool = True) -> Path:
    """The path of a page to write, once it is sure that it can be written there, with its pictures.

    Args:
        path: of the page.
        pictures: an existing folder for a picture of each figure; None where none are wanted.
        figures: whether the page has any.

    Raises:
        ConfigError: the path does not end in .html, or a folder does not exist.
        MissingExtraError: plotly for figures, or for pictures a browser, is not installed.

    Examples:
        >>> check_page_path("missing/page.html")
        Traceback (most recent call last):
        ...
        pointline.errors.ConfigError: the page cannot be written there
          value:    'missing/page.html'
          expected: a file in an existing folder, ending in .html
    """
    target = Path(path)
    if target.suffix.lower() != SUFFIX or not target.absolute().parent.is_dir() or target.is_dir():
        raise ConfigError("the page cannot be written there", value=str(path), expected=f"a file in an existing folder, ending in {SUFFIX}")
    if pictures is not None and not Path(pictures).is_dir():
        raise ConfigError("the pictures cannot be written there", value=str(pictures), expected="an existing folder")
    if figures:
        need_plotly()
    if pictures is not None:
        browser()
    return target


def write_page(page: ReportPage, path: str | Path, *, pictures: str | Path | None = None) -> list[Path]:
    """Writes a page, whole or not at all, and a picture of each figure.

    Args:
        page: what it says.
        path: ends in .html.
        pictures: an existing folder; each figure becomes ``NAME.png`` in it, taken by an installed Chromium or Chrome. The page comes last.

    Returns:
        The files: the pictures, then the page.

    Raises:
        ConfigError, MissingExtraError: as `check_page_path`.
        PointlineError: the browser made no picture.
    """
    target = check_page_path(path, pictures, figures=bool(page.figures))
    content = page_html(page).encode()
    written = [] if pictures is None else [Path(pictures) / f"{figure.name}.png" for figure in page.figures]
    for figure, place in zip(page.figures, written, strict=False):
        write_chart(figure.drawn, place)

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    write_atomically(target.absolute(), write)
    return [*written, target]


def page_html(page: ReportPage) -> str:
    """A page as one HTML document; the same page gives the same text.

    Raises:
        ConfigError: two sections or two figures have the same name.
    """
    names = [*_TAKEN, *(section.name for section in page.sections), *(f"figure-{figure.name}" for figure in page.figures)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError("two parts of a page have the same name", value=twice, expected="a name of its own for each section and figure")
    folder = resources.files("pointline.report")
    template = Template(folder.joinpath("page.html").read_text(encoding="utf-8"))
    drawn = [(figure.name, drawing(figure.drawn)[0]) for figure in page.figures]
    return template.substitute(
        title=escape(page.title),
        subtitle=escape(page.subtitle),
        verdict=escape(page.verdict),
        style=style(),
        facts="".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in page.facts),
        notes=_notes(page.notes),
        contents="".join(f'<li><a href="#{section.name}">{escape(section.heading)}</a></li>' for section in page.sections),
        sections="\n".join(part for section in page.sections for part in _section(section)),
        left_out=_left_out(page.left_out),
        figures="\n".join(f'<script type="application/json" id="figure-{name}">{script_text(one)}</script>' for name, one in drawn),
        twins=script_text(twins()),
        library=compressed_library() if page.figures else "",
        script=folder.joinpath("page.js").read_text(encoding="utf-8"),
    )


def _section(section: PageSection) -> Iterator[str]:
    yield f'<section id="{section.name}" aria-labelledby="{section.name}-heading">'
    yield f'<h2 id="{section.name}-heading">{escape(section.heading)}</h2>'
    yield from (f"<p>{escape(sentence)}</p>" for sentence in section.sentences)
    yield from (_figure(figure) for figure in section.figures)
    if section.code:
        yield f'<pre tabindex="0"><code>{escape(section.code)}</code></pre>'
    yield from (table_html(table) for table in section.tables)
    yield _notes(section.notes)
    yield "</section>"


def _figure(figure: PageFigure) -> str:
    height = figure.drawn.layout.height - HEADING_PX
    plot = f'<div class="plot" id="plot-{figure.name}" data-figure="{figure.name}" role="img" style="min-height:{height:.0f}px"'
    title = escape(re.sub(r"<[^>]+>", "", figure.drawn.layout.title.text or figure.name), quote=True)
    return f'<figure>{plot} aria-label="{title}"></div><figcaption>{escape(figure.caption)}</figcaption></figure>'


def _notes(notes: Sequence[str]) -> str:
    listed = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<ul class="notes" aria-label="Notes">{listed}</ul>' if listed else ""


def _left_out(parts: Sequence[tuple[str, str]]) -> str:
    if not parts:
        return ""
    told = "".join(f"<li><strong>{escape(name)}</strong>: {escape(reason)}</li>" for name, reason in parts)
    return f'<section id="left-out"><h2>Not part of this report</h2><ul class="plain">{told}</ul></section>'
