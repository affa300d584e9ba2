"""The user's folder of archives: what in it is whole, files that arrive, one download at a time.

Beside the archives stands a hidden folder. It has the lock, files that are on their way, and a record of every file that was found whole:
its size and the time of its last change tell later whether it is still the same file.

Other processes may help the one that holds the lock. They stage what they found whole in the hidden folder, and it alone gives names and
records. What was staged and not taken is taken by the next download.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import threading
import time
import uuid
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from pointline.errors import BusyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

_OWN = ".pointline"
PART_DAYS = 7
"""A part of a file that nobody asked for again is kept so long."""


@dataclass(frozen=True)
class Verified:
    """A file that was found whole.

    Attributes:
        key: its path below the folder.
        size: its bytes.
        mtime_ns: when it was last changed.
        sha256: of its bytes.
        etag: the host's mark of this version; None where there was none.
        by: what it was held against beside its own check sums: ``"sha256"``, ``"md5"``, ``"size"`` or ``"nothing"``; of a REST history
            what `pointline.download.rest` says.
    """

    key: str
    size: int
    mtime_ns: int
    sha256: str
    etag: str | None
    by: str


class ArchiveFolder:
    """A folder of archives.

    Args:
        root: the folder; it need not be there.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._record = root / _OWN / "verified.ndjson"
        self._lock = threading.Lock()
        self._known = self._read()

    def path(self, key: str) -> Path:
        """Where a file of that key is stored."""
        return self.root / key

    def verified(self, key: str) -> Verified | None:
        """The record of a file that is there unchanged since it was found whole, else None."""
        known = self._known.get(key)
        if known is None:
            return None
        try:
            found = self.path(key).stat()
        except OSError:
            return None
        return known if (found.st_size, found.st_mtime_ns) == (known.size, known.mtime_ns) else None

    def recorded(self, key: str) -> Verified | None:
        """The newest record of a file, whatever became of it since; None where there is none."""
        return self._known.get(key)

    @contextlib.contextmanager
    def writing(self, keys: Iterable[str] = ()) -> Iterator[None]:
        """Makes the folder where there is none, and keeps other downloads out of it.

        Args:
            keys: files that are wanted: what came of them before is kept. Of others it is, for `PART_DAYS`.

        Raises:
            BusyError: another download writes to it.
        """
        make_folder(self._record.parent)
        handle = os.open(self._record.parent / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if not _is_locked(handle):
                raise BusyError("another download writes to this folder", where=str(self.root), hint="wait for it, or use another --folder")
            shutil.rmtree(self._fetchers, ignore_errors=True)
            make_folder(self._parts)
            self._known = self._read()
            self._end_torn_line()
            self._take_left()
            self._remove_old_parts({self.part(key).name for key in keys})
            yield
        finally:
            os.close(handle)

    @contextlib.contextmanager
    def alone(self, key: str, wait: Callable[[], object]) -> Iterator[None]:
        """Keeps other processes from the part of a file: workers that lost their client may still be at it.

        Args:
            key: of the file.
            wait: called between looks at the lock, while another process has it; may raise.
        """
        path = self.root / _OWN / "locks" / _flat(key)
        make_folder(path.parent)
        while True:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                is_mine = _is_locked(handle) and _is_open(handle, path)  # not one that its last holder has removed
                if is_mine:
                    try:
                        yield
                    finally:
                        path.unlink(missing_ok=True)
                    return
            finally:
                os.close(handle)
            wait()

    @contextlib.contextmanager
    def with_fetchers(self) -> Iterator[Path]:
        """A folder for what fetchers tell each other; those that work for a process that ended see that it is gone, and stop."""
        notes = self._fetchers / uuid.uuid4().hex[:16]
        make_folder(notes)
        try:
            yield notes
        finally:
            shutil.rmtree(notes, ignore_errors=True)

    def finished(self, key: str) -> Verified | None:
        """Puts what a fetcher staged of a file in its place; None where there is nothing, or not all of it."""
        found = self._staged(key)
        if found is None:
            return None
        known, path, checksum = found
        taken = self.accept(path, key, sha256=known.sha256, etag=known.etag, by=known.by, checksum=checksum)
        self._note(key).unlink(missing_ok=True)
        return taken

    def part(self, key: str) -> Path:
        """Where a file is written until it is known to be whole."""
        return self._parts / f"{_flat(key)}.part"

    def drop_part(self, key: str) -> None:
        """Removes what came of a file."""
        for path in (self.part(key), self.arrival(key)):
            path.unlink(missing_ok=True)

    def arrival(self, key: str) -> Path:
        """Where is written of which version of a file its part is."""
        return self.part(key).with_suffix(".json")

    def accept(self, part: Path, key: str, *, sha256: str, etag: str | None, by: str, checksum: bytes | None = None) -> Verified:
        """Puts a file that was found whole in its place, so that it survives a power cut.

        Args:
            part: the file, whose bytes are on the disk already or not.
            key, sha256, etag, by: see `Verified`.
            checksum: the text of its ``.CHECKSUM``, which is stored beside it; None where it has none.
        """
        place(part, self.path(key))
        if checksum is not None:
            self.write_text(f"{key}.CHECKSUM", checksum)
        return self.record(key, sha256=sha256, etag=etag, by=by)

    def record(self, key: str, *, sha256: str, etag: str | None, by: str) -> Verified:
        """Notes that the stored file of that key was found whole."""
        found = self.path(key).stat()
        known = Verified(key, found.st_size, found.st_mtime_ns, sha256, etag, by)
        line = json.dumps(asdict(known), ensure_ascii=True) + "\n"
        with self._lock:
            new = not self._record.exists()
            with self._record.open("ab") as stream:
                stream.write(line.encode())
                stream.flush()
                os.fsync(stream.fileno())
            if new:
                sync_folder(self._record.parent)
            self._known[key] = known
        return known

    def write_text(self, key: str, text: bytes) -> None:
        """Stores a small file beside an archive, whole or not at all."""
        part = self.part(key)
        part.write_bytes(text)
        place(part, self.path(key))

    def _remove_old_parts(self, wanted: set[str]) -> None:
        """Removes parts that nobody wants any more, and those that do not say of what they are."""
        for path in sorted(self._parts.iterdir()):
            part, arrival = path.with_suffix(".part"), path.with_suffix(".json")
            lone = not part.is_file() or not arrival.is_file()
            with contextlib.suppress(FileNotFoundError):
                if lone or (part.name not in wanted and _is_old(path)):
                    part.unlink(missing_ok=True)
                    arrival.unlink(missing_ok=True)

    def _take_left(self) -> None:
        """Takes what fetchers of an earlier download staged, where there is no such file yet. What has no note may still get one."""
        if not self._stage.is_dir():
            return
        told = {note.stem: _key_of(note) for note in sorted(self._stage.glob("*.json"))}
        for key in told.values():
            if key is not None and self.verified(key) is None:
                self.finished(key)
        for path in list(self._stage.iterdir()):
            if path.suffix == ".json" or path.name.rsplit(".", 2)[0] in told or _is_old(path):
                path.unlink(missing_ok=True)

    def _staged(self, key: str) -> tuple[Verified, Path, bytes | None] | None:
        """The record of what a fetcher staged of a file, its bytes and its ``.CHECKSUM``; None where this machine sees none."""
        try:
            told = json.loads(self._note(key).read_bytes())
            checksum = told.pop("checksum")
            known = Verified(**told)
            path = self._stage / staged_name(key, known.sha256)
            if known.key != key or path.stat().st_size != known.size:
                return None
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return known, path, None if checksum is None else str(checksum).encode()

    def _note(self, key: str) -> Path:
        return self._stage / f"{_flat(key)}.json"

    @property
    def _fetchers(self) -> Path:
        return self.root / _OWN / "fetchers"

    @property
    def _stage(self) -> Path:
        return self.root / _OWN / "staged"

    @property
    def _parts(self) -> Path:
        return self.root / _OWN / "parts"

    def _read(self) -> dict[str, Verified]:
        """The newest record of each file; a line that a crash has cut off is passed over."""
        known: dict[str, Verified] = {}
        try:
            lines = self._record.read_bytes().splitlines()
        except FileNotFoundError:
            return known
        for line in lines:
            with contextlib.suppress(ValueError, TypeError):
                one = Verified(**json.loads(line))
                known[one.key] = one
        return known

    def _end_torn_line(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            text = self._record.read_bytes()
            if text and not text.endswith(b"\n"):
                with self._record.open("ab") as stream:
                    stream.write(b"\n")


class FetcherFolder(ArchiveFolder):
    """The folder as a fetcher sees it: what it finds whole is staged, for the process that holds the folder's lock.

    Args:
        root: the folder, in which a download is under way.
    """

    def accept(self, part: Path, key: str, *, sha256: str, etag: str | None, by: str, checksum: bytes | None = None) -> Verified:
        """Stages a file that was found whole, so that it survives a power cut; arguments as of every folder."""
        path = self._stage / staged_name(key, sha256)
        place(part, path)
        found = path.stat()
        known = Verified(key, found.st_size, found.st_mtime_ns, sha256, etag, by)
        note = path.with_suffix(".note")
        note.write_text(json.dumps({**asdict(known), "checksum": None if checksum is None else checksum.decode()}))
        place(note, self._note(key))
        return known

    def finished(self, key: str) -> Verified | None:
        """What this or another fetcher staged of a file; the process that holds the lock takes it. None where there is nothing."""
        found = self._staged(key)
        return None if found is None else found[0]

    def _read(self) -> dict[str, Verified]:
        """No record: what is in the folder is the client's."""
        return {}


def staged_name(key: str, sha256: str) -> str:
    """The name of what was staged of a file: another one for other bytes, so that a late fetcher changes nothing of what is being taken."""
    return f"{_flat(key)}.{sha256[:16]}.whole"


def _flat(key: str) -> str:
    return key.replace("/", "!")


def _key_of(note: Path) -> str | None:
    """The key of a file that a fetcher told of; None where the note cannot be read, or is of another file."""
    try:
        key = json.loads(note.read_bytes())["key"]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return key if isinstance(key, str) and note.stem == _flat(key) else None


def _is_old(path: Path) -> bool:
    """Whether a file was last changed so long ago that nobody will ask for it."""
    try:
        return path.stat().st_mtime < time.time() - PART_DAYS * 86_400
    except FileNotFoundError:
        return False


def _is_locked(handle: int) -> bool:
    """Locks an open file for this process; False where another one has it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_open(handle: int, path: Path) -> bool:
    """Whether a path is still that of an open file."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def place(part: Path, path: Path) -> None:
    """Moves a file to its place; it and its name are on the disk when this returns."""
    with part.open("rb") as stream:
        os.fsync(stream.fileno())
    make_folder(path.parent)
    part.replace(path)
    sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it, and sees to it that their names are on the disk."""
    absent = []
    while not folder.is_dir():
        absent.append(folder)
        folder = folder.parent
    for one in reversed(absent):
        one.mkdir(exist_ok=True)
        sync_folder(one.parent)


def sync_folder(folder: Path) -> None:
    """Sees to it that the names in a folder are on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
