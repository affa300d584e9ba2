"""One file: got, held against what the host says of it, unpacked to its end, and only then put in its place."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Self

from pointline.download.whole import check_whole
from pointline.errors import NotPublishedError, WrongContentError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import httpx

    from pointline.download.folder import ArchiveFolder, Verified
    from pointline.download.remote import RemoteFile
    from pointline.download.transport import Transport

_PARTIAL = 206
_READ_BYTES = 1 << 20
_CHECKSUM = re.compile(r"([0-9a-fA-F]{64}|[0-9a-fA-F]{32})(?:[ \t]+\*?(\S+))?\s*")
_MD5 = re.compile(r"[0-9a-fA-F]{32}")


@dataclass(frozen=True)
class Checksum:
    """A ``.CHECKSUM`` file: its text, the digest in it in small letters, and of what kind that is: ``"sha256"`` or ``"md5"``."""

    text: bytes
    digest: str
    kind: str


def checksum_of(transport: Transport, file: RemoteFile) -> Checksum | None:
    """What the host says the file's SHA-256 or MD5 is; None where it says nothing.

    Raises:
        BlockedError, ServerFailedError: the host does not answer.
        WrongContentError: the answer has neither, or that of another file.
    """
    if file.checksum_url is None:
        return None
    name = PurePosixPath(file.key).name

    def use(answer: httpx.Response) -> Checksum:
        body = answer.read()
        found = _CHECKSUM.fullmatch(body.decode("utf-8", "replace"))
        if found is None or (found[2] is not None and found[2] != name):
            raise WrongContentError(
                "this is no check sum of the file", where=str(answer.url), value=body[:120], expected=f"a SHA-256 or MD5 of {name}"
            )
        return Checksum(body, found[1].lower(), "md5" if _MD5.fullmatch(found[1]) else "sha256")

    try:
        return transport.ask("GET", file.checksum_url, use)
    except NotPublishedError:
        return None


def fetch(transport: Transport, folder: ArchiveFolder, file: RemoteFile, told: Callable[[int], object]) -> Verified:
    """Gets a file and stores it with its check sum. What came of it in an earlier run is gone on with.

    Args:
        transport: the client.
        folder: where it goes; `ArchiveFolder.writing` is held.
        file: which.
        told: called with the number of each group of bytes that has come.

    Raises:
        NotPublishedError, BlockedError, ServerFailedError: it does not come.
        WrongContentError: what comes is not the file. Nothing of it is stored.
    """
    attempts = transport.manners.content_attempts
    for attempt in range(1, attempts + 1):
        try:
            return _once(transport, folder, file, told)
        except WrongContentError:
            folder.drop_part(file.key)
            if attempt == attempts:
                raise
    raise AssertionError


def _once(transport: Transport, folder: ArchiveFolder, file: RemoteFile, told: Callable[[int], object]) -> Verified:
    part = folder.part(file.key)
    with transport.slots, _Arriving(part, folder.arrival(file.key), file) as arriving:
        told(arriving.size)

        def use(answer: httpx.Response) -> None:
            arriving.begin(answer)
            for piece in answer.iter_raw():
                arriving.write(piece)
                told(len(piece))
                transport.check()

        if not arriving.is_whole:
            transport.ask("GET", file.url, use, headers=arriving.headers)
    expected = checksum_of(transport, file)
    by = _held_against(part, arriving.sha256, file, expected, arriving.etag)
    check_whole(part, PurePosixPath(file.key).suffix, file.url)
    known = folder.accept(
        part,
        file.key,
        sha256=arriving.sha256,
        etag=arriving.etag or file.etag,
        by=by,
        checksum=None if expected is None else expected.text,
    )
    folder.drop_part(file.key)
    return known


class _Arriving:
    """The bytes of a file as they come. Where the connection broke or the process ended, the next attempt goes on behind them.

    Beside the bytes stands which version of the file they are of, as soon as the host says it in a way that lets one ask for the rest of
    that version. Bytes of which it is not known, or of another version than is listed now, are thrown away.

    Args:
        part: where the bytes are.
        arrival: where their version stands.
        file: what is got.
    """

    def __init__(self, part: Path, arrival: Path, file: RemoteFile) -> None:
        self._part, self._arrival, self._file = part, arrival, file
        self._total: int | None = None
        self.etag: str | None = None
        self.size = 0

    def __enter__(self) -> Self:
        told = _arrival(self._arrival)
        exists = told is not None and self._part.is_file() and self._file.etag in {None, told[0]}
        self._stream = self._part.open("r+b" if exists else "w+b", buffering=0)
        self._restart(forget=not exists)
        if told is not None and exists:
            self.etag, self._total = told
            while piece := self._stream.read(_READ_BYTES):
                self._sha256.update(piece)
                self.size += len(piece)
            if self.size > self._total:
                self._restart()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stream.close()
        if kind is not None and (self.etag is None or self._total is None):
            self._part.unlink(missing_ok=True)

    @property
    def is_whole(self) -> bool:
        """Whether all bytes came before, of the version that the host lists now."""
        return self.etag is not None and self.etag == self._file.etag and self.size == self._total

    def headers(self) -> dict[str, str]:
        """Asks for what is still missing, where the host gave the version a mark that tells whether it is still the same."""
        if self.etag is None or self._total is None or not 0 < self.size < self._total:
            return {}
        return {"Range": f"bytes={self.size}-", "If-Range": f'"{self.etag}"'}

    def begin(self, answer: httpx.Response) -> None:
        """Looks where the answer begins.

        Raises:
            WrongContentError: at another place than was asked for.
        """
        etag, length = _etag(answer), answer.headers.get("Content-Length", "")
        if answer.status_code == _PARTIAL:
            wanted = f"bytes {self.size}-{(self._total or 0) - 1}/{self._total}"
            if answer.headers.get("Content-Range") == wanted and etag == self.etag:
                return
            self._restart()
            raise WrongContentError("the host sent another part of the file than was asked for", where=str(answer.url), expected=wanted)
        self._restart()
        self.etag, self._total = etag, int(length) if length.isdecimal() else None
        if self.etag is not None and self._total is not None:
            self._arrival.write_text(json.dumps({"etag": self.etag, "total": self._total}))

    def write(self, piece: bytes) -> None:
        """Takes the next bytes."""
        left = memoryview(piece)
        while left:
            left = left[self._stream.write(left) :]
        self._sha256.update(piece)
        self.size += len(piece)

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    def _restart(self, *, forget: bool = True) -> None:
        if forget:
            self._arrival.unlink(missing_ok=True)
            self._stream.truncate(0)
            self.etag = self._total = None
        self._stream.seek(0)
        self.size = 0
        self._sha256 = hashlib.sha256()


def _arrival(path: Path) -> tuple[str, int] | None:
    """The mark and the length of the version that a part is of; None where nothing tells."""
    try:
        told = json.loads(path.read_bytes())
        etag, total = told["etag"], told["total"]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return (etag, total) if isinstance(etag, str) and isinstance(total, int) else None


def _etag(answer: httpx.Response) -> str | None:
    """The mark of the version, without quotes; None where there is none, or one that does not promise the same bytes."""
    text: str = answer.headers.get("ETag", "")
    return text.strip('"') or None if not text.startswith("W/") else None


def _held_against(path: Path, sha256: str, file: RemoteFile, expected: Checksum | None, etag: str | None) -> str:
    """What a file was held against: the strongest that the host tells.

    Raises:
        WrongContentError: they differ.
    """
    if expected is not None:
        digest = sha256 if expected.kind == "sha256" else _digest(path, expected.kind)
        if digest != expected.digest:
            raise WrongContentError(
                f"the file's {expected.kind} differs from its .CHECKSUM; it was not stored",
                where=file.url,
                value=digest,
                expected=expected.digest,
                hint="the archive is being replaced, or broken at its host: try again later",
            )
        return expected.kind
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        raise WrongContentError("the file has another length than the host said", where=file.url, value=size, expected=f"{file.size} bytes")
    md5 = next((one for one in (file.md5, etag, file.etag) if one is not None and _MD5.fullmatch(one)), None)
    if md5 is None:
        return "nothing" if file.size is None else "size"
    found = _digest(path, "md5")
    if found != md5.lower():
        raise WrongContentError("the file's md5 differs from the one that the host gave", where=file.url, value=found, expected=md5)
    return "md5"


def check_stored(transport: Transport, folder: ArchiveFolder, file: RemoteFile) -> Verified | None:
    """Holds a stored file against what the host says now, by its bytes.

    Args:
        transport, folder, file: as in `fetch`.

    Returns:
        The new record; None where the file is not there, is damaged, or was replaced at the host.

    Raises:
        BlockedError, ServerFailedError: the host does not answer.
        WrongContentError: the host's check sum cannot be read.
    """
    path = folder.path(file.key)
    if not path.is_file():
        return None
    expected = checksum_of(transport, file)
    sha256 = _digest(path, "sha256")
    try:
        by = _held_against(path, sha256, file, expected, None)
        check_whole(path, path.suffix, str(path))
    except WrongContentError:
        return None
    if expected is not None:
        folder.write_text(f"{file.key}.CHECKSUM", expected.text)
    return folder.record(file.key, sha256=sha256, etag=file.etag, by=by)


def _digest(path: Path, name: str) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, name).hexdigest()
