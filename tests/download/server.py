"""An archive on 127.0.0.1 that can be told to misbehave."""

from __future__ import annotations

import email.utils
import hashlib
import io
import json
import re
import threading
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qs, unquote, urlsplit

from pointline.clock import to_us

if TYPE_CHECKING:
    from collections.abc import Callable

INDEX = "/api/v5/public/market-data-history"
OKX_ROOT = "cdn/okex/traderecords"
MODIFIED_S = 1_735_689_600  # 2025-01-01
HEADER = "id,price,qty,quote_qty,time,is_buyer_maker"


def zipped(name: str, text: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(f"{name}.csv"), text)
    return packed.getvalue()


@dataclass
class Stored:
    body: bytes
    modified_s: int = MODIFIED_S

    @property
    def etag(self) -> str:
        return hashlib.md5(self.body, usedforsecurity=False).hexdigest()


@dataclass
class Archive:
    """The files, what was asked for, and misdeeds: the first that takes a request answers it."""

    files: dict[str, Stored] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    misdeeds: list[Callable[[Handler], bool]] = field(default_factory=list)
    listed: bool = True
    page: int = 1000
    ranges: bool = True

    def add(self, key: str, body: bytes, *, checksum: bool | str = True, modified_s: int = MODIFIED_S) -> None:
        self.files[key] = Stored(body, modified_s)
        if checksum:
            digest = hashlib.new("md5" if checksum == "md5" else "sha256", body, usedforsecurity=False).hexdigest()
            line = f"{digest}  {key.rpartition('/')[2]}"
            self.files[f"{key}.CHECKSUM"] = Stored(line.encode(), modified_s)

    def gets(self, suffix: str = ".zip") -> list[str]:
        return [path for method, path in self.asked if method == "GET" and path.endswith(suffix)]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    archive: Archive
    body = b""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer()

    def _answer(self) -> None:
        path = unquote(self.path)
        self.archive.asked.append((self.command, path))
        for misdeed in self.archive.misdeeds:
            if misdeed(self):
                return
        parts = urlsplit(self.path)
        if parts.path == "/":
            self._list(parse_qs(parts.query, keep_blank_values=True))
        elif parts.path == INDEX:
            self._index({name: values[0] for name, values in parse_qs(parts.query).items()})
        elif (stored := self.archive.files.get(unquote(parts.path)[1:])) is None:
            self.send(404, b"<Error>NoSuchKey</Error>", {"Content-Type": "application/xml"})
        else:
            self._file(stored)

    def _file(self, stored: Stored) -> None:
        headers = {"ETag": f'"{stored.etag}"', "Last-Modified": email.utils.formatdate(stored.modified_s, usegmt=True)}
        wanted = self.headers.get("Range")
        if wanted and self.archive.ranges and self.headers.get("If-Range") == headers["ETag"]:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            total = len(stored.body)
            self.send(206, stored.body[start:], {**headers, "Content-Range": f"bytes {start}-{total - 1}/{total}"})
        else:
            self.send(200, stored.body, headers)

    def _list(self, query: dict[str, list[str]]) -> None:
        if not self.archive.listed:
            self.send(404, b"no listing", {})
            return
        prefix, marker = query["prefix"][0], query["marker"][0]
        keys = sorted(key for key in self.archive.files if key.startswith(prefix) and key > marker)
        self.send(
            200,
            listing(self.archive, keys[: self.archive.page], truncated=len(keys) > self.archive.page),
            {"Content-Type": "application/xml"},
        )

    def _index(self, query: dict[str, str]) -> None:
        """OKX's: names and addresses of the files of one instrument or family whose period begins in a window of UTC+8."""
        if query["instType"] == "SPOT":
            stem = query["instIdList"]
        else:
            family = query["instFamilyList"]
            stem = "allswap" if family == "ANY" else f"{family}-SWAP" if query["instType"] == "SWAP" else f"{family}(?:-[a-z0-9]+)?"
        what = {"1": "trades", "3": "fundingrates"}[query["module"]]
        period = r"\d{4}-\d\d-\d\d" if query["dateAggrType"] == "daily" else r"\d{4}-\d\d"
        found = []
        for key in sorted(self.archive.files):
            name = re.fullmatch(rf".*/({stem}-{what}-({period})\.zip)", key)
            if key.startswith(OKX_ROOT) and name is not None:
                at_ms = to_us(name[2] if query["dateAggrType"] == "daily" else f"{name[2]}-01") // 1000 - 28_800_000
                if int(query["begin"]) <= at_ms <= int(query["end"]):
                    url = f"http://{self.headers['Host']}/{key}?v=999"
                    found.append({"dateTs": str(at_ms), "filename": name[1], "sizeMB": "0.01", "url": url})
        self.send(200, index(found), {"Content-Type": "application/json"})

    def send(self, status: int, body: bytes, headers: dict[str, str], length: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_without_length(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def break_off(self, body: bytes, *, length: int, headers: dict[str, str] | None = None) -> None:
        self.send(200, body, headers or {}, length=length)
        self.wfile.flush()
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


def index(files: list[dict[str, str]], code: str = "0") -> bytes:
    """An answer of OKX's index."""
    details = [{"instType": "SWAP", "groupDetails": files}] if files else []
    return json.dumps({"code": code, "msg": "", "data": [{"ts": "1", "totalSizeMB": "1", "details": details}]}).encode()


def listing(archive: Archive, keys: list[str], *, truncated: bool) -> bytes:
    entries = "".join(
        f"<Contents><Key>{key}</Key><LastModified>2025-01-01T00:00:00.000Z</LastModified>"
        f"<ETag>&quot;{archive.files[key].etag}&quot;</ETag><Size>{len(archive.files[key].body)}</Size></Contents>"
        for key in keys
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>archive</Name><IsTruncated>{'true' if truncated else 'false'}</IsTruncated>{entries}</ListBucketResult>"
    ).encode()


class Server:
    """Serves an archive while it is entered."""

    def __init__(self, archive: Archive) -> None:
        handler = type("Bound", (Handler,), {"archive": archive})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
