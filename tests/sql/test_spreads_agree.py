"""`pointline.spreads`, which reads the lake with Polars, and the specification's query, which ClickHouse answers, give the same rows."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

import pointline
from pointline import sql

if TYPE_CHECKING:
    from pointline.lake.store import Lake

CONTRACTS = ("binance-usdm-future:BTC-USDT", "binance-usdm-future:BTC-USDT-2025-03-28", "binance-coinm-future:BTC-USD-PERP")


def test_the_specification_on_both_ways(december: Lake, specification: str) -> None:
    asked = sql.query(specification, lake=december)
    study = pointline.spreads(
        "BTC", reference="binance:BTC-USDT", start="2024-12-01", through="2024-12-31", contracts=CONTRACTS, lake=december
    )
    ours = study.table.select(asked.columns).sort("day", "exchange", "market")
    assert ours.height == asked.height == 93
    for name in asked.columns:
        if asked.schema[name].is_float():
            assert ours[name].to_list() == pytest.approx(asked[name].to_list(), rel=1e-12, abs=1e-9)
        else:
            assert ours[name].to_list() == asked[name].to_list()


JOINED = """
WITH candles AS (
    SELECT start, exchange, if(close_age_seconds = 0, toFloat64(close), NULL) AS close
    FROM api.ohlcv(candle_duration_in_minutes = {minutes:UInt32})
    WHERE market = 'BTC-USDT'
)
SELECT c.start AS start, c.close AS close, s.close AS spot_close, c.close - s.close AS spread
FROM candles c
JOIN candles s ON c.start = s.start
WHERE s.exchange = 'binance' AND c.exchange = 'binance-usdm-future'
ORDER BY start
"""


@pytest.mark.parametrize(("duration", "minutes", "most"), [("1h", 60, 48), ("4h", 240, 12)])
def test_hours_made_of_minutes_on_both_ways(simulated: Lake, duration: str, minutes: int, most: int) -> None:
    asked = sql.query(JOINED, lake=simulated, minutes=minutes)
    start, end = asked["start"][0], asked["start"][-1] + dt.timedelta(minutes=minutes)
    study = pointline.spreads("BTC", reference="binance:BTC-USDT", start=start, end=end, duration=duration, lake=simulated)
    assert study.table.height == asked.height == most
    for name in ("close", "spot_close", "spread"):
        ours, theirs = study.table[name], asked[name]
        assert ours.is_null().to_list() == theirs.is_null().to_list()
        assert ours.drop_nulls().to_list() == pytest.approx(theirs.drop_nulls().to_list(), rel=1e-12, abs=1e-9)
