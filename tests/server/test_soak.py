"""A short run of `benchmarks/serve_soak.py`: many clients at once, then honest queries beside hostile ones."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.machine import limit

if TYPE_CHECKING:
    from pointline.lake.store import Lake

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "serve_soak.py"
ATTEMPTS = 3  # other work on the machine may disturb one
MOST = 3.0  # times longer than alone, on an idle machine


def soak(lake: Lake, path: Path) -> dict[str, Any]:
    command = [sys.executable, str(SCRIPT), "--minutes", "0.2", "--lake", str(lake.root), "--json", str(path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_rows_are_compared_and_not_how_they_are_cut_into_blocks() -> None:
    spec = importlib.util.spec_from_file_location("serve_soak", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = script  # where its dataclasses look for their module
    spec.loader.exec_module(script)

    def block(*values: int) -> bytes:
        return b"\x01" + bytes([len(values)]) + b"\x01a\x05UInt8" + bytes(values)

    assert script.native_rows(block(1, 2, 3)) == (("a",), [(1,), (2,), (3,)])
    assert not script.differ("Native", [block(1, 2, 3), block(1, 2) + block(3), block(1) + block(2, 3)])
    assert script.differ("Native", [block(1, 2, 3), block(1, 2)])
    assert script.differ("Native", [block(1, 2, 3), block(1, 3) + block(2)])
    assert script.differ("CSV", [b"1\n", b"2\n"])
    assert not script.differ("CSV", [b"1\n"])


@pytest.mark.slow
@pytest.mark.usefixtures("confining")
def test_eight_clients_and_hostile_neighbours(simulated: Lake, tmp_path: Path) -> None:
    ratios = []
    for attempt in range(ATTEMPTS):
        found = soak(simulated, tmp_path / f"{attempt}.json")
        assert found["failures"] == {}
        assert found["requests_with_different_answers"] == []
        assert found["8_clients"]["requests"] > 16
        statuses = {status for beside in found["beside_hostile"] for status in beside["hostile_statuses"]}
        assert statuses & {"400", "403"}
        assert "200" not in statuses
        ratios.append(found["p99_ratio"])
        if ratios[-1] <= limit(MOST):
            break
    assert min(ratios) <= limit(MOST), ratios
