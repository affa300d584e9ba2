"""Statements made from the engine's own lists: refused or harmless behind the guard, and without reach where the walls stand alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.server.attacks.catalogue import all_kinds
from tests.server.attacks.engine import Engine, read_lists
from tests.server.attacks.kinds import Door
from tests.server.attacks.place import GUARDED, UNGUARDED, Outcome, Place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointline.lake.store import Lake

NOTHING = Engine([], [], [], [], [], [], [], [], [], [], [], [], [])
TRIALS = [(kind.name, mode) for kind in all_kinds(NOTHING) for mode in (GUARDED, UNGUARDED) if mode == GUARDED or not kind.only_guarded]


@pytest.fixture(scope="module")
def engine() -> Engine:
    """The engine's lists."""
    return read_lists()


@pytest.fixture(scope="module")
def place(
    confining: None,  # noqa: ARG001 -- it may skip
    simulated: Lake,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Place]:
    """A lake among canaries, and a worker of each mode."""
    found = Place(simulated, tmp_path_factory.mktemp("doors"))
    yield found
    found.close()


@pytest.mark.parametrize("most", [pytest.param(0, id="all", marks=pytest.mark.slow), pytest.param(60, id="some")])
@pytest.mark.parametrize(("name", "mode"), TRIALS)
def test_a_door_is_closed(place: Place, engine: Engine, name: str, mode: str, most: int) -> None:
    kind = next(kind for kind in all_kinds(engine) if kind.name == name)
    if most:
        kind = replace(kind, doors=kind.doors[:: -(-len(kind.doors) // most)])
    with place.nothing_happens():
        tally = place.try_kind(kind, mode)
    assert not tally.wrong, "\n".join(f"{text}\n    {what}" for text, what in tally.wrong.items())
    assert place.ask(mode, Door("SELECT 7"), 10.0) == Outcome("ran", "7\n")


def test_there_are_enough_of_each_kind(engine: Engine) -> None:
    kinds = all_kinds(engine)
    assert {kind.name: len(kind.doors) for kind in kinds if len(kind.doors) < 20} == {}
    assert sum(len(kind.doors) for kind in kinds) > 5_000
    assert all(len({str(door) for door in kind.doors}) == len(kind.doors) for kind in kinds)


def test_the_lists_are_the_engines(engine: Engine) -> None:
    assert {"file", "hostName", "filesystemAvailable", "parseQueryToJSON", "dictGet", "sleep", "formatRow"} <= set(engine.refused)
    assert {"arrayMap", "arrayFold", "mapApply", "arraySplit"} <= set(engine.higher_order)
    assert {"s3", "url", "python", "file"} <= set(engine.table_functions)
    assert ("system", "users") in engine.tables
    assert len(engine.settings) > 1_000


def test_what_would_be_wrong_is_seen(place: Place) -> None:
    """Else the tests above would show nothing."""
    asked = Door("SELECT 1")
    for canary in place.canaries.values():
        for said in (canary, canary.encode().hex().upper(), canary[::-1]):
            assert place._leak(Outcome("ran", said), asked)
    assert place._leak(Outcome("engine", f"Cannot open {place.lake}/x"), asked)
    assert place._leak(Outcome("ran", "root:x:0:0:root:/root:/bin/bash"), asked)
    assert place._leak(Outcome("ran", "7"), asked) is None
    made = place.lake / "made"
    made.touch()
    with pytest.raises(AssertionError), place.nothing_happens():
        pass
    made.unlink()


def test_the_walls_alone_let_the_views_be_read(place: Place) -> None:
    """The unguarded worker works: what it is refused is refused by walls and rights, not because it is broken."""
    for mode in (GUARDED, UNGUARDED):
        assert place.ask(mode, Door("SELECT count() > 0 FROM api.coverage"), 10.0) == Outcome("ran", "1\n")
    door = Door("SELECT length(hostName()) > 0, formatQuery('SELECT 1')")
    assert place.ask(UNGUARDED, door, 10.0).how == "ran"
    assert place.ask(GUARDED, door, 10.0).how == "guard"
