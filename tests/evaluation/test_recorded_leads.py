"""Recorded markets through `pointline ingest` and `pointline lead-lag`: peaks and asymmetries that were computed without this project.

Peaks must be met exactly. The source of the figures does not say what area its t is of; squared covariances within 100 ms give its values
within .3, plain covariances within 1 or 2 s do not. The intervals are of a bootstrap, so only their shape is asserted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.cli.running import run

if TYPE_CHECKING:
    from pathlib import Path

PERP, SPOT, COIN = "binance-futures:BTCUSDT", "binance-spot:BTCUSDT", "binance-delivery:BTCUSD_PERP"
WINDOWS = {2023: ("--start", "2023-04-04", "--end", "2023-04-06"), 2024: ("--start", "2024-08-08", "--end", "2024-08-10")}


@pytest.fixture(scope="module")
def lakes(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("leads")
    made = {year: folder / str(year) for year in WINDOWS}
    archives = shared_data / "demo_btc_20230405_csv"
    for exchange, name in (("binance-futures", "usdm"), ("binance-spot", "spot")):
        hints = ("--source", "binance_vision", "--exchange", exchange, "--dataset", "trades", "--symbol", "BTCUSDT")
        assert run("ingest", archives / f"{name}_BTCUSDT_trades.csv.gz", *hints, "--lake", made[2023]).code == 0
    recordings = sorted((shared_data / "ticks_btc_20240808").glob("*.gz"))
    ran = run("ingest", *recordings, "--source", "recorded", "--clock", "event", "--lake", made[2024])
    assert ran.code == 3  # quotes of the spot market have no exchange time and are set aside; its trades have
    return made


@pytest.fixture(scope="module")
def measured(lakes: dict[int, Path]) -> dict[str, Any]:
    pairs = {"2023": (2023, PERP, SPOT), "2024": (2024, PERP, SPOT), "coin": (2024, COIN, SPOT), "usdm": (2024, PERP, COIN)}
    found = {}
    for name, (year, *pair) in pairs.items():
        ran = run("lead-lag", *pair, *WINDOWS[year], "--json", "--lake", lakes[year])
        assert ran.code == 0, ran.err
        found[name] = ran.json
    return found


@pytest.mark.parametrize(
    ("pair", "peak_ms", "t", "low_ms", "high_ms"),
    [
        ("2023", 25, -0.1, (-150, -150), (25, 30)),
        ("2024", 5, 1.1, (-20, 5), (190, 210)),
        ("coin", -25, -2.7, (-25, -25), (-10, 0)),
        ("usdm", 25, 2.8, (5, 20), (95, 105)),
    ],
)
def test_peaks_and_asymmetries(
    measured: dict[str, Any], pair: str, peak_ms: int, t: float, low_ms: tuple[int, int], high_ms: tuple[int, int]
) -> None:
    figures = measured[pair]["measured"]
    assert figures["peak_us"] == 1_000 * peak_ms
    assert figures["asymmetry_t"] == pytest.approx(t, abs=0.3)
    low, high = (us / 1_000 for us in figures["peak_interval_us"])
    assert low_ms[0] <= low <= low_ms[1]
    assert high_ms[0] <= high <= high_ms[1]


def test_seven_minutes_do_not_establish_that_the_perpetual_leads(measured: dict[str, Any]) -> None:
    assert [measured[year]["leader"] for year in ("2023", "2024")] == [None, None]
    assert "No lead is established" in measured["2023"]["verdict"]
    assert "No lead is established" in measured["2024"]["verdict"]
    assert "not separable below 10 ms" in measured["coin"]["verdict"]


def test_the_off_book_print_is_left_out_and_said(measured: dict[str, Any]) -> None:
    assert f"{PERP}: 1 prints that are flagged as off-book are left out" in measured["2023"]["notes"]


def test_shares_stand_beside_those_of_the_null(measured: dict[str, Any]) -> None:
    for found in measured.values():
        assert [shares["interval_us"] for shares in found["price_discovery"]] == [100_000, 1_000_000]
        assert all(shares["null"] is not None for shares in found["price_discovery"])
