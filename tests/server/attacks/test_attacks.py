"""Statements made from the engine's own lists: refused or harmless with the guard, and harmless in the sandbox alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.server.attacks.attacked_lake import GUARDED, UNGUARDED, AttackedLake, Outcome
from tests.server.attacks.attempts import Attempt
from tests.server.attacks.engine import Engine, read_lists
from tests.server.attacks.kinds_of_attack import all_kinds

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
def attacked(
    confining: None,  # noqa: ARG001 -- it may skip
    simulated: Lake,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[AttackedLake]:
    """A lake among secrets, and a worker of each mode."""
    found = AttackedLake(simulated, tmp_path_factory.mktemp("attempts"))
    yield found
    found.close()


def sample(attempts: list[Attempt], most: int) -> list[Attempt]:
    """Attempts spread over all, in uneven steps: lists take their spellings and shapes in turn, and even steps would miss some."""
    number = len(attempts)
    return [attempts[place] for place in sorted({n * number // most for n in range(most)} if number > most else range(number))]


@pytest.mark.parametrize("most", [pytest.param(0, id="all", marks=pytest.mark.slow), pytest.param(30, id="some")])
@pytest.mark.parametrize(("name", "mode"), TRIALS)
def test_every_attempt_fails(attacked: AttackedLake, engine: Engine, name: str, mode: str, most: int) -> None:
    kind = next(kind for kind in all_kinds(engine, small=most > 0) if kind.name == name)
    if most:
        kind = replace(kind, attempts=sample(kind.attempts, most))
    with attacked.no_side_effects():
        tally = attacked.try_kind(kind, mode)
    assert not tally.wrong, "\n".join(f"{text}\n    {what}" for text, what in tally.wrong.items())
    assert attacked.ask(mode, Attempt("SELECT 7"), 10.0) == Outcome("ran", "7\n")


def test_there_are_enough_of_each_kind(engine: Engine) -> None:
    kinds = all_kinds(engine)
    assert {kind.name: len(kind.attempts) for kind in kinds if len(kind.attempts) < 20} == {}
    assert sum(len(kind.attempts) for kind in kinds) > 5_000
    assert all(len({str(attempt) for attempt in kind.attempts}) == len(kind.attempts) for kind in kinds)


def test_the_lists_are_the_engines(engine: Engine) -> None:
    assert {"file", "hostName", "filesystemAvailable", "parseQueryToJSON", "dictGet", "sleep", "formatRow"} <= set(engine.refused)
    assert {"arrayMap", "arrayFold", "mapApply", "arraySplit"} <= set(engine.higher_order)
    assert {"s3", "url", "python", "file"} <= set(engine.table_functions)
    assert ("system", "users") in engine.tables
    assert len(engine.settings) > 1_000


def test_what_would_be_wrong_is_seen(attacked: AttackedLake) -> None:
    """Else the tests above would show nothing."""
    asked = Attempt("SELECT 1")
    for secret in attacked.secrets.values():
        for said in (secret, secret.encode().hex().upper(), secret[::-1]):
            assert attacked._leak(Outcome("ran", said), asked)
    assert attacked._leak(Outcome("engine", f"Cannot open {attacked.lake}/x"), asked)
    assert attacked._leak(Outcome("ran", "root:x:0:0:root:/root:/bin/bash"), asked)
    assert attacked._leak(Outcome("ran", "7"), asked) is None
    made = attacked.lake / "made"
    made.touch()
    with pytest.raises(AssertionError), attacked.no_side_effects():
        pass
    made.unlink()


def test_the_sandbox_alone_lets_the_views_be_read(attacked: AttackedLake) -> None:
    """The unguarded worker works: its refusals come from the sandbox and the engine's rights."""
    for mode in (GUARDED, UNGUARDED):
        assert attacked.ask(mode, Attempt("SELECT count() > 0 FROM api.coverage"), 10.0) == Outcome("ran", "1\n")
    attempt = Attempt("SELECT length(hostName()) > 0, formatQuery('SELECT 1')")
    assert attacked.ask(UNGUARDED, attempt, 10.0).how == "ran"
    assert attacked.ask(GUARDED, attempt, 10.0).how == "guard"
