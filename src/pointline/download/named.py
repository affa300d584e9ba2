"""Files that are asked for by name, where a host has no listing."""

from __future__ import annotations

from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from pointline.clock import to_us
from pointline.errors import NotPublishedError

if TYPE_CHECKING:
    import httpx

    from pointline.download.remote import RemoteFile
    from pointline.download.transport import Transport


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
