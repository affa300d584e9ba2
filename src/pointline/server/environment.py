"""The environment of the processes that a server starts."""

from __future__ import annotations

import os
from pathlib import Path


def clean_environment() -> dict[str, str]:
    """The environment of a worker: where Python finds its modules, whatever the working directory, and nothing that could be a secret."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONHOME", "LD_LIBRARY_PATH", "VIRTUAL_ENV") if name in os.environ}
    modules = [str(Path(entry).absolute()) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    return {
        **kept,
        **({"PYTHONPATH": os.pathsep.join(modules)} if modules else {}),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONSAFEPATH": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
