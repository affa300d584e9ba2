"""Files that are asked for by name, where a host has no listing."""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from pointline.clock import to_us
from pointline.errors import NotPublishedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import httpx

    from pointline.download.remote import RemoteFile
    from pointline.download.transport import Transport


_MD5_BYTES = 16


def asked_for(transport: Transport, file: RemoteFile, url: str, *, checksum: bool) -> RemoteFile | None:
    """A file with what the host says of it without sending it; None where it is not there.

    Args:
        transport: the client.
        file: which.
        url: where it is.
        checksum: the host has ``.CHECKSUM`` files beside its own.

    Raises:
        BlockedError, ServerFailedError: the host does not answer.
    """

    def use(answer: httpx.Response) -> RemoteFile:
        length = answer.headers.get("Content-Length", "")
        return replace(
            file,
            url=url,
            size=int(length) if length.isdecimal() else None,
            etag=answer.headers.get("ETag", "").removeprefix("W/").strip('"') or None,
            md5=_md5(answer.headers.get("Content-MD5")),
            modified_us=_http_date_us(answer.headers.get("Last-Modified")),
            checksum_url=f"{url}.CHECKSUM" if checksum else None,
        )

    try:
        return transport.ask("HEAD", url, use)
    except NotPublishedError:
        return None


def _http_date_us(text: str | None) -> int | None:
    try:
        return None if text is None else to_us(parsedate_to_datetime(text))
    except ValueError:
        return None


def asked_names(transport: Transport, files: Iterable[RemoteFile]) -> dict[str, RemoteFile]:
    """Those of some files that are there, by their period; the host has no check sums beside them.

    Args:
        transport: the client.
        files: with their addresses.

    Raises:
        BlockedError, ServerFailedError: the host does not answer.
    """
    asked = (asked_for(transport, file, file.url, checksum=False) for file in files)
    return {file.period: file for file in asked if file is not None}


def url_below(root: str, key: str) -> str:
    """The address of a path below a root without its last slash."""
    return f"{root}/{quote(key)}"


def _md5(text: str | None) -> str | None:
    """The MD5 of a Content-MD5 header in hexadecimal digits; None where there is none.

    >>> _md5("1B2M2Y8AsgTpgAmY7PhCfg=="), _md5("soon")
    ('d41d8cd98f00b204e9800998ecf8427e', None)
    """
    try:
        digest = base64.b64decode(text or "", validate=True)
    except (binascii.Error, ValueError):
        return None
    return digest.hex() if len(digest) == _MD5_BYTES else None
