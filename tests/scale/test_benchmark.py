"""`benchmarks/scale.py` tells what a task takes from what its trades take."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.machine import limit

PROGRAM = Path(__file__).resolve().parents[2] / "benchmarks" / "scale.py"


def test_what_a_task_takes_is_told_apart_from_what_its_trades_take(lake: str) -> None:
    command = [sys.executable, str(PROGRAM), lake, "--days", "2", "--only-tasks"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit(120), check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^of both: -?[\d.]+ CPU s per task, and -?[\d.]+ CPU s per million trades$", done.stdout, re.MULTILINE)
