"""What the engine has, in its own lists: names of functions, tables, settings, formats and types, read when the tests run."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from pointline.sql.guard.rules import Rules, rules_from

_QUERIES = {
    "functions": "SELECT name, is_aggregate, case_insensitive, alias_to, categories, higher_order FROM system.functions ORDER BY name",
    "combinators": "SELECT name FROM system.aggregate_function_combinators WHERE NOT is_internal ORDER BY name",
    "table_functions": "SELECT name FROM system.table_functions ORDER BY name",
    "table_engines": "SELECT name FROM system.table_engines ORDER BY name",
    "tables": "SELECT database, name FROM system.tables ORDER BY ALL",
    "settings": "SELECT name, type FROM system.settings ORDER BY name",
    "formats": "SELECT name FROM system.formats ORDER BY name",
    "types": "SELECT name FROM system.data_type_families ORDER BY name",
    "keywords": "SELECT keyword FROM system.keywords ORDER BY keyword",
}
_PROGRAM = """
import json, sys, chdb
print(json.dumps({name: json.loads(chdb.query(text, "JSONCompact").bytes())["data"] for name, text in json.loads(sys.argv[1]).items()}))
"""


@dataclass(frozen=True)
class Engine:
    """The engine's lists.

    Attributes:
        functions: every function.
        own: those that are no other name of one.
        refused: those that the guard does not allow.
        higher_order: functions that take functions.
        aggregates, combinators, table_functions, table_engines, formats, types, keywords: names.
        tables: database and name of the tables of the engine's own databases.
        settings: name and type.
    """

    functions: list[str]
    own: list[str]
    refused: list[str]
    higher_order: list[str]
    aggregates: list[str]
    combinators: list[str]
    table_functions: list[str]
    table_engines: list[str]
    tables: list[tuple[str, str]]
    settings: list[tuple[str, str]]
    formats: list[str]
    types: list[str]
    keywords: list[str]


def read_lists() -> Engine:
    """Asks an engine of its own, in another process and with all rights."""
    done = subprocess.run([sys.executable, "-c", _PROGRAM, json.dumps(_QUERIES)], capture_output=True, text=True, check=True)
    rows: dict[str, list[list[Any]]] = json.loads(done.stdout)
    first = {name: [row[0] for row in listed] for name, listed in rows.items()}
    rules = _rules(rows["functions"], first["combinators"])
    return Engine(
        functions=first["functions"],
        own=[row[0] for row in rows["functions"] if not row[3]],
        refused=[name for name in first["functions"] if not rules.allows_function(name)],
        higher_order=[row[0] for row in rows["functions"] if row[5]],
        aggregates=[row[0] for row in rows["functions"] if row[1]],
        tables=[(database, name) for database, name in rows["tables"]],
        settings=[(name, kind) for name, kind in rows["settings"]],
        **{name: first[name] for name in ("combinators", "table_functions", "table_engines", "formats", "types", "keywords")},
    )


def _rules(functions: list[list[Any]], combinators: list[str]) -> Rules:
    return rules_from([row[:5] for row in functions], combinators, system_tables={}, views=(), time_columns={})
