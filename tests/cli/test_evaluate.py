"""pointline evaluate: what it prints and writes, and wrong inputs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl
import pytest
from tests.bars.test_candle_events import lake_of_minutes, walk
from tests.cli.running import PERP, SPOT, assert_refused, run

if TYPE_CHECKING:
    from pathlib import Path

WINDOW = ("--start", "2024-05-01", "--end", "2024-05-02", "--events", "candles_1m", "--bars", "time", "--threshold", "1m")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lake_of_minutes(tmp_path_factory.mktemp("evaluate"), walk(1440, seed=1), walk(1440, seed=5)).root


def test_the_verdict_and_the_largest_rows_are_shown(lake: Path) -> None:
    ran = run(
        "evaluate", PERP, SPOT, *WINDOW, "--horizons", "1,5m", "--labels", "spot_return", "--draws", "3", "--top", "2", "--lake", lake
    )
    assert ran.code == 0
    words = " ".join(ran.out.split())
    assert "tests stand, after all tries are counted and against the nulls" in words
    assert "more rows: --top N, -o FILE" in words
    assert "bars are made of candles_1m" in words


def test_all_rows_go_to_a_file_and_to_json(lake: Path, tmp_path: Path) -> None:
    options = ("--features", "basis_bps,volume_ratio", "--labels", "spot_return", "--horizons", "1", "--draws", "0")
    ran = run("evaluate", PERP, SPOT, *WINDOW, *options, "-o", tmp_path / "ic.parquet", "--json", "--lake", lake)
    told = json.loads(ran.out)
    table = pl.read_parquet(tmp_path / "ic.parquet")
    assert [row["feature"] for row in told["rows"]] == table["feature"].to_list() == ["basis_bps", "volume_ratio"]
    assert told["rows"][0]["ic"] == table["ic"][0]
    assert told["trials"] == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--features", "basis_bsp"), "basis_bps"),
        (("--labels", "spot"), "spot_return"),
        (("--horizons", "1,5x"), "5x"),
        (("--horizons", "900"), "900"),
        (("--method", "kendall"), "kendall"),
        (("--min-spot-volume", "-1"), "min_spot_volume"),
        (("--top", "-1"), "--top"),
        (("--draws", "-2"), "draws"),
        (("-o", "ic.doc"), "ic.doc"),
    ],
)
def test_wrong_inputs(lake: Path, options: tuple[str, str], said: str) -> None:
    assert_refused(run("evaluate", PERP, SPOT, *WINDOW, *options, "--lake", lake), said)
