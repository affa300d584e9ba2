"""Every example runs from an empty folder, warns of nothing, says what it promises and leaves nothing behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.machine import limit

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

# Regular expressions. The market has ten perp trades for one of spot, of the same size, one print off the book a day, and 8 h funding.
OUTPUT = {
    "compare_in_a_notebook.py": (
        r"12 files, [\d,]+ rows, 1 off the book",
        r"auto: \d+ BTC = 0\.[1-5]\d* % of the perp's",
        r"rank correlation 0\.[1-4]",
        r'"volume_ratio": (9|10|11)\.',
        r'"funding_source": \[\s*"estimate"\s*\]',
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
        timeout=limit(300),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert [pattern for pattern in OUTPUT[path.name] if not re.search(pattern, done.stdout)] == []
    assert [list(folder.iterdir()) for folder in (empty, temporary)] == [[], []]
