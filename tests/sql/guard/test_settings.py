"""Settings that a client may send, the limits among them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointline.sql.guard.codes import RefusedError
from pointline.sql.guard.limits import QueryLimits
from pointline.sql.guard.settings import for_engine

LIMITS = QueryLimits(time_s=10.0, memory_mb=100, rows_read=1_000, rows_returned=50, megabytes_returned=2, threads=2)


def test_limits_are_always_there() -> None:
    found = for_engine({}, LIMITS)
    assert found["max_execution_time"] == "10"
    assert found["max_memory_usage"] == "100000000"
    assert (found["max_rows_to_read"], found["max_result_rows"], found["max_result_bytes"], found["max_threads"]) == (
        "1000",
        "50",
        "2000000",
        "2",
    )


@given(value=st.one_of(st.integers(0, 10**12).map(str), st.floats(0, 1e6).map(lambda value: f"{value:.3f}")))
def test_limits_can_be_lowered_and_never_raised(value: str) -> None:
    found = float(for_engine({"max_execution_time": value}, LIMITS)["max_execution_time"])
    assert found == (float(value) if 0 < float(value) < 10 else 10)


@pytest.mark.parametrize(
    "name",
    ["readonly", "allow_ddl", "max_bytes_to_read", "output_format_schema", "profile", "log_comment", "", "MAX_THREADS", "max_threads&x"],
)
def test_other_settings_are_refused(name: str) -> None:
    with pytest.raises(RefusedError) as caught:
        for_engine({name: "1"}, LIMITS)
    assert (caught.value.name, caught.value.status) == ("READONLY", 403)


@pytest.mark.parametrize("value", ["a&b=c", "a=b", "a%26", "?", "#", "\n", "é", "x" * 65, "'", '"', "\\"])
def test_values_cannot_become_settings(value: str) -> None:
    with pytest.raises(RefusedError):
        for_engine({"date_time_output_format": value}, LIMITS)


@pytest.mark.parametrize("value", ["-1", "1e9", "abc", "", " 1", "1.5", "9" * 30])
def test_a_limit_is_a_number(value: str) -> None:
    with pytest.raises(RefusedError):
        for_engine({"max_result_rows": value}, LIMITS)


def test_what_clients_ask_for_is_passed_on() -> None:
    asked = {"output_format_json_quote_64bit_integers": "1", "join_use_nulls": "1", "format_csv_delimiter": ";", "limit": "5"}
    assert asked.items() <= for_engine(asked, LIMITS).items()
