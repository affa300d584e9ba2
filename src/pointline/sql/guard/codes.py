"""Errors as ClickHouse clients expect them: a number, a name, a text and an HTTP status.

The numbers are those of ClickHouse's ``ErrorCodes.cpp``, the statuses those of its ``exceptionCodeToHTTPStatus.cpp``, and beyond them:
what a limit of this server stopped is 400, what it does not allow 403, a full queue and a bucket that does not answer 503, and too many
queries of a user 429 (all are 500 there).
"""

from __future__ import annotations

import os
import re

from pointline.errors import PointlineError

NUMBERS = {
    "BAD_ARGUMENTS": 36,
    "UNKNOWN_FUNCTION": 46,
    "NOT_IMPLEMENTED": 48,
    "LOGICAL_ERROR": 49,
    "UNKNOWN_TABLE": 60,
    "SYNTAX_ERROR": 62,
    "UNKNOWN_FORMAT": 73,
    "UNKNOWN_TYPE_OF_QUERY": 78,
    "FILE_DOESNT_EXIST": 107,
    "UNKNOWN_DATABASE": 81,
    "UNKNOWN_SETTING": 115,
    "TOO_MANY_ROWS": 158,
    "TIMEOUT_EXCEEDED": 159,
    "READONLY": 164,
    "TOO_DEEP_AST": 167,
    "UNKNOWN_USER": 192,
    "REQUIRED_PASSWORD": 194,
    "TOO_MANY_SIMULTANEOUS_QUERIES": 202,
    "SOCKET_TIMEOUT": 209,
    "MEMORY_LIMIT_EXCEEDED": 241,
    "QUERY_IS_TOO_LARGE": 314,
    "SUPPORT_IS_DISABLED": 344,
    "HTTP_LENGTH_REQUIRED": 381,
    "QUERY_WAS_CANCELLED": 394,
    "ARGUMENT_OUT_OF_BOUND": 69,
    "DECIMAL_OVERFLOW": 407,
    "TOO_MANY_ROWS_OR_BYTES": 396,
    "BAD_QUERY_PARAMETER": 457,
    "ACCESS_DENIED": 497,
    "AUTHENTICATION_FAILED": 516,
    "UNSUPPORTED_MEDIA_TYPE": 758,
    "ABORTED": 236,
    "S3_ERROR": 499,
}

_STATUS = {
    **dict.fromkeys((194,), 401),
    **dict.fromkeys((164, 192, 193, 497, 512, 516), 403),
    **dict.fromkeys(
        (6, 25, 26, 27, 36, 38, 41, 42, 43, 44, 53, 62, 69, 72, 117, 158, 162, 167, 168, 306, 307, 344, 396, 407, 427, 441, 456, 457), 400
    ),
    **dict.fromkeys((46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 511), 404),
    **dict.fromkeys((159,), 408),
    **dict.fromkeys((381,), 411),
    **dict.fromkeys((314,), 413),
    **dict.fromkeys((758,), 415),
    **dict.fromkeys((48,), 501),
    **dict.fromkeys((76, 202, 209, 439, 499), 503),
}


class RefusedError(PointlineError):
    """A query that was not run, or failed, as the client gets it.

    Args:
        name: ClickHouse's name of the error.
        message: one or two sentences.
        code: ClickHouse's number; that of `name` where it is left out.
        status: HTTP status; that of the number where it is left out.
    """

    def __init__(self, name: str, message: str, *, code: int | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.name = name
        self.code = NUMBERS[name] if code is None else code
        self.status = _STATUS.get(self.code, 500) if status is None else status

    def as_json(self) -> dict[str, str | int]:
        """Its arguments, as JSON can hold them."""
        return {"name": self.name, "message": self.what, "code": self.code, "status": self.status}

    def body(self, version: str) -> str:
        """The text of the answer, in the form that clients parse."""
        return f"Code: {self.code}. DB::Exception: {self.what} ({self.name}) (version {version} (pointline))\n"


DECIMAL_MARK = "[decimal] "
"""Begins the error of a statement that exceeds the bound of a decimal."""

_OUR_BOUND = re.compile(r"(.*?): (?:while executing|[Ii]n scope)", re.DOTALL)
_HEAD = re.compile(r"^(?:[\w ]*: )?Code: (\d+)\. (?:DB::|Poco::)?\w*(?:Exception)?: ?", re.DOTALL)
_TAIL = re.compile(r"\.?\s*\(([A-Z][A-Z0-9_]+)\)\s*(?:\(version [^)]*\)\)?)?\.?\s*$")
_PROBE = re.compile(r": In scope SELECT formatQuery\w*\(.*$", re.DOTALL)


_PATH = re.compile(r"(?<![\w.)\]/])/(?:" + "|".join(map(re.escape, sorted(os.listdir("/")))) + r")(?:/[^\s'\"`:,;()\[\]]*)?")  # noqa: PTH208
_OF_FILES = frozenset({
    "CANNOT_OPEN_FILE", "FILE_DOESNT_EXIST", "FILE_ALREADY_EXISTS", "CANNOT_STAT", "CANNOT_STATVFS", "CANNOT_FSTAT", "PATH_ACCESS_DENIED",
    "DIRECTORY_DOESNT_EXIST", "CANNOT_READ_FROM_FILE_DESCRIPTOR", "CANNOT_WRITE_TO_FILE_DESCRIPTOR", "CANNOT_CREATE_DIRECTORY",
    "CANNOT_CREATE_FILE",
})  # fmt: skip


def without_paths(text: str) -> str:
    """The text with ``<path>`` in the place of every absolute path of this machine.

    >>> without_paths("Cannot stat file: /tmp/lake/a.parquet, x / y")
    'Cannot stat file: <path>, x / y'
    """
    return _PATH.sub("<path>", text)


def from_engine(text: str) -> RefusedError:
    """The engine's message as an error, without paths; a message of another form becomes a plain engine error.

    Messages about files are replaced as a whole: they would show which files exist that may not be read.
    """
    message, _, _ = text.partition(", Stack trace (when copying")
    code, name = None, "UNKNOWN_EXCEPTION"
    while head := _HEAD.match(message):
        code = code or int(head[1])
        message = message[head.end() :]
    while tail := _TAIL.search(message):
        name = tail[1] if name == "UNKNOWN_EXCEPTION" else name
        message = message[: tail.start()]
    message = _PROBE.sub("", message)
    _, marked, rest = message.partition(DECIMAL_MARK)
    if marked and (bound := _OUR_BOUND.match(rest)):
        return RefusedError("DECIMAL_OVERFLOW", bound[1])
    if name in _OF_FILES or "filesystem error" in message:
        return RefusedError("FILE_DOESNT_EXIST", "a file that the statement needs cannot be read")
    said = without_paths(message.strip().rstrip("."))
    return RefusedError(name, f"{said}.", code=1002 if code is None else code)
