"""A server over a lake in a bucket: queries, a new commit, and a bucket that does not answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.lake.archives import land, noon_trades
from tests.machine import limit, until
from tests.server.running import running_server

from pointline.lake import open_lake

if TYPE_CHECKING:
    from pathlib import Path

    from tests.buckets import Server

pytestmark = pytest.mark.usefixtures("confining")

COUNT = "SELECT count() FROM trade WHERE known_at >= '2024-05-01' AND known_at < '2024-06-01'"


def size_of_a_day(url: str) -> int:
    """Bytes of the one file of trades of a lake."""
    lake = open_lake(url)
    (path,) = lake.live("trades")["path"]
    assert lake.mirror is not None
    return lake.mirror.bucket.size(f"trades/{path}") or 0


def test_a_new_commit_is_served_and_what_was_there_when_the_bucket_does_not_answer(
    store: Server, new_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(new_url, noon_trades(tmp_path / "in", "2024-05-01", 1))
    config = f"[server]\nworkers = 1\nrefresh_s = 0.1\nwait_s = {limit(20.0)}"
    monkeypatch.setenv("POINTLINE_MIRROR", str(tmp_path / "machine-of-the-server"))
    monkeypatch.setenv("POINTLINE_MIRROR_BYTES", str(size_of_a_day(new_url) * 7 // 2))
    monkeypatch.setattr("pointline.lake.places._MIRRORS", {})
    served = open_lake(new_url)
    with running_server(served, tmp_path, config=config, place=new_url) as server:
        assert f"serving {new_url} at" in "".join(server.said)
        assert server.rows(COUNT) == [[5]]
        monkeypatch.setenv("POINTLINE_MIRROR", str(tmp_path / "machine-of-the-writer"))
        monkeypatch.setattr("pointline.lake.places._MIRRORS", {})
        land(new_url, noon_trades(tmp_path / "in", "2024-05-02", 6))
        until(lambda: server.rows(COUNT) == [[10]])
        store.fault = lambda method, key: (403, "AccessDenied")  # noqa: ARG005
        until(lambda: any("WARNING the bucket cannot be looked at" in line for line in server.said))
        assert server.rows(COUNT) == [[10]]
        store.fault = None
        land(new_url, noon_trades(tmp_path / "in", "2024-05-03", 11))
        until(lambda: server.rows(COUNT) == [[15]])
        assert sum("the bucket cannot be looked at" in line for line in server.said) == 1
        store.forget()
        land(new_url, noon_trades(tmp_path / "in", "2024-05-04", 16))
        refused = until(lambda: (answer := server.ask(COUNT)).status_code != 200 and answer)
        assert (refused.status_code, refused.headers["x-clickhouse-exception-code"]) == (400, "396")
        assert "POINTLINE_MIRROR_BYTES" in refused.text
        assert server.rows(COUNT.replace("2024-06-01", "2024-05-02")) == [[5]]  # three files: of one more day on either side
