"""Tardis datasets beyond the contract: names, groups of instruments, both clocks, and what the lake has no table for."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contract.vendor_cases import COMMON, DAY_US, TARDIS_QUOTES, TARDIS_TICKER, TARDIS_TRADES, UUIDS, snapshot_header

import pointline
from pointline.bars.rules import VolumeBarConfig
from pointline.errors import ConfigError, SourceError
from pointline.ingest.repair import repair
from pointline.ingest.run import ingest
from pointline.lake.store import open_lake
from pointline.lake.verify import verify
from pointline.research import query
from pointline.sources.base import Hints
from pointline.sources.families import all_sources
from pointline.sources.tardis import Tardis

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pointline.ingest.run import FileReport
    from pointline.sources.base import Batch, Identity

HOUR_US = 3_600_000_000
DAY_2_US = DAY_US + 24 * HOUR_US


def write(path: Path, header: str, lines: Iterable[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{line}\n" for line in (header, *lines))
    path.write_bytes(gzip.compress(text.encode(), 1) if path.suffix == ".gz" else text.encode())
    return path


def dataset(folder: Path, header: str, lines: Iterable[str], *, place: str = "binance-futures/trades/2024/05/01/BTCUSDT") -> Path:
    return write(folder / "v1" / f"{place}.csv.gz", header, lines)


def trade(
    at: int = 0,
    late: int = 5_000,
    *,
    exchange: str = "binance-futures",
    symbol: str = "BTCUSDT",
    ident: object = 1,
    side: str = "buy",
    amount: str = "0.5",
    price: str = "60000",
) -> str:
    """A row that happened some microseconds after midnight and was received later."""
    return f"{exchange},{symbol},{DAY_US + at},{DAY_US + at + late},{ident},{side},{price},{amount}"


def identity_of(path: Path, hints: Hints | None = None) -> Identity:
    found = Tardis().recognise(path, hints or Hints())
    assert found is not None
    return found


def batches(path: Path, hints: Hints | None = None) -> list[Batch]:
    hints = hints or Hints()
    return list(Tardis().read(path, identity_of(path, hints), hints))


def column(path: Path, name: str) -> list[Any]:
    return [value for batch in batches(path) for value in batch.frame[name].to_list()]


def stored(folder: Path, *paths: Path, hints: Hints | None = None) -> list[FileReport]:
    return ingest(open_lake(folder / "lake", create=True), paths, sources=all_sources(), hints=hints or Hints())


# ----------------------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("vendor", "ours"),
    [
        ("binance", "binance-spot"),
        ("binance-futures", "binance-futures"),
        ("binance-delivery", "binance-delivery"),
        ("bybit", "bybit"),
        ("bybit-spot", "bybit-spot"),
        ("okex", "okx-spot"),
        ("okex-swap", "okx-swap"),
        ("okex-futures", "okx-futures"),
        ("deribit", "deribit"),
        ("coinbase", "coinbase"),
        ("kraken", "kraken"),
    ],
)
def test_the_vendors_exchanges_are_ours(tmp_path: Path, vendor: str, ours: str) -> None:
    path = dataset(tmp_path, TARDIS_TRADES, [trade(exchange=vendor)], place=f"{vendor}/trades/2024/05/01/BTCUSDT")
    assert identity_of(path).exchange == ours
    assert identity_of(path, Hints(exchange=ours)).exchange == ours


def test_the_vendors_own_client_names_files_otherwise(tmp_path: Path) -> None:
    path = write(tmp_path / "binance-futures_trades_2024-05-01_BTCUSDT.csv.gz", TARDIS_TRADES, [trade()])
    found = identity_of(path)
    assert (found.exchange, found.dataset, found.symbol, found.period) == ("binance-futures", "trades", "BTCUSDT", "2024-05-01")


def test_slashes_and_colons_are_dashes_in_paths(tmp_path: Path) -> None:
    path = dataset(tmp_path, TARDIS_TRADES, [trade(exchange="kraken", symbol="XBT/USD")], place="kraken/trades/2024/05/01/XBT-USD")
    assert stored(tmp_path, path)[0].outcome == "landed"
    assert query.trades("kraken", "XBTUSD", "2024-05-01", "2024-05-02", lake=tmp_path / "lake").height == 1


@pytest.mark.parametrize(
    ("place", "what"),
    [
        ("binance/trades/2024/05/01/BTCUSDT", "another exchange"),
        ("binance-futures/trades/2024/05/01/ETHUSDT", "another symbol"),
        ("binance-futures/trades/2024/05/02/BTCUSDT", "day is not that"),
    ],
)
def test_rows_that_contradict_the_path_are_refused(tmp_path: Path, place: str, what: str) -> None:
    with pytest.raises(SourceError, match=what):
        identity_of(dataset(tmp_path, TARDIS_TRADES, [trade()], place=place))


@pytest.mark.parametrize(
    "hints", [Hints(exchange="binance-spot"), Hints(symbol="ETHUSDT"), Hints(period="2024-05-02"), Hints(dataset="quotes")], ids=str
)
def test_a_flag_that_contradicts_the_path_is_refused(tmp_path: Path, hints: Hints) -> None:
    with pytest.raises(SourceError):
        identity_of(dataset(tmp_path, TARDIS_TRADES, [trade()]), hints)


def test_columns_of_another_data_type_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="another name than this archive gives it"):
        batches(dataset(tmp_path, TARDIS_QUOTES, [f"binance-futures,BTCUSDT,{DAY_US},{DAY_US},1,60001,60000,1"]))


def test_rows_of_another_exchange_symbol_or_day_are_set_aside(tmp_path: Path) -> None:
    odd = [trade(exchange="binance"), trade(symbol="ETHUSDT"), trade(24 * HOUR_US - 5_000)]
    (batch,) = batches(dataset(tmp_path, TARDIS_TRADES, [*(trade(n) for n in range(4)), *odd]))
    assert batch.frame.height == 4
    assert batch.rejects.select("line", "column").rows() == [(6, "exchange"), (7, "symbol"), (8, "local_timestamp")]


def test_a_day_is_one_of_the_receipt_clock(tmp_path: Path) -> None:
    """What happened before midnight and was received after it is in the later file, and lands on the day of its receipt."""
    (report,) = stored(tmp_path, dataset(tmp_path, TARDIS_TRADES, [trade(-3_000, ident=1), trade(1, ident=2)]))
    assert (report.rows_landed, report.rows_quarantined) == (2, 0)
    trades = query.trades("binance-futures", "BTCUSDT", "2024-05-01", "2024-05-02", lake=tmp_path / "lake")
    assert trades["ts_event_us"].to_list() == [DAY_US - 3_000, DAY_US + 1]


# ------------------------------------------------------------------------------------------------------------- moved and renamed


def test_a_header_alone_tells_all_types_but_trades_and_liquidations(tmp_path: Path) -> None:
    rows = f"binance-futures,BTCUSDT,{DAY_US},{DAY_US + 5}"
    for header, tail, expected in (
        (TARDIS_QUOTES, "1,60001,60000,1", "quotes"),
        (TARDIS_TICKER, ",,,,,,60000", "derivative_ticker"),
        (snapshot_header(5), ",".join("1" * 20), "book_snapshot_5"),
        (snapshot_header(25), ",".join("1" * 100), "book_snapshot_25"),
    ):
        found = identity_of(write(tmp_path / f"{expected}.csv", header, [f"{rows},{tail}"]))
        assert (found.dataset, found.exchange, found.symbol, found.period) == (expected, "binance-futures", "BTCUSDT", "")


def test_trades_without_their_path_may_be_liquidations(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", TARDIS_TRADES, [trade()])
    with pytest.raises(SourceError, match="trades and liquidations have the same columns"):
        Tardis().recognise(path, Hints())
    assert identity_of(path, Hints(dataset="trades")).dataset == "trades"
    (report,) = stored(tmp_path, path, hints=Hints(dataset="trades"))
    assert (report.outcome, report.rows_landed) == ("landed", 1)


@pytest.mark.parametrize("name", ["incremental_book_L2", "options_chain"])
def test_what_the_lake_has_no_table_for_is_refused_by_name(tmp_path: Path, name: str) -> None:
    path = dataset(tmp_path, TARDIS_TRADES, [trade()], place=f"binance-futures/{name}/2024/05/01/BTCUSDT")
    (report,) = stored(tmp_path, path)
    assert (report.outcome, report.exit_code) == ("failed", 3)
    assert "the lake has no table for" in str(report.problem)


def test_a_foreign_table_is_left_alone(tmp_path: Path) -> None:
    assert Tardis().recognise(write(tmp_path / "trades.csv", "exchange,symbol,price", ["a,b,1"]), Hints()) is None


@pytest.mark.parametrize("group", ["BTCUSDT", "PERPETUALS"])
def test_a_moved_file_repairs_the_lake(tmp_path: Path, group: str) -> None:
    path = dataset(
        tmp_path / "in", TARDIS_TRADES, [trade(n, ident=n) for n in range(3)], place=f"binance-futures/trades/2024/05/01/{group}"
    )
    (report,) = stored(tmp_path, path)
    assert report.rows_landed == 3
    lake = open_lake(tmp_path / "lake")
    (data,) = (lake.root / "trades").rglob("part-*.parquet")
    data.unlink()
    moved = path.rename(tmp_path / path.name)
    done = repair(lake, all_sources, [moved.parent])
    assert [each.outcome for each in done.reread] == ["landed"]
    assert verify(open_lake(lake.root)).problems == []


# --------------------------------------------------------------------------------------------------------------------- groups


def test_a_group_of_instruments_is_taken_apart(tmp_path: Path) -> None:
    rows = [trade(1, ident=1), trade(2, symbol="ETHUSDT", ident=1, price="3000"), trade(3, ident=2)]
    path = dataset(tmp_path, TARDIS_TRADES, rows, place="binance-futures/trades/2024/05/01/PERPETUALS")
    assert identity_of(path).symbol == "*"
    found = {batch.symbol: batch.frame["source_row"].to_list() for batch in batches(path)}
    assert found == {"BTCUSDT": [2, 4], "ETHUSDT": [3]}
    (report,) = stored(tmp_path, path)
    assert (report.rows_landed, report.rows_skipped) == (3, 0)


def test_one_instrument_of_a_group_is_chosen_by_its_symbol(tmp_path: Path) -> None:
    rows = [trade(1, ident=1), trade(2, symbol="ETHUSDT", ident=1, price="3000"), trade(3, ident=2)]
    path = dataset(tmp_path, TARDIS_TRADES, rows, place="binance-futures/trades/2024/05/01/PERPETUALS")
    (report,) = stored(tmp_path, path, hints=Hints(symbol="ETHUSDT"))
    assert (report.rows_landed, report.rows_skipped) == (1, 2)
    (report,) = stored(tmp_path, path, hints=Hints(symbol="BTCUSDT"))  # the file's other instrument stays
    assert (report.rows_landed, report.rows_skipped, report.displaced) == (2, 1, 0)


def test_a_malformed_row_of_a_group_is_set_aside_with_its_line(tmp_path: Path) -> None:
    rows = [trade(1), trade(2, symbol="ETHUSDT", price="x"), trade(3)]
    found = batches(dataset(tmp_path, TARDIS_TRADES, rows, place="binance-futures/trades/2024/05/01/PERPETUALS"))
    assert [(batch.symbol, batch.frame.height, batch.rejects["line"].to_list()) for batch in found] == [("*", 0, [3]), ("BTCUSDT", 2, [])]


# ----------------------------------------------------------------------------------------------------------------- sides and ids


def test_sides_are_the_takers_and_may_be_unknown(tmp_path: Path) -> None:
    rows = [trade(n, side=side) for n, side in enumerate(("buy", "sell", "unknown"))]
    assert column(dataset(tmp_path, TARDIS_TRADES, rows), "side") == [False, True, None]


def test_any_other_side_is_set_aside(tmp_path: Path) -> None:
    (batch,) = batches(dataset(tmp_path, TARDIS_TRADES, [trade(), trade(1), trade(2, side="maker")]))
    assert batch.rejects.select("column", "value").rows() == [("side", "maker")]


def test_ids_are_numbers_only_where_their_gaps_mean_missing_trades(tmp_path: Path) -> None:
    ids = ("17", "", UUIDS[0], "007", "9" * 19)
    for exchange, numbers in (("binance-futures", [17, None, None, None, None]), ("bybit", [None] * 5)):
        rows = [trade(n, exchange=exchange, ident=ident) for n, ident in enumerate(ids)]
        path = dataset(tmp_path, TARDIS_TRADES, rows, place=f"{exchange}/trades/2024/05/01/BTCUSDT")
        assert column(path, "trade_id") == numbers
        texts = [None if number is not None or not text else text for number, text in zip(numbers, ids, strict=True)]
        assert column(path, "text_id") == texts


# ---------------------------------------------------------------------------------------------------------------------- clocks


def test_rows_stay_in_order_of_arrival_though_their_events_step_back(tmp_path: Path) -> None:
    path = dataset(tmp_path, TARDIS_TRADES, [trade(9_000, 1_000, ident=2), trade(2_000, 8_500, ident=1)])
    (report,) = stored(tmp_path, path)
    assert report.out_of_order == 0
    trades = query.trades("binance-futures", "BTCUSDT", "2024-05-01", "2024-05-02", lake=tmp_path / "lake")
    assert trades.select("trade_id", "ts_local_us", "ts_event_us").rows() == [
        (2, DAY_US + 10_000, DAY_US + 9_000),
        (1, DAY_US + 10_500, DAY_US + 2_000),
    ]


def test_the_exchanges_clock_can_be_chosen(tmp_path: Path) -> None:
    (batch,) = batches(dataset(tmp_path, TARDIS_TRADES, [trade()]), Hints(clock="event", latency_us=7))
    assert (batch.clock, batch.frame["ts_local_us"].to_list()) == ("assumed", [DAY_US + 7])
    with pytest.raises(ConfigError, match="no such clock"):
        batches(dataset(tmp_path, TARDIS_TRADES, [trade()]), Hints(clock="moon"))


def test_rows_received_before_they_happened_are_refused(tmp_path: Path) -> None:
    path = dataset(tmp_path, TARDIS_TRADES, [trade(HOUR_US, -400_000)] * 3)
    with pytest.raises(SourceError, match="received before they happened"):
        batches(path)


@given(
    rows=st.lists(
        st.tuples(st.integers(0, HOUR_US), st.integers(0, 10**6), st.sampled_from(["buy", "sell", "unknown"])), min_size=1, max_size=9
    ),
    ids=st.lists(st.sampled_from(["", "7", "8", *UUIDS]), min_size=9, max_size=9),
    milliseconds=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_any_rows_are_read_as_a_plain_loop_reads_them(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int, str]], ids: list[str], *, milliseconds: bool
) -> None:
    """Unsorted, repeated, of both sides or none, with ids of all kinds; microseconds, or milliseconds, told by their magnitude."""
    unit = 1_000 if milliseconds else 1
    lines, expected = [], []
    for (at, late, side), ident in zip(rows, ids, strict=False):
        event, local = (DAY_US + at) // unit, (DAY_US + at + late) // unit
        lines.append(f"binance,BTCUSDT,{event},{local},{ident},{side},60000.5,0.25")
        taker = {"buy": False, "sell": True, "unknown": None}[side]
        number, text = (int(ident), None) if ident in {"7", "8"} else (None, ident or None)
        expected.append((local * unit, event * unit, number, text, taker))
    path = dataset(tmp_path_factory.mktemp("tardis"), TARDIS_TRADES, lines, place="binance/trades/2024/05/01/BTCUSDT")
    (batch,) = batches(path)
    assert batch.frame.select("ts_local_us", "ts_event_us", "trade_id", "text_id", "side").rows() == expected


def test_what_arrives_later_changes_no_row(tmp_path: Path) -> None:
    """Also of a ticker's states within one stamp, once they are stored."""
    rows = [ticker(at, f",,,,,,{60_000 + n}", late=5_000 + n) for n, at in enumerate((0, 0, 7, 7, 9))]
    place = "binance-futures/derivative_ticker/2024/05/01/BTCUSDT"
    for count in range(1, len(rows) + 1):
        folder = tmp_path / str(count)
        stored(folder, dataset(folder, TARDIS_TICKER, rows[:count], place=place))
        found = query.derivative_ticker("binance-futures", "BTCUSDT", "2024-05-01", "2024-05-02", lake=folder / "lake")
        assert found["mark_price"].to_list() == [60_000.0 + n for n in range(count)]


# -------------------------------------------------------------------------------------------------------------- quotes and tickers


def quote(tail: str) -> str:
    return f"binance-futures,BTCUSDT,{DAY_US},{DAY_US + 5},{tail}"


def test_quotes_of_one_side_and_crossed_ones_are_set_aside_by_rule(tmp_path: Path) -> None:
    rows = [quote(tail) for tail in ("1,60001,60000,2", "1,60001,60000,0", ",,60000,2", "1,60001,,", "1,59999,60000,2", "1,0,60000,2")]
    (batch,) = batches(dataset(tmp_path, TARDIS_QUOTES, [*rows, *rows[:2]], place="binance-futures/quotes/2024/05/01/BTCUSDT"))
    assert batch.frame.height == 4
    assert batch.rejects.select("line", "column", "fatal").rows() == [
        (4, "ask_price", False),
        (5, "bid_price", False),
        (6, "bid_price", False),
        (7, "ask_price", True),
    ]


def ticker(at: int, tail: str, *, exchange: str = "binance-futures", late: int = 5_000) -> str:
    return f"{exchange},BTCUSDT,{DAY_US + at},{DAY_US + at + late},{tail}"


def test_a_ticker_that_moves_within_one_stamp_keeps_every_state(tmp_path: Path) -> None:
    """Several messages of one millisecond: each was known when it was received; the same message again is a repeat."""
    rows = [ticker(0, ",,,,,,60000"), ticker(0, ",,,,,,60001", late=6_000), ticker(0, ",,,,,,60001", late=7_000)]
    (report,) = stored(tmp_path, dataset(tmp_path, TARDIS_TICKER, rows, place="binance-futures/derivative_ticker/2024/05/01/BTCUSDT"))
    assert (report.rows_landed, report.duplicates, report.rows_quarantined) == (2, 1, 0)
    found = query.derivative_ticker("binance-futures", "BTCUSDT", "2024-05-01", "2024-05-02", lake=tmp_path / "lake")
    assert found.select("ts_local_us", "mark_price").rows() == [(DAY_US + 5_000, 60000.0), (DAY_US + 6_000, 60001.0)]


def test_a_next_payment_and_a_prediction_are_kept_apart(tmp_path: Path) -> None:
    due = DAY_US + 8 * HOUR_US
    rows = [ticker(0, f"{due},0.0001,-0.0002,,,,60000", exchange="okex-swap")]
    path = dataset(tmp_path, TARDIS_TICKER, rows, place="okex-swap/derivative_ticker/2024/05/01/BTCUSDT")
    (batch,) = batches(path)
    names = ("next_funding_us", "funding_rate", "predicted_funding_rate", "open_interest")
    assert batch.frame.select(names).row(0) == (due, 0.0001, -0.0002, None)


@pytest.mark.parametrize(
    ("tail", "name"),
    [
        ("7,,,,,,60000", "funding_timestamp"),
        (",1.5,,,,,60000", "funding_rate"),
        (",,,-1,,,60000", "open_interest"),
        (",,,,,0,60000", "index_price"),
    ],
)
def test_a_ticker_that_cannot_be_is_set_aside(tmp_path: Path, tail: str, name: str) -> None:
    rows = [ticker(0, ",,,,,,60000"), ticker(1, ",,,,,,60000"), ticker(2, tail)]
    (batch,) = batches(dataset(tmp_path, TARDIS_TICKER, rows, place="binance-futures/derivative_ticker/2024/05/01/BTCUSDT"))
    assert batch.rejects.select("line", "column", "fatal").rows() == [(4, name, True)]


def test_a_funding_rate_in_dollars_is_no_fraction(tmp_path: Path) -> None:
    """Kraken's futures told an amount of dollars until 2022-09-28; a rate as small as a fraction is not told from one."""
    before, after = 1_664_236_800_000_000, 1_664_323_200_000_000  # 2022-09-27 and 28, 00:00 UTC
    for us, kept in ((before, [60000.0]), (after, [60000.0, 60001.0])):
        rows = [f"cryptofacilities,PI_XBTUSD,{us + 1},{us + 2},{tail}" for tail in (",,,,,,60000", ",0.01,,,,,60001")]
        day = "2022/09/27" if us == before else "2022/09/28"
        path = dataset(tmp_path, TARDIS_TICKER, rows, place=f"cryptofacilities/derivative_ticker/{day}/PI_XBTUSD")
        (batch,) = batches(path)
        assert batch.frame["mark_price"].to_list() == kept
        assert batch.rejects["fatal"].to_list() == [False] * (2 - len(kept))


# -------------------------------------------------------------------------------------------------------------- empty files, compare


def test_a_header_alone_is_an_empty_day(tmp_path: Path) -> None:
    (report,) = stored(tmp_path, dataset(tmp_path, TARDIS_TRADES, []))
    assert (report.outcome, report.problem) == ("empty", None)


def test_a_file_without_its_header_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="another name than this archive gives it"):
        batches(dataset(tmp_path, trade(), [trade()]))


def test_a_folder_of_perp_and_spot_is_compared_by_receipt(tmp_path: Path) -> None:
    """Perp at 60,060 against spot at 60,000: a basis of 10 bps; spot was received a minute before, so no bar sees a later price."""
    seconds = range(0, 3600, 10)
    perp = [trade(s * 1_000_000, 2_000, exchange="bybit", ident=f"a-{s}", price="60060") for s in seconds]
    spot = [trade(s * 1_000_000, 3_000, exchange="bybit-spot", ident=f"b-{s}", price="60000", side="sell") for s in seconds]
    paths = (
        dataset(tmp_path, TARDIS_TRADES, perp, place="bybit/trades/2024/05/01/BTCUSDT"),
        dataset(tmp_path, TARDIS_TRADES, spot, place="bybit-spot/trades/2024/05/01/BTCUSDT"),
    )
    assert [report.rows_landed for report in stored(tmp_path, *paths)] == [360, 360]
    study = pointline.compare(
        "bybit:BTCUSDT", "bybit-spot:BTCUSDT", start="2024-05-01", end="2024-05-02", bars=VolumeBarConfig(10.0), lake=tmp_path / "lake"
    )
    whole = study.features.filter("complete")
    assert whole.height == 18
    assert whole["basis_bps"].round(9).unique().to_list() == [10.0]


def test_all_layouts_begin_alike() -> None:
    assert all(header.startswith(COMMON) for header in (TARDIS_TRADES, TARDIS_QUOTES, TARDIS_TICKER, snapshot_header(5)))
