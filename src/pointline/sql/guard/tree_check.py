"""The check of a statement's tree: one statement that reads, made of parts that are known to be harmless.

The engine parses the statement itself (`parseQueryToJSON`), and `check` walks that tree. It refuses every kind of node, function (called or
named), table function, table, type, format and setting that is not on a list of allowed ones, and what it cannot resolve. Then decimals
are made safe (`pointline.sql.guard.decimals`). What runs is the text that the engine writes from the checked tree, so nothing outside it
can run. Two further barriers do not depend on this check: the engine's own rights (`SELECT ON api.*`, read only) and, in the server, the
sandbox of its workers.
"""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pointline.sql.guard.allow_lists import EXPLAIN_KINDS, NODES, TABLE_FUNCTIONS, TYPE_ARGUMENTS, USER_FUNCTIONS
from pointline.sql.guard.bounded_reads import PREVIEW_ROWS, reads_little
from pointline.sql.guard.codes import RefusedError
from pointline.sql.guard.decimals import protect
from pointline.sql.guard.formats import FORMATS
from pointline.sql.guard.reads import Read, reads_of
from pointline.sql.guard.rules import Rules, shown
from pointline.sql.guard.trees import Tree, arguments_of, is_membership, selects_of, text, walk
from pointline.sql.guard.type_text import check_columns, check_type

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pointline.sql.guard.parser import Analysis, Parser

DATABASE = "api"

_AGGREGATE_BY_TEXT = frozenset({"arrayReduce", "arrayReduceInRanges", "initializeAggregation"})
_AGGREGATE = re.compile(r"\s*(\w+)\s*(?:\([^()]*\)\s*)?", re.ASCII)  # without a bracket in the brackets nothing can be called
_CANDLES = "ohlcv"
_WITH_COLUMNS = frozenset({"values", "SQLStandardValues"})
_NAME = re.compile(r"[A-Za-z_]\w*")
_FOREIGN_DATABASES = frozenset({"system", "information_schema", "default", "lake"})


@dataclass(frozen=True)
class Statement:
    """A checked statement.

    Attributes:
        text: canonical text without FORMAT and SETTINGS.
        output_format: of its FORMAT clause.
        settings: of its SETTINGS clause, checked.
        relations: names in `api` that it reads, in order of appearance.
        notes: sentences for the user, about what was changed.
        candle_minutes: lengths of the candles that it reads.
        literals: its texts, those of parameters too.
        reads: what of `api` has to be there when it runs.
    """

    text: str
    output_format: str | None
    settings: dict[str, str]
    relations: tuple[str, ...]
    notes: tuple[str, ...] = ()
    candle_minutes: tuple[int, ...] = ()
    literals: tuple[str, ...] = ()
    reads: tuple[Read, ...] = ()


def check(
    text: str,
    *,
    parser: Parser,
    rules: Rules,
    parameters: Mapping[str, str],
    analyser: Analysis | None = None,
    user: str = "default",
    whole: bool = False,
) -> Statement:
    """Checks whether a statement may run, and rewrites it.

    Args:
        text: as the client sent it.
        parser: the engine's.
        rules: what is allowed.
        parameters: values of the statement's `{name:Type}`; those of type Identifier are put in, so that they are looked at too.
        analyser: gives the types that are needed to make decimals safe; without one decimals stay as they are.
        user: what `currentUser()` gives.
        whole: large relations need no limit in time, because they are only described.

    Raises:
        RefusedError: it may not, with the reason and what to do instead.
    """
    try:
        canonical, text_of_tree = parser.read(text)
    except RefusedError as refusal:
        if _NO_TREE not in refusal.what.replace("\n", " "):
            raise
        return _described(parser.canonical(text), parser=parser, rules=rules, parameters=parameters, analyser=analyser, user=user)
    checks = _TreeCheck(rules, parameters, whole=whole, user=user)
    notes: list[str] = []
    try:
        tree = json.loads(text_of_tree, parse_int=_number, object_hook=_exact)
        before = json.dumps(tree)
        checks.statement(tree)
        output_format, settings = checks.take_clauses(tree)
        reads = reads_of(tree, parameters)
        query = tree.get("query", tree) if tree.get("type") == "ExplainQuery" else tree
        if analyser is not None and selects_of(query):
            notes = protect(query, analyser.under(settings), rules.combinators, rules.spellings)
        after = json.dumps(tree)
    except RecursionError:
        raise RefusedError("TOO_DEEP_AST", "the statement is nested too deeply") from None
    again, written = parser.write(before, after) if after != before else parser.write(before) * 2
    if _bare(again) != _bare(canonical):
        raise RefusedError("NOT_IMPLEMENTED", "the statement has a part that cannot be checked; please write it in another way")
    return Statement(
        written,
        output_format,
        settings,
        tuple(dict.fromkeys(checks.relations)),
        tuple(notes),
        candle_minutes=tuple(dict.fromkeys(checks.candle_minutes)),
        literals=(*dict.fromkeys(checks.literals), *parameters.values()),
        reads=reads,
    )


_QUOTED_OR_BRACKET = re.compile(r"""('(?:[^'\\]|\\.|'')*'|`(?:[^`\\]|\\.)*`|"(?:[^"\\]|\\.)*")|[()\s]""", re.DOTALL)


def _bare(text: str) -> str:
    """The text without brackets and spaces outside quotes: a tree has no redundant ones, and what runs is written from the tree."""
    return _QUOTED_OR_BRACKET.sub(lambda found: found[1] or "", text)


def _number(text: str) -> float:
    return -0.0 if text == "-0" else int(text)


def _exact(node: Tree) -> Tree:
    """A node with its floating point literal as such: the engine writes 1e20 as an integer that it cannot read."""
    if node.get("field_type") == "Float64" and isinstance(node.get("value"), int):
        node["value"] = float(node["value"])
    return node


_NO_TREE = "supported by parseQueryToJSON"
_DESCRIBE = "DESCRIBE TABLE "
_EXISTS = re.compile(
    rf"EXISTS (?:(?P<kind>TABLE|VIEW|DATABASE) )?(?:`?{DATABASE}`?\.)?(?P<name>\w+|`\w+`)(?P<format> FORMAT \w+)?", re.ASCII
)
_SELECT_ALL = "SELECT * FROM "


def _described(canonical: str, *, parser: Parser, **given: Any) -> Statement:  # noqa: ANN401 - arguments of `check`
    """DESCRIBE, which has no tree, is checked as the SELECT from what it describes; EXISTS as a SELECT from the list of tables."""
    if (asked := _EXISTS.fullmatch(canonical)) is not None:
        listed = "databases" if asked["kind"] == "DATABASE" else "tables"
        name, clause = asked["name"].strip("`"), asked["format"] or ""
        return check(f"SELECT toUInt8(count() > 0) AS result FROM system.{listed} WHERE name = '{name}'{clause}", parser=parser, **given)
    if not canonical.startswith(_DESCRIBE):
        raise _not_a_reading("this statement")
    inner = check(_SELECT_ALL + canonical.removeprefix(_DESCRIBE), parser=parser, whole=True, **given)
    if not inner.text.startswith(_SELECT_ALL):
        raise _not_a_reading("this DESCRIBE")
    return replace(inner, text=_DESCRIBE + inner.text.removeprefix(_SELECT_ALL), reads=())


def _not_a_reading(what: str) -> RefusedError:
    return RefusedError(
        "ACCESS_DENIED", f"{what} is not allowed: this server only reads (SELECT, DESCRIBE, EXISTS, SHOW TABLES, SHOW DATABASES, EXPLAIN)"
    )


_SHOW_KEYS = frozenset({"type", "databases", "full", "like", "not_like", "case_insensitive_like", "from", "limit_length"})
_CLAUSES = frozenset({"format_ast", "settings_ast", "is_outfile_append", "is_outfile_truncate", "is_into_outfile_with_stdout"})


class _TreeCheck:
    """One walk over a tree: refuses, collects what is read, and replaces system tables and identifier parameters."""

    def __init__(self, rules: Rules, parameters: Mapping[str, str], *, whole: bool, user: str) -> None:
        self.relations: list[str] = []
        self.candle_minutes: list[int] = []
        self.literals: list[str] = []
        self._user = user
        self._rules = rules
        self._parameters = parameters
        self._selects: list[Tree] = []
        self._aliases: list[dict[str, str]] = []
        self._whole = whole
        self._named: frozenset[str] = frozenset()

    def statement(self, tree: Tree) -> None:
        """Checks the whole statement."""
        self._named = frozenset(str(node.get("name")) for node in walk(tree) if node.get("type") == "WithElement")
        kind = tree.get("type")
        if "out_file" in tree:
            raise RefusedError("ACCESS_DENIED", "INTO OUTFILE is not allowed: the answer is the result")
        if kind == "ShowTablesQuery":
            self._show(tree)
        elif kind == "ExplainQuery":
            self._explain(tree)
        elif kind in {"SelectWithUnionQuery", "SelectIntersectExceptQuery"}:
            self._top(tree)
        else:
            raise _not_a_reading(_words(str(kind)))

    def take_clauses(self, tree: Tree) -> tuple[str | None, dict[str, str]]:
        """Removes FORMAT and SETTINGS from the statement."""
        settings: dict[str, str] = {}
        name = None
        inner = tree.get("query") if tree.get("type") == "ExplainQuery" else None
        for top in (tree, *([inner] if inner else [])):
            clause = top.pop("format_ast", None)
            name = name or (clause["name"] if clause else None)
            settings |= _changes(top.pop("settings_ast", None))
            for select in _only_select(top):
                settings |= _changes(select.pop("settings", None))
        if name is not None and name not in FORMATS:
            raise RefusedError("UNKNOWN_FORMAT", f"the format {name} is not served; what is: {', '.join(sorted(FORMATS))}")
        return name, settings

    def _top(self, tree: Tree) -> None:
        """Checks a query without its FORMAT and SETTINGS, which are removed later."""
        ours = {name: value for name, value in tree.items() if name not in _CLAUSES}
        held = [(select, select.pop("settings")) for select in _only_select(tree) if "settings" in select]
        self._visit(ours)
        for select, clause in held:
            select["settings"] = clause

    def _show(self, tree: Tree) -> None:
        if unknown := set(tree) - _SHOW_KEYS - _CLAUSES:
            raise RefusedError(
                "ACCESS_DENIED", f"SHOW TABLES and SHOW DATABASES are the only SHOW that is allowed, not {', '.join(sorted(unknown))}"
            )
        database = tree.get("from", {"name": DATABASE})
        if database.get("name") != DATABASE or "children" in database:
            raise RefusedError("ACCESS_DENIED", f"only the tables of {DATABASE} can be shown")
        self._visit(tree.get("limit_length", []))
        tree["from"] = {"type": "Identifier", "name": DATABASE}
        if tree.get("databases"):
            del tree["from"]

    def _explain(self, tree: Tree) -> None:
        query = tree.get("query")
        if (
            tree.get("kind") not in EXPLAIN_KINDS
            or "settings" in tree
            or not isinstance(query, dict)
            or set(tree) - _CLAUSES - {"type", "kind", "query"}
        ):
            raise RefusedError(
                "ACCESS_DENIED", f"this EXPLAIN is not allowed; what is: {', '.join(sorted(EXPLAIN_KINDS))}, without options"
            )
        self._top(query)

    def _visit(self, node: Any) -> None:  # noqa: ANN401 - any JSON
        if isinstance(node, list):
            for item in node:
                self._visit(item)
        elif isinstance(node, dict):
            kind = node.get("type")
            if kind == "Literal":
                self.literals += _texts(node.get("value"))
                return
            if kind not in NODES:
                raise RefusedError("ACCESS_DENIED", f"{_words(str(kind))} is not allowed in a query here")
            special = getattr(self, f"_visit_{kind}", None)
            if special is None:
                self._inside(node)
            else:
                special(node)

    def _inside(self, node: Tree, *, without: tuple[str, ...] = ()) -> None:
        for name, value in node.items():
            if isinstance(value, dict | list) and name not in without:
                self._visit(value)

    def _visit_SelectWithUnionQuery(self, node: Tree) -> None:  # noqa: N802 - the engine's name
        if "out_file" in node or "format_ast" in node or "settings_ast" in node:
            raise RefusedError("ACCESS_DENIED", "FORMAT, SETTINGS and INTO OUTFILE are not allowed inside a query")
        self._inside(node, without=("list_of_modes",))

    def _visit_SelectQuery(self, node: Tree) -> None:  # noqa: N802
        if "settings" in node:
            raise RefusedError("READONLY", "SETTINGS is allowed at the end of the whole statement only")
        self._selects.append(node)
        self._aliases.append(_aliases_of_system(node))
        self._inside(node)
        self._aliases.pop()
        self._selects.pop()

    def _visit_Function(self, node: Tree) -> None:  # noqa: N802
        name = str(node.get("name"))
        self._rules.check_function(name)
        if name in _AGGREGATE_BY_TEXT:
            self._check_aggregate_text(name, node)
        if name in TYPE_ARGUMENTS:
            self._type_argument(name, arguments_of(node))
        if is_membership(name):
            for argument in arguments_of(node)[1:]:
                if argument.get("type") == "Identifier":
                    self._identifier_as_table(argument)
        self._inside(node)
        if name in USER_FUNCTIONS:
            alias = node.get("alias")
            node.clear()
            node |= text(self._user) | ({} if alias is None else {"alias": alias})

    def _type_argument(self, name: str, arguments: list[Tree]) -> None:
        place = TYPE_ARGUMENTS[name]
        if not arguments or place >= len(arguments):
            return  # the engine's own error names what is missing
        check_type(self._plain_text(arguments[place], f"{name} takes its type as plain text here, such as 'Decimal(38, 2)'"))

    def _plain_text(self, node: Tree, otherwise: str) -> str:
        """The text of a string, or of a parameter that is one."""
        if node.get("type") == "QueryParameter" and node.get("param_type") == "String":
            return self._parameters.get(str(node.get("name")), "")
        found = node.get("value", {}) if node.get("type") == "Literal" else {}
        if found.get("field_type") != "String":
            raise RefusedError("ACCESS_DENIED", otherwise)
        return str(found["value"])

    def _visit_QueryParameter(self, node: Tree) -> None:  # noqa: N802
        check_type(str(node.get("param_type")))

    def _visit_ColumnsApplyTransformer(self, node: Tree) -> None:  # noqa: N802
        name = node.get("func_name")
        if name:
            self._rules.check_function(str(name))
        if name in _AGGREGATE_BY_TEXT:
            raise RefusedError("ACCESS_DENIED", f"{name} cannot be applied to columns here")
        self._inside(node)

    def _check_aggregate_text(self, name: str, node: Tree) -> None:
        """Checks the aggregate function that a string names; the engine would run constant expressions in its parameters."""
        first: Tree = next(iter(node.get("arguments", {}).get("children", [])), {})
        spec = first.get("value", {}).get("value") if first.get("type") == "Literal" else None
        found = _AGGREGATE.fullmatch(spec) if isinstance(spec, str) else None
        if found is None:
            raise RefusedError("ACCESS_DENIED", f"{name} takes an aggregate function as plain text here, such as 'sum' or 'quantile(0.9)'")
        self._rules.check_function(found[1])

    def _visit_Identifier(self, node: Tree) -> None:  # noqa: N802
        self._fill_in(node)
        parts = [str(part) for part in node.get("name_parts", [node.get("name")])]
        if len(parts) == 1:
            self._rules.check_name(parts[0])
        elif parts[0] == "system" and parts[1] in self._rules.system_tables:
            called = [self._called(parts[1]), *parts[2:]]
            node["name"], node["name_parts"] = ".".join(called), called

    def _called(self, name: str) -> str:
        """The alias under which a table of `system` is read, or its name."""
        return next((aliases[name] for aliases in reversed(self._aliases) if name in aliases), name)

    def _visit_TableExpression(self, node: Tree) -> None:  # noqa: N802
        table, function = node.get("database_and_table_name"), node.get("table_function")
        self._inside(node, without=("database_and_table_name", "table_function"))
        if table is not None:
            self._fill_in(table)
            self._table(node, table)
        if function is not None:
            self._table_function(function)

    def _table(self, expression: Tree, table: Tree) -> None:
        database, name = _split(table)
        if database == "system" and name in self._rules.system_tables:
            replacement = copy.deepcopy(self._rules.system_tables[name])
            replacement["alias"] = table.get("alias", name)
            del expression["database_and_table_name"]
            expression["subquery"] = replacement
            return
        if database not in {None, DATABASE}:
            raise _foreign(database, name, self._rules)
        if database is not None or name not in self._named:
            self._note(name)

    def _identifier_as_table(self, node: Tree) -> None:
        """Checks an identifier to the right of IN, which may be a table."""
        self._fill_in(node)
        parts = node.get("name_parts", [node.get("name")])
        if len(parts) > 1 and str(parts[0]).lower() in _FOREIGN_DATABASES:
            raise _foreign(str(parts[0]), str(parts[-1]), self._rules)
        if parts[0] == DATABASE or len(parts) == 1:
            self._note(str(parts[-1]), certain=parts[0] == DATABASE)

    def _table_function(self, node: Tree) -> None:
        name = str(node.get("name"))
        database, dot, view = name.rpartition(".")
        if dot and database == DATABASE and _NAME.fullmatch(view):
            self._note(view)
        elif not dot and name not in TABLE_FUNCTIONS and _NAME.fullmatch(name) and name in self._rules.views:
            self._note(name)
        elif dot or name not in TABLE_FUNCTIONS:
            allowed = ", ".join(sorted(TABLE_FUNCTIONS))
            raise RefusedError("ACCESS_DENIED", f"the table function {shown(name)} is not allowed; what is: views of {DATABASE}, {allowed}")
        if name in _WITH_COLUMNS:
            self._structure(name, arguments_of(node))
        if _CANDLES in {view, name}:
            self.candle_minutes += self._lengths(arguments_of(node))
        self._inside(node)

    def _lengths(self, arguments: list[Tree]) -> Iterator[int]:
        """Whole numbers that parameters of a view are set to."""
        for argument in arguments:
            value = next(iter(arguments_of(argument)[1:]), {})
            if value.get("type") == "QueryParameter":
                given = self._parameters.get(str(value.get("name")), "")
            elif value.get("type") == "Function" and str(value.get("name")).startswith("toInterval"):  # taken for its number
                raise RefusedError("BAD_QUERY_PARAMETER", f"{_CANDLES} takes a length in minutes, such as 1440, and no INTERVAL")
            else:
                given = str(value.get("value", {}).get("value", ""))
            if given.isdecimal() and len(given) < 10:  # noqa: PLR2004 - minutes, not a number of any size
                yield int(given)

    def _structure(self, name: str, arguments: list[Tree]) -> None:
        """Checks the text that `values` may begin with, which names its columns; the engine would run expressions in it."""
        first = arguments[0] if arguments else {}
        if first.get("type") == "Function" and first.get("name") == "tuple":
            return
        is_text = first.get("type") == "QueryParameter" or first.get("value", {}).get("field_type") == "String"
        if first.get("type") == "Literal" and not is_text:
            return
        said = f"{name}() begins with a literal here: its columns as plain text, such as 'a Int8, b String', or a row"
        columns = self._plain_text(first, said)
        if len(arguments) > 1:
            check_columns(columns)

    def _note(self, name: str, *, certain: bool = True) -> None:
        columns = self._rules.time_columns.get(name)
        if columns is not None and not self._whole and not reads_little(self._selects, columns):
            times, one = " or ".join(sorted(columns)), max(columns)
            raise RefusedError(
                "TOO_MANY_ROWS",
                f"{DATABASE}.{name} holds too much to be read whole: say when, "
                f"for example WHERE {one} >= '2024-12-01' AND {one} < '2024-12-02' (a condition on {times}); "
                f"a plain SELECT ... LIMIT {PREVIEW_ROWS} and SELECT max({one}) need none",
            )
        if certain:
            self.relations.append(name)

    def _fill_in(self, node: Tree) -> None:
        """Puts the values of identifier parameters in their place."""
        holes = [child for child in node.get("children", []) if child.get("type") == "QueryParameter"]
        if not holes:
            return
        values = iter([self._identifier(hole) for hole in holes])
        parts = [part or next(values) for part in node.get("name_parts", [""])]
        if any(True for _ in values) or len(holes) != len(node["children"]):
            raise RefusedError("BAD_QUERY_PARAMETER", "identifier parameters stand where they cannot be put in")
        node["name"], node["name_parts"] = ".".join(parts), parts
        if len(parts) == 1:
            del node["name_parts"]
        del node["children"]

    def _identifier(self, hole: Tree) -> str:
        name = str(hole.get("name"))
        value = self._parameters.get(name)
        if hole.get("param_type") != "Identifier" or value is None or _NAME.fullmatch(value) is None:
            raise RefusedError("BAD_QUERY_PARAMETER", f"the parameter {shown(name)} names a table or column: letters, digits and _ only")
        return value


def _aliases_of_system(select: Tree) -> dict[str, str]:
    """Tables of `system` that a SELECT reads -> their aliases."""
    tables = [
        element.get("table_expression", {}).get("database_and_table_name", {}) for element in select.get("tables", {}).get("children", [])
    ]
    parts = [(table, table.get("name_parts", [])) for table in tables]
    return {str(names[1]): str(table.get("alias", names[1])) for table, names in parts if len(names) > 1 and names[0] == "system"}


def _texts(value: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON
    """The strings of a literal, also those in tuples and arrays."""
    inner = value.get("value") if isinstance(value, dict) else None
    if isinstance(inner, list):
        for item in inner:
            yield from _texts(item)
    elif isinstance(inner, str) and value.get("field_type") == "String":
        yield inner


def _split(table: Tree) -> tuple[str | None, str]:
    parts = [str(part) for part in table.get("name_parts", [table.get("name")])]
    if len(parts) > 2:  # noqa: PLR2004 - database and name
        raise RefusedError("UNKNOWN_TABLE", f"there is no table {shown('.'.join(parts))}")
    return (parts[0] if len(parts) > 1 else None), parts[-1]


def _foreign(database: str | None, name: str, rules: Rules) -> RefusedError:
    if database == "system":
        served = ", ".join(sorted(rules.system_tables))
        return RefusedError("ACCESS_DENIED", f"the table system.{shown(name)[1:-1]} is not served; of system there are: {served}")
    return RefusedError(
        "ACCESS_DENIED", f"the database {shown(str(database))} is not served; tables are in {DATABASE}, SHOW TABLES lists them"
    )


def _changes(clause: Tree | None) -> dict[str, str]:
    if clause is None:
        return {}
    if set(clause) - {"type", "changes", "is_standalone"}:
        raise RefusedError("READONLY", "SETTINGS takes names and values only")
    return {str(change["name"]): str(change["value"].get("value", "")) for change in clause.get("changes", [])}


def _only_select(tree: Tree) -> list[Tree]:
    """The statement's SELECT where it has just one."""
    children = tree.get("list_of_selects", {}).get("children", []) if isinstance(tree.get("list_of_selects"), dict) else []
    return children if len(children) == 1 and children[0].get("type") == "SelectQuery" else []


def _words(kind: str) -> str:
    return " ".join(re.findall(r"[A-Z][a-z]+", kind.removesuffix("Query"))).upper() or "this statement"
