"""``api.ohlcv`` against a plain loop: any duration, gaps, which source serves a day, and what an unfinished candle says of itself."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl
import pytest
from tests.archives import trades_archive
from tests.sql.markets import Candle, add, candles_archives, lake_with, walk, zipped

from pointline import sql
from pointline.clock import DAY_US, HOUR_US, MINUTE_US, to_us
from pointline.ingest.run import ingest
from pointline.lake.store import open_lake
from pointline.simulate import MarketConfig, write_archives
from pointline.sources.base import Hints
from pointline.sources.families import all_sources

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pointline.lake.store import Lake

pytestmark = pytest.mark.filterwarnings("ignore::pointline.errors.QueryNote")  # what is left out is told; not what is looked at here


MONDAY = to_us("2024-04-29")
WEEK_MINUTES = 10_080
COLUMNS = [
    "start", "end", "exchange", "market", "open", "high", "low", "close", "volume", "count", "duration_minutes",
    "minutes", "complete", "source", "known_at", "close_age_seconds", "close_unknown_seconds", "covered_share",
]  # fmt: skip
SPOT = ("binance-spot", "BTCUSDT")
ONE_MARKET = "exchange = 'binance' AND market = 'BTC-USDT'"


class Expected(NamedTuple):
    """A candle as the loop makes it."""

    start_us: int
    open: Decimal | None
    high: Decimal | None
    low: Decimal | None
    close: Decimal | None
    volume: Decimal
    count: int
    minutes: int
    age_s: int | None


def bucket_of(us: int, minutes: int) -> int:
    """Start of the candle: multiples since 1970, or since the first Monday of 1970 where it lasts whole weeks."""
    origin = to_us("2024-04-29") % (7 * DAY_US) if minutes % WEEK_MINUTES == 0 else 0
    length = minutes * MINUTE_US
    return (us - origin) // length * length + origin


def by_loop(candles: Iterable[Candle], minutes: int, piece_minutes: int = 1) -> list[Expected]:
    """Candles off the grid count for nothing; those without a trade count as time, not as prices."""
    groups: dict[int, list[Candle]] = {}
    for candle in candles:
        if candle.start_us % (piece_minutes * MINUTE_US) == 0:
            groups.setdefault(bucket_of(candle.start_us, minutes), []).append(candle)
    found = []
    for start_us, rows in sorted(groups.items()):
        traded = [row for row in rows if Decimal(row.volume) != 0 and row.count != 0]
        prices: tuple[Decimal | None, ...] = (None, None, None, None)
        age_s = None
        if traded:
            high, low = max(Decimal(row.high) for row in traded), min(Decimal(row.low) for row in traded)
            prices = (Decimal(traded[0].open), high, low, Decimal(traded[-1].close))
            age_s = (start_us + minutes * MINUTE_US - traded[-1].start_us) // 1_000_000 - piece_minutes * 60
        volume, count = sum((Decimal(row.volume) for row in rows), Decimal(0)), sum(row.count for row in rows)
        found.append(Expected(start_us, *prices, volume, count, len(rows) * piece_minutes, age_s))
    return found


def by_sql(lake: Lake, minutes: int, where: str = ONE_MARKET) -> list[dict[str, Any]]:
    text = f"SELECT * FROM api.ohlcv(candle_duration_in_minutes = {{n:UInt32}}) WHERE {where} ORDER BY exchange, market, start"
    return sql.query(text, lake=lake, n=minutes).rows(named=True)


def compared(rows: list[dict[str, Any]]) -> list[Expected]:
    names = ("open", "high", "low", "close", "volume", "count", "minutes", "close_age_seconds")
    return [Expected(us(row["start"]), *(row[name] for name in names)) for row in rows]


def us(moment: dt.datetime) -> int:
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)


@pytest.fixture(scope="module")
def candles() -> list[Candle]:
    """Three weeks and some hours of minutes from a Monday on, over a month's end, with minutes, an hour and a whole day missing."""
    whole = walk(MONDAY + 7 * HOUR_US, 21 * 1_440 + 500, MINUTE_US)
    missing = {*range(40, 47), *range(3_000, 3_060), *range(10_000, 11_440)}
    return [candle for n, candle in enumerate(whole) if n not in missing and n % 977]


@pytest.fixture(scope="module")
def minutes_lake(candles: list[Candle], tmp_path_factory: pytest.TempPathFactory) -> Lake:
    folder = tmp_path_factory.mktemp("minutes")
    other = walk(MONDAY, 3_000, MINUTE_US, seed=7, first=300_000)
    paths = [*candles_archives(folder, *SPOT, "1m", candles), *candles_archives(folder, "binance-futures", "BTCUSDT", "1m", other)]
    return lake_with(folder, paths)


def test_the_columns_and_their_types(minutes_lake: Lake) -> None:
    frame = sql.query("SELECT * FROM api.ohlcv(candle_duration_in_minutes = 60) LIMIT 1", lake=minutes_lake)
    price = pl.Decimal(38, 20)  # of Decimal(76, 20), see `pointline.sql.narrow`
    moment = pl.Datetime("us", "UTC")
    kinds = [moment, moment, pl.String, pl.String, *[price] * 5, pl.Int64, pl.UInt32, pl.UInt32, pl.Boolean, pl.String, moment, pl.Int64]
    kinds += [pl.Int64, pl.Float64]
    assert list(frame.schema.items()) == list(zip(COLUMNS, [k() if isinstance(k, type) else k for k in kinds], strict=True))


@pytest.mark.parametrize("minutes", [1, 2, 5, 7, 15, 60, 240, 977, 1_440, 1_441, 4_320, 10_080, 20_160, 30_240])
def test_any_duration_equals_a_plain_loop(minutes_lake: Lake, candles: list[Candle], minutes: int) -> None:
    rows = by_sql(minutes_lake, minutes)
    assert compared(rows) == by_loop(candles, minutes)
    for row in rows:
        assert us(row["end"]) - us(row["start"]) == minutes * MINUTE_US
        assert row["known_at"] == row["end"]
        assert row["duration_minutes"] == minutes
        assert row["complete"] == (row["minutes"] == minutes)
        assert row["source"] == "candles_1m"
    assert {row["complete"] for row in rows} == ({True} if minutes == 1 else {True, False} if minutes < 900 else {False})


@pytest.mark.parametrize("minutes", [60, 120, 180, 1_440])
@pytest.mark.parametrize("beside", ["alone", "beside days"])
def test_untraded_candles_and_candles_off_the_grid(tmp_path: Path, minutes: int, beside: str) -> None:
    """Hours of three days: every third is off the grid by half an hour, some have no volume, some no trade; the third day has neither."""
    candles = []
    for n, candle in enumerate(walk(MONDAY, 72, HOUR_US)):
        quiet = n // 24 == 2 or n % 7 in (3, 4)
        volume, count = ("0", n % 2) if quiet else (candle.volume, 5)
        if not quiet or n % 2:
            candles.append(candle._replace(start_us=candle.start_us + (30 * MINUTE_US if n % 3 == 2 else 0), volume=volume, count=count))
        else:
            candles.append(candle._replace(volume="5", count=0))
    paths = candles_archives(tmp_path, *SPOT, "1h", candles)
    if beside == "beside days":  # the view is then made of several sources
        paths += candles_archives(tmp_path, *SPOT, "1d", [Candle(MONDAY + 5 * DAY_US, "1", "1", "1", "1")])
    rows = [row for row in by_sql(lake_with(tmp_path, paths), minutes) if row["source"] == "candles_1h"]
    expected = by_loop(candles, minutes, 60)
    assert compared(rows) == expected
    assert [row["complete"] for row in rows] == [row.minutes == minutes for row in expected]
    assert {row.close is None for row in expected} == {True, False}
    assert any(row.age_s for row in expected) == (minutes > 60)


def test_weeks_begin_on_mondays(minutes_lake: Lake) -> None:
    for weeks in (1, 2, 3):
        starts = [row["start"] for row in by_sql(minutes_lake, weeks * WEEK_MINUTES)]
        assert {(start.weekday(), start.hour) for start in starts} == {(0, 0)}
        assert all(after - before == dt.timedelta(weeks=weeks) for before, after in pairwise(starts))


def test_markets_do_not_mix(minutes_lake: Lake) -> None:
    rows = by_sql(minutes_lake, 1_440, "market = 'BTC-USDT'")
    assert {row["exchange"] for row in rows} == {"binance", "binance-usdm-future"}
    futures = [row for row in rows if row["exchange"] == "binance-usdm-future"]
    assert compared(futures) == by_loop(walk(MONDAY, 3_000, MINUTE_US, seed=7, first=300_000), 1_440)


@pytest.mark.parametrize("minutes", [0, -1])
def test_a_duration_below_a_minute_is_refused(minutes_lake: Lake, minutes: int) -> None:
    with pytest.raises(sql.QueryError) as caught:
        sql.query(f"SELECT * FROM api.ohlcv(candle_duration_in_minutes = {minutes})", lake=minutes_lake)
    assert caught.value.name in {"ARGUMENT_OUT_OF_BOUND", "BAD_QUERY_PARAMETER"}


def test_prices_keep_every_decimal(tmp_path: Path) -> None:
    candle = Candle(MONDAY, "0.000000000001", "12345678901234567890.123456789012", "0.000000000001", "0.1", "0.000000000003")
    lake = lake_with(tmp_path, candles_archives(tmp_path, *SPOT, "1m", [candle, candle._replace(start_us=MONDAY + MINUTE_US, open="0.2")]))
    (row,) = by_sql(lake, 2)
    assert [row[name] for name in ("open", "high", "close", "volume")] == [
        Decimal("0.000000000001"), Decimal("12345678901234567890.123456789012"), Decimal("0.1"), Decimal("0.000000000006")
    ]  # fmt: skip


# --- several sources of one market ------------------------------------------------------------------------------------------------


def stairs(start_us: int, count: int, step_us: int, price: int) -> list[Candle]:
    """Candles whose prices tell which source and which place they are of."""
    return [Candle(start_us + n * step_us, *[f"{price}.{n:05d}"] * 4, "1", 1) for n in range(count)]


@pytest.fixture(scope="module")
def mixed_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Five days: all lengths and trades; minutes from noon on beside hours and a day; hours and a day; a day alone; trades alone."""
    folder = tmp_path_factory.mktemp("mixed")
    day = [MONDAY + n * DAY_US for n in range(5)]
    minutes = stairs(day[0], 1_440, MINUTE_US, 100) + stairs(day[1] + 12 * HOUR_US, 720, MINUTE_US, 101)
    hours = stairs(day[0], 24, HOUR_US, 200) + stairs(day[1], 24, HOUR_US, 201) + stairs(day[2], 24, HOUR_US, 202)
    days = [Candle(day[n], *[f"30{n}"] * 4, "1", 1) for n in range(4)]
    paths = [
        *candles_archives(folder, *SPOT, "1m", minutes),
        *candles_archives(folder, *SPOT, "1h", hours),
        *candles_archives(folder, *SPOT, "1d", days),
    ]
    for start in (day[0], day[4]):
        prints = [(start + n * 30_000_000, f"400.{n:05d}", "0.5", bool(n % 2)) for n in range(2_880)]
        paths.append(trades_archive(folder, *SPOT, start, prints))
    return lake_with(folder, paths)


def test_the_finest_source_with_the_whole_day_serves_it(mixed_lake: Lake) -> None:
    rows = by_sql(mixed_lake, 1_440)
    assert [(row["source"], row["open"], row["complete"]) for row in rows] == [
        ("candles_1m", Decimal(100), True),
        ("candles_1h", Decimal(201), True),  # the minutes begin at noon
        ("candles_1h", Decimal(202), True),
        ("candles_1d", Decimal(303), True),
        ("trades", Decimal(400), True),
    ]
    assert [row["close"] for row in rows][::4] == [Decimal("100.01439"), Decimal("400.02879")]
    assert [row["volume"] for row in rows] == [1_440, 24, 24, 1, 1_440]
    assert [row["count"] for row in rows] == [1_440, 24, 24, 1, 2_880]


def test_only_sources_that_fit_the_duration_serve(mixed_lake: Lake) -> None:
    def served(minutes: int) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for row in by_sql(mixed_lake, minutes):
            found.setdefault(f"{row['start']:%d}", set()).add(row["source"])
        return found

    assert served(60) == {"29": {"candles_1m"}, "30": {"candles_1h"}, "01": {"candles_1h"}, "03": {"trades"}}
    # half hours cannot be made of hours, so of the second day there are the minutes from noon on
    assert served(30) == {"29": {"candles_1m"}, "30": {"candles_1m"}, "03": {"trades"}}
    assert len([row for row in by_sql(mixed_lake, 30) if row["start"].day == 30]) == 24


def test_a_candle_of_several_sources_names_them(mixed_lake: Lake) -> None:
    (week,) = by_sql(mixed_lake, WEEK_MINUTES)
    assert week["source"] == "candles_1d+candles_1h+candles_1m+trades"
    assert (week["open"], week["close"], week["high"]) == (Decimal(100), Decimal("400.02879"), Decimal("400.02879"))
    assert (week["minutes"], week["complete"]) == (5 * 1_440, False)
    assert (week["volume"], week["count"]) == (1_440 + 24 + 24 + 1 + 1_440, 1_440 + 24 + 24 + 1 + 2_880)


def test_candles_of_trades_equal_a_plain_loop(simulated: Lake, tmp_path: Path) -> None:
    """The simulated archive publishes both; where a minute has trades, both ways lead to the same candle."""
    config = MarketConfig(days=2, perp_trades_per_day=20_000)
    frames = {}
    for dataset in ("trades", "klines"):
        lake = open_lake(tmp_path / dataset, create=True)
        ingest(lake, write_archives(config, tmp_path / f"{dataset}-archives", datasets=(dataset,)), sources=all_sources(), hints=Hints())
        text = (
            "SELECT start, exchange, market, open, high, low, close, volume, count FROM api.ohlcv(candle_duration_in_minutes = 1) "
            "WHERE count > 0 ORDER BY exchange, market, start"
        )
        frames[dataset] = sql.query(text, lake=lake)
    assert frames["trades"].height > 2_000
    assert frames["trades"].equals(frames["klines"])
    sources = sql.query("SELECT DISTINCT source FROM api.ohlcv(candle_duration_in_minutes = 1440)", lake=simulated)
    assert sources["source"].to_list() == ["candles_1m"]  # that lake has both


def test_a_minute_without_a_trade_does_not_look_complete(tmp_path: Path) -> None:
    prints = [(MONDAY + n * MINUTE_US, "10", "1", False) for n in range(60) if n != 30]
    lake = lake_with(tmp_path, [trades_archive(tmp_path, *SPOT, MONDAY, prints)])
    assert [(row["minutes"], row["complete"]) for row in by_sql(lake, 30)] == [(30, True), (29, False)]


def test_trades_that_share_a_moment_keep_the_exchanges_order(tmp_path: Path) -> None:
    prints = [(MONDAY, price, "1", False) for price in ("5", "9", "1", "7")]
    lake = lake_with(tmp_path, [trades_archive(tmp_path, *SPOT, MONDAY, prints)])
    (row,) = by_sql(lake, 1)
    assert [row[name] for name in ("open", "high", "low", "close")] == [5, 9, 1, 7]


def recorded(folder: Path, rows: list[tuple[int, int, str]]) -> Lake:
    """A recording of the perpetual's trades: when each happened, when it was received, its price."""
    lines = [
        f'{received} {{"stream":"btcusdt@trade","data":{{"e":"trade","E":{happened // 1000},"T":{happened // 1000},"s":"BTCUSDT","t":{n},'
        f'"p":"{price}","q":"1","X":"MARKET","m":false}}}}\n'
        for n, (happened, received, price) in enumerate(rows, 1)
    ]
    path = folder / "binance_usdm_btcusdt.dat"
    path.write_text("".join(lines))
    lake = open_lake(folder / "lake", create=True)
    (report,) = ingest(lake, [path], sources=all_sources(), hints=Hints())
    assert report.outcome == "landed", report
    return lake


PERP = "exchange = 'binance-usdm-future' AND market = 'BTC-USDT'"


def test_a_trade_belongs_to_when_it_happened_and_is_known_when_received(tmp_path: Path) -> None:
    """The last trade of Monday is received, and therefore stored, on Tuesday."""
    tuesday = MONDAY + DAY_US
    rows = [(tuesday - 5_000, tuesday - 3_000, "1"), (tuesday - 2_000, tuesday + 4_000, "2"), (tuesday + 1_000, tuesday + 5_000, "3")]
    monday, second = by_sql(recorded(tmp_path, rows), 1_440, PERP)
    assert (monday["open"], monday["close"], second["open"]) == (1, 2, 3)
    assert (monday["count"], second["count"]) == (2, 1)
    assert us(monday["known_at"]) == tuesday + 4_000
    assert us(second["known_at"]) == tuesday + DAY_US


def test_trades_around_midnight_serve_only_the_day_without_candles(tmp_path: Path) -> None:
    tuesday = MONDAY + DAY_US
    lake = recorded(tmp_path, [(tuesday - 2_000, tuesday + 4_000, "2"), (tuesday + 1_000, tuesday + 5_000, "3")])
    hours = [Candle(MONDAY + n * HOUR_US, *["10"] * 4) for n in range(24)]
    add(lake, *candles_archives(tmp_path, "binance-futures", "BTCUSDT", "1h", hours))
    rows = by_sql(lake, 60, f"{PERP} AND start >= '2024-04-29 23:00:00'")
    assert [(row["source"], row["open"], row["count"]) for row in rows] == [("candles_1h", 10, 1), ("trades", 3, 1)]


def test_inverse_contracts_count_contracts(tmp_path: Path) -> None:
    prints = [(MONDAY, "60000", "7", False), (MONDAY + 1, "61000", "5", True)]
    lake = lake_with(tmp_path, [trades_archive(tmp_path, "binance-delivery", "BTCUSD_PERP", MONDAY, prints)])
    (row,) = by_sql(lake, 1_440, "exchange = 'binance-coinm-future' AND market = 'BTC-USD-PERP'")
    assert row["volume"] == 12


def test_candles_of_weeks_and_of_seconds(tmp_path: Path) -> None:
    """Candles longer than a day are left alone; such of seconds are summed."""
    lake = open_lake(tmp_path / "lake", create=True)
    for interval, step in (("1s", 1_000_000), ("3d", 3 * DAY_US)):
        lines = [f"{MONDAY + n * step},{n + 1},{n + 1},{n + 1},{n + 1},1,{MONDAY + (n + 1) * step - 1},0,1,0,0,0\n" for n in range(120)]
        path = tmp_path / "data" / "spot" / "monthly" / "klines" / "BTCUSDT" / interval / f"BTCUSDT-{interval}-2024-04.zip"
        add(lake, zipped(path, lines))
    assert lake.kinds() == ["candles_1s", "candles_3d"]
    assert [(row["open"], row["close"], row["minutes"], row["source"]) for row in by_sql(lake, 1)] == [
        (1, 60, 1, "candles_1s"),
        (61, 120, 1, "candles_1s"),
    ]
    assert len(by_sql(lake, WEEK_MINUTES)) == 1
