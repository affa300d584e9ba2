"""The SHA-256 of an archive file, and the file held against the ``.CHECKSUM`` file beside it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from pointline.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path

_MD5_DIGITS = 32


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hexadecimal digits."""
    return _digest(path, "sha256")


def _digest(path: Path, kind: str) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, kind).hexdigest()


def verified_sha256(path: Path) -> str:
    """The file's SHA-256.

    Raises:
        SourceError: the ``.CHECKSUM`` file beside it says another one, or another MD5, which some archives give instead.
    """
    digest = sha256_of(path)
    sidecar = path.with_name(path.name + ".CHECKSUM")
    if not sidecar.is_file():
        return digest
    words = sidecar.read_text(encoding="utf-8", errors="replace").split()
    kind = "md5" if words and len(words[0]) == _MD5_DIGITS else "sha256"
    found = digest if kind == "sha256" else _digest(path, kind)
    if not words or words[0].lower() != found:
        raise SourceError(
            f"the file's {kind} differs from its .CHECKSUM; nothing of it was stored",
            where=str(path),
            value=found,
            expected=words[0] if words else "a sha256",
            hint="download both again: archives are replaced from time to time, and downloads break",
        )
    return digest
