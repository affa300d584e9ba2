"""Checks of statements for one engine, with a cache of those that may run."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pointline.sql.guard.allow_lists import READ_BY_THE_SERVER, SYSTEM_TABLES
from pointline.sql.guard.codes import RefusedError
from pointline.sql.guard.parser import Analysis, Parser
from pointline.sql.guard.rules import Rules, rules_from
from pointline.sql.guard.settings import ACCEPTED, MEANING
from pointline.sql.guard.tree_check import DATABASE, Statement, check

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pointline.sql.coarse_candles import CoarseCandles

_KEPT_STATEMENTS = 512
_KEPT_TEXT = 20_000
_DIGITS = 38
_DECIMAL = re.compile(r"Decimal\((\d+),")


class StatementChecker:
    """Checks statements of one engine.

    Args:
        opening: opens a session of the engine at an address.
        address: of its catalogue.
        time_columns: relation of `api` that is too large to be read whole -> its columns of time.
        coarse: the days with longer candles only.
    """

    def __init__(
        self, opening: Callable[[str], Any], address: str, time_columns: Mapping[str, Sequence[str]], coarse: CoarseCandles
    ) -> None:
        self._coarse = coarse
        self._parser = Parser(opening, address)
        self._rules = _rules(self._parser, {name: frozenset(columns) for name, columns in time_columns.items()})
        self._checked: dict[tuple[str, str], Statement] = {}

    @property
    def version(self) -> str:
        """The engine's version."""
        return str(self._parser.rows("SELECT version()")[0][0])

    def close(self) -> None:
        """Closes its session of the engine."""
        self._parser.close()

    def check(self, text: str, parameters: Mapping[str, str], *, settings: Mapping[str, str], user: str = "default") -> Statement:
        """The statement as it may run; one that was checked before comes from the cache.

        Args:
            text: as it was sent.
            parameters: values of its `{name:Type}`, as the engine reads them.
            settings: limits for what has to be computed to check it.
            user: what `currentUser()` gives.

        Raises:
            RefusedError: it may not run.
        """
        meaning = {name: value for name, value in settings.items() if name in MEANING}
        key = (text, json.dumps([dict(parameters), user, meaning], sort_keys=True))
        found = self._checked.get(key)
        if found is None:
            analysis = Analysis(self._parser, parameters, settings)
            found = check(text, parser=self._parser, rules=self._rules, parameters=parameters, analyser=analysis, user=user)
            left_out = [note for minutes in found.candle_minutes for note in self._coarse.sentences(minutes, found.literals)]
            found = replace(found, notes=(*found.notes, *left_out))
            if len(self._checked) >= _KEPT_STATEMENTS:
                self._checked.clear()
            if len(key[0]) + len(key[1]) <= _KEPT_TEXT:
                self._checked[key] = found
        return found

    def check_orc(self, text: str, parameters: Mapping[str, str], *, settings: Mapping[str, str]) -> None:
        """Refuses a checked statement for the format ORC, into which the engine writes wide decimals as bytes that no reader decodes.

        Raises:
            RefusedError: a column of its result has more than 38 digits.
        """
        if not text.startswith(("SELECT", "WITH", "(")):
            return
        columns = Analysis(self._parser, parameters, settings).columns(text)
        wide = [name for name, kind in columns if any(int(digits) > _DIGITS for digits in _DECIMAL.findall(kind))]
        if wide:
            raise RefusedError(
                "NOT_IMPLEMENTED",
                f"ORC has no decimals of more than {_DIGITS} digits, as {', '.join(wide[:5])} {'is' if len(wide) == 1 else 'are'}: "
                "take FORMAT Parquet, or write toFloat64(...) or toDecimal128(..., places)",
            )


def _rules(parser: Parser, time_columns: Mapping[str, frozenset[str]]) -> Rules:
    functions = parser.rows(
        "SELECT name, is_aggregate, case_insensitive, alias_to, categories FROM system.functions WHERE origin = 'System'"
    )
    combinators = [row[0] for row in parser.rows("SELECT name FROM system.aggregate_function_combinators WHERE NOT is_internal")]
    views = [row[0] for row in parser.rows("SELECT name FROM system.tables WHERE database = {d:String}", d=DATABASE)]
    accepted = ", ".join(f"'{name}'" for name in (*ACCEPTED, *READ_BY_THE_SERVER))
    system_tables = {name: _subquery(parser, text.replace("{accepted}", accepted)) for name, text in SYSTEM_TABLES.items()}
    return rules_from(functions, combinators, system_tables=system_tables, views=views, time_columns=time_columns)


def _subquery(parser: Parser, text: str) -> dict[str, Any]:
    tree = json.loads(parser.read(f"SELECT * FROM ({text})")[1])
    element = tree["list_of_selects"]["children"][0]["tables"]["children"][0]
    found: dict[str, Any] = element["table_expression"]["subquery"]
    return found
