"""The state of a derivative comes from every feed that the lake has, and a feed that begins later changes nothing before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

from pointline.clock import DAY_US, to_us
from pointline.comparison import compare
from pointline.lake import open_lake
from pointline.lake.ingest import ingest
from pointline.research.spines import TradeBarConfig
from pointline.simulate import MarketConfig, write_archives
from pointline.sources.base import Hints
from pointline.sources.families import all_sources

if TYPE_CHECKING:
    from pathlib import Path

    from pointline.comparison import Study
    from pointline.lake import Lake

MARKET = MarketConfig(start="2024-05-01", days=2, perp_trades_per_day=3_000)
SECOND_DAY = to_us("2024-05-02")


def lake_of(folder: Path, *, recorded_days: tuple[str, ...], datasets: tuple[str, ...]) -> Lake:
    paths = write_archives(MARKET, folder / "archives", datasets=("trades", "recorded", *datasets))
    wanted = [path for path in paths if "recorded" not in path.parts or any(day in path.name for day in recorded_days)]
    lake = open_lake(folder / "lake", create=True)
    ingest(lake, wanted, sources=all_sources(), hints=Hints())
    return lake


def study_of(lake: Lake, end: str) -> Study:
    return compare("binance-futures:BTCUSDT", "binance-spot:BTCUSDT", start="2024-05-01", end=end, bars=TradeBarConfig(50), lake=lake)


def test_a_ticker_that_begins_on_the_second_day_changes_nothing_on_the_first(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, recorded_days=("20240502",), datasets=("markPriceKlines", "indexPriceKlines", "fundingRate"))
    alone = study_of(lake, "2024-05-02").features
    both = study_of(lake, "2024-05-03").features
    assert alone["mark_close"].null_count() < alone.height / 10  # the candles tell it
    assert both.filter(pl.col("bucket_start") < SECOND_DAY).equals(alone)
    second = both.filter(pl.col("bucket_start") >= SECOND_DAY)
    assert second["mark_age_us"].median() < 2_000_000  # the ticker, each second
    assert alone["mark_age_us"].median() > 10_000_000  # the candles, each minute


def test_mark_and_index_are_the_last_known_of_either_feed(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, recorded_days=("20240502",), datasets=("markPriceKlines",))
    bars = study_of(lake, "2024-05-03").bars
    known = []
    for kind, column in (("mark_candles_1m", "close"), ("derivative_ticker", "mark_price")):
        rows = lake.scan(kind, "binance-futures", "BTCUSDT", SECOND_DAY - DAY_US, SECOND_DAY + DAY_US, ["ts_local_us", column]).collect()
        known += [(us, float(price)) for us, price in rows.iter_rows() if price is not None]
    known.sort(key=lambda row: row[0])
    for end, mark, age in bars.select("bucket_end", "mark_close", "mark_age_us").gather_every(7).iter_rows():
        before = [row for row in known if row[0] < end]
        if before and end - before[-1][0] <= 60_000_000:
            assert (mark, age) == (before[-1][1], end - before[-1][0])
        else:
            assert mark is None


def test_estimates_without_any_payment_take_the_usual_interval_and_say_so(tmp_path: Path) -> None:
    study = study_of(lake_of(tmp_path, recorded_days=("20240501", "20240502"), datasets=()), "2024-05-03")
    told = study.features.filter(pl.col("funding_close").is_not_null())
    assert told.height > study.features.height / 2
    assert told["funding_interval_source"].unique().to_list() == ["default"]
    assert told["funding_8h"].equals(told["funding_close"])
    assert told["funding_basis_divergence"].null_count() == told["basis_bps"].null_count()
    assert [note for note in study.notes if "usual 8 h" in note] == list(study.notes)


def test_payments_that_tell_their_interval_need_no_note(tmp_path: Path) -> None:
    study = study_of(lake_of(tmp_path, recorded_days=("20240501", "20240502"), datasets=("fundingRate",)), "2024-05-03")
    assert set(study.features.filter(pl.col("funding_close").is_not_null())["funding_interval_source"]) == {"payment"}
    assert study.notes == ()


@pytest.mark.parametrize("place", ["text", "path"])
def test_a_lake_may_be_named_by_its_folder(tmp_path: Path, place: str) -> None:
    from pointline import research
    from pointline.research import query

    lake = lake_of(tmp_path, recorded_days=(), datasets=())
    named = str(lake.root) if place == "text" else lake.root
    assert query.trades("binance-spot", "BTCUSDT", "2024-05-01", "2024-05-02", lake=named).height == 300
    assert research.list_symbols(exchange="binance", lake=named).height == 1
    assert research.data_coverage("binance-spot", "BTCUSDT", lake=named)["rows"].to_list() == [600]
