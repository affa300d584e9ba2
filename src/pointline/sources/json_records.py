"""The records of a JSON document: objects or lists, in a list, in a wrapper or one on each line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import polars as pl

from pointline.errors import ConfigError, SourceError
from pointline.sources.checks import RAW_CHARACTERS, rejected
from pointline.sources.text_lines import number_lines

if TYPE_CHECKING:
    from collections.abc import Iterable


_SHORT = 16  # characters: at most 15 digits, which every double keeps


class _Number(float):
    """A number with a fraction or exponent, and how it was written."""

    text: str

    def __new__(cls, text: str) -> Self:
        number = super().__new__(cls, text)
        number.text = text
        return number


class _Ambiguous(dict[str, Any]):
    """An object that names a key twice."""


class Record(NamedTuple):
    """One record.

    Attributes:
        row: its line in a file of JSON lines, else its number, from 1.
        value: an object or a list.
        raw: its line; None where it shares a document with others.
    """

    row: int
    value: dict[str, Any] | list[Any]
    raw: str | None

    @property
    def text(self) -> str:
        """The record as JSON."""
        return json.dumps(self.value) if self.raw is None else self.raw


@dataclass(frozen=True)
class Records:
    """The usable records of a document and `REJECT_SCHEMA` rows for the others."""

    usable: list[Record]
    rejects: pl.DataFrame


def read_records(data: bytes, path: str | None, *, lines: bool, where: str) -> Records:
    """All records, in order.

    Args:
        data: the document.
        path: the keys that lead to the records, with dots between them; None where they stand at the top.
        lines: whether the document is JSON lines by its name; else it is where it is no single JSON value.
        where: the file, for errors.

    Raises:
        SourceError: the document is not JSON.
        ConfigError: nothing stands where `path` leads.
    """
    if not lines:
        try:
            document = _DECODER.decode(data.decode("utf-8").strip())
        except (ValueError, RecursionError) as error:
            if "Extra data" not in str(error):
                raise SourceError("the file is not JSON", where=where, value=str(error)[:200], hint="copy it again") from error
        else:
            usable: list[Record] = []
            broken: list[tuple[Any, ...]] = []
            _sort_out(((row, item, None) for row, item in enumerate(_inside(document, path, where), 1)), usable, broken)
            return Records(usable, rejected(broken))
    return _lines(data, path, where)


def _lines(data: bytes, path: str | None, where: str) -> Records:
    usable: list[Record] = []
    broken: list[tuple[Any, ...]] = []
    for raw, row in number_lines(data).iter_rows():
        if not raw.strip():
            continue
        reason = "is not valid JSON"
        try:
            if "\ufffd" in raw:
                reason = "holds bytes that are not UTF-8"
            else:
                value = _DECODER.decode(raw.strip())
                items = _inside(value, path, where) if path or _is_list_of_records(value) else [value]
                _sort_out(((row, item, raw) for item in items), usable, broken)
                continue
        except ConfigError:
            reason = f"has no records at {path}"
        except (ValueError, RecursionError):
            pass
        broken.append((row, "line", raw[:80], reason, raw[:RAW_CHARACTERS], True))
    if not usable and broken:
        raise SourceError("the file is not JSON", where=f"{where}, line {broken[0][0]}", value=broken[0][2], hint="copy it again")
    return Records(usable, rejected(broken))


def _is_list_of_records(value: Any) -> bool:  # noqa: ANN401  # any JSON value
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict | list) for item in value)


def _sort_out(items: Iterable[tuple[int, Any, str | None]], usable: list[Record], broken: list[tuple[Any, ...]]) -> None:
    """Adds each item (its row, value and line) to the usable records or, as `REJECT_SCHEMA` has it, to the broken ones."""
    for row, value, raw in items:
        if type(value) in {dict, list}:
            usable.append(Record(row, value, raw))
            continue
        text = json.dumps(value) if raw is None else raw
        reason = "names a key twice" if isinstance(value, _Ambiguous) else "is neither a record nor a list of values"
        broken.append((row, "line", text[:80], reason, text[:RAW_CHARACTERS], True))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _Ambiguous(found)


_DECODER = json.JSONDecoder(parse_float=_Number, object_pairs_hook=_object)


def _inside(document: Any, path: str | None, where: str) -> list[Any]:  # noqa: ANN401  # any JSON value
    """The records that stand where `path` leads; one that stands there alone is one record."""
    found = document
    for key in path.split(".") if path else ():
        if not isinstance(found, dict) or key not in found:
            keys = list(found)[:20] if isinstance(found, dict) else []
            raise ConfigError("the file has no such records", where=where, value=path, expected=f"a path of {', '.join(keys) or 'keys'}")
        found = found[key]
    return found if isinstance(found, list) else [found]


def column_of(records: list[Record], column: str, names: list[str]) -> tuple[list[str | None], list[bool]]:
    """A column's values as text, None where a record has none, and which of them are binary floats.

    Args:
        records: as many values as `names` where a record is a list.
        column: a key, a dotted path of keys, or one of `names`.
        names: of the places of a list.
    """
    place = names.index(column) if column in names else -1
    texts: list[str | None] = []
    binary: list[bool] = []
    for record in records:
        found = record.value[place] if isinstance(record.value, list) else _value_at(record.value, column)
        is_number = type(found) is _Number
        texts.append(found if found is None or type(found) is str else found.text if is_number else _as_text(found))
        binary.append(is_number and _is_written_out(found))
    return texts, binary


def _value_at(value: Any, column: str) -> Any:  # noqa: ANN401  # any JSON value
    if "." not in column or column in value:
        return value.get(column)
    for key in column.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _as_text(value: Any) -> str:  # noqa: ANN401  # any JSON value
    return str(value) if type(value) is int else json.dumps(value)


def _is_written_out(number: _Number) -> bool:
    """Whether the digits are those that programs write for this double: what it is, and not more than it can hold."""
    return len(number.text) <= _SHORT or Decimal(number.text) in {Decimal(repr(float(number))), Decimal(f"{number:.17g}")}


def keys_of(records: list[Record], *, nested: bool) -> list[str]:
    """All keys of the records, on request with the paths of nested ones, in the order in which they appear."""
    found: dict[str, Any] = {}
    for record in records:
        if isinstance(record.value, dict):
            found.update(dict.fromkeys(_paths(record.value)) if nested else record.value)
    return list(found)


def _paths(value: dict[str, Any]) -> list[str]:
    return [
        path for key, inner in value.items() for path in (key, *(f"{key}.{p}" for p in (_paths(inner) if isinstance(inner, dict) else ())))
    ]


def decode_objects(text: pl.Series, dtype: pl.Struct) -> pl.Series:
    """One JSON object per row as a struct of the fields of `dtype`; a null struct where a row is not such an object."""
    try:
        decoded = text.str.json_decode(dtype)
    except pl.exceptions.PolarsError:
        decoded = None
    if decoded is not None and len(decoded) == len(text):
        return decoded
    if len(text) == 1:
        return pl.Series(text.name, [None], dtype=dtype)
    middle = len(text) // 2
    return pl.concat([decode_objects(text[:middle], dtype), decode_objects(text[middle:], dtype)])
