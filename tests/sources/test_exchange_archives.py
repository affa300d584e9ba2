"""Archives of Kraken, Gate, KuCoin, Coinbase, Deribit and Hyperliquid: what their names, sides, units and clocks mean."""

from __future__ import annotations

import gzip
import json
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from pointline.cli import app
from pointline.clock import to_us
from pointline.errors import SourceError
from pointline.lake import open_lake
from pointline.research import query
from pointline.sources.base import Batch, Hints, Identity
from pointline.sources.families import all_sources, family
from pointline.sources.taker_side import LEAST_MOVES, TickTest
from pointline.venues.files import package_venues

if TYPE_CHECKING:
    from collections.abc import Sequence

DAY_US = to_us("2024-05-01")
DAY_S = DAY_US // 1_000_000
VENUES = """
venue = "{venue}"

[[market]]
exchange = "{exchange}"
sql_name = "{exchange}"
asset_type = "perpetual"
symbols = "listed"
source = "a test"

[[instrument]]
exchange = "{exchange}"
exchange_symbol = "{symbol}"
base_asset = "BTC"
quote_asset = "USDT"
settle_asset = "USDT"
asset_type = "perpetual"
contract_type = "linear"
contract_size = {size}
source = "a test"
"""


def write(path: Path, lines: Sequence[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{line}\n" for line in lines).encode()
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{path.stem}.csv", text)
    else:
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def identity_of(source: str, path: Path, hints: Hints | None = None) -> Identity:
    found = family(source).source().recognise(path, hints or Hints())
    assert found is not None
    return found


def batches(source: str, path: Path, hints: Hints | None = None) -> list[Batch]:
    hints = hints or Hints()
    return list(family(source).source().read(path, identity_of(source, path, hints), hints))


def command(*words: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return done.stdout


def ingest(lake: Path, path: Path, *flags: str) -> dict[str, object]:
    (report,) = json.loads(command("ingest", path, "--lake", lake, "--json", *flags))
    assert report["outcome"] == "landed"
    return dict(report)


def state(lake: Path, venue: str, exchange: str, symbol: str, size: float) -> None:
    """A venue file of the lake's own, unless the package knows the exchange."""
    open_lake(lake, create=True)
    if exchange in package_venues().markets:
        return
    (lake / "venues").mkdir(exist_ok=True)
    (lake / "venues" / f"{venue}-own.toml").write_text(VENUES.format(venue=venue, exchange=exchange, symbol=symbol, size=size))


# ------------------------------------------------------------------------------------------------------------------ the tick test


def walk(moves: int, *, agree: float, seed: int = 1) -> pl.DataFrame:
    """Trades that follow each other by a microsecond, of whose moves that share agrees with the sides."""
    rng = np.random.default_rng(seed)
    price, rows = 60_000, []
    for at in range(moves + 1):
        up = rng.random() < 0.5
        price += 1 if up else -1
        rows.append((at, float(price), not up if rng.random() < agree else up))
    return pl.DataFrame(rows, schema={"ts_event_us": pl.Int64, "price": pl.Float64, "side": pl.Boolean}, orient="row")


def agreeing(trades: pl.DataFrame) -> tuple[int, int]:
    """The same by a plain loop: moves, and how many agree."""
    rows = sorted(trades.rows(), key=lambda row: row[0])
    moves = agree = 0
    for (before_us, before, _), (us, price, side) in pairwise(rows):
        if us > before_us and price != before and side is not None:
            moves += 1
            agree += side == (price < before)
    return moves, agree


@pytest.mark.parametrize(("share", "refused"), [(0.9, False), (0.5, False), (0.2, True), (0.0, True)])
def test_sides_against_the_tape_are_refused(share: float, refused: bool) -> None:
    trades = walk(LEAST_MOVES + 200, agree=share)
    test = TickTest(Path("some.csv"))
    for at in range(0, trades.height, 300):
        test.see(trades[at : at + 300].sample(fraction=1, shuffle=True, seed=3))
    if not refused:
        test.judge()
        return
    with pytest.raises(SourceError, match="the sides seem to be exchanged"):
        test.judge()


def test_the_tick_test_counts_as_a_plain_loop_does() -> None:
    trades = pl.concat([walk(400, agree=0.1), walk(5, agree=0.1, seed=2).with_columns(side=pl.lit(None, dtype=pl.Boolean))])
    test = TickTest(Path("some.csv"))
    test.see(trades.sort("ts_event_us", maintain_order=True))
    assert (test._moves, test._agreeing) == agreeing(trades)


def test_few_moves_prove_nothing() -> None:
    test = TickTest(Path("some.csv"))
    test.see(walk(LEAST_MOVES - 2, agree=0.0))
    test.judge()


# ------------------------------------------------------------------------------------------------------------------------- Kraken


def test_kraken_trades_are_known_when_their_second_is_over(tmp_path: Path) -> None:
    path = write(tmp_path / "Kraken_Trading_History" / "XBTUSD.csv", [f"{DAY_S + 86_399},60000.1,0.5", f"{DAY_S + 86_399},60000.1,0.5"])
    report = ingest(tmp_path / "lake", path)
    assert (report["rows_landed"], report["duplicates"]) == (2, 0)  # without ids, equal rows are two trades
    trades = query.trades("kraken", "XBTUSD", "2024-05-01", "2024-05-02", lake=tmp_path / "lake")
    assert trades["ts_local_us"].to_list() == [DAY_US + 86_400_000_000 - 1] * 2
    assert trades["side"].null_count() == 2


def test_a_csv_of_three_columns_needs_a_name(tmp_path: Path) -> None:
    path = write(tmp_path / "in" / "XBTUSD.csv", [f"{DAY_S},60000.1,0.5"])
    assert family("kraken").source().recognise(path, Hints()) is None
    assert identity_of("kraken", path, Hints(exchange="kraken")).symbol == "XBTUSD"
    candles = write(tmp_path / "kraken" / "XBTEUR.csv", ["time,price,volume"])
    assert family("kraken").source().recognise(candles, Hints()) is None


# --------------------------------------------------------------------------------------------------------------------------- Gate


def test_gate_futures_count_signed_contracts(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    state(lake, "gate", "gate-futures", "BTC_USDT", 0.0001)
    lines = [f"{DAY_S}.277618,643050119,60000.5,7601", f"{DAY_S}.900001,643050300,60000.1,-20"]
    report = ingest(lake, write(tmp_path / "futures_usdt/trades/202405/BTC_USDT-202405.csv.gz", lines))
    assert report["missing_ids"] == 0
    trades = query.trades("gate-futures", "BTC_USDT", "2024-05-01", "2024-05-02", lake=lake)
    assert trades["qty"].to_list() == pytest.approx([0.7601, 0.002])  # base asset
    assert trades.select("ts_event_us", "side", "text_id").rows() == [
        (DAY_US + 277_618, 0, "643050119"),
        (DAY_US + 900_001, 1, "643050300"),
    ]


def test_a_spot_file_at_the_address_of_futures_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "futures_usdt/trades/202107/BTC_USDT-202107.csv.gz", ["1625097600.5,1,35000,0.5,1"])
    with pytest.raises(SourceError, match="another number of columns"):
        batches("gate", path)


@pytest.mark.parametrize(
    ("stamp", "us"),
    [(f"{DAY_S}.9999999", 999_999), (f"{DAY_S}.999999999999", 999_999), (f"{DAY_S}.0000005", 0), (f"{DAY_S}000.9999", 999)],
)
@pytest.mark.parametrize("market", ["spot/deals", "futures_usdt/trades"])
def test_a_gate_stamp_finer_than_a_microsecond_is_cut_off(tmp_path: Path, market: str, stamp: str, us: int) -> None:
    """Rounded up it would be known before it happened, and the last trade of a day would fall into the next."""
    path = write(tmp_path / market / "202405" / "BTC_USDT-202405.csv.gz", [f"{stamp},1,60000,5{',1' if 'spot' in market else ''}"])
    (batch,) = batches("gate", path)
    assert batch.frame["ts_event_us"].to_list() == [DAY_US + us]


def test_a_stamp_of_more_decimals_than_can_be_held_is_set_aside(tmp_path: Path) -> None:
    gate = [f"{DAY_S}.9999999999999,1,60000,5", f"{DAY_S}.5,2,60000,5"]
    kraken = [f"{DAY_S},60000.1,0.5", f"{DAY_S}.9999999999999,60000.1,0.5"]
    for source, name, lines, line in (
        ("gate", "futures_usdt/trades/202405/BTC_USDT-202405.csv.gz", gate, 1),
        ("kraken", "kraken/XBTUSD.csv", kraken, 2),
    ):
        (batch,) = batches(source, write(tmp_path / name, lines))
        assert batch.rejects.select("line", "column", "reason").rows() == [(line, "time", "has more digits than can be held exactly")]


def test_gate_sides_that_prices_contradict_are_refused(tmp_path: Path) -> None:
    rows = walk(LEAST_MOVES + 10, agree=0.05).rows()
    lines = [f"{DAY_S}.{us:06d},{us},{price},0.5,{2 if sold else 1}" for us, price, sold in rows]
    with pytest.raises(SourceError, match="the sides seem to be exchanged"):
        batches("gate", write(tmp_path / "spot/deals/202405/BTC_USDT-202405.csv.gz", lines))


def test_a_moved_gate_file_is_told_what_it_was(tmp_path: Path) -> None:
    """Name alone says neither market nor dataset; with what the manifest says it has the same key again."""
    path = write(tmp_path / "futures_usdt/trades/202405/BTC_USDT-202405.csv.gz", [f"{DAY_S}.5,1,60000,1"])
    before = identity_of("gate", path)
    moved = path.rename(tmp_path / path.name)
    assert family("gate").source().recognise(moved, Hints()) is None
    told = Hints(exchange=before.exchange, dataset=before.dataset, symbol=before.symbol, period=before.period)
    assert identity_of("gate", moved, told).key("sha") == before.key("sha")
    wrong = write(tmp_path / "spot/deals/202406/BTC_USDT-202405.csv.gz", ["x"])
    with pytest.raises(SourceError, match="contradict each other"):
        family("gate").source().recognise(wrong, Hints())


# ------------------------------------------------------------------------------------------------------------------------- KuCoin


def test_kucoin_ids_name_trades_and_count_nothing(tmp_path: Path) -> None:
    """Ids fall inside a millisecond and jump; the contract that the archive calls BTCUSDTM is the exchange's XBTUSDTM."""
    lake = tmp_path / "lake"
    state(lake, "kucoin", "kucoin-futures", "XBTUSDTM", 0.001)
    lines = ["trade_id,trade_time,price,size,side"]
    ids = (1_900_000_000_009, 1_900_000_000_002, 100_000_000_000_000_007)
    lines += [
        f"{number},{DAY_S * 1000 + at // 2},6000{at}.5,6,{side}"
        for at, (number, side) in enumerate(zip(ids, ("sell", "BUY", "buy"), strict=True))
    ]
    path = write(tmp_path / "data/futures/daily/trades/BTCUSDTM/BTCUSDTM-trades-2024-05-01.zip", lines)
    report = ingest(lake, path)
    assert (report["missing_ids"], report["rows_landed"]) == (0, 3)
    trades = query.trades("kucoin-futures", "XBTUSDTM", "2024-05-01", "2024-05-02", lake=lake)
    assert trades.select("text_id", "side").rows() == [(str(ids[0]), 1), (str(ids[1]), 0), (str(ids[2]), 0)]
    assert trades["qty"].to_list() == pytest.approx([0.006] * 3)


def test_a_kucoin_file_that_lies_where_binances_would_is_kucoins(tmp_path: Path) -> None:
    lines = ["trade_id,trade_time,price,size,side", f"8833558834331649,{DAY_S * 1000},61484.1,0.0000325,BUY"]
    path = write(tmp_path / "data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2024-05-01.zip", lines)
    found = [identity for source in all_sources() if (identity := source.recognise(path, Hints())) is not None]
    assert [(identity.source, identity.exchange, identity.symbol) for identity in found] == [("kucoin", "kucoin-spot", "BTC-USDT")]


def test_a_kucoin_file_out_of_its_folders_needs_an_exchange(tmp_path: Path) -> None:
    path = write(tmp_path / "BTCUSDTM-trades-2024-05-01.csv", ["trade_id,trade_time,price,size,side", f"1,{DAY_S * 1000},6,6,buy"])
    with pytest.raises(SourceError, match="of spot or of futures") as caught:
        family("kucoin").source().recognise(path, Hints())
    assert "kucoin-futures" in str(caught.value.hint)
    assert identity_of("kucoin", path, Hints(exchange="kucoin-futures", symbol="BTCUSDTM")).symbol == "XBTUSDTM"


# ------------------------------------------------------------------------------------------------------ Coinbase, Deribit, Hyperliquid


def maker(number: int, side: str, price: str = "60000.5", size: str = "0.5") -> dict[str, object]:
    return {"time": f"2024-05-01T00:00:{number % 60:02d}.25Z", "trade_id": number, "price": price, "size": size, "side": side}


def test_coinbase_tells_the_side_of_the_maker(tmp_path: Path) -> None:
    path = write(tmp_path / "coinbase-BTC-USD-trades-2024-05-01.jsonl.gz", [json.dumps(maker(1, "buy")), json.dumps(maker(2, "sell"))])
    ingest(tmp_path / "lake", path)
    trades = query.trades("coinbase", "BTC-USD", "2024-05-01", "2024-05-02", lake=tmp_path / "lake")
    assert trades.select("trade_id", "side").rows() == [(1, 1), (2, 0)]


def test_pages_of_trades_are_read_like_trades(tmp_path: Path) -> None:
    """A page is a list on one line; rows are numbered through, rejects name the line, and block size changes nothing."""
    trades = [maker(at, ("buy", "sell")[at % 2]) for at in range(7)]
    pages = [
        json.dumps(trades[:3]),
        "",
        "[]",
        json.dumps(trades[3]),
        json.dumps(trades[4:]).replace('"price": "60000.5"', '"price": "x"', 1),
    ]
    (batch,) = batches("coinbase", write(tmp_path / "coinbase-BTC-USD-trades-2024-05-01.jsonl", pages))
    assert batch.frame["trade_id"].to_list() == [0, 1, 2, 3, 5, 6]
    assert batch.frame["source_row"].is_unique().all()
    assert batch.frame["source_row"].is_sorted()
    assert batch.rejects.select("line", "column", "value").rows() == [(5, "price", "x")]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"side"', '"price": "1", "side"', "names a field twice"),
        ('"size": "0.5"', '"size": 0.12345678901234567', "more digits"),
        ('"size": "0.5"', '"size": "0.1234567890123"', "more than 12 decimals"),
        ('"0.5"', '"nan"', "above zero"),
        ('"buy"', '"hold"', "neither buy nor sell"),
        ("2024-05-01T", "1024-05-01T", "no time between"),
        ('"trade_id": 1', '"trade_id": -1', "not below zero"),
    ],
)
def test_a_record_that_cannot_be_believed_is_set_aside(tmp_path: Path, old: str, new: str, reason: str) -> None:
    good, bad = json.dumps(maker(2, "sell")), json.dumps(maker(1, "buy")).replace(old, new)
    assert bad != json.dumps(maker(1, "buy"))
    (batch,) = batches("coinbase", write(tmp_path / "coinbase-BTC-USD-trades-2024-05-01.jsonl", [good, bad]))
    assert batch.frame["trade_id"].to_list() == [2]
    assert batch.rejects["line"].to_list() == [2]
    assert reason in batch.rejects["reason"][0]


def test_records_without_product_need_a_name(tmp_path: Path) -> None:
    path = write(tmp_path / "coinbase.jsonl", [json.dumps(maker(1, "buy"))])
    with pytest.raises(SourceError, match="say the product") as caught:
        family("coinbase").source().recognise(path, Hints())
    assert "--symbol" in str(caught.value.hint)
    assert identity_of("coinbase", path, Hints(symbol="BTC-USD")).symbol == "BTC-USD"
    other = write(tmp_path / "elsewhere.jsonl", [json.dumps(maker(1, "buy"))])
    assert family("coinbase").source().recognise(other, Hints()) is None


def test_a_document_over_several_lines_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "coinbase-BTC-USD-trades-2024-05-01.json"
    path.write_text(json.dumps(maker(1, "buy")) + "\n")
    identity = identity_of("coinbase", path)
    path.write_text(json.dumps([maker(1, "buy")], indent=1))
    with pytest.raises(SourceError, match="no trade could be read") as caught:
        list(family("coinbase").source().read(path, identity, Hints()))
    assert "jq -c" in str(caught.value.hint)


def perpetual(number: int, **more: object) -> dict[str, object]:
    own = {"trade_seq": number, "trade_id": str(number + 900), "timestamp": DAY_S * 1000 + number, "price": 60000.5, "mark_price": 60001.5}
    return own | {"instrument_name": "BTC-PERPETUAL", "index_price": 60002.0, "direction": "sell", "amount": 10.0} | more


def test_answers_of_deribit(tmp_path: Path) -> None:
    """Dollars stay dollars; the sequence is the number; trades of a block are away from the book; instruments are told apart."""
    trades = [perpetual(1), perpetual(2, block_trade_id="BLOCK-7", direction="buy"), perpetual(3, instrument_name="ETH-PERPETUAL")]
    answer = {"jsonrpc": "2.0", "result": {"trades": trades, "has_more": True}, "usIn": 1, "testnet": False}
    path = write(tmp_path / "history.jsonl.gz", [json.dumps(answer)])
    assert identity_of("deribit", path).symbol == "*"
    first, second = batches("deribit", path)
    assert first.frame.select("trade_id", "qty", "side", "off_book").rows() == [(1, 10.0, True, None), (2, 10.0, False, True)]
    assert (second.symbol, second.frame["trade_id"].to_list()) == ("ETH-PERPETUAL", [3])
    only = batches("deribit", path, Hints(symbol="ETH-PERPETUAL"))
    assert [(batch.symbol, batch.frame.height, batch.skipped) for batch in only] == [("ETH-PERPETUAL", 1, 0), ("ETH-PERPETUAL", 0, 2)]


def test_hyperliquid_of_interface_and_nodes(tmp_path: Path) -> None:
    """The interface counts milliseconds, nodes write nanoseconds as text; B is a taker who buys."""
    own = {"coin": "SOL", "px": "114.31", "sz": "7.82", "hash": "0xf8"}
    records = [
        {**own, "side": "A", "time": "2024-05-01T02:59:59.991721263", "trade_dir_override": "Na", "side_info": [{"oid": 8}, {"oid": 9}]},
        {**own, "side": "B", "time": DAY_S * 1000 + 5, "tid": 118906512037719},
    ]
    path = write(tmp_path / "hour.jsonl", [json.dumps(records[0]), json.dumps({"channel": "trades", "data": [records[1]]})])
    (batch,) = batches("hyperliquid", path)
    assert (batch.exchange, batch.symbol) == ("hyperliquid", "SOL")
    assert batch.frame.select("ts_event_us", "text_id", "price", "qty", "side").rows() == [
        (to_us("2024-05-01T02:59:59Z") + 991_721, None, 114.31, 7.82, True),
        (DAY_US + 5_000, "118906512037719", 114.31, 7.82, False),
    ]


def test_hyperliquid_lands_with_a_venue_file_of_the_lake(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    state(lake, "hyperliquid", "hyperliquid", "BTC", 1.0)
    record = {"coin": "BTC", "side": "B", "px": "60000.5", "sz": "0.02", "time": DAY_S * 1000, "hash": "0x1", "tid": 7}
    ingest(lake, write(tmp_path / "tape.jsonl", [json.dumps(record)]))
    trades = query.trades("hyperliquid", "BTC", "2024-05-01", "2024-05-02", lake=lake)
    assert trades.select("price", "qty", "side").rows() == [(60000.5, 0.02, 0)]
