"""Websocket recordings: every field of every event and market, what is refused, and that block borders change nothing."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pointline import schema
from pointline.errors import ConfigError, SourceError
from pointline.sources import receipt, recorded, text_lines
from pointline.sources.base import REJECT_SCHEMA, Batch, Hints, Identity
from pointline.sources.recorded import Recorded

if TYPE_CHECKING:
    from pathlib import Path

SPOT = Identity("recorded", "binance-spot", "", "stream", "BTCUSDT", "")
LINEAR = Identity("recorded", "binance-futures", "", "stream", "BTCUSDT", "")
INVERSE = Identity("recorded", "binance-delivery", "", "stream", "BTCUSD_PERP", "")

SPOT_TRADE = {
    "e": "trade",
    "E": 1680652800001,
    "s": "BTCUSDT",
    "t": 71,
    "p": "28165.47",
    "q": "0.00056",
    "b": 5,
    "a": 6,
    "T": 1680652799999,
    "m": True,
    "M": True,
}
LINEAR_TRADE = {
    "e": "trade",
    "E": 1680652800001,
    "T": 1680652800000,
    "s": "BTCUSDT",
    "t": 81,
    "p": "28145.1",
    "q": "0.002",
    "X": "MARKET",
    "m": False,
}
INVERSE_TRADE = {
    "e": "trade",
    "E": 1680652800001,
    "T": 1680652800000,
    "s": "BTCUSD_PERP",
    "t": 91,
    "p": "61804.8",
    "q": "4",
    "X": "MARKET",
    "m": False,
}
SPOT_BOOK = {"u": 36, "s": "BTCUSDT", "b": "28165.47", "B": "7.5", "a": "28165.48", "A": "3.25"}
LINEAR_BOOK = {
    "e": "bookTicker",
    "u": 27,
    "s": "BTCUSDT",
    "b": "28145.1",
    "B": "3.5",
    "a": "28145.2",
    "A": "6.5",
    "T": 1680652800000,
    "E": 1680652800003,
}
INVERSE_BOOK = {
    "u": 17,
    "e": "bookTicker",
    "s": "BTCUSD_PERP",
    "ps": "BTCUSD",
    "b": "61804.7",
    "B": "35",
    "a": "61804.8",
    "A": "1645",
    "T": 1680652800000,
    "E": 1680652800003,
}
MARK = {
    "e": "markPriceUpdate",
    "E": 1680652800010,
    "s": "BTCUSDT",
    "p": "28155.1",
    "P": "28141.4",
    "i": "28165.0",
    "r": "-0.0000276",
    "T": 1680681600000,
}
DEPTH = {"e": "depthUpdate", "E": 1680652800003, "T": 1680652800002, "s": "BTCUSDT", "U": 1, "u": 2, "pu": 0, "b": [["1.0", "2"]], "a": []}
RECEIVED_US = 1680652800004107
NO_STAMP = "does not begin with a receipt time of 16 (microseconds) or 19 (nanoseconds) digits and a JSON object"


def line(message: dict[str, Any], stamp: int = RECEIVED_US, *, stream: str = "") -> str:
    body = {"stream": stream, "data": message} if stream else message
    return f"{stamp} {json.dumps(body, separators=(',', ':'))}"


def written(folder: Path, *lines: str, name: str = "a.dat") -> Path:
    path = folder / name
    text = "".join(f"{item}\n" for item in lines).encode()
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    return path


def read(path: Path, identity: Identity, hints: Hints | None = None) -> list[Batch]:
    return list(Recorded().read(path, identity, hints or Hints()))


def rows(batches: list[Batch], kind: str = "trades") -> list[dict[str, Any]]:
    return [row for batch in batches if batch.kind == kind for row in batch.frame.iter_rows(named=True)]


def rejects(batches: list[Batch]) -> list[dict[str, Any]]:
    return sorted((row for batch in batches for row in batch.rejects.iter_rows(named=True)), key=lambda row: row["line"])


# ---------------------------------------------------------------- fields


def test_spot_trade_in_wrapper_with_microseconds(tmp_path: Path) -> None:
    (batch,) = read(written(tmp_path, line(SPOT_TRADE, stream="btcusdt@trade")), SPOT)
    assert (batch.kind, batch.exchange, batch.symbol, batch.clock, batch.rank) == ("trades", "binance-spot", "BTCUSDT", "recorded", 30)
    assert batch.frame.schema == schema.TRADES.parsed
    assert batch.frame.rows() == [(1680652800004107, 1680652799999000, 71, None, None, None, 28165.47, 0.00056, True, None, 1)]
    assert batch.rejects.schema == REJECT_SCHEMA
    assert batch.rejects.is_empty()


def test_linear_trade_bare_with_nanoseconds_is_floored(tmp_path: Path) -> None:
    (batch,) = read(written(tmp_path, line(LINEAR_TRADE, 1680652800004107999)), LINEAR)
    assert batch.frame.rows() == [(1680652800004107, 1680652800000000, 81, None, None, None, 28145.1, 0.002, False, False, 1)]
    assert (batch.exchange, batch.symbol) == ("binance-futures", "BTCUSDT")


def test_inverse_trade_keeps_contracts(tmp_path: Path) -> None:
    (batch,) = read(written(tmp_path, line(INVERSE_TRADE, stream="btcusd_perp@trade")), INVERSE)
    assert batch.frame.rows() == [(1680652800004107, 1680652800000000, 91, None, None, None, 61804.8, 4.0, False, False, 1)]
    assert (batch.exchange, batch.symbol) == ("binance-delivery", "BTCUSD_PERP")


def test_times_of_the_exchange_may_be_microseconds(tmp_path: Path) -> None:
    (batch,) = read(written(tmp_path, line({**SPOT_TRADE, "T": 1680652799999123})), SPOT)
    assert batch.frame["ts_event_us"].to_list() == [1680652799999123]


def test_aggregated_trade_has_its_own_id_and_those_that_it_adds_up(tmp_path: Path) -> None:
    message = {
        "e": "aggTrade",
        "E": 1680652800001,
        "s": "BTCUSDT",
        "a": 501,
        "p": "28145.1",
        "q": "2",
        "f": 81,
        "l": 83,
        "T": 1680652800000,
        "m": True,
    }
    (batch,) = read(written(tmp_path, line(message)), LINEAR)
    assert (batch.kind, batch.rank) == ("trades", 30)
    assert batch.frame.rows() == [(1680652800004107, 1680652800000000, 501, 81, 83, None, 28145.1, 2.0, True, None, 1)]


def test_linear_quote(tmp_path: Path) -> None:
    (batch,) = read(written(tmp_path, line(LINEAR_BOOK, stream="btcusdt@bookTicker")), LINEAR)
    assert batch.kind == "quotes"
    assert batch.frame.schema == schema.QUOTES.parsed
    assert batch.frame.rows() == [(1680652800004107, 1680652800000000, 27, 28145.1, 3.5, 28145.2, 6.5, 1)]


def test_inverse_quote(tmp_path: Path) -> None:
    (batch,) = read(written(tmp_path, line(INVERSE_BOOK)), INVERSE)
    assert batch.frame.rows() == [(1680652800004107, 1680652800000000, 17, 61804.7, 35.0, 61804.8, 1645.0, 1)]


def test_spot_quote_has_the_receive_time_only(tmp_path: Path) -> None:
    (batch,) = read(written(tmp_path, line(SPOT_BOOK)), SPOT)
    assert batch.frame.rows() == [(1680652800004107, 1680652800004107, 36, 28165.47, 7.5, 28165.48, 3.25, 1)]


def test_mark_price(tmp_path: Path) -> None:
    (batch,) = read(written(tmp_path, line(MARK, RECEIVED_US + 10_000)), LINEAR)
    assert batch.kind == "derivative_ticker"
    assert batch.frame.schema == schema.DERIVATIVE_TICKER.parsed
    expected = (1680652800014107, 1680652800010000, 28155.1, 28165.0, None, -0.0000276, 1680681600000000, None, None, 1)
    assert batch.frame.rows() == [expected]


def test_mark_price_of_a_dated_contract_has_no_funding(tmp_path: Path) -> None:
    message = {"e": "markPriceUpdate", "E": 1680652800010, "s": "BTCUSD_230630", "p": "28155.1", "P": "28141.4", "r": "", "T": 0}
    (batch,) = read(written(tmp_path, line(message)), INVERSE)
    assert batch.symbol == "BTCUSD_230630"
    assert batch.frame.select("index_price", "funding_rate", "next_funding_us").rows() == [(None, None, None)]
    assert batch.rejects.is_empty()


def test_other_messages_and_blank_lines_are_passed_over_but_counted(tmp_path: Path) -> None:
    snapshot = f'{RECEIVED_US} {{"lastUpdateId": 5, "E": 1680652700590, "bids": [["1.0", "2"]], "asks": []}}'
    kline = line({"e": "kline", "E": 1680652800001, "s": "BTCUSDT", "k": {"t": 1}})
    batches = read(written(tmp_path, line(DEPTH), "", snapshot, kline, line(LINEAR_TRADE)), LINEAR)
    assert [row["source_row"] for row in rows(batches)] == [5]
    assert rejects(batches) == []
    assert sum(batch.skipped for batch in batches) == 3  # a blank line is no row


def test_json_written_with_spaces_and_windows_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    text = f"{RECEIVED_US} {json.dumps({'stream': 'x', 'data': LINEAR_TRADE})}\r\n{RECEIVED_US}\t{json.dumps(SPOT_BOOK | LINEAR_BOOK)}\r\n"
    path.write_bytes(text.encode())
    batches = read(path, LINEAR)
    assert [row["trade_id"] for row in rows(batches)] == [81]
    assert [row["update_id"] for row in rows(batches, "quotes")] == [27]
    assert rejects(batches) == []


def test_receive_times_may_run_backwards_and_keep_file_order(tmp_path: Path) -> None:
    batches = read(written(tmp_path, line(LINEAR_TRADE, RECEIVED_US + 5), line(LINEAR_TRADE, RECEIVED_US)), LINEAR)
    assert [(row["ts_local_us"], row["source_row"]) for row in rows(batches)] == [(RECEIVED_US + 5, 1), (RECEIVED_US, 2)]


def test_symbols_come_in_batches_of_their_own(tmp_path: Path) -> None:
    ether = {**LINEAR_TRADE, "s": "ETHUSDT", "t": 7}
    path = written(tmp_path, line(LINEAR_TRADE), line(ether), line({**LINEAR_TRADE, "t": 82}))
    found = {batch.symbol: batch.frame["trade_id"].to_list() for batch in read(path, LINEAR)}
    assert found == {"BTCUSDT": [81, 82], "ETHUSDT": [7]}
    only, rest = read(path, LINEAR, Hints(symbol="ETHUSDT"))
    assert (only.symbol, only.frame.height, only.skipped) == ("ETHUSDT", 1, 0)
    assert (rest.frame.height, rest.skipped) == (0, 2)


# ---------------------------------------------------------------- refused rows


@pytest.mark.parametrize(
    ("kind", "flag"), [("INSURANCE_FUND", True), ("ADL", True), ("NA", True), ("MARKET", False), ("", None), (None, None)]
)
def test_prints_are_flagged_as_the_stream_says(tmp_path: Path, kind: str | None, flag: bool | None) -> None:
    batches = read(written(tmp_path, line({**LINEAR_TRADE, "X": kind})), LINEAR)
    assert [row["off_book"] for row in rows(batches)] == [flag]
    assert rejects(batches) == []


def test_an_off_book_print_without_a_price_is_set_aside(tmp_path: Path) -> None:
    batches = read(written(tmp_path, line(LINEAR_TRADE), line({**LINEAR_TRADE, "X": "NA", "p": "0", "q": "0"})), LINEAR)
    assert [row["source_row"] for row in rows(batches)] == [1]
    (reject,) = rejects(batches)
    assert (reject["line"], reject["column"], reject["value"], reject["fatal"]) == (2, "X", "NA", False)
    assert reject["reason"] == "off-book print without a price: X is NA"


@pytest.mark.parametrize(
    ("bad", "column", "value", "reason"),
    [
        (line({**LINEAR_TRADE, "p": "28x45"}), "price", "28x45", "field p must be a number above zero"),
        (line({**LINEAR_TRADE, "p": "-1"}), "price", "-1", "field p must be a number above zero"),
        (line({**LINEAR_TRADE, "p": "inf"}), "price", "inf", "field p must be a number above zero"),
        (line({**LINEAR_TRADE, "q": "0.000"}), "qty", "0.000", "field q must be a number above zero"),
        (line({**LINEAR_TRADE, "q": "nan"}), "qty", "nan", "field q must be a number above zero"),
        (line({**LINEAR_TRADE, "t": "x1"}), "trade_id", "x1", "field t must be a whole number, not below zero"),
        (line({**LINEAR_TRADE, "t": -1}), "trade_id", "-1", "field t must be a whole number, not below zero"),
        (
            line({**LINEAR_TRADE, "p": "60000.1000000000001"}),
            "price",
            "60000.1000000000001",
            "field p has more than 12 decimals, which cannot be stored exactly",
        ),
        (line({**LINEAR_TRADE, "p": 28145.1}), "line", "{start}", "field p must be text: a number does not keep its digits"),
        (line({**LINEAR_TRADE, "e": []}), "line", "{start}", "field e must be the name of an event"),
        (line({**LINEAR_TRADE, "s": []}), "line", "{start}", "is not valid JSON with plain values"),
        (line(LINEAR_TRADE).replace('"p"', '"p":"1","p"'), "line", "{start}", "names the field p twice"),
        (line(LINEAR_TRADE).replace('"t"', '"t":5,"t"'), "line", "{start}", "names the field t twice"),
        (
            line(LINEAR_TRADE).replace('"e"', '"x":{"e":"trade"},"e"').replace('"e":"trade","E"', '"e":"kline","E"'),
            "line",
            "kline",
            "is no message of event trade",
        ),
        (line({"data": {"x": 1}, **LINEAR_TRADE}), "line", None, "is no message of event trade"),
        (line({**LINEAR_TRADE, "e": "aggTrade", "a": 5}), "first_trade_id", None, "field f must be a whole number, not below zero"),
        (
            line({**LINEAR_TRADE, "e": "aggTrade", "a": 5, "f": 3, "l": 2}),
            "last_trade_id",
            "2",
            "field l must be a whole number, not below f",
        ),
        (line({**LINEAR_BOOK, "E": 7}), "ts_event_us", "7", "field E must be a time in milliseconds or microseconds"),
        (line({**MARK, "r": "8.0"}), "funding_rate", "8.0", "field r must be a number from -1 to 1"),
        (
            line({**LINEAR_TRADE, "T": 2680652800000}),
            "ts_event_us",
            "2680652800000",
            "field T must be a time in milliseconds or microseconds",
        ),
        (line({**LINEAR_TRADE, "m": "maybe"}), "side", "maybe", "field m must be true or false"),
        (line({**LINEAR_TRADE, "T": 1680652800}), "ts_event_us", "1680652800", "field T must be a time in milliseconds or microseconds"),
        (line({key: value for key, value in LINEAR_TRADE.items() if key != "q"}), "qty", None, "field q must be a number above zero"),
        (line({key: value for key, value in LINEAR_TRADE.items() if key != "s"}), "symbol", None, "field s must name the instrument"),
        (line({**LINEAR_TRADE, "p": {"x": 1}}), "line", "{start}", "is not valid JSON with plain values"),
        (line(LINEAR_TRADE).replace('"m"', "m"), "line", "{start}", "is not valid JSON with plain values"),
        (line(LINEAR_TRADE)[:-9], "line", "{start}", "is cut: its JSON object does not end"),
        (line(DEPTH)[:60], "line", "{start}", "is cut: its JSON object does not end"),
        ("hello", "line", "{start}", NO_STAMP),
        (line(LINEAR_TRADE, 1680652800), "line", "{start}", NO_STAMP),
        (line(LINEAR_TRADE, 9680652800004107), "ts_local_us", "9680652800004107", "lies outside 2009 to 2050"),
        (line({**LINEAR_BOOK, "b": "x"}), "bid_price", "x", "field b must be a number, not below zero"),
        (line({**LINEAR_BOOK, "A": "-1"}), "ask_qty", "-1", "field A must be a number, not below zero"),
        (line({**LINEAR_BOOK, "u": None}), "update_id", None, "field u must be a whole number, not below zero"),
        (line({**LINEAR_BOOK, "T": 7}), "ts_event_us", "7", "field T must be a time in milliseconds or microseconds"),
        (line({**MARK, "p": "0"}), "mark_price", "0", "field p must be a number above zero"),
        (line({**MARK, "i": "x"}), "index_price", "x", "field i must be a number above zero"),
        (line({**MARK, "r": "x"}), "funding_rate", "x", "field r must be a number from -1 to 1"),
        (line({**MARK, "T": 5}), "next_funding_us", "5", "field T must be 0 or a time in milliseconds or microseconds"),
        (line({**MARK, "E": None}), "ts_event_us", None, "field E must be a time in milliseconds or microseconds"),
    ],
)
def test_malformed_rows_are_refused_with_line_column_value_and_reason(
    tmp_path: Path, bad: str, column: str, value: str | None, reason: str
) -> None:
    batches = read(written(tmp_path, line(LINEAR_TRADE), bad, line({**LINEAR_TRADE, "t": 82})), LINEAR)
    assert [row["trade_id"] for row in rows(batches)] == [81, 82]
    value = bad[:80] if value == "{start}" else value
    assert rejects(batches) == [{"line": 2, "column": column, "value": value, "reason": reason, "raw": bad, "fatal": True}]


def test_one_sided_quotes_are_set_aside(tmp_path: Path) -> None:
    batches = read(written(tmp_path, line({**LINEAR_BOOK, "b": "0.00", "B": "0.00"}), line(LINEAR_BOOK)), LINEAR)
    assert [row["source_row"] for row in rows(batches, "quotes")] == [2]
    (reject,) = rejects(batches)
    assert (reject["column"], reject["reason"], reject["fatal"]) == ("bid_price", "one-sided quote: there is no bid", False)


def test_bytes_that_are_not_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    broken = line(LINEAR_TRADE).encode().replace(b"BTCUSDT", b"BTC\xffSDT")
    path.write_bytes(line(LINEAR_TRADE).encode() + b"\n" + broken + b"\n" + b"\0" * 40 + b"\n")
    batches = read(path, LINEAR)
    assert [row["source_row"] for row in rows(batches)] == [1]
    assert [(row["line"], row["reason"].split(" ")[0], row["fatal"]) for row in rejects(batches)] == [(2, "holds", True), (3, "does", True)]


def test_many_broken_lines_are_told_apart_from_the_good_ones(tmp_path: Path) -> None:
    lines = [line({**LINEAR_TRADE, "t": number}) for number in range(100)]
    broken = {3, 4, 50, 51, 52, 99}
    text = [item.replace('"e"', 'e,"e"') if number in broken else item for number, item in enumerate(lines)]
    batches = read(written(tmp_path, *text), LINEAR)
    assert [row["trade_id"] for row in rows(batches)] == [number for number in range(100) if number not in broken]
    assert [row["line"] for row in rejects(batches)] == [number + 1 for number in sorted(broken)]


def test_two_messages_on_a_line_do_not_shift_the_others(tmp_path: Path) -> None:
    double = f"{line(LINEAR_TRADE)},{json.dumps({**LINEAR_TRADE, 't': 82})}"
    batches = read(written(tmp_path, double, line({**LINEAR_TRADE, "t": 83})), LINEAR)
    assert [(row["trade_id"], row["source_row"]) for row in rows(batches)] == [(83, 2)]
    assert [(row["line"], row["reason"]) for row in rejects(batches)] == [(1, "is not valid JSON with plain values")]


# ---------------------------------------------------------------- refused files


def test_receive_times_of_two_units_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, line(DEPTH), line(LINEAR_TRADE), line(LINEAR_TRADE, RECEIVED_US * 1000))
    with pytest.raises(SourceError, match="microseconds from line 1 and in nanoseconds at line 3"):
        read(path, LINEAR)


def test_units_are_compared_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_lines, "BLOCK_BYTES", 10)
    with pytest.raises(SourceError, match="nanoseconds from line 1 and in microseconds at line 2"):
        read(written(tmp_path, line(LINEAR_TRADE, RECEIVED_US * 1000), line(LINEAR_TRADE)), LINEAR)


@pytest.mark.parametrize("late", [2, 3])
def test_a_recorder_clock_behind_the_exchange_is_refused(tmp_path: Path, late: int) -> None:
    behind = [line(LINEAR_TRADE, 1680652800000000 - 1_270_000 - number * 1000) for number in range(late)]
    ahead = [line(LINEAR_TRADE, 1680652800000000 - 249_000)] * 2
    path = written(tmp_path, *ahead, *behind)
    if late == 2:
        assert len(rows(read(path, LINEAR))) == 4
        return
    with pytest.raises(SourceError, match=r"3 of 5 rows .* in the median 1\.270 s before") as caught:
        read(path, LINEAR)
    assert "--clock event" in str(caught.value.hint)


def test_a_clock_behind_is_noticed_before_the_whole_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipt, "CLOCK_SAMPLE_ROWS", 4)
    monkeypatch.setattr(text_lines, "BLOCK_BYTES", 10)
    behind = [line(LINEAR_TRADE, 1680652800000000 - 2_000_000)] * 4
    path = written(tmp_path, *behind, *[line(LINEAR_TRADE)] * 40)
    with pytest.raises(SourceError, match="4 of 4 rows"):
        read(path, LINEAR)


def test_event_clock_adds_the_assumed_latency(tmp_path: Path) -> None:
    path = written(tmp_path, line(LINEAR_TRADE, 1680652800000000 - 1_270_000), line(LINEAR_BOOK, 1680652800000000 - 1_270_000))
    batches = read(path, LINEAR, Hints(clock="event", latency_us=1500))
    assert {batch.clock for batch in batches} == {"assumed"}
    # a quote is known no earlier than the exchange sent it
    for kind, known_us in (("trades", 1680652800000000), ("quotes", 1680652800003000)):
        assert [(row["ts_local_us"], row["ts_event_us"]) for row in rows(batches, kind)] == [(known_us + 1500, 1680652800000000)]


def test_event_clock_sets_spot_quotes_aside_and_counts_them_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_lines, "BLOCK_BYTES", 10)
    path = written(tmp_path, line(SPOT_TRADE), line(SPOT_BOOK), line(SPOT_BOOK), line(SPOT_BOOK))
    batches = read(path, SPOT, Hints(clock="event"))
    assert len(rows(batches)) == 1
    assert rows(batches, "quotes") == []
    (reject,) = rejects(batches)
    assert (reject["line"], reject["fatal"], reject["raw"]) == (2, False, line(SPOT_BOOK))
    assert reject["reason"].startswith("3 spot quotes from this line on have no exchange time")
    assert sum(batch.skipped for batch in batches) == 2  # the others of the three


def test_an_unknown_clock_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such clock"):
        read(written(tmp_path, line(LINEAR_TRADE)), LINEAR, Hints(clock="wall"))


@pytest.mark.parametrize(
    ("identity", "message", "found"),
    [
        (SPOT, LINEAR_TRADE, "binance-futures"),
        (SPOT, MARK, "binance-futures"),
        (LINEAR, SPOT_TRADE, "binance-spot"),
        (LINEAR, SPOT_BOOK, "binance-spot"),
        (LINEAR, INVERSE_BOOK, "binance-delivery"),
        (INVERSE, LINEAR_BOOK, "binance-futures"),
    ],
)
def test_messages_of_another_market_are_refused(tmp_path: Path, identity: Identity, message: dict[str, Any], found: str) -> None:
    with pytest.raises(SourceError, match=f"a message of {found}"):
        read(written(tmp_path, line(message)), identity)


def test_truncated_gzip_says_how_much_could_be_read(tmp_path: Path) -> None:
    whole = gzip.compress(("".join(line({**LINEAR_TRADE, "t": number * 7919 % 1009}) + "\n" for number in range(1000))).encode())
    path = tmp_path / "a.gz"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match=r"truncated or damaged: (\d+) whole lines") as caught:
        read(path, LINEAR)
    readable = int(str(caught.value).split("damaged: ")[1].split(" ")[0])
    assert 100 < readable < 900


def test_damaged_gzip_is_refused(tmp_path: Path) -> None:
    whole = bytearray(gzip.compress(("".join(line({**LINEAR_TRADE, "t": number}) + "\n" for number in range(1000))).encode()))
    whole[-6] ^= 0xFF  # the checksum
    path = tmp_path / "a.gz"
    path.write_bytes(whole)
    with pytest.raises(SourceError, match="truncated or damaged: 1000 whole lines"):
        read(path, LINEAR)


def test_gzip_of_several_members_is_read_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(b"".join(gzip.compress(f"{line({**LINEAR_TRADE, 't': number})}\n".encode()) for number in range(3)))
    assert [row["trade_id"] for row in rows(read(path, LINEAR))] == [0, 1, 2]


# ---------------------------------------------------------------- recognise


@pytest.mark.parametrize(
    ("messages", "exchange", "symbol"),
    [
        ([SPOT_TRADE], "binance-spot", "BTCUSDT"),
        ([SPOT_BOOK], "binance-spot", "BTCUSDT"),
        ([{"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": 1, "u": 2, "b": [], "a": []}], "binance-spot", "BTCUSDT"),
        ([LINEAR_TRADE], "binance-futures", "BTCUSDT"),
        ([{"e": "aggTrade", "s": "BTCUSDT", "a": 1, "m": True}], "binance-futures", "BTCUSDT"),
        ([{"e": "aggTrade", "s": "BTCUSDT", "a": 1, "m": True, "M": True}], "binance-spot", "BTCUSDT"),
        ([{key: value for key, value in LINEAR_BOOK.items() if key != "e"}], "binance-futures", "BTCUSDT"),
        ([MARK], "binance-futures", "BTCUSDT"),
        ([DEPTH, {**LINEAR_TRADE, "s": "ETHUSDT"}], "binance-futures", "*"),
        ([{**LINEAR_TRADE, "s": "BTCUSDT_250328"}], "binance-futures", "BTCUSDT_250328"),
        ([INVERSE_TRADE], "binance-delivery", "BTCUSD_PERP"),
        ([{**INVERSE_TRADE, "s": "BTCUSD_250328"}], "binance-delivery", "BTCUSD_250328"),
    ],
)
def test_the_messages_tell_exchange_and_symbol(tmp_path: Path, messages: list[dict[str, Any]], exchange: str, symbol: str) -> None:
    for name in ("some_20240808.dat", "some_20240808.dat.gz"):
        path = written(tmp_path, *(line(message, stream="x") for message in messages), name=name)
        assert Recorded().recognise(path, Hints()) == Identity("recorded", exchange, "", "stream", symbol, "")


UNDECIDED = {"lastUpdateId": 5, "bids": [], "asks": []}


def test_file_name_or_hint_decide_where_messages_do_not(tmp_path: Path) -> None:
    named = Recorded().recognise(written(tmp_path, line(UNDECIDED), name="binance_coinm_x.gz"), Hints())
    assert named == Identity("recorded", "binance-delivery", "", "stream", "*", "")
    path = written(tmp_path, line(UNDECIDED), name="x.log")
    hinted = Recorded().recognise(path, Hints(exchange="binance-spot", symbol="BTCUSDT", period="2024-08-08"))
    assert hinted == Identity("recorded", "binance-spot", "", "stream", "BTCUSDT", "")
    with pytest.raises(SourceError) as caught:
        Recorded().recognise(path, Hints())
    assert "--exchange" in str(caught.value)


def test_a_hint_against_the_messages_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, line(LINEAR_TRADE))
    with pytest.raises(SourceError, match="not of the exchange that was given"):
        Recorded().recognise(path, Hints(exchange="binance-spot"))
    other = Recorded().recognise(path, Hints(exchange="other-venue"))
    assert other is not None
    assert other.exchange == "other-venue"


def test_mixed_markets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="mixes markets"):
        Recorded().recognise(written(tmp_path, line(LINEAR_TRADE), line(SPOT_TRADE)), Hints())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", f"{line(LINEAR_TRADE)}\n"),
        ("a.dat", "1,2,3\n"),
        ("a.dat", ""),
        ("a.txt", f'{RECEIVED_US} {{"topic":"orderbook.50.BTCUSDT","data":{{"b":[]}}}}\n'),
        ("a.txt", f"{RECEIVED_US} {{not json}}\n"),
        ("a.txt", f'{RECEIVED_US} {{"e":[],"s":"BTCUSDT"}}\n'),
        ("a.txt", f"{RECEIVED_US} {'[' * 20_000}{']' * 20_000}\n"),
        ("a.gz", "not a gzip file"),
        ("b.gz", "\x1f\u008b damaged"),
    ],
)
def test_other_files_are_left_to_other_sources(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode("latin-1"))
    assert Recorded().recognise(path, Hints()) is None


def test_recognising_reads_the_head_only(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    text = "".join(f"{line({**DEPTH, 'u': number * 7919})}\n" for number in range(20_000)).encode()
    whole = gzip.compress(text)
    assert len(whole) > recorded.HEAD_BYTES
    path.write_bytes(whole[: recorded.HEAD_BYTES + 10])
    identity = Recorded().recognise(path, Hints())
    assert identity is not None
    assert (identity.exchange, identity.symbol) == ("binance-futures", "BTCUSDT")


# ---------------------------------------------------------------- block borders


def oracle(lines: list[str]) -> tuple[list[tuple[Any, ...]], list[int]]:
    """Trades and lines of fatal rejects by a plain loop."""
    trades, bad = [], []
    for number, text in enumerate(lines, 1):
        stamp, _, body = text.partition(" ")
        if not text.strip():
            continue
        try:
            message = json.loads(body)
        except ValueError:
            bad.append(number)
            continue
        message = message.get("data", message)
        if message["e"] == "trade":
            side = message["m"]
            ids = (message["t"], None, None, None)
            trades.append((int(stamp), message["T"] * 1000, *ids, float(message["p"]), float(message["q"]), side, False, number))
    return trades, bad


LINES = st.lists(
    st.one_of(
        st.builds(
            lambda number, price, lots, maker, wrapped: line(
                {**LINEAR_TRADE, "t": number, "p": f"{price / 10:.1f}", "q": f"{lots / 1000:.3f}", "m": maker},
                RECEIVED_US + number,
                stream="btcusdt@trade" if wrapped else "",
            ),
            st.integers(0, 10**9),
            st.integers(1, 10**7),
            st.integers(1, 10**6),
            st.booleans(),
            st.booleans(),
        ),
        st.just(line(DEPTH)),
        st.just(""),
        st.integers(20, 100).map(lambda size: line(LINEAR_TRADE)[:size]),
    ),
    min_size=1,
    max_size=25,
)


@settings(deadline=None)
@given(lines=LINES, block=st.sampled_from([1, 40, 300, 1 << 20]), packed=st.booleans(), ended=st.booleans())
def test_block_borders_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], block: int, packed: bool, ended: bool
) -> None:
    path = tmp_path_factory.mktemp("blocks") / ("a.gz" if packed else "a.dat")
    text = ("\n".join(lines) + ("\n" if ended else "")).encode()
    path.write_bytes(gzip.compress(text) if packed else text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_lines, "BLOCK_BYTES", block)
        batches = read(path, LINEAR)
    trades, bad = oracle(lines)
    assert [row for batch in batches for row in batch.frame.rows()] == trades
    assert [row["line"] for row in rejects(batches)] == bad
    assert sum(batch.skipped for batch in batches) == sum(bool(item.strip()) for item in lines) - len(trades) - len(bad)


# ---------------------------------------------------------------- lists of updates, long and odd lines


def updates(*symbols: str) -> list[dict[str, Any]]:
    return [{**MARK, "s": symbol, "p": f"{number}.5"} for number, symbol in enumerate(symbols, 1)]


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_list_of_mark_prices(tmp_path: Path, wrapped: bool) -> None:
    many = updates("BTCUSDT", "ETHUSDT", "BTCUSDT_240628")
    body = {"stream": "!markPrice@arr", "data": many} if wrapped else many
    path = written(tmp_path, line(LINEAR_TRADE), f"{RECEIVED_US + 10_000} {json.dumps(body)}", line(MARK, RECEIVED_US + 11_000))
    identity = Recorded().recognise(path, Hints())
    assert identity == Identity("recorded", "binance-futures", "", "stream", "*", "")
    batches = read(path, identity)
    found = [(batch.symbol, row) for batch in batches if batch.kind == "derivative_ticker" for row in batch.frame.rows()]
    assert {(symbol, row[2], row[-1]) for symbol, row in found} == {
        ("BTCUSDT", 28155.1, 3), ("BTCUSDT", 1.5, 2), ("ETHUSDT", 2.5, 2), ("BTCUSDT_240628", 3.5, 2),
    }  # fmt: skip
    only = read(path, identity, Hints(symbol="ETHUSDT"))
    assert [row["mark_price"] for row in rows(only, "derivative_ticker")] == [2.5]
    assert sum(batch.skipped for batch in only) == 4


def test_odd_updates_of_a_list_are_refused_one_by_one(tmp_path: Path) -> None:
    many = updates("BTCUSDT", "ETHUSDT", "XRPUSDT")
    many[1]["p"] = "x"
    twice = json.dumps(updates("BTCUSDT")).replace('"p"', '"p":"9","p"')
    lists = [
        json.dumps([*many, None]),
        "[]",
        json.dumps([1, *many]),
        twice,
        json.dumps({"stream": "!miniTicker@arr", "data": [{"e": "24hrMiniTicker"}]}),
    ]
    batches = read(written(tmp_path, *(f"{RECEIVED_US + 10_000} {item}" for item in lists)), LINEAR)
    assert sorted(row["mark_price"] for row in rows(batches, "derivative_ticker")) == [1.5, 3.5]
    assert [(row["line"], row["column"]) for row in rejects(batches)] == [(1, "mark_price"), (1, "line"), (3, "line"), (4, "line")]
    assert sum(batch.skipped for batch in batches) == 2


def test_a_stream_of_all_quotes(tmp_path: Path) -> None:
    path = written(tmp_path, *(line({**LINEAR_BOOK, "s": symbol}, stream="!bookTicker") for symbol in ("BTCUSDT", "ETHUSDT")))
    assert {batch.symbol for batch in read(path, LINEAR) if batch.kind == "quotes"} == {"BTCUSDT", "ETHUSDT"}


@pytest.mark.parametrize("packed", [True, False])
def test_of_an_endless_line_only_the_beginning_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
    monkeypatch.setattr(text_lines, "BLOCK_BYTES", 1_000)
    monkeypatch.setattr(text_lines, "LINE_BYTES", 20_000)
    endless = line({**LINEAR_TRADE, "note": "x" * 200_000})
    path = written(tmp_path, line(LINEAR_TRADE), endless, line({**LINEAR_TRADE, "t": 82}), endless, name="a.gz" if packed else "a.dat")
    assert max(len(block) for block in recorded.read_blocks(path)) < 30_000
    batches = read(path, LINEAR)
    assert [(row["trade_id"], row["source_row"]) for row in rows(batches)] == [(81, 1), (82, 3)]
    assert [(row["line"], row["fatal"]) for row in rejects(batches)] == [(2, True), (4, True)]
    assert all(row["reason"].startswith("is longer than") and len(row["raw"]) <= 4_000 for row in rejects(batches))


ODD_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["BTCUSDT", "1.5", "-1", "1e5", "nan", "trade", "kline", 1680652800000, "1680652800000", (), {}, [{"e": "trade"}]]),
)


@settings(deadline=None)
@given(
    data=st.data(),
    event=st.sampled_from([LINEAR_TRADE, LINEAR_BOOK, MARK, INVERSE_BOOK, DEPTH]),
    shape=st.sampled_from(["bare", "data", "list", "listed"]),
)
def test_each_row_of_any_message_is_counted_once(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, event: dict[str, Any], shape: str
) -> None:
    """Messages with odd values, missing, doubled and foreign fields never end a file, and never go uncounted."""
    lines, expected = [line(LINEAR_TRADE)], 1
    for _ in range(data.draw(st.integers(1, 4))):
        changed = event | data.draw(st.dictionaries(st.sampled_from([*event, "data", "x"]), ODD_VALUES, max_size=3))
        if isinstance(changed.get("s"), str):
            changed["s"] = "BTCUSDT"
        copies = data.draw(st.integers(1, 3)) if shape.startswith("list") else 1
        body = {"bare": changed, "data": {"data": changed}, "list": [changed] * copies, "listed": {"data": [changed] * copies}}[shape]
        text = json.dumps(body)
        if data.draw(st.booleans()):
            text = text.replace('"s"', '"s": "BTCUSDT", "s"', 1)
        lines.append(f"{RECEIVED_US + 20_000} {text}")
        expected += copies
    path = written(tmp_path_factory.mktemp("odd"), *lines)
    try:
        batches = read(path, LINEAR)
    except SourceError:  # a message of another market by its fields
        return
    found = sum(batch.frame.height + batch.rejects.height + batch.skipped for batch in batches)
    assert len(lines) <= found <= expected
    assert 1 in [row["source_row"] for row in rows(batches)]
    for row in rows(batches):
        assert row["price"] > 0
        assert row["trade_id"] >= 0


# ---------------------------------------------------------------- real recordings


@pytest.mark.parametrize(
    ("name", "exchange", "symbol", "trades"),
    [
        ("binance_spot_btcusdt_20240808", "binance-spot", "BTCUSDT", 9757),
        ("binance_usdm_btcusdt_20240808", "binance-futures", "BTCUSDT", 21313),
        ("binance_coinm_btcusd_perp_20240808", "binance-delivery", "BTCUSD_PERP", 2286),
    ],
)
def test_recordings_of_2024(shared_data: Path, name: str, exchange: str, symbol: str, trades: int) -> None:
    path = shared_data / "ticks_btc_20240808" / f"{name}.gz"
    identity = Recorded().recognise(path, Hints())
    assert identity == Identity("recorded", exchange, "", "stream", symbol, "")
    with pytest.raises(SourceError, match=r"in the median 1\.2\d\d s before"):
        read(path, identity)
    batches = read(path, identity, Hints(clock="event"))
    frame = pl.concat([batch.frame for batch in batches if batch.kind == "trades"])
    assert frame.height == trades
    before_midnight = frame.filter(pl.col("ts_event_us") < 1723161600000000).sort("ts_event_us", "trade_id")
    last_price = {"binance-spot": 61685.99, "binance-futures": 61659.8, "binance-delivery": 61668.6}
    assert before_midnight["price"][-1] == last_price[exchange]
    assert not any(batch.rejects["fatal"].any() for batch in batches)


def test_recordings_of_2023_equal_the_exchange_s_own_csv(shared_data: Path) -> None:
    folder = shared_data / "ticks_btc_20230405"
    frames, off_book, tickers = [], [], []
    for day in ("20230404", "20230405"):
        path = folder / f"binance_usdm_btcusdt_{day}.dat.gz"
        identity = Recorded().recognise(path, Hints())
        assert identity is not None
        for batch in read(path, identity):
            assert batch.clock == "recorded"
            assert batch.rejects.is_empty()
            if batch.kind == "trades":
                off_book += batch.frame.filter("off_book")["trade_id"].to_list()
            {"trades": frames, "derivative_ticker": tickers}.get(batch.kind, []).append(batch.frame)
    assert off_book == [3535191080]  # an insurance fund's
    trades = pl.concat(frames).select("trade_id", "price", "qty", "side", "ts_event_us").sort("trade_id")
    csv = pl.read_csv(shared_data / "demo_btc_20230405_csv" / "usdm_BTCUSDT_trades.csv.gz").select(
        pl.col("id").alias("trade_id"), "price", "qty", pl.col("is_buyer_maker").alias("side"), ts_event_us=pl.col("time") * 1000
    )
    assert_frame_equal(trades, csv.sort("trade_id"))

    mark = pl.read_csv(shared_data / "demo_btc_20230405_csv" / "usdm_BTCUSDT_markprice_1s.csv.gz")
    ticker = pl.concat(tickers)
    assert ticker.height == mark.height == 514
    for ours, theirs in (("mark_price", "mark_price"), ("index_price", "index_price"), ("funding_rate", "funding_rate")):
        assert ticker[ours].to_list() == mark[theirs].to_list()
    assert ticker["ts_event_us"].to_list() == [time * 1000 for time in mark["event_time"]]
    assert ticker["next_funding_us"].to_list() == [time * 1000 for time in mark["next_funding_time"]]


def test_spot_recording_of_2023_equals_the_exchange_s_own_csv(shared_data: Path) -> None:
    path = shared_data / "ticks_btc_20230405" / "binance_spot_btcusdt_20230405.dat.gz"
    identity = Recorded().recognise(path, Hints())
    assert identity is not None
    trades = pl.concat([batch.frame for batch in read(path, identity) if batch.kind == "trades"]).sort("trade_id")
    csv = pl.read_csv(shared_data / "demo_btc_20230405_csv" / "spot_BTCUSDT_trades.csv.gz", has_header=False)
    assert trades.height == 3144
    assert trades["trade_id"].to_list() == csv.to_series(0).to_list()
    assert trades["price"].to_list() == csv.to_series(1).to_list()
    assert trades["qty"].to_list() == csv.to_series(2).to_list()
    assert trades["ts_event_us"].to_list() == [time * 1000 for time in csv.to_series(4)]
