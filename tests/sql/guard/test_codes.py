"""Errors of the engine: numbers, names and statuses that clients get."""

from __future__ import annotations

import pytest

from pointline.sql.guard.codes import DECIMAL_MARK, NUMBERS, RefusedError, from_engine

ENGINE_SAID = {
    "Code: 62. DB::Exception: Syntax error: failed at position 8. (SYNTAX_ERROR)": (
        62,
        "SYNTAX_ERROR",
        "Syntax error: failed at position 8.",
    ),
    "Code: 164. DB::Exception: Code: 164. DB::Exception: Cannot modify 'a'. (READONLY) (version 26.9.2.1). (READONLY)": (
        164,
        "READONLY",
        "Cannot modify 'a'.",
    ),
    "Failed to create connection: Code: 27. DB::Exception: Cannot parse: in (x). (CANNOT_PARSE) (version 1 (official build))": (
        27,
        "CANNOT_PARSE",
        "Cannot parse: in (x).",
    ),
    "Code: 76. DB::ErrnoException: Cannot open file /a: , errno: 13: In scope SELECT file('/a'). (CANNOT_OPEN_FILE)": (
        107,
        "FILE_DOESNT_EXIST",
        "a file that the statement needs cannot be read",
    ),
    "Code: 117. DB::Exception: Bad footer in /tmp/lake/a=1/b.parquet, 1 / 2. (INCORRECT_DATA)": (
        117,
        "INCORRECT_DATA",
        "Bad footer in <path>, 1 / 2.",
    ),
    "Code: 36. DB::Exception: bad, Stack trace (when copying this message, always include the lines below):\n0. x @ 0x1": (
        36,
        "UNKNOWN_EXCEPTION",
        "bad.",
    ),
    "something else": (1002, "UNKNOWN_EXCEPTION", "something else."),
}


@pytest.mark.parametrize("said", ENGINE_SAID)
def test_what_the_engine_says_is_taken_apart(said: str) -> None:
    found = from_engine(said)
    assert (found.code, found.name, found.what) == ENGINE_SAID[said]


def test_a_message_of_megabytes_is_taken_apart_too() -> None:
    """A statement of a thousand checked decimals comes back in the engine's message; what is quadratic in its length takes minutes."""
    found = from_engine(f"Code: 1. DB::Exception: {DECIMAL_MARK * 300_000}{'(A' * 100_000} (TOO_BIG_AST)")
    assert found.name == "TOO_BIG_AST"


def test_an_answer_is_in_the_form_that_clients_take_apart() -> None:
    body = RefusedError("READONLY", "no").body("26.9")
    assert body == "Code: 164. DB::Exception: no (READONLY) (version 26.9 (pointline))\n"


# of ClickHouse's exceptionCodeToHTTPStatus.cpp, and those that this server adds
STATUSES = {
    "SYNTAX_ERROR": 400,
    "BAD_ARGUMENTS": 400,
    "UNKNOWN_TABLE": 404,
    "UNKNOWN_FUNCTION": 404,
    "UNKNOWN_FORMAT": 404,
    "UNKNOWN_DATABASE": 404,
    "UNKNOWN_SETTING": 404,
    "REQUIRED_PASSWORD": 401,
    "AUTHENTICATION_FAILED": 403,
    "ACCESS_DENIED": 403,
    "QUERY_IS_TOO_LARGE": 413,
    "NOT_IMPLEMENTED": 501,
    "TIMEOUT_EXCEEDED": 408,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "MEMORY_LIMIT_EXCEEDED": 500,
    "TOO_MANY_SIMULTANEOUS_QUERIES": 503,
    "TOO_MANY_ROWS": 400,
    "READONLY": 403,
}


@pytest.mark.parametrize("name", STATUSES)
def test_statuses(name: str) -> None:
    assert RefusedError(name, "x").status == STATUSES[name]


def test_numbers_are_unlike() -> None:
    assert len(set(NUMBERS.values())) == len(NUMBERS)
