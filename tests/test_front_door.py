"""What a stranger meets first: pasted lines run in a shell without a prepared path; root pages and workflow hold."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from tests import test_docs
from tests.test_docs import blocks, make_targets

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tests.demo import Demo

ROOT = Path(__file__).resolve().parent.parent
MARK = "<!-- pasted -->"


def pasted(page: Path) -> list[str]:
    """The blocks that stand under the mark; they have no prompt, so they can be pasted."""
    text = page.read_text(encoding="utf-8")
    return [block.text for block in blocks(text) if block.language == "bash" and text.splitlines()[block.line - 3].strip() == MARK]


def test_the_readme_has_lines_to_paste() -> None:
    assert [len(script.splitlines()) for script in pasted(ROOT / "README.md")] == [5]


@pytest.fixture
def in_a_shell(tmp_path: Path) -> Callable[[str], None]:
    """Runs a script with bash in an empty folder that has a virtual environment, with the system's own path."""
    if not Path(sys.prefix, "bin", "activate").is_file():
        pytest.skip("the tests do not run in a virtual environment, and the lines activate one")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT / "src")}

    def run(script: str) -> None:
        done = subprocess.run(["bash", "-eu"], input=script, capture_output=True, check=False, cwd=tmp_path, env=environment, text=True)
        assert done.returncode == 0, done.stderr

    return run


def test_the_lines_of_the_readme_run(in_a_shell: Callable[[str], None], tmp_path: Path, demo: Demo) -> None:
    shutil.copytree(demo.folder, tmp_path / "out" / "demo")
    for script in pasted(ROOT / "README.md"):
        in_a_shell(script)
    assert (tmp_path / "features.parquet").is_file()


def test_the_quickstart_runs(in_a_shell: Callable[[str], None], tmp_path: Path) -> None:
    """Every block that is neither an installation nor a download, as it would be pasted."""
    scripts = [". .venv/bin/activate"]
    for block in blocks((ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")):
        if block.language == "python":
            scripts.append(f"python - <<'END'\n{block.text}END")
        elif block.mark == "run":
            scripts.append(block.text)
    assert len(scripts) == 7
    in_a_shell("\n".join(scripts))
    assert (tmp_path / "features.parquet").is_file()


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md"])
def test_commands_and_links_of_the_page_hold(name: str) -> None:
    test_docs.test_command_lines_of_the_page_parse(ROOT / name)
    test_docs.test_links_of_the_page_lead_somewhere(ROOT / name)


@pytest.mark.parametrize("name", ["README.md", "docs/quickstart.md"])
def test_the_table_of_extras_is_whole(name: str) -> None:
    table = (ROOT / name).read_text(encoding="utf-8").partition("| Extra | Adds |\n")[2].partition("\n\n")[0]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)) == set(project["optional-dependencies"]) - {"dev"}


def test_the_contributors_page_names_the_targets_that_exist() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`make ([\w-]+)`", page)) <= make_targets()


@pytest.fixture(scope="module")
def workflow() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    return read


def test_the_workflow_calls_targets_that_exist(workflow: dict[str, Any]) -> None:
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    called = {word for step in steps for word in re.findall(r"make ([\w-]+)", step.get("run", ""))}
    assert called == {"test", "docs"}
    assert called <= make_targets()
    assert [step["uses"] for step in steps if "uses" in step and not re.fullmatch(r"[\w/-]+@v\d+", step["uses"])] == []


def test_the_workflow_runs_the_pythons_that_the_readme_names(workflow: dict[str, Any]) -> None:
    pythons = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"].startswith(f">={pythons[0]}")
    assert f"Python {pythons[0]} to {pythons[-1]}" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert [f"3.{minor}" for minor in range(11, 14)] == pythons
