"""SQL over a lake in a bucket: a statement fetches the files that it reads and no others, and no row is lost by that."""

from __future__ import annotations

import datetime as dt
import random
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from tests import buckets
from tests.lake.archives import land, noon_trades

from pointline.errors import ConfigError, DamageError, LakeError
from pointline.lake import open_lake
from pointline.sql import process
from pointline.sql import query as sql

if TYPE_CHECKING:
    from pathlib import Path

    from pointline.lake import Lake

pytest.importorskip("chdb")

ALL = 4  # files of the demo's trades: two days of two markets
DAY = "known_at >= '2024-05-01 00:00:00' AND known_at < '2024-05-01 06:00:00'"
PERP = "exchange = 'binance-usdm-future'"

# Statement -> how many files of trades it fetches, and of funding.
READS: dict[str, tuple[int, int]] = {
    "SELECT 1": (0, 0),
    "SELECT count() FROM coverage": (0, 0),
    "SELECT * FROM market_future": (0, 0),
    "DESCRIBE TABLE trade": (0, 0),
    "SELECT count() FROM trade": (ALL, 0),
    "SELECT * FROM trade LIMIT 0": (0, 0),
    "SELECT price, known_at FROM trade WHERE price > (SELECT min(rate) FROM funding_rate) LIMIT 0": (0, 1),
    "SELECT count() FROM trade LIMIT 0": (ALL, 0),
    "SELECT count() FROM (SELECT * FROM trade LIMIT 0)": (0, 0),
    "SELECT market, count() FROM trade GROUP BY market WITH TOTALS LIMIT 0": (ALL, 0),
    "SELECT count(), sum(price) FROM api.trade WHERE market = 'BTC-USDT' AND exchange = 'binance'": (2, 0),
    "SELECT count() FROM trade AS t WHERE 'binance' = t.exchange AND t.price > 1": (2, 0),
    "SELECT count() FROM trade AS t WHERE trade.exchange = 'binance'": (2, 0),
    "SELECT count() FROM trade WHERE exchange IN ('binance', 'okx-swap') AND market IN ('BTC-USDT', 'ETH-USDT')": (2, 0),
    "SELECT count() FROM trade WHERE exchange IN 'binance'": (2, 0),
    "SELECT count() FROM trade WHERE market = 'ETH-USDT'": (0, 0),
    "SELECT count() FROM trade WHERE exchange = {e:String}": (2, 0),
    "SELECT count() FROM trade WHERE NOT (exchange = 'binance')": (ALL, 0),
    "SELECT count() FROM trade WHERE exchange = 'binance' OR market = 'BTC-USDT'": (ALL, 0),
    "SELECT count() FROM trade WHERE (exchange = 'binance') AS chosen": (2, 0),
    "SELECT 'binance' AS exchange, count() FROM trade WHERE exchange = 'binance'": (ALL, 0),
    "WITH 'binance' AS market SELECT count() FROM trade WHERE market = 'binance'": (ALL, 0),
    "SELECT count() FROM (SELECT * REPLACE ('x' AS exchange) FROM trade) WHERE exchange = 'x'": (ALL, 0),
    "SELECT count() FROM (SELECT * FROM trade) WHERE exchange = 'binance'": (ALL, 0),
    "SELECT (SELECT count() FROM trade WHERE exchange = 'binance') AS a, (SELECT count() FROM funding_rate) AS b": (2, 1),
    "SELECT count() FROM funding_rate WHERE exchange = 'binance'": (0, 0),
    "SELECT count() FROM funding_rate WHERE known_at >= '2024-05-02' AND known_at <= '2024-05-03'": (0, 1),
    "SELECT funding_rate FROM funding_rate WHERE known_at < '2020-01-01'": (0, 0),
    "WITH t AS (SELECT * FROM trade WHERE exchange = 'binance') SELECT count() FROM t": (2, 0),
    "WITH trade AS (SELECT 1 AS x) SELECT count() FROM trade": (ALL, 0),  # too much is fetched, and never too little
    "SELECT count() FROM trade AS a JOIN funding_rate AS b ON a.exchange = b.exchange WHERE a.exchange = 'binance'": (ALL, 1),
    "SELECT count() FROM funding_rate WHERE (exchange, market) IN (SELECT exchange, market FROM trade WHERE exchange = 'binance')": (2, 1),
    "SELECT count() FROM trade WHERE known_at >= '2024-05-03 12:00:00'": (2, 0),  # a time of another zone lies less than a day off
    "SELECT count() FROM trade WHERE known_at > '2024-05-04'": (0, 0),
    "SELECT count() FROM trade WHERE toDateTime('2024-05-04 00:00:00') < known_at AND exchange = 'binance'": (0, 0),
    f"SELECT count() FROM trade WHERE {DAY} AND {PERP}": (2, 0),
    "SELECT count() FROM trade WHERE known_at BETWEEN '2024-04-20' AND '2024-04-30 12:00:00'": (2, 0),
    "SELECT count() FROM trade_last WHERE exchange = 'binance' AND known_at < '2024-04-01'": (2, 0),
    # Days that have candles are not read from trades.
    "SELECT count(), sum(volume) FROM ohlcv(candle_duration_in_minutes = 60) WHERE exchange = 'binance'": (0, 0),
    "SELECT count() FROM ohlcv(candle_duration_in_minutes = 1440) AS c WHERE c.market = 'x' AND start > '2024-05-01'": (0, 0),
    # As many rows as a preview takes, whichever they are; not where the files of all may be needed for them.
    "SELECT 1 FROM trade LIMIT 100": (1, 0),
    "SELECT 1 FROM trade LIMIT 100 OFFSET 20000": (2, 0),
    "SELECT exchange FROM trade WHERE exchange = 'binance' LIMIT 1000000": (2, 0),
    "SELECT exchange FROM api.trade AS t WHERE t.exchange = 'binance' AND market IN ('BTC-USDT') LIMIT 5": (1, 0),
    "SELECT exchange FROM trade WHERE exchange != 'binance' LIMIT 5": (ALL, 0),
    "SELECT count() FROM trade LIMIT 5": (ALL, 0),
    "SELECT exchange FROM trade ORDER BY timestamp, sequence, exchange LIMIT 5": (ALL, 0),
    "SELECT DISTINCT exchange FROM trade WHERE market = 'BTC-USDT' AND exchange = 'binance' LIMIT 5": (2, 0),
    "SELECT exchange FROM trade WHERE exchange = 'binance' LIMIT 1 BY exchange LIMIT 5": (2, 0),
    "SELECT 1 FROM trade_last LIMIT 5": (ALL, 0),
    "SELECT count() FROM trade WHERE timestamp >= '2024-05-03 12:00:00'": (2, 0),
    "SELECT count() FROM trade WHERE timestamp >= '2024-05-05'": (0, 0),
    "SELECT count() FROM trade_last WHERE timestamp < toDateTime(1714348800)": (0, 0),  # 29 April
    "SELECT count() FROM trade_last WHERE timestamp < toDateTime(1714348800) OR price > 0": (ALL, 0),
    "SELECT count() FROM trade WHERE timestamp > now() - INTERVAL 3 DAY": (0, 0),
    "SELECT count() FROM trade WHERE timestamp < now() - INTERVAL 3 DAY AND exchange = 'binance'": (2, 0),
    "SELECT count() FROM trade WHERE timestamp > now() - 86400": (ALL, 0),
    "SELECT count() FROM trade WHERE known_at < subtractDays(toDate('2024-05-02'), 3)": (0, 0),
    "SELECT count() FROM (SELECT toDate(timestamp) AS timestamp FROM trade WHERE timestamp > '2024-05-09')": (ALL, 0),
    "SELECT count() FROM trade WHERE timestamp > toDateTime('2140-01-01')": (ALL, 0),  # which the engine reads as another year
}

# The same of trades without candles, one file on each of these days.
DAYS = ("2024-05-01", "2024-05-11", "2024-05-21")
HOURS, WEEKS = "ohlcv(candle_duration_in_minutes = 60)", "ohlcv(candle_duration_in_minutes = 10080)"
CANDLE_READS = {
    f"SELECT count(), sum(volume) FROM {HOURS}": 3,
    f"SELECT count() FROM {HOURS} WHERE start >= fromUnixTimestamp64Milli(1715731200000)": 1,  # 15 May
    f"SELECT count() FROM {HOURS} WHERE start < '2024-05-05'": 1,
    f"SELECT count() FROM {HOURS} WHERE start < '2024-05-05' OR exchange = 'okx'": 3,
    f"SELECT count() FROM {HOURS} WHERE known_at < '2024-05-05'": 3,  # a candle is known with the last of its rows
    f"SELECT count(), sum(volume) FROM {HOURS} AS c WHERE c.start BETWEEN '2024-05-09' AND toDateTime('2024-05-13 00:00:00')": 1,
    "SELECT count() FROM ohlcv(candle_duration_in_minutes = {n:UInt32}) WHERE end < '2024-05-05'": 1,
    "SELECT count() FROM ohlcv(candle_duration_in_minutes = 50 + 10) WHERE start < '2024-05-05'": 3,
    "SELECT count() FROM ohlcv(candle_duration_in_minutes = 50 + 10) WHERE start > '2024-05-15'": 1,
    f"SELECT sum(volume), max(close) FROM {WEEKS} WHERE start < '2024-05-05'": 2,
    f"SELECT sum(volume), max(close) FROM {WEEKS} WHERE end > '2024-05-19'": 2,
}


def fetched(root: Path, kind: str) -> int:
    return sum("_delta_log" not in path.parts for path in (root / kind).rglob("*.parquet"))


def opened() -> Lake:
    """The demo's lake in the store with the engine on it; what that took of the data files, which are small, is forgotten."""
    lake = open_lake(buckets.DEMO)
    asked("SELECT 1", lake)
    forget_files(lake)
    return lake


def forget_files(lake: Lake) -> None:
    for kind in lake.kinds():
        for folder in lake.table_path(kind).glob("exchange=*"):
            shutil.rmtree(folder)


def asked(text: str, lake: object) -> Any:  # noqa: ANN401 - a frame
    return sql(text, lake=lake, **({"e": "binance"} if "{e:" in text else {"n": 60} if "{n:" in text else {}))  # type: ignore[arg-type]


def test_a_statement_fetches_what_it_reads_and_gives_what_it_gives_of_local_files(copied: Path, store: buckets.Server) -> None:
    del store
    expected = {text: asked(text, copied) for text in READS}
    lake = opened()
    for text, counts in READS.items():
        forget_files(lake)
        assert asked(text, lake).equals(expected[text]), text
        assert (fetched(lake.root, "trades"), fetched(lake.root, "funding")) == counts, text
    process.run("SELECT 1", lake=lake, guarded=False)
    assert fetched(lake.root, "trades") == ALL
    process.close()  # files are here before an engine is opened, and it counts none of their rows at first
    for text in ("SELECT count() FROM trade WHERE known_at > '2024-05-04'", "SELECT count() FROM trade"):
        assert asked(text, lake).equals(expected[text]), text


def test_a_statement_that_needs_more_than_the_bound_is_refused(
    copied: Path, store: buckets.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "SELECT count() FROM trade"
    local = asked(f"{text} WHERE exchange = 'binance'", copied)
    lake = opened()
    store.forget()
    symbols = ("binance-futures", "binance-spot")
    sizes = [file.path.stat().st_size for name in symbols for file in open_lake(copied).files("trades", name, "BTCUSDT")]
    spot = sum(sizes[2:])
    monkeypatch.setenv("POINTLINE_MIRROR_BYTES", str(spot))
    with pytest.raises(ConfigError, match="more than the mirror may hold") as raised:
        asked(text, lake)
    assert f"{sum(sizes):,}" in str(raised.value)
    assert f"{spot:,}" in str(raised.value)
    assert not [key for method, key in store.requests if method == "GET" and key.endswith(".parquet")]
    assert asked(f"{text} WHERE exchange = 'binance'", lake).equals(local)


def test_a_store_that_fails_and_a_file_that_is_gone_are_one_error(
    store: buckets.Server, new_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pointline.lake.bucket.MOST_RETRIES", 0)
    land(tmp_path / "lake", noon_trades(tmp_path / "in", "2024-05-01", 1))
    land(new_url, noon_trades(tmp_path / "in", "2024-05-01", 1))
    lake = open_lake(new_url)
    text = "SELECT count() FROM trade"
    store.fault = lambda method, key: (503, "SlowDown") if key.endswith(".parquet") else None  # noqa: ARG005
    with pytest.raises(LakeError, match="failed"):
        asked(text, lake)
    store.fault = None
    mirror = lake.mirror
    assert mirror is not None
    (path,) = lake.live("trades")["path"]
    content = mirror.bucket.get(f"trades/{path}")
    assert content is not None
    mirror.bucket.remove(f"trades/{path}")
    with pytest.raises(DamageError, match="missing"):
        asked(text, lake)
    mirror.bucket.put(f"trades/{path}", content.content)
    assert asked(text, lake).item() == 5


@pytest.fixture
def trades_only(store: buckets.Server, new_url: str, tmp_path: Path) -> tuple[Path, Lake]:
    """A lake of trades on `DAYS` in a folder and in the store."""
    del store
    paths = [noon_trades(tmp_path / "in", day, 1 + 10 * k) for k, day in enumerate(DAYS)]
    for root in (tmp_path / "lake", new_url):
        land(root, *paths)
    return tmp_path / "lake", open_lake(new_url)


def test_candles_fetch_the_trades_that_they_are_made_of(trades_only: tuple[Path, Lake]) -> None:
    local, lake = trades_only
    expected = {text: asked(text, local) for text in CANDLE_READS}
    asked("SELECT 1", lake)
    for text, count in CANDLE_READS.items():
        forget_files(lake)
        assert asked(text, lake).equals(expected[text]), text
        assert fetched(lake.root, "trades") == count, text


@pytest.mark.parametrize("count", [6, pytest.param(100, marks=pytest.mark.slow)])
def test_no_bound_in_time_loses_a_row(trades_only: tuple[Path, Lake], count: int) -> None:
    local, lake = trades_only
    chosen = random.Random(11)  # noqa: S311 - the same statements in every run
    asked("SELECT 1", lake)
    texts = []
    for _ in range(count):
        minutes = chosen.choice((1, 45, 420, 1440, 10080, 43200))
        conditions = [
            f"{chosen.choice(('start', 'end'))} {chosen.choice(('<', '<=', '>', '>=', '='))} {moment(chosen)}"
            for _ in range(chosen.randint(1, 2))
        ]
        texts.append(f"SELECT * FROM ohlcv(candle_duration_in_minutes = {minutes}) WHERE {' AND '.join(conditions)} ORDER BY start")
        texts.append(f"SELECT * FROM trade WHERE timestamp {chosen.choice(('<', '>='))} {moment(chosen)} ORDER BY known_at, sequence")
    expected = [asked(text, local) for text in texts]
    for text, rows in zip(texts, expected, strict=True):
        forget_files(lake)
        assert asked(text, lake).equals(rows), text
    assert 2 < sum(not rows.is_empty() for rows in expected) < len(texts)


def moment(chosen: random.Random) -> str:
    """A time around one of the days, as statements write it."""
    time = dt.datetime.fromisoformat(chosen.choice(DAYS)) + dt.timedelta(hours=chosen.randint(-72, 96))
    seconds = int(time.replace(tzinfo=dt.UTC).timestamp())
    texts = (f"'{time}'", f"toDateTime({seconds})", f"toStartOfDay(toDateTime('{time}'))", f"toDate('{time:%Y-%m-%d}') - INTERVAL 1 DAY")
    return chosen.choice(texts)
