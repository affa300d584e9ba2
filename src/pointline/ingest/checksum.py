"""The SHA-256 of an archive file, held against the ``.CHECKSUM`` file beside it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from pointline.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def verified_sha256(path: Path) -> str:
    """The file's SHA-256.

    Raises:
        SourceError: the ``.CHECKSUM`` file beside it says another one.
    """
    digest = sha256_of(path)
    sidecar = path.with_name(path.name + ".CHECKSUM")
    if not sidecar.is_file():
        return digest
    words = sidecar.read_text(encoding="utf-8", errors="replace").split()
    if not words or words[0].lower() != digest:
        raise SourceError(
            "the file's sha256 differs from its .CHECKSUM; nothing of it was stored",
            where=str(path),
            value=digest,
            expected=words[0] if words else "a sha256",
            hint="download both again: archives are replaced from time to time, and downloads break",
        )
    return digest
