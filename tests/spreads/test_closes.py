"""Closes: which data tells the price at the end of a candle, and which must not."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from tests.archives import lake_from, lake_of, trades_archive
from tests.spreads.market import SPOT, USDM, add_candles, day

from pointline.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from pointline.curves.closes import closes
from pointline.curves.grid import candle_grid
from pointline.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from pointline.lake.store import Lake

DAY = day("2024-05-01")


def found(lake: Lake, duration: str = "1d", *, start: str = "2024-05-01", end: str = "2024-05-04", exchange: str = SPOT) -> pl.DataFrame:
    return closes(lake, exchange, "BTCUSDT", candle_grid(start, end, duration))


def rows(lake: Lake, duration: str = "1d", **window: str) -> list[tuple[Any, ...]]:
    """start_us, close, known_us, source."""
    return found(lake, duration, **window).drop("age_us").rows()


# --- the grid ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "duration", "first", "last", "count"),
    [
        ("2024-12-01", "2024-12-31", "1d", "2024-12-01", "2024-12-31", 30),
        ("2024-12-01", "2025-01-01", "1h", "2024-12-01", "2025-01-01", 31 * 24),
        ("2024-12-01", "2025-01-01 00:00", "1d", "2024-12-01", "2025-01-01", 31),
        ("2024-12-31", "2025-01-01", "1d", "2024-12-31", "2025-01-01", 1),
        ("2024-12-01 06:00", "2024-12-03 18:00", "1d", "2024-12-02", "2024-12-03", 1),
        ("2024-12-01 00:10", "2024-12-01 03:50", "1h", "2024-12-01 01:00", "2024-12-01 03:00", 2),
        ("2024-12-01", "2025-01-01", "1w", "2024-12-05", "2024-12-26", 3),  # weeks begin on Thursdays
        ("2024-12-01", "20250101", "1d", "2024-12-01", "2025-01-01", 31),
    ],
)
def test_the_grid_holds_whole_candles_and_its_end_is_exclusive(
    start: str, end: str, duration: str, first: str, last: str, count: int
) -> None:
    grid = candle_grid(start, end, duration)
    assert (grid.start_us, grid.end_us, grid.count) == (day(first), day(last), count)
    assert grid.starts.to_list() == [day(first) + n * grid.duration_us for n in range(count)]


@pytest.mark.parametrize(
    ("start", "end", "duration", "words"),
    [
        ("2024-12-02", "2024-12-01", "1d", "empty"),
        ("2024-12-01", "2024-12-01 00:00", "1d", "empty"),
        ("2024-12-01 01:00", "2024-12-01 23:00", "1d", "no whole candle"),
        ("2024-12-01", "2024-12-02", "90s", "whole minutes"),
        ("2024-12-01", "2024-12-02", "0m", "whole minutes"),
        ("2024-12-01", "2024-12-02", "daily", "cannot be read"),
        ("yesterday", "2024-12-02", "1d", "start cannot be read"),
        ("2024-12-01", "today", "1d", "end cannot be read"),
    ],
)
def test_a_grid_that_cannot_be(start: str, end: str, duration: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        candle_grid(start, end, duration)


def test_through_names_the_last_day() -> None:
    grid = candle_grid("2024-12-01", through="2024-12-31")
    assert (grid.start_us, grid.end_us, grid.count) == (day("2024-12-01"), day("2025-01-01"), 31)
    assert candle_grid("2024-12-31", through=dt.date(2024, 12, 31)).count == 1


@pytest.mark.parametrize(
    ("window", "words"),
    [
        ({}, "one end"),
        ({"end": "2025-01-01", "through": "2024-12-31"}, "one end"),
        ({"through": "2024-12-31 06:00"}, "names a day"),
        ({"through": "2024-11-30"}, "empty"),
        ({"through": "soon"}, "through cannot be read"),
    ],
)
def test_a_window_has_one_end(window: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        candle_grid("2024-12-01", **window)


# --- which table ------------------------------------------------------------------------------------------------------------------


def test_the_exact_table_goes_first_then_shorter_candles_then_trades(tmp_path: Path) -> None:
    """Four days, each told by another table; every finer table has the earlier days too, with other prices."""
    spot = (SPOT, "BTCUSDT")
    last_hour, last_minute = 23 * HOUR_US, DAY_US - MINUTE_US
    add_candles(tmp_path, {spot: {DAY: 1.0}})
    add_candles(tmp_path, {spot: {DAY + n * DAY_US + last_hour: 2.0 + n for n in (0, 1)}}, interval="1h")
    add_candles(tmp_path, {spot: {DAY + n * DAY_US + last_minute: 10.0 + n for n in (0, 1, 2)}}, interval="1m")
    late = DAY_US - 20 * SECOND_US
    prints = [
        trades_archive(tmp_path / "archives", *spot, DAY + n * DAY_US, [(DAY + n * DAY_US + late, "50.5", "1", False)]) for n in range(4)
    ]
    lake = lake_from(tmp_path, prints)
    assert rows(lake, end="2024-05-05") == [
        (DAY, 1.0, DAY + DAY_US, "candles_1d"),
        (DAY + DAY_US, 3.0, DAY + 2 * DAY_US, "candles_1h"),
        (DAY + 2 * DAY_US, 12.0, DAY + 3 * DAY_US, "candles_1m"),
        (DAY + 3 * DAY_US, 50.5, DAY + 4 * DAY_US, "trades"),
    ]


def test_longer_candles_tell_nothing_about_shorter_ones(tmp_path: Path) -> None:
    lake = add_candles(tmp_path, {(SPOT, "BTCUSDT"): {DAY: 1.0}})
    assert rows(lake, "1h") == []


def test_candles_that_lie_across_the_grid_tell_nothing(tmp_path: Path) -> None:
    """Weeks from Monday to Monday end inside the grid's weeks; four-hour candles end at no end of a six-hour one but every third."""
    weeks = add_candles(tmp_path / "weeks", {(SPOT, "BTCUSDT"): {day("2024-04-29"): 1.0}}, interval="1w")
    assert rows(weeks, "1w", start="2024-04-20", end="2024-05-21") == []
    hours = add_candles(tmp_path / "hours", {(SPOT, "BTCUSDT"): {DAY + n * 4 * HOUR_US: float(n + 1) for n in range(6)}}, interval="4h")
    assert [close for _, close, *_ in rows(hours, "12h", end="2024-05-02")] == [3.0, 6.0]
    assert rows(hours, "6h", end="2024-05-02") == []


def test_a_day_that_breaks_off_has_no_close(tmp_path: Path) -> None:
    """The last minute of the second day is missing, the first minutes of the third are: only the second has no close at its end."""
    minutes = {DAY + n * MINUTE_US: 100.0 + n for n in range(3 * 1440)}
    del minutes[DAY + 2 * DAY_US - MINUTE_US]
    for n in range(600):
        del minutes[DAY + 2 * DAY_US + n * MINUTE_US]
    lake = add_candles(tmp_path, {(SPOT, "BTCUSDT"): minutes}, interval="1m")
    assert [(start, close) for start, close, *_ in rows(lake)] == [(DAY, 100.0 + 1439), (DAY + 2 * DAY_US, 100.0 + 3 * 1440 - 1)]
    hourly = [start for start, *_ in rows(lake, "1h")]
    assert DAY + 2 * DAY_US - HOUR_US not in hourly
    assert len(hourly) == 72 - 1 - 10


# --- trades -----------------------------------------------------------------------------------------------------------------------


def test_the_last_trade_before_the_end_and_not_the_one_at_it(tmp_path: Path) -> None:
    end = DAY + DAY_US
    prints = [
        (end - 2, "60000.1", "1", False),
        (end - 1, "60000.2", "1", False),
        (end - 1, "60000.3", "1", True),
        (end, "70000", "1", False),
    ]
    lake = lake_of(tmp_path, {(USDM, "BTCUSDT"): [(us // 1000 * 1000, price, qty, seller) for us, price, qty, seller in prints]})
    (row,) = rows(lake, exchange=USDM, end="2024-05-02")
    assert row == (DAY, 60000.3, end, "trades")


def test_a_trade_that_is_too_old_at_the_end_is_no_close(tmp_path: Path) -> None:
    end = DAY + DAY_US
    lake = lake_of(
        tmp_path, {(USDM, "BTCUSDT"): [(end - 61 * SECOND_US, "1", "1", False), (end + DAY_US - 60 * SECOND_US, "2", "1", False)]}
    )
    assert [(start, close) for start, close, *_ in rows(lake, exchange=USDM)] == [(end, 2.0)]
    grid = candle_grid("2024-05-01", "2024-05-03")
    older = closes(lake, USDM, "BTCUSDT", grid, max_trade_age_us=61 * SECOND_US)
    assert older["close"].to_list() == [1.0, 2.0]


def test_trades_of_the_candle_before_are_no_close(tmp_path: Path) -> None:
    """A minute without a trade has no close, however young the last one of the minute before."""
    prints = [(DAY + 59 * SECOND_US, "1", "1", False), (DAY + 125 * SECOND_US, "2", "1", False)]
    lake = lake_of(tmp_path, {(USDM, "BTCUSDT"): prints})
    told = rows(lake, "1m", exchange=USDM, end="2024-05-01 00:04")
    assert [(start - DAY, close) for start, close, *_ in told] == [(0, 1.0), (120 * SECOND_US, 2.0)]


def test_a_candle_across_midnight_takes_the_later_day_s_trade(tmp_path: Path) -> None:
    """Of the candles of eleven hours, counted from 1970, one lasts from 22:00 on 2024-05-01 to 09:00 of the next day."""
    midnight, length = day("2024-05-02"), 11 * HOUR_US
    start, end = midnight - 2 * HOUR_US, midnight + 9 * HOUR_US
    assert start % length == 0
    early, late = (midnight - 10 * MINUTE_US, "1", "1", False), (midnight + 5 * MINUTE_US, "2", "1", False)
    grid = candle_grid("2024-05-01 12:00", "2024-05-02 12:00", "11h")
    for name, prints, close in (("both", [early, late], 2.0), ("early", [early], 1.0)):
        lake = lake_of(tmp_path / name, {(USDM, "BTCUSDT"): prints})
        told = closes(lake, USDM, "BTCUSDT", grid, max_trade_age_us=length)
        assert told.drop("age_us").rows() == [(start, close, end, "trades")]
        assert told["age_us"].to_list() == [end - (late if name == "both" else early)[0]]


def test_inverse_contracts_trade_at_prices_too(tmp_path: Path) -> None:
    """Their quantities are contracts; their price is quote per coin like any other."""
    lake = lake_of(tmp_path, {("binance-delivery", "BTCUSD_PERP"): [(DAY + DAY_US - SECOND_US, "61668.6", "5", False)]})
    told = closes(lake, "binance-delivery", "BTCUSD_PERP", candle_grid("2024-05-01", "2024-05-02"))
    assert told["close"].to_list() == [61668.6]


def test_what_came_later_changes_no_close_that_was_known(tmp_path: Path) -> None:
    """Minutes and trades of three days, and the same without all that came after noon of the second."""
    noon = DAY + DAY_US + 12 * HOUR_US
    minutes: dict[int, float | str] = {DAY + n * 7 * MINUTE_US: 100.0 + n for n in range(600)}
    prints = [(DAY + n * 50 * SECOND_US, f"{200 + n % 97}.5", "1", False) for n in range(5_000)]
    told = []
    for name, until in (("whole", DAY + 3 * DAY_US), ("cut", noon)):
        folder = tmp_path / name
        add_candles(
            folder, {(SPOT, "BTCUSDT"): {start: close for start, close in minutes.items() if start + MINUTE_US <= until}}, interval="1m"
        )
        lake = lake_of(folder, {(SPOT, "BTCUSDT"): [one for one in prints if one[0] < until]})
        told.append([[row for row in rows(lake, duration) if row[2] <= noon] for duration in ("1m", "15m", "1h", "1d")])
    assert told[0] == told[1]
    sources = {source for found in told[0] for *_, source in found}
    assert sources == {"candles_1m", "trades"}
    assert [len(found) for found in told[0]][2:] == [36, 1]
