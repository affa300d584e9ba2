"""The other views, each against values written by hand; what an empty lake, one with trades only and one with candles only show."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl
import pytest
from tests.archives import trades_archive
from tests.sql.markets import Candle, add, candles_archives, funding_archive, lake_with, walk, zipped

import pointline
from pointline import sql
from pointline.clock import DAY_US, HOUR_US, MINUTE_US, to_us
from pointline.errors import ConfigError
from pointline.ingest.run import ingest
from pointline.lake.store import open_lake
from pointline.lake.studies import save_study, saved_studies
from pointline.research import query as research_query
from pointline.sources.base import Hints
from pointline.sources.families import all_sources

if TYPE_CHECKING:
    from pathlib import Path

    from pointline.lake.store import Lake

pytestmark = pytest.mark.filterwarnings("ignore::pointline.errors.QueryNote")  # what is left out is told; not what is looked at here


MONDAY = to_us("2024-04-29")
TRADE = [
    "exchange", "market", "side", "quantity", "price", "timestamp", "trade_id", "trade_number", "off_book", "known_at", "sequence",
]  # fmt: skip
VIEWS = {
    "trade": TRADE,
    "trade_last": TRADE,
    "funding_rate": ["exchange", "contract_type", "market", "timestamp", "funding_rate", "rate", "interval_hours", "known_at"],
    "market_spot": [
        "exchange", "market_symbol", "base_asset", "quote_asset", "exchange_specific_symbol", "market", "native_symbol",
        "price_increment", "quantity_increment", "listed", "valid_from", "underlying_asset", "settling_asset", "denomination_asset",
    ],
    "market_future": [
        "exchange", "market_symbol", "underlying_asset", "quote_asset", "settling_asset", "denomination_asset", "expiration",
        "contract_size", "contract_type", "future_type", "exchange_specific_symbol", "market", "native_symbol", "base_asset",
        "settle_asset", "expiration_type", "price_increment", "quantity_increment", "listed", "valid_from",
    ],
    "spreads": ["study", "start", "end", "known_at"],
    "features": ["study", "perp_exchange", "perp_market", "spot_exchange", "spot_market", "start", "end", "known_at"],
    "coverage": [
        "kind", "exchange", "market", "native_symbol", "first_date", "last_date", "partitions", "missing_partitions", "row_count",
        "covered_share", "missing_seconds", "missing_ids", "missing_candles", "missing_stamps", "off_grid", "flagged", "superseded",
    ],
    "ohlcv(candle_duration_in_minutes = 60)": [
        "start", "end", "exchange", "market", "open", "high", "low", "close", "volume", "count", "duration_minutes",
        "minutes", "complete", "source", "known_at", "close_age_seconds", "close_unknown_seconds", "covered_share",
    ],
}  # fmt: skip


@pytest.mark.parametrize("view", VIEWS)
def test_an_empty_lake_has_every_view_without_rows(empty: Lake, view: str) -> None:
    frame = sql.query(f"SELECT * FROM api.{view}", lake=empty)
    assert frame.columns == VIEWS[view]
    assert frame.height == 0


def test_the_views_are_listed(empty: Lake) -> None:
    listed = sql.query("SHOW TABLES FROM api", lake=empty)["name"].to_list()
    assert sorted(listed) == sorted(view.partition("(")[0] for view in VIEWS)


def test_trades_keep_their_decimals_sides_and_times(tmp_path: Path) -> None:
    start = to_us("2025-01-01")
    spot = [(start + 1, "93500.01", "0.00001", False), (start + 7, "93500.02", "123.5", True)]
    coin = [(start + 1_000, "93600.5", "3", True)]
    paths = [
        trades_archive(tmp_path, "binance-spot", "BTCUSDT", start, spot),
        trades_archive(tmp_path, "binance-delivery", "BTCUSD_PERP", start, coin),
    ]
    rows = sql.query("SELECT * FROM api.trade ORDER BY exchange, timestamp", lake=lake_with(tmp_path, paths)).rows(named=True)
    assert [(row["exchange"], row["market"], row["price"], row["quantity"], row["side"], row["trade_id"]) for row in rows] == [
        ("binance", "BTC-USDT", Decimal("93500.01"), Decimal("0.00001"), "buy", "1"),
        ("binance", "BTC-USDT", Decimal("93500.02"), Decimal("123.5"), "sell", "2"),
        ("binance-coinm-future", "BTC-USD-PERP", Decimal("93600.5"), Decimal(3), "sell", "1"),
    ]
    midnight = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    assert [row["timestamp"] - midnight for row in rows] == [dt.timedelta(microseconds=us) for us in (1, 7, 1_000)]
    assert all(row["known_at"] == row["timestamp"] for row in rows)


def test_the_price_of_a_trade_is_exact_to_the_last_decimal(tmp_path: Path) -> None:
    """Two days with different decimals in one column."""
    days = {MONDAY: "0.000000000001", MONDAY + DAY_US: "1844674.25"}
    paths = [trades_archive(tmp_path, "binance-spot", "PEPEUSDT", day, [(day, price, "1", False)]) for day, price in days.items()]
    frame = sql.query("SELECT price FROM api.trade ORDER BY timestamp", lake=lake_with(tmp_path, paths))
    assert frame["price"].to_list() == [Decimal(price) for price in days.values()]


def test_trades_equal_those_of_research(simulated: Lake) -> None:
    """Every time, to the microsecond, and every amount, as the lake's own reader gives it."""
    text = (
        "SELECT toUnixTimestamp64Micro(timestamp) AS us, toUnixTimestamp64Micro(known_at) AS local_us, price, side "
        "FROM api.trade WHERE exchange = 'binance-usdm-future' AND market = 'BTC-USDT' ORDER BY timestamp, trade_number"
    )
    frame = sql.query(text, lake=simulated)
    expected = research_query.trades("binance-futures", "BTCUSDT", "2024-05-01", "2024-05-03", lake=simulated).sort(
        "ts_event_us", "trade_id"
    )
    assert frame["us"].to_list() == expected["ts_event_us"].to_list()
    assert frame["local_us"].to_list() == expected["ts_local_us"].to_list()
    assert frame["price"].cast(pl.Float64).to_list() == expected["price"].to_list()
    assert (frame["side"] == "sell").to_list() == (expected["side"] == 1).to_list()


def test_funding_says_what_kind_of_contract_pays(tmp_path: Path) -> None:
    payments = [(MONDAY + 7_000, 8, "0.00010000"), (MONDAY + 8 * HOUR_US + 3_000, 8, "-0.00001276")]
    paths = [
        funding_archive(tmp_path, "binance-futures", "BTCUSDT", "2024-04", payments),
        funding_archive(tmp_path, "binance-delivery", "BTCUSD_PERP", "2024-04", payments[:1]),
    ]
    frame = sql.query("SELECT * FROM api.funding_rate ORDER BY exchange, timestamp", lake=lake_with(tmp_path, paths))
    moment = dt.datetime(2024, 4, 29, tzinfo=dt.UTC)
    assert frame.select("exchange", "contract_type", "market", "timestamp", "funding_rate", "interval_hours").rows() == [
        ("binance-coinm-future", "INVERSE_PERPETUAL", "BTC-USD-PERP", moment, Decimal("0.0001"), 8.0),
        ("binance-usdm-future", "LINEAR_PERPETUAL", "BTC-USDT", moment, Decimal("0.0001"), 8.0),
        ("binance-usdm-future", "LINEAR_PERPETUAL", "BTC-USDT", moment + dt.timedelta(hours=8), Decimal("-0.00001276"), 8.0),
    ]
    assert frame["known_at"][1] == moment + dt.timedelta(milliseconds=7)


# --- instruments ------------------------------------------------------------------------------------------------------------------


def test_instruments_that_archives_tell_of(december: Lake) -> None:
    columns = "exchange, market, native_symbol, contract_type, expiration_type, expiration, contract_size, settle_asset"
    futures = sql.query(f"SELECT {columns} FROM api.market_future ORDER BY exchange, market", lake=december)
    delivery = dt.datetime(2025, 3, 28, 8, tzinfo=dt.UTC)
    assert futures.rows() == [
        ("binance-coinm-future", "BTC-USD-PERP", "BTCUSD_PERP", "INVERSE", "PERPETUAL", None, 100.0, "BTC"),
        ("binance-usdm-future", "BTC-USDT", "BTCUSDT", "LINEAR", "PERPETUAL", None, 1.0, "USDT"),
        ("binance-usdm-future", "BTC-USDT-2025-03-28", "BTCUSDT_250328", "LINEAR", "EXPIRING", delivery, 1.0, "USDT"),
    ]
    spot = sql.query("SELECT exchange, market, native_symbol, base_asset, quote_asset FROM api.market_spot", lake=december)
    assert spot.rows() == [("binance", "BTC-USDT", "BTCUSDT", "BTC", "USDT")]


def test_a_name_of_two_symbols_is_nobodys_market(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Candles of two instruments are never summed into one market: both go by the exchange's own symbols."""
    paths = [
        path
        for symbol in ("BTCUSDT", "BTCUSDC")
        for path in candles_archives(tmp_path, "binance-spot", symbol, "1d", [Candle(MONDAY, *["1"] * 4)])
    ]
    lake = lake_with(tmp_path, paths)
    registry = lake.registry()
    same = registry.frame.with_columns(market=pl.lit("BTC-USD"))
    monkeypatch.setattr(type(registry), "frame", property(lambda _: same))
    frame = sql.query("SELECT market, count() FROM api.ohlcv(candle_duration_in_minutes = 1440) GROUP BY market ORDER BY market", lake=lake)
    assert frame["market"].to_list() == ["BTCUSDC", "BTCUSDT"]
    assert sql.query("SELECT market FROM api.market_spot ORDER BY market", lake=lake)["market"].to_list() == ["BTCUSDC", "BTCUSDT"]


def test_what_no_instrument_is_known_of_does_not_land(tmp_path: Path) -> None:
    path = tmp_path / "data" / "spot" / "monthly" / "klines" / "ODDPAIR" / "1d" / "ODDPAIR-1d-2024-04.zip"
    odd = zipped(path, [f"{MONDAY},1,1,1,1,1,{MONDAY + DAY_US - 1},0,1,0,0,0\n"])
    (report,) = ingest(open_lake(tmp_path / "lake", create=True), [odd], sources=all_sources(), hints=Hints())
    assert report.outcome == "failed"
    assert "could not be read back" in str(report.problem)


def test_coverage_equals_what_was_ingested(tmp_path: Path) -> None:
    candles = walk(to_us("2024-03-31"), 2 * 1_440, MINUTE_US)
    paths = [
        *candles_archives(tmp_path, "binance-spot", "BTCUSDT", "1m", candles),
        trades_archive(tmp_path, "binance-futures", "BTCUSDT_250328", MONDAY, [(MONDAY, "1", "1", False)] * 3),
        trades_archive(tmp_path, "binance-futures", "BTCUSDT_250328", MONDAY + 2 * DAY_US, [(MONDAY + 2 * DAY_US, "1", "1", False)]),
    ]
    frame = sql.query("SELECT * FROM api.coverage ORDER BY kind", lake=lake_with(tmp_path, paths))
    assert frame.select(VIEWS["coverage"][:9]).rows() == [
        ("candles_1m", "binance", "BTC-USDT", "BTCUSDT", dt.date(2024, 3, 31), dt.date(2024, 4, 1), 2, 0, 2_880),
        ("trades", "binance-usdm-future", "BTC-USDT-2025-03-28", "BTCUSDT_250328", dt.date(2024, 4, 29), dt.date(2024, 5, 1), 2, 1, 4),
    ]
    # the second file of candles declares the whole of April; the trades are four in the first moment of two days
    missing = 29 * 1_440
    assert frame.select(VIEWS["coverage"][9:]).rows() == [
        (1 - missing / (31 * 1_440), missing * 60.0, 0, missing, 0, 0, 0, 0),
        (0.0, 3 * 86_400.0, 0, 0, 0, 0, 0, 0),
    ]


# --- saved studies ----------------------------------------------------------------------------------------------------------------


def study_of(lake: Lake) -> pointline.Study:
    window = {"start": "2024-05-01", "end": "2024-05-03"}
    return pointline.compare("binance-futures:BTCUSDT", "binance-spot:BTCUSDT", bars="auto", lake=lake, **window)


def test_a_saved_study_is_in_the_features(simulated: Lake, tmp_path: Path) -> None:
    lake = open_lake(tmp_path / "lake", create=True)
    study = study_of(simulated)
    path = study.save("first", lake=lake)
    assert path == lake.root / "studies" / "first.parquet"
    frame = sql.query("SELECT * FROM api.features WHERE study = 'first' ORDER BY start", lake=lake)
    assert frame.height == study.features.height > 0
    assert frame.columns[:8] == VIEWS["features"]
    assert set(study.features.columns) - {"bucket_start", "bucket_end"} == set(frame.columns[8:])
    assert set(frame.select("perp_exchange", "perp_market", "spot_exchange", "spot_market").rows()) == {
        ("binance-usdm-future", "BTC-USDT", "binance", "BTC-USDT")
    }
    assert frame["start"].cast(pl.Int64).to_list() == study.features["bucket_start"].to_list()
    assert (frame["known_at"] == frame["end"]).all()
    for name in ("basis_bps", "perp_volume", "spot_trade_count"):
        assert frame[name].to_list() == study.features[name].to_list()


def test_studies_of_different_columns_stand_under_one_another(tmp_path: Path) -> None:
    lake = open_lake(tmp_path / "lake", create=True)
    sides = {"perp_exchange": "a", "perp_market": "b", "spot_exchange": "c", "spot_market": "d"}
    bars = {"bucket_start": [MONDAY], "bucket_end": [MONDAY + 1]}
    save_study(lake, "one", pl.DataFrame({**bars, "x": [1], "flag": [True]}).with_columns(**{k: pl.lit(v) for k, v in sides.items()}))
    save_study(lake, "two", pl.DataFrame({**bars, "x": [2.5], "note": ["é"]}).with_columns(**{k: pl.lit(v) for k, v in sides.items()}))
    text = "SELECT study, x, flag, note FROM api.features ORDER BY study"
    assert sql.query(text, lake=lake).rows() == [("one", 1.0, True, None), ("two", 2.5, None, "é")]
    save_study(lake, "one", pl.DataFrame({**bars, "x": [7]}).with_columns(**{k: pl.lit(v) for k, v in sides.items()}))
    assert sql.query("SELECT study, x FROM api.features ORDER BY study", lake=lake).rows() == [("one", 7.0), ("two", 2.5)]
    saved_studies(lake)["two"].unlink()
    assert sql.query("SELECT study FROM api.features", lake=lake)["study"].to_list() == ["one"]


def test_saved_spreads_are_in_their_view(simulated: Lake, tmp_path: Path) -> None:
    lake = open_lake(tmp_path / "lake", create=True)
    window = {"start": "2024-05-01", "end": "2024-05-03", "duration": "1h"}
    study = pointline.spreads("BTC", reference="binance:BTC-USDT", lake=simulated, **window)
    assert study.save("hours", lake=lake) == lake.root / "studies" / "spreads" / "hours.parquet"
    frame = sql.query("SELECT * FROM api.spreads WHERE study = 'hours' ORDER BY start, exchange, market", lake=lake)
    expected = study.table.sort("start", "exchange", "market")
    assert frame.columns[:4] == VIEWS["spreads"]
    assert set(frame.columns) == {"study", *expected.columns}
    for name in ("start", "end", "known_at", "market", "close", "spot_close", "spread", "basis_kind"):
        assert frame[name].to_list() == expected[name].to_list(), name
    assert sql.query("SELECT count() AS n FROM api.features", lake=lake)["n"].item() == 0


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a b", "x" * 101])
def test_a_study_needs_a_name_that_a_file_can_have(simulated: Lake, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot have this name"):
        save_study(simulated, name, pl.DataFrame())


# --- lakes of one kind, and lakes that grow ---------------------------------------------------------------------------------------


def test_a_lake_of_trades_alone(tmp_path: Path) -> None:
    prints = [(MONDAY + n * MINUTE_US, str(100 + n), "1", False) for n in range(1_440)]
    lake = lake_with(tmp_path, [trades_archive(tmp_path, "binance-spot", "BTCUSDT", MONDAY, prints)])
    rows = sql.query("SELECT open, close, volume, source, complete FROM api.ohlcv(candle_duration_in_minutes = 1440)", lake=lake).rows()
    assert rows == [(Decimal(100), Decimal(1_539), Decimal(1_440), "trades", True)]
    assert sql.query("SELECT count() FROM api.trade", lake=lake).item() == 1_440


def test_a_lake_of_candles_alone(tmp_path: Path) -> None:
    paths = candles_archives(tmp_path, "binance-spot", "BTCUSDT", "1h", walk(MONDAY, 24, HOUR_US))
    lake = lake_with(tmp_path, paths)
    assert sql.query("SELECT count() FROM api.trade", lake=lake).item() == 0
    counts = [sql.query(f"SELECT count() FROM api.ohlcv(candle_duration_in_minutes = {n})", lake=lake).item() for n in (1, 60, 90, 1440)]
    assert counts == [0, 24, 0, 1]


def test_a_lake_that_grows_is_seen_at_the_next_query(tmp_path: Path) -> None:
    lake = open_lake(tmp_path / "lake", create=True)
    sources = "SELECT source, count() FROM api.ohlcv(candle_duration_in_minutes = 1440) GROUP BY source ORDER BY source"
    assert sql.query(sources, lake=lake).rows() == []
    add(lake, *candles_archives(tmp_path / "1", "binance-spot", "BTCUSDT", "1d", walk(MONDAY, 2, DAY_US)))
    assert sql.query(sources, lake=lake).rows() == [("candles_1d", 2)]
    add(lake, *candles_archives(tmp_path / "2", "binance-spot", "BTCUSDT", "1d", walk(MONDAY + 2 * DAY_US, 60, DAY_US)))
    assert sql.query(sources, lake=lake).rows() == [("candles_1d", 62)]
    day = MONDAY - DAY_US
    add(lake, trades_archive(tmp_path, "binance-spot", "BTCUSDT", day, [(day, "1", "1", False)]))
    assert sql.query(sources, lake=lake).rows() == [("candles_1d", 62), ("trades", 1)]


def test_a_corrected_file_takes_the_place_of_its_predecessor(tmp_path: Path) -> None:
    """The old file stays on the disk; its rows must not be counted with the new ones."""
    lake = lake_with(tmp_path, candles_archives(tmp_path / "1", "binance-spot", "BTCUSDT", "1d", [Candle(MONDAY, *["1"] * 4)]))
    text = "SELECT close, volume FROM api.ohlcv(candle_duration_in_minutes = 1440)"
    assert sql.query(text, lake=lake).rows() == [(1, 1)]
    add(lake, *candles_archives(tmp_path / "2", "binance-spot", "BTCUSDT", "1d", [Candle(MONDAY, *["2"] * 4)]))
    assert len(list(lake.table_path("candles_1d").rglob("*.parquet"))) == 2
    assert sql.query(text, lake=lake).rows() == [(2, 1)]


def test_instruments_learnt_later_name_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "data" / "spot" / "monthly" / "klines" / "ODDUSDT" / "1d" / "ODDUSDT-1d-2024-04.zip"
    lake = lake_with(tmp_path, [zipped(path, [f"{MONDAY},1,1,1,1,1,{MONDAY + DAY_US - 1},0,1,0,0,0\n"])])
    text = "SELECT market FROM api.ohlcv(candle_duration_in_minutes = 1440)"
    assert sql.query(text, lake=lake).item() == "ODD-USDT"
    listed = {
        "symbol": "ODDUSDT", "status": "TRADING", "baseAsset": "ODDU", "quoteAsset": "SDT",
        "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": "0.01", "minPrice": "0.01", "maxPrice": "100"},
            {"filterType": "LOT_SIZE", "stepSize": "0.1", "minQty": "0.1", "maxQty": "100"},
        ],
    }  # fmt: skip
    info = tmp_path / "exchangeInfo.json"
    info.write_text(
        json.dumps({"timezone": "UTC", "serverTime": MONDAY // 1000, "rateLimits": [], "exchangeFilters": [], "symbols": [listed]})
    )
    (report,) = ingest(lake, [info], sources=all_sources(), hints=Hints())
    assert report.outcome == "instruments", report
    assert sql.query(text, lake=lake).item() == "ODDU-SDT"
    assert sql.query("SELECT market, price_increment FROM api.market_spot", lake=lake).rows() == [("ODDU-SDT", 0.01)]
