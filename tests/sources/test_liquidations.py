"""Positions that were closed by force, from files of Tardis and of Binance's archive to the lake."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contract.vendor_cases import DAY_US, TARDIS_TRADES, UUIDS

from pointline.clock import DAY_US as ONE_DAY_US
from pointline.clock import HOUR_US
from pointline.errors import ConfigError, SourceError
from pointline.export.duckdb import export_duckdb
from pointline.ingest.ordered import OrderedPartition
from pointline.ingest.run import ingest
from pointline.lake.catalog import catalog
from pointline.lake.manifest import Manifest, read_quarantine
from pointline.lake.store import open_lake
from pointline.lake.verify import verify
from pointline.research import query
from pointline.sources.base import Hints, parsed_rows
from pointline.sources.families import all_sources
from pointline.sources.mapping import load_mapping
from pointline.sources.tardis import Tardis
from pointline.sources.vision_datasets import one_of_each_pair

if TYPE_CHECKING:
    from pathlib import Path

    from pointline.ingest.run import FileReport
    from pointline.lake.store import Lake

PERP = ("binance-futures", "BTCUSDT")
DAY = ("2024-05-01", "2024-05-02")


def order(
    at: int = 0,
    late: int = 5_000,
    *,
    exchange: str = "binance-futures",
    symbol: str = "BTCUSDT",
    ident: str = "",
    side: str = "sell",
    price: str = "60000",
    amount: str = "0.5",
) -> str:
    """A row that happened some microseconds after midnight and was received later."""
    return f"{exchange},{symbol},{DAY_US + at},{DAY_US + at + late},{ident},{side},{price},{amount}"


def tardis(
    folder: Path, *rows: str, exchange: str = "binance-futures", symbol: str = "BTCUSDT", day: str = "2024-05-01", name: str | None = None
) -> Path:
    path = folder / (name or f"{exchange}/liquidations/{day.replace('-', '/')}/{symbol}.csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in (TARDIS_TRADES, *rows)), encoding="utf-8")
    return path


def stored(folder: Path, *paths: Path, hints: Hints | None = None) -> list[FileReport]:
    return ingest(open_lake(folder / "lake", create=True), paths, sources=all_sources(), hints=hints or Hints())


def row_of(lake: Lake) -> dict[str, object]:
    (row,) = catalog(lake)["instruments"]
    assert row["kind"] == "liquidations"
    return row


# ---------------------------------------------------------------------------------------------------------------------- Tardis


@pytest.mark.parametrize("name", [None, "binance-futures_liquidations_2024-05-01_BTCUSDT.csv"])
def test_liquidations_reach_the_lake_field_by_field(tmp_path: Path, name: str | None) -> None:
    """A `sell` is a long that was closed by force; two equal ones without an id are two."""
    rows = [
        order(1, side="sell", price="59123.45678", amount="0.015"),
        order(7, side="buy", price="60000", amount="12"),
        order(7, side="buy", price="60000", amount="12"),
        order(9, ident="a-1", side="unknown", price="60000", amount="12"),
    ]
    (report,) = stored(tmp_path, tardis(tmp_path, *rows, name=name))
    assert (report.outcome, report.rows_landed, report.duplicates) == ("landed", 4, 0)
    lake = open_lake(tmp_path / "lake")
    assert lake.kinds() == ["liquidations"]
    found = query.liquidations(*PERP, *DAY, decoded=False, lake=lake)
    names = ["ts_local_us", "ts_event_us", "liquidation_id", "price_int", "qty_int", "side", "source_row", "price_decimals", "qty_decimals"]
    assert found.columns == [*names, "source_file"]
    assert found.select(names).rows() == [
        (DAY_US + 5_001, DAY_US + 1, None, 5_912_345_678, 15, 1, 2, 5, 3),
        (DAY_US + 5_007, DAY_US + 7, None, 6_000_000_000, 12_000, 0, 3, 5, 3),
        (DAY_US + 5_007, DAY_US + 7, None, 6_000_000_000, 12_000, 0, 4, 5, 3),
        (DAY_US + 5_009, DAY_US + 9, "a-1", 6_000_000_000, 12_000, None, 5, 5, 3),
    ]
    decoded = query.liquidations(*PERP, *DAY, lake=lake)
    assert decoded.select("price", "qty", "side").row(0) == (59123.45678, 0.015, 1)
    assert verify(lake).problems == []


def test_a_file_without_its_path_needs_to_be_named(tmp_path: Path) -> None:
    path = tardis(tmp_path, order(), name="a.csv")
    with pytest.raises(SourceError, match="trades and liquidations have the same columns"):
        Tardis().recognise(path, Hints())
    (report,) = stored(tmp_path, path, hints=Hints(dataset="liquidations"))
    assert (report.outcome, open_lake(tmp_path / "lake").kinds()) == ("landed", ["liquidations"])


def test_a_path_of_trades_holds_no_liquidations(tmp_path: Path) -> None:
    path = tardis(tmp_path, order(), name="binance-futures/trades/2024/05/01/BTCUSDT.csv")
    with pytest.raises(SourceError, match="--dataset"):
        Tardis().recognise(path, Hints(dataset="liquidations"))


@pytest.mark.parametrize(
    ("exchange", "symbol", "price", "contracts", "base"),
    [("binance-delivery", "BTCUSD_PERP", "50000", "30", 30 * 100 / 50_000), ("okex-swap", "BTC-USDT-SWAP", "50000", "7", 0.07)],
)
def test_contracts_become_base_units_as_those_of_trades(
    tmp_path: Path, exchange: str, symbol: str, price: str, contracts: str, base: float
) -> None:
    """100 US dollars of COIN-M's contract, a hundredth of a bitcoin of OKX's."""
    row = order(exchange=exchange, symbol=symbol, price=price, amount=contracts)
    stored(tmp_path, tardis(tmp_path, row, exchange=exchange, symbol=symbol))
    own = {"okex-swap": "okx-swap"}.get(exchange, exchange)
    found = query.liquidations(own, symbol, *DAY, lake=tmp_path / "lake")
    assert found.select("qty", "qty_contracts").row(0) == (base, float(contracts))


@pytest.mark.parametrize("ident", ["", UUIDS[0]])
@pytest.mark.parametrize("turned", [False, True])
def test_two_files_tell_one_liquidation(tmp_path: Path, ident: str, turned: bool) -> None:
    """By its id, or by all its values but the receipt; the same files in any order give the same bytes."""
    shared = [order(5, ident=ident), order(9, ident=ident and UUIDS[1])]
    later = order(5, 9_000, ident=ident)
    files = [tardis(tmp_path, *shared), tardis(tmp_path, later, order(6, ident=ident and "c"), name="own.csv")]
    names = [None, Hints(dataset="liquidations")]
    for path, hints in list(zip(files, names, strict=True))[:: -1 if turned else 1]:
        stored(tmp_path, path, hints=hints)
    found = query.liquidations(*PERP, *DAY, lake=tmp_path / "lake")
    assert found["ts_event_us"].to_list() == [DAY_US + 5, DAY_US + 6, DAY_US + 9]
    assert found["ts_local_us"].to_list() == [DAY_US + 5_005, DAY_US + 5_006, DAY_US + 5_009]


def test_an_id_with_other_values_is_a_contradiction(tmp_path: Path) -> None:
    (report,) = stored(tmp_path, tardis(tmp_path, order(1, ident="a"), order(2, ident="a", price="1"), order(3, ident="a-2")))
    assert (report.rows_landed, report.rows_quarantined) == (2, 1)
    (other,) = stored(tmp_path, tardis(tmp_path, order(1, ident="a", amount="7"), name="b.csv"), hints=Hints(dataset="liquidations"))
    assert len(other.conflicts) == 1
    assert "qty" in other.conflicts[0]


def test_what_arrives_later_changes_no_row(tmp_path: Path) -> None:
    rows = [order(at, 5_000 + n, ident=ident) for n, (at, ident) in enumerate(((0, ""), (0, ""), (7, "b"), (3, "c"), (9, "")))]
    whole: list[tuple[object, ...]] = []
    for count in range(len(rows), 0, -1):
        folder = tmp_path / str(count)
        stored(folder, tardis(folder, *rows[:count]))
        found = query.liquidations(*PERP, *DAY, lake=folder / "lake").drop("source_file").sort("source_row").rows()
        whole = whole or found
        assert found == whole[:count]


def test_many_rows_with_text_ids_are_not_taken_for_ordered_ones(tmp_path: Path) -> None:
    """A partition that is written while it is read goes by numbers; text has no such order."""
    rows = pl.DataFrame({"ts_local_us": [1, 2], "ts_event_us": [1, 2], "liquidation_id": ["a", "b"], "price": 1.0, "qty": 1.0})
    partition = OrderedPartition(tmp_path / "part.parquet", "liquidations", 7)
    partition.push(parsed_rows("liquidations", rows))
    partition.seal()
    assert partition.broken
    assert pl.concat(partition.rows_again())["liquidation_id"].to_list() == ["a", "b"]


def test_a_mapped_table_fills_it_too(tmp_path: Path) -> None:
    side = '{ column = "s", seller_taker = ["long"], buyer_taker = ["short"] }'
    columns = f'ts_event_us = {{ column = "t", unit = "us" }}\nprice = "p"\nside = {side}\n'
    path, mapping = tmp_path / "mine.csv", tmp_path / "mapping.toml"
    path.write_text(f"t,p,q,s,id\n{DAY_US + 5},60000,0.25,long,x\n", encoding="utf-8")
    head = 'kind = "liquidations"\nexchange = "binance-futures"\nsymbol = "BTCUSDT"\n[columns]\n'
    mapping.write_text(head + columns, encoding="utf-8")
    with pytest.raises(ConfigError, match="liquidations needs a rule for qty"):
        load_mapping(mapping)
    mapping.write_text(f'{head}{columns}qty = "q"\nliquidation_id = "id"\n', encoding="utf-8")
    (report,) = stored(tmp_path, path, hints=Hints(mapping=mapping))
    assert report.problem is None
    found = query.liquidations(*PERP, *DAY, lake=tmp_path / "lake")
    assert found.select("ts_event_us", "price", "qty", "side", "liquidation_id").rows() == [(DAY_US + 5, 60000.0, 0.25, 1, "x")]


# -------------------------------------------------------------------------------------------------------- coverage and other faces


def test_a_silence_is_no_hole_and_a_day_without_a_file_is(tmp_path: Path) -> None:
    """Twelve in as many seconds and one at noon of a day that its file declares; of the next day no file, then one row."""
    burst = [order(n * 1_000_000) for n in range(12)]
    third = order(2 * ONE_DAY_US + HOUR_US)
    stored(tmp_path, tardis(tmp_path, *burst, order(12 * HOUR_US)), tardis(tmp_path, third, day="2024-05-03"))
    row = row_of(open_lake(tmp_path / "lake"))
    assert row["missing"] == [[DAY_US + ONE_DAY_US, DAY_US + 2 * ONE_DAY_US]]
    assert (row["rows"], row["first_date"], row["last_date"]) == (14, "2024-05-01", "2024-05-03")


def test_a_file_without_a_row_tells_of_a_quiet_day(tmp_path: Path) -> None:
    """That of the same instrument only: the second day of ETHUSDT has no file."""
    third = 2 * ONE_DAY_US
    for symbol, days in (("BTCUSDT", (0, 1, 2)), ("ETHUSDT", (0, 2))):
        for day in days:
            rows = [] if day == 1 else [order(day * third // 2 + HOUR_US, symbol=symbol)]
            stored(tmp_path, tardis(tmp_path, *rows, symbol=symbol, day=f"2024-05-0{day + 1}"))
    found = {row["symbol"]: (row["missing"], row["missing_partitions"]) for row in catalog(open_lake(tmp_path / "lake"))["instruments"]}
    assert found == {"BTCUSDT": ([], 0), "ETHUSDT": ([[DAY_US + ONE_DAY_US, DAY_US + third]], 1)}


def test_a_group_of_instruments_declares_the_day_of_each(tmp_path: Path) -> None:
    """ETHUSDT had none on the second day, and the file of all perpetuals of that day is there."""
    for day, symbols in ((0, ("BTCUSDT", "ETHUSDT")), (1, ("BTCUSDT",)), (2, ("BTCUSDT", "ETHUSDT"))):
        rows = [order(day * ONE_DAY_US + n, symbol=symbol) for n, symbol in enumerate(symbols)]
        stored(tmp_path, tardis(tmp_path, *rows, symbol="PERPETUALS", day=f"2024-05-0{day + 1}"))
    found = {row["symbol"]: row["missing"] for row in catalog(open_lake(tmp_path / "lake"))["instruments"]}
    assert found == {"BTCUSDT": [], "ETHUSDT": []}


def test_of_a_day_that_no_file_declares_what_lies_between_its_rows_counts(tmp_path: Path) -> None:
    rows = [order(HOUR_US), order(20 * HOUR_US), order(ONE_DAY_US + HOUR_US)]
    stored(tmp_path, tardis(tmp_path, *rows, name="own.csv"), hints=Hints(dataset="liquidations"))
    row = row_of(open_lake(tmp_path / "lake"))
    assert row["missing"] == [[DAY_US + 20 * HOUR_US + 5_001, DAY_US + ONE_DAY_US + HOUR_US + 5_000]]


def test_the_export_shows_them(tmp_path: Path) -> None:
    row = order(exchange="okex-swap", symbol="BTC-USDT-SWAP", amount="7", ident="x")
    stored(tmp_path, tardis(tmp_path, row, exchange="okex-swap", symbol="BTC-USDT-SWAP"))
    done = export_duckdb(tmp_path / "lake.duckdb", lake=tmp_path / "lake")
    with duckdb.connect(str(done.path), read_only=True) as connection:
        (found,) = connection.sql("SELECT side, quantity, price, liquidation_id, native_symbol FROM api.liquidations").fetchall()
    assert (found[0], float(found[1]), float(found[2]), *found[3:]) == ("sell", 0.07, 60000.0, "x", "BTC-USDT-SWAP")


# ------------------------------------------------------------------------------------------------------------------ Binance's archive

SNAPSHOT = (
    "time,side,order_type,time_in_force,original_quantity,price,average_price,order_status,last_fill_quantity,accumulated_fill_quantity"
)


def snapshot(at_ms: int, *, side: str = "SELL", average: str = "50000.1", status: str = "FILLED", filled: str = "30") -> str:
    return f"{DAY_US // 1000 + at_ms},{side},LIMIT,IOC,40,49000.5,{average},{status},3,{filled}"


def vision(folder: Path, *rows: str, header: bool = True) -> Path:
    name = "BTCUSD_PERP-liquidationSnapshot-2024-05-01"
    path = folder / "data/futures/cm/daily/liquidationSnapshot/BTCUSD_PERP" / f"{name}.zip"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.csv", "".join(f"{line}\n" for line in ((SNAPSHOT,) if header else ()) + rows))
    return path


@pytest.mark.parametrize("header", [False, True])
def test_every_pair_of_rows_is_one_liquidation(tmp_path: Path, header: bool) -> None:
    """Four equal rows are two; one without a second is set aside, and so is an order that was not filled, each with its line."""
    one, two = snapshot(5), snapshot(9, side="BUY", average="50001.25", filled="7")
    rows = (one, one, two, two, one, one, snapshot(11), snapshot(12, status="PARTIALLY_FILLED"))
    (report,) = stored(tmp_path, vision(tmp_path, *rows, header=header))
    assert (report.rows_read, report.rows_landed, report.rows_skipped, report.rows_quarantined) == (8, 3, 3, 2)
    found = query.liquidations("binance-delivery", "BTCUSD_PERP", *DAY, decoded=False, lake=tmp_path / "lake")
    first = 2 if header else 1
    names = ("ts_event_us", "ts_local_us", "price_int", "price_decimals", "qty_int", "side", "source_row", "liquidation_id")
    assert found.select(names).rows() == [
        (DAY_US + 5_000, DAY_US + 5_000, 5_000_010, 2, 30, 1, first, None),
        (DAY_US + 5_000, DAY_US + 5_000, 5_000_010, 2, 30, 1, first + 4, None),
        (DAY_US + 9_000, DAY_US + 9_000, 5_000_125, 2, 7, 0, first + 2, None),
    ]
    lake = open_lake(tmp_path / "lake")
    aside = read_quarantine(lake, Manifest(lake)).select("line", "column")
    assert aside.sort("line").rows() == [(first + 6, "time"), (first + 7, "order_status")]


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["BUY", "SELL"])), max_size=12))
@settings(max_examples=60, deadline=None)
def test_pairs_by_a_plain_loop(rows: list[tuple[int, str]]) -> None:
    frame = pl.DataFrame(
        {"time": [at for at, _ in rows], "side": [side for _, side in rows], "source_row": range(2, len(rows) + 2)},
        schema={"time": pl.Int64, "side": pl.String, "source_row": pl.Int64},
    )
    waiting: dict[tuple[int, str], int] = {}
    kept = []
    for line, row in enumerate(rows, start=2):
        if row in waiting:
            kept.append(waiting.pop(row))
        else:
            waiting[row] = line
    found, rejects = one_of_each_pair(frame)
    assert found["source_row"].to_list() == sorted(kept)
    assert sorted(rejects["line"].to_list()) == sorted(waiting.values())
