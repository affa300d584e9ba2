"""What a statement reads of each relation, as far as its text shows: the files that a lake in a bucket has to fetch before it runs.

Whatever the text does not show plainly counts as read. Names and days are taken from conditions that stand, joined by AND, in the WHERE of
a SELECT from the one relation; everything else of a statement leaves the relation whole.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pointline.sql.guard.bounded_reads import gives_no_rows
from pointline.sql.guard.trees import Tree, arguments_of, is_membership, walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_KNOWN = "known_at"
_BY_KNOWN = frozenset({"trade", "funding_rate"})  # rows that lie in the partition of the day or month in which they became known
_TURNED = {"less": "greater", "greater": "less", "lessOrEquals": "greaterOrEquals", "greaterOrEquals": "lessOrEquals", "equals": "equals"}
_MOMENTS = frozenset({"toDate", "toDate32", "toDateTime", "toDateTime64"})
_TAKEN_AT_THEIR_WORD = frozenset({"exchange", "market", _KNOWN, "and", "in", *_TURNED, *_MOMENTS})
_DATE = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[ T]\d{2}:\d{2}:\d{2}(?:\.\d+)?Z?)?", re.ASCII)
_MARGIN = dt.timedelta(days=1)  # a time of another zone lies less than a day off
_PLAIN_EXPRESSION = frozenset({"type", "database_and_table_name", "table_function"})
_PLAIN_TABLE = frozenset({"type", "name", "name_parts", "alias", "arguments", "is_compound_name", "is_operator"})


@dataclass(frozen=True)
class Read:
    """What is read of a relation.

    Attributes:
        relation: its name in `api`.
        exchanges, markets: only rows of these, by their names in SQL; None for all.
        from_date, until_date: only rows that became known on these days, both included; an empty text where there is no bound.
    """

    relation: str
    exchanges: frozenset[str] | None = None
    markets: frozenset[str] | None = None
    from_date: str = ""
    until_date: str = ""

    def as_json(self) -> dict[str, Any]:
        """As JSON can hold it."""
        names = {field: None if (own := getattr(self, field)) is None else sorted(own) for field in ("exchanges", "markets")}
        return {"relation": self.relation, **names, "from_date": self.from_date, "until_date": self.until_date}

    @classmethod
    def of_json(cls, found: dict[str, Any]) -> Read:
        """What `as_json` gave.

        Raises:
            ValueError, KeyError, TypeError: it is something else.
        """
        exchanges, markets = (None if found[field] is None else frozenset(found[field]) for field in ("exchanges", "markets"))
        relation, from_date, until_date = (found[field] for field in ("relation", "from_date", "until_date"))
        if not all(isinstance(text, str) for text in (relation, from_date, until_date, *(exchanges or ()), *(markets or ()))):
            raise TypeError(found)
        return cls(relation, exchanges, markets, from_date, until_date)

    def reaches_market(self, exchange: str, market: str) -> bool:
        """Whether rows of a market may be among what is read."""
        return (self.exchanges is None or exchange in self.exchanges) and (self.markets is None or market in self.markets)

    def reaches_day(self, date: str, *, monthly: bool) -> bool:
        """Whether rows of a partition, of a day or of a month, may be among what is read."""
        digits = len("2024-05") if monthly else len("2024-05-01")
        return date[:digits] >= self.from_date[:digits] and (not self.until_date or date <= self.until_date)


def reads_of(tree: Tree, parameters: Mapping[str, str]) -> tuple[Read, ...]:
    """What a statement reads, each relation as often as it is named.

    Args:
        tree: of the statement, in which identifier parameters are filled in.
        parameters: values of its `{name:Type}`, as the engine reads them.
    """
    found = []
    narrowed: set[int] = set()
    if not any(_gives_names(node) for node in walk(tree)):
        for select in (node for node in walk(tree) if node.get("type") == "SelectQuery"):
            elements = select.get("tables", {}).get("children", [])
            expression = elements[0].get("table_expression", {}) if len(elements) == 1 else {}
            reference = next(iter(_references(expression)), None)
            if reference is not None and set(expression) <= _PLAIN_EXPRESSION and set(reference) <= _PLAIN_TABLE:
                narrowed.add(id(reference))
                if not gives_no_rows(select):
                    found.append(_narrowed(reference, select.get("where"), parameters))
    for node in walk(tree):
        found += [Read(_last(reference)) for reference in _references(node) if id(reference) not in narrowed]
    return tuple(dict.fromkeys(found))


def _gives_names(node: Tree) -> bool:
    """Whether a node may give another meaning to the columns and functions that conditions are read by."""
    return node.get("alias") in _TAKEN_AT_THEIR_WORD or "Replace" in str(node.get("type"))


def _references(node: Tree) -> Iterator[Tree]:
    """The names of relations that a node has in places where relations are named."""
    if node.get("type") == "TableExpression":
        yield from (node[field] for field in ("database_and_table_name", "table_function") if field in node)
    if node.get("type") == "Function" and is_membership(str(node.get("name"))):
        yield from (argument for argument in arguments_of(node)[1:] if argument.get("type") == "Identifier")


def _last(reference: Tree) -> str:
    return str(reference.get("name")).rpartition(".")[2]


def _narrowed(reference: Tree, where: Tree | None, parameters: Mapping[str, str]) -> Read:
    relation = _last(reference)
    read = Read(relation)
    prefixes = {"", relation, f"api.{relation}", str(reference.get("alias", relation))}
    for condition in _conjuncts(where):
        name, arguments = str(condition.get("name")), arguments_of(condition)
        if condition.get("type") != "Function" or len(arguments) != 2:  # noqa: PLR2004 - both sides of a comparison
            continue
        left, right = arguments
        if left.get("type") != "Identifier" and name in _TURNED:
            name, left, right = _TURNED[name], right, left
        prefix, _, column = str(left.get("name")).rpartition(".")
        if left.get("type") != "Identifier" or prefix not in prefixes:
            continue
        if column in {"exchange", "market"} and name in {"equals", "in"}:
            read = _by_names(read, column, _texts(right, parameters))
        elif column == _KNOWN and relation in _BY_KNOWN and name in _TURNED:
            read = _by_days(read, name, _day(right, parameters))
    return read


def _conjuncts(node: Tree | None) -> Iterator[Tree]:
    if node is not None and node.get("type") == "Function" and node.get("name") == "and":
        for argument in arguments_of(node):
            yield from _conjuncts(argument)
    elif node is not None:
        yield node


def _by_names(read: Read, column: str, names: frozenset[str] | None) -> Read:
    if names is None:
        return read
    if column == "exchange":
        return replace(read, exchanges=names if read.exchanges is None else read.exchanges & names)
    return replace(read, markets=names if read.markets is None else read.markets & names)


def _by_days(read: Read, comparison: str, day: dt.date | None) -> Read:
    if day is None:
        return read
    if comparison in {"greater", "greaterOrEquals", "equals"}:
        read = replace(read, from_date=max(read.from_date, str(day - _MARGIN)))
    if comparison in {"less", "lessOrEquals", "equals"}:
        until = str(day + _MARGIN)
        read = replace(read, until_date=min(read.until_date or until, until))
    return read


def _texts(node: Tree, parameters: Mapping[str, str]) -> frozenset[str] | None:
    """The texts that a column is compared with; None where they are not plain."""
    if node.get("type") == "QueryParameter":
        value = parameters.get(str(node.get("name")))
        plain = node.get("param_type") == "String" and value is not None and "\\" not in value
        return frozenset({value}) if plain and value is not None else None
    value = node.get("value") if node.get("type") == "Literal" else None
    if not isinstance(value, dict):
        return None
    items = value.get("value") if value.get("field_type") in {"Tuple", "Array"} else [value]
    if not isinstance(items, list) or not all(isinstance(item, dict) and item.get("field_type") == "String" for item in items):
        return None
    return frozenset(str(item["value"]) for item in items)


def _day(node: Tree, parameters: Mapping[str, str]) -> dt.date | None:
    """The day of a time that is written out; None where it is not."""
    if node.get("type") == "Function" and node.get("name") in _MOMENTS and arguments_of(node):
        node = arguments_of(node)[0]
    texts = _texts(node, parameters) or frozenset()
    found = _DATE.fullmatch(next(iter(texts))) if len(texts) == 1 else None
    if found is None:
        return None
    try:
        day = dt.date.fromisoformat(found[1])
    except ValueError:
        return None
    return day if 1 < day.year < 9999 else None  # noqa: PLR2004 - years with a day before and after
