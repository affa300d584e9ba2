"""One server and one worker that the tests share, on the simulated lake."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from tests.server.running import DirectWorker, running_server
from tests.sql.conftest import empty, simulated, specification

from pointline.server.catalogues import Catalogues
from pointline.server.config import ServerConfig
from pointline.server.sandbox import missing_layers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.server.running import RunningServer

    from pointline.lake.store import Lake

__all__ = ["catalogues", "confining", "empty", "server", "simulated", "specification", "worker"]


@pytest.fixture(scope="session")
def confining() -> None:
    """Skips where the kernel cannot confine a worker."""
    if missing := missing_layers():
        pytest.skip(f"this system cannot confine a worker: {'; '.join(missing)}")


@pytest.fixture(scope="session")
def catalogues(simulated: Lake, tmp_path_factory: pytest.TempPathFactory) -> Catalogues:
    """A catalogue of the simulated lake."""
    found = Catalogues(simulated, tmp_path_factory.mktemp("catalogues"), ServerConfig(), confined=not missing_layers())
    asyncio.run(found.build())
    return found


@pytest.fixture(scope="session")
def worker(catalogues: Catalogues) -> Iterator[DirectWorker]:
    """A worker on the simulated lake."""
    setup, _ = asyncio.run(catalogues.new_setup())
    found = DirectWorker(setup)
    yield found
    found.close()


@pytest.fixture(scope="session")
def server(confining: None, simulated: Lake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:  # noqa: ARG001 -- skips
    """A server without users on the simulated lake."""
    with running_server(simulated, tmp_path_factory.mktemp("server")) as found:
        yield found
