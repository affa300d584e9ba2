"""Contracts are base units through every door; unknown sides and off-book prints are what they are in Python and in SQL."""

from __future__ import annotations

import dataclasses
import shutil
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from tests.archives import Print, lake_of

from pointline import compare, sql
from pointline.bars.threshold import daily_amount
from pointline.bars.trade_events import last_trade_before
from pointline.clock import DAY_US, HOUR_US, MINUTE_US, to_us
from pointline.curves.closes import closes
from pointline.curves.grid import CandleGrid
from pointline.errors import ConfigError
from pointline.ingest.run import ingest
from pointline.instruments import Registry, funding_payment
from pointline.lake.partition import Feed, write_partition
from pointline.lake.store import open_lake
from pointline.research import query
from pointline.research.query import decode
from pointline.research.spines import ImbalanceBarConfig, TimeBarConfig, TradeBarConfig, VolumeBarConfig, get_builder
from pointline.sources.base import Hints
from pointline.sources.families import all_sources
from pointline.state.attach import StateParams
from pointline.state.feeds import StateReader

if TYPE_CHECKING:
    from pathlib import Path

    from pointline.lake.store import Lake
    from pointline.research.spines import BarRule

DAY = to_us("2024-05-02")
SWAP, SPOT = ("okx-swap", "BTC-USDT-SWAP"), ("okx-spot", "BTC-USDT")
WINDOW = ("2024-05-02", "2024-05-03")
TRADES = """kind = "trades"
exchange = "{}"
symbol = "{}"
[columns]
ts_event_us = {{ column = "time", unit = "us" }}
trade_id = "id"
price = "price"
qty = "size"
side = {{ column = "side", seller_taker = ["sell"] }}
"""
CANDLES = """kind = "candles_1m"
exchange = "okx-swap"
symbol = "BTC-USDT-SWAP"
[columns]
start_us = { column = "start", unit = "us" }
open = "price"
high = "price"
low = "price"
close = "price"
volume = "volume"
taker_buy_volume = "bought"
"""
INTEREST = """kind = "{}"
exchange = "okx-swap"
symbol = "BTC-USDT-SWAP"
[columns]
ts_event_us = {{ column = "time", unit = "us" }}
open_interest = "contracts"
"""
QUOTES = """kind = "quotes"
exchange = "okx-swap"
symbol = "BTC-USDT-SWAP"
[columns]
ts_event_us = { column = "time", unit = "us" }
bid_price = "bid"
bid_qty = "bid_size"
ask_price = "ask"
ask_qty = "ask_size"
"""


def add(lake: Lake, folder: Path, name: str, mapping: str, rows: pl.DataFrame) -> None:
    table, rules = folder / f"{name}.csv", folder / f"{name}.toml"
    rows.write_csv(table)
    rules.write_text(mapping, encoding="utf-8")
    (report,) = ingest(lake, [table], sources=all_sources("table"), hints=Hints(mapping=rules))
    assert (report.outcome, report.problem) == ("landed", None)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """600 trades of 10 contracts of 0.01 coins against 600 of 0.1 coins, and what else counts contracts."""
    folder = tmp_path_factory.mktemp("okx")
    lake = open_lake(folder / "lake", create=True)
    numbers = pl.int_range(600, eager=True)
    sides = pl.Series("side", ["buy", "sell", "buy"] * 200)
    times = DAY + 12 * HOUR_US + numbers * 500_000
    for name, size, later in ((SWAP, 10, 0), (SPOT, 0.1, 100_000)):
        rows = pl.DataFrame(
            {"time": times + later, "id": numbers + 1, "price": 60_000.0 + numbers % 10, "size": [size] * 600, "side": sides}
        )
        add(lake, folder, name[0], TRADES.format(*name), rows)
    minutes = pl.DataFrame({"start": [DAY, DAY + MINUTE_US], "price": [60_000.0, 60_001.5], "volume": [650, 7], "bought": [11, 0]})
    add(lake, folder, "candles", CANDLES, minutes)
    interest = pl.DataFrame({"time": [DAY + 12 * HOUR_US], "contracts": [123_457]})
    for kind in ("open_interest", "derivative_ticker"):
        add(lake, folder, kind, INTEREST.format(kind), interest)
    quotes = pl.DataFrame({"time": [DAY + 5], "bid": [59_999.9], "bid_size": [1_235], "ask": [60_000.1], "ask_size": [3]})
    add(lake, folder, "quotes", QUOTES, quotes)
    return lake


def test_linear_contracts_are_base_units_in_every_query(lake: Lake) -> None:
    trades = query.trades(*SWAP, *WINDOW, lake=lake)
    assert trades["qty"].unique().to_list() == [0.1]
    assert trades["qty_contracts"].unique().to_list() == [10.0]
    assert query.trades(*SWAP, *WINDOW, decoded=False, lake=lake)["qty_int"].unique().to_list() == [10]
    assert "qty_contracts" not in query.trades(*SPOT, *WINDOW, lake=lake).columns
    quotes = query.quotes(*SWAP, *WINDOW, lake=lake).select("bid_qty", "ask_qty", "bid_qty_contracts", "ask_qty_contracts")
    assert quotes.row(0) == (12.35, 0.03, 1235.0, 3.0)
    candles = query.candles(*SWAP, *WINDOW, lake=lake)
    assert candles["volume"].to_list() == [6.5, 0.07]
    assert candles["volume_contracts"].to_list() == [650.0, 7.0]
    assert candles["taker_buy_volume"].to_list() == [0.11, 0.0]
    assert query.candles(*SWAP, *WINDOW, decoded=False, lake=lake)["volume"].to_list() == [Decimal(650), Decimal(7)]
    for call in (query.open_interest, query.derivative_ticker):
        found = call(*SWAP, *WINDOW, lake=lake)
        assert found.select("open_interest", "open_interest_contracts").row(0) == (1234.57, 123_457.0)


def test_linear_contracts_are_base_units_in_a_comparison(lake: Lake) -> None:
    study = compare(":".join(SWAP), ":".join(SPOT), start=WINDOW[0], end=WINDOW[1], bars=VolumeBarConfig(1), lake=lake)
    assert study.features.filter("complete").height == 60
    assert study.summary["perp_volume_base"] == pytest.approx(60, rel=1e-12)
    assert study.summary["volume_ratio"] == pytest.approx(1, rel=1e-12)
    assert study.bars["perp_quote_volume"].sum() == pytest.approx(study.bars["spot_quote_volume"].sum(), rel=1e-12)
    assert study.features["oi_close"].drop_nulls().unique().to_list() == [1234.57]
    (day,) = lake.files("trades", *SWAP)
    assert daily_amount(day, lake.registry().find(*SWAP, DAY), "volume") == 60


def test_sql_counts_the_same_as_python(lake: Lake) -> None:
    quantities = sql.query("SELECT exchange, sum(quantity) AS base FROM api.trade GROUP BY exchange ORDER BY exchange", lake=lake)
    assert quantities.rows() == [("okx-spot", Decimal(60)), ("okx-swap", Decimal(60))]
    text = "SELECT exchange, source, sum(volume) AS base FROM api.ohlcv(candle_duration_in_minutes = 1) GROUP BY ALL ORDER BY exchange"
    minutes = sql.query(text, lake=lake)
    assert minutes.rows() == [("okx-spot", "trades", Decimal(60)), ("okx-swap", "candles_1m", Decimal("6.57"))]
    assert sql.query("SELECT contract_size FROM api.market_future", lake=lake)["contract_size"].to_list() == [Decimal("0.01")]


def test_inverse_quotes_and_open_interest_say_their_units() -> None:
    instrument = Registry().with_derived("binance-delivery", "BTCUSD_PERP").find("binance-delivery", "BTCUSD_PERP", DAY)
    amounts = {
        "bid_price_int": 50_000,
        "bid_qty_int": 10,
        "ask_price_int": 62_500,
        "ask_qty_int": 5,
        "price_decimals": 0,
        "qty_decimals": 0,
    }
    quotes = empty_row("quotes", **amounts)
    found = decode(quotes, "quotes", instrument).collect()
    assert found.select("bid_qty", "ask_qty", "bid_qty_contracts", "ask_qty_contracts").row(0) == (0.02, 0.008, 10.0, 5.0)
    interest = decode(empty_row("open_interest", open_interest=10.0, open_interest_value=0.02), "open_interest", instrument).collect()
    assert "open_interest_value" not in interest.columns
    assert interest.select("open_interest", "open_interest_value_base").row(0) == (10.0, 0.02)
    candle = decode(empty_row("candles_1m", volume=Decimal(7), base_volume=Decimal("0.014")), "candles_1m", instrument).collect()
    assert candle.select("volume", "base_volume").row(0) == (7.0, 0.014)


def empty_row(kind: str, **values: Any) -> pl.LazyFrame:  # noqa: ANN401
    from pointline.lake.store import stored_columns

    columns = stored_columns(kind)
    return pl.DataFrame([{**dict.fromkeys(columns), **values}], schema=columns).lazy()


@pytest.mark.parametrize("contract_type", ["linear", "inverse"])
@pytest.mark.parametrize("kind", ["trades", "quotes"])
def test_a_contract_of_unknown_size_has_no_quantity(contract_type: str, kind: str) -> None:
    known = Registry().with_derived(*SWAP).find(*SWAP, DAY)
    unknown = dataclasses.replace(known, contract_type=contract_type, contract_size=None)
    with pytest.raises(ConfigError, match=f"contract size of this {contract_type} contract") as caught:
        decode(empty_row(kind), kind, unknown)
    assert "okx-swap:BTC-USDT-SWAP" in str(caught.value)
    with pytest.raises(ConfigError, match="contract size"):
        funding_payment(unknown, 1.0, 0.0001, 60_000.0)
    if contract_type == "linear":
        for other in ("candles_1m", "open_interest", "derivative_ticker"):
            with pytest.raises(ConfigError, match="contract size"):
                decode(empty_row(other), other, unknown)


def test_sql_has_no_quantity_of_a_contract_of_unknown_size(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Null, since one contract must not make a statement about all others fail."""
    unsized = lake.registry().observations.with_columns(contract_size=pl.when(pl.col("contract_size") == 1).then("contract_size"))
    other = open_lake(shutil.copytree(lake.root, tmp_path / "copy"))
    monkeypatch.setattr(other, "registry", lambda: Registry(unsized))
    text = "SELECT exchange, sum(quantity) AS base, count() AS rows FROM api.trade GROUP BY exchange ORDER BY exchange"
    found = sql.query(text, lake=other)
    assert found.rows() == [("okx-spot", Decimal(60), 600), ("okx-swap", None, 600)]


# --- a dated future


def test_a_dated_future_has_no_funding(tmp_path: Path) -> None:
    dated = Registry().with_derived("binance-futures", "BTCUSDT_240628").find("binance-futures", "BTCUSDT_240628", DAY)
    bars = pl.DataFrame({"bucket_start": [DAY, DAY + 10], "bucket_end": [DAY + 10, DAY + 20]})
    for params in (StateParams(), StateParams(default_interval_hours=8.0)):
        state = StateReader(open_lake(tmp_path / "lake", create=True), dated, params).attach(bars)
        funding = [name for name in state.columns if "funding" in name]
        assert {"funding_close", "seconds_to_funding", "funding_interval_hours"} < set(funding)
        assert state.select(funding).null_count().row(0) == (2,) * len(funding)


# --- sides and flags in a lake

PERP, PERP_SPOT = ("binance-futures", "BTCUSDT"), ("binance-spot", "BTCUSDT")
PRINTS: list[Print] = [(DAY + HOUR_US * k, str(60_000 + k), "1", k % 2 == 0) for k in range(8)]


@pytest.fixture
def marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """Hourly trades; the side of that of 02:00 is not known, those of 04:00 and 07:00 are flagged."""
    lake = lake_of(tmp_path, {PERP: PRINTS, PERP_SPOT: PRINTS})
    monkeypatch.setattr("pointline.lake.rows.check_content", lambda _: None)  # the files below are no longer what they are called
    for name in (PERP, PERP_SPOT):
        (file,) = lake.files("trades", *name)
        rows = pl.Series(range(8))
        stored = pl.read_parquet(file.path, glob=False, hive_partitioning=False).with_columns(
            side=pl.when(rows != 2).then("side"), off_book=rows.is_in([4, 7])
        )
        feeds = [Feed.read(feed) for feed in file.footer["feeds"]]
        write_partition(file.path, stored, "trades", feeds)
    return lake


def test_python_shows_flags_and_leaves_them_out_of_bars(marked: Lake) -> None:
    trades = query.trades(*PERP, *WINDOW, lake=marked)
    assert trades["side"].to_list() == [1, 0, None, 0, 1, 0, 1, 0]
    assert trades["off_book"].to_list() == [k in {4, 7} for k in range(8)]
    options: dict[str, Any] = {"start": WINDOW[0], "end": WINDOW[1], "bars": TimeBarConfig("1h"), "lake": marked}
    bars = compare(":".join(PERP), ":".join(PERP_SPOT), **options).bars
    assert bars["perp_trade_count"].to_list()[:8] == [1, 1, 1, 1, 0, 1, 1, 0]
    assert bars["perp_close"].to_list()[:8] == [60_000.0, 60_001.0, 60_002.0, 60_003.0, 60_003.0, 60_005.0, 60_006.0, 60_006.0]
    assert [row is None for row in bars["perp_buy_volume"].to_list()[:8]] == [k == 2 for k in range(8)]
    both = compare(":".join(PERP), ":".join(PERP_SPOT), **options, include_off_book=True).bars
    assert both["perp_trade_count"].to_list()[:8] == [1] * 8
    dual = compare(":".join(PERP), ":".join(PERP_SPOT), **options, spot_bars=TimeBarConfig("1h"))
    assert dual.bars["spot_buy_volume"].to_list()[:4] == [0.0, 1.0, None, 1.0]
    assert dual.summary["spot_trades"] == 6
    assert dual.features["perp_flow_imbalance"].to_list()[:4] == [-1.0, 1.0, None, 1.0]


def test_last_prices_pass_over_flagged_prints(marked: Lake) -> None:
    perp = marked.registry().find(*PERP, DAY)
    assert last_trade_before(marked, perp, DAY + DAY_US) == (60_006.0, DAY + 6 * HOUR_US)
    assert last_trade_before(marked, perp, DAY + 5 * HOUR_US) == (60_003.0, DAY + 3 * HOUR_US)
    assert last_trade_before(marked, perp, DAY + 5 * HOUR_US, include_off_book=True) == (60_004.0, DAY + 4 * HOUR_US)
    assert last_trade_before(marked, perp, DAY + DAY_US, include_off_book=True) == (60_007.0, DAY + 7 * HOUR_US)
    grid = CandleGrid(start_us=DAY, end_us=DAY + DAY_US, duration_us=HOUR_US)
    found = closes(marked, *PERP, grid, max_trade_age_us=HOUR_US)
    assert found["close"].to_list() == [float(60_000 + k) for k in range(8) if k not in {4, 7}]


def test_spines_leave_flagged_prints_out_and_refuse_unknown_sides(marked: Lake) -> None:
    options: dict[str, Any] = {
        "symbol_id": marked.registry().find(*PERP, DAY).symbol_id,
        "start_ts_us": DAY,
        "end_ts_us": DAY + DAY_US,
        "lake": marked,
    }
    build = get_builder("volume").build_spine
    assert build(config=VolumeBarConfig(1), **options)["complete"].sum() == 6
    assert build(config=VolumeBarConfig(1), include_off_book=True, **options)["complete"].sum() == 8
    with pytest.raises(ConfigError, match="side of every trade"):
        get_builder("imbalance").build_spine(config=ImbalanceBarConfig(1), **options)


def test_sql_shows_flags_and_leaves_them_out_of_candles(marked: Lake) -> None:
    trades = sql.query("SELECT side, off_book FROM api.trade WHERE exchange = 'binance' ORDER BY timestamp", lake=marked)
    assert trades["side"].to_list() == ["sell", "buy", None, "buy", "sell", "buy", "sell", "buy"]
    assert trades["off_book"].to_list() == [k in {4, 7} for k in range(8)]
    text = "SELECT close, volume, count FROM api.ohlcv(candle_duration_in_minutes = 1440) WHERE exchange = 'binance'"
    assert sql.query(text, lake=marked).rows() == [(Decimal(60_006), Decimal(6), 6)]


# --- real trades


@pytest.mark.parametrize("bars", [TradeBarConfig(1), VolumeBarConfig("0.01"), VolumeBarConfig(1), TimeBarConfig("1s")], ids=str)
def test_the_vwap_of_real_inverse_trades_lies_inside_their_prices(real: Lake, bars: BarRule) -> None:
    """And is right to 1e-12, by fractions."""
    study = compare("binance-delivery:BTCUSD_PERP", "binance-spot:BTCUSDT", start="2024-08-08", end="2024-08-10", bars=bars, lake=real)
    stored = query.trades("binance-delivery", "BTCUSD_PERP", "2024-08-08", "2024-08-10", decoded=False, lake=real)
    columns = stored.select("ts_local_us", "price_int", "price_decimals", "qty_int", "qty_decimals")
    prints = [(us, Fraction(price, 10**p), Fraction(qty, 10**q)) for us, price, p, qty, q in columns.iter_rows()]
    traded = study.bars.filter(pl.col("perp_trade_count") > 0)
    assert traded.height > 50
    for start, end, vwap, low, high in traded.select("bucket_start", "bucket_end", "perp_vwap", "perp_low", "perp_high").iter_rows():
        inside = [(price, contracts) for us, price, contracts in prints if start <= us < end]
        exact = sum(contracts for _, contracts in inside) / sum(contracts / price for price, contracts in inside)
        assert low <= vwap <= high
        assert abs(Fraction(vwap) - exact) <= exact / 10**12


@pytest.fixture(scope="module")
def real(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = open_lake(tmp_path_factory.mktemp("real") / "lake", create=True)
    recordings = [
        shared_data / "ticks_btc_20240808" / name for name in ("binance_coinm_btcusd_perp_20240808.gz", "binance_spot_btcusdt_20240808.gz")
    ]
    reports = ingest(lake, recordings, sources=all_sources("recorded"), hints=Hints(clock="event"))
    assert [report.outcome for report in reports] == ["landed", "landed"]
    return lake
