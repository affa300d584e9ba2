"""JSON whose numbers stay as they are written."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointline.download.json_text import canonical, decode, whole_number
from pointline.errors import WrongContentError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES, st.sampled_from([None, 1]))
def test_a_document_means_the_same_and_has_one_form(value: object, indent: int | None) -> None:
    text = canonical(decode(json.dumps(value, indent=indent).encode(), "here"))
    assert json.loads(text) == value
    assert text == json.dumps(value, sort_keys=True, separators=(",", ":"))
    assert canonical(decode(text.encode(), "here")) == text


@pytest.mark.parametrize("number", ["0.10", "6.0E-7", "1e400", "-0", "0.1000000000000000055511151231257827", "9" * 30])
def test_numbers_keep_every_digit(number: str) -> None:
    assert canonical(decode(f"[ {number} ]".encode(), "here")) == f"[{number}]"


@pytest.mark.parametrize("text", [b"", b"{", b"<html>", b"NaN", b"[Infinity]", b'{"a": 1, "a": 2}', b"\xff", b"[" * 100_000, b"1 2"])
def test_what_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(WrongContentError) as caught:
        decode(text, "here")
    assert caught.value.where == "here"


@pytest.mark.parametrize("value", ["1.0", "", " 1", "٣", "9" * 19, 1, True, None])
def test_what_is_no_whole_number(value: object) -> None:
    assert whole_number(value) is None
