"""A query reads the files of the markets and the row groups of the months that it names, through the views, as the engine counts them.

The counters are the engine's own; that they tell the truth is shown by taking away or breaking the files that must not matter.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.archives import trades_archive
from tests.sql.markets import candles_archives, lake_with, walk

from pointline import sql
from pointline.clock import DAY_US, HOUR_US, to_us
from pointline.errors import DamageError
from pointline.sql import process
from pointline.sql.catalogue import build_catalogue
from pointline.sql.engine import Engine

if TYPE_CHECKING:
    from pathlib import Path

    from pointline.lake.store import Lake


SYMBOLS = {"binance-spot": ("BTCUSDT", "ETHUSDT"), "binance-futures": ("BTCUSDT", "ETHUSDT"), "binance-delivery": ("BTCUSD_PERP",)}
FIRST = to_us("2024-01-01")
MONTHS = 6
ONE_MONTH = "SELECT count() AS n, sum(volume) AS volume FROM api.ohlcv(candle_duration_in_minutes = 1440) WHERE {where}"
WHERE = "exchange = 'binance' AND market = 'BTC-USDT' AND start BETWEEN '2024-03-02' AND '2024-03-30'"


def five_markets(folder: Path) -> Lake:
    """Five markets with hourly candles of six months, a file for each month."""
    paths = [
        path
        for n, (exchange, symbol) in enumerate((e, s) for e, symbols in SYMBOLS.items() for s in symbols)
        for path in candles_archives(folder, exchange, symbol, "1h", walk(FIRST, (31 + 29 + 31 + 30 + 31 + 30) * 24 - 1, HOUR_US, seed=n))
    ]
    made = lake_with(folder, paths)
    assert made.listing("candles_1h").height == 5 * MONTHS
    return made


PAIRS = "(exchange, market) IN (('binance', 'BTC-USDT'), ('binance-coinm-future', 'BTC-USD-PERP'))"
ONE_OR_OTHER = "((exchange = 'binance' AND market = 'ETH-USDT') OR (exchange = 'binance-usdm-future' AND market IN ('BTC-USDT')))"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return five_markets(tmp_path_factory.mktemp("five"))


def counted(lake: Lake, text: str) -> tuple[tuple[object, ...], dict[str, int]]:
    """First row of a statement's result, and by how much the engine's counters went up."""

    def events() -> dict[str, int]:
        names = "('EngineFileLikeReadFiles', 'ParquetReadRowGroups', 'ParquetPrunedRowGroups')"
        text = f"SELECT event, toUInt32(value) FROM system.events WHERE event IN {names}"
        return dict(json.loads(process.run(text, lake=lake, guarded=False).data)["data"])

    before = events()
    row = sql.query(text, lake=lake).row(0)
    after = events()
    return row, {name.removeprefix("Parquet"): after[name] - before.get(name, 0) for name in after}


def cold(lake: Lake, text: str) -> tuple[tuple[object, ...], dict[str, int]]:
    process._SHARED_ENGINE.close()  # what an engine remembers of files goes with it
    return counted(lake, text)


def test_only_the_markets_files_and_the_months_row_groups_are_read(lake: Lake) -> None:
    (n, _), events = cold(lake, ONE_MONTH.format(where=WHERE))
    assert n == 29
    assert events == {"EngineFileLikeReadFiles": MONTHS, "ReadRowGroups": 1, "PrunedRowGroups": MONTHS - 1}


def test_a_second_query_does_not_come_back_to_other_months(lake: Lake) -> None:
    cold(lake, ONE_MONTH.format(where=WHERE))
    _, events = counted(lake, ONE_MONTH.format(where=WHERE))
    assert events["EngineFileLikeReadFiles"] <= MONTHS
    assert events["ReadRowGroups"] == 1


@pytest.mark.parametrize(
    ("where", "files", "read"),
    [
        ("exchange = 'binance'", 2 * MONTHS, 2 * MONTHS),
        ("market = 'BTC-USDT' AND start >= '2024-06-01 01:00:00'", 2 * MONTHS, 2),
        (f"{PAIRS} AND start < '2024-01-20'", 2 * MONTHS, 2),
        (f"{ONE_OR_OTHER} AND start BETWEEN '2024-02-10' AND '2024-03-10'", 2 * MONTHS, 4),
        ("market = 'BTC-USD-PERP' AND toDate(start) = '2024-04-15'", MONTHS, 1),
        ("market LIKE 'ETH%' AND start > '2030-01-01'", 2 * MONTHS, 0),
        ("exchange = 'kraken'", 0, 0),
    ],
)
def test_conditions_of_every_form_prune(lake: Lake, where: str, files: int, read: int) -> None:
    _, events = cold(lake, ONE_MONTH.format(where=where))
    assert (events.get("EngineFileLikeReadFiles", 0), events.get("ReadRowGroups", 0)) == (files, read)


def test_the_specification_reads_four_markets_in_one_month(tmp_path: Path, specification: str) -> None:
    futures = [("binance-futures", "BTCUSDT"), ("binance-futures", "BTCUSDT_250328"), ("binance-delivery", "BTCUSD_PERP")]
    markets = [("binance-spot", "BTCUSDT"), *futures]
    others = [("binance-spot", "ETHUSDT"), ("binance-futures", "SOLUSDT")]
    start = to_us("2024-10-02")
    paths = [
        path
        for exchange, symbol in markets + others
        for path in candles_archives(tmp_path, exchange, symbol, "1h", walk(start, 110 * 24, HOUR_US))
    ]
    lake = lake_with(tmp_path, paths)
    months = 4
    assert lake.listing("candles_1h").height == months * 6
    _, events = cold(lake, specification)
    # the basket is read once for the contracts and once for the reference: spot alone
    assert events["EngineFileLikeReadFiles"] <= months * (3 + 1)
    assert events["ReadRowGroups"] == 2 * 4  # December's candles; its last one ends with the year, and the January file's first is it
    process._SHARED_ENGINE.close()


def test_files_that_must_not_matter_do_not(tmp_path: Path) -> None:
    """Other markets' files are emptied; the data of the market's other months is overwritten, their footers are left."""
    lake = five_markets(tmp_path)
    process._SHARED_ENGINE.close()
    catalogue = build_catalogue(lake, tmp_path / "catalogue")
    text = ONE_MONTH.format(where=WHERE)
    with Engine(catalogue) as engine:
        right = engine.run(text, output_format="TSV").data
    kept = {file.path for file in lake.files("candles_1h", "binance-spot", "BTCUSDT")}
    for path in lake.table_path("candles_1h").rglob("*.parquet"):
        if path not in kept:
            path.write_bytes(b"")
        elif "2024-03" not in str(path):
            data = bytearray(path.read_bytes())
            footer = int.from_bytes(data[-8:-4], "little") + 8
            data[4:-footer] = bytes(len(data) - footer - 4)
            path.write_bytes(bytes(data))
    with Engine(catalogue) as engine:
        assert engine.run(text, output_format="TSV").data == right
        for where in ("market = 'ETH-USDT'", WHERE.replace("03-02", "02-02")):
            with pytest.raises(DamageError):
                engine.run(ONE_MONTH.format(where=where))


def test_trades_prune_by_market_and_time(tmp_path: Path) -> None:
    days = [FIRST + n * DAY_US for n in range(5)]
    paths = [
        trades_archive(tmp_path, exchange, "BTCUSDT", day, [(day + k * HOUR_US, "1", "1", False) for k in range(24)])
        for exchange in ("binance-spot", "binance-futures")
        for day in days
    ]
    lake = lake_with(tmp_path, paths)
    where = "exchange = 'binance' AND market = 'BTC-USDT' AND timestamp >= '2024-01-03' AND timestamp < '2024-01-04'"
    (n,), events = cold(lake, f"SELECT count() FROM api.trade WHERE {where}")
    assert n == 24
    assert events == {"EngineFileLikeReadFiles": 5, "ReadRowGroups": 1, "PrunedRowGroups": 4}
    hours = where.replace("timestamp", "start")
    (n,), events = cold(lake, f"SELECT count() FROM api.ohlcv(candle_duration_in_minutes = 60) WHERE {hours}")
    assert n == 24
    assert events == {"EngineFileLikeReadFiles": 5, "ReadRowGroups": 1, "PrunedRowGroups": 4}


def test_trades_are_not_read_for_days_that_have_candles(tmp_path: Path) -> None:
    days = [FIRST + n * DAY_US for n in range(4)]
    paths = [trades_archive(tmp_path, "binance-spot", "BTCUSDT", day, [(day, "1", "1", False)]) for day in days]
    paths += candles_archives(tmp_path, "binance-spot", "BTCUSDT", "1h", walk(FIRST, 3 * 24, HOUR_US))
    lake = lake_with(tmp_path, paths)
    sources = "SELECT groupArray(source) FROM (SELECT source FROM api.ohlcv(candle_duration_in_minutes = {n}) ORDER BY start)"
    ((hourly,), events) = cold(lake, sources.replace("{n}", "1440"))
    assert hourly == ["candles_1h"] * 3 + ["trades"]
    small = 3  # tables of the catalogue: days with candles, once for each branch, and files of trades
    assert events["EngineFileLikeReadFiles"] <= 1 + 1 + small
    ((minutes,), _) = cold(lake, sources.replace("{n}", "1"))
    assert minutes == ["trades"] * 4
