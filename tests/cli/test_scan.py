"""pointline scan: what it prints and writes, and wrong inputs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl
import pytest
from tests.bars.test_candle_events import lake_of_minutes, walk
from tests.cli.running import PERP, SPOT, assert_refused, run

if TYPE_CHECKING:
    from pathlib import Path

WINDOW = ("--start", "2024-05-01", "--end", "2024-05-02")
EXCHANGE = ("--exchange", "binance-futures")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lake_of_minutes(tmp_path_factory.mktemp("scan"), walk(1440, seed=1), walk(1440, seed=5)).root


def test_the_table_is_shown_and_written(lake: Path, tmp_path: Path) -> None:
    (tmp_path / "panel").mkdir()
    files = ("-o", tmp_path / "scan.parquet", "--page", tmp_path / "scan.html", "--features", tmp_path / "panel")
    ran = run("scan", *EXCHANGE, *WINDOW, *files, "--lake", lake)
    assert ran.code == 0
    words = " ".join(ran.out.split())
    assert "1 of 1 pairs compared" in words
    assert "bars are made of candles_1m" in words
    assert f"wrote {tmp_path / 'scan.html'}" in words
    assert pl.read_parquet(tmp_path / "scan.parquet").select("perp", "spot", "bars").rows() == [(PERP, SPOT, 288)]
    assert "BTCUSDT" in (tmp_path / "scan.html").read_text(encoding="utf-8")
    assert [pl.read_parquet(path).height for path in (tmp_path / "panel").iterdir()] == [288]


def test_json_has_the_rows_and_the_counts(lake: Path) -> None:
    told = json.loads(run("scan", "--perp", PERP, *WINDOW, "--bars", "volume", "--threshold", "auto", "--json", "--lake", lake).out)
    assert (told["pairs"], told["compared"], told["rows"][0]["spot"]) == (1, 1, SPOT)
    assert "auto: " in told["rows"][0]["rule"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "--exchange"),
        ((*EXCHANGE, "--perp", PERP), "--exchange"),
        (("--exchange", "kraken-futures"), "no perpetual"),
        ((*EXCHANGE, "--sort", "carry"), "carry_net_bps"),
        ((*EXCHANGE, "--rows", "0"), "--rows"),
        ((*EXCHANGE, "--bars", "trades", "--threshold", "5"), "single trades"),
        ((*EXCHANGE, "--costs", "cheap"), "cheap"),
        ((*EXCHANGE, "-o", "scan.doc"), "scan.doc"),
        ((*EXCHANGE, "--page", "scan.pdf"), "scan.pdf"),
        ((*EXCHANGE, "--features", "no/folder"), "no/folder"),
    ],
)
def test_wrong_inputs(lake: Path, options: tuple[str, ...], said: str) -> None:
    assert_refused(run("scan", *options, *WINDOW, "--lake", lake), said, advice=False)
