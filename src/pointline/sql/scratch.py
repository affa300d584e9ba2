"""Folders for temporary files: removed by the process that made them, or, where that was killed, by the next one that makes one.

A process holds a lock in its folder while it runs. A folder whose lock is free is abandoned.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import stat
import time
from pathlib import Path

from pointline.sql.links import plain_temporary

_NAME = re.compile(r"pointline-(?:sql|serve)-[0-9a-f]{16}")
_LOCK = "owner"
_ATTEMPTS, _PAUSE_S = 50, 0.02  # a process that is being killed may still write a file

_made: set[Path] = set()


class Scratch:
    """A folder of this process.

    Args:
        purpose: ``sql`` or ``serve``; part of the name.
        place: where it is made; a usual place for temporary files if None.

    Attributes:
        path: the folder.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, purpose: str, place: Path | None = None) -> None:
        place = Path(plain_temporary()) if place is None else place
        remove_abandoned(place)
        self._process = os.getpid()
        self.path = place / f"pointline-{purpose}-{secrets.token_hex(8)}"
        _made.add(self.path)  # before it exists, so that a signal in between does not leave it
        self.path.mkdir(mode=0o700)
        unfinished = self.path / f".{_LOCK}"
        self._lock = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with contextlib.suppress(OSError):  # a file system without locks: no other process removes the folder then
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unfinished.rename(self.path / _LOCK)  # no process sees it without its lock

    @property
    def is_own(self) -> bool:
        """Whether this process made it, and not one that it was forked from."""
        return self._process == os.getpid()

    def remove(self) -> None:
        """Removes the folder where it is there and is this process's own."""
        if self.is_own and self._lock >= 0:
            remove_folder(self.path)
            os.close(self._lock)
            self._lock = -1
            _made.discard(self.path)


def made() -> list[Path]:
    """Folders that this process has made and not removed."""
    return sorted(_made)


def remove_folder(path: Path) -> None:
    """Removes a folder, also one that an ending process still writes to."""
    for _ in range(_ATTEMPTS):
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            return
        time.sleep(_PAUSE_S)


def remove_abandoned(place: Path) -> None:
    """Removes this user's folders of processes that have ended."""
    for folder in place.glob("pointline-*"):
        if _NAME.fullmatch(folder.name):
            with contextlib.suppress(OSError):  # no lock in it, or the lock is held, or it is another user's
                _remove_if_abandoned(folder)


def _remove_if_abandoned(folder: Path) -> None:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        return
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
