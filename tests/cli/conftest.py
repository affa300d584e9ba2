"""A small market, and lakes of it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.cli.running import (
    DAY,
    DAYS,
    MAY_1,
    OFF_BOOK_ID,
    PERP_HEADER,
    PERP_TRADES,
    SPOT_TRADES,
    Market,
    Result,
    archive,
    day_of_rows,
    done,
    exchange_info,
    write_zip,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests import oracle


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Market:
    """Three days of both markets. The first perp file lacks three ids, repeats a line and has a print 5 % off the market."""
    folder = tmp_path_factory.mktemp("market")
    perp: list[oracle.Trade] = []
    spot: list[oracle.Trade] = []
    for day in DAYS:
        rows = day_of_rows(day, PERP_TRADES, 1_000 * (day + 1), seed=day)
        lines = [row.line(spot=False) for row in rows]
        if day == 0:
            off_book = next(at for at in range(200, 300) if rows[at - 1].us < rows[at].us < rows[at + 1].us)
            assert rows[off_book].number == OFF_BOOK_ID
            lines[off_book] = replace(rows[off_book], price=rows[off_book].price * 105 // 100).line(spot=False)
            lines.insert(50, lines[49])
            del lines[301:304], rows[300:303], rows[off_book]
        perp += [row.trade for row in rows]
        write_zip(archive(folder, "futures/um", day), [PERP_HEADER, *lines])
        rows = day_of_rows(day, SPOT_TRADES, 500 * (day + 1), seed=day)
        spot += [row.trade for row in rows]
        write_zip(archive(folder, "spot", day), [row.line(spot=True) for row in rows])
    exchange_info(folder / "spot.json", market="spot", server_us=MAY_1 - DAY, tick="0.01")
    exchange_info(folder / "usdm.json", market="futures", server_us=MAY_1 - DAY, tick="0.10")
    return Market(folder, perp, spot)


@pytest.fixture(scope="session")
def first_ingest(market: Market, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    lake = tmp_path_factory.mktemp("lakes") / "lake"
    return lake, done("ingest", market.folder, "--lake", lake, "--json")


@pytest.fixture(scope="session")
def lake(first_ingest: tuple[Path, Result]) -> Path:
    """The lake of that market; tests that write to it take `copy`."""
    return first_ingest[0]


@pytest.fixture
def copy(lake: Path, tmp_path: Path) -> Path:
    return shutil.copytree(lake, tmp_path / "lake")


@pytest.fixture(autouse=True)
def _no_default_lake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POINTLINE_LAKE", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)
