"""Importing chDB: nothing is started, nothing is written."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

THREADS = "len(os.listdir('/proc/self/task'))"
OURS = "from pointline.sql.chdb_import import session_class; session_class()"


@pytest.mark.parametrize(("importing", "is_quiet"), [(OURS, True), ("import chdb.session", False)])
def test_no_thread_and_no_folder(tmp_path: Path, importing: str, is_quiet: bool) -> None:
    """Making a folder changes the time of the one around it, also where it is removed again; chDB's own import is the counter-example."""
    os.utime(tmp_path, ns=(0, 0))
    program = f"import os, numpy, pyarrow\nbefore = {THREADS}\n{importing}\nprint({THREADS} - before)"
    environment = {**os.environ, "TMPDIR": str(tmp_path), "TZ": "UTC-14" if is_quiet else "UTC"}
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, env=environment)
    assert (done.stdout.strip() == "0") is is_quiet
    assert (tmp_path.stat().st_mtime_ns == 0) is is_quiet


def test_the_engine_works_afterwards(tmp_path: Path) -> None:
    program = f"import os\n{OURS}\nimport chdb\nprint(chdb.query('SELECT 1 + 1'), os.environ['TZ'])"
    environment = {**os.environ, "TMPDIR": str(tmp_path), "TZ": "UTC-14"}
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, env=environment)
    assert done.stdout.split() == ["2", "UTC-14"]
