"""Bybit's archive beyond the contract: stamps of seconds, ids that begin anew, sizes in dollars, and what is no file of it."""

from __future__ import annotations

import gzip
import json
from decimal import ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contract.vendor_cases import BYBIT_SPOT, BYBIT_TRADING, DAY_S, DAY_US
from typer.testing import CliRunner

import pointline
from pointline.bars.rules import VolumeBarConfig
from pointline.cli import app
from pointline.errors import SourceError
from pointline.ingest.repair import repair
from pointline.ingest.run import ingest
from pointline.lake.store import open_lake
from pointline.lake.verify import verify
from pointline.research import query
from pointline.sources.base import Hints
from pointline.sources.bybit import Bybit
from pointline.sources.families import all_sources

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pointline.ingest.run import FileReport
    from pointline.sources.base import Batch

UUID = "00000000-006d-1000-0000-{:012x}"
SECOND_US = 1_000_000


def trade(stamp: str, number: int = 1, *, symbol: str = "BTCUSDT", side: str = "Buy", size: str = "0.5", price: str = "60000") -> str:
    """A row of linear derivatives; its notionals follow from size and price."""
    foreign = Decimal(size) * Decimal(price)
    return f"{stamp},{symbol},{side},{size},{price},PlusTick,{UUID.format(number)},{foreign * 10**8},{size},{foreign}"


def write(path: Path, header: str | None, lines: Iterable[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{line}\n" for line in (*([header] if header else []), *lines))
    path.write_bytes(gzip.compress(text.encode(), 1) if path.suffix == ".gz" else text.encode())
    return path


def trading(folder: Path, lines: Iterable[str], *, symbol: str = "BTCUSDT", day: str = "2024-05-01", header: bool = True) -> Path:
    return write(folder / "trading" / symbol / f"{symbol}{day}.csv.gz", BYBIT_TRADING if header else None, lines)


def spot(folder: Path, lines: Iterable[str], *, period: str = "_2024-05-01") -> Path:
    return write(folder / "spot" / "BTCUSDT" / f"BTCUSDT{period}.csv.gz", BYBIT_SPOT, lines)


def batches(path: Path, hints: Hints | None = None) -> list[Batch]:
    hints = hints or Hints()
    identity = Bybit().recognise(path, hints)
    assert identity is not None
    return list(Bybit().read(path, identity, hints))


def column(path: Path, name: str) -> list[Any]:
    return [value for batch in batches(path) for value in batch.frame[name].to_list()]


def stored(folder: Path, *paths: Path) -> list[FileReport]:
    return ingest(open_lake(folder / "lake", create=True), paths, sources=all_sources(), hints=Hints())


# ---------------------------------------------------------------------------------------------------------------------- stamps


@pytest.mark.parametrize(
    ("stamp", "us"),
    [
        ("1714521600", 1_714_521_600_000_000),
        ("1714521600.0", 1_714_521_600_000_000),
        ("1714521600.0647", 1_714_521_600_064_700),
        ("1714521600.064712", 1_714_521_600_064_712),
        ("1714521600.0647129", 1_714_521_600_064_712),  # never later than it happened
        ("1714521600064.7", 1_714_521_600_064_700),
        ("1714521600064712", 1_714_521_600_064_712),
    ],
)
def test_a_stamp_is_read_to_the_microsecond(tmp_path: Path, stamp: str, us: int) -> None:
    assert column(trading(tmp_path, [trade(stamp)]), "ts_event_us") == [us]


def test_a_stamp_finer_than_twelve_decimals_is_set_aside(tmp_path: Path) -> None:
    (batch,) = batches(trading(tmp_path, [trade(f"{DAY_S}.5"), trade(f"{DAY_S}.5000000000001", 2), trade(f"{DAY_S}.6", 3)]))
    assert batch.rejects.select("line", "column", "value").row(0) == (3, "timestamp", f"{DAY_S}.5000000000001")


def test_stamps_in_two_units_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="from seconds to milliseconds inside the file") as caught:
        batches(trading(tmp_path, [trade(f"{DAY_S}.5"), trade(f"{DAY_S}500", 2)]))
    assert "line 3" in str(caught.value.where)


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 86_399_999_999), st.integers(0, 6), st.booleans(), st.integers(1, 10**7), st.integers(1, 10**7)),
        min_size=1,
        max_size=12,
    ),
    unit=st.sampled_from([6, 3, 0]),
    header=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_any_spelling_is_read_as_a_plain_loop_reads_it(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int, bool, int, int]], unit: int, *, header: bool
) -> None:
    """Seconds, milliseconds or microseconds, any number of decimals, unsorted, repeated, both sides, with a header or none."""
    lines, expected = [], []
    for number, (us, decimals, sells, lots, ticks) in enumerate(rows):
        told = Decimal(DAY_US + us).scaleb(-unit)
        stamp = told.quantize(Decimal(1).scaleb(-min(decimals, unit)), ROUND_FLOOR)
        size, price = Decimal(lots).scaleb(-3), Decimal(ticks).scaleb(-1)
        lines.append(trade(f"{stamp:f}", number // 2, side="Sell" if sells else "Buy", size=str(size), price=str(price)))
        expected.append((int(stamp.scaleb(unit)), UUID.format(number // 2), float(price), float(size), sells))
    path = trading(tmp_path_factory.mktemp("bybit"), lines, header=header)
    (batch,) = batches(path)
    assert batch.frame.select("ts_event_us", "text_id", "price", "qty", "side").rows() == expected
    assert batch.rejects.is_empty()


def test_what_follows_changes_no_row(tmp_path: Path) -> None:
    lines = [trade(f"{DAY_S + number}.25", number, price=str(60_000 + number)) for number in (3, 1, 2, 1, 0)]
    whole = batches(trading(tmp_path, lines))[0].frame
    for count in range(1, len(lines)):
        assert batches(trading(tmp_path, lines[:count]))[0].frame.equals(whole[:count])


# ----------------------------------------------------------------------------------------------------------------- what sizes count


INVERSE = f"{DAY_S}.5,BTCUSD,Sell,60000,60000,PlusTick,{UUID.format(1)},100000000,1,60000"


def test_an_inverse_size_counts_dollars(tmp_path: Path) -> None:
    """60,000 contracts of one dollar at 60,000 are one coin."""
    stored(tmp_path, trading(tmp_path, [INVERSE], symbol="BTCUSD"))
    trades = query.trades("bybit", "BTCUSD", "2024-05-01", "2024-05-02", lake=tmp_path / "lake")
    assert trades.select("price", "qty", "side").rows() == [(60000.0, 1.0, 1)]


@pytest.mark.parametrize(
    ("row", "symbol", "name"),
    [
        (INVERSE.replace("BTCUSD,", "BTCUSDT,"), "BTCUSDT", "homenotional"),
        (trade(f"{DAY_S}.5", symbol="BTCUSD"), "BTCUSD", "foreignnotional"),
    ],
    ids=["inverse rows of a linear symbol", "linear rows of an inverse symbol"],
)
def test_a_size_of_the_other_kind_is_refused(tmp_path: Path, row: str, symbol: str, name: str) -> None:
    with pytest.raises(SourceError, match="contradicts size and price") as caught:
        batches(trading(tmp_path, [row], symbol=symbol))
    assert name in str(caught.value.where)


def test_notionals_that_say_nothing_are_passed_over(tmp_path: Path) -> None:
    bare = [
        f"{DAY_S},BTCUSDT,Buy,0.5,60000,PlusTick,{UUID.format(number)},0,{notional},{notional}" for number, notional in enumerate(("0", ""))
    ]
    assert column(trading(tmp_path, bare), "qty") == [0.5, 0.5]


def test_scientific_notation_is_a_number(tmp_path: Path) -> None:
    path = trading(tmp_path, [f"{DAY_S},BTCUSDT,Buy,1e-05,6.0e4,PlusTick,{UUID.format(1)},6e+07,1e-05,0.6"])
    assert (column(path, "price"), column(path, "qty")) == ([60000.0], [1e-05])


# -------------------------------------------------------------------------------------------------------------- ids and file days


def test_rows_alike_but_for_their_id_are_two_trades_and_a_repeated_id_is_one(tmp_path: Path) -> None:
    rows = [trade(f"{DAY_S}.5", 1), trade(f"{DAY_S}.5", 2), trade(f"{DAY_S}.5", 2)]
    (report,) = stored(tmp_path, trading(tmp_path, rows))
    assert (report.outcome, report.rows_landed, report.duplicates, report.rows_quarantined) == ("landed", 2, 1, 0)


def test_spot_ids_begin_anew_every_day_and_nothing_is_missing(tmp_path: Path) -> None:
    days = {f"_2024-05-0{day + 1}": [f"{n},{(DAY_S + 86_400 * day) * 1000 + n},60000,0.5,buy" for n in (1, 2, 3)] for day in (0, 1)}
    reports = stored(tmp_path, *(spot(tmp_path, lines, period=period) for period, lines in days.items()))
    assert [(report.rows_landed, report.missing_ids, report.conflicts) for report in reports] == [(3, 0, ())] * 2
    monthly = spot(tmp_path, [line for lines in days.values() for line in lines], period="-2024-05")
    (report,) = stored(tmp_path, monthly)
    assert (report.outcome, report.rows_superseded, report.conflicts) == ("superseded", 6, ())


def test_a_spot_row_of_another_day_is_no_other_days_trade(tmp_path: Path) -> None:
    """The last trades of a day may stand in the next day's file, whose numbers begin anew: neither lost, nor taken for the first ones."""
    first = [f"{n},{DAY_S * 1000 + n},60000,0.5,buy" for n in (1, 2, 3)]
    night = (DAY_S + 86_400) * 1000
    second = [f"1,{night - 1},60001,0.25,sell", f"2,{night},60002,0.5,buy", f"3,{night + 9},60002,0.5,buy"]
    reports = stored(tmp_path, spot(tmp_path, first), spot(tmp_path, second, period="_2024-05-02"))
    assert [(report.rows_landed, report.missing_ids, report.conflicts) for report in reports] == [(3, 0, ()), (3, 0, ())]
    trades = query.trades("bybit-spot", "BTCUSDT", "2024-05-01", "2024-05-02", lake=tmp_path / "lake")
    assert trades["text_id"].to_list() == [None, None, None, "2024-05-02/1"]


def test_rows_of_derivatives_land_on_their_own_day(tmp_path: Path) -> None:
    (report,) = stored(tmp_path, trading(tmp_path, [trade(f"{DAY_S + 86_400}.0001"), trade(f"{DAY_S + 86_399}.9999", 2)]))
    assert (report.rows_landed, report.out_of_order) == (2, 0)
    trades = query.trades("bybit", "BTCUSDT", "2024-05-02", "2024-05-03", lake=tmp_path / "lake")
    assert trades["ts_event_us"].to_list() == [DAY_US + 86_400 * SECOND_US + 100]


# --------------------------------------------------------------------------------------------------------- what a file is, and is not


@pytest.mark.parametrize("name", ["trading/BTCUSDT/BTCUSDT2022-12-12.csv.gz", "spot/BTCUSDT/BTCUSDT_2022-12-12.csv.gz"])
def test_a_gzip_of_nothing_is_an_empty_day(tmp_path: Path, name: str) -> None:
    (report,) = stored(tmp_path, write(tmp_path / name, None, []))
    assert (report.outcome, report.rows_read, report.problem) == ("empty", 0, None)


def test_a_header_alone_is_an_empty_day(tmp_path: Path) -> None:
    (report,) = stored(tmp_path, trading(tmp_path, []))
    assert (report.outcome, report.problem) == ("empty", None)


def test_a_file_under_another_symbols_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="names another symbol than the file's name") as caught:
        Bybit().recognise(trading(tmp_path, [trade(f"{DAY_S}")], symbol="ETHUSDT"), Hints())
    assert (caught.value.value, caught.value.expected) == ("BTCUSDT", "ETHUSDT")


def test_a_row_of_another_symbol_is_set_aside(tmp_path: Path) -> None:
    (batch,) = batches(trading(tmp_path, [trade(f"{DAY_S}"), trade(f"{DAY_S}", 2, symbol="ETHUSDT")]))
    assert (batch.frame.height, batch.rejects["column"].to_list(), batch.rejects["value"].to_list()) == (1, ["symbol"], ["ETHUSDT"])


def test_a_misfiled_folder_does_not_matter_where_name_and_rows_agree(tmp_path: Path) -> None:
    path = write(tmp_path / "trading" / "ETHUSDT" / "BTCUSDT2024-05-01.csv.gz", BYBIT_TRADING, [trade(f"{DAY_S}")])
    identity = Bybit().recognise(path, Hints())
    assert identity is not None
    assert (identity.exchange, identity.symbol, identity.period) == ("bybit", "BTCUSDT", "2024-05-01")


def test_a_renamed_file_of_derivatives_is_known_by_its_rows_and_declares_no_period(tmp_path: Path) -> None:
    identity = Bybit().recognise(write(tmp_path / "a.csv", BYBIT_TRADING, [trade(f"{DAY_S}")]), Hints())
    assert identity is not None
    assert (identity.exchange, identity.symbol, identity.period) == ("bybit", "BTCUSDT", "")


def test_a_renamed_file_of_spot_needs_exchange_and_symbol(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", BYBIT_SPOT, [f"1,{DAY_S * 1000},60000,0.5,buy"])
    assert Bybit().recognise(path, Hints()) is None
    identity = Bybit().recognise(path, Hints(exchange="bybit-spot", symbol="BTCUSDT", period="2024-05-01"))
    assert identity is not None
    assert (identity.exchange, identity.symbol, identity.period) == ("bybit-spot", "BTCUSDT", "2024-05-01")


@pytest.mark.parametrize(
    "hints", [Hints(exchange="bybit-spot"), Hints(symbol="ETHUSDT"), Hints(period="2024-05-02"), Hints(dataset="quotes")], ids=str
)
def test_a_flag_that_contradicts_the_file_is_refused(tmp_path: Path, hints: Hints) -> None:
    with pytest.raises(SourceError):
        Bybit().recognise(trading(tmp_path, [trade(f"{DAY_S}")]), hints)


@pytest.mark.parametrize("name", ["BTCUSDT_2024-05-01.csv", "BTCUSDT2024-05-01.csv", "notes.csv", "BTCUSDT2024-05-41.csv.gz"])
def test_a_foreign_table_is_left_alone(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("when,what\n1,2\n")
    assert Bybit().recognise(path, Hints()) is None


def test_spot_columns_under_a_name_of_derivatives_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "trading" / "BTCUSDT" / "BTCUSDT2024-05-01.csv.gz", BYBIT_SPOT, [f"1,{DAY_S * 1000},60000,0.5,buy"])
    with pytest.raises(SourceError, match="columns of another archive"):
        Bybit().recognise(path, Hints())


# ----------------------------------------------------------------------------------------------------------------- end to end


def test_the_catalog_names_layouts_that_nobody_has_seen(tmp_path: Path) -> None:
    stored(tmp_path, trading(tmp_path, [trade(f"{DAY_S}")]), spot(tmp_path, [f"1,{DAY_S * 1000},60000,0.5,buy"]))
    words = ["catalog", "--lake", str(tmp_path / "lake")]
    found = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert {row["exchange"]: row["layouts"] for row in found["instruments"]} == {"bybit": ["bybit/trading"], "bybit-spot": ["bybit/spot"]}
    assert found["unverified_layouts"] == ["bybit/spot"]
    assert "layout bybit/spot is unverified" in CliRunner().invoke(app, words).stdout


def test_a_moved_file_repairs_the_lake(tmp_path: Path) -> None:
    path = spot(tmp_path / "in", [f"{n},{DAY_S * 1000 + n},60000,0.5,buy" for n in (1, 2)])
    stored(tmp_path, path)
    lake = open_lake(tmp_path / "lake")
    (data,) = (lake.root / "trades").rglob("part-*.parquet")
    data.unlink()
    moved = path.rename(tmp_path / path.name)
    assert [each.outcome for each in repair(lake, all_sources, [moved.parent]).reread] == ["landed"]
    assert verify(open_lake(lake.root)).problems == []


def test_a_folder_of_perp_and_spot_is_compared(tmp_path: Path) -> None:
    """Perp at 60,060 against spot at 60,000: a basis of 10 bps in every bar, and every bar's volume is the perp's."""
    seconds = range(0, 3600, 10)
    perp = [trade(f"{DAY_S + second}.2501", second, size="0.5", price="60060") for second in reversed(seconds)]
    own = [f"{n},{(DAY_S + second) * 1000},60000,0.25,{'buy' if n % 2 else 'sell'}" for n, second in enumerate(seconds, start=1)]
    reports = stored(tmp_path, trading(tmp_path, perp), spot(tmp_path, own))
    assert [report.rows_landed for report in reports] == [360, 360]
    study = pointline.compare(
        "bybit:BTCUSDT", "bybit-spot:BTCUSDT", start="2024-05-01", end="2024-05-02", bars=VolumeBarConfig(10.0), lake=tmp_path / "lake"
    )
    bars = study.features
    whole = bars.filter("complete")
    assert whole.height == 18
    assert whole["basis_bps"].round(9).unique().to_list() == [10.0]
