"""The shape of the code: which way imports run, how long things are, what a plain import costs, what may be in the repository."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "pointline"

# The rooms, which are the modules and packages directly under pointline, and the rooms that each may import; ground values are open to
# all. Data flows one way: a new room is given its place here before its first import.
GROUND = frozenset(
    {
        "errors",
        "version",
        "clock",
        "datetimes",
        "progress",
        "schema",
        "costs",
        "kernels",
        "venues",
        "instruments",
        "simulate",
        "spreadsheets",
    }
)
_BARS = frozenset({"lake", "bars"})
_STATE = _BARS | {"state"}
_FEATURES = _STATE | {"features"}
_BELOW_THE_FACE = _FEATURES | {
    *(
        "sources",
        "download",
        "ingest",
        "research",
        "curves",
        "evaluation",
        "trading",
        "report",
        "sql",
        "server",
        "export",
        "studies",
        "updates",
        "scale",
    ),
}
FACES = frozenset({"", "__main__", "cli", "demo"})
ROOMS: dict[str, frozenset[str]] = {
    **dict.fromkeys(GROUND, frozenset()),
    "lake": frozenset(),
    "sources": frozenset(),
    "download": frozenset({"sources"}),
    "ingest": frozenset({"sources", "lake"}),
    "bars": frozenset({"lake"}),
    "state": _BARS,
    "research": _STATE,
    "features": _STATE,
    "curves": _FEATURES,
    "evaluation": _FEATURES,
    "trading": _FEATURES | {"evaluation"},
    "sql": frozenset({"lake"}),
    "export": frozenset({"lake", "sql"}),
    "server": frozenset({"lake", "sql"}),
    "report": _FEATURES | {"download", "ingest", "export"},
    "studies": _FEATURES | {"curves", "evaluation", "trading", "report", "research"},
    "updates": frozenset({"sources", "download", "ingest", "lake"}),
    "scale": _FEATURES | {"sources", "download", "ingest", "evaluation", "report", "research", "studies"},
    # the faces of the whole: they put the rooms together; "" is pointline/__init__.py
    **dict.fromkeys(FACES, _BELOW_THE_FACE | FACES),
}

MAX_MODULE_LINES = 600
MAX_FUNCTION_LINES = 50  # of its body; parameters and docstring, which tell the reader what it takes and gives, are not counted
LONGER_BY_AGREEMENT: dict[str, int] = {}  # "pointline.module" or "pointline.module.function" -> its own limit, with the reason

HEAVY = frozenset(
    {"chdb", "deltalake", "duckdb", "httpx", "numba", "plotly", "polars", "pyarrow", "pydantic", "scipy", "sklearn", "starlette"}
)
MAX_FILE_BYTES = 1_000_000


def module_name(path: Path) -> str:
    parts = ("pointline", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, ast.Module]:
    return {module_name(path): ast.parse(path.read_text(encoding="utf-8"), str(path)) for path in sorted(PACKAGE.rglob("*.py"))}


def imported(name: str, tree: ast.Module, *, is_package: bool, known: frozenset[str]) -> set[str]:
    """Full names of what a module imports, anywhere in it; ``from a import b`` is a.b where that is a module, else a."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = name.split(".")
                kept = parents[: len(parents) - node.level + is_package]
                base = ".".join([*kept, *([base] if base else [])])
            inner = {f"{base}.{alias.name}" for alias in node.names}
            found.update(inner & known)
            if inner - known:
                found.add(base)
    return found


@cache
def internal_imports() -> dict[str, frozenset[str]]:
    known = frozenset(modules())
    return {
        name: frozenset(
            target
            for target in imported(name, tree, is_package=is_package(name), known=known)
            if target == "pointline" or target.startswith("pointline.")
        )
        - {name}
        for name, tree in modules().items()
    }


def is_package(name: str) -> bool:
    return (PACKAGE.joinpath(*name.split(".")[1:]) / "__init__.py").is_file()


def room(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def may_import(name: str, target: str) -> bool:
    """Whether a module of this name may import the other."""
    own, other = room(name), room(target)
    return own == other or other in GROUND or other in ROOMS.get(own, frozenset())


def circle(graph: dict[str, frozenset[str]]) -> list[str]:
    """One circle of the graph as the way round it, or an empty list."""
    finished: set[str] = set()
    way: list[str] = []

    def walk(node: str) -> list[str]:
        if node in way:
            return [*way[way.index(node) :], node]
        if node in finished:
            return []
        way.append(node)
        found = next((found for target in sorted(graph.get(node, ())) if (found := walk(target))), [])
        way.pop()
        finished.add(node)
        return found

    return next((found for node in sorted(graph) if (found := walk(node))), [])


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = function.body[0]
    lines = (function.end_lineno or function.lineno) - first.lineno + 1
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def undocumented(tree: ast.Module, where: str) -> list[str]:
    """Public functions, classes and methods without a docstring."""
    found = []
    for node in tree.body:
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) or node.name.startswith("_"):
            continue
        overload = not isinstance(node, ast.ClassDef) and exempt(node)
        if ast.get_docstring(node) is None and not overload:
            found.append(f"{where}.{node.name}")
        if isinstance(node, ast.ClassDef):
            found += [
                f"{where}.{node.name}.{method.name}"
                for method in node.body
                if isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef))
                and not method.name.startswith("_")
                and not exempt(method)
                and ast.get_docstring(method) is None
            ]
    return found


def exempt(method: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether another definition speaks for it: a property's setter, an overload, an override."""
    last_names = {ast.unparse(decorator).rpartition(".")[2] for decorator in method.decorator_list}
    return bool(last_names & {"setter", "deleter", "overload", "override"})


def test_every_room_has_its_place() -> None:
    assert {room(name) for name in modules()} == set(ROOMS)


def test_no_import_runs_back_against_the_flow_of_data() -> None:
    backwards = [
        f"{name} imports {target}"
        for name, targets in internal_imports().items()
        for target in sorted(targets)
        if not may_import(name, target)
    ]
    assert backwards == []


def test_the_rooms_form_no_circle() -> None:
    assert circle({name: targets - {name} for name, targets in ROOMS.items() if name not in FACES}) == []


def test_imports_form_no_circle() -> None:
    assert circle(internal_imports()) == []


# Files of the user's own (results, mapped tables) and of a run (rows that wait) are not the lake's. The text of the exported views names
# the reader of another engine.
OPENS_OTHER_FILES = {
    "pointline.export.views",
    "pointline.ingest.spool",
    "pointline.report.files",
    "pointline.scale.files",
    "pointline.scale.parsing",
    "pointline.sources.table_files",
    "pointline.sql.arrow_output",
}
OPENERS = re.compile(r"\b(?:scan|read)_(?:parquet|delta|ipc|parquet_schema|parquet_metadata)\b|\bParquetFile\b|\bDeltaTable\(")


def test_only_the_lake_opens_its_files() -> None:
    texts = {module_name(path): path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}
    outside = {name: text for name, text in texts.items() if room(name) != "lake" and name not in OPENS_OTHER_FILES}
    assert {name: found for name, text in outside.items() if (found := OPENERS.findall(text))} == {}


def test_stored_amounts_are_decoded_in_one_place() -> None:
    texts = {module_name(path): path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}
    stored = re.compile(r"\w+_int\"?\]?\)? */|_int\"\)? */ ")
    assert {name: found for name, text in texts.items() if name != "pointline.lake.rows" and (found := stored.findall(text))} == {}


def test_modules_stay_short() -> None:
    lengths = {module_name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}
    assert {name: n for name, n in lengths.items() if n > LONGER_BY_AGREEMENT.get(name, MAX_MODULE_LINES)} == {}


def test_functions_stay_short() -> None:
    lengths = {
        f"{name}.{node.name}": code_lines(node)
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    assert {name: n for name, n in lengths.items() if n > LONGER_BY_AGREEMENT.get(name, MAX_FUNCTION_LINES)} == {}


# Twice outside of sql and server; the last of them go with the rooms that are still to be moved.
def test_a_class_name_stands_once() -> None:
    places: dict[str, list[str]] = {}
    for name, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name.lstrip("_"), []).append(name)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_public_names_are_documented() -> None:
    public = {name: tree for name, tree in modules().items() if not any(part.startswith("_") for part in name.split("."))}
    assert [missing for name, tree in public.items() for missing in undocumented(tree, name)] == []


# What a comparison needs of them is imported where it is used: machine code when the first trade is counted.
OFF_THE_WAY_TO_A_COMPARISON = (HEAVY - {"polars"}) | {"llvmlite", "typer", "rich", "difflib"}


@pytest.mark.parametrize(("code", "heavy"), [("", HEAVY), ("; pointline.compare; pointline.spreads", OFF_THE_WAY_TO_A_COMPARISON)])
def test_an_import_loads_nothing_heavy(code: str, heavy: frozenset[str]) -> None:
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", f"import pointline, sys{code}; print(*sys.modules)"],
        capture_output=True,
        check=True,
        cwd=ROOT,
        text=True,
    )
    loaded = {name.partition(".")[0] for name in run.stdout.split()}
    assert "pointline" in loaded
    assert loaded & heavy == set(), "\n".join(line for line in run.stderr.splitlines() if any(name in line for name in heavy))


IMPORTED_AS = {"scikit_learn": "sklearn"}


def test_what_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [names for extra, names in project["optional-dependencies"].items() if extra != "dev"]
    requirements = chain(project["dependencies"], *extras)
    names = {re.split(r"[^\w.-]", requirement)[0].lower().replace("-", "_") for requirement in requirements}
    declared = {IMPORTED_AS.get(name, name) for name in names}
    outside = {
        target.partition(".")[0]: name
        for name, tree in modules().items()
        for target in imported(name, tree, is_package=is_package(name), known=frozenset(modules()))
    }
    known = declared | sys.stdlib_module_names | {"pointline"}
    assert {target: name for target, name in outside.items() if target not in known} == {}


@cache
def repository_files() -> tuple[Path, ...]:
    """What is committed and what would be with the next ``git add``."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=True,
        cwd=ROOT,
        text=True,
    )
    return tuple(path for name in sorted(set(listed.stdout.split("\0")) - {""}) if (path := ROOT / name).is_file())


def test_no_large_file_is_committed() -> None:
    assert {str(path.relative_to(ROOT)): size for path in repository_files() if (size := path.stat().st_size) > MAX_FILE_BYTES} == {}


# Spelled in pieces, so that this file does not hold what it looks for.
FORBIDDEN = {
    "a path of somebody's machine": re.compile(
        r"(?<![\w.])/(?:" + "|".join(("ho" + "me", "Us" + "ers", "ro" + "ot", "wo" + "rk")) + r")/\w"
    ),
    "a host of a package registry": re.compile(r"\b(?:py" + r"pi\.org|python" + r"hosted\.org|registry\.npm" + r"js\.org)\b"),
    "a mark of unfinished work": re.compile(r"\b(?:TO" + "DO|FIX" + "ME|XX" + r"X)\b"),
}


def forbidden_in(text: str) -> list[str]:
    return [
        f"line {n}: {what}" for n, line in enumerate(text.splitlines(), 1) for what, pattern in FORBIDDEN.items() if pattern.search(line)
    ]


def test_no_file_holds_forbidden_words() -> None:
    found = {}
    for path in repository_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a binary fixture has no words
        if lines := forbidden_in(text):
            found[str(path.relative_to(ROOT))] = lines
    assert found == {}


# The checks above pass on a clean tree; here each is shown something that must not pass.


def test_relative_and_nested_imports_are_seen() -> None:
    source = """
from . import table
from ..clock import to_us
def f():
    import pointline.report as r
    from pointline import lake, compare_all
"""
    known = frozenset({"pointline", "pointline.clock", "pointline.lake", "pointline.lake.table", "pointline.report"})
    inside = imported("pointline.lake.read", ast.parse(source), is_package=False, known=known)
    assert inside == {"pointline.lake.table", "pointline.clock", "pointline.report", "pointline.lake", "pointline"}
    in_package = imported("pointline.lake", ast.parse("from .table import Table"), is_package=True, known=known)
    assert in_package == {"pointline.lake.table"}


def test_allowed_imports_point_one_way() -> None:
    assert may_import("pointline.bars.run", "pointline.lake.store")
    assert may_import("pointline.bars.run", "pointline.clock")
    assert not may_import("pointline.lake.store", "pointline.bars.run")
    assert not may_import("pointline.clock", "pointline.lake.store")
    assert not may_import("pointline.nowhere.x", "pointline.lake.store")


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        ({"a": {"b"}, "b": {"c"}, "c": set()}, []),
        ({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": set()}, []),
        ({"a": {"b"}, "b": {"c"}, "c": {"b"}}, ["b", "c", "b"]),
        ({"a": {"a"}}, ["a", "a"]),
    ],
)
def test_circles_are_found(graph: dict[str, set[str]], expected: list[str]) -> None:
    assert circle({node: frozenset(targets) for node, targets in graph.items()}) == expected


def test_missing_docstrings_are_found() -> None:
    source = """
def f(): ...
def _g(): ...
class C:
    'documented'
    def m(self): ...
    def _p(self): ...
    @x.setter
    def x(self, v): ...
"""
    assert undocumented(ast.parse(source), "here") == ["here.f", "here.C.m"]


def test_parameters_and_docstring_do_not_count_as_code() -> None:
    (function,) = ast.parse('def f(\n    a,\n):\n    """One.\n\n    Two.\n    """\n    return a\n').body
    assert isinstance(function, ast.FunctionDef)
    assert code_lines(function) == 1


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("see /ho" + "me/someone/data", 1),
        ("index https://py" + "pi.org/simple", 1),
        ("# TO" + "DO: later", 1),
        ("docs/home/page and /homeward", 0),
    ],
)
def test_forbidden_words_are_found(line: str, found: int) -> None:
    assert len(forbidden_in(f"first\n{line}\n")) == found
