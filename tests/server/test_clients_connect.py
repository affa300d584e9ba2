"""clickhouse-connect beside the library: the same rows with the same types, also from its asynchronous client and its streams."""

from __future__ import annotations

import asyncio
import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import clickhouse_connect
import polars as pl
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError
from polars.testing import assert_frame_equal

from pointline import sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clickhouse_connect.driver.client import Client
    from tests.server.running import RunningServer

    from pointline.lake.store import Lake

DAY = "timestamp >= '2024-05-01' AND timestamp < '2024-05-02'"
QUERIES: dict[str, tuple[str, dict[str, Any]]] = {
    "candles": ("SELECT * FROM api.ohlcv(candle_duration_in_minutes = {m:UInt32}) ORDER BY exchange, market, start", {"m": 60}),
    "trades": (f"SELECT timestamp, market, price, quantity, side, sequence FROM api.trade WHERE {DAY} ORDER BY ALL LIMIT 3000", {}),
    "funding": ("SELECT * FROM api.funding_rate ORDER BY ALL", {}),
    "futures": ("SELECT * FROM api.market_future ORDER BY ALL", {}),
    "spot": ("SELECT * FROM api.market_spot ORDER BY ALL", {}),
    "coverage": ("SELECT * FROM api.coverage ORDER BY ALL", {}),
    "empty": ("SELECT * FROM api.market_future WHERE market = {m:String}", {"m": "none"}),
    "types": (
        """SELECT toInt8(-1) AS i8, 18446744073709551615 AS u64, toDecimal128('1.000000000001', 12) AS d, toDate('2024-12-01') AS day,
        toDateTime64('2024-12-01 01:02:03.456789', 6, 'UTC') AS t, [1.5, 2.5] AS f, CAST(NULL AS Nullable(String)) AS none, true AS yes""",
        {},
    ),
}


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    found = clickhouse_connect.get_client(host=server.host, port=server.port, compress=True)
    yield found
    found.close()


def plain(value: Any) -> Any:  # noqa: ANN401 - of any column
    """A value without the differences between libraries that mean nothing: a time's missing zone is UTC, a list is a tuple."""
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC) if value.tzinfo else value.replace(tzinfo=dt.UTC)
    return tuple(map(plain, value)) if isinstance(value, list | tuple) else value


def rows_of(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    return [tuple(map(plain, row)) for row in frame.rows()]


@pytest.mark.parametrize("name", QUERIES)
def test_rows_are_those_of_the_library(client: Client, simulated: Lake, name: str) -> None:
    text, parameters = QUERIES[name]
    frame = sql.query(text, lake=simulated, **parameters)
    result = client.query(text, parameters=parameters)
    assert result.column_names == (tuple(frame.columns) if frame.height else ())  # a result without rows has no block that names them
    assert [tuple(map(plain, row)) for row in result.result_rows] == rows_of(frame)
    assert (frame.height > 0) == (name != "empty")


@pytest.mark.parametrize("name", QUERIES)
def test_arrow_is_that_of_the_library(client: Client, simulated: Lake, name: str) -> None:
    text, parameters = QUERIES[name]
    frame = sql.query(text, lake=simulated, **parameters)
    found = pl.DataFrame(pl.from_arrow(client.query_arrow(text, parameters=parameters)))
    assert found.columns == frame.columns
    seconds = [column for column, kind in found.schema.items() if kind == pl.UInt32 and frame.schema[column].is_temporal()]
    found = found.with_columns(pl.from_epoch(column).dt.replace_time_zone("UTC") for column in seconds)  # how ClickHouse writes DateTime
    assert rows_of(found) == rows_of(frame)


def test_streams_give_the_same_rows(client: Client, simulated: Lake) -> None:
    text, parameters = QUERIES["trades"]
    frame = sql.query(text, lake=simulated, **parameters)
    with client.query_rows_stream(text, parameters=parameters) as stream:
        assert [tuple(map(plain, row)) for row in stream] == rows_of(frame)
    with client.query_column_block_stream(text, parameters=parameters) as blocks:
        assert sum(len(block[0]) for block in blocks) == frame.height
    with client.query_arrow_stream(text, parameters=parameters) as batches:
        assert_frame_equal(
            pl.concat(pl.DataFrame(pl.from_arrow(batch)) for batch in batches).select("sequence"),
            frame.select("sequence"),
            check_dtypes=False,
        )
    with client.raw_stream(text, parameters=parameters, fmt="CSV") as raw:
        assert raw.read().count(b"\n") == frame.height


PARAMETERS = {
    "Date": dt.date(2024, 12, 1),
    "DateTime('UTC')": dt.datetime(2024, 12, 1, 1, 2, 3),  # noqa: DTZ001 - the client takes naive UTC
    "Array(Date)": [dt.date(2024, 12, 1), dt.date(2024, 12, 31)],
    "Array(DateTime64(3))": [dt.datetime(2024, 12, 1, 1, 2, 3, 456000)],  # noqa: DTZ001
    "Decimal(38, 12)": Decimal("12345678901234567890.123456789012"),
    "Array(Decimal(20, 4))": [Decimal("-1.0001"), Decimal("99999999999999.9999")],
    "Array(Array(Int64))": [[1, -(2**62)], []],
    "Array(Nullable(String))": ["a", None],
    "Bool": True,
    "UInt64": 2**64 - 1,
    "Float64": 1.7976931348623157e308,
    "LowCardinality(String)": "ü 你好",
    "UUID": "123e4567-e89b-12d3-a456-426614174000",
}


@pytest.mark.parametrize("kind", PARAMETERS)
def test_parameters_of_many_types(client: Client, kind: str) -> None:
    value = PARAMETERS[kind]
    ((found,),) = client.query(f"SELECT {{v:{kind}}}", parameters={"v": value}).result_rows
    assert (str(found) if kind == "UUID" else found) == value


def test_a_parameter_is_never_a_statement(client: Client) -> None:
    for text in ("'; DROP TABLE api.trade; --", "') UNION ALL SELECT * FROM lake.trades --", "file('/etc/passwd')", "\\'\n\t\\N"):
        assert client.query("SELECT {v:String} AS v", parameters={"v": text}).first_row == (text,)
    with pytest.raises(DatabaseError) as caught:
        client.query("SELECT * FROM {t:Identifier}", parameters={"t": "system.users"})
    assert caught.value.code == 457


def test_parameters_that_the_client_puts_in_itself(client: Client) -> None:
    query = "SELECT %(a)s AS a, %(b)s AS b, %(c)s AS c"
    given = {"a": "it's", "b": dt.date(2024, 12, 1), "c": [1, 2]}
    assert client.query(query, parameters=given).first_row == ("it's", "2024-12-01", [1, 2])


def test_inserts_are_refused_with_a_reason(client: Client) -> None:
    writes: tuple[Callable[[], object], ...] = (
        lambda: client.insert("api.market_spot", [["x"]], column_names=["exchange"], column_type_names=["String"]),
        lambda: client.raw_insert("api.market_spot", ["exchange"], b"x\n", fmt="TSV"),
        lambda: client.command("INSERT INTO api.market_spot (exchange) VALUES ('x')"),
        lambda: client.command("CREATE TABLE api.x (a Int8) ENGINE = Memory"),
    )
    for write in writes:
        with pytest.raises(DatabaseError) as caught:
            write()
        assert caught.value.code == 497
        assert "only reads" in str(caught.value)
    assert client.query("SELECT 1").first_row == (1,)


def test_tables_sent_along_are_refused(client: Client) -> None:
    from clickhouse_connect.driver.external import ExternalData

    data = ExternalData(file_name="t.csv", fmt="CSV", structure="a Int8", data=b"1\n")
    with pytest.raises(DatabaseError) as caught:
        client.query("SELECT * FROM t", external_data=data)
    assert caught.value.code == 48


def test_sessions_and_databases(server: RunningServer) -> None:
    with clickhouse_connect.get_client(host=server.host, port=server.port, database="api", session_id="one") as client:
        assert client.query("SELECT currentDatabase()").first_row == ("api",)
        assert client.command("SHOW TABLES LIKE 'trade'") == "trade"
        assert client.command("SELECT count() FROM market_spot") == 1
    with pytest.raises((DatabaseError, OperationalError)):
        clickhouse_connect.get_client(host=server.host, port=server.port, database="lake")
    with pytest.raises((DatabaseError, OperationalError)):
        clickhouse_connect.get_client(host=server.host, port=server.port, username="somebody", password="x")  # noqa: S106 - a wrong one


def test_the_asynchronous_client(server: RunningServer, simulated: Lake) -> None:
    pytest.importorskip("aiohttp", reason="clickhouse-connect's asynchronous client needs aiohttp")
    text, parameters = QUERIES["candles"]
    frame = sql.query(text, lake=simulated, **parameters)

    async def ask() -> list[list[tuple[Any, ...]]]:
        client = await clickhouse_connect.get_async_client(host=server.host, port=server.port)
        try:
            results = await asyncio.gather(*(client.query(text, parameters=parameters) for _ in range(6)))
            with pytest.raises(DatabaseError) as caught:
                await client.query("SELECT file('/etc/passwd')")
            assert caught.value.code == 497
            return [[tuple(map(plain, row)) for row in result.result_rows] for result in results]
        finally:
            await client.close()

    assert asyncio.run(ask()) == [rows_of(frame)] * 6


def test_a_query_that_takes_too_long_is_told_so(client: Client) -> None:
    with pytest.raises(DatabaseError) as caught:
        client.query("SELECT sum(sipHash64(number)) FROM numbers(400000000)", settings={"max_execution_time": 0.1})
    assert caught.value.code == 159
    assert client.query("SELECT 1").first_row == (1,)
