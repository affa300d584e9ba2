"""A download is killed at known points: what stands under its own name is whole, and the next run gets the rest."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from tests.download.conftest import DAYS, Rig, key, trades

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.download.server import Handler

RUN = """
import sys
from pointline.download import download
download("binance-futures", "BTCUSDT", "trades", "2024-05-01", "2024-05-04", folder=sys.argv[1], base_url=sys.argv[2], connections=1)
"""
BAD = f"/{key(DAYS[1])}"


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


@pytest.mark.parametrize("point", [in_the_middle, before_its_check_sum, behind_the_listing])
def test_what_is_there_is_whole_and_the_rest_follows(rig: Rig, point: Callable[[Handler], bool]) -> None:
    reached, released = threading.Event(), threading.Event()

    def stop_there(handler: Handler) -> bool:
        if not point(handler):
            return False
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
    report = rig.run()
    assert report.counts["fetched"] == 3 - len(stored)
    assert set(report.counts) <= {"fetched", "held", "checked"}
    assert rig.stored() == {name: one.body for name, one in rig.archive.files.items()}
    assert rig.parts() == []
