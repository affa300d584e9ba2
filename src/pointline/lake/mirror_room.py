"""How much data the folder of a lake in a bucket keeps, and which files have to stay in it.

A file is in use while someone of this process holds it, and for a quarter of an hour after another reader opened it, who may be another
process. What this process has held and let go makes room at once, unless another reader opened it meanwhile: that shows by its time.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from pointline.errors import ConfigError
from pointline.lake.durable import STAGING
from pointline.lake.threads import check_wanted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

TRIMMED = ".trimmed"
LINKS = ".cache/links"
"""Below the folder: files by other names, for engines that read them; `MirrorRoom.trim` leaves them alone."""

DEFAULT_BYTES = 20_000_000_000
IN_USE_SECONDS = 900
"""A file that another reader opened less long ago stays, however much the folder holds."""

_CHECK_S = 0.2  # between looks at whether a waiting caller was stopped


class MirrorRoom:
    """The data files of one mirror's folder.

    Args:
        root: the folder.
        url: of the lake, for errors.
    """

    def __init__(self, root: Path, url: str) -> None:
        self._root = root
        self._url = url
        self._changed = threading.Condition()
        self._holders: Counter[Path] = Counter()
        self._sizes: dict[Path, int] = {}  # of the files that are held
        self._coming_bytes = 0
        self._left_ns: dict[Path, int] = {}  # time that this process gave to a file that no other reader was using

    @contextlib.contextmanager
    def held(self, sizes: Mapping[Path, int], stop: threading.Event | None = None) -> Iterator[None]:
        """Keeps files from being removed by this process. Where all that is held would be more than the bound, it waits for others.

        Args:
            sizes: bytes of each file, which need not be here yet.
            stop: set by whoever does not want to wait any longer.

        Raises:
            ConfigError: the files alone are more than ``POINTLINE_MIRROR_BYTES``.
            UnwantedError: `stop` was set.
        """
        needed, most = sum(sizes.values()), mirror_bytes()
        if needed > most:
            raise ConfigError(
                "the files that this needs are more than the mirror may hold",
                where="POINTLINE_MIRROR_BYTES",
                value=f"{most:,} bytes",
                expected=f"at least {needed:,}",
                hint="read less (in SQL, say exchange, market and a time), or set it higher, or copy the lake to a disk: "
                f"pointline lake copy {self._url} FOLDER",
            )
        with self._changed:
            while sum(size for path, size in self._sizes.items() if path not in sizes) + needed > most:
                check_wanted(stop)
                self._changed.wait(_CHECK_S)
            self._holders.update(sizes.keys())
            self._sizes.update(sizes)
        try:
            yield
        finally:
            with self._changed:
                for path in sizes:
                    self._holders[path] -= 1
                    if not self._holders[path]:
                        del self._holders[path], self._sizes[path]
                self._changed.notify_all()

    def used(self, paths: Iterable[Path]) -> list[Path]:
        """Gives the files the time of now, by which other processes see that they are in use; returns those that are not here."""
        absent = []
        with self._changed:
            for path in paths:
                try:
                    before = path.stat().st_mtime_ns
                    os.utime(path)
                    now = path.stat().st_mtime_ns
                except FileNotFoundError:
                    absent.append(path)
                    continue
                if self._left_ns.get(path) == before or now - before > IN_USE_SECONDS * 1_000_000_000:
                    self._left_ns[path] = now
                else:
                    self._left_ns.pop(path, None)
        return absent

    def came(self, paths: Iterable[Path]) -> None:
        """Says that this process has fetched these files."""
        with self._changed:
            for path in paths:
                with contextlib.suppress(FileNotFoundError):
                    self._left_ns[path] = path.stat().st_mtime_ns

    @contextlib.contextmanager
    def room(self, count: int) -> Iterator[None]:
        """Makes room for so many bytes, beside those for which others make room now."""
        with self._changed:
            self._coming_bytes += count
        try:
            self.trim()
            yield
        finally:
            with self._changed:
                self._coming_bytes -= count

    def trim_now_and_then(self) -> None:
        """As `trim`, at most once in a quarter of an hour: it looks at all files of the folder."""
        stamp = self._root / TRIMMED
        try:
            due = time.time() - stamp.stat().st_mtime > IN_USE_SECONDS
        except FileNotFoundError:
            due = True
        if due:
            self.trim()
            stamp.touch()

    def trim(self) -> None:
        """Removes the data that was not read for longest until the rest fits ``POINTLINE_MIRROR_BYTES``; what is in use stays."""
        with self._changed:
            found = sorted(self._data_files())
            excess = sum(size for _, size, _ in found) + self._coming_bytes - mirror_bytes()
            newest_ns = time.time_ns() - IN_USE_SECONDS * 1_000_000_000
            for used_ns, size, path in found:
                if excess <= 0:
                    return
                if path in self._holders or (used_ns > newest_ns and self._left_ns.get(path) != used_ns):
                    continue
                path.unlink(missing_ok=True)
                self._left_ns.pop(path, None)
                excess -= size

    def _data_files(self) -> Iterator[tuple[int, int, Path]]:
        """Time, bytes on the disk and path of each data file."""
        links = str(self._root / LINKS)
        for folder, folders, names in os.walk(self._root):
            folders[:] = [name for name in folders if name not in {"_delta_log", STAGING} and f"{folder}/{name}" != links]
            for name in names:
                if name.endswith(".parquet"):
                    path = Path(folder) / name
                    with contextlib.suppress(FileNotFoundError):
                        status = path.stat()
                        yield status.st_mtime_ns, status.st_blocks * 512, path


def mirror_bytes() -> int:
    """How much data the folder of a lake in a bucket may keep: ``POINTLINE_MIRROR_BYTES``, else 20 GB.

    Raises:
        ConfigError: it is no whole number.
    """
    text = os.environ.get("POINTLINE_MIRROR_BYTES", "") or str(DEFAULT_BYTES)
    if not text.isdecimal():
        raise ConfigError(
            "the bound of the mirror cannot be used", where="POINTLINE_MIRROR_BYTES", value=text, expected="bytes, e.g. 20000000000"
        )
    return int(text)
