"""A server over a lake in a bucket whose files are not here: it fetches what a statement reads, and no row is lost by that."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
import socket
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from tests import buckets
from tests.machine import limit, until
from tests.server.running import RunningServer, running_server

from pointline.lake import open_lake
from pointline.server.catalogues import Catalogues
from pointline.server.config import ServerConfig
from pointline.sql import process
from pointline.sql.fetched_links import link_scratch

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from pointline.lake import Lake
    from pointline.server.worker import WorkerSetup

pytestmark = pytest.mark.usefixtures("confining")

WHEN = "known_at >= '2024-05-01' AND known_at < '2024-06-01'"
SOURCES = {
    "trade": f"(SELECT * FROM trade WHERE {WHEN})",
    "trade of a market": f"(SELECT * FROM api.trade AS t WHERE t.exchange = 'binance' AND market IN ('BTC-USDT') AND {WHEN})",
    "trade of a day": "(SELECT * FROM trade WHERE known_at >= '2024-05-02 12:00:00' AND known_at < '2024-05-02 18:00:00')",
    "trade_last": f"(SELECT * FROM trade_last WHERE {WHEN} AND exchange = 'binance')",
    "funding_rate": "funding_rate",
    "ohlcv": "ohlcv(candle_duration_in_minutes = 60)",
    "ohlcv of trades": "(SELECT * FROM ohlcv(candle_duration_in_minutes = 7) AS c WHERE c.exchange = 'binance')",
    "spreads": "spreads",
    "features": "features",
    "coverage": "coverage",
    "market_spot": "market_spot",
    "market_future": "market_future",
}
WAYS = {
    "plain": "SELECT * FROM {source} ORDER BY ALL LIMIT 50",
    "counted": "SELECT count(), sum(cityHash64(*)) FROM {source}",
    "CTE": "WITH rows AS (SELECT * FROM {source}) SELECT count(), sum(cityHash64(*)) FROM rows",
    "UNION": "SELECT n FROM (SELECT count() AS n FROM {source} UNION ALL SELECT 2 * count() AS n FROM {source}) ORDER BY n",
    "scalar subquery": "SELECT (SELECT count() FROM {source}) AS found, {{x:UInt8}} AS given",
    "JOIN": "SELECT m.n, count() FROM {source} AS s CROSS JOIN (SELECT number AS n FROM numbers(3)) AS m GROUP BY m.n ORDER BY m.n",
    "IN": "SELECT number FROM numbers(2000) WHERE number IN (SELECT toUInt64(count() % 2000) FROM {source})",
    "type by a subquery": "SELECT toTypeName(x), x FROM (SELECT (SELECT max(tuple(*)) FROM {source}) AS x)",
}
FEW = ("plain", "scalar subquery")  # of relations that are one of the others, or small
JOINED = f"""
SELECT c.market, count(), sum(t.quantity), max(f.rate) FROM trade AS t
JOIN ohlcv(candle_duration_in_minutes = 1440) AS c ON c.exchange = t.exchange AND c.market = t.market
LEFT JOIN funding_rate AS f ON f.market = t.market
WHERE t.{WHEN.replace("AND ", "AND t.")} GROUP BY c.market ORDER BY c.market"""
LAST = "SELECT max(known_at) FROM trade"
SPOT = f"SELECT count() FROM trade WHERE exchange = 'binance' AND {WHEN}"


class Remote(NamedTuple):
    """A server over the demo's lake in a bucket, and what it keeps of it."""

    server: RunningServer
    lake: Lake

    def forget_files(self) -> None:
        """Removes the files that were fetched."""
        for kind in self.lake.kinds():
            for folder in self.lake.table_path(kind).glob("exchange=*"):
                shutil.rmtree(folder)

    def fetched(self, kind: str) -> int:
        """Data files of a table that are here."""
        return sum("_delta_log" not in path.parts for path in (self.lake.root / kind).rglob("*.parquet"))


@pytest.fixture(scope="module")
def remote(confining: None, copied: Path, s3_server: buckets.Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:  # noqa: ARG001 -- skips
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("remote")
        buckets.enter(patch, s3_server, folder / "mirrors")
        patch.setattr("pointline.lake.places._MIRRORS", {})
        lake = open_lake(buckets.DEMO)
        config = "[server]\nworkers = 2\nrefresh_s = 1000\nwait_s = 1000\n[limits]\ntime_s = 1000"
        with running_server(lake, folder, config=config, place=buckets.DEMO) as server:
            yield Remote(server, lake)


@pytest.fixture
def bucket(s3_server: buckets.Server) -> Iterator[buckets.Server]:
    s3_server.forget()
    yield s3_server
    s3_server.forget()


@contextlib.contextmanager
def hanging(bucket: buckets.Server) -> Iterator[None]:
    """The bucket answers nobody who wants a data file until the end."""
    gate = threading.Event()

    def wait(_: str, key: str) -> None:
        if key.endswith(".parquet"):
            gate.wait(limit(60))

    bucket.fault = wait
    try:
        yield
    finally:
        bucket.fault = None
        gate.set()


def local(text: str, lake: Path, **parameters: str) -> str:
    return process.run(text, lake=lake, output_format="TabSeparated", parameters=parameters).data.decode()


def test_every_relation_gives_what_it_gives_of_a_folder(remote: Remote, copied: Path) -> None:
    listed = {name for (name,) in remote.server.rows("SHOW TABLES")}
    assert {name.split()[0] for name in SOURCES} == listed
    pairs = [(name, way) for name, way in itertools.product(SOURCES, WAYS) if name in {"trade", "funding_rate"} or way in FEW]
    for name, way in pairs:
        text = WAYS[way].format(source=SOURCES[name])
        given = {"x": "7"} if "{x:" in text else {}
        remote.forget_files()
        answer = remote.server.ask(text, **{f"param_{key}": value for key, value in given.items()})
        assert answer.text == local(text, copied, **given), (name, way)
        assert answer.status_code == 200
    for text in (JOINED, LAST):
        remote.forget_files()
        assert remote.server.ask(text).text == local(text, copied), text


def test_a_statement_fetches_what_it_reads(remote: Remote, bucket: buckets.Server) -> None:
    counts = {
        "SELECT count() FROM coverage": 0,
        SPOT: 2,
        f"SELECT count() FROM trade WHERE {WHEN}": 4,
        "SELECT count() FROM trade WHERE known_at > '2024-05-04' AND known_at < '2024-05-05'": 0,
        "DESCRIBE TABLE trade": 0,
        f"EXPLAIN SYNTAX {SPOT}": 2,
    }
    for text, count in counts.items():
        remote.forget_files()
        assert remote.server.ask(text).status_code == 200, text
        assert remote.fetched("trades") == count, text
    bucket.forget()
    remote.server.rows(SPOT)
    asked = len(bucket.requests)
    remote.server.rows(SPOT)
    assert len(bucket.requests) == asked  # nothing is asked of the bucket for what is here
    remote.forget_files()
    assert remote.server.ask(SPOT, query_id="counted").status_code == 200
    entry = remote.server.entry("counted")
    assert (entry["outcome"], entry["relations"], entry["rows"]) == ("ok", ["trade"], 1)


def test_statements_that_need_a_file_at_once_fetch_it_once(remote: Remote, bucket: buckets.Server) -> None:
    remote.forget_files()
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: remote.server.rows(SPOT), range(4)))
    assert found == [found[0]] * 4
    gets = Counter(key for method, key in bucket.requests if method == "GET" and key.endswith(".parquet"))
    assert gets
    assert set(gets.values()) == {1}


def test_a_bucket_that_refuses_costs_a_statement_and_not_the_server(remote: Remote, bucket: buckets.Server) -> None:
    remote.forget_files()
    workers = remote.server.workers()
    expected = remote.server.rows(SPOT)
    remote.forget_files()
    bucket.fault = lambda method, key: (403, "AccessDenied") if key.endswith(".parquet") else None  # noqa: ARG005
    refused(remote.server.ask(SPOT), 503, 499, "the bucket of the lake cannot be read at the moment")
    assert remote.server.rows("SELECT count() > 0 FROM coverage") == [[1]]
    assert any("WARNING a statement was refused, the bucket cannot be read" in line for line in remote.server.said)
    assert not [line for line in remote.server.said if buckets.SECRET_KEY in line]
    bucket.fault = None
    assert remote.server.rows(SPOT) == expected
    assert remote.server.workers() == workers


def refused(answer: httpx.Response, status: int, code: int, says: str) -> None:
    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (status, str(code)), answer.text
    assert says in answer.text
    assert (answer.headers.get("retry-after") == "1") == (status == 503)


def test_a_bucket_that_does_not_answer_holds_up_its_statement_until_its_time_is_over(remote: Remote, bucket: buckets.Server) -> None:
    expected = remote.server.rows(SPOT)
    remote.forget_files()
    with hanging(bucket), ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(remote.server.ask, SPOT, max_execution_time=f"{limit(2.0):.1f}")
        until(remote.server.busy)
        for n in range(5):
            assert remote.server.rows(f"SELECT count() + {n} > 0 FROM coverage") == [[1]]
        refused(waiting.result(), 408, 159, "while its files came from the bucket")
    assert remote.server.rows(SPOT) == expected


def test_a_client_that_leaves_stops_its_fetch(remote: Remote, bucket: buckets.Server) -> None:
    remote.forget_files()
    until(remote.server.has_settled)
    text = SPOT.encode()
    with hanging(bucket):
        with socket.create_connection((remote.server.host, remote.server.port)) as connection:
            head = f"POST /?query_id=left-{id(bucket)} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(text)}\r\n\r\n"
            connection.sendall(head.encode() + text)
            until(remote.server.busy)
        assert remote.server.entry(f"left-{id(bucket)}")["outcome"] == "gone"
        until(remote.server.has_settled)  # nobody waits for the bucket any more
    assert remote.server.ask(SPOT).status_code == 200


def test_a_worker_reads_no_file_of_the_mirror_but_by_the_names_for_statements(new_url: str, tmp_path: Path) -> None:
    """Also of a lake that holds nothing yet."""
    lake = open_lake(new_url, create=True)
    scratch = link_scratch(lake, "serve")
    assert scratch is not None
    catalogues = Catalogues(lake, tmp_path / "server", ServerConfig(), confined=True, scratch=scratch.path)

    async def made() -> WorkerSetup:
        await catalogues.build()
        return (await catalogues.new_setup())[0]

    setup = asyncio.run(made())
    assert setup.fetched
    assert [path for path in setup.read if path.startswith(f"{lake.root}/")] == [f"{scratch.path}/links", f"{scratch.path}/files"]
    assert all(Path(path).exists() for path in setup.read)
    scratch.remove()
