"""Every example runs from an empty folder, warns of nothing, says what it promises and leaves nothing behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from tests.machine import limit

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))

# Regular expressions. The market has ten perp trades for one of spot, of the same size, one print off the book a day, and 8 h funding.
OUTPUT = {
    "crypto_perp_spot_comparison_example.py": (
        r"volume_ratio: \d\.\d\d 1, fail",  # five perp trades for one of spot
        r"basis_bps predicts the perp's return",
        r"A round trip of both legs costs 40 bps",
        r"\d+ trades (earned|lost) [\d,.]+ USDT",
        r"6 settings; the best is above chance with probability \d\.\d\d",
        r"the venue's rule on the premium so far misses the rate by 0\.\d+ bp on average",
        r"page: [23]\.\d MB",
    ),
    "perp_spot_guide.py": (
        r"Perp/Spot volume ratio: (9|10)\.\d\dx",
        r"\$ funding_basis_divergence +<f64> -?\d",
        r"costs of cash and carry: 14 \+ 26 = 40 bps",
        r"covered by the basis in 0 of \d+ bars",  # the basis has a standard deviation of 3 bps
        r"compare\(\) gives the same 24 columns on the same (\d+) of \1 bars",
    ),
}


def test_every_example_has_its_output_here() -> None:
    assert [path.name for path in EXAMPLES] == sorted(OUTPUT)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_runs(path: Path, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    empty = tmp_path / "empty"
    temporary.mkdir()
    empty.mkdir()
    search = os.pathsep.join(filter(None, (str(ROOT / "src"), os.environ.get("PYTHONPATH"))))
    environment = {name: value for name, value in os.environ.items() if name != "POINTLINE_LAKE"}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(path)],
        cwd=empty,
        env={**environment, "PYTHONPATH": search, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=int(limit(300)),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert [pattern for pattern in OUTPUT[path.name] if not re.search(pattern, done.stdout)] == []
    assert [list(folder.iterdir()) for folder in (empty, temporary)] == [[], []]


# --- notebooks --------------------------------------------------------------------------------------------------------------------

SHOWN = {
    "analyst.ipynb": (
        r"landed",
        r"basis_bps",
        r"BTC: 1 contract against binance:BTC-USDT",
        r"mean_spread",
        r"may.*BTC-USDT.*48",
    ),
    "researcher.ipynb": (
        r"landed",
        r"binance-futures:BTCUSDT against binance-spot:BTCUSDT",
        r"volume_ratio</td><td[^>]*>(9|10|11)\.",
        r"basis",
        r"momentum_divergence_fresh",
        r"median seconds",
        r"bucket_end",
    ),
}


def test_every_notebook_has_its_output_here() -> None:
    assert [path.name for path in NOTEBOOKS] == sorted(SHOWN)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_stored_without_results(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells if cell.cell_type == "code")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(ROOT / "src"), os.environ.get("PYTHONPATH")))))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.delenv("POINTLINE_LAKE", raising=False)
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=int(limit(300)), resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert [output.text for output in outputs if output.output_type == "stream" and output.name == "stderr"] == []
    shown = "\n".join(str(text) for output in outputs for text in output.get("data", {}).values())
    assert [pattern for pattern in SHOWN[path.name] if not re.search(pattern, shown, re.DOTALL)] == []
