"""What a statement reads of each relation, as far as its text shows: the files that a lake in a bucket has to fetch before it runs.

Whatever the text does not show plainly counts as read. Names and days are taken from conditions that stand, joined by AND, in the WHERE of
a SELECT from the one relation; everything else of a statement leaves the relation whole.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pointline.clock import MINUTE_US, date_text
from pointline.sql.guard.bounded_reads import rows_taken
from pointline.sql.guard.moments import FIRST_US, FUNCTIONS, LAST_US, bounds_of
from pointline.sql.guard.trees import Tree, arguments_of, is_membership, walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pointline.sql.guard.moments import Bounds

ALWAYS: Bounds = (-(1 << 62), 1 << 62)
CANDLES = "ohlcv"
_TURNED = {"less": "greater", "greater": "less", "lessOrEquals": "greaterOrEquals", "greaterOrEquals": "lessOrEquals", "equals": "equals"}
# Rows that lie in the partition of the day or month in which they became known. Of the last trades of a time, that is all of that time.
_KNOWN = {"trade": "known_at", "funding_rate": "known_at"}
_EVENT = {"trade": ("timestamp",), "trade_last": ("timestamp",), CANDLES: ("start", "end")}
_AS_STORED = frozenset({"trade", "funding_rate"})  # every stored row is one of theirs
_TIMES = frozenset({*_KNOWN.values(), *(column for columns in _EVENT.values() for column in columns)})
_TAKEN_AT_THEIR_WORD = frozenset({"exchange", "market", "and", "in", *_TIMES, *_TURNED, *FUNCTIONS})
_PLAIN_EXPRESSION = frozenset({"type", "database_and_table_name", "table_function"})
_PLAIN_TABLE = frozenset({"type", "name", "name_parts", "alias", "arguments", "is_compound_name", "is_operator"})
_LONGEST = 10  # digits of a candle's minutes


@dataclass(frozen=True)
class Read:
    """What is read of a relation.

    Attributes:
        relation: its name in `api`.
        exchanges, markets: only rows of these, by their names in SQL; None for all.
        known_us: only rows that became known between these times, both included, in microseconds UTC.
        event_us: only rows that happened between these.
        minutes: length of the candles that are read; 0 where it is not known.
        rows: how many rows are enough, whichever they are; None where all count.
    """

    relation: str
    exchanges: frozenset[str] | None = None
    markets: frozenset[str] | None = None
    known_us: Bounds = ALWAYS
    event_us: Bounds = ALWAYS
    minutes: int = 0
    rows: int | None = None

    def as_json(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {name: sorted(value) if isinstance(value, frozenset) else value for name, value in vars(self).items()}

    @classmethod
    def of_json(cls, found: dict[str, Any]) -> Read:
        """What `as_json` gave.

        Raises:
            ValueError, KeyError, TypeError: it is something else.
        """
        relation, minutes, rows = found["relation"], found["minutes"], found["rows"]
        exchanges, markets = (None if found[field] is None else frozenset(found[field]) for field in ("exchanges", "markets"))
        known_us, event_us = ((low, high) for low, high in (found["known_us"], found["event_us"]))
        texts, numbers = (
            (relation, *(exchanges or ()), *(markets or ())),
            (minutes, *known_us, *event_us, *(() if rows is None else (rows,))),
        )
        if not all(isinstance(text, str) for text in texts) or not all(type(number) is int for number in numbers):
            raise TypeError(found)
        if not all(us in ALWAYS or FIRST_US <= us < LAST_US for us in known_us):
            raise ValueError(found)
        return cls(relation, exchanges, markets, known_us, event_us, minutes, rows)

    def reaches_market(self, exchange: str, market: str) -> bool:
        """Whether rows of a market may be among what is read."""
        return (self.exchanges is None or exchange in self.exchanges) and (self.markets is None or market in self.markets)

    def reaches_day(self, date: str, *, monthly: bool) -> bool:
        """Whether rows of a partition, of a day or of a month, may be among what is read."""
        low, high = self.known_us
        digits = len("2024-05") if monthly else len("2024-05-01")
        return (low == ALWAYS[0] or date[:digits] >= date_text(low)[:digits]) and (high == ALWAYS[1] or date <= date_text(high))

    def reaches_events(self, first_us: int, last_us: int) -> bool:
        """Whether rows of a file that has events between these times, both included, may be among what is read."""
        return last_us >= self.event_us[0] and first_us <= self.event_us[1]


def reads_of(tree: Tree, parameters: Mapping[str, str]) -> tuple[Read, ...]:
    """What a statement reads, each relation as often as it is named.

    Args:
        tree: of the statement, in which identifier parameters are filled in.
        parameters: values of its `{name:Type}`, as the engine reads them.
    """
    now_us = time.time_ns() // 1_000
    found = []
    narrowed: set[int] = set()
    if not any(_gives_names(node) for node in walk(tree)):
        for select in (node for node in walk(tree) if node.get("type") == "SelectQuery"):
            elements = select.get("tables", {}).get("children", [])
            expression = elements[0].get("table_expression", {}) if len(elements) == 1 else {}
            reference = next(iter(_references(expression)), None)
            if reference is not None and set(expression) <= _PLAIN_EXPRESSION and set(reference) <= _PLAIN_TABLE:
                narrowed.add(id(reference))
                if (rows := rows_taken(select)) != 0:
                    found.append(_narrowed(reference, select, parameters, now_us, rows))
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


def _narrowed(reference: Tree, select: Tree, parameters: Mapping[str, str], now_us: int, rows: int | None) -> Read:
    relation = _last(reference)
    read = Read(relation, minutes=_minutes(reference, parameters) if relation == CANDLES else 0)
    prefixes = {"", relation, f"api.{relation}", str(reference.get("alias", relation))}
    by_names_alone = True
    for condition in _conjuncts(select.get("where")):
        comparison, column, value = _compared(condition, prefixes)
        if column in {"exchange", "market"} and comparison in {"equals", "in"} and (names := _texts(value, parameters)) is not None:
            read = _by_names(read, column, names)
            continue
        by_names_alone = False
        if column in _TIMES and comparison in _TURNED and (bounds := bounds_of(value, parameters, now_us)) is not None:
            read = _by_time(read, column, _between(comparison, bounds))
    return replace(read, rows=rows) if by_names_alone and relation in _AS_STORED else read


def _compared(condition: Tree, prefixes: set[str]) -> tuple[str, str, Tree]:
    """Comparison, column of the relation, and what it is compared with; empty texts where a condition is none."""
    comparison, arguments = str(condition.get("name")), arguments_of(condition)
    if condition.get("type") != "Function" or len(arguments) != 2:  # noqa: PLR2004 - both sides of a comparison
        return "", "", {}
    left, right = arguments
    if left.get("type") != "Identifier" and comparison in _TURNED:
        comparison, left, right = _TURNED[comparison], right, left
    prefix, _, column = str(left.get("name")).rpartition(".")
    return (comparison, column, right) if left.get("type") == "Identifier" and prefix in prefixes else ("", "", {})


def _conjuncts(node: Tree | None) -> Iterator[Tree]:
    if node is not None and node.get("type") == "Function" and node.get("name") == "and":
        for argument in arguments_of(node):
            yield from _conjuncts(argument)
    elif node is not None:
        yield node


def _by_names(read: Read, column: str, names: frozenset[str]) -> Read:
    if column == "exchange":
        return replace(read, exchanges=names if read.exchanges is None else read.exchanges & names)
    return replace(read, markets=names if read.markets is None else read.markets & names)


def _by_time(read: Read, column: str, bounds: Bounds) -> Read:
    if column == _KNOWN.get(read.relation):
        return replace(read, known_us=_both(read.known_us, bounds))
    if column not in _EVENT.get(read.relation, ()):
        return read
    low, high = bounds
    length_us = read.minutes * MINUTE_US
    if read.relation == CANDLES and not length_us:
        low, high = (low, ALWAYS[1]) if column == "start" else (ALWAYS[0], high)
    elif column == "start":
        high += length_us
    elif column == "end":
        low -= length_us
    return replace(read, event_us=_both(read.event_us, (low, high)))


def _between(comparison: str, bounds: Bounds) -> Bounds:
    """Between which times a column lies that compares so with a time of these bounds."""
    low = ALWAYS[0] if comparison.startswith("less") else bounds[0]
    return low, ALWAYS[1] if comparison.startswith("greater") else bounds[1]


def _both(one: Bounds, other: Bounds) -> Bounds:
    return max(one[0], other[0]), min(one[1], other[1])


def _minutes(reference: Tree, parameters: Mapping[str, str]) -> int:
    """The length that candles are read with; 0 where it is not plain."""
    length = next((argument for condition in arguments_of(reference) for argument in arguments_of(condition)[1:]), {})
    value = length.get("value")
    given = parameters.get(str(length.get("name")), "") if length.get("type") == "QueryParameter" else ""
    text = str(value.get("value")) if isinstance(value, dict) and value.get("field_type") == "UInt64" else given
    return int(text) if text.isascii() and text.isdecimal() and len(text) < _LONGEST else 0


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
