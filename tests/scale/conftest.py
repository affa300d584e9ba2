"""A market of six days, of which the spot lacks one, and clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from distributed import LocalCluster
from tests.machine import limit

from pointline.download.tardis import KEY_VARIABLE
from pointline.ingest.run import ingest
from pointline.lake.store import open_lake
from pointline.scale.cluster import connected
from pointline.simulate import MarketConfig, write_archives
from pointline.sources.base import Hints
from pointline.sources.families import all_sources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from distributed import Client

WITHOUT_SPOT = "2024-05-04"


@pytest.fixture(scope="session")
def lake(built_once: Callable[[str, Callable[[Path], None]], Path]) -> str:
    """Folder of a lake of 2024-05-01 to 2024-05-06; there is no spot on the fourth day. Only to be read."""

    def fill(folder: Path) -> None:
        market = MarketConfig(start="2024-05-01", days=6, perp_trades_per_day=1_500)
        paths = write_archives(market, folder / "archives", datasets=("trades", "markPriceKlines", "fundingRate"))
        kept = [path for path in paths if f"spot/daily/trades/BTCUSDT/BTCUSDT-trades-{WITHOUT_SPOT}" not in str(path)]
        ingest(open_lake(folder / "lake", create=True), kept, sources=all_sources(), hints=Hints())

    return str(built_once("scale", fill) / "lake")


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """Two worker processes, which have no key of an archive."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(KEY_VARIABLE, raising=False)
        with connected("local:2", memory=1_000_000_000) as found:
            yield found


@pytest.fixture(autouse=True)
def _all_workers(request: pytest.FixtureRequest) -> None:
    """Waits for those that an earlier test killed."""
    if "client" in request.fixturenames:
        request.getfixturevalue("client").wait_for_workers(2, timeout=limit(60))


@pytest.fixture(scope="module")
def here() -> Iterator[LocalCluster]:
    """A scheduler and one worker in this process."""
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp://", host="127.0.0.1", dashboard_address=":0", memory_limit=0
    ) as found:
        yield found
