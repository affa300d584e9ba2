"""Names of a result's columns, kept when an expression is changed: a column without AS is called what its expression says."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING

from pointline.sql.guard.codes import RefusedError
from pointline.sql.guard.trees import Tree, empty_scalars, is_subquery, selects_of, walk

if TYPE_CHECKING:
    from pointline.sql.guard.parser import Analysis

_MATCHERS = frozenset({
    "Asterisk", "QualifiedAsterisk", "ColumnsRegexpMatcher", "ColumnsListMatcher", "QualifiedColumnsRegexpMatcher",
    "QualifiedColumnsListMatcher",
})  # fmt: skip


def keep_names(tree: Tree, before: Tree, engine: Analysis, *, changed: set[int]) -> None:
    """Gives an alias to each column whose expression will change and that has none.

    Args:
        tree: the statement, in which nothing but arguments has changed yet.
        before: the statement as it was sent.
        engine: tells the names of the whole statement's columns; those of inner queries are put together here.
        changed: identities of the functions that change.
    """
    outer = selects_of(tree)[:1]
    for select in _selects(tree):
        items = select.get("select", {}).get("children", [])
        nameless = [
            place
            for place, item in enumerate(items)
            if "alias" not in item and any(id(node) in changed for node in walk(item, omit=is_subquery))
        ]
        if not nameless:
            continue
        old = _same_place(tree, before, select).get("select", {}).get("children", [])
        names = _of_result(before, engine, old) if any(select is one for one in outer) else {}
        for place in nameless:
            name = names.get(place) or projection_name(old[place])
            if name is not None:
                items[place]["alias"] = name


def _of_result(before: Tree, engine: Analysis, items: list[Tree]) -> dict[int, str]:
    """Item of the outer SELECT -> name of its column; those between two ``*`` are left out."""
    described = copy.deepcopy(before)
    empty_scalars(described)
    try:
        names = engine.column_names(engine.write(json.dumps(described))[0])
    except RefusedError:
        return {}
    stars = [place for place, item in enumerate(items) if item.get("type") in _MATCHERS]
    first, last = (stars[0], stars[-1]) if stars else (len(items), len(items))
    found = dict(zip(range(first), names, strict=False))
    found |= {place: names[place - len(items)] for place in range(last + 1, len(items))}
    return found


def projection_name(node: Tree) -> str | None:
    """What the engine calls a column of this expression, where that is plain."""
    if "alias" in node:
        return str(node["alias"])
    kind = node.get("type")
    if kind == "Identifier":
        return str(node.get("name", "")).rpartition(".")[2]
    if kind == "Literal":
        value = node.get("value", {})
        return {"String": f"'{value.get('value')}'"}.get(value.get("field_type"), str(value.get("value")))
    if kind != "Function" or node.get("is_window_function") or node.get("is_lambda_function"):
        return None
    parts = []
    for part in ("parameters", "arguments"):
        if part in node:
            names = [projection_name(child) for child in node[part].get("children", [])]
            if None in names:
                return None
            parts.append("(" + ", ".join(map(str, names)) + ")")
    return str(node["name"]) + "".join(parts)


def _selects(tree: Tree) -> list[Tree]:
    return [node for node in walk(tree) if node.get("type") == "SelectQuery"]


def _same_place(tree: Tree, before: Tree, select: Tree) -> Tree:
    """The SELECT of the older tree that stands where the given one does."""
    places = [id(one) for one in _selects(tree)]
    return _selects(before)[places.index(id(select))]
