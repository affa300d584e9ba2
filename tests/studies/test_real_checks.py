"""The checklist on a real week of minutes, and on the real minutes around a settlement: figures computed from the files themselves."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import polars as pl
import pytest

import pointline
from pointline.clock import MINUTE_US, to_us
from pointline.research.spines import TimeBarConfig

if TYPE_CHECKING:
    from pathlib import Path

PAIR = ("binance-futures:BTCUSDT", "binance-spot:BTCUSDT")
MAPPING = """
kind = "candles_1m"
exchange = "{exchange}"
symbol = "BTCUSDT"

[columns]
start_us = {{ column = "opens", unit = "us" }}
open = "open"
high = "high"
low = "low"
close = "close"
volume = "volume"
"""


@pytest.fixture(scope="module")
def week(shared_data: Path) -> pl.DataFrame:
    path = shared_data / "minutes_btc_2025" / "BTC_1m_perp_spot.parquet"
    return pl.read_parquet(path).head(7 * 24 * 60).with_columns(opens=pl.col("date").dt.epoch("us"))


@pytest.fixture(scope="module")
def of_candles(week: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> pointline.Study:
    folder = tmp_path_factory.mktemp("minutes")
    for letter, name in zip("ps", PAIR, strict=True):
        own = {part: f"{part}_{letter}" for part in ("open", "high", "low", "close", "volume")}
        week.select("opens", *(pl.col(column).alias(part) for part, column in own.items())).write_csv(folder / f"{letter}.csv")
        (folder / f"{letter}.toml").write_text(MAPPING.format(exchange=name.partition(":")[0]), encoding="utf-8")
        pointline.ingest(folder / f"{letter}.csv", mapping=folder / f"{letter}.toml", lake=folder / "lake")
    window = {"start": "2025-05-20", "end": "2025-05-27", "lake": folder / "lake"}
    return pointline.compare(*PAIR, bars=TimeBarConfig("5m"), events="candles_1m", **window)  # type: ignore[arg-type]


def test_the_week_of_minutes(week: pl.DataFrame, of_candles: pointline.Study) -> None:
    points = {point.name: point for point in of_candles.checklist().points}
    ratio = week["volume_p"].sum() / week["volume_s"].sum()
    assert points["volume_ratio"].value == pytest.approx(ratio, rel=1e-9)
    five = week.group_by(pl.col("opens") // (5 * MINUTE_US), maintain_order=True).agg(
        pl.col("close_p", "close_s").last(), pl.col("volume_s").sum()
    )
    assert points["spot_volume"].value == pytest.approx(five["volume_s"].median(), rel=1e-9)
    basis = (five["close_p"] / five["close_s"] - 1) * 10_000
    assert points["basis"].advice == f"The basis lies between {basis.min():.4g} and {basis.max():.4g} bps."
    statuses = {name: point.status for name, point in points.items()}
    # The week has no funding; candles do not tell flow and price deviations.
    assert (statuses["funding"], statuses["funding_interval"]) == ("fail", "unknown")
    assert "cannot give flow_basis_interaction, flow_divergence, volatility_ratio" in points["data_quality"].advice
    assert "funding_basis_divergence has the most nulls" in points["data_quality"].advice
    assert (statuses["basis"], statuses["data_age"], statuses["holes"]) == ("pass", "pass", "pass")


def test_the_week_by_hour(week: pl.DataFrame, of_candles: pointline.Study) -> None:
    table = of_candles.by_time_of_day()
    own = week.group_by(pl.col("date").dt.hour().alias("hour")).agg(pl.col("volume_p", "volume_s").sum()).sort("hour")
    assert table["volume_ratio"].to_list() == pytest.approx((own["volume_p"] / own["volume_s"]).to_list(), rel=1e-9)
    assert set(table["days"]) == {7}
    assert set(table["bars"]) == {7 * 12}


def test_the_off_book_print_of_2023(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "demo_btc_20230405_csv"
    rows = 0
    for exchange, file in (("binance-futures", "usdm_BTCUSDT_trades.csv.gz"), ("binance-spot", "spot_BTCUSDT_trades.csv.gz")):
        pointline.ingest(
            folder / file, source="binance_vision", exchange=exchange, dataset="trades", symbol="BTCUSDT", lake=tmp_path / "lake"
        )
        if exchange == "binance-futures":
            lines = gzip.decompress((folder / file).read_bytes()).decode().splitlines()[1:]
            rows = sum(int(line.split(",")[4]) * 1_000 >= to_us("2023-04-05") for line in lines)
    study = pointline.compare(
        *PAIR, start="2023-04-05", end="2023-04-05 00:06", bars=TimeBarConfig("10s", anchor="start"), lake=tmp_path / "lake"
    )
    points = {point.name: point for point in study.checklist().points}
    assert (points["flagged"].status, points["flagged"].value) == ("warn", pytest.approx(1 / rows))
    assert points["fees"].status == "warn"  # the guide's figures are of 2026
    assert points["funding"].status == "fail"
    assert points["funding"].value == 1.0
