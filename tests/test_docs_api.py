"""The reference has every public name, each public function an example, and the pages build without a warning and without the network."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import os
import re
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "pointline"
REFERENCE = ROOT / "docs" / "reference"

# Modules without an __all__ of their own that users import from all the same.
FACES = ("clock", "costs", "errors", "research.query", "research.resample")
# Names that these use and do not offer.
NOT_OFFERED = {"pointline.research.query.decode"}
# Modules behind the faces: the pages that explain them have their examples.
WITHOUT_EXAMPLE = re.compile(r"pointline\.(?:curves|instruments|lake|clock|errors)\b.*")


@cache
def modules() -> tuple[str, ...]:
    """The modules with an ``__all__``, and the faces without one; the command line is no Python interface."""
    listed = [
        ".".join(("pointline", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        for path in sorted(PACKAGE.rglob("*.py"))
        if "cli" not in path.relative_to(PACKAGE).parts and re.search(r"^__all__\b", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    ]
    return tuple(dict.fromkeys([*listed, *(f"pointline.{name}" for name in FACES)]))


def public_names(module: ModuleType) -> list[str]:
    if hasattr(module, "__all__"):
        return [name for name in module.__all__ if not name.startswith("__")]
    tree = ast.parse(inspect.getsource(module))
    defined = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    assigned = [node.targets[0].id for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)]
    annotated = [node.target.id for node in tree.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)]
    found = dict.fromkeys(name for name in (*defined, *assigned, *annotated) if not name.startswith("_"))
    return [name for name in found if f"{module.__name__}.{name}" not in NOT_OFFERED]


def resolved(path: str) -> Any:  # noqa: ANN401 - anything that can be public
    """What a dotted path leads to."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


@cache
def documented() -> tuple[str, ...]:
    """The paths behind ``:::`` on the pages of the reference."""
    pages = sorted(REFERENCE.glob("*.md"))
    return tuple(name for page in pages for name in re.findall(r"^::: ([\w.]+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE))


def is_on_a_page(path: str) -> bool:
    """Whether a page has this path, another path to the same class or function, or what is in the module of this name."""
    if path in documented():
        return True
    thing = resolved(path)
    if inspect.ismodule(thing):
        return any(other.startswith(f"{thing.__name__}.") for other in documented())
    same = inspect.isclass(thing) or inspect.isfunction(thing)
    return same and any(thing is resolved(other) for other in documented())


@pytest.mark.parametrize("name", modules())
def test_every_public_name_is_in_the_reference(name: str) -> None:
    missing = [path for own in public_names(importlib.import_module(name)) if not is_on_a_page(path := f"{name}.{own}")]
    assert missing == [], "add lines such as '::: " + (missing[0] if missing else "") + "' to a page in docs/reference"


def test_the_reference_names_nothing_twice_and_nothing_that_is_not_there() -> None:
    assert len(documented()) == len(set(documented()))
    assert [path for path in documented() if not hasattr(importlib.import_module(path.rpartition(".")[0]), path.rpartition(".")[2])] == []


def has_example(thing: object) -> bool:
    return bool(doctest.DocTestParser().get_examples(inspect.getdoc(thing) or ""))


def test_every_public_function_has_an_example() -> None:
    """Of the modules by which people work; those behind them are shown by the pages that explain them."""
    functions = [path for path in documented() if inspect.isfunction(resolved(path)) and not WITHOUT_EXAMPLE.fullmatch(path)]
    assert "pointline.compare" in functions
    assert [path for path in functions if not has_example(resolved(path))] == []


def test_examples_have_a_heading_of_their_own() -> None:
    """Without "Examples:" above it, and the indent below, the prompt of an example is shown as a quotation."""
    texts = {path: inspect.getdoc(thing) or "" for path in documented() if callable(thing := resolved(path))}
    assert [path for path, text in texts.items() if re.search(r"^>>> ", text, flags=re.MULTILINE)] == []


# What the pages are built into.


class _Outside(HTMLParser):
    """Collects what a page loads from elsewhere; links that a reader may follow are none of it."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        place = given.get("src") if tag in {"script", "img", "iframe"} else given.get("href") if tag == "link" else None
        if place and re.match(r"(?:https?:)?//", place) and given.get("rel") != "canonical":
            self.loaded.append(place)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    run = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        capture_output=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return folder


def test_the_built_pages_load_nothing_from_elsewhere(site: Path) -> None:
    found = {}
    for page in site.rglob("*.html"):
        parser = _Outside()
        parser.feed(page.read_text(encoding="utf-8"))
        if parser.loaded:
            found[str(page.relative_to(site))] = parser.loaded
    assert found == {}


def test_every_name_of_the_reference_has_an_anchor(site: Path) -> None:
    ids = {
        found for page in (site / "reference").rglob("*.html") for found in re.findall(r'id="([\w.]+)"', page.read_text(encoding="utf-8"))
    }
    assert set(documented()) - ids == set()
