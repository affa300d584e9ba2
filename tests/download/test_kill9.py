"""A download is killed at known points: what stands under its own name is whole, and the next run gets the rest."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from tests.download.conftest import DAYS, Rig, key, trades

from pointline.download.folder import ArchiveFolder

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.download.server import Handler

RUN = """
import sys
from pointline.download import download
download("binance-futures", "BTCUSDT", "trades", "2024-05-01", "2024-05-04", folder=sys.argv[1], base_url=sys.argv[2], connections=1)
"""
BAD = f"/{key(DAYS[1])}"
FIRST = 300


def in_the_middle_of_a_known_version(handler: Handler) -> bool:
    """Sends the first bytes with what tells their version, and waits until they are on the disk."""
    if handler.path == BAD and handler.command == "GET":
        stored = handler.archive.files[BAD[1:]]
        handler.send(200, stored.body[:FIRST], {"ETag": f'"{stored.etag}"'}, length=len(stored.body))
        handler.wfile.flush()
        return True
    return False


def in_the_middle(handler: Handler) -> bool:
    if handler.path == BAD and handler.command == "GET":
        body = trades(DAYS[1])
        handler.send(200, body[:300], {}, length=len(body))
        handler.wfile.flush()
        return True
    return False


def before_its_check_sum(handler: Handler) -> bool:
    return handler.path == f"{BAD}.CHECKSUM"


def behind_the_listing(handler: Handler) -> bool:
    return handler.path == f"/{key(DAYS[0])}"


def wait_for(rig: Rig, size: int, released: threading.Event) -> None:
    """Returns when a part of so many bytes is there."""
    while size and not released.is_set() and not any(part.stat().st_size == size for part in rig.parts()):
        released.wait(0.01)


@pytest.mark.parametrize("point", [in_the_middle_of_a_known_version, in_the_middle, before_its_check_sum, behind_the_listing])
def test_what_is_there_is_whole_and_the_rest_follows(rig: Rig, point: Callable[[Handler], bool]) -> None:
    reached, released = threading.Event(), threading.Event()

    def stop_there(handler: Handler) -> bool:
        if not point(handler):
            return False
        wait_for(rig, FIRST if point is in_the_middle_of_a_known_version else 0, released)
        reached.set()
        released.wait(60)
        handler.close_connection = True
        return True

    rig.archive.misdeeds.append(stop_there)
    with subprocess.Popen([sys.executable, "-c", RUN, str(rig.folder), rig.url]) as process:
        try:
            assert reached.wait(60)
        finally:
            process.send_signal(signal.SIGKILL)
            released.set()
    assert process.returncode == -signal.SIGKILL
    stored = {name: body for name, body in rig.stored().items() if name.endswith(".zip")}
    assert stored == {name: rig.archive.files[name].body for name in stored}
    assert key(DAYS[0] if point is behind_the_listing else DAYS[1]) not in stored
    rig.archive.misdeeds.clear()
    ranges: list[str | None] = []
    rig.archive.misdeeds.append(lambda handler: handler.path == BAD and bool(ranges.append(handler.headers.get("Range"))))  # type: ignore[func-returns-value]
    folder = ArchiveFolder(rig.folder)
    part = folder.part(BAD[1:])
    kept = part.stat().st_size if folder.arrival(BAD[1:]).exists() else 0
    whole = len(trades(DAYS[1]))
    if point is not behind_the_listing:  # this file is then under way, or not begun
        assert kept == {in_the_middle_of_a_known_version: FIRST, before_its_check_sum: whole}.get(point, 0)
    report = rig.run()
    asked = [] if kept == whole or BAD[1:] in stored else [f"bytes={kept}-" if kept else None]
    assert ranges == asked
    assert report.counts["fetched"] == 3 - len(stored)
    assert set(report.counts) <= {"fetched", "held", "checked"}
    assert rig.stored() == {name: one.body for name, one in rig.archive.files.items()}
    assert rig.parts() == []
