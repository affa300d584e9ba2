"""A market of six days, of which the spot lacks one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pointline.ingest.run import ingest
from pointline.lake.store import open_lake
from pointline.simulate import MarketConfig, write_archives
from pointline.sources.base import Hints
from pointline.sources.families import all_sources

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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
