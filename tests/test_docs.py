"""The documentation runs: its Python blocks are executed, its command lines are held against the real command line.

Fenced ``python`` blocks of a file run in order in one namespace, in a temporary folder. Three marks stand on the line before a fence:
``<!-- not-run -->`` leaves a Python block out, ``<!-- file NAME.py -->`` appends it to a module that later blocks can import, and
``<!-- run -->`` executes the ``pointline`` commands of a console block there and then, so that a page can first make the lake that its
Python reads; the demo that all pages begin with is made once and copied. Every other command line is parsed, not executed.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer
from tests.demo import DEMO
from typer.testing import CliRunner

from pointline.sources import families

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tests.demo import Demo

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

SHELLS = frozenset({"console", "bash", "sh", "shell"})
FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,}) *(?P<language>[\w+-]*)")
MARK = re.compile(r"<!--\s*(not-run|run|file \w+\.py)\s*-->")
ENDS_OF_A_COMMAND = frozenset({"|", "||", "&&", "&", ";", ">", ">>", "2>", "<"})


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the 1-based line of the text's first line and the mark before the fence."""

    language: str
    text: str
    line: int
    mark: str


def blocks(text: str) -> list[Block]:
    found = []
    lines = text.splitlines()
    n = 0
    while n < len(lines):
        opened = FENCE.match(lines[n])
        n += 1
        if opened is None:
            continue
        before = next((line for line in reversed(lines[: n - 1]) if line.strip()), "")
        mark = MARK.search(before)
        start = n
        while n < len(lines) and not re.fullmatch(rf" *{opened['ticks']}`* *", lines[n]):
            n += 1
        body = [line.removeprefix(opened["indent"]) for line in lines[start:n]]
        found.append(Block(opened["language"].lower(), "\n".join(body) + "\n", start + 1, mark[1] if mark else ""))
        n += 1
    return found


def commands(block: Block) -> list[tuple[int, list[str]]]:
    """The words of each command of a shell block with its line; in ``console`` only the lines after a ``$`` are commands."""
    found = []
    lines = block.text.splitlines()
    n = 0
    while n < len(lines):
        first, line = n, lines[n].strip()
        while line.endswith("\\") and n + 1 < len(lines):
            n += 1
            line = line[:-1] + " " + lines[n].strip().removeprefix("> ")
        n += 1
        if line.startswith("$ "):
            line = line[2:]
        elif block.language == "console":
            continue
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True  # a colon belongs to its word
        words = list(lexer) if not line.startswith("#") else []
        while words:
            end = next((k for k, word in enumerate(words) if word in ENDS_OF_A_COMMAND), len(words))
            command = words[:end]
            while command and re.fullmatch(r"[A-Z_]+=.*", command[0]):
                command = command[1:]
            if command:
                found.append((block.line + first, command))
            # what follows a redirection is a file, no command
            words = words[end + 1 :] if end < len(words) and words[end] in {"|", "||", "&&", "&", ";"} else []
    return found


def wrong_with(command: Any, arguments: list[str], parent: Any = None, name: str = "pointline") -> str | None:  # noqa: ANN401 -- typer ships its own click
    """Why a command line cannot be parsed: an unknown subcommand or option, an argument too many or missing; None where it can."""
    context = command.context_class(command, parent=parent, info_name=name)
    try:
        given, rest, _ = command.make_parser(context).parse_args(args=list(arguments))
    except Exception as problem:  # noqa: BLE001 -- whatever the parser says is the answer
        return f"{name}: {getattr(problem, 'message', problem)}"
    if "help" in given or "--help" in arguments:
        return None
    subcommands = getattr(command, "commands", None)
    if subcommands is not None:
        if not rest:
            return None
        inner = subcommands.get(rest[0])
        return f"{name} has no command {rest[0]!r}" if inner is None else wrong_with(inner, rest[1:], context, f"{name} {rest[0]}")
    if rest:
        return f"{name} takes no argument {rest[0]!r}"
    missing = [option.name for option in command.params if option.required and given.get(option.name) is None]
    return f"{name} needs {', '.join(missing)}" if missing else None


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))


def problem_of(words: list[str]) -> str | None:
    """What is wrong with a command of the documentation; commands that are not the project's are not judged."""
    if words[0] == "make":
        unknown = [word for word in words[1:] if "=" not in word and not word.startswith("-") and word not in make_targets()]
        return f"the Makefile has no target {unknown[0]!r}" if unknown else None
    if Path(words[0]).name == "pointline":
        from pointline.cli import app

        return wrong_with(typer.main.get_command(app), words[1:])
    return None


def run_commands(block: Block, page: Path, made: Callable[[], Demo]) -> None:
    from pointline.cli import app

    for line, words in commands(block):
        assert words[0] == "pointline", f"{page.name}:{line}: only pointline's own commands can be run"
        if tuple(words[1:]) == DEMO:
            shutil.copytree(made().folder, DEMO[2])
            continue
        result = CliRunner().invoke(app, words[1:])
        assert result.exit_code == 0, f"{page.name}:{line}: exit code {result.exit_code}\n{result.output}"


def test_readme_exists() -> None:
    assert PAGES[0].is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_python_of_the_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("POINTLINE_LAKE", raising=False)
    monkeypatch.setattr(families, "FAMILIES", families.FAMILIES)  # a page may add to them
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.language in SHELLS and block.mark == "run":
            run_commands(block, page, lambda: request.getfixturevalue("demo"))
        elif block.mark.startswith("file "):
            module = block.mark.removeprefix("file ")
            request.addfinalizer(partial(sys.modules.pop, module.removesuffix(".py"), None))
            with Path(module).open("a", encoding="utf-8") as file:
                file.write(f"{block.text}\n")
        elif block.language == "python" and block.mark != "not-run":
            padding = "\n" * (block.line - 1)  # a traceback then names the line of the page
            exec(compile(padding + block.text, str(page), "exec", dont_inherit=True), namespace)  # noqa: S102 -- our own documentation


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_command_lines_of_the_page_parse(page: Path) -> None:
    shells = [block for block in blocks(page.read_text(encoding="utf-8")) if block.language in SHELLS]
    wrong = [
        f"{page.name}:{line}: {problem}"
        for block in shells
        for line, words in commands(block)
        if (problem := problem_of(words)) is not None
    ]
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_of_the_page_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"^( *)(`{3,}).*?^ *\2`* *$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    targets = {target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", prose) if not re.match(r"[a-z]+:|#", target)}
    assert [target for target in sorted(targets) if not (page.parent / target).exists()] == []


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    listed = set(re.findall(r"[\w/-]+\.md", navigation))
    assert listed == {path.relative_to(ROOT / "docs").as_posix() for path in PAGES[1:]}


# The checks above pass on good pages; here each is shown one that must not pass.

PAGE = """
<!-- not-run -->
```python
broken(
```

Text.

   ```console
   $ LAKE=here pointline demo --out "a b" \\
       --fast && make test  # comment
   12 bars
   ```
````python
text = '''
```
'''
````
"""


def test_blocks_are_found_with_line_mark_and_indent() -> None:
    first, second, third = blocks(PAGE)
    assert (first.language, first.text, first.line, first.mark) == ("python", "broken(\n", 4, "not-run")
    assert (second.language, second.line, second.mark) == ("console", 10, "")
    assert second.text.splitlines()[2] == "12 bars"
    assert (third.language, third.text, third.mark) == ("python", "text = '''\n```\n'''\n", "")


def test_commands_are_split_as_a_shell_would() -> None:
    block = blocks(PAGE)[1]
    assert commands(block) == [(10, ["pointline", "demo", "--out", "a b", "--fast"]), (10, ["make", "test"])]


def test_a_bash_block_needs_no_prompt() -> None:
    block = Block("bash", "# first\npointline demo | head -3 > out.txt\n", 7, "")
    assert commands(block) == [(8, ["pointline", "demo"]), (8, ["head", "-3"])]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", None),
        ("--help", None),
        ("bars --help", None),
        ("bars BTCUSDT --rows 3", None),
        ("bars BTCUSDT --rows=3 --fast", None),
        ("lake show", None),
        ("candles", "pointline has no command 'candles'"),
        ("lake drop", "pointline lake has no command 'drop'"),
        ("bars", "pointline bars needs symbol"),
        ("bars BTCUSDT ETHUSDT", "pointline bars takes no argument 'ETHUSDT'"),
    ],
)
def test_command_lines_are_held_against_the_app(line: str, expected: str | None) -> None:
    assert wrong_with(typer.main.get_command(small_app()), line.split()) == expected


def test_an_unknown_option_is_found() -> None:
    problem = wrong_with(typer.main.get_command(small_app()), ["bars", "BTCUSDT", "--colour", "red"])
    assert problem is not None
    assert "--colour" in problem


def test_an_unknown_make_target_is_found() -> None:
    assert problem_of(["make", "test"]) is None
    assert problem_of(["make", "tea"]) == "the Makefile has no target 'tea'"
    assert problem_of([f"{os.sep}usr{os.sep}bin{os.sep}ls", "--tea"]) is None


def small_app() -> typer.Typer:
    app = typer.Typer()
    lake = typer.Typer()
    app.add_typer(lake, name="lake")

    @app.command()
    def bars(symbol: str, rows: int = 1, fast: bool = False) -> None: ...

    @lake.command()
    def show() -> None: ...

    @lake.command()
    def check() -> None: ...

    return app
