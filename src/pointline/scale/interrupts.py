"""Local workers leave Ctrl-C to the process that started them: a terminal sends it to all of them, and that process ends them in order."""

from __future__ import annotations

import signal


def dask_setup(worker: object) -> None:  # noqa: ARG001 - Dask calls it by this name, with the worker
    """Called by Dask when a worker starts."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
