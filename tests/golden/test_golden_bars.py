"""Bars, aggregates and assignment against figures worked out on paper (see README.md beside the CSV files)."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from tests.archives import Print, lake_of

from pointline.bars.build import build_bars
from pointline.bars.request import BarRequest
from pointline.clock import DAY_US, to_us
from pointline.research.resample import assign_to_buckets
from pointline.research.spines import (
    BarRule,
    DollarBarConfig,
    ImbalanceBarConfig,
    TimeBarConfig,
    TradeBarConfig,
    VolumeBarConfig,
    get_builder,
)

if TYPE_CHECKING:
    from pointline.lake.store import Lake

HERE = Path(__file__).resolve().parent
START, END = to_us("2024-05-01"), to_us("2024-05-04")
PERP, SPOT, INVERSE = ("binance-futures", "BTCUSDT"), ("binance-spot", "BTCUSDT"), ("binance-delivery", "BTCUSD_PERP")
RULES: dict[str, tuple[str, BarRule]] = {
    "volume carry": ("volume", VolumeBarConfig(10.0)),
    "volume reset": ("volume", VolumeBarConfig("10", boundary="reset")),
    "dollar carry": ("dollar", DollarBarConfig(1000)),
    "trades carry": ("trades", TradeBarConfig(3)),
    "imbalance": ("imbalance", ImbalanceBarConfig(5.0)),
    "time 8h": ("time", TimeBarConfig("8h")),
    "time 7h": ("time", TimeBarConfig("7h")),
}


def rows_of(name: str) -> list[dict[str, str]]:
    with (HERE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def at(row: dict[str, str], name: str = "offset_us") -> int:
    return to_us(row["date"]) + int(row[name])


def prints_of(name: str, qty: str = "qty") -> list[Print]:
    return [(at(row), row["price"], row[qty], row["taker"] == "sell") for row in rows_of(name)]


def number(text: str) -> float | None:
    return float(text) if text else None


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    markets = {
        PERP: prints_of("perp_trades.csv"),
        SPOT: prints_of("spot_trades.csv"),
        INVERSE: prints_of("inverse_trades.csv", "contracts"),
    }
    return lake_of(tmp_path_factory.mktemp("golden"), markets)


def spine_of(lake: Lake, name: str, start_us: int = START, end_us: int = END) -> pl.DataFrame:
    kind, rule = RULES[name]
    symbol_id = lake.registry().find(*PERP, START).symbol_id
    return get_builder(kind).build_spine(symbol_id=symbol_id, start_ts_us=start_us, end_ts_us=end_us, config=rule, lake=lake)


@pytest.mark.parametrize("name", RULES)
def test_spine(lake: Lake, name: str) -> None:
    found = spine_of(lake, name)
    expected = [
        (int(row["bar_id"]), at(row, "start_us"), at(row, "end_us"), row["complete"] == "true")
        for row in rows_of("spines.csv")
        if row["rule"] == name
    ]
    assert found.select("bar_id", "bucket_start", "bucket_end", "complete").rows() == expected
    assert found["ts_local_us"].to_list() == found["bucket_start"].to_list()
    assert found["symbol_id"].unique().to_list() == [lake.registry().find(*PERP, START).symbol_id]


@pytest.mark.parametrize("name", RULES)
def test_a_narrower_window_gives_the_whole_bars_inside_it(lake: Lake, name: str) -> None:
    wide = spine_of(lake, name)
    for start, end in ((START + 3_000_001, END), (START, START + 8_000_000), (START + DAY_US + 5, END)):
        inside = wide.filter((pl.col("bucket_start") >= start) & (pl.col("bucket_end") <= end))
        assert spine_of(lake, name, start, end).equals(inside)


def test_carry_and_reset_columns_of_the_trades_tell_the_same(lake: Lake) -> None:
    trades = rows_of("perp_trades.csv")
    events = pl.DataFrame({"ts_local_us": [at(row) for row in trades]})
    for name, column in (("volume carry", "carry_bar_id"), ("volume reset", "reset_bar_id")):
        spine = spine_of(lake, name)
        ids = assign_to_buckets(events, spine).join(spine, on="bucket_start", maintain_order="left")["bar_id"]
        assert ids.to_list() == [int(row[column]) for row in trades]


def test_volume_per_bar_is_the_volume_of_its_trades(lake: Lake) -> None:
    perp, spot = (lake.registry().find(*name, START) for name in (PERP, SPOT))
    request = BarRequest(lake, perp, spot, START, END, RULES["volume reset"][1])
    assert pl.concat(build_bars(request).blocks)["perp_volume"].to_list() == [10.75, 12.25, 37, 10, 1, 10, 12]


def test_venues_over_carry_bars(lake: Lake) -> None:
    perp, spot = (lake.registry().find(*name, START) for name in (PERP, SPOT))
    frame = pl.concat(build_bars(BarRequest(lake, perp, spot, START, END, RULES["volume carry"][1])).blocks)
    expected = rows_of("venues.csv")
    by_bar = {(row["bucket_start"] // DAY_US, row["bar_id"]): row for row in frame.iter_rows(named=True)}
    assert len(expected) == 2 * len(by_bar)
    for row in expected:
        bar = by_bar[to_us(row["date"]) // DAY_US, int(row["bar_id"])]
        venue = row["venue"]
        for name in ("trade_count", "age_us", "open", "high", "low", "close", "volume", "buy_volume", "sell_volume", "quote_volume"):
            assert bar[f"{venue}_{name}"] == number(row[name]), (venue, row["bar_id"], name)
        for name in ("vwap", "price_std", "realized_vol"):
            value = number(row[name])
            assert bar[f"{venue}_{name}"] == (None if value is None else pytest.approx(value, rel=1e-12)), (venue, row["bar_id"], name)


def test_inverse_contracts_are_counted_in_coins(lake: Lake) -> None:
    inverse, spot = (lake.registry().find(*name, START) for name in (INVERSE, SPOT))
    frame = pl.concat(build_bars(BarRequest(lake, inverse, spot, START, START + DAY_US, VolumeBarConfig("0.01"))).blocks)
    expected = rows_of("inverse_bars.csv")
    assert frame.height == len(expected)
    for bar, row in zip(frame.iter_rows(named=True), expected, strict=True):
        assert (bar["bar_id"], bar["bucket_start"] - START, bar["bucket_end"] - START) == (
            int(row["bar_id"]),
            int(row["start_us"]),
            int(row["end_us"]),
        )
        assert bar["complete"] == (row["complete"] == "true")
        for name in ("trade_count", "volume", "buy_volume", "sell_volume", "quote_volume"):
            assert bar[f"perp_{name}"] == number(row[name]), (row["bar_id"], name)
        assert bar["perp_vwap"] == pytest.approx(number(row["vwap"]), rel=1e-15)


@pytest.mark.parametrize("lazy", [False, True])
def test_assignment(lake: Lake, lazy: bool) -> None:
    rows = rows_of("events.csv")
    spine = spine_of(lake, "volume carry")
    events = pl.DataFrame({"ts_local_us": [at(row) for row in rows], "why": [row["why"] for row in rows]})
    assigned = assign_to_buckets(events.lazy(), spine).collect() if lazy else assign_to_buckets(events, spine)
    windows = {(row["bucket_start"] // DAY_US, row["bar_id"]): row for row in spine.iter_rows(named=True)}
    expected = []
    for row in rows:
        window = windows[to_us(row["date"]) // DAY_US, int(row["bar_id"])] if row["bar_id"] else {"bucket_start": None, "bucket_end": None}
        expected.append((at(row), row["why"], window["bucket_start"], window["bucket_end"]))
    assert assigned.rows() == expected
    assert assigned["bucket_start"].null_count() == 4
