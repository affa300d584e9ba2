"""JSON whose numbers stay as they are written: read, and written again in one form."""

from __future__ import annotations

import json
import re
from typing import Any

from pointline.errors import WrongContentError

_WHOLE = re.compile(r"-?[0-9]{1,18}")
_SHOWN = 120


class NumberText(str):
    """A number as it is written."""

    __slots__ = ()


def decode(text: bytes, where: str) -> Any:  # noqa: ANN401 - any JSON value
    """A document; its numbers are `NumberText`.

    Args:
        text: UTF-8.
        where: where it came from, for the error.

    Raises:
        WrongContentError: it is no JSON, or names a key twice.

    >>> decode(b'{"price": 60000.50, "size": "0.10"}', "here")
    {'price': '60000.50', 'size': '0.10'}
    """
    try:
        return _DECODER.decode(text.decode("utf-8").strip())
    except (ValueError, RecursionError) as error:
        page = text.lstrip().startswith(b"<")
        what = "the host sent a page, not an answer" if page else "the host's answer is no JSON, or cut off"
        raise WrongContentError(what, where=where, value=text[:_SHOWN], expected="JSON") from error


def canonical(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """A value of `decode` as JSON: keys in order, no blanks, ASCII, numbers and texts as they came.

    >>> canonical(decode(b'{"size": "0.10", "price": 60000.50, "at": null}', "here"))
    '{"at":null,"price":60000.50,"size":"0.10"}'
    """
    if isinstance(value, NumberText):
        return str(value)
    if isinstance(value, dict):
        return f"{{{','.join(f'{json.dumps(key)}:{canonical(value[key])}' for key in sorted(value))}}}"
    if isinstance(value, list):
        return f"[{','.join(map(canonical, value))}]"
    return json.dumps(value)


def whole_number(value: object) -> int | None:
    """The whole number that a number or text of a document is; None where it is none.

    >>> whole_number("1714521600000"), whole_number("1e3"), whole_number(None)
    (1714521600000, None, None)
    """
    return int(value) if isinstance(value, str) and _WHOLE.fullmatch(value) else None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_number(text: str) -> None:
    raise ValueError(text)


_DECODER = json.JSONDecoder(parse_float=NumberText, parse_int=NumberText, parse_constant=_no_number, object_pairs_hook=_object)
