"""A real month of minutes: figures that were computed independently of this project."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from pointline.evaluation import information_coefficients

if TYPE_CHECKING:
    from pathlib import Path

MONTH = 51_031  # rows of the file from 2025-05-20 to 2025-06-24, without a hole


@pytest.fixture(scope="module")
def minutes(shared_data: Path) -> pl.DataFrame:
    path = shared_data / "minutes_btc_2025" / "BTC_1m_perp_spot.parquet"
    basis = (pl.col("close_p") / pl.col("close_s") - 1) * 10_000
    return (
        pl.read_parquet(path)
        .head(MONTH)
        .select(
            basis=basis,
            basis_z60=(basis - basis.rolling_mean(60)) / basis.rolling_std(60),
            basis_momentum=basis.diff(),
            volume_ratio=pl.col("volume_p") / pl.col("volume_s"),
            perp_mom30=pl.col("close_p").pct_change(30),
            perp=pl.col("close_p").log().diff().shift(-1),
            spot=pl.col("close_s").log().diff().shift(-1),
        )
    )


@pytest.mark.parametrize(
    ("feature", "label", "horizon", "ic", "half", "causal_t"),
    [
        ("basis_z60", "spot", 1, 0.1025, 0.0086, 23.0),
        ("basis_z60", "perp", 1, 0.0008, 0.0082, -0.3),
        ("basis", "spot", 1, 0.0760, 0.0085, 17.0),
        ("basis_momentum", "spot", 1, 0.0936, 0.0090, 20.8),
        ("volume_ratio", "spot", 1, 0.0066, 0.0081, 1.4),
        ("perp_mom30", "perp", 30, -0.0496, 0.0373, -2.7),
    ],
)
def test_the_month(minutes: pl.DataFrame, feature: str, label: str, horizon: int, ic: float, half: float, causal_t: float) -> None:
    found = information_coefficients({feature: minutes[feature]}, minutes[label], (horizon,)).frame.row(0, named=True)
    assert found["ic"] == pytest.approx(ic, abs=5.1e-5)
    assert (found["high"] - found["low"]) / 2 == pytest.approx(half, abs=1.1e-4)
    # How many rows there are before the first one that counts moves it by a tenth.
    assert found["causal_t"] == pytest.approx(causal_t, abs=0.15)


def test_what_remains_one_bar_later_and_what_it_earns(minutes: pl.DataFrame) -> None:
    found = information_coefficients({"z": minutes["basis_z60"]}, minutes["spot"], (1,)).frame.row(0, named=True)
    assert found["ic_next"] == pytest.approx(-0.0044, abs=5e-5)
    assert found["next_t"] == pytest.approx(-1.0, abs=0.05)
    assert found["decile_spread"] * 10_000 == pytest.approx(1.32, abs=0.005)
    halves = [
        information_coefficients({"z": part["basis_z60"]}, part["spot"], (1,)).frame["ic"].item()
        for part in (minutes.head(MONTH // 2), minutes.tail(MONTH - MONTH // 2))
    ]
    assert np.round(halves, 3).tolist() == [0.099, 0.107]
