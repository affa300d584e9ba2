"""The picture and the table of the architecture page show the rooms as they are."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from tests.test_architecture import FACES, GROUND, ROOMS
from tests.test_docs_reference import DOCS, script

PAGE = DOCS / "architecture.md"


def test_the_page_is_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert script("make_rooms").updated(page) == page, "run python docs/make_rooms.py"


def test_the_picture_is_up_to_date() -> None:
    assert (DOCS / "images" / "rooms.svg").read_text(encoding="utf-8") == script("make_rooms").picture(), "run python docs/make_rooms.py"


def test_the_picture_has_every_room_once() -> None:
    texts = [text.text or "" for text in ET.fromstring(script("make_rooms").picture()).iter("{http://www.w3.org/2000/svg}text")]  # noqa: S314 - our own picture
    shown = sorted(name for text in texts for name in text.rstrip(",").split(", "))
    assert shown == sorted(name or "__init__" for name in ROOMS)


def test_rooms_stand_above_what_they_import() -> None:
    make_rooms = script("make_rooms")
    rows = make_rooms.levels(make_rooms.placed())
    at = {name: n for n, row in enumerate(rows) for name in row}
    assert set(at) == set(ROOMS) - GROUND - FACES
    assert [(name, target) for name in at for target in ROOMS[name] & set(at) if at[target] >= at[name]] == []


@pytest.mark.parametrize(
    ("graph", "rows"),
    [
        ({"a": {"b"}, "b": {"c"}, "c": set()}, [["c"], ["b"], ["a"]]),
        ({"a": {"b", "c"}, "b": set(), "c": set()}, [["b", "c"], ["a"]]),
        ({"a": {"c"}, "b": set(), "c": set()}, [["b", "c"], ["a"]]),
    ],
)
def test_levels(graph: dict[str, set[str]], rows: list[list[str]]) -> None:
    assert script("make_rooms").levels({name: frozenset(targets) for name, targets in graph.items()}) == rows


def test_an_arrow_that_passes_a_row_gets_a_place_in_it() -> None:
    make_rooms = script("make_rooms")
    graph = {"a": frozenset({"b", "d"}), "b": frozenset({"c"}), "c": frozenset(), "d": frozenset()}
    rows, ways = make_rooms.routed(graph, make_rooms.levels(graph))
    assert sorted(map(sorted, rows)) == sorted(map(sorted, [["c", "d"], ["b", "a>d@1"], ["a"]]))
    assert ["a", "a>d@1", "d"] in ways
    assert re.fullmatch(r"[^@]+@1", next(place for place in rows[1] if "@" in place))
