"""The engine's messages as errors with a number, a name and a hint."""

from __future__ import annotations

import re

from pointline.errors import DamageError, QueryError
from pointline.sql.ohlcv import LONGEST_MINUTES, PARAMETER

_ERROR = re.compile(r"Code: (\d+)\. (?:DB::)?Exception: ")
_NAME = re.compile(r"\s*\(([A-Z][A-Z0-9_]+)\)\s*(?:\(version [^)]*\)\.?\s*)?$")
_SCOPE = re.compile(r"(?:: I|\. I| i)n scope (?:SELECT|WITH|EXPLAIN|DESCRIBE)\b.*?(?=\. Maybe you meant|$)", re.DOTALL)
_OHLCV = f"candles are read with their length: api.ohlcv({PARAMETER} = 1440)"
_VIEWS = "what can be read is in the database api: SHOW TABLES FROM api"


def query_error(message: str, text: str = "") -> QueryError | DamageError:
    """The error for a message of the engine, with a hint where one is known; a damaged data file is an error of the lake.

    Args:
        message: of chDB.
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
        advice = "`pointline verify` names the file, `pointline repair` reads the archive files behind it again"
        return DamageError("a data file of the lake is damaged", value=what[:300], hint=advice)
    return QueryError(f"{what} ({name})", code=int(codes[0]), name=name, hint=hint(name, what, text))


def is_damage(name: str, what: str) -> bool:
    """Whether an error of the engine means a Parquet file that cannot be read."""
    return name in _UNREADABLE and _PARQUET.search(what) is not None


_UNREADABLE = frozenset(
    {"INCORRECT_DATA", "CANNOT_EXTRACT_TABLE_STRUCTURE", "CANNOT_PARSE_INPUT_ASSERTION_FAILED", "UNEXPECTED_END_OF_FILE"}
)
_PARQUET = re.compile(r"[Pp]arquet|Page |read stage|[Cc]olumn chunk")


_NO_LENGTH = {
    "EMPTY_LIST_OF_COLUMNS_QUERIED",  # SELECT * FROM api.ohlcv
    "EMPTY_LIST_OF_COLUMNS_PASSED",  # SELECT count() FROM api.ohlcv
    "UNKNOWN_IDENTIFIER",  # SELECT close FROM api.ohlcv
    "UNSUPPORTED_METHOD",  # DESCRIBE api.ohlcv
}
_BARE = re.compile(r"\bohlcv\b(?!\s*\()", re.IGNORECASE)
_GIVEN = re.compile(r"\bohlcv\s*\(\s*(?:(\w+)\s*=\s*)?(\w+)\s*\)", re.IGNORECASE)
_CALLED = re.compile(r"Unknown table function (?:api\.)?`?(\w+)`?")
VIEWS = ("ohlcv", "trade", "trade_last", "funding_rate", "market_spot", "market_future", "features", "spreads", "coverage")


def hint(name: str, what: str, text: str) -> str | None:
    """What to write instead, where that is known.

    Args:
        name: the engine's name of the error, e.g. ``"UNKNOWN_TABLE"``.
        what: the engine's message.
        text: the statement.
    """
    return _length_hint(name, what, text) or _other_hint(name, what)


def _length_hint(name: str, what: str, text: str) -> str | None:
    """The hint where the length of candles is missing, is called otherwise, or is none."""
    if name == "UNKNOWN_QUERY_PARAMETER" and f"`{PARAMETER}`" in what:
        given = _GIVEN.search(text)
        if given is None or not given[2].isdigit():
            return _OHLCV
        wrong = f"not {given[1]}, but " if given[1] else ""
        return f"the length of candles is called {wrong}{PARAMETER}: api.ohlcv({PARAMETER} = {given[2]})"
    if name in _NO_LENGTH and _BARE.search(text):
        described = re.match(r"\s*desc(ribe)?\b", text, re.IGNORECASE)
        return _OHLCV.replace("candles are read", "columns are shown") if described else _OHLCV
    if (name == "ARGUMENT_OUT_OF_BOUND" and "toStartOfInterval" in what) or (name == "BAD_QUERY_PARAMETER" and PARAMETER in what):
        return f"a candle lasts a whole number of minutes from 1 to {LONGEST_MINUTES}: api.ohlcv({PARAMETER} = 1440) for days"
    return None


def _other_hint(name: str, what: str) -> str | None:
    if name == "UNKNOWN_QUERY_PARAMETER":
        return "give its value: query(text, x=…), or --param x=… on the command line"
    called = _CALLED.search(what) if name == "UNKNOWN_FUNCTION" else None
    if called is not None and called[1].lower() == "ohlcv":
        return f"write it in small letters, with its database: api.ohlcv({PARAMETER} = 1440)"
    if called is not None and called[1].lower() in VIEWS:
        return f"this view takes no parameters: FROM api.{called[1].lower()}"
    no_view = name == "ACCESS_DENIED" and ("SELECT" in what or "is not served" in what)
    if name in {"UNKNOWN_TABLE", "UNKNOWN_DATABASE"} or no_view:
        return _VIEWS
    if name in {"ACCESS_DENIED", "READONLY"}:
        unchecked = "in a shell of your own, `pointline sql --unsafe` runs a statement unchecked"
        return unchecked if "not allowed" in what else "statements here read; files enter the lake with `pointline ingest`"
    return None
