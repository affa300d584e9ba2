"""The engine: one per process, several queries at once, copies for other processes, errors that help, and values with their types."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import os
import signal
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from tests.archives import lake_from, trades_archive
from tests.machine import until
from tests.sql.markets import add, candles_archives, lake_with, walk

from pointline import sql
from pointline.clock import DAY_US, MINUTE_US, to_us
from pointline.errors import ConfigError, DamageError, LakeError, MissingExtraError, PointlineError, QueryError, QueryNote
from pointline.lake.store import open_lake
from pointline.sql import process
from pointline.sql.catalogue import Catalogue, build_catalogue, copy_catalogue, fingerprint_of, open_catalogue
from pointline.sql.engine import Engine, query_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pointline.lake.store import Lake
    from pointline.sql.engine import Result

MONDAY = to_us("2024-04-29")
CANDLES = "SELECT count() AS n, sum(volume) AS volume FROM api.ohlcv(candle_duration_in_minutes = {n:UInt32})"


@pytest.fixture
def alone() -> Iterator[None]:
    """No engine is open in this process, before and after."""
    process._SHARED_ENGINE.close()
    yield
    process._SHARED_ENGINE.close()


@pytest.fixture(scope="module")
def minutes(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    folder = tmp_path_factory.mktemp("minutes")
    paths = candles_archives(folder, "binance-spot", "BTCUSDT", "1m", walk(MONDAY, 3_000, MINUTE_US))
    return lake_with(folder, paths)


# --- one engine, many queries -----------------------------------------------------------------------------------------------------


def test_queries_from_several_threads_run_side_by_side(minutes: Lake) -> None:
    def ask(n: int) -> tuple[int, Decimal]:
        row = sql.query(CANDLES, lake=minutes, n=n).row(0)
        return int(row[0]), row[1]

    durations = [1, 7, 60, 1_440] * 6
    alone_first = {n: ask(n) for n in set(durations)}
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(ask, durations)) == [alone_first[n] for n in durations]


def test_threads_on_two_lakes_take_turns(minutes: Lake, december: Lake) -> None:
    def ask(lake: Lake) -> int:
        return int(sql.query(CANDLES, lake=lake, n=1_440)["n"][0])

    lakes = [minutes, december] * 4
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, lakes)) == [3, 124] * 4


def test_an_error_leaves_nothing_in_the_next_result(minutes: Lake) -> None:
    for _ in range(3):
        with pytest.raises(QueryError, match="FUNCTION_THROW_IF"):
            sql.query("SELECT throwIf(number = 2) FROM numbers(5)", lake=minutes)
        assert process.run("SELECT 7", lake=minutes, output_format="TSV").data == b"7\n"


@pytest.mark.usefixtures("alone")
def test_only_one_engine_is_open_in_a_process(minutes: Lake, tmp_path: Path) -> None:
    catalogue = build_catalogue(minutes, tmp_path / "catalogue")
    with Engine(catalogue) as engine:
        assert engine.run("SELECT 1", output_format="TSV").data == b"1\n"
        with pytest.raises(ConfigError, match="a catalogue is open in this process"):
            Engine(catalogue)
        with pytest.raises(ConfigError, match="a catalogue is open in this process"):
            build_catalogue(minutes, tmp_path / "other")
    with pytest.raises(ConfigError, match="closed"):
        engine.run("SELECT 1")
    with Engine(catalogue) as again:
        assert again.run("SELECT 2", output_format="TSV").data == b"2\n"


@pytest.mark.usefixtures("alone")
def test_what_a_result_says_of_itself(minutes: Lake, tmp_path: Path) -> None:
    with Engine(build_catalogue(minutes, tmp_path / "catalogue")) as engine:
        text = "SELECT start FROM api.ohlcv(candle_duration_in_minutes = 1440)"
        result = engine.run(text, output_format="TSV")
        assert result.data == b"2024-04-29 00:00:00\n2024-04-30 00:00:00\n2024-05-01 00:00:00\n"
        assert (result.rows, result.rows_read) == (3, 3_000)
        assert result.bytes_read > 0
        assert result.elapsed_s > 0


@pytest.mark.usefixtures("alone")
def test_settings_go_for_one_statement(minutes: Lake, tmp_path: Path) -> None:
    with Engine(build_catalogue(minutes, tmp_path / "catalogue")) as engine:
        text = "SELECT toUInt64(1) AS x"
        quoted = {"output_format_json_quote_64bit_integers": True}
        assert engine.run(text, output_format="JSONEachRow", settings=quoted).data == b'{"x":"1"}\n'
        assert engine.run(text, output_format="JSONEachRow").data == b'{"x":1}\n'


ENDLESS = "SELECT sum(sipHash64(number)) FROM numbers(1000000000000)"


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A process that was started in the background of a shell ignores interrupts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def running(engine: Engine) -> int:
    counted = engine.run("SELECT count() FROM system.processes WHERE query LIKE 'SELECT sum(sip%'", output_format="TSV", guarded=False)
    return int(counted.data)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_stops_the_query_and_nothing_else(minutes: Lake) -> None:
    sql.query("SELECT 1", lake=minutes)
    engine = process._SHARED_ENGINE._engine
    assert engine is not None

    def interrupt() -> None:
        until(lambda: running(engine))
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    beside = threading.Thread(target=interrupt)
    beside.start()
    with pytest.raises(KeyboardInterrupt):
        sql.query(ENDLESS, lake=minutes)
    beside.join()
    assert running(engine) == 0
    assert sql.query("SELECT 2 AS x", lake=minutes).item() == 2


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_stops_a_query_that_has_not_begun(minutes: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    sql.query("SELECT 1", lake=minutes)
    engine = process._SHARED_ENGINE._engine
    assert engine is not None
    run_as_it_is, interrupted = engine._run_as_it_is, threading.Event()

    def late(text: str, *given: Any, **named: Any) -> Result:  # noqa: ANN401 -- what `_run_as_it_is` takes
        if text == ENDLESS:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            interrupted.wait()
        try:
            return run_as_it_is(text, *given, **named)
        finally:
            interrupted.set()

    monkeypatch.setattr(engine, "_run_as_it_is", late)
    with pytest.raises(KeyboardInterrupt):
        engine.run(ENDLESS, output_format="TSV")
    assert running(engine) == 0


# --- other processes --------------------------------------------------------------------------------------------------------------


def ask_in_a_process(folder: str, n: int) -> str:
    from pathlib import Path

    with Engine(open_catalogue(Path(folder))) as engine:
        return engine.run(CANDLES, parameters={"n": n}, output_format="TSV").data.decode()


@pytest.mark.usefixtures("alone")
def test_spawned_processes_work_on_copies(minutes: Lake, tmp_path: Path) -> None:
    catalogue = build_catalogue(minutes, tmp_path / "catalogue")
    copies = [copy_catalogue(catalogue, tmp_path / f"copy-{n}") for n in range(2)]
    assert all(sum(f.stat().st_size for f in copy.folder.rglob("*") if f.is_file()) < 100_000 for copy in copies)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        found = pool.starmap(ask_in_a_process, [(str(copy.folder), 60) for copy in copies])
    volume = sql.query(CANDLES, lake=minutes, n=60)["volume"][0]
    assert found == [f"50\t{volume.normalize():f}\n"] * 2


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # forking with threads around is what the test is about
def test_a_forked_process_is_told_to_spawn(minutes: Lake) -> None:
    assert sql.query("SELECT 1", lake=minutes).item() == 1
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            sql.query("SELECT 1", lake=minutes)
        except PointlineError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as stream:
        assert "spawn" in stream.read()


@pytest.mark.usefixtures("alone")
def test_limits_of_a_statement_hold(minutes: Lake, tmp_path: Path) -> None:
    catalogue = build_catalogue(minutes, tmp_path / "catalogue")
    with Engine(copy_catalogue(catalogue, tmp_path / "copy")) as engine:
        for limit, name in (("max_result_rows", "TOO_MANY_ROWS_OR_BYTES"), ("max_rows_to_read", "TOO_MANY_ROWS")):
            assert engine.run("SELECT number FROM numbers(50)", output_format="TSV", settings={limit: 50}).rows == 50
            with pytest.raises(QueryError) as caught:
                engine.run("SELECT number FROM numbers(200)", settings={limit: 50})
            assert caught.value.name == name


# --- the catalogue ----------------------------------------------------------------------------------------------------------------


def test_the_fingerprint_follows_the_lake(tmp_path: Path) -> None:
    lake = open_lake(tmp_path / "lake", create=True)
    seen = [fingerprint_of(lake)]
    for n, interval in enumerate(("1d", "1d", "1h")):
        add(lake, *candles_archives(tmp_path / str(n), "binance-spot", "BTCUSDT", interval, walk(MONDAY + n * DAY_US, 1, DAY_US)))
        seen.append(fingerprint_of(lake))
    assert len(set(seen)) == 4
    assert fingerprint_of(open_lake(lake.root)) == seen[-1]


@pytest.mark.usefixtures("alone")
def test_links_of_what_did_not_change_are_used_again(tmp_path: Path) -> None:
    candles = candles_archives(tmp_path / "1", "binance-spot", "BTCUSDT", "1m", walk(MONDAY, 10, MINUTE_US))
    lake = lake_with(tmp_path, [*candles, *candles_archives(tmp_path / "2", "binance-spot", "BTCUSDT", "1d", walk(MONDAY, 1, DAY_US))])
    first = build_catalogue(lake, tmp_path / "a", links=tmp_path / "links")
    before = {path.name for path in first.links.iterdir()}
    add(lake, *candles_archives(tmp_path / "3", "binance-spot", "BTCUSDT", "1d", walk(MONDAY + DAY_US, 1, DAY_US)))
    build_catalogue(lake, tmp_path / "b", links=first.links)
    after = {path.name for path in first.links.iterdir()}
    assert {name.partition("-")[0] for name in after - before} == {"candles_1d"}
    assert before <= after


@pytest.mark.usefixtures("alone")
def test_the_links_lead_to_live_files_by_their_names_in_sql(minutes: Lake, tmp_path: Path) -> None:
    catalogue = build_catalogue(minutes, tmp_path / "catalogue")
    links = sorted(path for path in catalogue.links.rglob("*.parquet"))
    assert [path.relative_to(catalogue.links).parts[1:] for path in links] == [
        ("exchange=binance", "market=BTC-USDT", "2024-04-01.parquet"),
        ("exchange=binance", "market=BTC-USDT", "2024-05-01.parquet"),
    ]
    assert [path.resolve() for path in links] == [file.path for file in minutes.files("candles_1m", "binance-spot", "BTCUSDT")]


@pytest.mark.parametrize("name", ["star*", "brace{a}", "quote'"])
def test_a_folder_that_cannot_be_written_in_sql_is_refused(minutes: Lake, tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be made in a folder of this name"):
        build_catalogue(minutes, tmp_path / name)


def test_a_lake_may_have_any_name(tmp_path: Path) -> None:
    odd = tmp_path / "it's {a} *lake*"
    lake = lake_with(odd, candles_archives(tmp_path, "binance-spot", "BTCUSDT", "1m", walk(MONDAY, 3, MINUTE_US)))
    assert sql.query(CANDLES, lake=lake, n=1)["n"].item() == 3


@pytest.mark.usefixtures("alone")
def test_nothing_with_the_rights_to_change_is_left(minutes: Lake, tmp_path: Path) -> None:
    catalogue = build_catalogue(minutes, tmp_path / "catalogue")
    configurations = {path.name: path.read_text() for path in catalogue.folder.glob("*.xml")}
    assert sorted(configurations) == ["serve-users.xml", "serve.xml"]
    assert "access_management" not in "".join(configurations.values())


def test_a_catalogue_needs_an_empty_folder(minutes: Lake, tmp_path: Path) -> None:
    (tmp_path / "here").write_text("")
    with pytest.raises(ConfigError, match="empty folder"):
        build_catalogue(minutes, tmp_path)
    with pytest.raises(LakeError, match="no SQL catalogue"):
        open_catalogue(tmp_path)


@pytest.mark.usefixtures("alone")
def test_an_opened_catalogue_is_the_one_that_was_built(minutes: Lake, tmp_path: Path) -> None:
    built = build_catalogue(minutes, tmp_path / "catalogue")
    assert open_catalogue(tmp_path / "catalogue") == built
    assert isinstance(built, Catalogue)
    assert built.fingerprint == fingerprint_of(minutes)


# --- what may be asked ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM lake.candles_1m",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "INSERT INTO api.trade SELECT * FROM api.trade",
        "CREATE TABLE api.mine (x UInt8) ENGINE = Memory",
        "DROP VIEW api.trade",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT * FROM url('http://127.0.0.1:1/', 'TSV', 'x String')",
    ],
)
def test_only_reading_the_views_is_allowed(minutes: Lake, text: str) -> None:
    with pytest.raises(QueryError) as caught:
        sql.query(text, lake=minutes)
    assert caught.value.name in {"ACCESS_DENIED", "READONLY"}


@pytest.mark.parametrize(
    ("text", "name", "code", "hint"),
    [
        ("SELEC 1", "SYNTAX_ERROR", 62, None),
        ("", "SYNTAX_ERROR", 62, None),
        ("SELECT 1; SELECT 2", "SYNTAX_ERROR", 62, None),
        ("SELECT nothing FROM api.coverage", "UNKNOWN_IDENTIFIER", 47, None),
        ("SELECT * FROM api.candles", "UNKNOWN_TABLE", 60, "SHOW TABLES FROM api"),
        ("SELECT * FROM api.ohlcv", "EMPTY_LIST_OF_COLUMNS_QUERIED", 51, "candle_duration_in_minutes = 1440"),
        ("SELECT {x:UInt8}", "UNKNOWN_QUERY_PARAMETER", 456, "--param"),
        ("SELECT * FROM lake.trades", "ACCESS_DENIED", 497, "SHOW TABLES FROM api"),
    ],
)
def test_errors_have_a_code_a_name_and_a_hint(minutes: Lake, text: str, name: str, code: int, hint: str | None) -> None:
    with pytest.raises(QueryError) as caught:
        sql.query(text, lake=minutes)
    assert (caught.value.name, caught.value.code) == (name, code)
    assert str(caught.value).splitlines()[0].endswith(f"({name})")
    assert (caught.value.hint is None) == (hint is None)
    assert hint is None or hint in str(caught.value.hint)


def test_a_semicolon_at_the_end_or_in_a_text_is_fine(minutes: Lake) -> None:
    assert sql.query("SELECT 'a;b' AS x;", lake=minutes).item() == "a;b"
    assert sql.query("SELECT 1 AS x -- one; and a comment\n;\n", lake=minutes).item() == 1


def test_a_message_is_told_once_and_without_the_inside_of_views() -> None:
    message = (
        "Code: 6. DB::Exception: Code: 6. DB::Exception: Cannot do it: In scope SELECT a FROM lake.x WHERE 1. Maybe you meant: ['b']. "
        "(CANNOT) (version 26.9.2.1). (CANNOT) (version 26.9.2.1). (CANNOT)"
    )
    error = query_error(message)
    assert (str(error), error.code, error.name) == ("Cannot do it. Maybe you meant: ['b']. (CANNOT)", 6, "CANNOT")
    assert str(query_error("something else")) == "something else"


def test_an_error_survives_the_way_between_processes() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(QueryError("what", code=62, name="SYNTAX_ERROR", hint="h")))  # noqa: S301 - our own bytes
    assert (error.what, error.code, error.name, error.hint) == ("what", 62, "SYNTAX_ERROR", "h")


# --- values ------------------------------------------------------------------------------------------------------------------------

UTC_NOON = dt.datetime(2024, 4, 29, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("UInt8", 7, 7),
        ("Bool", True, True),
        ("Float64", 1.5, 1.5),
        ("String", "it's\ta \\ 'quote'\n", "it's\ta \\ 'quote'\n"),
        ("Nullable(String)", None, None),
        ("Decimal(38, 12)", Decimal("1.000000000001"), Decimal("1.000000000001")),
        ("Date", dt.date(2024, 4, 29), dt.date(2024, 4, 29)),
        ("DateTime64(6, 'UTC')", UTC_NOON.replace(microsecond=5), UTC_NOON.replace(microsecond=5)),
        ("DateTime('UTC')", UTC_NOON.astimezone(dt.timezone(dt.timedelta(hours=-5))), UTC_NOON),
        ("Array(String)", ["a'b", "c"], ["a'b", "c"]),
        ("Array(Nullable(UInt8))", [1, None], [1, None]),
        ("Array(Date)", [dt.date(2024, 4, 29)], [dt.date(2024, 4, 29)]),
    ],
)
def test_parameters_arrive_as_they_are(minutes: Lake, kind: str, value: Any, expected: Any) -> None:  # noqa: ANN401
    (found,) = sql.query(f"SELECT {{x:{kind}}} AS x", lake=minutes, x=value)["x"].to_list()
    assert found == expected


@pytest.mark.parametrize(
    ("expression", "dtype", "expected"),
    [
        ("toDateTime('2024-04-29 12:00:00')", pl.Datetime("us", "UTC"), UTC_NOON),
        ("toDateTime('2024-04-29 08:00:00', 'America/New_York')", pl.Datetime("us", "America/New_York"), UTC_NOON),
        ("CAST(NULL AS Nullable(DateTime))", pl.Datetime("us", "UTC"), None),
        ("[toDateTime('2024-04-29 12:00:00')]", pl.List(pl.Datetime("us", "UTC")), [UTC_NOON]),
        ("toDateTime64('2024-04-29 12:00:00', 3)", pl.Datetime("ms", "UTC"), UTC_NOON),
        ("CAST('b' AS Enum8('a' = 1, 'b' = 2))", pl.String(), "b"),
        ("toUInt32(5)", pl.UInt32(), 5),
        ("toInt128('-170141183460469231731687303715884105728')", pl.Int128(), -(2**127)),
        ("toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0')", pl.String(), str(uuid.UUID("61f0c404-5cb3-11e7-907b-a6006ad3dba0"))),
        ("toDecimal256('1.25', 4)", pl.Decimal(38, 4), Decimal("1.25")),
        ("toDecimal256('1.25', 30)", pl.Decimal(38, 30), Decimal("1.25")),
        ("[toDecimal256('1.25', 40)]", pl.List(pl.Decimal(38, 2)), [Decimal("1.25")]),
        ("toLowCardinality('x')", pl.String(), "x"),
        ("toUInt64(18446744073709551615)", pl.UInt64(), 2**64 - 1),
        ("toBool(1)", pl.Boolean(), True),
    ],
)
def test_results_have_their_types(minutes: Lake, expression: str, dtype: pl.DataType, expected: object) -> None:
    frame = sql.query(f"SELECT {expression} AS x", lake=minutes)
    assert frame.schema == {"x": dtype}
    assert frame["x"].to_list() == [expected]


@pytest.mark.parametrize("text", ["SELECT 1 FORMAT CSV", "SELECT 1 FORMAT Vertical"])
def test_what_is_no_frame_is_said_to_be_none(minutes: Lake, text: str) -> None:
    with pytest.raises(QueryError, match="cannot become a frame"):
        sql.query(text, lake=minutes)


def test_a_column_that_38_digits_do_not_hold_is_a_float_and_says_so(minutes: Lake) -> None:
    text = "SELECT toDecimal256('12345678901234567890.12345678901234567891', 20) AS x, toDecimal256('0.5', 20) AS y"
    note = r"^column x: Decimal\(76, 20\) left as float64, because 1 value needs more than 38 digits$"
    with pytest.warns(QueryNote, match=note) as caught:
        frame = sql.query(text, lake=minutes)
    assert caught[0].filename == __file__
    assert frame.rows() == [(12345678901234567890.12345678901234567891, Decimal("0.5"))]


def test_statements_without_a_table_behind_them(minutes: Lake) -> None:
    assert sql.query("DESCRIBE TABLE api.trade", lake=minutes)["name"][0] == "exchange"
    assert sql.query("EXPLAIN SELECT 1", lake=minutes).height > 0
    assert sql.query("SELECT 1 AS x WHERE 0", lake=minutes).shape == (0, 1)


def test_without_chdb_the_extra_is_named(minutes: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    process.close()
    monkeypatch.setitem(sys.modules, "chdb.session", None)
    with pytest.raises(MissingExtraError) as caught:
        sql.query("SELECT 1", lake=minutes)
    assert caught.value.hint == "pip install 'pointline[sql]'"


def test_there_must_be_a_lake(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="no lake here"):
        sql.query("SELECT 1", lake=tmp_path / "nowhere")


# Data files and links that are gone


def test_a_link_that_is_gone_is_made_again_and_a_file_that_is_gone_is_an_error(tmp_path: Path) -> None:
    at = to_us("2024-05-01")
    paths = [
        trades_archive(tmp_path, "binance-futures", "BTCUSDT", at + n * DAY_US, [(at + n * DAY_US + k, "1", "1", False) for k in range(3)])
        for n in range(2)
    ]
    lake = lake_from(tmp_path, paths)
    counted = "SELECT count() AS n FROM api.trade WHERE timestamp > '2024-01-01'"
    assert sql.query(counted, lake=lake).item() == 6
    links = sorted((lake.root / ".cache" / "sql").rglob("2024-05-02.parquet"))
    assert links
    for link in links:
        link.unlink()
    assert sql.query(counted, lake=lake).item() == 6
    (path,) = lake.partition_paths("trades", "binance-futures", "BTCUSDT", "2024-05-02")
    path.unlink()
    with pytest.raises(DamageError, match="missing"):
        sql.query(counted, lake=lake)


def test_settings_beside_the_statement_count_when_decimals_are_checked(minutes: Lake) -> None:
    """With it `p` is the column in the product, not the float that has its name."""
    text = "SELECT 1.5 AS p, p * p * p AS cube FROM (SELECT toDecimal256('900000', 20) AS p)"
    found = process.run(text, lake=minutes, output_format="TSV", settings={"prefer_column_name_to_alias": 1})
    assert float(found.data.split()[1]) == 900_000.0**3
    assert len(found.notes) == 1
