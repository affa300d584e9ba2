"""Opens archives (zip, gz, plain), and inflates them with ISA-L: about twice as fast as zlib, the largest single cost of reading one."""

from __future__ import annotations

import contextlib
import errno
import gzip
import lzma
import struct
import zipfile
import zlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, TypeVar, cast

from isal import igzip, igzip_lib, isal_zlib

from pointline.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_Item = TypeVar("_Item")

GZIP_MAGIC = b"\x1f\x8b"

_LOCAL_HEADER = struct.Struct("<4s22x2H")
_READ_BYTES = 4 << 20
_UTF8_NAME = 1 << 11  # flag of a zip's member
_GZIP_HEADER = struct.Struct("<2s2B6x")
_GZIP_EXTRA, _GZIP_NAME = 4, 8  # flags of a gzip file

# what zipfile, zlib, bz2, lzma and ISA-L raise of damaged bytes; of these also a MemoryError, for a dictionary of absurd size
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, isal_zlib.IsalError, lzma.LZMAError, gzip.BadGzipFile, EOFError, struct.error, ValueError,
    OverflowError, IndexError, MemoryError,
)  # fmt: skip


class Archive:
    """The one file inside a zip or gz, or a plain file itself, as a stream of bytes.

    Attributes:
        label: the name that the archive itself gives to the file inside; None where it gives none.

    Args:
        path: the archive, for errors.
        stream: what is read.
        label: see above.
    """

    def __init__(self, path: Path, stream: IO[bytes], label: str | None) -> None:
        self._path = path
        self._stream = stream
        self.label = label

    def read(self, size: int = -1) -> bytes:
        """The next `size` bytes, fewer only at the end; all that are left where it is negative.

        Raises:
            SourceError: the archive is damaged, truncated, or packed in a way that is not read.
        """
        with _errors(self._path):
            return self._stream.read(size)


def head_of(path: Path, size: int, most: int) -> bytes:
    """What a plain or gzip file begins with, to recognise it by; empty where it cannot be unpacked.

    Args:
        path: the file, gzip or not whatever its name is.
        size: bytes of the file to look at.
        most: bytes of text that they may unpack to.
    """
    with path.open("rb") as file:
        head = file.read(size)
    if not head.startswith(GZIP_MAGIC):
        return head
    try:
        return zlib.decompressobj(wbits=31).decompress(head, most)
    except zlib.error:
        return b""


@contextlib.contextmanager
def open_archive(path: Path, suffix: str | None = None) -> Iterator[Archive]:
    """Opens the one file inside a zip or gz, or a plain file itself.

    Args:
        path: the archive.
        suffix: what it is, ``".zip"`` or ``".gz"``; what its name ends with if None.

    Raises:
        SourceError: damaged, truncated or encrypted archive, a zip that does not hold exactly one file, a method that is not read.
    """
    with contextlib.ExitStack() as stack:
        with _errors(path):
            archive = _open(path, path.suffix if suffix is None else suffix, stack)
        yield archive


def _open(path: Path, suffix: str, stack: contextlib.ExitStack) -> Archive:
    if suffix == ".zip":
        archive = stack.enter_context(zipfile.ZipFile(path))
        members = [m for m in archive.infolist() if not m.is_dir()]
        if len(members) != 1:
            raise SourceError(
                "the zip should hold exactly one CSV",
                where=str(path),
                value=[m.filename for m in members][:5],
                expected="one CSV",
                hint="unpack it and ingest the CSV that you mean",
            )
        member = members[0]
        if member.compress_type == zipfile.ZIP_DEFLATED and not member.flag_bits & 1:
            deflated = stack.enter_context(path.open("rb"))
            return Archive(path, cast("IO[bytes]", InflatedMember(deflated, member)), _member_name(member))
        return Archive(path, stack.enter_context(archive.open(member)), _member_name(member))
    if suffix == ".gz":
        label = _gzip_name(path)
        return Archive(path, cast("IO[bytes]", stack.enter_context(igzip.open(path))), label)  # type: ignore[no-untyped-call]
    return Archive(path, stack.enter_context(path.open("rb")), None)


def _member_name(member: zipfile.ZipInfo) -> str:
    """The member's name; many programs write UTF-8 without saying so."""
    if not member.flag_bits & _UTF8_NAME:
        with contextlib.suppress(UnicodeError):
            return member.filename.encode("cp437").decode("utf-8")
    return member.filename


def _gzip_name(path: Path) -> str | None:
    with path.open("rb") as stream:
        head = stream.read(1 << 16)
    if len(head) < _GZIP_HEADER.size or not head.startswith(GZIP_MAGIC):
        return None
    flags = _GZIP_HEADER.unpack_from(head)[2]
    at = _GZIP_HEADER.size
    if flags & _GZIP_EXTRA:
        at += 2 + int.from_bytes(head[at : at + 2], "little")
    end = head.find(b"\0", at)
    return head[at:end].decode("utf-8", "replace") if flags & _GZIP_NAME and end > at else None


@contextlib.contextmanager
def _errors(path: Path) -> Iterator[None]:
    """Says of an archive that cannot be unpacked why."""
    try:
        yield
    except SourceError:
        raise
    except NotImplementedError as error:  # deflate64, AES and other methods
        raise SourceError(
            "the zip is packed by a method that is not read",
            where=str(path),
            value=str(error),
            expected="deflate, bzip2, LZMA or no compression",
            hint="unpack it and ingest the CSV",
        ) from error
    except RuntimeError as error:  # the one that zipfile raises
        raise SourceError(
            "the zip is encrypted", where=str(path), value=str(error), hint="unpack it with its password and ingest the CSV"
        ) from error
    except (*_DAMAGE, OSError) as error:  # type: ignore[misc]
        if isinstance(error, OSError) and error.errno not in {None, errno.EINVAL}:  # EINVAL: a place before the file's begin
            raise
        raise SourceError(
            "the archive is truncated or damaged; nothing of it was stored",
            where=str(path),
            value=str(error) or type(error).__name__,
            expected="a whole archive whose sha256 equals its .CHECKSUM",
            hint="download it again",
        ) from error


class InflatedMember:
    """A zip's deflated member as a stream to be read to its end.

    Args:
        stream: the zip file, opened for reading bytes.
        member: the member's entry in the directory.

    Raises:
        zipfile.BadZipFile: the member is damaged; where the data end early or differ, only when they have been read to there.
    """

    def __init__(self, stream: IO[bytes], member: zipfile.ZipInfo) -> None:
        stream.seek(member.header_offset)
        header = stream.read(_LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
            raise zipfile.BadZipFile("the member's header is not where the directory says")
        _, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
        stream.seek(name_bytes + extra_bytes, 1)
        self._stream = stream
        self._member = member
        self._inflate = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE)
        self._left = member.compress_size
        self._crc = 0
        self._size = 0
        self._done = False

    def read(self, size: int = -1) -> bytes:
        """The next `size` bytes, fewer only at the end; all that are left where it is negative."""
        parts: list[bytes] = []
        missing = size
        while missing and not self._done:
            piece = b""
            if self._inflate.needs_input:
                piece = self._stream.read(min(_READ_BYTES, self._left))
                self._left -= len(piece)
            starved = self._inflate.needs_input and not piece
            inflated = b"" if starved else self._inflate.decompress(piece, missing)
            self._crc = isal_zlib.crc32(inflated, self._crc)
            self._size += len(inflated)
            parts.append(inflated)
            missing -= len(inflated) if size > 0 else 0
            if self._inflate.eof or starved:
                self._done = True
                self._verify()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _verify(self) -> None:
        if not self._inflate.eof or self._size != self._member.file_size:
            raise zipfile.BadZipFile(f"the member ends after {self._size} of {self._member.file_size} bytes")
        if self._crc != self._member.CRC:
            raise zipfile.BadZipFile(f"bad CRC-32 for file {self._member.filename!r}")


def ahead(items: Iterator[_Item], count: int = 1) -> Iterator[_Item]:
    """The items of an iterator, up to `count` of them made in another thread while one is used; its exceptions are raised here."""
    end: list[_Item] = []
    with ThreadPoolExecutor(1) as pool:
        coming = deque(pool.submit(next, items, end) for _ in range(count))
        while (item := coming.popleft().result()) is not end:
            coming.append(pool.submit(next, items, end))
            yield item  # type: ignore[misc]
