"""pointline costs: what it prints and writes, presets on all commands that have costs, and wrong inputs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl
import pytest
from tests.bars.test_candle_events import lake_of_minutes, walk
from tests.cli.running import PERP, SPOT, assert_refused, done, run

import pointline
from pointline.research.spines import TimeBarConfig

if TYPE_CHECKING:
    from pathlib import Path

WINDOW = ("--start", "2024-05-01", "--end", "2024-05-02", "--events", "candles_1m", "--bars", "time", "--threshold", "1m")
CHEAP = ("--figure", "perp_taker_bps=1", "--figure", "spot_taker_bps=0.5", "--figure", "withdrawal_quote=3")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lake_of_minutes(tmp_path_factory.mktemp("costs"), walk(1440, seed=1), walk(1440, seed=5)).root


def test_the_page_for_people(lake: Path) -> None:
    words = " ".join(done("costs", PERP, SPOT, *WINDOW, "--lake", lake).out.split())
    assert "A round trip of both legs costs 48 bps (guide, figures of 2026-02-09)." in words
    assert "Break-even, bps of 60,000 USDT a leg" in words
    assert "total - - 4 30 10 8 48 288.00" in words
    assert "basis above 200 bps" in words
    assert "0.5 x guide" in words
    assert "note: borrowing the coin" in words


def test_figures_of_ones_own_and_a_file(lake: Path, tmp_path: Path) -> None:
    path = tmp_path / "spells.parquet"
    ran = done("costs", PERP, SPOT, *WINDOW, *CHEAP, "--notional", "10000", "-o", path, "--json", "--lake", lake)
    told = ran.json
    study = pointline.compare(PERP, SPOT, start="2024-05-01", end="2024-05-02", bars=TimeBarConfig("1m"), events="candles_1m", lake=lake)
    costs = pointline.CostModel(perp_taker_bps=1.0, spot_taker_bps=0.5, withdrawal_quote=3.0, notional_quote=10_000)
    found = study.costs(costs)
    assert (told["cost_bps"], told["preset"], told["cost_quote"]) == (16.0, "own figures", 16.0)  # 2 (1 + 2 + 0.5 + 3) + 3
    assert told["tables"]["opportunities"] == json.loads(json.dumps(found.opportunities.to_dicts()))
    assert pl.read_parquet(path).equals(found.spells)
    assert told["verdict"] == found.verdict


def test_a_changed_fee_is_no_venues(lake: Path) -> None:
    told = done("costs", PERP, SPOT, *WINDOW, "--costs", "venue", "--figure", "spot_slippage_bps=0.001", "--json", "--lake", lake).json
    assert (told["preset"], told["cost_bps"]) == ("venue:non-VIP", pytest.approx(34.002))
    told = done("costs", PERP, SPOT, *WINDOW, "--costs", "venue", "--figure", "spot_taker_bps=8", "--json", "--lake", lake).json
    assert (told["preset"], told["cost_bps"]) == ("own figures", 36.0)
    assert (told["as_of"], told["source"]) == (None, None)


def test_quiet_says_nothing(lake: Path) -> None:
    assert done("costs", PERP, SPOT, *WINDOW, "-q", "--lake", lake).out == ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--costs", "guid"), "guide, same-exchange, venue, venue:TIER"),
        (("--costs", "venue:"), "no such preset"),
        (("--costs", "venue:VIP 9"), "a tier out of non-VIP"),
        (("--costs", "guide", "--same-exchange"), "two presets"),
        (("--figure", "perp_taker_bps=0.0005"), "0.0005 as a fraction is 5 bps"),
        (("--figure", "spot_taker_bps=0.1"), "0.1 % is 10 bps"),
        (("--figure", "spot_taker_bps=500"), "500 bps are 5 %"),
        (("--figure", "perp_slippage_bps=-1"), "perp_slippage_bps cannot be a cost"),
        (("--figure", "withdrawal_bps=nan"), "withdrawal_bps cannot be a cost"),
        (("--figure", "borrow_bps_per_day=inf"), "borrow_bps_per_day cannot be a cost"),
        (("--figure", "perp_fee=1"), "no such figure"),
        (("--figure", "perp_taker_bps"), "NAME=VALUE"),
        (("--figure", "perp_taker_bps=x"), "not a number"),
        (("--figure", "perp_taker_bps=1", "--figure", "perp_taker_bps=2"), "given twice"),
        (("--figure", "withdrawal_bps=1", "--figure", "withdrawal_quote=2"), "given twice"),
        (("--slippage", "book"), "quotes or bars"),
        (("--slippage", "bars", "--figure", "spot_slippage_bps=1"), "to be measured"),
        (("--slippage", "quotes"), "no quotes of binance-futures:BTCUSDT"),
        (("--notional", "0"), "notional_quote is no size"),
        (("--notional", "nan"), "notional_quote is no size"),
        (("-o", "spells.doc"), "spells.doc"),
    ],
)
def test_wrong_inputs(lake: Path, options: tuple[str, str], said: str) -> None:
    assert_refused(run("costs", PERP, SPOT, *WINDOW, *options, "--lake", lake), said)


@pytest.mark.parametrize("command", ["compare", "check", "evaluate"])
def test_presets_are_the_same_on_every_command(command: str, lake: Path) -> None:
    words = ("--draws", "0", "--folds", "0", "--features", "basis_bps", "--horizons", "1") if command == "evaluate" else ()
    ran = run(command, PERP, SPOT, *WINDOW, *words, "--costs", "venue", "--json", "--lake", lake)
    assert ran.json["costs"] == "40 bps (venue:non-VIP, figures of 2026-02-09)"
    assert_refused(run(command, PERP, SPOT, *WINDOW, *words, "--costs", "cheap", "--lake", lake), "no such preset", "--costs")


def test_spreads_take_presets(lake: Path) -> None:
    words = ("spreads", "BTC", "--reference", "binance:BTC-USDT", "--start", "2024-05-01", "--end", "2024-05-02", "--duration", "1h")
    for name, total in (("guide", 48.0), ("same-exchange", 40.0), ("venue", 40.0)):
        told = run(*words, "--costs", name, "--json", "--lake", lake).json
        assert (told["cost_bps"], told["cost_preset"].partition(":")[0]) == (total, name)
    assert_refused(run(*words, "--costs", "cheap", "--lake", lake), "no such preset")
    assert_refused(run(*words, "--costs", "guide", "--same-exchange", "--lake", lake), "two presets")
