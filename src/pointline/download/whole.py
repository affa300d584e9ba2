"""Whether an archive file is whole: by the check sums in the zip or gzip itself, to the last byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointline.errors import SourceError, WrongContentError
from pointline.sources.inflate import GZIP_MAGIC, open_archive

if TYPE_CHECKING:
    from pathlib import Path

_READ_BYTES = 1 << 20
_MAGIC = {".zip": (b"PK\x03\x04",), ".gz": (GZIP_MAGIC,)}


def check_whole(path: Path, suffix: str, where: str) -> None:
    """Unpacks an archive to its end and throws the text away.

    Args:
        path: the file, which may have any name.
        suffix: what kind of archive it should be: ``".zip"`` or ``".gz"``.
        where: where it came from, for the error.

    Raises:
        WrongContentError: it is something else, cut off or damaged.
    """
    with path.open("rb") as stream:
        head = stream.read(64)
    if not head.startswith(_MAGIC[suffix]):
        page = head.lstrip().startswith(b"<")
        what = "the host sent a page, not an archive" if page else "what the host sent is no archive"
        raise WrongContentError(what, where=where, value=head[:40], expected=f"a {suffix} file")
    try:
        with open_archive(path, suffix) as archive:
            while archive.read(_READ_BYTES):
                pass
    except SourceError as error:
        raise WrongContentError("the archive is cut off or damaged; it was not stored", where=where, value=error.value) from error
