"""Types and column lists that a statement writes as text: ``'Decimal(38, 2)'``, ``'price Float64, quantity Float64'``.

The engine reads such a text as SQL and would run an expression in it (``'a UInt8 DEFAULT f()'``). What is allowed here is a grammar of
names, types on a list, numbers and quoted strings.
"""

from __future__ import annotations

import re

from pointline.sql.guard.allow_lists import named
from pointline.sql.guard.codes import RefusedError

TYPES = named("""
    Int8 Int16 Int32 Int64 Int128 Int256 UInt8 UInt16 UInt32 UInt64 UInt128 UInt256 Float32 Float64 BFloat16 Bool
    Decimal Decimal32 Decimal64 Decimal128 Decimal256 String FixedString UUID IPv4 IPv6 Date Date32 DateTime DateTime64 Time Time64
    Enum Enum8 Enum16 Array Tuple Map Nullable LowCardinality Nested Nothing Identifier
    IntervalNanosecond IntervalMicrosecond IntervalMillisecond IntervalSecond IntervalMinute IntervalHour IntervalDay IntervalWeek
    IntervalMonth IntervalQuarter IntervalYear Point Ring LineString MultiLineString Polygon MultiPolygon
""")
"""Types that only hold values; none of them names a function."""

_ALIASES = named("""
    tinyint smallint int integer bigint float double real dec numeric fixed boolean bool char varchar text nvarchar timestamp datetime date
    string decimal signed unsigned
""")
_TOKEN = re.compile(
    r"\s*(?:(?P<word>[A-Za-z_]\w*)|(?P<quoted>`(?:[^`\\]|\\.)*`)|(?P<number>-?\d+)|(?P<text>'(?:[^'\\]|\\.|'')*')|(?P<sign>[(),=]))"
)
_DEEPEST = 20


def check_type(text: str) -> None:
    """Refuses a type that is not made of types on the list.

    Raises:
        RefusedError: with the text.
    """
    reader = _TypeTokens(text)
    reader.type(0)
    reader.end()


def check_columns(text: str) -> None:
    """Refuses a list of columns that has more than names and types.

    Raises:
        RefusedError: with the text.
    """
    reader = _TypeTokens(text)
    while True:
        reader.name()
        reader.type(0)
        if not reader.takes(","):
            break
    reader.end()


class _TypeTokens:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str]] = []
        at, stripped = 0, text.rstrip()
        while at < len(stripped):
            found = _TOKEN.match(stripped, at)
            if found is None:
                raise self._refusal()
            self._tokens.append((str(found.lastgroup), str(found[str(found.lastgroup)])))
            at = found.end()
        self._at = 0

    def _refusal(self) -> RefusedError:
        shown = self._text if len(self._text) <= 80 else f"{self._text[:77]}..."  # noqa: PLR2004 - a line of a message
        return RefusedError(
            "ACCESS_DENIED",
            f"{shown!r} is no type that can be used here: write names and types only, such as 'Decimal(38, 2)' or 'price Float64'",
        )

    def _peek(self, ahead: int = 0) -> tuple[str, str]:
        place = self._at + ahead
        return self._tokens[place] if place < len(self._tokens) else ("", "")

    def takes(self, sign: str) -> bool:
        """Consumes a sign where it comes next."""
        if self._peek() == ("sign", sign):
            self._at += 1
            return True
        return False

    def name(self) -> None:
        """Consumes a column's name."""
        if self._peek()[0] not in {"word", "quoted"}:
            raise self._refusal()
        self._at += 1

    def type(self, depth: int) -> None:
        """Consumes a type."""
        kind, word = self._peek()
        if kind != "word" or depth > _DEEPEST or not (word in TYPES or word.lower() in _ALIASES):
            raise self._refusal()
        self._at += 1
        if self.takes("("):
            while not self.takes(")"):
                self._argument(depth + 1)
                if not self.takes(",") and self._peek() != ("sign", ")"):
                    raise self._refusal()

    def _argument(self, depth: int) -> None:
        kind, _ = self._peek()
        if kind in {"number", "text"}:
            self._at += 1
            if self.takes("=") and self._peek()[0] == "number":
                self._at += 1
            return
        if kind == "quoted" or (kind == "word" and self._peek(1)[0] == "word"):
            self.name()
        self.type(depth)

    def end(self) -> None:
        """Refuses further tokens."""
        if self._at < len(self._tokens):
            raise self._refusal()
