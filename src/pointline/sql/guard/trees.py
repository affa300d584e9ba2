"""Pieces of a statement's tree, in the JSON that the engine writes and reads (`parseQueryToJSON`, `formatQueryFromJSON`)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Tree: TypeAlias = dict[str, Any]


def call(name: str, *arguments: Tree) -> Tree:
    """A function of arguments."""
    return {"type": "Function", "name": name, "arguments": {"type": "ExpressionList", "children": list(arguments)}}


def text(value: str) -> Tree:
    """A string."""
    return {"type": "Literal", "value": {"field_type": "String", "value": value}}


def number(value: int) -> Tree:
    """A whole number of at most 64 bits."""
    return {"type": "Literal", "value": {"field_type": "UInt64", "value": value}}


def identifier(name: str) -> Tree:
    """A name of one part."""
    return {"type": "Identifier", "name": name}


def arguments_of(function: Tree) -> list[Tree]:
    """The arguments of a function, to be read or replaced in place."""
    listed = function.get("arguments")
    children: list[Tree] = listed.get("children", []) if isinstance(listed, dict) else []
    return children


def selects_of(union: Tree) -> list[Tree]:
    """The SELECTs of a query, those of a UNION, INTERSECT or EXCEPT in order."""
    if union.get("type") == "SelectQuery":
        return [union]
    listed = union.get("list_of_selects")
    children = listed.get("children", []) if isinstance(listed, dict) else union.get("children", [])
    return [select for child in children if isinstance(child, dict) for select in selects_of(child)]


def select_only(expression: Tree) -> Tree:
    """``SELECT expression``."""
    select = {"type": "SelectQuery", "select": {"type": "ExpressionList", "children": [expression]}}
    return {
        "type": "SelectWithUnionQuery",
        "union_mode": "UNION_DEFAULT",
        "list_of_selects": {"type": "ExpressionList", "children": [select]},
    }


def walk(node: Any, *, omit: Callable[[str, Tree], bool] | None = None, inner_first: bool = False, name: str = "") -> Iterator[Tree]:  # noqa: ANN401 - any JSON
    """Every node of a tree.

    Args:
        node: a tree, or a list of trees.
        omit: whether to leave a node out with everything in it; gets the name of the field in which the node stands, and the node.
        inner_first: the inner nodes come before the node that holds them, not after it.
        name: of the field in which `node` stands.
    """
    if isinstance(node, list):
        for item in node:
            yield from walk(item, omit=omit, inner_first=inner_first, name=name)
    elif isinstance(node, dict) and not (omit is not None and omit(name, node)):
        if not inner_first:
            yield node
        for field, value in list(node.items()):
            yield from walk(value, omit=omit, inner_first=inner_first, name=field)
        if inner_first:
            yield node


def is_subquery(_: str, node: Tree) -> bool:
    """Whether a node is a query inside an expression; to be left out by `walk`."""
    return node.get("type") == "Subquery"


_IN = re.compile(r"(global)?(not)?(null)?in(ignoreset)?", re.IGNORECASE)


def is_membership(name: str) -> bool:
    """Whether a function is IN in one of its forms."""
    return _IN.fullmatch(name) is not None


def empty_scalars(node: Any) -> None:  # noqa: ANN401 - any JSON
    """Gives every subquery that stands for one value a LIMIT 0: its type stays, and it is not computed."""
    if isinstance(node, list):
        for item in node:
            empty_scalars(item)
        return
    if not isinstance(node, dict):
        return
    if node.get("type") == "Subquery":
        for select in selects_of(node):
            select["limit_length"] = number(0)
    for name, value in node.items():
        tables = name == "subquery" and node.get("type") in {"TableExpression", "WithElement"}
        members = node.get("type") == "Function" and name == "arguments" and (is_membership(node["name"]) or node["name"] == "exists")
        inner = arguments_of(node) if members else [value]
        for part in inner:
            if (tables or members) and isinstance(part, dict) and part.get("type") == "Subquery":
                empty_scalars(part.get("children"))
            else:
                empty_scalars(part)
