"""A download with workers: the folder's bytes are those of a download without, whatever becomes of workers and client."""

from __future__ import annotations

import json
import os
import pickle
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.cli.running import run as cli
from tests.download.conftest import NOW_US, Rig, Waits, key, trades
from tests.download.hosts import CASES
from tests.download.server import Archive, Server
from tests.download.test_misbehaving import half, on, status
from tests.download.test_rest import SYMBOLS
from tests.download.venues import Venues, market, payments
from tests.machine import until

from pointline.download import targets_of
from pointline.download.archives import open_hosts
from pointline.download.folder import ArchiveFolder, FetcherFolder
from pointline.download.run import make_plan
from pointline.download.tardis import KEY_VARIABLE
from pointline.download.transport import Manners, Transport
from pointline.errors import ClusterError, ConfigError, ServerFailedError
from pointline.scale import cluster as cluster_module
from pointline.scale.downloading import DownloadRun, DownloadWorkers, download_targets
from pointline.scale.fetching import FetchCall, FetchTerms, fetch_files
from pointline.scale.host_notes import SharedGate
from pointline.scale.task import MOST_TASK_BYTES, TaskFailure, own_versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from distributed import Client, LocalCluster
    from tests.cli.running import Result
    from tests.download.server import Handler

    from pointline.download.run import Wanted

DAYS = tuple(f"2024-05-{day:02d}" for day in range(1, 7))
END = "2024-05-07"
QUICK = Manners(requests_per_s=1_000, back_off_s=0.01, timeout_s=60)
KEY = "TD.a-key-that-nobody-may-read"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """An archive of six days."""
    archive = Archive()
    for day in DAYS:
        archive.add(key(day), trades(day))
    with Server(archive) as server, Transport(QUICK) as transport:
        yield Rig(archive, server.url, tmp_path / "archives", Waits(), transport)


def get(rig: Rig, cluster: Any, folder: Path | None = None, **options: Any) -> DownloadRun:  # noqa: ANN401
    rig.archive.asked.clear()
    targets = options.pop("targets", None) or targets_of("binance-futures", "BTCUSDT", "trades", DAYS[0], END)
    given = {"now_us": NOW_US, "base_url": rig.url, "folder": folder or rig.folder, **options}
    with Transport(QUICK) as transport:  # one that was stopped makes no more requests
        return download_targets(targets, cluster=cluster, transport=transport, **given)


def stored(folder: Path) -> tuple[dict[str, bytes], list[dict[str, Any]]]:
    """The files of a folder, and the records of them without the time at which each came."""
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    records = [json.loads(line) for line in (folder / ".pointline/verified.ndjson").read_bytes().splitlines()]
    for one in records:
        del one["mtime_ns"]
    return {name: body for name, body in files.items() if not name.startswith(".pointline/")}, sorted(records, key=lambda one: one["key"])


def left(folder: Path) -> list[str]:
    """What stands in the hidden folder beside lock and records."""
    names = {path.relative_to(folder / ".pointline").as_posix() for path in (folder / ".pointline").rglob("*") if path.is_file()}
    return sorted(names - {"lock", "verified.ndjson"})


def rows(run: DownloadRun) -> list[dict[str, Any]]:
    return [{**file.row(), "path": file.path is not None} for file in run.report.files]


def zips(rig: Rig) -> Counter[str]:
    """How often each file was asked for."""
    return Counter(path[-14:-4] for path in rig.archive.gets())


@contextmanager
def blocked(rig: Rig, *days: str) -> Iterator[tuple[dict[str, str | None], Callable[[], None], Callable[[], None]]]:
    """The first request for each of some days gets half of the file, and the rest when it is released.

    Gives the ranges of later requests for them, what waits until all of them are under way, and what releases them.
    """
    reached: dict[str, str | None] = {}
    ranges: dict[str, str | None] = {}
    released, guard = threading.Event(), threading.Lock()

    def misdeed(handler: Handler) -> bool:
        day = handler.path[-14:-4]
        if handler.command != "GET" or handler.path != f"/{key(day)}" or day not in days:
            return False
        with guard:
            if day in reached:
                ranges.setdefault(day, handler.headers.get("Range"))
                return False
        file = handler.archive.files[key(day)]
        handler.send(200, file.body[: len(file.body) // 2], {"ETag": f'"{file.etag}"'}, length=len(file.body))
        handler.wfile.flush()
        until(lambda: released.is_set() or any(part.stat().st_size == len(file.body) // 2 for part in rig.folder.rglob(f"*{day}*.part")))
        reached[day] = None
        released.wait()
        handler.wfile.write(file.body[len(file.body) // 2 :])
        return True

    rig.archive.misdeeds.append(misdeed)

    def wait() -> None:
        until(lambda: len(reached) == len(days))

    try:
        yield ranges, wait, released.set
    finally:
        released.set()


def test_the_folder_is_that_of_a_download_without_workers(rig: Rig, here: LocalCluster, client: Client, tmp_path: Path) -> None:
    plain = get(rig, "none", tmp_path / "plain")
    asked = sorted(rig.archive.asked)
    assert (plain.report.counts, plain.by_workers, plain.trouble) == ({"fetched": 6}, 0, None)
    for name, cluster in (("one", here.scheduler_address), ("two", client)):
        told: list[tuple[int, int]] = []
        found = get(rig, cluster, tmp_path / name, progress=lambda done, total, _: told.append((done, total)))  # noqa: B023
        assert (rows(found), found.by_workers, found.trouble) == (rows(plain), 6, None)
        assert stored(tmp_path / name) == stored(tmp_path / "plain")
        assert sorted(rig.archive.asked) == asked
        assert left(tmp_path / name) == []
        total = sum(file.size or 0 for file in plain.report.files)
        assert (len(told), told[-1]) == (6, (total, total))
        again = get(rig, cluster, tmp_path / name)
        assert (again.report.counts, again.by_workers, rig.archive.gets()) == ({"held": 6}, 0, [])
    assert get(rig, None, tmp_path / "two").report.counts == {"held": 6}


def test_files_that_are_there_are_checked_here_and_workers_get_what_differs(rig: Rig, here: LocalCluster) -> None:
    get(rig, None)
    (rig.folder / key(DAYS[0])).write_bytes(b"damaged")
    (rig.folder / key(DAYS[1])).unlink()
    rig.archive.add(key(DAYS[2]), trades(DAYS[2], version=2))
    found = get(rig, here.scheduler_address)
    assert (found.report.counts, found.by_workers) == ({"fetched": 1, "replaced": 2, "held": 3}, 3)
    assert get(rig, here.scheduler_address, verify=True).report.counts == {"checked": 6}
    assert stored(rig.folder)[0] == {name: one.body for name, one in rig.archive.files.items()}


def test_workers_tell_of_hosts_that_misbehave_as_a_download_does(rig: Rig, here: LocalCluster, tmp_path: Path) -> None:
    def misdeeds() -> list[Callable[[Handler], bool]]:
        return [
            on(f"/{key(DAYS[0])}", half, times=1),
            on(f"/{key(DAYS[1])}", status(503), times=1),
            on(f"/{key(DAYS[2])}", status(404)),
            on(f"/{key(DAYS[3])}", status(200)),
        ]

    rig.archive.files[f"{key(DAYS[4])}.CHECKSUM"].body = f"{'0' * 64}  {key(DAYS[4]).rpartition('/')[2]}".encode()
    rig.archive.misdeeds[:] = misdeeds()
    plain = get(rig, None, tmp_path / "plain")
    assert plain.report.counts == {"fetched": 3, "not_published": 1, "refused": 2}
    rig.archive.misdeeds[:] = misdeeds()
    found = get(rig, here.scheduler_address, tmp_path / "workers")
    assert rows(found) == rows(plain)
    assert (found.report.exit_code, found.by_workers) == (3, 3)
    assert stored(tmp_path / "workers") == stored(tmp_path / "plain")
    assert left(tmp_path / "workers") == []


@pytest.mark.parametrize(("exchange", "kind"), [("deribit", "trades"), ("bybit", "funding")])
def test_histories_by_rest_come_by_workers(rig: Rig, here: LocalCluster, tmp_path: Path, exchange: str, kind: str) -> None:
    rig.archive.misdeeds.append(Venues(trades=market(), payments=payments(8)).answer)
    targets = targets_of(exchange, SYMBOLS[exchange], kind, "2024-05-01", "2024-05-03")
    plain = get(rig, None, tmp_path / "plain", targets=targets)
    found = get(rig, here.scheduler_address, tmp_path / "workers", targets=targets)
    assert rows(found) == rows(plain)
    assert (found.by_workers, found.report.exit_code) == (len(plain.report.files), 0)
    assert stored(tmp_path / "workers") == stored(tmp_path / "plain")
    assert get(rig, None, tmp_path / "workers", targets=targets, verify=True).report.counts == {"checked": found.by_workers}


@pytest.mark.parametrize("count", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_workers_that_are_killed_lose_nothing_that_came(rig: Rig, client: Client, count: int) -> None:
    pids = list(client.run(os.getpid).values())
    with blocked(rig, DAYS[1], DAYS[4]) as (ranges, wait, release):

        def kill() -> None:
            wait()
            for pid in pids[:count]:
                os.kill(pid, signal.SIGKILL)
            release()

        killer = threading.Thread(target=kill)
        killer.start()
        found = get(rig, client, connections=2)
        killer.join()
    assert (found.report.counts, found.by_workers, found.trouble) == ({"fetched": 6}, 6, None)
    assert stored(rig.folder)[0] == {name: one.body for name, one in rig.archive.files.items()}
    twice = {day for day, times in zips(rig).items() if times == 2}
    assert (len(twice), sum(zips(rig).values())) == (count, 6 + count)
    assert ranges == {day: f"bytes={len(trades(day)) // 2}-" for day in twice}
    assert twice <= {DAYS[1], DAYS[4]}
    assert left(rig.folder) == []


COMMAND = ("scale", "download", "--exchange", "binance-futures", "--symbols", "BTCUSDT", "--kinds", "trades", "--start", DAYS[0])


@pytest.mark.slow
def test_after_a_client_that_was_killed_nothing_comes_twice(rig: Rig, client: Client) -> None:
    options = ("--end", END, "--folder", rig.folder, "--base-url", rig.url, "--connections", "2", "--cluster", client.scheduler.address)
    with blocked(rig, DAYS[1], DAYS[4]) as (_, wait, _):
        with subprocess.Popen([sys.executable, "-m", "pointline", *map(str, (*COMMAND, *options))]) as process:
            try:
                wait()
            finally:
                process.send_signal(signal.SIGKILL)
        before = {day for day in DAYS if key(day) in rig.stored()}
    assert before <= {DAYS[0], DAYS[2], DAYS[3]}
    until(lambda: len(list((rig.folder / ".pointline/staged").glob("*.json"))) == 5 - len(before))  # workers end the calls that they are at
    assert zips(rig) == dict.fromkeys(DAYS[:5], 1)
    found = get(rig, client)
    assert (found.report.counts, found.by_workers, rig.archive.gets()) == ({"fetched": 1, "held": 5}, 1, [f"/{key(DAYS[5])}"])
    assert stored(rig.folder)[0] == {name: one.body for name, one in rig.archive.files.items()}
    assert left(rig.folder) == []


class Threads:
    """The threads of two workers, in place of their client."""

    @staticmethod
    def nthreads() -> dict[str, int]:
        return {"one": 1, "two": 1}


def calls_of(rig: Rig, notes: Path, targets: list[Wanted], connections: int = 4, **terms: Any) -> list[FetchCall]:  # noqa: ANN401
    """The calls of a download, as they are sent."""
    hosts = open_hosts(((one.exchange, one.dataset, one.archive) for one in targets), rig.transport, rig.url, now_us=NOW_US)
    plan = make_plan(hosts, targets, connections=1, now_us=NOW_US)
    given = {"base_url": rig.url, "manners": QUICK, "keys": (), "versions": own_versions(), **terms}
    told = FetchTerms(folder=str(rig.folder), notes=str(notes), **given)
    workers = DownloadWorkers(cast("Client", Threads()), rig.transport, rig.url, connections)
    return list(workers.calls_of(plan.files, plan.hosts(), told))


def targets() -> list[Wanted]:
    return targets_of("binance-futures", "BTCUSDT", "trades", DAYS[0], END)


def test_workers_of_a_client_that_is_gone_stop_at_their_next_request(rig: Rig) -> None:
    folder = ArchiveFolder(rig.folder)
    with folder.writing(), folder.with_fetchers() as notes:
        call = calls_of(rig, notes, targets())[0]
        gate = SharedGate(notes, "a-host", 1_000)
        gate.wait()
    with pytest.raises(ServerFailedError, match="the download was stopped"):
        gate.wait()
    with pytest.raises(ClusterError, match="does not see the folder of the archives") as told:
        fetch_files(call)
    assert socket.gethostname() in told.value.what
    assert told.value.where == str(rig.folder)
    assert rig.archive.gets() == []


def test_all_workers_together_keep_the_pace_and_the_connections_of_one_process(rig: Rig, tmp_path: Path) -> None:
    calls = calls_of(rig, tmp_path, targets())
    assert [(len(one.files), one.connections, one.workers) for one in calls] == [(3, 2, 2), (2, 2, 2), (1, 2, 2)]
    assert [one.connections for one in calls_of(rig, tmp_path, targets(), connections=1)] == [1] * 4
    waits = Waits()
    gate = SharedGate(tmp_path, "a-host", 10, clock=waits.clock, sleep=waits.sleep, now=waits.clock)
    gate.share(2)
    gate.share(1)
    for _ in range(31):
        gate.wait()
    assert waits.now_s == pytest.approx(6)


def test_what_a_host_says_to_one_worker_all_of_them_heed(tmp_path: Path) -> None:
    waits = Waits()
    waits.now_s = 1_000
    one, two, other = (
        SharedGate(tmp_path, host, 10, clock=waits.clock, sleep=waits.sleep, now=waits.clock) for host in ("a:1", "a:1", "b:1")
    )
    one.stand_down(60)
    one.stand_down(5)
    other.wait()
    assert waits.now_s == 1_000
    two.wait()
    assert waits.now_s == pytest.approx(1_060)
    for _ in range(3):
        assert not two.is_shut
        one.answered(forbidden=True)
    assert (one.is_shut, two.is_shut, other.is_shut) == (True, True, False)
    two.wait()
    assert waits.now_s < 1_061, "a host that is shut is not waited for"


def test_a_ban_is_waited_for_by_all_workers(rig: Rig, client: Client) -> None:
    asked: list[tuple[float, str]] = []
    banned_until: list[float] = []
    other_asks, noted = threading.Event(), threading.Event()

    def misdeed(handler: Handler) -> bool:
        asked.append((time.time(), handler.path))
        if handler.path == f"/{key(DAYS[1])}":
            other_asks.set()
            noted.wait()
        elif handler.path == f"/{key(DAYS[0])}" and not noted.is_set():
            other_asks.wait()
            handler.send(429, b"", {"Retry-After": "1"})
            handler.wfile.flush()
            (note,) = until(lambda: list((rig.folder / ".pointline/fetchers").glob("*/*.json")))
            banned_until.append(json.loads(note.read_bytes()))
            asked.clear()
            noted.set()
            return True
        return False

    rig.archive.misdeeds.append(misdeed)
    two = targets_of("binance-futures", "BTCUSDT", "trades", DAYS[0], DAYS[2])
    found = get(rig, client, targets=two, connections=2)  # a file for each worker
    assert (found.report.counts, found.by_workers) == ({"fetched": 2}, 2)
    assert {path for _, path in asked} == {f"/{key(DAYS[0])}", f"/{key(DAYS[0])}.CHECKSUM", f"/{key(DAYS[1])}.CHECKSUM"}
    assert min(at for at, _ in asked) >= banned_until[0]


def test_no_key_goes_through_the_scheduler(
    rig: Rig, here: LocalCluster, client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    case, seen = CASES["tardis"], set()
    rig.serve(case)
    rig.archive.misdeeds.append(lambda handler: bool(seen.add(handler.headers.get("Authorization"))))  # type: ignore[func-returns-value]
    wanted = targets_of(case.exchange, case.symbol, case.kind, *case.window, archive=case.archive)
    calls = calls_of(rig, tmp_path, wanted, keys=(KEY_VARIABLE,))
    assert [len(call.files) for call in calls] == [2, 1]
    assert all(KEY.encode() not in pickle.dumps(call) and len(pickle.dumps(call)) < MOST_TASK_BYTES for call in calls)
    found = get(rig, here.scheduler_address, targets=wanted)
    assert (found.report.counts, found.by_workers, seen) == ({"fetched": 3}, 3, {f"Bearer {KEY}"})
    written = [path.read_bytes() for path in rig.folder.rglob("*") if path.is_file()]
    assert not any(KEY.encode() in text for text in [*written, repr(found).encode()])
    with pytest.raises(ClusterError, match="has no key in its environment") as told:
        get(rig, client, tmp_path / "none", targets=wanted)
    assert re.search(rf"{socket.gethostname()}, process \d+", told.value.what)
    assert (told.value.where, KEY in str(told.value)) == (KEY_VARIABLE, False)
    assert list((tmp_path / "none").glob("[!.]*")) == []


def test_a_refused_key_is_told_with_the_worker_whose_it_is(rig: Rig, here: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    case = CASES["tardis"]
    rig.serve(case)
    rig.archive.misdeeds.append(on(f"/{case.served(case.periods[1])}", status(401)))
    wanted = targets_of(case.exchange, case.symbol, case.kind, *case.window, archive=case.archive)
    found = get(rig, here.scheduler_address, targets=wanted)
    assert (found.report.counts, found.report.exit_code) == ({"fetched": 2, "key_refused": 1}, 4)
    hint = str(found.report.failed[0].error.hint)  # type: ignore[union-attr]
    assert (KEY_VARIABLE in hint, socket.gethostname() in hint, f"process {os.getpid()}" in hint, KEY in hint) == (True, True, True, False)


def test_workers_that_do_not_fit_are_told_before_anything_comes(rig: Rig, here: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("pointline.scale.downloading.own_versions", lambda: {"pointline": "9.9"})
        with pytest.raises(ClusterError, match="has other versions"):
            get(rig, here.scheduler_address)
    with monkeypatch.context() as patch:
        patch.setattr("pointline.scale.fetching.find_spec", lambda _: None)
        with pytest.raises(ClusterError, match="lacks httpx"):
            get(rig, here.scheduler_address)
    with monkeypatch.context() as patch:
        patch.setattr("pointline.scale.fetching.os.access", lambda *_: False)
        with pytest.raises(ClusterError, match="may not write to the folder"):
            get(rig, here.scheduler_address)
    with pytest.raises(ConfigError, match="with a password is not sent"):
        get(rig, here.scheduler_address, base_url="https://me:secret@mirror.example")
    with pytest.raises(ConfigError, match="no such cluster"):
        get(rig, "locale")
    assert rig.stored() == {}


def test_what_workers_cannot_get_this_process_gets(rig: Rig, here: LocalCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(FetcherFolder, "accept", refuse)
        found = get(rig, here.scheduler_address, tmp_path / "full")
    assert (found.report.counts, found.by_workers) == ({"fetched": 6}, 0)
    assert "cannot write to the folder" in str(found.trouble)
    with monkeypatch.context() as patch:
        patch.setattr(ArchiveFolder, "finished", lambda *_: None)
        found = get(rig, here.scheduler_address, tmp_path / "unseen")
    assert (found.report.counts, found.by_workers) == ({"fetched": 6}, 0)
    assert "does not see what a worker stored" in str(found.trouble)
    with monkeypatch.context() as patch:
        patch.setattr(cluster_module, "sent", lambda *_, **__: (one for one in [TaskFailure("a", ClusterError("4 workers died"))]))
        found = get(rig, here.scheduler_address, tmp_path / "killed")
    assert (found.report.counts, str(found.trouble)) == ({"fetched": 6}, "4 workers died")


def test_a_cluster_that_ends_leaves_the_rest_to_this_process(rig: Rig, here: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = cluster_module.sent

    def ends(*what: Any, **options: Any) -> Iterator[Any]:  # noqa: ANN401
        with closing(sent(*what, **options)) as records:
            yield next(records)
            raise cluster_module._ended()

    monkeypatch.setattr(cluster_module, "sent", ends)
    found = get(rig, here.scheduler_address, connections=1)
    assert (found.report.counts, found.by_workers) == ({"fetched": 6}, 3)
    assert "the cluster ended before the work did" in str(found.trouble)
    assert stored(rig.folder)[0] == {name: one.body for name, one in rig.archive.files.items()}


def command(rig: Rig, *more: str | Path, end: str = END) -> Result:
    return cli(*COMMAND, "--end", end, "--folder", rig.folder, "--base-url", rig.url, *more)


def test_the_command_tells_what_workers_did(rig: Rig, here: LocalCluster, tmp_path: Path) -> None:
    plan = command(rig, "--dry-run", "--cluster", here.scheduler_address)
    assert (plan.code, "6 planned" in plan.out, "workers" in plan.out, rig.folder.exists()) == (0, True, False, False)
    with ArchiveFolder(rig.folder).writing():
        busy = command(rig, "--cluster", here.scheduler_address)
    assert (busy.code, "another download writes to this folder" in busy.err) == (4, True)
    done = command(rig, "--cluster", here.scheduler_address, end=DAYS[2])
    assert (done.code, done.out.splitlines()[-1]) == (0, "2 of 2 files came by workers")
    found = command(rig, "--cluster", here.scheduler_address, "--json", "--ingest", "--lake", tmp_path / "lake").json
    assert (found["counts"], found["by_workers"], found["trouble"]) == ({"fetched": 4, "held": 2}, 4, None)
    assert [one["outcome"] for one in found["ingest"]] == ["landed"] * 6
    missing = command(rig, "--cluster", here.scheduler_address, end="2024-05-09")
    assert (missing.code, "days are missing" in missing.err) == (1, True)
    assert command(rig, "-q", "--cluster", here.scheduler_address).out == ""
    assert "workers" not in command(rig).out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--cluster", "locale"), "no such cluster"),
        (("--cluster", "local:2", "--memory", "plenty"), "memory of a worker cannot be read"),
        (("--base-url", "ftp://mirror", "--cluster", "none"), "the base URL is none"),
        (("--connections", "0"), "--connections"),
        (("--archive", "elsewhere"), "no such archive"),
        (("--end", "2024-04-01"), "end"),
    ],
)
def test_what_cannot_be_used_is_refused(rig: Rig, options: tuple[str, ...], words: str) -> None:
    told = command(rig, *options)
    assert (told.code, words in told.err, rig.archive.gets()) == (2, True, [])


@pytest.mark.slow
def test_forty_days_while_workers_are_killed_at_random(rig: Rig, client: Client) -> None:
    days = [f"2024-{month:02d}-{day:02d}" for month in (6, 7) for day in range(1, 21)]
    for day in days:
        rig.archive.add(key(day), trades(day))
    chance, killed = random.Random(40), []  # noqa: S311 - nothing secret

    def kill(done: int, total: int, text: str) -> None:  # noqa: ARG001
        workers = list(client.run(os.getpid, on_error="ignore").values()) if chance.random() < 0.2 else []
        if workers:
            killed.append(chance.choice(workers))
            os.kill(killed[-1], signal.SIGKILL)

    found = get(rig, client, targets=targets_of("binance-futures", "BTCUSDT", "trades", "2024-06-01", "2024-07-21"), progress=kill)
    assert len(killed) >= 3
    assert found.report.counts == {"fetched": 40}
    expected = {name: one.body for name, one in rig.archive.files.items() if "2024-05" not in name}
    assert stored(rig.folder)[0] == expected
    assert left(rig.folder) == []
