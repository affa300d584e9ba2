"""Types of a statement's functions and their arguments, read from the engine's ``EXPLAIN QUERY TREE``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_TYPE = re.compile(r"(?:result_type|constant_value_type): (.*?)(?:, source_id: \d+)?$")
_NAME = re.compile(r"function_name: (\w+)")
_VALUE = re.compile(r"constant_value: '(.*)', constant_value_type: String$")


@dataclass(frozen=True)
class FunctionUse:
    """One place in which the engine found a marked function.

    Attributes:
        result: type of its result.
        arguments: types of its arguments; empty where the engine names none (lambdas, tables).
    """

    result: str
    arguments: tuple[str, ...]


@dataclass
class _Node:
    text: str
    children: list[_Node] = field(default_factory=list)


def marked_uses(explained: str, mark: str) -> dict[int, list[FunctionUse]]:
    """The functions that stand in ``tuple(function, 'markN')``, by N.

    Args:
        explained: what ``EXPLAIN QUERY TREE run_passes = 1, passes = 1`` prints.
        mark: what the marks begin with.
    """
    found: dict[int, list[FunctionUse]] = {}
    pending = [_tree(explained)]
    while pending:
        node = pending.pop()
        pending += node.children
        if node.text.startswith("FUNCTION") and _function_name(node) == "tuple":
            arguments = _arguments(node)
            value = _VALUE.search(arguments[-1].text) if arguments else None
            if value is not None and value[1].removeprefix(mark).isdecimal() and value[1].startswith(mark):
                function = _behind_constant(arguments[0])
                types = tuple(_type(argument) for argument in _arguments(function))
                found.setdefault(int(value[1].removeprefix(mark)), []).append(FunctionUse(_type(arguments[0]), types))
    return found


def _tree(explained: str) -> _Node:
    root = _Node("")
    stack = [(-1, root)]
    for line in explained.splitlines():
        text = line.lstrip(" ")
        depth = len(line) - len(text)
        while stack[-1][0] >= depth:
            stack.pop()
        node = _Node(text.rstrip())
        stack[-1][1].children.append(node)
        stack.append((depth, node))
    return root


def _type(node: _Node) -> str:
    found = _TYPE.search(node.text)
    return found[1] if found is not None else ""


def _function_name(node: _Node) -> str:
    found = _NAME.search(node.text)
    return found[1] if found is not None else ""


def _behind_constant(node: _Node) -> _Node:
    """The expression that the engine has computed already where it shows a constant."""
    behind = next((child for child in node.children if child.text == "EXPRESSION"), None)
    return behind.children[0] if behind is not None and behind.children else node


def _arguments(function: _Node) -> list[_Node]:
    listed = next((child for child in function.children if child.text == "ARGUMENTS"), None)
    return listed.children[0].children if listed is not None and listed.children else []
