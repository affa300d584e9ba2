"""All kinds of statements that attack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.server.attacks import functions, loads, relations, surroundings, texts

if TYPE_CHECKING:
    from tests.server.attacks.attempts import Kind
    from tests.server.attacks.engine import Engine


def all_kinds(engine: Engine, *, small: bool = False) -> list[Kind]:
    """In the order in which they are reported; the longest statements a quarter as long if `small`."""
    return [
        *functions.kinds(engine),
        *texts.kinds(engine),
        *relations.kinds(engine),
        *surroundings.kinds(engine),
        *loads.kinds(small=small),
    ]
