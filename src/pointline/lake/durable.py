"""Files that survive a power cut: written beside their place, synced, then renamed into it, and the folder synced too."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
from typing import TYPE_CHECKING

from pointline.errors import BusyError, LakeError
from pointline.lake.places import mirror_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

STAGING = ".staging"  # folder of a lake for what is not finished; emptied when the next writer begins
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write_atomically(path: Path, write: Callable[[Path], object], *, through: Path | None = None) -> None:
    """Lets `write` make a file, then puts it at `path` whole, durably, or not at all.

    Args:
        path: where the file shall be.
        write: makes the file at the path that it is given.
        through: folder on the same disk in which the file grows; beside `path` if not given.

    Raises:
        LakeError: the disk is full; nothing is left behind.
    """
    folder = through if through is not None else path.parent
    for needed in (path.parent, folder):
        make_folder(needed)
    temporary = folder / f".{path.name}.{os.getpid()}.tmp"
    try:
        with disk_errors(path):
            write(temporary)
            sync(temporary)
            temporary.replace(path)
            sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def place(staged: Path, path: Path) -> None:
    """Moves a finished, synced file to its place, durably; another disk gets a copy first. A file that is there already stays.

    Raises:
        LakeError: the disk is full.
    """
    make_folder(path.parent)
    with disk_errors(path):
        try:
            staged.replace(path)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            write_atomically(path, lambda temporary: shutil.copyfile(staged, temporary))
            staged.unlink()
        sync(path.parent)


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns a full disk into an error that says so.

    Raises:
        LakeError: no space is left, or the file may not grow.
    """
    try:
        yield
    except Exception as error:
        if getattr(error, "errno", None) in _NO_SPACE or any(
            text in str(error).lower() for text in ("no space left", "file too large", "quota exceeded")
        ):
            raise LakeError(
                "no disk space is left; the lake is as it was before this file",
                where=str(path),
                hint="free some space and run the same command again: it goes on where it stopped",
            ) from error
        raise


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it, durably."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in reversed(missing):
        sync(made.parent)


def remove_left_behind(folder: Path, of: str = "") -> None:
    """Removes temporary files in a folder whose processes are gone, those of one target's name or all.

    Args:
        folder: where to look.
        of: name of the file that they were to become.
    """
    for path in list(folder.iterdir()) if folder.is_dir() else ():
        named = _TEMPORARY.fullmatch(path.name)
        if named is not None and of in {"", named["of"]} and path.is_file() and not is_running(int(named["process"])):
            path.unlink(missing_ok=True)


_TEMPORARY = re.compile(r"\.(?P<of>.+)\.(?P<process>\d+)(?:\.tmp)?")


def is_running(process: int) -> bool:
    """Whether there is a process of this number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def sync(path: Path) -> None:
    """Forces a file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def single_writer(root: Path) -> Iterator[None]:
    """Holds the lake's write lock; the operating system frees it even after kill -9. Of a lake in a bucket, holds its lease too.

    Raises:
        BusyError: another process is writing.
    """
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            raise BusyError(
                "another process is writing to this lake",
                where=str(root),
                value=f"process {lock.read().strip() or 'unknown'}",
                hint="wait until it has finished, then run the command again",
            ) from error
        lock.seek(0)
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        mirror = mirror_of(root)
        with contextlib.nullcontext() if mirror is None else mirror.writing():
            yield
