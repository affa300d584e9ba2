"""ClickHouse's HTTP interface: reads requests, writes the heads of answers.

See https://clickhouse.com/docs/interfaces/http. A request's text is its ``query`` parameter, a line feed and its body; parameters of the
statement are ``param_NAME`` in the address or in a multipart form; every other name in the address is a setting.
"""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from pointline.server.encoding import OWN_BLOCKS, chosen_encoding, decompressed
from pointline.sql.guard.codes import RefusedError
from pointline.sql.guard.formats import DEFAULT_FORMAT, FORMATS
from pointline.sql.guard.settings import TRANSPORT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from starlette.datastructures import Headers
    from starlette.requests import Request

    from pointline.server.channel import Answer

SERVER_NAME = "pointline"
_QUERY_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
_DATABASES = frozenset({"", "api", "default"})
_PARAMETERS = 200
_READ_HEADERS = ("authorization", "x-clickhouse-", "content-", "accept-encoding", "range", "if-")
_CHARSET = re.compile(r"""charset\s*=\s*["']?([^\s;"']+)""")
_NOTES_LETTERS = 4_000  # of a header, which proxies take
_ON = frozenset({"1", "true", "yes", "on"})


@dataclass(frozen=True)
class QueryRequest:
    """The query of a request.

    Attributes:
        text: the statement.
        query_id: the client's, else a new one.
        parameters: values of the statement's `{name:Type}`.
        settings: what is left for the engine.
        default_format: where the statement has no FORMAT.
        compression: how the answer is encoded (as in `pointline.server.encoding`), or None.
        revision: of the Native format that the client reads.
    """

    text: str
    query_id: str
    parameters: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    default_format: str = DEFAULT_FORMAT
    compression: str | None = None
    revision: int = 0


def query_id_of(query: Mapping[str, str], headers: Headers) -> str:
    """The request's id, if it is one that can stand in a header, else a new one."""
    given = query.get("query_id") or headers.get("x-clickhouse-query-id", "")
    return given if _QUERY_ID.fullmatch(given) else str(uuid.uuid4())


def address_of(request: Request) -> dict[str, str]:
    """Names and values in the request's address; of a name that stands there twice the last value.

    Raises:
        RefusedError: one of them is not UTF-8, which would be another text if it was guessed.
    """
    found = dict(parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True, errors="surrogateescape"))
    for name, value in found.items():
        if not (_is_text(name) and _is_text(value)):
            shown = name.encode(errors="backslashreplace").decode()[:100]
            hint = r"; other bytes are written as \xFF in the value of a parameter" if name.startswith("param_") else ""
            raise RefusedError("BAD_ARGUMENTS", f"{shown!r} in the address is not UTF-8 text{hint}")
    return found


def headers_of(request: Request) -> dict[str, str]:
    """The request's headers by their names in small letters; of a name that stands there twice the first.

    Raises:
        RefusedError: one that the server reads is not UTF-8.
    """
    found: dict[str, str] = {}
    for raw_name, raw in request.scope["headers"]:
        name = raw_name.decode("latin-1").lower()
        try:
            found.setdefault(name, raw.decode())
        except UnicodeDecodeError:
            if name.startswith(_READ_HEADERS):
                raise RefusedError("BAD_ARGUMENTS", f"the header {name} is not UTF-8 text") from None
    return found


def _is_text(value: str) -> bool:
    return not any("\ud800" <= sign <= "\udfff" for sign in value)


def _check_charset(content_type: str) -> None:
    found = _CHARSET.search(content_type)
    if found is not None and found[1] not in {"utf-8", "utf8", "us-ascii"}:
        raise RefusedError("UNSUPPORTED_MEDIA_TYPE", f"the request's text is in {found[1]!r}; what can be read is UTF-8")


async def read_request(request: Request, query_id: str, *, limit_bytes: int, body_s: float) -> QueryRequest:
    """Reads a request to its end.

    Raises:
        RefusedError: it is too large, came too slowly, or asks for what is not served.
    """
    query, headers = address_of(request), headers_of(request)
    kind = headers.get("content-type", "").lower()
    _check_charset(kind)
    body = await _body(request, limit_bytes, body_s) if request.method == "POST" else b""
    form: dict[str, str] = {}
    if kind.startswith("multipart/form-data"):
        form, body = await _form(request.headers, body), b""
    values = {**query, **form}
    _check_transport(values, headers.get("x-clickhouse-database", ""))
    first, rest = values.get("query", ""), _text(body)
    text = f"{first}\n{rest}" if first and rest else first or rest
    if len(text) > limit_bytes:
        raise _too_large(limit_bytes)
    parameters = {name[6:]: value for name, value in values.items() if name.startswith("param_")}
    if len(parameters) > _PARAMETERS:
        raise RefusedError("BAD_QUERY_PARAMETER", f"a statement takes at most {_PARAMETERS} parameters")
    revision = values.get("client_protocol_version", "0")
    return QueryRequest(
        text=text,
        query_id=query_id,
        parameters=parameters,
        settings={name: value for name, value in values.items() if name not in TRANSPORT and not name.startswith("param_")},
        default_format=values.get("default_format") or headers.get("x-clickhouse-format") or DEFAULT_FORMAT,
        compression=_compression(values, headers.get("accept-encoding", "")),
        revision=int(revision) if revision.isdecimal() and len(revision) < 10 else 0,  # noqa: PLR2004 - a number that is one
    )


def _compression(values: Mapping[str, str], accepted: str) -> str | None:
    if values.get("compress", "").lower() in _ON:
        return OWN_BLOCKS
    return chosen_encoding(accepted) if values.get("enable_http_compression", "").lower() in _ON else None


def _check_transport(query: Mapping[str, str], database: str) -> None:
    if query.get("decompress", "").lower() in _ON:
        said = "requests in ClickHouse's own compressed blocks are not read: use Content-Encoding (gzip, deflate, zstd or lz4)"
        raise RefusedError("NOT_IMPLEMENTED", said)
    if query.get("session_timezone", "UTC") not in {"", "UTC"}:
        raise RefusedError("READONLY", "times are in UTC here; toTimeZone(column, 'Europe/London') shows them elsewhere")
    if query.get("database", "") not in _DATABASES or database not in _DATABASES:
        raise RefusedError("UNKNOWN_DATABASE", "there is one database here: api")
    if query.get("role"):
        raise RefusedError("ACCESS_DENIED", "there are no roles here")


async def _body(request: Request, limit_bytes: int, body_s: float) -> bytes:
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > limit_bytes:
        raise _too_large(limit_bytes)
    parts, size = [], 0
    try:
        async with asyncio.timeout(body_s):
            async for part in request.stream():
                size += len(part)
                if size > limit_bytes:
                    raise _too_large(limit_bytes)
                parts.append(part)
    except TimeoutError:
        raise RefusedError("SOCKET_TIMEOUT", f"the request's body did not arrive within {body_s:g} s", status=408) from None
    return decompressed(b"".join(parts), request.headers.get("content-encoding", ""), limit_bytes)


def _too_large(limit_bytes: int) -> RefusedError:
    return RefusedError("QUERY_IS_TOO_LARGE", f"the request is larger than {limit_bytes:,} bytes")


async def _form(headers: Headers, body: bytes) -> dict[str, str]:
    from starlette.datastructures import UploadFile
    from starlette.formparsers import MultiPartException, MultiPartParser

    async def once() -> AsyncIterator[bytes]:
        yield body

    try:
        form = await MultiPartParser(headers, once(), max_files=1, max_fields=2 * _PARAMETERS, max_part_size=len(body) + 1).parse()  # type: ignore[arg-type]
    except MultiPartException as error:
        raise RefusedError("BAD_ARGUMENTS", f"the request's form cannot be read: {error.message}") from error
    found = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            await value.close()
            raise RefusedError(
                "NOT_IMPLEMENTED", "tables sent with a query (external data) are not served; join with VALUES or a subquery instead"
            )
        found[name] = value
    _text(body)  # the parser reads what is not UTF-8 as Latin 1
    return found


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise RefusedError("BAD_ARGUMENTS", f"the request is not UTF-8 text (byte {error.start})") from None


def answer_head(ask: QueryRequest, answer: Answer, elapsed_s: float) -> dict[str, str]:
    """Head of an answer with a result."""
    summary = {
        "read_rows": str(answer.rows_read),
        "read_bytes": str(answer.bytes_read),
        "written_rows": "0",
        "written_bytes": "0",
        "total_rows_to_read": "0",
        "result_rows": str(answer.rows),
        "result_bytes": "0",
        "elapsed_ns": str(int(elapsed_s * 1e9)),
    }
    head = {
        "Content-Type": FORMATS[answer.output_format],
        "X-ClickHouse-Format": answer.output_format,
        "X-ClickHouse-Summary": json.dumps(summary, separators=(",", ":")),
        **common_head(ask.query_id),
    }
    if ask.compression not in {None, OWN_BLOCKS}:
        head |= {"Content-Encoding": str(ask.compression), "Vary": "Accept-Encoding"}
    if answer.notes:
        head["X-Pointline-Notes"] = _notes(answer.notes)
    return head


def _notes(notes: Sequence[str]) -> str:
    """The notes as a list in JSON, in ASCII; those that do not fit are left out, and the last one says so."""
    kept = list(notes)
    while len(text := json.dumps(kept if len(kept) == len(notes) else [*kept, "..."])) > _NOTES_LETTERS:
        kept.pop()
    return text


def refusal_head(refusal: RefusedError, query_id: str) -> dict[str, str]:
    """Head of an answer with an error."""
    head = {"X-ClickHouse-Exception-Code": str(refusal.code), **common_head(query_id)}
    if refusal.status == 401:  # noqa: PLR2004 - unauthorised
        head["WWW-Authenticate"] = f'Basic realm="{SERVER_NAME}", charset="UTF-8"'
    if refusal.status in {429, 503}:
        head["Retry-After"] = "1"
    return head


def common_head(query_id: str) -> dict[str, str]:
    """Headers of every answer of the interface."""
    return {
        "X-ClickHouse-Query-Id": query_id,
        "X-ClickHouse-Timezone": "UTC",
        "X-ClickHouse-Server-Display-Name": SERVER_NAME,
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
