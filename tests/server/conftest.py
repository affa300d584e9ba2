"""One server and one worker that the tests share, on the simulated lake."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from tests.server.running import Desk, running_server
from tests.sql.conftest import empty, simulated, specification

from pointline.server.config import ServerConfig
from pointline.server.sandbox import missing_layers
from pointline.server.site import Site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.server.running import RunningServer

    from pointline.lake.store import Lake

__all__ = ["confining", "desk", "empty", "server", "simulated", "site", "specification"]


@pytest.fixture(scope="session")
def confining() -> None:
    """Skips where the kernel cannot confine a worker."""
    if missing := missing_layers():
        pytest.skip(f"this system cannot confine a worker: {'; '.join(missing)}")


@pytest.fixture(scope="session")
def site(simulated: Lake, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A catalogue of the simulated lake."""
    found = Site(simulated, tmp_path_factory.mktemp("site"), ServerConfig(), confined=not missing_layers())
    asyncio.run(found.build())
    return found


@pytest.fixture(scope="session")
def desk(site: Site) -> Iterator[Desk]:
    """A worker on the simulated lake."""
    post, _ = asyncio.run(site.place())
    found = Desk(post)
    yield found
    found.close()


@pytest.fixture(scope="session")
def server(confining: None, simulated: Lake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:  # noqa: ARG001 -- skips
    """A server without users on the simulated lake."""
    with running_server(simulated, tmp_path_factory.mktemp("server")) as found:
        yield found
