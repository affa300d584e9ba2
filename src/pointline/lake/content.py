"""Data files are named by their content, so that a damaged one is found when it is opened.

The name ends in ``-SHA256-CRC32.parquet``, of the SHA-256 the first 128 bits. Equal names mean equal bytes. The CRC-32, which takes half a
millisecond per 17 MB, is compared whenever a file is opened for its rows; the SHA-256 when the lake is verified. CRC-32 finds every
single flipped bit and every burst of up to 32.
"""

from __future__ import annotations

import hashlib
import mmap
import re
from typing import TYPE_CHECKING

from isal import isal_zlib

from pointline.errors import DamageError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

_BLOCK_BYTES = 1 << 20
_NAME = re.compile(r".+-(?P<sha256>[0-9a-f]{32})-(?P<crc32>[0-9a-f]{8})\.parquet")
_SEEN: dict[Path, tuple[int, int, int]] = {}  # files found whole by this process, by inode, size and time of change
_REMEDY = "`pointline verify` lists what is damaged, `pointline repair` reads the archive files behind it again"


def content_name(path: Path, prefix: str = "part") -> str:
    """The name that a file's content gives it, behind a prefix."""
    sha256, crc32 = hashlib.sha256(), 0
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            sha256.update(block)
            crc32 = isal_zlib.crc32(block, crc32)
    return f"{prefix}-{sha256.hexdigest()[:32]}-{crc32:08x}.parquet"


def check_content(path: Path) -> None:
    """Refuses a data file that is not what its name says; a file that this process found whole is not read again while it is unchanged.

    Raises:
        DamageError: the file is missing, cut or changed.
    """
    named = _NAME.fullmatch(path.name)
    if named is None:
        return
    try:
        status = path.stat()
        state = (status.st_ino, status.st_size, status.st_mtime_ns)
        if _SEEN.get(path) == state:
            return
        with path.open("rb") as stream, _mapped(stream.fileno()) as content:
            found = f"{isal_zlib.crc32(content):08x}"
    except FileNotFoundError:
        raise DamageError("a data file of the lake is missing", where=str(path), hint=_REMEDY) from None
    except ValueError:
        found = "an empty file"
    if found != named["crc32"]:
        raise DamageError(
            "a data file of the lake is damaged", where=str(path), value=found, expected=f"CRC-32 {named['crc32']}", hint=_REMEDY
        )
    _SEEN[path] = state


def check_sha256(path: Path) -> bool:
    """Whether a data file's SHA-256 is what its name says; a name that says none is taken as it is."""
    named = _NAME.fullmatch(path.name)
    if named is None:
        return True
    return path.stat().st_size > 0 and content_name(path).removeprefix("part") == path.name[named.start("sha256") - 1 :]


def _mapped(handle: int) -> AbstractContextManager[mmap.mmap]:
    return mmap.mmap(handle, 0, access=mmap.ACCESS_READ)
