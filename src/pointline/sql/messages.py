"""What the engine says when a statement is wrong, as an error with its number, its name and a hint."""

from __future__ import annotations

import re

from pointline.errors import QueryError

_ERROR = re.compile(r"Code: (\d+)\. (?:DB::)?Exception: ")
_NAME = re.compile(r"\s*\(([A-Z][A-Z0-9_]+)\)\s*(?:\(version [^)]*\)\.?\s*)?$")
_SCOPE = re.compile(r"(?:: I|\. I| i)n scope (?:SELECT|WITH|EXPLAIN|DESCRIBE)\b.*?(?=\. Maybe you meant|$)", re.DOTALL)
_OHLCV = "candles are read with their length: api.ohlcv(candle_duration_in_minutes = 1440)"
_VIEWS = "what can be read is in the database api: SHOW TABLES FROM api"


def query_error(message: str, text: str = "") -> QueryError:
    """The error that a message of the engine tells of, with a hint where one is known.

    Args:
        message: what chDB said.
        text: the statement.
    """
    codes = _ERROR.findall(message)
    what, name = _ERROR.sub("", message.removeprefix("Failed to create connection: ")).strip(), ""
    while (last := _NAME.search(what)) is not None:
        what, name = what[: last.start()], name or last[1]
    what = _SCOPE.sub("", what)  # the statement again, or the inside of a view
    if not codes:
        return QueryError(what or "the engine gave no reason")
    return QueryError(f"{what} ({name})", code=int(codes[0]), name=name, hint=_hint(name, what, text))


def _hint(name: str, what: str, text: str) -> str | None:
    candles = re.search(r"\bohlcv\b(?!\s*\()", text, re.IGNORECASE)
    if name in {"EMPTY_LIST_OF_COLUMNS_QUERIED", "UNKNOWN_IDENTIFIER", "UNKNOWN_QUERY_PARAMETER"} and candles:
        return _OHLCV
    if name == "ARGUMENT_OUT_OF_BOUND" and "toStartOfInterval" in what:
        return "a candle lasts at least one minute"
    if name == "UNKNOWN_QUERY_PARAMETER":
        return "give its value: query(text, x=…), or --param x=… on the command line"
    if name in {"UNKNOWN_TABLE", "UNKNOWN_DATABASE"} or (name == "ACCESS_DENIED" and "SELECT" in what):
        return _VIEWS
    if name in {"ACCESS_DENIED", "READONLY"}:
        return "statements here read; files enter the lake with `pointline ingest`"
    return None
