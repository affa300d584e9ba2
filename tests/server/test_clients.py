"""clickhouse-connect, as analysts use it."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from pointline.clock import to_us

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clickhouse_connect.driver.client import Client
    from tests.server.running import RunningServer

    from pointline.lake.store import Lake

DAY = "timestamp >= '2024-05-01' AND timestamp < '2024-05-02'"
CANDLES = "SELECT * FROM api.ohlcv(candle_duration_in_minutes = {m:UInt32}) ORDER BY exchange, market, start"


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    found = clickhouse_connect.get_client(host=server.host, port=server.port)
    yield found
    found.close()


def test_it_connects_and_knows_the_server(client: Client) -> None:
    assert client.server_version.startswith("26.")
    assert str(client.server_tz) == "UTC"
    assert client.ping()
    assert client.command("SHOW DATABASES") == "api"


def test_rows_with_their_types(client: Client, simulated: Lake) -> None:
    result = client.query(CANDLES, parameters={"m": 1440})
    assert result.column_names[:4] == ("start", "end", "exchange", "market")
    rows = list(result.named_results())
    assert rows[0]["start"] == dt.datetime(2024, 5, 1)  # noqa: DTZ001 -- the client gives naive UTC
    assert isinstance(rows[0]["close"], Decimal)
    stored = simulated.scan("trades", "binance-futures", "BTCUSDT", to_us("2024-05-01"), to_us("2024-05-02")).collect()
    count = client.query(f"SELECT count(), sum(quantity) FROM api.trade WHERE exchange = 'binance-usdm-future' AND {DAY}").first_row
    assert count[0] == stored.height
    decimals = stored["qty_decimals"][0]
    assert count[1] == Decimal(int(stored["qty_int"].sum())).scaleb(-decimals)


def test_frames_and_arrays(client: Client) -> None:
    rows = client.query(CANDLES, parameters={"m": 60}).result_rows
    frame = client.query_df(CANDLES, parameters={"m": 60})
    table = client.query_arrow(CANDLES, parameters={"m": 60})
    assert len(frame) == table.num_rows == len(rows) > 40
    assert list(frame.columns) == table.column_names
    assert [Decimal(str(value)) for value in table["close"].to_pylist()] == [row[list(frame.columns).index("close")] for row in rows]
    array = client.query_np("SELECT number, number * 0.5 FROM numbers(1000)")
    assert array.dtype.names == ("number", "multiply(number, 0.5)")
    assert array["multiply(number, 0.5)"].sum() == 249750


def test_streams(client: Client) -> None:
    with client.query_row_block_stream("SELECT number FROM numbers(300000)") as blocks:
        assert sum(row[0] for block in blocks for row in block) == 300_000 * 299_999 // 2
    with client.query_arrow_stream("SELECT number FROM numbers(200000)") as batches:
        assert sum(batch.num_rows for batch in batches) == 200_000


VALUES = {
    "String": "tab\tline\nquote ' backslash \\ ü 你好 %",
    "Int64": -(2**62),
    "Array(String)": ["it's", "\\", ""],
    "Nullable(String)": None,
    "DateTime64(6)": dt.datetime(2024, 12, 1, 1, 2, 3, 456789),  # noqa: DTZ001 -- the client takes naive UTC
    "Tuple(Int8, String)": (1, "x"),
}


@pytest.mark.parametrize("form", [False, True])
@pytest.mark.parametrize("kind", VALUES)
def test_parameters(server: RunningServer, kind: str, form: bool) -> None:
    with clickhouse_connect.get_client(host=server.host, port=server.port, form_encode_query_params=form) as client:
        assert client.query(f"SELECT {{v:{kind}}}", parameters={"v": VALUES[kind]}).first_row == (VALUES[kind],)


@pytest.mark.parametrize("method", ["lz4", "zstd", "gzip", "deflate", False])
def test_compression(server: RunningServer, method: str | bool) -> None:
    with clickhouse_connect.get_client(host=server.host, port=server.port, compress=method) as client:
        assert client.query("SELECT sum(number), max(toString(number)) FROM numbers(1000)").first_row == (499500, "999")
        assert len(client.query("SELECT number FROM numbers(100000)").result_rows) == 100_000


def test_errors_have_code_and_name(client: Client) -> None:
    for query, code in (
        ("SELECT nosuch", 47),
        ("SELECT file('/etc/passwd')", 497),
        ("DROP TABLE x", 497),
        ("SELECT sum(price) FROM api.trade", 158),
    ):
        with pytest.raises(DatabaseError) as caught:
            client.query(query)
        assert caught.value.code == code
        assert client.query("SELECT 1").first_row == (1,)


def test_writing_is_refused(client: Client) -> None:
    with pytest.raises(DatabaseError):
        client.insert("api.market_spot", [["x"]], column_names=["exchange"])
    with pytest.raises(DatabaseError) as caught:
        client.command("CREATE TABLE x (a Int8) ENGINE = Memory")
    assert caught.value.code == 497


def test_settings(client: Client) -> None:
    assert client.query("SELECT number FROM numbers(9)", settings={"limit": 2}).row_count == 2
    assert client.query("SELECT 1", settings={"max_execution_time": 5}).first_row == (1,)


def test_metadata_probe_and_raw(client: Client) -> None:
    probe = client.query("SELECT timestamp, price FROM api.trade WHERE timestamp > '2024-05-01' LIMIT 0")
    assert probe.column_names == ("timestamp", "price")
    assert client.raw_query("SELECT 1 AS a", fmt="CSVWithNames") == b'"a"\n1\n'


def test_the_same_query_from_eight_threads(server: RunningServer) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def ask(_: int) -> list[tuple[object, ...]]:
        with clickhouse_connect.get_client(host=server.host, port=server.port) as client:
            return [tuple(row) for _ in range(3) for row in client.query(CANDLES, parameters={"m": 240}).result_rows]

    with ThreadPoolExecutor(8) as threads:
        first, *others = threads.map(ask, range(8))
    assert first
    assert all(other == first for other in others)
