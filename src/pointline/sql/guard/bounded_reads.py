"""Whether a statement reads only a part of a large relation, as far as its text shows; limits on rows apply to every statement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pointline.sql.guard.trees import Tree, arguments_of, is_subquery, walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PREVIEW_ROWS = 10_000

_COMPARISONS = frozenset({"equals", "less", "greater", "lessOrEquals", "greaterOrEquals", "in", "between"})
_PLAIN = frozenset({"type", "select", "tables", "where", "prewhere", "limit_length", "limit_offset"})
_NAMES_OF_FOLDERS = frozenset({"exchange", "market"})  # rows are found by these without a look at them
_PASSING_ROWS = frozenset({"Identifier", "Asterisk", "QualifiedAsterisk", "Literal", "ColumnsListMatcher"})


def reads_little(selects: Sequence[Tree], columns: frozenset[str]) -> bool:
    """Whether a relation that is read in the last of these SELECTs, each inside the one before it, is read in part only.

    That is so where one of them compares a column of time with something, where only the ends of time are asked for, and in a preview:
    rows without an order, as they come, up to `PREVIEW_ROWS`.

    Args:
        selects: from the outermost to the one that names the relation.
        columns: the relation's columns of time.
    """
    for select in selects:
        if any(name in columns for clause in ("where", "prewhere") for name in _compared(select.get(clause))):
            return True
    if selects and _asks_for_ends(selects[-1], columns):
        return True
    for select in reversed(selects):
        limit = _limit(select)
        if limit == 0 or (limit is not None and limit <= PREVIEW_ROWS and _is_plain(select)):
            return True
        if not _is_plain(select):
            return False
    return False


def rows_taken(select: Tree) -> int | None:
    """How many of the rows that its conditions let through a SELECT takes at most, in no order; None where it may need all of them."""
    limit, offset = _limit(select), _limit(select, "limit_offset") if "limit_offset" in select else 0
    return limit + offset if limit is not None and offset is not None and _is_plain(select) else None


def _limit(select: Tree, field: str = "limit_length") -> int | None:
    value = select.get(field, {}).get("value", {})
    return int(value["value"]) if value.get("field_type") == "UInt64" else None


def _is_plain(select: Tree) -> bool:
    """Whether rows go through as they come: one relation, no order, no groups, no functions that need all of them."""
    tables = select.get("tables", {}).get("children", [])
    items = select.get("select", {}).get("children", [])
    return set(select) <= _PLAIN and len(tables) == 1 and all(item.get("type") in _PASSING_ROWS for item in items)


def _asks_for_ends(select: Tree, columns: frozenset[str]) -> bool:
    """Whether it gives nothing but the first and last times and counts, of all rows or of groups by a name."""
    if not set(select) <= _PLAIN | {"group_by"} or len(select.get("tables", {}).get("children", [])) != 1:
        return False
    if any(name not in columns | _NAMES_OF_FOLDERS for clause in ("where", "prewhere") for name in _names(select.get(clause))):
        return False
    items = select.get("select", {}).get("children", [])
    ends = [item for item in items if item.get("type") == "Function" and _is_end(item, columns)]
    return bool(ends) and all(item in ends or item.get("type") == "Identifier" for item in items)


def _is_end(function: Tree, columns: frozenset[str]) -> bool:
    arguments = arguments_of(function)
    if function.get("is_window_function"):
        return False
    if function.get("name") == "count":
        return not arguments or arguments[0].get("type") == "Asterisk"
    named = [argument.get("name") for argument in arguments if argument.get("type") == "Identifier"]
    return function.get("name") in {"min", "max"} and len(arguments) == len(named) == 1 and str(named[0]).rpartition(".")[2] in columns


def _compared(condition: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON
    """Last parts of the names that a condition compares with something, outside the queries in it."""
    for node in walk(condition, omit=is_subquery):
        if node.get("type") == "Function" and node.get("name") in _COMPARISONS:
            yield from _names(node)


def _names(expression: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON
    """Last parts of the names in an expression, outside the queries in it."""
    for node in walk(expression, omit=is_subquery):
        if node.get("type") == "Identifier":
            yield str(node.get("name")).rpartition(".")[2]
