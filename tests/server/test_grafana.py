"""Grafana's ClickHouse data source (grafana-clickhouse-datasource) with its protocol set to HTTP, as recorded requests.

There is no Grafana here: the requests were written down from the data source's code and that of the Go client under it: its connection
(`pkg/plugin/driver.go`: the protocol, gzip, the default database), what the client sends with every query and asks first
(clickhouse-go 2.46, `conn_http.go`, `conn_http_query.go`, `context.go`), what the editors ask (`src/data/CHDatasource.ts`,
`pkg/plugin/schema.go`), how macros are written out (`pkg/macros/macros.go`) and what the query builder makes (`src/data/sqlGenerator.ts`).
What comes back is read here as that client reads it: Native blocks of revision 54454 and later.

What does not work is at the end: the Native protocol, which is the data source's default, is not served; ad hoc filters need
a setting that is not accepted.
"""

from __future__ import annotations

import datetime as dt
import io
import socket
import struct
from typing import TYPE_CHECKING, Any

import pytest
from tests.machine import limit

from pointline import sql

if TYPE_CHECKING:
    import httpx
    from tests.server.running import RunningServer

    from pointline.lake.store import Lake

# What clickhouse-go sends with every query over HTTP: the address' parameters (a context with 60 s left asks for five more), and the head.
ADDRESS = {"client_protocol_version": "54460", "database": "default", "default_format": "Native", "max_execution_time": "65"}
HEAD = {
    "User-Agent": "grafana/12.1.0 clickhouse-datasource/4.11.0 clickhouse-go/2.46.0 (database/sql;lv:go/1.25;os:linux)",
    "Accept-Encoding": "gzip",
}
USER = ("default", "")  # in the address of the URL, which Go sends as basic authentication


def ask(server: RunningServer, query: str, **more: str) -> httpx.Response:
    return server.client.post(server.url, content=query, params={**ADDRESS, **more}, headers=HEAD, auth=USER)


# ---- Native blocks, read as clickhouse-go reads them


def varint(data: io.BytesIO) -> int:
    number = shift = 0
    while True:
        (byte,) = data.read(1)
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number
        shift += 7


def text(data: io.BytesIO) -> str:
    return data.read(varint(data)).decode()


FIXED = {"UInt8": "B", "UInt32": "I", "UInt64": "Q", "Int64": "q", "Float64": "d", "DateTime": "I", "DateTime64": "q", "Bool": "?"}


def column(data: io.BytesIO, kind: str, rows: int) -> list[Any]:
    """One column's values; times as UTC, decimals as counts of their last digit."""
    if kind == "String":
        return [text(data) for _ in range(rows)]
    if kind.startswith("Nullable("):
        absent = data.read(rows)
        return [None if absent[n] else value for n, value in enumerate(column(data, kind[9:-1], rows))]
    if kind.startswith(("Decimal(38", "Decimal(76")):
        size = 16 if kind.startswith("Decimal(38") else 32
        return [int.from_bytes(data.read(size), "little", signed=True) for _ in range(rows)]
    base, _, arguments = kind.rstrip(")").partition("(")
    form = struct.Struct("<" + FIXED[base])
    values = [form.unpack(data.read(form.size))[0] for _ in range(rows)]
    if base == "DateTime":
        return [dt.datetime.fromtimestamp(value, dt.UTC) for value in values]
    if base == "DateTime64":
        digits = int(arguments.partition(",")[0])
        return [dt.datetime.fromtimestamp(value // 10**digits, dt.UTC) for value in values]
    return values


def frame(response: httpx.Response) -> dict[str, list[Any]]:
    """The answer's columns."""
    assert response.status_code == 200, response.text
    assert response.headers["x-clickhouse-format"] == "Native"
    data = io.BytesIO(response.content)
    found: dict[str, list[Any]] = {}
    while data.tell() < len(response.content):
        assert data.read(8) == b"\x01\x00\x02\xff\xff\xff\xff\x00"  # a block's info
        columns, rows = varint(data), varint(data)
        for _ in range(columns):
            name, kind = text(data), text(data)
            assert data.read(1) == b"\x00"  # serialised in the plain way
            found.setdefault(name, []).extend(column(data, kind, rows))
    return found


# ---- saving the data source: connect, ping, health


def test_connecting_and_testing(server: RunningServer) -> None:
    hello = frame(ask(server, "SELECT displayName(), version(), revision(), timezone()"))
    assert list(hello) == ["displayName()", "version()", "revision()", "timezone()"]
    ((name,), (version,), (revision,), (zone,)) = hello.values()
    assert (name, zone) == ("pointline", "UTC")
    assert version.split(".")[0].isdecimal()
    assert revision >= 54_454  # the client reads blocks of the server's revision from here on
    assert frame(ask(server, "SELECT 1")) == {"1": [1]}
    assert server.client.get(server.url + "ping", headers=HEAD, auth=USER).text == "Ok.\n"


def test_the_client_accepts_compressed_answers(server: RunningServer) -> None:
    """It asks for gzip only where a custom setting of the data source turns that on."""
    plain = ask(server, "SELECT 1")
    assert "content-encoding" not in plain.headers
    packed = ask(server, "SELECT 1", enable_http_compression="1")
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == plain.content


def test_errors_are_shown_as_clickhouse_errors(server: RunningServer) -> None:
    """The data source looks for this text in the body of an answer that is not 200."""
    response = ask(server, "SELECT nosuch FROM api.trade WHERE timestamp > now()")
    assert response.status_code == 404
    assert response.text.startswith("Code: 47. DB::Exception: ")


# ---- the editors: databases, tables, columns, functions, values

VIEWS = ["coverage", "features", "funding_rate", "market_future", "market_spot", "ohlcv", "spreads", "trade", "trade_last"]


def test_listing_databases_and_tables(server: RunningServer) -> None:
    assert frame(ask(server, "SHOW DATABASES")) == {"name": ["api"]}
    assert frame(ask(server, 'SHOW TABLES FROM "api"')) == {"name": VIEWS}
    assert frame(ask(server, "SHOW TABLES")) == {"name": VIEWS}
    listed = frame(ask(server, "SELECT database, name FROM system.tables ORDER BY database, name"))
    assert listed == {"database": ["api"] * len(VIEWS), "name": VIEWS}


@pytest.mark.parametrize("statement", ["DESC TABLE", "DESCRIBE TABLE"])
def test_listing_columns(server: RunningServer, statement: str) -> None:
    described = frame(ask(server, f'{statement} "api"."trade"'))
    assert list(described) == ["name", "type", "default_type", "default_expression", "comment", "codec_expression", "ttl_expression"]
    types = dict(zip(described["name"], described["type"], strict=True))
    assert types["timestamp"] == "DateTime64(9, 'UTC')"
    assert types["price"] == "Decimal(76, 20)"
    query = (
        "SELECT database, table, name, type, comment FROM system.columns WHERE (database, table) IN (('api', 'trade')) "
        "ORDER BY database, table, position"
    )
    listed = frame(ask(server, query))
    assert dict(zip(listed["name"], listed["type"], strict=True)) == types
    tags = frame(ask(server, "SELECT name, type, table FROM system.columns WHERE database IN ('api')"))
    assert set(tags["table"]) >= {"trade", "market_spot"}


def test_suggesting_functions_and_values(server: RunningServer) -> None:
    query = "SELECT\n  name, is_aggregate, case_insensitive, alias_to, origin, description,\n  syntax\nFROM system.functions\nLIMIT 10000"
    functions = frame(ask(server, query.replace("origin, ", "")))
    assert {"sum", "argMax", "toStartOfInterval"} <= set(functions["name"])
    assert frame(ask(server, "SELECT DISTINCT exchange FROM api.market_spot SETTINGS max_execution_time=10")) == {"exchange": ["binance"]}
    assert frame(ask(server, "select distinct market from api.market_spot limit 1000")) == {"market": ["BTC-USDT"]}
    assert frame(ask(server, "SELECT version()"))["version()"][0].startswith("26.")


# ---- panels: what the macros become. The time range is 2024-05-01 02:00 to 08:00 UTC, the interval an hour.

FROM, TO, INTERVAL_S = 1_714_528_800, 1_714_550_400, 3_600
MACROS = {
    "$__timeFilter(start)": f"start >= toDateTime({FROM}) AND start <= toDateTime({TO})",
    "$__timeFilter_ms(timestamp)": f"timestamp >= fromUnixTimestamp64Milli({FROM}000) AND timestamp <= fromUnixTimestamp64Milli({TO}000)",
    "$__dateFilter(start)": "start >= toDate('2024-05-01') AND start <= toDate('2024-05-01')",
    "$__timeInterval(start)": f"toStartOfInterval(toDateTime(start), INTERVAL {INTERVAL_S} second)",
    "$__timeInterval(timestamp)": f"toStartOfInterval(toDateTime(timestamp), INTERVAL {INTERVAL_S} second)",
    "$__timeInterval_ms(timestamp)": f"toStartOfInterval(toDateTime64(timestamp, 3), INTERVAL {INTERVAL_S * 1000} millisecond)",
    "$__fromTime": f"toDateTime({FROM})",
    "$__toTime": f"toDateTime({TO})",
    "$__interval_s": str(INTERVAL_S),
}


def expanded(query: str) -> str:
    """The query as the data source sends it."""
    for macro, written in MACROS.items():
        query = query.replace(macro, written)
    assert "$__" not in query
    return query


TRADES_IN_RANGE = 'FROM "api"."trade" WHERE ( timestamp >= $__fromTime AND timestamp <= $__toTime )'
PANELS = {
    "line": """SELECT $__timeInterval(start) AS time, market, toFloat64(argMax(close, start)) AS close
        FROM api.ohlcv(candle_duration_in_minutes = 60) WHERE $__timeFilter(start)
        GROUP BY time, market, exchange ORDER BY time, market, close""",
    "interval as length": """SELECT start AS time, toFloat64(close) AS close
        FROM api.ohlcv(candle_duration_in_minutes = $__interval_s / 60) WHERE $__timeFilter(start) ORDER BY time, close""",
    "spread": """SELECT f.start AS time, toFloat64(f.close - s.close) AS spread FROM api.ohlcv(candle_duration_in_minutes = 60) AS f
        JOIN api.ohlcv(candle_duration_in_minutes = 60) AS s ON (f.start = s.start AND s.exchange = 'binance' AND s.market = 'BTC-USDT')
        WHERE f.exchange = 'binance-usdm-future' AND f.start >= $__fromTime AND f.start <= $__toTime ORDER BY time""",
    "trades per interval": """SELECT $__timeInterval_ms(timestamp) AS time, count() AS trades FROM api.trade
        WHERE $__timeFilter_ms(timestamp) GROUP BY time ORDER BY time""",
    "builder": f"""SELECT timestamp as "time", toFloat64(price) as "value" {TRADES_IN_RANGE} AND ( market IN ('BTC-USDT') )
        ORDER BY time ASC, exchange ASC, sequence ASC LIMIT 1000""",
    "builder, aggregated": f"""SELECT $__timeInterval(timestamp) as "time", count(*) as "count" {TRADES_IN_RANGE}
        GROUP BY time ORDER BY time ASC LIMIT 1000""",
    "dates": """SELECT start AS time, toFloat64(close) AS close FROM api.ohlcv(candle_duration_in_minutes = 1440)
        WHERE $__dateFilter(start) ORDER BY ALL""",
    "variable": """SELECT DISTINCT market FROM api.market_future
        WHERE exchange IN ('binance-usdm-future','binance-coinm-future') ORDER BY market""",
}


@pytest.mark.parametrize("name", PANELS)
def test_panels_show_what_the_library_finds(server: RunningServer, simulated: Lake, name: str) -> None:
    query = expanded(PANELS[name])
    expected = sql.query(query, lake=simulated)
    found = frame(ask(server, query))
    assert expected.height > 0
    assert list(found) == expected.columns
    for column_name, values in found.items():
        seconds = [value.replace(microsecond=0) if isinstance(value, dt.datetime) else value for value in expected[column_name].to_list()]
        assert values == seconds, column_name


def test_a_row_limit_of_the_data_source(server: RunningServer) -> None:
    assert frame(ask(server, "SELECT number FROM numbers(10)", limit="3")) == {"number": [0, 1, 2]}


def test_a_panel_over_a_range_without_data_is_empty(server: RunningServer) -> None:
    response = ask(server, "SELECT start AS time, close FROM api.ohlcv(candle_duration_in_minutes = 60) WHERE start < toDateTime(1)")
    assert (response.status_code, response.content) == (200, b"")  # which the client takes for an empty frame


# ---- what does not work


def test_ad_hoc_filters_are_refused(server: RunningServer) -> None:
    """The data source puts them into a setting that holds SQL; a dashboard writes the condition into its queries instead."""
    response = ask(
        server, "SELECT market FROM api.market_spot settings additional_table_filters={'market_spot' : ' exchange = \\'binance\\' '}"
    )
    assert (response.status_code, response.headers["x-clickhouse-exception-code"]) == (403, "164")


def test_writing_a_dashboard_cannot_do(server: RunningServer) -> None:
    assert ask(server, "DROP TABLE api.trade").headers["x-clickhouse-exception-code"] == "497"


def test_forced_read_only_finds_a_server_that_already_is(server: RunningServer) -> None:
    """Its health check with "enforced settings" wants a user who starts at readonly = 0, and says so; leave that option off."""
    assert frame(ask(server, "SELECT value FROM system.settings WHERE name='readonly'")) == {"value": ["1"]}


def test_the_native_protocol_is_not_served(server: RunningServer) -> None:
    """The data source's default; a client that speaks it is told off at once and does not hang."""
    with socket.create_connection((server.host, server.port)) as connection:
        connection.settimeout(limit(20))
        connection.sendall(b"\x00\x0egrafana client\x02\x2e\xbc\xa9\x03\x03api\x07default\x00")
        assert connection.recv(100).startswith(b"HTTP/1.1 400")
