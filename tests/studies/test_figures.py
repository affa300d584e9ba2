"""The page's volume ratio and advice speak of like units."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pointline.ingest.run import ingest
from pointline.lake import open_lake
from pointline.research.spines import TradeBarConfig
from pointline.simulate import MarketConfig, write_archives
from pointline.sources.base import Hints
from pointline.sources.families import all_sources
from pointline.studies.compare import compare

if TYPE_CHECKING:
    from pathlib import Path


def test_a_thousandfold_contract_is_counted_in_spot_units(tmp_path: Path) -> None:
    """One unit of 1000SHIB is a thousand SHIB: 0.012 of it against 1.2 SHIB a trade, ten perp trades to one, is a ratio of 100."""
    market = MarketConfig(
        start="2024-05-01",
        days=1,
        perp_trades_per_day=4_000,
        perp_symbol="1000SHIBUSDT",
        spot_symbol="SHIBUSDT",
        perp_median_qty_base=0.12,
        spot_median_qty_base=1.2,
        qty_log_std=0.0,
    )
    lake = open_lake(tmp_path / "lake", create=True)
    ingest(lake, write_archives(market, tmp_path / "archives", datasets=("trades",)), sources=all_sources(), hints=Hints())
    study = compare(
        "binance-futures:1000SHIBUSDT", "binance-spot:SHIBUSDT", start="2024-05-01", end="2024-05-02", bars=TradeBarConfig(100), lake=lake
    )
    perp, spot = study.bars["perp_volume"].sum(), study.bars["spot_volume"].sum()
    assert perp == pytest.approx(0.12 * 4_000, rel=0.02)
    assert spot == pytest.approx(1.2 * 400, rel=0.02)
    assert study.summary["volume_ratio"] == pytest.approx(1_000 * perp / spot)
    assert study.summary["volume_ratio"] == pytest.approx(1_000, rel=0.05)
    assert "spot may be thin" in study.summary["advice"]
