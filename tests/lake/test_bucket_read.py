"""A lake in a bucket, read: what a local lake gives, bit for bit, in few requests, of few bytes, or one clear error."""

from __future__ import annotations

import json
import os
import shutil
import threading
from typing import TYPE_CHECKING

import pytest
from tests import buckets
from tests.cli.running import run
from tests.lake.archives import futures_trades, land, trade
from tests.lake.archives import noon_trades as archive
from tests.lake.archives import rows as trades

from pointline.clock import to_us
from pointline.errors import ConfigError, DamageError, LakeError, NoLakeError, PointlineError
from pointline.ingest import ordered, spool
from pointline.lake import open_lake, partition
from pointline.lake.catalog import catalog
from pointline.lake.transfer import copy_lake
from pointline.lake.verify import verify
from pointline.sql import query as sql
from pointline.studies.compare import compare

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pointline.studies.study import Study

PERP, SPOT = "binance-futures:BTCUSDT", "binance-spot:BTCUSDT"
URL = buckets.DEMO
FIRST_REQUESTS = 80
"""Requests of the first compare of the demo's two days on a machine: the entries of ten logs, and what it reads of the data files."""


@pytest.fixture(autouse=True)
def after_the_copy(copied: Path, store: buckets.Server) -> None:
    """The store counts what tests do, not the copy."""
    del copied
    store.forget()


def compared(lake: object) -> Study:
    return compare(PERP, SPOT, start="2024-05-01", end="2024-05-03", lake=lake)  # type: ignore[arg-type]


def test_sql_over_a_bucket_is_sql_over_its_files(store: buckets.Server, copied: Path) -> None:
    pytest.importorskip("chdb")
    statement = "SELECT exchange, count(), sum(price) FROM trade GROUP BY exchange ORDER BY exchange"
    local = sql(statement, lake=copied)
    assert sql(statement, lake=URL).equals(local)
    store.forget()
    assert sql(statement, lake=URL).equals(local)
    assert store.counted().total() == 3  # opened anew, nothing fetched


def test_the_mirror_keeps_to_its_bound(store: buckets.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = open_lake(URL)
    compared(lake)
    with lake.held():
        pass
    monkeypatch.setenv("POINTLINE_MIRROR_BYTES", "1000000")
    assert size_of(open_lake(URL).root) > 1_000_000  # in use
    for path in lake.root.rglob("*.parquet"):
        os.utime(path, (1, 1))
    (lake.root / ".trimmed").unlink()
    assert size_of(open_lake(URL).root) <= 1_000_000
    assert store.url
    compared(URL)


def size_of(root: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in root.rglob("*.parquet"))


def timeless(found: dict[str, object]) -> dict[str, object]:
    """Figures without how long they took."""
    return {name: value for name, value in found.items() if name not in {"elapsed_s", "rows_per_s"}}


def test_compare_over_a_bucket_is_the_local_one_in_few_requests(copied: Path, store: buckets.Server, elsewhere: Callable[[], None]) -> None:
    local = compared(copied)
    first = compared(URL)
    assert first.features.equals(local.features)
    assert timeless(first.summary) == timeless(local.summary)
    counts = store.counted()
    assert counts.total() <= FIRST_REQUESTS
    assert set(counts) <= {"GET", "HEAD"}  # a reader writes nothing
    logs = [key for _, key in store.requests if "_delta_log" in key]
    assert len(logs) == len(set(logs))  # each entry once
    store.forget()
    shutil.rmtree(open_lake(URL).root / ".cache" / "bars")
    store.forget()
    assert compared(URL).features.equals(local.features)
    assert store.counted().total() == 3  # the book, and the user's own files below the lake
    elsewhere()
    store.forget()
    assert compared(URL).features.equals(local.features)
    assert store.counted() == counts


def test_the_versions_of_one_call_are_one_state(store: buckets.Server) -> None:
    lake = open_lake(URL)
    store.forget()
    for _ in range(3):
        catalog(lake)
    compared(lake)
    assert not [key for _, key in store.requests if "_delta_log" in key or key == ".heads.json"]


def test_only_the_columns_and_row_groups_that_are_read_are_fetched(
    store: buckets.Server, new_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for module in (ordered, partition):
            patch.setattr(module, "ROW_GROUP_ROWS", 4_000)
        patch.setattr(spool, "ORDERED_ROWS", 5_000)
        lines = [
            trade(
                1 + k,
                f"2024-05-01 {k // 3600:02d}:{k // 60 % 60:02d}:{k % 60:02d}",
                f"{60_000 + k * 7919 % 9973}.{k % 10}",
                f"0.{1 + k * 104729 % 99991}",
            )
            for k in range(40_000)
        ]
        land(tmp_path / "lake", futures_trades(tmp_path / "in", "2024-05-01", *lines))
    copy_lake(tmp_path / "lake", new_url)
    monkeypatch.setattr("pointline.lake.bucket.COALESCED_BYTES", 0)  # the days of a test are as small as what is else read in passing
    lake = open_lake(new_url)
    (file,) = lake.files("trades", "binance-futures", "BTCUSDT")
    size = open_lake(tmp_path / "lake").files("trades", "binance-futures", "BTCUSDT")[0].path.stat().st_size
    _ = file.footer
    store.forget()
    hour = ("trades", "binance-futures", "BTCUSDT", to_us("2024-05-01 05:00"), to_us("2024-05-01 06:00"), ["price_int"])
    found = lake.scan(*hour).collect()
    assert found.equals(open_lake(tmp_path / "lake").scan(*hour).collect())
    assert found.height == 3_600
    assert 0 < store.sent < size / 4
    assert not file.path.is_file()
    store.forget()
    everything = lake.scan(
        "trades", "binance-futures", "BTCUSDT", to_us("2024-05-01"), to_us("2024-05-02"), ["price_int", "side"]
    ).collect()
    assert everything.height == 40_000
    assert store.sent < size * 0.7


def test_a_fetched_column_that_changed_on_this_disk_is_fetched_again(
    store: buckets.Server, copied: Path, elsewhere: Callable[[], None]
) -> None:
    lake = open_lake(URL)
    window = (to_us("2024-05-01"), to_us("2024-05-02"))
    expected = open_lake(copied).scan("trades", "binance-futures", "BTCUSDT", *window, ["price_int", "qty_int"]).collect()
    assert lake.scan("trades", "binance-futures", "BTCUSDT", *window, ["price_int", "qty_int"]).collect().equals(expected)
    for path in (lake.root / ".cache" / "parts").rglob("*.parquet"):
        content = path.read_bytes()
        middle = len(content) // 3
        path.write_bytes(content[:middle] + bytes(byte ^ 0xFF for byte in content[middle : middle + 2_000]) + content[middle + 2_000 :])
    mirror = lake.mirror
    assert mirror is not None
    mirror.parts._checked.clear()  # as in another process
    assert lake.scan("trades", "binance-futures", "BTCUSDT", *window, ["price_int", "qty_int"]).collect().equals(expected)
    assert store.url
    elsewhere()


# --- what fails ------------------------------------------------------------------------------------------------------------------------


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "answer", [(503, "SlowDown"), "late", pytest.param((500, "InternalError"), marks=SLOW), pytest.param("reset", marks=SLOW)]
)
def test_a_store_that_fails_now_and_then_is_asked_again(answer: tuple[int, str] | str, copied: Path, store: buckets.Server) -> None:
    turn = iter(range(1_000_000))
    guard = threading.Lock()

    def every_third(method: str, key: str) -> tuple[int, str] | str | None:
        del method, key
        with guard:
            return answer if next(turn) % 3 == 1 else None

    store.fault = every_third
    assert compared(URL).features.equals(compared(copied).features)


@pytest.mark.parametrize(
    ("answer", "says"), [((500, "InternalError"), "failed"), ((503, "SlowDown"), "failed"), ("reset", "cannot be reached")]
)
def test_a_store_that_always_fails_gives_one_error(
    answer: tuple[int, str] | str, says: str, store: buckets.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pointline.lake.bucket.MOST_RETRIES", 1)
    store.fault = lambda method, key: answer  # noqa: ARG005
    with pytest.raises(LakeError, match=says) as raised:
        compared(URL)
    assert buckets.SECRET_KEY not in str(raised.value)


def test_a_store_that_fails_while_columns_are_read_gives_one_error(store: buckets.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pointline.lake.bucket.MOST_RETRIES", 1)
    store.fault = lambda method, key: (503, "SlowDown") if key.endswith(".parquet") else None  # noqa: ARG005
    with pytest.raises(LakeError, match="failed"):
        compared(URL)


def test_an_old_answer_gives_the_old_state_whole(
    store: buckets.Server, new_url: str, tmp_path: Path, elsewhere: Callable[[], None]
) -> None:
    """A reader between the steps of a writer, or of a store that answers with what it had before."""
    land(new_url, archive(tmp_path / "in", "2024-05-01", 1))
    mirror = open_lake(new_url).mirror
    assert mirror is not None
    before = mirror.bucket.get(".heads.json")
    land(new_url, archive(tmp_path / "in", "2024-05-02", 6))
    after = mirror.bucket.get(".heads.json")
    assert before is not None
    assert after is not None
    mirror.bucket.put(".heads.json", before.content)
    elsewhere()
    assert trades(new_url).height == 5
    mirror.bucket.put(".heads.json", after.content)
    assert trades(new_url).height == 10
    assert store.url


def test_a_log_entry_that_is_lost_or_changed_is_found(
    store: buckets.Server, new_url: str, tmp_path: Path, elsewhere: Callable[[], None]
) -> None:
    land(new_url, archive(tmp_path / "in", "2024-05-01", 1))
    mirror = open_lake(new_url).mirror
    assert mirror is not None
    key = "trades/_delta_log/00000000000000000001.json"
    entry = mirror.bucket.get(key)
    assert entry is not None
    for content in (entry.content.replace(b"numRecords", b"numRecordz"), None):
        mirror.bucket.remove(key) if content is None else mirror.bucket.put(key, content)
        elsewhere()
        with pytest.raises(DamageError, match="log of a table"):
            open_lake(new_url)
    assert store.url


def test_a_data_file_that_is_gone_is_one_error(new_url: str, tmp_path: Path, elsewhere: Callable[[], None]) -> None:
    land(new_url, archive(tmp_path / "in", "2024-05-01", 1))
    lake = open_lake(new_url)
    mirror = lake.mirror
    assert mirror is not None
    (path,) = lake.live("trades")["path"]
    mirror.bucket.remove(f"trades/{path}")
    elsewhere()
    with pytest.raises(DamageError, match="missing"):
        trades(new_url)
    elsewhere()
    assert [(problem.table, problem.kind) for problem in verify(open_lake(new_url)).problems] == [("trades", "data")]


WRONG: dict[str, tuple[dict[str, str | None], str, type[PointlineError], str]] = {
    "no credentials": ({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, URL, ConfigError, "no credentials"),
    "no such profile": (
        {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None, "AWS_PROFILE": "desk"},
        URL,
        ConfigError,
        "profile",
    ),
    "no bucket": ({}, "s3://no-such-bucket/lake", LakeError, "no such bucket"),
    "no lake": ({}, "s3://desk/nothing-here", NoLakeError, "no lake here"),
    "no server": ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, URL, LakeError, "cannot be reached"),
    "plain http": ({"AWS_ENDPOINT_URL": "http://store.example:9000"}, URL, ConfigError, "not encrypted"),
    "no place": ({}, "s3://", ConfigError, "no place for a lake"),
    "odd prefix": ({}, "s3://desk/../x", ConfigError, "no place for a lake"),
    "other scheme": ({}, "gs://desk/x", LakeError, "no place for a lake"),
    "no slashes": ({}, "s3:", LakeError, "no place for a lake"),
    "capitals": ({}, "S3://desk/x", LakeError, "no place for a lake"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_set_up_wrongly_is_one_error(case: str, store: buckets.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    changes, url, kind, says = WRONG[case]
    monkeypatch.setattr("pointline.lake.bucket.MOST_RETRIES", 0)
    for name, value in changes.items():
        monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)
    with pytest.raises(kind, match=says) as raised:
        open_lake(url)
    assert buckets.SECRET_KEY not in str(raised.value)
    assert store.url


def test_wrong_credentials_and_denied_writes_are_one_error(
    store: buckets.Server, new_url: str, tmp_path: Path, elsewhere: Callable[[], None]
) -> None:
    store.fault = lambda method, key: (403, "InvalidAccessKeyId")  # noqa: ARG005
    with pytest.raises(LakeError, match="refuses access"):
        open_lake(URL)
    store.fault = None
    land(new_url, archive(tmp_path / "in", "2024-05-01", 1))
    elsewhere()
    store.fault = lambda method, key: (403, "AccessDenied") if method == "PUT" else None  # noqa: ARG005
    with pytest.raises(LakeError, match="refuses access"):
        land(new_url, archive(tmp_path / "in", "2024-05-02", 6))
    assert trades(new_url).height == 5  # reading needs no right to write


def test_a_profile_gives_the_credentials(store: buckets.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "credentials"
    file.write_text(f"[desk]\naws_access_key_id = {buckets.ACCESS_KEY}\naws_secret_access_key = {buckets.SECRET_KEY}\n", encoding="utf-8")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_PROFILE", "desk")
    assert "trades" in open_lake(URL).kinds()
    assert store.url


def said(text: str) -> object:
    """What a command says, without how long it took."""
    found = json.loads(text)
    return timeless(found) if isinstance(found, dict) else found


def test_the_command_line_works_on_a_bucket(copied: Path, new_url: str, elsewhere: Callable[[], None], tmp_path: Path) -> None:
    window = ("--start", "2024-05-01", "--end", "2024-05-03")
    for words in (("catalog",), ("check", PERP, SPOT, *window), ("compare", PERP, SPOT, *window)):
        local, there = (run(*words, "--lake", lake, "--json") for lake in (copied, URL))
        assert (there.code, there.err) == (local.code, local.err), words
        assert said(there.out.replace(URL, "LAKE")) == said(local.out.replace(str(copied), "LAKE")), words
    assert run("lake", "copy", copied, new_url, "--json").json["files"] > 10
    again = run("lake", "sync", copied, new_url, "--json").json
    assert (again["files"], again["entries"]) == (0, 0)
    elsewhere()
    assert run("lake", "copy", new_url, tmp_path / "back", "--json").code == 0
    assert run("verify", "--lake", tmp_path / "back", "--json").code == 0
    assert run("verify", "--lake", new_url, "--json").code == 0
    assert compared(tmp_path / "back").features.equals(compared(copied).features)


def test_the_command_line_says_one_error_and_no_secret(store: buckets.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pointline.lake.bucket.MOST_RETRIES", 0)
    store.fault = lambda method, key: (403, "SignatureDoesNotMatch")  # noqa: ARG005
    found = run("catalog", "--lake", URL)
    assert found.code == 5
    assert "Traceback" not in found.err
    assert "refuses access" in found.err
    assert buckets.SECRET_KEY not in found.err + found.out
    assert run("repair", "--lake", URL).code == 5
