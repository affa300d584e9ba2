"""Bars whose threshold follows the days before, against figures worked out on paper (README.md, Adaptive)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.archives import lake_of
from tests.golden.test_golden_bars import PERP, at, prints_of, rows_of

from pointline.bars.trailing import decided, threshold_table
from pointline.clock import DAY_US, to_us
from pointline.research.spines import AdaptiveVolumeConfig, get_builder

if TYPE_CHECKING:
    from pointline.lake.store import Lake

DAY = to_us("2024-05-03")
SEGMENTS = AdaptiveVolumeConfig(6, trailing_days=2, segments=3)
RULES = {
    "segments carry": SEGMENTS,
    "segments reset": AdaptiveVolumeConfig(6, trailing_days=2, segments=3, boundary="reset"),
    "day carry": AdaptiveVolumeConfig(6, trailing_days=2),
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return lake_of(tmp_path_factory.mktemp("golden"), {PERP: prints_of("adaptive_trades.csv")})


@pytest.mark.parametrize("name", RULES)
def test_spine(lake: Lake, name: str) -> None:
    symbol_id = lake.registry().find(*PERP, DAY).symbol_id
    found = get_builder("volume").build_spine(symbol_id=symbol_id, start_ts_us=DAY, end_ts_us=DAY + DAY_US, config=RULES[name], lake=lake)
    expected = [
        (int(row["bar_id"]), at(row, "start_us"), at(row, "end_us"), row["complete"] == "true")
        for row in rows_of("adaptive_spines.csv")
        if row["rule"] == name
    ]
    assert found.select("bar_id", "bucket_start", "bucket_end", "complete").rows() == expected


@pytest.mark.parametrize(("name", "thresholds"), [("segments carry", ["6", "7.625", "15"]), ("day carry", ["9.54166"])])
def test_thresholds(lake: Lake, name: str, thresholds: list[str]) -> None:
    rule = decided(RULES[name], lake, lake.registry().find(*PERP, DAY))
    assert threshold_table(rule, [DAY])["threshold_text"].to_list() == thresholds
