"""On a cluster: the same bytes with any number of workers, whatever dies; and an error that says what is wrong where it cannot work."""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any

import dask
import polars as pl
import pytest
from distributed import Client, LocalCluster
from distributed.comm.core import CommClosedError
from tests.machine import until
from tests.scale.working import PAIR, Hungry, StopsOnce, allow_failures, bytes_of

from pointline import scale
from pointline.errors import ClusterError, ConfigError, MissingExtraError
from pointline.ingest.run import ingest
from pointline.lake.store import open_lake
from pointline.research.spines import TimeBarConfig, TradeBarConfig
from pointline.scale import cluster as cluster_module
from pointline.scale.cluster import connected
from pointline.simulate import MarketConfig, write_archives
from pointline.sources.base import Hints
from pointline.sources.families import all_sources

if TYPE_CHECKING:
    from pathlib import Path

MEMORY = 1_000_000_000


def made(lake: str, output: Path, cluster: Any, **changed: Any) -> scale.ScaledDataset:  # noqa: ANN401
    given = {"start": "2024-05-01", "end": "2024-05-07", "bars": TimeBarConfig("1h"), "days_per_task": 1, "cache": False, **changed}
    return scale.compare([PAIR], **given, lake=lake, output=output, cluster=cluster)


@pytest.fixture(scope="module")
def serial(lake: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The bytes that this process alone makes."""
    return bytes_of(made(lake, tmp_path_factory.mktemp("serial") / "made", "none").root)


def test_bytes_do_not_depend_on_the_workers(lake: str, tmp_path: Path, client: Client, here: LocalCluster, serial: dict[str, str]) -> None:
    told: list[tuple[int, int]] = []
    two = made(lake, tmp_path / "two", client, progress=lambda done, total, _: told.append((done, total)))
    assert bytes_of(two.root) == serial
    assert told == [(n, 5) for n in range(1, 6)]
    one = made(lake, tmp_path / "one", here.scheduler_address)
    assert bytes_of(one.root) == serial
    again = made(lake, tmp_path / "two", client)
    assert (again.run.computed, again.run.kept) == (0, 5)  # type: ignore[union-attr]


def test_a_task_whose_worker_is_killed_is_done_by_another(lake: str, tmp_path: Path, client: Client, serial: dict[str, str]) -> None:
    marker = tmp_path / "running"
    client.register_plugin(StopsOnce(str(marker)))

    def kill() -> None:
        until(lambda: marker.exists() and marker.read_text().endswith("\n"))
        os.kill(int(marker.read_text()), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        found = made(lake, tmp_path / "made", client)
    finally:
        killer.join()
        client.unregister_worker_plugin("stops")
    assert found.run is not None
    assert found.run.computed == 5
    assert bytes_of(found.root) == serial


@pytest.mark.slow
def test_forty_days_while_workers_are_killed_at_random(tmp_path: Path, client: Client) -> None:
    market = MarketConfig(start="2024-05-01", days=40, perp_trades_per_day=1_000)
    paths = write_archives(market, tmp_path / "archives", datasets=("trades", "markPriceKlines", "fundingRate"))
    opened = open_lake(tmp_path / "lake", create=True)
    ingest(opened, paths, sources=all_sources(), hints=Hints())
    window = {"end": "2024-06-10", "bars": TradeBarConfig(20)}
    chance, killed = random.Random(40), 0  # noqa: S311 - nothing secret

    def kill(done: int, total: int, text: str) -> None:  # noqa: ARG001
        nonlocal killed
        workers = list(client.run(os.getpid, on_error="ignore").values()) if chance.random() < 0.2 else []
        if workers:
            os.kill(chance.choice(workers), signal.SIGKILL)
            killed += 1

    found = made(str(opened.root), tmp_path / "killed", client, **window, progress=kill)
    assert killed >= 3
    assert bytes_of(found.root) == bytes_of(made(str(opened.root), tmp_path / "serial", "none", **window).root)


@pytest.mark.slow
def test_a_worker_without_memory_is_named_with_its_limit(lake: str, tmp_path: Path, client: Client) -> None:
    before = client.run_on_scheduler(allow_failures, 0)
    client.register_plugin(Hungry())
    try:
        with pytest.raises(ClusterError, match="1 of 1 tasks failed, 0 are done") as told:
            made(lake, tmp_path / "made", client, days_per_task=9)
    finally:
        client.unregister_worker_plugin("hungry")
        client.run_on_scheduler(allow_failures, before)
    assert "case=0/2024-05-01: a worker died while it ran the task, memory limit 1.00 GB" in str(told.value.value)
    assert "--memory" in str(told.value.hint)
    found = made(lake, tmp_path / "made", client, days_per_task=9)
    assert bytes_of(found.root) == bytes_of(made(lake, tmp_path / "serial", None, days_per_task=9).root)


def test_a_scheduler_that_goes_leaves_a_dataset_that_goes_on(lake: str, tmp_path: Path, serial: dict[str, str]) -> None:
    quickly = dask.config.set({"distributed.comm.timeouts.connect": "1s"})  # also for the end of the cluster, whose scheduler is gone
    local = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "protocol": "tcp://", "host": "127.0.0.1", "memory_limit": 0}
    with quickly, LocalCluster(**local, dashboard_address=":0") as ending:

        def end(done: int, total: int, text: str) -> None:  # noqa: ARG001
            if done == 2:
                ending.sync(ending.scheduler.close)

        with (
            Client(ending, set_as_default=False) as client,
            pytest.raises(ClusterError, match="the cluster ended before the work did"),
        ):
            made(lake, tmp_path / "made", client, progress=end)
    with pytest.raises(ConfigError, match="not complete"):
        scale.open_dataset(tmp_path / "made")
    found = made(lake, tmp_path / "made", "none")
    assert found.run is not None
    assert found.run.kept >= 2
    assert bytes_of(found.root) == serial


def test_workers_of_another_version_are_named_with_both(
    lake: str, tmp_path: Path, here: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    client_has = {"pointline": "9.9", "polars": pl.__version__, "python": "3.11"}
    monkeypatch.setattr("pointline.scale.run.own_versions", lambda: client_has)
    with pytest.raises(ClusterError, match="has other versions than the client") as told:
        made(lake, tmp_path / "made", here.scheduler_address)
    assert "pointline 0.1.0 there, 9.9 here" in str(told.value.value)


@pytest.mark.parametrize(
    ("cluster", "words"),
    [("tcp://nowhere", "no such cluster"), ("local:0", "no such cluster"), ("locale", "no such cluster"), (3, "no such cluster")],
)
def test_a_cluster_that_is_named_wrongly_is_refused(lake: str, tmp_path: Path, cluster: object, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        made(lake, tmp_path / "made", cluster)


def test_an_address_where_nobody_answers_is_told(lake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_module, "CONNECT_S", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(ClusterError, match="no Dask scheduler answers"):
            made(lake, tmp_path / "made", f"tcp://127.0.0.1:{free.getsockname()[1]}")


def empty() -> LocalCluster:
    """A scheduler without workers in this process."""
    return LocalCluster(n_workers=0, processes=False, protocol="tcp://", host="127.0.0.1", dashboard_address=":0", memory_limit=0)


def test_a_cluster_without_workers_is_told(lake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_module, "FIRST_WORKER_S", 0)
    with empty() as cluster, pytest.raises(ClusterError, match="no workers"):
        made(lake, tmp_path / "made", cluster.scheduler_address)


def test_a_worker_that_is_still_starting_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with empty() as cluster, Client(cluster.scheduler_address, set_as_default=False) as client:
        asked = client.wait_for_workers

        def wait(*given: Any, **options: Any) -> Any:  # noqa: ANN401
            cluster.scale(1)
            return asked(*given, **options)

        monkeypatch.setattr(client, "wait_for_workers", wait)
        with connected(client) as found:
            assert len(found.nthreads()) == 1


def test_workers_are_there_although_dask_has_just_forgotten_them(here: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    with Client(here.scheduler_address, set_as_default=False) as client:
        update = client._update_scheduler_info

        async def twice(*given: Any, **options: Any) -> None:  # noqa: ANN401
            await update(*given, **options)
            await update()  # as Dask's thread does every two seconds

        monkeypatch.setattr(client, "_update_scheduler_info", twice)
        assert client.scheduler_info()["workers"] == {}
        with connected(client) as found:
            assert len(found.nthreads()) == 1


def test_a_worker_that_dies_while_it_is_asked_is_not_taken_for_one_without_pointline(
    here: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Client(here.scheduler_address, set_as_default=False) as client:
        asked, answers = client.run, [{"tcp://127.0.0.1:1": CommClosedError("in <TCP>: Stream is closed")}]
        monkeypatch.setattr(client, "run", lambda *given, **options: answers.pop() if answers else asked(*given, **options))
        with connected(client):
            assert answers == []
        monkeypatch.setattr(client, "run", lambda *_, **__: {"tcp://127.0.0.1:1": ModuleNotFoundError("No module named 'pointline'")})
        with pytest.raises(ClusterError, match="cannot load pointline"), connected(client):
            pass


def test_memory_is_of_local_clusters(lake: str, tmp_path: Path, here: LocalCluster) -> None:
    with pytest.raises(ConfigError, match="memory is for local clusters"):
        made(lake, tmp_path / "made", here.scheduler_address, memory="2GB")
    for memory in ("plenty", 0):
        with pytest.raises(ConfigError, match="memory"):
            made(lake, tmp_path / "made", "local:1", memory=memory)


def test_without_dask_the_extra_is_named(lake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dask", None)
    with pytest.raises(MissingExtraError, match="needs Dask") as told:
        made(lake, tmp_path / "made", "local:1")
    assert "pointline[scale]" in str(told.value.hint)


def test_every_worker_is_warmed(client: Client) -> None:
    found = scale.warm(client)
    assert found["host"].to_list() == [socket.gethostname()] * 2
    assert scale.warm("none")["worker"].to_list() == ["here"]
