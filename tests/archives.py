"""Small markets as archive files, so that tests put trades into a lake by the way that users do."""

from __future__ import annotations

import zipfile
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

from pointline.clock import DAY_US, date_text
from pointline.ingest.run import ingest
from pointline.lake.store import open_lake
from pointline.sources.base import Hints
from pointline.sources.binance_vision import BinanceVision

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pointline.lake.store import Lake

MARKETS = {"binance-spot": "spot", "binance-futures": "futures/um", "binance-delivery": "futures/cm"}

Print: TypeAlias = "tuple[int, str, str, bool]"  # microseconds, price, quantity, the seller was the taker


def trades_archive(folder: Path, exchange: str, symbol: str, day_us: int, prints: Iterable[Print]) -> Path:
    """One day of trades as the exchange's archive publishes it, times in microseconds; numbers stand as they are given."""
    date = date_text(day_us)
    path = folder / "data" / MARKETS[exchange] / "daily" / "trades" / symbol / f"{symbol}-trades-{date}.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    best = ",True" if exchange == "binance-spot" else ""
    lines = [
        f"{number},{price},{qty},{_result(exchange, symbol, price, qty)},{us},{seller}{best}\n"
        for number, (us, price, qty, seller) in enumerate(prints, start=1)
    ]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{path.stem}.csv", "".join(lines))
    return path


def _result(exchange: str, symbol: str, price: str, qty: str) -> str:
    """The quote quantity, or the base quantity of an inverse contract."""
    if exchange != "binance-delivery":
        return f"{Decimal(price) * Decimal(qty):f}"
    return f"{Decimal(qty) * (100 if symbol.startswith('BTC') else 10) / Decimal(price):.8f}"


def lake_of(folder: Path, markets: Mapping[tuple[str, str], Iterable[Print]]) -> Lake:
    """A lake of the given instruments' trades, none of them set aside."""
    paths = []
    for (exchange, symbol), prints in markets.items():
        days: dict[int, list[Print]] = {}
        for item in prints:
            days.setdefault(item[0] // DAY_US * DAY_US, []).append(item)
        paths += [trades_archive(folder / "archives", exchange, symbol, day, rows) for day, rows in days.items()]
    return lake_from(folder, paths)


def lake_from(folder: Path, paths: Iterable[Path]) -> Lake:
    """A lake of archive files; every file must land whole."""
    lake = open_lake(folder / "lake", create=True)
    reports = ingest(lake, paths, sources=(BinanceVision(),), hints=Hints())
    failed = [report for report in reports if report.outcome != "landed"]
    assert not failed, failed[0]
    return lake
