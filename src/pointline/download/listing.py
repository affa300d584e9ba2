"""Listings of a bucket: names, sizes and marks of its files, in pages of XML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

from pointline.clock import to_us
from pointline.errors import ConfigError, NotPublishedError, WrongContentError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from pointline.download.transport import Transport

_MOST_PAGES = 10_000


@dataclass(frozen=True)
class Entry:
    """A file in a listing: its path, bytes, mark without quotes, and when it was stored (µs UTC)."""

    key: str
    size: int
    etag: str | None
    modified_us: int | None


@dataclass(frozen=True)
class _Page:
    entries: list[Entry]
    marker: str | None


def bucket_entries(transport: Transport, url: str, *, prefix: str, after: str = "", before: str | None = None) -> list[Entry] | None:
    """The files of a bucket whose paths begin with `prefix`, in the order of their paths.

    Args:
        transport: the client.
        url: of the bucket.
        prefix: what their paths begin with.
        after: only paths that sort behind it.
        before: only paths that sort before it; None for all.

    Returns:
        The files; None where the address has no listing (404, or something else than XML).

    Raises:
        BlockedError, ServerFailedError: the host does not answer.
        WrongContentError: a page is cut off or contradicts itself.
    """
    found: list[Entry] = []
    try:
        for page in _pages(transport, url, prefix, after):
            found += [entry for entry in page.entries if before is None or entry.key < before]
            if page.entries and before is not None and page.entries[-1].key >= before:
                break
    except NotPublishedError:
        return None
    return found


def _pages(transport: Transport, url: str, prefix: str, marker: str) -> Iterator[_Page]:
    for _ in range(_MOST_PAGES):
        query = urlencode({"prefix": prefix, "marker": marker, "max-keys": "1000"})
        page = transport.ask("GET", f"{url}?{query}", lambda answer, after=marker: _read(answer, prefix, after))  # type: ignore[misc]
        yield page
        if page.marker is None:
            return
        marker = page.marker
    raise WrongContentError("the listing does not end", where=url, value=prefix)


class _NoListingError(NotPublishedError):
    """The answer is no listing at all."""


def _read(answer: httpx.Response, prefix: str, after: str) -> _Page:
    where, body = str(answer.url), answer.read()
    head = body[:4096].lstrip()
    if b"<ListBucketResult" not in head:
        if head.startswith(b"<?xml"):
            raise WrongContentError("the answer is XML, and no listing of a bucket", where=where, value=head[:200])
        raise _NoListingError("the address has no listing", where=where)
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise WrongContentError("the listing declares entities, which a bucket's does not", where=where)
    try:
        root = ET.fromstring(body)  # noqa: S314 - without entities there is nothing to expand
    except ET.ParseError as error:
        raise WrongContentError(
            "the listing is cut off or damaged", where=where, value=str(error), expected="a whole page of XML"
        ) from error
    try:
        entries = [_entry(node) for node in root if _tag(node) == "Contents"]
    except (KeyError, ValueError, ConfigError) as error:
        raise WrongContentError("the listing cannot be read", where=where, value=str(error)) from error
    fields = {_tag(node): node.text or "" for node in root if _tag(node) not in {"Contents", "CommonPrefixes"}}
    keys = [entry.key for entry in entries]
    if any(not key.startswith(prefix) for key in keys) or keys != sorted(keys) or (keys and keys[0] <= after):
        raise WrongContentError("the listing holds other files than were asked for, or not in order", where=where, value=keys[:3])
    if fields.get("IsTruncated") not in {"true", "false"}:
        raise WrongContentError("the listing does not say whether it is whole", where=where, expected="IsTruncated")
    marker = None
    if fields["IsTruncated"] == "true":
        marker = fields.get("NextMarker") or (keys[-1] if keys else "")
        if marker <= after:
            raise WrongContentError("the listing says that more comes and not from where", where=where, value=marker)
    return _Page(entries, marker)


def _tag(node: ET.Element) -> str:
    return node.tag.rpartition("}")[2]


def _entry(node: ET.Element) -> Entry:
    fields = {_tag(child): child.text or "" for child in node}
    modified = fields.get("LastModified")
    return Entry(fields["Key"], int(fields["Size"]), fields.get("ETag", "").strip('"') or None, to_us(modified) if modified else None)
