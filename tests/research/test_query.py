"""Rows of the lake as frames: forms of time, decoding, errors, and what is not read."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from tests.archives import Print, lake_from, lake_of

from pointline import research
from pointline.clock import DAY_US, HOUR_US, to_us
from pointline.errors import ConfigError, DamageError, NoDataError, RegistryError
from pointline.research import query
from pointline.research.spines import VolumeBarConfig, get_builder
from pointline.simulate import MarketConfig, write_archives, write_exchange_info
from pointline.simulate.day import simulate_day

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pointline.lake.store import Lake

FIRST = to_us("2024-05-01")
PERP: tuple[str, str] = ("binance-futures", "BTCUSDT")
SPOT: tuple[str, str] = ("binance-spot", "BTCUSDT")
INVERSE: tuple[str, str] = ("binance-delivery", "BTCUSD_PERP")

PERP_PRINTS: list[Print] = [
    (FIRST + 5, "60000.1", "0.003", False),
    (FIRST + 5, "60000.0", "12", True),
    (FIRST + HOUR_US, "60000.25", "1.5", True),
    (FIRST + DAY_US - 1, "60001", "2", False),
    (FIRST + DAY_US, "60002.5", "0.001", False),
    (FIRST + 2 * DAY_US + 7, "60003.5", "4", True),
]
SPOT_PRINTS: list[Print] = [(FIRST + HOUR_US, "59990.01", "0.00001", False), (FIRST + DAY_US + 1, "59991", "1", True)]
INVERSE_PRINTS: list[Print] = [(FIRST + 1, "50000.0", "1", False), (FIRST + 2, "30000.0", "7", True)]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return lake_of(tmp_path_factory.mktemp("query"), {PERP: PERP_PRINTS, SPOT: SPOT_PRINTS, INVERSE: INVERSE_PRINTS})


def test_decoded_trades(lake: Lake) -> None:
    found = query.trades(*PERP, "2024-05-01", "2024-05-02", lake=lake)
    ids = ["trade_id", "first_trade_id", "last_trade_id", "text_id"]
    assert found.columns == ["ts_local_us", "ts_event_us", *ids, "price", "qty", "side", "off_book", "source_row", "source_file"]
    assert found["ts_local_us"].to_list() == [FIRST + 5, FIRST + 5, FIRST + HOUR_US, FIRST + DAY_US - 1]
    assert found["ts_event_us"].to_list() == found["ts_local_us"].to_list()
    assert found["price"].to_list() == [60000.1, 60000.0, 60000.25, 60001.0]
    assert found["qty"].to_list() == [0.003, 12.0, 1.5, 2.0]
    assert found["side"].to_list() == [0, 1, 1, 0]
    assert found["trade_id"].to_list() == [1, 2, 3, 4]
    assert found["source_row"].to_list() == [1, 2, 3, 4]


def test_stored_integers_say_their_decimals(lake: Lake) -> None:
    found = query.trades(*PERP, "2024-05-01", "2024-05-02", decoded=False, lake=lake)
    assert found["price_int"].to_list() == [6000010, 6000000, 6000025, 6000100]
    assert found["qty_int"].to_list() == [3, 12000, 1500, 2000]
    assert found["price_decimals"].unique().to_list() == [2]
    assert found["qty_decimals"].unique().to_list() == [3]
    assert found.schema["price_int"] == found.schema["qty_int"] == pl.Int64
    assert found["side"].to_list() == [0, 1, 1, 0]


@pytest.mark.parametrize("decoded", [True, False])
@pytest.mark.parametrize("name", [PERP, SPOT, INVERSE], ids=lambda name: name[0])
def test_lazy_equals_eager(lake: Lake, name: tuple[str, str], decoded: bool) -> None:
    lazy = query.trades(*name, "2024-05-01", "2024-05-04", decoded=decoded, lazy=True, lake=lake)
    assert isinstance(lazy, pl.LazyFrame)
    eager = query.trades(*name, "2024-05-01", "2024-05-04", decoded=decoded, lake=lake)
    assert eager.height == {"binance-futures": 6}.get(name[0], 2)
    assert lazy.collect().equals(eager)


UTC = dt.UTC
EAST = dt.timezone(dt.timedelta(hours=9))
FORMS: list[tuple[Any, Any]] = [
    ("2024-05-01", "2024-05-02"),
    ("2024-05-01 00:00:00", "2024-05-02T00:00:00Z"),
    ("2024-05-01T09:00+09:00", "2024-05-02 00:00"),
    (dt.date(2024, 5, 1), dt.date(2024, 5, 2)),
    (dt.datetime(2024, 5, 1, tzinfo=UTC), dt.datetime(2024, 5, 2, 9, tzinfo=EAST)),
    (dt.datetime(2024, 5, 1), dt.datetime(2024, 5, 2)),  # noqa: DTZ001 - without a zone it is UTC
    (1_714_521_600_000_000, 1_714_608_000_000_000),
    ("1714521600000000", dt.date(2024, 5, 2)),
]


@pytest.mark.parametrize(("start", "end"), FORMS, ids=str)
def test_every_form_of_time_gives_the_same_frame(lake: Lake, start: Any, end: Any) -> None:  # noqa: ANN401
    found = query.trades(*PERP, start, end, lake=lake)
    assert found["trade_id"].to_list() == [1, 2, 3, 4]
    assert found.equals(query.trades(*PERP, "2024-05-01", "2024-05-02", lake=lake))


@pytest.mark.parametrize(
    ("start", "end", "ids"),
    [
        (FIRST + 5, FIRST + 6, [1, 2]),
        (FIRST + 5, FIRST + HOUR_US, [1, 2]),
        (FIRST + 6, FIRST + HOUR_US + 1, [3]),
        (FIRST + DAY_US - 1, FIRST + DAY_US + 1, [4, 1]),
        (FIRST + 6, FIRST + 7, []),
    ],
)
def test_windows_are_half_open(lake: Lake, start: int, end: int, ids: list[int]) -> None:
    """The fifth print is the first of its own archive file: its id is 1 again."""
    assert query.trades(*PERP, start, end, lake=lake)["trade_id"].to_list() == ids


@pytest.mark.parametrize("exchange", ["binance-futures", "binance-usdm-future"])
@pytest.mark.parametrize("symbol", ["BTCUSDT", "btcusdt", "BTC-USDT"])
def test_instruments_have_several_names(lake: Lake, exchange: str, symbol: str) -> None:
    assert query.trades(exchange, symbol, "2024-05-01", "2024-05-02", lake=lake).height == 4


def test_inverse_contracts_become_coins(lake: Lake) -> None:
    """100 USD a contract: 1 at 50,000 is 0.002 coins, 7 at 30,000 are 0.02333… coins."""
    found = query.trades(*INVERSE, "2024-05-01", "2024-05-02", lake=lake)
    assert found["qty"].to_list() == pytest.approx([0.002, 7 / 300], rel=1e-15)
    assert found["qty_contracts"].to_list() == [1.0, 7.0]
    assert found["price"].to_list() == [50_000.0, 30_000.0]
    stored = query.trades(*INVERSE, "2024-05-01", "2024-05-02", decoded=False, lake=lake)
    assert stored["qty_int"].to_list() == [1, 7]


def test_the_default_lake_is_the_environments(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTLINE_LAKE", str(lake.root))
    assert query.trades(*PERP, "2024-05-01", "2024-05-02").height == 4
    assert research.list_exchanges()["exchange"].to_list() == ["binance-delivery", "binance-futures", "binance-spot"]


def test_the_guides_way_to_a_spine(lake: Lake) -> None:
    symbols = research.list_symbols(exchange="binance-futures", base_asset="BTC", quote_asset="USDT", asset_type="perpetual", lake=lake)
    symbol_id = symbols["symbol_id"][0]
    spine = get_builder("volume").build_spine(
        symbol_id=symbol_id, start_ts_us="2024-05-01", end_ts_us="2024-05-02", config=VolumeBarConfig(volume_threshold=10.0), lake=lake
    )
    assert spine["symbol_id"].unique().to_list() == [symbol_id]
    assert spine["bucket_end"].to_list() == [FIRST + 6, FIRST + DAY_US]  # 12.003 at once, then 15.503: bar 1 is never full
    assert spine["complete"].to_list() == [True, False]


def test_an_unknown_symbol_brings_the_nearest_names(lake: Lake) -> None:
    with pytest.raises(RegistryError, match="unknown") as caught:
        query.trades("binance-futures", "BTCUSTD", "2024-05-01", "2024-05-02", lake=lake)
    assert "BTCUSDT" in str(caught.value)
    with pytest.raises(RegistryError) as caught:
        query.trades("binance-future", "BTCUSDT", "2024-05-01", "2024-05-02", lake=lake)
    assert "binance-futures" in str(caught.value)
    with pytest.raises(RegistryError, match="symbol_id"):
        get_builder("volume").build_spine(
            symbol_id=17, start_ts_us="2024-05-01", end_ts_us="2024-05-02", config=VolumeBarConfig(1), lake=lake
        )


def test_a_window_without_data_brings_the_coverage(lake: Lake) -> None:
    with pytest.raises(NoDataError) as caught:
        query.trades(*SPOT, "2024-06-01", "2024-06-02", lake=lake)
    text = str(caught.value)
    assert "2024-06-01 00:00:00 to 2024-06-02 00:00:00" in text
    assert "trades 2024-05-01 to 2024-05-02" in text
    with pytest.raises(NoDataError, match="no quotes"):
        query.quotes(*SPOT, "2024-05-01", "2024-05-02", lake=lake)


@pytest.mark.parametrize(("start", "end"), [("2024-05-02", "2024-05-01"), ("2024-05-01", "2024-05-01")])
def test_an_empty_window_is_an_error(lake: Lake, start: str, end: str) -> None:
    with pytest.raises(ConfigError, match="the window is empty"):
        query.trades(*PERP, start, end, lake=lake)


@pytest.mark.parametrize("value", [1_714_521_600, 1_714_521_600_000, True, "yesterday"])
def test_a_time_that_could_be_misread_is_an_error(lake: Lake, value: Any) -> None:  # noqa: ANN401
    with pytest.raises(ConfigError, match="start"):
        query.trades(*PERP, value, "2024-05-02", lake=lake)


# --- what is not read


def test_only_the_columns_that_are_used_are_decoded(lake: Lake) -> None:
    lazy = query.trades(*PERP, "2024-05-01", "2024-05-02", lazy=True, lake=lake)
    plan = lazy.select("price").explain()
    assert "price_int" in plan
    assert "PROJECT" in plan
    assert "qty_int" not in plan
    assert "source_row" not in plan
    assert "ts_event_us" not in plan


def test_the_filter_on_time_reaches_the_files(lake: Lake) -> None:
    plan = query.trades(*PERP, FIRST + 6, "2024-05-02", lazy=True, lake=lake).explain()
    scan = plan[plan.index("Parquet SCAN") :]
    assert "SELECTION" in scan
    assert str(FIRST + 6) in scan


def test_partitions_outside_the_window_are_not_opened(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, {PERP: PERP_PRINTS, SPOT: SPOT_PRINTS})
    for file in lake.files("trades", *PERP):
        if file.start_us != FIRST + DAY_US:
            file.path.write_bytes(b"not a Parquet file")
    for file in lake.files("trades", *SPOT):
        file.path.write_bytes(b"not a Parquet file")
    assert query.trades(*PERP, "2024-05-02", "2024-05-03", lake=lake)["price"].to_list() == [60002.5]
    assert query.trades(*PERP, FIRST + DAY_US, FIRST + DAY_US + 1, decoded=False, lazy=True, lake=lake).collect().height == 1
    with pytest.raises(DamageError):
        query.trades(*PERP, "2024-05-01", "2024-05-03", lake=lake)


def test_a_spine_opens_only_its_days(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, {PERP: PERP_PRINTS})
    for file in lake.files("trades", *PERP):
        if file.start_us != FIRST:
            file.path.unlink()
    symbol_id = lake.registry().find(*PERP, FIRST).symbol_id
    spine = get_builder("volume").build_spine(
        symbol_id=symbol_id, start_ts_us=FIRST, end_ts_us=FIRST + DAY_US, config=VolumeBarConfig(10), lake=lake
    )
    assert spine.height == 2


# --- the other tables

CONFIG = MarketConfig(seed=3, start="2024-05-01", days=2, perp_trades_per_day=400)


@pytest.fixture(scope="module")
def full_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    folder = tmp_path_factory.mktemp("full")
    datasets = ("trades", "klines", "markPriceKlines", "indexPriceKlines", "fundingRate", "metrics")
    lake = lake_from(folder, write_archives(CONFIG, folder / "archives", datasets=datasets))
    assert write_exchange_info(CONFIG, folder)
    return lake


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        ("funding", query.funding),
        ("open_interest", query.open_interest),
        ("candles_1m", query.candles),
        ("mark_candles_1m", lambda *a, **k: query.candles(*a, price="mark", **k)),
    ],
)
def test_other_tables_come_sorted_and_cut_to_the_window(full_lake: Lake, kind: str, call: Callable[..., Any]) -> None:
    start, end = FIRST + 3 * HOUR_US, FIRST + DAY_US + 9 * HOUR_US
    found = call(*PERP, start, end, lake=full_lake)
    stored = pl.concat([pl.read_parquet(file.path) for file in full_lake.files(kind, *PERP)]).sort("ts_local_us", maintain_order=True)
    inside = stored.filter((pl.col("ts_local_us") >= start) & (pl.col("ts_local_us") < end))
    assert 0 < inside.height < stored.height
    assert found["ts_local_us"].to_list() == inside["ts_local_us"].to_list()
    assert found.equals(call(*PERP, start, end, lazy=True, lake=full_lake).collect())


def test_funding_is_what_was_simulated(full_lake: Lake) -> None:
    found = query.funding(*PERP, "2024-05-01", "2024-05-03", lake=full_lake)
    paid = pl.concat([simulate_day(CONFIG, day).funding for day in range(2)])
    assert found["funding_rate"].to_list() == pytest.approx(paid["funding_rate"].to_list(), abs=1e-8)
    assert found["interval_hours"].unique().to_list() == [8.0]


def test_candles_are_floats_when_decoded_and_known_at_their_end(full_lake: Lake) -> None:
    decoded = query.candles(*PERP, "2024-05-01", "2024-05-02", lake=full_lake)
    stored = query.candles(*PERP, "2024-05-01", "2024-05-02", decoded=False, lake=full_lake)
    assert decoded.schema["close"] == pl.Float64
    assert stored.schema["close"].is_decimal()
    assert decoded["close"].to_list() == [float(value) for value in stored["close"]]
    assert (decoded["ts_local_us"] - decoded["start_us"]).unique().to_list() == [60_000_000]
    assert decoded["ts_local_us"][-1] < FIRST + DAY_US


def test_coverage_of_an_instrument(full_lake: Lake) -> None:
    found = research.data_coverage(*PERP, lake=full_lake)
    trades = found.filter(pl.col("kind") == "trades").row(0, named=True)
    assert (trades["first_date"], trades["last_date"], trades["partitions"], trades["missing_partitions"]) == (
        "2024-05-01",
        "2024-05-02",
        2,
        0,
    )
    assert trades["rows"] == 800
    with pytest.raises(RegistryError):
        research.data_coverage("binance-futures", "NOPE", lake=full_lake)


def test_an_exchange_that_is_unknown_is_no_empty_answer(lake: Lake) -> None:
    with pytest.raises(RegistryError, match="no instrument of this exchange") as caught:
        research.list_symbols(exchange="binance-future", lake=lake)
    assert "binance-futures" in str(caught.value)


@pytest.mark.parametrize("interval", ["7x", "m", "0m", "1 m"])
def test_candles_of_no_interval_are_refused(lake: Lake, interval: str) -> None:
    with pytest.raises(ConfigError, match="no such candles"):
        query.candles("binance-spot", "BTCUSDT", "2024-05-01", "2024-05-02", interval=interval, lake=lake)
