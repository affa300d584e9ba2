"""Archive files into a new lake, which is removed afterwards."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pointline
from pointline.ingest.run import ingest
from pointline.sources.base import Hints
from pointline.sources.families import all_sources


def measured(files: list[str], folder: Path) -> dict[str, Any]:
    """Seconds of the ingest, and what went in and what is stored."""
    lake = pointline.open_lake(folder / "lake", create=True)
    began = time.perf_counter()
    reports = ingest(lake, [Path(file) for file in files], sources=all_sources(), hints=Hints())
    elapsed = time.perf_counter() - began
    problems = [report.problem for report in reports if report.problem or report.outcome != "landed"]
    if problems:
        raise SystemExit(f"not everything landed: {problems[0]}")
    summary = {
        "rows": sum(report.rows_read for report in reports),
        "files": len(reports),
        "archive_bytes": sum(report.file_bytes for report in reports),
        "lake_bytes": sum((lake.table_path(kind) / path).stat().st_size for kind in lake.kinds() for path in lake.listing(kind)["path"]),
        "disk_bytes": sum(path.stat().st_size for kind in lake.kinds() for path in lake.table_path(kind).rglob("*.parquet")),
    }
    return {"elapsed_s": [elapsed], "summary": summary}


if __name__ == "__main__":
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(dir=job["folder"]) as temporary:
        sys.stdout.write(json.dumps(measured(job["files"], Path(temporary))) + "\n")
