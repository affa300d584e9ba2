"""A worker on the simulated lake, which checks statements and runs them."""

from __future__ import annotations

from tests.server.conftest import catalogues, worker

__all__ = ["catalogues", "worker"]
