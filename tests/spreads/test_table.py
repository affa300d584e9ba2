"""The long table: names, lives of contracts, several references, quotes, and what is refused."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import polars as pl
import pytest
from tests.spreads.market import COINBASE, COINM, SPOT, USDM, add_candles, day

import pointline
from pointline.clock import DAY_US, HOUR_US
from pointline.errors import ConfigError, LakeError, NoDataError, PointlineError, RegistryError

if TYPE_CHECKING:
    from pathlib import Path

    from pointline.lake.store import Lake

START = "2024-06-24"
DELIVERY = "2024-06-28"  # 08:00 UTC
REFERENCE = "binance:BTC-USDT"


def daily(*closes: float) -> dict[int, float | str]:
    return {day(START, n): close for n, close in enumerate(closes)}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A week of an ending and a later quarterly, perps linear and inverse, two coins, two spot venues and the price of USDT."""
    return add_candles(
        tmp_path_factory.mktemp("week"),
        {
            (SPOT, "BTCUSDT"): daily(100.0, 101.0, 102.0, 103.0, 104.0, 105.0, 106.0),
            (SPOT, "ETHUSDT"): daily(10.0, 10.1, 10.2, 10.3, 10.4, 10.5, 10.6),
            (SPOT, "SHIBUSDT"): daily(*["0.00001"] * 7),  # type: ignore[arg-type]
            (COINBASE, "BTC-USD"): daily(100.2, 101.3, 102.1, 103.4, 104.1, 105.6, 106.2),
            (COINBASE, "USDT-USD"): {k: v for k, v in daily(0.998, 0.999, 1.0, 1.001, 1.002, 1.0, 1.0).items() if k != day(START, 5)},
            (USDM, "BTCUSDT"): daily(100.1, 101.0, 101.9, 103.2, 104.0, 105.1, 106.0),
            (USDM, "BTCUSDT_240628"): daily(100.5, 101.4, 102.3, 103.2, 103.1),
            (USDM, "BTCUSDT_240927"): daily(103.0, 104.0, 105.0, 106.0, 107.0, 108.0, 109.0),
            (USDM, "ETHUSDT_240927"): daily(10.3, 10.4, 10.5, 10.6, 10.7, 10.8, 10.9),
            (USDM, "1000SHIBUSDT"): daily(*["0.0101"] * 7),  # type: ignore[arg-type]
            (COINM, "BTCUSD_PERP"): daily(99.9, 101.2, 102.4, 103.3, 104.6, 105.5, 106.8),
        },
    )


def week(lake: Lake, **options: object) -> pointline.Spreads:
    given = {"reference": REFERENCE, "start": START, "end": "2024-07-01", "lake": lake} | options
    return pointline.spreads(str(given.pop("base_asset", "BTC")), **given)  # type: ignore[arg-type]


# --- contracts --------------------------------------------------------------------------------------------------------------------


def test_all_derivatives_of_the_asset_are_taken_in_name_order(lake: Lake) -> None:
    assert week(lake).contracts == (
        "binance-coinm-future:BTC-USD-PERP",
        "binance-usdm-future:BTC-USDT",
        "binance-usdm-future:BTC-USDT-2024-06-28",
        "binance-usdm-future:BTC-USDT-2024-09-27",
    )


@pytest.mark.parametrize(
    "name",
    [
        "binance-usdm-future:BTC-USDT-2024-09-27",
        "binance-futures:BTC-USDT-2024-09-27",
        "binance-futures:BTCUSDT_240927",
        "binance-usdm-future:btcusdt_240927",
        " binance-futures : BTCUSDT_240927 ",
    ],
)
def test_a_contract_goes_by_each_of_its_names(lake: Lake, name: str) -> None:
    found = week(lake, contracts=name)
    assert found.contracts == ("binance-usdm-future:BTC-USDT-2024-09-27",)
    assert found.table.select("exchange", "market").unique().rows() == [("binance-usdm-future", "BTC-USDT-2024-09-27")]


@pytest.mark.parametrize("name", ["binance:BTC-USDT", "binance-spot:BTCUSDT", "binance-spot:BTC-USDT"])
def test_so_does_the_reference(lake: Lake, name: str) -> None:
    assert week(lake, reference=name).references == ("binance:BTC-USDT",)


def test_the_asset_is_read_in_any_case(lake: Lake) -> None:
    assert week(lake, base_asset=" btc ").base_asset == "BTC"


def test_another_coin_and_a_contract_on_a_thousand_coins(lake: Lake) -> None:
    eth = week(lake, base_asset="ETH", reference="binance:ETH-USDT")
    assert eth.table["spread"].to_list() == pytest.approx([0.3] * 7)
    shib = week(lake, base_asset="SHIB", reference="binance:SHIB-USDT")
    row = shib.table.row(0, named=True)
    assert (row["market"], row["close"], row["price_factor"]) == ("1000SHIB-USDT", 0.0101, 1000.0)
    assert (row["spot_close"], row["spread_pct"]) == pytest.approx((0.01, 1.0))


# --- lives ------------------------------------------------------------------------------------------------------------------------


def test_the_day_of_delivery_has_no_close_of_its_own_end(lake: Lake) -> None:
    """Delivered on the 28th at 08:00: the candle of the 27th is the last that ends before."""
    ending = week(lake).table.filter(pl.col("market") == "BTC-USDT-2024-06-28")
    assert ending["day"].to_list() == [dt.date(2024, 6, 24 + n) for n in range(4)]
    assert ending["days_to_expiry"].to_list() == pytest.approx([3 + 8 / 24, 2 + 8 / 24, 1 + 8 / 24, 8 / 24], abs=1e-12)
    rates = ending["annualised_simple_pct"].to_list()
    assert rates[:3] == pytest.approx([0.5 * 365 / (3 + 1 / 3), 0.4 / 101 * 100 * 365 / (2 + 1 / 3), 0.3 / 102 * 100 * 365 / (1 + 1 / 3)])
    assert rates[3] is None  # the last day


def test_an_hourly_candle_may_end_at_the_delivery(tmp_path: Path) -> None:
    hours = {day(DELIVERY) + n * HOUR_US: 100.0 + n for n in range(12)}
    lake = add_candles(tmp_path, {(SPOT, "BTCUSDT"): hours, (USDM, "BTCUSDT_240628"): hours}, interval="1h")
    table = pointline.spreads("BTC", reference=REFERENCE, start=DELIVERY, through=DELIVERY, duration="1h", lake=lake).table
    assert table["days_to_expiry"].to_list() == pytest.approx([(8 - n) / 24 for n in range(1, 9)])
    assert table["annualised_simple_pct"].null_count() == 8


def test_exactly_one_day_is_not_the_last_day(tmp_path: Path) -> None:
    at = {day("2024-06-27") + 7 * HOUR_US: 101.0, day("2024-06-27") + 8 * HOUR_US: 101.0}
    spot = dict.fromkeys(at, 100.0)
    lake = add_candles(tmp_path, {(SPOT, "BTCUSDT"): spot, (USDM, "BTCUSDT_240628"): at}, interval="1h")
    window = {"start": "2024-06-27 07:00", "end": "2024-06-27 09:00", "duration": "1h"}
    table = pointline.spreads("BTC", reference=REFERENCE, lake=lake, **window).table
    assert table["days_to_expiry"].to_list() == [1.0, 23 / 24]
    assert table["annualised_simple_pct"].to_list() == [pytest.approx(365.0), None]


def test_missing_days_of_either_side(tmp_path: Path) -> None:
    perp, spot = daily(101.0, 102.0, 103.0, 104.0), daily(100.0, 100.0, 100.0, 100.0)
    del perp[day(START, 1)], spot[day(START, 1)], spot[day(START, 2)]
    lake = add_candles(tmp_path, {(SPOT, "BTCUSDT"): spot, (USDM, "BTCUSDT"): perp})
    found = pointline.spreads("BTC", reference=REFERENCE, start=START, through="2024-06-27", lake=lake)
    assert found.table["spread"].to_list() == [1.0, None, None, 4.0]
    assert found.table["close"].to_list() == [101.0, None, 103.0, 104.0]
    (row,) = found.statistics.to_dicts()
    assert (row["candles"], row["missing"], row["missing_close"], row["missing_spot"]) == (4, 2, 1, 2)
    assert (row["mean_spread"], row["min_spread"], row["max_spread"]) == (2.5, 1.0, 4.0)
    assert (row["first"].day, row["last"].day) == (24, 27)
    assert [note for note in found.notes if "2 of 4 candles are missing (1 of the contract, 2 of the reference)" in note] != []


def test_days_before_the_first_close_are_missing_not_absent(tmp_path: Path) -> None:
    """Without exchange information nobody knows when a contract was listed."""
    lake = add_candles(tmp_path, {(SPOT, "BTCUSDT"): daily(1.0, 1.0, 1.0), (USDM, "BTCUSDT_240927"): {day(START, 2): 1.1}})
    (row,) = pointline.spreads("BTC", reference=REFERENCE, start=START, through="2024-06-26", lake=lake).statistics.to_dicts()
    assert (row["candles"], row["missing"]) == (3, 2)


def test_a_contract_without_a_close_in_the_window_is_left_out_and_named(tmp_path: Path) -> None:
    lake = add_candles(
        tmp_path,
        {(SPOT, "BTCUSDT"): daily(1.0, 1.0, 1.0), (USDM, "BTCUSDT"): daily(1.1, 1.1, 1.1), (USDM, "BTCUSDT_240927"): {day(START, 4): 1.1}},
    )
    found = pointline.spreads("BTC", reference=REFERENCE, start=START, through="2024-06-26", lake=lake)
    assert found.contracts == ("binance-usdm-future:BTC-USDT",)
    assert any("left out" in note and "BTC-USDT-2024-09-27" in note for note in found.notes)


def test_known_at_is_the_end_of_the_candle(lake: Lake) -> None:
    table = week(lake).table
    assert (table["known_at"] == table["end"]).all()
    assert (table["end"] - table["start"] == dt.timedelta(days=1)).all()
    assert table["known_at"].min() == dt.datetime(2024, 6, 25, tzinfo=dt.UTC)


# --- quotes -----------------------------------------------------------------------------------------------------------------------


def test_a_usd_contract_is_converted_with_the_close_of_the_same_candle(lake: Lake) -> None:
    """99.9 USD at 0.998 USD for a USDT are 100.1002 USDT; on the 29th there is no rate."""
    found = week(lake, contracts="binance-coinm-future:BTC-USD-PERP")
    table = found.table
    assert table["cross_quote"].to_list() == [True] * 7
    assert table["spread"].to_list() == pytest.approx([-0.1, 0.2, 0.4, 0.3, 0.6, 0.5, 0.8])
    expected = [99.9 / 0.998 - 100, 101.2 / 0.999 - 101, 0.4, 103.3 / 1.001 - 103, 104.6 / 1.002 - 104, None, 0.8]
    assert table["converted_spread"].to_list() == [None if value is None else pytest.approx(value) for value in expected]
    assert table["converted_spread_pct"][0] == pytest.approx((99.9 / 0.998 - 100) / 100 * 100)
    assert table["quote_rate"][0] == pytest.approx(1 / 0.998)
    assert table["rate_market"].to_list() == ["coinbase:USDT-USD"] * 5 + [None] + ["coinbase:USDT-USD"]
    assert table["basis_kind"].to_list() == ["converted"] * 5 + ["cross_quote", "converted"]
    assert any("coinbase:USDT-USD (1 of 7 rows have no rate)" in note for note in found.notes)


def test_the_same_rate_serves_the_other_way_round(lake: Lake) -> None:
    """A USDT contract against a USD spot: 100.1 USDT at 0.998 are 99.8998 USD."""
    table = week(lake, reference="coinbase:BTC-USD", contracts="binance-usdm-future:BTC-USDT").table
    assert table["quote_rate"][0] == 0.998
    assert table["converted_spread"][0] == pytest.approx(100.1 * 0.998 - 100.2)
    like = week(lake, reference="coinbase:BTC-USD", contracts="binance-coinm-future:BTC-USD-PERP").table
    assert like["cross_quote"].to_list() == [False] * 7
    assert like["converted_spread"].to_list() == like["spread"].to_list()
    assert (like["basis_kind"].unique().to_list(), like["quote_rate"].unique().to_list()) == (["like_quote"], [1.0])


def test_without_a_rate_the_spread_says_so(tmp_path: Path) -> None:
    lake = add_candles(tmp_path, {(SPOT, "BTCUSDT"): daily(100.0), (COINM, "BTCUSD_240927"): daily(102.0)})
    found = pointline.spreads("BTC", reference=REFERENCE, start=START, through=START, lake=lake)
    row = found.table.row(0, named=True)
    assert (row["cross_quote"], row["basis_kind"], row["converted_spread"], row["rate_market"]) == (True, "cross_quote", None, None)
    assert row["annualised_simple_pct"] == pytest.approx(2 * 365 / row["days_to_expiry"])
    assert any("the lake has no market of USD and USDT" in note for note in found.notes)


def test_the_reference_s_own_exchange_has_the_first_word_on_the_rate(tmp_path: Path) -> None:
    """Two markets of USDT in USD: the one beside the reference is used, the other where that one has no close."""
    rate: dict[int, float | str] = {day(START): 0.9}
    usdt = {(SPOT, "USDTUSD"): rate, (COINBASE, "USDT-USD"): daily(0.8, 0.8)}
    lake = add_candles(tmp_path, {(SPOT, "BTCUSDT"): daily(100.0, 100.0), (COINM, "BTCUSD_PERP"): daily(90.0, 80.0), **usdt})
    table = pointline.spreads("BTC", reference=REFERENCE, start=START, through="2024-06-25", lake=lake).table
    assert table["rate_market"].to_list() == ["binance:USDT-USD", "coinbase:USDT-USD"]
    assert table["converted_close"].to_list() == pytest.approx([100.0, 100.0])


def test_annualised_rates_are_made_of_the_converted_spread(tmp_path: Path) -> None:
    usdt = {(COINBASE, "USDT-USD"): daily(0.5)}
    lake = add_candles(tmp_path, {(SPOT, "BTCUSDT"): daily(100.0), (COINM, "BTCUSD_240927"): daily(51.0), **usdt})
    row = pointline.spreads("BTC", reference=REFERENCE, start=START, through=START, lake=lake).table.row(0, named=True)
    assert (row["spread_pct"], row["converted_spread_pct"]) == pytest.approx((-49.0, 2.0))
    assert row["annualised_simple_pct"] == pytest.approx(2 * 365 / (94 + 8 / 24))


# --- several references -----------------------------------------------------------------------------------------------------------


def test_the_triangle_closes(lake: Lake) -> None:
    found = week(lake, reference=[REFERENCE, "coinbase:BTC-USD"], contracts="binance-coinm-future:BTC-USD-PERP")
    assert found.table.height == 14
    rows = found.triangle().to_dicts()
    assert len(rows) == 7
    first = rows[0]
    assert (first["reference_first"], first["reference_second"]) == (REFERENCE, "coinbase:BTC-USD")
    assert (first["spread_first"], first["spread_second"], first["reference_spread"]) == pytest.approx((-0.1, -0.3, 0.2))
    assert first["reference_spread_pct"] == pytest.approx(0.2)
    assert (first["cross_quote_first"], first["cross_quote_second"], first["reference_cross_quote"]) == (True, False, True)
    assert all(row["spread_first"] - row["spread_second"] == pytest.approx(row["reference_spread"]) for row in rows)


def test_one_reference_makes_no_triangle(lake: Lake) -> None:
    with pytest.raises(ConfigError, match="needs two references"):
        week(lake).triangle()


# --- what is refused --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"base_asset": "DOGE"}, NoDataError, "no perpetual or dated future of DOGE"),
        ({"base_asset": "ETH"}, ConfigError, "another asset"),
        ({"reference": []}, ConfigError, "a reference is needed"),
        ({"reference": "BTC-USDT"}, ConfigError, "exchange and market"),
        ({"reference": "binance:BTC-USDC"}, RegistryError, "unknown on this exchange"),
        ({"reference": "kraken:BTC-USD"}, RegistryError, "no instrument of this exchange"),
        ({"reference": "binance-usdm-future:BTC-USDT"}, ConfigError, "not a spot market"),
        ({"reference": "binance:ETH-USDT"}, ConfigError, "another asset"),
        ({"reference": [REFERENCE, "binance-spot:BTCUSDT"]}, ConfigError, "named twice"),
        ({"contracts": []}, ConfigError, "no contract"),
        ({"contracts": "binance:BTC-USDT"}, ConfigError, "a spot market is no contract"),
        ({"contracts": "binance-usdm-future:ETH-USDT-2024-09-27"}, ConfigError, "another asset"),
        ({"contracts": ["binance-futures:BTCUSDT", "binance-usdm-future:BTC-USDT"]}, ConfigError, "named twice"),
        ({"contracts": "binance-usdm-future:BTC-USDT-2030-09-27"}, RegistryError, "unknown on this exchange"),
        ({"contracts": "binance-usdm-future:BTC-USDT-2024-06-28", "start": "2024-06-29"}, ConfigError, "delivered before the window"),
        ({"contracts": "binance-usdm-future:BTC-USDT", "start": "2024-07-01", "end": "2024-07-02"}, NoDataError, "no closes of 1d candles"),
        ({"start": "2024-07-01", "end": "2024-07-02"}, NoDataError, "has a close|no perpetual"),
        ({"duration": "1h"}, NoDataError, "no perpetual or dated future of BTC with closes"),
        ({"max_trade_age": "0s"}, ConfigError, "must be positive"),
    ],
)
def test_wrong_requests(lake: Lake, options: dict[str, object], error: type[PointlineError], words: str) -> None:
    with pytest.raises(error, match=words):
        week(lake, **options)


def test_a_lake_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="no lake here"):
        pointline.spreads("BTC", reference=REFERENCE, start=START, through=START, lake=tmp_path / "nowhere")


def test_a_reference_without_closes_in_the_window(tmp_path: Path) -> None:
    lake = add_candles(tmp_path, {(SPOT, "BTCUSDT"): {day(START) + 40 * DAY_US: 1.0}, (USDM, "BTCUSDT"): daily(1.0)})
    with pytest.raises(NoDataError, match="no closes of 1d candles of binance-spot:BTCUSDT"):
        pointline.spreads("BTC", reference=REFERENCE, start=START, through=START, lake=lake)
