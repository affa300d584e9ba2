"""What vendors deliver: receipt times, sides and ids of all kinds, JSON in all shapes, binary floats; and each row counted once."""

from __future__ import annotations

import gzip
import json
import math
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointline import schema
from pointline.errors import ConfigError, SourceError
from pointline.sources.base import Batch, Hints
from pointline.sources.exact import TOLERANCE, exact_amounts, shortest_decimals
from pointline.sources.table import MappedTable

if TYPE_CHECKING:
    from pathlib import Path

T0 = 1714521600000000  # 2024-05-01 00:00 UTC
TARDIS = """
kind = "trades"
exchange = "binance-futures"
symbol = { column = "symbol" }
[columns]
ts_event_us = { column = "timestamp", unit = "us" }
ts_local_us = { column = "local_timestamp", unit = "us" }
trade_id = "id"
price = "price"
qty = "amount"
side = { column = "side", seller_taker = ["sell"] }
"""
PLAIN = """
kind = "trades"
exchange = "kraken"
symbol = "BCHEUR"
column_names = ["time", "price", "volume"]
[columns]
ts_event_us = { column = "time", unit = "s" }
price = "price"
qty = "volume"
"""
CANDLES = """
kind = "candles_1m"
exchange = "binance-spot"
symbol = "BTCUSDT"
column_names = ["start", "o", "h", "l", "c", "v", "end", "qv", "tb", "tq"]
[columns]
start_us = { column = "start", unit = "ms" }
ts_event_us = { column = "end", unit = "ms" }
open = "o"
high = "h"
low = "l"
close = "c"
volume = "v"
quote_volume = "qv"
taker_buy_volume = "tb"
taker_buy_quote_volume = "tq"
"""


def read(path: Path, mapping: str, **hints: str | int | None) -> list[Batch]:
    where = path.parent / "mapping.toml"
    where.write_text(mapping, encoding="utf-8")
    told = Hints(mapping=where, **hints)  # type: ignore[arg-type]
    identity = MappedTable().recognise(path, told)
    assert identity is not None
    return list(MappedTable().read(path, identity, told))


def parse(folder: Path, mapping: str, content: str, name: str = "file.csv", **hints: str | int | None) -> list[Batch]:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return read(path, mapping, **hints)


def frame_of(batches: list[Batch]) -> pl.DataFrame:
    return pl.concat([batch.frame for batch in batches])


def column(batches: list[Batch], name: str) -> list[Any]:
    return frame_of(batches)[name].to_list()


def rejects(batches: list[Batch]) -> list[tuple[Any, ...]]:
    return sorted(row for batch in batches for row in batch.rejects.select("line", "column", "value", "reason").rows())


def counted(batches: list[Batch]) -> int:
    return sum(batch.frame.height + batch.rejects.height + batch.skipped for batch in batches)


# ---------------------------------------------------------------- receipt time


def tardis(*rows: str) -> str:
    return "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n" + "".join(f"binance-futures,{row}\n" for row in rows)


def test_a_time_of_receipt_is_the_research_clock(tmp_path: Path) -> None:
    content = tardis(f"BTCUSDT,{T0},{T0 + 304_000},5000,buy,60000,0.1", f"BTCUSDT,{T0 + 1},{T0 + 305_000},5001,unknown,60001,0.1")
    (batch,) = parse(tmp_path, TARDIS, content, latency_us=7)
    assert batch.clock == "recorded"
    assert batch.frame.select("ts_local_us", "ts_event_us", "side").rows() == [(T0 + 304_000, T0, False), (T0 + 305_000, T0 + 1, None)]
    (batch,) = parse(tmp_path, TARDIS, content, latency_us=7, clock="event")
    assert batch.clock == "assumed"
    assert batch.frame["ts_local_us"].to_list() == [T0 + 7, T0 + 8]
    with pytest.raises(ConfigError, match="no such clock"):
        parse(tmp_path, TARDIS, content, clock="wall")


@pytest.mark.parametrize("late", [2, 3])
def test_rows_received_before_they_happened_refuse_the_file(tmp_path: Path, late: int) -> None:
    rows = [f"BTCUSDT,{T0 + n},{T0 + n - (1_270_000 if n < late else 249_000)},{n},buy,60000,0.1" for n in range(late + 2)]
    content = tardis(*rows)
    if late == 2:
        assert frame_of(parse(tmp_path, TARDIS, content)).height == 4
        return
    with pytest.raises(SourceError, match=r"3 of 5 rows were received before they happened"):
        parse(tmp_path, TARDIS, content)
    assert frame_of(parse(tmp_path, TARDIS, content, clock="event")).height == 5


def test_an_empty_time_of_receipt_is_refused(tmp_path: Path) -> None:
    batches = parse(tmp_path, TARDIS, tardis(f"BTCUSDT,{T0},,1,buy,1,1", f"BTCUSDT,{T0},{T0},2,buy,1,1"))
    assert rejects(batches) == [(2, "ts_local_us", None, "is empty")]


def test_rows_of_other_symbols_are_counted(tmp_path: Path) -> None:
    rows = [f"{symbol},{T0 + n},{T0 + n},{n},buy,1,1" for n, symbol in enumerate(["BTCUSDT", "ETHUSDT", "BTCUSDT", "XRPUSDT", ""])]
    batches = parse(tmp_path, TARDIS, tardis(*rows), symbol="BTCUSDT")
    assert column(batches, "trade_id") == [0, 2]
    assert sum(batch.skipped for batch in batches) == 2
    assert [row[:2] for row in rejects(batches)] == [(6, "symbol")]
    assert counted(batches) == 5


# ---------------------------------------------------------------- sides


def test_trades_without_side(tmp_path: Path) -> None:
    (batch,) = parse(tmp_path, PLAIN, "1672531436,90.54,1.104\n1672531471,90.45,1.0\n")
    assert batch.frame["side"].to_list() == [None, None]
    assert batch.frame["price"].to_list() == [90.54, 90.45]
    assert batch.rejects.is_empty()


def test_values_that_mean_unknown(tmp_path: Path) -> None:
    rows = [f"BTCUSDT,{T0 + n},{T0 + n},{n},{side},1,1" for n, side in enumerate(["buy", "", "n/a", "sell", "perhaps"])]
    mapping = TARDIS.replace('["sell"]', '["sell"], unknown = ["", "N/A"]')
    batches = parse(tmp_path, mapping, tardis(*rows))
    assert column(batches, "side") == [False, None, None, True]
    assert [row[:3] for row in rejects(batches)] == [(6, "side", "perhaps")]
    batches = parse(tmp_path, TARDIS, tardis(*rows))
    assert [row[2] for row in rejects(batches)] == ["", "n/a", "perhaps"]


def test_a_null_side_of_a_typed_file_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    mapping = PLAIN + 'side = { column = "side", seller_taker = ["2"], buyer_taker = ["1"] }\n'
    pl.DataFrame({"time": [1672531436] * 3, "price": [1.0] * 3, "volume": [1.0] * 3, "side": [1.0, None, 2.0]}).write_parquet(path)
    assert column(read(path, mapping), "side") == [False, None, True]


def test_the_maker_s_side(tmp_path: Path) -> None:
    mapping = PLAIN.replace('"volume"]', '"volume", "side"]') + 'side = { column = "side", buyer_maker = ["buy"] }\n'
    (batch,) = parse(tmp_path, mapping, "1672531436,1,1,buy\n1672531436,1,1,sell\n")
    assert batch.frame["side"].to_list() == [True, False]  # the buyer made the offer, so the seller was the taker


@pytest.mark.parametrize(("whose", "sides"), [("taker", [False, True]), ("maker", [True, False])])
def test_signed_sizes(tmp_path: Path, whose: str, sides: list[bool]) -> None:
    mapping = PLAIN.replace('"volume"\n', f'{{ column = "volume", signed = "{whose}" }}\n')
    batches = parse(tmp_path, mapping, "1672531436,1,25\n1672531436,1,-4.5e1\n1672531436,1,0\n")
    assert frame_of(batches).select("qty", "side").rows() == [(25.0, sides[0]), (45.0, sides[1])]
    assert rejects(batches) == [(3, "qty", "0", "must be a number above zero")]


# ---------------------------------------------------------------- ids


def test_numbers_and_texts_as_ids(tmp_path: Path) -> None:
    mapping = PLAIN.replace('"volume"]', '"volume", "id", "uuid"]') + 'trade_id = "id"\ntext_id = "uuid"\n'
    rows = ["1672531436,1,1,7,a-1", "1672531436,1,1,,", "1672531436,1,1,-7,x", "1672531436,1,1,7.5,x", "1672531436,1,1,8.0,None"]
    batches = parse(tmp_path, mapping, "".join(f"{row}\n" for row in rows))
    assert frame_of(batches).select("trade_id", "text_id").rows() == [(7, "a-1"), (None, None), (8, None)]
    reason = "must be a whole number, not below zero (map ids that are text as text_id)"
    assert rejects(batches) == [(3, "trade_id", "-7", reason), (4, "trade_id", "7.5", reason)]


def test_a_text_mapped_as_a_number_says_what_to_do(tmp_path: Path) -> None:
    mapping = PLAIN.replace('"volume"]', '"volume", "uuid"]') + 'trade_id = "uuid"\n'
    with pytest.raises(ConfigError) as caught:
        parse(tmp_path, mapping, "1672531436,1,1,ab-1\n1672531437,1,1,ab-2\n")
    assert 'text_id = "…"' in str(caught.value)
    assert "columns.trade_id" in str(caught.value)


def test_aggregated_rows(tmp_path: Path) -> None:
    mapping = PLAIN.replace('"volume"]', '"volume", "f", "l"]') + 'first_trade_id = "f"\nlast_trade_id = "l"\n'
    batches = parse(tmp_path, mapping, "".join(f"1672531436,1,1,{ids}\n" for ids in ("3,5", ",", "5,3", "5,", "6,6")))
    assert frame_of(batches).select("first_trade_id", "last_trade_id").rows() == [(3, 5), (None, None), (6, 6)]
    assert [row[:2] for row in rejects(batches)] == [(3, "first_trade_id"), (4, "first_trade_id")]


def test_numbers_of_a_typed_file_with_holes_stay_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    ids = [2.0**53 - 1, None, 1e16 / 2]
    pl.DataFrame({"time": [1.672531436e9] * 3, "price": [1.0] * 3, "volume": [1.0] * 3, "id": ids}).write_parquet(path)
    assert column(read(path, PLAIN + 'trade_id = "id"\ntext_id = "id"\n'), "trade_id") == [2**53 - 1, None, 5 * 10**15]


# ---------------------------------------------------------------- checks of rows


def candle(**changes: object) -> str:
    values: dict[str, object] = {
        "s": 1672531440000,
        "o": 2,
        "h": 3,
        "l": 1,
        "c": 2,
        "v": 10,
        "e": 1672531499999,
        "qv": 20,
        "tb": 4,
        "tq": 8,
    } | changes
    return ",".join(str(value) for value in values.values()) + "\n"


@pytest.mark.parametrize(
    ("changes", "name", "reason"),
    [
        ({"v": -1, "tb": 0}, "volume", "must be a number, not below zero"),
        ({"tb": 10.5}, "taker_buy_volume", "is more than volume"),
        ({"tq": "20.000001"}, "taker_buy_quote_volume", "is more than quote_volume"),
        ({"s": 1672531450000, "e": 1672531509999}, "start_us", "does not fit the grid of 1m, which begins at 00:00 UTC"),
        ({"e": 1672531739999}, "ts_event_us", "the candle lasts 300 s, not 60 s"),
        ({"l": 4}, "low", "is above open or close"),
        ({"s": 2672531440000, "e": 2672531499999}, "ts_event_us", "lies outside 2009 to 2050: is the unit right?"),
    ],
)
def test_candles_that_cannot_be(tmp_path: Path, changes: dict[str, Any], name: str, reason: str) -> None:
    batches = parse(tmp_path, CANDLES, candle() + candle(**changes) + candle(s=1672531500000, e=1672531560000))
    assert column(batches, "start_us") == [1672531440000000, 1672531500000000]
    assert column(batches, "ts_event_us") == [1672531500000000, 1672531560000000]
    assert [(row[0], row[1], row[3]) for row in rejects(batches)] == [(2, name, reason)]


def test_a_file_of_longer_candles_than_it_is_mapped_as(tmp_path: Path) -> None:
    rows = [candle(s=1672531200000 + n * 300_000, e=1672531499999 + n * 300_000) for n in range(3)]
    with pytest.raises(ConfigError, match="the candle lasts 300 s, not 60 s"):
        parse(tmp_path, CANDLES, "".join(rows))


@pytest.mark.parametrize(
    ("rate", "hours", "ok"), [("1.0", "24", True), ("8.0", "8", False), ("-1.01", "8", False), ("0", "0", False), ("0", "25", False)]
)
def test_rates_and_intervals(tmp_path: Path, rate: str, hours: str, ok: bool) -> None:
    mapping = """
kind = "funding"
exchange = "a"
symbol = "b"
columns = {ts_event_us = {column = "t", unit = "s"}, funding_rate = "r", interval_hours = "h"}
"""
    batches = parse(tmp_path, mapping, f"t,r,h\n1672531200,{rate},{hours}\n")
    assert frame_of(batches).height == int(ok)
    assert counted(batches) == 1


def test_a_bid_above_the_ask_is_set_aside(tmp_path: Path) -> None:
    mapping = """
kind = "quotes"
exchange = "a"
symbol = "b"
columns = {ts_event_us = {column = "t", unit = "s"}, bid_price = "b", bid_qty = "x", ask_price = "a", ask_qty = "y"}
"""
    batches = parse(tmp_path, mapping, "t,b,x,a,y\n1672531200,2,1,2,1\n1672531201,3,1,2,1\n")
    assert column(batches, "bid_price") == [2.0]
    assert [row[3] for row in rejects(batches)] == ["the bid is above the ask"]


# ---------------------------------------------------------------- a file that was cut


@pytest.mark.parametrize(
    ("end", "name", "landed"),
    [
        ("1672531437,9,1.104\n", "a.csv", 2),  # a line end: whole
        ("1672531437,9,1.1", "a.csv", 1),  # 1.1 of 1.104
        ("1672531437,9,1", "a.csv", 1),
        ("1672531437,9,1.", "a.csv", 1),
        ("1672531437,9,1.104", "a.csv", 2),  # as many decimals as above
        ("1672531437,9", "a.csv", 1),  # a field is missing
        ('1672531437,9,"1.1"', "a.csv", 2),
        ("1672531437,9,1.1\n\n  ", "a.csv", 2),
        ("1672531437,9,1.1", "a.csv.gz", 2),  # the archive's own checksum holds
    ],
)
def test_a_last_line_without_line_end(tmp_path: Path, end: str, name: str, landed: int) -> None:
    path = tmp_path / name
    text = f"1672531436,9,1.000\n{end}".encode()
    path.write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    batches = read(path, PLAIN)
    assert frame_of(batches).height == landed
    assert counted(batches) == 2
    if landed == 1:
        assert rejects(batches)[0][0] == 2


@pytest.mark.parametrize(("last", "landed"), [("1.10400000", 21), ("1.1040000", 20), ("1.", 20)])
def test_the_lines_above_show_how_a_number_ends(tmp_path: Path, last: str, landed: int) -> None:
    content = "".join(f"1672531436,9,{n}.00200000\n" for n in range(20)) + f"1672531437,9,{last}"
    assert frame_of(parse(tmp_path, PLAIN, content)).height == landed


def test_an_end_that_is_not_read_or_cannot_be_cut_unseen(tmp_path: Path) -> None:
    content = "time,price,qty,note\n1672531436,9,1,abc\n1672531437,9,1,ab"
    headed = PLAIN.replace('column_names = ["time", "price", "volume"]\n', "").replace('"volume"', '"qty"')
    assert frame_of(parse(tmp_path, headed, content)).height == 2
    content = "price,volume,time\n9,1,1672531436\n9,1,1672531437"
    turned = PLAIN.replace('column_names = ["time", "price", "volume"]\n', "")
    assert frame_of(parse(tmp_path, turned, content)).height == 2
    assert [row[1] for row in rejects(parse(tmp_path, turned, content[:-1]))] == ["ts_event_us"]


# ---------------------------------------------------------------- amounts


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("60000.1", 60000.1),
        ("9.612e-05", 0.00009612),
        ("1E3", 1000.0),
        ("+.5", 0.5),
        ("5.", 5.0),
        ("0.000000000001", 1e-12),
        ("1.50000000000000000000", 1.5),
    ],
)
def test_text_that_is_kept(tmp_path: Path, text: str, value: float) -> None:
    (batch,) = parse(tmp_path, PLAIN, f"1672531436,{text},1\n")
    assert batch.frame["price"].to_list() == [value]
    assert batch.rounded == 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("60000.1000000000001", "has more than 12 decimals, which cannot be stored exactly"),
        ("60000.100000000001", "has more digits than can be stored exactly"),
        ("0.00031099999999999997", "has more than 12 decimals, which cannot be stored exactly"),
        ("9007199254740993", "has more digits than can be stored exactly"),
        ("1e400", "has more digits than can be stored exactly"),
        ("1e-400", "has more than 12 decimals, which cannot be stored exactly"),
        ("1_000", "must be a number above zero"),
        ("٣", "must be a number above zero"),
        ("inf", "must be a number above zero"),
        ("0x10", "must be a number above zero"),
    ],
)
def test_text_that_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    batches = parse(tmp_path, PLAIN, f"1672531436,1,1\n1672531436,{text},1\n")
    assert rejects(batches) == [(2, "price", text, reason)]


@pytest.mark.parametrize("suffix", ["parquet", "feather", "json"])
def test_noise_of_binary_floats_is_taken_off_and_counted(tmp_path: Path, suffix: str) -> None:
    values = [0.000263, 0.00031099999999999997, 0.1 + 0.2, 1.1 - 1.0, 3 * 1.1]
    path = tmp_path / f"a.{suffix}"
    frame = pl.DataFrame({"time": [1672531436] * 5, "price": [39432.48] * 5, "volume": values})
    if suffix == "json":
        path.write_text(json.dumps(frame.to_dicts()))
    else:
        (frame.write_parquet if suffix == "parquet" else frame.write_ipc)(path)
    (batch,) = read(path, PLAIN)
    assert batch.frame["qty"].to_list() == [0.000263, 0.000311, 0.3, 0.1, 3.3]
    assert batch.rounded == 4


def test_a_float_that_no_decimal_stands_for_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    values = [1.0, 1 / 3, math.inf]
    pl.DataFrame({"time": [1672531436] * 3, "price": values, "volume": [1.0] * 3}).write_parquet(path)
    reasons = [row[3] for row in rejects(read(path, PLAIN))]
    assert reasons == ["is a binary float that no decimal of up to 12 places stands for", "must be a number above zero"]


def test_json_numbers_of_more_digits_than_a_double_holds_are_refused(tmp_path: Path) -> None:
    numbers = ["60000.1000000000001", "0.30000000000000004", "0.3000000000000000444", "0.29999999999999999"]
    content = "[" + ",".join(f'{{"time": 1672531436, "price": {number}, "volume": "1"}}' for number in numbers) + "]"
    batches = parse(tmp_path, PLAIN, content, "a.json")
    assert column(batches, "price") == [0.3, 0.3]  # both are the digits that programs write for this double
    assert [row[2] for row in rejects(batches)] == [numbers[0], numbers[2]]


def test_single_precision_floats_are_their_own_shortest_digits(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"time": [1672531436], "price": pl.Series([60000.1], dtype=pl.Float32), "volume": [1.0]}).write_parquet(path)
    assert column(read(path, PLAIN), "price") == [60000.1]


@settings(deadline=None)
@given(count=st.integers(1, 10**15 - 1), decimals=st.integers(0, 12), steps=st.integers(-4, 4))
def test_noise_on_any_decimal(count: int, decimals: int, steps: int) -> None:
    """A decimal of up to 15 digits is kept; some steps beside it, the shortest decimal near is found, as a plain search finds it."""
    exact = count / 10**decimals
    assert shortest_decimals(pl.Series([exact]).to_numpy(), 51).tolist() == [exact]
    noisy = exact
    for _ in range(abs(steps)):
        noisy = math.nextafter(noisy, math.inf if steps > 0 else 0)
    (found,) = shortest_decimals(pl.Series([noisy]).to_numpy(), 51).tolist()
    near = [
        (places, whole / 10**places)
        for places in range(13)
        if (whole := round(Fraction(noisy) * 10**places)) < (2**51 if places else 2**53)
        and abs(whole / 10**places - noisy) <= TOLERANCE * noisy
    ]
    shown = Decimal(repr(noisy)).normalize()
    if len(shown.as_tuple().digits) <= 15 and (Fraction(shown) * 10**12).denominator == 1:
        assert found == noisy
    elif not near:
        assert math.isnan(found)
    else:
        places, value = near[0]
        assert round(Fraction(found) * 10**places) / 10**places == found
        assert abs(found - noisy) <= abs(value - noisy) + math.ulp(noisy)  # two neighbours can be equally near


@settings(deadline=None)
@given(
    text=st.one_of(
        st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**17), max_value=10**17, places=14).map(str),
        st.floats(allow_nan=False, allow_infinity=False).map(repr),
        st.from_regex(r"[-+]?[0-9]{0,18}\.?[0-9]{0,16}(e[-+]?[0-9]{1,2})?", fullmatch=True),
    ),
    double=st.booleans(),
)
def test_text_is_exact_or_refused(text: str, double: bool) -> None:
    dtype: pl.DataType = pl.Float64() if double else schema.PRICE
    amounts = exact_amounts(pl.Series([text]), None, dtype)
    (value,), (problem,) = amounts.values.to_list(), amounts.problems.to_list()
    assert not amounts.rounded.any()
    if value is not None and problem is None:
        stored = Decimal(repr(value)) if double else value
        assert stored == Decimal(text)
        assert (Fraction(stored) * 10**12).denominator == 1
    elif any(character.isdigit() for character in text.partition("e")[0]):
        count = Fraction(Decimal(text)) * 10**12
        assert count.denominator > 1 or abs(count) >= 10**15  # it has more than 12 decimals or many digits


# ---------------------------------------------------------------- shapes of JSON

RECORDS = [{"time": 1672531436 + n, "price": f"{n + 1}.5", "volume": str(n + 1)} for n in range(4)]
HEADED = PLAIN.replace('column_names = ["time", "price", "volume"]\n', "")
ROWS = [(T, p, q) for T, p, q in ((1672531436000000 + n * 10**6, n + 1.5, float(n + 1)) for n in range(4))]


def shape(kind: str) -> tuple[str, str, str]:
    """File name, content and mapping."""
    lists = [list(record.values()) for record in RECORDS]
    nested = [{"time": r["time"], "trade": {"price": r["price"], "size": {"volume": r["volume"]}}} for r in RECORDS]
    dotted = HEADED.replace('"price"\n', '"trade.price"\n').replace('"volume"\n', '"trade.size.volume"\n')
    at = 'records = "result.list"\n'
    shapes = {
        "records": ("a.json", json.dumps(RECORDS), HEADED),
        "indented": ("a.json", json.dumps(RECORDS, indent=1), HEADED),
        "lists": ("a.json", json.dumps(lists), PLAIN),
        "wrapped": ("a.json", json.dumps({"code": 0, "result": {"list": RECORDS}}), at + HEADED),
        "wrapped lists": ("a.json", json.dumps({"result": {"list": lists}}), at + PLAIN),
        "lines": ("a.jsonl", "".join(json.dumps(r) + "\n" for r in RECORDS), HEADED),
        "lines by content": ("a.json", "\n".join(json.dumps(r) for r in RECORDS), HEADED),
        "lists on lines": ("a.ndjson", "".join(json.dumps(r) + "\n" for r in lists), PLAIN),
        "wrapped lines": ("a.jsonl", "".join(json.dumps({"result": {"list": [r]}}) + "\n" for r in RECORDS), at + HEADED),
        "one wrapped record a line": ("a.jsonl", "".join(json.dumps({"result": {"list": r}}) + "\n" for r in RECORDS), at + HEADED),
        "nested": ("a.json", json.dumps(nested), dotted),
    }
    return shapes[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "records", "indented", "lists", "wrapped", "wrapped lists", "lines", "lines by content",
        "lists on lines", "wrapped lines", "one wrapped record a line", "nested",
    ],
)  # fmt: skip
def test_shapes_of_json(tmp_path: Path, kind: str) -> None:
    name, content, mapping = shape(kind)
    batches = parse(tmp_path, mapping, content, name)
    assert frame_of(batches).select("ts_event_us", "price", "qty").rows() == ROWS
    assert column(batches, "source_row") == [1, 2, 3, 4]
    assert rejects(batches) == []


def test_odd_records_are_refused_one_by_one(tmp_path: Path) -> None:
    good = json.dumps(RECORDS[0])
    twice = '{"time": 1672531436, "price": "1", "price": "2", "volume": "1"}'
    batches = parse(tmp_path, HEADED, f"[{good}, 5, null, {twice}, {{}}, {good}]", "a.json")
    assert [row[0] for row in rejects(batches)] == [2, 3, 4, 5]
    assert [row[3] for row in rejects(batches)][2] == "names a key twice"
    assert column(batches, "source_row") == [1, 6]
    lines = [good, "{cut", "", "[1]", '"x"', twice, good, "\ufffd", "[" * 100_000]
    batches = parse(tmp_path, "column_names = ['a', 'b']\n" + HEADED, "\n".join(lines), "a.jsonl")
    assert [row[0] for row in rejects(batches)] == [2, 4, 5, 6, 8, 9]
    assert column(batches, "source_row") == [1, 7]
    assert counted(batches) == 8


@pytest.mark.parametrize(
    ("content", "mapping", "error", "says"),
    [
        ('{"a": 1', HEADED, SourceError, "not JSON"),
        ("[" * 100_000, HEADED, SourceError, "not JSON"),
        ('{"data": [1]}', 'records = "result.list"\n' + HEADED, ConfigError, "no such records"),
        ("[[1, 2, 3]]", HEADED, ConfigError, "the mapping has to name their places"),
        ('[{"time": 1, "price": 2, "volum": 3}]', HEADED, ConfigError, "no column 'volume'"),
        ('{"result": [{"time": 1}]}', HEADED, ConfigError, "no column"),
    ],
)
def test_json_that_is_refused_as_a_whole(tmp_path: Path, content: str, mapping: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        parse(tmp_path, mapping, content, "a.json")


def test_a_document_without_records_has_no_rows(tmp_path: Path) -> None:
    assert frame_of([*parse(tmp_path, HEADED, "[]", "a.json"), *parse(tmp_path, PLAIN, "1672531436,1,1\n")]).height == 1


# ---------------------------------------------------------------- a market in every shape

FULL = """
kind = "trades"
exchange = "a"
symbol = "S"
SHAPE
[columns]
ts_event_us = { column = "t", unit = "us" }
ts_local_us = { column = "r", unit = "us" }
trade_id = "id"
text_id = "uuid"
price = "p"
qty = "q"
side = { column = "side", seller_taker = ["sell"] }
"""
MARKET = st.lists(
    st.fixed_dictionaries(
        {
            "t": st.integers(T0, T0 + 10**9),
            "delay": st.integers(0, 10**6),
            "id": st.one_of(st.none(), st.integers(0, 2**53 - 1)),
            "uuid": st.one_of(st.none(), st.uuids().map(str)),
            "p": st.tuples(st.integers(1, 10**11), st.integers(0, 8)),
            "q": st.tuples(st.integers(1, 10**12), st.integers(0, 8)),
            "side": st.sampled_from(["buy", "sell", "unknown"]),
        }
    ),
    min_size=1,
    max_size=20,
)


def write_market(folder: Path, market: list[dict[str, Any]], kind: str) -> tuple[Path, str]:
    rows = [
        {"t": m["t"], "r": m["t"] + m["delay"], "id": m["id"], "uuid": m["uuid"], "p": m["p"], "q": m["q"], "side": m["side"]}
        for m in market
    ]
    as_text = [row | {name: str(Decimal(row[name][0]).scaleb(-row[name][1])) for name in "pq"} for row in rows]
    as_float = [row | {name: row[name][0] / 10 ** row[name][1] for name in "pq"} for row in rows]
    names = list(rows[0])
    csv = "".join(",".join("" if value is None else str(value) for value in row.values()) + "\n" for row in as_text)
    named = f"column_names = {json.dumps(names)}"
    if kind == "parquet":
        schema_of = dict.fromkeys(("t", "r", "id"), pl.Int64) | dict.fromkeys("pq", pl.Float64) | dict.fromkeys(("uuid", "side"), pl.String)
        pl.DataFrame(as_float, schema=schema_of).select(names).write_parquet(folder / "a.parquet")
        return folder / "a.parquet", FULL.replace("SHAPE", "")
    name, content, shape_of = {
        "csv": ("a.csv", ",".join(names) + "\n" + csv, ""),
        "headless": ("a.csv", csv, named),
        "semicolons": ("a.txt", ";".join(names) + "\n" + csv.replace(",", ";"), 'separator = ";"'),
        "records": ("a.json", json.dumps(as_text), ""),
        "numbers": ("a.json", json.dumps(as_float), ""),
        "lists": ("a.json", json.dumps([list(row.values()) for row in as_float]), named),
        "wrapped": ("a.json", json.dumps({"result": {"list": as_text}}), 'records = "result.list"'),
        "lines": ("a.jsonl", "".join(json.dumps(row) + "\n" for row in as_float), ""),
    }[kind]
    (folder / name).write_text(content)
    return folder / name, FULL.replace("SHAPE", shape_of)


@settings(max_examples=25, deadline=None)
@given(market=MARKET)
def test_a_market_is_the_same_in_every_shape(tmp_path_factory: pytest.TempPathFactory, market: list[dict[str, Any]]) -> None:
    expected = [
        (
            m["t"] + m["delay"],
            m["t"],
            m["id"],
            m["uuid"],
            m["p"][0] / 10 ** m["p"][1],
            m["q"][0] / 10 ** m["q"][1],
            {"buy": False, "sell": True, "unknown": None}[m["side"]],
        )
        for m in market
    ]
    for kind in ("csv", "headless", "semicolons", "records", "numbers", "lists", "wrapped", "lines", "parquet"):
        path, mapping = write_market(tmp_path_factory.mktemp("market"), market, kind)
        batches = read(path, mapping)
        found = frame_of(batches).select("ts_local_us", "ts_event_us", "trade_id", "text_id", "price", "qty", "side").rows()
        assert found == expected, kind
        assert sum(batch.rounded for batch in batches) == 0, kind


FIELDS = st.sampled_from(
    [
        "",
        "1",
        "-1",
        "0",
        "1.5",
        "x",
        "1672531436",
        "1714521600",
        "nan",
        "buy",
        "sell",
        "unknown",
        "1e400",
        "A",
        "B",
        "0.30000000000000004",
        '"',
        "a,b",
    ]
)


@settings(deadline=None)
@given(
    lines=st.lists(st.lists(FIELDS, min_size=4, max_size=6).map(",".join), min_size=1, max_size=12),
    ended=st.booleans(),
    only=st.booleans(),
)
def test_each_line_of_any_csv_is_counted_once(
    tmp_path_factory: pytest.TempPathFactory, *, lines: list[str], ended: bool, only: bool
) -> None:
    mapping = PLAIN.replace('"BCHEUR"', '{ column = "s" }').replace('"volume"]', '"volume", "s", "side"]')
    mapping += 'side = { column = "side", seller_taker = ["sell"] }\n'
    folder = tmp_path_factory.mktemp("lines")
    content = "\n".join(["1672531436,1,1,A,buy", *lines]) + ("\n" if ended else "")
    try:
        batches = parse(folder, mapping, content, symbol="A" if only else None)
    except (ConfigError, SourceError):  # a quote over several lines, or a symbol none of whose times can be read
        return
    assert counted(batches) == 1 + sum(bool(line.strip()) for line in lines)
    landed = frame_of(batches)["source_row"].to_list()
    refused = [line for batch in batches for line in batch.rejects["line"]]
    assert len({*landed, *refused}) == len(landed) + len(refused)
