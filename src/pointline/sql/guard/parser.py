"""The engine's parser and analyser, as the guard uses them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pointline.sql.guard.codes import from_engine
from pointline.sql.guard.settings import MEANING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


# The limits are for clients' queries. A tree has some fifty times the bytes of its text, whose size the server limits itself.
_LARGE = "&max_query_size=100000000" + "".join(
    f"&{name}=0" for name in ("max_result_rows", "max_result_bytes", "max_rows_to_read", "max_execution_time", "max_memory_usage")
)


class Parser:
    """The engine's parser: texts and trees of statements.

    Args:
        opening: opens a session at an address.
        address: of the catalogue.
    """

    def __init__(self, opening: Callable[[str], Any], address: str) -> None:
        self._opening = opening
        self._address = address
        self._session = opening(f"{address}{_LARGE}")

    def read(self, text: str) -> tuple[str, str]:
        """A statement's canonical text and its tree."""
        query = "SELECT formatQuerySingleLine({q:String}), parseQueryToJSON({q:String})"
        ((canonical, tree),) = self.rows(query, q=text)
        return canonical, tree

    def canonical(self, text: str) -> str:
        """A statement's canonical text."""
        return str(self.rows("SELECT formatQuerySingleLine({q:String})", q=text)[0][0])

    def write(self, *trees: str) -> list[str]:
        """Canonical texts of trees."""
        names = [f"t{n}" for n in range(len(trees))]
        query = "SELECT " + ", ".join(f"formatQueryFromJSON({{{name}:String}})" for name in names)
        return list(self.rows(query, **dict(zip(names, trees, strict=True)))[0])

    def close(self) -> None:
        """Closes its session; the engine ends with the last one."""
        self._session.close()

    def rows(self, query: str, **parameters: str) -> list[list[Any]]:
        """Rows of a query of the server's own."""
        try:
            result = self._session.query(query, "JSONCompact", params={name: escaped(value) for name, value in parameters.items()})
        except RuntimeError as error:
            self._session.close()  # a session that met an error may hand leftovers of it to the next result
            self._session = self._opening(f"{self._address}{_LARGE}")
            raise from_engine(str(error)) from None
        return json.loads(result.bytes())["data"]  # type: ignore[no-any-return]

    def described(self, query: str, parameters: Mapping[str, str], settings: Mapping[str, str]) -> bytes:
        """The answer, in JSONCompact, to a query about a client's statement, within the client's limits."""
        given = "".join(f"&{name}={quote(value, safe='')}" for name, value in settings.items())
        try:
            session = self._opening(self._address + given)
            try:
                return bytes(session.query(query, "JSONCompact", params=dict(parameters)).bytes())
            finally:
                session.close()
        except RuntimeError as error:
            raise from_engine(str(error)) from None


@dataclass(frozen=True)
class Analysis:
    """The engine's analysis of one client's statement, which does not run.

    Attributes:
        parser: asks.
        parameters: values of the statement's `{name:Type}`.
        settings: the client's limits.
    """

    parser: Parser
    parameters: Mapping[str, str]
    settings: Mapping[str, str]

    def under(self, settings: Mapping[str, str]) -> Analysis:
        """The same for a statement that has these settings too; those count that change what a name means or of which type a value is."""
        return replace(self, settings={**self.settings, **{name: value for name, value in settings.items() if name in MEANING}})

    def explain(self, statement: str) -> str:
        """What ``EXPLAIN QUERY TREE`` prints after the first pass."""
        query = f"EXPLAIN QUERY TREE run_passes = 1, passes = 1 {statement}"
        found = json.loads(self.parser.described(query, self.parameters, self.settings))
        return "\n".join(row[0] for row in found["data"])

    def column_names(self, statement: str) -> list[str]:
        """Names of the result's columns."""
        return [name for name, _ in self.columns(statement)]

    def columns(self, statement: str) -> list[tuple[str, str]]:
        """Names and types of the result's columns."""
        found = json.loads(self.parser.described(f"DESCRIBE TABLE ({statement})", self.parameters, self.settings))
        return [(row[0], row[1]) for row in found["data"]]

    def write(self, *trees: str) -> list[str]:
        """Canonical texts of trees."""
        return self.parser.write(*trees)


def escaped(text: str) -> str:
    """A value as the engine reads parameters."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")
