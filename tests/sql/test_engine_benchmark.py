"""The benchmark of SQL runs, and its contenders agree. Nothing here depends on how long anything takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).resolve().parent.parent.parent / "benchmarks" / "sql.py"


@pytest.mark.slow
def test_the_contenders_give_the_same_rows(tmp_path: Path) -> None:
    pytest.importorskip("duckdb", reason="a contender: pip install duckdb")
    done = subprocess.run(
        [sys.executable, str(BENCHMARK), "--smoke", "--lake", str(tmp_path / "lake")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "93 rows, the same from all" in done.stdout
