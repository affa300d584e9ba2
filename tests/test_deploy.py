"""The files of `deploy/`: they parse, their commands are pointline's and Dask's, and the panels' statements run.

No container runs here: what an image, compose or Kubernetes do with the files is not tested.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.test_docs import ROOT, problem_of

from pointline import sql

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.demo import Demo

FOLDER = ROOT / "deploy"
PAGES = sorted(FOLDER.rglob("*.yaml"))
OURS = re.compile(r"(?:registry\.example/)?pointline(?::|$)")
PANELS = json.loads((FOLDER / "grafana" / "dashboards" / "spreads.json").read_text(encoding="utf-8"))["panels"]
KUBERNETES = "$("


def containers(value: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - a document of YAML
    """Everything with an image of pointline, wherever it stands."""
    if isinstance(value, dict):
        if OURS.match(str(value.get("image", ""))):
            yield value
        for one in value.values():
            yield from containers(one)
    elif isinstance(value, list):
        for one in value:
            yield from containers(one)


def words_of(container: dict[str, Any], *, compose: bool) -> list[str] | None:
    """The command that runs in a container whose image begins with ``pointline``; None where it has none."""
    begin, rest = (container.get(name) for name in (("entrypoint", "command") if compose else ("command", "args")))
    if begin is None and rest is None:
        return None
    words = [*(begin or ["pointline"]), *(rest or [])]
    return shell_words(words[-1])[-1] if words[:2] == ["/bin/sh", "-ec"] else words


def shell_words(line: str) -> list[list[str]]:
    """The commands of a line of a shell; what it substitutes stands as a date."""
    told = re.sub(r"\$\([^)]*\)|\$\w+|\{\{.*?\}\}", "2024-05-01", line)
    return [shlex.split(part) for part in told.split(";")]


def daily_commands(page: Path) -> list[list[str]]:
    """The commands of pointline in a recipe for a scheduler: texts of a shell, and calls of its function ``pointline``."""
    tree = ast.parse(page.read_text(encoding="utf-8"))
    named = {
        target.id: [literal(one) for one in node.value.elts]
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "bash_command":
            found += shell_words(str(ast.literal_eval(node.value)))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "pointline":
            words = [named[one.value.id] if isinstance(one, ast.Starred) else [literal(one)] for one in node.args]  # type: ignore[attr-defined]
            found.append(["pointline", *(word for part in words for word in part)])
    return found


def literal(node: ast.expr) -> str:
    """A text, and for what is computed a date."""
    return str(node.value) if isinstance(node, ast.Constant) else "2024-05-01"


def commands() -> list[tuple[Path, list[str]]]:
    found = []
    for page in PAGES:
        for document in yaml.safe_load_all(page.read_text(encoding="utf-8")):
            for container in containers(document):
                words = words_of(container, compose=page.name == "compose.yaml")
                if words is not None:
                    found.append((page, words))
    return found


def wrong_for_dask(words: list[str]) -> str | None:
    """Why Dask's own command line takes a command not; None where it does."""
    click = pytest.importorskip("click")
    name = {"worker": "dask_worker", "scheduler": "dask_scheduler"}[words[1]]
    command = pytest.importorskip(f"distributed.cli.{name}").main
    try:
        command.make_context(words[1], [word for word in words[2:] if not word.startswith(KUBERNETES) and word != "--name"])
    except click.ClickException as error:
        return str(error)
    return None


@pytest.mark.parametrize(("page", "words"), commands(), ids=lambda value: " ".join(value) if isinstance(value, list) else value.name)
def test_commands_are_taken(page: Path, words: list[str]) -> None:
    assert words[0] in {"pointline", "dask"}, page
    assert (problem_of(words) if words[0] == "pointline" else wrong_for_dask(words)) is None


@pytest.mark.parametrize("page", sorted((FOLDER / "daily").glob("*.py")), ids=lambda page: page.name)
def test_the_daily_run_updates_checks_and_computes(page: Path) -> None:
    found = daily_commands(page)
    assert [words[1] for words in found] == ["update", "catalog", "scale"]
    assert [problem for words in found if (problem := problem_of(words)) is not None] == []


def test_there_are_commands_of_both() -> None:
    assert {(page.name, words[0]) for page, words in commands()} >= {
        ("compose.yaml", "pointline"),
        ("compose.yaml", "dask"),
        ("cluster.yaml", "dask"),
        ("daily.yaml", "pointline"),
    }
    assert wrong_for_dask(["dask", "worker", "--nworkrs", "1"]) is not None


def test_no_image_is_of_no_version_and_no_secret_stands_in_a_file() -> None:
    for page in FOLDER.rglob("*"):
        if page.is_dir():
            continue
        text = page.read_text(encoding="utf-8")
        assert ":latest" not in text
        for name, value in re.findall(r"([A-Za-z_]*(?:secret|password)[A-Za-z_]*)\"?: *\"?([^\s\",}]+)", text, flags=re.IGNORECASE):
            assert value.startswith(("$", "{")), f"{page.name}: {name}"


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))
def test_statements_of_the_panels_run(panel: dict[str, Any], demo: Demo) -> None:
    (target,) = panel["targets"]
    statement = target["rawSql"].replace("$__timeFilter(start)", "start >= toDateTime('2024-05-01') AND start <= toDateTime('2024-05-03')")
    assert "$__" not in statement
    frame = sql.query(statement, lake=demo.folder / "lake")
    assert frame.height > 0
    assert target["queryType"] == panel["type"]
    if panel["type"] == "timeseries":
        assert "time" in frame.columns


def test_the_basis_of_the_panel_is_the_basis(demo: Demo) -> None:
    """Against closes that are read one by one."""
    panel = next(panel for panel in PANELS if panel["title"].startswith("Perpetual against spot"))
    statement = panel["targets"][0]["rawSql"].replace("$__timeFilter(start)", "1")
    found = sql.query(statement, lake=demo.folder / "lake")
    closes = sql.query(
        "SELECT start, exchange, toFloat64(close) AS close FROM api.ohlcv(candle_duration_in_minutes = 60) WHERE market = 'BTC-USDT'",
        lake=demo.folder / "lake",
    )
    by_hour: dict[Any, dict[str, float]] = {}
    for start, exchange, close in closes.iter_rows():
        by_hour.setdefault(start, {})[exchange] = close
    expected = {
        start: (one["binance-usdm-future"] / one["binance"] - 1) * 10_000
        for start, one in by_hour.items()
        if one.keys() >= {"binance", "binance-usdm-future"}
    }
    assert dict(found.iter_rows()) == pytest.approx(expected)
    assert len(expected) == 48
