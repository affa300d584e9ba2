"""The file itself: exact sums, UTC, live files only, where it may be written, and what it says of itself."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import subprocess
import sys
from decimal import Decimal
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pandas as pd
import polars as pl
import pytest
from tests import buckets
from tests.archives import lake_of, trades_archive
from tests.export.agreement import differences, opened
from tests.export.conftest import MONDAY, SPOT, mapped
from tests.sql.markets import Candle, add, candles_archives, lake_with
from typer.testing import CliRunner

import pointline
from pointline.cli import app
from pointline.clock import DAY_US, to_us
from pointline.errors import BusyError, ConfigError, DamageError, LakeError, MissingExtraError, PointlineError
from pointline.export import duckdb as export
from pointline.export.duckdb import export_duckdb
from pointline.lake import open_lake
from pointline.lake.durable import single_writer
from pointline.lake.maintenance import maintain
from pointline.sql.files import check_files

if TYPE_CHECKING:
    from pointline.lake.store import Lake


def ask(path: Path, text: str) -> list[tuple[Any, ...]]:
    with opened(path) as connection:
        return connection.execute(text).fetchall()


# --- amounts and times ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tenths(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10,000 trades of 0.1 at 0.3, which as floats do not add up to 1,000, and one of a price with 12 decimals."""
    folder = tmp_path_factory.mktemp("tenths")
    prints = [(MONDAY + n, "0.3", "0.1", bool(n % 2)) for n in range(10_000)]
    other = [(MONDAY + DAY_US, "1234.123456789012", "0.000000000001", False)]
    export_duckdb(folder / "lake.duckdb", lake=lake_of(folder, {SPOT: [*prints, *other]}))
    return folder / "lake.duckdb"


def test_sums_are_exact(tenths: Path) -> None:
    day = "WHERE timestamp < '2024-04-30'"
    assert list(accumulate([0.1] * 10_000))[-1] != 1_000
    (row,) = ask(
        tenths, f"SELECT sum(quantity), sum(price), sum(price * quantity), sum(price * quantity) / sum(quantity) FROM api.trade {day}"
    )
    assert row == (Decimal(1_000), Decimal(3_000), Decimal(300), 0.3)
    assert ask(tenths, "SELECT price, quantity FROM api.trade WHERE timestamp >= '2024-04-30'") == [
        (Decimal("1234.123456789012"), Decimal("0.000000000001"))
    ]
    assert ask(tenths, "SELECT volume, high, count FROM api.ohlcv_1d ORDER BY start") == [
        (Decimal(1_000), Decimal("0.3"), 10_000),
        (Decimal("0.000000000001"), Decimal("1234.123456789012"), 1),
    ]


def test_the_types(tenths: Path) -> None:
    types = dict(ask(tenths, "SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM api.trade)"))
    assert types["price"] == types["quantity"] == "DECIMAL(38,12)"
    assert types["timestamp"] == types["known_at"] == "TIMESTAMP"
    assert (types["date"], types["ts_event_us"], types["off_book"]) == ("DATE", "BIGINT", "BOOLEAN")
    candles = dict(ask(tenths, "SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM api.ohlcv(5))"))
    assert (candles["start"], candles["close"], candles["count"], candles["complete"]) == (
        "TIMESTAMP",
        "DECIMAL(38,12)",
        "BIGINT",
        "BOOLEAN",
    )


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kathmandu"])
def test_times_are_utc_whatever_the_zone_of_the_session(tenths: Path, zone: str) -> None:
    with opened(tenths) as connection:
        connection.execute(f"SET TimeZone = '{zone}'")
        first = connection.execute("SELECT min(timestamp), count(*) FROM api.trade WHERE timestamp < '2024-04-30'").fetchone()
        candle = connection.execute("SELECT min(start), max(start) FROM api.ohlcv_1d").fetchone()
    assert first == (dt.datetime(2024, 4, 29), 10_000)  # noqa: DTZ001 -- naive is what DuckDB's TIMESTAMP is
    assert candle == (dt.datetime(2024, 4, 29), dt.datetime(2024, 4, 30))  # noqa: DTZ001


def test_pandas_reads_it(tenths: Path) -> None:
    with opened(tenths) as connection:
        frame = connection.execute("SELECT * FROM api.trade ORDER BY timestamp LIMIT 3").df()
        candles = connection.execute("SELECT start, close, volume FROM api.ohlcv(1440) ORDER BY start").df()
    assert str(frame["timestamp"].dtype) == "datetime64[us]"
    assert frame["timestamp"].tolist() == [pd.Timestamp("2024-04-29") + pd.Timedelta(microseconds=n) for n in range(3)]
    assert frame["side"].tolist() == ["buy", "sell", "buy"]
    assert candles["volume"].tolist() == [1_000.0, 1e-12]


def test_a_contract_of_unknown_size_has_no_quantity(tmp_path: Path, contracts: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = contracts.registry()
    unknown = registry.frame.with_columns(contract_size=pl.lit(None, pl.Float64))
    monkeypatch.setattr(type(registry), "frame", property(lambda _: unknown))
    export_duckdb(tmp_path / "lake.duckdb", lake=contracts)
    assert ask(tmp_path / "lake.duckdb", "SELECT count(*), count(price), count(quantity) FROM api.trade") == [(900, 900, 0)]
    assert ask(tmp_path / "lake.duckdb", "SELECT count(volume), count(close) FROM api.candles_1m") == [(0, 50)]


# --- live files only --------------------------------------------------------------------------------------------------------------


def corrected(folder: Path) -> tuple[Lake, Path]:
    """A lake whose one day of trades was replaced, the old file still on the disk, with an export from before."""
    before = [(MONDAY + n, "100", "1", False) for n in range(50)]
    lake = lake_with(folder, [trades_archive(folder / "1", *SPOT, MONDAY, before)])
    export_duckdb(folder / "before.duckdb", lake=lake)
    add(lake, trades_archive(folder / "2", *SPOT, MONDAY, [(us, "200", qty, side) for us, _, qty, side in before]))
    assert len(list(lake.table_path("trades").rglob("*.parquet"))) == 2
    return lake, folder / "before.duckdb"


def test_superseded_files_are_never_read(tmp_path: Path) -> None:
    lake, before = corrected(tmp_path)
    export_duckdb(tmp_path / "after.duckdb", lake=lake)
    sums = "SELECT count(*), sum(price) FROM api.trade"
    assert ask(tmp_path / "after.duckdb", sums) == [(50, Decimal(10_000))]
    assert ask(before, sums) == [(50, Decimal(5_000))]  # the lake as it was then
    assert differences(lake, tmp_path / "after.duckdb", durations=(1_440,)) == {}


def test_an_old_export_whose_files_are_gone_says_so(tmp_path: Path) -> None:
    lake, before = corrected(tmp_path)
    with single_writer(lake.root):
        maintain(lake, 0)
    for text in ("SELECT count(*) FROM api.trade", "SELECT * FROM api.ohlcv(60)", "SELECT * FROM api.trade_last LIMIT 1"):
        with pytest.raises(duckdb.IOException, match=r"part-.*\.parquet"):
            ask(before, text)
    assert ask(before, "SELECT count(*) FROM api.coverage") == [(1,)]
    export_duckdb(before, lake=lake)
    assert ask(before, "SELECT sum(price) FROM api.trade") == [(Decimal(10_000),)]


def test_rows_in_reserve_and_off_book_prints(tmp_path: Path) -> None:
    """What another file tells better is not shown; a print off the book is shown with its flag and makes no candle."""
    prints = [(MONDAY + n * 1_000_000, f"{100 + n % 2}.0", "1", False) for n in range(200)]
    prints[100] = (prints[100][0], "150.0", "1", False)
    lake = lake_with(tmp_path, [trades_archive(tmp_path / "1", *SPOT, MONDAY, prints)])
    add(lake, *candles_archives(tmp_path, *SPOT, "1d", [Candle(MONDAY - DAY_US, "1", "1", "1", "1")]))
    export_duckdb(tmp_path / "lake.duckdb", lake=lake)
    assert ask(tmp_path / "lake.duckdb", "SELECT price FROM api.trade WHERE off_book") == [(Decimal(150),)]
    assert ask(tmp_path / "lake.duckdb", "SELECT max(high) FROM api.ohlcv(1440)") == [(Decimal(101),)]
    assert ask(tmp_path / "lake.duckdb", "SELECT count(*) FROM api.trade_last WHERE price = 150") == [(0,)]
    names = {name for (name,) in ask(tmp_path / "lake.duckdb", "SELECT view_name FROM duckdb_views() WHERE NOT internal")}
    assert not any(name.endswith("_reserve") for name in names)


def test_a_missing_file_is_told_before_the_export(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, {SPOT: [(MONDAY, "1", "1", False)]})
    (path,) = lake.partition_paths("trades", *SPOT, "2024-04-29")
    path.unlink()
    with pytest.raises(DamageError, match="missing"):
        export_duckdb(tmp_path / "lake.duckdb", lake=lake, tables=["trade"])
    assert not (tmp_path / "lake.duckdb").exists()


def test_a_lake_that_changes_meanwhile_is_looked_at_again(tmp_path: Path, mixed: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = iter(["a", "b", "b", "b"])
    monkeypatch.setattr(export, "fingerprint_of", lambda _: next(seen))
    export_duckdb(tmp_path / "lake.duckdb", lake=mixed, tables=["trade"])
    assert ask(tmp_path / "lake.duckdb", "SELECT fingerprint FROM pointline_export") == [("b",)]
    numbers = iter(range(100))
    monkeypatch.setattr(export, "fingerprint_of", lambda _: str(next(numbers)))
    with pytest.raises(BusyError, match="changes"):
        export_duckdb(tmp_path / "other.duckdb", lake=mixed, tables=["trade"])
    assert not (tmp_path / "other.duckdb").exists()


# --- what it says of itself -------------------------------------------------------------------------------------------------------


def test_the_table_pointline_export(tmp_path: Path, mixed: Lake) -> None:
    before = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    done = export_duckdb(tmp_path / "lake.duckdb", lake=mixed)
    (row,) = ask(done.path, "SELECT made_at, lake, pointline_version, table_versions FROM pointline_export")
    assert before <= row[0] <= dt.datetime.now(dt.UTC).replace(tzinfo=None)
    assert row[1:3] == (str(mixed.root), pointline.__version__)
    assert row[3] == {kind: mixed.newest_version(kind) for kind in mixed.kinds()}
    assert done.size == done.path.stat().st_size < 600_000
    comments = dict(ask(done.path, "SELECT view_name, comment FROM duckdb_views() WHERE schema_name = 'api'"))
    assert "off-book" in comments["trade_last"]


def test_chosen_views_come_with_what_they_are_made_from(tmp_path: Path, mixed: Lake) -> None:
    done = export_duckdb(tmp_path / "lake.duckdb", lake=mixed, tables=["ohlcv_1d", "trade_last"])
    assert {view.name for view in done.views} == {
        "trade",
        "trade_last",
        "candles_1m",
        "candles_5m",
        "candles_1h",
        "candles_1d",
        "ohlcv",
        "ohlcv_1d",
    }
    assert differences(mixed, done.path, ("trade_last",), (1_440,)) == {}
    with pytest.raises(duckdb.CatalogException):
        ask(done.path, "SELECT * FROM api.coverage")


@pytest.mark.parametrize("tables", [["trades"], ["trade", "ohlvc"], []])
def test_views_that_there_are_not(tmp_path: Path, mixed: Lake, tables: list[str]) -> None:
    with pytest.raises(ConfigError, match="no such view") as caught:
        export_duckdb(tmp_path / "lake.duckdb", lake=mixed, tables=tables)
    assert "trade_last" in str(caught.value)
    assert not (tmp_path / "lake.duckdb").exists()


def test_an_empty_lake_has_every_view_with_its_columns(tmp_path: Path, empty: Lake, market: Lake) -> None:
    export_duckdb(tmp_path / "empty.duckdb", lake=empty)
    export_duckdb(tmp_path / "market.duckdb", lake=market)
    for view in (
        "trade",
        "trade_last",
        "quote",
        "funding_rate",
        "derivative_ticker",
        "open_interest",
        "ohlcv(1440)",
        "ohlcv_1h",
        "coverage",
    ):
        text = f"SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM api.{view})"
        assert ask(tmp_path / "empty.duckdb", text) == ask(tmp_path / "market.duckdb", text)
        assert ask(tmp_path / "empty.duckdb", f"SELECT count(*) FROM api.{view}") == [(0,)]
    assert ask(tmp_path / "empty.duckdb", "SELECT count(*) FROM api.features") == [(0,)]


@pytest.mark.parametrize("minutes", ["0", "-1", "1.5", "5256001"])
def test_lengths_that_are_no_candles(tenths: Path, minutes: str) -> None:
    with pytest.raises(duckdb.Error, match="whole number of minutes"):
        ask(tenths, f"SELECT * FROM api.ohlcv({minutes})")


# --- where it may be written ------------------------------------------------------------------------------------------------------


def test_an_earlier_export_is_replaced(tmp_path: Path, mixed: Lake, empty: Lake) -> None:
    path = tmp_path / "lake.duckdb"
    export_duckdb(path, lake=empty)
    export_duckdb(path, lake=mixed)
    assert ask(path, "SELECT lake FROM pointline_export") == [(str(mixed.root),)]
    assert [entry.name for entry in tmp_path.iterdir()] == ["lake.duckdb"]


def write_text(path: Path) -> None:
    path.write_text("day,price\n2024-05-01,1\n")


def write_nothing(path: Path) -> None:
    path.touch()


def write_database(path: Path) -> None:
    with contextlib.closing(duckdb.connect(str(path))) as connection:
        connection.execute("CREATE TABLE mine AS SELECT 1 AS a")


def write_into_an_export(path: Path) -> None:
    export_duckdb(path, lake=open_lake(path.parent / "inner", create=True))
    with contextlib.closing(duckdb.connect(str(path))) as connection:
        connection.execute("CREATE VIEW api.mine AS SELECT 1 AS a")


@pytest.mark.parametrize("write", [write_text, write_nothing, write_database, write_into_an_export])
def test_another_file_stays_unless_its_replacement_is_asked_for(tmp_path: Path, mixed: Lake, write: Any) -> None:  # noqa: ANN401 -- one of the four
    path = tmp_path / "lake.duckdb"
    write(path)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="not an export, or holds other things too") as caught:
        export_duckdb(path, lake=mixed)
    assert "--replace" in str(caught.value)
    assert path.read_bytes() == before
    export_duckdb(path, lake=mixed, replace=True)
    assert ask(path, "SELECT lake FROM pointline_export") == [(str(mixed.root),)]


def test_a_file_that_is_open_is_not_replaced(tmp_path: Path, empty: Lake) -> None:
    path = tmp_path / "lake.duckdb"
    export_duckdb(path, lake=empty)
    before = path.read_bytes()
    with contextlib.closing(duckdb.connect(str(path))), pytest.raises(BusyError, match="open"):  # in this process, to be written
        export_duckdb(path, lake=empty, replace=True)
    holding = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", holding, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(BusyError, match="open"):
            export_duckdb(path, lake=empty, replace=True)
        other.communicate("")
    Path(f"{path}.wal").write_bytes(b"changes that were not written back")
    with pytest.raises(BusyError, match="beside it"):
        export_duckdb(path, lake=empty, replace=True)
    assert path.read_bytes() == before


def test_readers_keep_what_they_have_open(tmp_path: Path, mixed: Lake, empty: Lake) -> None:
    path = tmp_path / "lake.duckdb"
    export_duckdb(path, lake=mixed)
    asking = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only=True); print('open', flush=True); sys.stdin.readline();"
        "print(c.execute('SELECT count(*) FROM api.trade').fetchone()[0], flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", asking, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "open\n"
        export_duckdb(path, lake=empty)
        told, _ = reader.communicate("go\n")
    assert int(told) == ask_rows(mixed)
    assert ask(path, "SELECT count(*) FROM api.trade") == [(0,)]


def ask_rows(lake: Lake) -> int:
    return int(lake.listing("trades")["num_records"].sum())


@pytest.mark.parametrize("place", ["missing/lake.duckdb", ".", "file/lake.duckdb"])
def test_places_that_cannot_be_written(tmp_path: Path, empty: Lake, place: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written there"):
        export_duckdb(tmp_path / place, lake=empty)


def test_a_folder_without_rights(tmp_path: Path, empty: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, _: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(export, "write_atomically", refuse)
    with pytest.raises(PermissionError):
        export_duckdb(tmp_path / "lake.duckdb", lake=empty)
    done = CliRunner().invoke(app, ["export", "--duckdb", str(tmp_path / "lake.duckdb"), "--lake", str(empty.root)])
    assert isinstance(done.exception, PermissionError)  # `pointline.cli.main` says it in words


@pytest.mark.parametrize("name", ["api.duckdb", "internal.db", "API.duckdb"])
def test_names_that_duckdb_could_not_tell_from_a_schema(tmp_path: Path, empty: Lake, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot have this name"):
        export_duckdb(tmp_path / name, lake=empty)


def test_a_failure_leaves_the_earlier_file(tmp_path: Path, mixed: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lake.duckdb"
    export_duckdb(path, lake=mixed)
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise duckdb.OutOfMemoryException("no memory")

    def no_space(*_: object) -> None:
        raise duckdb.IOException("No space left on device")

    monkeypatch.setattr(export, "_add_mark", fail)
    with pytest.raises(duckdb.OutOfMemoryException):
        export_duckdb(path, lake=mixed)
    monkeypatch.setattr(export, "_add_mark", no_space)
    with pytest.raises(LakeError, match="cannot build") as caught:
        export_duckdb(path, lake=mixed)
    assert "TMPDIR" in str(caught.value)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["lake.duckdb"]


def test_without_duckdb_it_is_said_what_to_install(tmp_path: Path, empty: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(MissingExtraError, match="DuckDB") as caught:
        export_duckdb(tmp_path / "lake.duckdb", lake=empty)
    assert "pointline[duckdb]" in str(caught.value)


# --- odd places and names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "beside"),
    [("lake*", "lake2"), ("l?ke", "lake"), ("[1]", "1"), ("it's", "its"), ("a{b},c;d", "a"), ("naïve-币安", "x"), ("date=2020-01-01", "y")],
)
def test_a_lake_at_any_place(tmp_path: Path, name: str, beside: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own rows, from any working folder, whatever lies beside it that a pattern would match."""
    for folder, price in ((name, "1"), (beside, "2")):
        (tmp_path / folder).mkdir()
        lake_of(tmp_path / folder, {SPOT: [(MONDAY, price, "1", False)]})
    monkeypatch.chdir(tmp_path)
    export_duckdb("lake.duckdb", lake=Path(name) / "lake")
    monkeypatch.chdir(tmp_path / beside)
    assert ask(tmp_path / "lake.duckdb", "SELECT date, price FROM api.trade") == [(dt.date(2024, 4, 29), Decimal(1))]


def test_another_name_for_the_attached_file(tmp_path: Path, mixed: Lake) -> None:
    path = tmp_path / "lake.duckdb"
    export_duckdb(path, lake=mixed)
    expected = ask(path, "SELECT count(*) FROM api.ohlcv_1d")
    with contextlib.closing(duckdb.connect()) as connection:
        connection.execute(f"ATTACH '{path}' AS other (READ_ONLY)")
        assert connection.execute("SELECT count(*) FROM other.api.ohlcv_1d").fetchall() == expected
        assert connection.execute("SELECT count(*) FROM other.api.trade").fetchall() == [(ask_rows(mixed),)]
        connection.execute("USE other")
        assert connection.execute("SELECT count(*) FROM api.ohlcv(1440)").fetchall() == expected


SYMBOLS = ("it's", 'say "x"', "a/b\\c", "币安-é", "semi;colon--", "$name", "x" * 300, "null\0byte", "line\nbreak")


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    folder = tmp_path_factory.mktemp("odd")
    lake = open_lake(folder / "lake", create=True)
    for place, symbol in enumerate(SYMBOLS):
        stated = f'asset_type = "spot"\nbase_asset = {json.dumps("B" + symbol)}\nquote_asset = "USDT"\n'
        columns = '[columns]\nts_event_us = { column = "time", unit = "us" }\ntrade_id = "id"\nprice = "price"\nqty = "qty"\n'
        mapping = f'kind = "trades"\nexchange = "kraken"\nsymbol = {json.dumps(symbol)}\n[instrument]\n{stated}{columns}'
        rows = pl.DataFrame({"time": [MONDAY, MONDAY + 1], "id": [1, 2], "price": [1.5, float(place + 1)], "qty": [1.0, 2.0]})
        mapped(lake, folder, f"t{place}", mapping, rows)
    return lake


def test_symbols_of_any_text(tmp_path: Path, odd: Lake) -> None:
    export_duckdb(tmp_path / "lake.duckdb", lake=odd)
    assert set(ask(tmp_path / "lake.duckdb", "SELECT native_symbol, max(price) FILTER (WHERE sequence > 1) FROM api.trade GROUP BY 1")) == {
        (symbol, Decimal(place + 1)) for place, symbol in enumerate(SYMBOLS)
    }
    assert differences(odd, tmp_path / "lake.duckdb", durations=(60,)) == {}


# --- the command ------------------------------------------------------------------------------------------------------------------


def invoke(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["export", *arguments])
    if done.exception is not None:
        raise done.exception
    return done.stdout


def test_the_command(tmp_path: Path, mixed: Lake) -> None:
    path = tmp_path / "lake.duckdb"
    told = json.loads(invoke("--duckdb", str(path), "--lake", str(mixed.root), "--json"))
    assert (told["path"], told["lake"], told["bytes"]) == (str(path), str(mixed.root), path.stat().st_size)
    assert told["views"]["trade"]["rows"] == ask_rows(mixed)
    assert told["views"]["trade"]["files"] == mixed.listing("trades").height
    shown = invoke("--duckdb", str(path), "--lake", str(mixed.root), "--tables", "trade, market_spot")
    assert [line.split()[0] for line in shown.splitlines() if line.startswith("api.")] == ["api.trade", "api.market_spot"]
    assert "wrote" in shown


def test_the_command_wants_to_know_the_file(mixed: Lake) -> None:
    with pytest.raises(PointlineError, match="what to export to"):
        invoke("--lake", str(mixed.root))


def test_a_plain_import_does_not_load_duckdb() -> None:
    text = "import pointline, sys; pointline.export_duckdb; print('duckdb' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, env=dict(os.environ))
    assert done.stdout.strip() == "False"


def test_the_files_of_every_view_exist(market: Lake, tmp_path: Path) -> None:
    done = export_duckdb(tmp_path / "lake.duckdb", lake=market)
    named = [Path(file) for view in done.views for file in view.files]
    check_files(str(path) for path in named)
    live = {market.table_path(kind) / path for kind in market.kinds() for path in market.listing(kind)["path"]}
    assert set(named) == live
    assert to_us("2024-04-29") == MONDAY


def test_a_lake_in_a_bucket_is_refused_and_its_copy_is_exported(copied: Path, store: buckets.Server, tmp_path: Path) -> None:
    """The error says the two commands that do it."""
    assert store.url
    with pytest.raises(ConfigError, match="works on a local lake") as raised:
        export_duckdb(tmp_path / "desk.duckdb", lake=buckets.DEMO)
    assert not list(tmp_path.glob("*.duckdb"))
    said = (raised.value.hint or "").removeprefix("copy it: ").replace("FOLDER", str(tmp_path / "copy"))
    commands = said.replace("desk.duckdb", str(tmp_path / "desk.duckdb"))
    for command in commands.split("; then "):
        program, *words = command.split()
        assert program == "pointline"
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
    export_duckdb(tmp_path / "local.duckdb", lake=copied)
    text = "SELECT count(*), sum(price * quantity) FROM api.trade"
    assert ask(tmp_path / "desk.duckdb", text) == ask(tmp_path / "local.duckdb", text)
