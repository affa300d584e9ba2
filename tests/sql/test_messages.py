"""What to write instead: every way to ask `api.ohlcv` for no length or a wrong one, in the engine's own words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pointline import sql
from pointline.sql.messages import hint

if TYPE_CHECKING:
    from pointline.lake.store import Lake

WRITE = "api.ohlcv(candle_duration_in_minutes = 1440)"
RANGE = "a whole number of minutes from 1 to 5256000"


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("DESCRIBE api.ohlcv", f"columns are shown with their length: {WRITE}"),
        ("DESC TABLE api.ohlcv", f"columns are shown with their length: {WRITE}"),
        ("DESCRIBE TABLE api.ohlcv()", f"candles are read with their length: {WRITE}"),
        ("DESCRIBE TABLE api.ohlcv(minutes = 5)", "not minutes, but candle_duration_in_minutes: api.ohlcv(candle_duration_in_minutes = 5)"),
        ("SELECT * FROM api.ohlcv", WRITE),
        ("SELECT * FROM ohlcv", WRITE),
        ("SELECT count() FROM api.ohlcv", WRITE),
        ("SELECT close FROM api.ohlcv WHERE market = 'BTC-USDT'", WRITE),
        ("SELECT toDate(start) AS day, avg(close) FROM api.ohlcv AS o GROUP BY day", WRITE),
        ("SELECT o.close FROM api.ohlcv AS o JOIN api.trade AS t USING (exchange, market)", WRITE),
        ("WITH c AS (SELECT close FROM api.ohlcv) SELECT max(close) FROM c", WRITE),
        ("EXPLAIN SELECT * FROM api.ohlcv", WRITE),
        ("SELECT * FROM api.ohlcv()", WRITE),
        ("SELECT * FROM api.ohlcv(1440)", f"the length of candles is called candle_duration_in_minutes: {WRITE}"),
        ("SELECT * FROM api.ohlcv(minutes = 5)", "api.ohlcv(candle_duration_in_minutes = 5)"),
        ("SELECT * FROM api.ohlcv(CANDLE_DURATION_IN_MINUTES = 60)", "api.ohlcv(candle_duration_in_minutes = 60)"),
        ("SELECT * FROM api.ohlcv(candle_duration_in_minutes = 0)", RANGE),
        ("SELECT * FROM api.ohlcv(candle_duration_in_minutes = -5)", RANGE),
        ("SELECT * FROM api.ohlcv(candle_duration_in_minutes = 1.5)", RANGE),
        ("SELECT * FROM api.ohlcv(candle_duration_in_minutes = '1d')", RANGE),
        ("SELECT * FROM api.ohlcv(candle_duration_in_minutes = NULL)", RANGE),
        ("SELECT * FROM api.ohlcv(candle_duration_in_minutes = 5256001)", RANGE),
        ("SELECT * FROM api.ohlcv(candle_duration_in_minutes = 4294967297)", RANGE),  # 1, as an integer of 32 bits
        ("SELECT * FROM api.ohlcv(candle_duration_in_minutes = 18446744073709551617)", RANGE),  # 1, as one of 64
        ("SELECT * FROM api.ohlcv(candle_duration_in_minutes = 1e80)", RANGE),
        ("SELECT * FROM api.OHLCV(candle_duration_in_minutes = 60)", "small letters"),
        ("SELECT * FROM api.trade(market = 'x')", "this view takes no parameters: FROM api.trade"),
        ("SELECT * FROM api.candles", "SHOW TABLES FROM api"),
        ("SELECT {x:UInt8}", "give its value"),
    ],
)
def test_the_engines_own_errors_say_what_to_write(simulated: Lake, statement: str, expected: str) -> None:
    with pytest.raises(sql.QueryError) as caught:
        sql.query(statement, lake=simulated)
    assert expected in str(caught.value.hint)


@pytest.mark.parametrize("statement", ["DESCRIBE api.ohlcv", "SELECT * FROM api.ohlcv(candle_duration_in_minutes = 0)"])
def test_an_empty_lake_says_the_same(empty: Lake, statement: str) -> None:
    with pytest.raises(sql.QueryError) as caught:
        sql.query(statement, lake=empty)
    assert "candle_duration_in_minutes" in str(caught.value.hint)


def test_the_longest_candle_is_one(simulated: Lake) -> None:
    text = "SELECT count() AS n, max(end) AS last FROM api.ohlcv(candle_duration_in_minutes = 5256000)"
    (n, last) = sql.query(text, lake=simulated).row(0)
    assert n == 2
    assert last.year == 2029


def test_other_errors_have_no_hint() -> None:
    assert hint("SYNTAX_ERROR", "Syntax error", "SELEC 1") is None
    assert hint("UNKNOWN_IDENTIFIER", "Unknown expression identifier `x`", "SELECT x FROM api.trade") is None
    assert hint("UNKNOWN_FUNCTION", "Function with name `f` does not exist", "SELECT f(1)") is None
