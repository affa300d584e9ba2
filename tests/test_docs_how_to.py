"""Pages that change the code are followed to the letter, on a copy of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.demo import Demo

ROOT = Path(__file__).resolve().parent.parent


def test_the_page_adds_a_sql_view(tmp_path: Path, demo: Demo) -> None:
    page = (ROOT / "docs" / "add-a-sql-view.md").read_text(encoding="utf-8")
    (view,) = re.findall(r"```sql\n(.*?)```", page, flags=re.DOTALL)
    (block,) = re.findall(r"<!-- not-run -->\n```python\n(.*?)```", page, flags=re.DOTALL)
    shutil.copytree(ROOT / "src" / "pointline", tmp_path / "src" / "pointline", ignore=shutil.ignore_patterns("__pycache__"))
    views = tmp_path / "src" / "pointline" / "sql" / "views.sql"
    views.write_text(f"{views.read_text(encoding='utf-8').rstrip()}\n\n{view}", encoding="utf-8")
    shutil.copytree(demo.folder, tmp_path / "out" / "demo")
    run = subprocess.run(
        [sys.executable, "-c", block],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "src")},
        text=True,
    )
    assert run.returncode == 0, run.stderr
