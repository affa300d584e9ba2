"""SQLAlchemy with clickhouse-connect's dialect, the requests that Superset makes through it, curl, and a dashboard's panels at once."""

from __future__ import annotations

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from tests.machine import limit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.engine import Engine
    from tests.server.running import RunningServer

sqlalchemy = pytest.importorskip("sqlalchemy", reason="the dialect of clickhouse-connect needs SQLAlchemy")

CANDLES = "api.ohlcv(candle_duration_in_minutes = 60)"


@pytest.fixture
def engine(server: RunningServer) -> Iterator[Engine]:
    found = sqlalchemy.create_engine(f"clickhousedb://{server.host}:{server.port}/api")
    yield found
    found.dispose()


# ---- SQLAlchemy


def test_the_dialect_runs_statements(engine: Engine) -> None:
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT 1")).scalar() == 1
        rows = connection.execute(sqlalchemy.text("SELECT number AS n FROM numbers(5) WHERE number > :low"), {"low": 2}).mappings().all()
        assert [row["n"] for row in rows] == [3, 4]
        first = connection.execute(sqlalchemy.text(f"SELECT start, close FROM {CANDLES} ORDER BY ALL LIMIT 1")).one()
        assert isinstance(first.close, Decimal)


def test_the_dialect_sees_the_views(engine: Engine) -> None:
    inspector = sqlalchemy.inspect(engine)
    assert "api" in inspector.get_schema_names()
    assert {"trade", "coverage", "market_spot", "funding_rate"} <= set(inspector.get_table_names("api")) | set(
        inspector.get_view_names("api")
    )
    columns = {column["name"]: column["type"] for column in inspector.get_columns("market_spot", schema="api")}
    assert {"exchange", "market"} <= set(columns)


def test_the_dialect_asks_for_a_single_view(engine: Engine) -> None:
    inspector = sqlalchemy.inspect(engine)
    assert inspector.has_table("market_spot", schema="api")
    assert not inspector.has_table("nosuch", schema="api")


def test_a_reflected_table_can_be_asked(engine: Engine) -> None:
    table = sqlalchemy.Table("market_spot", sqlalchemy.MetaData(), autoload_with=engine, schema="api")
    with engine.connect() as connection:
        statement = sqlalchemy.select(table.c.exchange, sqlalchemy.func.count()).group_by(table.c.exchange).limit(10)
        assert connection.execute(statement).all() == [("binance", 1)]


def test_pandas_reads_through_the_dialect(engine: Engine) -> None:
    frame = pd.read_sql(f"SELECT start, market, toFloat64(close) AS close FROM {CANDLES} ORDER BY ALL", engine)
    assert len(frame) > 40
    assert frame["close"].dtype == float


# ---- Superset, whose requests go through that dialect


SUPERSET = {
    "SELECT 1": 1,
    "SHOW DATABASES": 1,
    "SHOW TABLES FROM api": 5,
    "SELECT * FROM api.market_spot LIMIT 100": 1,
    "SELECT * \nFROM api.coverage \n LIMIT 101\nOFFSET 0": 1,
    # a chart of a table, with the limit around it
    "SELECT toStartOfHour(toDateTime(start)) AS `__timestamp`, avg(toFloat64(close)) AS `AVG(close)` \n"
    f"FROM (SELECT * FROM {CANDLES}\n) AS `virtual_table` \n"
    "WHERE start >= toDateTime('2024-05-01 00:00:00') AND start < toDateTime('2024-05-02 00:00:00') "
    "GROUP BY toStartOfHour(toDateTime(start)) ORDER BY `AVG(close)` DESC \n LIMIT 10000": 24,
    # what the laboratory puts around a statement, and the values of a filter
    f"SELECT * FROM (\nSELECT market, count() AS n FROM {CANDLES} GROUP BY market\n) AS `inner_qry`\n LIMIT 1000": 2,
    f"SELECT DISTINCT market AS market FROM (SELECT * FROM {CANDLES}) AS virtual_table LIMIT 1000": 2,
    "SELECT count() AS `COUNT(*)` FROM api.market_spot LIMIT 50000": 1,
}


@pytest.mark.parametrize("statement", SUPERSET)
def test_what_superset_asks(engine: Engine, statement: str) -> None:
    with engine.connect() as connection:
        cursor = connection.exec_driver_sql(statement)
        assert list(cursor.keys())
        assert len(cursor.fetchall()) >= min(SUPERSET[statement], 1)


def test_superset_learns_the_columns_of_a_statement(engine: Engine) -> None:
    """It runs the statement with a limit of nothing or one row and looks at the names and types."""
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        cursor.execute(f"SELECT start, market, close FROM {CANDLES} LIMIT 1")
        assert [column[0] for column in cursor.description] == ["start", "market", "close"]
    finally:
        connection.close()


# ---- curl


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(server: RunningServer, tmp_path: Path) -> None:
    def curl(*arguments: str) -> str:
        command = ["curl", "--silent", "--show-error", "--noproxy", "*", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=limit(60)).stdout

    assert curl(server.url, "-d", "SELECT 1") == "1\n"
    assert curl(f"{server.url}?param_m=60", "-d", "SELECT {m:UInt32}") == "60\n"
    assert curl("-G", server.url, "--data-urlencode", "query=SELECT 'ü' FORMAT CSV") == '"ü"\n'
    assert curl("--user", "default:", server.url, "-d", "SELECT 2") == "2\n"
    assert curl("--compressed", f"{server.url}?enable_http_compression=1", "-d", "SELECT 3") == "3\n"
    numbers = f"{server.url}?query=SELECT%20number%20FROM%20numbers(100000)"
    assert "content-length: 588890" in curl("--head", numbers).lower()
    assert curl("--range", "0-3", numbers) == "0\n1\n"
    output = tmp_path / "numbers"
    output.write_text(curl(numbers)[:100_000])
    curl("--continue-at", "-", "--output", str(output), numbers)
    assert output.read_text() == "".join(f"{n}\n" for n in range(100_000))
    assert curl("--output", "/dev/null", "--write-out", "%{http_code}", server.url, "-d", "SELEKT 1") == "400"


# ---- Grafana


def test_twelve_panels_of_a_dashboard_at_once(server: RunningServer) -> None:
    given = {"database": "api", "default_format": "Native", "client_protocol_version": "54460", "enable_http_compression": "1"}
    panel = "SELECT start AS time, market, toFloat64(close) AS close FROM ohlcv(candle_duration_in_minutes = {}) ORDER BY time"
    for _ in range(2):
        with ThreadPoolExecutor(12) as threads:
            found = list(threads.map(lambda n: server.ask(panel.format(15 * n), **given), range(1, 13)))
        assert [response.status_code for response in found] == [200] * 12
        assert all(response.content for response in found)
