"""Lakes that the tests of SQL share; each is made once and only read."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.sql.markets import Candle, candles_archives, lake_with

from pointline.clock import DAY_US, to_us
from pointline.ingest.run import ingest
from pointline.lake.store import open_lake
from pointline.simulate import MarketConfig, write_archives
from pointline.sources.base import Hints
from pointline.sources.families import all_sources

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointline.lake.store import Lake

# The rows that the specification's page prints: day, contract -> close and spread against spot.
PRINTED = {
    ("2024-12-01", "BTCUSD_PERP"): ("97326.1", "140.92"),
    ("2024-12-01", "BTCUSDT"): ("97265.1", "79.92"),
    ("2024-12-01", "BTCUSDT_250328"): ("102270.8", "5085.62"),
    ("2024-12-02", "BTCUSD_PERP"): ("95920.0", "79.38"),
    ("2024-12-02", "BTCUSDT"): ("95890.5", "49.88"),
    ("2024-12-02", "BTCUSDT_250328"): ("100588.1", "4747.48"),
    ("2024-12-04", "BTCUSD_PERP"): ("98773.9", "186.58"),
}
CONTRACTS = {"BTCUSD_PERP": "binance-delivery", "BTCUSDT": "binance-futures", "BTCUSDT_250328": "binance-futures"}


def december_closes() -> dict[tuple[str, str, int], str]:
    """Closes of December 2024 by exchange, symbol and day: those that the page prints, the others made up."""
    first, closes = to_us("2024-12-01"), {}
    for n in range(31):
        day_us = first + n * DAY_US
        date = f"2024-12-{n + 1:02d}"
        known = [Decimal(close) - Decimal(spread) for (day, _), (close, spread) in PRINTED.items() if day == date]
        assert len(set(known)) <= 1, f"the printed rows of {date} do not agree on the spot close"
        spot = known[0] if known else Decimal(96_000) + Decimal(n * 137 % 1_000) / 100
        closes["binance-spot", "BTCUSDT", day_us] = str(spot)
        for place, (symbol, exchange) in enumerate(CONTRACTS.items()):
            printed = PRINTED.get((date, symbol))
            closes[exchange, symbol, day_us] = printed[0] if printed else str(spot + Decimal((n * 71 + place * 997) % 4_001 - 1_000) / 10)
    return closes


@pytest.fixture(scope="session")
def december(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Daily candles of the page's basket in December 2024 with the closes of `december_closes`."""
    folder = tmp_path_factory.mktemp("december")
    candles: dict[tuple[str, str], list[Candle]] = {}
    for (exchange, symbol, day_us), close in december_closes().items():
        candles.setdefault((exchange, symbol), []).append(Candle(day_us, close, close, close, close))
    paths = [path for key, rows in candles.items() for path in candles_archives(folder, *key, "1d", rows)]
    return lake_with(folder, paths)


@pytest.fixture(scope="session")
def simulated(built_once: Callable[[str, Callable[[Path], None]], Path]) -> Lake:
    """Two simulated days of a perp and its spot market: trades, 1-minute candles and settled funding."""

    def fill(folder: Path) -> None:
        paths = write_archives(MarketConfig(days=2, perp_trades_per_day=20_000), folder, datasets=("trades", "klines", "fundingRate"))
        ingest(open_lake(folder / "lake", create=True), paths, sources=all_sources(), hints=Hints())

    return open_lake(built_once("simulated", fill) / "lake")


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with nothing in it."""
    return open_lake(tmp_path_factory.mktemp("empty") / "lake", create=True)


@pytest.fixture(scope="session")
def specification() -> str:
    """The statement of the specification's page."""
    return (Path(__file__).parent / "specification.sql").read_text(encoding="utf-8")
