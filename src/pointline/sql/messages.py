"""What the engine says when a statement is wrong, as an error with its number, its name and a hint."""

from __future__ import annotations

import re

from pointline.errors import DamageError, QueryError

_ERROR = re.compile(r"Code: (\d+)\. (?:DB::)?Exception: ")
_NAME = re.compile(r"\s*\(([A-Z][A-Z0-9_]+)\)\s*(?:\(version [^)]*\)\.?\s*)?$")
_SCOPE = re.compile(r"(?:: I|\. I| i)n scope (?:SELECT|WITH|EXPLAIN|DESCRIBE)\b.*?(?=\. Maybe you meant|$)", re.DOTALL)
_OHLCV = "candles are read with their length: api.ohlcv(candle_duration_in_minutes = 1440)"
_VIEWS = "what can be read is in the database api: SHOW TABLES FROM api"


def query_error(message: str, text: str = "") -> QueryError | DamageError:
    """The error that a message of the engine tells of, with a hint where one is known; a damaged data file is the lake's own error.

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
    if is_damage(name, what):
        hint = "`pointline verify` names the file, `pointline repair` reads the archive files behind it again"
        return DamageError("a data file of the lake is damaged", value=what[:300], hint=hint)
    return QueryError(f"{what} ({name})", code=int(codes[0]), name=name, hint=_hint(name, what, text))


def is_damage(name: str, what: str) -> bool:
    """Whether an error of the engine speaks of a Parquet file that cannot be read."""
    return name in _UNREADABLE and _PARQUET.search(what) is not None


_UNREADABLE = frozenset(
    {"INCORRECT_DATA", "CANNOT_EXTRACT_TABLE_STRUCTURE", "CANNOT_PARSE_INPUT_ASSERTION_FAILED", "UNEXPECTED_END_OF_FILE"}
)
_PARQUET = re.compile(r"[Pp]arquet|Page |read stage|[Cc]olumn chunk")


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
