"""Files told by a mapping: every key of the mapping, every file format, what is refused, and the real exports."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointline import schema
from pointline.errors import ConfigError, SourceError
from pointline.sources.base import Batch, Hints, Identity
from pointline.sources.table import MappedTable, load_mapping

MAPPINGS = Path(__file__).resolve().parents[2] / "examples" / "mappings"
HOUR_US = 3_600_000_000

TRADES = """
kind = "trades"
exchange = "binance-futures"
symbol = "BTCUSDT"
[columns]
ts_event_us = {column = "time", unit = "ms"}
price = "price"
qty = "qty"
side = {column = "maker", seller_taker = ["true"]}
"""
FUNDING = """
kind = "funding"
exchange = "binance-futures"
symbol = "BTCUSDT"
time_zone = "Europe/London"
[columns]
ts_event_us = {column = "Time", unit = "text"}
funding_rate = {column = "Rate", percent = true}
interval_hours = {column = "Every", suffix = "h"}
"""
CANDLES = """
kind = "candles_1h"
exchange = "binance-spot"
symbol = "BTCUSDT"
[columns]
start_us = {column = "start", unit = "s"}
open = "o"
high = "h"
low = "l"
close = "c"
volume = "v"
"""


def us(text: str) -> int:
    """Microseconds of an ISO time, UTC where it has no offset."""
    moment = dt.datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()) * 1_000_000


def mapped(folder: Path, mapping: str) -> Hints:
    path = folder / "mapping.toml"
    path.write_text(mapping, encoding="utf-8")
    return Hints(mapping=path)


def read(path: Path, hints: Hints) -> list[Batch]:
    identity = MappedTable().recognise(path, hints)
    assert identity is not None
    return list(MappedTable().read(path, identity, hints))


def parse(folder: Path, mapping: str, content: str, name: str = "file.csv") -> list[Batch]:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return read(path, mapped(folder, mapping))


def rows(batches: list[Batch]) -> list[tuple[Any, ...]]:
    return [row for batch in batches for row in batch.frame.rows()]


def rejects(batches: list[Batch]) -> list[tuple[Any, ...]]:
    """Line, column, value and reason of all rejects; all of them must be fatal."""
    assert all(batch.rejects["fatal"].all() for batch in batches)
    return sorted(row for batch in batches for row in batch.rejects.select("line", "column", "value", "reason").rows())


# ---------------------------------------------------------------- tables


def test_trades(tmp_path: Path) -> None:
    content = "time,price,qty,maker\n1680652800001,28165.47,0.002,true\n1680652800002,28165.5,1,False\n"
    (batch,) = parse(tmp_path, TRADES, content)
    assert (batch.kind, batch.exchange, batch.symbol, batch.clock, batch.rank) == ("trades", "binance-futures", "BTCUSDT", "assumed", 40)
    assert batch.frame.schema == schema.TRADES.parsed
    assert batch.frame.rows() == [
        (1680652800001000, 1680652800001000, None, None, None, None, 28165.47, 0.002, True, None, 2),
        (1680652800002000, 1680652800002000, None, None, None, None, 28165.5, 1.0, False, None, 3),
    ]


def test_assumed_latency_moves_the_receive_time_only(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("time,price,qty,maker\n1680652800001,1,1,true\n")
    hints = Hints(mapping=mapped(tmp_path, TRADES).mapping, latency_us=250)
    (batch,) = read(path, hints)
    assert batch.frame.select("ts_local_us", "ts_event_us").rows() == [(1680652800001250, 1680652800001000)]


def test_funding_with_percent_suffix_and_local_time(tmp_path: Path) -> None:
    content = '\ufeff"Time","Every","Rate"\n"2024-07-01 09:00:00","8h","0.002184%"\n"2024-01-01 08:00:00","4h","-0.000414%"\n'
    (batch,) = parse(tmp_path, FUNDING, content)
    assert batch.frame.schema == schema.FUNDING.parsed
    summer, winter = us("2024-07-01 08:00"), us("2024-01-01 08:00")
    assert batch.frame.rows() == [(summer, summer, summer, 0.00002184, 8.0, None, 2), (winter, winter, winter, -0.00000414, 4.0, None, 3)]


@pytest.mark.parametrize(
    ("jitter_ms", "expected"), [(0, "00:00"), (31, "00:00"), (29_999, "00:00"), (30_000, "00:01"), (59_990, "00:01"), (-4, "00:00")]
)
def test_funding_belongs_to_the_nearest_minute(tmp_path: Path, jitter_ms: int, expected: str) -> None:
    mapping = """
kind = "funding"
exchange = "binance-futures"
symbol = "BTCUSDT"
columns = {ts_event_us = {column = "t", unit = "ms"}, funding_rate = "r", interval_hours = {constant = 8}}
"""
    time_ms = us("2024-01-02 00:00") // 1000 + jitter_ms
    (batch,) = parse(tmp_path, mapping, f"t,r\n{time_ms},0.0001\n")
    funding_us = us(f"2024-01-02 {expected}")
    assert batch.frame.rows() == [(time_ms * 1000, time_ms * 1000, funding_us, 0.0001, 8.0, None, 2)]


def test_candles_are_exact_decimals_known_at_their_end(tmp_path: Path) -> None:
    content = "start,o,h,l,c,v\n1723075200,0.1,0.300000000001,0.1,0.2,56801.329000000005\n"
    (batch,) = parse(tmp_path, CANDLES, content)
    assert batch.frame.schema == schema.table("candles_1h").parsed
    start = 1723075200_000_000
    amounts = ("0.1", "0.300000000001", "0.1", "0.2", "56801.329000000005")
    assert batch.frame.rows() == [(start + HOUR_US, start + HOUR_US, start, *map(Decimal, amounts), None, None, None, None, None, 2)]


def test_candles_may_be_told_by_their_end(tmp_path: Path) -> None:
    mapping = CANDLES.replace("start_us", "ts_event_us")
    (batch,) = parse(tmp_path, mapping, "start,o,h,l,c,v\n1723075200,1,1,1,1,0\n")
    expected = [(1723075200_000_000 - HOUR_US, 1723075200_000_000, 1723075200_000_000)]
    assert batch.frame.select("start_us", "ts_event_us", "ts_local_us").rows() == expected


def test_latency_does_not_move_candles(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("start,o,h,l,c,v\n1723075200,1,1,1,1,0\n")
    (batch,) = read(path, Hints(mapping=mapped(tmp_path, CANDLES).mapping, latency_us=250))
    assert batch.frame["ts_local_us"].to_list() == [1723075200_000_000 + HOUR_US]


def test_premium_candles_may_be_negative(tmp_path: Path) -> None:
    mapping = CANDLES.replace("candles_1h", "premium_candles_1h")
    (batch,) = parse(tmp_path, mapping, "start,o,h,l,c,v\n1723075200,-0.0005,0,-0.0006,-0.0001,0\n")
    assert batch.kind == "premium_candles_1h"
    assert batch.frame["open"].to_list() == [Decimal("-0.0005")]


def test_quotes(tmp_path: Path) -> None:
    mapping = """
kind = "quotes"
exchange = "deribit"
symbol = "BTC-PERPETUAL"
separator = ";"
[columns]
ts_event_us = {column = "at", unit = "us"}
bid_price = "bp"
bid_qty = "bq"
ask_price = "ap"
ask_qty = "aq"
"""
    (batch,) = parse(tmp_path, mapping, "at;bp;bq;ap;aq\n1680652800001234;1.5;2;1.75;0\n")
    assert batch.frame.rows() == [(1680652800001234, 1680652800001234, None, 1.5, 2.0, 1.75, 0.0, 2)]


def test_open_interest(tmp_path: Path) -> None:
    mapping = """
kind = "open_interest"
exchange = "a"
symbol = "S"
columns = {ts_event_us = {column = "t", unit = "s"}, open_interest = "oi", account_ratio = "r"}
"""
    (batch,) = parse(tmp_path, mapping, "t,oi,r\n1680652800,12.5,\n")
    assert batch.frame.select("ts_event_us", "open_interest", "account_ratio").rows() == [(1680652800_000_000, 12.5, None)]
    assert batch.rejects.is_empty()


def test_ticker_with_missing_values(tmp_path: Path) -> None:
    mapping = """
kind = "derivative_ticker"
exchange = "binance-futures"
symbol = "BTCUSDT"
[columns]
ts_event_us = {column = "t", unit = "ms"}
mark_price = "mark"
funding_rate = "rate"
next_funding_us = {column = "next", unit = "ms"}
"""
    (batch,) = parse(tmp_path, mapping, "t,mark,rate,next\n1680652701000,28147.27,0.00002754,1680652800000\n1680652702000,28147,NaN,\n")
    picked = batch.frame.select("ts_event_us", "mark_price", "index_price", "funding_rate", "next_funding_us", "source_row")
    assert picked.rows() == [
        (1680652701000000, 28147.27, None, 0.00002754, 1680652800000000, 2),
        (1680652702000000, 28147.0, None, None, None, 3),
    ]
    assert batch.rejects.is_empty()


# ---------------------------------------------------------------- keys of the mapping


@pytest.mark.parametrize(
    ("unit", "text", "expected"),
    [
        ("s", "1680652800", 1680652800_000_000),
        ("s", "1680652800.0647", 1680652800_064_700),
        ("ms", "1680652800001", 1680652800_001_000),
        ("ms", "1680652800001.5", 1680652800_001_500),
        ("us", "1680652800001234", 1680652800_001_234),
        ("ns", "1680652800001234999", 1680652800_001_234),
        ("text", "2024-07-01 12:30:00", us("2024-07-01 12:30")),
        ("text", "2024-07-01T12:30:00.25", us("2024-07-01 12:30") + 250_000),
        ("text", "2024-07-01 12:30", us("2024-07-01 12:30")),
        ("text", "2024-07-01", us("2024-07-01 00:00")),
        ("text", "2024-07-01T12:30:00Z", us("2024-07-01 12:30")),
        ("text", "2024-07-01T12:30:00+02:00", us("2024-07-01 10:30")),
        ('text", format = "%d/%m/%Y %H.%M', "01/07/2024 12.30", us("2024-07-01 12:30")),
        ('text", format = "%d/%m/%Y %H.%M %z', "01/07/2024 12.30 +0100", us("2024-07-01 11:30")),
        ('ms", since = "2022-12-13', "60000", us("2022-12-13 00:01")),
    ],
)
def test_units_of_time(tmp_path: Path, unit: str, text: str, expected: int) -> None:
    (batch,) = parse(tmp_path, TRADES.replace('unit = "ms"', f'unit = "{unit}"'), f"time,price,qty,maker\n{text},1,1,true\n")
    assert batch.frame["ts_event_us"].to_list() == [expected]


def test_local_time_of_text_with_an_offset_is_not_moved_twice(tmp_path: Path) -> None:
    content = "Time,Every,Rate\n2024-07-01T09:00:00Z,8h,1%\n2024-07-01 09:00:00,8h,1%\n"
    (batch,) = parse(tmp_path, FUNDING, content)
    assert batch.frame["ts_event_us"].to_list() == [us("2024-07-01 09:00"), us("2024-07-01 08:00")]


@pytest.mark.parametrize(("text", "fraction"), [("0.01%", 0.0001), ("0.01 %", 0.0001), ("-12.5", -0.125), ("0.007945%", 0.00007945)])
def test_percent(tmp_path: Path, text: str, fraction: float) -> None:
    (batch,) = parse(tmp_path, FUNDING, f"Time,Every,Rate\n2024-07-01 09:00:00,8h,{text}\n")
    assert batch.frame["funding_rate"].to_list() == [fraction]


@pytest.mark.parametrize(
    ("rule", "values", "sides"),
    [
        ('["true"]', "True TRUE false", [True, True, False]),
        ('["sell"]', "Sell buy", [True, False]),
        ('["1"]', "1 0", [True, False]),
        ('["-1"]', "-1 1", [True, False]),
        ('["T", "true"]', "t F false", [True, False, False]),
        ('["hit"], buyer_taker = ["lift"]', "hit lift", [True, False]),
    ],
)
def test_side(tmp_path: Path, rule: str, values: str, sides: list[bool]) -> None:
    lines = "".join(f"168065280000{n},1,1,{value}\n" for n, value in enumerate(values.split()))
    (batch,) = parse(tmp_path, TRADES.replace('["true"]', rule), f"time,price,qty,maker\n{lines}")
    assert batch.frame["side"].to_list() == sides


def test_a_side_that_is_neither_is_refused(tmp_path: Path) -> None:
    batches = parse(tmp_path, TRADES, "time,price,qty,maker\n1680652800000,1,1,true\n1680652800001,1,1,perhaps\n")
    assert rejects(batches) == [(3, "side", "perhaps", "must be one of true, false, unknown")]


def test_symbols_from_a_column(tmp_path: Path) -> None:
    mapping = TRADES.replace('symbol = "BTCUSDT"', 'symbol = {column = "coin", values = {BTC = "BTCUSDT", ETH = "ETHUSDT"}}')
    coins = enumerate(["BTC", "ETH", "DOGE", "BTC"])
    content = "time,price,qty,maker,coin\n" + "".join(f"168065280000{n},{n + 1},1,true,{coin}\n" for n, coin in coins)
    batches = parse(tmp_path, mapping, content)
    assert {batch.symbol: batch.frame["price"].to_list() for batch in batches if not batch.frame.is_empty()} == {
        "BTCUSDT": [1.0, 4.0],
        "ETHUSDT": [2.0],
    }
    (aside,) = [row for batch in batches for row in batch.rejects.rows(named=True)]
    assert (aside["line"], aside["column"], aside["value"], aside["fatal"]) == (4, "symbol", "DOGE", False)
    only = list(
        MappedTable().read(
            tmp_path / "file.csv",
            Identity("table", "x", "", "trades", "*", "p"),
            Hints(mapping=tmp_path / "mapping.toml", symbol="ETHUSDT"),
        )
    )
    assert [batch.symbol for batch in only if not batch.frame.is_empty()] == ["ETHUSDT"]


def test_symbols_may_stand_in_the_column_as_they_are(tmp_path: Path) -> None:
    mapping = TRADES.replace('symbol = "BTCUSDT"', 'symbol = {column = "coin"}')
    batches = parse(tmp_path, mapping, "time,price,qty,maker,coin\n1680652800000,1,1,true,XRPUSDT\n")
    assert [batch.symbol for batch in batches] == ["XRPUSDT"]


def test_lines_above_the_header_and_blank_ones_are_counted(tmp_path: Path) -> None:
    content = "made by somebody, somewhere\n\ntime,price,qty,maker\n\n1680652800000,1,1,true\n"
    (batch,) = parse(tmp_path, "skip_lines = 1\n" + TRADES, content)
    assert batch.frame["source_row"].to_list() == [5]


def test_a_file_without_header(tmp_path: Path) -> None:
    mapping = 'column_names = ["time", "price", "qty", "maker"]\n' + TRADES
    (batch,) = parse(tmp_path, mapping, "1680652800000,7,1,true\n")
    assert batch.frame.select("price", "source_row").rows() == [(7.0, 1)]


def test_quoted_fields_with_separators(tmp_path: Path) -> None:
    content = 'note,time,price,qty,maker\n"one, two",1680652800000,7,1,true\n"say ""hi"", you",1680652800001,8,1,true\n'
    (batch,) = parse(tmp_path, TRADES, content)
    assert batch.frame["price"].to_list() == [7.0, 8.0]


def test_newest_first_files_keep_their_order_and_lines(tmp_path: Path) -> None:
    (batch,) = parse(tmp_path, TRADES, "time,price,qty,maker\n1680652800002,2,1,true\n1680652800001,1,1,true\n")
    assert batch.frame.select("price", "source_row").rows() == [(2.0, 2), (1.0, 3)]


# ---------------------------------------------------------------- formats

RECORDS = [
    {"time": 1680652800000, "price": 28165.47, "qty": 0.002, "maker": True},
    {"time": 1680652800001, "price": 1e-7, "qty": 3.0, "maker": False},
]
EXPECTED = [
    (1680652800000000, 1680652800000000, None, None, None, None, 28165.47, 0.002, True, None),
    (1680652800001000, 1680652800001000, None, None, None, None, 1e-7, 3.0, False, None),
]
CSV = "time,price,qty,maker\n" + "".join(f"{r['time']},{r['price']},{r['qty']},{r['maker']}\n" for r in RECORDS)


def write_format(path: Path) -> None:
    frame = pl.DataFrame(RECORDS)
    match path.suffixes:
        case [".csv"] | [".tsv"] | [".txt"]:
            path.write_text(CSV)
        case [".csv", ".gz"]:
            path.write_bytes(gzip.compress(CSV.encode()))
        case [".json", ".gz"]:
            path.write_bytes(gzip.compress(json.dumps(RECORDS).encode()))
        case [".zip"]:
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("inside.csv", CSV)
        case [".json"]:
            path.write_text(json.dumps(RECORDS, indent=2))
        case [".parquet"]:
            frame.write_parquet(path)
        case _:
            frame.write_ipc(path)


@pytest.mark.parametrize("suffix", ["csv", "txt", "csv.gz", "zip", "json", "json.gz", "parquet", "feather", "arrow"])
def test_all_formats_give_the_same_rows(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"file.{suffix}"
    write_format(path)
    hints = mapped(tmp_path, TRADES)
    assert MappedTable().recognise(path, hints) == Identity("table", "binance-futures", "", "trades", "BTCUSDT", "", kind="trades")
    (batch,) = read(path, hints)
    assert batch.frame.drop("source_row").rows() == EXPECTED
    first = 2 if suffix in {"csv", "txt", "csv.gz", "zip"} else 1
    assert batch.frame["source_row"].to_list() == [first, first + 1]


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (pl.Datetime("ns", "UTC"), us("2024-07-01 12:00")),
        (pl.Datetime("ms", "America/New_York"), us("2024-07-01 12:00")),
        (pl.Datetime("us"), us("2024-07-01 11:00")),  # no zone: the mapping's, one hour east of UTC in summer
    ],
)
def test_columns_that_the_file_types_as_times(tmp_path: Path, dtype: pl.Datetime, expected: int) -> None:
    time = pl.Series("time", [dt.datetime(2024, 7, 1, 12, tzinfo=dt.UTC)], dtype=pl.Datetime("us", "UTC"))
    time = time.dt.convert_time_zone(dtype.time_zone).cast(dtype) if dtype.time_zone else time.dt.replace_time_zone(None)
    path = tmp_path / "a.parquet"
    pl.DataFrame({"time": time, "price": [1.0], "qty": [1.0], "maker": [True]}).write_parquet(path)
    mapping = 'time_zone = "Europe/London"\n' + TRADES.replace('{column = "time", unit = "ms"}', '"time"')
    (batch,) = read(path, mapped(tmp_path, mapping))
    assert batch.frame["ts_event_us"].to_list() == [expected]


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path) -> None:
    for name, content in (("a.csv", CSV), ("a.json", json.dumps(RECORDS))):
        (batch,) = parse(tmp_path, TRADES, f"\ufeff{content}", name)
        assert batch.frame.drop("source_row").rows() == EXPECTED
    headless = 'column_names = ["time", "price", "qty", "maker"]\n' + TRADES
    batches = parse(tmp_path, headless, "\ufeff1680652800000,7\n1680652800001,8,1,true\n")
    assert rejects(batches) == [(1, "line", "1680652800000,7", "has 2 fields, not 4")]


def test_floats_become_decimals_by_their_shortest_digits(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    price = 16506.685453
    pl.DataFrame({"start": [1723075200], "o": [price], "h": [price], "l": [0.1], "c": [1e-7 + 0.2], "v": [0.1 + 0.2]}).write_parquet(path)
    (batch,) = read(path, mapped(tmp_path, CANDLES))
    assert batch.frame.select("open", "low", "close", "volume").rows() == [
        (Decimal("16506.685453"), Decimal("0.1"), Decimal("0.2000001"), Decimal("0.300000000000"))
    ]


def test_raw_of_a_record_is_json(tmp_path: Path) -> None:
    records = [*RECORDS, {"time": 1680652800002, "price": -1.0, "qty": 3.0, "maker": False}]
    (batch,) = parse(tmp_path, TRADES, json.dumps(records), "a.json")
    assert batch.rejects.select("line", "column", "value", "reason", "fatal").rows() == [
        (3, "price", "-1.0", "must be a number above zero", True)
    ]
    assert json.loads(batch.rejects["raw"][0]) == records[2]


# ---------------------------------------------------------------- refused rows


@pytest.mark.parametrize(
    ("bad", "column", "value", "reason"),
    [
        ("1680652800001,28x5,1,true", "price", "28x5", "must be a number above zero"),
        ("1680652800001,-5,1,true", "price", "-5", "must be a number above zero"),
        ("1680652800001,inf,1,true", "price", "inf", "must be a number above zero"),
        ("1680652800001,,1,true", "price", None, "must be a number above zero"),
        ("1680652800001,5,0,true", "qty", "0", "must be a number above zero"),
        ("noon,5,1,true", "ts_event_us", "noon", "cannot be read as a time"),
        (",5,1,true", "ts_event_us", None, "is empty"),
        ("1680652800001000,5,1,true", "ts_event_us", "1680652800001000", "lies outside 2009 to 2050: is the unit right?"),
        ("1680652800001,5,1", "line", "1680652800001,5,1", "has 3 fields, not 4"),
        ("1680652800001,28,165.5,1,true", "line", "1680652800001,28,165.5,1,true", "has 5 fields, not 4"),
    ],
)
def test_bad_lines_are_refused_with_line_column_value_and_reason(tmp_path: Path, bad: str, column: str, value: str, reason: str) -> None:
    batches = parse(tmp_path, TRADES, f"time,price,qty,maker\n1680652800000,1,1,true\n{bad}\n1680652800002,2,1,true\n")
    assert [row[6] for row in rows(batches)] == [1.0, 2.0]
    assert rejects(batches) == [(3, column, value, reason)]
    assert [raw for batch in batches for raw in batch.rejects["raw"]] == [bad]


@pytest.mark.parametrize(
    ("bad", "column", "reason"),
    [
        ("1723075200,1,2,1.5,1,0", "low", "is above open or close"),
        ("1723075200,1,2,1,2.5,0", "high", "is below open or close"),
        ("1723075200,1,2,0,1,0", "low", "must be a number above zero"),
        ("1723075200,1,2,1,1,-1", "volume", "must be a number, not below zero"),
        ("1723075200,1,2,3,1,1", "low", "is above open or close"),  # the low above the high
        ("1723077000,1,2,1,1,1", "start_us", "does not fit the grid of 1h, which begins at 00:00 UTC"),
        ("1723075200,1,2.0000000000001,1,1,1", "high", "has more than 12 decimals, which cannot be stored exactly"),
        ("1723075200.999,1,2,1,1,1", "start_us", "candles begin and end on a whole second: is this a last millisecond?"),
    ],
)
def test_impossible_candles_are_refused(tmp_path: Path, bad: str, column: str, reason: str) -> None:
    batches = parse(tmp_path, CANDLES, f"start,o,h,l,c,v\n1723071600,1,1,1,1,1\n{bad}\n")
    assert len(rows(batches)) == 1
    assert [(row[0], row[1], row[3]) for row in rejects(batches)] == [(3, column, reason)]


def test_an_optional_value_that_is_no_number_is_refused_not_dropped(tmp_path: Path) -> None:
    batches = parse(tmp_path, CANDLES, "start,o,h,l,c,v\n1723075200,1,1,1,1,much\n1723078800,1,1,1,1,\n")
    assert [row[-1] for row in rows(batches)] == [3]
    assert rejects(batches) == [(2, "volume", "much", "must be a number, not below zero")]


# ---------------------------------------------------------------- local times


def test_a_time_that_did_not_exist_is_refused(tmp_path: Path) -> None:
    batches = parse(tmp_path, FUNDING, "Time,Every,Rate\n2024-03-31 00:00:00,8h,1%\n2024-03-31 01:30:00,8h,1%\n")
    assert rejects(batches) == [(3, "ts_event_us", "2024-03-31 01:30:00", "this time did not exist in Europe/London: clocks went forward")]


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize(
    ("every", "local", "utc"),
    [
        ("8h", "2024-10-26 17:00|2024-10-27 01:00|2024-10-27 08:00", "2024-10-26 16:00|2024-10-27 00:00|2024-10-27 08:00"),
        ("8h", "2024-10-26 18:00|2024-10-27 01:00|2024-10-27 09:00", "2024-10-26 17:00|2024-10-27 01:00|2024-10-27 09:00"),
        (
            "1h",
            "2024-10-27 00:00|2024-10-27 01:00|2024-10-27 01:00|2024-10-27 02:00",
            "2024-10-26 23:00|2024-10-27 00:00|2024-10-27 01:00|2024-10-27 02:00",
        ),
    ],
)
def test_times_that_happened_twice_are_decided_by_interval_or_order(
    tmp_path: Path, every: str, local: str, utc: str, newest_first: bool
) -> None:
    lines = [f"{time}:00,{every},{n}%\n" for n, time in enumerate(local.split("|"), 1)]
    batches = parse(tmp_path, FUNDING, "Time,Every,Rate\n" + "".join(lines[::-1] if newest_first else lines))
    found = [row[1] for row in rows(batches)]
    assert (found[::-1] if newest_first else found) == [us(time) for time in utc.split("|")]
    assert rejects(batches) == []


def test_a_time_that_happened_twice_is_refused_where_nothing_decides(tmp_path: Path) -> None:
    content = "Time,Every,Rate\n2024-10-27 00:00:00,1h,1%\n2024-10-27 01:00:00,1h,2%\n2024-10-27 02:00:00,1h,3%\n"
    batches = parse(tmp_path, FUNDING, content)
    assert len(rows(batches)) == 2
    ((line, column, value, reason),) = rejects(batches)
    assert (line, column, value) == (3, "ts_event_us", "2024-10-27 01:00:00")
    assert reason == "this time happened twice in Europe/London, clocks went back, and neither interval nor order of rows decides"


def test_the_same_row_twice_does_not_decide_the_order(tmp_path: Path) -> None:
    lines = ["2024-10-27 00:00:00,1h,1%\n", *["2024-10-27 01:00:00,1h,2%\n"] * 2, "2024-10-27 02:00:00,1h,3%\n"]
    batches = parse(tmp_path, FUNDING, "Time,Every,Rate\n" + "".join(lines))
    assert [row[0] for row in rejects(batches)] == [3, 4]


def test_unordered_rows_decide_nothing(tmp_path: Path) -> None:
    times = ["10-27 05:00", "10-27 00:00", "10-27 01:00", "10-27 01:00", "10-27 03:00"]
    lines = [f"2024-{time}:00,1h,{n}%\n" for n, time in enumerate(times, 1)]
    assert [row[0] for row in rejects(parse(tmp_path, FUNDING, "Time,Every,Rate\n" + "".join(lines)))] == [4, 5]


LOCAL_TRADES = 'time_zone = "Europe/London"\n' + TRADES.replace('unit = "ms"', 'unit = "text"')


def test_trades_may_share_a_time_so_only_a_step_back_decides(tmp_path: Path) -> None:
    def lines(*times: str) -> str:
        return "time,price,qty,maker\n" + "".join(f"2024-10-27 {time}:00,{n},1,true\n" for n, time in enumerate(times, 1))

    turned = parse(tmp_path, LOCAL_TRADES, lines("00:30", "00:45", "01:10", "01:10", "01:50", "01:05", "02:10"))
    utc = [
        "2024-10-26 23:30",
        "2024-10-26 23:45",
        "2024-10-27 00:10",
        "2024-10-27 00:10",
        "2024-10-27 00:50",
        "2024-10-27 01:05",
        "2024-10-27 02:10",
    ]
    assert [row[1] for row in rows(turned)] == [us(time) for time in utc]
    level = parse(tmp_path, LOCAL_TRADES, lines("00:30", "00:45", "01:10", "01:10", "02:10"))
    assert [row[0] for row in rejects(level)] == [4, 5]


@settings(max_examples=40, deadline=None)
@given(
    first_minute=st.integers(0, 59),
    count=st.integers(2, 200),
    step=st.integers(1, 40),
    newest_first=st.booleans(),
    zone=st.sampled_from(["Europe/London", "America/New_York", "Asia/Tokyo"]),
)
def test_local_times_are_right_or_refused(
    tmp_path_factory: pytest.TempPathFactory, *, first_minute: int, count: int, step: int, newest_first: bool, zone: str
) -> None:
    """Trades every `step` minutes around the night when clocks go back: each accepted one is at its true time."""
    night = {"Europe/London": "2024-10-26 22:00", "America/New_York": "2024-11-03 03:30", "Asia/Tokyo": "2024-10-26 22:00"}[zone]
    true_us = [us(night) + (first_minute + n * step) * 60_000_000 for n in range(count)]
    lines = [
        f"{dt.datetime.fromtimestamp(at / 1e6, ZoneInfo(zone)).strftime('%Y-%m-%d %H:%M:%S')},{n + 1},1,true\n"
        for n, at in enumerate(true_us)
    ]
    mapping = LOCAL_TRADES.replace("Europe/London", zone)
    batches = parse(tmp_path_factory.mktemp("dst"), mapping, "time,price,qty,maker\n" + "".join(lines[::-1] if newest_first else lines))
    assert all(row[1] == true_us[int(row[6]) - 1] for row in rows(batches))
    local = [dt.datetime.fromtimestamp(at / 1e6, ZoneInfo(zone)) for at in true_us]
    twice = sum(moment.utcoffset() != moment.replace(fold=1 - moment.fold).utcoffset() for moment in local)
    assert len(rows(batches)) >= count - twice
    if step <= 20 and twice >= 120 // step:  # the hour is covered, so the clock's step back shows
        assert len(rows(batches)) == count


# ---------------------------------------------------------------- wrong mappings


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('kind = "trades"', 'kind = "trade"', ["no such kind", "trades, liquidations, quotes, funding"]),
        ('kind = "trades"', 'kind = "candles_1fortnight"', ["no such kind"]),
        ('exchange = "binance-futures"', 'exhange = "binance-futures"', ["no key exhange", "exchange"]),
        ('unit = "ms"', 'units = "ms"', ["no key units", "columns.ts_event_us.units", "unit"]),
        ('unit = "ms"', 'unit = "min"', ["columns.ts_event_us.unit", "'min'"]),
        (', unit = "ms"', "", ["say in which unit 'time' is"]),
        ('price = "price"', 'prise = "price"', ["no column prise", "names alike: price"]),
        ('price = "price"\n', "", ["trades needs a rule for price"]),
        ('ts_event_us = {column = "time", unit = "ms"}\n', "", ["trades needs a rule for ts_event_us"]),
        ('price = "price"', 'price = "Price"', ["no column 'Price'", "time, price, qty, maker", "names alike: price"]),
        ('price = "price"', 'price = {column = "price", unit = "ms"}', ["unit does not apply to price"]),
        ('price = "price"', 'price = {column = "price", constant = 1}', ["either column or constant"]),
        ('price = "price"', "price = {percent = true}", ["either column or constant"]),
        ('unit = "ms"', 'unit = "ms", format = "%Y"', ["format goes with unit text"]),
        ('unit = "ms"', 'unit = "text", since = "2024-01-01"', ["since with a unit of numbers"]),
        (', seller_taker = ["true"]', "", ["side needs the values"]),
        ('["true"]', '["true"], buyer_maker = ["true"]', ["mean the same", "give one"]),
        ('["true"]', '["true"], buyer_taker = ["TRUE"]', ["one meaning", "true"]),
        ('["true"]', '["true"], unknown = ["False"]', ["one meaning", "false"]),
        ('qty = "qty"', 'qty = {column = "qty", signed = "taker"}', ["the sign of qty"]),
        ('price = "price"', 'price = {column = "price", signed = "taker"}', ["signed does not apply to price"]),
        ('qty = "qty"', 'qty = "qty"\nfirst_trade_id = "qty"', ["needs both ids"]),
        ('qty = "qty"', 'qty = "qty"\ntext_id = {column = "qty", percent = true}', ["percent does not apply to text_id"]),
        ('["true"]', '["hit"]', ["opposite", "buyer_taker"]),
        ('qty = "qty"', 'qty = "qty"\nsource_row = "qty"', ["no column source_row to map", "computed"]),
        ("[columns]", 'time_zone = "Europe/Lundun"\n[columns]', ["no such time zone"]),
        ('qty = "qty"', 'qty = "qty"\noff_book = "qty"', ["no column off_book to map", "computed"]),
        ("[columns]", "skip_lines = -1\n[columns]", ["skip_lines"]),
        ("[columns]", "[columns", ["not TOML"]),
        ('exchange = "binance-futures"\n', "", ["names no exchange", "--exchange"]),
        ('symbol = "BTCUSDT"\n', "", ["names no symbol", "--symbol"]),
        ('symbol = "BTCUSDT"', "symbol = {name = 'x'}", ["symbol"]),
        ('unit = "ms"', 'unit = "ns"', ["no time of column 'time' can be used", "is the unit right"]),
    ],
)
def test_a_wrong_mapping_is_explained(tmp_path: Path, old: str, new: str, says: list[str]) -> None:
    assert old in TRADES
    content = "time,price,qty,maker\n1680652800000,1,1,true\n1680652800001,1,1,true\n"
    with pytest.raises(ConfigError) as caught:
        parse(tmp_path, TRADES.replace(old, new), content)
    for words in says:
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('start_us = {column = "start", unit = "s"}\n', "", "candles need a time"),
        ('open = "o"', 'open = "o"\nts_local_us = {column = "start", unit = "s"}', "no column ts_local_us to map"),
        ('open = "o"\n', "", "needs a rule for open"),
        ('kind = "candles_1h"', 'kind = "candles_1d"\ntime_zone = "Europe/London"', "candles of a day must be UTC days"),
    ],
)
def test_wrong_mappings_of_candles(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in CANDLES
    with pytest.raises(ConfigError, match=says):
        load_mapping(mapped(tmp_path, CANDLES.replace(old, new)).mapping or tmp_path)


def test_a_ticker_needs_some_value(tmp_path: Path) -> None:
    mapping = 'kind = "derivative_ticker"\nexchange = "a"\nsymbol = "b"\ncolumns = {ts_event_us = {column = "t", unit = "s"}}\n'
    with pytest.raises(ConfigError, match="mark_price, index_price, last_price, funding_rate or open_interest"):
        load_mapping(mapped(tmp_path, mapping).mapping or tmp_path)


def test_a_unit_for_a_typed_column_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"time": [dt.datetime(2024, 7, 1, tzinfo=dt.UTC)], "price": [1.0], "qty": [1.0], "maker": [True]}).write_parquet(path)
    with pytest.raises(ConfigError, match="leave unit out"):
        read(path, mapped(tmp_path, TRADES))


def test_a_missing_mapping_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_mapping(tmp_path / "none.toml")


def test_a_column_that_the_file_has_twice(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="twice"):
        parse(tmp_path, TRADES, "time,price,price,qty,maker\n1680652800000,1,2,1,true\n")


@pytest.mark.parametrize(
    ("name", "content"), [("a.csv", ""), ("a.json", '{"a": 1'), ("a.parquet", "PAR1"), ("a.feather", "x"), ("a.csv.gz", "\x1f\u008b")]
)
def test_damaged_or_empty_files_are_refused(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(SourceError):
        read(path, mapped(tmp_path, TRADES))


def test_a_file_with_header_only_has_no_rows(tmp_path: Path) -> None:
    assert rows(parse(tmp_path, TRADES, "time,price,qty,maker\n")) == []


def test_recognise_needs_a_mapping_and_a_table(tmp_path: Path) -> None:
    hints = mapped(tmp_path, TRADES)
    assert MappedTable().recognise(tmp_path / "a.csv", Hints()) is None
    assert MappedTable().recognise(tmp_path / "a.md", hints) is None
    hinted = Hints(mapping=hints.mapping, exchange="bybit", symbol="X", period="2024")
    assert MappedTable().recognise(tmp_path / "a.b.csv.gz", hinted) == Identity("table", "bybit", "", "trades", "X", "", kind="trades")
    found = MappedTable().recognise(tmp_path / "a.b.csv.gz", hints)
    assert found is not None
    assert found.period == ""  # a file's name says nothing of its time


# ---------------------------------------------------------------- examples and real files


@pytest.mark.parametrize("path", sorted(MAPPINGS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_example_mapping_is_valid(path: Path) -> None:
    assert load_mapping(path).columns


def real(shared_data: Path, name: str, mapping: str) -> pl.DataFrame:
    """The only instrument of a real file, all of whose rows must be accepted."""
    batches = read(shared_data / name, Hints(mapping=MAPPINGS / f"{mapping}.toml"))
    assert rejects(batches) == []
    (batch,) = batches
    return batch.frame


@pytest.mark.parametrize(
    ("name", "mapping", "count", "close", "volume"),
    [
        ("Binance_BTCUSDT_d.csv", "candles_daily_spot", 2549, "61685.99", "48349.52949"),
        ("BTCUSDT_Binance_futures_UM_day.csv", "candles_daily_usdm", 1680, "61659.8", "470117.508"),
        ("BTCUSD_PERP_Binance_futures_CM_day.csv", "candles_daily_coinm", 1449, "61668.6", "28466222"),
    ],
)
def test_daily_candles(shared_data: Path, *, name: str, mapping: str, count: int, close: str, volume: str) -> None:
    frame = real(shared_data, f"klines/{name}", mapping)
    assert frame.height == count
    newest = frame.row(0, named=True)
    assert (newest["start_us"], newest["ts_local_us"]) == (us("2024-08-08 00:00"), us("2024-08-09 00:00"))
    assert (newest["close"], newest["volume"], newest["source_row"]) == (Decimal(close), Decimal(volume), 3)
    lines = (shared_data / "klines" / name).read_text().splitlines()[2:]
    fields = [line.split(",") for line in lines if line]
    assert frame["close"].to_list() == [Decimal(field[6]) for field in fields]
    assert frame["volume"].to_list() == [Decimal(field[7]) for field in fields]
    other = "base_volume" if mapping.endswith("coinm") else "quote_volume"
    assert frame[other].to_list() == [Decimal(field[8]) for field in fields]
    assert frame["trade_count"].to_list() == [int(float(field[9])) for field in fields]


@pytest.mark.parametrize(
    ("name", "mapping", "count"),
    [
        ("binance_BTC_USDT-1h_202301-202411", "candles_hourly_spot", 16799),
        ("binance_BTC_USDT_USDT-1h-futures_202301-202411", "candles_hourly_usdm", 16800),
        ("binance_BTC_USDT_USDT-1h-mark_202301-202411", "mark_candles_hourly", 16800),
    ],
)
def test_hourly_candles(shared_data: Path, name: str, mapping: str, count: int) -> None:
    frame = real(shared_data, f"klines/{name}.feather", mapping)
    assert frame.height == count
    assert (frame["ts_event_us"] - frame["start_us"]).unique().to_list() == [HOUR_US]
    assert frame["start_us"][0] == us("2023-01-01 00:00")
    raw = pl.read_ipc(shared_data / "klines" / f"{name}.feather")
    assert frame["close"].to_list() == [Decimal(repr(price)) for price in raw["close"]]


def test_hourly_and_daily_closes_agree(shared_data: Path) -> None:
    hourly = real(shared_data, "klines/binance_BTC_USDT_USDT-1h-futures_202301-202411.feather", "candles_hourly_usdm")
    daily = real(shared_data, "klines/BTCUSDT_Binance_futures_UM_day.csv", "candles_daily_usdm")
    both = daily.join(hourly, on="ts_event_us", suffix="_of_hour")
    assert both.height > 500
    assert both.filter(pl.col("close") != pl.col("close_of_hour")).height == 0


def settlements(shared_data: Path) -> dict[int, float]:
    """Rates by settlement, read from the JSON without the code under test."""
    records = json.loads((shared_data / "funding" / "binance_usdm_BTC_funding_rates.json").read_text())
    return {round(record["time"] / 60_000) * 60_000_000: float(record["funding_rate"]) for record in records}


def test_settled_funding_of_the_json(shared_data: Path) -> None:
    frame = real(shared_data, "funding/binance_usdm_BTC_funding_rates.json", "funding_json")
    assert dict(frame.select("funding_us", "funding_rate").rows()) == settlements(shared_data)
    assert frame.height == 4377
    assert frame["ts_event_us"][0] == 1640995200006000
    assert frame["interval_hours"].unique().to_list() == [8.0]


def test_london_export_equals_the_settlements(shared_data: Path) -> None:
    frame = real(shared_data, "funding/binance_usdm_BTCUSDT_funding_history_2024-08-09.csv", "funding_export_usdm")
    assert frame.height == 5386
    settled = settlements(shared_data)
    ours = dict(frame.select("funding_us", "funding_rate").rows())
    assert len(ours) == 5386
    assert all(time % (8 * HOUR_US) == 0 for time in ours)
    common = ours.keys() & settled.keys()
    assert len(common) > 2800
    # The export cuts some rates where the settlements are rounded: one unit of its last digit (1e-6 percent) less, never anything else.
    units = [round((settled[time] - ours[time]) * 1e8, 3) for time in common]
    assert set(units) == {0.0, 1.0}
    assert (len(units), sum(units)) == (2855, 158)
    missing = [time for time in settled if min(ours) <= time <= max(ours) and time not in ours]
    assert missing == []
    assert {us("2022-10-30 00:00"), us("2023-10-29 00:00")} < common  # 01:00 of the days when clocks went back


def test_coin_margined_export(shared_data: Path) -> None:
    frame = real(shared_data, "funding/binance_coinm_BTCUSD_PERP_funding_history_2024-08-09.csv", "funding_export_coinm")
    assert frame.height == 1000
    assert frame.row(1) == (us("2024-08-09 00:00"), us("2024-08-09 00:00"), us("2024-08-09 00:00"), -0.00000414, 8.0, None, 3)
    assert (frame["funding_us"].diff().drop_nulls() == -8 * HOUR_US).all()


def test_funding_of_the_feather_file(shared_data: Path) -> None:
    frame = real(shared_data, "klines/binance_BTC_USDT_USDT-1h-funding_rate_202301-202411.feather", "funding_feather")
    assert frame.height == 2100
    settled = settlements(shared_data)
    ours = dict(frame.select("funding_us", "funding_rate").rows())
    common = ours.keys() & settled.keys()
    assert len(common) == 2100
    assert all(abs(ours[time] - settled[time]) < 1e-12 for time in common)


def test_mark_prices(shared_data: Path) -> None:
    frame = real(shared_data, "demo_btc_20230405_csv/usdm_BTCUSDT_markprice_1s.csv.gz", "mark_price_1s")
    assert frame.height == 514
    first = (1680652701000000, 1680652701000000, 28147.27373413, 28159.75642857, None, 0.00002754, 1680652800000000, None, None, 2)
    assert frame.row(0) == first


def test_trades_of_the_demo(shared_data: Path) -> None:
    frame = real(shared_data, "demo_btc_20230405_csv/usdm_BTCUSDT_trades.csv.gz", "trades_csv")
    assert frame.height == 12935
    assert frame.row(0) == (1680652700452000, 1680652700452000, 3535186032, None, None, None, 28145.10, 0.002, True, None, 2)


def test_minute_bars_and_funding_of_lean(shared_data: Path) -> None:
    bars = real(shared_data, "lean_20221213/crypto_binance_minute_btcbusd_20221213_trade.zip", "candles_minute_lean")
    assert bars.height == 1440
    assert bars["start_us"].to_list() == [us("2022-12-13 00:00") + minute * 60_000_000 for minute in range(1440)]
    assert bars["open"][0] == Decimal("17212.12")
    funding = real(shared_data, "lean_20221213/cryptofuture_binance_margin_interest_btcusd.csv", "funding_lean")
    assert funding.select("funding_us", "funding_rate").row(-1) == (us("2022-12-13 16:00"), -0.00002983)
