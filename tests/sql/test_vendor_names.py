"""The columns that the specification's vendor documents, in their order and with their types, and queries as written for its pages."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from tests.sql.markets import Candle, candles_archives, funding_archive, lake_with

from pointline import sql
from pointline.clock import HOUR_US, to_us
from pointline.errors import QueryNote

if TYPE_CHECKING:
    from pathlib import Path

    from pointline.lake.store import Lake

WIDE, MOMENT = "Decimal(76, 20)", "DateTime64(9, 'UTC')"
# Nullable where a value can be missing: candles without a trade, sides that are not known, contracts without an end or a known size.
COLUMNS = {
    "trade": {
        "exchange": "String", "market": "String", "side": "Nullable(String)", "quantity": WIDE, "price": WIDE, "timestamp": MOMENT,
        "trade_id": "String",
    },
    "ohlcv(candle_duration_in_minutes = 60)": {
        "start": "DateTime('UTC')", "end": "DateTime('UTC')", "exchange": "String", "market": "String",
        **dict.fromkeys(("open", "high", "low", "close", "volume"), f"Nullable({WIDE})"),
        "count": "Nullable(Int64)", "duration_minutes": "UInt32",
    },
    "funding_rate": {
        "exchange": "String", "contract_type": "String", "market": "String", "timestamp": MOMENT, "funding_rate": f"Nullable({WIDE})",
        "rate": f"Nullable({WIDE})",
    },
    "market_spot": dict.fromkeys(("exchange", "market_symbol", "base_asset", "quote_asset", "exchange_specific_symbol"), "String"),
    "market_future": {
        **dict.fromkeys(
            ("exchange", "market_symbol", "underlying_asset", "quote_asset", "settling_asset", "denomination_asset"), "String"
        ),
        "expiration": f"Nullable({MOMENT})", "contract_size": "Nullable(Decimal(38, 18))",
        **dict.fromkeys(("contract_type", "future_type", "exchange_specific_symbol"), "String"),
    },
}  # fmt: skip
# What stood in the views before, so that queries written for it go on.
OURS = {
    "trade": {"trade_number", "off_book", "known_at", "sequence"},
    "ohlcv(candle_duration_in_minutes = 60)": {"minutes", "complete", "source", "known_at", "close_age_seconds"},
    "funding_rate": {"interval_hours", "known_at"},
    "market_spot": {"market", "native_symbol", "price_increment", "quantity_increment", "listed", "valid_from"},
    "market_future": {
        "market", "native_symbol", "base_asset", "settle_asset", "expiration_type", "price_increment", "quantity_increment", "listed",
        "valid_from",
    },
}  # fmt: skip

pytestmark = pytest.mark.filterwarnings("ignore::pointline.errors.QueryNote")  # what is left out is told; not what is looked at here


@pytest.fixture(scope="module")
def lake(simulated: Lake) -> Lake:
    """A lake with every kind of data."""
    return simulated


@pytest.mark.parametrize("view", COLUMNS)
def test_the_vendors_columns_come_first_and_ours_after_them(lake: Lake, view: str) -> None:
    described = dict(sql.query(f"DESCRIBE TABLE api.{view}", lake=lake).select("name", "type").iter_rows())
    wanted = COLUMNS[view]
    assert dict(list(described.items())[: len(wanted)]) == wanted
    assert list(described)[: len(wanted)] == list(wanted)
    assert set(list(described)[len(wanted) :]) >= OURS[view]


def test_an_empty_lake_has_the_same_types(empty: Lake, lake: Lake) -> None:
    for view in COLUMNS:
        (one, other) = (sql.query(f"DESCRIBE TABLE api.{view}", lake=held).select("name", "type").rows() for held in (empty, lake))
        assert one == other


QUERIES: dict[str, tuple[str, int | None]] = {
    "newest trades of a market": (
        (
            "SELECT * FROM api.trade WHERE exchange = 'binance-usdm-future' AND market = 'BTC-USDT' AND timestamp >= '2024-05-02' "
            "ORDER BY timestamp DESC LIMIT 10"
        ),
        10,
    ),
    "volume by side": (
        (
            "SELECT side, sum(quantity) AS volume, toFloat64(sum(price * quantity) / sum(quantity)) AS vwap FROM api.trade "
            "WHERE market = 'BTC-USDT' AND exchange = 'binance' AND timestamp BETWEEN '2024-05-01 00:00:00' AND '2024-05-01 12:00:00' "
            "GROUP BY side ORDER BY side"
        ),
        2,
    ),
    "trades by their text id": ("SELECT trade_id, price FROM api.trade WHERE trade_id = '4000000007' AND length(trade_id) = 10", 1),
    "trades to the nanosecond": (
        (
            "SELECT toStartOfHour(timestamp) AS hour, count() FROM api.trade "
            "WHERE timestamp >= toDateTime64('2024-05-01 06:00:00', 9) AND timestamp < toDateTime64('2024-05-01 08:00:00.000000001', 9) "
            "GROUP BY hour ORDER BY hour"
        ),
        2,
    ),
    "candles of a week": (
        (
            "SELECT start, open, high, low, close, volume FROM api.ohlcv(candle_duration_in_minutes = 1440) "
            "WHERE market = 'BTC-USDT' AND exchange = 'binance' AND start >= '2024-05-01' AND start <= '2024-05-08'"
        ),
        2,
    ),
    "true range": (
        (
            "WITH candles AS (SELECT *, high - low AS r FROM api.ohlcv(candle_duration_in_minutes = 240) WHERE market = 'BTC-USDT') "
            "SELECT start, exchange, avg(r) OVER (PARTITION BY exchange ORDER BY start ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) AS atr "
            "FROM candles ORDER BY exchange, start"
        ),
        24,
    ),
    "volume by exchange": (
        (
            "SELECT exchange, sum(volume) AS total_volume FROM api.ohlcv(candle_duration_in_minutes = 1) WHERE market = 'BTC-USDT' "
            "AND start BETWEEN '2024-05-01' AND '2024-05-03' GROUP BY exchange ORDER BY total_volume DESC"
        ),
        2,
    ),
    "newest funding": (
        (
            "SELECT timestamp, exchange, contract_type, funding_rate FROM api.funding_rate WHERE market = 'BTC-USDT' "
            "AND contract_type = 'LINEAR_PERPETUAL' ORDER BY timestamp DESC LIMIT 3"
        ),
        3,
    ),
    "funding across exchanges": (
        (
            "SELECT exchange, argMax(funding_rate, timestamp) AS newest, newest * 3 * 365 * 100 AS yearly_pct, sum(rate) AS paid "
            "FROM api.funding_rate WHERE timestamp >= '2024-05-01' GROUP BY exchange"
        ),
        1,
    ),
    "linear perpetuals": (
        (
            "SELECT exchange, market_symbol, underlying_asset, contract_size FROM api.market_future WHERE underlying_asset = 'BTC' "
            "AND future_type = 'PERPETUAL' AND contract_type = 'LINEAR' AND settling_asset = 'USDT' AND denomination_asset = 'USDT'"
        ),
        1,
    ),
    "open markets": (
        (
            "SELECT f.exchange, f.market_symbol, s.exchange_specific_symbol FROM api.market_future AS f "
            "JOIN api.market_spot AS s ON s.base_asset = f.underlying_asset AND s.quote_asset = f.quote_asset "
            "WHERE f.expiration IS NULL OR f.expiration > now()"
        ),
        1,
    ),
}


@pytest.mark.parametrize("name", QUERIES)
def test_queries_for_that_vendors_pages_run(lake: Lake, name: str) -> None:
    text, rows = QUERIES[name]
    assert sql.query(text, lake=lake).height == rows


def test_a_term_structure_in_the_vendors_words(december: Lake) -> None:
    text = """
    WITH closes AS (
        SELECT start, end, exchange, market, close FROM api.ohlcv(candle_duration_in_minutes = 1440) WHERE start = '2024-12-01'
    )
    SELECT f.market_symbol AS contract, f.future_type AS kind, f.expiration AS expiration, toFloat64(c.close) AS close,
           close / toFloat64(s.close) - 1 AS basis, basis * 365 / (dateDiff('second', c.end, f.expiration) / 86400) AS yearly
    FROM api.market_future AS f
    JOIN closes AS c ON c.exchange = f.exchange AND c.market = f.market_symbol
    CROSS JOIN (SELECT close FROM closes WHERE exchange = 'binance') AS s
    ORDER BY f.expiration NULLS FIRST, contract
    """
    rows = sql.query(text, lake=december).rows(named=True)
    assert [(row["contract"], row["kind"]) for row in rows] == [
        ("BTC-USD-PERP", "PERPETUAL"), ("BTC-USDT", "PERPETUAL"), ("BTC-USDT-2025-03-28", "EXPIRING")
    ]  # fmt: skip
    assert round(rows[2]["basis"] * 100, 3) == 5.233
    assert [row["yearly"] is None for row in rows] == [True, True, False]


def test_queries_for_our_own_names_run_unchanged(lake: Lake) -> None:
    for text in (
        "SELECT exchange, market, native_symbol, base_asset, quote_asset FROM api.market_spot WHERE base_asset = 'BTC'",
        "SELECT market, settle_asset, expiration_type, contract_size FROM api.market_future WHERE expiration_type = 'PERPETUAL'",
        "SELECT market, funding_rate * 1095.5, interval_hours FROM api.funding_rate ORDER BY known_at",
        "SELECT timestamp, exchange, market, trade_number, price, quantity, side, off_book, known_at, sequence FROM api.trade LIMIT 1",
        "SELECT minutes, complete, source, known_at, close_age_seconds FROM api.ohlcv(candle_duration_in_minutes = 60) LIMIT 1",
    ):
        assert sql.query(text, lake=lake).height > 0


# --- values to the last digit -----------------------------------------------------------------------------------------------------


def test_a_rate_is_the_number_that_was_printed(tmp_path: Path) -> None:
    start = to_us("2024-04-29")
    printed = ["0.00010000", "-0.00001276", "6.0E-7", "0.00037500", "0", "-0.00750000", "0.00123457", "1.0E-8"]
    rates = [(start + n * HOUR_US, 1, text) for n, text in enumerate(printed)]
    lake = lake_with(tmp_path, [funding_archive(tmp_path, "binance-futures", "BTCUSDT", "2024-04", rates)])
    text = "SELECT toString(funding_rate) AS rate FROM api.funding_rate ORDER BY timestamp"
    assert [Decimal(rate) for rate in sql.query(text, lake=lake)["rate"]] == [Decimal(repr(float(text))) for text in printed]


def test_a_contracts_size_and_delivery(tmp_path: Path) -> None:
    lake = lake_with(
        tmp_path, candles_archives(tmp_path, "binance-delivery", "BTCUSD_250328", "1d", [Candle(to_us("2025-01-01"), *["1"] * 4)])
    )
    (size, moment) = sql.query("SELECT contract_size, toString(expiration) FROM api.market_future", lake=lake).row(0)
    assert (size, moment) == (Decimal(100), "2025-03-28 08:00:00.000000000")


def test_products_of_a_real_size_do_not_wrap(lake: Lake) -> None:
    """Prices of five digits and millions of units: `sum(price * quantity) / sum(quantity)` against Python's decimals."""
    text = "SELECT price, quantity FROM api.trade WHERE exchange = 'binance' AND market = 'BTC-USDT'"
    prints = sql.query(text, lake=lake)
    price, quantity = prints["price"].to_list(), prints["quantity"].to_list()
    notional = sum(p * q for p, q in zip(price, quantity, strict=True))
    vwap = "SELECT sum(price * quantity) / sum(quantity) AS vwap, sum(price * quantity) AS notional " + text.partition("quantity ")[2]
    with pytest.warns(QueryNote, match="computed in Float64"):
        found = sql.query(vwap, lake=lake).row(0)
    assert found[1] == notional
    assert abs(float(found[0]) - float(notional / sum(quantity))) < 1e-9
    candles = sql.query(
        "SELECT toFloat64(sum(close * volume) / sum(volume)) AS vwap, toFloat64(min(low)) AS low, toFloat64(max(high)) AS high "
        "FROM api.ohlcv(candle_duration_in_minutes = 1) WHERE exchange = 'binance' AND market = 'BTC-USDT'",
        lake=lake,
    ).row(0)
    assert candles[1] < candles[0] < candles[2]
