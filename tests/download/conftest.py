"""An archive of three days of trades, its server, and a client whose waits take no time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.download.server import HEADER, Archive, Server, zipped

from pointline.download import get_targets, targets_of
from pointline.download.transport import Manners, Transport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.download.hosts import HostCase

    from pointline.download.report import DownloadReport

DAYS = ("2024-05-01", "2024-05-02", "2024-05-03")
FOLDER = "data/futures/um/daily/trades/BTCUSDT"
NOW_US = 1_735_689_600_000_000  # 2025-01-01
_MAY_1_MS = 1_714_521_600_000


def key(day: str) -> str:
    return f"{FOLDER}/BTCUSDT-trades-{day}.zip"


def trades(day: str, version: int = 0) -> bytes:
    at_ms = _MAY_1_MS + (int(day[-2:]) - 1) * 86_400_000
    lines = [f"{int(day[-2:]) * 100 + n},{60_000 + version},1,{60_000 + version},{at_ms + n},true" for n in range(50)]
    return zipped(f"BTCUSDT-trades-{day}", "\n".join([HEADER, *lines, ""]))


class Waits:
    """A clock that a sleep moves on."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds


class Rig:
    """What a test needs to download: the archive, a client and a folder."""

    def __init__(self, archive: Archive, url: str, folder: Path, waits: Waits, transport: Transport) -> None:
        self.archive, self.url, self.folder, self.waits, self.transport = archive, url, folder, waits, transport

    def run(
        self,
        start: str = DAYS[0],
        end: str = "2024-05-04",
        kinds: str = "trades",
        symbols: str = "BTCUSDT",
        **options: Any,  # noqa: ANN401
    ) -> DownloadReport:
        self.archive.asked.clear()
        given = {"now_us": NOW_US, "base_url": self.url, "folder": self.folder, **options}
        return get_targets(targets_of("binance-futures", symbols, kinds, start, end), transport=self.transport, **given)

    def serve(self, case: HostCase) -> None:
        """Serves the three files of an archive, and nothing else."""
        self.archive.files.clear()
        for period in case.periods:
            self.archive.add(case.served(period), case.body(period), checksum=case.checksum)

    def get(self, case: HostCase, **options: Any) -> DownloadReport:  # noqa: ANN401
        self.archive.asked.clear()
        given = {"now_us": NOW_US, "base_url": self.url, "folder": self.folder, **options}
        targets = targets_of(case.exchange, case.symbol, case.kind, *case.window, archive=case.archive)
        return get_targets(targets, transport=self.transport, **given)

    def stored(self) -> dict[str, bytes]:
        """The files under their own names, without our own folder."""
        found = {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}
        return {name: body for name, body in found.items() if not name.startswith(".pointline/")}

    def parts(self) -> list[Path]:
        return list(self.folder.rglob("*.part"))


@pytest.fixture
def archive() -> Archive:
    made = Archive()
    for day in DAYS:
        made.add(key(day), trades(day))
    return made


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def rig(archive: Archive, waits: Waits, tmp_path: Path) -> Iterator[Rig]:
    manners = Manners(timeout_s=5)
    with Server(archive) as server, Transport(manners, clock=waits.clock, sleep=waits.sleep) as transport:
        yield Rig(archive, server.url, tmp_path / "archives", waits, transport)
