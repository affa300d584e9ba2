"""`benchmarks/scale.py` tells what a task takes from what its trades take."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.machine import limit

PROGRAM = Path(__file__).resolve().parents[2] / "benchmarks" / "scale.py"


@pytest.mark.slow
def test_what_a_task_takes_is_told_apart_from_what_its_trades_take(lake: str) -> None:
    command = [sys.executable, str(PROGRAM), lake, "--days", "2", "--runs", "1", "--only-tasks"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit(120), check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = r"^a task of few trades: [\d.]+ CPU s; beyond that, -?[\d.]+ CPU s per million trades$"
    assert re.search(told, done.stdout, re.MULTILINE)
