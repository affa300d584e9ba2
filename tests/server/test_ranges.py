"""Results by address: their length, parts of them, and the readers of polars and pandas that ask so."""

from __future__ import annotations

import asyncio
import io
import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import pandas as pd
import polars as pl
import pytest
from tests.server.running import running_server

from pointline.server import stored_results
from pointline.server.channel import Answer
from pointline.server.pool import Reply
from pointline.server.stored_results import ByteRange, ResultStore, range_of
from pointline.sql.guard.codes import RefusedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import httpx
    from tests.server.running import RunningServer

    from pointline.lake.store import Lake

NUMBERS = "SELECT number AS n, toString(number) AS s FROM numbers(200000) ORDER BY n"
RANDOM = "SELECT rand64() FROM numbers(1000)"


def address(server: RunningServer, query: str, **given: str) -> str:
    return f"{server.url}?{urlencode({'query': query, **given}, quote_via=quote)}"


def part(server: RunningServer, url: str, wanted: str, **headers: str) -> httpx.Response:
    return server.client.get(url, headers={"Range": wanted, **headers})


# ---- the length


def test_the_length_of_a_result_is_sent(server: RunningServer) -> None:
    for response in (
        server.ask("SELECT 1"),
        server.ask(NUMBERS, default_format="Parquet"),
        server.ask("SELECT 1 WHERE 0"),
        server.client.get(address(server, "SELECT 1")),
        server.ask("SELECT nosuch"),
    ):
        if response.status_code == 200:
            assert int(response.headers["content-length"]) == len(response.content)
            assert "transfer-encoding" not in response.headers


def test_a_result_that_is_large_is_sent_in_chunks(server: RunningServer) -> None:
    response = server.ask("SELECT repeat('x', 1000) FROM numbers(20000)")
    assert len(response.content) == 20_000 * 1_001
    assert "content-length" not in response.headers


def test_the_length_of_a_compressed_result_is_that_of_its_bytes(server: RunningServer) -> None:
    url = address(server, NUMBERS, enable_http_compression="1")
    with server.client.stream("GET", url, headers={"Accept-Encoding": "gzip"}) as response:
        assert int(response.headers["content-length"]) == len(b"".join(response.iter_raw()))
    assert response.headers["content-encoding"] == "gzip"


def test_head_tells_the_length(server: RunningServer) -> None:
    url = address(server, NUMBERS, default_format="Parquet")
    head, whole = server.client.head(url), server.client.get(url)
    assert (head.status_code, head.content, head.headers["accept-ranges"]) == (200, b"", "bytes")
    assert int(head.headers["content-length"]) == len(whole.content)
    assert head.headers["content-type"] == "application/vnd.apache.parquet"
    assert server.client.head(address(server, "SELECT nosuch")).status_code == 404


# ---- parts


def test_parts_make_the_whole(server: RunningServer) -> None:
    url = address(server, NUMBERS)
    whole = server.client.get(url).content
    size = len(whole)
    for wanted, start, end in (
        ("bytes=0-0", 0, 1),
        ("bytes=10-99", 10, 100),
        (f"bytes={size - 5}-", size - 5, size),
        ("bytes=-7", size - 7, size),
        (f"bytes=-{2 * size}", 0, size),
        (f"bytes=5-{2 * size}", 5, size),
        ("bytes=0-", 0, size),
    ):
        found = part(server, url, wanted)
        assert found.status_code == 206
        assert found.content == whole[start:end]
        assert found.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
        assert int(found.headers["content-length"]) == end - start


def test_all_parts_are_of_one_result(server: RunningServer) -> None:
    """A query whose result is another one each time it runs."""
    url = address(server, RANDOM)
    head = server.client.head(url)
    size, tag = int(head.headers["content-length"]), head.headers["etag"]
    bounds = [*range(0, size, size // 7), size]
    for _ in range(2):
        parts = [part(server, url, f"bytes={start}-{end - 1}") for start, end in itertools.pairwise(bounds)]
        assert {one.headers["etag"] for one in parts} == {tag}
        numbers = b"".join(one.content for one in parts).split()
        assert len(numbers) == 1_000
    assert server.client.get(url).content.split() != numbers  # who asks for no part gets a new one


def test_parts_that_cannot_be_had(server: RunningServer) -> None:
    url = address(server, "SELECT 12345678")
    for wanted in ("bytes=9-", "bytes=100-200", "bytes=-0"):
        found = part(server, url, wanted)
        assert (found.status_code, found.headers["content-range"], found.content) == (416, "bytes */9", b"")
    for ignored in ("bytes=2-1", "bytes=", "bytes=-", "bytes=a-b", "lines=1-2", "bytes=0-1,4-5", "bytes 0-1", "bytes=0x1-2"):
        found = part(server, url, ignored)
        assert (found.status_code, found.text) == (200, "12345678\n"), ignored
    posted = server.client.post(server.url, content="SELECT 12345678", headers={"Range": "bytes=0-1"})
    assert (posted.status_code, posted.text) == (200, "12345678\n")
    assert part(server, address(server, "SELECT nosuch"), "bytes=0-1").status_code == 404


def test_a_part_of_other_bytes_is_not_taken_for_one_of_these(server: RunningServer) -> None:
    url = address(server, "SELECT 123456789")
    tag = server.client.head(url).headers["etag"]
    assert part(server, url, "bytes=0-2", **{"If-Range": tag}).text == "123"
    other = part(server, url, "bytes=0-2", **{"If-Range": '"other"'})
    assert (other.status_code, other.text, other.headers["etag"]) == (200, "123456789\n", tag)
    assert part(server, url, "bytes=0-2", **{"If-Match": tag}).text == "123"
    assert part(server, url, "bytes=0-2", **{"If-Match": '"other"'}).status_code == 412


def test_results_differ_by_all_that_they_depend_on(server: RunningServer) -> None:
    query = "SELECT {x:String} || toString(now()) || toString(rand64())"
    urls = [
        address(server, query, param_x="a"),
        address(server, query, param_x="b"),
        address(server, query, param_x="a", default_format="CSV"),
        address(server, query, param_x="a", extremes="0"),
        address(server, query + " ", param_x="a"),
    ]
    tags = [part(server, url, "bytes=0-").headers["etag"] for url in urls]
    assert len(set(tags)) == len(urls)
    assert [part(server, url, "bytes=0-").headers["etag"] for url in urls] == tags


def test_parts_are_in_the_audit_log(server: RunningServer) -> None:
    url = address(server, NUMBERS, query_id="in-parts")
    part(server, url, "bytes=0-9")
    entry = server.entry("in-parts")
    assert (entry["outcome"], entry["bytes_sent"], entry["rows"]) == ("ok", 10, 200_000)


def test_a_user_does_not_get_what_was_kept_for_another(confining: None, simulated: Lake, tmp_path: Path) -> None:  # noqa: ARG001 -- skips
    from pointline.server.hashes import new_token

    tokens = [new_token() for _ in range(2)]
    users = "".join(f'[users.u{n}]\ntokens = ["{digest}"]\n' for n, (_, digest) in enumerate(tokens))
    with running_server(simulated, tmp_path, config=f"[server]\nkept_mb = 1\n{users}") as server:
        url = address(server, RANDOM)
        heads = [server.client.head(url, headers={"Authorization": f"Bearer {token}"}) for token, _ in [*tokens, tokens[0]]]
        assert heads[0].headers["etag"] == heads[2].headers["etag"] != heads[1].headers["etag"]
        assert server.client.head(url).status_code == 401
        large = address(server, "SELECT repeat('x', 1000) FROM numbers(2000)", user="u0", password=tokens[0][0])
        refused = part(server, large, "bytes=0-1")
        assert (refused.status_code, refused.headers["x-clickhouse-exception-code"]) == (400, "396")
        assert "kept_mb" in refused.text
        assert len(server.client.get(large).content) == 2_000 * 1_001


# ---- readers


def test_polars_reads_a_result_by_its_address(server: RunningServer) -> None:
    expected = pl.read_parquet(io.BytesIO(server.ask(NUMBERS, default_format="Parquet").content))
    url = address(server, f"{NUMBERS} FORMAT Parquet")
    assert pl.read_parquet(url).equals(expected)
    assert pl.read_parquet(url, glob=False, columns=["n"]).equals(expected.select("n"))
    assert pl.scan_parquet(url).filter(pl.col("n") == 123_456).collect()["s"].to_list() == [b"123456"] or (
        pl.scan_parquet(url).filter(pl.col("n") == 123_456).collect()["s"].to_list() == ["123456"]
    )
    assert pl.read_csv(address(server, f"{NUMBERS} FORMAT CSVWithNames")).height == 200_000
    candles = "SELECT * FROM api.ohlcv(candle_duration_in_minutes = 60) ORDER BY ALL FORMAT Parquet"
    assert pl.read_parquet(address(server, candles)).height == int(server.rows(f"SELECT count() FROM ({candles[:-15]})")[0][0])


def test_pandas_reads_a_result_by_its_address(server: RunningServer) -> None:
    assert pd.read_csv(address(server, f"{NUMBERS} FORMAT CSVWithNames"))["n"].sum() == 19_999_900_000
    frame = pd.read_parquet(address(server, f"{NUMBERS} FORMAT Parquet"))
    assert (len(frame), frame["n"].sum()) == (200_000, 19_999_900_000)


def test_what_duckdb_asks_for(server: RunningServer) -> None:
    """Its reader of addresses sends HEAD, then ranges of the end and of column chunks, several at a time."""
    from concurrent.futures import ThreadPoolExecutor

    url = address(server, f"{NUMBERS} FORMAT Parquet")
    head = server.client.head(url, headers={"User-Agent": "duckdb"})
    size = int(head.headers["content-length"])
    foot = part(server, url, f"bytes={size - 8}-{size - 1}")
    assert foot.content[4:] == b"PAR1"
    length = int.from_bytes(foot.content[:4], "little")
    assert part(server, url, f"bytes={size - 8 - length}-{size - 9}").status_code == 206
    bounds = [*range(0, size, 50_000), size]
    with ThreadPoolExecutor(8) as threads:
        parts = list(threads.map(lambda pair: part(server, url, f"bytes={pair[0]}-{pair[1] - 1}").content, itertools.pairwise(bounds)))
    assert pl.read_parquet(io.BytesIO(b"".join(parts))).height == 200_000


# ---- what is stored_results, and for how long


@pytest.mark.parametrize(
    ("header", "size", "expected"),
    [
        ("bytes=0-4", 10, (0, 5)),
        ("bytes=5-", 10, (5, 10)),
        ("bytes=-3", 10, (7, 10)),
        ("bytes=-30", 10, (0, 10)),
        ("bytes=9-99", 10, (9, 10)),
        ("bytes=10-", 10, None),
        ("bytes=-0", 10, None),
        ("bytes=0-", 0, None),
        (" bytes=1-1 ", 10, (1, 2)),
    ],
)
def test_ranges(header: str, size: int, expected: tuple[int, int] | None) -> None:
    found = range_of(header)
    assert isinstance(found, ByteRange)
    assert found.within(size) == expected


class Runs:
    """Stands for the pool: each run gives other bytes."""

    def __init__(self, size: int = 100, generation: int = 1) -> None:
        self.count, self.size, self.generation = 0, size, generation

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[Reply]:
        self.count += 1
        number = self.count

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(self.size // 10):
                await asyncio.sleep(0)
                yield b"%010d" % number

        yield Reply(Answer("CSV", 1, 1, 1, 0.0, []), chunks(), 0.0, generation=self.generation)


def with_store(folder: Path, ask: Any, *, most: int = 1_000) -> None:  # noqa: ANN401 - a coroutine function
    async def run() -> None:
        store = ResultStore(folder / "kept", most)
        await ask(store)
        for key in list(store._stored):
            store._drop(key)
        assert store._bytes == 0

    asyncio.run(run())
    assert list((folder / "kept").iterdir()) == []


def test_a_query_runs_once_for_all_who_ask_at_once(tmp_path: Path) -> None:
    async def ask(store: ResultStore) -> None:
        runs = Runs()
        found = await asyncio.gather(*(store.result("a", begins=True, generation=1, run=runs) for _ in range(5)))
        assert runs.count == 1
        assert len({id(one) for one, _ in found}) == 1
        assert [reply is not None for _, reply in found].count(True) == 1

    with_store(tmp_path, ask)


def test_old_results_make_room_and_too_large_ones_are_refused(tmp_path: Path) -> None:
    async def ask(store: ResultStore) -> None:
        runs = Runs(400)
        for key in ("a", "b", "a", "c"):
            await store.result(key, begins=True, generation=1, run=runs)
        assert runs.count == 3
        await store.result("a", begins=True, generation=1, run=runs)
        assert runs.count == 3  # b was asked for longest ago and had to go
        await store.result("b", begins=True, generation=1, run=runs)
        assert runs.count == 4
        with pytest.raises(RefusedError, match="kept_mb"):
            await store.result("d", begins=True, generation=1, run=Runs(2_000))
        assert sum(path.stat().st_size for path in (tmp_path / "kept").iterdir()) == store._bytes <= 1_000

    with_store(tmp_path, ask)


def test_when_a_stored_result_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr(stored_results.time, "monotonic", lambda: now)

    async def ask(store: ResultStore) -> None:
        nonlocal now
        runs = Runs()

        async def count(after_s: float, *, begins: bool, generation: int = 1) -> int:
            nonlocal now
            now += after_s
            runs.generation = generation
            await store.result("a", begins=begins, generation=generation, run=runs)
            return runs.count

        assert await count(0, begins=True) == 1
        assert await count(10, begins=True) == 1
        assert await count(1, begins=True, generation=2) == 1  # a client is reading it
        assert await count(10, begins=False, generation=2) == 1  # goes on reading
        assert await count(10, begins=True, generation=2) == 2  # the lake has changed
        assert [await count(50, begins=False, generation=3) for _ in range(4)] == [2] * 4
        assert await count(1, begins=True, generation=2) == 3  # too old to begin with
        assert await count(61, begins=False) == 4

    with_store(tmp_path, ask)


def test_a_query_that_fails_leaves_nothing(tmp_path: Path) -> None:
    @asynccontextmanager
    async def fails() -> AsyncIterator[Reply]:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"x"
            raise RefusedError("TIMEOUT_EXCEEDED", "late")

        yield Reply(Answer("CSV", 1, 1, 1, 0.0, []), chunks(), 0.0)

    async def ask(store: ResultStore) -> None:
        with pytest.raises(RefusedError, match="late"):
            await store.result("a", begins=True, generation=1, run=fails)
        assert store._bytes == 0
        assert list((tmp_path / "kept").iterdir()) == []

    with_store(tmp_path, ask)
