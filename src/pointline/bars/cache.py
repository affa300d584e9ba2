"""Bar sums that were computed before: kept beside the lake, found again by what they were made from.

An entry is named by the hash of everything that its numbers depend on: the rule, the stretch, the driver's and the venue's data
files (whose names are hashes of the archive files behind them), contract sizes and whether off-book prints count. A changed, added or
removed file therefore gives other names for exactly its days, and nothing needs to be invalidated. Entries are written beside their
place and renamed into it, so two processes may share a cache; one that is damaged is recomputed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import zlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from pointline.bars.pages import FiledBars
from pointline.bars.run import Run, days_of
from pointline.clock import time_text
from pointline.kernels.slots import BAR_INTS
from pointline.lake.durable import remove_left_behind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pointline.bars.amounts import Ints
    from pointline.bars.rules import BarRule
    from pointline.bars.run import VenueTrades
    from pointline.lake.store import Lake


_log = logging.getLogger("pointline.bars")

VERSION = 3
DEFAULT_BYTES = 2 << 30
_HEADER = 4  # check sum, bars, tail, version


@dataclass(frozen=True)
class BarCache:
    """The cache of one lake.

    Attributes:
        folder: where entries are.
        most_bytes: the oldest entries go when all together are larger.
    """

    folder: Path
    most_bytes: int = DEFAULT_BYTES

    def load(
        self, rule: BarRule, driver: VenueTrades, venues: Sequence[VenueTrades], start_us: int, end_us: int
    ) -> tuple[Run | None, list[int]]:
        """The run of a stretch as far as it is known, and the places of the venues whose sums are not.

        Returns:
            None where not even the spine is known; else a run whose unknown sums are empty.
        """
        found: list[Ints | FiledBars] = []
        missing = []
        spine: tuple[Ints, Ints, bool] | None = None
        for place, venue in enumerate(venues):
            entry = self._read(self._name(rule, driver, venue, start_us, end_us))
            if entry is None:
                missing.append(place)
                found.append(np.empty((0, len(BAR_INTS)), dtype=np.int64))
            else:
                spine, ints = entry
                found.append(ints)
        known = len(venues) - len(missing)
        _log.debug("cache: %d of %d sums known, %s to %s, %s", known, len(venues), time_text(start_us), time_text(end_us), rule)
        if spine is None:
            return None, missing
        days = days_of((driver, *venues), start_us, end_us)
        amounts = tuple(venue.amounts(rule, days) for venue in venues)
        return Run(start_us, end_us, *spine, tuple(found), amounts), missing

    def store(self, rule: BarRule, driver: VenueTrades, venues: Sequence[VenueTrades], run: Run) -> None:
        """Keeps a run, one entry per venue; a folder that cannot be written keeps nothing, and neither do bars nearly as many as trades."""
        for venue, ints in zip(venues, run.sums, strict=True):
            if isinstance(ints, FiledBars):
                continue
            path = self._name(rule, driver, venue, run.start_us, run.end_us)
            body = np.concatenate([run.ends, run.ids, np.ascontiguousarray(ints).ravel()])
            header = np.array([_check_sum(path, body), len(run.ends), run.tail, VERSION], dtype=np.int64)
            with contextlib.suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
                temporary = path.with_name(f".{path.name}.{os.getpid()}")
                np.concatenate([header, body]).tofile(temporary)
                temporary.replace(path)

    def trim(self) -> None:
        """Removes the entries that were not used for longest until the rest fits, and what killed runs left."""
        remove_left_behind(self.folder)
        entries = self.entries()
        excess = sum(size for _, size, _ in entries) - self.most_bytes
        for path, size, _ in entries:
            if excess <= 0:
                return
            path.unlink(missing_ok=True)
            excess -= size

    def clear(self) -> int:
        """Removes every entry; returns how many there were."""
        entries = self.entries()
        for path, _, _ in entries:
            path.unlink(missing_ok=True)
        return len(entries)

    def entries(self) -> list[tuple[Path, int, float]]:
        """Path, bytes and time of last use of every entry, the oldest first."""
        found = []
        for path in self.folder.glob("*.bars") if self.folder.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                found.append((path, status.st_size, status.st_mtime))
        return sorted(found, key=lambda entry: (entry[2], entry[0].name))

    def _name(self, rule: BarRule, driver: VenueTrades, venue: VenueTrades, start_us: int, end_us: int) -> Path:
        days = days_of((driver, venue), start_us, end_us)
        made_from = {
            "version": VERSION,
            "rule": [type(rule).__name__, {name: str(value) for name, value in sorted(asdict(rule).items())}],
            "stretch": [start_us, end_us],
            "venues": [
                [v.instrument.exchange, v.instrument.exchange_symbol, v.instrument.contract_type, v.instrument.contract_size]
                + [v.include_off_book]
                + [[day, v.files[day].path.name] for day in days if day in v.files]
                for v in (driver, venue)
            ],
        }
        digest = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()
        return self.folder / f"{digest[:40]}.bars"

    def _read(self, path: Path) -> tuple[tuple[Ints, Ints, bool], Ints] | None:
        try:
            data = np.fromfile(path, dtype=np.int64)
        except OSError:
            return None
        if len(data) < _HEADER or data[3] != VERSION or len(data) != _HEADER + data[1] * (2 + len(BAR_INTS)):
            return None
        body = data[_HEADER:]
        if _check_sum(path, body) != data[0]:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        bars = int(data[1])
        return (body[:bars], body[bars : 2 * bars], bool(data[2])), body[2 * bars :].reshape(bars, len(BAR_INTS))


def _check_sum(path: Path, body: Ints) -> int:
    """CRC-32 of an entry's name and content: it finds words that changed places, and the content of another entry."""
    return zlib.crc32(body.tobytes(), zlib.crc32(path.name.encode()))


def cache_of(lake: Lake) -> BarCache:
    """The cache beside a lake, at most ``POINTLINE_CACHE_BYTES`` large (2 GiB where it is not set)."""
    most = os.environ.get("POINTLINE_CACHE_BYTES", "")
    return BarCache(lake.root / ".cache" / "bars", int(most) if most.isdigit() else DEFAULT_BYTES)
